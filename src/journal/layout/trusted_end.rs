//! The end of what the writer knows to be on the disk, with its last bytes.
//!
//! A segment that is cut while an engine writes keeps its identity, and what is appended later may
//! bring it back to its old length. So the writer remembers the last bytes, and where they stood.

use std::io;

use crate::journal::format::segment;
use crate::journal::storage::{PlacePart, Storage, is_gone, place};

/// How many bytes are remembered. What is appended after a cut begins with a batch's header. So the
/// more bytes are cut, the more of these differ.
const BYTES: usize = 64;

/// Bytes at the end of what is known to be on the disk. Without bytes, only their place.
#[derive(Default)]
pub(crate) struct TrustedEnd {
    segment: u64,
    /// Where the bytes begin, and where what is trusted ends.
    begins: u64,
    ends: u64,
    bytes: Vec<u8>,
}

impl TrustedEnd {
    /// The end of a segment that the writer did not write itself: its last byte, whatever it is.
    pub(crate) fn found(segment: u64, ends: u64) -> Self {
        Self { segment, begins: ends.saturating_sub(1), ends, bytes: Vec::new() }
    }

    /// What is trusted ends now with `part`, at `ends`.
    pub(crate) fn wrote(&mut self, segment: u64, ends: u64, part: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(&part[part.len().saturating_sub(BYTES)..]);
        (self.segment, self.begins, self.ends) = (segment, ends - self.bytes.len() as u64, ends);
    }

    /// Checks that the segment still holds all up to this end. A journal that goes on behind an end
    /// that is gone could never be read. Of a segment that is not `current` any more, the bytes are
    /// not compared: a redaction may have erased some.
    ///
    /// # Errors
    /// [`PlaceChanged`](crate::JournalError::PlaceChanged) if it does not; otherwise the storage's
    /// error.
    pub(crate) fn check(&self, storage: &dyn Storage, current: u64) -> io::Result<()> {
        if self.segment == 0 {
            return Ok(());
        }
        let name = segment::name_of(self.segment);
        let read = |from: u64, length: u64| match storage.read(&name, from, length) {
            Err(error) if is_gone(&error) => Ok(Vec::new()),
            other => other,
        };
        let is_same =
            self.segment != current || read(self.begins, self.bytes.len() as u64)? == self.bytes;
        let is_whole = !read(self.ends.saturating_sub(1), 1)?.is_empty();
        if is_same && is_whole {
            return Ok(());
        }
        Err(io::Error::other(place::changed(storage, PlacePart::File(&name))))
    }
}
