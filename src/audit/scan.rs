//! Going through a journal from its beginning, for whoever wants to know what it says.

use std::ops::ControlFlow;
use std::sync::mpsc::sync_channel;
use std::thread;

use crate::audit::journal::decode::{Decoded, Decoder};
use crate::audit::journal::layout::{Layout, damaged};
use crate::audit::journal::reader::{self, FoundBatch, Outcome, Segment};
use crate::audit::journal::storage::Storage;
use crate::audit::ledger::Broken;
use crate::error::JournalError;

/// One thread reads and checks, this one takes segment by segment, each with the newest batch that is
/// known to be on the disk by then. `None` if `take` has seen enough: what comes after was not looked
/// at. At most three segments are in memory.
pub(crate) fn read_ahead(
    storage: &dyn Storage,
    layout: &Layout,
    mut take: impl FnMut(Segment, u64) -> Result<ControlFlow<()>, JournalError>,
) -> Result<Option<Outcome>, JournalError> {
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel::<(Segment, u64)>(1);
        let reading = scope.spawn(move || {
            reader::read(storage, layout, |segment, durable| {
                match sender.send((segment, durable)) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(_) => ControlFlow::Break(()),
                }
            })
        });
        let mut taken = Ok(ControlFlow::Continue(()));
        for (segment, durable) in receiver {
            // After an error, the reader may still find what is wrong further on.
            if taken.is_ok() {
                taken = take(segment, durable);
            }
            if let Ok(ControlFlow::Break(())) = taken {
                break;
            }
        }
        let read = reading
            .join()
            .unwrap_or_else(|_| Err(damaged("", 0, "reading it made the reader fail".to_owned())));
        if let Ok(ControlFlow::Break(())) = taken {
            // However far the reader was ahead.
            return Ok(None);
        }
        // What can't be read comes before what can't be.
        let outcome = read?;
        taken.map(|_| outcome)
    })
}

/// Decodes the records of a batch, until `each` says to stop.
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
