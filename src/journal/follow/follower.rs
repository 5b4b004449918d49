//! The follower: reads a journal while it is written, batch after batch, up to what is on the disk.
//!
//! A follower holds no open file and no lock. Its position is a point of the hash chain. The writer
//! may go on in the next segment, or give a segment up and begin a new one. The follower still
//! finds the batches behind its point, because a batch that is on the disk never changes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::error::JournalError;
use crate::journal::format::segment::{self, Point, SegmentHeader};
use crate::journal::layout::{Layout, PathSegment, damaged, failed};
use crate::journal::reader::{FoundBatch, Segment, check_batch, find};
use crate::journal::storage::Storage;
use crate::journal::windows::goes_on;

/// How many bytes are read at once. A batch is at most a little longer than half of that, unless
/// one record fills it.
const CHUNK: u64 = 2 << 20;
/// If no segment is there, for example because a file system is not mounted, they may come back.
/// After this time without any, the journal counts as gone for good.
const GONE_AFTER: Duration = Duration::from_secs(10);

/// A position in a journal, and the means to read on from there.
pub(crate) struct Follower {
    storage: Arc<dyn Storage>,
    /// The end of what was read.
    at: Point,
    /// The segment that is being read; `None` before the first.
    segment: Option<PathSegment>,
    /// The byte offset in the segment up to which it was read.
    offset: u64,
    /// Since when no segment at all was found.
    empty_since: Option<Instant>,
}

/// Consecutive batches of one segment.
pub(crate) struct Followed {
    /// The part of the segment that was read, and the new batches in it.
    pub(crate) part: Segment,
}

impl Follower {
    /// Follows the journal from `at`, which must be the end of a batch or [`Point::START`].
    pub(crate) fn new(storage: Arc<dyn Storage>, at: Point) -> Self {
        Self { storage, at, segment: None, offset: 0, empty_since: None }
    }

    /// Like [`new`](Self::new), if the end of the batch is known to lie in `segment`, at the offset
    /// `at.length`. It does not read the bytes before.
    pub(crate) fn within(storage: Arc<dyn Storage>, at: Point, segment: PathSegment) -> Self {
        Self { storage, at, segment: Some(segment), offset: at.length, empty_since: None }
    }

    /// The end of what was read.
    pub(crate) fn at(&self) -> Point {
        self.at
    }

    /// What it reads from.
    pub(crate) fn storage(&self) -> &dyn Storage {
        &*self.storage
    }

    /// Reads the next batches, up to batch `last` at most, which must be on the disk. Returns
    /// `None` if there are none.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] if a batch is missing that was on the disk;
    /// [`JournalError::Trimmed`] if its segment was archived or removed;
    /// [`JournalError::NoJournal`] if no segment was there for ten seconds; otherwise the storage's
    /// error.
    pub(crate) fn next(&mut self, last: u64) -> Result<Option<Followed>, JournalError> {
        let mut unsound = None;
        // Usually two rounds do: what one segment lacks, the next one has. The writer may begin a
        // new segment at the same time; two more rounds allow for that.
        for _ in 0..4 {
            if last <= self.at.batch {
                return Ok(None);
            }
            match self.segment.clone().map(|segment| self.read(&segment, last)) {
                Some(Ok(Some(followed))) => return Ok(Some(followed)),
                // If another segment goes on before this batch, the bytes here were given up as a
                // torn tail. If none does, this is damage.
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

    /// Finds the segment that holds the next batch.
    fn find_segment(&mut self) -> Result<(), JournalError> {
        let from = self.at.batch;
        let layout = Layout::find_back_to(&*self.storage, |it| it.base.batch <= from)?;
        if layout.path.is_empty() {
            let since = *self.empty_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= GONE_AFTER {
                return Err(JournalError::NoJournal);
            }
            // Until then the error is a retryable one.
            return Err(failed("find the segments in", "", &std::io::ErrorKind::NotFound.into()));
        }
        self.empty_since = None;
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

    /// Reads on in the segment, up to its limit. Returns `None` if the next batch is not in it.
    fn read(&mut self, segment: &PathSegment, last: u64) -> Result<Option<Followed>, JournalError> {
        let PathSegment { name, header, limit } = segment;
        let mut wanted = CHUNK;
        loop {
            // Bytes beyond the limit were given up. For example, the batch that closed an earlier
            // opening has the same number as the first batch of the next one.
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
                // A segment that replaces a failed one repeats batches that were read in that one.
                if found.header.number <= self.at.batch {
                    continue;
                }
                let at = self.offset + found.offset as u64;
                match check_batch(&bytes, &found, &end) {
                    Err(what) if batches.is_empty() => {
                        return Err(damaged(name, at, what.to_owned()));
                    }
                    // The batches before it are sound: return them. The next read meets this one
                    // first, and reports it.
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
                match goes_on(&bytes, header.number) {
                    // The batch is longer than a chunk: read more at once. By steps: its length is
                    // only a claim.
                    Some(length) if !is_all => wanted = length.min(wanted * 2),
                    _ => return Ok(None),
                }
                continue;
            }
            self.offset += read as u64;
            if batches.is_empty() {
                continue;
            }
            self.at = end;
            let start = self.offset - read as u64;
            let (name, header) = (name.clone(), *header);
            let part = Segment { name, header, start, bytes, batches, is_last: false };
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::journal::storage::simulated::SimulatedDisk;

    #[test]
    fn a_journal_that_stays_empty_is_gone_and_nobody_retries_for_ever() {
        let mut follower = Follower::new(Arc::new(SimulatedDisk::new()), Point::START);
        let empty = follower.next(1).map(|_| ()).expect_err("no segment");
        assert!(empty.is_retryable(), "{empty}");
        follower.empty_since = Instant::now().checked_sub(GONE_AFTER);
        let gone = follower.next(1).map(|_| ()).expect_err("no segment");
        assert_eq!(gone, JournalError::NoJournal);
        assert!(!gone.is_retryable());
    }
}
