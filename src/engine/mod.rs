//! Floor 6, the engine: all public operations, one file for each kind.
//!
//! An operation that takes a caller's options is a method of [`Call`]. What an operation needs of
//! the engine, and what takes no options, is a method of [`Engine`].

mod allowances;
mod answer;
mod call;
mod clock_watch;
mod commits;
mod core;
mod durability;
#[cfg(feature = "journal")]
mod file_work;
mod hold_options;
#[cfg(feature = "journal")]
mod journal;
#[cfg(feature = "journal")]
mod kept;
mod lifecycle;
mod limit_options;
mod listeners;
mod maintenance;
#[cfg(not(feature = "journal"))]
mod no_journal;
mod opening;
mod openings;
mod ops;
mod place;
#[cfg(feature = "journal")]
mod prefetch;
#[cfg(feature = "journal")]
mod prefetched;
mod recording;
mod request;
mod request_options;
mod request_shape;
mod sweeper;
#[cfg(feature = "testing")]
mod testing;
#[cfg(all(test, feature = "journal", feature = "testing", not(loom)))]
mod tests;
mod transfer_request;
mod transfers;
mod ttl_limits;
mod view;
mod when_durable;

use std::sync::{Arc, Weak};

use crate::audit::recorder::Recorder;
use crate::audit::writer_seat::WriterSeat;
use crate::base::clock::{Clock, ClockApart, SystemClock, Timestamp};
use crate::base::counters::Counters;
use crate::base::foreign;
use crate::base::sync::Mutex;
use crate::base::text_limits::TextLimits;
use crate::idempotency::{IdempotencyMap, OnDuplicate};
use crate::policy::alert_dispatcher::AlertDispatcher;
use crate::policy::alerts::Listeners;
use crate::policy::rule_book::RuleBook;
use crate::policy::subject::SubjectHasher;
use crate::reservation::id::Randomness;
use crate::reservation::slots::Slots;
use crate::stock::catalog::Catalog;

pub use allowances::look::LimitUsage;
pub use answer::{ConfirmOrRetake, KeyAnswer, Release};
pub use durability::{Durability, OperationKind};
#[cfg(feature = "journal")]
pub use journal::RecoveryReport;
pub use lifecycle::Shutdown;
#[cfg(feature = "journal")]
pub use maintenance::consumers::{Consumer, ConsumerStatus, Undone};
pub use opening::builder::Builder;
#[cfg(feature = "serde")]
pub use opening::config::{Config, limits::LimitsConfig};
#[cfg(all(feature = "serde", feature = "journal"))]
pub use opening::config::{
    journal::JournalConfig,
    retention::{OldSegmentsConfig, RetentionConfig},
};
pub use opening::limits::{Limits, WhenFull};
pub use opening::spec::WarehouseSpec;
pub use ops::release_holds::ReleasedHolds;
pub use place::{BasketLine, LevelRef, ProductRef, WarehouseRef};
#[cfg(feature = "journal")]
pub use prefetch::Prefetch;
pub use request::{HoldRequest, Request, SaleRequest, TransferRequestBuilder};
pub use request_options::KeyLookup;
pub use transfer_request::{
    TransferDecision, TransferRequest, TransferRequestId, TransferRequestStatus,
};
#[cfg(feature = "metrics")]
pub use view::metrics::describe_metrics;
pub use view::queries::{ReservationCursor, ReservationPage, WarehouseLevel};
pub use view::snapshot::{LevelSnapshot, Totals};
pub use view::stats::{Health, JournalFigures, OutcomeFigures, Refusals, Stats};
#[cfg(feature = "journal")]
pub use view::verify::{BrokenAllowance, BrokenLevel, LiveVerifyReport};
pub use when_durable::WhenDurable;

#[cfg(not(feature = "journal"))]
use no_journal as journal;

use answer::AnswerBytes;
use call::Call;
use clock_watch::ClockWatch;
use durability::Durabilities;
use journal::JournalLink;
use lifecycle::Life;
use openings::Openings;
use sweeper::SweepControl;
use transfers::book::Approvals;
use ttl_limits::TtlLimits;

/// The inventory: warehouses and their stock, reservations, and the audit log of every movement.
///
/// A manager is a handle on a shared engine. It is cheap to clone, and threads can share it without
/// a lock. Every operation takes `&self`. Dropping the last clone ends the engine (see
/// [`shutdown`](Self::shutdown)).
///
/// A stock level is named by its warehouse and product, `("SF", "LAPTOP")`, or by a
/// [`LevelHandle`]. A handle is resolved once ([`level`](Self::level),
/// [`open_level`](Self::open_level)); after that, a call with it hashes no names. Quantities are
/// units, from 1 to [`MAX_UNITS`](crate::MAX_UNITS). An operation refuses a quantity of 0.
///
/// # Errors
/// An error means that the operation moved nothing, unless it is [`Uncertain`](crate::Uncertain):
/// then the operation took effect in memory, and it is open whether its record survives. Give a
/// call that you may retry an [idempotency key](Request::key): after an uncertain error, a retry
/// without a key would move the units twice. A refused call may have expired overdue holds.
///
/// # Waiting
/// An operation that moves units or ends a hold can wait for:
///
/// - Room in the audit queue, if it is three quarters full and the engine is set to
///   [`Backpressure::Wait`](crate::Backpressure::Wait). The wait ends when the audit writer has
///   caught up, the engine is shut down, or the sink fails. With
///   [`Backpressure::Refuse`](crate::Backpressure::Refuse), the call returns a `Busy` error
///   instead.
/// - The disk, if the call's [`Durability`] is [`Synced`](Durability::Synced). Callers who wait at
///   the same time share one sync (group commit), which one of them makes.
/// - Another call with the same idempotency key, until it has an answer.
/// - A read of the disk, on an engine with a journal: for an idempotency key that memory does not
///   know, which is an older one, or one in ten thousand new ones; and in `confirm`, `release`,
///   `extend`, their partial steps and `confirm_or_retake`, if the reservation's record is gone.
///   [`Request::key_lookup`] forbids it. In async code, `Request::prefetch` has a thread of the
///   engine's read before.
/// - The audit writer, in [`confirm_or_retake`](Self::confirm_or_retake), if the hold's record is
///   gone.
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
/// [`LevelHandle`]: crate::LevelHandle
#[derive(Clone, Debug)]
pub struct InventoryManager {
    // Declared first, so dropped first: ending the engine needs the engine.
    life: Arc<Life>,
    engine: Arc<Engine>,
}

impl InventoryManager {
    /// Starts to configure an engine. Its warehouses are fixed when it is built. Products can be
    /// added at any time.
    pub fn builder() -> Builder {
        Builder::new()
    }

    fn new(engine: Arc<Engine>, life: Life) -> Self {
        Self { life: Arc::new(life), engine }
    }

    /// Makes a request: an operation to which the caller can add an idempotency key, notes, a
    /// durability, or an owner.
    #[inline]
    pub fn request(&self) -> Request<'_> {
        Request::new(&self.engine)
    }

    /// A call without options.
    #[inline]
    fn call(&self) -> Call<'_> {
        Call::plain(&self.engine)
    }

    /// Returns a handle that does not keep the engine alive. Use it in listeners: the engine owns
    /// them, so a listener with a strong handle would keep the engine alive for ever.
    pub fn downgrade(&self) -> WeakInventoryManager {
        WeakInventoryManager {
            life: Arc::downgrade(&self.life),
            engine: Arc::downgrade(&self.engine),
        }
    }
}

/// A handle to an engine that does not keep the engine alive.
#[derive(Clone, Debug)]
pub struct WeakInventoryManager {
    life: Weak<Life>,
    engine: Weak<Engine>,
}

impl WeakInventoryManager {
    /// Returns the manager, or `None` if its last clone has been dropped.
    pub fn upgrade(&self) -> Option<InventoryManager> {
        Some(InventoryManager { life: self.life.upgrade()?, engine: self.engine.upgrade()? })
    }
}

/// The cause of a refused reserve or basket, for the statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// A level had too few units.
    Insufficient,
    /// All slots were in use.
    Full,
    /// The warehouse was suspended.
    Suspended,
    /// The engine took no calls.
    Unavailable,
    /// A limit per subject refused it.
    Limited,
}

/// The number of causes in [`Refusal`].
const REFUSALS: usize = 5;

/// The state that a manager and its clones share.
#[derive(Debug)]
pub(crate) struct Engine {
    catalog: Arc<Catalog>,
    slots: Slots,
    keys: Arc<IdempotencyMap<AnswerBytes>>,
    /// What a call does if another call under the same key is in progress.
    on_duplicate: OnDuplicate,
    recorder: Arc<Recorder>,
    writer: Arc<WriterSeat>,
    /// False in tests of users' services, where callers drive the writer.
    writer_has_thread: bool,
    dispatcher: AlertDispatcher,
    listeners: Listeners,
    /// The limits per subject.
    rules: RuleBook,
    subjects: SubjectHasher,
    clock: Time,
    clock_watch: ClockWatch,
    randomness: Randomness,
    ttl_limits: TtlLimits,
    durabilities: Durabilities,
    /// Transfer requests that wait for a decision.
    approvals: Approvals,
    sweeping: SweepControl,
    refusals: Counters<REFUSALS>,
    /// Locked while a setting changes.
    changing: Mutex<()>,
    max_slots: u32,
    max_basket_lines: usize,
    text_limits: TextLimits,
    /// Times after the opening in which earlier runs made ids, under a clock that was ahead: the
    /// first and the last of each run. In between, an id may be older than it says.
    dated_ahead: Vec<(Timestamp, Timestamp)>,
    openings: Openings,
    /// The journal, if the engine has one.
    journal: Option<JournalLink>,
}

/// The clock that the engine was built with. The machine's own, which most have, is read without a
/// virtual call.
enum Time {
    System(SystemClock),
    Given(Box<dyn Clock>),
}

impl Time {
    #[inline(always)]
    fn now(&self) -> Timestamp {
        match self {
            Self::System(clock) => clock.now(),
            Self::Given(clock) => clock.now(),
        }
    }

    fn apart_from_wall_clock(&self) -> Option<ClockApart> {
        match self {
            Self::System(clock) => clock.apart_from_wall_clock(),
            Self::Given(clock) => clock.apart_from_wall_clock(),
        }
    }
}

impl std::fmt::Debug for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Time({})", self.now())
    }
}

impl Engine {
    #[inline(always)]
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// As [`now`](Self::now), for a step that must not end half-way: if the clock panics there, it
    /// is `earlier`, the call's own reading.
    #[cold]
    #[inline(never)]
    fn now_or(&self, earlier: Timestamp) -> Timestamp {
        foreign::call(|| self.now()).unwrap_or(earlier)
    }
}
