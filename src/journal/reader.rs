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

mod behind;

use std::ops::ControlFlow;
use std::thread::available_parallelism;

use crate::base::error::JournalError;
use crate::base::threads;
use crate::journal::format::batch::{Hash, body_sum, records_hash};
use crate::journal::format::segment::{self, Point, SegmentHeader, Start};
use crate::journal::layout::sync_mark::{self, SyncsKnown};
use crate::journal::layout::{JournalDir, Layout, PathSegment, damaged};
use crate::journal::storage::Storage;
use crate::journal::windows::{WRONG_SUM, Window, Windows, read_at};

pub(crate) use crate::journal::windows::{FoundBatch, find};

use behind::length_of;

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

/// Bytes behind the end of a closed journal: in its newest segment, or a file of noise that bears
/// the name of a newer one.
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
        noise: Vec::new(),
        marks,
    };
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
                    ..ReadOutcome::default()
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
        let begun = SegmentHeader::read(&bytes);
        if let Start::Header(header) = begun {
            walk.durable = walk.durable.max(header.durable);
        }
        let is_noise = walk.scan_for_durable(*storage, &segment, 0)?;
        if is_noise && matches!(begun, Start::Unreadable) {
            let length = length_of(*storage, &segment)?;
            walk.noise.push(Stray { file: name.clone(), offset: 0, length });
        }
    }
    walk.into_outcome(layout, stop)
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
    let wanted = (bytes.len() / BYTES_FOR_A_THREAD).min(cores).min(found.len());
    threads::map(found, wanted, |found| hash(bytes, found.clone()))
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
    /// What lies behind a whole close mark at the end of the newest segment.
    stray: Vec<Stray>,
    /// Files with the names of newer segments that hold nothing that an engine wrote.
    noise: Vec<Stray>,
    /// What the sync marks say.
    marks: SyncsKnown,
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
            let is_more = self.closed && !read_at(storage, on_path, offset, 1)?.is_empty();
            stopped = match stop {
                _ if is_more => {
                    let what = self.check_close_mark(storage, on_path, offset, is_head)?;
                    what.map(|what| (offset, what))
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

    fn into_outcome(
        self,
        layout: &Layout,
        stop: Option<ReadStop>,
    ) -> Result<ReadOutcome, JournalError> {
        // If the marks are of the newest segment's opening, no later one has synced anything. Then
        // noise is no segment that has lost its bytes.
        let is_whole = self.closed && self.close_mark_seen && stop.is_none();
        let noise_only =
            is_whole && self.marks.is_of_head && self.noise.len() == layout.unreadable.len();
        let mut torn = match stop {
            None => None,
            Some(ReadStop { segment, offset, what }) => {
                let file = layout.path.get(segment).map_or_else(String::new, |it| it.name.clone());
                Some(Torn { file, offset, what })
            }
        };
        if torn.is_none()
            && !noise_only
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
        if noise_only {
            stray.extend(self.noise);
        }
        let Self { end, durable, closed, .. } = self;
        Ok(ReadOutcome { end, durable, closed, torn, stray })
    }
}
