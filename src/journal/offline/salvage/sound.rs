//! The sound batches of a segment, window by window.

use crate::base::error::JournalError;
use crate::journal::format::segment::{Point, padded_close_mark};
use crate::journal::layout::PathSegment;
use crate::journal::reader::{FoundBatch, Segment, check_batch};
use crate::journal::storage::Storage;
use crate::journal::windows::{Window, Windows, read_at};

/// A part of a segment, with the batches in it that follow from what is before.
pub(super) struct SoundPart {
    pub(super) segment: Segment,
    /// Up to which byte of the file it is sound.
    pub(super) read_to: u64,
    /// What is wrong behind that, and where; `None` if the file ends there or the next part begins.
    pub(super) wrong: Option<(u64, &'static str)>,
}

/// Reads the sound parts of a segment.
pub(super) struct SoundParts<'a> {
    storage: &'a dyn Storage,
    on_path: &'a PathSegment,
    windows: Windows<'a>,
    /// The end of what was sound so far.
    end: Point,
}

impl<'a> SoundParts<'a> {
    /// The parts of a segment whose first batch follows from `end`.
    pub(super) fn new(storage: &'a dyn Storage, on_path: &'a PathSegment, end: Point) -> Self {
        Self { storage, on_path, windows: Windows::new(storage, on_path), end }
    }

    /// The next part. Do not call it after the last one.
    ///
    /// # Errors
    /// The storage's.
    pub(super) fn next(&mut self) -> Result<SoundPart, JournalError> {
        let Window { start, bytes, found, stop, is_last } = self.windows.next()?;
        let mut batches: Vec<FoundBatch> = Vec::with_capacity(found.len());
        let (mut read_to, mut wrong, mut closed) = (start, None, false);
        for found in found {
            if let Err(what) = check_batch(&bytes, &found, &self.end) {
                wrong = Some((read_to, what));
                break;
            }
            (read_to, self.end) = (start + found.end() as u64, point_of(&found));
            closed = found.header.closed;
            batches.push(found);
            if closed {
                (read_to, wrong) = self.behind_close(read_to)?;
                break;
            }
        }
        if wrong.is_none() && !closed {
            wrong = stop.map(|what| (read_to, what));
        }
        let is_last = is_last || closed || wrong.is_some();
        let (name, header) = (self.on_path.name.clone(), self.on_path.header);
        let segment = Segment { name, header, start, bytes, batches, is_last };
        Ok(SoundPart { segment, read_to, wrong })
    }

    /// The end of the close mark at byte `at`, behind a closing batch; and what is wrong if more
    /// follows.
    #[expect(clippy::type_complexity, reason = "a pair, and a pair in it")]
    fn behind_close(&self, at: u64) -> Result<(u64, Option<(u64, &'static str)>), JournalError> {
        let whole = padded_close_mark(at, &self.end.hash, self.on_path.header.number);
        // One byte more than a mark tells whether anything follows it.
        let rest = read_at(self.storage, self.on_path, at, whole.len() as u64 + 1)?;
        let marked = if rest.starts_with(&whole) { whole.len() } else { 0 };
        let end = at + marked as u64;
        let is_more = rest.len() > marked;
        Ok((end, is_more.then_some((end, "bytes behind the end of a closed journal"))))
    }
}

/// The end of a batch. Says nothing of the place.
pub(super) fn point_of(found: &FoundBatch) -> Point {
    let header = &found.header;
    Point { batch: header.number, sequence: header.end() - 1, hash: header.hash, ..Point::START }
}
