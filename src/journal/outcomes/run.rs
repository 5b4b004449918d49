//! A finished run, and the search for a record in it.

use std::sync::Arc;

use crate::base::error::JournalError;
use crate::base::sync::{AtomicBool, Ordering};
use crate::journal::outcomes::filter::FuseFilter;
use crate::journal::outcomes::index::RunIndex;
use crate::journal::outcomes::mark::OutcomeMark;
use crate::journal::outcomes::page::{PageRecords, PagedFile};
use crate::journal::storage::Storage;

/// Whether a look-up may read the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiskUse {
    /// It answers from memory, or says that it would have to read.
    MemoryOnly,
    /// It reads a page where memory does not know the answer, and waits for the disk.
    MayRead,
}

/// What a search of one run found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RunSearch {
    /// The record's bytes.
    Found(Vec<u8>),
    Absent,
    /// Only the disk knows, and it may not be read.
    NeedsDisk,
}

/// A finished run. It never changes; with more or fewer filters it is another value with the same
/// index.
#[derive(Clone, Debug)]
pub(super) struct OutcomeRun {
    pub(super) index: Arc<RunIndex>,
    /// Of each part the filter, where it is in memory.
    filters: Vec<Option<Arc<FuseFilter>>>,
    /// Set once for good when a page is found damaged. `Relaxed` throughout: nothing else hangs on
    /// it, and a search that does not see it yet meets the damage itself.
    unusable: Arc<AtomicBool>,
}

impl OutcomeRun {
    /// Opens a finished run, without filters.
    ///
    /// # Errors
    /// [`JournalError::Damaged`]; [`JournalError::Storage`].
    pub(super) fn open(storage: &dyn Storage, name: &str) -> Result<Self, JournalError> {
        let index = Arc::new(RunIndex::read(storage, name)?);
        let filters = vec![None; index.parts.len()];
        Ok(Self { index, filters, unusable: Arc::new(AtomicBool::new(false)) })
    }

    pub(super) fn is_usable(&self) -> bool {
        !self.unusable.load(Ordering::Relaxed)
    }

    /// Marks the run as unusable if this error says that it is damaged.
    pub(super) fn blame(&self, error: &JournalError) {
        if matches!(error, JournalError::Damaged { .. }) {
            self.unusable.store(true, Ordering::Relaxed);
        }
    }

    /// How many parts have their filter on the disk only.
    pub(super) fn unfiltered(&self) -> usize {
        let parts = self.filters.iter().zip(&self.index.parts);
        parts.filter(|(filter, part)| filter.is_none() && part.filter.segments > 0).count()
    }

    /// Bytes of memory that the filters take.
    pub(super) fn filter_memory(&self) -> usize {
        self.filters.iter().flatten().map(|filter| filter.memory()).sum()
    }

    /// The same run with as many filters as fit into `budget`, which what is left of comes back.
    /// Reads those that are missing. `None` if nothing changes.
    ///
    /// # Errors
    /// [`JournalError::Damaged`]; [`JournalError::Storage`].
    pub(super) fn with_filters(
        &self,
        storage: &dyn Storage,
        budget: &mut usize,
    ) -> Result<Option<Self>, JournalError> {
        let mut filters = Vec::with_capacity(self.filters.len());
        let mut is_changed = false;
        for (part, own) in self.filters.iter().enumerate() {
            let size = size_of::<FuseFilter>() + self.index.parts[part].filter.cells() * 2;
            let is_wanted = *budget >= size;
            // What does not fit does not let a smaller one of an older run pass.
            *budget = if is_wanted { *budget - size } else { 0 };
            let filter = match own {
                Some(filter) => is_wanted.then(|| Arc::clone(filter)),
                None if is_wanted => self.index.read_filter(storage, part)?.map(Arc::new),
                None => None,
            };
            is_changed |= filter.is_some() != own.is_some();
            filters.push(filter);
        }
        Ok(is_changed.then(|| Self { filters, ..self.clone() }))
    }

    /// Searches the run for a record. A record that is not there costs a few reads of memory; but
    /// one in 65,536 times, and wherever the filter is not in memory, a page is read. A record that
    /// is there costs one page, seldom two, and more only if it is longer than a page.
    ///
    /// # Errors
    /// [`JournalError::Damaged`]; [`JournalError::Storage`].
    pub(super) fn search(
        &self,
        storage: &dyn Storage,
        mark: OutcomeMark,
        disk: DiskUse,
    ) -> Result<RunSearch, JournalError> {
        let hash = mark.filter_hash();
        // The last one first: a page that begins with the same bits as the mark most likely begins
        // with the mark itself.
        for record_page in self.index.pages_of(mark.prefix()).rev() {
            let filter = self.filters.get(self.index.part_of(record_page));
            let filter = filter.and_then(Option::as_ref);
            if filter.is_some_and(|filter| !filter.may_contain(hash)) {
                continue;
            }
            if disk == DiskUse::MemoryOnly {
                return Ok(RunSearch::NeedsDisk);
            }
            let payload = read_record_page(&self.index, storage, record_page)?;
            let found = find(&payload, mark);
            let (page, _) = self.index.locate(record_page).unwrap_or_default();
            if let Some(record) = found.ok_or_else(|| self.index.file(storage).wrong(page))? {
                return Ok(RunSearch::Found(record.to_vec()));
            }
        }
        Ok(RunSearch::Absent)
    }
}

/// Reads a page of records, by its number among such pages, and joins what a long record goes on
/// in.
fn read_record_page(
    index: &RunIndex,
    storage: &dyn Storage,
    record_page: u32,
) -> Result<Vec<u8>, JournalError> {
    let file = index.file(storage);
    let located = index.locate(record_page);
    let (number, left) = located.ok_or_else(|| file.wrong(index.foot.index_at))?;
    let payload = file.read(number, 1)?;
    join(file, payload, number, left)
}

/// The payload of page `number`, with the pages that its record goes on in. `left` is how many
/// pages the part has from this one on.
pub(super) fn join(
    file: PagedFile<'_>,
    payload: Vec<u8>,
    number: u64,
    left: u32,
) -> Result<Vec<u8>, JournalError> {
    let records = PageRecords::new(&payload).ok_or_else(|| file.wrong(number))?;
    match records.further {
        0 => Ok(payload),
        further if u32::from(further) < left => {
            Ok(PageRecords::joined(&file.read(number, u64::from(further) + 1)?))
        }
        _ => Err(file.wrong(number)),
    }
}

/// The record of this mark in a page. The outer `None` says that the page holds something else than
/// records.
fn find(payload: &[u8], mark: OutcomeMark) -> Option<Option<&[u8]>> {
    let mut records = PageRecords::new(payload)?;
    while let Some(record) = records.next_record() {
        let (own, bytes) = record?;
        if own >= mark {
            return Some((own == mark).then_some(bytes));
        }
    }
    Some(None)
}
