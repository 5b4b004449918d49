//! Where reading a journal begins: with the newest checkpoint that will do, or with the first segment.

use crate::base::error::JournalError;
use crate::journal::format::batch::Hash;
use crate::journal::format::segment::{self, Point};
use crate::journal::layout::begin_mark;
use crate::journal::layout::checkpoint_file::{self, CheckpointHeader};
use crate::journal::layout::{JournalDir, Layout, PathSegment, damaged, failed};
use crate::journal::ledger::Ledger;
use crate::journal::reader::find;
use crate::journal::storage::Storage;

/// Where a recovery begins.
pub(crate) struct RecoveryStart {
    pub(crate) ledger: Ledger,
    /// The checkpoint's place in the chain; the journal's beginning without one.
    pub(crate) at: Point,
    /// Checkpoints that could not be used, and why.
    pub(crate) unusable: Vec<JournalError>,
    /// Segments that make up the journal, of which only the last may have to be read.
    pub(crate) segments: usize,
}

/// The newest checkpoint that can be begun with; shortens the path to the segments that have to be
/// read. `keys` are to be remembered, and at least `history` entries must come after it.
pub(crate) fn begin(
    dir: &mut JournalDir<'_>,
    keys: usize,
    history: u64,
) -> Result<RecoveryStart, JournalError> {
    let segments = dir.layout.path.len();
    let mut unusable = Vec::new();
    let mut oldest = None;
    let names = checkpoint_file::list(dir.storage)?;
    if let (Some(name), true) = (names.first(), dir.layout.path.is_empty()) {
        // Not a new journal, but one that was lost.
        return Err(damaged(name, 0, "a checkpoint of segments that are not there".to_owned()));
    }
    let newest = dir.layout.head().map_or(0, |head| head.header.base.sequence);
    for name in names {
        match usable(dir, &name, keys) {
            Ok((header, ledger, first)) => {
                let layout = &mut dir.layout;
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
    match (oldest, dir.layout.trimmed) {
        (Some((header, ledger, first)), _) => {
            Ok(dir.layout.begin_with(header, ledger, first, unusable))
        }
        (None, None) => {
            let (ledger, at) = (Ledger::new(keys), Point::START);
            Ok(RecoveryStart { ledger, at, unusable, segments })
        }
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
    ) -> RecoveryStart {
        let segments = self.path.len();
        self.path.drain(..first);
        let at = header.point();
        self.checkpoint = at;
        RecoveryStart { ledger, at, unusable, segments }
    }
}

/// The oldest checkpoint that can be begun with, where the journal's oldest segments are gone; the path
/// keeps the segments that lie before it.
pub(crate) fn begin_trimmed(
    dir: &mut JournalDir<'_>,
    keys: usize,
) -> Result<(CheckpointHeader, Ledger), JournalError> {
    let mut error = None;
    for name in checkpoint_file::list(dir.storage)?.iter().rev() {
        match usable(dir, name, keys) {
            Ok((header, ledger, _)) => {
                let layout = &mut dir.layout;
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
    let mut dir = JournalDir::find(storage)?;
    match dir.layout.trimmed {
        None => Ok((Ledger::new(0), Point::START)),
        Some(_) => begin_trimmed(&mut dir, 0).map(|(it, ledger)| (ledger, it.point())),
    }
}

/// A checkpoint's ledger, and which segment its batch lies in.
fn usable(
    dir: &JournalDir<'_>,
    name: &str,
    keys: usize,
) -> Result<(CheckpointHeader, Ledger, usize), JournalError> {
    let (header, ledger) = read(dir.storage, name, keys)?;
    let first = segment_of(dir, name, &header)?;
    Ok((header, ledger, first))
}

/// Which segment of the path a checkpoint's batch lies in.
pub(crate) fn segment_of(
    dir: &JournalDir<'_>,
    name: &str,
    header: &CheckpointHeader,
) -> Result<usize, JournalError> {
    let wrong = |what: &str| damaged(name, 0, what.to_owned());
    // Not one that begins with the next batch: where its own ends has to be known.
    let before = |it: &PathSegment| it.header.base.batch < header.batch;
    let path = &dir.layout.path;
    let first = path.iter().rposition(before);
    let first = first.ok_or_else(|| wrong("a checkpoint of segments that are not there"))?;
    let segment = &path[first];
    if segment.header.journal != header.journal {
        return Err(wrong("a checkpoint of another journal"));
    }
    // A batch that is missing is the segment's affair: it was on the disk, and the reader says so.
    if hash_of(dir.storage, segment, header.batch)?.is_some_and(|hash| hash != header.hash) {
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
