//! Checkpoints of a ledger: reading and removing them, and finding the one to begin a recovery with.

use std::io;
use std::ops::ControlFlow;

use crate::audit::journal::batch::Hash;
use crate::audit::journal::checkpoint::{self, CheckpointHeader};
use crate::audit::journal::decode::Decoded;
use crate::audit::journal::layout::{Layout, PathSegment, damaged, failed};
use crate::audit::journal::reader::find;
use crate::audit::journal::segment::{self, Point};
use crate::audit::journal::storage::Storage;
use crate::audit::journal::trimmed;
use crate::audit::ledger::Ledger;
use crate::audit::replay::{Visitor, replay};
use crate::error::JournalError;

/// Where the newest checkpoint was taken, as its header says.
pub(crate) fn newest(storage: &dyn Storage) -> Result<Option<CheckpointHeader>, JournalError> {
    let names = checkpoint::list(storage)?;
    // One that can't be read is none.
    Ok(names.iter().find_map(|name| checkpoint::read_header(storage, name).ok()))
}

/// Removes every checkpoint, so that nothing is left of what is erased in the segments.
pub(crate) fn remove_all(storage: &dyn Storage) -> Result<(), JournalError> {
    remove(storage, |name| checkpoint::batch_of(name).is_some() || checkpoint::is_unfinished(name))
}

/// Removes every checkpoint but the oldest that can be begun with, whose name it gives back.
pub(crate) fn remove_all_but_oldest(
    storage: &dyn Storage,
    whole: &dyn Storage,
    layout: &Layout,
) -> Result<Option<String>, JournalError> {
    let names = checkpoint::list(storage)?;
    let is_usable = |name: &&String| {
        let header = checkpoint::read(storage, name).map(|(header, _)| header);
        header.is_ok_and(|header| segment_of(whole, layout, name, &header).is_ok())
    };
    let oldest = names.iter().rev().find(is_usable).cloned();
    remove(storage, |name| {
        let is_one = checkpoint::batch_of(name).is_some() || checkpoint::is_unfinished(name);
        is_one && oldest.as_deref() != Some(name)
    })?;
    Ok(oldest)
}

/// Writes the checkpoint `name` of the journal in `storage` anew, as what the segments in `whole` add up
/// to now that notes in them were erased; where those before it are gone, without any decision's texts.
pub(crate) fn erase_texts(
    storage: &dyn Storage,
    whole: &dyn Storage,
    name: &str,
) -> Result<(), JournalError> {
    let layout = Layout::find(whole)?;
    let (header, state) = checkpoint::read(storage, name)?;
    let keys = usize::try_from(header.keys).unwrap_or(usize::MAX);
    let ledger = if layout.trimmed.is_some() {
        let mut ledger = read(storage, name, keys)?.1;
        ledger.transfers.erase_texts();
        ledger
    } else {
        let mut ledger = Ledger::new(keys);
        replay(whole, &layout, &mut ledger, &mut UpTo(header.sequence), None)?;
        ledger
    };
    let erased = ledger.to_bytes(keys);
    if erased == state {
        return Ok(());
    }
    checkpoint::write(storage, 0, header, &erased).map_err(|error| failed("write", name, &error))
}

/// Ends a replay with this entry.
struct UpTo(u64);

impl Visitor for UpTo {
    fn record(&mut self, ledger: &Ledger, _: u64, _: &Decoded<'_>) -> ControlFlow<()> {
        match ledger.next_sequence > self.0 {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

/// Removes what an attempt left that came to nothing.
pub(crate) fn remove_unfinished(storage: &dyn Storage) -> Result<(), JournalError> {
    remove(storage, checkpoint::is_unfinished)
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
    let names = checkpoint::list(storage)?;
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
    damaged(trimmed::NAME, 0, what.to_owned())
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
    for name in checkpoint::list(storage)?.iter().rev() {
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
    let (header, state) = checkpoint::read(storage, name)?;
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
