//! Writes a run: records in the order of their marks, in one go, with little memory.

use std::io;
use std::sync::Arc;

use crate::base::error::JournalError;
use crate::journal::layout::{failed, remove_file};
use crate::journal::outcomes::filter::FuseFilter;
use crate::journal::outcomes::foot::{RunFoot, unfinished};
use crate::journal::outcomes::index::{RunPart, to_bytes};
use crate::journal::outcomes::mark::OutcomeMark;
use crate::journal::outcomes::page::{PAGE, PAYLOAD, RecordPage, seal, seed};
use crate::journal::outcomes::record::{JournalTime, time_of};
use crate::journal::storage::{Storage, StorageFile};

/// Records of a part. The filter of so many is nearly as small as a filter can be, and takes about
/// two mebibytes to build.
pub(super) const PART_ENTRIES: usize = 1 << 16;
/// How many bytes are gathered for one append.
const CHUNK: usize = 64 * PAGE;

/// A run that is being written.
pub(super) struct RunWriter {
    file: Arc<dyn StorageFile>,
    foot: RunFoot,
    stamp: u64,
    /// Pages that are not yet appended.
    chunk: Vec<u8>,
    /// The number of the next page.
    next_page: u64,
    page: RecordPage,
    /// The part under way: its first page, and the hashes of its marks.
    part_from: u64,
    hashes: Vec<u64>,
    parts: Vec<RunPart>,
    firsts: Vec<u32>,
}

/// Writes a run with this foot, whose counts are filled in, and of the records that `feed` pushes.
/// It is durable under its name once this returns. If it fails, what was there under that name is
/// as before, or is this run.
///
/// # Errors
/// The error of `feed`; [`JournalError::Storage`].
pub(super) fn write_run(
    storage: &dyn Storage,
    foot: RunFoot,
    feed: impl FnOnce(&mut RunWriter) -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    let name = foot.range.name();
    let unfinished = unfinished(&name, foot.opening);
    // One that failed may be left of this opening.
    remove_file(storage, &unfinished)?;
    let written = RunWriter::create(storage, &unfinished, foot).and_then(|mut writer| {
        feed(&mut writer)?;
        let finished = writer.finish();
        let named = finished.and_then(|()| storage.rename(&unfinished, &name));
        named
            .and_then(|()| storage.sync_directory())
            .map_err(|error| failed("write", &name, &error))
    });
    if written.is_err() {
        // It takes up space on a full disk. If it can't be removed now, the next opening does it.
        let _ = storage.remove(&unfinished);
    }
    written
}

impl RunWriter {
    fn create(
        storage: &dyn Storage,
        unfinished: &str,
        foot: RunFoot,
    ) -> Result<Self, JournalError> {
        let file = storage.create(unfinished);
        let file = file.map_err(|error| failed("create", unfinished, &error))?;
        let oldest = JournalTime::from_millis(u64::MAX);
        Ok(Self {
            file,
            stamp: foot.stamp(),
            foot: RunFoot { entries: 0, oldest, newest: JournalTime::default(), ..foot },
            chunk: Vec::with_capacity(CHUNK),
            next_page: 0,
            page: RecordPage::default(),
            part_from: 0,
            hashes: Vec::new(),
            parts: Vec::new(),
            firsts: Vec::new(),
        })
    }

    /// Appends a record. Its mark must be greater than all before it.
    ///
    /// # Errors
    /// [`JournalError::Storage`].
    pub(super) fn push(&mut self, mark: OutcomeMark, bytes: &[u8]) -> Result<(), JournalError> {
        let pushed = self.try_push(mark, bytes);
        pushed.map_err(|error| failed("write", &self.foot.range.name(), &error))
    }

    fn try_push(&mut self, mark: OutcomeMark, bytes: &[u8]) -> io::Result<()> {
        if self.hashes.len() == PART_ENTRIES {
            self.end_part()?;
        }
        if !self.page.push(mark, bytes) {
            self.end_page()?;
            // An empty page takes any record.
            self.page.push(mark, bytes);
        }
        self.hashes.push(mark.filter_hash());
        let time = time_of(bytes).unwrap_or_default();
        self.foot.entries += 1;
        self.foot.oldest = self.foot.oldest.min(time);
        self.foot.newest = self.foot.newest.max(time);
        Ok(())
    }

    fn end_page(&mut self) -> io::Result<()> {
        let sealed = self.page.seal_into(&mut self.chunk, self.stamp, self.next_page);
        if let Some((first, pages)) = sealed {
            self.firsts.extend((0..pages).map(|_| first.prefix()));
            self.next_page += pages;
        }
        self.append_if(CHUNK)
    }

    fn end_part(&mut self) -> io::Result<()> {
        self.end_page()?;
        let (first_page, pages) = (self.part_from, (self.next_page - self.part_from) as u32);
        let entries = self.hashes.len() as u32;
        let filter = FuseFilter::build(&mut self.hashes, self.stamp ^ first_page);
        self.hashes.clear();
        let shape = filter.as_ref().map(|filter| filter.shape).unwrap_or_default();
        self.put_pages(&filter.map(|filter| filter.to_bytes()).unwrap_or_default())?;
        self.parts.push(RunPart { first_page, pages, entries, filter: shape });
        self.part_from = self.next_page;
        Ok(())
    }

    fn put_pages(&mut self, bytes: &[u8]) -> io::Result<()> {
        for payload in bytes.chunks(PAYLOAD) {
            seal(&mut self.chunk, payload, seed(self.stamp, self.next_page));
            self.next_page += 1;
            self.append_if(CHUNK)?;
        }
        Ok(())
    }

    fn append_if(&mut self, least: usize) -> io::Result<()> {
        if self.chunk.len() >= least {
            self.file.append(&self.chunk)?;
            self.chunk.clear();
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        if !self.hashes.is_empty() {
            self.end_part()?;
        }
        self.foot.oldest = self.foot.oldest.min(self.foot.newest);
        self.foot.record_pages = self.firsts.len() as u32;
        self.foot.parts = self.parts.len() as u32;
        self.foot.index_at = self.next_page;
        self.put_pages(&to_bytes(&self.parts, &self.firsts))?;
        self.chunk.extend(self.foot.to_page());
        self.append_if(1)?;
        self.file.sync()
    }
}
