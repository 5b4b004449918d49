//! A segment, one file of the journal: its name, its header, and the close mark at a journal's end.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::base::bytes::Cursor;
use crate::base::clock::Timestamp;
use crate::journal::format::batch::{Hash, NO_HASH, is_possible};

/// The magic bytes at the start of a segment.
const MAGIC: [u8; 8] = *b"STKJRNL\n";
/// The format version that this library writes, and the newest that it reads. It reads all older
/// ones, too: `docs/journal-format.md` lists what each added.
pub(crate) const VERSION: u16 = 4;
/// Bytes of a segment header.
pub(crate) const HEADER: usize = 136;

const EXTENSION: &str = ".journal";
/// The suffix of a file that is still being written. Readers ignore such files. The finished file
/// is renamed, without the suffix.
pub(crate) const UNFINISHED: &str = ".new";

/// The file name of segment `number`.
pub(crate) fn name_of(number: u64) -> String {
    format!("{number:010}{EXTENSION}")
}

/// The number of the segment with this file name; `None` for any other file.
pub(crate) fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(EXTENSION)?;
    let number = digits.parse().ok()?;
    // Only the padded form counts. Otherwise "1.journal" would be a second file of segment 1.
    (number > 0 && is_possible(number) && name_of(number) == name).then_some(number)
}

/// A point between two batches. A segment header names the one that it continues from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Point {
    /// The number of the last batch before the point; 0 at the journal's start.
    pub(crate) batch: u64,
    /// The sequence number of the last entry before the point.
    pub(crate) sequence: u64,
    /// The chain hash of that batch.
    pub(crate) hash: Hash,
    /// The segment in which that batch lies; 0 at the journal's start.
    pub(crate) segment: u64,
    /// How many bytes of that segment count. A reader ignores the bytes behind them. They are an
    /// abandoned tail, whose valid batches were written again, and not damage.
    pub(crate) length: u64,
}

impl Point {
    /// The start of the journal, before its first batch.
    pub(crate) const START: Self =
        Self { batch: 0, sequence: 0, hash: NO_HASH, segment: 0, length: 0 };
}

/// A segment's header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// The number of the segment, as in its file name.
    pub(crate) number: u64,
    /// How often the journal has been opened, this time included.
    pub(crate) opening: u64,
    /// A random number that names the journal to which the segment belongs.
    pub(crate) journal: u128,
    /// The point that the segment continues from.
    pub(crate) base: Point,
    /// The newest batch that was known to be durable when the segment got its name.
    pub(crate) durable: u64,
    pub(crate) created_at: Timestamp,
}

/// What the first bytes of a file hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Header(SegmentHeader),
    /// A header in this later version of the format.
    Later(u16),
    /// No valid header.
    Unreadable,
}

impl SegmentHeader {
    pub(crate) fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let mut place = 0;
        let mut put = |field: &[u8]| {
            bytes[place..place + field.len()].copy_from_slice(field);
            place += field.len();
        };
        put(&MAGIC);
        put(&VERSION.to_le_bytes());
        put(&(HEADER as u16).to_le_bytes());
        put(&[0; 4]);
        put(&self.number.to_le_bytes());
        put(&self.opening.to_le_bytes());
        put(&self.journal.to_le_bytes());
        put(&self.base.batch.to_le_bytes());
        put(&self.base.sequence.to_le_bytes());
        put(&self.base.hash);
        put(&self.base.segment.to_le_bytes());
        put(&self.base.length.to_le_bytes());
        put(&self.durable.to_le_bytes());
        put(&self.created_at.as_millis().to_le_bytes());
        let sum = xxh3_64(&bytes[..HEADER - 8]);
        bytes[HEADER - 8..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads the header that `bytes` begin with.
    pub(crate) fn read(bytes: &[u8]) -> Start {
        Self::try_read(bytes).unwrap_or(Start::Unreadable)
    }

    fn try_read(bytes: &[u8]) -> Option<Start> {
        let mut cursor = Cursor::new(bytes);
        if cursor.array()? != MAGIC {
            return None;
        }
        let version = cursor.u16()?;
        let length = usize::from(cursor.u16()?);
        // In every version, magic, version and length come first, and the checksum comes last. So
        // the header of a later version can be told from damage.
        if version > VERSION {
            let sum = bytes.get(length.checked_sub(8)?..length)?;
            let sound = xxh3_64(&bytes[..length - 8]).to_le_bytes() == sum;
            return sound.then_some(Start::Later(version));
        }
        let (bytes, _) = bytes.split_first_chunk::<HEADER>()?;
        let unused = cursor.u32()?;
        let header = Self {
            number: cursor.u64()?,
            opening: cursor.u64()?,
            journal: cursor.u128()?,
            base: Point {
                batch: cursor.u64()?,
                sequence: cursor.u64()?,
                hash: cursor.array()?,
                segment: cursor.u64()?,
                length: cursor.u64()?,
            },
            durable: cursor.u64()?,
            created_at: Timestamp::from_millis(cursor.u64()?),
        };
        let sound = xxh3_64(&bytes[..HEADER - 8]) == cursor.u64()?;
        let known = version > 0 && length == HEADER && unused == 0;
        let Self { number, opening, base, durable, .. } = header;
        let numbers = [number, opening, durable, base.batch, base.sequence, base.segment];
        let possible = numbers.into_iter().all(is_possible);
        (sound && known && possible).then_some(Start::Header(header))
    }
}

/// The magic bytes of a close mark.
const CLOSE_MAGIC: [u8; 8] = *b"STKCLOSE";
/// Bytes of a close mark.
pub(crate) const CLOSE_MARK: usize = 32;
/// The bytes that a disk writes whole or not at all.
const SECTOR: u64 = 512;

/// The close mark: it follows the closing batch with this chain hash. It is written only once that
/// batch is durable. So if a mark is present, the whole journal before it was on the disk, and any
/// loss is damage.
pub(crate) fn close_mark(hash: &Hash, segment: u64) -> [u8; CLOSE_MARK] {
    let mut mark = [0; CLOSE_MARK];
    mark[..8].copy_from_slice(&CLOSE_MAGIC);
    mark[8..24].copy_from_slice(&hash[..16]);
    let sum = xxh3_64_with_seed(&mark[..24], segment);
    mark[24..].copy_from_slice(&sum.to_le_bytes());
    mark
}

/// What follows the closing batch with this chain hash, which ends at byte `end`: zeros, and the
/// close mark.
pub(crate) fn padded_close_mark(end: u64, hash: &Hash, segment: u64) -> Vec<u8> {
    let mut padded = vec![0; padding_before_mark(end)];
    padded.extend_from_slice(&close_mark(hash, segment));
    padded
}

/// Whether `bytes` begin with a close mark of this segment, whatever the closing batch is.
pub(crate) fn is_close_mark(bytes: &[u8], segment: u64) -> bool {
    let Some((mark, _)) = bytes.split_first_chunk::<CLOSE_MARK>() else { return false };
    let sum = xxh3_64_with_seed(&mark[..24], segment);
    mark[..8] == CLOSE_MAGIC && mark[24..] == sum.to_le_bytes()
}

/// How many zeros go between the end of the closing batch and the close mark. The mark then lies in
/// one sector, so a crash leaves all of it or none.
pub(crate) fn padding_before_mark(end: u64) -> usize {
    let into = end % SECTOR;
    if into + CLOSE_MARK as u64 <= SECTOR { 0 } else { (SECTOR - into) as usize }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            number: 3,
            opening: 2,
            journal: 7,
            base: Point { batch: 9, sequence: 8, hash: [5; 32], segment: 2, length: 4_000 },
            durable: 9,
            created_at: Timestamp::from_millis(1_000),
        }
    }

    #[test]
    fn a_header_is_read_back_and_no_flipped_bit_goes_unseen() {
        let bytes = header().to_bytes();
        assert_eq!(SegmentHeader::read(&bytes), Start::Header(header()));
        for bit in 0..HEADER * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::read(&flipped), Start::Unreadable, "bit {bit}");
        }
        for length in 0..HEADER {
            assert_eq!(SegmentHeader::read(&bytes[..length]), Start::Unreadable);
        }
    }

    #[test]
    fn a_header_of_numbers_that_nothing_comes_after_is_none() {
        let last = SegmentHeader { opening: u64::MAX, ..header() };
        assert_eq!(SegmentHeader::read(&last.to_bytes()), Start::Unreadable);
        assert_eq!(number_of(&name_of(u64::MAX)), None);
    }

    #[test]
    fn a_later_version_says_so() {
        let mut bytes = header().to_bytes();
        bytes[8] = 9;
        let sum = xxh3_64(&bytes[..HEADER - 8]).to_le_bytes();
        bytes[HEADER - 8..].copy_from_slice(&sum);
        assert_eq!(SegmentHeader::read(&bytes), Start::Later(9));
    }

    #[test]
    fn a_file_has_one_name() {
        assert_eq!(number_of(&name_of(17)), Some(17));
        assert_eq!(number_of("17.journal"), None);
        assert_eq!(number_of("0000000000.journal"), None);
        assert_eq!(number_of("0000000017.journal.new"), None);
        assert_eq!(number_of("lock"), None);
    }

    #[test]
    fn the_mark_never_crosses_a_sector() {
        for end in 0..2 * SECTOR {
            let start = end + padding_before_mark(end) as u64;
            assert_eq!(start / SECTOR, (start + CLOSE_MARK as u64 - 1) / SECTOR);
        }
        let mark = close_mark(&[1; 32], 4);
        assert!(is_close_mark(&mark, 4) && !is_close_mark(&mark, 5));
    }
}
