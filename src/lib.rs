//! An embeddable inventory engine.
#![warn(missing_docs)]

mod audit;
mod clock;
mod quantity;
mod reservation;
mod stock;
mod sync;

pub use audit::queue::Backpressure;
#[cfg(not(all(loom, feature = "loom")))]
pub use audit::{
    entry::{AdjustmentType, AuditEntry, EntryType, EventType, UnknownEntryType},
    flush::{Flush, FlushError},
    log::{AuditFilter, AuditLog, AuditPage},
    sink::{AuditBatch, AuditSink, SinkError},
};
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use quantity::{InvalidQuantity, MAX_UNITS};
pub use reservation::id::{InvalidReservationId, Owner, ReservationId};
pub use stock::handle::{LevelHandle, ProductId, WarehouseId};

/// Tools for the tests of services that embed the engine.
#[cfg(all(feature = "testing", not(all(loom, feature = "loom"))))]
pub mod testing {
    pub use crate::audit::faulty::{FaultControl, FaultCounts, FaultySink};
}
