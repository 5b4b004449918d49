//! The journal reader: finds the valid prefix, and tells a torn tail from damage.
//!
//! A batch is *valid* if its checksums are right and it continues the hash chain of the batch
//! before. Reading stops at the first batch that is not valid. What lies behind it never counts,
//! but the reason matters:
//!
//! - A *torn tail* is what a crash leaves: the batch was never known to be on the disk. An opening
//!   cuts it off.
//! - *Damage* is the loss of a batch that was on the disk. The journal is refused.
//!
//! To tell the two apart, each batch header and each segment header says which batch was the newest
//! durable one when it was written. The reader scans the bytes behind the stop for such headers. If
//! one of them knew the lost batch to be durable, or if the journal was closed, the loss is damage.
//! So it is if a sync mark (`layout/sync_mark.rs`) knew.
//!
//! - *Stray bytes* lie behind a whole closing mark, and no engine wrote them there. Nothing is
//!   lost. An opening cuts them off, too; a verification reports them.

use std::ops::{ControlFlow, Range};

use rayon::prelude::*;

use crate::base::error::JournalError;
use crate::journal::format::batch::{self, BatchHeader, Hash, MAGIC, body_sum, records_hash};
use crate::journal::format::segment::{
    self, CLOSE_MARK, Point, SegmentHeader, Start, close_mark, is_close_mark, padding_before_mark,
};
use crate::journal::layout::sync_mark::{self, SyncsKnown};
use crate::journal::layout::{JournalDir, Layout, PathSegment, damaged, failed};

/// The bytes of a segment, and the valid batches in them.
pub(crate) struct Segment {
    pub(crate) name: String,
    pub(crate) header: SegmentHeader,
    pub(crate) bytes: Vec<u8>,
    pub(crate) batches: Vec<FoundBatch>,
}

/// A valid batch, and where its parts lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FoundBatch {
    pub(crate) header: BatchHeader,
    /// Offset of its header, in bytes from the start of the segment.
    pub(crate) offset: usize,
    pub(crate) records: Range<usize>,
    pub(crate) notes: Range<usize>,
}

impl FoundBatch {
    /// Offset of the byte behind this batch.
    pub(crate) fn end(&self) -> usize {
        self.notes.end
    }
}

/// A torn tail: where it begins, and why the bytes there are not valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Torn {
    pub(crate) file: String,
    pub(crate) offset: u64,
    pub(crate) what: &'static str,
}

/// Bytes behind the end of a closed journal: in its newest segment, or a blank file that bears the
/// name of a newer one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stray {
    pub(crate) file: String,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

impl Stray {
    /// The error for those who must not go on with stray bytes.
    pub(crate) fn to_error(&self) -> JournalError {
        damaged(&self.file, self.offset, "bytes behind the end of a closed journal".to_owned())
    }
}

/// The result of reading a journal to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadOutcome {
    /// The end of the valid prefix.
    pub(crate) end: Point,
    /// The newest batch that was known to be on the disk.
    pub(crate) durable: u64,
    /// The journal was closed: its last valid batch is a closing batch.
    pub(crate) closed: bool,
    pub(crate) torn: Option<Torn>,
    /// In the order of the files. Only behind a whole closing mark, and never beside a torn tail.
    pub(crate) stray: Vec<Stray>,
}

/// Where reading stopped before the end of the journal, and why.
struct ReadStop {
    segment: usize,
    offset: usize,
    what: &'static str,
}

/// Reads a journal from its first segment on, and passes each segment to `each`, with the newest
/// batch known to be durable so far.
///
/// If `each` breaks, reading ends there: the outcome then says nothing about a torn tail or a
/// close.
///
/// # Errors
/// [`JournalError::Damaged`] if a batch is lost that was on the disk, or if a segment does not
/// continue from the one before; [`JournalError::Storage`] if the storage fails.
pub(crate) fn read(
    dir: &JournalDir<'_>,
    mut each: impl FnMut(Segment, u64) -> ControlFlow<()>,
) -> Result<ReadOutcome, JournalError> {
    let JournalDir { storage, layout } = dir;
    // A checkpoint covers only durable batches, so its batch is a lower bound.
    let marks = sync_mark::find(*storage, layout)?;
    let durable = layout.durable.max(marks.batch);
    let skips = layout.checkpoint.batch > 0;
    let begin = layout.path.first().filter(|_| skips).map_or(Point::START, |it| it.header.base);
    let mut walk = SegmentWalk {
        end: begin,
        durable,
        closed: false,
        close_mark_seen: false,
        stray: Vec::new(),
        blank: Vec::new(),
        marks,
    };
    let mut stop = None;
    let mut rest = Vec::new();
    for (index, on_path) in layout.path.iter().enumerate() {
        let name = &on_path.name;
        let is_head = index + 1 == layout.path.len();
        let bytes =
            storage.read(name, 0, on_path.limit).map_err(|error| failed("read", name, &error))?;
        if stop.is_some() {
            // Behind the stop no batch counts. Its headers still tell what was durable.
            walk.scan_for_durable(&bytes, on_path.header.number);
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
            // The caller does not need to know how the journal ends.
            return Ok(ReadOutcome {
                end: walk.end,
                durable: walk.durable,
                ..ReadOutcome::default()
            });
        }
    }
    if let Some(stop) = &stop {
        let number = layout.path.get(stop.segment).map_or(0, |it| it.header.number);
        walk.scan_for_durable(&rest, number);
    }
    for (number, name) in &layout.unreadable {
        let bytes =
            storage.read(name, 0, u64::MAX).map_err(|error| failed("read", name, &error))?;
        if let Start::Header(header) = SegmentHeader::read(&bytes) {
            walk.durable = walk.durable.max(header.durable);
        }
        walk.scan_for_durable(&bytes, *number);
        if bytes.iter().all(|byte| *byte == 0) {
            walk.blank.push(Stray { file: name.clone(), offset: 0, length: bytes.len() as u64 });
        }
    }
    walk.into_outcome(layout, stop)
}

/// Whether a crash while `whole` was being written may leave `rest`: a prefix of it, or zeros.
fn is_torn_form_of(rest: &[u8], whole: &[u8]) -> bool {
    whole.starts_with(rest) || (rest.len() <= whole.len() && rest.iter().all(|byte| *byte == 0))
}

const NOT_A_HEADER: &str = "an unreadable batch header";

/// A batch whose checksums are right, with the hash of its records. Its chain hash is unchecked.
struct HashedBatch {
    found: FoundBatch,
    records: Hash,
}

/// Finds and hashes all batches from `offset` on, up to the first one that can't be read. Checksums
/// and record hashes are nearly all of the work. They depend on one batch alone, so all cores share
/// them.
fn hash_batches(
    bytes: &[u8],
    mut offset: usize,
    seed: u64,
) -> Vec<Result<HashedBatch, &'static str>> {
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
    // Below this size, starting threads costs more than they save.
    const PARALLEL_MIN_BYTES: usize = 1 << 20;
    if bytes.len() < PARALLEL_MIN_BYTES {
        return found.into_iter().map(hash).collect();
    }
    found.into_par_iter().map(hash).collect()
}

/// The batch at `offset`, if its header is valid and its body is complete. Does not check the body.
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

/// Checks the body of a batch and its link in the hash chain: it must be the next batch after
/// `end`.
pub(crate) fn check_batch(
    bytes: &[u8],
    found: &FoundBatch,
    end: &Point,
) -> Result<(), &'static str> {
    let hashed = hash(bytes, found.clone())?;
    check_link(&hashed, end)
}

fn hash(bytes: &[u8], found: FoundBatch) -> Result<HashedBatch, &'static str> {
    if body_sum(&bytes[found.records.start..found.notes.end]) != found.header.body_sum {
        return Err("a batch whose checksum is wrong");
    }
    let records = records_hash(&bytes[found.records.clone()]);
    Ok(HashedBatch { found, records })
}

fn check_link(hashed: &HashedBatch, end: &Point) -> Result<(), &'static str> {
    let header = &hashed.found.header;
    let follows = (header.number, header.first_sequence) == (end.batch + 1, end.sequence + 1)
        && header.durable < header.number;
    if !follows || header.chain_of(&end.hash, &hashed.records) != header.hash {
        return Err("a batch that does not follow from the one before");
    }
    Ok(())
}

/// The state of a read: the end of the valid prefix, and what is known beyond it.
struct SegmentWalk {
    end: Point,
    durable: u64,
    /// The last valid batch is a closing batch, or one was seen behind the valid prefix.
    closed: bool,
    /// A close mark was seen. It is written only once the closing batch is durable.
    close_mark_seen: bool,
    /// What lies behind a whole close mark at the end of the newest segment.
    stray: Vec<Stray>,
    /// Files with the names of newer segments that hold nothing, or nothing but zeros.
    blank: Vec<Stray>,
    /// What the sync marks say.
    marks: SyncsKnown,
}

impl SegmentWalk {
    /// Reads the batches of one segment. Returns the offset and the reason if it stopped before the
    /// end of the segment.
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
        // An earlier run may have closed the journal, too. Only the last close matters.
        (self.closed, self.close_mark_seen) = (false, false);
        let mut offset = segment::HEADER;
        let bytes = &segment.bytes;
        let mut known = hash_batches(bytes, offset, header.number).into_iter();
        while offset < bytes.len() {
            if self.closed {
                let wrong = self.check_close_mark(bytes, offset, header.number, is_head);
                self.stray.iter_mut().for_each(|it| it.file.clone_from(&on_path.name));
                return Ok(wrong);
            }
            let hashed = known.next().unwrap_or(Err(NOT_A_HEADER));
            let found = match hashed.and_then(|hashed| self.check(hashed)) {
                Ok(found) => found,
                Err(what) => return Ok(Some((offset, what))),
            };
            offset = found.end();
            self.advance(&found, header.number);
            segment.batches.push(found);
        }
        if is_head || offset as u64 == on_path.limit {
            Ok(None)
        } else {
            Ok(Some((offset, "a segment that is shorter than it was")))
        }
    }

    /// Returns the batch if it continues the hash chain.
    fn check(&self, hashed: HashedBatch) -> Result<FoundBatch, &'static str> {
        check_link(&hashed, &self.end)?;
        Ok(hashed.found)
    }

    fn advance(&mut self, found: &FoundBatch, segment: u64) {
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

    /// Checks what follows a closing batch: the close mark, which a crash may have left unfinished.
    /// What else follows a whole mark is stray, unless it knows of batches beyond.
    fn check_close_mark(
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
        let behind = rest.strip_prefix(&*whole);
        let is_stray = |bytes: &[u8]| is_head && !self.is_known_behind(bytes, segment, &mark);
        if let Some(behind) = behind.filter(|behind| behind.is_empty() || is_stray(behind)) {
            // The mark was written once the batch was on the disk, so the batch is durable.
            self.close_mark_seen = true;
            self.durable = self.durable.max(self.end.batch);
            self.end.length += whole.len() as u64;
            if !behind.is_empty() {
                let (file, length) = (String::new(), behind.len() as u64);
                self.stray.push(Stray { file, offset: self.end.length, length });
            }
            None
        } else if is_head && is_torn_form_of(rest, &whole) {
            // A crash came between the closing batch and its mark.
            None
        } else {
            self.close_mark_seen = true;
            Some((offset, "bytes behind the end of a closed journal"))
        }
    }

    /// Whether bytes behind the close mark `mark` of this segment say that more was written than
    /// the journal has up to there: a later batch, one that knows of a later batch, or another
    /// close.
    fn is_known_behind(&self, bytes: &[u8], segment: u64, mark: &[u8]) -> bool {
        let end = self.end.batch;
        let knows_more = |it: BatchHeader| it.number > end || it.durable > end;
        (0..bytes.len()).any(|at| match bytes[at] {
            first if first == MAGIC[0] => {
                BatchHeader::from_bytes(&bytes[at..], segment).is_some_and(knows_more)
                    || (is_close_mark(&bytes[at..], segment) && !bytes[at..].starts_with(mark))
            }
            _ => false,
        })
    }

    /// Scans bytes behind the valid prefix for batch headers and close marks, to learn how far the
    /// journal was known to be durable. `segment` is their checksum seed: a header that strayed in
    /// from another segment does not match.
    fn scan_for_durable(&mut self, bytes: &[u8], segment: u64) {
        let mut at = 0;
        while at + MAGIC.len() <= bytes.len() {
            if bytes[at] == MAGIC[0]
                && let Some(header) = BatchHeader::from_bytes(&bytes[at..], segment)
            {
                self.durable = self.durable.max(header.durable);
                let end = at as u64 + batch::HEADER as u64 + header.body_length();
                self.closed |= header.closed && end <= bytes.len() as u64;
            }
            at += 1;
        }
        // The close mark is usually at the very end. If something was appended to the file, it lies
        // further ahead.
        let marks = (0..bytes.len().saturating_sub(CLOSE_MARK - 1)).rev();
        self.close_mark_seen |=
            marks.filter(|at| bytes[*at] == b'S').any(|at| is_close_mark(&bytes[at..], segment));
    }

    fn into_outcome(
        self,
        layout: &Layout,
        stop: Option<ReadStop>,
    ) -> Result<ReadOutcome, JournalError> {
        // If the marks are of the newest segment's opening, no later one has synced anything. Then
        // a blank file is no segment that has lost its bytes.
        let is_whole = self.closed && self.close_mark_seen && stop.is_none();
        let blank_only =
            is_whole && self.marks.is_of_head && self.blank.len() == layout.unreadable.len();
        let mut torn = match stop {
            None => None,
            Some(ReadStop { segment, offset, what }) => {
                let file = layout.path.get(segment).map_or_else(String::new, |it| it.name.clone());
                Some(Torn { file, offset: offset as u64, what })
            }
        };
        if torn.is_none()
            && !blank_only
            && let Some((_, name)) = layout.unreadable.first()
        {
            let what = "an unreadable segment header";
            torn = Some(Torn { file: name.clone(), offset: 0, what });
        }
        let known = self.closed || self.close_mark_seen || self.durable > self.end.batch;
        if let Some(Torn { file, offset, what }) = &torn
            && known
        {
            return Err(damaged(file, *offset, (*what).to_owned()));
        }
        if self.durable > self.end.batch {
            // No batch is torn, but the file was cut between two batches, below a durable one.
            let file = layout.head().map_or(sync_mark::NAME, |head| &*head.name);
            let by_mark = if self.durable == self.marks.batch { sync_mark::SAYS_SO } else { "" };
            let what = format!("batch {} was on the disk{by_mark}, and is missing", self.durable);
            return Err(damaged(file, self.end.length, what));
        }
        let mut stray = self.stray;
        if blank_only {
            stray.extend(self.blank);
        }
        let Self { end, durable, closed, .. } = self;
        Ok(ReadOutcome { end, durable, closed, torn, stray })
    }
}
