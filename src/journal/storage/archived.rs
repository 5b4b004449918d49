//! A view of a journal together with the archive of its oldest segments.

use std::io;
use std::sync::Arc;

use crate::journal::format::segment;
use crate::journal::storage::pass_on::pass_on;
use crate::journal::storage::{PlacePart, Storage, StorageFile, StorageIdentity};

/// The files of a journal, and the archived segments that the journal no longer has. Writes go to
/// the journal.
pub(crate) struct WithArchive {
    journal: Arc<dyn Storage>,
    archive: Arc<dyn Storage>,
}

impl WithArchive {
    pub(crate) fn new(journal: Arc<dyn Storage>, archive: Arc<dyn Storage>) -> Self {
        Self { journal, archive }
    }

    /// Runs `read` on the journal, and on the archive if the journal has no such segment. The order
    /// matters: a segment is complete in the archive before it is removed from the journal, so it
    /// is always found.
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
    pass_on!(journal: lock create rename remove truncate sync_directory);
    pass_on!(journal: free_space identity path network_file_system sign_lock);

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = self.journal.list()?;
        // Archived segments are older than the newest one of the journal. Ignore all other files
        // there.
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

    fn next_data(&self, name: &str, offset: u64) -> io::Result<u64> {
        self.either(name, |storage| storage.next_data(name, offset))
    }
}
