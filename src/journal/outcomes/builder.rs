//! Gathers the outcomes of one segment in memory, and puts them in order.

use crate::audit::record::KeyMark;
use crate::base::clock::Timestamp;
use crate::journal::outcomes::mark::{Marker, OutcomeMark};
use crate::journal::outcomes::record::{
    JournalTime, Kept, KeptAnswer, OutcomeRecord, ReservationOutcome, RetakenAs, put_record,
    read_record,
};
use crate::reservation::id::ReservationId;

/// The outcomes of one segment, in the order in which they came.
#[derive(Debug)]
pub(crate) struct OutcomesBuilder {
    marker: Marker,
    /// The bytes of all records, one after the other.
    bytes: Vec<u8>,
    /// Of each record the mark, and where its bytes begin.
    records: Vec<(OutcomeMark, usize)>,
}

impl OutcomesBuilder {
    /// An empty one, for the journal with this number.
    pub(crate) fn new(journal: u128) -> Self {
        Self { marker: Marker::new(journal), bytes: Vec::new(), records: Vec::new() }
    }

    /// A record bore this key, made at `at`, by the engine's clock.
    pub(crate) fn answered(&mut self, time: JournalTime, key: &KeyMark, at: Timestamp) {
        let KeyMark { key, fingerprint, answer } = *key;
        let mark = self.marker.answer(key.as_bytes());
        self.push(time, mark, &KeptAnswer { at, fingerprint, answer });
    }

    /// A reservation has ended so, or something about an ended one has changed.
    pub(crate) fn ended(
        &mut self,
        time: JournalTime,
        id: ReservationId,
        outcome: &ReservationOutcome,
    ) {
        self.push(time, self.marker.reservation(id), outcome);
    }

    /// An ended reservation's lines were taken again.
    pub(crate) fn retaken(&mut self, time: JournalTime, of: ReservationId, by: &RetakenAs) {
        self.push(time, self.marker.retake(of), by);
    }

    fn push<T: OutcomeRecord>(&mut self, time: JournalTime, mark: OutcomeMark, record: &T) {
        self.records.push((mark, self.bytes.len()));
        put_record(&mut self.bytes, time, record);
    }

    /// How many records there are.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Takes all records behind the first `kept` ones out, into a builder of their own.
    pub(super) fn split_off(&mut self, kept: usize) -> Self {
        let start = self.records.get(kept).map_or(self.bytes.len(), |(_, start)| *start);
        let (marker, bytes) = (self.marker.clone(), self.bytes.split_off(start));
        let mut records = self.records.split_off(kept);
        records.iter_mut().for_each(|(_, at)| *at -= start);
        Self { marker, bytes, records }
    }

    /// The newest record under this mark. Looks at all marks, some milliseconds for a million.
    pub(crate) fn find<T: OutcomeRecord>(&self, mark: OutcomeMark) -> Option<Kept<T>> {
        let at = self.records.iter().rposition(|(own, _)| *own == mark)?;
        let end = self.records.get(at + 1).map_or(self.bytes.len(), |(_, start)| *start);
        read_record(&self.bytes[self.records[at].1..end])
    }

    /// The records in the order of their marks; of several with one mark, the last.
    pub(super) fn sorted(&self) -> impl Iterator<Item = (OutcomeMark, &[u8])> {
        let ends = self.records.iter().skip(1).map(|(_, start)| *start);
        let ends = ends.chain([self.bytes.len()]);
        let mut all: Vec<_> = self.records.iter().zip(ends).collect();
        // Stable, so that of one mark the last stays last.
        all.sort_by_key(|((mark, _), _)| *mark);
        let mut all = all.into_iter().peekable();
        std::iter::from_fn(move || {
            loop {
                let ((mark, start), end) = all.next()?;
                if all.peek().is_none_or(|((next, _), _)| next != mark) {
                    return Some((*mark, &self.bytes[*start..end]));
                }
            }
        })
    }
}
