//! Assembles an engine, in the same way for a new one and a recovered one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::audit::entry::EventType;
use crate::audit::queue::Backpressure;
use crate::audit::record::Subject;
use crate::audit::recorder::{Recorder, RecorderSettings};
use crate::audit::writer::Writer;
use crate::audit::writer_seat::WriterSeat;
use crate::base::clock::Timestamp;
use crate::base::counters::Counters;

use crate::base::error::BuildError;
use crate::base::shard::parallelism;
use crate::base::sync::Mutex;
use crate::base::threads;
use crate::base::wake::Wakers;
use crate::engine::clock_watch::ClockWatch;
use crate::engine::core::alert_source;
use crate::engine::lifecycle::{Life, Threads};
use crate::engine::opening::builder::Builder;
use crate::engine::opening::spec::{StandingSettings, WarehouseSpec};
use crate::engine::openings::Openings;
use crate::engine::sweeper::{SweepControl, run_sweeper};
use crate::engine::transfers::book::Approvals;
use crate::engine::ttl_limits::{TtlLimits, millis};
use crate::engine::{Engine, InventoryManager};
use crate::idempotency::{IdempotencyMap, OnDuplicate};
use crate::policy::alert_dispatcher::AlertDispatcher;
use crate::policy::alerts::{Listeners, Scope, StockAlertListener};
use crate::policy::rule_book::RuleBook;
use crate::policy::subject::SubjectHasher;
use crate::reservation::slots::Slots;
use crate::stock::catalog::Catalog;
use crate::stock::handle::WarehouseIndex;
use crate::stock::warehouse::Warehouse;

/// The parts that exist before the engine: the catalog, and the audit log with its writer. A
/// journal can still be attached to the writer.
pub(in crate::engine) struct Assembly {
    pub(in crate::engine) builder: Builder,
    catalog: Arc<Catalog>,
    pub(in crate::engine) recorder: Arc<Recorder>,
    pub(in crate::engine) writer: Writer,
}

impl Assembly {
    /// `log_since`: until it evicts entries, the log in memory is complete from this time on.
    pub(in crate::engine) fn new(mut builder: Builder, log_since: Timestamp) -> Self {
        let spec = |(index, spec): (usize, &WarehouseSpec)| {
            let id = WarehouseIndex(index as u16);
            let StandingSettings { capacity, threshold } = spec.in_force();
            Warehouse::new(id, spec.name.as_str().into(), capacity, threshold)
        };
        let warehouses = builder.warehouses.iter().enumerate().map(spec).collect();
        let catalog = Arc::new(Catalog::new(warehouses, builder.limits.ceilings));
        let settings = RecorderSettings {
            capacity: builder.limits.audit_queue,
            backpressure: builder.backpressure,
            retained: builder.limits.audit_retained,
            sink: builder.sink.take(),
            opened_at: log_since,
            wakers: Wakers::new(builder.threads),
        };
        let (recorder, writer) = Recorder::open(settings, Arc::clone(&catalog) as _);
        Self { builder, catalog, recorder, writer }
    }

    /// An engine with room for `room` slots. No other thread has it yet.
    pub(in crate::engine) fn engine(self, room: usize) -> NewEngine {
        let Self { builder, catalog, recorder, writer } = self;
        let (limits, parallelism) = (builder.limits, parallelism());
        let sweeper = builder.sweeper && builder.threads;
        let tag = catalog.tag();
        let slots = Slots::with_room(room, limits.max_reservations, parallelism, limits.retention);
        let indexes = builder.index_holders;
        let engine = Engine {
            catalog,
            slots: if indexes { slots.with_holder_index(parallelism) } else { slots },
            keys: Arc::new(IdempotencyMap::new(limits.keys)),
            on_duplicate: match builder.backpressure {
                Backpressure::Wait => OnDuplicate::Wait,
                Backpressure::Refuse => OnDuplicate::Refuse,
            },
            recorder,
            writer: Arc::new(WriterSeat::new(writer)),
            writer_has_thread: builder.threads,
            dispatcher: AlertDispatcher::new(),
            listeners: Listeners::new(tag),
            rules: RuleBook::new(),
            subjects: SubjectHasher::new(builder.subject_secret),
            clock: builder.clock,
            clock_watch: ClockWatch::default(),
            randomness: builder.randomness,
            ttl_limits: TtlLimits::new(limits.longest_ttl, limits.longest_total()),
            durabilities: builder.durabilities,
            approvals: Approvals::new(builder.approval_policy, limits.max_transfer_requests),
            sweeping: SweepControl::new(limits.overdue_limit, limits.audit_queue, sweeper),
            refusals: Counters::new(),
            changing: Mutex::new(()),
            max_slots: limits.max_reservations,
            max_basket_lines: limits.max_basket_lines,
            text_limits: limits.text,
            dated_ahead: Vec::new(),
            openings: Openings::default(),
            journal: None,
        };
        NewEngine {
            engine,
            warehouses: builder.warehouses,
            longest_ttl: limits.longest_ttl,
            listeners: builder.listeners,
            threads: builder.threads,
            sweeper,
        }
    }
}

/// An engine that has not started: it has no threads, and has recorded nothing.
pub(in crate::engine) struct NewEngine {
    pub(in crate::engine) engine: Engine,
    warehouses: Vec<WarehouseSpec>,
    pub(in crate::engine) longest_ttl: Duration,
    listeners: Vec<Arc<dyn StockAlertListener>>,
    pub(in crate::engine) threads: bool,
    sweeper: bool,
}

impl NewEngine {
    /// Starts the threads, records the opening, and then calls `record`.
    ///
    /// # Errors
    /// [`BuildError::Thread`] if the operating system gives no thread.
    pub(in crate::engine) fn start(
        self,
        record: impl FnOnce(&Engine),
    ) -> Result<InventoryManager, BuildError> {
        let engine = Arc::new(self.engine);
        for listener in self.listeners {
            engine.listeners.add(Scope::Everywhere, listener);
        }
        let mut running = Threads::default();
        let start = || {
            if self.threads {
                running.writer = Some(engine.writer.spawn().map_err(no_thread)?);
            }
            record_opening(&engine, &self.warehouses, self.longest_ttl);
            record(&engine);
            if self.threads {
                engine.dispatcher.start(alert_source(&engine)).map_err(no_thread)?;
            }
            if self.sweeper {
                let weak = Arc::downgrade(&engine);
                let sweeper = threads::spawn("stockade-sweeper", move || run_sweeper(&weak));
                running.sweeper = Some(sweeper.map_err(no_thread)?);
            }
            Ok(())
        };
        if let Err(error) = start() {
            // The threads that did start hold the journal's lock. Wait for them, so that the caller
            // who tries again does not find the journal open elsewhere.
            drop(running);
            engine.journal.iter().for_each(|it| it.wait_for_end(Instant::now() + GIVING_UP));
            return Err(error);
        }
        let life = Life::new(Arc::clone(&engine), running);
        Ok(InventoryManager::new(engine, life))
    }
}

/// How long the threads of an engine that could not be started may take to end.
const GIVING_UP: Duration = Duration::from_secs(5);

/// Queues the first records: the opening, and each warehouse that the journal does not know.
fn record_opening(engine: &Engine, warehouses: &[WarehouseSpec], longest_ttl: Duration) {
    let now = engine.now();
    let opened = engine.recorder.event(EventType::Opened).about(Subject::None);
    // From here on no call by level takes units of a kept reservation.
    let opened = opened.text("longest_ttl_ms", &millis(longest_ttl).to_string());
    let opened = opened.text("tracked", "1");
    let opened = match engine.subjects.check_value() {
        Some(check) => opened.text("subjects", &check.to_string()),
        None => opened,
    };
    let new = engine.catalog.warehouses().iter().zip(warehouses).filter(|(_, it)| !it.recorded);
    let warehouses = new.map(|(warehouse, spec)| {
        let record = engine.recorder.event(EventType::WarehouseDefined);
        let record =
            record.about(Subject::Warehouse(warehouse.index())).text("name", warehouse.name());
        let threshold = spec.threshold.map_or_else(|| "none".to_owned(), |it| it.to_string());
        // The builder's values, not those in force: only a new value of the builder's undoes what a
        // call has changed.
        record.text("capacity", &spec.capacity.to_string()).text("threshold", &threshold)
    });
    for record in std::iter::once(opened).chain(warehouses) {
        // There may be more warehouses than places in the queue. Then this waits for the writer, or
        // does its work. The writer is alive here, so queueing cannot fail.
        let _ = engine.admit();
        let _ = record.at(now).queue();
    }
}

/// The error for a thread that the operating system refused.
pub(in crate::engine) fn no_thread(error: std::io::Error) -> BuildError {
    BuildError::Thread { reason: error.to_string() }
}
