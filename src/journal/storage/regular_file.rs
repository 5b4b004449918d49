//! Refuses what bears a file's name and is no file: whoever reads a FIFO or a device may wait for
//! ever.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

use crate::journal::storage::is_gone;

/// The opened file, if it is one. Asks the file itself: its name may be another file's by now.
pub(super) fn only_a_file(opened: File) -> io::Result<File> {
    check(&opened.metadata()?).map(|()| opened)
}

/// The error of a file that could not be opened: what stands at `path`, if it is no file. A socket
/// can't be opened at all, and a FIFO not for writing. A link that leads nowhere is no missing
/// file: what it leads to may be on a volume that is not mounted.
pub(super) fn why_not_opened(path: &Path, error: io::Error) -> io::Error {
    if is_gone(&error) {
        return match std::fs::symlink_metadata(path) {
            Ok(found) if found.is_symlink() => {
                io::Error::other("it is a symbolic link that leads nowhere")
            }
            _ => io::ErrorKind::NotFound.into(),
        };
    }
    match std::fs::metadata(path) {
        Ok(found) => check(&found).err().unwrap_or(error),
        Err(_) => error,
    }
}

/// Refuses what is no file.
fn check(found: &Metadata) -> io::Result<()> {
    if found.is_file() {
        return Ok(());
    }
    let kind = if found.is_dir() { "directory" } else { special_kind(found) };
    Err(io::Error::other(format!("it is a {kind}, and no file")))
}

#[cfg(unix)]
fn special_kind(found: &Metadata) -> &'static str {
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
fn special_kind(_: &Metadata) -> &'static str {
    "device"
}
