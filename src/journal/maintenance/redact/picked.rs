//! Picks the records that lose their notes, and finds where the notes lie.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::{ControlFlow, Range};

use crate::journal::format::decode::{Decoded, Decoder};
use crate::journal::ledger::Ledger;
use crate::journal::ledger::transfers::decided_in;
use crate::journal::maintenance::redact::EraseRequest;
use crate::journal::reader::{FoundBatch, Segment};
use crate::journal::recovery::replay::Visitor;

/// The records that were picked, and where their notes lie.
pub(super) struct RedactionVisitor<'a> {
    request: EraseRequest<'a>,
    /// The picked records of the current batch, by the sequence number of their first entry.
    marked: HashSet<u64>,
    /// The request's `stop` returned `true`.
    stopped: bool,
    /// The byte ranges of the picked notes, by the name of their segment.
    pub(super) edits: BTreeMap<String, Vec<Range<u64>>>,
    pub(super) count: u64,
    /// The records without notes that the result names, by the sequence number of their first
    /// entry.
    pub(super) records: BTreeSet<u64>,
    /// The transfer requests whose decision has lost its texts, or has no record left in the
    /// segments.
    pub(super) decisions: BTreeSet<u64>,
}

impl<'a> RedactionVisitor<'a> {
    /// Nothing picked yet. `beginning` is the ledger that the journal begins with.
    pub(super) fn new(request: EraseRequest<'a>, beginning: &Ledger) -> Self {
        Self {
            request,
            marked: HashSet::new(),
            stopped: false,
            edits: BTreeMap::new(),
            count: 0,
            records: BTreeSet::new(),
            decisions: beginning.transfers.decided().collect(),
        }
    }
}

impl Visitor for RedactionVisitor<'_> {
    fn looks_back(&self) -> bool {
        true
    }

    fn record(&mut self, ledger: &Ledger, first: u64, decoded: &Decoded<'_>) -> ControlFlow<()> {
        if self.stopped {
            return ControlFlow::Break(());
        }
        let Decoded::Record(record) = decoded else { return ControlFlow::Continue(()) };
        if !record.erased && first <= self.request.last {
            let metadata = decoded.metadata();
            let mut entries = decoded.views().zip(first..);
            let wanted = &mut self.request.wanted;
            if entries.any(|(view, at)| wanted(&view.to_entry(at, ledger, &metadata))) {
                self.marked.insert(first);
            }
        }
        // A record that an earlier attempt erased is named, too: a crash may have kept the other
        // parts of the engine from hearing of it.
        let is_bare = record.erased || self.marked.contains(&first);
        if is_bare && first + decoded.entries() > self.request.remembered {
            self.records.insert(first);
        }
        if let Some(number) = decided_in(record) {
            match is_bare {
                true => drop(self.decisions.insert(number)),
                false => drop(self.decisions.remove(&number)),
            }
        }
        ControlFlow::Continue(())
    }

    fn batch(&mut self, segment: &Segment, found: &FoundBatch, _: u64) {
        self.stopped = (self.request.stop)();
        if self.marked.is_empty() {
            return;
        }
        let (records, notes) =
            (&segment.bytes[found.records.clone()], &segment.bytes[found.notes.clone()]);
        let mut decoder = Decoder::new(records, notes, found.header.base);
        let mut first = found.header.first_sequence;
        loop {
            let before = decoder.notes_left();
            // The replay has just decoded it, so it can't fail.
            let Ok(Some(decoded)) = decoder.next() else { break };
            let sequence = first;
            first += decoded.entries();
            let after = decoder.notes_left();
            if after < before && self.marked.contains(&sequence) {
                let end = segment.place(found.notes.end);
                let block = end - before as u64..end - after as u64;
                self.edits.entry(segment.name.clone()).or_default().push(block);
                self.count += 1;
            }
        }
        self.marked.clear();
    }
}
