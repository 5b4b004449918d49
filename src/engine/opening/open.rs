//! Opens an engine on its journal: recovery, from the first byte to the first sale.
//!
//! ```text
//!  1 lock          no other process can write the journal
//!  2 layout        the segments of the journal, found by their headers
//!  3 checkpoint    the state from which the replay begins
//!  4 replay        the entries behind it, with every law checked
//!  5 check         the engine to be built can take over this state
//!  6 resume        a new segment, with the batches that may not have been durable; then torn
//!                  tails are cut
//!  7 restore       levels, holds, keys, transfer requests; overdue holds get a grace period
//!  8 audit         the auditor takes over the ledger
//!  9 first records a step back of the clock, the opening, new warehouses, the grace periods
//! ```

use std::any::Any;
use std::mem;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crate::audit::recorder::Recorder;
use crate::base::clock::Timestamp;
use crate::base::error::{BuildError, JournalError};
use crate::base::sync::{AtomicUsize, Mutex};
use crate::base::trace;
use crate::engine::InventoryManager;
use crate::engine::file_work::FileWork;
use crate::engine::journal::{BorneStep, JournalLink, JournalOptions, RecoveryReport};
use crate::engine::kept::KeptOutcomes;
use crate::engine::opening::assembly::{Assembly, no_thread};
use crate::engine::opening::builder::Builder;
use crate::engine::opening::limits::check;
use crate::engine::opening::restore::{self, Restoring};
use crate::engine::opening::restore_limits::check_secret;
use crate::engine::openings::Openings;
use crate::journal::follow::auditor::{Auditing, Auditor};
use crate::journal::follow::outcome_upkeep::OutcomeUpkeep;
use crate::journal::follow::thread::FollowerThread;
use crate::journal::format::segment::Point;
use crate::journal::group_commit::{SyncFailure, SyncState};
use crate::journal::layout::{JournalDir, Layout, checkpoint_file, failed, lock::take_lock};
use crate::journal::ledger::clock::ClockStep;
use crate::journal::ledger::{Ledger, UnsettledKeys};
use crate::journal::maintenance::checkpoints::{
    CheckpointOptions, CheckpointSchedule, JournalMaintenance,
};
use crate::journal::outcomes::collector::OutcomeCollector;
use crate::journal::outcomes::record::JournalTime;
use crate::journal::outcomes::store::{OutcomeLimits, Outcomes};
use crate::journal::recovery::start::RecoveryStart;
use crate::journal::recovery::{ReplayedJournal, replay_from, start};
use crate::journal::storage::Storage;
use crate::journal::storage::archived::WithArchive;
use crate::journal::storage::place::{self, JournalPlace};
use crate::journal::writer::{JournalWriter, ResumePoint};

#[cfg_attr(docsrs, doc(cfg(feature = "journal")))]
impl Builder {
    /// Keeps a journal, and resumes the one that exists: the engine is in the state in which the
    /// journal ended. Takes a directory, which is created if it does not exist; a
    /// [`Storage`](crate::Storage); or [`JournalOptions`]. While the engine lives, a second process
    /// cannot open the same journal for writing: its `build` returns an error.
    ///
    /// Warehouses keep the indexes that they got at the journal's first opening; new ones follow.
    /// `build` refuses a journal with a warehouse that the builder lacks. A value set here applies
    /// if it differs from what the builder set at the previous opening. Otherwise a change made at
    /// run time stays in force.
    ///
    /// ```
    /// # let directory = std::env::temp_dir().join(format!("stockade-doc-{}", std::process::id()));
    /// use stockade::InventoryManager;
    /// let open = || InventoryManager::builder().warehouse("SF").journal(&directory).build();
    /// let manager = open()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// drop(manager);
    ///
    /// assert_eq!(open()?.available(("SF", "LAPTOP"))?, 10);
    /// # std::fs::remove_dir_all(&directory)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn journal(mut self, journal: impl Into<JournalOptions>) -> Self {
        self.journal = Some(journal.into());
        self
    }
}

/// The right to write the journal. The journal stays locked until the last clone is dropped.
type JournalLock = Arc<dyn Any + Send + Sync>;

/// Builds the engine from the journal, in the nine steps of the module's docs.
pub(in crate::engine) fn open(
    mut builder: Builder,
    mut options: JournalOptions,
) -> Result<InventoryManager, BuildError> {
    check_options(&options)?;
    options.prepare_storages();
    let (began, storage) = (Instant::now(), Arc::clone(&options.storage));
    let (keys, history) = (builder.limits.keys.count, builder.limits.audit_retained);
    let name = u128::from(builder.randomness.next()) << 64 | u128::from(builder.randomness.next());

    // 1. Lock.
    let lock = JournalLock::from(take_lock(&*storage, options.wait_for_lock)?);
    let place = JournalPlace::of(&*storage);
    if let Some(archive) = options.retention.archive_storage() {
        place::check_apart(&*storage, &*archive, "archive")?;
    }

    // 2. Layout.
    let mut dir = JournalDir::find(&*storage)?;

    // 3. Checkpoint: the newest one that still leaves enough entries behind it to fill the log in
    // memory.
    let archive = options.retention.archive_storage();
    let whole: Option<Arc<dyn Storage>> =
        archive.map(|archive| Arc::new(WithArchive::new(Arc::clone(&storage), archive)) as _);
    let outcomes = open_outcomes(&options, &dir, name)?;
    let covered = outcomes.as_ref().and_then(|outcomes| outcomes.covered_to());
    if outcomes.is_some() {
        let most_unsettled = builder.limits.most_unsettled;
        // An answer lives at least as long in memory as on the disk, where it is asked for only if
        // memory has none.
        let limits = &mut builder.limits.keys;
        limits.lifetime = limits.lifetime.max(options.keep_outcomes);
        limits.unsettled = Some(most_unsettled);
    }
    let mut begin = start::begin(&mut dir, keys, history, covered);
    if let (Err(_), Some(_), Some(whole)) = (&begin, dir.layout.trimmed, &whole) {
        // No checkpoint is usable: replay from the journal's first entry, which is in the archive.
        dir = JournalDir::find(&**whole)?;
        begin = start::begin(&mut dir, keys, history, covered);
    }
    let mut begin = begin?;
    let collector = outcomes.as_ref().map(|it| remember(it, &dir, &mut begin, covered));

    // 4. Replay.
    let progress = options.progress.as_mut().map(|tell| &mut **tell as _);
    let mut replayed = replay_from(&dir, begin, history, progress, collector)?;
    let mut report = RecoveryReport::of(&replayed);

    // 5. Check.
    let slots = restore::check_sizes(&replayed.ledger, &builder.limits)?;
    check_secret(&replayed.ledger, builder.subject_secret)?;
    builder.warehouses = restore::warehouses(&replayed.ledger, builder.warehouses)?;
    let room = slots.max(builder.limits.max_reservations as usize);

    // 6. Resume. The log in memory reaches back as far as the retained records.
    let now = builder.clock.now();
    let mut assembly = Assembly::new(builder, Timestamp::default());
    // An opening behind the newest entry: all that is pending keeps the time that it had left.
    let step = ClockStep::between(replayed.ledger.newest_at, now);
    fill_log(&assembly.recorder, &mut replayed, step);
    let mut ledger = mem::replace(&mut replayed.ledger, Ledger::new(0));
    // The record of this opening does the same.
    ledger.settle_what_left_by_level();
    let collector = replayed.collector.take();
    let resume_point = replayed.resume_point(Arc::clone(&lock), now, name);
    // The lock says it to people. It holds, whether that can be written or not.
    let _ = storage.sign_lock(resume_point.opening);
    let sync = resume(&mut assembly, &options, place, resume_point)?;

    // 7. Restore.
    let mut new = assembly.engine(room);
    let grace = options.recovery_grace;
    let restoring = Restoring { ledger: &ledger, step, longest_ttl: new.longest_ttl, grace };
    let graces = new.engine.restore(&restoring, &mut report)?;
    new.engine.dated_ahead = ledger.dated_ahead(now);
    let opening = report.openings + 1;
    new.engine.openings = Openings::new(opening, ledger.clock.spans(), now);
    let borne = BorneStep::of(&ledger, step, now);
    report.clock_step = borne.as_ref().map(|borne| borne.step);
    new.engine.alert_what_is_low(&ledger);
    ledger.forget_keys();

    // 8. Audit.
    let held = Arc::downgrade(&lock);
    let retention = options.retention.clone();
    let whole = whole.unwrap_or_else(|| Arc::clone(&storage));
    let upkeep = outcomes.map(|outcomes| {
        let settle = new.engine.settle_keys();
        let held = Arc::downgrade(&lock);
        let upkeep = OutcomeUpkeep::new(outcomes, whole, Arc::clone(&sync), held, settle);
        Arc::new(if new.threads { upkeep.threaded() } else { upkeep })
    });
    let opened = (now, JournalTime::from_millis(ledger.clock.time_of_opening(now)));
    let clock = ledger.clock.clone();
    let maintenance = JournalMaintenance::new(Arc::clone(&storage), opening, retention, lock);
    let checkpoints =
        options.checkpoint_every.map(|every| CheckpointOptions { every, keys, history });
    let auditor = (ledger, collector, upkeep.clone());
    let auditing = audit(&options, checkpoints, maintenance, auditor, &sync)?;
    let kept = upkeep.zip(auditing.clone()).map(|(upkeep, auditing)| {
        let progress = Arc::clone(&sync);
        Arc::new(KeptOutcomes { upkeep, auditing, progress, opened, clock })
    });
    if let Some(auditing) = auditing.as_ref().filter(|_| new.threads) {
        auditing.spawn().map_err(no_thread)?;
    }
    let network = storage.network_file_system();
    new.engine.journal = Some(JournalLink {
        storage,
        progress: sync,
        recovery_report: OnceLock::new(),
        opening,
        least_free_space: options.least_free_space,
        network,
        file_mode: options.file_mode,
        auditing,
        kept,
        thread: new.threads.then(FollowerThread::new),
        retention: options.retention,
        require_lineage: options.require_lineage,
        consumers: Mutex::new(()),
        files: FileWork::default(),
        storage_watch: options.watch,
        held,
        holders: AtomicUsize::new(0),
        clock_step: Mutex::new(borne),
    });
    if let Some(step) = step {
        let by = step.by();
        trace::warn(format_args!("the clock is {by:?} behind the journal's newest entry"));
        new.engine.record_step(step);
    }

    // 9. First records.
    let manager = new.start(|engine| engine.record_grace(&graces))?;
    report.took = began.elapsed();
    if let Some(journal) = &manager.engine.journal {
        // Nobody else sets it.
        let _ = journal.recovery_report.set(report);
    }
    Ok(manager)
}

/// The auditor trims the journal, after each of its checkpoints. So a retention that trims needs
/// both.
fn check_options(options: &JournalOptions) -> Result<(), BuildError> {
    let has_checkpoints = options.auditor && options.checkpoint_every.is_some();
    let expected = "the auditor and its checkpoints";
    check(!options.retention.trims() || has_checkpoints, "journal_retention", expected)
}

/// Opens the outcome files. Without the auditor there are none, because nobody feeds them.
fn open_outcomes(
    options: &JournalOptions,
    dir: &JournalDir<'_>,
    name: u128,
) -> Result<Option<Arc<Outcomes>>, JournalError> {
    if options.keep_outcomes.is_zero() || !options.auditor {
        return Ok(None);
    }
    let limits = OutcomeLimits { keep: options.keep_outcomes, memory: options.outcome_memory };
    let head = dir.layout.head().map(|head| head.header);
    let journal = head.map_or(name, |head| head.journal);
    let opening = head.map_or(0, |head| head.opening) + 1;
    let storage = Arc::clone(&options.storage);
    Outcomes::open(storage, &dir.layout, (journal, opening), limits).map(|it| Some(Arc::new(it)))
}

/// Decides from where on memory has all keys: from the end of the runs, or from the beginning of
/// the replay if that is later. Returns the collector for what the runs do not have.
fn remember(
    outcomes: &Outcomes,
    dir: &JournalDir<'_>,
    begin: &mut RecoveryStart,
    covered: Option<Point>,
) -> OutcomeCollector {
    let from = match covered {
        Some(end) if begin.at.batch <= end.batch => end,
        _ => {
            // A long journal without runs does not have to fit into memory: only its newest
            // segments do. The runs of the others are made in the background.
            let mut bytes = 0;
            let newest = dir.layout.path.iter().rev().take_while(|segment| {
                bytes += dir.storage.length(&segment.name).unwrap_or(0);
                bytes <= RECENT
            });
            let recent = newest.last().map_or(begin.at, |segment| segment.header.base);
            if recent.batch > begin.at.batch { recent } else { begin.at }
        }
    };
    outcomes.remember_from(from.batch);
    let settled = from.sequence;
    begin.ledger.unsettled = UnsettledKeys { settled, keys: 0, retakes: 0 };
    OutcomeCollector::new(outcomes.journal(), from.batch)
}

/// How many bytes of the newest segments of a journal without runs are gathered while it is
/// replayed.
const RECENT: u64 = 512 << 20;

/// Fills the log in memory with the newest replayed entries.
fn fill_log(audit: &Recorder, replayed: &mut ReplayedJournal, step: Option<ClockStep>) {
    let (first, mut records) = replayed.take_history();
    // Times that lay ahead of the clock say nothing about what is made from here on.
    let latest = step.map_or(replayed.ledger.newest_at, |step| step.to);
    let gone = replayed.history.latest_gone.map(|gone| gone.min(latest));
    audit.memory.resume(first, gone);
    audit.memory.append(&mut records, &audit.pool);
    audit.memory.settle(latest);
}

/// Attaches the journal to the audit writer. Returns once everything that was replayed is on the
/// disk.
fn resume(
    assembly: &mut Assembly,
    options: &JournalOptions,
    place: JournalPlace,
    from: ResumePoint,
) -> Result<Arc<SyncState>, JournalError> {
    let storage = &options.storage;
    let weak = Arc::downgrade(&assembly.recorder);
    let (interval, wakers) = (options.sync_interval, Arc::clone(&assembly.recorder.wakers));
    let sync = SyncState::new(Arc::clone(storage), place, interval, wakers, move |failure| {
        match (weak.upgrade(), failure) {
            (Some(recorder), SyncFailure::Begins(reason)) => recorder.gate().stop(reason),
            // Wake the writer. It finds the failure, and begins a new segment.
            (Some(recorder), SyncFailure::Known) => recorder.queue.wake_signal().wake(),
            (None, _) => {}
        }
    });
    let sync = Arc::new(sync);
    checkpoint_file::remove_unfinished(&**storage)?;
    let (storage, bytes) = (Arc::clone(storage), options.segment_bytes);
    let journal = JournalWriter::open(storage, Arc::clone(&sync), bytes, from);
    let journal = journal.map_err(|error| failed("begin", "a new segment", &error))?;
    assembly.writer.attach(Box::new(journal));
    Ok(sync)
}

/// Hands the ledger to an auditor; `None` if the auditor is switched off.
fn audit(
    options: &JournalOptions,
    checkpoints: Option<CheckpointOptions>,
    maintenance: JournalMaintenance,
    (ledger, mut collector, upkeep): (Ledger, Option<OutcomeCollector>, Option<Arc<OutcomeUpkeep>>),
    sync: &Arc<SyncState>,
) -> Result<Option<Arc<Auditing>>, JournalError> {
    if !options.auditor {
        return Ok(None);
    }
    // Everything that was replayed is durable by now, and the journal ends here.
    let at = sync.durable_point();
    if let Some(collector) = &mut collector
        && let Some(head) = Layout::find_back_to(&*options.storage, |_| true)?.head()
    {
        // The segment that this opening has begun. What it continues from is finished.
        collector.enter(&head.header, &at);
    }
    let schedule = checkpoints.map(|it| CheckpointSchedule::new(&*options.storage, it, at));
    let schedule = schedule.transpose()?;
    let maintenance = (schedule.is_some() || upkeep.is_some()).then_some(maintenance);
    let auditor = Auditor::new(Arc::clone(&options.storage), ledger, at)
        .scheduled(schedule)
        .collecting(collector);
    if let (Some(upkeep), Some(collector)) = (&upkeep, &auditor.collector) {
        upkeep.note_gathered(collector);
        upkeep.wake();
    }
    Ok(Some(Auditing::new(auditor, Arc::clone(sync), maintenance, upkeep)))
}
