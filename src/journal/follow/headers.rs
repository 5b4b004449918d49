//! A walk over the batch headers of a segment: it finds a batch without decoding the ones before.

use crate::base::clock::Timestamp;
use crate::base::error::JournalError;
use crate::journal::format::batch::{self, BatchHeader};
use crate::journal::format::segment::{self, Point};
use crate::journal::layout::{Layout, PathSegment, failed};
use crate::journal::storage::Storage;

/// How many bytes are read at once. Small batches lie many to a window, so they cost few reads. Of
/// a batch that is longer than a window, only the first bytes are read.
const WINDOW: u64 = 64 << 10;

/// A walk over the headers of one segment.
pub(crate) struct HeaderWalk<'a> {
    storage: &'a dyn Storage,
    segment: &'a PathSegment,
    /// The end of the batches that were passed. Its length is the offset of the next header.
    at: Point,
    window: Vec<u8>,
    /// The offset of the window in the segment.
    window_at: u64,
}

impl<'a> HeaderWalk<'a> {
    pub(crate) fn new(storage: &'a dyn Storage, segment: &'a PathSegment) -> Self {
        let header = segment.header;
        let length = segment::HEADER as u64;
        let at = Point { segment: header.number, length, ..header.base };
        Self { storage, segment, at, window: Vec::new(), window_at: 0 }
    }

    /// The end of the batches that were passed.
    pub(crate) fn at(&self) -> Point {
        self.at
    }

    /// The next header; `None` where no batch follows. The body is not looked at, nor the chain.
    ///
    /// # Errors
    /// The storage's error.
    pub(crate) fn next(&mut self) -> Result<Option<BatchHeader>, JournalError> {
        let seed = self.segment.header.number;
        let bytes = self.header_bytes()?;
        let Some(header) = BatchHeader::from_bytes(bytes, seed) else { return Ok(None) };
        let length = self.at.length + batch::HEADER as u64 + header.body_length();
        if length > self.segment.limit || header.number != self.at.batch + 1 {
            return Ok(None);
        }
        let (batch, sequence, hash) = (header.number, header.end() - 1, header.hash);
        self.at = Point { batch, sequence, hash, length, ..self.at };
        Ok(Some(header))
    }

    /// The bytes from the next header on: enough for it, unless the segment ends before.
    fn header_bytes(&mut self) -> Result<&[u8], JournalError> {
        let needed = self.at.length + batch::HEADER as u64;
        if self.at.length < self.window_at || needed > self.window_at + self.window.len() as u64 {
            let PathSegment { name, limit, .. } = self.segment;
            let length = WINDOW.min(limit.saturating_sub(self.at.length));
            let read = self.storage.read(name, self.at.length, length);
            self.window = read.map_err(|error| failed("read", name, &error))?;
            self.window_at = self.at.length;
        }
        let start = usize::try_from(self.at.length - self.window_at).unwrap_or(usize::MAX);
        Ok(self.window.get(start..).unwrap_or_default())
    }
}

/// Where an entry lies.
pub(crate) struct EntryPlace {
    pub(crate) segment: PathSegment,
    /// The end of the batch before the one that holds the entry.
    pub(crate) before: Point,
    /// The end of the batch that holds the entry.
    pub(crate) end: Point,
    /// The time of that batch.
    pub(crate) at: Timestamp,
}

/// Finds the batch that holds entry `sequence`, up to batch `last`; `None` if it is not there.
///
/// # Errors
/// The storage's error.
pub(crate) fn place_of(
    storage: &dyn Storage,
    layout: &Layout,
    sequence: u64,
    last: u64,
) -> Result<Option<EntryPlace>, JournalError> {
    // Strictly less: a segment that begins right after the entry does not hold it.
    let holds = |it: &&PathSegment| it.header.base.sequence < sequence;
    let Some(segment) = layout.path.iter().rev().find(holds) else { return Ok(None) };
    let mut walk = HeaderWalk::new(storage, segment);
    loop {
        let before = walk.at();
        let Some(header) = walk.next()?.filter(|it| it.number <= last) else { return Ok(None) };
        let (end, at) = (walk.at(), header.base);
        if end.sequence >= sequence {
            return Ok(Some(EntryPlace { segment: segment.clone(), before, end, at }));
        }
    }
}
