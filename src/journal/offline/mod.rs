//! Reads a journal without an engine: its entries, its stock, and whether it is sound. Nothing here
//! writes or takes a lock, so all of it works beside a running engine.

mod entries;
mod salvage;
mod snapshot_storage;
mod stock;
mod verify;

use std::path::PathBuf;
use std::sync::Arc;

use crate::base::error::JournalError;
use crate::journal::format::segment;
use crate::journal::layout::begin_mark::{self, BeginMark};
use crate::journal::layout::checkpoint_file::CheckpointHeader;
use crate::journal::layout::{JournalDir, Layout};
use crate::journal::ledger::Ledger;
use crate::journal::reader::ReadOutcome;
use crate::journal::recovery::replay::{Listener, RecoveryProgress, Visitor, replay};
use crate::journal::recovery::start::begin_trimmed;
use crate::journal::storage::Storage;
use crate::journal::storage::archived::WithArchive;
use crate::journal::storage::files::FileStorage;

use snapshot_storage::SnapshotStorage;

pub use salvage::{SalvageReport, SeenBatch};
pub use stock::{EntriesAhead, JournalStock, StockRow};
pub use verify::{VerifyError, VerifyReport};

/// Reads a journal: what happened, what it adds up to, and whether it was altered.
///
/// Every entry that is read is checked against the laws. Reading writes nothing and needs no lock.
/// If an engine is writing the journal, a call reads it as it was when the call began. If the
/// engine cuts or trims something that the call needs, the call begins again, a few times at most.
///
/// The journal is read in windows of 8 MiB, by two threads, with the checksums on all cores. At
/// most three windows are in memory, however long its files are; a batch that is longer than a
/// window is read whole. If the system grants no threads, the calling thread does all of it.
///
/// ```
/// # let directory = std::env::temp_dir().join(format!("stockade-reader-{}", std::process::id()));
/// use stockade::{AuditFilter, InventoryManager, JournalReader};
/// let manager = InventoryManager::builder().warehouse("SF").journal(&directory).build()?;
/// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
/// manager.sell(("SF", "LAPTOP"), 3)?;
/// drop(manager);
///
/// let mut reader = JournalReader::new(&directory);
/// let verified = reader.verify(None)?;
/// assert!(verified.closed && verified.torn.is_none());
///
/// let stock = reader.stock(None)?;
/// assert_eq!((stock.rows[0].available, stock.rows[0].sold), (7, 3));
///
/// let mut units = Vec::new();
/// reader.entries(&AuditFilter::new().product("LAPTOP"), |entry| units.push(entry.quantity))?;
/// assert_eq!(units, [0, 0, 10, 3, 3]); // defined, opened, received, reserved, sold
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct JournalReader {
    storage: Arc<dyn Storage>,
    archive: Option<Arc<dyn Storage>>,
    progress: Option<Box<dyn FnMut(RecoveryProgress) + Send>>,
}

/// A journal as it was at one moment.
struct Source {
    snapshot: SnapshotStorage,
    layout: Layout,
    /// The checkpoint that the reading begins with, if the journal's oldest segments are gone: its
    /// oldest usable one.
    beginning: Option<(CheckpointHeader, Ledger)>,
}

impl Source {
    fn dir(&self) -> JournalDir<'_> {
        JournalDir { storage: &self.snapshot, layout: self.layout.clone() }
    }
}

/// How often a call tries to read the journal, if an engine cuts or trims it meanwhile.
const ATTEMPTS: usize = 5;

impl JournalReader {
    /// A reader of the journal in `directory`. Reads nothing yet.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self::on(FileStorage::new(directory))
    }

    /// A reader of a journal on another storage than a directory. Reads nothing yet.
    pub fn on(storage: impl Storage) -> Self {
        Self { storage: Arc::new(storage), archive: None, progress: None }
    }

    /// Adds the archive in `directory`, to which the journal's old segments were moved
    /// ([`JournalRetention`](crate::JournalRetention)). With it, the journal reaches back to its
    /// first entry. Without it, a journal whose oldest segments are gone is read from its oldest
    /// checkpoint on.
    #[must_use]
    pub fn archive(self, directory: impl Into<PathBuf>) -> Self {
        self.archive_on(FileStorage::new(directory))
    }

    /// Like [`archive`](Self::archive), on another storage than a directory.
    #[must_use]
    pub fn archive_on(mut self, archive: impl Storage) -> Self {
        self.archive = Some(Arc::new(archive));
        self
    }

    /// The sequence number of the oldest entry that can be read: 1, unless segments were archived
    /// or removed. Reads file names and segment headers; if the oldest segments are gone, also a
    /// checkpoint.
    ///
    /// # Errors
    /// [`JournalError::NoJournal`] if there is no journal; [`JournalError::Damaged`] if a segment's
    /// header can't be read; otherwise the storage's error.
    pub fn oldest_entry(&self) -> Result<u64, JournalError> {
        self.take_snapshot(0).map(|source| source.layout.oldest())
    }

    /// Calls `listener` after each segment that was read, on the calling thread.
    #[must_use]
    pub fn on_progress(mut self, listener: impl FnMut(RecoveryProgress) + Send + 'static) -> Self {
        self.progress = Some(Box::new(listener));
        self
    }

    /// The journal, together with its archive if there is one.
    fn whole(&self) -> Arc<dyn Storage> {
        let storage = Arc::clone(&self.storage);
        match &self.archive {
            Some(archive) => Arc::new(WithArchive::new(storage, Arc::clone(archive))),
            None => storage,
        }
    }

    /// Takes a snapshot of the journal. If it begins with a checkpoint, that ledger remembers
    /// `keys` keys.
    fn take_snapshot(&self, keys: usize) -> Result<Source, JournalError> {
        let snapshot = SnapshotStorage::new(self.whole())?;
        if snapshot.is_empty() {
            return Err(JournalError::NoJournal);
        }
        let mut dir = JournalDir::find(&snapshot)?;
        let beginning = match dir.layout.trimmed {
            Some(_) => Some(begin_trimmed(&mut dir, keys)?),
            None => None,
        };
        let layout = dir.layout;
        Ok(Source { snapshot, layout, beginning })
    }

    /// Calls `read`, and calls it again if an engine cut or trimmed the journal meanwhile.
    fn retry_if_changed<T, E>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut before = FilesSeen::of(&*self.storage);
        for _ in 1..ATTEMPTS {
            let outcome = read(self);
            let now = FilesSeen::of(&*self.storage);
            let stands = match &outcome {
                // An opening that cuts a torn tail can make a reading stop early without an error.
                Ok(_) => now.opening == before.opening,
                Err(_) => now.has_all_of(&before),
            };
            if stands {
                return outcome;
            }
            before = now;
        }
        read(self)
    }

    fn listener(&mut self) -> Listener<'_> {
        self.progress.as_mut().map(|tell| &mut **tell as _)
    }

    fn replay(
        &mut self,
        source: &mut Source,
        keys: usize,
        visitor: &mut dyn Visitor,
    ) -> Result<(Ledger, ReadOutcome), JournalError> {
        let beginning = source.beginning.take().map(|(_, ledger)| ledger);
        let mut ledger = beginning.unwrap_or_else(|| Ledger::new(keys));
        let outcome = replay(&source.dir(), &mut ledger, visitor, self.listener())?;
        Ok((ledger, outcome))
    }
}

/// What an engine changes when it removes something from a journal.
struct FilesSeen {
    /// Changes when segments are archived or removed.
    mark: Result<Option<BeginMark>, JournalError>,
    /// Changes when the journal is opened. An opening cuts the torn tail, and writes unsynced
    /// batches again into another segment.
    opening: Result<u64, JournalError>,
    segments: Vec<String>,
}

impl FilesSeen {
    fn of(storage: &dyn Storage) -> Self {
        let mut segments = storage.list().unwrap_or_default();
        segments.retain(|name| segment::number_of(name).is_some());
        let opening = Layout::find_back_to(storage, |_| true);
        let opening = opening.map(|layout| layout.head().map_or(0, |head| head.header.opening));
        Self { mark: begin_mark::read(storage), opening, segments }
    }

    fn has_all_of(&self, before: &Self) -> bool {
        (&self.mark, &self.opening) == (&before.mark, &before.opening)
            && before.segments.iter().all(|name| self.segments.contains(name))
    }
}

impl std::fmt::Debug for JournalReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JournalReader").finish_non_exhaustive()
    }
}
