//! Storage in a directory of the operating system.

use std::any::Any;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::journal::storage::{Storage, StorageFile};

/// The file whose lock admits one writer. It stays in the directory when the journal is closed.
const LOCK_FILE: &str = "lock";

/// A [`Storage`] in a directory of the operating system.
///
/// On Unix, `sync_directory` makes renames durable. Elsewhere it does nothing, and the file system
/// decides.
#[derive(Clone, Debug)]
pub struct FileStorage {
    directory: PathBuf,
}

impl FileStorage {
    /// A storage in `directory`. The directory is created when an engine first locks it for
    /// writing.
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
            // The system releases the lock when the process ends, even if it is killed.
            Ok(()) => Ok(Box::new(DirectoryLock(file))),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if is_not_found(&error) => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            // A name that is not valid Unicode cannot be a file of the journal.
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn read(&self, name: &str, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        let mut file = open_file(OpenOptions::new().read(true), &self.path(name))?;
        let mut left = file.metadata()?.len().saturating_sub(offset).min(length);
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        // A sparse file says that it is longer than any memory. So the buffer grows as bytes come,
        // and if there is no memory for more of them, that is an error and not the process's end.
        while left > 0 {
            let piece = left.min(PIECE.max(bytes.len() as u64));
            let room = usize::try_from(piece).map_err(|_| io::ErrorKind::OutOfMemory)?;
            bytes.try_reserve_exact(room)?;
            let read = (&mut file).take(piece).read_to_end(&mut bytes)?;
            if read == 0 {
                break;
            }
            left -= read as u64;
        }
        Ok(bytes)
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        let found = fs::metadata(self.path(name)).map_err(as_missing)?;
        check_is_file(&found).map(|()| found.len())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = OpenOptions::new().create_new(true).append(true).open(self.path(name))?;
        Ok(Arc::new(AppendFile { file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to)).map_err(as_missing)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name)).map_err(as_missing)
    }

    fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        let file = open_file(OpenOptions::new().write(true), &self.path(name))?;
        // `set_len` would fill a longer file with zeros: bytes that nobody wrote.
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

/// How many bytes the buffer of a read grows by at first.
const PIECE: u64 = 8 << 20;

/// Opens a file that exists, and nothing else: whoever reads a FIFO or a device may wait for ever,
/// and to open one may wait, too.
fn open_file(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;

        use rustix::fs::OFlags;
        // The opening does not wait, and a terminal does not become the process's own.
        options.custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32);
    }
    let file = options.open(path).map_err(|error| match fs::metadata(path) {
        // A socket can't be opened at all, and a FIFO not for writing.
        Ok(found) => check_is_file(&found).err().unwrap_or(error),
        Err(_) => as_missing(error),
    })?;
    // Ask the file itself: the name may be another file's by now.
    check_is_file(&file.metadata()?)?;
    Ok(file)
}

/// Refuses what bears a file's name and is none.
fn check_is_file(found: &fs::Metadata) -> io::Result<()> {
    if found.is_file() {
        return Ok(());
    }
    let kind = if found.is_dir() { "directory" } else { special_kind(found) };
    Err(io::Error::other(format!("it is a {kind}, and no file")))
}

#[cfg(unix)]
fn special_kind(found: &fs::Metadata) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    let kind = found.file_type();
    if kind.is_fifo() {
        "FIFO"
    } else if kind.is_socket() {
        "socket"
    } else {
        "device"
    }
}

#[cfg(not(unix))]
fn special_kind(_: &fs::Metadata) -> &'static str {
    "device"
}

/// The error as callers know it: of a missing file, whatever of its path is missing.
fn as_missing(error: io::Error) -> io::Error {
    if is_not_found(&error) { io::ErrorKind::NotFound.into() } else { error }
}

/// Whether the error says that there is no such file or directory. A file in place of the directory
/// counts as none, too.
fn is_not_found(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Makes creations, renames and removals in a directory durable, on Unix. Other systems offer no
/// such sync, so there it does nothing.
fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

/// The lock of a directory.
///
/// It is unlocked explicitly on drop. If another thread is just spawning a process, the forked
/// child holds the file too, until it executes its program. Closing the file would not release the
/// lock before that.
struct DirectoryLock(File);

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // If this fails, the lock is released when the file is closed.
        let _ = self.0.unlock();
    }
}

struct AppendFile {
    file: File,
}

impl AppendFile {
    /// Fails if the file was removed. Its bytes will be lost when it is closed, even though the
    /// sync succeeded.
    #[cfg(unix)]
    fn check_not_removed(&self) -> io::Result<()> {
        use std::os::unix::fs::MetadataExt;
        match self.file.metadata()?.nlink() {
            0 => Err(io::Error::new(io::ErrorKind::NotFound, "the file was removed")),
            _ => Ok(()),
        }
    }

    #[cfg(not(unix))]
    fn check_not_removed(&self) -> io::Result<()> {
        Ok(())
    }
}

impl StorageFile for AppendFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.file).write_all(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        // `fdatasync` also syncs the length of the file: without it the data could not be read
        // back.
        self.file.sync_data()?;
        self.check_not_removed()
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
