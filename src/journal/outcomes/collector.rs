//! Gathers outcomes while the journal is read, segment after segment.
//!
//! Whoever reads applies a record to a ledger and then shows it here. What a segment held waits
//! here, and can be looked up here, until its run is installed.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::audit::record::KeyMark;
use crate::base::clock::Timestamp;
use crate::journal::format::decode::Decoded;
use crate::journal::format::segment::{Point, SegmentHeader};
use crate::journal::ledger::Ledger;
use crate::journal::outcomes::builder::OutcomesBuilder;
use crate::journal::outcomes::foot::SegmentRange;
use crate::journal::outcomes::mark::OutcomeMark;
use crate::journal::outcomes::record::{
    JournalTime, Kept, OutcomeRecord, ReservationOutcome, RetakenAs,
};
use crate::reservation::id::ReservationId;

/// What a record says that memory may let go of once it is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SettledName {
    /// The answer of this key.
    Key(KeyMark),
    /// The retake of this reservation.
    Retake(ReservationId),
}

/// The outcomes of some segments, and the names that are settled once they are on the disk.
#[derive(Debug)]
pub(crate) struct GatheredOutcomes {
    pub(crate) builder: OutcomesBuilder,
    /// In the order of their records, with their times.
    pub(crate) names: Vec<(SettledName, Timestamp)>,
    /// The journal time of the newest record.
    pub(crate) newest: JournalTime,
    /// The last entry of each record of the journal that gave something, and how many records and
    /// names there were behind it.
    ends: Vec<(u64, u32, u32)>,
}

/// A finished segment.
#[derive(Debug)]
pub(crate) struct FinishedSegment {
    pub(crate) range: SegmentRange,
    pub(crate) gathered: GatheredOutcomes,
}

/// The segment that is being read.
#[derive(Debug)]
struct OpenSegment {
    first: u64,
    base: Point,
    /// Whether it was read from its first batch on.
    whole: bool,
    gathered: GatheredOutcomes,
}

/// Gathers outcomes while the journal is read.
#[derive(Debug)]
pub(crate) struct OutcomeCollector {
    journal: u128,
    /// Segments that begin before this batch are passed over.
    from: u64,
    open: Option<OpenSegment>,
    /// Finished segments whose runs are not installed yet, the oldest first.
    finished: VecDeque<Arc<FinishedSegment>>,
}

impl GatheredOutcomes {
    fn new(journal: u128) -> Self {
        let newest = JournalTime::default();
        let builder = OutcomesBuilder::new(journal);
        Self { builder, names: Vec::new(), newest, ends: Vec::new() }
    }

    /// Notes that all that was gathered so far is of entries up to this one.
    fn end_record(&mut self, sequence: u64) {
        let (records, names) = (self.builder.len() as u32, self.names.len() as u32);
        let before = self.ends.last().map_or((0, 0), |&(_, records, names)| (records, names));
        if before != (records, names) {
            self.ends.push((sequence, records, names));
        }
    }

    /// Takes what came of entries behind this one out.
    fn split_off(&mut self, sequence: u64) -> Self {
        let kept = self.ends.partition_point(|(last, ..)| *last <= sequence);
        let (records, names) = match kept.checked_sub(1).map(|last| self.ends[last]) {
            Some((_, records, names)) => (records, names),
            None => (0, 0),
        };
        let ends = self.ends.split_off(kept).into_iter();
        Self {
            builder: self.builder.split_off(records as usize),
            names: self.names.split_off(names as usize),
            newest: self.newest,
            ends: ends.map(|(last, of, named)| (last, of - records, named - names)).collect(),
        }
    }

    /// Takes a record's key and retake. Returns the reservation that it is about.
    fn take_names(&mut self, time: JournalTime, decoded: &Decoded<'_>) -> Option<ReservationId> {
        let at = decoded.at();
        self.newest = time.max(self.newest);
        let record = match decoded {
            Decoded::Plain(entry) => return entry.get_reservation(),
            Decoded::Record(record) => record,
        };
        let header = &record.steps.header;
        if let (Some(by), Some(of)) = (header.reservation, header.retaken_from) {
            self.builder.retaken(time, of, &RetakenAs { at, id: by });
            self.names.push((SettledName::Retake(of), at));
        }
        if let Some(key) = record.steps.key {
            self.builder.answered(time, &key, at);
            self.names.push((SettledName::Key(key), at));
        }
        header.reservation
    }
}

impl OutcomeCollector {
    /// For the journal with this number, from batch `from` on.
    pub(crate) fn new(journal: u128, from: u64) -> Self {
        Self { journal, from, open: None, finished: VecDeque::new() }
    }

    /// The next record lies in this segment. `end` is the end of what was read before.
    pub(crate) fn enter(&mut self, header: &SegmentHeader, end: &Point) {
        if self.open.as_ref().is_some_and(|open| open.first == header.number) {
            return;
        }
        self.finished.retain(|it| it.range.end.batch <= header.base.batch);
        let mut gathered = GatheredOutcomes::new(self.journal);
        let mut whole = header.base.batch == end.batch;
        let repeats = header.base.batch < end.batch;
        if let Some(OpenSegment { first, base, whole: true, gathered: mut own }) = self.open.take()
            && (whole || repeats && base.batch <= header.base.batch)
        {
            // A segment that replaces a failed one, or the unsynced end of another opening's,
            // repeats batches, which the reader passes over. What they gave is the new segment's.
            // If it begins even before the open one, both are read anew from the disk.
            if repeats {
                gathered = own.split_off(header.base.sequence);
                whole = true;
            }
            if base.batch < header.base.batch || !repeats {
                let range = SegmentRange { first, base, end: header.base };
                self.finished.push_back(Arc::new(FinishedSegment { range, gathered: own }));
            }
        }
        whole &= header.base.batch >= self.from;
        self.open = Some(OpenSegment { first: header.number, base: header.base, whole, gathered });
    }

    /// Takes what this record says. `ledger` has applied it; `opening` wrote it.
    pub(crate) fn record(&mut self, ledger: &Ledger, decoded: &Decoded<'_>, opening: u64) {
        let Some(open) = self.open.as_mut().filter(|open| open.whole) else { return };
        let time = JournalTime::from_millis(ledger.clock.journal_time(decoded.at()));
        let id = open.gathered.take_names(time, decoded);
        if let Some(id) = id
            && let Some(hold) = ledger.holds.at(id).filter(|hold| hold.id == id)
            && let Some(outcome) = ReservationOutcome::of(hold, opening)
        {
            open.gathered.builder.ended(time, id, &outcome);
        }
        open.gathered.end_record(ledger.next_sequence - 1);
    }

    /// Takes what this record says by itself, without a state that it changes: its key, and the
    /// retake. How reservations ended is not known then. For a journal that is read from its files
    /// alone, in which no batch comes twice.
    pub(crate) fn record_names(&mut self, time: JournalTime, decoded: &Decoded<'_>) {
        if let Some(open) = self.open.as_mut().filter(|open| open.whole) {
            open.gathered.take_names(time, decoded);
        }
    }

    /// Whether keys wait in the segment that is being read, and it is the only one that keeps them
    /// waiting.
    pub(crate) fn waits_for_its_end(&self) -> bool {
        let waits = |open: &OpenSegment| open.whole && !open.gathered.names.is_empty();
        self.finished.is_empty() && self.open.as_ref().is_some_and(waits)
    }

    /// The oldest finished segment whose run is not installed.
    pub(crate) fn oldest(&self) -> Option<Arc<FinishedSegment>> {
        self.finished.front().cloned()
    }

    /// Drops a finished segment: its run is installed.
    pub(crate) fn installed(&mut self, segment: &Arc<FinishedSegment>) {
        self.finished.retain(|own| !Arc::ptr_eq(own, segment));
    }

    /// The batch from which on all that was read is gathered here. The rest is on the disk.
    pub(crate) fn gathered_from(&self) -> u64 {
        let oldest = self.finished.front().map(|finished| finished.range.base.batch);
        let open = self.open.as_ref().filter(|open| open.whole).map(|open| open.base.batch);
        oldest.or(open).unwrap_or(u64::MAX)
    }

    /// The newest record under this mark that waits here.
    pub(crate) fn find<T: OutcomeRecord>(&self, mark: OutcomeMark) -> Option<Kept<T>> {
        let open = self.open.as_ref().filter(|open| open.whole).map(|open| &open.gathered.builder);
        let finished = self.finished.iter().rev().map(|finished| &finished.gathered.builder);
        open.into_iter().chain(finished).find_map(|builder| builder.find(mark))
    }
}
