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
//! A mark that is true of a journal need not be true of a copy of it. Who copies the files of a
//! running engine one by one gets marks of batches that were written after their segment was
//! copied. So a mark also says where the batch ends, and which file it was written into. In that
//! file, which is the original's, it counts. In any other one, it counts if the batch's bytes are
//! there, right or wrong: a copy that has them was made after they were written.
//!
//! A journal that is closed has one mark, which is synced before the close mark is written. So in
//! such a journal, marks that can't be read are damage, and a verification says so. After a crash
//! they may be what the crash left.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::xxh3_64;

use crate::base::bytes::Cursor;
use crate::base::error::JournalError;
use crate::journal::format::segment::{self, HEADER, Point, UNFINISHED};
use crate::journal::layout::{Layout, begin_mark, damaged, failed};
use crate::journal::storage::{PlacePart, Storage, StorageFile, StorageIdentity, is_gone};

/// How an error names the marks as the source of what it knows.
pub(crate) const SAYS_SO: &str = " (the file \"synced\" says so)";
/// The name of the file.
pub(crate) const NAME: &str = "synced";

const MAGIC: [u8; 8] = *b"STKSYNC\n";
/// Bytes of a mark. It divides a sector, so no mark lies in two of them.
const LENGTH: usize = 128;
/// Once the file has so many bytes, a new one with one mark takes its place.
const FILE_BYTES_MAX: usize = 64 << 10;
/// How often the writer looks whether its file is still the one of that name. Whoever removes or
/// replaces the file takes the marks of so long at most.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// One mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SyncMark {
    pub(crate) journal: u128,
    /// The opening that synced. An opening may give a batch another content than the one before
    /// gave it, if that batch was lost. So a mark counts in its own opening only.
    pub(crate) opening: u64,
    /// The newest batch on the disk.
    pub(crate) batch: u64,
    /// The segment in which it ends, and how many bytes of that segment end with it. A redaction
    /// may make the segment shorter later, and an opening may write its end into another one.
    pub(crate) segment: u64,
    pub(crate) length: u64,
    /// The identity of the file that the mark was written into; zeros if it has none.
    pub(crate) file: [u64; 3],
}

impl SyncMark {
    fn to_bytes(self) -> [u8; LENGTH] {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&self.journal.to_le_bytes());
        for word in [self.opening, self.batch, self.segment, self.length] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        self.file.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
        let mut whole = [0; LENGTH];
        whole[..bytes.len()].copy_from_slice(&bytes);
        let sum = xxh3_64(&whole[..LENGTH - 8]);
        whole[LENGTH - 8..].copy_from_slice(&sum.to_le_bytes());
        whole
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (rest, sum) = bytes.split_last_chunk::<8>()?;
        let from = &mut Cursor::new(bytes);
        let magic: [u8; 8] = from.array()?;
        let mark = Self {
            journal: from.u128()?,
            opening: from.u64()?,
            batch: from.u64()?,
            segment: from.u64()?,
            length: from.u64()?,
            file: [from.u64()?, from.u64()?, from.u64()?],
        };
        (magic == MAGIC && xxh3_64(rest).to_le_bytes() == *sum).then_some(mark)
    }
}

/// All marks of a file with these bytes. A mark that can't be read says nothing.
fn all(bytes: &[u8]) -> impl Iterator<Item = SyncMark> {
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
    // A mark of a later opening than the newest segment's: then that opening's segments are lost.
    // Without any segment, nothing says which journal this is.
    let head = layout.head().map(|head| head.header);
    let is_own = |mark: &SyncMark| {
        head.is_none_or(|head| mark.journal == head.journal && mark.opening >= head.opening)
    };
    // If the newest segment ends at a limit, the layout is the part of a journal that a running
    // engine goes on with in later segments. What lies there is none of this part.
    let end = layout.head().map_or((u64::MAX, u64::MAX), |it| match it.limit {
        u64::MAX => (u64::MAX, u64::MAX),
        limit => (it.header.number, limit),
    });
    let counts = |mark: &SyncMark| is_own(mark) && (mark.segment, mark.length) <= end;
    let found = FoundMarks::read(storage, counts)?;
    let opening = found.marks.first().map(|newest| newest.opening);
    let batch = found.newest_witness(storage, layout)?.map_or(0, |mark| mark.batch);
    Ok(SyncsKnown { batch, is_of_head: opening.is_some() && opening == head.map(|it| it.opening) })
}

/// Marks that were read.
pub(crate) struct FoundMarks {
    /// From the newest to the oldest.
    marks: Vec<SyncMark>,
    /// The identity of the file that they were read from; zeros if it has none.
    file: [u64; 3],
}

impl FoundMarks {
    /// Reads the marks that `counts` accepts; none if there is no file.
    ///
    /// # Errors
    /// The storage's.
    pub(crate) fn read(
        storage: &dyn Storage,
        counts: impl FnMut(&SyncMark) -> bool,
    ) -> Result<Self, JournalError> {
        // The identity first: if another file takes the place meanwhile, its marks bear another.
        let file = match storage.identity(PlacePart::File(NAME)) {
            Err(error) if !is_gone(&error) => return Err(failed("look at", NAME, &error)),
            found => words(found.ok().flatten()),
        };
        let mut marks: Vec<_> = match read(storage) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(not_read(&error)),
            Ok(bytes) => all(&bytes).filter(counts).collect(),
        };
        marks.sort_by_key(|mark| std::cmp::Reverse((mark.opening, mark.batch)));
        Ok(Self { marks, file })
    }

    /// The newest mark that witnesses of this journal, and not only of the one that it was copied
    /// from.
    ///
    /// # Errors
    /// The storage's.
    pub(crate) fn newest_witness(
        &self,
        storage: &dyn Storage,
        layout: &Layout,
    ) -> Result<Option<SyncMark>, JournalError> {
        let is_original = |mark: &SyncMark| mark.file == self.file && self.file != [0; 3];
        // All marks of a file are of one place, so the newest one tells.
        if self.marks.first().is_none_or(is_original) {
            return Ok(self.marks.first().copied());
        }
        let complete = complete_to(storage, layout)?;
        for mark in &self.marks {
            let name = segment::name_of(mark.segment);
            if is_original(mark)
                || mark.segment <= complete && is_as_long(storage, &name, mark.length)?
            {
                return Ok(Some(*mark));
            }
        }
        Ok(None)
    }
}

/// The newest segment of which all segments before have the bytes that count. A copy may have an
/// older segment as it was before a newer one was begun.
fn complete_to(storage: &dyn Storage, layout: &Layout) -> Result<u64, JournalError> {
    // All bytes of the newest readable segment count, however many there are.
    let on_path = layout.path.iter().filter(|it| it.limit != u64::MAX);
    let on_path = on_path.map(|it| (it.header.number, &it.name, it.limit));
    let unreadable = layout.unreadable.iter().map(|(number, name)| (*number, name, HEADER as u64));
    for (number, name, length) in on_path.chain(unreadable) {
        if !is_as_long(storage, name, length)? {
            return Ok(number);
        }
    }
    Ok(u64::MAX)
}

/// Whether there is a file of this name with so many bytes, or more.
fn is_as_long(storage: &dyn Storage, name: &str, length: u64) -> Result<bool, JournalError> {
    match storage.read(name, length.saturating_sub(1), 1) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        last => last.map(|it| !it.is_empty()).map_err(|error| failed("read", name, &error)),
    }
}

fn words(identity: Option<StorageIdentity>) -> [u64; 3] {
    identity.map_or([0; 3], StorageIdentity::words)
}

/// The error of marks that could not be read. They may be needed to tell damage from a torn tail,
/// so nobody goes on without them by himself.
pub(crate) fn not_read(error: &io::Error) -> JournalError {
    let reason = format!(
        "{error}; if it can't be mended, move it away: the journal opens without it, but damage in \
         what was written last may then look like a torn tail"
    );
    JournalError::Storage { action: "read", file: NAME.to_owned(), reason }
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
    newest: Point,
    /// The file, and its bytes so far; `None` before the first mark and after a failure.
    file: Option<(Arc<dyn StorageFile>, usize)>,
    /// When the file was last known to bear its name.
    looked: Option<Instant>,
}

impl SyncMarks {
    /// Begins the marks of an opening. Writes nothing.
    pub(crate) fn begin(&mut self, journal: u128, opening: u64) {
        *self = Self { journal, opening, ..Self::default() };
    }

    /// Marks that all up to `durable` is on the disk. Call it only once it is.
    ///
    /// A mark that can't be written is no failure of the journal: the batches are on the disk all
    /// the same. Then the file is given up, and the next mark tries a new one.
    pub(crate) fn put(&mut self, storage: &dyn Storage, durable: Point) {
        if durable.batch <= self.newest.batch {
            return;
        }
        let put = match self.file.take() {
            Some((file, length)) if length < FILE_BYTES_MAX && self.is_there(storage, &*file) => {
                let appended = file.append(&self.mark(durable, &*file));
                appended.map(|()| (file, length + LENGTH))
            }
            _ => {
                self.looked = Some(Instant::now());
                start_file(storage, |file| self.mark(durable, file)).map(|file| (file, LENGTH))
            }
        };
        if let Ok(file) = put {
            (self.file, self.newest) = (Some(file), durable);
        }
    }

    /// Whether the file still bears its name, as far as is known. A mark in a file without a name
    /// is read by nobody.
    fn is_there(&mut self, storage: &dyn Storage, file: &dyn StorageFile) -> bool {
        let now = Instant::now();
        if self.looked.is_some_and(|looked| now.duration_since(looked) < LOOK_AGAIN) {
            return true;
        }
        self.looked = Some(now);
        match (storage.identity(PlacePart::File(NAME)), file.identity()) {
            (Ok(Some(named)), Some(own)) => named == own,
            (Err(error), _) => !is_gone(&error),
            // The storage gives no identities.
            (Ok(_), _) => true,
        }
    }

    /// Replaces all marks by the newest one, and syncs it. Call it when the journal is about to be
    /// closed. If that fails, there is no mark.
    pub(crate) fn seal(&mut self, storage: &dyn Storage) {
        self.file = None;
        let replaced = begin_mark::replace_by(storage, NAME, &mut |file| {
            let mark = self.mark(self.newest, file);
            file.append(&mark).map_err(|error| failed("write", NAME, &error))
        });
        if replaced.is_err() {
            // What a full disk has left of a mark would look like damage.
            let _ = storage.remove(NAME);
        }
    }

    /// The bytes of a mark in this file.
    fn mark(&self, durable: Point, file: &dyn StorageFile) -> [u8; LENGTH] {
        let Self { journal, opening, .. } = *self;
        let Point { batch, segment, length, .. } = durable;
        let file = words(file.identity());
        SyncMark { journal, opening, batch, segment, length, file }.to_bytes()
    }
}

/// Puts a new file with one mark in the place of the old one.
fn start_file(
    storage: &dyn Storage,
    mark: impl FnOnce(&dyn StorageFile) -> [u8; LENGTH],
) -> io::Result<Arc<dyn StorageFile>> {
    let unfinished = format!("{NAME}{UNFINISHED}");
    match storage.remove(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = storage.create(&unfinished)?;
    // Neither the file nor its name is synced: a power cut may take them.
    let put = file.append(&mark(&*file)).and_then(|()| storage.rename(&unfinished, NAME));
    if put.is_err() {
        // On a full disk, what came to nothing makes room again.
        let _ = storage.remove(&unfinished);
    }
    put.map(|()| file)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::journal::storage::simulated::SimulatedDisk;

    const MARK: SyncMark =
        SyncMark { journal: 7, opening: 3, batch: 9, segment: 5, length: 4_096, file: [1, 2, 3] };

    fn at(batch: u64) -> Point {
        Point { batch, segment: 5, length: batch * 100, ..Point::START }
    }

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
            marks.put(&disk, at(batch));
            let bytes = read(&disk).expect("a file");
            assert!(bytes.len() <= FILE_BYTES_MAX, "{} bytes", bytes.len());
            let file = words(disk.identity(PlacePart::File(NAME)).expect("a file"));
            let mark = SyncMark { batch, length: batch * 100, file, ..MARK };
            assert_eq!(all(&bytes).last(), Some(mark));
        }
    }

    #[test]
    fn marks_do_not_go_on_in_a_file_that_lost_its_name() {
        let disk = SimulatedDisk::new();
        let mut marks = SyncMarks::default();
        marks.begin(7, 3);
        let newest = |disk: &SimulatedDisk| {
            let bytes = read(disk).unwrap_or_default();
            all(&bytes).last().map(|it| it.batch)
        };
        marks.put(&disk, at(1));
        disk.remove(NAME).expect("a file");
        std::thread::sleep(LOOK_AGAIN);
        marks.put(&disk, at(2));
        assert_eq!(newest(&disk), Some(2), "the file was removed");
        disk.rename(NAME, "elsewhere").expect("a file");
        disk.create(NAME).and_then(|other| other.append(b"of somebody else")).expect("room");
        std::thread::sleep(LOOK_AGAIN);
        marks.put(&disk, at(3));
        assert_eq!(newest(&disk), Some(3), "another file took its place");
        std::thread::sleep(LOOK_AGAIN);
        marks.put(&disk, at(4));
        assert_eq!(read(&disk).expect("a file").len(), 2 * LENGTH, "it is the same file");
    }

    #[test]
    fn a_disk_that_takes_no_mark_is_tried_again_and_nothing_else_fails() {
        let disk = SimulatedDisk::new();
        let mut marks = SyncMarks::default();
        marks.begin(7, 3);
        marks.put(&disk, at(1));
        disk.fail_appends(true);
        marks.put(&disk, at(2));
        marks.put(&disk, at(3));
        disk.fail_appends(false);
        assert_eq!(all(&read(&disk).expect("a file")).last().map(|it| it.batch), Some(1));
        marks.put(&disk, at(4));
        assert_eq!(all(&read(&disk).expect("a file")).last().map(|it| it.batch), Some(4));
    }
}
