//! Keeping a journal short: when a checkpoint is due, who writes it, and who takes away what it makes
//! superfluous.
//!
//! What is due is noted with the ledger in hand, and written without it, so that nobody who wants to
//! look at the ledger waits for the disk.

use std::any::Any;
use std::sync::Arc;

use crate::base::clock::Timestamp;
use crate::base::error::JournalError;
use crate::base::sync::{AtomicUsize, Ordering};
use crate::journal::format::segment::Point;
use crate::journal::layout::checkpoint_file::{self, CheckpointHeader};
use crate::journal::layout::{Layout, failed, remove_file};
use crate::journal::ledger::Ledger;
use crate::journal::maintenance::retention::{JournalRetention, KEPT};
use crate::journal::storage::Storage;

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
pub(crate) struct CheckpointSchedule {
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
pub(crate) struct PendingCheckpoint {
    header: CheckpointHeader,
    state: Vec<u8>,
    /// The latest moment of any entry so far.
    now: Timestamp,
    erasures: u64,
}

impl PendingCheckpoint {
    /// How often texts had been erased when its state was taken.
    pub(crate) fn erasures(&self) -> u64 {
        self.erasures
    }
}

impl CheckpointSchedule {
    /// For the journal in `storage`, of which all up to `at` has been read.
    pub(crate) fn new(
        storage: &dyn Storage,
        options: CheckpointOptions,
        at: Point,
    ) -> Result<Self, JournalError> {
        let layout = Layout::find(storage)?;
        let newest = checkpoint_file::newest(storage)?.unwrap_or_default();
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
    /// written now, if one is due. Texts were erased in the ledger so often.
    pub(crate) fn reached(
        &mut self,
        ledger: &Ledger,
        at: Point,
        erasures: u64,
    ) -> Option<PendingCheckpoint> {
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
        let state = ledger.to_bytes(self.options.keys);
        Some(PendingCheckpoint { header, state, now: ledger.newest_at, erasures })
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
    pub(crate) fn wrote(&mut self, pending: &PendingCheckpoint) {
        self.closed = self.segment.saturating_sub(self.asked_in);
        self.newest = pending.header.sequence;
    }
}

/// Writes what is due, and trims the journal. As long as there is one, nobody else may have the journal.
pub(crate) struct JournalMaintenance {
    storage: Arc<dyn Storage>,
    opening: u64,
    retention: JournalRetention,
    /// Somebody copies the journal: nothing is to go meanwhile.
    copies: Arc<AtomicUsize>,
    _lock: Arc<dyn Any + Send + Sync>,
}

impl JournalMaintenance {
    /// For opening number `opening` of the journal, whose lock this is.
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        opening: u64,
        retention: JournalRetention,
        lock: Arc<dyn Any + Send + Sync>,
    ) -> Self {
        Self { storage, opening, retention, copies: Arc::default(), _lock: lock }
    }

    /// Nothing is taken away until what is returned is dropped.
    pub(crate) fn pause_trimming(&self) -> TrimPause {
        // Relaxed: whoever takes away has the keeper, as the caller has now.
        self.copies.fetch_add(1, Ordering::Relaxed);
        TrimPause(Arc::clone(&self.copies))
    }

    /// Writes a checkpoint.
    ///
    /// # Errors
    /// What the storage says.
    pub(crate) fn write(&self, pending: &PendingCheckpoint) -> Result<(), JournalError> {
        checkpoint_file::write(&*self.storage, self.opening, pending.header, &pending.state)
            .map_err(|error| failed("write a checkpoint in", "", &error))
    }

    /// Takes away what the newest checkpoint makes superfluous: older ones, and old segments.
    ///
    /// # Errors
    /// What the storages say; see [`JournalRetention::apply`].
    pub(crate) fn trim(&self, pending: &PendingCheckpoint) -> Result<(), JournalError> {
        if self.copies.load(Ordering::Relaxed) > 0 {
            // The next checkpoint comes.
            return Ok(());
        }
        for name in checkpoint_file::list(&*self.storage)?.iter().skip(KEPT) {
            remove_file(&*self.storage, name)?;
        }
        self.retention.apply(&*self.storage, pending.now)
    }
}

/// Somebody copies the journal.
pub(crate) struct TrimPause(Arc<AtomicUsize>);

impl Drop for TrimPause {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
