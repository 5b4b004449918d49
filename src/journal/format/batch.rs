//! A batch: the records that the writer writes together, under one checksum and one link of the
//! hash chain.
//!
//! ```text
//!  | header, 104 bytes | records | notes |
//! ```
//!
//! The header has a checksum of its own. So a torn body is told from a torn header, and the next
//! batch is found behind a body that can't be read.
//!
//! The chain hash covers the hash of the batch before, the records, and of the header the numbers
//! that say what the batch is: batch, first entry, counts, base time, closing flag. It does not
//! cover the notes, whose text must be erasable: the records bear salted hashes of them. Nor does
//! it cover the checksum of the body, which a redaction changes.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::base::bytes::Cursor;
use crate::base::clock::Timestamp;

/// The magic bytes at the start of a batch.
pub(crate) const MAGIC: [u8; 4] = *b"SKB\x01";
/// Bytes of a batch header.
pub(crate) const HEADER: usize = 104;
/// The flag of a closing batch, the last one of a journal that was closed.
const CLOSED: u16 = 1;

/// A hash of the chain (BLAKE3).
pub(crate) type Hash = [u8; 32];
/// The chain hash before the first batch of a journal.
pub(crate) const NO_HASH: Hash = [0; 32];

/// Whether a counter read from disk is below 2^62. No real journal has so many batches, entries,
/// segments or openings. The bound ensures that arithmetic on hostile bytes cannot overflow.
pub(crate) fn is_possible(number: u64) -> bool {
    number < 1 << 62
}

/// A batch's header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    /// Bytes of the records part.
    pub(crate) records_length: u32,
    /// Bytes of the notes part.
    pub(crate) notes_length: u32,
    /// How many entries the records hold. Each takes one sequence number.
    pub(crate) entries: u32,
    pub(crate) records: u32,
    /// A closing batch: the journal ends here, and was closed.
    pub(crate) closed: bool,
    /// The number of the batch: 1 for the journal's first, then without gaps.
    pub(crate) number: u64,
    /// The sequence number of the first entry; in an empty batch, that of the next entry to come.
    pub(crate) first_sequence: u64,
    /// The newest batch that was known to be durable when this one was written.
    pub(crate) durable: u64,
    /// The base time: the records store their times as differences from it.
    pub(crate) base: Timestamp,
    /// The checksum of the body: records and notes.
    pub(crate) body_sum: u64,
    /// The chain hash up to this batch, this batch included.
    pub(crate) hash: Hash,
}

impl BatchHeader {
    /// The header's bytes. `seed` is the number of the segment. It seeds the checksum, so a batch
    /// that strays into another segment is not valid there.
    pub(crate) fn to_bytes(self, seed: u64) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let mut place = 0;
        let mut put = |field: &[u8]| {
            bytes[place..place + field.len()].copy_from_slice(field);
            place += field.len();
        };
        put(&MAGIC);
        put(&self.records_length.to_le_bytes());
        put(&self.notes_length.to_le_bytes());
        put(&self.entries.to_le_bytes());
        put(&self.records.to_le_bytes());
        put(&(if self.closed { CLOSED } else { 0 }).to_le_bytes());
        put(&[0; 2]);
        put(&self.number.to_le_bytes());
        put(&self.first_sequence.to_le_bytes());
        put(&self.durable.to_le_bytes());
        put(&self.base.as_millis().to_le_bytes());
        put(&self.body_sum.to_le_bytes());
        put(&self.hash);
        let sum = xxh3_64_with_seed(&bytes[..HEADER - 8], seed);
        bytes[HEADER - 8..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The header that `bytes` begin with; `None` if they do not begin with a valid one.
    pub(crate) fn from_bytes(bytes: &[u8], seed: u64) -> Option<Self> {
        let (bytes, _) = bytes.split_first_chunk::<HEADER>()?;
        let mut cursor = Cursor::new(bytes);
        if cursor.array()? != MAGIC {
            return None;
        }
        let mut header = Self {
            records_length: cursor.u32()?,
            notes_length: cursor.u32()?,
            entries: cursor.u32()?,
            records: cursor.u32()?,
            ..Self::default()
        };
        let flags = cursor.u16()?;
        let unused = cursor.u16()?;
        header.closed = flags == CLOSED;
        header.number = cursor.u64()?;
        header.first_sequence = cursor.u64()?;
        header.durable = cursor.u64()?;
        header.base = Timestamp::from_millis(cursor.u64()?);
        header.body_sum = cursor.u64()?;
        header.hash = cursor.array()?;
        let sound = xxh3_64_with_seed(&bytes[..HEADER - 8], seed) == cursor.u64()?;
        let numbers = [header.number, header.first_sequence, header.durable];
        let possible = numbers.into_iter().all(is_possible) && header.first_sequence > 0;
        (sound && flags <= CLOSED && unused == 0 && possible).then_some(header)
    }

    /// Bytes of the body.
    pub(crate) fn body_length(&self) -> u64 {
        u64::from(self.records_length) + u64::from(self.notes_length)
    }

    /// The sequence number after the last entry of the batch.
    pub(crate) fn end(&self) -> u64 {
        self.first_sequence + u64::from(self.entries)
    }

    /// The chain hash of this batch, whose predecessor has the hash `before`. The records are
    /// hashed on their own first, so that a verification can hash many batches in parallel.
    pub(crate) fn chain(&self, before: &Hash, records: &[u8]) -> Hash {
        self.chain_of(before, &records_hash(records))
    }

    /// As [`chain`](Self::chain), with the hash of the records computed before.
    pub(crate) fn chain_of(&self, before: &Hash, records: &Hash) -> Hash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(before);
        hasher.update(&self.number.to_le_bytes());
        hasher.update(&self.first_sequence.to_le_bytes());
        hasher.update(&self.entries.to_le_bytes());
        hasher.update(&self.records.to_le_bytes());
        hasher.update(&self.base.as_millis().to_le_bytes());
        hasher.update(&[u8::from(self.closed)]);
        hasher.update(records);
        *hasher.finalize().as_bytes()
    }
}

/// The hash of the records of a batch alone.
pub(crate) fn records_hash(records: &[u8]) -> Hash {
    *blake3::hash(records).as_bytes()
}

/// The checksum of a body (XXH3, 64 bits).
pub(crate) fn body_sum(body: &[u8]) -> u64 {
    xxh3_64(body)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn header() -> BatchHeader {
        BatchHeader {
            records_length: 7,
            notes_length: 8,
            entries: 3,
            records: 2,
            closed: true,
            number: 9,
            first_sequence: 100,
            durable: 8,
            base: Timestamp::from_millis(5),
            body_sum: 77,
            hash: [3; 32],
        }
    }

    #[test]
    fn a_header_is_read_back() {
        let bytes = header().to_bytes(4);
        assert_eq!(BatchHeader::from_bytes(&bytes, 4), Some(header()));
        assert_eq!(BatchHeader::from_bytes(&bytes[..HEADER - 1], 4), None);
    }

    #[test]
    fn a_header_of_numbers_that_nothing_comes_after_is_none() {
        let last = BatchHeader { first_sequence: u64::MAX, ..header() };
        assert_eq!(BatchHeader::from_bytes(&last.to_bytes(4), 4), None);
    }

    #[test]
    fn a_header_of_another_segment_is_none() {
        assert_eq!(BatchHeader::from_bytes(&header().to_bytes(4), 5), None);
    }

    #[test]
    fn no_flipped_bit_of_a_header_goes_unseen() {
        let bytes = header().to_bytes(4);
        for bit in 0..HEADER * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(BatchHeader::from_bytes(&flipped, 4), None, "bit {bit}");
        }
    }

    #[test]
    fn the_chain_depends_on_all_that_it_covers() {
        let chain = header().chain(&NO_HASH, b"records");
        assert_ne!(header().chain(&[1; 32], b"records"), chain);
        assert_ne!(header().chain(&NO_HASH, b"recordz"), chain);
        let later = BatchHeader { first_sequence: 101, ..header() };
        assert_ne!(later.chain(&NO_HASH, b"records"), chain);
        let rewritten = BatchHeader { durable: 0, body_sum: 0, ..header() };
        assert_eq!(rewritten.chain(&NO_HASH, b"records"), chain);
    }
}
