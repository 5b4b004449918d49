//! The sync mark: which batch was the newest on the disk, told to the next opening of the journal.
//!
//! A batch says in its header which one was durable when it was written. So the newest synced batch
//! is known to be durable only once a later one is written. If the process is killed before, a
//! damaged byte in that batch would look like a tail that the kill has torn. The mark, in a file of
//! its own, tells the two apart.
//!
//! The mark is appended *after* a sync, and before its callers are answered. It is never synced.
//! That is enough to survive the process: the system has the bytes. A power cut may take any of
//! the marks, but a mark that is there is true, since the batch was on the disk before. An older
//! library ignores the file. Nobody needs it to read a journal: without it, less is noticed.
//!
//! A journal that is closed has one mark, which is synced before the close mark is written. So in
//! such a journal, marks that can't be read are damage, and a verification says so. After a crash
//! they may be what the crash left.

use std::io;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::base::error::JournalError;
use crate::journal::format::bytes::Cursor;
use crate::journal::format::segment::UNFINISHED;
use crate::journal::layout::{Layout, begin_mark, damaged, failed};
use crate::journal::storage::{Storage, StorageFile};

/// How an error names the marks as the source of what it knows.
pub(crate) const SAYS_SO: &str = " (the file \"synced\" says so)";
/// The name of the file.
pub(crate) const NAME: &str = "synced";

const MAGIC: [u8; 8] = *b"STKSYNC\n";
/// Bytes of a mark. It divides a sector, so no mark lies in two of them.
const LENGTH: usize = 64;
/// Once the file has so many bytes, a new one with one mark takes its place.
const FILE_BYTES_MAX: usize = 64 << 10;

/// One mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SyncMark {
    pub(crate) journal: u128,
    /// The opening that synced. An opening may give a batch another content than the one before
    /// gave it, if that batch was lost. So a mark counts in its own opening only.
    pub(crate) opening: u64,
    /// The newest batch on the disk.
    pub(crate) batch: u64,
}

impl SyncMark {
    fn to_bytes(self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..24].copy_from_slice(&self.journal.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.opening.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.batch.to_le_bytes());
        let sum = xxh3_64(&bytes[..LENGTH - 8]);
        bytes[LENGTH - 8..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (rest, sum) = bytes.split_last_chunk::<8>()?;
        let from = &mut Cursor::new(bytes);
        let magic: [u8; 8] = from.array()?;
        let mark = Self { journal: from.u128()?, opening: from.u64()?, batch: from.u64()? };
        (magic == MAGIC && xxh3_64(rest).to_le_bytes() == *sum).then_some(mark)
    }
}

/// All marks of a file with these bytes. A mark that can't be read says nothing.
pub(crate) fn all(bytes: &[u8]) -> impl Iterator<Item = SyncMark> {
    bytes.chunks_exact(LENGTH).filter_map(SyncMark::from_bytes)
}

/// What the marks say about a journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SyncsKnown {
    /// The newest batch that was on the disk; 0 if no mark says so.
    pub(crate) batch: u64,
    /// The newest mark is of the opening that wrote the newest segment.
    pub(crate) is_of_head: bool,
}

/// Finds what the marks say about the journal with this layout.
///
/// # Errors
/// The storage's error. It is no error if there is no file.
pub(crate) fn find(storage: &dyn Storage, layout: &Layout) -> Result<SyncsKnown, JournalError> {
    let bytes = match read(storage) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(SyncsKnown::default()),
        bytes => bytes.map_err(|error| failed("read", NAME, &error))?,
    };
    // A mark of a later opening than the newest segment's: then that opening's segments are lost.
    // Without any segment, nothing says which journal this is.
    let counts = |mark: &SyncMark| {
        layout
            .head()
            .map(|head| head.header)
            .is_none_or(|head| mark.journal == head.journal && mark.opening >= head.opening)
    };
    let newest = all(&bytes).filter(counts).max_by_key(|mark| (mark.opening, mark.batch));
    let Some(SyncMark { opening, batch, .. }) = newest else { return Ok(SyncsKnown::default()) };
    let is_of_head = layout.head().is_some_and(|head| head.header.opening == opening);
    Ok(SyncsKnown { batch, is_of_head })
}

/// Checks the marks of a journal that was closed.
///
/// # Errors
/// [`JournalError::Damaged`] if any can't be read; otherwise the storage's error.
pub(crate) fn check_closed(storage: &dyn Storage) -> Result<(), JournalError> {
    let bytes = match read(storage) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        bytes => bytes.map_err(|error| failed("read", NAME, &error))?,
    };
    let sound = all(&bytes).count() * LENGTH;
    if sound == bytes.len() {
        Ok(())
    } else {
        Err(damaged(NAME, 0, "a sync mark that can't be read".to_owned()))
    }
}

/// The bytes of the file, as far as one could have been written.
///
/// # Errors
/// [`NotFound`](io::ErrorKind::NotFound) if there is none; otherwise the storage's error.
pub(crate) fn read(storage: &dyn Storage) -> io::Result<Vec<u8>> {
    storage.read(NAME, 0, (FILE_BYTES_MAX + LENGTH) as u64)
}

/// Writes the marks of one opening.
#[derive(Default)]
pub(crate) struct SyncMarks {
    journal: u128,
    opening: u64,
    newest: u64,
    /// The file, and its bytes so far; `None` before the first mark and after a failure.
    file: Option<(Arc<dyn StorageFile>, usize)>,
}

impl SyncMarks {
    /// Begins the marks of an opening. Writes nothing.
    pub(crate) fn begin(&mut self, journal: u128, opening: u64) {
        *self = Self { journal, opening, ..Self::default() };
    }

    /// Marks that batch `batch` and all before it are on the disk. Call it only once they are.
    ///
    /// A mark that can't be written is no failure of the journal: the batches are on the disk all
    /// the same. Then the file is given up, and the next mark tries a new one.
    pub(crate) fn put(&mut self, storage: &dyn Storage, batch: u64) {
        if batch <= self.newest {
            return;
        }
        let bytes = SyncMark { journal: self.journal, opening: self.opening, batch }.to_bytes();
        let put = match self.file.take() {
            Some((file, length)) if length < FILE_BYTES_MAX => {
                file.append(&bytes).map(|()| (file, length + LENGTH))
            }
            _ => start_file(storage, &bytes).map(|file| (file, LENGTH)),
        };
        if let Ok(file) = put {
            (self.file, self.newest) = (Some(file), batch);
        }
    }
}

impl SyncMarks {
    /// Replaces all marks by the newest one, and syncs it. Call it when the journal is about to be
    /// closed. If that fails, there is no mark.
    pub(crate) fn seal(&mut self, storage: &dyn Storage) {
        self.file = None;
        let Self { journal, opening, newest, .. } = *self;
        let mark = SyncMark { journal, opening, batch: newest };
        if begin_mark::replace(storage, NAME, &mark.to_bytes()).is_err() {
            // What a full disk has left of a mark would look like damage.
            let _ = storage.remove(NAME);
        }
    }
}

/// Puts a new file with these bytes in the place of the old one.
fn start_file(storage: &dyn Storage, bytes: &[u8]) -> io::Result<Arc<dyn StorageFile>> {
    let unfinished = format!("{NAME}{UNFINISHED}");
    match storage.remove(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = storage.create(&unfinished)?;
    // Neither the file nor its name is synced: a power cut may take them.
    file.append(bytes)?;
    storage.rename(&unfinished, NAME)?;
    Ok(file)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::journal::storage::simulated::SimulatedDisk;

    const MARK: SyncMark = SyncMark { journal: 7, opening: 3, batch: 9 };

    #[test]
    fn a_mark_is_read_back_and_no_flipped_bit_makes_another_one() {
        let bytes = MARK.to_bytes();
        assert_eq!(SyncMark::from_bytes(&bytes), Some(MARK));
        for bit in 0..LENGTH * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SyncMark::from_bytes(&flipped), None, "bit {bit}");
        }
    }

    #[test]
    fn the_file_stays_small_and_always_bears_the_newest_mark() {
        let disk = SimulatedDisk::new();
        let mut marks = SyncMarks::default();
        marks.begin(7, 3);
        for batch in 1..5_000 {
            marks.put(&disk, batch);
            let bytes = read(&disk).expect("a file");
            assert!(bytes.len() <= FILE_BYTES_MAX, "{} bytes", bytes.len());
            assert_eq!(all(&bytes).last(), Some(SyncMark { batch, ..MARK }));
        }
    }

    #[test]
    fn a_disk_that_takes_no_mark_is_tried_again_and_nothing_else_fails() {
        let disk = SimulatedDisk::new();
        let mut marks = SyncMarks::default();
        marks.begin(7, 3);
        marks.put(&disk, 1);
        disk.fail_appends(true);
        marks.put(&disk, 2);
        marks.put(&disk, 3);
        disk.fail_appends(false);
        assert_eq!(all(&read(&disk).expect("a file")).last().map(|it| it.batch), Some(1));
        marks.put(&disk, 4);
        assert_eq!(all(&read(&disk).expect("a file")).last().map(|it| it.batch), Some(4));
    }
}
