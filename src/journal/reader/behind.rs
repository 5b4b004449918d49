//! What lies behind the valid prefix of a journal: a close mark, stray bytes, and headers that tell
//! how far the journal was known to be durable.

use crate::base::error::JournalError;
use crate::journal::format::batch::{self, BatchHeader, MAGIC};
use crate::journal::format::segment::{CLOSE_MARK, is_close_mark, padded_close_mark};
use crate::journal::layout::{PathSegment, failed};
use crate::journal::storage::Storage;
use crate::journal::windows::{WINDOW, is_hole, next_data, read_at};

use super::{SegmentWalk, Stray};

/// The length of a segment, as far as it counts.
pub(super) fn length_of(storage: &dyn Storage, segment: &PathSegment) -> Result<u64, JournalError> {
    let length = storage.length(&segment.name);
    let length = length.map_err(|error| failed("read", &segment.name, &error))?;
    Ok(length.min(segment.limit))
}

/// Shows a segment's bytes from `from` on, window by window, until `each` returns `false`. It gets
/// the bytes and their offset. Windows overlap, because a header or a mark may begin in one and end
/// in the next. Holes, in which neither begins, are skipped. Returns the offset of the end.
fn each_window(
    storage: &dyn Storage,
    segment: &PathSegment,
    from: u64,
    mut each: impl FnMut(&[u8], u64) -> bool,
) -> Result<u64, JournalError> {
    let mut at = from;
    loop {
        at = next_data(storage, segment, at)?;
        let bytes = read_at(storage, segment, at, WINDOW)?;
        let end = at + bytes.len() as u64;
        let is_last = (bytes.len() as u64) < WINDOW || end >= segment.limit;
        if !each(&bytes, at) || is_last {
            return Ok(end);
        }
        at = end - (batch::HEADER - 1) as u64;
    }
}

/// Whether a crash while `whole` was being written may leave `rest`: a prefix of it, or zeros.
fn is_torn_form_of(rest: &[u8], whole: &[u8]) -> bool {
    whole.starts_with(rest) || (rest.len() <= whole.len() && rest.iter().all(|byte| *byte == 0))
}

impl SegmentWalk {
    /// Checks what follows a closing batch, at `offset`: the close mark, which a crash may have
    /// left unfinished. What else follows a whole mark is stray, unless it knows of batches beyond.
    pub(super) fn check_close_mark(
        &mut self,
        storage: &dyn Storage,
        on_path: &PathSegment,
        offset: u64,
        is_head: bool,
    ) -> Result<Option<&'static str>, JournalError> {
        const BEHIND: &str = "bytes behind the end of a closed journal";
        let number = on_path.header.number;
        let whole = padded_close_mark(offset, &self.end.hash, number);
        let mark = &whole[whole.len() - CLOSE_MARK..];
        let behind = offset + whole.len() as u64;
        // One byte more than a mark tells whether anything follows it.
        let rest = read_at(storage, on_path, offset, whole.len() as u64 + 1)?;
        if rest == whole {
            self.note_close_mark(behind);
            return Ok(None);
        }
        if rest.starts_with(&whole)
            && is_head
            && !self.is_known_behind(storage, on_path, behind, mark)?
        {
            self.note_close_mark(behind);
            let length = length_of(storage, on_path)?.saturating_sub(behind);
            self.stray.push(Stray { file: on_path.name.clone(), offset: behind, length });
            return Ok(None);
        }
        if is_head && is_torn_form_of(&rest, &whole) {
            // A crash came between the closing batch and its mark.
            return Ok(None);
        }
        self.close_mark_seen = true;
        Ok(Some(BEHIND))
    }

    /// The whole mark of this close was found, and ends at byte `end`. It was written once the
    /// closing batch was on the disk, so that batch is durable.
    fn note_close_mark(&mut self, end: u64) {
        self.close_mark_seen = true;
        self.durable = self.durable.max(self.end.batch);
        self.end.length = end;
    }

    /// Scans a segment from byte `from` on, behind the valid prefix, for batch headers and close
    /// marks, to learn how far the journal was known to be durable. The segment's number is their
    /// checksum seed: a header that strayed in from another segment does not match. Returns whether
    /// there is none of them: then no engine wrote these bytes, or none of what it wrote is left.
    ///
    /// Reads window by window, so zeros of any length take time, as reading them does, and no
    /// memory. A hole takes neither, if the storage knows of it.
    pub(super) fn scan_for_durable(
        &mut self,
        storage: &dyn Storage,
        segment: &PathSegment,
        from: u64,
    ) -> Result<bool, JournalError> {
        // The earliest end that any header of a closing batch claims. It counts if the file goes on
        // as far.
        let mut closing_end = u64::MAX;
        let number = segment.header.number;
        let mut is_noise = true;
        let end = each_window(storage, segment, from, |bytes, start| {
            if is_hole(bytes) {
                return true;
            }
            // Headers and marks begin with the same byte.
            for at in (0..bytes.len()).filter(|at| bytes[*at] == MAGIC[0]) {
                let rest = &bytes[at..];
                if let Some(header) = BatchHeader::from_bytes(rest, number) {
                    is_noise = false;
                    self.durable = self.durable.max(header.durable);
                    if header.closed {
                        let end = start + (at + batch::HEADER) as u64 + header.body_length();
                        closing_end = end.min(closing_end);
                    }
                }
                if rest.len() >= CLOSE_MARK && is_close_mark(rest, number) {
                    (is_noise, self.close_mark_seen) = (false, true);
                }
            }
            true
        })?;
        self.closed |= closing_end <= end;
        Ok(is_noise)
    }

    /// Whether a segment's bytes from `from` on, behind its close mark `mark`, say that more was
    /// written than the journal has up to there: a later batch, one that knows of a later batch, or
    /// another close.
    fn is_known_behind(
        &self,
        storage: &dyn Storage,
        segment: &PathSegment,
        from: u64,
        mark: &[u8],
    ) -> Result<bool, JournalError> {
        let (end, number) = (self.end.batch, segment.header.number);
        let knows_more = |it: BatchHeader| it.number > end || it.durable > end;
        let mut known = false;
        each_window(storage, segment, from, |bytes, _| {
            let places = (0..bytes.len()).filter(|at| bytes[*at] == MAGIC[0]);
            known = !is_hole(bytes)
                && places.map(|at| &bytes[at..]).any(|rest| {
                    BatchHeader::from_bytes(rest, number).is_some_and(knows_more)
                        || (is_close_mark(rest, number) && !rest.starts_with(mark))
                });
            !known
        })?;
        Ok(known)
    }
}
