//! Building an engine: its warehouses, its bounds, its clock and its sink.

use std::collections::HashSet;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::audit::entry::EventType;
use crate::audit::queue::Backpressure;
use crate::audit::record::Subject;
use crate::audit::recorder::{Recorder, Settings as AuditSettings};
use crate::audit::sink::AuditSink;
use crate::audit::writer::Writer;
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::engine::core::alert_source;
use crate::engine::durability::Durabilities;
use crate::engine::journal::{Journal, JournalOptions};
use crate::engine::lifecycle::{Life, Threads};
use crate::engine::recording::DrivenWriter;
use crate::engine::recover;
use crate::engine::spec::WarehouseSpec;
use crate::engine::sweeper::{SweepControl, run_sweeper};
use crate::engine::transfers::book::Approvals;
use crate::engine::ttl_limits::{TtlLimits, millis};
use crate::engine::{Engine, InventoryManager, Time};
use crate::error::{BuildError, InvalidName, MAX_NAME_BYTES};
use crate::policy::alerts::{Listeners, Scope, StockAlertListener};
use crate::policy::approval::{ApprovalPolicy, ManualApproval};
use crate::policy::desk::AlertDesk;
use crate::quantity::MAX_UNITS;
use crate::reservation::id::Randomness;
use crate::reservation::keys::{KeyLimits, Keys, OnDuplicate};
use crate::reservation::magazines::Retention;
use crate::reservation::slots::Slots;
use crate::shard::{Counters, parallelism};
use crate::stock::catalog::Catalog;
use crate::stock::handle::WarehouseId;
use crate::stock::warehouse::Warehouse;
use crate::sync::Mutex;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

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
    pub(super) journal: JournalOptions,
    pub(super) durabilities: Durabilities,
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
            journal: JournalOptions::default(),
            durabilities: Durabilities::default(),
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
    pub fn build(mut self) -> Result<InventoryManager, BuildError> {
        self.check()?;
        let options = std::mem::take(&mut self.journal);
        let journal = Journal::open(options, self.keys.count, self.audit_retained)?;
        let mut room = self.max_reservations as usize;
        if let Some(journal) = &journal {
            let ledger = journal.ledger();
            recover::check_sizes(ledger, self.max_reservations)?;
            self.warehouses = recover::warehouses(ledger, self.warehouses)?;
            room = room.max(recover::slots_needed(ledger));
        }
        let longest_total = self.longest_total();
        let parallelism = parallelism();
        let born = self.clock.now();
        let spec = |(index, spec): (usize, &WarehouseSpec)| {
            let id = WarehouseId(index as u16);
            let threshold = spec.standing.unwrap_or(spec.threshold);
            Warehouse::new(id, spec.name.as_str().into(), spec.capacity, threshold)
        };
        let catalog =
            Arc::new(Catalog::new(self.warehouses.iter().enumerate().map(spec).collect()));
        let audit = AuditSettings {
            capacity: self.queue_capacity,
            backpressure: self.backpressure,
            retained: self.audit_retained,
            sink: self.sink,
            // A journal's log reaches back as far as it says.
            opened_at: if journal.is_some() { Timestamp::default() } else { born },
        };
        let (recorder, mut writer) = Recorder::open(audit, Arc::clone(&catalog) as _);
        let found = match journal {
            Some(journal) => Some(journal.go_on(&recorder, &mut writer, born, &self.randomness)?),
            None => None,
        };
        let (writer, driven) = writer_for(writer, self.threads);
        let sweeper = self.sweeper && self.threads;
        let mut engine = Engine {
            catalog,
            slots: Slots::with_room(room, self.max_reservations, parallelism, self.retention),
            keys: Keys::new(self.keys),
            on_duplicate: match self.backpressure {
                Backpressure::Wait => OnDuplicate::Wait,
                Backpressure::Refuse => OnDuplicate::Refuse,
            },
            recorder,
            driven,
            desk: AlertDesk::new(),
            listeners: Listeners::new(),
            clock: Time(self.clock),
            randomness: self.randomness,
            ttl_limits: TtlLimits::new(self.longest_ttl, longest_total),
            durabilities: self.durabilities,
            approvals: Approvals::new(self.approval_policy, self.max_transfer_requests),
            sweeping: SweepControl::new(self.overdue_limit, self.queue_capacity, sweeper),
            refusals: Counters::new(parallelism),
            changing: Mutex::new(()),
            max_slots: self.max_reservations,
            max_basket_lines: self.max_basket_lines,
            journal: None,
        };
        let mut given_grace = Vec::new();
        if let Some((ledger, mut link)) = found {
            given_grace = engine.restore(&ledger, self.longest_ttl, &mut link)?;
            engine.alert_what_is_low(&ledger);
            link.audit(ledger, self.threads).map_err(no_thread)?;
            engine.journal = Some(link);
        }
        let engine = Arc::new(engine);
        for listener in self.listeners {
            engine.listeners.add(Scope::Everywhere, listener);
        }
        let mut threads = Threads::default();
        if let Some(writer) = writer {
            threads.writer = Some(writer.spawn().map_err(no_thread)?);
        }
        record_opening(&engine, &self.warehouses, self.longest_ttl);
        engine.record_grace(&given_grace);
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
        for WarehouseSpec { name, capacity, threshold, .. } in &self.warehouses {
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
        check(self.overdue_limit > 0, "overdue_limit", "at least 1")?;
        let has_checkpoints = self.journal.auditor && self.journal.checkpoint_every.is_some();
        let trims = self.journal.retention.trims();
        check(!trims || has_checkpoints, "journal_retention", "the auditor and its checkpoints")
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

/// The writer for a thread of its own; or the one that callers drive.
#[cfg(feature = "testing")]
fn writer_for(writer: Writer, threads: bool) -> (Option<Writer>, Option<DrivenWriter>) {
    if threads { (Some(writer), None) } else { (None, Some(DrivenWriter::new(writer))) }
}

#[cfg(not(feature = "testing"))]
fn writer_for(writer: Writer, _threads: bool) -> (Option<Writer>, Option<DrivenWriter>) {
    (Some(writer), None)
}

/// The first records: the engine's opening and its warehouses, unless the journal knows them.
fn record_opening(engine: &Engine, warehouses: &[WarehouseSpec], longest_ttl: Duration) {
    let now = engine.now();
    let opened = engine.recorder.event(EventType::Opened).about(Subject::None);
    let opened = opened.text("longest_ttl_ms", &millis(longest_ttl).to_string());
    let new = engine.catalog.warehouses().iter().zip(warehouses).filter(|(_, it)| !it.recorded);
    let warehouses = new.map(|(warehouse, spec)| {
        let draft = engine.recorder.event(EventType::WarehouseDefined);
        let draft = draft.about(Subject::Warehouse(warehouse.id())).text("name", warehouse.name());
        let threshold = spec.threshold.map_or_else(|| "none".to_owned(), |it| it.to_string());
        draft.text("capacity", &warehouse.capacity().to_string()).text("threshold", &threshold)
    });
    for draft in std::iter::once(opened).chain(warehouses) {
        // Where there are more warehouses than places in the queue, this waits for the writer, or
        // does its work. It lives, so that queueing can't fail.
        let _ = engine.admit();
        let _ = draft.at(now).queue();
    }
}

fn no_thread(error: std::io::Error) -> BuildError {
    BuildError::Thread { reason: error.to_string() }
}
