//! Backup: copies a journal while an engine writes it.

use std::any::Any;
use std::collections::BTreeSet;
use std::io::ErrorKind::NotFound;

use crate::base::error::JournalError;
use crate::journal::format::head::JournalHead;
use crate::journal::format::segment::Point;
use crate::journal::layout::begin_mark;
use crate::journal::layout::checkpoint_file;
use crate::journal::layout::consumer_file;
use crate::journal::layout::{Layout, PathSegment, failed};
use crate::journal::maintenance::retention;
use crate::journal::outcomes::foot::is_run;
use crate::journal::storage::Storage;

/// Copies the journal in `from` into the empty storage `to`, up to the point on the disk that
/// `durable` returns. The copy is what a crash at that point could have left. Trimming must be
/// paused meanwhile.
///
/// Reads and writes every byte of the journal, so it takes as long as that does; the engine goes
/// on.
pub(crate) fn copy(
    from: &dyn Storage,
    to: &dyn Storage,
    durable: impl Fn() -> Point,
) -> Result<JournalHead, JournalError> {
    let _lock = lock_empty(to)?;
    loop {
        // List the checkpoints before asking for the end. So the end lies behind all of them.
        let checkpoints = checkpoint_file::list(from)?;
        // And the outcome files, which are of finished segments.
        copy_outcomes(from, to)?;
        // So do the positions of consumers, which are of entries on the disk.
        consumer_file::copy_all(from, to)?;
        let end = durable();
        let layout = Layout::find(from)?;
        let ends_in = |it: &PathSegment| it.header.number == end.segment;
        let Some(last) = layout.path.iter().position(ends_in) else {
            // The writer has begun a new segment between the two looks, and the layout does not
            // show it. Look again.
            continue;
        };
        for (index, segment) in layout.path[..=last].iter().enumerate() {
            let length = if index == last { end.length } else { segment.limit };
            copy_file(from, to, &segment.name, length)?;
        }
        if layout.trimmed.is_some() {
            // A trimmed journal can't be read from its first entry, so the copy needs a checkpoint.
            for name in checkpoints.iter().map(String::as_str).chain([begin_mark::NAME]) {
                let length = from.length(name).map_err(|error| failed("read", name, &error))?;
                copy_file(from, to, name, length)?;
            }
        }
        to.sync_directory().map_err(|error| failed("sync", "the copy", &error))?;
        return Ok(JournalHead { sequence: end.sequence, hash: end.hash });
    }
}

/// Copies the outcome files. One that is gone before it was copied is part of a merged one, which
/// the next look finds. A copy that is cut short counts for nothing when it is opened.
fn copy_outcomes(from: &dyn Storage, to: &dyn Storage) -> Result<(), JournalError> {
    // A second round of the copy finds those of the first.
    let there = to.list().map_err(|error| failed("list", "the copy", &error))?;
    let mut seen = BTreeSet::from_iter(there);
    loop {
        let names = from.list().map_err(|error| failed("list", "", &error))?;
        let mut new = names.into_iter().filter(|name| is_run(name) && !seen.contains(name));
        let Some(name) = new.next() else { return Ok(()) };
        let is_gone = || from.length(&name).is_err_and(|error| error.kind() == NotFound);
        let copied = match from.length(&name) {
            Ok(length) => copy_file(from, to, &name, length),
            Err(error) => Err(failed("read", &name, &error)),
        };
        match copied {
            Err(error) if !is_gone() => return Err(error),
            _ => {}
        }
        seen.insert(name);
    }
}

/// Locks an empty storage, into which a journal is to be copied. A lock file in it is no content.
///
/// # Errors
/// The storage's error, or that the storage is not empty. Then nothing was written there: it may be
/// the journal itself.
pub(crate) fn lock_empty(to: &dyn Storage) -> Result<Box<dyn Any + Send + Sync>, JournalError> {
    check_empty(to)?;
    let lock = to.lock().map_err(|error| failed("lock", "the copy", &error))?;
    check_empty(to)?;
    Ok(lock)
}

fn check_empty(to: &dyn Storage) -> Result<(), JournalError> {
    let mut there = to.list().map_err(|error| failed("list", "the copy", &error))?;
    there.retain(|name| name != "lock");
    match there.first() {
        None => Ok(()),
        Some(name) => {
            let reason = std::io::ErrorKind::DirectoryNotEmpty.into();
            Err(failed("copy into a directory with", name, &reason))
        }
    }
}

fn copy_file(
    from: &dyn Storage,
    to: &dyn Storage,
    name: &str,
    length: u64,
) -> Result<(), JournalError> {
    retention::copy(from, to, name, name, length).map_err(|error| failed("copy", name, &error))
}
