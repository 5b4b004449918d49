//! Checkpoints of a ledger: reading, changing and removing them, and finding the one to begin with.

use std::collections::BTreeSet;
use std::io;

use crate::error::JournalError;
use crate::journal::format::batch::Hash;
use crate::journal::format::segment::{self, Point};
use crate::journal::layout::begin_mark;
use crate::journal::layout::checkpoint_file::{self, CheckpointHeader};
use crate::journal::layout::{Layout, PathSegment, damaged, failed};
use crate::journal::ledger::Ledger;
use crate::journal::reader::find;
use crate::journal::storage::Storage;

/// Where the newest checkpoint was taken, as its header says.
pub(crate) fn newest(storage: &dyn Storage) -> Result<Option<CheckpointHeader>, JournalError> {
    let names = checkpoint_file::list(storage)?;
    // One that can't be read is none.
    Ok(names.iter().find_map(|name| checkpoint_file::read_header(storage, name).ok()))
}

/// Writes each checkpoint anew that says who decided on one of these transfers, and why, without that.
/// One that can't be read goes: nobody knows what it says.
pub(crate) fn erase_texts(
    storage: &dyn Storage,
    opening: u64,
    decisions: &BTreeSet<u64>,
) -> Result<(), JournalError> {
    remove_unfinished(storage)?;
    for name in checkpoint_file::list(storage)? {
        let header = checkpoint_file::read_header(storage, &name);
        let keys = header.map_or(0, |it| usize::try_from(it.keys).unwrap_or(usize::MAX));
        match read(storage, &name, keys) {
            Ok((header, mut ledger)) => {
                if ledger.transfers.erase_texts(decisions) {
                    checkpoint_file::write(storage, opening, header, &ledger.to_bytes(keys))
                        .map_err(|error| failed("write", &name, &error))?;
                }
            }
            Err(JournalError::Damaged { .. }) => remove(storage, |it| it == name)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Removes what an attempt left that came to nothing.
pub(crate) fn remove_unfinished(storage: &dyn Storage) -> Result<(), JournalError> {
    remove(storage, checkpoint_file::is_unfinished)
}

fn remove(storage: &dyn Storage, which: impl Fn(&str) -> bool) -> Result<(), JournalError> {
    let names = storage.list().map_err(|error| failed("list", "", &error))?;
    for name in names.iter().filter(|name| which(name)) {
        remove_one(storage, name)?;
    }
    storage.sync_directory().map_err(|error| failed("sync", "", &error))
}

/// Removes a file, if it is there.
pub(crate) fn remove_one(storage: &dyn Storage, name: &str) -> Result<(), JournalError> {
    match storage.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove", name, &error))
        }
        _ => Ok(()),
    }
}

/// Where a recovery begins.
pub(crate) struct Beginning {
    pub(crate) ledger: Ledger,
    /// The checkpoint's place in the chain; the journal's beginning without one.
    pub(crate) at: Point,
    /// Checkpoints that could not be used, and why.
    pub(crate) unusable: Vec<JournalError>,
}

/// The newest checkpoint that can be begun with; shortens `layout` to the segments that have to be
/// read. `keys` are to be remembered, and at least `history` entries must come after it.
pub(crate) fn begin(
    storage: &dyn Storage,
    layout: &mut Layout,
    keys: usize,
    history: u64,
) -> Result<Beginning, JournalError> {
    let mut unusable = Vec::new();
    let mut oldest = None;
    let names = checkpoint_file::list(storage)?;
    if let (Some(name), true) = (names.first(), layout.path.is_empty()) {
        // Not a new journal, but one that was lost.
        return Err(damaged(name, 0, "a checkpoint of segments that are not there".to_owned()));
    }
    let newest = layout.head().map_or(0, |head| head.header.base.sequence);
    for name in names {
        match usable(storage, layout, &name, keys) {
            Ok((header, ledger, first)) => {
                layout.durable = layout.durable.max(header.batch);
                // The log in memory wants entries from before, or the ledger keys.
                let forgotten =
                    (header.keys as usize) < keys && ledger.keys.len() as u64 >= header.keys;
                if newest.saturating_sub(header.sequence) < history || forgotten {
                    // Where the segments before are gone, less than is wanted is the most there is.
                    oldest = layout.trimmed.map(|_| (header, ledger, first));
                    continue;
                }
                return Ok(layout.begin_with(header, ledger, first, unusable));
            }
            // One that can't even be read is no reason not to open: the segments are there.
            Err(error) => unusable.push(error),
        }
    }
    match (oldest, layout.trimmed) {
        (Some((header, ledger, first)), _) => {
            Ok(layout.begin_with(header, ledger, first, unusable))
        }
        (None, None) => Ok(Beginning { ledger: Ledger::new(keys), at: Point::START, unusable }),
        (None, Some(_)) => Err(unusable.pop().unwrap_or_else(without_checkpoint)),
    }
}

fn without_checkpoint() -> JournalError {
    let what = "a journal without its oldest segments, and without a checkpoint of them";
    damaged(begin_mark::NAME, 0, what.to_owned())
}

impl Layout {
    fn begin_with(
        &mut self,
        header: CheckpointHeader,
        ledger: Ledger,
        first: usize,
        unusable: Vec<JournalError>,
    ) -> Beginning {
        self.path.drain(..first);
        let at = header.point();
        self.checkpoint = at;
        Beginning { ledger, at, unusable }
    }
}

/// The oldest checkpoint that can be begun with, where the journal's oldest segments are gone; `layout`
/// keeps the segments that lie before it.
pub(crate) fn begin_trimmed(
    storage: &dyn Storage,
    layout: &mut Layout,
    keys: usize,
) -> Result<(CheckpointHeader, Ledger), JournalError> {
    let mut error = None;
    for name in checkpoint_file::list(storage)?.iter().rev() {
        match usable(storage, layout, name, keys) {
            Ok((header, ledger, _)) => {
                layout.checkpoint = header.point();
                layout.durable = layout.durable.max(header.batch);
                return Ok((header, ledger));
            }
            Err(found) => error = Some(found),
        }
    }
    Err(error.unwrap_or_else(without_checkpoint))
}

/// A ledger for a reading of all that is left of a journal, and where that begins.
pub(crate) fn whole(storage: &dyn Storage) -> Result<(Ledger, Point), JournalError> {
    let mut layout = Layout::find(storage)?;
    match layout.trimmed {
        None => Ok((Ledger::new(0), Point::START)),
        Some(_) => begin_trimmed(storage, &mut layout, 0).map(|(it, ledger)| (ledger, it.point())),
    }
}

/// A checkpoint's ledger, and which segment its batch lies in.
fn usable(
    storage: &dyn Storage,
    layout: &Layout,
    name: &str,
    keys: usize,
) -> Result<(CheckpointHeader, Ledger, usize), JournalError> {
    let (header, ledger) = read(storage, name, keys)?;
    let first = segment_of(storage, layout, name, &header)?;
    Ok((header, ledger, first))
}

/// Which segment of the path a checkpoint's batch lies in.
pub(crate) fn segment_of(
    storage: &dyn Storage,
    layout: &Layout,
    name: &str,
    header: &CheckpointHeader,
) -> Result<usize, JournalError> {
    let wrong = |what: &str| damaged(name, 0, what.to_owned());
    // Not one that begins with the next batch: where its own ends has to be known.
    let before = |it: &PathSegment| it.header.base.batch < header.batch;
    let first = layout.path.iter().rposition(before);
    let first = first.ok_or_else(|| wrong("a checkpoint of segments that are not there"))?;
    let segment = &layout.path[first];
    if segment.header.journal != header.journal {
        return Err(wrong("a checkpoint of another journal"));
    }
    // A batch that is missing is the segment's affair: it was on the disk, and the reader says so.
    if hash_of(storage, segment, header.batch)?.is_some_and(|hash| hash != header.hash) {
        return Err(wrong("a checkpoint that does not lie on the chain"));
    }
    Ok(first)
}

/// Reads a checkpoint.
pub(crate) fn read(
    storage: &dyn Storage,
    name: &str,
    keys: usize,
) -> Result<(CheckpointHeader, Ledger), JournalError> {
    let (header, state) = checkpoint_file::read(storage, name)?;
    let ledger = Ledger::from_bytes(&state, keys)
        .map_err(|none| damaged(name, 0, format!("a checkpoint with {}", none.what)))?;
    if ledger.next_sequence != header.sequence + 1 {
        return Err(damaged(name, 0, "a checkpoint of another entry".to_owned()));
    }
    Ok((header, ledger))
}

/// The chain's hash as the header of this batch has it.
fn hash_of(
    storage: &dyn Storage,
    segment: &PathSegment,
    batch: u64,
) -> Result<Option<Hash>, JournalError> {
    let name = &segment.name;
    let bytes = storage.read(name, 0, segment.limit).map_err(|it| failed("read", name, &it))?;
    let mut offset = segment::HEADER;
    while offset < bytes.len()
        && let Ok(found) = find(&bytes, offset, segment.header.number)
    {
        if found.header.number == batch {
            return Ok(Some(found.header.hash));
        }
        offset = found.end();
    }
    Ok(None)
}
