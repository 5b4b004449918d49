//! Orphans: torn tails and abandoned segments that a crash or a failing disk left. They are removed
//! once a new segment holds all of their batches that could be read, and is durable.
//!
//! The journal is the same without them. But no checksum covers them, and they take up space.

use std::io;

use crate::base::error::JournalError;
use crate::journal::format::segment;
use crate::journal::layout::{Layout, failed};
use crate::journal::storage::Storage;

/// Removes abandoned segments, and cuts torn tails off. The caller must hold the journal's lock,
/// and the writer must not be replacing a segment meanwhile.
///
/// # Errors
/// [`JournalError`], if the storage fails. Nothing of the journal is lost, and orphans that are
/// left are ignored as before.
pub(crate) fn clear(storage: &dyn Storage) -> Result<(), JournalError> {
    let layout = Layout::find(storage)?;
    let (Some(first), Some(head)) = (layout.path.first(), layout.head()) else { return Ok(()) };
    // Older segments are the retention's to archive and remove. Newer ones are the writer's.
    let between = first.header.number..head.header.number;
    for name in storage.list().map_err(|error| failed("list", "", &error))? {
        let is_between = segment::number_of(&name).is_some_and(|number| between.contains(&number));
        if is_between && layout.path.iter().all(|it| it.name != name) {
            storage.remove(&name).map_err(|error| failed("remove", &name, &error))?;
        }
    }
    // All bytes of the head count, so skip it.
    for it in layout.path.iter().rev().skip(1) {
        let cut = || {
            let more = !storage.read(&it.name, it.limit, 1)?.is_empty();
            if more { storage.truncate(&it.name, it.limit) } else { Ok(()) }
        };
        match cut() {
            // The storage can't cut files. The tail stays.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
            done => done.map_err(|error| failed("cut", &it.name, &error))?,
        }
    }
    Ok(())
}
