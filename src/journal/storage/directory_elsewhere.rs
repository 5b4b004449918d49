//! Takes the place of the Unix module `directory` on other systems: files are found by their path,
//! nothing has an identity, and modes have no effect.
//!
//! On Windows, an open lock that grants nobody the right to delete can't be removed, and neither
//! can its directory be moved.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use crate::journal::storage::{LOCK_NAME, StorageIdentity};

/// A locked directory: the lock in it, held open.
#[derive(Debug)]
pub(super) struct HeldDirectory {
    lock: File,
}

/// A directory, by its path.
pub(super) struct At<'a> {
    pub(super) held: Option<&'a HeldDirectory>,
    pub(super) path: &'a Path,
}

impl HeldDirectory {
    /// Locks the file `lock` in the directory. Does not wait.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if another one has the lock; any error of the
    /// system.
    pub(super) fn lock(path: &Path, _: u32) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        #[cfg(windows)]
        {
            const READ_AND_WRITE: u32 = 3;
            std::os::windows::fs::OpenOptionsExt::share_mode(&mut options, READ_AND_WRITE);
        }
        let lock = options.open(path.join(LOCK_NAME))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { lock }),
            Err(fs::TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    /// Releases the lock, though a thread that reads just now may have the file still.
    pub(super) fn unlock(&self) {
        // If this fails, the lock is released when the file is closed.
        let _ = self.lock.unlock();
    }

    /// Replaces the text of the lock.
    pub(super) fn sign(&self, text: &str) -> io::Result<()> {
        let mut lock = &self.lock;
        lock.seek(SeekFrom::Start(0))?;
        lock.write_all(text.as_bytes())?;
        lock.set_len(text.len() as u64)
    }
}

impl Drop for HeldDirectory {
    fn drop(&mut self) {
        self.unlock();
    }
}

impl At<'_> {
    pub(super) fn names(&self) -> io::Result<Vec<OsString>> {
        fs::read_dir(self.path)?.map(|entry| Ok(entry?.file_name())).collect()
    }

    pub(super) fn open_to_read(&self, name: &str) -> io::Result<File> {
        File::open(self.path.join(name))
    }

    pub(super) fn open_to_write(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().write(true).open(self.path.join(name))
    }

    pub(super) fn create(&self, name: &str, _: u32) -> io::Result<File> {
        OpenOptions::new().create_new(true).append(true).open(self.path.join(name))
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    /// Does nothing: these systems offer no such sync, and the file system decides.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn identity(&self, _: &str) -> io::Result<Option<StorageIdentity>> {
        Ok(None)
    }

    pub(super) fn free_space(&self) -> Option<u64> {
        None
    }

    pub(super) fn network_file_system(&self) -> Option<&'static str> {
        None
    }
}

pub(super) fn identity_at(_: &Path, _: bool) -> io::Result<Option<StorageIdentity>> {
    Ok(None)
}

pub(super) fn identity_of_file(_: &File) -> io::Result<Option<StorageIdentity>> {
    Ok(None)
}

/// The file's length: whether an append moves the handle's position is not said of all systems.
pub(super) fn end_of_append(file: &File) -> io::Result<u64> {
    file.metadata().map(|found| found.len())
}

/// Nothing is known of holes.
pub(super) fn next_data(_: &File, offset: u64) -> io::Result<u64> {
    Ok(offset)
}

pub(super) fn is_removed(_: &fs::Metadata) -> bool {
    false
}

pub(super) fn create_all(path: &Path, _: u32) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// Nothing has an identity here.
pub(super) fn lies_within(_: &Path, _: StorageIdentity) -> io::Result<bool> {
    Ok(false)
}

/// The name of the host, as the environment says.
pub(super) fn host() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}
