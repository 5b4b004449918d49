//! Storage in a directory of the operating system.

use std::any::Any;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::sync::{AtomicU64, Ordering};
use crate::journal::storage::directory::{self, At, HeldDirectory};
use crate::journal::storage::regular_file::{only_a_file, why_not_opened};
use crate::journal::storage::{
    LOCK_NAME, PlacePart, Storage, StorageFile, StorageIdentity, is_gone,
};

/// Who may open the files by default: their owner.
pub(crate) const OWNER_ONLY: u32 = 0o600;

/// A [`Storage`] in a directory of the operating system. Clones share its lock.
///
/// The directory is locked, and the file `lock` in it. The file says who holds it. It stays when
/// the journal is closed, and must not be removed: an engine whose lock is removed stops.
///
/// On Unix, once the directory is locked, its files are found through its handle. So nothing is
/// ever written into another directory that takes its place. `sync_directory` makes renames
/// durable. Elsewhere it does nothing, and the file system decides.
#[derive(Clone, Debug)]
pub struct FileStorage {
    directory: PathBuf,
    mode: u32,
    /// The directory, while it is locked.
    held: Arc<Mutex<Option<Arc<HeldDirectory>>>>,
}

impl FileStorage {
    /// A storage in `directory`. The directory is created when an engine first locks it for
    /// writing. A relative path is seen from the process's current directory of this moment: a
    /// service that changes it later keeps its journal.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        let given = directory.into();
        // Fails for an empty path, and where the current directory is gone.
        let directory = std::path::absolute(&given).unwrap_or(given);
        Self { directory, mode: OWNER_ONLY, held: Arc::default() }
    }

    /// Sets the Unix mode of the files that are created: who may read and write them. A directory
    /// that is created gets the same, and may be searched by those who may read. The process's
    /// umask takes nothing away. Files and directories that exist keep their mode. The owner may
    /// always read and write. Default: `0o600`, the owner only. No effect on other systems.
    ///
    /// ```
    /// use stockade::{FileStorage, JournalOptions};
    /// // The group may read: an auditor of another user, for example.
    /// let journal = JournalOptions::storage(FileStorage::new("journal").file_mode(0o640));
    /// # drop(journal);
    /// ```
    #[must_use]
    pub fn file_mode(mut self, mode: u32) -> Self {
        self.mode = mode & 0o666 | OWNER_ONLY;
        self
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn lock_held(&self) -> MutexGuard<'_, Option<Arc<HeldDirectory>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `act` on the directory: the one that is locked, if it is.
    fn at<T>(&self, act: impl FnOnce(At<'_>) -> T) -> T {
        let held = self.lock_held().clone();
        act(At { held: held.as_deref(), path: &self.directory })
    }

    /// Opens a file that exists, and nothing else. Does not wait.
    fn open(&self, name: &str, open: impl FnOnce(At<'_>) -> io::Result<File>) -> io::Result<File> {
        match self.at(open) {
            Ok(opened) => only_a_file(opened),
            Err(error) => Err(why_not_opened(&self.directory.join(name), error)),
        }
    }
}

/// How many bytes the buffer of a read grows by at first.
const PIECE: u64 = 8 << 20;

/// The error as callers know it: of a missing file, whatever of its path is missing.
fn as_missing(error: io::Error) -> io::Error {
    if is_gone(&error) { io::ErrorKind::NotFound.into() } else { error }
}

/// The right to write the directory. The storage's clones find its files through the handle until
/// this is dropped.
struct DirectoryLock {
    held: Arc<Mutex<Option<Arc<HeldDirectory>>>>,
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        held.iter().for_each(|directory| directory.unlock());
    }
}

/// The text of the lock, for people.
fn lock_text(opening: Option<u64>) -> String {
    let (pid, host) = (std::process::id(), directory::host());
    let opening = opening.map_or_else(|| "none yet".to_owned(), |number| number.to_string());
    format!(
        "The lock of a Stockade journal. Do not remove it, even if no engine runs: the system\n\
         frees it when its holder ends, and an engine whose lock is removed stops.\n\
         The last holder:\npid {pid}\nhost {host}\nopening {opening}\n"
    )
}

impl Storage for FileStorage {
    fn lock(&self) -> io::Result<Box<dyn Any + Send + Sync>> {
        let mut held = self.lock_held();
        if held.is_some() {
            // The path may lead to another directory by now, but the clones share one handle.
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // Whoever may read files may search the directory.
        directory::create_all(&self.directory, self.mode | (self.mode & 0o444) >> 2)?;
        let directory = HeldDirectory::lock(&self.directory, self.mode)?;
        // A full disk is no reason not to lock.
        let _ = directory.sign(&lock_text(None));
        *held = Some(Arc::new(directory));
        Ok(Box::new(DirectoryLock { held: Arc::clone(&self.held) }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        match self.at(|directory| directory.names()) {
            Err(error) if is_gone(&error) => Ok(Vec::new()),
            // A name that is not valid Unicode cannot be a file of the journal.
            names => Ok(names?.into_iter().filter_map(|name| name.into_string().ok()).collect()),
        }
    }

    fn read(&self, name: &str, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        let mut file = self.open(name, |directory| directory.open_to_read(name))?;
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
        let file = self.open(name, |directory| directory.open_to_read(name))?;
        file.metadata().map(|found| found.len())
    }

    fn next_data(&self, name: &str, offset: u64) -> io::Result<u64> {
        let file = self.open(name, |directory| directory.open_to_read(name))?;
        directory::next_data(&file, offset)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = self.at(|directory| directory.create(name, self.mode))?;
        let identity = directory::identity_of_file(&file)?;
        Ok(Arc::new(AppendFile { file, identity, length: AtomicU64::new(0) }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.at(|directory| directory.rename(from, to)).map_err(as_missing)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.at(|directory| directory.remove(name)).map_err(as_missing)
    }

    fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        let file = self.open(name, |directory| directory.open_to_write(name))?;
        // `set_len` would fill a longer file with zeros: bytes that nobody wrote.
        let longer = file.metadata()?.len() > length;
        if longer { file.set_len(length) } else { Ok(()) }
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.at(|directory| directory.sync())
    }

    fn free_space(&self) -> Option<u64> {
        self.at(|directory| directory.free_space())
    }

    // The directory by its path: what stands there now may be another one than what is held. Who
    // compares asks for it first. If it is the same, then so are the files that are found by path
    // and those that are found through the handle.
    fn identity(&self, part: PlacePart<'_>) -> io::Result<Option<StorageIdentity>> {
        match part {
            PlacePart::Directory => directory::identity_at(&self.directory, false),
            PlacePart::Lock => self.at(|directory| directory.identity(LOCK_NAME)),
            PlacePart::File(name) => self.at(|directory| directory.identity(name)),
        }
    }

    fn path(&self) -> Option<&Path> {
        Some(&self.directory)
    }

    fn network_file_system(&self) -> Option<&'static str> {
        self.at(|directory| directory.network_file_system())
    }

    fn sign_lock(&self, opening: u64) -> io::Result<()> {
        let held = self.lock_held().clone();
        held.map_or(Ok(()), |directory| directory.sign(&lock_text(Some(opening))))
    }
}

struct AppendFile {
    file: File,
    identity: Option<StorageIdentity>,
    /// How many bytes were appended.
    length: AtomicU64,
}

/// The file has another length than what was appended to it.
fn another_length(found: u64, appended: u64) -> io::Error {
    let wrong = if found < appended { "somebody cut" } else { "somebody else wrote to" };
    let what = format!("{wrong} the file: it has {found} bytes, and {appended} were appended");
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl StorageFile for AppendFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.file).write_all(bytes)?;
        // Relaxed: one thread appends.
        let appended = self.length.load(Ordering::Relaxed) + bytes.len() as u64;
        // Release pairs with the Acquire in `sync`.
        self.length.store(appended, Ordering::Release);
        // The bytes went to the end of the file. If somebody else has cut it, or written to it,
        // they stand in another place than where a reader will look.
        match directory::end_of_append(&self.file)? {
            found if found == appended => Ok(()),
            found => Err(another_length(found, appended)),
        }
    }

    fn sync(&self) -> io::Result<()> {
        // Acquire pairs with the Release in `append`: the file is at least as long by now.
        let appended = self.length.load(Ordering::Acquire);
        // `fdatasync` also syncs the length of the file: without it the data could not be read
        // back.
        self.file.sync_data()?;
        let found = self.file.metadata()?;
        if directory::is_removed(&found) {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the file was removed"));
        }
        match found.len() {
            found if found >= appended => Ok(()),
            found => Err(another_length(found, appended)),
        }
    }

    fn identity(&self) -> Option<StorageIdentity> {
        self.identity
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_others_cut_or_write_to_takes_no_more_and_syncs_nothing() {
        let name = format!("stockade-others-{}", std::process::id());
        let files = FileStorage::new(std::env::temp_dir().join(name));
        drop(files.lock().expect("a new directory"));
        let others = |name: &str| {
            let file = files.create(name).expect("room");
            file.append(b"abcdef").and_then(|()| file.sync()).expect("room");
            (file, std::fs::OpenOptions::new().append(true).open(files.directory().join(name)))
        };
        let (file, other) = others("a");
        other.and_then(|other| other.set_len(5)).expect("a file");
        assert!(file.sync().is_err());
        assert!(file.append(b"g").is_err(), "it is as long as before, and another one");
        let (file, other) = others("b");
        other.and_then(|mut other| other.write_all(b"?")).expect("a file");
        assert!(file.append(b"g").is_err());
        std::fs::remove_dir_all(files.directory()).expect("a directory");
    }

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
        std::fs::remove_dir_all(&directory).expect("a directory");
    }
}
