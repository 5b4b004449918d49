//! A directory of the operating system as the journal's storage.

use std::any::Any;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::journal::storage::{Storage, StorageFile};

/// The file whose lock says who may write. It stays when the journal is closed.
const LOCK_FILE: &str = "lock";

/// A directory of files.
#[derive(Clone, Debug)]
pub struct FileStorage {
    directory: PathBuf,
}

impl FileStorage {
    /// The files in `directory`, which is made when it is first locked for writing.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

impl Storage for FileStorage {
    fn lock(&self) -> io::Result<Box<dyn Any + Send + Sync>> {
        if !self.directory.exists() {
            fs::create_dir_all(&self.directory)?;
            if let Some(parent) = self.directory.parent().filter(|it| !it.as_os_str().is_empty()) {
                sync_directory(parent)?;
            }
        }
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.path(LOCK_FILE))?;
        match file.try_lock() {
            // The system frees it when the process ends, however it ends.
            Ok(()) => Ok(Box::new(DirectoryLock(file))),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if is_none(&error) => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            // A name that is no text is none of the journal's.
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn read(&self, name: &str, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        let mut file = match File::open(self.path(name)) {
            Err(error) if is_none(&error) => return Err(io::ErrorKind::NotFound.into()),
            file => file?,
        };
        let there = file.metadata()?.len().saturating_sub(offset).min(length);
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::with_capacity(usize::try_from(there).unwrap_or_default());
        file.take(length).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        fs::metadata(self.path(name)).map(|file| file.len())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = OpenOptions::new().create_new(true).append(true).open(self.path(name))?;
        Ok(Arc::new(AppendedFile { file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.path(name))?;
        // Never longer than it was: that would make bytes.
        let longer = file.metadata()?.len() > length;
        if longer { file.set_len(length) } else { Ok(()) }
    }

    fn sync_directory(&self) -> io::Result<()> {
        sync_directory(&self.directory)
    }

    #[cfg(unix)]
    fn free_space(&self) -> Option<u64> {
        let space = rustix::fs::statvfs(&self.directory).ok()?;
        Some(space.f_bavail.saturating_mul(space.f_frsize))
    }
}

/// Whether there is no directory of that name; a file is none.
fn is_none(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// A directory is synced like a file where the system has that; elsewhere renames are on their own.
fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

/// The lock of a directory. A process that another thread has just forked holds the file too, until it
/// has become another program; so that the lock is free at once, it is given back, not only closed.
struct DirectoryLock(File);

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // What can't be given back is free when the file is closed.
        let _ = self.0.unlock();
    }
}

struct AppendedFile {
    file: File,
}

impl AppendedFile {
    /// Bytes in a file that was removed are as good as lost, whatever the sync says.
    #[cfg(unix)]
    fn check_that_it_has_a_name(&self) -> io::Result<()> {
        use std::os::unix::fs::MetadataExt;
        match self.file.metadata()?.nlink() {
            0 => Err(io::Error::new(io::ErrorKind::NotFound, "the file was removed")),
            _ => Ok(()),
        }
    }

    #[cfg(not(unix))]
    fn check_that_it_has_a_name(&self) -> io::Result<()> {
        Ok(())
    }
}

impl StorageFile for AppendedFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.file).write_all(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        // The length comes with the data: without it the data could not be read back.
        #[cfg(not(planted = "sync_without_disk"))]
        self.file.sync_data()?;
        self.check_that_it_has_a_name()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_cut_and_never_made_longer() {
        let directory = std::env::temp_dir().join(format!("stockade-cut-{}", std::process::id()));
        let files = FileStorage::new(&directory);
        drop(files.lock().expect("a new directory"));
        files.create("a").and_then(|file| file.append(b"abcdef")).expect("room");
        for length in [4, 9, u64::MAX] {
            files.truncate("a", length).expect("a file");
            assert_eq!(files.read("a", 0, u64::MAX).expect("a file"), b"abcd");
        }
        let missing = files.truncate("b", 0).expect_err("no file");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        fs::remove_dir_all(&directory).expect("a directory");
    }
}
