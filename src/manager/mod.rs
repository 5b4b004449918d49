//! Floor 6, the manager: every public operation, one file for each kind.

mod answer;
mod approvals;
mod approve;
mod assembly;
#[cfg(feature = "journal")]
mod backup;
mod basket;
mod builder;
mod commits;
mod configure;
mod details;
mod due;
mod durability;
mod durable;
mod engine;
mod found;
mod fulfil;
#[cfg(feature = "journal")]
mod journal;
mod keyed;
mod lifecycle;
mod limits;
#[cfg(not(feature = "journal"))]
mod no_journal;
#[cfg(feature = "journal")]
mod open;
mod operations;
mod partial;
mod place;
mod queries;
mod receive;
mod recorder;
mod redact;
#[cfg(feature = "journal")]
mod redact_journal;
mod request;
mod reserve;
#[cfg(feature = "journal")]
mod restore;
mod retake;
mod settings;
mod settle;
mod settle_sale;
mod snapshot;
mod spec;
mod stats;
mod sweep;
#[cfg(feature = "testing")]
mod testing;
#[cfg(all(test, feature = "journal", not(loom)))]
mod told;
mod transfer;
mod transfer_request;
#[cfg(feature = "journal")]
mod verify;

use std::sync::{Arc, Weak};

use crate::error::BuildError;

pub use answer::{ConfirmOrRetake, Release};
pub use builder::Builder;
pub use durability::{Durability, OperationKind};
pub use durable::WhenDurable;
#[cfg(feature = "journal")]
pub use journal::RecoveryReport;
pub use lifecycle::Shutdown;
pub use limits::Limits;
pub use place::{BasketLine, LevelRef, ProductRef, WarehouseRef};
pub use queries::{ReservationCursor, ReservationPage, WarehouseLevel};
pub use request::Request;
pub use snapshot::{LevelSnapshot, Totals};
pub use spec::WarehouseSpec;
pub use stats::{Health, Refusals, Stats};
pub use transfer_request::{
    TransferDecision, TransferRequest, TransferRequestId, TransferRequestStatus,
};
#[cfg(feature = "journal")]
pub use verify::{BrokenLevel, LiveVerifyReport};

#[cfg(not(feature = "journal"))]
use {no_journal as journal, no_journal as open};

use assembly::Assembly;
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

    /// An operation to come, with what the caller adds to it: a key, an owner, notes for the auditor.
    pub fn request(&self) -> Request<'_> {
        Request::new(&self.engine)
    }

    /// A handle that does not keep the engine alive: for listeners, which the engine itself owns.
    pub fn downgrade(&self) -> WeakInventoryManager {
        WeakInventoryManager {
            life: Arc::downgrade(&self.life),
            engine: Arc::downgrade(&self.engine),
        }
    }
}

impl Builder {
    /// Builds the engine and starts its threads: the audit writer, the sweeper, the alert desk.
    ///
    /// # Errors
    /// [`BuildError`] names the setting that can't be, and what it takes.
    pub fn build(mut self) -> Result<InventoryManager, BuildError> {
        self.check()?;
        match self.journal.take() {
            Some(options) => open::open(self, options),
            None => {
                let (room, now) = (self.limits.max_reservations as usize, self.clock.now());
                Assembly::new(self, now).engine(room).start(|_| {})
            }
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
