//! The begin mark: where a trimmed journal begins, after its oldest segments were archived or
//! removed.
//!
//! The mark is durable before the first segment is removed. So a missing segment below the mark was
//! trimmed on purpose, and a missing segment above it is damage.

use std::io;

use xxhash_rust::xxh3::xxh3_64;

use crate::base::bytes::Cursor;
use crate::base::error::JournalError;
use crate::journal::format::batch::Hash;
use crate::journal::format::segment::UNFINISHED;
use crate::journal::layout::{damaged, failed, remove_file};
use crate::journal::storage::{Storage, StorageFile};

/// The file name of the mark.
pub(crate) const NAME: &str = "trimmed";

const MAGIC: [u8; 8] = *b"STKTRIM\n";
/// The format version that this library writes, and the newest that it reads.
const VERSION: u16 = 1;
/// Bytes of the mark.
const LENGTH: usize = 96;

/// Where a trimmed journal begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BeginMark {
    pub(crate) journal: u128,
    /// The number of the oldest segment that is kept.
    pub(crate) segment: u64,
    /// The last batch and the last entry before that segment, and the chain hash up to there.
    pub(crate) batch: u64,
    pub(crate) sequence: u64,
    pub(crate) hash: Hash,
    /// At least one of the trimmed segments is in an archive.
    pub(crate) archived: bool,
}

impl BeginMark {
    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(LENGTH as u16).to_le_bytes());
        bytes.extend_from_slice(&u32::from(self.archived).to_le_bytes());
        bytes.extend_from_slice(&self.journal.to_le_bytes());
        bytes.extend_from_slice(&self.segment.to_le_bytes());
        bytes.extend_from_slice(&self.batch.to_le_bytes());
        bytes.extend_from_slice(&self.sequence.to_le_bytes());
        bytes.extend_from_slice(&self.hash);
        let sum = xxh3_64(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<(u16, Self)> {
        let from = &mut Cursor::new(bytes);
        let magic: [u8; 8] = from.array()?;
        let (version, length, archived) = (from.u16()?, usize::from(from.u16()?), from.u32()?);
        let mark = Self {
            journal: from.u128()?,
            segment: from.u64()?,
            batch: from.u64()?,
            sequence: from.u64()?,
            hash: from.array()?,
            archived: archived == 1,
        };
        let known = version > VERSION || (length == LENGTH && archived <= 1);
        let (rest, sum) = bytes.split_last_chunk::<8>()?;
        let sound = length == bytes.len() && xxh3_64(rest).to_le_bytes() == *sum;
        (magic == MAGIC && known && sound).then_some((version, mark))
    }
}

/// Reads the begin mark; `None` if the journal was never trimmed.
pub(crate) fn read(storage: &dyn Storage) -> Result<Option<BeginMark>, JournalError> {
    // A mark says its own length in two bytes, so no version of it is longer.
    let bytes = match storage.read(NAME, 0, u64::from(u16::MAX) + 1) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes.map_err(|error| failed("read", NAME, &error))?,
    };
    match BeginMark::from_bytes(&bytes) {
        Some((VERSION, mark)) => Ok(Some(mark)),
        Some((found, _)) => {
            Err(JournalError::Version { file: NAME.to_owned(), found, newest: VERSION })
        }
        None => Err(damaged(NAME, 0, "an unreadable mark of where the journal begins".to_owned())),
    }
}

/// Replaces the begin mark atomically. It is durable once this returns.
pub(crate) fn write(storage: &dyn Storage, mark: BeginMark) -> Result<(), JournalError> {
    replace(storage, NAME, &mark.to_bytes())
}

/// Replaces a file atomically by one of these bytes; see [`replace_by`].
pub(crate) fn replace(storage: &dyn Storage, name: &str, bytes: &[u8]) -> Result<(), JournalError> {
    replace_by(storage, name, &mut |file| {
        file.append(bytes).map_err(|error| failed("write", name, &error))
    })
}

/// Replaces a file atomically by one that `fill` appends: it is written under another name, synced,
/// and renamed. The new content is durable once this returns.
pub(crate) fn replace_by(
    storage: &dyn Storage,
    name: &str,
    fill: &mut dyn FnMut(&dyn StorageFile) -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    let unfinished = format!("{name}{UNFINISHED}");
    remove_file(storage, &unfinished)?;
    let to_error = |error: io::Error| failed("write", name, &error);
    let file = storage.create(&unfinished).map_err(to_error)?;
    let replaced = fill(&*file).and_then(|()| {
        let renamed = file.sync().and_then(|()| storage.rename(&unfinished, name));
        renamed.and_then(|()| storage.sync_directory()).map_err(to_error)
    });
    if replaced.is_err() {
        // The unfinished file takes up space on a full disk. If it can't be removed now, the next
        // opening removes it.
        let _ = storage.remove(&unfinished);
    }
    replaced
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::journal::storage::simulated::SimulatedDisk;

    #[test]
    fn a_mark_is_read_back_and_no_flipped_bit_goes_unseen() {
        let disk = SimulatedDisk::new();
        assert_eq!(read(&disk), Ok(None));
        let mark = BeginMark {
            journal: 7,
            segment: 3,
            batch: 5,
            sequence: 9,
            hash: [5; 32],
            archived: true,
        };
        for mark in [mark, BeginMark { archived: false, segment: 4, ..mark }] {
            write(&disk, mark).expect("room");
            assert_eq!(read(&disk), Ok(Some(mark)));
        }
        let (name, bytes) = disk.files().remove(0);
        assert_eq!((name.as_str(), bytes.len()), (NAME, LENGTH));
        for place in 0..LENGTH {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1;
            for bytes in [flipped, bytes[..place].to_vec()] {
                let disk = SimulatedDisk::with_files([(name.clone(), bytes)]);
                assert!(read(&disk).is_err(), "byte {place}");
            }
        }
    }
}
