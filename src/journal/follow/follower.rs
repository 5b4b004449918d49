//! Following a journal that is being written: batch after batch, up to what is on the disk.
//!
//! A follower holds no file and no lock. Where it is, is a point of the chain; whatever the writer does
//! (goes on in the next segment, gives one up and begins afresh), the batches behind that point are
//! found again, because batches that are on the disk are never written otherwise again.

use std::sync::Arc;

use crate::base::error::JournalError;
use crate::journal::format::batch;
use crate::journal::format::segment::{self, Point, SegmentHeader};
use crate::journal::layout::{Layout, PathSegment, damaged, failed};
use crate::journal::reader::{FoundBatch, Segment, check_batch, find};
use crate::journal::storage::Storage;

/// Bytes that are read at once; a batch is at most a little longer than half of that, unless one record
/// fills it.
const CHUNK: u64 = 2 << 20;

/// A place in a journal, and the way on from there.
pub(crate) struct Follower {
    storage: Arc<dyn Storage>,
    /// The end of what was read.
    at: Point,
    /// The segment that is being read, `None` before the first.
    segment: Option<PathSegment>,
    /// Up to where in it.
    offset: u64,
}

/// Some batches in a row.
pub(crate) struct Followed {
    /// As much of their segment as was read, and the batches in it that are new.
    pub(crate) part: Segment,
}

impl Follower {
    /// From `at` on, which must be an end of a batch, or the beginning.
    pub(crate) fn new(storage: Arc<dyn Storage>, at: Point) -> Self {
        Self { storage, at, segment: None, offset: 0 }
    }

    /// The end of what was read.
    pub(crate) fn at(&self) -> Point {
        self.at
    }

    /// The next batches, at most up to batch `last`, which must be on the disk; `None` if there are none.
    ///
    /// # Errors
    /// What the storage says; [`JournalError::Damaged`] if a batch is missing that was on the disk.
    pub(crate) fn next(&mut self, last: u64) -> Result<Option<Followed>, JournalError> {
        let mut unsound = None;
        // Twice: what this segment lacks, the next has, unless the writer began afresh just now.
        for _ in 0..4 {
            if last <= self.at.batch {
                return Ok(None);
            }
            match self.segment.clone().map(|segment| self.read(&segment, last)) {
                Some(Ok(Some(followed))) => return Ok(Some(followed)),
                // What a crash has torn there was given up, if another segment goes on before it.
                Some(Err(error @ JournalError::Damaged { .. })) => unsound = Some(error),
                Some(Err(error)) => return Err(error),
                Some(Ok(None)) | None => {}
            }
            self.find_segment()?;
        }
        if let Some(error) = unsound {
            return Err(error);
        }
        let file = self.segment.as_ref().map_or_else(String::new, |segment| segment.name.clone());
        let what = format!("batch {} was on the disk, and is missing", self.at.batch + 1);
        Err(damaged(&file, self.offset, what))
    }

    /// Finds the segment in which the next batch lies.
    fn find_segment(&mut self) -> Result<(), JournalError> {
        let from = self.at.batch;
        let layout = Layout::find_back_to(&*self.storage, |it| it.base.batch <= from)?;
        if layout.path.is_empty() {
            // Taken away; it may come back.
            return Err(failed("find the segments in", "", &std::io::ErrorKind::NotFound.into()));
        }
        let mut path = layout.path.iter().rev();
        let Some(found) = path.find(|it| it.header.base.batch <= self.at.batch) else {
            return Err(JournalError::Trimmed { oldest: layout.oldest() });
        };
        if self.segment.as_ref().map(|known| known.header.number) != Some(found.header.number) {
            self.offset = segment::HEADER as u64;
        }
        self.segment = Some(found.clone());
        Ok(())
    }

    /// Reads on in the segment, as far as it counts; `None` if the next batch is not in it.
    fn read(&mut self, segment: &PathSegment, last: u64) -> Result<Option<Followed>, JournalError> {
        let PathSegment { name, header, limit } = segment;
        let mut wanted = CHUNK;
        loop {
            // What lies beyond was given up: the batch that closed an earlier opening bears the number of
            // the first one of the next.
            let left = limit.saturating_sub(self.offset);
            let bytes = self.storage.read(name, self.offset, wanted.min(left));
            let bytes = match bytes {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                bytes => bytes.map_err(|error| failed("read", name, &error))?,
            };
            let is_all = (bytes.len() as u64) < wanted;
            let (mut batches, mut end, mut read) = (Vec::new(), self.at, 0);
            while end.batch < last
                && read < bytes.len()
                && let Ok(found) = find(&bytes, read, header.number)
            {
                read = found.end();
                // A segment that begins afresh has some again that were read elsewhere.
                if found.header.number <= self.at.batch {
                    continue;
                }
                let at = self.offset + found.offset as u64;
                match check_batch(&bytes, &found, &end) {
                    Err(what) if batches.is_empty() => {
                        return Err(damaged(name, at, what.to_owned()));
                    }
                    // It is looked at again when it is the first.
                    Err(_) => {
                        read = found.offset;
                        break;
                    }
                    Ok(()) => {}
                }
                end = point_of(&found, header, self.offset + read as u64);
                batches.push(found);
            }
            if batches.is_empty() && read == 0 {
                let short = bytes.len() < batch::HEADER || is_all;
                if short {
                    return Ok(None);
                }
                // One batch that is longer than a chunk.
                wanted *= 2;
                continue;
            }
            self.offset += read as u64;
            if batches.is_empty() {
                continue;
            }
            self.at = end;
            let part = Segment { name: name.clone(), header: *header, bytes, batches };
            return Ok(Some(Followed { part }));
        }
    }
}

fn point_of(found: &FoundBatch, header: &SegmentHeader, length: u64) -> Point {
    Point {
        batch: found.header.number,
        sequence: found.header.end() - 1,
        hash: found.header.hash,
        segment: header.number,
        length,
    }
}
