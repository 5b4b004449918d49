//! How a journal is kept: what the builder of an engine is told of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::journal::maintenance::retention::JournalRetention;
use crate::journal::recovery::replay::RecoveryProgress;
use crate::journal::storage::Storage;
use crate::journal::storage::files::FileStorage;

/// Where an engine's journal lies and how it is kept; see [`Builder::journal`](crate::Builder::journal).
///
/// A path or a [`Storage`] alone is one with the defaults.
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
#[must_use = "it says nothing until a builder has it"]
pub struct JournalOptions {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) wait_for_lock: Duration,
    pub(crate) segment_bytes: u64,
    pub(crate) sync_interval: Duration,
    pub(crate) recovery_grace: Duration,
    pub(crate) least_free_space: u64,
    pub(crate) auditor: bool,
    /// `None`: no checkpoints.
    pub(crate) checkpoint_every: Option<u64>,
    pub(crate) retention: JournalRetention,
    pub(crate) progress: Option<ProgressListener>,
}

type ProgressListener = Box<dyn FnMut(RecoveryProgress) + Send>;

impl JournalOptions {
    /// A journal in this directory, which is made if it does not exist.
    pub fn directory(directory: impl Into<PathBuf>) -> Self {
        Self::storage(FileStorage::new(directory))
    }

    /// As [`directory`](Self::directory), on another storage than a directory.
    pub fn storage(storage: impl Storage) -> Self {
        Self {
            storage: Arc::new(storage),
            wait_for_lock: Duration::ZERO,
            segment_bytes: 64 << 20,
            sync_interval: Duration::from_millis(100),
            recovery_grace: Duration::from_secs(60),
            least_free_space: 256 << 20,
            auditor: true,
            checkpoint_every: Some(4),
            retention: JournalRetention::default(),
            progress: None,
        }
    }

    /// How long to wait for another process that has the journal open. Default: not at all.
    pub fn wait_for_lock(mut self, longest: Duration) -> Self {
        self.wait_for_lock = longest;
        self
    }

    /// At this length a segment of the journal is followed by the next. Default: 64 MiB.
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// How long what is written may wait for the disk, where nobody waits for it. Default: 100 ms.
    pub fn sync_interval(mut self, interval: Duration) -> Self {
        self.sync_interval = interval;
        self
    }

    /// How long holds that fell due while the engine was down live on after it is opened. Zero: they
    /// expire at once. Default: 60 seconds.
    pub fn recovery_grace(mut self, grace: Duration) -> Self {
        self.recovery_grace = grace;
        self
    }

    /// With fewer free bytes than this on the journal's disk,
    /// [`health`](crate::InventoryManager::health) is [`Degraded`](crate::Health::Degraded). Default:
    /// 256 MiB.
    pub fn least_free_space(mut self, bytes: u64) -> Self {
        self.least_free_space = bytes;
        self
    }

    /// Whether a thread of its own reads the journal again as it is written, and checks every law on
    /// every entry: [`health`](crate::InventoryManager::health) tells what it finds, and
    /// [`verify`](crate::InventoryManager::verify) relies on it. It takes half of one core's time at
    /// most, on Linux behind all other threads that want to run (a niceness of 10), and as much memory
    /// as the reservations' records. Default: yes.
    pub fn auditor(mut self, on: bool) -> Self {
        self.auditor = on;
        self
    }

    /// After how many full segments the auditor writes a checkpoint: what the journal adds up to, so
    /// that a recovery reads only what came after. `None`: never. Default: 4.
    ///
    /// The newest two are kept, each of some 50 bytes for a reservation that is remembered. A recovery
    /// begins with one that leaves as many entries behind it as the log in memory retains
    /// ([`audit_retained`](crate::Limits::audit_retained)), so that none is written before as many have
    /// come. One that falls due by an orderly end is written then, if there is time.
    pub fn checkpoint_every(mut self, segments: impl Into<Option<u64>>) -> Self {
        self.checkpoint_every = segments.into();
        self
    }

    /// What becomes of old segments that no recovery needs: they stay (the default), move to an
    /// archive, or are removed; see [`JournalRetention`]. The auditor does it after each checkpoint. What
    /// fails shows in [`health`](crate::InventoryManager::health), stops nobody, and is tried again.
    ///
    /// With segments that go, an opening's time and the journal's disk stay bounded, however long it
    /// lives. The log in memory then reaches back to the oldest kept checkpoint at most.
    pub fn retention(mut self, retention: JournalRetention) -> Self {
        self.retention = retention;
        self
    }

    /// Called after each segment of the journal that was replayed.
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
/// The disk is shared: what the journal writes is on this one.
impl From<&crate::journal::storage::simulated::SimulatedDisk> for JournalOptions {
    fn from(disk: &crate::journal::storage::simulated::SimulatedDisk) -> Self {
        Self::storage(disk.clone())
    }
}

/// Paths, as they are written down.
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
