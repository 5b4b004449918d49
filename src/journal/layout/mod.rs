//! The layout of a journal: which segments of a directory make it up, and in which order.
//!
//! Segments form a linked list. The header of each one names the segment that it continues from,
//! and how many bytes of that one count. The newest readable segment is the head of the list, and
//! the way from it back to the start is the *path*. A segment that is not on the path was
//! abandoned, because a disk failed or an opening continued from an earlier point. Readers ignore
//! it.

pub(crate) mod begin_mark;
pub(crate) mod checkpoint_file;
pub(crate) mod consumer_file;
pub(crate) mod lock;
pub(crate) mod orphans;
pub(crate) mod sync_mark;

use std::io;

use crate::base::error::JournalError;
use crate::journal::format::segment::{self, HEADER, Point, SegmentHeader, Start, VERSION};
use crate::journal::storage::Storage;

/// A segment on the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathSegment {
    pub(crate) name: String,
    pub(crate) header: SegmentHeader,
    /// How many of its bytes count; for the newest segment, all.
    pub(crate) limit: u64,
}

/// The segments of a journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    /// From the oldest to the newest; empty if no segment is readable.
    pub(crate) path: Vec<PathSegment>,
    /// If older segments were archived or removed: the point at which the path begins.
    pub(crate) trimmed: Option<Point>,
    /// Segments newer than the path, oldest first. The header of each, or of a segment that it
    /// continues from, is torn or damaged.
    pub(crate) unreadable: Vec<(u64, String)>,
    /// The number of the newest segment, readable or not; 0 if there is none.
    pub(crate) newest: u64,
    /// The point at which the loaded checkpoint was taken; the start if there is none. With a
    /// checkpoint, the path begins with the segment in which that batch lies.
    pub(crate) checkpoint: Point,
    /// The newest batch known to be durable from a checkpoint.
    pub(crate) durable: u64,
}

/// A journal's storage and its layout. Everyone who reads a journal needs both.
pub(crate) struct JournalDir<'a> {
    pub(crate) storage: &'a dyn Storage,
    pub(crate) layout: Layout,
}

impl<'a> JournalDir<'a> {
    /// Finds the journal in `storage`, from its beginning.
    pub(crate) fn find(storage: &'a dyn Storage) -> Result<Self, JournalError> {
        Layout::find(storage).map(|layout| Self { storage, layout })
    }

    /// As [`find`](Self::find), but the path begins with the newest segment whose header satisfies
    /// `enough`.
    pub(crate) fn find_back_to(
        storage: &'a dyn Storage,
        enough: impl Fn(&SegmentHeader) -> bool,
    ) -> Result<Self, JournalError> {
        Layout::find_back_to(storage, enough).map(|layout| Self { storage, layout })
    }
}

impl Layout {
    /// Reads the headers of all segments, and finds the path.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] if a segment of the path is missing or is not what its name says;
    /// [`JournalError::Version`] if a later version of the library wrote it;
    /// [`JournalError::Storage`].
    pub(crate) fn find(storage: &dyn Storage) -> Result<Self, JournalError> {
        Self::find_back_to(storage, |_| false)
    }

    /// As [`find`](Self::find), but the path begins with the newest segment whose header satisfies
    /// `enough`.
    pub(crate) fn find_back_to(
        storage: &dyn Storage,
        enough: impl Fn(&SegmentHeader) -> bool,
    ) -> Result<Self, JournalError> {
        let names = storage.list().map_err(|error| failed("list", "", &error))?;
        let mut numbers: Vec<u64> =
            names.iter().filter_map(|name| segment::number_of(name)).collect();
        numbers.sort_unstable();
        let mut layout = Self { newest: numbers.last().copied().unwrap_or(0), ..Self::default() };
        while let Some(number) = numbers.pop() {
            let name = segment::name_of(number);
            match read_header(storage, &name)? {
                Some(header) if header.number == number => {
                    let Some(unreadable) = layout.find_path(storage, header, &enough)? else {
                        break;
                    };
                    // A power cut may lose the header of a segment and keep the segments that
                    // follow, if none of them was synced. If one was, the reader finds out from
                    // what is left of them: then it is damage.
                    let lost = std::mem::take(&mut layout.path).into_iter().rev();
                    let lost = lost.map(|it| (it.header.number, it.name));
                    layout.unreadable.extend(lost);
                    layout.unreadable.push((unreadable, segment::name_of(unreadable)));
                    numbers.retain(|number| *number < unreadable);
                }
                Some(header) => {
                    let what = format!("a file that holds segment {}", header.number);
                    return Err(damaged(&name, 0, what));
                }
                None => layout.unreadable.push((number, name)),
            }
        }
        layout.unreadable.reverse();
        Ok(layout)
    }

    /// The newest segment of the path.
    pub(crate) fn head(&self) -> Option<&PathSegment> {
        self.path.last()
    }

    /// The sequence number of the oldest entry on the path.
    pub(crate) fn oldest(&self) -> u64 {
        self.path.first().map_or(0, |it| it.header.base.sequence) + 1
    }

    /// Follows the list from `head` back to its start, and stores the path. Returns the number of a
    /// segment that can't be read, if it meets one: the stored path then holds only the segments
    /// that follow it.
    fn find_path(
        &mut self,
        storage: &dyn Storage,
        head: SegmentHeader,
        enough: impl Fn(&SegmentHeader) -> bool,
    ) -> Result<Option<u64>, JournalError> {
        let mut path = vec![on_path(head, u64::MAX)];
        let (mut here, mut unreadable) = (head, None);
        while here.base.segment != 0 && !enough(&here) {
            let (number, limit) = (here.base.segment, here.base.length);
            let own = segment::name_of(here.number);
            if number >= here.number {
                return Err(damaged(
                    &own,
                    0,
                    "a segment that continues from a later one".to_owned(),
                ));
            }
            let name = segment::name_of(number);
            let header = match read_header(storage, &name) {
                Ok(Some(header)) => header,
                Ok(None) => {
                    unreadable = Some(number);
                    break;
                }
                Err(JournalError::Damaged { .. }) => {
                    let mark = begin_mark::read(storage)?;
                    if mark.is_some_and(|it| it.journal == head.journal && number < it.segment) {
                        self.trimmed = Some(here.base);
                        break;
                    }
                    let what =
                        format!("segment {} continues from a file that is missing", here.number);
                    return Err(damaged(&name, 0, what));
                }
                Err(error) => return Err(error),
            };
            if header.number != number || header.journal != head.journal {
                return Err(damaged(&name, 0, "a segment of another place or journal".to_owned()));
            }
            path.push(on_path(header, limit));
            here = header;
        }
        path.reverse();
        self.path = path;
        Ok(unreadable)
    }
}

fn on_path(header: SegmentHeader, limit: u64) -> PathSegment {
    PathSegment { name: segment::name_of(header.number), header, limit }
}

/// The segment header of a file; `None` if it is torn or damaged.
pub(crate) fn read_header(
    storage: &dyn Storage,
    name: &str,
) -> Result<Option<SegmentHeader>, JournalError> {
    let bytes = match storage.read(name, 0, HEADER as u64) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(damaged(name, 0, "a file that is missing".to_owned()));
        }
        bytes => bytes.map_err(|error| failed("read", name, &error))?,
    };
    match SegmentHeader::read(&bytes) {
        Start::Header(header) => Ok(Some(header)),
        Start::Unreadable => Ok(None),
        Start::Later(found) => {
            Err(JournalError::Version { file: name.to_owned(), found, newest: VERSION })
        }
    }
}

/// The error of a storage that failed at `action`. An error that is the journal's own stays what
/// it is.
pub(crate) fn failed(action: &'static str, file: &str, error: &io::Error) -> JournalError {
    if let Some(own) = error.get_ref().and_then(|inner| inner.downcast_ref::<JournalError>()) {
        return own.clone();
    }
    let file = if file.is_empty() { "the journal's directory" } else { file };
    JournalError::Storage { action, file: file.to_owned(), reason: error.to_string() }
}

/// The error of damaged bytes.
pub(crate) fn damaged(file: &str, offset: u64, what: String) -> JournalError {
    JournalError::Damaged { file: file.to_owned(), offset, what }
}

/// Removes a file. It is no error if there is none.
pub(crate) fn remove_file(storage: &dyn Storage, name: &str) -> Result<(), JournalError> {
    match storage.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove", name, &error))
        }
        _ => Ok(()),
    }
}
