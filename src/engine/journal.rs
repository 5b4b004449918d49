//! The journal that an engine is built on: where it lies, how it is kept, what was found in it.

use std::any::Any;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crate::audit::auditor::{Auditing, Auditor};
use crate::audit::checkpoint;
use crate::audit::head::JournalHead;
use crate::audit::journal::archived::WithArchive;
use crate::audit::journal::files::FileStorage;
use crate::audit::journal::storage::Storage;
use crate::audit::journal::sync::{Failure, Progress};
use crate::audit::journal::writer::JournalWriter;
use crate::audit::keeper::{CheckpointOptions, Keeper, Schedule};
use crate::audit::ledger::Ledger;
use crate::audit::recorder::Recorder as AuditRecorder;
use crate::audit::recovery::{self, Opened, TornTail, Wanted};
use crate::audit::replay::RecoveryProgress;
use crate::audit::retention::JournalRetention;
use crate::audit::writer::Writer;
use crate::clock::Timestamp;
use crate::engine::InventoryManager;
use crate::error::JournalError;
use crate::reservation::id::Randomness;
use crate::sync::{AtomicUsize, Mutex, Ordering};
use crate::trace;

const DEFAULT_SEGMENT: u64 = 64 << 20;
/// How often an ending looks whether the lock was given back.
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// How a journal is kept.
pub(super) struct JournalOptions {
    pub(super) storage: Option<Arc<dyn Storage>>,
    pub(super) wait_for_lock: Duration,
    pub(super) segment_bytes: u64,
    pub(super) sync_interval: Duration,
    pub(super) grace: Duration,
    pub(super) least_free: u64,
    pub(super) auditor: bool,
    /// `None`: no checkpoints.
    pub(super) checkpoint_every: Option<u64>,
    pub(super) retention: JournalRetention,
    pub(super) progress: Option<ProgressListener>,
}

type ProgressListener = Box<dyn FnMut(RecoveryProgress) + Send>;

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            storage: None,
            wait_for_lock: Duration::ZERO,
            segment_bytes: DEFAULT_SEGMENT,
            sync_interval: Duration::from_millis(100),
            grace: Duration::from_secs(60),
            least_free: 256 << 20,
            auditor: true,
            checkpoint_every: Some(4),
            retention: JournalRetention::default(),
            progress: None,
        }
    }
}

/// What an engine found in its journal when it was built.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
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

impl InventoryManager {
    /// What was found in the journal when the engine was built; `None` if it has none.
    pub fn recovered(&self) -> Option<&Recovered> {
        self.engine.journal.as_ref().map(|journal| &journal.recovered)
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
    /// let head = manager.head().expect("a journal");
    /// assert_eq!(head.sequence, manager.audit_log().newest_sequence());
    /// println!("{} {head}", head.sequence); // 5, and 64 hexadecimal digits
    /// # drop(manager);
    /// # std::fs::remove_dir_all(&directory)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn head(&self) -> Option<JournalHead> {
        let end = self.engine.journal.as_ref()?.progress.durable_point();
        Some(JournalHead { sequence: end.sequence, hash: end.hash })
    }
}

/// An engine's journal, as its operations know it.
pub(super) struct JournalLink {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) progress: Arc<Progress>,
    pub(super) recovered: Recovered,
    pub(super) grace: Duration,
    /// With less free space than this, the engine is not well.
    pub(super) least_free: u64,
    /// The auditor, unless it is switched off.
    pub(super) auditing: Option<Arc<Auditing>>,
    wants_auditor: bool,
    checkpoints: Option<CheckpointOptions>,
    pub(super) retention: JournalRetention,
    /// Held by whoever copies the journal's files, or writes old ones anew.
    pub(super) files: Mutex<()>,
    /// The journal's lock, for whoever writes checkpoints.
    lock: Option<Arc<dyn Any + Send + Sync>>,
    /// The same, as long as anybody of this engine has it.
    held: Weak<dyn Any + Send + Sync>,
    /// How many have it for a while.
    holders: AtomicUsize,
}

/// The journal's lock, in the hands of a caller.
pub(super) struct Held<'a> {
    holders: &'a AtomicUsize,
    lock: Option<Arc<dyn Any + Send + Sync>>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.lock = None;
        // Release: given back before it counts as that.
        self.holders.fetch_sub(1, Ordering::Release);
    }
}

impl std::fmt::Debug for JournalLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JournalLink").field("recovered", &self.recovered).finish_non_exhaustive()
    }
}

impl JournalLink {
    /// Gives the ledger that recovery made to the auditor, and begins to audit if there are to be
    /// threads.
    pub(super) fn audit(&mut self, ledger: Ledger, threads: bool) -> std::io::Result<()> {
        let lock = self.lock.take();
        if !self.wants_auditor {
            return Ok(());
        }
        let storage = Arc::clone(&self.storage);
        // All that was found is on the disk by now, and this is where it ends.
        let at = self.progress.durable_point();
        let schedule = self.checkpoints.map(|options| Schedule::new(&*storage, options, at));
        let schedule = schedule.transpose().map_err(std::io::Error::other)?;
        let opening = self.recovered.openings + 1;
        let keeper = lock
            .filter(|_| schedule.is_some())
            .map(|lock| Keeper::new(Arc::clone(&storage), opening, self.retention.clone(), lock));
        let auditor = Auditor::new(storage, ledger, at).scheduled(schedule);
        let auditing = Auditing::new(auditor, Arc::clone(&self.progress), keeper);
        if threads {
            auditing.spawn()?;
        }
        self.auditing = Some(auditing);
        Ok(())
    }

    /// The journal's lock, for a while; `None` once the engine has given it back.
    pub(super) fn hold(&self) -> Option<Held<'_>> {
        let lock = self.held.upgrade()?;
        // Relaxed: an ending that does not see it yet waits no longer than one that came before it.
        self.holders.fetch_add(1, Ordering::Relaxed);
        Some(Held { holders: &self.holders, lock: Some(lock) })
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
    pub(super) fn complaint(&self) -> Option<String> {
        let complaint = self.auditing.as_ref().and_then(|auditing| auditing.complaint());
        complaint.or_else(|| {
            let free = self.storage.free_space().filter(|free| *free < self.least_free)?;
            Some(format!("only {free} bytes are free on the journal's disk"))
        })
    }
}

/// A journal that was read and not yet gone on with.
pub(super) struct Journal {
    options: JournalOptions,
    storage: Arc<dyn Storage>,
    opened: Opened,
    keys: usize,
    history: u64,
    pub(super) report: Recovered,
    began: Instant,
}

impl Journal {
    /// Reads the journal, if the builder was given one.
    pub(super) fn open(
        mut options: JournalOptions,
        keys: usize,
        history: u64,
    ) -> Result<Option<Self>, JournalError> {
        let Some(storage) = options.storage.take() else { return Ok(None) };
        let began = Instant::now();
        let mut tell = options.progress.take();
        let wanted = Wanted {
            wait_for_lock: options.wait_for_lock,
            archive: options.retention.archive_storage(),
            keys,
            history,
            progress: tell.as_mut().map(|tell| &mut **tell as _),
        };
        let opened = recovery::open(&storage, wanted)?;
        let outcome = &opened.outcome;
        let torn = outcome.torn.as_ref().map(recovery::TornTail::of);
        if let Some(TornTail { file, offset, what }) = &torn {
            trace::warn(format_args!("a torn tail is cut: {what}, in {file:?} at byte {offset}"));
        }
        for error in &opened.unusable {
            trace::warn(format_args!("a checkpoint is of no use: {error}"));
        }
        let report = Recovered {
            entries: opened.ledger.next_sequence - 1,
            segments: opened.segments,
            checkpoint: opened.checkpoint,
            unusable_checkpoints: opened.unusable.clone(),
            openings: opened.openings(),
            closed: outcome.closed,
            torn,
            rewritten: opened.rewritten(),
            pending: 0,
            given_grace: 0,
            finished: 0,
            keys: 0,
            transfer_requests: 0,
            took: Duration::ZERO,
        };
        Ok(Some(Self { options, storage, opened, keys, history, report, began }))
    }

    pub(super) fn ledger(&self) -> &Ledger {
        &self.opened.ledger
    }

    /// Gives the log in memory what was read, and the writer the journal to go on with. Returns once
    /// all that was found is on the disk.
    pub(super) fn go_on(
        mut self,
        recorder: &Arc<AuditRecorder>,
        writer: &mut Writer,
        now: Timestamp,
        randomness: &Randomness,
    ) -> Result<(Ledger, JournalLink), JournalError> {
        let (first, mut records) = self.opened.take_history();
        recorder.memory.resume(first, self.opened.history.latest_gone);
        recorder.memory.append(&mut records, &recorder.pool);
        let weak = Arc::downgrade(recorder);
        let storage = Arc::clone(&self.storage);
        let progress = Progress::new(storage, self.options.sync_interval, move |failure| {
            match (weak.upgrade(), failure) {
                (Some(recorder), Failure::Begins(reason)) => recorder.gate().stop(reason),
                // The writer finds the failure, and starts afresh.
                (Some(recorder), Failure::Known) => recorder.queue.bell().wake(),
                (None, _) => {}
            }
        });
        let random = u128::from(randomness.next()) << 64 | u128::from(randomness.next());
        let ledger = std::mem::replace(&mut self.opened.ledger, Ledger::new(0));
        let lock = self.opened.lock();
        let from = self.opened.continuation(now, random);
        checkpoint::remove_unfinished(&*self.storage)?;
        let segment_bytes = self.options.segment_bytes;
        let (storage, progress) = (Arc::clone(&self.storage), Arc::new(progress));
        let journal = JournalWriter::open(storage, Arc::clone(&progress), segment_bytes, from);
        let journal = journal.map_err(|error| JournalError::Storage {
            action: "begin",
            file: "a new segment".to_owned(),
            reason: error.to_string(),
        })?;
        writer.attach(journal);
        self.report.took = self.began.elapsed();
        let link = JournalLink {
            storage: self.storage,
            progress,
            recovered: self.report,
            grace: self.options.grace,
            least_free: self.options.least_free,
            auditing: None,
            wants_auditor: self.options.auditor,
            checkpoints: self.options.checkpoint_every.map(|every| CheckpointOptions {
                every,
                keys: self.keys,
                history: self.history,
            }),
            retention: self.options.retention,
            files: Mutex::new(()),
            held: Arc::downgrade(&lock),
            holders: AtomicUsize::new(0),
            lock: Some(lock),
        };
        Ok((ledger, link))
    }
}

impl super::Builder {
    /// Keeps a journal in `directory`, and goes on with the one that is there: the engine is as it
    /// was when the journal ended. The directory is made if it does not exist; a second process that
    /// opens it for writing is refused.
    ///
    /// Warehouses keep the numbers of the journal's first opening; new ones come behind. One that the
    /// journal knows and the builder lacks is refused. What the builder sets stands if it differs from
    /// what the builder set before; else what was changed at run time stands.
    ///
    /// ```
    /// # let directory = std::env::temp_dir().join(format!("stockade-doc-{}", std::process::id()));
    /// use stockade::InventoryManager;
    /// let open = || InventoryManager::builder().warehouse("SF").journal(&directory).build();
    /// let manager = open()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// drop(manager);
    ///
    /// assert_eq!(open()?.available(("SF", "LAPTOP")), 10);
    /// # std::fs::remove_dir_all(&directory)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn journal(self, directory: impl Into<PathBuf>) -> Self {
        self.journal_storage(FileStorage::new(directory))
    }

    /// As [`journal`](Self::journal), on another storage than a directory.
    pub fn journal_storage(mut self, storage: impl Storage) -> Self {
        self.journal.storage = Some(Arc::new(storage));
        self
    }

    /// How long to wait for another process that has the journal open. Default: not at all.
    pub fn wait_for_lock(mut self, longest: Duration) -> Self {
        self.journal.wait_for_lock = longest;
        self
    }

    /// At this length a segment of the journal is followed by the next. Default: 64 MiB.
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.journal.segment_bytes = bytes;
        self
    }

    /// How long what is written may wait for the disk, where nobody waits for it. Default: 100 ms.
    pub fn sync_interval(mut self, interval: Duration) -> Self {
        self.journal.sync_interval = interval;
        self
    }

    /// How long holds that fell due while the engine was down live on after it is opened. Zero: they
    /// expire at once. Default: 60 seconds.
    pub fn recovery_grace(mut self, grace: Duration) -> Self {
        self.journal.grace = grace;
        self
    }

    /// With fewer free bytes than this on the journal's disk, [`health`](InventoryManager::health) is
    /// [`Degraded`](crate::Health::Degraded). Default: 256 MiB.
    pub fn least_free_space(mut self, bytes: u64) -> Self {
        self.journal.least_free = bytes;
        self
    }

    /// Whether a thread of its own reads the journal again as it is written, and checks every law on
    /// every entry: [`health`](InventoryManager::health) tells what it finds, and
    /// [`verify`](InventoryManager::verify) relies on it. It takes half of one core's time at most,
    /// on Linux behind all other threads that want to run (a niceness of 10), and as much memory as the
    /// reservations' records. Default: yes.
    pub fn auditor(mut self, on: bool) -> Self {
        self.journal.auditor = on;
        self
    }

    /// After how many full segments the auditor writes a checkpoint: what the journal adds up to, so
    /// that a recovery reads only what came after. `None`: never. Default: 4.
    ///
    /// The newest two are kept, each of some 50 bytes for a reservation that is remembered. A recovery
    /// begins with one that leaves as many entries behind it as the log in memory retains
    /// ([`audit_retained`](Self::audit_retained)), so that none is written before as many have come.
    /// One that falls due by an orderly end is written then, if there is time.
    pub fn checkpoint_every(mut self, segments: impl Into<Option<u64>>) -> Self {
        self.journal.checkpoint_every = segments.into();
        self
    }

    /// What becomes of old segments that no recovery needs: they stay (the default), move to an
    /// archive, or are removed; see [`JournalRetention`]. The auditor does it after each checkpoint. What
    /// fails shows in [`health`](InventoryManager::health), stops nobody, and is tried again.
    ///
    /// With segments that go, an opening's time and the journal's disk stay bounded, however long it
    /// lives. The log in memory then reaches back to the oldest kept checkpoint at most.
    pub fn journal_retention(mut self, retention: JournalRetention) -> Self {
        self.journal.retention = retention;
        self
    }

    /// Called after each segment of the journal that was replayed.
    pub fn recovery_progress(
        mut self,
        listener: impl FnMut(RecoveryProgress) + Send + 'static,
    ) -> Self {
        self.journal.progress = Some(Box::new(listener));
        self
    }
}
