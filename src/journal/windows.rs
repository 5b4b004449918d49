//! Windows: the pieces in which the batches of a segment are read. So a segment, however long,
//! takes a bounded amount of memory, and a length that a file claims is never allocated.

use xxhash_rust::xxh3::Xxh3Default;

use crate::base::error::JournalError;
use crate::journal::format::batch::{self, BatchHeader};
use crate::journal::format::segment;
use crate::journal::layout::{PathSegment, failed};
use crate::journal::storage::Storage;

/// How many bytes are read at once. A batch that is longer is read whole, once its checksum is
/// known to be right.
pub(crate) const WINDOW: u64 = 8 << 20;

pub(crate) const NOT_A_HEADER: &str = "an unreadable batch header";
const INCOMPLETE: &str = "an incomplete batch";
pub(crate) const WRONG_SUM: &str = "a batch whose checksum is wrong";

/// A batch that was found in bytes of a segment, and where its parts lie in these bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FoundBatch {
    pub(crate) header: BatchHeader,
    /// Offset of its header.
    pub(crate) offset: usize,
    pub(crate) records: std::ops::Range<usize>,
    pub(crate) notes: std::ops::Range<usize>,
}

impl FoundBatch {
    /// Offset of the byte behind this batch.
    pub(crate) fn end(&self) -> usize {
        self.notes.end
    }
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
        return Err(INCOMPLETE);
    }
    Ok(FoundBatch { header, offset, records: start..middle, notes: middle..end })
}

/// Of how many bytes more than `bytes` has the batch at their beginning must be told: `None` if no
/// more bytes make it one.
pub(crate) fn goes_on(bytes: &[u8], seed: u64) -> Option<u64> {
    if bytes.len() < batch::HEADER {
        return Some(batch::HEADER as u64);
    }
    let whole = BatchHeader::from_bytes(bytes, seed)?.body_length() + batch::HEADER as u64;
    (whole > bytes.len() as u64).then_some(whole)
}

/// A piece of a segment, with the batches that lie whole in it. It begins where the batches of the
/// piece before end.
pub(crate) struct Window {
    /// Offset in the file of the first of these bytes.
    pub(crate) start: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) found: Vec<FoundBatch>,
    /// Why the bytes behind the last of these batches are no batch; `None` if there are none, or
    /// the next window begins there.
    pub(crate) stop: Option<&'static str>,
    /// There is no next window: the file ends, or no batch follows.
    pub(crate) is_last: bool,
}

impl Window {
    /// Offset in these bytes of the byte behind the last batch.
    pub(crate) fn end(&self) -> usize {
        self.found.last().map_or(0, FoundBatch::end)
    }
}

/// Reads a segment window by window.
pub(crate) struct Windows<'a> {
    storage: &'a dyn Storage,
    segment: &'a PathSegment,
    at: u64,
}

impl<'a> Windows<'a> {
    /// The windows of this segment up to its limit, from its first batch on.
    pub(crate) fn new(storage: &'a dyn Storage, segment: &'a PathSegment) -> Self {
        Self::from(storage, segment, segment::HEADER as u64)
    }

    /// As [`new`](Self::new), from the batch at byte `at` on.
    pub(crate) fn from(storage: &'a dyn Storage, segment: &'a PathSegment, at: u64) -> Self {
        Self { storage, segment, at }
    }

    /// The next window. Do not call it after the last one.
    ///
    /// # Errors
    /// The storage's.
    pub(crate) fn next(&mut self) -> Result<Window, JournalError> {
        let seed = self.segment.header.number;
        let mut wanted = WINDOW;
        loop {
            let start = self.at;
            let bytes = read_at(self.storage, self.segment, start, wanted)?;
            let there = start + bytes.len() as u64;
            let is_end = (bytes.len() as u64) < wanted || there >= self.segment.limit;
            let mut window =
                Window { start, bytes, found: Vec::new(), stop: None, is_last: is_end };
            while window.end() < window.bytes.len() {
                match find(&window.bytes, window.end(), seed) {
                    Ok(found) => window.found.push(found),
                    Err(what) => {
                        window.stop = Some(what);
                        break;
                    }
                }
            }
            let end = window.end();
            self.at = start + end as u64;
            let more =
                (window.stop.is_some() && !is_end).then(|| goes_on(&window.bytes[end..], seed));
            match more.flatten() {
                // The batch goes on behind this window.
                Some(_) if !window.found.is_empty() => window.stop = None,
                Some(length) => match self.fault_in_long(length)? {
                    None => {
                        wanted = length;
                        continue;
                    }
                    fault => window.stop = fault,
                },
                None => {}
            }
            window.is_last |= window.stop.is_some();
            return Ok(window);
        }
    }

    /// What is wrong with the batch of `length` bytes here, which is longer than a window. Reads it
    /// in windows: before its checksum is known to be right, its length is only a claim.
    fn fault_in_long(&self, length: u64) -> Result<Option<&'static str>, JournalError> {
        let head = batch::HEADER as u64;
        let header = read_at(self.storage, self.segment, self.at, head)?;
        let Some(header) = BatchHeader::from_bytes(&header, self.segment.header.number) else {
            return Ok(Some(NOT_A_HEADER));
        };
        let (mut sum, mut at) = (Xxh3Default::new(), head);
        while at < length {
            let bytes = read_at(self.storage, self.segment, self.at + at, WINDOW.min(length - at))?;
            if bytes.is_empty() {
                return Ok(Some(INCOMPLETE));
            }
            sum.update(&bytes);
            at += bytes.len() as u64;
        }
        Ok((sum.digest() != header.body_sum).then_some(WRONG_SUM))
    }
}

/// Reads at most `length` bytes of a segment from `offset` on, and none behind its limit.
///
/// # Errors
/// The storage's.
pub(crate) fn read_at(
    storage: &dyn Storage,
    segment: &PathSegment,
    offset: u64,
    length: u64,
) -> Result<Vec<u8>, JournalError> {
    let length = length.min(segment.limit.saturating_sub(offset));
    let read = storage.read(&segment.name, offset, length);
    read.map_err(|error| failed("read", &segment.name, &error))
}

/// Where the bytes of a segment go on, from `offset` on, behind a hole of a sparse file: its limit
/// at most.
///
/// # Errors
/// The storage's.
pub(crate) fn next_data(
    storage: &dyn Storage,
    segment: &PathSegment,
    offset: u64,
) -> Result<u64, JournalError> {
    let next = storage.next_data(&segment.name, offset);
    let next = next.map_err(|error| failed("read", &segment.name, &error))?;
    Ok(next.min(segment.limit).max(offset))
}

/// Whether these bytes may be a hole of a sparse file: they hold no header. To compare whole pages
/// is many times faster than to look at each byte.
pub(crate) fn is_hole(bytes: &[u8]) -> bool {
    const PAGES: &[u8] = &[0; 1 << 16];
    bytes.chunks(PAGES.len()).all(|chunk| chunk == &PAGES[..chunk.len()])
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::any::Any;
    use std::io;
    use std::sync::Arc;

    use super::*;
    use crate::base::sync::{AtomicU64, Ordering};
    use crate::journal::format::segment::{HEADER, SegmentHeader};
    use crate::journal::storage::StorageFile;

    /// A segment with the header of one batch, and only zeros behind it.
    struct OneBatch {
        header: BatchHeader,
        length: u64,
        /// The most bytes that were read at once.
        most: AtomicU64,
    }

    fn unused<T>() -> io::Result<T> {
        Err(io::ErrorKind::Unsupported.into())
    }

    impl Storage for OneBatch {
        fn lock(&self) -> io::Result<Box<dyn Any + Send + Sync>> {
            unused()
        }

        fn list(&self) -> io::Result<Vec<String>> {
            unused()
        }

        fn read(&self, _: &str, offset: u64, length: u64) -> io::Result<Vec<u8>> {
            let there = length.min(self.length.saturating_sub(offset));
            // Relaxed: one thread reads, and looks at it.
            self.most.fetch_max(there, Ordering::Relaxed);
            let mut bytes = match offset == HEADER as u64 {
                true => self.header.to_bytes(1).to_vec(),
                false => Vec::new(),
            };
            bytes.resize(there as usize, 0);
            Ok(bytes)
        }

        fn create(&self, _: &str) -> io::Result<Arc<dyn StorageFile>> {
            unused()
        }

        fn rename(&self, _: &str, _: &str) -> io::Result<()> {
            unused()
        }

        fn remove(&self, _: &str) -> io::Result<()> {
            unused()
        }

        fn sync_directory(&self) -> io::Result<()> {
            unused()
        }
    }

    /// The only window of a segment of `length` bytes, whose batch claims a body of `claims` bytes
    /// with this checksum.
    fn window(length: u64, claims: u32, body_sum: u64) -> (Window, u64) {
        let header = BatchHeader {
            notes_length: claims,
            number: 1,
            first_sequence: 1,
            body_sum,
            ..BatchHeader::default()
        };
        let storage = OneBatch { header, length, most: AtomicU64::new(0) };
        let header = SegmentHeader { number: 1, ..SegmentHeader::default() };
        let segment = PathSegment { name: "a".to_owned(), header, limit: u64::MAX };
        let window = Windows::new(&storage, &segment).next().expect("no failure");
        (window, storage.most.into_inner())
    }

    #[test]
    fn a_length_that_a_batch_claims_is_read_only_once_its_checksum_is_right() {
        const LONG: u32 = 40 << 20;
        let (wrong, most) = window(1 << 30, LONG, 7);
        assert_eq!((wrong.stop, wrong.is_last, most), (Some(WRONG_SUM), true, WINDOW));
        let (short, most) = window(20 << 20, LONG, 7);
        assert_eq!((short.stop, most), (Some(INCOMPLETE), WINDOW));
        let sum = batch::body_sum(&vec![0; LONG as usize]);
        let whole = (HEADER + batch::HEADER) as u64 + u64::from(LONG);
        let (right, most) = window(whole, LONG, sum);
        assert_eq!((right.stop, right.found.len()), (None, 1));
        assert_eq!(most, (batch::HEADER as u64) + u64::from(LONG));
    }
}
