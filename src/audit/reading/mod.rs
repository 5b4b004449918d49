//! Reading a journal without an engine: its entries, its stock, and whether it is sound. Nothing here
//! writes or takes a lock, so that all of it works beside a running engine.

mod entries;
mod frozen;
mod stock;
mod verify;

use std::path::PathBuf;
use std::sync::Arc;

use crate::audit::journal::files::FileStorage;
use crate::audit::journal::layout::{Layout, failed};
use crate::audit::journal::reader::Outcome;
use crate::audit::journal::storage::Storage;
use crate::audit::ledger::Ledger;
use crate::audit::replay::{Listener, RecoveryProgress, Visitor, replay};
use crate::error::JournalError;

use frozen::Frozen;

pub use stock::{JournalStock, StockRow};
pub use verify::{Verified, VerifyError};

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
    progress: Option<Box<dyn FnMut(RecoveryProgress) + Send>>,
}

/// A journal as it is at this moment.
struct Source {
    frozen: Frozen,
    layout: Layout,
}

impl JournalReader {
    /// The journal in `directory`. Nothing is read yet.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self::on(FileStorage::new(directory))
    }

    /// A journal on another storage than a directory.
    pub fn on(storage: impl Storage) -> Self {
        Self { storage: Arc::new(storage), progress: None }
    }

    /// Calls `listener` after each segment that was read.
    #[must_use]
    pub fn on_progress(mut self, listener: impl FnMut(RecoveryProgress) + Send + 'static) -> Self {
        self.progress = Some(Box::new(listener));
        self
    }

    fn freeze(&self) -> Result<Source, JournalError> {
        let frozen = Frozen::new(Arc::clone(&self.storage));
        let frozen = frozen.map_err(|error| failed("list", "", &error))?;
        if frozen.is_empty() {
            return Err(JournalError::NoJournal);
        }
        let layout = Layout::find(&frozen)?;
        Ok(Source { frozen, layout })
    }

    fn listener(&mut self) -> Listener<'_> {
        self.progress.as_mut().map(|tell| &mut **tell as _)
    }

    fn replay(
        &mut self,
        source: &Source,
        ledger: &mut Ledger,
        visitor: &mut dyn Visitor,
    ) -> Result<Outcome, JournalError> {
        replay(&source.frozen, &source.layout, ledger, visitor, self.listener())
    }
}

impl std::fmt::Debug for JournalReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JournalReader").finish_non_exhaustive()
    }
}
