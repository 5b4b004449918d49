//! Writes the new journal.
//!
//! A segment is copied byte for byte, behind a header with the new journal's identity: no batch and
//! no hash of the chain depends on it. The files get their names once all bytes are on the disk,
//! the newest segment first. So what a crash leaves is no journal, or one that misses its
//! beginning, and never one that merely ends early.

use std::io;
use std::sync::Arc;

use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng};

use crate::audit::entry::EventType;
use crate::audit::record::{Record, RecordBuf, Subject};
use crate::base::error::JournalError;
use crate::journal::format::batch::{BatchHeader, body_sum};
use crate::journal::format::encode::Encoder;
use crate::journal::format::head::JournalHead;
use crate::journal::format::segment::{self, HEADER, SegmentHeader, UNFINISHED};
use crate::journal::layout::begin_mark::{self, BeginMark};
use crate::journal::layout::checkpoint_file::{self, CheckpointHeader};
use crate::journal::layout::failed;
use crate::journal::maintenance::backup::lock_empty;
use crate::journal::offline::JournalReader;
use crate::journal::offline::salvage::plan::{Plan, PlannedSegment};
use crate::journal::offline::snapshot_storage::SnapshotStorage;
use crate::journal::storage::Storage;

/// The facts of the entry that says where a salvaged journal comes from: the damaged journal's
/// identity, and its last entry that was saved.
const FROM: &str = "salvagedFrom";
const UP_TO: &str = "salvagedUpTo";

/// How much is read and written at once.
const CHUNK: u64 = 4 << 20;

/// Writes what `plan` saves of `source` into the empty storage `to`, and verifies it. Returns the
/// end of the new journal.
pub(super) fn write(
    source: &SnapshotStorage,
    to: &Arc<dyn Storage>,
    plan: &Plan,
) -> Result<JournalHead, JournalError> {
    let _lock = lock_empty(&**to)?;
    let random = StdRng::try_from_rng(&mut SysRng).map_err(io::Error::other);
    let mut random = random.map_err(|error| failed("draw an identity for", "the copy", &error))?;
    let journal = u128::from(random.next_u64()) << 64 | u128::from(random.next_u64());
    let written = write_files(source, &**to, plan, (journal, random));
    written.map_err(|error| failed("write", "the salvaged journal", &error))?;
    if let (Some((name, header)), Some(first)) = (&plan.checkpoint, plan.segments.first()) {
        let (_, state) = checkpoint_file::read(source, name)?;
        let opening = first.header.opening;
        checkpoint_file::write(&**to, opening, CheckpointHeader { journal, ..*header }, &state)
            .map_err(|error| failed("write", name, &error))?;
        let base = first.header.base;
        let mark = BeginMark {
            journal,
            segment: first.header.number,
            batch: base.batch,
            sequence: base.sequence,
            hash: base.hash,
            archived: false,
        };
        begin_mark::write(&**to, mark)?;
    }
    let names = plan.segments.iter().map(|it| it.header.number).chain(Some(own_number(plan)));
    for name in names.rev().map(segment::name_of) {
        to.rename(&format!("{name}{UNFINISHED}"), &name)
            .map_err(|error| failed("rename", &name, &error))?;
    }
    to.sync_directory().map_err(|error| failed("sync", "the salvaged journal", &error))?;
    let mut copy = JournalReader { storage: Arc::clone(to), archive: None, progress: None };
    Ok(copy.verify(None)?.head)
}

/// The number of the segment that is not copied, and says where the journal comes from.
fn own_number(plan: &Plan) -> u64 {
    plan.segments.last().map_or(1, |it| it.header.number + 1)
}

fn write_files(
    source: &SnapshotStorage,
    to: &dyn Storage,
    plan: &Plan,
    (journal, salts): (u128, StdRng),
) -> io::Result<()> {
    let Some(last) = plan.segments.last() else { return Ok(()) };
    for (index, it) in plan.segments.iter().enumerate() {
        let tail = if index + 1 == plan.segments.len() { &*plan.tail } else { &[] };
        // Else it would say that batches were on the disk that are not in the copy.
        let durable = it.header.durable.min(plan.end.batch);
        let header = SegmentHeader { journal, durable, ..it.header };
        copy_segment(source, to, (it, header), tail)?;
    }
    let header = SegmentHeader {
        number: own_number(plan),
        opening: last.header.opening + 1,
        journal,
        base: plan.end,
        durable: plan.end.batch + 1,
        created_at: plan.ledger.newest_at,
    };
    let file = to.create(&format!("{}{UNFINISHED}", segment::name_of(header.number)))?;
    file.append(&header.to_bytes())?;
    file.append(&origin(plan, &header, last.header.journal, salts))?;
    file.sync()
}

fn copy_segment(
    source: &SnapshotStorage,
    to: &dyn Storage,
    (segment, header): (&PlannedSegment, SegmentHeader),
    tail: &[u8],
) -> io::Result<()> {
    let file = to.create(&format!("{}{UNFINISHED}", segment.name))?;
    file.append(&header.to_bytes())?;
    let mut offset = HEADER as u64;
    while offset < segment.length {
        let bytes = source.read(&segment.name, offset, CHUNK.min(segment.length - offset))?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.append(&bytes)?;
        offset += bytes.len() as u64;
    }
    file.append(tail)?;
    file.sync()
}

/// The batch with the entry that says where the journal comes from.
fn origin(plan: &Plan, segment: &SegmentHeader, from: u128, salts: StdRng) -> Vec<u8> {
    let mut record = RecordBuf::default();
    // The moment of the newest entry: no clock is asked, and none can go back.
    record.header.at = plan.ledger.newest_at;
    record.line(EventType::Opened, Subject::None, 0, None);
    record.note(FROM, &format!("{from:032x}"));
    record.note(UP_TO, &plan.end.sequence.to_string());
    let mut encoder = Encoder::new(salts);
    encoder.put(&Record::Buffered(Box::new(record)), &plan.ledger);
    let mut header = BatchHeader {
        records_length: encoder.records.len() as u32,
        entries: encoder.entry_count,
        records: encoder.record_count,
        number: plan.end.batch + 1,
        first_sequence: plan.end.sequence + 1,
        durable: plan.end.batch,
        base: encoder.base,
        body_sum: body_sum(&encoder.records),
        ..BatchHeader::default()
    };
    header.hash = header.chain(&plan.end.hash, &encoder.records);
    [&header.to_bytes(segment.number)[..], &encoder.records].concat()
}
