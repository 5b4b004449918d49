//! Replay: reads a journal from end to end and applies its records to a ledger.

use std::ops::ControlFlow;
use std::sync::mpsc::sync_channel;
use std::thread;

use crate::base::error::JournalError;
use crate::base::threads;
use crate::journal::format::decode::{Decoded, Decoder};
use crate::journal::layout::{JournalDir, damaged};
use crate::journal::ledger::{Broken, Ledger};
use crate::journal::reader::{self, FoundBatch, ReadOutcome, Segment};

/// How far the replay of a journal has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryProgress {
    /// Segments that were replayed so far.
    pub segments: usize,
    /// Segments that will be replayed in all.
    pub of_segments: usize,
    /// The sequence number of the newest entry that was replayed. If the replay began with a
    /// checkpoint, this includes the entries that the checkpoint covers.
    pub entries: u64,
}

/// A callback for progress, called after each segment.
pub(crate) type Listener<'a> = Option<&'a mut (dyn FnMut(RecoveryProgress) + Send)>;

/// What sees each record and batch of a replay.
pub(crate) trait Visitor {
    /// Whether the replay ends before this record.
    fn ends_before(&mut self, _segment: &Segment, _decoded: &Decoded<'_>) -> bool {
        false
    }

    /// Whether the visitor also sees the records that the ledger's checkpoint covers. They are
    /// decoded for it, but not applied again.
    fn looks_back(&self) -> bool {
        false
    }

    /// Called after a record was applied, or passed over because the checkpoint covers it. `first`
    /// is the sequence number of the record's first entry.
    fn record(&mut self, ledger: &Ledger, first: u64, decoded: &Decoded<'_>) -> ControlFlow<()>;

    /// Called after all records of a batch. `durable` is the newest batch that is known to be on
    /// the disk.
    fn batch(&mut self, _segment: &Segment, _found: &FoundBatch, _durable: u64) {}
}

/// Replays a journal. One thread reads the bytes and checks them, while this thread applies the
/// records and checks the laws. At most one part of a segment waits between the two. If the machine
/// grants no thread, this thread does both.
///
/// If the visitor ends the replay, the outcome is only what the reader had found by then: do not
/// use it.
///
/// # Errors
/// [`JournalError::BrokenLaw`] for a record that breaks a law; [`JournalError::Damaged`] for bytes
/// that are not sound; otherwise the storage's error.
pub(crate) fn replay(
    dir: &JournalDir<'_>,
    ledger: &mut Ledger,
    visitor: &mut dyn Visitor,
    mut tell: Listener<'_>,
) -> Result<ReadOutcome, JournalError> {
    let layout = &dir.layout;
    let mut progress = RecoveryProgress { of_segments: layout.path.len(), ..Default::default() };
    let mut replayed = Ok(ControlFlow::Continue(()));
    let mut take = |segment: Segment, durable: u64| {
        let known = layout.checkpoint.batch;
        replayed = replay_segment(&segment, durable, known, ledger, visitor);
        if !matches!(replayed, Ok(ControlFlow::Continue(()))) {
            return ControlFlow::Break(());
        }
        if segment.is_last {
            progress.segments += 1;
            progress.entries = ledger.next_sequence - 1;
            if let Some(tell) = &mut tell {
                tell(progress);
            }
        }
        ControlFlow::Continue(())
    };
    let read = thread::scope(|scope| {
        let (sender, receiver) = sync_channel::<(Segment, u64)>(1);
        let reading = threads::spawn_scoped(scope, "stockade-read", move || {
            reader::read(dir, |segment, durable| {
                // The replay has ended early, so the reader stops, too.
                match sender.send((segment, durable)) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(_) => ControlFlow::Break(()),
                }
            })
        });
        match reading {
            Ok(reading) => {
                let mut parts = receiver.into_iter();
                let _ = parts.try_for_each(|(segment, durable)| take(segment, durable));
                // The reader may wait to send one more: it must hear that nobody takes it.
                drop(parts);
                threads::join(reading)
            }
            // The machine grants no thread now, so this one does both, in turn.
            Err(_) => reader::read(dir, take),
        }
    });
    if let Ok(ControlFlow::Break(())) = replayed {
        // The reader runs ahead, and how far is a matter of chance. So an error that it met there
        // is not reported.
        return Ok(read.unwrap_or_default());
    }
    // The ledger's error comes before any error that the reader met further ahead. So the first
    // fault in the journal is reported, and each run reports the same one.
    let _ = replayed?;
    let outcome = read?;
    ledger.check_totals().map_err(broken)?;
    Ok(outcome)
}

/// Replays a part of a segment. `known` is the last batch that the checkpoint covers.
pub(crate) fn replay_segment(
    segment: &Segment,
    durable: u64,
    known: u64,
    ledger: &mut Ledger,
    visitor: &mut dyn Visitor,
) -> Result<ControlFlow<()>, JournalError> {
    for found in &segment.batches {
        if found.header.number <= known {
            // The checkpoint covers this batch, so it is not applied again.
            if visitor.looks_back() && look_back(segment, found, ledger, visitor)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            visitor.batch(segment, found, durable);
            continue;
        }
        let flow = decode_batch(segment, found, |decoded| {
            if visitor.ends_before(segment, &decoded) {
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

/// Shows the visitor the records of a batch that the checkpoint covers.
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

/// Decodes the records of a batch, until `each` breaks.
///
/// # Errors
/// [`JournalError::Damaged`] if the batch does not hold the records that its header says; an error
/// of `each`.
pub(crate) fn decode_batch(
    segment: &Segment,
    found: &FoundBatch,
    mut each: impl FnMut(Decoded<'_>) -> Result<ControlFlow<()>, JournalError>,
) -> Result<ControlFlow<()>, JournalError> {
    let wrong = |what: &str| damaged(&segment.name, segment.place(found.offset), what.to_owned());
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

/// Turns a broken law into the public error.
pub(crate) fn broken(broken: Broken) -> JournalError {
    JournalError::BrokenLaw { sequence: broken.sequence, what: broken.what }
}
