//! What leaves the journal of a running engine: entries for those who follow it, and copies.

use std::path::Path;
use std::sync::Arc;

use crate::base::error::JournalError;
use crate::base::sync::lock;
use crate::engine::InventoryManager;
use crate::journal::follow::subscribe::{JournalPosition, Subscription};
use crate::journal::format::head::JournalHead;
use crate::journal::maintenance::backup;
use crate::journal::storage::Storage;
use crate::journal::storage::files::FileStorage;

/// # The journal
#[cfg_attr(docsrs, doc(cfg(feature = "journal")))]
impl InventoryManager {
    /// The journal's entries from a position on, in order, as they reach the disk: for a service that
    /// keeps a store of its own in step. A position that was kept survives restarts. A slow subscriber
    /// holds up nobody.
    ///
    /// # Errors
    /// [`JournalError::Rewound`] if the position lies in a tail that a crash has taken since: there is
    /// never a silent continuation. [`JournalError::Trimmed`] if it is older than what is kept, in the
    /// journal and in the archive that [`JournalOptions::retention`](crate::JournalOptions::retention) names;
    /// [`JournalError::NoJournal`] without a journal; what the storage says.
    ///
    /// ```
    /// # let directory = std::env::temp_dir().join(format!("stockade-follow-{}", std::process::id()));
    /// use stockade::{InventoryManager, JournalPosition};
    /// let manager = InventoryManager::builder().warehouse("SF").journal(&directory).build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    ///
    /// let mut entries = manager.subscribe(JournalPosition::default())?;
    /// let first = entries.wait()?.expect("the engine lives"); // or: entries.next_entry().await?
    /// assert_eq!(first.sequence, 1);
    /// let kept = entries.position(); // with what was made of the entry
    /// let mut again = manager.subscribe(kept)?;
    /// assert_eq!(again.wait()?.expect("the engine lives").sequence, 2);
    /// # drop(manager);
    /// # std::fs::remove_dir_all(&directory)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn subscribe(&self, after: JournalPosition) -> Result<Subscription, JournalError> {
        let journal = self.journal_link()?;
        let progress = Arc::clone(&journal.progress);
        let storage = journal.whole();
        let names = Arc::clone(&self.engine.catalog) as _;
        Subscription::new(storage, progress, names, journal.recovery_report.openings + 1, after)
    }

    /// Copies the journal, up to what is on the disk, into a directory that is empty or does not exist.
    /// An engine can be built on the copy; what was archived is not in it. Takes as long as reading and
    /// writing the files does; nobody waits for it but another backup and [`redact`](Self::redact), as it
    /// waits for them.
    ///
    /// # Errors
    /// [`JournalError::Storage`] if the directory is not empty, or a file can't be read or written;
    /// [`JournalError::NoJournal`] without a journal.
    ///
    /// ```
    /// # let directory = std::env::temp_dir().join(format!("stockade-backup-{}", std::process::id()));
    /// use stockade::{InventoryManager, JournalReader};
    /// let (here, there) = (directory.join("journal"), directory.join("copy"));
    /// let manager = InventoryManager::builder().warehouse("SF").journal(&here).build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// manager.flush().wait()?;
    /// let head = manager.backup(&there)?;
    /// assert_eq!(JournalReader::new(&there).verify(None)?.head, head);
    /// # drop(manager);
    /// # std::fs::remove_dir_all(&directory)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn backup(&self, directory: impl AsRef<Path>) -> Result<JournalHead, JournalError> {
        self.backup_to(&FileStorage::new(directory.as_ref()))
    }

    /// As [`backup`](Self::backup), to another storage than a directory.
    ///
    /// # Errors
    /// As there.
    pub fn backup_to(&self, storage: &dyn Storage) -> Result<JournalHead, JournalError> {
        let journal = self.journal_link()?;
        #[cfg(not(planted = "copied_while_erased"))]
        let _alone = lock(&journal.files);
        let _still = journal.auditing.as_ref().map(|auditing| auditing.pause_trimming());
        backup::copy(&*journal.storage, storage, || journal.progress.durable_point())
    }
}
