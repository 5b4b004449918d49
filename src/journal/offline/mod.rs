//! Reading a journal without an engine: its entries, its stock, and whether it is sound. Nothing here
//! writes or takes a lock, so that all of it works beside a running engine.

mod entries;
mod snapshot_storage;
mod stock;
mod verify;

use std::path::PathBuf;
use std::sync::Arc;

use crate::base::error::JournalError;
use crate::journal::format::segment;
use crate::journal::layout::begin_mark::{self, BeginMark};
use crate::journal::layout::checkpoint_file::CheckpointHeader;
use crate::journal::layout::{JournalDir, Layout, failed};
use crate::journal::ledger::Ledger;
use crate::journal::reader::ReadOutcome;
use crate::journal::recovery::replay::{Listener, RecoveryProgress, Visitor, replay};
use crate::journal::recovery::start::begin_trimmed;
use crate::journal::storage::Storage;
use crate::journal::storage::archived::WithArchive;
use crate::journal::storage::files::FileStorage;

use snapshot_storage::SnapshotStorage;

pub use stock::{JournalStock, StockRow};
pub use verify::{VerifyError, VerifyReport};

/// A journal to be read: what happened, what it adds up to, and whether it was altered.
///
/// Every law is checked on every entry that is read. Reading never writes, and needs no lock: a
/// journal that an engine is writing at this moment is read as it is when the call begins. It is read
/// segment by segment, in two threads and with the checksums on all cores; at most three segments are
/// in memory, of 64 MiB each unless the engine was told otherwise.
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

/// A journal as it is at this moment.
struct Source {
    snapshot: SnapshotStorage,
    layout: Layout,
    /// What the journal begins with, where its oldest segments are gone: the state of its oldest
    /// checkpoint.
    beginning: Option<(CheckpointHeader, Ledger)>,
}

impl Source {
    fn dir(&self) -> JournalDir<'_> {
        JournalDir { storage: &self.snapshot, layout: self.layout.clone() }
    }
}

/// How often a reading begins anew because something was taken away meanwhile.
const ATTEMPTS: usize = 5;

impl JournalReader {
    /// The journal in `directory`. Nothing is read yet.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self::on(FileStorage::new(directory))
    }

    /// A journal on another storage than a directory.
    pub fn on(storage: impl Storage) -> Self {
        Self { storage: Arc::new(storage), archive: None, progress: None }
    }

    /// Reads segments that were archived ([`JournalRetention`](crate::JournalRetention)) in `directory`,
    /// so that the journal reaches back to its first entry. Without it, a journal whose oldest segments
    /// are gone is read from its oldest checkpoint on.
    #[must_use]
    pub fn archive(self, directory: impl Into<PathBuf>) -> Self {
        self.archive_on(FileStorage::new(directory))
    }

    /// As [`archive`](Self::archive), on another storage than a directory.
    #[must_use]
    pub fn archive_on(mut self, archive: impl Storage) -> Self {
        self.archive = Some(Arc::new(archive));
        self
    }

    /// The oldest entry that can be read: 1, unless segments were archived or removed.
    ///
    /// # Errors
    /// [`JournalError::NoJournal`] if there is none; [`JournalError::Damaged`] if a segment's header
    /// can't be read; what the storage says.
    pub fn oldest_entry(&self) -> Result<u64, JournalError> {
        self.freeze(0).map(|source| source.layout.oldest())
    }

    /// Calls `listener` after each segment that was read.
    #[must_use]
    pub fn on_progress(mut self, listener: impl FnMut(RecoveryProgress) + Send + 'static) -> Self {
        self.progress = Some(Box::new(listener));
        self
    }

    /// The journal as it is now; a ledger that begins with a checkpoint remembers so many keys.
    fn freeze(&self, keys: usize) -> Result<Source, JournalError> {
        let storage = Arc::clone(&self.storage);
        let snapshot = SnapshotStorage::new(match &self.archive {
            Some(archive) => Arc::new(WithArchive::new(storage, Arc::clone(archive))),
            None => storage,
        });
        let snapshot = snapshot.map_err(|error| failed("list", "", &error))?;
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

    /// Reads, and begins anew where others have taken something away meanwhile that was to be read.
    fn again_if_changed<T, E>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut before = FilesSeen::of(&*self.storage);
        for _ in 1..ATTEMPTS {
            let outcome = read(self);
            let now = FilesSeen::of(&*self.storage);
            let stands = match &outcome {
                // Less may have been read than there was, without an error: an opening cuts a torn tail.
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

/// What changes when an engine takes something away from a journal.
struct FilesSeen {
    /// Segments were archived or removed.
    mark: Result<Option<BeginMark>, JournalError>,
    /// The journal was opened: what a crash had left is cut off, and written again elsewhere.
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
