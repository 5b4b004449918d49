//! A directory of a Unix system. [`directory_elsewhere`](self) takes the place of this module on
//! other systems.
//!
//! Once a directory is locked, its files are found through its handle and not by its path. So an
//! engine whose directory is moved or replaced never writes into what stands there now.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Seek};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::UNIX_EPOCH;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, RawMode, openat, renameat, unlinkat};
use rustix::io::retry_on_intr;

use crate::journal::storage::{LOCK_NAME, StorageIdentity, is_gone};

/// An opening does not wait for a FIFO or a device, and a terminal does not become the process's
/// own.
const NO_WAIT: OFlags = OFlags::NONBLOCK.union(OFlags::NOCTTY);

/// A directory that is held open and locked, and the lock in it.
#[derive(Debug)]
pub(super) struct HeldDirectory {
    directory: File,
    lock: File,
}

/// A directory: by its handle if it is held, otherwise by its path.
pub(super) struct At<'a> {
    pub(super) held: Option<&'a HeldDirectory>,
    pub(super) path: &'a Path,
}

impl HeldDirectory {
    /// Locks the directory at `path`, and the lock in it. Does not wait.
    ///
    /// Both are locked. Without the directory's lock, who removes the file `lock` would free the
    /// journal. Without the file's, an engine of an earlier version would not see that the journal
    /// is in use; and some file systems have no locks for directories.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if another one has a lock, or if the path leads
    /// elsewhere by now; any error of the system.
    pub(super) fn lock(path: &Path, mode: u32) -> io::Result<Self> {
        let directory = File::open(path)?;
        match directory.try_lock() {
            Err(fs::TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
            // The file system has no locks for directories; the file's lock has to do.
            Err(fs::TryLockError::Error(_)) | Ok(()) => {}
        }
        let lock = open_lock(&directory, path, mode)?;
        if !lock.metadata()?.is_file() {
            return Err(no_file("no regular file"));
        }
        // The directory is unlocked on every way out.
        let held = Self { directory, lock };
        match held.lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
        let same = identity_of(&fs::metadata(path)?) == identity_of(&held.directory.metadata()?)
            && identity_of(&fs::symlink_metadata(path.join(LOCK_NAME))?)
                == identity_of(&held.lock.metadata()?);
        if same { Ok(held) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    /// Releases both locks, though a thread that reads just now may have the handles still.
    ///
    /// If another thread is just spawning a process, the forked child holds the files too, until it
    /// executes its program. Closing them would not release the locks before that.
    pub(super) fn unlock(&self) {
        // If this fails, the locks are released when the files are closed.
        let _ = self.lock.unlock();
        let _ = self.directory.unlock();
    }

    /// Replaces the text of the lock.
    pub(super) fn sign(&self, text: &str) -> io::Result<()> {
        self.lock.write_all_at(text.as_bytes(), 0)?;
        self.lock.set_len(text.len() as u64)
    }
}

impl Drop for HeldDirectory {
    fn drop(&mut self) {
        self.unlock();
    }
}

/// Opens the lock, and creates it if there is none. No link is followed, and a pipe or a device is
/// not waited for.
fn open_lock(directory: &File, path: &Path, mode: u32) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | NO_WAIT;
    match open(Some(directory), path, LOCK_NAME, flags, 0) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create(Some(directory), path, LOCK_NAME, flags, mode)
        }
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            Err(no_file("a symbolic link"))
        }
        opened => opened,
    }
}

fn no_file(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("the file {LOCK_NAME:?} is {what}"))
}

impl At<'_> {
    fn handle(&self) -> Option<&File> {
        self.held.map(|held| &held.directory)
    }

    /// The name to be looked up from [`handle`](Self::handle).
    fn name(&self, name: &str) -> std::path::PathBuf {
        if self.held.is_some() { name.into() } else { self.path.join(name) }
    }

    pub(super) fn names(&self) -> io::Result<Vec<OsString>> {
        let Some(directory) = self.handle() else {
            return fs::read_dir(self.path)?.map(|entry| Ok(entry?.file_name())).collect();
        };
        let entries = Dir::read_from(directory)?
            .map(|entry| Ok(OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned()));
        let names: io::Result<Vec<OsString>> = entries.collect();
        names.map(|names| names.into_iter().filter(|it| it != "." && it != "..").collect())
    }

    pub(super) fn open_to_read(&self, name: &str) -> io::Result<File> {
        open(self.handle(), self.path, name, OFlags::RDONLY | NO_WAIT, 0)
    }

    pub(super) fn open_to_write(&self, name: &str) -> io::Result<File> {
        open(self.handle(), self.path, name, OFlags::WRONLY | NO_WAIT, 0)
    }

    /// Creates a file for appending.
    pub(super) fn create(&self, name: &str, mode: u32) -> io::Result<File> {
        create(self.handle(), self.path, name, OFlags::WRONLY | OFlags::APPEND, mode)
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.name(from), self.name(to));
        match self.handle() {
            Some(directory) => renameat(directory, &from, directory, &to)?,
            None => fs::rename(from, to)?,
        }
        Ok(())
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match self.handle() {
            Some(directory) => Ok(unlinkat(directory, name, AtFlags::empty())?),
            None => fs::remove_file(self.path.join(name)),
        }
    }

    /// Makes creations, renames and removals durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        match self.handle() {
            Some(directory) => directory.sync_all(),
            None => File::open(self.path)?.sync_all(),
        }
    }

    /// The identity of what bears this name. In a directory that is held, no path is walked, and
    /// nothing is asked for but the identity: this is called after each sync.
    pub(super) fn identity(&self, name: &str) -> io::Result<Option<StorageIdentity>> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(directory) = self.handle() {
            use rustix::fs::{StatxFlags, makedev, statx};
            let wanted = StatxFlags::INO | StatxFlags::BTIME;
            match statx(directory, name, AtFlags::SYMLINK_NOFOLLOW, wanted) {
                // An old kernel.
                Err(rustix::io::Errno::NOSYS) => {}
                found => {
                    let found = found?;
                    let device = makedev(found.stx_dev_major, found.stx_dev_minor);
                    let at = found.stx_btime;
                    let is_told = found.stx_mask & StatxFlags::BTIME.bits() != 0;
                    let born = std::time::Duration::new(at.tv_sec as u64, at.tv_nsec).as_nanos();
                    let born = if is_told && at.tv_sec >= 0 { born as u64 } else { 0 };
                    let identity = StorageIdentity::new(device, found.stx_ino);
                    return Ok(Some(StorageIdentity { born, ..identity }));
                }
            }
        }
        identity_at(&self.path.join(name), true)
    }

    pub(super) fn free_space(&self) -> Option<u64> {
        let space = match self.handle() {
            Some(directory) => rustix::fs::fstatvfs(directory),
            None => rustix::fs::statvfs(self.path),
        };
        let space = space.ok()?;
        Some(space.f_bavail.saturating_mul(space.f_frsize))
    }

    /// The kind of network file system, if it is one.
    pub(super) fn network_file_system(&self) -> Option<&'static str> {
        let found = match self.handle() {
            Some(directory) => rustix::fs::fstatfs(directory),
            None => rustix::fs::statfs(self.path),
        };
        network_kind(&found.ok()?)
    }
}

/// Creates a file that only those whom `mode` names may open, whatever the process's umask says.
fn create(
    handle: Option<&File>,
    path: &Path,
    name: &str,
    flags: OFlags,
    mode: u32,
) -> io::Result<File> {
    let file = open(handle, path, name, flags | OFlags::CREATE | OFlags::EXCL, mode)?;
    if file.metadata()?.permissions().mode() & 0o777 != mode {
        // Some file systems know no modes. There, who mounts them decides.
        let _ = file.set_permissions(Permissions::from_mode(mode));
    }
    Ok(file)
}

fn open(
    handle: Option<&File>,
    path: &Path,
    name: &str,
    flags: OFlags,
    mode: u32,
) -> io::Result<File> {
    let (flags, mode) = (flags | OFlags::CLOEXEC, Mode::from_raw_mode(mode as RawMode));
    let opened = retry_on_intr(|| match handle {
        Some(directory) => openat(directory, name, flags, mode),
        None => openat(CWD, path.join(name), flags, mode),
    });
    Ok(File::from(opened?))
}

/// The identity of what stands at this path now. The last part of the path is followed if it is a
/// link to a directory, and not if it is to be a file.
pub(super) fn identity_at(path: &Path, is_file: bool) -> io::Result<Option<StorageIdentity>> {
    let found = if is_file { fs::symlink_metadata(path)? } else { fs::metadata(path)? };
    Ok(Some(identity_of(&found)))
}

pub(super) fn identity_of_file(file: &File) -> io::Result<Option<StorageIdentity>> {
    file.metadata().map(|found| Some(identity_of(&found)))
}

fn identity_of(found: &fs::Metadata) -> StorageIdentity {
    let born = found.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let born = born.map_or(0, |since| since.as_nanos() as u64);
    StorageIdentity { born, ..StorageIdentity::new(found.dev(), found.ino()) }
}

/// Where the last bytes that were appended through this handle end. A system call that only reads a
/// number: to ask for the file's metadata is several times dearer, after each sync, and makes the
/// next append store a new time.
pub(super) fn end_of_append(mut file: &File) -> io::Result<u64> {
    // An append moves the handle's position behind its bytes.
    file.stream_position()
}

/// Where the next bytes from `offset` on begin that lie in no hole; the end of the file if none do.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "macos", target_os = "freebsd"))]
pub(super) fn next_data(file: &File, offset: u64) -> io::Result<u64> {
    use rustix::io::Errno;
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(offset)) {
        Ok(at) => Ok(at.max(offset)),
        // No bytes there, or the file ends before.
        Err(Errno::NXIO) => Ok(file.metadata()?.len().max(offset)),
        // The file system knows of no holes.
        Err(_) => Ok(offset),
    }
}

/// Nothing is known of holes.
#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_os = "macos",
    target_os = "freebsd"
)))]
pub(super) fn next_data(_: &File, offset: u64) -> io::Result<u64> {
    Ok(offset)
}

/// Whether the file has no name any more. Its bytes will be lost when it is closed, even though a
/// sync succeeds.
pub(super) fn is_removed(found: &fs::Metadata) -> bool {
    found.nlink() == 0
}

/// Creates the directory, and those above it, with this mode, whatever the process's umask says.
/// What exists keeps its mode. Returns once their names are durable.
pub(super) fn create_all(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.map_or(Ok(()), |parent| create_all(parent, mode))?;
    match DirBuilder::new().mode(mode).create(path) {
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => {
            let _ = fs::set_permissions(path, Permissions::from_mode(mode));
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
        }
    }
}

/// Whether `path` is the directory `of`, or lies in it. The part of the path that does not exist
/// yet counts by its name.
pub(super) fn lies_within(path: &Path, of: StorageIdentity) -> io::Result<bool> {
    let path = std::path::absolute(path)?;
    let mut there = path.as_path();
    let real = loop {
        match fs::canonicalize(there) {
            Ok(real) => break real,
            Err(error) if is_gone(&error) => match there.parent() {
                Some(parent) => there = parent,
                None => return Ok(false),
            },
            Err(error) => return Err(error),
        }
    };
    for above in real.ancestors() {
        if identity_of(&fs::metadata(above)?) == of {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The name of the host on which this process runs.
pub(super) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn network_kind(found: &rustix::fs::StatFs) -> Option<&'static str> {
    network_kind_of(found.f_type as u64 & 0xffff_ffff)
}

/// The kind of network file system with this magic number of Linux (`statfs(2)`). FUSE is none of
/// them: it may be a network's, or a local disk's.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn network_kind_of(magic: u64) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "NFS",
        0x517b | 0xfe53_4d42 => "SMB",
        0xff53_4d42 => "CIFS",
        0x0102_1997 => "9P",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x00c3_6400 => "Ceph",
        0x7375_7245 => "Coda",
        0x0bd0_0bd0 => "Lustre",
        0x4750_4653 => "GPFS",
        0x564c => "NCP",
        _ => return None,
    })
}

#[cfg(target_os = "macos")]
fn network_kind(found: &rustix::fs::StatFs) -> Option<&'static str> {
    let name: Vec<u8> = found.f_fstypename.iter().map(|it| *it as u8).collect();
    let kinds = [("nfs", "NFS"), ("smbfs", "SMB"), ("afpfs", "AFP"), ("webdav", "WebDAV")];
    let is = |kind: &str| name.split(|it| *it == 0).next() == Some(kind.as_bytes());
    kinds.into_iter().find(|(kind, _)| is(kind)).map(|(_, name)| name)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "macos")))]
fn network_kind(_: &rustix::fs::StatFs) -> Option<&'static str> {
    None
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn network_file_systems_are_told_from_local_ones() {
        for (magic, kind) in [(0x6969, "NFS"), (0xff53_4d42, "CIFS"), (0xfe53_4d42, "SMB")] {
            assert_eq!(network_kind_of(magic), Some(kind));
        }
        // ext4, XFS, Btrfs, tmpfs, ZFS, overlay, FUSE.
        let local =
            [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x2fc1_2fc1, 0x794c_7630, 0x6573_5546];
        assert!(local.into_iter().all(|magic| network_kind_of(magic).is_none()));
    }
}
