//! Reading a journal: which batches count, and whether what does not is a torn tail or damage.
//!
//! Every batch says up to which one the journal was on the disk when it was written. So where
//! reading comes to a stop before batch `b`, all that can still be read behind is asked what it
//! knows: if something knew batch `b` to be on the disk, or the journal was closed, its loss is
//! *damage*. If nothing did, it is the *torn tail* that a crash leaves.

use std::ops::{ControlFlow, Range};

use rayon::prelude::*;

use crate::base::error::JournalError;
use crate::journal::format::batch::{self, BatchHeader, Hash, MAGIC, body_sum, records_hash};
use crate::journal::format::segment::{
    self, CLOSE_MARK, Point, SegmentHeader, Start, close_mark, is_close_mark, padding_before_mark,
};
use crate::journal::layout::{JournalDir, Layout, PathSegment, damaged, failed};

/// A segment's bytes, and the batches in them that count.
pub(crate) struct Segment {
    pub(crate) name: String,
    pub(crate) header: SegmentHeader,
    pub(crate) bytes: Vec<u8>,
    pub(crate) batches: Vec<FoundBatch>,
}

/// A batch that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FoundBatch {
    pub(crate) header: BatchHeader,
    /// Where it begins in its segment.
    pub(crate) offset: usize,
    pub(crate) records: Range<usize>,
    pub(crate) notes: Range<usize>,
}

impl FoundBatch {
    /// Where the next one begins.
    pub(crate) fn end(&self) -> usize {
        self.notes.end
    }
}

/// What a crash left at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Torn {
    pub(crate) file: String,
    pub(crate) offset: u64,
    pub(crate) what: &'static str,
}

/// What reading a journal to its end came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadOutcome {
    /// The end of what counts.
    pub(crate) end: Point,
    /// The newest batch that the journal knew to be on the disk.
    pub(crate) durable: u64,
    /// It ends in good order.
    pub(crate) closed: bool,
    pub(crate) torn: Option<Torn>,
}

/// Where and why reading stopped.
struct ReadStop {
    segment: usize,
    offset: usize,
    what: &'static str,
}

/// Reads a journal, and hands each segment to `each`, with the newest batch that is
/// known to be on the disk by then.
pub(crate) fn read(
    dir: &JournalDir<'_>,
    mut each: impl FnMut(Segment, u64) -> ControlFlow<()>,
) -> Result<ReadOutcome, JournalError> {
    let JournalDir { storage, layout } = dir;
    // What a checkpoint was taken of was on the disk.
    let durable = layout.durable;
    let skips = layout.checkpoint.batch > 0;
    let begin = layout.path.first().filter(|_| skips).map_or(Point::START, |it| it.header.base);
    let mut walk = SegmentWalk { end: begin, durable, closed: false, marked: false };
    let mut stop = None;
    let mut rest = Vec::new();
    for (index, on_path) in layout.path.iter().enumerate() {
        let name = &on_path.name;
        let is_head = index + 1 == layout.path.len();
        let bytes =
            storage.read(name, 0, on_path.limit).map_err(|error| failed("read", name, &error))?;
        if stop.is_some() {
            // Nothing counts any more, but it may know better.
            walk.ask(&bytes, on_path.header.number);
            walk.durable = walk.durable.max(on_path.header.durable);
            continue;
        }
        let mut segment =
            Segment { name: name.clone(), header: on_path.header, bytes, batches: Vec::new() };
        if let Some((offset, what)) = walk.segment(on_path, &mut segment, is_head)? {
            stop = Some(ReadStop { segment: index, offset, what });
            rest = segment.bytes.split_off(offset.min(segment.bytes.len()));
        }
        if each(segment, walk.durable).is_break() {
            // Nobody asks how it ends.
            return Ok(ReadOutcome {
                end: walk.end,
                durable: walk.durable,
                closed: false,
                torn: None,
            });
        }
    }
    if let Some(stop) = &stop {
        let number = layout.path.get(stop.segment).map_or(0, |it| it.header.number);
        walk.ask(&rest, number);
    }
    for (number, name) in &layout.unreadable {
        let bytes =
            storage.read(name, 0, u64::MAX).map_err(|error| failed("read", name, &error))?;
        if let Start::Header(header) = SegmentHeader::read(&bytes) {
            walk.durable = walk.durable.max(header.durable);
        }
        walk.ask(&bytes, *number);
    }
    walk.judge(layout, stop)
}

/// Whether `rest` is what a crash may leave of `whole`: less of it, or nothing but zeros.
fn is_unfinished(rest: &[u8], whole: &[u8]) -> bool {
    whole.starts_with(rest) || (rest.len() <= whole.len() && rest.iter().all(|byte| *byte == 0))
}

const NOT_A_HEADER: &str = "an unreadable batch header";

/// A batch whose checksums are right, with the hash of its records.
struct Hashed {
    found: FoundBatch,
    records: Hash,
}

/// All batches from `offset` on, up to the first one that can't be read. Checksums and hashes, which
/// are nearly all of the work, are those of each batch alone, so that all cores share it.
fn hash_all(bytes: &[u8], mut offset: usize, seed: u64) -> Vec<Result<Hashed, &'static str>> {
    let mut found = Vec::new();
    while offset < bytes.len() {
        let batch = find(bytes, offset, seed);
        let next = batch.as_ref().ok().map(FoundBatch::end);
        found.push(batch);
        match next {
            Some(next) => offset = next,
            None => break,
        }
    }
    let hash = |found: Result<FoundBatch, &'static str>| hash(bytes, found?);
    // Threads cost more than a few small batches do.
    const WORTH_IT: usize = 1 << 20;
    if bytes.len() < WORTH_IT {
        return found.into_iter().map(hash).collect();
    }
    found.into_par_iter().map(hash).collect()
}

/// The batch at `offset`, if there is a whole one; its body is not looked at.
pub(crate) fn find(bytes: &[u8], offset: usize, seed: u64) -> Result<FoundBatch, &'static str> {
    let header = BatchHeader::from_bytes(&bytes[offset..], seed).ok_or_else(|| {
        let short = bytes.len() - offset < batch::HEADER;
        if short { "an incomplete batch header" } else { NOT_A_HEADER }
    })?;
    let start = offset + batch::HEADER;
    let middle = start.checked_add(header.records_length as usize);
    let end = middle.and_then(|middle| middle.checked_add(header.notes_length as usize));
    let (Some(middle), Some(end)) = (middle, end) else { return Err("an impossible batch") };
    if end > bytes.len() {
        return Err("an incomplete batch");
    }
    Ok(FoundBatch { header, offset, records: start..middle, notes: middle..end })
}

/// Whether a batch that was found is sound, and the one that comes after `end`.
pub(crate) fn check_batch(
    bytes: &[u8],
    found: &FoundBatch,
    end: &Point,
) -> Result<(), &'static str> {
    let hashed = hash(bytes, found.clone())?;
    follows(&hashed, end)
}

fn hash(bytes: &[u8], found: FoundBatch) -> Result<Hashed, &'static str> {
    if body_sum(&bytes[found.records.start..found.notes.end]) != found.header.body_sum {
        return Err("a batch whose checksum is wrong");
    }
    let records = records_hash(&bytes[found.records.clone()]);
    Ok(Hashed { found, records })
}

fn follows(hashed: &Hashed, end: &Point) -> Result<(), &'static str> {
    let header = &hashed.found.header;
    let follows = (header.number, header.first_sequence) == (end.batch + 1, end.sequence + 1)
        && header.durable < header.number;
    if !follows || header.chain_of(&end.hash, &hashed.records) != header.hash {
        return Err("a batch that does not follow from the one before");
    }
    Ok(())
}

/// What has been read so far.
struct SegmentWalk {
    end: Point,
    durable: u64,
    /// A closing batch counts, or was seen behind the end.
    closed: bool,
    /// The mark behind a closing batch was seen.
    marked: bool,
}

impl SegmentWalk {
    /// Reads one segment's batches; says where it stopped, unless that is where the segment ends.
    fn segment(
        &mut self,
        on_path: &PathSegment,
        segment: &mut Segment,
        is_head: bool,
    ) -> Result<Option<(usize, &'static str)>, JournalError> {
        let header = &on_path.header;
        if (header.base.batch, header.base.hash, header.base.sequence)
            != (self.end.batch, self.end.hash, self.end.sequence)
        {
            let what = "a segment that does not continue from the one before".to_owned();
            return Err(damaged(&on_path.name, 0, what));
        }
        self.durable = self.durable.max(header.durable);
        // An earlier opening may have ended in good order; only the last one matters.
        (self.closed, self.marked) = (false, false);
        let mut offset = segment::HEADER;
        let bytes = &segment.bytes;
        let mut known = hash_all(bytes, offset, header.number).into_iter();
        while offset < bytes.len() {
            if self.closed {
                return Ok(self.end_mark(bytes, offset, header.number, is_head));
            }
            let hashed = known.next().unwrap_or(Err(NOT_A_HEADER));
            let found = match hashed.and_then(|hashed| self.check(hashed)) {
                Ok(found) => found,
                Err(what) => return Ok(Some((offset, what))),
            };
            offset = found.end();
            self.accept(&found, header.number);
            segment.batches.push(found);
        }
        if is_head || offset as u64 == on_path.limit {
            Ok(None)
        } else {
            Ok(Some((offset, "a segment that is shorter than it was")))
        }
    }

    /// The next batch, if it is the one that has to come.
    fn check(&self, hashed: Hashed) -> Result<FoundBatch, &'static str> {
        follows(&hashed, &self.end)?;
        Ok(hashed.found)
    }

    fn accept(&mut self, found: &FoundBatch, segment: u64) {
        let header = &found.header;
        self.durable = self.durable.max(header.durable);
        self.closed = header.closed;
        self.end = Point {
            batch: header.number,
            sequence: header.end() - 1,
            hash: header.hash,
            segment,
            length: found.end() as u64,
        };
    }

    /// What follows a closing batch: the mark, which may be unfinished, and nothing else.
    fn end_mark(
        &mut self,
        bytes: &[u8],
        offset: usize,
        segment: u64,
        is_head: bool,
    ) -> Option<(usize, &'static str)> {
        let rest = &bytes[offset..];
        let padding = padding_before_mark(offset as u64);
        let mark = close_mark(&self.end.hash, segment);
        let whole: Vec<u8> = std::iter::repeat_n(0, padding).chain(mark).collect();
        if rest == whole {
            // The mark was written after the batch was on the disk.
            self.marked = true;
            self.durable = self.end.batch;
            self.end.length += whole.len() as u64;
            None
        } else if is_head && is_unfinished(rest, &whole) {
            // A crash between the closing batch and its mark.
            None
        } else {
            self.marked = true;
            Some((offset, "bytes behind the end of a closed journal"))
        }
    }

    /// Asks bytes that don't count what they know of the journal's end.
    fn ask(&mut self, bytes: &[u8], seed: u64) {
        let mut at = 0;
        while at + MAGIC.len() <= bytes.len() {
            if bytes[at] == MAGIC[0]
                && let Some(header) = BatchHeader::from_bytes(&bytes[at..], seed)
            {
                self.durable = self.durable.max(header.durable);
                let end = at as u64 + batch::HEADER as u64 + header.body_length();
                self.closed |= header.closed && end <= bytes.len() as u64;
            }
            at += 1;
        }
        // The mark stands at the very end, or, in a file that something was added to, before.
        let marks = (0..bytes.len().saturating_sub(CLOSE_MARK - 1)).rev();
        self.marked |=
            marks.filter(|at| bytes[*at] == b'S').any(|at| is_close_mark(&bytes[at..], seed));
    }

    fn judge(self, layout: &Layout, stop: Option<ReadStop>) -> Result<ReadOutcome, JournalError> {
        let mut torn = match stop {
            None => None,
            Some(ReadStop { segment, offset, what }) => {
                let file = layout.path.get(segment).map_or_else(String::new, |it| it.name.clone());
                Some(Torn { file, offset: offset as u64, what })
            }
        };
        if torn.is_none()
            && let Some((_, name)) = layout.unreadable.first()
        {
            let what = "an unreadable segment header";
            torn = Some(Torn { file: name.clone(), offset: 0, what });
        }
        let known = self.closed || self.marked || self.durable > self.end.batch;
        if let Some(Torn { file, offset, what }) = &torn
            && (known || cfg!(planted = "torn_tail_is_damage"))
            && cfg!(not(planted = "damage_is_a_torn_tail"))
        {
            return Err(damaged(file, *offset, (*what).to_owned()));
        }
        if self.durable > self.end.batch {
            // Nothing is torn, and yet something is missing: its end was cut off between batches.
            let file = layout.head().map_or_else(String::new, |head| head.name.clone());
            let what = format!("batch {} was on the disk, and is missing", self.durable);
            return Err(damaged(&file, self.end.length, what));
        }
        Ok(ReadOutcome { end: self.end, durable: self.durable, closed: self.closed, torn })
    }
}
