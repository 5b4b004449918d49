//! Floor 5, the manager: every public operation, one file for each kind.

mod answer;
mod approvals;
mod approve;
mod basket;
mod builder;
mod call;
mod commits;
mod configure;
mod copies;
mod durability;
mod durable;
mod end_hold;
mod engine;
mod fulfill;
mod journal;
mod lifecycle;
mod listeners;
mod partial;
mod place;
mod queries;
mod recording;
mod recover;
mod redact;
mod request;
mod reservation_snapshot;
mod reserve;
mod retake;
mod settings;
mod ship_lines;
mod snapshot;
mod spec;
mod stats;
mod stock;
mod sweeper;
#[cfg(feature = "testing")]
mod testing;
#[cfg(all(test, not(loom)))]
mod tests;
mod transfer;
mod transfer_request;
mod verify;

use std::sync::{Arc, Weak};

pub use answer::{ConfirmOrRetake, Release};
pub use builder::Builder;
pub use durability::{Durability, OperationKind};
pub use durable::Durably;
pub use journal::Recovered;
pub use lifecycle::Shutdown;
pub use place::{BasketLine, LevelRef, ProductRef, WarehouseRef};
pub use queries::{ReservationCursor, ReservationPage, WarehouseLevel};
pub use request::{HoldRequest, Request, TransferRequestBuilder};
pub use snapshot::{LevelSnapshot, Totals};
pub use spec::WarehouseSpec;
pub use stats::{Health, Refusals, Stats};
pub use transfer_request::{
    TransferDecision, TransferRequest, TransferRequestId, TransferRequestStatus,
};
pub use verify::{BrokenLevel, Comparison};

use call::{Call, RequestOptions};
use engine::Engine;
use lifecycle::Life;

/// The inventory: warehouses and their stock, reservations, and the audit log of all that moved.
///
/// A manager is a handle: cheap to clone, and shared between threads as it is. Every operation takes
/// `&self`. The last clone that is dropped ends the engine (see [`shutdown`](Self::shutdown)).
///
/// Stock levels are named by warehouse and product, `("SF", "LAPTOP")`, or by a [`LevelHandle`],
/// which is resolved once ([`level`](Self::level), [`open_level`](Self::open_level)) and then costs
/// no hashing. Quantities are units, 1 to [`MAX_UNITS`](crate::MAX_UNITS); 0 is an error everywhere.
///
/// ```
/// use std::time::Duration;
/// use stockade::InventoryManager;
///
/// let manager = InventoryManager::builder().warehouse("SF").warehouse("NYC").build()?;
/// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
///
/// let hold = manager.reserve(("SF", "LAPTOP"), 3, Duration::from_secs(60))?;
/// manager.confirm(hold)?;
/// manager.transfer("SF", "NYC", "LAPTOP", 4)?;
///
/// assert_eq!(manager.available(("SF", "LAPTOP")), 3);
/// assert_eq!(manager.available(("NYC", "LAPTOP")), 4);
/// # Ok::<(), stockade::Error>(())
/// ```
///
/// [`LevelHandle`]: crate::LevelHandle
#[derive(Clone, Debug)]
pub struct InventoryManager {
    // Dropped first: its end needs the engine.
    life: Arc<Life>,
    engine: Arc<Engine>,
}

impl InventoryManager {
    /// Begins to build an engine. Warehouses are fixed at build; products can be added at any time.
    pub fn builder() -> Builder {
        Builder::new()
    }

    fn new(engine: Arc<Engine>, life: Life) -> Self {
        Self { life: Arc::new(life), engine }
    }

    /// An operation to come, with what the caller adds to it: a key, notes for the auditor, whom it is for.
    pub fn request(&self) -> Request<'_> {
        Request::new(&self.engine)
    }

    /// A call to which nothing is added.
    #[inline]
    fn call(&self) -> Call<'_> {
        Call::new(&self.engine, RequestOptions::DEFAULT)
    }

    /// A handle that does not keep the engine alive: for listeners, which the engine itself owns.
    pub fn downgrade(&self) -> WeakInventoryManager {
        WeakInventoryManager {
            life: Arc::downgrade(&self.life),
            engine: Arc::downgrade(&self.engine),
        }
    }
}

/// A handle to an engine that does not keep it alive.
#[derive(Clone, Debug)]
pub struct WeakInventoryManager {
    life: Weak<Life>,
    engine: Weak<Engine>,
}

impl WeakInventoryManager {
    /// The manager, if it still lives.
    pub fn upgrade(&self) -> Option<InventoryManager> {
        Some(InventoryManager { life: self.life.upgrade()?, engine: self.engine.upgrade()? })
    }
}
