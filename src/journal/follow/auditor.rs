//! The auditor: follows the journal with a ledger of its own, and checks every law on every entry, in
//! production too. The hot path never feels it: it reads what is on the disk.

use std::collections::BTreeSet;
use std::io;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::base::error::JournalError;
use crate::base::sync::{Mutex, lock};
use crate::base::trace;
use crate::journal::follow::follower::Follower;
use crate::journal::format::segment::Point;
use crate::journal::group_commit::{Reached, SyncState};
use crate::journal::layout::failed;
use crate::journal::ledger::Ledger;
use crate::journal::maintenance::checkpoints::{
    CheckpointSchedule, JournalMaintenance, PendingCheckpoint, TrimPause,
};
use crate::journal::recovery::replay::{broken, decode_batch};
use crate::journal::storage::Storage;

/// After so long, what has come meanwhile is looked at in one go.
const NAP: Duration = Duration::from_millis(100);
/// With more entries than this to catch up with, it is behind.
const BEHIND: u64 = 10_000_000;
/// How far the thread stands back for others: beside a busy one, Linux gives it a tenth of a core.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;
/// How often an ending looks whether the thread has ended.
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// Has the calling thread run behind all others that want to. It must not start threads of a pool that
/// others use too, for those would stand back as well.
fn give_way() {
    // Only Linux has a niceness for each thread; elsewhere it is the process's. Refused: then it runs
    // beside the others.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(NICENESS);
}

/// A ledger that follows the journal.
pub(crate) struct Auditor {
    follower: Follower,
    pub(crate) ledger: Ledger,
    /// What it found. There it stays: a ledger that met a broken law is of no use.
    found: Option<JournalError>,
    /// When its ledger is to be checkpointed; `None`: never.
    schedule: Option<CheckpointSchedule>,
    pending: Option<PendingCheckpoint>,
    /// How often texts were erased in the ledger: what was due before bears them.
    erasures: u64,
}

impl Auditor {
    /// Goes on from `at`, where the journal adds up to `ledger`.
    pub(crate) fn new(storage: Arc<dyn Storage>, ledger: Ledger, at: Point) -> Self {
        let follower = Follower::new(storage, at);
        Self { follower, ledger, found: None, schedule: None, pending: None, erasures: 0 }
    }

    /// With a checkpoint of the ledger now and then.
    pub(crate) fn scheduled(mut self, schedule: Option<CheckpointSchedule>) -> Self {
        self.schedule = schedule;
        self
    }

    /// The end of what was audited.
    pub(crate) fn at(&self) -> Point {
        self.follower.at()
    }

    /// Adds up the next batches, at most up to batch `last`; `false` if there are none.
    ///
    /// # Errors
    /// What the storage says, which may pass; a broken law or damage, which stays.
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
        let Some(followed) = self.follower.next(last)? else { return Ok(false) };
        for found in &followed.part.batches {
            let _ = decode_batch(&followed.part, found, |decoded| {
                self.ledger.apply(&decoded).map_err(broken)?;
                Ok(ControlFlow::Continue(()))
            })?;
        }
        if self.pending.is_none()
            && let Some(schedule) = &mut self.schedule
        {
            self.pending = schedule.reached(&self.ledger, self.follower.at(), self.erasures);
        }
        Ok(true)
    }

    /// Adds up everything up to batch `last`, which must be on the disk.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub(crate) fn catch_up(&mut self, last: u64) -> Result<(), JournalError> {
        while self.step(last)? {}
        Ok(())
    }
}

/// An auditor that a thread of its own drives, and that others may drive further.
pub(crate) struct Auditing {
    auditor: Mutex<Auditor>,
    progress: Arc<SyncState>,
    /// Writes checkpoints and trims; gone once the journal is left to others.
    maintenance: Mutex<Option<JournalMaintenance>>,
    status: Mutex<AuditorStatus>,
    /// Until when the thread may go on after the journal's end.
    deadline: Mutex<Option<Instant>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What others want to know of it, without waiting for what it has in hand.
#[derive(Default)]
struct AuditorStatus {
    /// The last entry that was audited.
    sequence: u64,
    found: Option<String>,
    /// Why the newest checkpoint came to nothing, or what is old could not be taken away.
    neglected: Option<String>,
}

impl Auditing {
    pub(crate) fn new(
        auditor: Auditor,
        progress: Arc<SyncState>,
        maintenance: Option<JournalMaintenance>,
    ) -> Arc<Self> {
        let status = AuditorStatus { sequence: auditor.at().sequence, ..AuditorStatus::default() };
        Arc::new(Self {
            auditor: Mutex::new(auditor),
            progress,
            maintenance: Mutex::new(maintenance),
            status: Mutex::new(status),
            deadline: Mutex::new(None),
            thread: Mutex::new(None),
        })
    }

    /// Adds up everything up to batch `last`, which must be on the disk, and has a look at the ledger.
    /// Waits for the thread to finish what it has in hand.
    ///
    /// # Errors
    /// As [`Auditor::step`].
    pub(crate) fn catch_up(
        &self,
        last: u64,
        look: &mut dyn FnMut(&Ledger),
    ) -> Result<Point, JournalError> {
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

    /// The next batches, and what is due after them.
    fn step(&self, last: u64) -> Result<bool, JournalError> {
        let (stepped, pending) = {
            let mut auditor = lock(&self.auditor);
            let stepped = auditor.step(last);
            self.update_status(&auditor);
            (stepped, auditor.pending.take())
        };
        self.maintain(pending);
        stepped
    }

    /// As [`catch_up`](Self::catch_up), and gives back what is to be written, for
    /// [`maintain_late`](Self::maintain_late).
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

    /// Writes what is due and trims, unless the journal is somebody else's by now.
    fn maintain(&self, pending: Option<PendingCheckpoint>) {
        let maintenance = lock(&self.maintenance);
        let (Some(pending), Some(maintenance)) = (pending, &*maintenance) else { return };
        if pending.erasures() != lock(&self.auditor).erasures
            && cfg!(not(planted = "checkpoint_of_what_was_erased"))
        {
            // The next one comes.
            return;
        }
        let mut kept = maintenance.write(&pending);
        if kept.is_ok()
            && let Some(schedule) = &mut lock(&self.auditor).schedule
        {
            schedule.wrote(&pending);
        }
        // One that fails is tried again with the next checkpoint.
        kept = kept.and_then(|()| maintenance.trim(&pending));
        if let Err(error) = &kept {
            trace::warn(format_args!("what is due for the journal was not done: {error}"));
        }
        lock(&self.status).neglected = kept.err().map(|error| error.to_string());
    }

    /// The journal's files all stay until what is returned is dropped. Waits for the thread to finish
    /// what it takes away just now.
    pub(crate) fn pause_trimming(&self) -> Option<TrimPause> {
        lock(&self.maintenance).as_ref().map(JournalMaintenance::pause_trimming)
    }

    /// Erases who decided on these transfers, and why: in the ledger, and in the checkpoints by
    /// `rewrite`, while no other is written. The segments are without it.
    ///
    /// # Errors
    /// Those of `rewrite`.
    pub(crate) fn erase_texts(
        &self,
        of: &BTreeSet<u64>,
        rewrite: impl FnOnce() -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let _alone = lock(&self.maintenance);
        {
            let mut auditor = lock(&self.auditor);
            #[cfg(not(planted = "auditor_keeps_texts"))]
            auditor.ledger.transfers.erase_texts(of);
            auditor.erasures += 1;
        }
        rewrite()
    }

    /// What is not as it should be.
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
        status.neglected.clone()
    }

    /// Starts the thread. It ends with the journal.
    pub(crate) fn spawn(self: &Arc<Self>) -> std::io::Result<()> {
        let auditing = Arc::clone(self);
        let named = thread::Builder::new().name("stockade-auditor".to_owned());
        *lock(&self.thread) = Some(named.spawn(move || auditing.run())?);
        Ok(())
    }

    fn run(&self) {
        #[cfg(not(planted = "auditor_in_the_way"))]
        give_way();
        if catch_unwind(AssertUnwindSafe(|| self.follow())).is_err() {
            // Its ledger may have been left half-way: nobody is to believe it.
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
            // Not for more to come, but for the end, which would have to wait for a nap.
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
                    // It stays for whoever asks.
                    Err(_) => return,
                }
                // Half of one core's time at most.
                thread::sleep(began.elapsed());
            }
        }
    }

    /// The journal is about to end: what the auditor has in hand then, it has until `deadline`.
    pub(crate) fn end_by(&self, deadline: Instant) {
        *lock(&self.deadline) = Some(deadline);
    }

    /// Waits, until the deadline at most, for the thread to leave the journal to others. To be called
    /// when the journal has ended.
    pub(crate) fn wait_for_end(&self, deadline: Instant) {
        match &*lock(&self.thread) {
            Some(thread) => {
                while !thread.is_finished() && Instant::now() < deadline {
                    thread::sleep(LOOK_AGAIN);
                }
            }
            None => self.leave(),
        }
    }

    /// Leaves the journal to others, after a last checkpoint if one falls due by its end: else many
    /// short runs, or one that wrote faster than it was audited, would leave the next opening more to
    /// replay than it should have.
    fn leave(&self) {
        let end = self.progress.durable_point();
        let is_due = || {
            let auditor = lock(&self.auditor);
            auditor.schedule.as_ref().is_some_and(|schedule| schedule.may_be_due_by(end))
        };
        let is_early = || lock(&self.deadline).is_some_and(|deadline| Instant::now() < deadline);
        // The closing batch is none that others build on: its number may be given again.
        let last = end.batch.saturating_sub(1);
        while is_due() && is_early() && matches!(self.step(last), Ok(true)) {}
        *lock(&self.maintenance) = None;
    }
}

impl std::fmt::Debug for Auditing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auditing").finish_non_exhaustive()
    }
}
