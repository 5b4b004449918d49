//! From a journal to the state that it adds up to, and to the point where it goes on.

pub(crate) mod replay;
pub(crate) mod start;

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::audit::record::Record;
use crate::base::clock::Timestamp;
use crate::base::error::JournalError;
use crate::journal::format::batch::BatchHeader;
use crate::journal::format::decode::Decoded;
use crate::journal::format::segment::Point;
use crate::journal::layout::{JournalDir, failed};
use crate::journal::ledger::Ledger;
use crate::journal::reader::{FoundBatch, ReadOutcome, Segment, Torn};
use crate::journal::storage::Storage;
use crate::journal::writer::ResumePoint;

use replay::{Listener, Visitor, replay};
use start::RecoveryStart;

/// The end of a journal that a crash left incomplete, and that was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TornTail {
    /// The file.
    pub file: String,
    /// Where in it what counts ends.
    pub offset: u64,
    /// What was found there.
    pub what: String,
}

impl TornTail {
    pub(crate) fn of(torn: &Torn) -> Self {
        Self { file: torn.file.clone(), offset: torn.offset, what: torn.what.to_owned() }
    }
}

/// A replayed journal, ready to be appended to.
pub(crate) struct ReplayedJournal {
    pub(crate) ledger: Ledger,
    pub(crate) history: NewestRecords,
    pub(crate) outcome: ReadOutcome,
    pub(crate) segments: usize,
    /// The last entry of the checkpoint that the replay began with; `None` if all segments were replayed.
    pub(crate) checkpoint: Option<u64>,
    /// Checkpoints that could not be used, and why.
    pub(crate) unusable: Vec<JournalError>,
    /// How often the journal was opened before.
    pub(crate) openings: u64,
    journal: Option<u128>,
    newest_segment: u64,
    tail: UnsyncedTail,
}

/// The newest entries, as the log in memory takes them.
#[derive(Debug, Default)]
pub(crate) struct NewestRecords {
    wanted: u64,
    entries: u64,
    records: VecDeque<Record>,
    /// The latest time of an entry that is not among them.
    pub(crate) latest_gone: Option<Timestamp>,
}

/// What lies beyond the last point that is known to be on the disk.
#[derive(Default)]
struct UnsyncedTail {
    /// The newest batch that is known to be on the disk.
    trusted: Point,
    found: VecDeque<(BatchHeader, Vec<u8>, Point)>,
}

impl ReplayedJournal {
    /// Where the journal goes on. `random` names a journal that is new.
    pub(crate) fn resume_point(
        self,
        lock: Arc<dyn Any + Send + Sync>,
        now: Timestamp,
        random: u128,
    ) -> ResumePoint {
        ResumePoint {
            lock,
            journal: self.journal.unwrap_or(random),
            opening: self.openings + 1,
            newest_segment: self.newest_segment,
            trusted: self.tail.trusted,
            found: self.tail.found.into_iter().map(|(header, body, _)| (header, body)).collect(),
            opened_at: now,
        }
    }

    /// How many batches will be written again.
    pub(crate) fn rewritten(&self) -> usize {
        self.tail.found.len()
    }

    /// The records of the newest entries, and the first one's sequence number.
    pub(crate) fn take_history(&mut self) -> (u64, Vec<Record>) {
        let records = std::mem::take(&mut self.history.records);
        (self.ledger.next_sequence - self.history.entries, records.into())
    }
}

/// Replays the segments that `start` left to be read, and keeps the newest `history` entries as records.
/// `progress` is told after each segment.
pub(crate) fn replay_from(
    dir: &JournalDir<'_>,
    start: RecoveryStart,
    history: u64,
    progress: Listener<'_>,
) -> Result<ReplayedJournal, JournalError> {
    let RecoveryStart { mut ledger, at, unusable, segments } = start;
    let mut visitor = RecoveryVisitor::default();
    visitor.history.wanted = history;
    visitor.history.latest_gone = (at.sequence > 0).then_some(ledger.newest_at);
    let outcome = replay(dir, &mut ledger, &mut visitor, progress)?;
    let RecoveryVisitor { history, mut tail } = visitor;
    tail.settle(&outcome);
    let head = dir.layout.head().map(|head| head.header);
    Ok(ReplayedJournal {
        ledger,
        history,
        outcome,
        segments,
        checkpoint: (at.sequence > 0).then_some(at.sequence),
        unusable,
        openings: head.map_or(0, |head| head.opening),
        journal: head.map(|head| head.journal),
        newest_segment: dir.layout.newest,
        tail,
    })
}

/// Takes the journal for writing; waits so long for another process that has it.
///
/// # Errors
/// [`JournalError::Locked`] if that one still has it then; what the storage says.
pub(crate) fn take_lock(
    storage: &dyn Storage,
    wait: Duration,
) -> Result<Box<dyn Any + Send + Sync>, JournalError> {
    const LOOK_AGAIN: Duration = Duration::from_millis(5);
    let began = Instant::now();
    loop {
        match storage.lock() {
            Ok(lock) => return Ok(lock),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                return Err(failed("lock", "", &error));
            }
            Err(_) if began.elapsed() >= wait => return Err(JournalError::Locked),
            Err(_) => thread::sleep(LOOK_AGAIN),
        }
    }
}

/// What recovery keeps of what it reads, beside the ledger.
#[derive(Default)]
struct RecoveryVisitor {
    history: NewestRecords,
    tail: UnsyncedTail,
}

impl Visitor for RecoveryVisitor {
    fn record(&mut self, _: &Ledger, _: u64, decoded: &Decoded<'_>) -> ControlFlow<()> {
        self.history.push(decoded);
        ControlFlow::Continue(())
    }

    fn batch(&mut self, segment: &Segment, found: &FoundBatch, durable: u64) {
        self.tail.push(segment, found, durable);
    }
}

impl NewestRecords {
    fn push(&mut self, decoded: &Decoded<'_>) {
        if self.wanted == 0 {
            self.latest_gone = self.latest_gone.max(Some(decoded.at()));
            return;
        }
        self.entries += decoded.entries();
        self.records.push_back(decoded.to_record());
        while self.entries > self.wanted
            && let Some(gone) = self.records.pop_front()
        {
            self.entries -= gone.entries();
            let at = match &gone {
                Record::Plain(step) => step.at(),
                Record::Buffered(steps) => steps.header.at,
            };
            self.latest_gone = self.latest_gone.max(Some(at));
        }
    }
}

impl UnsyncedTail {
    fn push(&mut self, segment: &Segment, found: &FoundBatch, durable: u64) {
        // In their order: what this segment says of those before comes first.
        #[cfg(not(planted = "tail_out_of_order"))]
        self.let_go(durable);
        let header = found.header;
        let point = Point {
            batch: header.number,
            sequence: header.end() - 1,
            hash: header.hash,
            segment: segment.header.number,
            length: found.end() as u64,
        };
        if header.number <= durable {
            self.trusted = point;
            return;
        }
        let body = segment.bytes[found.records.start..found.notes.end].to_vec();
        self.found.push_back((header, body, point));
    }

    /// Forgets what turned out to be on the disk.
    fn let_go(&mut self, durable: u64) {
        while self.found.front().is_some_and(|(header, ..)| header.number <= durable)
            && let Some((_, _, point)) = self.found.pop_front()
        {
            self.trusted = point;
        }
    }

    /// All was read.
    fn settle(&mut self, outcome: &ReadOutcome) {
        self.let_go(outcome.durable);
        if outcome.closed {
            if self.found.is_empty() {
                // With the mark behind the closing batch, if there is one.
                self.trusted = outcome.end;
            } else {
                // The closing batch says nothing else; what follows takes its number.
                self.found.pop_back();
            }
        }
    }
}
