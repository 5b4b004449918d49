//! The index of a run: its parts, and the first bits of the first mark of each page. It stays in
//! memory, so that a look-up knows the page to read.
//!
//! A *part* is some tens of thousands of records that follow one another, and behind them the pages
//! of their filter. So a run of any length is written, and filtered, with little memory.

use std::ops::Range;

use crate::base::bytes::Cursor;
use crate::base::error::JournalError;
use crate::journal::outcomes::filter::{FilterShape, FuseFilter};
use crate::journal::outcomes::foot::RunFoot;
use crate::journal::outcomes::page::{PAGE, PAYLOAD, PagedFile};
use crate::journal::storage::Storage;

/// Bytes of a part in the index.
const PART: u64 = 29;
/// Bytes of the first bits of a mark.
const FIRST: u64 = 4;

/// A part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunPart {
    /// The number of its first page.
    pub(super) first_page: u64,
    /// How many pages of records it has. The pages of its filter follow.
    pub(super) pages: u32,
    pub(super) entries: u32,
    pub(super) filter: FilterShape,
}

impl RunPart {
    fn filter_pages(&self) -> u64 {
        (self.filter.cells() * 2).div_ceil(PAYLOAD) as u64
    }

    /// The number of the page that follows it.
    fn end(&self) -> u64 {
        self.first_page.saturating_add(u64::from(self.pages)).saturating_add(self.filter_pages())
    }
}

/// What of a finished run is always in memory, but for the filters.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RunIndex {
    pub(super) name: String,
    pub(super) foot: RunFoot,
    pub(super) parts: Vec<RunPart>,
    /// The number of each part's first page of records, counting only such pages.
    starts: Vec<u32>,
    /// The first bits of the first mark of each page of records.
    firsts: Vec<u32>,
}

/// How many pages the index of this run has.
fn index_pages(foot: &RunFoot) -> u64 {
    (u64::from(foot.parts) * PART + u64::from(foot.record_pages) * FIRST).div_ceil(PAYLOAD as u64)
}

/// The bytes of an index.
pub(super) fn to_bytes(parts: &[RunPart], firsts: &[u32]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        out.extend_from_slice(&part.first_page.to_le_bytes());
        out.extend_from_slice(&part.pages.to_le_bytes());
        out.extend_from_slice(&part.entries.to_le_bytes());
        out.extend_from_slice(&part.filter.seed.to_le_bytes());
        out.push(part.filter.segment_bits);
        out.extend_from_slice(&part.filter.segments.to_le_bytes());
    }
    firsts.iter().for_each(|first| out.extend_from_slice(&first.to_le_bytes()));
    out
}

impl RunIndex {
    /// Reads the foot and the index of a finished run, and checks that they agree.
    ///
    /// # Errors
    /// [`JournalError::Damaged`]; [`JournalError::Storage`].
    pub(super) fn read(storage: &dyn Storage, name: &str) -> Result<Self, JournalError> {
        let (foot, foot_page) = RunFoot::read(storage, name)?;
        let file = PagedFile { storage, name, stamp: foot.stamp() };
        let pages = index_pages(&foot);
        if foot.index_at.checked_add(pages) != Some(foot_page) {
            return Err(file.wrong(foot_page));
        }
        let bytes = file.read(foot.index_at, pages)?;
        Self::from_bytes(name, foot, &bytes).ok_or_else(|| file.wrong(foot.index_at))
    }

    fn from_bytes(name: &str, foot: RunFoot, bytes: &[u8]) -> Option<Self> {
        let from = &mut Cursor::new(bytes);
        let (mut parts, mut starts) = (Vec::new(), Vec::new());
        let (mut page, mut record_pages, mut entries) = (0, 0_u32, 0);
        for _ in 0..foot.parts {
            let part = RunPart {
                first_page: from.u64()?,
                pages: from.u32()?,
                entries: from.u32()?,
                filter: FilterShape {
                    seed: from.u64()?,
                    segment_bits: from.byte()?,
                    segments: from.u32()?,
                },
            };
            if part.first_page != page || part.pages == 0 || !part.filter.is_possible() {
                return None;
            }
            starts.push(record_pages);
            record_pages = record_pages.checked_add(part.pages)?;
            entries += u64::from(part.entries);
            page = part.end();
            parts.push(part);
        }
        if record_pages != foot.record_pages || entries != foot.entries || page != foot.index_at {
            return None;
        }
        let firsts: Option<Vec<u32>> = (0..foot.record_pages).map(|_| from.u32()).collect();
        let firsts = firsts.filter(|firsts| firsts.is_sorted())?;
        Some(Self { name: name.to_owned(), foot, parts, starts, firsts })
    }

    /// The run's file.
    pub(super) fn file<'a>(&'a self, storage: &'a dyn Storage) -> PagedFile<'a> {
        PagedFile { storage, name: &self.name, stamp: self.foot.stamp() }
    }

    /// The pages of records, counting only such pages, in which a mark with these first bits may
    /// lie: one, two if a page begins with the same bits, more only after a long record.
    pub(super) fn pages_of(&self, prefix: u32) -> Range<u32> {
        let before = self.firsts.partition_point(|first| *first < prefix);
        let up_to = self.firsts.partition_point(|first| *first <= prefix);
        // The page before may end with such marks.
        before.saturating_sub(1) as u32..up_to as u32
    }

    /// The number of the part in which this page of records lies.
    pub(super) fn part_of(&self, record_page: u32) -> usize {
        self.starts.partition_point(|start| *start <= record_page).saturating_sub(1)
    }

    /// The number in the file of this page of records, and how many of its part follow, itself
    /// included.
    pub(super) fn locate(&self, record_page: u32) -> Option<(u64, u32)> {
        let part = self.part_of(record_page);
        let (start, part) = (*self.starts.get(part)?, self.parts.get(part)?);
        let into = record_page.checked_sub(start)?;
        Some((part.first_page + u64::from(into), part.pages.checked_sub(into)?))
    }

    /// Reads the filter of a part. `None` if it has none.
    ///
    /// # Errors
    /// [`JournalError::Damaged`]; [`JournalError::Storage`].
    pub(super) fn read_filter(
        &self,
        storage: &dyn Storage,
        part: usize,
    ) -> Result<Option<FuseFilter>, JournalError> {
        let Some(part) = self.parts.get(part) else { return Ok(None) };
        let first = part.first_page + u64::from(part.pages);
        let bytes = self.file(storage).read(first, part.filter_pages())?;
        Ok(FuseFilter::from_bytes(part.filter, &bytes))
    }

    /// Bytes of the run's file: its parts, its index and its foot.
    pub(super) fn disk_bytes(&self) -> u64 {
        (self.foot.index_at + index_pages(&self.foot) + 1) * PAGE as u64
    }

    /// Bytes of memory that it takes.
    pub(super) fn memory(&self) -> usize {
        let parts = self.parts.capacity() * (size_of::<RunPart>() + size_of::<u32>());
        size_of::<Self>() + self.name.capacity() + parts + self.firsts.capacity() * 4
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn index(firsts: &[u32]) -> Option<RunIndex> {
        let filter = FilterShape { seed: 7, segment_bits: 2, segments: 1 };
        let part = |first_page| RunPart { first_page, pages: 2, entries: 5, filter };
        let parts = [part(0), part(3)];
        let (entries, record_pages, index_at) = (10, 4, 6);
        let foot = RunFoot { entries, record_pages, parts: 2, index_at, ..RunFoot::default() };
        RunIndex::from_bytes("run", foot, &to_bytes(&parts, firsts))
    }

    #[test]
    fn a_mark_is_looked_for_where_it_can_lie_and_nowhere_else() {
        let index = index(&[10, 20, 20, 30]).expect("sound");
        assert_eq!(index.pages_of(9), 0..0);
        assert_eq!(index.pages_of(10), 0..1);
        assert_eq!(index.pages_of(19), 0..1);
        assert_eq!(index.pages_of(20), 0..3);
        assert_eq!(index.pages_of(21), 2..3);
        assert_eq!(index.pages_of(u32::MAX), 3..4);
        assert_eq!((0..5).map(|page| index.part_of(page)).collect::<Vec<_>>(), [0, 0, 1, 1, 1]);
        assert_eq!(index.locate(1), Some((1, 1)));
        assert_eq!(index.locate(2), Some((3, 2)));
        assert_eq!(index.locate(5), None);
    }

    #[test]
    fn an_index_that_contradicts_itself_is_none() {
        assert_eq!(index(&[10, 20, 15, 30]), None, "not in order");
        assert_eq!(index(&[10, 20, 30]), None, "too short");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(
            bytes: Vec<u8>,
            [parts, record_pages] in [0_u32..3, 0_u32..9],
        ) {
            let foot = RunFoot { parts, record_pages, ..RunFoot::default() };
            let _ = RunIndex::from_bytes("run", foot, &bytes);
        }
    }
}
