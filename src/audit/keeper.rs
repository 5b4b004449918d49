//! Keeping a journal short: when a checkpoint is due, and who writes it.
//!
//! What is due is noted with the ledger in hand, and written without it, so that nobody who wants to
//! look at the ledger waits for the disk.

use std::any::Any;
use std::sync::Arc;

use crate::audit::checkpoint;
use crate::audit::journal::checkpoint::{self as file, CheckpointHeader};
use crate::audit::journal::layout::{Layout, failed};
use crate::audit::journal::segment::Point;
use crate::audit::journal::storage::Storage;
use crate::audit::ledger::Ledger;
use crate::error::JournalError;

/// How many are left in the directory: one more than is needed, in case the newest gets damaged.
const KEPT: usize = 2;

/// What a journal's checkpoints depend on.
#[derive(Clone, Copy)]
pub(crate) struct CheckpointOptions {
    /// One for so many closed segments.
    pub(crate) every: u64,
    /// How many keys are remembered.
    pub(crate) keys: usize,
    /// How many of the newest entries the log in memory retains. A recovery wants as many behind the
    /// checkpoint that it begins with, so that one that comes sooner would only push out a useful one.
    pub(crate) history: u64,
}

/// When a checkpoint is due.
pub(crate) struct Schedule {
    options: CheckpointOptions,
    journal: u128,
    /// Segments that were closed since the newest checkpoint.
    closed: u64,
    /// The segment that is being read, and the last entry before it: a recovery counts from there how
    /// many come after a checkpoint.
    segment: u64,
    base: u64,
    /// The last entry that was read.
    read: u64,
    /// The last entry that the newest checkpoint covers.
    newest: u64,
    /// The segment in which one was last asked for: one that fails is tried again in the next.
    asked_in: u64,
}

/// A checkpoint to be written.
pub(crate) struct Due {
    header: CheckpointHeader,
    state: Vec<u8>,
}

impl Schedule {
    /// For the journal in `storage`, of which all up to `at` has been read.
    pub(crate) fn new(
        storage: &dyn Storage,
        options: CheckpointOptions,
        at: Point,
    ) -> Result<Self, JournalError> {
        let layout = Layout::find(storage)?;
        let newest = checkpoint::newest(storage)?.unwrap_or_default();
        let ends = layout.path.iter().skip(1).map(|next| next.header.base.batch);
        Ok(Self {
            options,
            journal: layout.head().map_or(0, |head| head.header.journal),
            closed: ends.filter(|end| *end > newest.batch).count() as u64,
            segment: at.segment,
            base: layout.head().map_or(0, |head| head.header.base.sequence),
            read: at.sequence,
            newest: newest.sequence,
            asked_in: 0,
        })
    }

    /// `ledger` is what the journal adds up to at `at`, which is on the disk: the checkpoint to be
    /// written now, if one is due.
    pub(crate) fn reached(&mut self, ledger: &Ledger, at: Point) -> Option<Due> {
        if at.segment != self.segment {
            (self.segment, self.base) = (at.segment, self.read);
            self.closed += 1;
        }
        self.read = at.sequence;
        if self.asked_in == at.segment || !self.is_due(self.closed, self.base) {
            return None;
        }
        self.asked_in = at.segment;
        let header = CheckpointHeader {
            journal: self.journal,
            batch: at.batch,
            sequence: at.sequence,
            hash: at.hash,
            keys: self.options.keys as u64,
        };
        Some(Due { header, state: ledger.to_bytes(self.options.keys) })
    }

    /// Whether one may fall due by the time that all up to `at` is read.
    pub(crate) fn may_be_due_by(&self, at: Point) -> bool {
        self.is_due(self.closed + at.segment.saturating_sub(self.segment), at.sequence)
    }

    fn is_due(&self, closed: u64, sequence: u64) -> bool {
        let entries = sequence.saturating_sub(self.newest);
        closed >= self.options.every.max(1) && entries >= self.options.history
    }

    /// This one was written.
    pub(crate) fn wrote(&mut self, due: &Due) {
        self.closed = self.segment.saturating_sub(self.asked_in);
        self.newest = due.header.sequence;
    }
}

/// Writes what is due. As long as there is one, nobody else may have the journal.
pub(crate) struct Keeper {
    storage: Arc<dyn Storage>,
    opening: u64,
    _lock: Arc<dyn Any + Send + Sync>,
}

impl Keeper {
    /// For opening number `opening` of the journal, whose lock this is.
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        opening: u64,
        lock: Arc<dyn Any + Send + Sync>,
    ) -> Self {
        Self { storage, opening, _lock: lock }
    }

    /// Writes a checkpoint, and removes those that it makes superfluous.
    ///
    /// # Errors
    /// What the storage says.
    pub(crate) fn write(&self, due: &Due) -> Result<(), JournalError> {
        let storage = &*self.storage;
        file::write(storage, self.opening, due.header, &due.state)
            .map_err(|error| failed("write a checkpoint in", "", &error))?;
        for name in file::list(storage)?.iter().skip(KEPT) {
            checkpoint::remove_one(storage, name)?;
        }
        Ok(())
    }
}
