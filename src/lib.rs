//! An embeddable inventory engine.
#![warn(missing_docs)]

mod clock;
mod quantity;
mod reservation;
mod stock;
mod sync;

pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use quantity::{InvalidQuantity, MAX_UNITS};
pub use reservation::id::{InvalidReservationId, Owner, ReservationId};
pub use stock::handle::{LevelHandle, ProductId, WarehouseId};

/// What the models in `loom-tests` run: the library's own lock-free files, on loom's atomics.
#[cfg(all(loom, feature = "loom"))]
#[doc(hidden)]
#[allow(missing_docs, reason = "not part of the library")]
pub mod internals {
    pub mod commit {
        pub use crate::stock::commit::testbed::{
            Half, Logged, Move, Short, Sleeper, Testbed, When,
        };
    }
}
