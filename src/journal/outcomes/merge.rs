//! Reads runs from end to end, and merges several that follow one another into one, with little
//! memory.

use std::io;
use std::sync::Arc;

use crate::base::error::JournalError;
use crate::base::sync::{AtomicBool, Ordering};
use crate::journal::layout::failed;
use crate::journal::outcomes::mark::OutcomeMark;
use crate::journal::outcomes::page::{PAYLOAD, PageRecords};
use crate::journal::outcomes::record::{JournalTime, time_of};
use crate::journal::outcomes::run::{OutcomeRun, join};
use crate::journal::outcomes::run_writer::RunWriter;
use crate::journal::storage::Storage;

/// How many pages are read at once.
const CHUNK: u32 = 64;

/// Reads the records of a run in their order.
struct RunReader<'a> {
    storage: &'a dyn Storage,
    run: &'a OutcomeRun,
    /// The next page of records, counting only such pages.
    next_page: u32,
    /// The payloads read so far that are not yet taken, and where the next one begins.
    chunk: Vec<u8>,
    chunk_at: usize,
    /// The bytes of the records of the page under way.
    bytes: Vec<u8>,
    /// Their marks, and the ends of their bytes, the last record first.
    records: Vec<(OutcomeMark, std::ops::Range<usize>)>,
    last: Option<OutcomeMark>,
}

impl<'a> RunReader<'a> {
    fn new(storage: &'a dyn Storage, run: &'a OutcomeRun) -> Self {
        let (chunk, bytes, records) = (Vec::new(), Vec::new(), Vec::new());
        Self { storage, run, next_page: 0, chunk, chunk_at: 0, bytes, records, last: None }
    }

    /// The mark of the next record; `None` at the end.
    fn peek(&mut self) -> Result<Option<OutcomeMark>, JournalError> {
        while self.records.is_empty() && self.next_page < self.run.index.foot.record_pages {
            self.load_page()?;
        }
        Ok(self.records.last().map(|(mark, _)| *mark))
    }

    /// Takes the record that [`peek`](Self::peek) saw.
    fn take(&mut self) -> &[u8] {
        self.records.pop().map_or(&[], |(_, range)| &self.bytes[range])
    }

    fn load_page(&mut self) -> Result<(), JournalError> {
        let index = &*self.run.index;
        let file = index.file(self.storage);
        let located = index.locate(self.next_page);
        let (number, left) = located.ok_or_else(|| file.wrong(index.foot.index_at))?;
        if self.chunk_at == self.chunk.len() {
            self.chunk = file.read(number, u64::from(left.min(CHUNK)))?;
            self.chunk_at = 0;
        }
        let payload = self.chunk[self.chunk_at..self.chunk_at + PAYLOAD].to_vec();
        let payload = join(file, payload, number, left)?;
        let wrong = || file.wrong(number);
        // A long record's further pages are pages without records.
        (self.chunk_at, self.next_page) = (self.chunk_at + PAYLOAD, self.next_page + 1);
        self.bytes.clear();
        let mut records = PageRecords::new(&payload).ok_or_else(wrong)?;
        while let Some(record) = records.next_record() {
            let (mark, bytes) = record.ok_or_else(wrong)?;
            if self.last.replace(mark).is_some_and(|last| last >= mark) {
                return Err(wrong());
            }
            let start = self.bytes.len();
            self.bytes.extend_from_slice(bytes);
            self.records.push((mark, start..self.bytes.len()));
        }
        self.records.reverse();
        Ok(())
    }
}

/// Feeds `writer` the records of these runs, oldest run first, in the order of their marks. Of
/// several with one mark, the one of the newest run counts. Records older than `cut` are left out.
/// Gives up once `ending` is set.
///
/// # Errors
/// [`JournalError::Damaged`], and the run in question is marked as unusable;
/// [`JournalError::Storage`].
pub(super) fn feed_merged(
    storage: &dyn Storage,
    runs: &[Arc<OutcomeRun>],
    cut: JournalTime,
    ending: &AtomicBool,
    writer: &mut RunWriter,
) -> Result<(), JournalError> {
    let mut readers: Vec<_> = runs.iter().map(|run| RunReader::new(storage, run)).collect();
    loop {
        if ending.load(Ordering::Relaxed) {
            return Err(failed("merge", "outcome files", &io::Error::other("the journal ends")));
        }
        let mut least: Option<(OutcomeMark, usize)> = None;
        for at in 0..readers.len() {
            let next = readers[at].peek().inspect_err(|error| runs[at].blame(error))?;
            let Some(mark) = next else { continue };
            match least {
                Some((found, _)) if found < mark => {}
                Some((found, older)) => {
                    if found == mark {
                        readers[older].take();
                    }
                    least = Some((mark, at));
                }
                None => least = Some((mark, at)),
            }
        }
        let Some((mark, at)) = least else { return Ok(()) };
        let record = readers[at].take();
        if time_of(record).is_some_and(|time| time >= cut) {
            writer.push(mark, record)?;
        }
    }
}
