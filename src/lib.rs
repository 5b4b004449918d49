//! An embeddable inventory engine.
#![warn(missing_docs)]

mod audit;
mod clock;
mod quantity;
mod reservation;
mod stock;
mod sync;

pub use audit::queue::Backpressure;
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use quantity::{InvalidQuantity, MAX_UNITS};
pub use reservation::id::{InvalidReservationId, Owner, ReservationId};
pub use stock::handle::{LevelHandle, ProductId, WarehouseId};
