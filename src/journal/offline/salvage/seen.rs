//! What lies behind the part of a journal that is saved: how much, and what of it can be read.

use std::ops::ControlFlow;

use crate::audit::entry::AuditEntry;
use crate::base::error::JournalError;
use crate::journal::format::batch::{MAGIC, body_sum};
use crate::journal::format::segment::{self, HEADER, SegmentHeader};
use crate::journal::layout::PathSegment;
use crate::journal::offline::salvage::plan::{Found, Plan};
use crate::journal::reader::{FoundBatch, Segment, find};
use crate::journal::recovery::replay::decode_batch;
use crate::journal::storage::Storage;
use crate::journal::windows::{WINDOW, Window, Windows, goes_on, is_hole, next_data, read_at};

/// A batch behind the part of a journal that a salvage saved. Its bytes are sound.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeenBatch {
    /// The name of the segment file.
    pub file: String,
    /// The byte offset in the file at which the batch begins.
    pub offset: u64,
    /// The number of the batch.
    pub batch: u64,
    /// Its entries, without those that were saved. A place that was opened in lost entries has no
    /// name here.
    pub entries: Vec<AuditEntry>,
}

/// How much was not saved.
#[derive(Default)]
pub(super) struct LostTotals {
    pub(super) segments: usize,
    pub(super) bytes: u64,
    pub(super) batches: u64,
    pub(super) entries: u64,
    pub(super) newest: Option<u64>,
}

/// Looks through all that lies behind what `plan` saves, and passes each sound batch to `seen`.
pub(super) fn look(
    found: &Found<'_>,
    plan: &Plan,
    seen: &mut dyn FnMut(&SeenBatch),
) -> Result<LostTotals, JournalError> {
    let mut totals = LostTotals::default();
    let Some(last) = plan.segments.last() else { return Ok(totals) };
    for number in found.numbers.iter().filter(|number| **number >= last.header.number) {
        let name = segment::name_of(*number);
        let begin = if *number == last.header.number { last.length } else { 0 };
        let length = found.storage.length_of(&name);
        if length <= begin {
            continue;
        }
        if plan.fault.is_some() {
            totals.segments += 1;
            totals.bytes += length - begin;
        }
        let header = SegmentHeader { number: *number, ..SegmentHeader::default() };
        let on_path = PathSegment { name, header, limit: u64::MAX };
        each_batch(found.storage, &on_path, begin.max(HEADER as u64), |segment, batch| {
            let entries = entries_of(segment, batch, plan);
            if entries.is_empty() {
                return;
            }
            totals.batches += 1;
            totals.entries += entries.len() as u64;
            totals.newest = totals.newest.max(entries.last().map(|it| it.sequence));
            seen(&SeenBatch {
                file: segment.name.clone(),
                offset: segment.place(batch.offset),
                batch: batch.header.number,
                entries,
            });
        })?;
    }
    Ok(totals)
}

/// Passes each batch of a segment whose bytes are sound to `each`, from byte `from` on: wherever
/// one begins, and whatever lies before it.
fn each_batch(
    storage: &dyn Storage,
    on_path: &PathSegment,
    from: u64,
    mut each: impl FnMut(&Segment, &FoundBatch),
) -> Result<(), JournalError> {
    let mut at = from;
    loop {
        at = next_data(storage, on_path, at)?;
        let bytes = read_at(storage, on_path, at, WINDOW)?;
        let is_last = (bytes.len() as u64) < WINDOW;
        let mut part = part_of(on_path, at, bytes);
        let mut offset = if is_hole(&part.bytes) { part.bytes.len() } else { 0 };
        while offset < part.bytes.len() {
            let rest = &part.bytes[offset..];
            if rest[0] != MAGIC[0] {
                offset += rest.iter().position(|byte| *byte == MAGIC[0]).unwrap_or(rest.len());
                continue;
            }
            let goes_on = goes_on(rest, on_path.header.number).is_some() && !is_last;
            if goes_on && offset > 0 {
                // The next window begins here, and holds more of it.
                break;
            }
            if goes_on {
                // Longer than a window. It is read whole only if its checksum is right.
                let Window { bytes, found, .. } = Windows::from(storage, on_path, at).next()?;
                if !found.is_empty() {
                    part = part_of(on_path, at, bytes);
                }
            }
            let batch = sound_at(&part, offset);
            offset = batch.as_ref().map_or(offset + 1, FoundBatch::end);
            if let Some(batch) = batch {
                each(&part, &batch);
            }
        }
        at = part.place(offset);
        if is_last {
            return Ok(());
        }
    }
}

/// A part of a segment, in which no batches are found yet.
fn part_of(on_path: &PathSegment, start: u64, bytes: Vec<u8>) -> Segment {
    let PathSegment { name, header, .. } = on_path.clone();
    Segment { name, header, start, bytes, batches: Vec::new(), is_last: true }
}

/// The batch at `offset`, if its bytes are sound.
fn sound_at(segment: &Segment, offset: usize) -> Option<FoundBatch> {
    if !segment.bytes[offset..].starts_with(&MAGIC) {
        return None;
    }
    let found = find(&segment.bytes, offset, segment.header.number).ok()?;
    let body = &segment.bytes[found.records.start..found.notes.end];
    (body_sum(body) == found.header.body_sum).then_some(found)
}

/// The entries of a batch behind the end of `plan`, as far as they decode.
fn entries_of(segment: &Segment, batch: &FoundBatch, plan: &Plan) -> Vec<AuditEntry> {
    let mut entries = Vec::new();
    let mut sequence = batch.header.first_sequence;
    // What does not decode ends the list. The fault is in the report.
    let _ = decode_batch(segment, batch, |decoded| {
        let metadata = decoded.metadata();
        for view in decoded.views() {
            if sequence > plan.end.sequence {
                entries.push(view.to_entry(sequence, &plan.ledger, &metadata));
            }
            sequence += 1;
        }
        Ok(ControlFlow::Continue(()))
    });
    entries
}
