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

use std::ops::ControlFlow;
use std::thread::available_parallelism;

use crate::base::error::JournalError;
use crate::base::threads;
use crate::journal::format::batch::{self, BatchHeader, Hash, MAGIC, body_sum, records_hash};
use crate::journal::format::segment::{
    self, CLOSE_MARK, Point, SegmentHeader, Start, close_mark, is_close_mark, padding_before_mark,
};
use crate::journal::layout::{JournalDir, Layout, PathSegment, damaged};
use crate::journal::storage::Storage;
use crate::journal::windows::{WINDOW, WRONG_SUM, Window, Windows, read_at};

pub(crate) use crate::journal::windows::{FoundBatch, find};

/// A part of a segment, and the valid batches in it.
pub(crate) struct Segment {
    pub(crate) name: String,
    pub(crate) header: SegmentHeader,
    /// Offset in the file of the first of `bytes`, from which all offsets in the batches count.
    pub(crate) start: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) batches: Vec<FoundBatch>,
    /// No more parts of this segment follow.
    pub(crate) is_last: bool,
}

impl Segment {
    /// The place in the file of an offset in a batch.
    pub(crate) fn place(&self, offset: usize) -> u64 {
        self.start + offset as u64
    }
}

/// A torn tail: where it begins, and why the bytes there are not valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Torn {
    pub(crate) file: String,
    pub(crate) offset: u64,
    pub(crate) what: &'static str,
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
}

/// Where reading stopped before the end of the journal, and why.
struct ReadStop {
    segment: usize,
    offset: u64,
    what: &'static str,
}

/// Reads a journal from its first segment on, part by part, and passes each part to `each`, with
/// the newest batch known to be durable so far. Each segment has a last part, even if it is empty.
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
    let durable = layout.durable;
    let skips = layout.checkpoint.batch > 0;
    let begin = layout.path.first().filter(|_| skips).map_or(Point::START, |it| it.header.base);
    let mut walk = SegmentWalk { end: begin, durable, closed: false, close_mark_seen: false };
    let mut stop: Option<ReadStop> = None;
    for (index, on_path) in layout.path.iter().enumerate() {
        if stop.is_some() {
            // Behind the stop no batch counts. Its headers still tell what was durable.
            walk.scan_for_durable(*storage, on_path, 0)?;
            walk.durable = walk.durable.max(on_path.header.durable);
            continue;
        }
        walk.begin(on_path)?;
        let is_head = index + 1 == layout.path.len();
        let mut windows = Windows::new(*storage, on_path);
        let mut is_last = false;
        while !is_last {
            let window = windows.next()?;
            let (part, stopped) = walk.window(*storage, on_path, window, is_head)?;
            stop = stopped.map(|(offset, what)| ReadStop { segment: index, offset, what });
            is_last = part.is_last;
            if each(part, walk.durable).is_break() {
                // The caller does not need to know how the journal ends.
                return Ok(ReadOutcome {
                    end: walk.end,
                    durable: walk.durable,
                    closed: false,
                    torn: None,
                });
            }
        }
    }
    if let Some(stop) = &stop
        && let Some(on_path) = layout.path.get(stop.segment)
    {
        walk.scan_for_durable(*storage, on_path, stop.offset)?;
    }
    for (number, name) in &layout.unreadable {
        let header = SegmentHeader { number: *number, ..SegmentHeader::default() };
        let segment = PathSegment { name: name.clone(), header, limit: u64::MAX };
        let bytes = read_at(*storage, &segment, 0, segment::HEADER as u64)?;
        if let Start::Header(header) = SegmentHeader::read(&bytes) {
            walk.durable = walk.durable.max(header.durable);
        }
        walk.scan_for_durable(*storage, &segment, 0)?;
    }
    walk.into_outcome(layout, stop)
}

/// Whether a crash while `whole` was being written may leave `rest`: a prefix of it, or zeros.
fn is_torn_form_of(rest: &[u8], whole: &[u8]) -> bool {
    whole.starts_with(rest) || (rest.len() <= whole.len() && rest.iter().all(|byte| *byte == 0))
}

/// A batch whose checksums are right, with the hash of its records. Its chain hash is unchecked.
struct HashedBatch {
    found: FoundBatch,
    records: Hash,
}

/// Hashes batches that were found in `bytes`. Checksums and record hashes are nearly all of the
/// work. They depend on one batch alone, so all cores share them.
fn hash_batches(bytes: &[u8], found: &[FoundBatch]) -> Vec<Result<HashedBatch, &'static str>> {
    /// Below this size, starting a thread costs more than it saves.
    const BYTES_FOR_A_THREAD: usize = 1 << 20;
    let cores = available_parallelism().map_or(1, usize::from);
    let helpers = (bytes.len() / BYTES_FOR_A_THREAD).min(cores).min(found.len()).max(1) - 1;
    threads::map(found, helpers, |found| hash(bytes, found.clone()))
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
        return Err(WRONG_SUM);
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
}

impl SegmentWalk {
    /// Begins a segment, which must continue from the end of the valid prefix.
    fn begin(&mut self, on_path: &PathSegment) -> Result<(), JournalError> {
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
        Ok(())
    }

    /// Reads the batches of one window. Returns them, and the place in the file and the reason if
    /// it stopped before the end of the segment.
    #[expect(clippy::type_complexity, reason = "a pair of two results")]
    fn window(
        &mut self,
        storage: &dyn Storage,
        on_path: &PathSegment,
        window: Window,
        is_head: bool,
    ) -> Result<(Segment, Option<(u64, &'static str)>), JournalError> {
        let (number, end) = (on_path.header.number, window.end());
        let Window { start, bytes, found, stop, is_last } = window;
        let mut batches = Vec::with_capacity(found.len());
        let (mut stopped, mut offset) = (None, start);
        for hashed in hash_batches(&bytes, &found) {
            match hashed.and_then(|hashed| self.check(hashed)) {
                Ok(found) => {
                    offset = start + found.end() as u64;
                    self.advance(&found, number, offset);
                    batches.push(found);
                }
                Err(what) => stopped = Some((offset, what)),
            }
            if stopped.is_some() || self.closed {
                break;
            }
        }
        let mut is_last = is_last || stopped.is_some();
        if stopped.is_none() {
            let rest = match self.closed {
                true => read_at(storage, on_path, offset, WINDOW)?,
                false => Vec::new(),
            };
            stopped = match stop {
                _ if !rest.is_empty() => {
                    let what = self.check_close_mark(&rest, 0, number, is_head);
                    what.map(|(at, what)| (offset + at as u64, what))
                }
                Some(what) if !self.closed => Some((start + end as u64, what)),
                _ if (is_last || self.closed) && !is_head && offset != on_path.limit => {
                    Some((offset, "a segment that is shorter than it was"))
                }
                _ => None,
            };
            is_last |= self.closed;
        }
        let (name, header) = (on_path.name.clone(), on_path.header);
        Ok((Segment { name, header, start, bytes, batches, is_last }, stopped))
    }

    /// Returns the batch if it continues the hash chain.
    fn check(&self, hashed: HashedBatch) -> Result<FoundBatch, &'static str> {
        check_link(&hashed, &self.end)?;
        Ok(hashed.found)
    }

    /// Moves the end of the valid prefix past this batch, which ends at byte `length` of its
    /// segment.
    fn advance(&mut self, found: &FoundBatch, segment: u64, length: u64) {
        let header = &found.header;
        self.durable = self.durable.max(header.durable);
        self.closed = header.closed;
        self.end = Point {
            batch: header.number,
            sequence: header.end() - 1,
            hash: header.hash,
            segment,
            length,
        };
    }

    /// Checks what follows a closing batch: the close mark, which a crash may have left unfinished,
    /// and nothing else.
    fn check_close_mark(
        &mut self,
        bytes: &[u8],
        offset: usize,
        segment: u64,
        is_head: bool,
    ) -> Option<(usize, &'static str)> {
        let rest = &bytes[offset..];
        let padding = padding_before_mark(self.end.length);
        let mark = close_mark(&self.end.hash, segment);
        let whole: Vec<u8> = std::iter::repeat_n(0, padding).chain(mark).collect();
        if rest == whole {
            // The mark was written once the batch was on the disk, so the batch is durable.
            self.close_mark_seen = true;
            self.durable = self.end.batch;
            self.end.length += whole.len() as u64;
            None
        } else if is_head && is_torn_form_of(rest, &whole) {
            // A crash came between the closing batch and its mark.
            None
        } else {
            self.close_mark_seen = true;
            Some((offset, "bytes behind the end of a closed journal"))
        }
    }

    /// Scans a segment from byte `from` on, behind the valid prefix, for batch headers and close
    /// marks, to learn how far the journal was known to be durable. The segment's number is their
    /// checksum seed: a header that strayed in from another segment does not match.
    ///
    /// Reads window by window, so a hole of any length takes time, as reading it does, and no
    /// memory.
    fn scan_for_durable(
        &mut self,
        storage: &dyn Storage,
        segment: &PathSegment,
        from: u64,
    ) -> Result<(), JournalError> {
        // The earliest end that any header of a closing batch claims. It counts if the file goes on
        // as far.
        let mut closing_end = u64::MAX;
        let mut at = from;
        loop {
            let bytes = read_at(storage, segment, at, WINDOW)?;
            self.scan_window(&bytes, at, segment.header.number, &mut closing_end);
            let end = at + bytes.len() as u64;
            if (bytes.len() as u64) < WINDOW || end >= segment.limit {
                self.closed |= closing_end <= end;
                return Ok(());
            }
            // A header or a mark may begin in this window and end in the next.
            at = end - (batch::HEADER - 1) as u64;
        }
    }

    fn scan_window(&mut self, bytes: &[u8], start: u64, segment: u64, closing_end: &mut u64) {
        /// What a hole of a sparse file reads as. It has no header, and to compare whole pages is
        /// many times faster than to look at each byte.
        const HOLE: &[u8] = &[0; 1 << 16];
        if bytes.chunks(HOLE.len()).all(|chunk| chunk == &HOLE[..chunk.len()]) {
            return;
        }
        // Headers and marks begin with the same byte.
        for at in (0..bytes.len()).filter(|at| bytes[*at] == MAGIC[0]) {
            let rest = &bytes[at..];
            if let Some(header) = BatchHeader::from_bytes(rest, segment) {
                self.durable = self.durable.max(header.durable);
                if header.closed {
                    let end = start + (at + batch::HEADER) as u64 + header.body_length();
                    *closing_end = end.min(*closing_end);
                }
            }
            self.close_mark_seen |= rest.len() >= CLOSE_MARK && is_close_mark(rest, segment);
        }
    }

    fn into_outcome(
        self,
        layout: &Layout,
        stop: Option<ReadStop>,
    ) -> Result<ReadOutcome, JournalError> {
        let mut torn = match stop {
            None => None,
            Some(ReadStop { segment, offset, what }) => {
                let file = layout.path.get(segment).map_or_else(String::new, |it| it.name.clone());
                Some(Torn { file, offset, what })
            }
        };
        if torn.is_none()
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
            let file = layout.head().map_or_else(String::new, |head| head.name.clone());
            let what = format!("batch {} was on the disk, and is missing", self.durable);
            return Err(damaged(&file, self.end.length, what));
        }
        Ok(ReadOutcome { end: self.end, durable: self.durable, closed: self.closed, torn })
    }
}
