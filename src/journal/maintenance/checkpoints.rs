//! Checkpoints: when one is due, who writes it, and who trims the journal afterwards.
//!
//! A checkpoint's state is encoded while the ledger's lock is held, and is written to the disk
//! after the lock is released. So nobody who needs the ledger waits for the disk.

use std::any::Any;
use std::sync::Arc;

use crate::base::error::JournalError;
use crate::base::sync::{AtomicUsize, Ordering};
use crate::journal::format::segment::Point;
use crate::journal::layout::checkpoint_file::{self, CheckpointHeader};
use crate::journal::layout::{Layout, failed, remove_file};
use crate::journal::ledger::Ledger;
use crate::journal::ledger::clock::JournalClock;
use crate::journal::maintenance::retention::{JournalRetention, KEPT};
use crate::journal::storage::Storage;

/// The options of a journal's checkpoints.
#[derive(Clone, Copy)]
pub(crate) struct CheckpointOptions {
    /// A checkpoint is due after this many closed segments.
    pub(crate) every: u64,
    /// How many idempotency keys a checkpoint remembers.
    pub(crate) keys: usize,
    /// How many of the newest entries the log in memory retains. A recovery needs as many entries
    /// after its checkpoint. So a checkpoint with fewer entries since the last one would only push
    /// out a useful one.
    pub(crate) history: u64,
}

/// Decides when a checkpoint is due.
pub(crate) struct CheckpointSchedule {
    options: CheckpointOptions,
    journal: u128,
    /// Segments that were closed since the newest checkpoint.
    closed: u64,
    /// The segment that is being read, and (`base`) the last entry before it. A recovery counts the
    /// entries after a checkpoint up to there.
    segment: u64,
    base: u64,
    /// The last entry that was read.
    read: u64,
    /// The last entry that the newest checkpoint covers.
    newest: u64,
    /// The segment in which a checkpoint was last taken. If its write fails, the next try comes in
    /// the next segment.
    asked_in: u64,
}

/// A checkpoint that is encoded but not yet written.
pub(crate) struct PendingCheckpoint {
    header: CheckpointHeader,
    state: Vec<u8>,
    /// What tells how old a segment is.
    clock: JournalClock,
    erasures: u64,
}

impl PendingCheckpoint {
    /// The last batch that it covers.
    pub(crate) fn batch(&self) -> u64 {
        self.header.batch
    }

    /// The erasure epoch of the state: how often texts had been erased when it was captured.
    pub(crate) fn erasures(&self) -> u64 {
        self.erasures
    }
}

impl CheckpointSchedule {
    /// The schedule for the journal in `storage`, which has been read up to `at`.
    ///
    /// # Errors
    /// The storage's error.
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

    /// Notes that the journal is read up to `at`, which must be on the disk, and adds up to
    /// `ledger`. If a checkpoint is due, captures it. `erasures` is the ledger's erasure epoch.
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
        self.read_to(at);
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
        Some(PendingCheckpoint { header, state, clock: ledger.clock.clone(), erasures })
    }

    /// Notes that the journal is read up to `at`.
    pub(crate) fn read_to(&mut self, at: Point) {
        self.read = at.sequence;
    }

    /// Whether a checkpoint may fall due by the time that all up to `at` is read.
    pub(crate) fn may_be_due_by(&self, at: Point) -> bool {
        self.is_due(self.closed + at.segment.saturating_sub(self.segment), at.sequence)
    }

    /// A checkpoint is due after enough closed segments, and enough entries since the last one.
    fn is_due(&self, closed: u64, sequence: u64) -> bool {
        let entries = sequence.saturating_sub(self.newest);
        closed >= self.options.every.max(1) && entries >= self.options.history
    }

    /// Notes that this checkpoint was written.
    pub(crate) fn wrote(&mut self, pending: &PendingCheckpoint) {
        self.closed = self.segment.saturating_sub(self.asked_in);
        self.newest = pending.header.sequence;
    }
}

/// Writes checkpoints, and trims the journal. It holds the journal's lock: while it lives, no other
/// process can open the journal.
pub(crate) struct JournalMaintenance {
    storage: Arc<dyn Storage>,
    opening: u64,
    retention: JournalRetention,
    /// How many backups are running. Trimming pauses while there is one.
    copies: Arc<AtomicUsize>,
    _lock: Arc<dyn Any + Send + Sync>,
}

impl JournalMaintenance {
    /// For opening number `opening` of the journal in `storage`; `lock` is the journal's lock.
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        opening: u64,
        retention: JournalRetention,
        lock: Arc<dyn Any + Send + Sync>,
    ) -> Self {
        Self { storage, opening, retention, copies: Arc::default(), _lock: lock }
    }

    /// Pauses trimming while the returned guard lives.
    pub(crate) fn pause_trimming(&self) -> TrimPause {
        // Relaxed: the caller holds the mutex around this maintenance, and so does the thread that
        // trims. The mutex orders the two.
        self.copies.fetch_add(1, Ordering::Relaxed);
        TrimPause(Arc::clone(&self.copies))
    }

    /// Writes a checkpoint, and waits until it is on the disk.
    ///
    /// # Errors
    /// The storage's error.
    pub(crate) fn write(&self, pending: &PendingCheckpoint) -> Result<(), JournalError> {
        checkpoint_file::write(&*self.storage, self.opening, pending.header, &pending.state)
            .map_err(|error| failed("write a checkpoint in", "", &error))
    }

    /// Removes what the newest checkpoint makes superfluous: older checkpoints, and old segments as
    /// the retention says. Does nothing while trimming is paused.
    ///
    /// # Errors
    /// The error of the journal's or the archive's storage; see [`JournalRetention::apply`].
    pub(crate) fn trim(&self, pending: &PendingCheckpoint) -> Result<(), JournalError> {
        if self.copies.load(Ordering::Relaxed) > 0 {
            // The next checkpoint will trim.
            return Ok(());
        }
        for name in checkpoint_file::list(&*self.storage)?.iter().skip(KEPT) {
            remove_file(&*self.storage, name)?;
        }
        self.retention.apply(&*self.storage, &pending.clock)
    }
}

/// Pauses trimming while it lives.
pub(crate) struct TrimPause(Arc<AtomicUsize>);

impl Drop for TrimPause {
    fn drop(&mut self) {
        // Relaxed: if a thread sees it late, trimming only waits for the next checkpoint.
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
