//! A snapshot of a journal, beside an engine that goes on writing it.

use std::any::Any;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::base::error::JournalError;
use crate::journal::format::segment;
use crate::journal::layout::{checkpoint_file, failed, sync_mark};
use crate::journal::storage::{PlacePart, Storage, StorageFile, StorageIdentity};

/// A storage's segments, each cut at the length that it had at one moment, and its checkpoints.
/// Read only.
///
/// Without the snapshot, sound journals would look damaged: a segment that is read late may say
/// that batches are on the disk which were written after an earlier segment was read.
pub(super) struct SnapshotStorage {
    storage: Arc<dyn Storage>,
    lengths: BTreeMap<String, u64>,
    checkpoints: Vec<String>,
    /// The file of sync marks, if there is one.
    marks: Option<Vec<u8>>,
    /// Its identity.
    marks_file: Option<StorageIdentity>,
}

impl SnapshotStorage {
    /// # Errors
    /// The storage's.
    pub(super) fn new(storage: Arc<dyn Storage>) -> Result<Self, JournalError> {
        // Read the marks before the segments, so that the segments hold every batch that a mark
        // says is on the disk.
        let marks_file = storage.identity(PlacePart::File(sync_mark::NAME)).ok().flatten();
        let marks = match sync_mark::read(&*storage) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            marks => Some(marks.map_err(|error| sync_mark::not_read(&error))?),
        };
        let numbered = |name: String| segment::number_of(&name).map(|number| (number, name));
        // List the checkpoints before the segments, so that the segments hold every batch that a
        // checkpoint covers.
        let list = || storage.list().map_err(|error| failed("list", "", &error));
        let mut checkpoints = list()?;
        checkpoints.retain(|name| checkpoint_file::batch_of(name).is_some());
        let mut names: Vec<_> = list()?.into_iter().filter_map(numbered).collect();
        // Newest first: by the time an older segment is asked for its length, it holds every batch
        // that a newer one says is on the disk.
        names.sort_unstable_by_key(|(number, _)| Reverse(*number));
        let mut lengths = BTreeMap::new();
        for (_, name) in names {
            match storage.length(&name) {
                Ok(length) => drop(lengths.insert(name, length)),
                // It was archived or removed just now. If it was lost in another way, the layout
                // will miss it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed("read", &name, &error)),
            }
        }
        Ok(Self { storage, lengths, checkpoints, marks, marks_file })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// The names of all segments, in order.
    pub(super) fn segments(&self) -> impl Iterator<Item = &str> {
        self.lengths.keys().map(String::as_str)
    }

    /// The length of a segment; 0 if there is none of this name.
    pub(super) fn length_of(&self, name: &str) -> u64 {
        self.lengths.get(name).copied().unwrap_or(0)
    }

    /// The length of all segments together, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.lengths.values().sum()
    }
}

fn read_only<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl Storage for SnapshotStorage {
    fn lock(&self) -> io::Result<Box<dyn Any + Send + Sync>> {
        read_only()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.lengths.keys().chain(&self.checkpoints).cloned().collect())
    }

    fn read(&self, name: &str, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        if name == sync_mark::NAME {
            return self.marks.clone().ok_or_else(|| io::ErrorKind::NotFound.into());
        }
        if segment::number_of(name).is_none() {
            // Checkpoints and the begin mark are replaced as a whole, so their length needs no cut.
            return self.storage.read(name, offset, length);
        }
        let there = self.length(name)?.saturating_sub(offset);
        self.storage.read(name, offset, length.min(there))
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        self.lengths.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn next_data(&self, name: &str, offset: u64) -> io::Result<u64> {
        if name == sync_mark::NAME {
            return Ok(offset);
        }
        self.storage.next_data(name, offset)
    }

    fn identity(&self, part: PlacePart<'_>) -> io::Result<Option<StorageIdentity>> {
        Ok(self.marks_file.filter(|_| part == PlacePart::File(sync_mark::NAME)))
    }

    fn create(&self, _: &str) -> io::Result<Arc<dyn StorageFile>> {
        read_only()
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        read_only()
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        read_only()
    }

    fn sync_directory(&self) -> io::Result<()> {
        read_only()
    }
}
