//! The auditor: a thread that follows the journal, replays it into a second ledger, and checks
//! every entry against the laws, in production too. It reads only what is on the disk, so no
//! sale waits for it.

use std::collections::BTreeSet;
use std::io;
use std::ops::ControlFlow;
use std::sync::{Arc, TryLockError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::base::error::JournalError;
use crate::base::foreign::{self, put_aside};
use crate::base::sync::{AtomicBool, Mutex, lock};
use crate::base::threads;
use crate::base::trace;
use crate::journal::follow::follower::Follower;
use crate::journal::follow::outcome_upkeep::OutcomeUpkeep;
use crate::journal::format::segment::Point;
use crate::journal::group_commit::{Reached, SyncState};
use crate::journal::layout::failed;
use crate::journal::ledger::Ledger;
use crate::journal::maintenance::checkpoints::{
    CheckpointSchedule, JournalMaintenance, PendingCheckpoint, TrimPause,
};
use crate::journal::outcomes::collector::OutcomeCollector;
use crate::journal::outcomes::mark::OutcomeMark;
use crate::journal::outcomes::record::{Kept, OutcomeRecord};
use crate::journal::recovery::replay::{broken, decode_batch};
use crate::journal::storage::Storage;

/// How long the thread naps between two rounds. Each round reads what came meanwhile.
const NAP: Duration = Duration::from_millis(100);
/// If more entries than this are not yet audited, the auditor reports that it is behind.
const BEHIND: u64 = 10_000_000;
/// How long the end waits for a run that is being written.
const UPKEEP_END: Duration = Duration::from_millis(200);
/// The thread's niceness. Beside a busy thread of niceness 0, Linux gives it about a tenth of a
/// core.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;
/// How often the end of an engine polls whether the thread has ended.
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// Lowers the priority of the calling thread. That thread must not start a thread pool that others
/// use, because new threads inherit its priority.
fn give_way() {
    // Only Linux has a niceness for each thread; elsewhere it belongs to the process. If the call
    // is refused, the thread runs at normal priority.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(NICENESS);
}

/// A ledger that follows the journal.
pub(crate) struct Auditor {
    pub(super) follower: Follower,
    pub(crate) ledger: Ledger,
    /// The first lasting error. It stays, because a ledger that met a broken law is of no use any
    /// more.
    found: Option<JournalError>,
    /// When a checkpoint of the ledger is due; `None` if there are no checkpoints.
    schedule: Option<CheckpointSchedule>,
    pending: Option<PendingCheckpoint>,
    /// Gathers what the outcome files get; `None` if there are none.
    pub(crate) collector: Option<OutcomeCollector>,
    /// The erasure epoch: how often texts were erased in the ledger. A checkpoint that was captured
    /// under an older epoch may still hold erased text, so it is dropped.
    erasures: u64,
}

impl Auditor {
    /// Goes on from `at`, where the journal adds up to `ledger`.
    pub(crate) fn new(storage: Arc<dyn Storage>, ledger: Ledger, at: Point) -> Self {
        let follower = Follower::new(storage, at);
        let (schedule, pending, collector) = (None, None, None);
        Self { follower, ledger, found: None, schedule, pending, collector, erasures: 0 }
    }

    /// Adds a schedule for checkpoints of the ledger.
    pub(crate) fn scheduled(mut self, schedule: Option<CheckpointSchedule>) -> Self {
        self.schedule = schedule;
        self
    }

    /// Adds a collector for the outcome files, which has seen all before.
    pub(crate) fn collecting(mut self, collector: Option<OutcomeCollector>) -> Self {
        self.collector = collector;
        self
    }

    /// The end of what was audited.
    pub(crate) fn at(&self) -> Point {
        self.follower.at()
    }

    /// Applies the next batches, up to batch `last` at most. Returns `false` if there are none.
    ///
    /// # Errors
    /// A storage error, which may pass; a broken law or damage, which every later call returns
    /// again.
    pub(crate) fn step(&mut self, last: u64) -> Result<bool, JournalError> {
        if let Some(found) = &self.found {
            return Err(found.clone());
        }
        let stepped = self.try_step(last);
        if let Err(error) = &stepped
            && !error.is_retryable()
        {
            trace::error(format_args!("the auditor found that {error}"));
            self.found = Some(error.clone());
        }
        stepped
    }

    fn try_step(&mut self, last: u64) -> Result<bool, JournalError> {
        let end = self.follower.at();
        let Some(followed) = self.follower.next(last)? else { return Ok(false) };
        let header = &followed.part.header;
        // A checkpoint lies at the end of a segment, because there the outcome files end. So a
        // recovery that begins with it reads all that they do not have.
        if self.pending.is_none()
            && let Some(schedule) = &mut self.schedule
        {
            let at = Point { segment: header.number, ..end };
            self.pending = schedule.reached(&self.ledger, at, self.erasures);
        }
        if let Some(collector) = &mut self.collector {
            collector.enter(header, &end);
        }
        for found in &followed.part.batches {
            let _ = decode_batch(&followed.part, found, |decoded| {
                self.ledger.apply(&decoded).map_err(broken)?;
                if let Some(collector) = &mut self.collector {
                    collector.record(&self.ledger, &decoded, header.opening);
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        if let Some(schedule) = &mut self.schedule {
            schedule.read_to(self.follower.at());
        }
        Ok(true)
    }

    /// Applies everything up to batch `last`, which must be on the disk.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub(crate) fn catch_up(&mut self, last: u64) -> Result<(), JournalError> {
        while self.step(last)? {}
        Ok(())
    }
}

/// An auditor with a thread of its own. Other threads may drive it further, too.
pub(crate) struct Auditing {
    pub(super) auditor: Mutex<Auditor>,
    pub(super) progress: Arc<SyncState>,
    /// Writes checkpoints and trims; `None` once the journal's lock is released.
    maintenance: Mutex<Option<JournalMaintenance>>,
    /// Looks after the outcome files; `None` if there are none.
    pub(crate) upkeep: Option<Arc<OutcomeUpkeep>>,
    status: Mutex<AuditorStatus>,
    /// Somebody asked to look after the answers that wait, and that has not begun.
    pub(super) hurried: AtomicBool,
    /// How long the thread may go on after the journal's end.
    deadline: Mutex<Option<Instant>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What other threads may ask without waiting for the round under way.
#[derive(Default)]
struct AuditorStatus {
    /// The last entry that was audited.
    sequence: u64,
    found: Option<String>,
    /// Why the newest checkpoint or its trimming failed.
    neglected: Option<String>,
    /// Why the runs of finished segments are not installed.
    uninstalled: Option<String>,
}

impl Auditing {
    pub(crate) fn new(
        auditor: Auditor,
        progress: Arc<SyncState>,
        maintenance: Option<JournalMaintenance>,
        upkeep: Option<Arc<OutcomeUpkeep>>,
    ) -> Arc<Self> {
        let status = AuditorStatus { sequence: auditor.at().sequence, ..AuditorStatus::default() };
        Arc::new(Self {
            auditor: Mutex::new(auditor),
            progress,
            maintenance: Mutex::new(maintenance),
            upkeep,
            status: Mutex::new(status),
            hurried: AtomicBool::new(false),
            deadline: Mutex::new(None),
            thread: Mutex::new(None),
        })
    }

    /// Applies everything up to batch `last`, which must be on the disk, and shows the ledger to
    /// `look`. Waits for the thread's current step, reads the rest from the disk, and writes a
    /// checkpoint if one is due.
    ///
    /// # Errors
    /// As [`Auditor::step`].
    pub(crate) fn catch_up(
        &self,
        last: u64,
        look: &mut dyn FnMut(&Ledger),
    ) -> Result<Point, JournalError> {
        let _aside = put_aside();
        let (at, pending) = {
            let mut auditor = lock(&self.auditor);
            let caught_up = auditor.catch_up(last);
            self.update_status(&auditor);
            caught_up?;
            look(&auditor.ledger);
            (auditor.at(), auditor.pending.take())
        };
        self.maintain(pending);
        Ok(at)
    }

    /// Audits the next batches, and writes a checkpoint if one is due after them.
    fn step(&self, last: u64) -> Result<bool, JournalError> {
        let _aside = put_aside();
        let (stepped, pending) = {
            let mut auditor = lock(&self.auditor);
            let stepped = auditor.step(last);
            self.update_status(&auditor);
            (stepped, auditor.pending.take())
        };
        self.maintain(pending);
        stepped
    }

    /// Like [`catch_up`](Self::catch_up), but returns the due checkpoint, for
    /// [`maintain_late`](Self::maintain_late), instead of writing it.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn catch_up_only(&self, last: u64) -> Option<PendingCheckpoint> {
        let mut auditor = lock(&self.auditor);
        auditor.catch_up(last).expect("a sound journal");
        auditor.pending.take()
    }

    #[cfg(all(test, not(loom)))]
    pub(crate) fn maintain_late(&self, pending: Option<PendingCheckpoint>) {
        self.maintain(pending);
    }

    fn update_status(&self, auditor: &Auditor) {
        let mut status = lock(&self.status);
        status.sequence = auditor.at().sequence;
        status.found =
            auditor.found.as_ref().map(|found| format!("the auditor found that {found}"));
    }

    /// Installs the runs of finished segments, then writes the due checkpoint and trims. Does
    /// nothing once the journal's lock is released.
    pub(super) fn maintain(&self, pending: Option<PendingCheckpoint>) {
        let _aside = put_aside();
        let maintenance = lock(&self.maintenance);
        let Some(maintenance) = &*maintenance else { return };
        let installed = self.install_runs();
        lock(&self.status).uninstalled = installed.as_ref().err().map(ToString::to_string);
        if let Err(error) = installed {
            // What waits is tried again after the next step. A checkpoint beyond it would leave a
            // recovery without what waits, so the next segment asks for one again.
            trace::warn(format_args!("the outcomes of a segment were not written: {error}"));
            return;
        }
        let Some(pending) = pending else { return };
        if self.upkeep.as_ref().is_some_and(|upkeep| !upkeep.reaches(pending.batch())) {
            return;
        }
        if pending.erasures() != lock(&self.auditor).erasures {
            // Texts were erased since it was captured. The next checkpoint is without them.
            return;
        }
        let mut kept = maintenance.write(&pending);
        if kept.is_ok()
            && let Some(schedule) = &mut lock(&self.auditor).schedule
        {
            schedule.wrote(&pending);
        }
        // If trimming fails, the next checkpoint tries it again.
        kept = kept.and_then(|()| maintenance.trim(&pending));
        if let Err(error) = &kept {
            trace::warn(format_args!("what is due for the journal was not done: {error}"));
        }
        lock(&self.status).neglected = kept.err().map(|error| error.to_string());
    }

    /// Installs the runs of all finished segments, the oldest first.
    fn install_runs(&self) -> Result<(), JournalError> {
        let Some(upkeep) = &self.upkeep else { return Ok(()) };
        let mut any = false;
        loop {
            let oldest = {
                let auditor = lock(&self.auditor);
                auditor.collector.as_ref().and_then(OutcomeCollector::oldest)
            };
            let Some(segment) = oldest else { break };
            let installed = upkeep.install(&segment);
            if matches!(installed, Err(JournalError::Storage { .. })) {
                return installed;
            }
            // Anything else is not mended by another try: the segment is read anew.
            if let Some(collector) = &mut lock(&self.auditor).collector {
                collector.installed(&segment);
                upkeep.note_gathered(collector);
            }
            any = true;
        }
        if any || upkeep.is_to_be_tried_again() {
            upkeep.wake();
        }
        Ok(())
    }

    /// The newest record under this mark that waits for its run.
    pub(crate) fn find_waiting<T: OutcomeRecord>(&self, mark: OutcomeMark) -> Option<Kept<T>> {
        lock(&self.auditor).collector.as_ref()?.find(mark)
    }

    /// Pauses trimming while the returned guard lives; `None` once the journal's lock is released.
    /// Waits for a checkpoint or a trimming under way.
    pub(crate) fn pause_trimming(&self) -> Option<TrimPause> {
        lock(&self.maintenance).as_ref().map(JournalMaintenance::pause_trimming)
    }

    /// Erases who decided on these transfers, and why: in the ledger, and by `rewrite` in the
    /// checkpoints. No checkpoint is written meanwhile. The segments must be without these texts
    /// already.
    ///
    /// # Errors
    /// The errors of `rewrite`.
    pub(crate) fn erase_texts(
        &self,
        of: &BTreeSet<u64>,
        rewrite: impl FnOnce() -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let _alone = lock(&self.maintenance);
        {
            let mut auditor = lock(&self.auditor);
            auditor.ledger.transfers.erase_texts(of);
            auditor.erasures += 1;
        }
        rewrite()
    }

    /// The auditor's problem, if it has one: a broken law or damage, then a large lag, then failed
    /// maintenance.
    pub(crate) fn problem(&self) -> Option<String> {
        let durable = self.progress.durable_point().sequence;
        let status = lock(&self.status);
        if status.found.is_some() {
            return status.found.clone();
        }
        let behind = durable.saturating_sub(status.sequence);
        if behind > BEHIND {
            return Some(format!("the auditor is {behind} entries behind"));
        }
        let neglected = status.neglected.clone().or_else(|| status.uninstalled.clone());
        drop(status);
        neglected.or_else(|| self.upkeep.as_ref()?.problem())
    }

    /// How many durable entries it has not checked yet, and whether it found something that ends
    /// it: a broken law, or damage.
    pub(crate) fn standing(&self) -> (u64, bool) {
        let durable = self.progress.durable_point().sequence;
        let status = lock(&self.status);
        (durable.saturating_sub(status.sequence), status.found.is_some())
    }

    /// Starts the thread, which ends with the journal.
    pub(crate) fn spawn(self: &Arc<Self>) -> std::io::Result<()> {
        let auditing = Arc::clone(self);
        *lock(&self.thread) = Some(threads::spawn("stockade-auditor", move || auditing.run())?);
        Ok(())
    }

    fn run(&self) {
        give_way();
        if foreign::call(|| self.follow()).is_err() {
            // The panic may have left the ledger half changed, so no one may rely on it.
            trace::error(format_args!("the auditor has died: nobody checks the laws any more"));
            let mut auditor = lock(&self.auditor);
            auditor.found = Some(failed("audit", "", &io::Error::other("the auditor has died")));
            self.update_status(&auditor);
        }
        self.leave();
    }

    fn follow(&self) {
        loop {
            let at = lock(&self.auditor).at().batch;
            if !self.progress.wait_past(Reached::Disk, at, None) {
                return;
            }
            let deadline = Some(Instant::now() + NAP);
            // No batch has this number, so this returns only at the deadline or when the journal
            // ends. A plain sleep would delay the end by up to a nap.
            let _ = self.progress.wait_past(Reached::Disk, u64::MAX, deadline);
            let last = self.progress.reached(Reached::Disk);
            loop {
                if self.progress.is_ending() {
                    return;
                }
                let began = Instant::now();
                match self.step(last) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) if error.is_retryable() => break,
                    // `found` keeps the error for later calls.
                    Err(_) => return,
                }
                // Sleep as long as the step took: the thread uses half of one core at most.
                thread::sleep(began.elapsed());
            }
        }
    }

    /// Announces that the journal is about to end. The auditor may finish its work until
    /// `deadline`.
    pub(crate) fn end_by(&self, deadline: Instant) {
        *lock(&self.deadline) = Some(deadline);
    }

    /// Waits for the thread to end, until `deadline` at most, and releases the journal's lock.
    /// Call it after the journal has ended.
    pub(crate) fn wait_for_end(&self, deadline: Instant) {
        match &*lock(&self.thread) {
            Some(thread) => {
                while !thread.is_finished() && Instant::now() < deadline {
                    thread::sleep(LOOK_AGAIN);
                }
                self.release_lock();
            }
            None => self.leave(),
        }
    }

    /// Takes the journal's lock from the thread. The thread may be in the midst of a step, for
    /// seconds, because it gives way to all others. But a step needs no lock, and whoever opens
    /// the journal anew must not be refused for it. Only a checkpoint or a trimming under way keeps
    /// the lock to its end.
    fn release_lock(&self) {
        match self.maintenance.try_lock() {
            Ok(mut maintenance) => *maintenance = None,
            Err(TryLockError::Poisoned(poisoned)) => *poisoned.into_inner() = None,
            Err(TryLockError::WouldBlock) => {}
        }
    }

    /// Writes a last checkpoint if one is due, then releases the journal's lock. Without this
    /// checkpoint, many short runs would never write one, nor would a run that wrote faster than it
    /// was audited. The next opening would then have too much to replay.
    fn leave(&self) {
        let end = self.progress.durable_point();
        let is_due = || {
            let auditor = lock(&self.auditor);
            auditor.schedule.as_ref().is_some_and(|schedule| schedule.may_be_due_by(end))
        };
        let is_early = || lock(&self.deadline).is_some_and(|deadline| Instant::now() < deadline);
        // Leaves out the closing batch. The next opening gives its number to another batch, so no
        // checkpoint may name it.
        let last = end.batch.saturating_sub(1);
        while is_due() && is_early() && matches!(self.step(last), Ok(true)) {}
        if let Some(upkeep) = &self.upkeep {
            upkeep.end(Instant::now() + UPKEEP_END);
        }
        *lock(&self.maintenance) = None;
    }
}

impl std::fmt::Debug for Auditing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auditing").finish_non_exhaustive()
    }
}
