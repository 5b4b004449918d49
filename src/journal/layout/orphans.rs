//! Taking away what counts for nothing any more: the tails and segments that a crash or a failing disk has
//! left, once a fresh segment has all of them that could be read, and is on the disk.
//!
//! A journal without them is the same journal. But they are bytes that no checksum is asked for, and their
//! room is the journal's.

use std::io;

use crate::base::error::JournalError;
use crate::journal::format::segment;
use crate::journal::layout::{Layout, failed};
use crate::journal::storage::Storage;

/// Cuts and removes all that was given up. Only for whoever has the journal's lock, while nothing is
/// being given up.
///
/// # Errors
/// What the storage says. Nothing is lost: what is still there counts for as little as before.
pub(crate) fn clear(storage: &dyn Storage) -> Result<(), JournalError> {
    let layout = Layout::find(storage)?;
    let (Some(first), Some(head)) = (layout.path.first(), layout.head()) else { return Ok(()) };
    // What is older belongs to whoever archives and removes, what is newer to whoever writes.
    let between = first.header.number..head.header.number;
    for name in storage.list().map_err(|error| failed("list", "", &error))? {
        let is_between = segment::number_of(&name).is_some_and(|number| between.contains(&number));
        if is_between && layout.path.iter().all(|it| it.name != name) {
            storage.remove(&name).map_err(|error| failed("remove", &name, &error))?;
        }
    }
    // Of the head, all counts.
    for it in layout.path.iter().rev().skip(1) {
        let cut = || {
            let more = !storage.read(&it.name, it.limit, 1)?.is_empty();
            if more { storage.truncate(&it.name, it.limit) } else { Ok(()) }
        };
        match cut() {
            // Its tail stays.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
            done => done.map_err(|error| failed("cut", &it.name, &error))?,
        }
    }
    Ok(())
}
