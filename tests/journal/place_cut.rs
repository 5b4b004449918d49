//! Somebody cuts the segment that an engine writes, or writes to it: a log rotation that copies and
//! truncates, a careless redirection, a backup program that restores in place.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use stockade::{
    Durability, FileStorage, Health, InventoryManager, JournalOptions, JournalReader, Limits,
};

use crate::disks::Scratch;
use crate::state::MINUTE;

const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");

/// An engine whose calls are synced. The first segment holds some ten sales.
fn open(directory: &Path, segment_bytes: u64) -> InventoryManager {
    let journal = JournalOptions::directory(directory).least_free_space(0);
    let builder = InventoryManager::builder().warehouse("SF");
    let builder = builder.journal(journal.segment_bytes(segment_bytes).auditor(false));
    let builder = builder.limits(Limits::new().max_reservations(8_192));
    builder.durability(Durability::Synced).build().expect("a sound journal")
}

fn sell(manager: &InventoryManager, times: usize) -> u32 {
    let sold = (0..times).filter(|_| manager.sell(LAPTOPS, 1).is_ok()).count();
    u32::try_from(sold).expect("few")
}

#[track_caller]
fn wait_until(mut it_is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !it_is_so() {
        assert!(began.elapsed() < MINUTE, "it never comes");
        thread::sleep(Duration::from_millis(1));
    }
}

fn newest_segment(directory: &Path) -> PathBuf {
    let files = std::fs::read_dir(directory).expect("a directory").flatten();
    let segments = files.map(|file| file.path());
    segments.filter(|it| it.extension().is_some_and(|it| it == "journal")).max().expect("one")
}

fn file_to_write(path: &Path) -> File {
    OpenOptions::new().append(true).open(path).expect("a file")
}

#[test]
fn nothing_is_acknowledged_once_the_segment_was_cut() {
    // With segments of this length, the cut meets a new one, a filled one, and one in between.
    for (segment_bytes, before) in (0..12).flat_map(|more| [(900, more), (1 << 20, more)]) {
        for left in [0, 1, 2, 3] {
            let scratch = Scratch::new("cut");
            let directory = scratch.join("journal");
            let manager = open(&directory, segment_bytes);
            manager.add_stock(LAPTOPS, 1_000, "SUPPLIER").expect("room");
            assert_eq!(sell(&manager, before), u32::try_from(before).expect("few"));
            let newest = newest_segment(&directory);
            let file = file_to_write(&newest);
            let length = file.metadata().expect("a file").len();
            // To nothing, to a half, by ten bytes, by one.
            let left = [0, length / 2, length - 10, length - 1][left];
            file.set_len(left).expect("it can be cut");
            let what = format!("{before} sales, {length} bytes cut to {left}");
            // The very next call, whatever it writes: one entry may be as long as what was cut.
            assert_eq!(sell(&manager, 20), 0, "{what}");
            // It tries again, and finds what became of the segment.
            wait_until(|| match manager.health() {
                Health::Stopped { reason } => reason.contains("is not the one that the engine"),
                other => panic!("{what}: {other:?}"),
            });
            assert_eq!(sell(&manager, 3), 0, "{what}, later");
            let _ = manager.shutdown(Duration::ZERO);
        }
    }
}

#[test]
fn what_somebody_else_appends_is_left_behind_and_nothing_is_lost() {
    for (segment_bytes, before) in (0..12).flat_map(|more| [(900, more), (1 << 20, more)]) {
        let scratch = Scratch::new("appended");
        let directory = scratch.join("journal");
        let manager = open(&directory, segment_bytes);
        manager.add_stock(LAPTOPS, 1_000, "SUPPLIER").expect("room");
        let mut acknowledged = sell(&manager, before);
        for foreign in [&b"\n"[..], b"a line of somebody's log\n", &[0; 5_000]] {
            let newest = newest_segment(&directory);
            file_to_write(&newest).write_all(foreign).expect("room");
            acknowledged += sell(&manager, 2);
            wait_until(|| manager.flush().wait().is_ok());
            acknowledged += sell(&manager, 7);
        }
        // As after a kill, and then in good order.
        let copy = scratch.join("copy");
        std::fs::create_dir(&copy).expect("a directory");
        for file in std::fs::read_dir(&directory).expect("a directory").flatten() {
            std::fs::copy(file.path(), copy.join(file.file_name())).expect("room");
        }
        drop(manager);
        for directory in [&copy, &directory] {
            let again = open(directory, segment_bytes);
            let sold = again.sold(LAPTOPS).expect("known");
            assert!(sold >= acknowledged, "{before} sales: {sold} of {acknowledged}");
            drop(again);
            JournalReader::new(directory).verify(None).expect("sound");
        }
        assert!(acknowledged >= 3 * 7, "the engine goes on");
    }
}

#[test]
fn an_erased_note_at_the_end_of_a_full_segment_is_no_cut() {
    let scratch = Scratch::new("erased");
    let directory = scratch.join("journal");
    let manager = open(&directory, 900);
    manager.add_stock(LAPTOPS, 1_000, "SUPPLIER").expect("room");
    for sale in 0..20 {
        manager.request().note("who", "M. Curie").sell(LAPTOPS, 1).expect("stock");
        // The next segment has no batch yet when somebody writes to it.
        manager.redact(|entry| entry.note("who").is_some()).expect("sound");
        file_to_write(&newest_segment(&directory)).write_all(b"?").expect("room");
        let _ = manager.add_stock(LAPTOPS, 1, "SUPPLIER");
        wait_until(|| manager.flush().wait().is_ok());
        assert_eq!(manager.sold(LAPTOPS), Ok(sale + 1));
    }
}

#[test]
fn a_relative_path_is_the_one_of_the_moment_at_which_it_is_given() {
    let here = std::env::current_dir().expect("a directory");
    // A service that changes its directory later, as daemons do, keeps journal and archive.
    assert_eq!(FileStorage::new("journal").directory(), here.join("journal"));
    assert_eq!(FileStorage::new("./a/../journal").directory(), here.join("a/../journal"));
    assert_eq!(FileStorage::new("/srv/journal").directory(), Path::new("/srv/journal"));
}
