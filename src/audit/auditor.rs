//! The auditor: follows the journal with a ledger of its own, and checks every law on every entry, in
//! production too. The hot path never feels it: it reads what is on the disk.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::audit::checkpoint::Checkpoints;
use crate::audit::journal::follow::Follower;
use crate::audit::journal::segment::Point;
use crate::audit::journal::storage::Storage;
use crate::audit::journal::sync::{Progress, Reached};
use crate::audit::ledger::Ledger;
use crate::audit::replay::{broken, decode_batch};
use crate::error::JournalError;
use crate::sync::{Mutex, MutexGuard, lock};

/// After so long, what has come meanwhile is looked at in one go.
const NAP: Duration = Duration::from_millis(100);
/// With more entries than this to catch up with, it is behind.
const BEHIND: u64 = 10_000_000;

/// A ledger that follows the journal.
pub(crate) struct Auditor {
    follower: Follower,
    pub(crate) ledger: Ledger,
    /// What it found. There it stays: a ledger that met a broken law is of no use.
    found: Option<JournalError>,
    /// `None`: it writes none.
    checkpoints: Option<Checkpoints>,
}

impl Auditor {
    /// Goes on from `at`, where the journal adds up to `ledger`.
    pub(crate) fn new(storage: Arc<dyn Storage>, ledger: Ledger, at: Point) -> Self {
        Self { follower: Follower::new(storage, at), ledger, found: None, checkpoints: None }
    }

    /// With a checkpoint of the ledger now and then.
    pub(crate) fn writing(mut self, checkpoints: Option<Checkpoints>) -> Self {
        self.checkpoints = checkpoints;
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
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.reached(&self.ledger, self.follower.at());
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
    progress: Arc<Progress>,
}

impl Auditing {
    pub(crate) fn new(auditor: Auditor, progress: Arc<Progress>) -> Arc<Self> {
        Arc::new(Self { auditor: Mutex::new(auditor), progress })
    }

    /// The auditor, to be driven or looked at. Waits for the thread to finish what it has in hand.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Auditor> {
        lock(&self.auditor)
    }

    /// What is not as it should be.
    pub(crate) fn complaint(&self) -> Option<String> {
        let durable = self.progress.durable_point().sequence;
        let auditor = self.lock();
        if let Some(found) = &auditor.found {
            return Some(format!("the auditor found that {found}"));
        }
        let behind = durable.saturating_sub(auditor.at().sequence);
        if behind > BEHIND {
            return Some(format!("the auditor is {behind} entries behind"));
        }
        auditor.checkpoints.as_ref()?.complaint.clone()
    }

    /// Starts the thread. It ends with the journal.
    pub(crate) fn spawn(self: &Arc<Self>) -> std::io::Result<()> {
        let auditing = Arc::clone(self);
        let named = thread::Builder::new().name("stockade-auditor".to_owned());
        named.spawn(move || auditing.run()).map(drop)
    }

    fn run(&self) {
        loop {
            let at = self.lock().at().batch;
            if !self.progress.wait_past(Reached::Disk, at, None) {
                return;
            }
            let deadline = Some(Instant::now() + NAP);
            // Not for more to come, but for the end, which would have to wait for a nap.
            let _ = self.progress.wait_past(Reached::Disk, u64::MAX, deadline);
            if self.progress.is_ending() {
                return;
            }
            let last = self.progress.reached(Reached::Disk);
            loop {
                let began = Instant::now();
                match self.lock().step(last) {
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
}

impl std::fmt::Debug for Auditing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auditing").finish_non_exhaustive()
    }
}
