//! Erasing what callers noted, on request, without breaking the chain.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use crate::audit::checkpoint;
use crate::audit::entry::AuditEntry;
use crate::audit::journal::archived::WithArchive;
use crate::audit::journal::batch::{self, body_sum};
use crate::audit::journal::decode::{Decoded, Decoder};
use crate::audit::journal::layout::{Layout, PathSegment, damaged, failed};
use crate::audit::journal::notes::ERASED;
use crate::audit::journal::reader::{FoundBatch, Segment, find};
use crate::audit::journal::segment::{self, HEADER};
use crate::audit::journal::storage::Storage;
use crate::audit::journal::trimmed;
use crate::audit::ledger::Ledger;
use crate::audit::replay::{Visitor, replay};
use crate::error::JournalError;

/// What was erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redacted {
    /// Records whose notes were erased by this call.
    pub records: u64,
    /// Segments that were written anew for it.
    pub segments: usize,
}

/// Erases the notes of all records of which `wanted` picks an entry: personal data, say, that somebody
/// asked to be deleted. Movements, reservations, owners and keys stay; the chain of hashes stays what
/// it was, and [`JournalReader::verify`](crate::JournalReader::verify) says how many records were
/// erased. Notes that were given up with the tail of a segment go too.
///
/// The journal must not be open: the files that bear such notes are written anew, one after the other,
/// each at once. A crash in between leaves some of them erased; do it again then. Copies and backups
/// are not touched. Where segments were archived, use [`redact_with_archive`].
///
/// Who decided on transfers, and why, stands in checkpoints too. Those are removed; where the segments
/// before them are gone, the oldest stays, without the texts that are not in what is left.
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
    storage: &dyn Storage,
    whole: &dyn Storage,
    archive: Option<&dyn Storage>,
    wanted: impl FnMut(&AuditEntry) -> bool,
) -> Result<Redacted, JournalError> {
    let lock = |storage: &dyn Storage| {
        storage.lock().map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => JournalError::Locked,
            _ => failed("lock", "", &error),
        })
    };
    let _locks = (lock(storage)?, archive.map(lock).transpose()?);
    let mut layout = Layout::find(whole)?;
    let mark = trimmed::read(storage)?;
    let is_seen = archive.is_some() && layout.trimmed.is_none();
    if !is_seen && mark.is_some_and(|mark| mark.archived) {
        // They would stay in the archive.
        return Err(JournalError::Trimmed { oldest: layout.oldest() });
    }
    let mut ledger = match layout.trimmed {
        Some(_) => checkpoint::begin_trimmed(whole, &mut layout, 0)?.1,
        None => Ledger::new(0),
    };
    let mut picked = Picked { wanted, marked: HashSet::new(), edits: BTreeMap::new(), records: 0 };
    let outcome = replay(whole, &layout, &mut ledger, &mut picked, None)?;
    if let Some(torn) = outcome.torn {
        let what = format!("a torn tail, which an engine has to cut first: {}", torn.what);
        return Err(damaged(&torn.file, torn.offset, what));
    }
    let mut redacted = Redacted { records: picked.records, segments: 0 };
    // Checkpoints know who decided on transfers, and why. Where a recovery needs none, all go; where the
    // segments before them are gone, the oldest is written anew, and the others go.
    let kept = match mark {
        Some(_) => checkpoint::remove_all_but_oldest(storage, whole, &layout)?,
        None if redacted.records > 0 => checkpoint::remove_all(storage).map(|()| None)?,
        None => None,
    };
    for on_path in layout.path.iter().filter(|_| redacted.records > 0) {
        let edits = picked.edits.remove(&on_path.name).unwrap_or_default();
        // The archive's copy first: as long as the journal's has the notes, they are found again.
        let mut anew = false;
        for storage in archive.into_iter().chain([storage]) {
            anew |= redact_segment(storage, on_path, &edits)?;
        }
        redacted.segments += usize::from(anew);
    }
    if redacted.records > 0 {
        remove_given_up(storage, &layout)?;
    }
    if let Some(kept) = kept {
        checkpoint::erase_texts(storage, whole, &kept)?;
    }
    Ok(redacted)
}

/// Writes a segment anew without the notes at `edits` and without what was given up behind it; `false`
/// if there is nothing to be erased in it here.
fn redact_segment(
    storage: &dyn Storage,
    on_path: &PathSegment,
    edits: &[Range<usize>],
) -> Result<bool, JournalError> {
    let name = &on_path.name;
    let mut bytes = match storage.read(name, 0, u64::MAX) {
        // It is in the other place.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        bytes => bytes.map_err(|error| failed("read", name, &error))?,
    };
    let given_up = bytes.len() as u64 > on_path.limit;
    if edits.is_empty() && !given_up {
        return Ok(false);
    }
    bytes.truncate(usize::try_from(on_path.limit).unwrap_or(usize::MAX));
    erase(&mut bytes, on_path.header.number, edits);
    trimmed::replace(storage, name, &bytes).map_err(|error| failed("write", name, &error))?;
    Ok(true)
}

/// Overwrites the blocks at `edits` with zeros, and sets the batches' checksums right.
fn erase(bytes: &mut [u8], seed: u64, edits: &[Range<usize>]) {
    for edit in edits {
        bytes[edit.clone()].fill(0);
        bytes[edit.start] = ERASED;
    }
    let mut offset = HEADER;
    while let Ok(found) = find(bytes, offset, seed) {
        offset = found.end();
        let mut header = found.header;
        header.body_sum = body_sum(&bytes[found.records.start..found.notes.end]);
        bytes[found.offset..found.offset + batch::HEADER].copy_from_slice(&header.to_bytes(seed));
    }
}

/// Removes segments on no way to the journal's start: what they hold may have been erased elsewhere.
fn remove_given_up(storage: &dyn Storage, layout: &Layout) -> Result<(), JournalError> {
    for name in storage.list().map_err(|error| failed("list", "", &error))? {
        let on_path = layout.path.iter().any(|it| it.name == name);
        if segment::number_of(&name).is_some() && !on_path {
            storage.remove(&name).map_err(|error| failed("remove", &name, &error))?;
        }
    }
    storage.sync_directory().map_err(|error| failed("sync", "", &error))
}

/// The records that were picked, and where their notes lie.
struct Picked<F> {
    wanted: F,
    /// The first entries of those of the present batch.
    marked: HashSet<u64>,
    /// Blocks of notes by the name of their segment.
    edits: BTreeMap<String, Vec<Range<usize>>>,
    records: u64,
}

impl<F: FnMut(&AuditEntry) -> bool> Visitor for Picked<F> {
    fn looks_back(&self) -> bool {
        true
    }

    fn record(&mut self, ledger: &Ledger, first: u64, decoded: &Decoded<'_>) -> ControlFlow<()> {
        if let Decoded::Long(long) = decoded
            && !long.erased
        {
            let metadata = decoded.metadata();
            let mut entries = decoded.views().zip(first..);
            if entries.any(|(view, at)| (self.wanted)(&view.to_entry(at, ledger, &metadata))) {
                self.marked.insert(first);
            }
        }
        ControlFlow::Continue(())
    }

    fn batch(&mut self, segment: &Segment, found: &FoundBatch, _: u64) {
        if self.marked.is_empty() {
            return;
        }
        let (records, notes) =
            (&segment.bytes[found.records.clone()], &segment.bytes[found.notes.clone()]);
        let mut decoder = Decoder::new(records, notes, found.header.base);
        let mut first = found.header.first_sequence;
        loop {
            let before = decoder.notes_left();
            // It was decoded a moment ago.
            let Ok(Some(decoded)) = decoder.next() else { break };
            let sequence = first;
            first += decoded.entries();
            let after = decoder.notes_left();
            if after < before && self.marked.contains(&sequence) {
                let block = found.notes.end - before..found.notes.end - after;
                self.edits.entry(segment.name.clone()).or_default().push(block);
                self.records += 1;
            }
        }
        self.marked.clear();
    }
}
