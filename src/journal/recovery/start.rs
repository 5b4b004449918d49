//! Finds where a replay begins: at the newest usable checkpoint, or at the first segment.

use crate::base::error::JournalError;
use crate::journal::format::batch::Hash;
use crate::journal::format::segment::Point;
use crate::journal::layout::begin_mark;
use crate::journal::layout::checkpoint_file::{self, CheckpointHeader};
use crate::journal::layout::{JournalDir, Layout, PathSegment, damaged};
use crate::journal::ledger::Ledger;
use crate::journal::storage::Storage;
use crate::journal::windows::Windows;

/// Where a recovery begins.
pub(crate) struct RecoveryStart {
    pub(crate) ledger: Ledger,
    /// The checkpoint's place in the hash chain; [`Point::START`] without a checkpoint.
    pub(crate) at: Point,
    /// Why checkpoints could not be used, an error for each.
    pub(crate) unusable: Vec<JournalError>,
    /// How many segments the journal has. Of these, the replay reads only those that are left on
    /// the layout's path.
    pub(crate) segments: usize,
}

/// Finds the newest usable checkpoint, and takes the segments before it off the layout's path.
///
/// A checkpoint is usable if it remembers `keys` keys, or all keys that there were, and if at least
/// `history` entries come after it: the log in memory needs those. If trimming has removed the
/// journal's oldest segments, the oldest checkpoint must do, even if it has less.
///
/// `covered` is the end of what the outcome files hold. A checkpoint beyond it does only if no
/// other does: what lies between has then to be read anew.
///
/// # Errors
/// [`JournalError::Damaged`] if there are checkpoints but no segments, or if the oldest segments
/// are gone and no checkpoint can be used; otherwise the storage's error.
pub(crate) fn begin(
    dir: &mut JournalDir<'_>,
    keys: usize,
    history: u64,
    covered: Option<Point>,
) -> Result<RecoveryStart, JournalError> {
    let segments = dir.layout.path.len();
    let mut unusable = Vec::new();
    let (mut oldest, mut beyond) = (None, None);
    let names = checkpoint_file::list(dir.storage)?;
    if let (Some(name), true) = (names.first(), dir.layout.path.is_empty()) {
        // The journal is not new: it has lost its segments.
        return Err(damaged(name, 0, "a checkpoint of segments that are not there".to_owned()));
    }
    let newest = dir.layout.head().map_or(0, |head| head.header.base.sequence);
    for name in names {
        match usable(dir, &name, keys) {
            Ok((header, ledger, first)) => {
                let layout = &mut dir.layout;
                layout.durable = layout.durable.max(header.batch);
                // Too new, or with too few keys: a replay from here would give the log in memory
                // too few entries, or the ledger too few keys.
                let forgotten =
                    (header.keys as usize) < keys && ledger.keys.len() as u64 >= header.keys;
                if newest.saturating_sub(header.sequence) < history || forgotten {
                    // Once the segments before it are trimmed, no other start has more.
                    oldest = layout.trimmed.map(|_| (header, ledger, first));
                    continue;
                }
                if covered.is_some_and(|end| header.batch > end.batch) {
                    beyond = beyond.or(Some((header, ledger, first)));
                    continue;
                }
                return Ok(layout.begin_with(header, ledger, first, unusable));
            }
            // A checkpoint that can't be read is no reason to refuse: the segments are still there.
            Err(error) => unusable.push(error),
        }
    }
    match (beyond.or(oldest), dir.layout.trimmed) {
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

/// The error for a trimmed journal without a checkpoint.
fn without_checkpoint() -> JournalError {
    let what = "a journal without its oldest segments, and without a checkpoint of them";
    damaged(begin_mark::NAME, 0, what.to_owned())
}

impl Layout {
    /// Begins with this checkpoint; `first` is the segment that holds its last batch.
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

/// Finds the oldest usable checkpoint of a trimmed journal. The segments before it stay on the
/// path, so that a visitor can look back at them.
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

/// The ledger to begin with if all that is left of a journal is to be read, and where it begins.
pub(crate) fn whole(storage: &dyn Storage) -> Result<(Ledger, Point), JournalError> {
    let mut dir = JournalDir::find(storage)?;
    match dir.layout.trimmed {
        None => Ok((Ledger::new(0), Point::START)),
        Some(_) => begin_trimmed(&mut dir, 0).map(|(it, ledger)| (ledger, it.point())),
    }
}

/// Reads a checkpoint. Returns its header, its ledger, and the index on the path of the segment
/// that holds its batch.
pub(crate) fn usable(
    dir: &JournalDir<'_>,
    name: &str,
    keys: usize,
) -> Result<(CheckpointHeader, Ledger, usize), JournalError> {
    let (header, ledger) = read(dir.storage, name, keys)?;
    let first = segment_of(dir, name, &header)?;
    Ok((header, ledger, first))
}

/// The index on the path of the segment that holds a checkpoint's last batch.
///
/// # Errors
/// [`JournalError::Damaged`] if the checkpoint is of another journal, of segments that are not
/// there, or not on the hash chain; otherwise the storage's error.
pub(crate) fn segment_of(
    dir: &JournalDir<'_>,
    name: &str,
    header: &CheckpointHeader,
) -> Result<usize, JournalError> {
    let wrong = |what: &str| damaged(name, 0, what.to_owned());
    // Strictly less: a segment that begins right after the checkpoint's batch does not hold it. The
    // replay must read that batch, to know where in its segment it ends.
    let before = |it: &PathSegment| it.header.base.batch < header.batch;
    let path = &dir.layout.path;
    let first = path.iter().rposition(before);
    let first = first.ok_or_else(|| wrong("a checkpoint of segments that are not there"))?;
    let segment = &path[first];
    if segment.header.journal != header.journal {
        return Err(wrong("a checkpoint of another journal"));
    }
    // A missing batch is not an error here. It was on the disk, so the reader will report its
    // segment.
    if hash_of(dir.storage, segment, header.batch)?.is_some_and(|hash| hash != header.hash) {
        return Err(wrong("a checkpoint that does not lie on the chain"));
    }
    Ok(first)
}

/// Reads a checkpoint and decodes its ledger.
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

/// The chain hash in the header of this batch; `None` if the segment lacks the batch.
fn hash_of(
    storage: &dyn Storage,
    segment: &PathSegment,
    batch: u64,
) -> Result<Option<Hash>, JournalError> {
    let mut windows = Windows::new(storage, segment);
    loop {
        let window = windows.next()?;
        if let Some(found) = window.found.iter().find(|found| found.header.number == batch) {
            return Ok(Some(found.header.hash));
        }
        if window.is_last {
            return Ok(None);
        }
    }
}
