//! The journal's place: the directory, the lock and the segments that are the journal's own.
//!
//! An engine writes through handles. If its directory, its lock or its segment is removed or
//! replaced meanwhile, the handles go on working, and what is written through them is lost, or is
//! beside the journal that somebody else goes on with. So the engine remembers what stood there
//! when it opened the journal, and compares it after each sync, before it answers anybody.

use std::io;

use crate::base::error::JournalError;
use crate::base::sync::{AtomicU64, Ordering};
use crate::journal::format::segment;
use crate::journal::storage::{
    LOCK_NAME, PlacePart, Storage, StorageFile, StorageIdentity, directory, is_gone,
};

/// What stood at the journal's place when the lock was taken.
pub(crate) struct JournalPlace {
    directory: Remembered,
    lock: Remembered,
    /// The highest number of a segment that the writer has begun, or is about to begin.
    announced: AtomicU64,
}

/// What was seen of a part of the place.
enum Remembered {
    /// The storage gives no identities, so there is nothing to compare.
    Unknown,
    Seen(StorageIdentity),
    /// It was gone already. Nothing is equal to it.
    Missing,
}

impl Remembered {
    fn of(storage: &dyn Storage, part: PlacePart<'_>) -> Self {
        match storage.identity(part) {
            Ok(None) => Self::Unknown,
            Ok(Some(identity)) => Self::Seen(identity),
            Err(_) => Self::Missing,
        }
    }

    fn is(&self, now: StorageIdentity) -> bool {
        match self {
            Self::Unknown => true,
            Self::Seen(before) => *before == now,
            Self::Missing => false,
        }
    }
}

impl JournalPlace {
    /// Remembers the place. The caller must hold the storage's lock.
    pub(crate) fn of(storage: &dyn Storage) -> Self {
        Self {
            directory: Remembered::of(storage, PlacePart::Directory),
            lock: Remembered::of(storage, PlacePart::Lock),
            announced: AtomicU64::new(0),
        }
    }

    /// Notes that the writer is about to create this segment. Call it before.
    pub(crate) fn announce(&self, number: u64) {
        // Release pairs with the Acquire in `check`: who finds the segment that is created after
        // this finds it announced.
        self.announced.fetch_max(number, Ordering::Release);
    }

    /// Compares the directory, the lock, and each of these segments with what stands there now; and
    /// looks whether another engine has begun the next segment.
    ///
    /// # Errors
    /// [`JournalError::PlaceChanged`] if one of them is gone or another one; otherwise the
    /// storage's error, if it can't be looked at.
    pub(crate) fn check<'a>(
        &self,
        storage: &dyn Storage,
        segments: impl IntoIterator<Item = (u64, &'a dyn StorageFile)>,
    ) -> Result<(), JournalError> {
        let same = |part: PlacePart<'_>, before: &Remembered| match look(storage, part)? {
            There::Unknown => Ok(()),
            There::Is(now) if before.is(now) => Ok(()),
            There::Is(_) | There::Nothing => Err(changed(storage, part)),
        };
        // The directory first: the storage may look for the others in the one that it holds.
        same(PlacePart::Directory, &self.directory)?;
        for (number, file) in segments {
            let name = segment::name_of(number);
            let before = file.identity().map_or(Remembered::Unknown, Remembered::Seen);
            same(PlacePart::File(&name), &before)?;
        }
        same(PlacePart::Lock, &self.lock)?;
        // Acquire pairs with the Release in `announce`.
        let next = self.announced.load(Ordering::Acquire) + 1;
        let name = segment::name_of(next);
        if matches!(look(storage, PlacePart::File(&name))?, There::Is(_))
            && self.announced.load(Ordering::Acquire) < next
        {
            return Err(foreign_segment(storage, next));
        }
        Ok(())
    }
}

/// The error of a segment that another engine has written into this journal.
pub(crate) fn foreign_segment(storage: &dyn Storage, number: u64) -> JournalError {
    let path = path_of(storage, PlacePart::File(&segment::name_of(number)));
    JournalError::PlaceChanged { what: "newest segment", path }
}

/// Refuses a storage that lies in the same directory as the journal, by whatever path. Each of the
/// two directories that does not exist is another one.
///
/// # Errors
/// [`JournalError::SamePlace`]; the storage's error.
pub(crate) fn check_apart(
    journal: &dyn Storage,
    other: &dyn Storage,
    what: &'static str,
) -> Result<(), JournalError> {
    let there = |storage| look(storage, PlacePart::Directory);
    match (there(journal)?, there(other)?) {
        (There::Is(journal), There::Is(other)) if journal == other => {
            Err(JournalError::SamePlace { what })
        }
        _ => Ok(()),
    }
}

/// As [`check_apart`], and refuses a directory that lies within the journal's, too. Whoever removes
/// the journal would remove it with it.
///
/// # Errors
/// As [`check_apart`].
pub(crate) fn check_outside(
    journal: &dyn Storage,
    other: &dyn Storage,
    what: &'static str,
) -> Result<(), JournalError> {
    check_apart(journal, other, what)?;
    let (There::Is(own), Some(path)) = (look(journal, PlacePart::Directory)?, other.path()) else {
        return Ok(());
    };
    match directory::lies_within(path, own) {
        Ok(false) => Ok(()),
        Ok(true) => Err(JournalError::SamePlace { what }),
        Err(error) => Err(unseen(other, PlacePart::Directory, &error)),
    }
}

/// What stands at a part of the place now.
enum There {
    Unknown,
    Is(StorageIdentity),
    Nothing,
}

fn look(storage: &dyn Storage, part: PlacePart<'_>) -> Result<There, JournalError> {
    match storage.identity(part) {
        Ok(None) => Ok(There::Unknown),
        Ok(Some(now)) => Ok(There::Is(now)),
        Err(error) if is_gone(&error) => Ok(There::Nothing),
        Err(error) => Err(unseen(storage, part, &error)),
    }
}

fn unseen(storage: &dyn Storage, part: PlacePart<'_>, error: &io::Error) -> JournalError {
    let (file, reason) = (path_of(storage, part), error.to_string());
    JournalError::Storage { action: "look at", file, reason }
}

/// The error of a part of the place that is gone, or another one.
pub(crate) fn changed(storage: &dyn Storage, part: PlacePart<'_>) -> JournalError {
    let what = match part {
        PlacePart::Directory => "directory",
        PlacePart::Lock => "lock",
        PlacePart::File(_) => "segment",
    };
    JournalError::PlaceChanged { what, path: path_of(storage, part) }
}

fn path_of(storage: &dyn Storage, part: PlacePart<'_>) -> String {
    let name = match part {
        PlacePart::Directory => None,
        PlacePart::Lock => Some(LOCK_NAME),
        PlacePart::File(name) => Some(name),
    };
    match (storage.path(), name) {
        (Some(directory), Some(name)) => directory.join(name).display().to_string(),
        (Some(directory), None) => directory.display().to_string(),
        (None, name) => name.unwrap_or("the journal's directory").to_owned(),
    }
}
