//! Recovery: rebuilds the state from a journal, and finds the point where the journal goes on.

pub(crate) mod replay;
pub(crate) mod start;

use std::any::Any;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::audit::record::Record;
use crate::base::clock::Timestamp;
use crate::base::error::JournalError;
use crate::journal::format::batch::BatchHeader;
use crate::journal::format::decode::Decoded;
use crate::journal::format::segment::Point;
use crate::journal::layout::JournalDir;
use crate::journal::ledger::Ledger;
use crate::journal::outcomes::collector::OutcomeCollector;
use crate::journal::reader::{FoundBatch, ReadOutcome, Segment, Stray, Torn};
use crate::journal::writer::ResumePoint;

use replay::{Listener, Visitor, replay};
use start::RecoveryStart;

/// A torn tail: bytes behind the last whole batch that a crash left incomplete. An opening cuts
/// them off, and reports them as this. Nothing that was known to be on the disk is among them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TornTail {
    /// The name of the segment file.
    pub file: String,
    /// The byte offset in the file at which the last whole batch ends and the tail begins.
    pub offset: u64,
    /// What was found there, as a phrase in English.
    pub what: String,
}

impl TornTail {
    pub(crate) fn of(torn: &Torn) -> Self {
        Self { file: torn.file.clone(), offset: torn.offset, what: torn.what.to_owned() }
    }
}

/// Bytes that lay behind the end of a journal that was closed in good order, and that no engine
/// wrote there: a foreign program did, or a repaired file system. They hold nothing of the journal.
/// An opening cuts them off, and reports them as this. A verification says that the journal is not
/// sound until then.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StrayBytes {
    /// The name of the file: the newest segment, or one with the name of a later segment that holds
    /// nothing of a segment, which was removed.
    pub file: String,
    /// The byte offset in the file at which they began.
    pub offset: u64,
    /// How many there were. A file may have none.
    pub length: u64,
}

impl StrayBytes {
    pub(crate) fn of(stray: &Stray) -> Self {
        Self { file: stray.file.clone(), offset: stray.offset, length: stray.length }
    }
}

/// A replayed journal, ready to be appended to.
pub(crate) struct ReplayedJournal {
    pub(crate) ledger: Ledger,
    pub(crate) history: NewestRecords,
    pub(crate) outcome: ReadOutcome,
    pub(crate) segments: usize,
    /// The last entry of the checkpoint that the replay began with; `None` if it began with the
    /// first segment.
    pub(crate) checkpoint: Option<u64>,
    /// Why checkpoints could not be used, an error for each.
    pub(crate) unusable: Vec<JournalError>,
    /// How often the journal was opened before.
    pub(crate) openings: u64,
    /// What was gathered for the outcome files.
    pub(crate) collector: Option<OutcomeCollector>,
    journal: Option<u128>,
    newest_segment: u64,
    tail: UnsyncedTail,
}

/// The newest records, for the log in memory.
#[derive(Debug, Default)]
pub(crate) struct NewestRecords {
    wanted: u64,
    entries: u64,
    records: VecDeque<Record>,
    /// The latest time of any entry that is not in `records`.
    pub(crate) latest_gone: Option<Timestamp>,
}

/// The batches behind the last point that is known to be on the disk. A crash of the machine may
/// still lose them, so the new opening writes them again into its own segment.
#[derive(Default)]
struct UnsyncedTail {
    /// The end of the newest batch that is known to be on the disk.
    trusted: Point,
    found: VecDeque<(BatchHeader, Vec<u8>, Point)>,
}

impl ReplayedJournal {
    /// The point where the journal goes on. A new journal gets `random` as its id.
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

    /// How many batches the opening will write again.
    pub(crate) fn rewritten(&self) -> usize {
        self.tail.found.len()
    }

    /// The newest records, and the sequence number of their first entry. Moves them out.
    pub(crate) fn take_history(&mut self) -> (u64, Vec<Record>) {
        let records = std::mem::take(&mut self.history.records);
        (self.ledger.next_sequence - self.history.entries, records.into())
    }
}

/// Replays the segments that `start` left on the path. Keeps the newest records, so that they hold
/// at most `history` entries. Calls `progress` after each segment. Shows all records to the
/// `collector`, if any.
pub(crate) fn replay_from(
    dir: &JournalDir<'_>,
    start: RecoveryStart,
    history: u64,
    progress: Listener<'_>,
    collector: Option<OutcomeCollector>,
) -> Result<ReplayedJournal, JournalError> {
    let RecoveryStart { mut ledger, at, unusable, segments } = start;
    let mut visitor = RecoveryVisitor { collector, end: at, ..RecoveryVisitor::default() };
    visitor.history.wanted = history;
    visitor.history.latest_gone = (at.sequence > 0).then_some(ledger.newest_at);
    let outcome = replay(dir, &mut ledger, &mut visitor, progress)?;
    let RecoveryVisitor { history, mut tail, collector, .. } = visitor;
    tail.finish(&outcome);
    let head = dir.layout.head().map(|head| head.header);
    Ok(ReplayedJournal {
        ledger,
        history,
        outcome,
        segments,
        checkpoint: (at.sequence > 0).then_some(at.sequence),
        unusable,
        openings: head.map_or(0, |head| head.opening),
        collector,
        journal: head.map(|head| head.journal),
        newest_segment: dir.layout.newest,
        tail,
    })
}

/// What recovery keeps of the records and batches that it reads, besides the ledger.
#[derive(Default)]
struct RecoveryVisitor {
    history: NewestRecords,
    tail: UnsyncedTail,
    collector: Option<OutcomeCollector>,
    /// The opening that wrote the segment under way.
    opening: u64,
    /// The end of the batch before the one under way. Only its batch counts.
    end: Point,
}

impl Visitor for RecoveryVisitor {
    fn ends_before(&mut self, segment: &Segment, _: &Decoded<'_>) -> bool {
        if let Some(collector) = &mut self.collector {
            collector.enter(&segment.header, &self.end);
            self.opening = segment.header.opening;
        }
        false
    }

    fn record(&mut self, ledger: &Ledger, _: u64, decoded: &Decoded<'_>) -> ControlFlow<()> {
        if let Some(collector) = &mut self.collector {
            collector.record(ledger, decoded, self.opening);
        }
        self.history.push(decoded);
        ControlFlow::Continue(())
    }

    fn batch(&mut self, segment: &Segment, found: &FoundBatch, durable: u64) {
        self.end.batch = found.header.number;
        self.tail.push(segment, found, durable);
    }
}

impl NewestRecords {
    /// Adds a record, and drops the oldest records beyond `wanted` entries.
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
            self.latest_gone = self.latest_gone.max(Some(gone.at()));
        }
    }
}

impl UnsyncedTail {
    /// Adds a batch; `durable` is the newest batch that is known to be on the disk.
    fn push(&mut self, segment: &Segment, found: &FoundBatch, durable: u64) {
        // First, drop the batches that this segment's header says are on the disk. `trusted` only
        // moves forward if they leave before this batch is looked at.
        self.let_go(durable);
        let header = found.header;
        let point = Point {
            batch: header.number,
            sequence: header.end() - 1,
            hash: header.hash,
            segment: segment.header.number,
            length: segment.place(found.end()),
        };
        if header.number <= durable {
            self.trusted = point;
            return;
        }
        let body = segment.bytes[found.records.start..found.notes.end].to_vec();
        self.found.push_back((header, body, point));
    }

    /// Drops batches that are known to be on the disk by now, and moves `trusted` past them.
    fn let_go(&mut self, durable: u64) {
        while self.found.front().is_some_and(|(header, ..)| header.number <= durable)
            && let Some((_, _, point)) = self.found.pop_front()
        {
            self.trusted = point;
        }
    }

    /// Called once all segments are read.
    fn finish(&mut self, outcome: &ReadOutcome) {
        self.let_go(outcome.durable);
        if outcome.closed {
            if self.found.is_empty() {
                // The end of the file, so that `trusted` covers the close mark behind the closing
                // batch, too.
                self.trusted = outcome.end;
            } else {
                // The closing batch holds no records. Leave it out: the next batch takes its
                // number.
                self.found.pop_back();
            }
        }
    }
}
