//! Redaction: erases the text of notes, on request. The hash chain still holds, because it does not
//! cover notes.

mod picked;
mod places;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::audit::entry::AuditEntry;
use crate::audit::log::Redacted;
use crate::base::error::JournalError;
use crate::journal::layout::JournalDir;
use crate::journal::storage::archived::WithArchive;
use crate::journal::storage::{Storage, place};

pub(crate) use places::{Places, lock};

/// What a redaction erased, for the parts of the engine that hold some of it in memory.
#[derive(Debug, Default)]
pub(crate) struct Erased {
    pub(crate) redacted: Redacted,
    /// The records without notes: the sequence number of each one's first entry, if the request
    /// wanted it named.
    pub(crate) records: BTreeSet<u64>,
    /// The numbers of the transfer requests of which no record says any more who decided, and why.
    pub(crate) decisions: BTreeSet<u64>,
}

/// Which notes are to be erased.
pub(crate) struct EraseRequest<'a> {
    pub(crate) wanted: &'a mut dyn FnMut(&AuditEntry) -> bool,
    /// Only records that begin at or before this entry are erased. All of them must lie in the
    /// segments that are read.
    pub(crate) last: u64,
    /// The result names a record without notes if the record's last entry is this one or a later
    /// one: the log in memory still holds these.
    pub(crate) remembered: u64,
    /// The newest segment that nobody writes any more. Segments up to it that are not on the
    /// journal's path are removed.
    pub(crate) newest: u64,
    /// Asked at each batch and before each file; `true` stops the redaction.
    pub(crate) stop: &'a dyn Fn() -> bool,
}

/// Erases the notes of all records of which `wanted` accepts an entry: for example personal data
/// that a customer asked to be deleted. Movements, reservations, owners and keys stay. The hash
/// chain stays valid, and [`JournalReader::verify`](crate::JournalReader::verify) counts the erased
/// records. Notes in bytes that were given up behind a segment's end go, too.
///
/// No engine may have the journal open. This call waits for the lock up to five seconds, since an
/// engine that has ended may give it back a moment later. An engine that has it open erases by
/// [`InventoryManager::redact`](crate::InventoryManager::redact). This function reads the whole
/// journal, and rewrites each file that holds such notes, one at a time and each atomically. A
/// crash in between leaves a sound journal with some of the notes erased; call it again then.
/// Copies and backups are not touched. If segments were archived, use [`redact_with_archive`].
///
/// Checkpoints also hold who decided on a transfer, and why. This is erased there, too. If the
/// segment of a decision was removed, `wanted` can't be asked about it any more, so every call
/// erases its texts.
///
/// # Errors
/// [`JournalError::Locked`] if an engine has the journal open; [`JournalError::Damaged`] if it is
/// not sound, or ends in a torn tail, which an engine has to cut first; [`JournalError::Trimmed`]
/// if segments were archived and the archive is not given; otherwise the storage's error.
///
/// ```
/// # let directory = std::env::temp_dir().join(format!("stockade-redact-{}", std::process::id()));
/// use stockade::{FileStorage, InventoryManager, JournalReader};
/// let manager = InventoryManager::builder().warehouse("SF").journal(&directory).build()?;
/// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
/// manager.request().note("customer", "M. Curie").sell(("SF", "LAPTOP"), 1)?;
/// drop(manager);
///
/// let storage = FileStorage::new(&directory);
/// let redacted = stockade::redact(&storage, |entry| entry.note("customer") == Some("M. Curie"))?;
/// assert_eq!(redacted.records, 1);
/// assert_eq!(JournalReader::new(&directory).verify(None)?.erased, 1);
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn redact(
    storage: &dyn Storage,
    wanted: impl FnMut(&AuditEntry) -> bool,
) -> Result<Redacted, JournalError> {
    redact_in(storage, storage, None, wanted)
}

/// Like [`redact`], in the journal and in the archive of its old segments; see
/// [`JournalRetention`](crate::JournalRetention). Neither may be in use.
///
/// # Errors
/// As [`redact`], for both storages; also [`JournalError::OtherJournal`] if the archive belongs to
/// another journal.
///
/// ```
/// # let directory = std::env::temp_dir().join(format!("stockade-erase-{}", std::process::id()));
/// use stockade::{FileStorage, InventoryManager};
/// let (here, archive) = (directory.join("journal"), directory.join("archive"));
/// # drop(InventoryManager::builder().warehouse("SF").journal(&here).build()?);
/// let (journal, archive) = (FileStorage::new(&here), FileStorage::new(&archive));
/// let redacted = stockade::redact_with_archive(journal, archive, |entry| {
///     entry.note("customer") == Some("M. Curie")
/// })?;
/// assert_eq!(redacted.records, 0);
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn redact_with_archive(
    journal: impl Storage,
    archive: impl Storage,
    wanted: impl FnMut(&AuditEntry) -> bool,
) -> Result<Redacted, JournalError> {
    let (journal, archive): (Arc<dyn Storage>, Arc<dyn Storage>) =
        (Arc::new(journal), Arc::new(archive));
    let whole = WithArchive::new(Arc::clone(&journal), Arc::clone(&archive));
    redact_in(&*journal, &whole, Some(&*archive), wanted)
}

fn redact_in(
    journal: &dyn Storage,
    whole: &dyn Storage,
    archive: Option<&dyn Storage>,
    mut wanted: impl FnMut(&AuditEntry) -> bool,
) -> Result<Redacted, JournalError> {
    if let Some(archive) = archive {
        place::check_apart(journal, archive, "archive")?;
    }
    let places = Places { journal, archive, opening: 0 };
    let _locks = (lock(journal)?, archive.map(lock).transpose()?);
    let request = EraseRequest {
        wanted: &mut wanted,
        last: u64::MAX,
        remembered: u64::MAX,
        newest: u64::MAX,
        stop: &|| false,
    };
    let dir = JournalDir::find(whole)?;
    let erased = places.erase(dir, request)?.unwrap_or_default();
    places.erase_texts(&erased.decisions)?;
    Ok(erased.redacted)
}
