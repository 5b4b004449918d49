//! A guard around the caller's storage: what it does wrong is an error of the storage.
//!
//! A panic is caught where it is called, and so no thread of the engine ends of it. An error whose
//! text only the caller's own code can tell gets its text there, too: the engine writes it under
//! locks. What takes long shows in `health`.

use std::any::Any;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::base::error::JournalError;
use crate::base::foreign::{self, Watch};
use crate::journal::storage::{PlacePart, Storage, StorageFile, StorageIdentity};

/// The caller's storage, behind its guard.
pub(crate) struct GuardedStorage {
    storage: Owned<Arc<dyn Storage>>,
    watch: Arc<Watch>,
}

struct GuardedFile {
    file: Owned<Arc<dyn StorageFile>>,
    watch: Arc<Watch>,
}

/// What is the caller's, and is dropped under guard.
struct Owned<T>(Option<T>);

impl<T> Owned<T> {
    fn get(&self) -> io::Result<&T> {
        // Only the drop takes it.
        self.0.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        let owned = self.0.take();
        let _ = foreign::call(|| drop(owned));
    }
}

impl GuardedStorage {
    /// The storage, with a watch over how long its calls take.
    pub(crate) fn new(storage: Arc<dyn Storage>, watch: Arc<Watch>) -> Self {
        Self { storage: Owned(Some(storage)), watch }
    }

    fn call<T>(&self, code: impl FnOnce(&dyn Storage) -> io::Result<T>) -> io::Result<T> {
        guarded(&self.watch, || code(&**self.storage.get()?))
    }
}

impl GuardedFile {
    fn call<T>(&self, code: impl FnOnce(&dyn StorageFile) -> io::Result<T>) -> io::Result<T> {
        guarded(&self.watch, || code(&**self.file.get()?))
    }
}

fn guarded<T>(watch: &Watch, code: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let panicked = |said| Err(io::Error::other(format!("the storage panicked: {said}")));
    foreign::call(|| watch.over(|| code().map_err(plain))).unwrap_or_else(panicked)
}

/// The error with its text, as far as that is not known already.
fn plain(error: io::Error) -> io::Error {
    if error.get_ref().is_none_or(|inner| inner.is::<JournalError>()) {
        return error;
    }
    let kind = error.kind();
    match foreign::call(move || error.to_string()) {
        Ok(text) => io::Error::new(kind, text),
        Err(said) => io::Error::new(kind, format!("an error whose text panicked: {said}")),
    }
}

impl Storage for GuardedStorage {
    fn lock(&self) -> io::Result<Box<dyn Any + Send + Sync>> {
        let held = self.call(|theirs| theirs.lock())?;
        Ok(Box::new(Owned(Some(held))))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.call(|theirs| theirs.list())
    }

    fn read(&self, name: &str, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        self.call(|theirs| theirs.read(name, offset, length))
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        self.call(|theirs| theirs.length(name))
    }

    fn next_data(&self, name: &str, offset: u64) -> io::Result<u64> {
        self.call(|theirs| theirs.next_data(name, offset))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = Owned(Some(self.call(|theirs| theirs.create(name))?));
        Ok(Arc::new(GuardedFile { file, watch: Arc::clone(&self.watch) }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.call(|theirs| theirs.rename(from, to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.call(|theirs| theirs.remove(name))
    }

    fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        self.call(|theirs| theirs.truncate(name, length))
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.call(|theirs| theirs.sync_directory())
    }

    fn free_space(&self) -> Option<u64> {
        self.call(|theirs| Ok(theirs.free_space())).ok().flatten()
    }

    fn identity(&self, part: PlacePart<'_>) -> io::Result<Option<StorageIdentity>> {
        self.call(|theirs| theirs.identity(part))
    }

    fn path(&self) -> Option<&Path> {
        let theirs = self.storage.get().ok()?;
        foreign::call(|| theirs.path()).ok().flatten()
    }

    fn network_file_system(&self) -> Option<&'static str> {
        self.call(|theirs| Ok(theirs.network_file_system())).ok().flatten()
    }

    fn sign_lock(&self, opening: u64) -> io::Result<()> {
        self.call(|theirs| theirs.sign_lock(opening))
    }
}

impl StorageFile for GuardedFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.call(|theirs| theirs.append(bytes))
    }

    fn sync(&self) -> io::Result<()> {
        self.call(|theirs| theirs.sync())
    }

    fn identity(&self) -> Option<StorageIdentity> {
        self.call(|theirs| Ok(theirs.identity())).ok().flatten()
    }
}
