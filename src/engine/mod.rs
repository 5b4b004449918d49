//! Floor 6, the engine: every public operation, one file for each kind.
//!
//! An operation is a method of [`Call`]: what a caller asked for, with what it added to it. What an
//! operation needs of the engine, and callers add nothing to, is a method of [`Engine`].

mod answer;
mod assembly;
#[cfg(feature = "journal")]
mod backup;
mod builder;
mod call;
mod commits;
mod core;
mod durability;
mod durable;
#[cfg(feature = "journal")]
mod journal;
mod lifecycle;
mod limits;
mod listeners;
#[cfg(not(feature = "journal"))]
mod no_journal;
#[cfg(feature = "journal")]
mod open;
mod ops;
mod place;
mod queries;
mod recording;
mod redact;
#[cfg(feature = "journal")]
mod redact_journal;
mod request;
#[cfg(feature = "journal")]
mod restore;
mod spec;
mod sweeper;
#[cfg(feature = "testing")]
mod testing;
#[cfg(all(test, feature = "journal", feature = "testing", feature = "tracing", not(loom)))]
mod tests;
mod transfer_request;
mod transfers;
mod ttl_limits;
#[cfg(feature = "journal")]
mod verify;
mod view;

use std::sync::{Arc, Weak};

use crate::audit::recorder::Recorder;
use crate::base::clock::{Clock, Timestamp};
use crate::base::error::BuildError;
use crate::base::shard::Counters;
use crate::base::sync::Mutex;
use crate::idempotency::{IdempotencyMap, OnDuplicate};
use crate::policy::alert_dispatcher::AlertDispatcher;
use crate::policy::alerts::Listeners;
use crate::reservation::id::Randomness;
use crate::reservation::slots::Slots;
use crate::stock::catalog::Catalog;

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
pub use request::{HoldRequest, Request, TransferRequestBuilder};
pub use spec::WarehouseSpec;
pub use transfer_request::{
    TransferDecision, TransferRequest, TransferRequestId, TransferRequestStatus,
};
#[cfg(feature = "journal")]
pub use verify::{BrokenLevel, LiveVerifyReport};
pub use view::snapshot::{LevelSnapshot, Totals};
pub use view::stats::{Health, Refusals, Stats};

#[cfg(not(feature = "journal"))]
use {no_journal as journal, no_journal as open};

use answer::Answer;
use assembly::Assembly;
use call::{Call, RequestOptions};
use durability::Durabilities;
use journal::JournalLink;
use lifecycle::Life;
use recording::DrivenWriter;
use sweeper::SweepControl;
use transfers::book::Approvals;
use ttl_limits::TtlLimits;

/// The inventory: warehouses and their stock, reservations, and the audit log of all that moved.
///
/// A manager is a handle: cheap to clone, and shared between threads as it is. Every operation
/// takes `&self`. The last clone that is dropped ends the engine (see
/// [`shutdown`](Self::shutdown)).
///
/// Stock levels are named by warehouse and product, `("SF", "LAPTOP")`, or by a [`LevelHandle`],
/// which is resolved once ([`level`](Self::level), [`open_level`](Self::open_level)) and then costs
/// no hashing. Quantities are units, 1 to [`MAX_UNITS`](crate::MAX_UNITS); 0 is an error
/// everywhere.
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
/// assert_eq!(manager.available(("SF", "LAPTOP"))?, 3);
/// assert_eq!(manager.available(("NYC", "LAPTOP"))?, 4);
/// # Ok::<(), stockade::Error>(())
/// ```
///
/// [`LevelHandle`]: crate::LevelIndex
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

    /// An operation to come, with what the caller adds to it: a key, notes for the auditor, whom it
    /// is for.
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

impl Builder {
    /// Builds the engine and starts its threads: the audit writer, the sweeper, the alert dispatcher.
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

/// Why a reserve or a basket was refused, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// A level was short.
    Insufficient,
    /// All slots were in use.
    Full,
    /// The warehouse was suspended.
    Suspended,
    /// The engine took no calls.
    Unavailable,
}

/// How many causes [`Refusal`] has.
const REFUSALS: usize = 4;

/// Everything that a manager and its clones share.
#[derive(Debug)]
pub(crate) struct Engine {
    catalog: Arc<Catalog>,
    slots: Slots,
    keys: IdempotencyMap<Answer>,
    /// What a call does that meets another one with its key.
    on_duplicate: OnDuplicate,
    recorder: Arc<Recorder>,
    /// The audit writer, where no thread of its own runs it: in users' own tests.
    driven: Option<DrivenWriter>,
    dispatcher: AlertDispatcher,
    listeners: Listeners,
    clock: Time,
    randomness: Randomness,
    ttl_limits: TtlLimits,
    durabilities: Durabilities,
    /// Transfers that wait for approval.
    approvals: Approvals,
    sweeping: SweepControl,
    refusals: Counters<REFUSALS>,
    /// Held while a setting changes.
    changing: Mutex<()>,
    max_slots: u32,
    max_basket_lines: usize,
    /// The journal, if there is one.
    journal: Option<JournalLink>,
}

/// The engine's clock.
struct Time(Box<dyn Clock>);

impl std::fmt::Debug for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Time({})", self.0.now())
    }
}

impl Engine {
    #[inline]
    fn now(&self) -> Timestamp {
        self.clock.0.now()
    }
}
