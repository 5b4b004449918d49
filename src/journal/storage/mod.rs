//! The seam between the journal and what it lies on.
//!
//! The journal only ever creates a file, appends to it, and syncs it; a file that replaces another
//! is written beside it and renamed over it. No byte is changed in place, and what is cut off had been
//! given up before, so that a crash leaves whole files, or files whose end is missing or torn.

pub(crate) mod archived;
pub(crate) mod files;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod simulated;

use std::any::Any;
use std::io;
use std::sync::Arc;

/// A directory of files, as the journal needs it: [`FileStorage`](crate::FileStorage) is the one of
/// the operating system; in tests, a simulated disk.
///
/// Names are plain file names of ASCII letters, digits and dots.
pub trait Storage: Send + Sync + 'static {
    /// Takes the storage for writing, until what is returned is dropped.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if somebody else has it.
    fn lock(&self) -> io::Result<Box<dyn Any + Send + Sync>>;

    /// The names of all files; none if the directory does not exist.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self) -> io::Result<Vec<String>>;

    /// The content of a file from `offset` on, at most `length` bytes of it.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) if there is no such file; what the system says.
    fn read(&self, name: &str, offset: u64, length: u64) -> io::Result<Vec<u8>>;

    /// The length of a file. Unless it is told otherwise, reads all of it to find out.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) if there is no such file; what the system says.
    fn length(&self, name: &str) -> io::Result<u64> {
        self.read(name, 0, u64::MAX).map(|bytes| bytes.len() as u64)
    }

    /// Makes an empty file, which must not exist.
    ///
    /// # Errors
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists) if it does; what the system says.
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;

    /// Renames a file, at once and over another of that name if there is one.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Cuts a file down to its first `length` bytes, some time before the next power cut or not. Unless
    /// it is told otherwise, a storage can't: then what a crash leaves behind a segment stays there, and
    /// counts for nothing.
    ///
    /// # Errors
    /// [`Unsupported`](io::ErrorKind::Unsupported) if it can't; what the system says.
    fn truncate(&self, _name: &str, _length: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Returns once all that was created, renamed and removed before is on the disk.
    ///
    /// # Errors
    /// What the system says.
    fn sync_directory(&self) -> io::Result<()>;

    /// How many bytes are free, if that can be told.
    fn free_space(&self) -> Option<u64> {
        None
    }
}

/// A file that is being written. Appending and syncing may happen in two threads at once.
pub trait StorageFile: Send + Sync + 'static {
    /// Adds all of `bytes` at the end. After an error nobody knows how many of them are there.
    ///
    /// # Errors
    /// What the system says.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;

    /// Returns once all that was appended before the call is on the disk. After an error it may never
    /// get there, whatever a later call says.
    ///
    /// # Errors
    /// What the system says.
    fn sync(&self) -> io::Result<()>;
}
