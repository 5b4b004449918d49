//! Files that are far longer than what was written, or whose batches are: they are read in windows,
//! so that no length that a file claims is memory that a process needs.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use stockade::testing::SimulatedDisk;
use stockade::{
    AuditFilter, FileStorage, JournalError, JournalOptions, JournalReader, JournalRetention,
    Limits, Storage, StorageFile, redact,
};

use crate::environment::{journal, limits, newest, options};
use crate::pass_on::pass_on;
use crate::state::{engine_on, small};

fn verdict(storage: impl Storage) -> Result<(), JournalError> {
    Ok(JournalReader::on(storage).verify(None).map(drop)?)
}

/// A disk with one file more, which is as long as it says and holds only zeros behind `beginning`.
/// It keeps in mind how many bytes it was asked for at once.
#[derive(Clone)]
struct Sparse {
    disk: SimulatedDisk,
    name: String,
    beginning: Vec<u8>,
    length: u64,
    most: Arc<AtomicUsize>,
    /// How many bytes were read of the file, and whether it tells where its hole is.
    all: Arc<AtomicU64>,
    tells: bool,
}

/// The most bytes that anybody may ask a storage for at once: some windows.
const MOST_AT_ONCE: usize = 32 << 20;
const HUGE: u64 = 30 << 30;
/// The most bytes that anybody may read of a file that is nearly all hole.
const MOST_OF_ALL: u64 = 512 << 20;

impl Storage for Sparse {
    pass_on!(disk: lock create rename remove truncate sync_directory);

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = self.disk.list()?;
        names.push(self.name.clone());
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    fn read(&self, name: &str, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        if name != self.name {
            return self.disk.read(name, offset, length);
        }
        let there = usize::try_from(length.min(self.length.saturating_sub(offset)));
        let there = there.unwrap_or(usize::MAX);
        self.most.fetch_max(there, Ordering::SeqCst);
        let all = self.all.fetch_add(there as u64, Ordering::SeqCst);
        if self.tells && all > MOST_OF_ALL {
            return Err(io::Error::other("somebody reads the hole"));
        }
        if there > MOST_AT_ONCE {
            // As the system does, but not at the cost of this process.
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.beginning.len());
        let mut bytes = self.beginning[from..].to_vec();
        bytes.resize(there, 0);
        Ok(bytes)
    }

    fn next_data(&self, name: &str, offset: u64) -> io::Result<u64> {
        let is_hole = offset >= self.beginning.len() as u64;
        let skips = self.tells && name == self.name && is_hole;
        Ok(if skips { self.length.max(offset) } else { offset })
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        if name == self.name { Ok(self.length) } else { self.disk.length(name) }
    }
}

impl Sparse {
    fn of(disk: &SimulatedDisk, name: &str, length: u64) -> Self {
        let files = disk.files().into_iter().find(|(file, _)| file == name);
        let beginning = files.map_or_else(Vec::new, |(_, bytes)| bytes);
        let (most, all) = Default::default();
        let (disk, name, tells) = (disk.killed(), name.to_owned(), false);
        Self { disk, name, beginning, length, most, all, tells }
    }

    /// One that tells where its hole is.
    fn with_hole(disk: &SimulatedDisk, name: &str) -> Self {
        Self { tells: true, ..Self::of(disk, name, HUGE) }
    }

    /// Nobody read the hole.
    fn assert_skipped(&self, what: &str) {
        self.assert_windows(what);
        let all = self.all.load(Ordering::SeqCst);
        assert!(all < MOST_OF_ALL, "{what}: {all} bytes");
    }

    /// Nobody asked for more at once than some windows.
    fn assert_windows(&self, what: &str) {
        let most = self.most.load(Ordering::SeqCst);
        assert!(most > 0, "{what}: nobody read it");
        assert!(most <= MOST_AT_ONCE, "{what}: {most} bytes at once");
    }
}

/// Limits of a small engine that takes notes of some 9 MiB.
fn long_notes() -> Limits {
    small().audit_retained(0).notes(64, 1 << 24)
}

/// A journal of one segment, as a kill left it.
fn killed() -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let manager = limits(engine_on(options(disk.clone()))).build().expect("a new journal");
    for _ in 0..5 {
        manager.add_stock(("SF", "DESK"), 1, "SUPPLIER").expect("room");
        manager.flush().wait().expect("written");
    }
    let killed = disk.killed();
    drop(manager);
    killed
}

/// The length of a huge file in the tests that read all of it: several windows.
const LONG: u64 = 100 << 20;

#[test]
fn a_huge_hole_behind_a_segment_is_a_torn_tail_that_is_read_in_windows() {
    let disk = journal(&JournalRetention::keep_all());
    let sparse = Sparse::of(&disk, &newest(&disk, ".journal"), LONG);
    let verified = JournalReader::on(sparse.clone()).verify(None).expect("a torn tail");
    assert!(verified.torn.is_some(), "{verified:?}");
    assert!(JournalReader::on(sparse.clone()).verify_checksums(None).is_ok());
    let reopened = limits(engine_on(options(sparse.clone()))).build();
    assert!(reopened.is_ok(), "{reopened:?}");
    sparse.assert_windows("a tail");
}

#[test]
fn a_hole_is_skipped_however_long_it_is() {
    let disk = journal(&JournalRetention::keep_all());
    let (head, closed) = (newest(&disk, ".journal"), SimulatedDisk::new());
    drop(limits(engine_on(options(closed.clone()))).build().expect("a new journal"));
    let of_closed = newest(&closed, ".journal");
    let places = [
        ("a tail", &disk, &*head),
        ("a stray segment", &disk, "0000000999.journal"),
        ("a closed journal", &closed, &*of_closed),
        ("a stray segment behind a close", &closed, "0000000999.journal"),
    ];
    for (what, disk, name) in places {
        let sparse = Sparse::with_hole(disk, name);
        let verified = verdict(sparse.clone());
        assert_eq!(verified.is_ok(), what == "a tail" || what == "a stray segment", "{what}");
        let _ = JournalReader::on(sparse.clone()).verify_checksums(None);
        JournalReader::on(sparse.clone()).stock(None).expect("readable");
        let entries = JournalReader::on(sparse.clone()).entries(&AuditFilter::new(), drop);
        entries.expect("readable");
        let saved = JournalReader::on(sparse.clone()).salvage_on(SimulatedDisk::new(), |_| {});
        saved.unwrap_or_else(|it| panic!("{what}: {it}"));
        sparse.assert_skipped(what);
        let manager = limits(engine_on(options(sparse.clone()))).build();
        let manager = manager.unwrap_or_else(|it| panic!("{what}: {it}"));
        manager.verify().expect("sound");
        sparse.assert_skipped(what);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_directory_of_the_system_tells_where_holes_are() {
    let scratch = crate::disks::Scratch::new("holes");
    let files = FileStorage::new(scratch.join("j"));
    drop(files.lock().expect("a new directory"));
    files.create("a").and_then(|file| file.append(b"begins")).expect("room");
    let path = scratch.join("j").join("a");
    let file = std::fs::OpenOptions::new().write(true).open(path).expect("a file");
    file.set_len(HUGE).expect("sparse files");
    assert_eq!(files.next_data("a", 3).expect("a file"), 3);
    let hole = 1 << 20;
    assert_eq!(files.next_data("a", hole).expect("a file"), HUGE);
    std::os::unix::fs::FileExt::write_all_at(&file, b"goes on", HUGE / 2).expect("room");
    assert_eq!(files.next_data("a", hole).expect("a file"), HUGE / 2);
    for behind in [HUGE, HUGE + 1, u64::MAX / 2] {
        assert_eq!(files.next_data("a", behind).expect("a file"), behind);
    }
    assert_eq!(files.next_data("b", 0).expect_err("no file").kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_huge_stray_segment_is_read_in_windows() {
    let disk = journal(&JournalRetention::keep_all());
    let sparse = Sparse::of(&disk, "0000000999.journal", LONG);
    assert!(verdict(sparse.clone()).is_ok());
    sparse.assert_windows("a stray segment");
}

#[test]
fn a_huge_checkpoint_is_refused_after_its_first_wrong_block() {
    let disk = journal(&JournalRetention::keep_all());
    let sparse = Sparse::of(&disk, &newest(&disk, ".checkpoint"), HUGE);
    assert!(matches!(verdict(sparse.clone()), Err(JournalError::Damaged { .. })));
    let reopened = limits(engine_on(options(sparse.clone()))).build();
    assert!(reopened.is_ok(), "the segments are still there: {reopened:?}");
    sparse.assert_windows("a checkpoint");
}

#[test]
fn a_huge_begin_mark_is_refused_after_its_first_bytes() {
    let disk = journal(&JournalRetention::remove());
    let sparse = Sparse::of(&disk, "trimmed", HUGE);
    assert!(matches!(verdict(sparse.clone()), Err(JournalError::Damaged { .. })));
    sparse.assert_windows("a begin mark");
}

#[test]
fn a_hole_behind_a_closed_journal_is_damage_and_no_reason_to_die() {
    let disk = SimulatedDisk::new();
    drop(limits(engine_on(options(disk.clone()))).build().expect("a new journal"));
    let sparse = Sparse::of(&disk, &newest(&disk, ".journal"), LONG);
    assert!(matches!(verdict(sparse.clone()), Err(JournalError::Damaged { .. })));
    sparse.assert_windows("a closed journal");
}

#[test]
fn a_huge_damaged_segment_is_salvaged_in_windows() {
    let disk = killed();
    let segment = newest(&disk, ".journal");
    let mut sparse = Sparse::of(&disk, &segment, LONG);
    let ends = crate::crash::boundaries(&sparse.beginning);
    let (bad, next) = (ends[ends.len() - 3], ends[ends.len() - 2]);
    // A batch goes bad, and a whole one lies behind it.
    sparse.beginning[next - 1] ^= 1;
    let (new, mut seen) = (SimulatedDisk::new(), Vec::new());
    let saved = JournalReader::on(sparse.clone());
    let saved = saved.salvage_on(new.clone(), |batch| seen.push(batch.offset));
    let saved = saved.expect("most of it is sound");
    sparse.assert_windows("a damaged segment");
    assert_eq!(seen, [next as u64], "the batch behind the damage");
    assert_eq!(saved.lost_bytes, LONG - bad as u64);
    assert!(verdict(new).is_ok());
}

#[test]
fn batches_behind_the_damage_are_seen_wherever_windows_end() {
    let disk = SimulatedDisk::new();
    let journal = JournalOptions::storage(disk.clone()).segment_bytes(1 << 40);
    let manager = engine_on(journal).limits(long_notes()).build().expect("a new journal");
    for bytes in [900_000, 9 << 20, 3, 5_000_000, 4_000_000, 500] {
        let note = "n".repeat(bytes);
        manager.request().note("n", &note).add_stock(("SF", "DESK"), 1, "SUPPLIER").expect("room");
        manager.flush().wait().expect("written");
    }
    let files = disk.files();
    drop(manager);
    let segment = files.iter().position(|(name, _)| name.ends_with(".journal")).expect("one");
    let ends = crate::crash::boundaries(&files[segment].1);
    let starts: Vec<u64> = ends[..ends.len() - 1].iter().map(|end| *end as u64).collect();
    for bad in [1, 4] {
        let mut broken = files.clone();
        broken[segment].1[ends[bad + 1] - 1] ^= 1;
        let (new, mut seen) = (SimulatedDisk::new(), Vec::new());
        let reader = JournalReader::on(SimulatedDisk::with_files(broken));
        let saved = reader.salvage_on(new.clone(), |batch| seen.push(batch.offset));
        let saved = saved.expect("the first batch is sound");
        assert_eq!(saved.bytes, starts[bad], "batch {bad} is bad: what is saved");
        assert_eq!(seen, starts[bad + 1..], "batch {bad} is bad: what is behind it");
        assert!(verdict(new).is_ok());
    }
    // All of it is saved, in several windows.
    let (new, whole) = (SimulatedDisk::new(), SimulatedDisk::with_files(files.clone()));
    let saved = JournalReader::on(whole).salvage_on(new, |_| panic!("all is saved"));
    assert_eq!(saved.expect("sound").bytes, files[segment].1.len() as u64);
}

/// Sells with notes that together are longer than several windows, and one that is longer than a
/// window by itself.
#[test]
fn batches_that_cross_windows_are_read_as_they_were_written() {
    let disk = SimulatedDisk::new();
    let journal = JournalOptions::storage(disk.clone()).segment_bytes(1 << 40);
    let manager = engine_on(journal).limits(long_notes()).build().expect("a new journal");
    let mut notes = Vec::new();
    for bytes in [700_000, 900_000, 9 << 20, 3, 3_100_000].into_iter().cycle().take(10) {
        let note: String = char::from(b'a' + notes.len() as u8 % 26).to_string().repeat(bytes);
        manager.request().note("n", &note).add_stock(("SF", "DESK"), 1, "SUPPLIER").expect("room");
        manager.flush().wait().expect("written");
        notes.push(note);
    }
    drop(manager);
    let read = || {
        let mut read = Vec::new();
        let mut reader = JournalReader::on(disk.clone());
        let found = reader.verify(None).expect("sound");
        assert!(found.closed && found.torn.is_none() && found.given_up == 0, "{found:?}");
        let each = |entry: stockade::AuditEntry| read.extend(entry.note("n").map(str::to_owned));
        reader.entries(&AuditFilter::new(), each).expect("sound");
        read
    };
    assert!(read() == notes, "the notes differ");
    let erased = redact(&disk, |entry| entry.note("n").is_some_and(|it| it.len() == 3));
    assert_eq!(erased.expect("sound").records, 2);
    notes.retain(|note| note.len() != 3);
    assert!(read() == notes, "the notes differ");
    // One flipped byte in any of the windows is found.
    let (name, bytes) = disk.files().remove(0);
    for at in (200..bytes.len()).step_by(bytes.len() / 3) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        let flipped = SimulatedDisk::with_files([(name.clone(), flipped)]);
        let Err(JournalError::Damaged { offset, .. }) = verdict(flipped) else {
            panic!("byte {at} is flipped, and nobody sees it")
        };
        assert!(offset as usize <= at, "byte {at} is flipped, and {offset} is blamed");
    }
}
