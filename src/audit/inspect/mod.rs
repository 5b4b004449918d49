//! Asking a journal what it says, without an engine: whether it is sound, what happened, and what it
//! adds up to. Nothing here writes.

mod entries;
mod frozen;
mod stock;
mod verify;

use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use crate::audit::head::HeadHash;
use crate::audit::journal::files::FileStorage;
use crate::audit::journal::layout::{Layout, failed};
use crate::audit::journal::reader::{Outcome, Segment};
use crate::audit::journal::storage::Storage;
use crate::audit::recovery::RecoveryProgress;
use crate::audit::scan;
use crate::error::JournalError;

use frozen::Frozen;

pub use stock::{JournalLevel, JournalStock};
pub use verify::{VerifiedJournal, VerifyError};

/// A journal to be read: verified, listed, or added up.
///
/// Never writes, takes no lock, and works beside a running engine: each call sees the journal as it is
/// when the call begins. Reads segment by segment, with at most three of them in memory (of 64 MiB,
/// unless the engine was told otherwise), in two threads and with the checksums on all cores.
///
/// ```
/// # let directory = std::env::temp_dir().join(format!("stockade-reader-{}", std::process::id()));
/// use stockade::{AdjustmentType, AuditFilter, InventoryManager, JournalReader};
/// let manager = InventoryManager::builder().warehouse("SF").journal(&directory).build()?;
/// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
/// manager.sell(("SF", "LAPTOP"), 3)?;
/// manager.flush().wait()?;
///
/// let journal = JournalReader::new(&directory);
/// assert_eq!(journal.verify()?.head.sequence, manager.audit().newest_sequence());
/// assert_eq!(journal.stock()?.levels[0].counts, manager.counts(("SF", "LAPTOP")));
/// let sales = AuditFilter::new().entry_type(AdjustmentType::Sold);
/// assert_eq!(journal.query(&sales)?.entries, manager.audit().query(&sales).entries);
/// # drop(manager);
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct JournalReader {
    storage: Arc<dyn Storage>,
    expected: Option<HeadHash>,
    progress: Option<Arc<dyn Fn(RecoveryProgress) + Send + Sync>>,
}

impl JournalReader {
    /// The journal in `directory`. Nothing is read yet.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self::on(FileStorage::new(directory))
    }

    /// As [`new`](Self::new), on another storage than a directory.
    pub fn on(storage: impl Storage) -> Self {
        Self { storage: Arc::new(storage), expected: None, progress: None }
    }

    /// A head that the journal once had, kept elsewhere: [`InventoryManager::head`]. The journal may
    /// have grown since. [`verify`](Self::verify) finds out whether this one still contains it; without
    /// it, nobody can see from the journal alone that whole newest batches were removed, or that
    /// everything was rewritten.
    ///
    /// [`InventoryManager::head`]: crate::InventoryManager::head
    pub fn expect_head(mut self, head: HeadHash) -> Self {
        self.expected = Some(head);
        self
    }

    /// Called after each segment that was read, in the thread of the call.
    pub fn on_progress(
        mut self,
        listener: impl Fn(RecoveryProgress) + Send + Sync + 'static,
    ) -> Self {
        self.progress = Some(Arc::new(listener));
        self
    }

    /// The segments as they are now.
    fn freeze(&self) -> Result<(Frozen, Layout), JournalError> {
        let frozen = Frozen::new(Arc::clone(&self.storage));
        let frozen = frozen.map_err(|error| failed("list", "", &error))?;
        if frozen.is_empty() {
            return Err(JournalError::Missing);
        }
        let layout = Layout::find(&frozen)?;
        Ok((frozen, layout))
    }

    /// Reads on until `take` has seen enough; it says how many entries it has seen. `None` if what
    /// comes after was not read.
    fn read(
        &self,
        (frozen, layout): &(Frozen, Layout),
        mut take: impl FnMut(&Segment) -> Result<ControlFlow<(), u64>, JournalError>,
    ) -> Result<Option<Outcome>, JournalError> {
        let mut progress =
            RecoveryProgress { of_segments: layout.path.len(), ..RecoveryProgress::default() };
        scan::read_ahead(frozen, layout, |segment, _| match take(&segment)? {
            ControlFlow::Break(()) => Ok(ControlFlow::Break(())),
            ControlFlow::Continue(entries) => {
                progress.segments += 1;
                progress.entries = entries;
                if let Some(tell) = &self.progress {
                    tell(progress);
                }
                Ok(ControlFlow::Continue(()))
            }
        })
    }
}

impl fmt::Debug for JournalReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournalReader").field("expected", &self.expected).finish_non_exhaustive()
    }
}
