//! What a look-up costs, and that it waits for nobody.

use std::sync::OnceLock;
use std::thread;

use super::*;
use crate::base::sync::{AtomicU64, Ordering};

/// A run of `count` names in segment 1, and what lies under it.
fn one_run(count: u64, memory: usize) -> (Arc<WatchedDisk>, Outcomes) {
    let disk = Arc::new(WatchedDisk::default());
    let outcomes = open_with(Arc::clone(&disk) as Arc<dyn Storage>, 0, memory);
    let mut builder = outcomes.builder();
    for name in 0..count {
        builder.answered(time(1), &answer(name, name), Timestamp::from_millis(1));
    }
    outcomes.install(range(1), &builder, time(1)).expect("room");
    disk.take_reads();
    (disk, outcomes)
}

fn look(outcomes: &Outcomes, name: u64, disk: DiskUse) -> OutcomeLookup<KeptAnswer> {
    let mark = outcomes.mark_of(key_of(name).key.as_bytes());
    outcomes.answer_of(mark, 0, disk).expect("a working disk")
}

#[test]
fn a_miss_reads_nothing_and_a_hit_reads_one_page_seldom_two() {
    const NAMES: u64 = 2_000;
    let (disk, outcomes) = one_run(NAMES, usize::MAX);
    let mut read = 0;
    for name in 0..NAMES {
        let needs = look(&outcomes, name, DiskUse::MemoryOnly);
        assert_eq!((needs, disk.take_reads()), (OutcomeLookup::NeedsDisk, vec![]));
        let hit = look(&outcomes, name, DiskUse::MayRead);
        assert_eq!(hit, OutcomeLookup::Found(kept_answer_at(name, 1)));
        let reads = disk.take_reads();
        assert!(matches!(*reads, [4096] | [4096, 4096]), "{reads:?}");
        read += reads.len() as u64;
    }
    assert!(read < NAMES + NAMES / 100, "{read} pages for {NAMES} names");
    for name in NAMES..2 * NAMES {
        let miss = look(&outcomes, name, DiskUse::MayRead);
        assert_eq!((miss, disk.take_reads()), (OutcomeLookup::Absent, vec![]), "{name}");
    }
}

fn kept_answer_at(name: u64, millis: u64) -> Kept<KeptAnswer> {
    kept_answer(name, name, millis)
}

#[test]
fn without_memory_a_look_up_reads_a_page_and_stats_say_so() {
    let (disk, outcomes) = one_run(2_000, 0);
    let stats = outcomes.stats();
    assert_eq!((stats.filter_memory, stats.unfiltered_parts), (0, 1));
    assert_eq!(look(&outcomes, 9_000, DiskUse::MemoryOnly), OutcomeLookup::NeedsDisk);
    assert_eq!(look(&outcomes, 9_000, DiskUse::MayRead), OutcomeLookup::Absent);
    assert_eq!(look(&outcomes, 7, DiskUse::MayRead), OutcomeLookup::Found(kept_answer_at(7, 1)));
    let reads = disk.take_reads();
    assert!(reads.iter().all(|read| *read == 4096) && reads.len() <= 3, "{reads:?}");
}

#[test]
fn the_filters_of_the_oldest_records_leave_memory_first() {
    let disk = SimulatedDisk::new();
    let budget = {
        let outcomes = open(&disk, 0);
        (1..=5).for_each(|number| install(&outcomes, number, 1).expect("room"));
        let stats = outcomes.stats();
        stats.index_memory + stats.filter_memory / 2
    };
    let outcomes = open_with(Arc::new(disk), 5, budget);
    let stats = outcomes.stats();
    assert_eq!((stats.runs, stats.unfiltered_parts), (5, 3));
    assert!(stats.index_memory + stats.filter_memory <= budget, "{stats:?}");
    // The newest run is asked first: it has a filter, so it needs no disk to say no.
    let newest = outcomes.outcome_of(id(5), DiskUse::MayRead);
    assert!(matches!(newest, Ok(OutcomeLookup::Found(_))));
    assert_eq!(found(&outcomes, 1), found_value(1, 1, 1));
}

#[test]
fn a_disk_that_can_not_be_read_is_an_error_and_no_answer() {
    let (disk, outcomes) = one_run(10, usize::MAX);
    *lock(&disk.fails) = true;
    let mark = outcomes.mark_of(key_of(3).key.as_bytes());
    let failed = outcomes.answer_of(mark, 0, DiskUse::MayRead).expect_err("a failing disk");
    assert!(matches!(failed, JournalError::Storage { .. }) && failed.is_retryable(), "{failed}");
    *lock(&disk.fails) = false;
    assert_eq!(look(&outcomes, 3, DiskUse::MayRead), OutcomeLookup::Found(kept_answer_at(3, 1)));
    assert_eq!(outcomes.stats().gaps, Vec::new());
}

#[test]
fn a_look_up_waits_for_no_run_and_no_merge_that_is_being_written() {
    let disk = Arc::new(WatchedDisk::default());
    let outcomes = Arc::new(open_with(Arc::clone(&disk) as Arc<dyn Storage>, 0, usize::MAX));
    install(&outcomes, 1, 1).expect("room");
    let looks = Arc::new(AtomicU64::new(0));
    // The hook runs in the middle of every install and merge. If any of them held the set's lock
    // meanwhile, this would never end.
    let (counted, within) = (Arc::clone(&looks), Arc::new(OnceLock::new()));
    within.set(Arc::clone(&outcomes)).expect("set once");
    *lock(&disk.on_create) = Some(Box::new(move || {
        let outcomes = within.get().expect("set");
        assert_eq!(found(outcomes, 1), found_value(1, 1, 1));
        counted.fetch_add(1, Ordering::Relaxed);
    }));
    for number in 2..=8 {
        install(&outcomes, number, 1).expect("room");
    }
    assert_eq!(outcomes.merge_due(time(1)), Ok(true));
    assert_eq!(looks.load(Ordering::Relaxed), 8);
    *lock(&disk.on_create) = None;
}

#[test]
fn an_install_goes_on_beside_a_merge_and_removes_nothing_that_the_merge_reads() {
    let disk = Arc::new(WatchedDisk::default());
    let outcomes = Arc::new(open_with(Arc::clone(&disk) as Arc<dyn Storage>, 0, usize::MAX));
    (1..=8).for_each(|number| install(&outcomes, number, 1).expect("room"));
    let within = Arc::clone(&outcomes);
    *lock(&disk.on_create) = Some(Box::new(move || {
        let within = Arc::clone(&within);
        // From another thread, because this one is in the middle of the merge. So late that the
        // runs being merged are over.
        let install = thread::spawn(move || install(&within, 9, 9 * KEEP));
        install.join().expect("no panic").expect("room");
    }));
    assert_eq!(outcomes.merge_due(time(1)), Ok(true));
    *lock(&disk.on_create) = None;
    assert_eq!(found(&outcomes, 9), found_value(9, 2, 9 * KEEP));
    assert_eq!(outcomes.missing(&layout(9)), Vec::new());
    assert_eq!(outcomes.stats().gaps, Vec::new());
    let again = open(&disk.disk.killed(), 9);
    assert_eq!(again.missing(&layout(9)), Vec::new());
    assert_eq!(found(&again, 9), found_value(9, 2, 9 * KEEP));
}

#[test]
fn many_threads_always_find_what_is_installed() {
    const LAST: u64 = 80;
    let outcomes = Arc::new(open(&SimulatedDisk::new(), 0));
    let installed = Arc::new(AtomicU64::new(0));
    let readers = [1_u64, 2, 3].map(|seed| {
        let (outcomes, installed) = (Arc::clone(&outcomes), Arc::clone(&installed));
        thread::spawn(move || {
            let mut name = seed;
            loop {
                // Acquire pairs with the release below: the set that was current then is seen.
                let last = installed.load(Ordering::Acquire);
                name = name.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(seed);
                let name = 1 + (name >> 33) % LAST;
                if name <= last {
                    assert_eq!(found(&outcomes, name), found_value(name, name % 7, 1));
                }
                if last == LAST {
                    return;
                }
            }
        })
    });
    for number in 1..=LAST {
        install(&outcomes, number, 1).expect("room");
        installed.store(number, Ordering::Release);
        while outcomes.merge_due(time(1)).expect("room") {}
    }
    for reader in readers {
        reader.join().expect("every answer was right");
    }
}
