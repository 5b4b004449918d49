//! Erasing what callers noted, on request, without breaking the chain.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::ops::{ControlFlow, Range};

use crate::audit::checkpoint;
use crate::audit::entry::AuditEntry;
use crate::audit::journal::batch::{self, body_sum};
use crate::audit::journal::decode::{Decoded, Decoder};
use crate::audit::journal::layout::{Layout, damaged, failed};
use crate::audit::journal::notes::ERASED;
use crate::audit::journal::reader::{FoundBatch, Segment, find};
use crate::audit::journal::segment::{self, HEADER, UNFINISHED};
use crate::audit::journal::storage::Storage;
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
/// are not touched.
///
/// # Errors
/// [`JournalError::Locked`] if an engine has the journal; [`JournalError::Damaged`] if it is not sound,
/// or ends in a torn tail, which an engine has to cut first; what the storage says.
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
    let _lock = storage.lock().map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => JournalError::Locked,
        _ => failed("lock", "", &error),
    })?;
    let layout = Layout::find(storage)?;
    let mut picked = Picked { wanted, marked: HashSet::new(), edits: BTreeMap::new(), records: 0 };
    let outcome = replay(storage, &layout, &mut Ledger::new(0), &mut picked, None)?;
    if let Some(torn) = outcome.torn {
        let what = format!("a torn tail, which an engine has to cut first: {}", torn.what);
        return Err(damaged(&torn.file, torn.offset, what));
    }
    let mut redacted = Redacted { records: picked.records, segments: 0 };
    if redacted.records == 0 {
        return Ok(redacted);
    }
    // They know who decided on transfers, and why; a full recovery makes new ones.
    checkpoint::remove_all(storage)?;
    for on_path in &layout.path {
        let name = &on_path.name;
        let bytes =
            storage.read(name, 0, u64::MAX).map_err(|error| failed("read", name, &error))?;
        let given_up = bytes.len() as u64 > on_path.limit;
        let edits = picked.edits.remove(name).unwrap_or_default();
        if edits.is_empty() && !given_up {
            continue;
        }
        let mut bytes = bytes;
        bytes.truncate(usize::try_from(on_path.limit).unwrap_or(usize::MAX));
        erase(&mut bytes, on_path.header.number, &edits);
        write_anew(storage, name, &bytes)?;
        redacted.segments += 1;
    }
    remove_given_up(storage, &layout)?;
    Ok(redacted)
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

/// Puts a file with these bytes in place of the one of this name, at once.
fn write_anew(storage: &dyn Storage, name: &str, bytes: &[u8]) -> Result<(), JournalError> {
    let unfinished = format!("{name}{UNFINISHED}");
    match storage.remove(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("remove", &unfinished, &error));
        }
        _ => {}
    }
    let write = || {
        let file = storage.create(&unfinished)?;
        file.append(bytes)?;
        file.sync()?;
        storage.rename(&unfinished, name)?;
        storage.sync_directory()
    };
    write().map_err(|error| failed("write", &unfinished, &error))
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
