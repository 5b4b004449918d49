//! The options of a journal: where it lies, and how it is synced, checkpointed and trimmed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::base::foreign::Watch;
use crate::journal::layout::lock::LOCK_WAIT;
use crate::journal::maintenance::retention::JournalRetention;
use crate::journal::recovery::replay::RecoveryProgress;
use crate::journal::storage::Storage;
use crate::journal::storage::files::FileStorage;
use crate::journal::storage::guarded::GuardedStorage;

/// The options of an engine's journal, the write-ahead log on disk; see
/// [`Builder::journal`](crate::Builder::journal).
///
/// A path or a [`Storage`] converts into options with all defaults.
///
/// ```
/// # let directory = std::env::temp_dir().join(format!("stockade-options-{}", std::process::id()));
/// use std::time::Duration;
/// use stockade::{InventoryManager, JournalOptions};
/// let journal = JournalOptions::directory(&directory)
///     .segment_bytes(16 << 20)
///     .sync_interval(Duration::from_millis(20));
/// let manager = InventoryManager::builder().warehouse("SF").journal(journal).build()?;
/// # drop(manager);
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "journal options do nothing until a builder gets them"]
pub struct JournalOptions {
    /// The storage, behind its guard.
    pub(crate) storage: Arc<dyn Storage>,
    /// Over the calls of the storage.
    pub(crate) watch: Arc<Watch>,
    /// The storage, if it was given as a directory.
    pub(crate) directory: Option<FileStorage>,
    pub(crate) file_mode: Option<u32>,
    pub(crate) wait_for_lock: Duration,
    pub(crate) segment_bytes: u64,
    pub(crate) sync_interval: Duration,
    pub(crate) recovery_grace: Duration,
    pub(crate) least_free_space: u64,
    pub(crate) auditor: bool,
    /// Full segments between two checkpoints. `None`: no checkpoints.
    pub(crate) checkpoint_every: Option<u64>,
    pub(crate) retention: JournalRetention,
    pub(crate) require_lineage: bool,
    pub(crate) keep_outcomes: Duration,
    pub(crate) outcome_memory: usize,
    pub(crate) progress: Option<ProgressListener>,
}

type ProgressListener = Box<dyn FnMut(RecoveryProgress) + Send>;

impl JournalOptions {
    /// A journal in this directory. Building the engine creates the directory if it does not exist.
    pub fn directory(directory: impl Into<PathBuf>) -> Self {
        let files = FileStorage::new(directory);
        Self { directory: Some(files.clone()), ..Self::storage(files) }
    }

    /// As [`directory`](Self::directory), on a storage of your own, or a simulated disk in tests.
    pub fn storage(storage: impl Storage) -> Self {
        let watch = Arc::<Watch>::default();
        Self {
            storage: Arc::new(GuardedStorage::new(Arc::new(storage), Arc::clone(&watch))),
            watch,
            directory: None,
            file_mode: None,
            wait_for_lock: LOCK_WAIT,
            segment_bytes: 64 << 20,
            sync_interval: Duration::from_millis(100),
            recovery_grace: Duration::from_secs(60),
            least_free_space: 256 << 20,
            auditor: true,
            checkpoint_every: Some(4),
            retention: JournalRetention::default(),
            require_lineage: false,
            keep_outcomes: Duration::from_secs(7 * 24 * 60 * 60),
            outcome_memory: 256 << 20,
            progress: None,
        }
    }

    /// The Unix mode of all files that the engine creates: segments, checkpoints, the lock, backups
    /// and the archive. Directories that it creates can be searched by those who may read. It holds
    /// whatever the process's umask says. What exists keeps its mode. Default: `0o600`, the owner
    /// only. With `0o640`, a reader of the same group can audit the journal while the engine runs.
    ///
    /// It has no effect on a [`Storage`] of your own: see
    /// [`FileStorage::file_mode`](crate::FileStorage::file_mode). Nor has it on systems other than
    /// Unix.
    pub fn file_mode(mut self, mode: u32) -> Self {
        self.file_mode = Some(mode);
        self
    }

    /// Before the first use: guards the archive as the journal's storage is, and gives the mode of
    /// the files to the storages that were given as directories.
    pub(crate) fn prepare_storages(&mut self) {
        self.share_file_mode();
        self.retention.guard_archive(&self.watch);
    }

    fn share_file_mode(&mut self) {
        let Some(mode) = self.file_mode else { return };
        if let Some(files) = self.directory.take() {
            let files = Arc::new(files.file_mode(mode));
            self.storage = Arc::new(GuardedStorage::new(files, Arc::clone(&self.watch)));
        }
        self.retention.set_file_mode(mode);
    }

    /// How long opening waits for the journal's lock if another engine has it. After that it fails
    /// with [`JournalError::Locked`](crate::JournalError::Locked). Default: five seconds. An engine
    /// that was dropped while its disk is slow, or while a checkpoint is written, gives the lock
    /// back a moment after the drop; a restart waits for that. Zero: it fails at once.
    pub fn wait_for_lock(mut self, longest: Duration) -> Self {
        self.wait_for_lock = longest;
        self
    }

    /// The length in bytes at which the journal goes on in a new segment. A segment ends with the
    /// batch that reaches this length, so it may be somewhat longer. Default: 64 MiB.
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// The longest time that written records stay unsynced while no caller waits for them. A power
    /// cut loses at most about what was written in this time, while the disk works. Callers who
    /// wait get a sync at once, whatever the interval. Default: 100 ms.
    pub fn sync_interval(mut self, interval: Duration) -> Self {
        self.sync_interval = interval;
        self
    }

    /// How long holds live on after an opening if they fell due while the engine was down. Their
    /// buyers get this time to confirm. Zero: they expire at once. Default: 60 seconds.
    pub fn recovery_grace(mut self, grace: Duration) -> Self {
        self.recovery_grace = grace;
        self
    }

    /// The free space on the journal's disk, in bytes, below which
    /// [`health`](crate::InventoryManager::health) is [`Degraded`](crate::Health::Degraded). It
    /// stops no call. Default: 256 MiB.
    pub fn least_free_space(mut self, bytes: u64) -> Self {
        self.least_free_space = bytes;
        self
    }

    /// Whether an auditor runs: a thread that follows the journal as it is written, and checks
    /// every law on every entry. [`health`](crate::InventoryManager::health) reports what it finds,
    /// and [`verify`](crate::InventoryManager::verify) relies on it. Default: yes.
    ///
    /// Cost: at most half of one core's time, and as much memory as the reservations' records. On
    /// Linux the thread runs at niceness 10, behind all other threads that want to run.
    pub fn auditor(mut self, on: bool) -> Self {
        self.auditor = on;
        self
    }

    /// After how many full segments the auditor writes a checkpoint. `None`: never. Default: 4.
    ///
    /// A checkpoint is the state that the journal adds up to, in a file. A recovery loads it and
    /// replays only what came after. The newest two checkpoints are kept. Each takes some 50 bytes
    /// for each remembered reservation.
    ///
    /// A recovery must also fill the log in memory, so it begins with a checkpoint that leaves at
    /// least [`audit_retained`](crate::Limits::audit_retained) entries behind it. Therefore no
    /// checkpoint is written before so many entries exist. If a checkpoint falls due when the
    /// engine is closed, it is written then, if there is time.
    pub fn checkpoint_every(mut self, segments: impl Into<Option<u64>>) -> Self {
        self.checkpoint_every = segments.into();
        self
    }

    /// What happens to old segments that no recovery needs: they stay (the default), move to an
    /// archive, or are removed; see [`JournalRetention`]. The auditor applies it after each
    /// checkpoint. A failure shows in [`health`](crate::InventoryManager::health), stops no call,
    /// and is tried again.
    ///
    /// If old segments go, the time of an opening and the journal's space on disk stay bounded,
    /// however long the journal lives. The log in memory then reaches back at most to the oldest
    /// checkpoint that is kept.
    pub fn retention(mut self, retention: JournalRetention) -> Self {
        self.retention = retention;
        self
    }

    /// Makes [`subscribe`](crate::InventoryManager::subscribe) refuse positions without a lineage,
    /// with [`JournalError::NoLineage`](crate::JournalError::NoLineage). Set it once all
    /// subscribers have stored a position anew: those that earlier releases stored can't be checked
    /// in full. The position before the first entry is taken. Default: they are taken.
    pub fn require_lineage(mut self) -> Self {
        self.require_lineage = true;
        self
    }

    /// How long the answers of idempotency keys and the outcomes of reservations are kept, at
    /// least. They lie in files of their own beside the segments, so they outlive segments that
    /// were archived or removed, and memory. Default: 7 days. Zero: there are no such files, and
    /// both live in memory only.
    ///
    /// It counts *journal time*, as [`JournalRetention::older_than`] does. A key lives at least
    /// this long, however many other keys come; if [`Limits::key_retention`] says longer, then
    /// memory still has it. Old answers go by whole files, so some stay half as long again. The
    /// newest ones are in no file yet, and stay at least until they are.
    ///
    /// The auditor writes the files. Without [it](Self::auditor) there are none.
    ///
    /// Cost: about 60 bytes on the disk for each answer and each outcome, and memory as
    /// [`outcome_memory`](Self::outcome_memory) says. A call without a key pays nothing. See
    /// `docs/sizing.md`.
    ///
    /// [`Limits::key_retention`]: crate::Limits::key_retention
    pub fn keep_outcomes(mut self, keep: Duration) -> Self {
        self.keep_outcomes = keep;
        self
    }

    /// The most memory, in bytes, that filters of outcome files take: about 2.5 bytes for each
    /// answer or outcome. With its filter in memory, a file that does not have a key costs a new
    /// key no read. Beyond this, the filters of the oldest parts stay on the disk, and a new key
    /// reads a page of each file whose filter it misses: [`Stats`](crate::Stats) counts these
    /// parts. The indexes, 0.06 bytes for each, are in memory whatever this says. Default: 256 MiB.
    pub fn outcome_memory(mut self, bytes: usize) -> Self {
        self.outcome_memory = bytes;
        self
    }

    /// A listener that recovery calls after each segment of the journal that it has replayed.
    pub fn recovery_progress(
        mut self,
        listener: impl FnMut(RecoveryProgress) + Send + 'static,
    ) -> Self {
        self.progress = Some(Box::new(listener));
        self
    }
}

impl std::fmt::Debug for JournalOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JournalOptions").finish_non_exhaustive()
    }
}

impl<S: Storage> From<S> for JournalOptions {
    fn from(storage: S) -> Self {
        Self::storage(storage)
    }
}

#[cfg(any(test, feature = "testing"))]
/// The options share the disk: what the journal writes is on this one.
impl From<&crate::journal::storage::simulated::SimulatedDisk> for JournalOptions {
    fn from(disk: &crate::journal::storage::simulated::SimulatedDisk) -> Self {
        Self::storage(disk.clone())
    }
}

/// Conversions from the types in which paths are usually given.
macro_rules! from_paths {
    ($($path:ty)+) => {$(
        impl From<$path> for JournalOptions {
            fn from(directory: $path) -> Self {
                Self::directory(directory)
            }
        }
    )+};
}

from_paths!(PathBuf &PathBuf &Path String &String &str);
