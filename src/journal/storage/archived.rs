//! A journal together with the archive of its oldest segments.

use std::any::Any;
use std::io;
use std::sync::Arc;

use crate::journal::format::segment;
use crate::journal::storage::{Storage, StorageFile};

/// The files of a journal, and those segments of its archive that it no longer has. What is written
/// goes to the journal.
pub(crate) struct WithArchive {
    journal: Arc<dyn Storage>,
    archive: Arc<dyn Storage>,
}

impl WithArchive {
    pub(crate) fn new(journal: Arc<dyn Storage>, archive: Arc<dyn Storage>) -> Self {
        Self { journal, archive }
    }

    /// `read` of the journal, or of the archive. A segment is whole in the archive before it leaves the
    /// journal, so that in this order it is always found.
    fn either<T>(&self, name: &str, read: impl Fn(&dyn Storage) -> io::Result<T>) -> io::Result<T> {
        match read(&*self.journal) {
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && segment::number_of(name).is_some() =>
            {
                read(&*self.archive)
            }
            found => found,
        }
    }
}

impl Storage for WithArchive {
    fn lock(&self) -> io::Result<Box<dyn Any + Send + Sync>> {
        self.journal.lock()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = self.journal.list()?;
        // What is archived is older than what is not.
        let newest = names.iter().filter_map(|name| segment::number_of(name)).max().unwrap_or(0);
        let mut archived = self.archive.list()?;
        archived.retain(|name| segment::number_of(name).is_some_and(|number| number < newest));
        names.append(&mut archived);
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    fn read(&self, name: &str, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        self.either(name, |storage| storage.read(name, offset, length))
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        self.either(name, |storage| storage.length(name))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.journal.create(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.journal.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.journal.remove(name)
    }

    fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        self.journal.truncate(name, length)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.journal.sync_directory()
    }

    fn free_space(&self) -> Option<u64> {
        self.journal.free_space()
    }
}
