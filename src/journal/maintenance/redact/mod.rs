//! Erasing what callers noted, on request, without breaking the chain.

mod picked;
mod places;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::audit::entry::AuditEntry;
use crate::audit::log::Redacted;
use crate::base::error::JournalError;
use crate::journal::layout::JournalDir;
use crate::journal::storage::Storage;
use crate::journal::storage::archived::WithArchive;

pub(crate) use places::{Places, lock};

/// What is without its notes now, as those have to know who remember some of it.
#[derive(Debug, Default)]
pub(crate) struct Erased {
    pub(crate) redacted: Redacted,
    /// The first entries of records without notes, of those that were asked for.
    pub(crate) records: BTreeSet<u64>,
    /// The numbers of transfers of which nothing says any more who decided, and why.
    pub(crate) decisions: BTreeSet<u64>,
}

/// Whose notes are to be erased.
pub(crate) struct EraseRequest<'a> {
    pub(crate) wanted: &'a mut dyn FnMut(&AuditEntry) -> bool,
    /// Only those of entries up to this one; all of them must lie in the segments that are looked at.
    pub(crate) last: u64,
    /// Records without notes that have an entry from this one on are to be named.
    pub(crate) remembered: u64,
    /// The newest segment that nobody writes any more: older ones that are not part of the journal go.
    pub(crate) newest: u64,
    /// Whether to give up before the next file.
    pub(crate) stop: &'a dyn Fn() -> bool,
}

/// Erases the notes of all records of which `wanted` picks an entry: personal data, say, that somebody
/// asked to be deleted. Movements, reservations, owners and keys stay; the chain of hashes stays what
/// it was, and [`JournalReader::verify`](crate::JournalReader::verify) says how many records were
/// erased. Notes that were given up with the tail of a segment go too.
///
/// The journal must not be open (an engine that has it erases by itself:
/// [`InventoryManager::redact`](crate::InventoryManager::redact)). The files that bear such notes are
/// written anew, one after the other, each at once. A crash in between leaves some of them erased and a
/// sound journal; do it again then. Copies and backups are not touched. Where segments were archived,
/// use [`redact_with_archive`].
///
/// Who decided on transfers, and why, stands in checkpoints too, and goes there as well. Of decisions
/// whose segments were removed, nobody can ask `wanted` any more: their texts go with every call.
///
/// # Errors
/// [`JournalError::Locked`] if an engine has the journal; [`JournalError::Damaged`] if it is not sound,
/// or ends in a torn tail, which an engine has to cut first; [`JournalError::Trimmed`] if segments were
/// archived, and the archive was not given; what the storage says.
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

/// As [`redact`], in the journal and in the archive of its old segments: see
/// [`JournalRetention`](crate::JournalRetention). Both must not be in use.
///
/// # Errors
/// As [`redact`].
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
