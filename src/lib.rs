//! An embeddable inventory engine.
#![warn(missing_docs)]

mod audit;
mod clock;
mod error;
mod manager;
mod parking;
mod policy;
mod quantity;
mod reservation;
mod shard;
mod stock;
mod sync;
mod table;

pub use audit::entry::{AdjustmentType, AuditEntry, EntryType, EventType, UnknownEntryType};
pub use audit::flush::{Flush, FlushError};
pub use audit::log::{AuditFilter, AuditLog, AuditPage};
pub use audit::queue::Backpressure;
pub use audit::sink::{AuditBatch, AuditSink, SinkError};
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use error::{
    AddError, Applied, BasketError, BuildError, ConfirmError, Error, ExtendError, FulfilError,
    InvalidName, InvalidTtl, KeyError, MAX_NAME_BYTES, PartialError, ReleaseError, RemoveError,
    ReserveError, RetakeError, SettingError, SettleError, ShipError, ShortLine, SnapshotError,
    TransferError, Unavailable, UnknownPlace,
};
pub use manager::{
    BasketLine, Builder, ConfirmOrRetake, Health, InventoryManager, LevelRef, LevelSnapshot,
    ProductRef, Refusals, Release, Request, ReservationCursor, ReservationPage, Shutdown, Stats,
    Totals, WarehouseLevel, WarehouseRef, WarehouseSpec, WeakInventoryManager,
};
pub use policy::alerts::{ListenerId, StockAlert, StockAlertListener};
pub use policy::allocation::{
    AllocationStrategy, Candidate, FewestParcels, LargestStockFirst, PriorityOrder,
};
pub use policy::reorder::{
    FixedLot, PurchaseOrder, ReorderListener, ReorderStrategy, Supplier, TopUpTo,
};
pub use quantity::{InvalidQuantity, MAX_UNITS};
pub use reservation::id::{InvalidReservationId, Owner, ReservationId};
pub use reservation::keys::{InvalidKey, RequestKey};
pub use reservation::view::{NoReservation, Reservation, ReservationLine, ReservationStatus};
pub use stock::handle::{LevelHandle, ProductId, WarehouseId};
pub use stock::level::{Counts, StockLevel};
pub use stock::warehouse::Warehouse;

/// Tools for the tests of services that embed the engine.
#[cfg(feature = "testing")]
pub mod testing {
    pub use crate::audit::faulty::{FaultControl, FaultCounts, FaultySink};
}
