//! The door to the journal: what operations ask of it. Without the feature `journal`,
//! [`no_journal`](super::no_journal) stands here.

use std::any::Any;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crate::base::error::JournalError;
use crate::base::sync::{AtomicUsize, Mutex, Ordering};
use crate::base::trace;
use crate::engine::InventoryManager;
use crate::journal::follow::auditor::Auditing;
use crate::journal::format::head::JournalHead;
use crate::journal::group_commit::SyncState;
use crate::journal::maintenance::retention::JournalRetention;
use crate::journal::recovery::{ReplayedJournal, TornTail};
use crate::journal::storage::Storage;
use crate::journal::storage::archived::WithArchive;

pub(super) use crate::journal::options::JournalOptions;

/// How often an ending looks whether the lock was given back.
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// What an engine found in its journal when it was built.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// Entries of the journal, and so the sequence number of the newest.
    pub entries: u64,
    /// Segments that make it up, without those that were archived or removed.
    pub segments: usize,
    /// The entry that the checkpoint ends with from which the recovery began; `None` if all segments
    /// were replayed.
    pub checkpoint: Option<u64>,
    /// Checkpoints that could not be used, and why: the recovery began with an older one, or with the
    /// first segment. What is damaged stays until an engine has written newer ones.
    pub unusable_checkpoints: Vec<JournalError>,
    /// How often it had been opened before; 0 for a new one.
    pub openings: u64,
    /// Whether it ended in good order.
    pub closed: bool,
    /// What a crash left at its end, and was cut.
    pub torn: Option<TornTail>,
    /// Batches that may not have been on the disk, and were written again.
    pub rewritten: usize,
    /// Pending reservations.
    pub pending: usize,
    /// Pending reservations that fell due while the engine was down, and were given a grace.
    pub given_grace: usize,
    /// Finished reservations that can still be read.
    pub finished: usize,
    /// Callers' keys that are remembered.
    pub keys: usize,
    /// Transfers that wait for approval.
    pub transfer_requests: usize,
    /// How long it took.
    pub took: Duration,
}

impl RecoveryReport {
    /// What the journal was found to be; what the engine made of it is still to come.
    pub(super) fn of(replayed: &ReplayedJournal) -> Self {
        let torn = replayed.outcome.torn.as_ref().map(TornTail::of);
        if let Some(TornTail { file, offset, what }) = &torn {
            trace::warn(format_args!("a torn tail is cut: {what}, in {file:?} at byte {offset}"));
        }
        for error in &replayed.unusable {
            trace::warn(format_args!("a checkpoint is of no use: {error}"));
        }
        Self {
            entries: replayed.ledger.next_sequence - 1,
            segments: replayed.segments,
            checkpoint: replayed.checkpoint,
            unusable_checkpoints: replayed.unusable.clone(),
            openings: replayed.openings,
            closed: replayed.outcome.closed,
            torn,
            rewritten: replayed.rewritten(),
            pending: 0,
            given_grace: 0,
            finished: 0,
            keys: 0,
            transfer_requests: 0,
            took: Duration::ZERO,
        }
    }
}

#[cfg_attr(docsrs, doc(cfg(feature = "journal")))]
impl InventoryManager {
    /// What was found in the journal when the engine was built; `None` if it has none.
    pub fn recovery_report(&self) -> Option<&RecoveryReport> {
        self.engine.journal.as_ref().map(|journal| &journal.recovery_report)
    }

    /// The newest entry that is on the disk, and the hash of everything up to it; `None` without a
    /// journal. As long as there is none, it is entry 0 and a hash of zeros, which pins nothing. Kept
    /// elsewhere, it lets anybody see later that the journal was cut off or rewritten.
    ///
    /// ```
    /// # let directory = std::env::temp_dir().join(format!("stockade-head-{}", std::process::id()));
    /// use stockade::InventoryManager;
    /// let manager = InventoryManager::builder().warehouse("SF").journal(&directory).build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// manager.flush().wait()?;
    /// let head = manager.journal_head().expect("a journal");
    /// assert_eq!(head.sequence, manager.audit_log().newest_sequence());
    /// println!("{} {head}", head.sequence); // 5, and 64 hexadecimal digits
    /// # drop(manager);
    /// # std::fs::remove_dir_all(&directory)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn journal_head(&self) -> Option<JournalHead> {
        let end = self.engine.journal.as_ref()?.progress.durable_point();
        Some(JournalHead { sequence: end.sequence, hash: end.hash })
    }
}

/// An engine's journal, as its operations know it.
pub(super) struct JournalLink {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) progress: Arc<SyncState>,
    pub(super) recovery_report: RecoveryReport,
    /// With less free space than this, the engine is not well.
    pub(super) least_free_space: u64,
    /// The auditor, unless it is switched off.
    pub(super) auditing: Option<Arc<Auditing>>,
    pub(super) retention: JournalRetention,
    /// Held by whoever copies the journal's files, or writes old ones anew.
    pub(super) files: Mutex<()>,
    /// The journal's lock, as long as anybody of this engine has it.
    pub(super) held: Weak<dyn Any + Send + Sync>,
    /// How many have it for a while.
    pub(super) holders: AtomicUsize,
}

/// The journal's lock, in the hands of a caller.
pub(super) struct LockLoan<'a> {
    holders: &'a AtomicUsize,
    lock: Option<Arc<dyn Any + Send + Sync>>,
}

impl Drop for LockLoan<'_> {
    fn drop(&mut self) {
        self.lock = None;
        // Release: given back before it counts as that.
        self.holders.fetch_sub(1, Ordering::Release);
    }
}

impl std::fmt::Debug for JournalLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JournalLink")
            .field("recovered", &self.recovery_report)
            .finish_non_exhaustive()
    }
}

impl JournalLink {
    /// The journal's lock, for a while; `None` once the engine has given it back.
    pub(super) fn hold(&self) -> Option<LockLoan<'_>> {
        let lock = self.held.upgrade()?;
        // Relaxed: an ending that does not see it yet waits no longer than one that came before it.
        self.holders.fetch_add(1, Ordering::Relaxed);
        Some(LockLoan { holders: &self.holders, lock: Some(lock) })
    }

    /// The journal is about to end: what the auditor has in hand then, it has until `deadline`.
    pub(super) fn end_by(&self, deadline: Instant) {
        if let Some(auditing) = &self.auditing {
            auditing.end_by(deadline);
        }
    }

    /// Waits, until the deadline at most, for all who have the lock to give it back.
    pub(super) fn wait_for_end(&self, deadline: Instant) {
        if let Some(auditing) = &self.auditing {
            auditing.wait_for_end(deadline);
        }
        // Acquire pairs with the Release of whoever has given it back.
        while self.holders.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// Where the journal's entries lie: in its directory, and in the archive of those that went.
    pub(super) fn whole(&self) -> Arc<dyn Storage> {
        let journal = Arc::clone(&self.storage);
        match self.retention.archive_storage() {
            Some(archive) => Arc::new(WithArchive::new(journal, archive)),
            None => journal,
        }
    }

    /// What is not as it should be.
    pub(super) fn problem(&self) -> Option<String> {
        let problem = self.auditing.as_ref().and_then(|auditing| auditing.problem());
        problem.or_else(|| {
            let free = self.storage.free_space().filter(|free| *free < self.least_free_space)?;
            Some(format!("only {free} bytes are free on the journal's disk"))
        })
    }
}

impl InventoryManager {
    pub(super) fn journal_link(&self) -> Result<&JournalLink, JournalError> {
        self.engine.journal.as_ref().ok_or(JournalError::NoJournal)
    }
}
