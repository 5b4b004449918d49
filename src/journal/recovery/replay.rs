//! Reading a journal from end to end, and adding it up.

use std::ops::ControlFlow;
use std::sync::mpsc::sync_channel;
use std::thread;

use crate::base::error::JournalError;
use crate::journal::format::decode::{Decoded, Decoder};
use crate::journal::layout::{JournalDir, damaged};
use crate::journal::ledger::{Broken, Ledger};
use crate::journal::reader::{self, FoundBatch, ReadOutcome, Segment};

/// How far the reading of a journal has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryProgress {
    /// Segments that were replayed.
    pub segments: usize,
    /// Segments that there are.
    pub of_segments: usize,
    /// Entries that were replayed.
    pub entries: u64,
}

/// Who is told of progress, after each segment.
pub(crate) type Listener<'a> = Option<&'a mut (dyn FnMut(RecoveryProgress) + Send)>;

/// Who looks on while a journal is replayed.
pub(crate) trait Visitor {
    /// Whether the replay is to end before this record.
    fn ends_before(&mut self, _decoded: &Decoded<'_>) -> bool {
        false
    }

    /// Whether it wants to see records that the ledger began with, too.
    fn looks_back(&self) -> bool {
        false
    }

    /// A record was added up, the first of whose entries has this number.
    fn record(&mut self, ledger: &Ledger, first: u64, decoded: &Decoded<'_>) -> ControlFlow<()>;

    /// All records of a batch were, and so much is known to be on the disk.
    fn batch(&mut self, _segment: &Segment, _found: &FoundBatch, _durable: u64) {}
}

/// Replays a journal: one thread reads and checks the bytes, this one adds up and checks the laws.
pub(crate) fn replay(
    dir: &JournalDir<'_>,
    ledger: &mut Ledger,
    visitor: &mut dyn Visitor,
    mut tell: Listener<'_>,
) -> Result<ReadOutcome, JournalError> {
    let layout = &dir.layout;
    let mut progress = RecoveryProgress { of_segments: layout.path.len(), ..Default::default() };
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel::<(Segment, u64)>(1);
        let reading = scope.spawn(move || {
            reader::read(dir, |segment, durable| {
                // A replay that has ended needs no more.
                match sender.send((segment, durable)) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(_) => ControlFlow::Break(()),
                }
            })
        });
        let mut replayed = Ok(ControlFlow::Continue(()));
        for (segment, durable) in receiver {
            let known = layout.checkpoint.batch;
            replayed = replay_segment(&segment, durable, known, ledger, visitor);
            if !matches!(replayed, Ok(ControlFlow::Continue(()))) {
                break;
            }
            progress.segments += 1;
            progress.entries = ledger.next_sequence - 1;
            if let Some(tell) = &mut tell {
                tell(progress);
            }
        }
        let read = reading
            .join()
            .unwrap_or_else(|_| Err(damaged("", 0, "reading it made the reader fail".to_owned())));
        if let Ok(ControlFlow::Break(())) = replayed {
            // Whatever the reader has found ahead: how far that was is a matter of chance.
            return Ok(read.unwrap_or_default());
        }
        // What the ledger refuses stands before anything that the reader has met ahead of it, by chance or
        // not: so the first thing that is wrong is told, each time the same.
        let _ = replayed?;
        let outcome = read?;
        ledger.check_totals().map_err(broken)?;
        Ok(outcome)
    })
}

fn replay_segment(
    segment: &Segment,
    durable: u64,
    known: u64,
    ledger: &mut Ledger,
    visitor: &mut dyn Visitor,
) -> Result<ControlFlow<()>, JournalError> {
    for found in &segment.batches {
        if found.header.number <= known {
            // The ledger began with what this batch adds up to.
            if visitor.looks_back() && look_back(segment, found, ledger, visitor)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            visitor.batch(segment, found, durable);
            continue;
        }
        let flow = decode_batch(segment, found, |decoded| {
            if visitor.ends_before(&decoded) {
                return Ok(ControlFlow::Break(()));
            }
            let first = ledger.next_sequence;
            ledger.apply(&decoded).map_err(broken)?;
            Ok(visitor.record(ledger, first, &decoded))
        })?;
        if flow.is_break() {
            return Ok(flow);
        }
        visitor.batch(segment, found, durable);
    }
    Ok(ControlFlow::Continue(()))
}

/// Shows the records of a batch that the ledger began with.
fn look_back(
    segment: &Segment,
    found: &FoundBatch,
    ledger: &Ledger,
    visitor: &mut dyn Visitor,
) -> Result<ControlFlow<()>, JournalError> {
    let mut first = found.header.first_sequence;
    decode_batch(segment, found, |decoded| {
        let flow = visitor.record(ledger, first, &decoded);
        first += decoded.entries();
        Ok(flow)
    })
}

/// Decodes every record of a batch, until `each` says to stop.
pub(crate) fn decode_batch(
    segment: &Segment,
    found: &FoundBatch,
    mut each: impl FnMut(Decoded<'_>) -> Result<ControlFlow<()>, JournalError>,
) -> Result<ControlFlow<()>, JournalError> {
    let wrong = |what: &str| damaged(&segment.name, found.offset as u64, what.to_owned());
    let (records, notes) =
        (&segment.bytes[found.records.clone()], &segment.bytes[found.notes.clone()]);
    let mut decoder = Decoder::new(records, notes, found.header.base);
    let (mut count, mut entries) = (0_u32, 0_u64);
    while let Some(decoded) = decoder.next().map_err(|none| wrong(none.what))? {
        count += 1;
        entries += decoded.entries();
        if each(decoded)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    if (count, entries) != (found.header.records, u64::from(found.header.entries)) {
        return Err(wrong("a batch with another number of records than it says"));
    }
    Ok(ControlFlow::Continue(()))
}

pub(crate) fn broken(broken: Broken) -> JournalError {
    JournalError::BrokenLaw { sequence: broken.sequence, what: broken.what }
}
