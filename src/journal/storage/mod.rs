//! The storage interface: what the journal needs of a directory of files.
//!
//! The journal only creates files, appends to them, and syncs them. A file that replaces another is
//! written beside it and renamed over it. No byte is changed in place, and only abandoned bytes are
//! cut off. So a crash leaves files that are whole, or whose end is missing or torn.

pub(crate) mod archived;
#[cfg_attr(not(unix), path = "directory_elsewhere.rs")]
mod directory;
pub(crate) mod files;
pub(crate) mod guarded;
pub(crate) mod pass_on;
pub(crate) mod place;
mod regular_file;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod simulated;

use std::any::Any;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The name of the lock in a directory of the operating system.
pub(crate) const LOCK_NAME: &str = "lock";

/// What tells a directory or a file from every other one, for as long as it is open: on Unix its
/// device and its inode. The journal compares it to notice that its directory, its lock or its
/// segment was removed or replaced.
///
/// ```
/// use stockade::StorageIdentity;
/// assert_eq!(StorageIdentity::new(1, 7), StorageIdentity::new(1, 7));
/// assert_ne!(StorageIdentity::new(1, 7), StorageIdentity::new(2, 7));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct StorageIdentity {
    device: u64,
    number: u64,
    /// When it was made, in nanoseconds since the epoch, if the system says so; else 0. Not
    /// compared: a network file system may tell it at one time and not at another.
    born: u64,
}

impl StorageIdentity {
    /// The identity of what has this number on this device.
    pub fn new(device: u64, number: u64) -> Self {
        Self { device, number, born: 0 }
    }

    /// All that is known, to be stored. Once a file is removed, another one may get its number.
    /// Nearly all systems then know that it was made later.
    pub(crate) fn words(self) -> [u64; 3] {
        [self.device, self.number, self.born]
    }
}

impl PartialEq for StorageIdentity {
    fn eq(&self, other: &Self) -> bool {
        (self.device, self.number) == (other.device, other.number)
    }
}

impl Eq for StorageIdentity {}

impl Hash for StorageIdentity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.device, self.number).hash(state);
    }
}

/// What is asked for its identity; see [`Storage::identity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlacePart<'a> {
    /// The directory that stands at the storage's path now.
    Directory,
    /// The lock in it.
    Lock,
    /// The file of this name in it.
    File(&'a str),
}

/// A directory of files in which a journal lies. [`FileStorage`](crate::FileStorage) is a directory
/// of the operating system; tests use a simulated disk.
///
/// File names consist of ASCII letters, digits and dots. All methods may be called from several
/// threads, and may block for as long as the device takes; after five seconds that shows in
/// [`health`](crate::InventoryManager::health). A panic is an error of the storage. The methods are
/// called under locks of the engine: they must not call it, except to read stock and figures.
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

    /// Where the next bytes of a file begin, from `offset` on, that need not be zeros. In between
    /// lies a hole of a sparse file, which readers skip: a file may say that it is longer than any
    /// disk. Behind the last such bytes, it is the file's end.
    ///
    /// The default is `offset`: nothing is known of holes, and all of the file is read.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) if there is no such file; any error of the system.
    fn next_data(&self, _name: &str, offset: u64) -> io::Result<u64> {
        Ok(offset)
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

    /// What stands at the storage's path now, which need not be what was locked. The engine asks
    /// for it after each sync, before it answers, some four times, and for the directory first: a
    /// storage may look for the lock and for files in what it has locked. If it differs, the engine
    /// stops with [`JournalError::PlaceChanged`](crate::JournalError::PlaceChanged).
    ///
    /// An opening asks for that of the file `synced`, to tell the journal from a copy of its files.
    ///
    /// The default is `None`: the storage can't be replaced behind the engine's back, and every
    /// journal on it may be a copy.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) if nothing is there; any error of the system.
    fn identity(&self, _part: PlacePart<'_>) -> io::Result<Option<StorageIdentity>> {
        Ok(None)
    }

    /// The directory, if the storage is one of the operating system. The default is `None`.
    fn path(&self) -> Option<&Path> {
        None
    }

    /// The kind of network file system that the storage lies on; `None` if it lies on none, or if
    /// that is unknown. With one, [`health`](crate::InventoryManager::health) is
    /// [`Degraded`](crate::Health::Degraded). The default is `None`.
    fn network_file_system(&self) -> Option<&'static str> {
        None
    }

    /// Writes into the lock, which the caller holds, which opening of the journal holds it. Nobody
    /// reads it but people. The default does nothing.
    ///
    /// # Errors
    /// Any error of the system. The engine ignores it.
    fn sign_lock(&self, _opening: u64) -> io::Result<()> {
        Ok(())
    }
}

/// A file open for appending. One thread may append while another one syncs.
pub trait StorageFile: Send + Sync + 'static {
    /// Appends all of `bytes`. After an error, any part of them may be in the file.
    ///
    /// The journal reads them where it appended them. So if others can cut the file, or write to
    /// it, compare its length here and in [`sync`](Self::sync), and fail if it is not what was
    /// appended.
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

    /// The file's identity, to compare with what [`Storage::identity`] finds under its name. The
    /// default is `None`: nothing is compared.
    fn identity(&self) -> Option<StorageIdentity> {
        None
    }
}

/// Whether the error says that there is no such file or directory. A file in place of a directory
/// counts as none, too.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
