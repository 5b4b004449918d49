//! The storage interface: what the journal needs of a directory of files.
//!
//! The journal only creates files, appends to them, and syncs them. A file that replaces another is
//! written beside it and renamed over it. No byte is changed in place, and only abandoned bytes are
//! cut off. So a crash leaves files that are whole, or whose end is missing or torn.

pub(crate) mod archived;
pub(crate) mod files;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod simulated;

use std::any::Any;
use std::io;
use std::sync::Arc;

/// A directory of files in which a journal lies. [`FileStorage`](crate::FileStorage) is a directory
/// of the operating system; tests use a simulated disk.
///
/// File names consist of ASCII letters, digits and dots. All methods may be called from several
/// threads, and may block for as long as the device takes.
pub trait Storage: Send + Sync + 'static {
    /// Locks the storage for one writer, until the returned guard is dropped. Does not wait.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if another writer has the lock; any error of the
    /// system.
    fn lock(&self) -> io::Result<Box<dyn Any + Send + Sync>>;

    /// The names of all files, in any order; none if the directory does not exist.
    ///
    /// # Errors
    /// Any error of the system.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Reads at most `length` bytes of a file from `offset` on. Returns fewer, or none, if the file
    /// ends earlier. The journal asks for some 8 MiB at once at most, or for one batch that is
    /// longer.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) if there is no such file; any error of the system.
    fn read(&self, name: &str, offset: u64, length: u64) -> io::Result<Vec<u8>>;

    /// The length of a file in bytes. The default reads the whole file to find out, piece by piece,
    /// so implement it if there is a cheaper way.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) if there is no such file; any error of the system.
    fn length(&self, name: &str) -> io::Result<u64> {
        const PIECE: u64 = 8 << 20;
        let mut length = 0;
        loop {
            let read = self.read(name, length, PIECE)?.len() as u64;
            length += read;
            if read < PIECE {
                return Ok(length);
            }
        }
    }

    /// Creates an empty file for appending. The file's name is durable only after the next
    /// [`sync_directory`](Self::sync_directory).
    ///
    /// # Errors
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists) if there is a file of that name; any error
    /// of the system.
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;

    /// Renames a file atomically. Replaces the file named `to`, if there is one.
    ///
    /// # Errors
    /// Any error of the system.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) if there is no such file; any error of the system.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Cuts a file down to its first `length` bytes. Never makes it longer. A power cut may undo
    /// it.
    ///
    /// The default says that it is unsupported. Then torn tails stay in their segments, where
    /// readers ignore them.
    ///
    /// # Errors
    /// [`Unsupported`](io::ErrorKind::Unsupported) if the storage can't cut files; any error of the
    /// system.
    fn truncate(&self, _name: &str, _length: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Returns once all earlier creations, renames and removals are durable.
    ///
    /// # Errors
    /// Any error of the system.
    fn sync_directory(&self) -> io::Result<()>;

    /// The free bytes of the storage, if known. The default is `None`.
    fn free_space(&self) -> Option<u64> {
        None
    }
}

/// A file open for appending. One thread may append while another one syncs.
pub trait StorageFile: Send + Sync + 'static {
    /// Appends all of `bytes`. After an error, any part of them may be in the file.
    ///
    /// # Errors
    /// Any error of the system.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;

    /// Returns once all bytes appended before the call are durable.
    ///
    /// After an error they may never become durable, even if a later call succeeds. So the journal
    /// does not try again, and writes them into a new file.
    ///
    /// # Errors
    /// Any error of the system.
    fn sync(&self) -> io::Result<()>;
}
