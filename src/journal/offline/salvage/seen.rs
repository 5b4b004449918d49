//! What lies behind the part of a journal that is saved: how much, and what of it can be read.

use std::ops::ControlFlow;

use crate::audit::entry::AuditEntry;
use crate::base::error::JournalError;
use crate::journal::format::batch::{MAGIC, body_sum};
use crate::journal::format::segment::{self, HEADER, SegmentHeader};
use crate::journal::offline::salvage::plan::{Found, Plan, read_segment};
use crate::journal::reader::{FoundBatch, Segment, find};
use crate::journal::recovery::replay::decode_batch;

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
        let bytes = read_segment(found.storage, &name, u64::MAX)?;
        let (start, batches, is_last) = (0, Vec::new(), true);
        let segment = Segment { name, header, start, bytes, batches, is_last };
        let mut offset = usize::try_from(begin).unwrap_or(usize::MAX).max(HEADER);
        while offset < segment.bytes.len() {
            let batch = sound_at(&segment, offset);
            offset = batch.as_ref().map_or(offset + 1, FoundBatch::end);
            if let Some(batch) = batch {
                let entries = entries_of(&segment, &batch, plan);
                if entries.is_empty() {
                    continue;
                }
                totals.batches += 1;
                totals.entries += entries.len() as u64;
                totals.newest = totals.newest.max(entries.last().map(|it| it.sequence));
                seen(&SeenBatch {
                    file: segment.name.clone(),
                    offset: batch.offset as u64,
                    batch: batch.header.number,
                    entries,
                });
            }
        }
    }
    Ok(totals)
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
