//! Pages: a run is a file of pages of 4 KiB, and each page has a checksum that binds it to its
//! place in its file.
//!
//! ```text
//!  | how many records, 2 | further pages, 2 | records ... | zeros | XXH3-64, 8 |
//!  record: | mark, 16 | length, varint | bytes |
//! ```
//!
//! A record that is longer than a page is alone in its page and goes on in the further pages, each
//! of which says that it has no record.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::base::bytes::{Cursor, put_varint};
use crate::base::error::JournalError;
use crate::journal::layout::{damaged, failed};
use crate::journal::outcomes::mark::{MARK, OutcomeMark};
use crate::journal::storage::Storage;

/// Bytes of a page.
pub(super) const PAGE: usize = 4096;
const SUM: usize = 8;
/// Bytes of a page without its checksum.
pub(super) const PAYLOAD: usize = PAGE - SUM;
/// Bytes before the records.
const HEAD: usize = 4;
/// How many bytes of records a page holds.
const ROOM: usize = PAYLOAD - HEAD;

/// Appends a page of at most [`PAYLOAD`] bytes to `out`, filled up with zeros and sealed.
pub(super) fn seal(out: &mut Vec<u8>, payload: &[u8], seed: u64) {
    let start = out.len();
    out.extend_from_slice(payload);
    out.resize(start + PAYLOAD, 0);
    let sum = xxh3_64_with_seed(&out[start..], seed);
    out.extend_from_slice(&sum.to_le_bytes());
}

/// The seed of page `number` in the file with this stamp. A page of another place or file fails.
pub(super) fn seed(stamp: u64, number: u64) -> u64 {
    stamp.wrapping_add(number)
}

/// The payload of a whole page; `None` if its checksum is wrong.
pub(super) fn unseal(page: &[u8], seed: u64) -> Option<&[u8]> {
    let (payload, sum) = page.split_last_chunk::<SUM>()?;
    let sound = payload.len() == PAYLOAD && xxh3_64_with_seed(payload, seed).to_le_bytes() == *sum;
    sound.then_some(payload)
}

/// A file of pages.
#[derive(Clone, Copy)]
pub(super) struct PagedFile<'a> {
    pub(super) storage: &'a dyn Storage,
    pub(super) name: &'a str,
    pub(super) stamp: u64,
}

impl PagedFile<'_> {
    /// The payloads of `count` pages from page `first` on, one after the other, in one read.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] if a page or the file is missing or damaged;
    /// [`JournalError::Storage`].
    pub(super) fn read(self, first: u64, count: u64) -> Result<Vec<u8>, JournalError> {
        let Self { storage, name, stamp } = self;
        let offset = first.saturating_mul(PAGE as u64);
        let bytes = storage.read(name, offset, count.saturating_mul(PAGE as u64));
        let mut bytes = bytes.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => damaged(name, 0, "a file that is missing".to_owned()),
            _ => failed("read", name, &error),
        })?;
        if bytes.len() as u64 != count.saturating_mul(PAGE as u64) {
            return Err(damaged(name, offset, "a file that ends too early".to_owned()));
        }
        let pages = bytes.len() / PAGE;
        for index in 0..pages {
            let (number, start) = (first + index as u64, index * PAGE);
            if unseal(&bytes[start..start + PAGE], seed(stamp, number)).is_none() {
                let what = "a page whose checksum is wrong".to_owned();
                return Err(damaged(name, number * PAGE as u64, what));
            }
            // Close the gap that the checksums leave.
            bytes.copy_within(start..start + PAYLOAD, index * PAYLOAD);
        }
        bytes.truncate(pages * PAYLOAD);
        Ok(bytes)
    }

    /// The error of a page that is sound and yet is not what it must be.
    pub(super) fn wrong(self, page: u64) -> JournalError {
        let what = "a page that is not what it says".to_owned();
        damaged(self.name, page.saturating_mul(PAGE as u64), what)
    }
}

/// Pages of records under construction.
#[derive(Debug, Default)]
pub(super) struct RecordPage {
    records: Vec<u8>,
    count: u16,
    first: Option<OutcomeMark>,
}

impl RecordPage {
    /// Appends a record. `false`, and nothing happens, if it does not fit beside the others.
    pub(super) fn push(&mut self, mark: OutcomeMark, bytes: &[u8]) -> bool {
        let before = self.records.len();
        self.records.extend_from_slice(&mark.0);
        put_varint(&mut self.records, bytes.len() as u64);
        self.records.extend_from_slice(bytes);
        if self.count > 0 && self.records.len() > ROOM {
            self.records.truncate(before);
            return false;
        }
        self.first.get_or_insert(mark);
        self.count += 1;
        true
    }

    /// Appends the sealed pages to `out` and begins a new page. `number` is the number of the first
    /// one. Returns the mark of the first record and the number of pages; `None` if there is none.
    pub(super) fn seal_into(
        &mut self,
        out: &mut Vec<u8>,
        stamp: u64,
        number: u64,
    ) -> Option<(OutcomeMark, u64)> {
        let Self { records, count, first } = std::mem::take(self);
        let first = first?;
        let pages = records.len().div_ceil(ROOM);
        let mut payload = Vec::with_capacity(PAYLOAD);
        for (index, part) in records.chunks(ROOM).enumerate() {
            let (count, further) = if index == 0 { (count, pages - 1) } else { (0, 0) };
            payload.clear();
            payload.extend_from_slice(&count.to_le_bytes());
            payload.extend_from_slice(&(further as u16).to_le_bytes());
            payload.extend_from_slice(part);
            seal(out, &payload, seed(stamp, number + index as u64));
        }
        Some((first, pages as u64))
    }
}

/// The records of a page.
pub(super) struct PageRecords<'a> {
    from: Cursor<'a>,
    left: u16,
    /// How many further pages the record goes on in. If it is not 0, give
    /// [`joined`](Self::joined) these pages.
    pub(super) further: u16,
}

impl<'a> PageRecords<'a> {
    /// The records of this payload; `None` if it is too short.
    pub(super) fn new(payload: &'a [u8]) -> Option<Self> {
        let mut from = Cursor::new(payload);
        Some(Self { left: from.u16()?, further: from.u16()?, from })
    }

    /// The payload of one page that would hold the long record which begins in the first of these
    /// payloads.
    pub(super) fn joined(payloads: &[u8]) -> Vec<u8> {
        let mut whole = payloads.get(..HEAD).map(<[u8]>::to_vec).unwrap_or_default();
        // It is whole now, so no further page follows.
        whole.iter_mut().skip(2).for_each(|byte| *byte = 0);
        whole.extend(payloads.chunks(PAYLOAD).flat_map(|payload| payload.iter().skip(HEAD)));
        whole
    }

    /// The next record; `None` after the last. The inner `None` says that the bytes are no record.
    pub(super) fn next_record(&mut self) -> Option<Option<(OutcomeMark, &'a [u8])>> {
        self.left = self.left.checked_sub(1)?;
        let mut read = || {
            let mark: [u8; MARK] = self.from.array()?;
            Some((OutcomeMark(mark), self.from.counted()?))
        };
        let record = read();
        if record.is_none() {
            self.left = 0;
        }
        Some(record)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::journal::storage::simulated::SimulatedDisk;
    use proptest::prelude::*;

    #[test]
    fn a_page_of_another_place_or_file_is_damaged() {
        let mut bytes = Vec::new();
        seal(&mut bytes, b"one", seed(7, 0));
        seal(&mut bytes, b"two", seed(7, 1));
        let disk = SimulatedDisk::with_files([("run".to_owned(), bytes)]);
        let file = PagedFile { storage: &disk, name: "run", stamp: 7 };
        let both = file.read(0, 2).expect("two sound pages");
        assert_eq!((both.len(), &both[..3]), (2 * PAYLOAD, &b"one"[..]));
        assert_eq!(&both[PAYLOAD..PAYLOAD + 3], b"two");
        assert!(matches!(file.read(1, 2), Err(JournalError::Damaged { .. })));
        let other = PagedFile { stamp: 8, ..file };
        assert!(matches!(other.read(0, 1), Err(JournalError::Damaged { .. })));
        let missing = PagedFile { name: "no", ..file };
        assert!(matches!(missing.read(0, 1), Err(JournalError::Damaged { .. })));
    }

    #[test]
    fn records_are_read_back_and_a_long_one_goes_on_in_further_pages() {
        let long = vec![9; 3 * PAYLOAD];
        let mut page = RecordPage::default();
        let mark = |number| OutcomeMark([number; MARK]);
        assert!(page.push(mark(1), b"first"));
        assert!(!page.push(mark(2), &long), "it is alone in its page");
        let mut file = Vec::new();
        assert_eq!(page.seal_into(&mut file, 7, 0), Some((mark(1), 1)));
        assert!(page.push(mark(2), &long));
        assert!(!page.push(mark(3), b"no room"));
        assert_eq!(page.seal_into(&mut file, 7, 1), Some((mark(2), 4)));
        assert_eq!(page.seal_into(&mut file, 7, 5), None);
        let disk = SimulatedDisk::with_files([("run".to_owned(), file)]);
        let file = PagedFile { storage: &disk, name: "run", stamp: 7 };
        let payload = file.read(0, 1).expect("sound");
        let mut records = PageRecords::new(&payload).expect("records");
        assert_eq!(records.next_record(), Some(Some((mark(1), &b"first"[..]))));
        assert_eq!(records.next_record(), None);
        let payload = file.read(1, 1).expect("sound");
        assert_eq!(PageRecords::new(&payload).expect("records").further, 3);
        let whole = PageRecords::joined(&file.read(1, 4).expect("sound"));
        let mut records = PageRecords::new(&whole).expect("records");
        assert_eq!(records.next_record(), Some(Some((mark(2), &long[..]))));
        assert_eq!((records.next_record(), records.further), (None, 0));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>, count in 0_u8..9) {
            let bytes = [&[count, 0, 0, 0][..], &bytes].concat();
            let mut records = PageRecords::new(&bytes).expect("a head");
            let mut found = 0;
            while records.next_record().is_some() {
                found += 1;
            }
            prop_assert!(found <= usize::from(count));
            let _ = PageRecords::joined(&bytes[..usize::from(count).min(bytes.len())]);
        }
    }
}
