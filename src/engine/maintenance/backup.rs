//! Reads the journal of a running engine for others: subscriptions to its entries, and backups.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::base::error::JournalError;
use crate::base::foreign;
use crate::engine::InventoryManager;
use crate::journal::follow::subscribe::{JournalFeeds, Subscription};
use crate::journal::format::head::JournalHead;
use crate::journal::format::position::JournalPosition;
use crate::journal::layout::failed;
use crate::journal::maintenance::backup;
use crate::journal::storage::files::FileStorage;
use crate::journal::storage::{Storage, place};

/// # The journal
#[cfg_attr(docsrs, doc(cfg(feature = "journal")))]
impl InventoryManager {
    /// Follows the journal: its entries after a position, in order, as they become durable. For a
    /// service that keeps its own store in step with the engine. A stored position stays valid over
    /// restarts. A slow subscriber delays nobody.
    ///
    /// # Errors
    /// [`JournalError::Rewound`] if a crash has cut the tail that holds the position: a
    /// subscription never skips this silently. [`JournalError::Trimmed`] if the position is older
    /// than the oldest entry in the journal and in the archive that
    /// [`JournalOptions::retention`](crate::JournalOptions::retention) names.
    /// [`JournalError::NoJournal`] without a journal. [`JournalError::Storage`] if the storage
    /// fails.
    ///
    /// ```
    /// # let name = format!("stockade-follow-{}", std::process::id());
    /// # let directory = std::env::temp_dir().join(name);
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
        let required = self.journal_link()?.require_lineage;
        if required && after.lineage.is_none() && after.sequence > 0 {
            return Err(JournalError::NoLineage { sequence: after.sequence });
        }
        Subscription::new(self.journal_feeds()?, after)
    }

    /// What a subscription needs.
    pub(in crate::engine) fn journal_feeds(&self) -> Result<JournalFeeds, JournalError> {
        let journal = self.journal_link()?;
        Ok(JournalFeeds {
            storage: journal.whole(),
            progress: Arc::clone(&journal.progress),
            names: Arc::clone(&self.engine.catalog) as _,
            thread: journal.thread.clone(),
            opening: journal.opening,
        })
    }

    /// Copies the durable part of the journal into a directory that is empty or does not exist. An
    /// engine can be built on the copy. Archived segments are not copied. The call takes as long as
    /// reading and writing the files. Only another backup and [`redact`](Self::redact) wait for it,
    /// and it waits for them; calls that move stock do not.
    ///
    /// # Errors
    /// [`JournalError::Storage`] if the directory is not empty, or if a file cannot be read or
    /// written; [`JournalError::SamePlace`] if it is the journal's directory or lies in it;
    /// [`JournalError::PlaceChanged`] if the journal is not where it was opened;
    /// [`JournalError::NoJournal`] without a journal.
    ///
    /// ```
    /// # let name = format!("stockade-backup-{}", std::process::id());
    /// # let directory = std::env::temp_dir().join(name);
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
        let files = FileStorage::new(directory.as_ref());
        let mode = self.journal_link()?.file_mode;
        self.backup_to(&mode.into_iter().fold(files, FileStorage::file_mode))
    }

    /// As [`backup`](Self::backup), to any storage. A panic of it is an error of the storage.
    ///
    /// # Errors
    /// As [`backup`](Self::backup); [`JournalError::InHand`] if the storage of a backup, or the
    /// predicate of a redaction, made the call.
    pub fn backup_to(&self, storage: &dyn Storage) -> Result<JournalHead, JournalError> {
        let journal = self.journal_link()?;
        let _alone = journal.files.begin()?;
        let _still = journal.auditing.as_ref().map(|auditing| auditing.pause_trimming());
        // Before, so that a backup that was put in the journal's place is not copied; and after, so
        // that nothing is called a backup that was not copied from the journal.
        journal.progress.compare_place_now()?;
        place::check_outside(&*journal.storage, storage, "backup")?;
        let copied =
            || backup::copy(&*journal.storage, storage, || journal.progress.durable_point());
        // The storage is the caller's.
        let head = foreign::call(copied).unwrap_or_else(|said| {
            let panicked = io::Error::other(format!("the storage panicked: {said}"));
            Err(failed("write", "the copy", &panicked))
        })?;
        journal.progress.compare_place_now()?;
        Ok(head)
    }
}
