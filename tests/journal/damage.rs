//! Damage: what a crash cannot cause is reported, and nothing is overwritten.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use stockade::testing::SimulatedDisk;
use stockade::{BuildError, InventoryManager, JournalError, JournalReader, Storage, StorageFile};

use crate::pass_on::pass_on;
use crate::state::{MINUTE, check_laws, engine_on, on};

type Files = Vec<(String, Vec<u8>)>;

/// A small journal of several segments and two openings.
pub(crate) fn small_journal(closed: bool) -> Files {
    let disk = SimulatedDisk::new();
    for opening in 0..2 {
        let manager = engine_on(on(&disk).segment_bytes(700)).build().expect("a sound journal");
        manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER").expect("room");
        let hold = manager.reserve(("SF", "LAPTOP"), 2, MINUTE).expect("stock");
        manager.run_until_idle();
        manager.request().note("customer", "M. Curie").confirm(hold).expect("pending");
        manager.flush().wait().expect("written");
        manager.sell(("SF", "LAPTOP"), 1).expect("stock");
        if opening == 1 && !closed {
            manager.run_until_idle();
            let files = disk.files();
            drop(manager);
            return only_segments(files);
        }
    }
    only_segments(disk.files())
}

fn only_segments(mut files: Files) -> Files {
    files.retain(|(name, _)| name.ends_with(".journal"));
    files
}

fn open(files: &Files) -> Result<InventoryManager, JournalError> {
    let disk = SimulatedDisk::with_files(files.iter().cloned());
    let opened = engine_on(&disk).build();
    if opened.is_err() {
        assert_eq!(only_segments(disk.files()), *files, "a damaged journal was written to");
    }
    opened.map_err(|error| match error {
        BuildError::Journal(error) => error,
        other => panic!("{other}"),
    })
}

fn is_damage(result: Result<InventoryManager, JournalError>) -> bool {
    matches!(result, Err(JournalError::Damaged { .. }))
}

#[test]
fn no_flipped_bit_of_a_closed_journal_goes_unseen() {
    let files = small_journal(true);
    assert!(files.len() > 3, "{} segments", files.len());
    open(&files).expect("sound as it is");
    for file in 0..files.len() {
        for byte in 0..files[file].1.len() {
            let mut flipped = files.clone();
            flipped[file].1[byte] ^= 1 << (byte % 8);
            let name = &files[file].0;
            if byte % 16 == 3 {
                let disk = SimulatedDisk::with_files(flipped.iter().cloned());
                let verified = JournalReader::on(disk).verify(None);
                let damaged = matches!(
                    verified.map_err(JournalError::from),
                    Err(JournalError::Damaged { .. })
                );
                assert!(damaged, "a flipped bit in byte {byte} of {name} passes for verified");
            }
            assert!(is_damage(open(&flipped)), "a flipped bit in byte {byte} of {name}");
        }
    }
}

/// A journal as a kill left it: several segments, none of which is known to be on the disk.
fn killed_journal() -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let manager = engine_on(on(&disk).segment_bytes(700)).build().expect("a new journal");
    manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER").expect("room");
    manager.flush().wait().expect("written");
    for _ in 0..4 {
        manager.sell(("SF", "LAPTOP"), 1).expect("stock");
        let request = manager.request().note("customer", "M. Curie ".repeat(50));
        request.sell(("SF", "LAPTOP"), 1).expect("stock");
        manager.run_until_idle();
    }
    disk.killed()
}

/// The same journal, resumed on a disk that fails for a while, and then closed.
fn journal_with_a_past() -> SimulatedDisk {
    let disk = killed_journal();
    let manager = engine_on(on(&disk).segment_bytes(700)).build().expect("a sound journal");
    assert!(manager.recovery_report().is_some_and(|it| it.rewritten > 2));
    manager.sell(("SF", "LAPTOP"), 1).expect("stock");
    disk.fail_appends(true);
    manager.run_until_idle();
    disk.fail_appends(false);
    manager.run_until_idle();
    manager.flush().wait().expect("written");
    drop(manager);
    disk
}

#[test]
fn no_flipped_bit_of_a_journal_that_crashes_have_cut_goes_unseen() {
    let disk = journal_with_a_past();
    let verified = JournalReader::on(disk.clone()).verify(None).expect("sound as it is");
    assert!(verified.closed && verified.openings == 2);
    assert_eq!(verified.given_up, 0, "bytes that nobody checks");
    let files = only_segments(disk.files());
    for file in 0..files.len() {
        for byte in 0..files[file].1.len() {
            let mut flipped = files.clone();
            flipped[file].1[byte] ^= 1 << (byte % 8);
            let name = &files[file].0;
            assert!(is_damage(open(&flipped)), "a flipped bit in byte {byte} of {name}");
        }
    }
}

/// A disk on which an engine opens the journal just before a reader's n-th read.
struct OpenedMeanwhile {
    disk: SimulatedDisk,
    reads_left: Arc<AtomicUsize>,
}

impl Storage for OpenedMeanwhile {
    pass_on!(disk: lock list create rename remove sync_directory);

    fn read(&self, name: &str, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        if self.reads_left.fetch_sub(1, Ordering::SeqCst) == 0 {
            drop(engine_on(on(&self.disk).segment_bytes(700)).build().expect("a sound journal"));
        }
        self.disk.read(name, offset, length)
    }
}

#[test]
fn a_reader_beside_an_opening_that_cuts_what_a_crash_has_left_finds_no_damage() {
    for reads in 0.. {
        let left = Arc::new(AtomicUsize::new(reads));
        let beside = OpenedMeanwhile { disk: killed_journal(), reads_left: left.clone() };
        let verified = JournalReader::on(beside).verify(None);
        let verified = verified.unwrap_or_else(|error| panic!("after {reads} reads: {error}"));
        assert!(verified.entries > 10, "after {reads} reads");
        if left.load(Ordering::SeqCst) < usize::MAX / 2 {
            // It needed no more than that.
            assert!(reads > 10, "only {reads} reads");
            break;
        }
    }
}

#[test]
fn a_closed_journal_whose_mark_is_torn_and_followed_by_more_is_damage() {
    let files = small_journal(true);
    let length = files.last().expect("a segment").1.len();
    for byte in length - 32..length {
        let mut broken = files.clone();
        let bytes = &mut broken.last_mut().expect("a segment").1;
        bytes[byte] ^= 1;
        bytes.push(0);
        assert!(is_damage(open(&broken)), "byte {byte} of the mark");
    }
}

#[test]
fn segments_that_are_missing_or_stand_in_each_others_places_are_damage() {
    let files = small_journal(true);
    for missing in 0..files.len() - 1 {
        let mut fewer = files.clone();
        fewer.remove(missing);
        assert!(is_damage(open(&fewer)), "without segment {missing}");
    }
    for first in 0..files.len() {
        for second in 0..first {
            let mut swapped = files.clone();
            let content = std::mem::take(&mut swapped[first].1);
            swapped[first].1 = std::mem::replace(&mut swapped[second].1, content);
            assert!(is_damage(open(&swapped)), "{first} in the place of {second}");
        }
    }
}

#[test]
fn a_segment_that_was_cut_is_damage_unless_it_is_the_newest() {
    let files = small_journal(true);
    for file in 0..files.len() - 1 {
        for end in 0..files[file].1.len() {
            let mut cut = files.clone();
            cut[file].1.truncate(end);
            assert!(is_damage(open(&cut)), "{end} bytes of {}", files[file].0);
        }
    }
}

#[test]
fn what_was_not_recorded_as_durable_may_be_torn_and_all_else_may_not() {
    let files = small_journal(false);
    let newest = files.len() - 1;
    let (mut torn, mut damaged, mut was_torn) = (0, 0, false);
    for byte in 0..files[newest].1.len() {
        let mut flipped = files.clone();
        flipped[newest].1[byte] ^= 0x10;
        match open(&flipped) {
            Ok(manager) => {
                let report = manager.recovery_report().expect("a journal");
                assert!(report.torn.is_some(), "byte {byte} was not looked at");
                check_laws(&manager);
                (torn, was_torn) = (torn + 1, true);
            }
            Err(JournalError::Damaged { .. }) => {
                assert!(!was_torn, "byte {byte} is damage, and an earlier one was torn");
                damaged += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(torn > 100 || damaged > 100, "{torn} torn, {damaged} damaged");
    for file in 0..newest {
        for byte in (0..files[file].1.len()).step_by(3) {
            let mut flipped = files.clone();
            flipped[file].1[byte] ^= 0x10;
            assert!(is_damage(open(&flipped)), "byte {byte} of {}", files[file].0);
        }
    }
}

#[test]
fn no_bytes_make_an_opening_panic() {
    let files = small_journal(false);
    let mut random = crate::state::Random::new(crate::state::seed());
    for _ in 0..500 {
        let mut broken = files.clone();
        let file = random.below(broken.len());
        let bytes = &mut broken[file].1;
        for _ in 0..1 + random.below(4) {
            let at = random.below(bytes.len());
            match random.below(3) {
                0 => bytes[at] = random.below(256) as u8,
                1 => bytes.truncate(at.max(1)),
                _ => bytes.insert(at, random.below(256) as u8),
            }
        }
        // Either is an answer.
        let _ = open(&broken);
    }
}
