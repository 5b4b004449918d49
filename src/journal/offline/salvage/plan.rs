//! What of a damaged journal can be saved: the walk from its beginning, as far as it is legal.
//!
//! An opening begins at the newest segment and follows the links back, and refuses if one is
//! missing. The salvage follows them forward from the oldest, and stops where it can't go on.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::base::error::JournalError;
use crate::journal::format::batch::{self, BatchHeader, body_sum};
use crate::journal::format::decode::{Decoded, Decoder};
use crate::journal::format::segment::{self, Point, SegmentHeader};
use crate::journal::layout::checkpoint_file::{self, CheckpointHeader};
use crate::journal::layout::sync_mark::{self, FoundMarks, SyncMark};
use crate::journal::layout::{Layout, PathSegment, damaged, read_header};
use crate::journal::ledger::Ledger;
use crate::journal::offline::salvage::sound::{SoundPart, SoundParts, point_of};
use crate::journal::offline::snapshot_storage::SnapshotStorage;
use crate::journal::reader::{FoundBatch, Segment};
use crate::journal::recovery::replay::{Visitor, broken, replay_segment};
use crate::journal::recovery::start;

/// The segments of a journal, whether or not they follow from each other.
pub(super) struct Found<'a> {
    pub(super) storage: &'a SnapshotStorage,
    /// The headers that can be read, by segment number: those of one journal.
    headers: BTreeMap<u64, SegmentHeader>,
    /// The numbers of all segments.
    pub(super) numbers: Vec<u64>,
}

/// A segment to be copied.
pub(super) struct PlannedSegment {
    pub(super) name: String,
    pub(super) header: SegmentHeader,
    /// How many of its bytes are copied as they are, its header included.
    pub(super) length: u64,
}

/// What is to be saved.
pub(super) struct Plan {
    /// The checkpoint to begin with, and its file's name; `None` to begin with the first entry.
    pub(super) checkpoint: Option<(String, CheckpointHeader)>,
    pub(super) segments: Vec<PlannedSegment>,
    /// The end of the last segment, if it is not copied: the part of a batch up to the record that
    /// breaks a law, as a batch of its own.
    pub(super) tail: Vec<u8>,
    /// The end of what is saved. The length is that of the copy.
    pub(super) end: Point,
    pub(super) ledger: Ledger,
    /// The first thing that is wrong behind it.
    pub(super) fault: Option<JournalError>,
}

/// Where a walk begins.
struct Beginning {
    first: u64,
    checkpoint: Option<(String, CheckpointHeader)>,
}

impl<'a> Found<'a> {
    pub(super) fn in_storage(storage: &'a SnapshotStorage) -> Result<Self, JournalError> {
        let mut numbers: Vec<u64> = storage.segments().filter_map(segment::number_of).collect();
        numbers.sort_unstable();
        let mut headers = BTreeMap::new();
        for number in &numbers {
            // A file with another segment's header is of no use, like one without a header.
            if let Some(header) = read_header(storage, &segment::name_of(*number))?
                && header.number == *number
            {
                headers.insert(*number, header);
            }
        }
        // A segment of another journal may have strayed in. Most are of this one.
        let mut counts: BTreeMap<u128, usize> = BTreeMap::new();
        headers.values().for_each(|it| *counts.entry(it.journal).or_default() += 1);
        let own = counts.into_iter().max_by_key(|(_, count)| *count).map(|(journal, _)| journal);
        headers.retain(|_, it| Some(it.journal) == own);
        Ok(Self { storage, headers, numbers })
    }

    /// The plan that saves the newest entry: from the first entry on, or else from a checkpoint.
    ///
    /// # Errors
    /// What is wrong with the journal, if nothing can be saved; the storage's error.
    pub(super) fn best_plan(&self) -> Result<Plan, JournalError> {
        let mut best: Option<Plan> = None;
        let mut fault = None;
        for beginning in self.beginnings()? {
            let Some(plan) = self.legal_plan(&beginning)? else { continue };
            let is_whole = plan.fault.is_none();
            fault = fault.or_else(|| plan.fault.clone());
            let reached = best.as_ref().map_or(0, |it| it.end.sequence);
            if plan.end.sequence > reached {
                best = Some(plan);
            }
            if is_whole {
                break;
            }
        }
        best.ok_or_else(|| {
            let first = self.numbers.first().map_or(0, |number| *number);
            let what = "no segment from which the journal could begin".to_owned();
            fault.unwrap_or_else(|| damaged(&segment::name_of(first), 0, what))
        })
    }

    /// The first entry, if its segment can be read; then the checkpoints that can, oldest first.
    fn beginnings(&self) -> Result<Vec<Beginning>, JournalError> {
        let newest_of = |matches: &dyn Fn(&SegmentHeader) -> bool| {
            self.headers.values().rev().find(|it| matches(it)).map(|it| it.number)
        };
        let mut found = Vec::new();
        if let Some(first) = newest_of(&|it| it.base.segment == 0) {
            found.push(Beginning { first, checkpoint: None });
        }
        for name in checkpoint_file::list(self.storage)?.into_iter().rev() {
            match start::read(self.storage, &name, 0) {
                Ok((header, _)) => {
                    let holds = |it: &SegmentHeader| {
                        it.journal == header.journal && it.base.batch < header.batch
                    };
                    if let Some(first) = newest_of(&holds) {
                        found.push(Beginning { first, checkpoint: Some((name, header)) });
                    }
                }
                Err(error @ JournalError::Storage { .. }) => return Err(error),
                Err(_) => {}
            }
        }
        Ok(found)
    }

    /// The longest plan from this beginning that obeys all laws; `None` if it saves nothing.
    fn legal_plan(&self, beginning: &Beginning) -> Result<Option<Plan>, JournalError> {
        let Some(mut plan) = self.walk(beginning, u64::MAX)? else { return Ok(None) };
        if matches!(plan.fault, Some(JournalError::BrokenLaw { .. })) {
            // The ledger has applied a part of the record that breaks the law.
            let Some(again) = self.walk(beginning, plan.end.sequence)? else { return Ok(None) };
            plan = Plan { fault: plan.fault, ..again };
        }
        let Err(wrong) = plan.ledger.check_totals() else { return Ok(Some(plan)) };
        // The totals are checked at the end alone, so look for the last entry at which they hold.
        let begun = beginning.checkpoint.as_ref().map_or(0, |(_, it)| it.sequence);
        let (mut legal, mut illegal) = (begun, plan.end.sequence);
        let mut best = None;
        while legal + 1 < illegal {
            let middle = legal.midpoint(illegal);
            match self.walk(beginning, middle)? {
                Some(plan) if plan.ledger.check_totals().is_ok() => {
                    (legal, best) = (middle, Some(plan));
                }
                Some(_) => illegal = middle,
                // Nothing is saved up to there.
                None => legal = middle,
            }
        }
        let fault = broken(crate::journal::ledger::Broken { sequence: illegal, ..wrong });
        Ok(best.map(|plan| Plan { fault: Some(fault), ..plan }))
    }

    /// Walks from this beginning on, up to entry `until` at most; `None` if not even the checkpoint
    /// or the first entry is reached.
    fn walk(&self, beginning: &Beginning, until: u64) -> Result<Option<Plan>, JournalError> {
        let ledger = match &beginning.checkpoint {
            Some((name, _)) => start::read(self.storage, name, 0)?.1,
            None => Ledger::new(0),
        };
        let known = beginning.checkpoint.as_ref().map(|(_, it)| (it.batch, it.hash));
        let Some(first) = self.headers.get(&beginning.first) else { return Ok(None) };
        let mut plan = Plan {
            checkpoint: beginning.checkpoint.clone(),
            segments: Vec::new(),
            tail: Vec::new(),
            end: first.base,
            ledger,
            fault: None,
        };
        let mut next = Some(*first);
        while let Some(header) = next {
            // Of the segments that continue from this one, all but the newest were abandoned.
            let continues = |it: &&SegmentHeader| it.base.segment == header.number;
            let follower = self.headers.values().rev().find(continues);
            let limit = follower.map_or(u64::MAX, |it| it.base.length);
            let walked = self.segment(&mut plan, header, limit, (known, until))?;
            if walked.is_break() {
                break;
            }
            next = follower.copied();
            if let Some(it) = next
                && (it.base.batch, it.base.hash, it.base.length)
                    != (plan.end.batch, plan.end.hash, plan.end.length)
            {
                let what = "a segment that does not continue from the one before".to_owned();
                plan.fault = Some(damaged(&segment::name_of(it.number), 0, what));
                break;
            }
        }
        let begun = known.map_or(1, |(batch, _)| batch);
        if plan.end.batch < begun || plan.segments.is_empty() {
            return Ok(None);
        }
        if plan.fault.is_none() && until == u64::MAX {
            plan.fault = self.missing_behind(&plan)?;
        }
        Ok(Some(plan))
    }

    /// Walks through one segment, and adds to the plan what is legal in it. Breaks if that is not
    /// all of it.
    fn segment(
        &self,
        plan: &mut Plan,
        header: SegmentHeader,
        limit: u64,
        (known, until): (Option<(u64, batch::Hash)>, u64),
    ) -> Result<ControlFlow<()>, JournalError> {
        let name = segment::name_of(header.number);
        let on_path = PathSegment { name: name.clone(), header, limit };
        let mut parts = SoundParts::new(self.storage, &on_path, plan.end);
        let (before, mut read_to, mut is_legal, mut is_last) = (plan.end, 0, true, false);
        while is_legal && !is_last {
            let part = parts.next()?;
            let other = |it: &FoundBatch| {
                known.is_some_and(|known| it.header.number == known.0 && it.header.hash != known.1)
            };
            if part.segment.batches.iter().any(other) {
                // The checkpoint is not of this chain.
                return Ok(ControlFlow::Break(()));
            }
            is_last = part.segment.is_last;
            (read_to, is_legal) = apply(plan, &part, known.map_or(0, |(batch, _)| batch), until);
        }
        // A segment without a batch is left out, unless another one continues from it.
        let is_link = is_legal && plan.fault.is_none() && limit != u64::MAX;
        if plan.end.batch > before.batch || is_link {
            let end = read_to + plan.tail.len() as u64;
            (plan.end.segment, plan.end.length) = (header.number, end);
            plan.segments.push(PlannedSegment { name, header, length: read_to });
        }
        Ok(if is_legal && plan.fault.is_none() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        })
    }

    /// What is missing behind the end of a plan that met no fault.
    fn missing_behind(&self, plan: &Plan) -> Result<Option<JournalError>, JournalError> {
        let Some(last) = plan.segments.last() else { return Ok(None) };
        let later = self.numbers.iter().find(|number| **number > last.header.number);
        if let Some(later) = later {
            let what = "a segment that does not continue from what is sound".to_owned();
            return Ok(Some(damaged(&segment::name_of(*later), 0, what)));
        }
        let (journal, opening) = (last.header.journal, last.header.opening);
        let own = |it: &SyncMark| it.journal == journal && it.opening == opening;
        // All segments up to the end are complete, or there were a fault.
        let marks = FoundMarks::read(self.storage, own)?;
        let newest = marks.newest_witness(self.storage, &Layout::default())?;
        let missing = newest.map(|it| it.batch).filter(|batch| *batch > plan.end.batch);
        Ok(missing.map(|batch| {
            let what =
                format!("batch {batch} was on the disk{}, and is missing", sync_mark::SAYS_SO);
            damaged(&last.name, plan.end.length, what)
        }))
    }
}

impl Plan {
    /// The bytes that are saved.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|it| it.length).sum::<u64>() + self.tail.len() as u64
    }
}

/// Applies the records of a part of a segment to the plan, as far as they are legal. Those of
/// batches up to `known` are in its ledger already. Returns up to which byte of the file batches
/// are saved whole, and whether all records are legal.
fn apply(plan: &mut Plan, part: &SoundPart, known: u64, until: u64) -> (u64, bool) {
    let segment = &part.segment;
    let next = plan.ledger.next_sequence;
    let mut visitor = LegalRecords { next, until, batches: 0, records: 0 };
    let replayed = replay_segment(segment, 0, known, &mut plan.ledger, &mut visitor);
    let is_legal = matches!(replayed, Ok(ControlFlow::Continue(())));
    let whole = segment.batches[..visitor.batches].last();
    if let Some(last) = whole {
        plan.end = point_of(last);
    }
    if let Some(cut) = segment.batches.get(visitor.batches).filter(|_| !is_legal)
        && let Some((batch, end)) = first_records(segment, cut, visitor.records, &plan.end)
    {
        (plan.tail, plan.end) = (batch, end);
    }
    plan.fault = match replayed {
        Err(error) => Some(error),
        Ok(_) => part
            .wrong
            .filter(|_| is_legal)
            .map(|(at, what)| damaged(&segment.name, at, what.to_owned())),
    };
    let saved = segment.place(whole.map_or(0, FoundBatch::end));
    (if is_legal { part.read_to } else { saved }, is_legal)
}

/// The first `count` records of a batch, as a batch that follows `end`; `None` if there are none.
fn first_records(
    segment: &Segment,
    cut: &FoundBatch,
    count: u32,
    end: &Point,
) -> Option<(Vec<u8>, Point)> {
    let (records, notes) = (&segment.bytes[cut.records.clone()], &segment.bytes[cut.notes.clone()]);
    let mut decoder = Decoder::new(records, notes, cut.header.base);
    let mut entries = 0;
    for _ in 0..count {
        entries += decoder.next().ok()??.entries() as u32;
    }
    let records = &records[..records.len() - decoder.records_left()];
    let notes = &notes[..notes.len() - decoder.notes_left()];
    if count == 0 {
        return None;
    }
    let body = [records, notes].concat();
    let mut header = BatchHeader {
        records_length: records.len() as u32,
        notes_length: notes.len() as u32,
        entries,
        records: count,
        closed: false,
        body_sum: body_sum(&body),
        ..cut.header
    };
    header.hash = header.chain(&end.hash, records);
    let bytes = [&header.to_bytes(segment.header.number)[..], &body].concat();
    let point =
        Point { batch: header.number, sequence: header.end() - 1, hash: header.hash, ..*end };
    Some((bytes, point))
}

/// Counts the records that obey the laws: whole batches, and those of the batch behind these.
struct LegalRecords {
    next: u64,
    until: u64,
    batches: usize,
    records: u32,
}

impl Visitor for LegalRecords {
    fn ends_before(&mut self, _: &Segment, decoded: &Decoded<'_>) -> bool {
        self.next - 1 + decoded.entries() > self.until
    }

    fn record(&mut self, _: &Ledger, first: u64, decoded: &Decoded<'_>) -> ControlFlow<()> {
        self.next = first + decoded.entries();
        self.records += 1;
        ControlFlow::Continue(())
    }

    fn batch(&mut self, _: &Segment, _: &FoundBatch, _: u64) {
        self.batches += 1;
        self.records = 0;
    }
}
