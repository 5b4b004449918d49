//! What operations need of the journal. Without the feature `journal`,
//! [`no_journal`](super::no_journal) takes the place of this module.

use std::any::Any;
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crate::base::clock::Timestamp;
use crate::base::error::{JournalError, KeyError};
use crate::base::foreign::Watch;
use crate::base::sync::{AtomicUsize, Mutex, Ordering, lock};
use crate::base::trace;
use crate::engine::InventoryManager;
use crate::engine::answer::Answer;
use crate::engine::file_work::FileWork;
use crate::engine::kept::KeptOutcomes;
use crate::engine::request_options::RequestOptions;
use crate::engine::view::filed::FiledOutcome;
use crate::engine::view::stats::{JournalFigures, OutcomeFigures};
use crate::idempotency::KeyName;
use crate::journal::follow::auditor::Auditing;
use crate::journal::follow::thread::FollowerThread;
use crate::journal::format::head::JournalHead;
use crate::journal::group_commit::SyncState;
use crate::journal::ledger::Ledger;
use crate::journal::ledger::clock::{ClockStep, TOLD_FOR};
use crate::journal::maintenance::retention::JournalRetention;
use crate::journal::recovery::{ReplayedJournal, StrayBytes, TornTail};
use crate::journal::storage::Storage;
use crate::journal::storage::archived::WithArchive;
use crate::reservation::id::ReservationId;

pub(super) use crate::journal::options::JournalOptions;

/// How often a shutdown checks whether the lock was returned.
const POLL_INTERVAL: Duration = Duration::from_micros(200);
/// From this time on, a call of the storage that has not returned shows in `health`.
const STORAGE_STUCK: Duration = Duration::from_secs(5);

/// What recovery found in the journal when the engine was built.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// How many entries the journal has. This is also the sequence number of the newest one.
    pub entries: u64,
    /// How many segments were found, without those that were archived or removed.
    pub segments: usize,
    /// The last entry in the checkpoint from which the replay began; `None` if all segments were
    /// replayed.
    pub checkpoint: Option<u64>,
    /// Checkpoints that could not be used, with the reason. The replay began with an older
    /// checkpoint or with the first segment. The damaged files stay until an engine has written
    /// newer ones.
    pub unusable_checkpoints: Vec<JournalError>,
    /// How often the journal had been opened before; 0 for a new one.
    pub openings: u64,
    /// Whether the last engine closed the journal cleanly.
    pub closed: bool,
    /// The torn tail that a crash left at the journal's end. It was cut.
    pub torn: Option<TornTail>,
    /// What lay behind the end of a closed journal and is no part of it. It was cut, or stays where
    /// it is, ignored, if the [`Storage`] can't cut files.
    pub stray: Vec<StrayBytes>,
    /// How many batches were written again, because they may not have been on the disk.
    pub rewritten: usize,
    /// The newest step back of the clock, found by this opening or by an earlier one: the opening
    /// was behind the journal's newest entry. `None` once engines have run for 24 hours since, or
    /// an operator has
    /// [acknowledged](InventoryManager::acknowledge_clock_step) it.
    pub clock_step: Option<ClockStep>,
    /// How many reservations are pending.
    pub pending: usize,
    /// How many pending reservations fell due while the engine was down, and got a grace period.
    pub given_grace: usize,
    /// How many finished reservations are still readable.
    pub finished: usize,
    /// How many idempotency keys are stored.
    pub keys: usize,
    /// How many transfer requests wait for approval.
    pub transfer_requests: usize,
    /// How long the whole opening took: from the wait for the journal's lock, over replay and
    /// restoring, to the first records and the start of the threads. About as long as
    /// [`build`](crate::Builder::build) takes.
    pub took: Duration,
}

impl RecoveryReport {
    /// What the replay found. The restore adds the counts of reservations, keys and requests.
    pub(super) fn of(replayed: &ReplayedJournal) -> Self {
        let torn = replayed.outcome.torn.as_ref().map(TornTail::of);
        if let Some(TornTail { file, offset, what }) = &torn {
            trace::warn(format_args!("a torn tail is cut: {what}, in {file:?} at byte {offset}"));
        }
        let stray: Vec<_> = replayed.outcome.stray.iter().map(StrayBytes::of).collect();
        for StrayBytes { file, offset, length } in &stray {
            trace::warn(format_args!(
                "{length} bytes behind the journal's end are cut, in {file:?} at byte {offset}"
            ));
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
            stray,
            rewritten: replayed.rewritten(),
            clock_step: None,
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
    /// What recovery found in the journal when the engine was built; `None` without a journal.
    pub fn recovery_report(&self) -> Option<&RecoveryReport> {
        self.engine.journal.as_ref()?.recovery_report.get()
    }

    /// The newest durable entry, and the hash of everything up to it; `None` without a journal.
    /// While no entry is durable, it is entry 0 and a hash of zeros, which proves nothing. Store
    /// the head outside the machine: it lets anyone detect later that the journal was cut off or
    /// rewritten.
    ///
    /// ```
    /// # let name = format!("stockade-head-{}", std::process::id());
    /// # let directory = std::env::temp_dir().join(name);
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

/// An engine's journal, as its operations see it.
pub(super) struct JournalLink {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) progress: Arc<SyncState>,
    /// Set when the opening is over.
    pub(super) recovery_report: OnceLock<RecoveryReport>,
    /// The number of this opening, from 1.
    pub(super) opening: u64,
    /// Below this much free space, in bytes, `health` reports a problem.
    pub(super) least_free_space: u64,
    /// The kind of network file system on which the journal lies, if it does.
    pub(super) network: Option<&'static str>,
    /// The mode of the files of backups, if the options say one.
    pub(super) file_mode: Option<u32>,
    /// The auditor; `None` if it is switched off.
    pub(super) auditing: Option<Arc<Auditing>>,
    /// The outcome files; `None` if there are none.
    pub(super) kept: Option<Arc<KeptOutcomes>>,
    /// Reads for the futures of subscriptions; `None` in an engine without threads.
    pub(super) thread: Option<Arc<FollowerThread>>,
    pub(super) retention: JournalRetention,
    /// Positions without a lineage are refused.
    pub(super) require_lineage: bool,
    /// Held while the file of a consumer is replaced.
    pub(super) consumers: Mutex<()>,
    /// Held while the journal's files are copied, or old ones are rewritten.
    pub(super) files: FileWork,
    /// Over the calls of the storage.
    pub(super) storage_watch: Arc<Watch>,
    /// The journal's lock; dead once no thread of this engine holds it.
    pub(super) held: Weak<dyn Any + Send + Sync>,
    /// How many callers hold a [`LockLoan`].
    pub(super) holders: AtomicUsize,
    /// The step back of the clock that `health` still tells of.
    pub(super) clock_step: Mutex<Option<BorneStep>>,
}

/// A step back of the clock, until nobody needs to be told any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BorneStep {
    pub(super) step: ClockStep,
    until: Timestamp,
}

impl BorneStep {
    /// The newest step that an engine opened at `now` has to tell of: `found` by this opening, or
    /// by an earlier one.
    pub(super) fn of(ledger: &Ledger, found: Option<ClockStep>, now: Timestamp) -> Option<Self> {
        let (step, left) = match found {
            Some(step) => (step, TOLD_FOR),
            None => ledger.clock.unsettled_step()?,
        };
        Some(Self { step, until: now.saturating_add(left) })
    }
}

/// The journal's lock, on loan to a caller.
pub(super) struct LockLoan<'a> {
    holders: &'a AtomicUsize,
    lock: Option<Arc<dyn Any + Send + Sync>>,
}

impl Drop for LockLoan<'_> {
    fn drop(&mut self) {
        self.lock = None;
        // Release pairs with the Acquire in `wait_for_end`: who sees the count go down sees that
        // the lock was returned.
        self.holders.fetch_sub(1, Ordering::Release);
    }
}

impl std::fmt::Debug for JournalLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JournalLink")
            .field("recovery_report", &self.recovery_report)
            .finish_non_exhaustive()
    }
}

impl JournalLink {
    /// The answer that the outcome files have under this name, and the fingerprint of its request;
    /// see [`KeptOutcomes::answer`].
    ///
    /// # Errors
    /// [`KeyError`] if it can't be known now.
    pub(super) fn kept_answer(
        &self,
        name: &KeyName,
        now: Timestamp,
        options: &RequestOptions,
    ) -> Result<Option<(u128, Answer)>, KeyError> {
        self.kept.as_ref().map_or(Ok(None), |kept| kept.answer(name, now, options))
    }

    /// Figures of the outcome files; `None` if there are none.
    pub(super) fn outcome_figures(&self, now: Timestamp) -> Option<OutcomeFigures> {
        self.kept.as_ref().map(|kept| kept.figures(now))
    }

    /// What the journal wrote, synced and checked so far.
    pub(super) fn figures(&self) -> JournalFigures {
        let syncs = self.progress.figures();
        let (unaudited, audit_failed) =
            self.auditing.as_ref().map_or((0, false), |auditing| auditing.standing());
        JournalFigures {
            appended_bytes: syncs.appended_bytes,
            syncs: syncs.syncs,
            sync_failures: syncs.failures,
            synced_entries: syncs.synced_entries,
            sync_time: syncs.sync_time,
            last_sync: syncs.last_sync,
            unsynced_entries: syncs.unsynced_entries,
            oldest_unsynced: syncs.oldest_unsynced,
            unaudited,
            audit_failed,
        }
    }

    /// How many bytes are free on the journal's disk, if the storage knows.
    #[cfg(feature = "metrics")]
    pub(super) fn free_space(&self) -> Option<u64> {
        self.storage.free_space()
    }

    /// Whether answers outlive memory.
    pub(super) fn keeps_answers(&self) -> bool {
        self.kept.is_some()
    }

    /// Whether everything is kept that was answered at `moment` or later. `None` if there are no
    /// outcome files: then memory alone decides.
    pub(super) fn keeps_answers_since(&self, moment: Timestamp, now: Timestamp) -> Option<bool> {
        self.kept.as_ref().map(|kept| kept.reaches_back_to(moment, now))
    }

    /// Has the answers looked after that wait for their outcome file, because there are too many.
    #[cold]
    pub(super) fn hurry_keys(&self) {
        self.auditing.iter().for_each(Auditing::hurry);
    }

    /// How a reservation ended; see [`KeptOutcomes::outcome`].
    ///
    /// # Errors
    /// [`KeyError`] if it can't be known now.
    pub(super) fn kept_outcome(
        &self,
        id: ReservationId,
        now: Timestamp,
        options: &RequestOptions,
        flush: impl FnOnce() -> bool,
    ) -> Result<Option<FiledOutcome>, KeyError> {
        self.kept.as_ref().map_or(Ok(None), |kept| kept.outcome(id, now, options, flush))
    }

    /// Borrows the journal's lock; `None` once the engine has released it.
    pub(super) fn hold(&self) -> Option<LockLoan<'_>> {
        let lock = self.held.upgrade()?;
        // Relaxed: if a shutdown misses this loan, it behaves as if it had come before the loan.
        self.holders.fetch_add(1, Ordering::Relaxed);
        Some(LockLoan { holders: &self.holders, lock: Some(lock) })
    }

    /// Tells the auditor that the journal is about to end. It has until `deadline` for its work in
    /// hand.
    pub(super) fn end_by(&self, deadline: Instant) {
        if let Some(auditing) = &self.auditing {
            auditing.end_by(deadline);
        }
    }

    /// Waits until all users of the lock have returned it, but not beyond `deadline`.
    pub(super) fn wait_for_end(&self, deadline: Instant) {
        if let Some(auditing) = &self.auditing {
            auditing.wait_for_end(deadline);
        }
        if let Some(thread) = &self.thread {
            thread.end(deadline);
        }
        // Acquire pairs with the Release in the drop of a `LockLoan`.
        while self.holders.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Storage that shows all entries of the journal: the live segments and the archived ones.
    pub(super) fn whole(&self) -> Arc<dyn Storage> {
        let journal = Arc::clone(&self.storage);
        match self.retention.archive_storage() {
            Some(archive) => Arc::new(WithArchive::new(journal, archive)),
            None => journal,
        }
    }

    /// Whether `health` still tells of a step back of the clock.
    pub(super) fn tells_of_a_step(&self) -> bool {
        lock(&self.clock_step).is_some()
    }

    /// Tells of no step back of the clock any more.
    pub(super) fn forget_step(&self) {
        *lock(&self.clock_step) = None;
    }

    /// Stops the engine at once if the journal's place has changed, as the next sync would.
    pub(super) fn look_at_place(&self) {
        // The failure stops the engine, and its gate says why.
        let _ = self.progress.notice_place();
    }

    /// The first problem found, for `health`: an auditor's, a consumer that was left behind, too
    /// little free space, a step back of the clock, or a network file system.
    pub(super) fn problem(&self, now: Timestamp) -> Option<String> {
        let stuck = self.storage_watch.longer_than(STORAGE_STUCK);
        let stuck = stuck.map(|it| format!("the journal's storage has not answered for {it:?}"));
        let problem = stuck.or_else(|| self.auditing.as_ref()?.problem());
        let problem = problem.or_else(|| self.left_behind());
        let problem = problem.or_else(|| {
            let free = self.storage.free_space().filter(|free| *free < self.least_free_space)?;
            Some(format!("only {free} bytes are free on the journal's disk"))
        });
        let problem = problem.or_else(|| {
            let borne = lock(&self.clock_step).filter(|borne| now < borne.until)?;
            let by = borne.step.by();
            Some(format!("the clock was {by:?} behind the journal's newest entry at an opening"))
        });
        problem.or_else(|| {
            let kind = self.network?;
            Some(format!(
                "the journal lies on a network file system ({kind}): its lock may not hold on \
                 another host, and a change of its place is noticed late"
            ))
        })
    }
}

impl InventoryManager {
    pub(super) fn journal_link(&self) -> Result<&JournalLink, JournalError> {
        self.engine.journal.as_ref().ok_or(JournalError::NoJournal)
    }
}
