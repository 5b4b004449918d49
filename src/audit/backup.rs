//! A copy of a journal, made while it is written.

use crate::audit::head::JournalHead;
use crate::audit::journal::layout::{Layout, PathSegment, failed};
use crate::audit::journal::segment::Point;
use crate::audit::journal::storage::Storage;
use crate::error::JournalError;

/// Bytes that are copied at once.
const CHUNK: u64 = 4 << 20;

/// Copies the journal in `from` up to what is on the disk, as `durable` says. The copy is as a crash
/// could have left the journal at that point.
pub(crate) fn copy(
    from: &dyn Storage,
    to: &dyn Storage,
    durable: impl Fn() -> Point,
) -> Result<JournalHead, JournalError> {
    let _lock = to.lock().map_err(|error| failed("lock", "the copy", &error))?;
    let mut there = to.list().map_err(|error| failed("list", "the copy", &error))?;
    there.retain(|name| name != "lock");
    if let Some(name) = there.first() {
        let reason = std::io::ErrorKind::DirectoryNotEmpty.into();
        return Err(failed("copy into a directory with", name, &reason));
    }
    loop {
        let end = durable();
        let layout = Layout::find(from)?;
        let ends_in = |it: &PathSegment| it.header.number == end.segment;
        let Some(last) = layout.path.iter().position(ends_in) else {
            // The writer has begun afresh between the two looks.
            continue;
        };
        for (index, segment) in layout.path[..=last].iter().enumerate() {
            let length = if index == last { end.length } else { segment.limit };
            copy_file(from, to, &segment.name, length)?;
        }
        to.sync_directory().map_err(|error| failed("sync", "the copy", &error))?;
        return Ok(JournalHead { sequence: end.sequence, hash: end.hash });
    }
}

fn copy_file(
    from: &dyn Storage,
    to: &dyn Storage,
    name: &str,
    length: u64,
) -> Result<(), JournalError> {
    let file = to.create(name).map_err(|error| failed("create", name, &error))?;
    let mut offset = 0;
    while offset < length {
        let wanted = CHUNK.min(length - offset);
        let bytes = from.read(name, offset, wanted).map_err(|it| failed("read", name, &it))?;
        if bytes.is_empty() {
            return Err(failed("read", name, &std::io::ErrorKind::UnexpectedEof.into()));
        }
        file.append(&bytes).map_err(|error| failed("write", name, &error))?;
        offset += bytes.len() as u64;
    }
    file.sync().map_err(|error| failed("sync", name, &error))
}
