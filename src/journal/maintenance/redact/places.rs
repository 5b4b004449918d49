//! Erases notes in a journal's files: in the segments that nobody writes any more, and in
//! checkpoints.

use std::any::Any;
use std::collections::BTreeSet;
use std::io;
use std::ops::Range;

use crate::audit::log::Redacted;
use crate::base::error::JournalError;
use crate::journal::format::batch::{self, body_sum};
use crate::journal::format::notes::ERASED;
use crate::journal::format::segment::{self, HEADER, SegmentHeader, Start};
use crate::journal::layout::begin_mark;
use crate::journal::layout::checkpoint_file;
use crate::journal::layout::lock::{LOCK_WAIT, take_lock};
use crate::journal::layout::{JournalDir, Layout, PathSegment, damaged, failed, remove_file};
use crate::journal::ledger::Ledger;
use crate::journal::maintenance::redact::picked::RedactionVisitor;
use crate::journal::maintenance::redact::{EraseRequest, Erased};
use crate::journal::recovery::replay::replay;
use crate::journal::recovery::start;
use crate::journal::storage::{Storage, StorageFile};
use crate::journal::windows::{WINDOW, Window, Windows, read_at};

/// Where a journal's files lie. To erase in them, the caller must hold the locks of the journal and
/// of the archive.
pub(crate) struct Places<'a> {
    pub(crate) journal: &'a dyn Storage,
    pub(crate) archive: Option<&'a dyn Storage>,
    /// The number of this opening. It goes into the names of unfinished files, so that they differ
    /// from those of another process.
    pub(crate) opening: u64,
}

/// Takes a storage's lock, as an opening does by default.
///
/// # Errors
/// As [`take_lock`].
pub(crate) fn lock(storage: &dyn Storage) -> Result<Box<dyn Any + Send + Sync>, JournalError> {
    take_lock(storage, LOCK_WAIT)
}

impl Places<'_> {
    /// Erases the requested notes in the segments of `dir`, which shows journal and archive as one.
    /// Nobody may write these segments any more. Returns `None` if it was told to stop. Checkpoints
    /// are not changed; [`erase_texts`](Self::erase_texts) does that.
    ///
    /// Each file is replaced atomically. A segment that lies in both places is erased in the
    /// archive first. So after a crash, the journal's own copy still has the notes, and the next
    /// call finds them.
    ///
    /// # Errors
    /// As [`redact`](crate::redact).
    pub(crate) fn erase(
        &self,
        mut dir: JournalDir<'_>,
        request: EraseRequest<'_>,
    ) -> Result<Option<Erased>, JournalError> {
        let mark = begin_mark::read(self.journal)?;
        let is_seen = self.archive.is_some() && dir.layout.trimmed.is_none();
        if !is_seen && mark.is_some_and(|mark| mark.archived) {
            // The archive is not given, so the notes in its segments would stay.
            return Err(JournalError::Trimmed { oldest: dir.layout.oldest() });
        }
        let mut ledger = match dir.layout.trimmed {
            Some(_) => start::begin_trimmed(&mut dir, 0)?.1,
            None => Ledger::new(0),
        };
        let (stop, newest) = (request.stop, request.newest);
        let mut visitor = RedactionVisitor::new(request, &ledger);
        let outcome = replay(&dir, &mut ledger, &mut visitor, None)?;
        if stop() {
            return Ok(None);
        }
        if let Some(torn) = outcome.torn {
            let what = format!("a torn tail, which an engine has to cut first: {}", torn.what);
            return Err(damaged(&torn.file, torn.offset, what));
        }
        if let Some(stray) = outcome.stray.first() {
            // An engine has to cut them first, too.
            return Err(stray.to_error());
        }
        let RedactionVisitor { mut edits, count, records, decisions, .. } = visitor;
        let mut redacted = Redacted { records: count, segments: 0 };
        for on_path in &dir.layout.path {
            let edits = edits.remove(&on_path.name).unwrap_or_default();
            let mut rewritten = false;
            for storage in self.archive.into_iter().chain([self.journal]) {
                if stop() {
                    return Ok(None);
                }
                rewritten |= erase_in_segment(storage, on_path, &edits)?;
            }
            redacted.segments += usize::from(rewritten);
        }
        for storage in self.archive.into_iter().chain([self.journal]) {
            remove_given_up(storage, &dir.layout, newest)?;
        }
        Ok(Some(Erased { redacted, records, decisions }))
    }

    /// Erases in the checkpoints who decided on these transfers, and why.
    ///
    /// # Errors
    /// The storage's error.
    pub(crate) fn erase_texts(&self, decisions: &BTreeSet<u64>) -> Result<(), JournalError> {
        erase_texts(self.journal, self.opening, decisions)
    }
}

/// Rewrites each checkpoint that says who decided on one of these transfers, and why, without these
/// texts. Removes a checkpoint that is damaged, because nobody can tell what it holds.
fn erase_texts(
    storage: &dyn Storage,
    opening: u64,
    decisions: &BTreeSet<u64>,
) -> Result<(), JournalError> {
    checkpoint_file::remove_unfinished(storage)?;
    for name in checkpoint_file::list(storage)? {
        let header = checkpoint_file::read_header(storage, &name);
        let keys = header.map_or(0, |it| usize::try_from(it.keys).unwrap_or(usize::MAX));
        match start::read(storage, &name, keys) {
            Ok((header, mut ledger)) => {
                if ledger.transfers.erase_texts(decisions) {
                    checkpoint_file::write(storage, opening, header, &ledger.to_bytes(keys))
                        .map_err(|error| failed("write", &name, &error))?;
                }
            }
            Err(JournalError::Damaged { .. }) => {
                remove_file(storage, &name)?;
                storage.sync_directory().map_err(|error| failed("sync", "", &error))?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Rewrites a segment without the notes at `edits`, and without the bytes behind its end. Returns
/// `false` if this storage does not hold the segment, or has nothing in it to erase.
fn erase_in_segment(
    storage: &dyn Storage,
    on_path: &PathSegment,
    edits: &[Range<u64>],
) -> Result<bool, JournalError> {
    let name = &on_path.name;
    let to_error = |error: io::Error| failed("read", name, &error);
    match storage.length(name) {
        // The segment lies only in the other storage.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        length => {
            let given_up = length.map_err(to_error)? > on_path.limit;
            if edits.is_empty() && !given_up {
                return Ok(false);
            }
        }
    }
    let beginning = storage.read(name, 0, HEADER as u64).map_err(to_error)?;
    if is_of_another_journal(&beginning, on_path.header.journal) {
        return Err(JournalError::OtherJournal { file: name.clone() });
    }
    let last = edits.iter().map(|edit| edit.end).max().unwrap_or(0);
    if last > 0 && storage.read(name, last - 1, 1).map_err(to_error)?.is_empty() {
        // The copy that was read is the other storage's.
        let length = storage.length(name).map_err(to_error)?;
        return Err(damaged(name, length, "a segment that is shorter than its copy".to_owned()));
    }
    begin_mark::replace_by(storage, name, &mut |file| {
        append(file, name, &beginning)?;
        let mut windows = Windows::new(storage, on_path);
        loop {
            let mut window = windows.next()?;
            let end = window.end();
            erase(&mut window, on_path.header.number, edits);
            append(file, name, &window.bytes[..end])?;
            if window.is_last {
                return append_rest(storage, on_path, window.start + end as u64, file);
            }
        }
    })?;
    Ok(true)
}

fn append(file: &dyn StorageFile, name: &str, bytes: &[u8]) -> Result<(), JournalError> {
    file.append(bytes).map_err(|error| failed("write", name, &error))
}

/// Appends what follows the last batch of a segment: a close mark.
fn append_rest(
    storage: &dyn Storage,
    on_path: &PathSegment,
    mut at: u64,
    file: &dyn StorageFile,
) -> Result<(), JournalError> {
    loop {
        let rest = read_at(storage, on_path, at, WINDOW)?;
        if rest.is_empty() {
            return Ok(());
        }
        append(file, &on_path.name, &rest)?;
        at += rest.len() as u64;
    }
}

/// Whether a file that begins with these bytes is a segment of another journal. A later format
/// version counts as another journal; an unreadable beginning does not.
fn is_of_another_journal(beginning: &[u8], journal: u128) -> bool {
    match SegmentHeader::read(beginning) {
        Start::Header(header) => header.journal != journal,
        Start::Later(_) => true,
        Start::Unreadable => false,
    }
}

/// Overwrites those notes of a window with zeros that lie at `edits`, places in the file, and
/// recomputes the checksums of its batches.
fn erase(window: &mut Window, seed: u64, edits: &[Range<u64>]) {
    let Window { start, bytes, found, .. } = window;
    let inside = *start..*start + bytes.len() as u64;
    // Notes lie within one batch, and so within one window.
    for edit in edits.iter().filter(|edit| inside.contains(&edit.start) && edit.end <= inside.end) {
        let (from, to) = ((edit.start - *start) as usize, (edit.end - *start) as usize);
        bytes[from..to].fill(0);
        bytes[from] = ERASED;
    }
    for found in found {
        let mut header = found.header;
        header.body_sum = body_sum(&bytes[found.records.start..found.notes.end]);
        bytes[found.offset..found.offset + batch::HEADER].copy_from_slice(&header.to_bytes(seed));
    }
}

/// Removes segments that are not on the journal's path, and unfinished ones: they may hold notes
/// that were erased elsewhere. Keeps segments above `newest`, because a writer may be at work on
/// them.
fn remove_given_up(
    storage: &dyn Storage,
    layout: &Layout,
    newest: u64,
) -> Result<(), JournalError> {
    let Some(journal) = layout.head().map(|head| head.header.journal) else { return Ok(()) };
    let mut removed = false;
    for name in storage.list().map_err(|error| failed("list", "", &error))? {
        let finished = name.strip_suffix(segment::UNFINISHED).unwrap_or(&name);
        let on_path = layout.path.iter().any(|it| it.name == name);
        if segment::number_of(finished).is_none_or(|number| number > newest) || on_path {
            continue;
        }
        let beginning = storage.read(&name, 0, HEADER as u64);
        let beginning = beginning.map_err(|error| failed("read", &name, &error))?;
        if !is_of_another_journal(&beginning, journal) {
            remove_file(storage, &name)?;
            removed = true;
        }
    }
    match removed {
        true => storage.sync_directory().map_err(|error| failed("sync", "", &error)),
        false => Ok(()),
    }
}
