//! What a crash can't have done is damage: it is told, and nothing is overwritten.

use stockade::testing::SimulatedDisk;
use stockade::{BuildError, InventoryManager, JournalError, JournalReader};

use crate::state::{MINUTE, check_laws, engine_on};

type Files = Vec<(String, Vec<u8>)>;

/// A small journal of several segments and two openings.
fn small_journal(closed: bool) -> Files {
    let disk = SimulatedDisk::new();
    for opening in 0..2 {
        let manager = engine_on(&disk).segment_bytes(700).build().expect("a sound journal");
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

#[test]
fn bytes_behind_the_end_of_a_closed_journal_are_damage() {
    let files = small_journal(true);
    for byte in [0, 1, b'S'] {
        let mut longer = files.clone();
        longer.last_mut().expect("a segment").1.push(byte);
        assert!(is_damage(open(&longer)), "another byte {byte}");
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
                let report = manager.recovered().expect("a journal");
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
