//! Building an engine: its warehouses, its bounds, its clock and its sink.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::audit::entry::EventType;
use crate::audit::queue::Backpressure;
use crate::audit::record::Subject;
use crate::audit::recorder::{Recorder as AuditRecorder, Settings as AuditSettings};
use crate::audit::sink::AuditSink;
use crate::audit::writer::Writer;
use crate::clock::{Clock, SystemClock};
use crate::error::{BuildError, InvalidName, MAX_NAME_BYTES};
use crate::manager::InventoryManager;
use crate::manager::approvals::Approvals;
use crate::manager::due::Due;
use crate::manager::engine::{Engine, Time, alert_source};
use crate::manager::lifecycle::{Life, Threads};
use crate::manager::recorder::Recorder;
use crate::manager::settings::Settings;
use crate::manager::sweep::run_sweeper;
use crate::policy::alerts::{Listeners, Scope, StockAlertListener};
use crate::policy::approval::{ApprovalPolicy, ManualApproval};
use crate::policy::desk::AlertDesk;
use crate::quantity::MAX_UNITS;
use crate::reservation::id::Randomness;
use crate::reservation::keys::{KeyLimits, Keys, Patience};
use crate::reservation::magazines::Retention;
use crate::reservation::slots::Slots;
use crate::shard::Counters;
use crate::stock::catalog::Catalog;
use crate::stock::handle::WarehouseId;
use crate::stock::warehouse::Warehouse;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A warehouse to be: its name, and what it can hold.
///
/// ```
/// use stockade::{InventoryManager, WarehouseSpec};
/// let manager = InventoryManager::builder()
///     .warehouse(WarehouseSpec::new("SF").capacity(50_000).threshold(20))
///     .warehouse("NYC")
///     .build()?;
/// # Ok::<(), stockade::BuildError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct WarehouseSpec {
    name: String,
    capacity: u32,
    threshold: Option<u32>,
}

impl WarehouseSpec {
    /// A warehouse of the largest capacity, without a reorder threshold.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), capacity: MAX_UNITS, threshold: None }
    }

    /// How many units it can hold, 1 to [`MAX_UNITS`] (the default).
    pub fn capacity(mut self, units: u32) -> Self {
        self.capacity = units;
        self
    }

    /// At or under this many available units, less than [`MAX_UNITS`], a product is low, and an
    /// alert is raised.
    pub fn threshold(mut self, units: u32) -> Self {
        self.threshold = Some(units);
        self
    }
}

impl From<&str> for WarehouseSpec {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<String> for WarehouseSpec {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

/// Settings of an engine to be; see [`InventoryManager::builder`]. Only warehouses have to be given.
#[must_use = "nothing is built before `build` is called"]
pub struct Builder {
    warehouses: Vec<WarehouseSpec>,
    clock: Box<dyn Clock>,
    randomness: Randomness,
    longest_ttl: Duration,
    /// Where it was not set, as long as the longest time to live, and at least a day.
    longest_total: Option<Duration>,
    max_reservations: u32,
    max_basket_lines: usize,
    retention: Retention,
    keys: KeyLimits,
    queue_capacity: usize,
    backpressure: Backpressure,
    audit_retained: u64,
    sink: Option<Box<dyn AuditSink>>,
    overdue_limit: usize,
    approval_policy: Box<dyn ApprovalPolicy>,
    max_transfer_requests: usize,
    sweeper: bool,
    threads: bool,
    listeners: Vec<Arc<dyn StockAlertListener>>,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            warehouses: Vec::new(),
            clock: Box::new(SystemClock::new()),
            randomness: Randomness::Secure,
            longest_ttl: DAY,
            longest_total: None,
            max_reservations: 1 << 24,
            max_basket_lines: 10_000,
            retention: Retention { time: Duration::from_secs(60), records: 65_536 },
            keys: KeyLimits { lifetime: Duration::from_secs(3_600), count: 1_000_000 },
            queue_capacity: 65_536,
            backpressure: Backpressure::Wait,
            audit_retained: 1_000_000,
            sink: None,
            overdue_limit: 10_000,
            approval_policy: Box::new(ManualApproval),
            max_transfer_requests: 10_000,
            sweeper: true,
            threads: true,
            listeners: Vec::new(),
        }
    }

    /// Adds a warehouse: a name, or a [`WarehouseSpec`] with capacity and threshold. At least one is
    /// needed, and at most 65,535 are possible.
    pub fn warehouse(mut self, warehouse: impl Into<WarehouseSpec>) -> Self {
        self.warehouses.push(warehouse.into());
        self
    }

    /// The clock that stamps, and that decides what is overdue. Default: the system's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// The longest time to live that one reserve or one extension may ask for. Default: 24 hours.
    /// Can change later.
    pub fn longest_ttl(mut self, longest: Duration) -> Self {
        self.longest_ttl = longest;
        self
    }

    /// How long a hold may live in all, extensions included: a bound of `reserve` too. Default:
    /// 24 hours, or [`longest_ttl`](Self::longest_ttl) where that is longer.
    pub fn longest_total_hold(mut self, longest: Duration) -> Self {
        self.longest_total = Some(longest);
        self
    }

    /// The most lines of live reservations and kept records, 1 to 2^31. Default: 16,777,216. Memory
    /// is taken as they come to live, 64 to 70 bytes each; past the maximum a reserve is refused.
    pub fn max_reservations(mut self, slots: u32) -> Self {
        self.max_reservations = slots;
        self
    }

    /// The most distinct lines of one basket, 1 to 65,535. Default: 10,000.
    pub fn max_basket_lines(mut self, lines: usize) -> Self {
        self.max_basket_lines = lines;
        self
    }

    /// How long a finished reservation stays readable at least, while fewer than `records` are kept.
    /// Default: 60 seconds, 65,536 records.
    pub fn retention(mut self, time: Duration, records: usize) -> Self {
        self.retention = Retention { time, records };
        self
    }

    /// How long callers' own keys are remembered, and how many. Default: an hour, a million.
    pub fn key_retention(mut self, lifetime: Duration, count: usize) -> Self {
        self.keys = KeyLimits { lifetime, count };
        self
    }

    /// How many records the audit queue holds, 16 to 2^24. Default: 65,536.
    pub fn audit_queue(mut self, records: usize) -> Self {
        self.queue_capacity = records;
        self
    }

    /// What a call does while the audit queue is nearly full, or another call with the same key is
    /// under way: wait (the default), or be refused at once, for async callers.
    pub fn backpressure(mut self, backpressure: Backpressure) -> Self {
        self.backpressure = backpressure;
        self
    }

    /// How many of the newest entries the audit log keeps in memory. Default: a million.
    pub fn audit_retained(mut self, entries: u64) -> Self {
        self.audit_retained = entries;
        self
    }

    /// Also hands every audit entry to this sink, before it shows in the log.
    pub fn sink(mut self, sink: impl AuditSink) -> Self {
        self.sink = Some(Box::new(sink));
        self
    }

    /// How many overdue holds one call ends at most to have its units. Default: 10,000.
    pub fn overdue_limit(mut self, holds: usize) -> Self {
        self.overdue_limit = holds;
        self
    }

    /// Which requested transfers need nobody's approval. Default: [`ManualApproval`], none.
    ///
    /// ```
    /// use stockade::{ApproveBelow, InventoryManager};
    /// let manager = InventoryManager::builder()
    ///     .warehouse("SF")
    ///     .warehouse("NYC")
    ///     .approval_policy(ApproveBelow::new(100))
    ///     .build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 500, "SUPPLIER")?;
    /// manager.request_transfer("SF", "NYC", "LAPTOP", 99)?;
    /// manager.request_transfer("SF", "NYC", "LAPTOP", 100)?;
    /// assert_eq!(manager.available(("NYC", "LAPTOP")), 99);
    /// assert_eq!(manager.transfer_requests().len(), 1);
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn approval_policy(mut self, policy: impl ApprovalPolicy) -> Self {
        self.approval_policy = Box::new(policy);
        self
    }

    /// How many transfers may wait for approval at the same time. Default: 10,000.
    pub fn max_transfer_requests(mut self, requests: usize) -> Self {
        self.max_transfer_requests = requests;
        self
    }

    /// Whether a thread ends overdue holds in the background. Default: yes. Without it, they end
    /// when a call meets them or needs their units.
    pub fn sweeper(mut self, on: bool) -> Self {
        self.sweeper = on;
        self
    }

    /// A listener for the alerts of all warehouses; more can be registered at any time.
    pub fn listener(mut self, listener: impl StockAlertListener) -> Self {
        self.listeners.push(Arc::new(listener));
        self
    }

    /// Makes ids from a seed: the same calls give the same ids. For tests.
    #[cfg(feature = "testing")]
    pub fn seed(mut self, seed: u64) -> Self {
        self.randomness = Randomness::seeded(seed);
        self
    }

    /// Starts no threads: background work is done by
    /// [`run_until_idle`](InventoryManager::run_until_idle), so that a test decides when. A
    /// `flush` has the log written at once.
    #[cfg(feature = "testing")]
    pub fn without_threads(mut self) -> Self {
        self.threads = false;
        self
    }

    /// Builds the engine and starts its threads: the audit writer, the sweeper, the alert desk.
    ///
    /// # Errors
    /// [`BuildError`] names the setting that can't be, and what it takes.
    pub fn build(self) -> Result<InventoryManager, BuildError> {
        self.check()?;
        let longest_total = self.longest_total();
        let parallelism = thread::available_parallelism().map_or(1, usize::from);
        let born = self.clock.now();
        let spec = |(index, spec): (usize, &WarehouseSpec)| {
            let id = WarehouseId(index as u16);
            Warehouse::new(id, spec.name.as_str().into(), spec.capacity, spec.threshold)
        };
        let catalog =
            Arc::new(Catalog::new(self.warehouses.iter().enumerate().map(spec).collect()));
        let audit = AuditSettings {
            capacity: self.queue_capacity,
            backpressure: self.backpressure,
            retained: self.audit_retained,
            sink: self.sink,
            opened_at: born,
        };
        let (audit, writer) = AuditRecorder::open(audit, Arc::clone(&catalog) as _);
        let (recorder, writer) = recorder_for(audit, writer, self.threads);
        let sweeper = self.sweeper && self.threads;
        let engine = Arc::new(Engine {
            catalog,
            slots: Slots::new(self.max_reservations, parallelism, self.retention),
            keys: Keys::new(self.keys),
            patience: match self.backpressure {
                Backpressure::Wait => Patience::Wait,
                Backpressure::Refuse => Patience::Refuse,
            },
            recorder,
            desk: AlertDesk::new(),
            listeners: Listeners::new(),
            clock: Time(self.clock),
            randomness: self.randomness,
            settings: Settings::new(self.longest_ttl, longest_total),
            approvals: Approvals::new(self.approval_policy, self.max_transfer_requests),
            due: Due::new(self.overdue_limit, self.queue_capacity, sweeper),
            refusals: Counters::new(parallelism),
            changing: Mutex::new(()),
            max_slots: self.max_reservations,
            max_basket_lines: self.max_basket_lines,
        });
        for listener in self.listeners {
            engine.listeners.add(Scope::Everywhere, listener);
        }
        let mut threads = Threads::default();
        if let Some(writer) = writer {
            threads.writer = Some(writer.spawn().map_err(no_thread)?);
        }
        record_opening(&engine);
        if self.threads {
            engine.desk.start(alert_source(&engine)).map_err(no_thread)?;
        }
        if sweeper {
            let weak = Arc::downgrade(&engine);
            let named = thread::Builder::new().name("stockade-sweeper".to_owned());
            threads.sweeper = Some(named.spawn(move || run_sweeper(&weak)).map_err(no_thread)?);
        }
        let life = Life::new(Arc::clone(&engine), threads);
        Ok(InventoryManager::new(engine, life))
    }

    fn longest_total(&self) -> Duration {
        self.longest_total.unwrap_or(DAY.max(self.longest_ttl))
    }

    fn check(&self) -> Result<(), BuildError> {
        let count = self.warehouses.len();
        if !(1..=usize::from(u16::MAX)).contains(&count) {
            return Err(BuildError::Warehouses { warehouses: count });
        }
        let mut names = HashSet::new();
        for WarehouseSpec { name, capacity, threshold } in &self.warehouses {
            if !(1..=MAX_NAME_BYTES).contains(&name.len()) {
                return Err(InvalidName { bytes: name.len() }.into());
            }
            if !names.insert(name) {
                return Err(BuildError::Twice { warehouse: name.clone() });
            }
            if !(1..=MAX_UNITS).contains(capacity) {
                return Err(BuildError::Capacity { warehouse: name.clone(), units: *capacity });
            }
            check(
                threshold.is_none_or(|units| units < MAX_UNITS),
                "threshold",
                "less than 2^31-1 units",
            )?;
        }
        let millisecond = Duration::from_millis(1);
        check(self.longest_ttl >= millisecond, "longest_ttl", "at least a millisecond")?;
        check(self.longest_total() >= millisecond, "longest_total_hold", "at least a millisecond")?;
        check((1..=1 << 31).contains(&self.max_reservations), "max_reservations", "1 to 2^31")?;
        check((1..=65_535).contains(&self.max_basket_lines), "max_basket_lines", "1 to 65,535")?;
        check(self.keys.count > 0, "key_retention", "at least one key")?;
        check((16..=1 << 24).contains(&self.queue_capacity), "audit_queue", "16 to 2^24 records")?;
        check(self.max_transfer_requests > 0, "max_transfer_requests", "at least 1")?;
        check(self.overdue_limit > 0, "overdue_limit", "at least 1")
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("warehouses", &self.warehouses).finish_non_exhaustive()
    }
}

fn check(holds: bool, setting: &'static str, expected: &'static str) -> Result<(), BuildError> {
    if holds { Ok(()) } else { Err(BuildError::Setting { setting, expected }) }
}

#[cfg(feature = "testing")]
fn recorder_for(
    audit: Arc<AuditRecorder>,
    writer: Writer,
    threads: bool,
) -> (Recorder, Option<Writer>) {
    if threads {
        (Recorder::threaded(audit), Some(writer))
    } else {
        (Recorder::driven(audit, writer), None)
    }
}

#[cfg(not(feature = "testing"))]
fn recorder_for(
    audit: Arc<AuditRecorder>,
    writer: Writer,
    _threads: bool,
) -> (Recorder, Option<Writer>) {
    (Recorder::threaded(audit), Some(writer))
}

/// The first record: the engine's opening and its warehouses.
fn record_opening(engine: &Engine) {
    let now = engine.now();
    let events = std::iter::once(engine.recorder.event(EventType::Opened).about(Subject::None));
    let warehouses = engine.catalog.warehouses().iter().map(|warehouse| {
        let draft = engine.recorder.event(EventType::WarehouseDefined);
        let draft = draft.about(Subject::Warehouse(warehouse.id())).text("name", warehouse.name());
        draft.text("capacity", &warehouse.capacity().to_string())
    });
    for draft in events.chain(warehouses) {
        // Where there are more warehouses than places in the queue, this waits for the writer, or
        // does its work. It lives, so that queueing can't fail.
        let _ = engine.admit();
        let _ = draft.at(now).queue();
    }
}

fn no_thread(error: std::io::Error) -> BuildError {
    BuildError::Thread { reason: error.to_string() }
}
