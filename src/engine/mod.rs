//! Floor 5, the engine: every public operation, one file for each kind.
//!
//! An operation is a method of [`Call`]: what a caller asked for, with what it added to it. What an
//! operation needs of the engine, and callers add nothing to, is a method of [`Engine`].

mod answer;
mod builder;
mod call;
mod commits;
mod copies;
mod core;
mod durability;
mod durable;
mod journal;
mod lifecycle;
mod listeners;
mod ops;
mod place;
mod queries;
mod recording;
mod recover;
mod redact;
mod request;
mod spec;
mod sweeper;
#[cfg(feature = "testing")]
mod testing;
#[cfg(all(test, not(loom)))]
mod tests;
mod transfer_request;
mod transfers;
mod ttl_limits;
mod verify;
mod view;

use std::sync::{Arc, Weak};

use crate::audit::recorder::Recorder;
use crate::clock::{Clock, Timestamp};
use crate::policy::alerts::Listeners;
use crate::policy::desk::AlertDesk;
use crate::reservation::id::Randomness;
use crate::reservation::keys::{Keys, OnDuplicate};
use crate::reservation::slots::Slots;
use crate::shard::Counters;
use crate::stock::catalog::Catalog;
use crate::sync::Mutex;

pub use answer::{ConfirmOrRetake, Release};
pub use builder::Builder;
pub use durability::{Durability, OperationKind};
pub use durable::Durably;
pub use journal::Recovered;
pub use lifecycle::Shutdown;
pub use place::{BasketLine, LevelRef, ProductRef, WarehouseRef};
pub use queries::{ReservationCursor, ReservationPage, WarehouseLevel};
pub use request::{HoldRequest, Request, TransferRequestBuilder};
pub use spec::WarehouseSpec;
pub use transfer_request::{
    TransferDecision, TransferRequest, TransferRequestId, TransferRequestStatus,
};
pub use verify::{BrokenLevel, Comparison};
pub use view::snapshot::{LevelSnapshot, Totals};
pub use view::stats::{Health, Refusals, Stats};

use answer::Answer;
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
    keys: Keys<Answer>,
    /// What a call does that meets another one with its key.
    on_duplicate: OnDuplicate,
    recorder: Arc<Recorder>,
    /// The audit writer, where no thread of its own runs it: in users' own tests.
    driven: Option<DrivenWriter>,
    desk: AlertDesk,
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
