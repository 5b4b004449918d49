//! An embeddable inventory engine.
#![warn(missing_docs)]

mod clock;
#[allow(dead_code, reason = "the manager, which is built next, delivers alerts")]
mod policy;
mod quantity;
mod reservation;
mod stock;
mod sync;

pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use policy::alerts::{ListenerId, StockAlert, StockAlertListener};
pub use policy::reorder::{
    FixedLot, PurchaseOrder, ReorderListener, ReorderStrategy, Supplier, TopUpTo,
};
pub use quantity::{InvalidQuantity, MAX_UNITS};
pub use reservation::id::{InvalidReservationId, Owner, ReservationId};
pub use reservation::keys::{InvalidKey, RequestKey};
pub use stock::handle::{LevelHandle, ProductId, WarehouseId};
