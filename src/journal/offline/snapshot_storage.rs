//! A journal as it was at one moment, beside an engine that goes on writing it.

use std::any::Any;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::journal::format::segment;
use crate::journal::layout::checkpoint_file;
use crate::journal::storage::{Storage, StorageFile};

/// The segments of a storage, each with the length that it had, and its checkpoints; nothing can be
/// written.
///
/// Without it, a segment that is looked at late could know of batches which were written after an
/// earlier one was read, and those would seem to be missing.
pub(super) struct SnapshotStorage {
    storage: Arc<dyn Storage>,
    lengths: BTreeMap<String, u64>,
    checkpoints: Vec<String>,
}

impl SnapshotStorage {
    pub(super) fn new(storage: Arc<dyn Storage>) -> io::Result<Self> {
        let numbered = |name: String| segment::number_of(&name).map(|number| (number, name));
        // Before the segments, so that those hold all that was checkpointed.
        let mut checkpoints = storage.list()?;
        checkpoints.retain(|name| checkpoint_file::batch_of(name).is_some());
        let mut names: Vec<_> = storage.list()?.into_iter().filter_map(numbered).collect();
        // The newest first: whatever it knows of an older one has been there by the time that one is
        // asked for its length.
        names.sort_unstable_by_key(|(number, _)| Reverse(*number));
        let mut lengths = BTreeMap::new();
        for (_, name) in names {
            match storage.length(&name) {
                Ok(length) => drop(lengths.insert(name, length)),
                // It was archived or removed just now; if not, it will be missed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { storage, lengths, checkpoints })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// The length of a segment; 0 if there is none of that name.
    pub(super) fn length_of(&self, name: &str) -> u64 {
        self.lengths.get(name).copied().unwrap_or(0)
    }

    /// The bytes of all segments.
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
        if segment::number_of(name).is_none() {
            // Checkpoints and the mark of where the journal begins are written once, and whole.
            return self.storage.read(name, offset, length);
        }
        let there = self.length(name)?.saturating_sub(offset);
        self.storage.read(name, offset, length.min(there))
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        self.lengths.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
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
