//! Checkpoints of a ledger: when one is due, writing it, and finding the one to begin a recovery with.

use std::io;
use std::sync::Arc;

use crate::audit::journal::batch::Hash;
use crate::audit::journal::checkpoint::{self, CheckpointHeader};
use crate::audit::journal::layout::{Layout, PathSegment, damaged, failed};
use crate::audit::journal::reader::find;
use crate::audit::journal::segment::{self, Point};
use crate::audit::journal::storage::Storage;
use crate::audit::ledger::Ledger;
use crate::error::JournalError;

/// How many are left in the directory: one more than is needed, in case the newest gets damaged.
const KEPT: usize = 2;

/// What an auditor needs to write checkpoints.
pub(crate) struct Checkpoints {
    storage: Arc<dyn Storage>,
    journal: u128,
    opening: u64,
    keys: usize,
    /// One for so many closed segments.
    every: u64,
    /// Segments that were closed since the newest.
    closed: u64,
    /// The segment that is being read.
    segment: u64,
    /// Why the newest attempt came to nothing.
    pub(crate) complaint: Option<String>,
}

/// What a journal's checkpoints depend on.
#[derive(Clone, Copy)]
pub(crate) struct CheckpointOptions {
    /// One for so many closed segments.
    pub(crate) every: u64,
    /// How many keys are remembered.
    pub(crate) keys: usize,
}

impl Checkpoints {
    /// For the journal that goes on at `at`, `behind` segments after its newest checkpoint.
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        options: CheckpointOptions,
        at: Point,
        behind: u64,
    ) -> Result<Self, JournalError> {
        let layout = Layout::find(&*storage)?;
        let head = layout.head().map(|head| head.header).unwrap_or_default();
        Ok(Self {
            storage,
            journal: head.journal,
            opening: head.opening,
            keys: options.keys,
            every: options.every.max(1),
            closed: behind,
            segment: at.segment,
            complaint: None,
        })
    }

    /// `ledger` is what the journal adds up to at `at`, which is on the disk: writes a checkpoint if
    /// one is due.
    pub(crate) fn reached(&mut self, ledger: &Ledger, at: Point) {
        if at.segment == self.segment {
            return;
        }
        self.segment = at.segment;
        self.closed += 1;
        if self.closed < self.every {
            return;
        }
        let header = CheckpointHeader {
            journal: self.journal,
            batch: at.batch,
            sequence: at.sequence,
            hash: at.hash,
            keys: self.keys as u64,
        };
        let state = ledger.to_bytes(self.keys);
        let written = checkpoint::write(&*self.storage, self.opening, header, &state);
        let written = written.map_err(|error| failed("write a checkpoint in", "", &error));
        // One that fails is tried again at the next segment.
        match written.and_then(|()| self.tidy_up()) {
            Ok(()) => (self.closed, self.complaint) = (0, None),
            Err(error) => self.complaint = Some(error.to_string()),
        }
    }

    fn tidy_up(&self) -> Result<(), JournalError> {
        for name in checkpoint::list(&*self.storage)?.iter().skip(KEPT) {
            remove_one(&*self.storage, name)?;
        }
        Ok(())
    }
}

/// Removes every checkpoint, so that nothing is left of what is erased in the segments.
pub(crate) fn remove_all(storage: &dyn Storage) -> Result<(), JournalError> {
    remove(storage, |name| checkpoint::batch_of(name).is_some() || checkpoint::is_unfinished(name))
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

/// Removes a file if it is there: the auditor of an engine that has just ended may still give one its
/// name, or remove one, after the next engine has the journal.
fn remove_one(storage: &dyn Storage, name: &str) -> Result<(), JournalError> {
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
                if header.sequence.saturating_add(history) > newest || forgotten {
                    continue;
                }
                layout.path.drain(..first);
                let (batch, sequence, hash) = (header.batch, header.sequence, header.hash);
                let at = Point { batch, sequence, hash, ..Point::START };
                layout.checkpoint = at;
                return Ok(Beginning { ledger, at, unusable });
            }
            // One that can't even be read is no reason not to open: the segments are there.
            Err(error) => unusable.push(error),
        }
    }
    Ok(Beginning { ledger: Ledger::new(keys), at: Point::START, unusable })
}

/// A checkpoint's ledger, and which segment its batch lies in.
fn usable(
    storage: &dyn Storage,
    layout: &Layout,
    name: &str,
    keys: usize,
) -> Result<(CheckpointHeader, Ledger, usize), JournalError> {
    let (header, ledger) = read(storage, name, keys)?;
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
    Ok((header, ledger, first))
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
