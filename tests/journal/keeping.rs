//! Checkpoints: who writes them, when, and what is reported if that fails.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use stockade::testing::SimulatedDisk;
use stockade::{Builder, Health, InventoryManager, JournalOptions, JournalReader, Limits};

use crate::stalled::StalledDisk;
use crate::state::MINUTE;
use crate::watched::Watched;

const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");

fn checkpoints(disk: &SimulatedDisk) -> usize {
    disk.files().iter().filter(|(name, _)| name.ends_with(".checkpoint")).count()
}

/// A journal with a checkpoint after each segment.
fn on(storage: &Watched) -> JournalOptions {
    let journal = JournalOptions::storage(storage.clone()).checkpoint_every(1);
    journal.sync_interval(Duration::from_millis(1))
}

fn engine_on(journal: JournalOptions) -> Builder {
    let builder = InventoryManager::builder().warehouse("SF").journal(journal);
    builder.limits(Limits::new().audit_retained(8))
}

fn add(manager: &InventoryManager, times: usize) {
    for _ in 0..times {
        manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
    }
}

#[test]
fn the_journal_is_left_to_nobody_while_a_checkpoint_is_still_being_written() {
    for round in 0..8 {
        let disk = SimulatedDisk::new();
        let storage = Watched::one(&disk).with_slow_checkpoints(Duration::from_millis(20));
        let manager = engine_on(on(&storage).segment_bytes(400)).build().expect("a new journal");
        for _ in 0..20 {
            add(&manager, 4);
            manager.flush().wait().expect("written");
        }
        std::thread::sleep(Duration::from_millis(round * 17));
        // No time to wait for anything: what is under way goes on, and keeps the lock meanwhile.
        let _ = manager.shutdown(Duration::from_millis(5));
        drop(manager);
        let deadline = Instant::now() + MINUTE;
        while storage.is_locked() {
            assert!(Instant::now() < deadline, "the lock is never given back");
            std::thread::sleep(Duration::from_millis(1));
        }
        let steps = disk.steps();
        std::thread::sleep(Duration::from_millis(60));
        assert_eq!(disk.steps(), steps, "round {round}: something went on");
        assert!(!storage.trespassed.load(Ordering::SeqCst), "round {round}");
        assert!(JournalReader::on(disk).verify(None).is_ok(), "round {round}");
    }
}

#[test]
fn an_orderly_end_gives_the_journal_back_before_it_returns() {
    let storage = Watched::one(&SimulatedDisk::new());
    for _ in 0..20 {
        let manager =
            engine_on(on(&storage).segment_bytes(400)).build().expect("nobody else has it");
        add(&manager, 20);
        assert!(manager.shutdown(MINUTE).is_clean());
        assert!(!storage.is_locked());
        // Reads go on; nothing writes any more.
        assert!(manager.verify().is_err());
        assert!(!storage.trespassed.load(Ordering::SeqCst));
    }
}

#[test]
fn many_short_runs_leave_no_more_to_replay_than_one_long_one() {
    let storage = Watched::one(&SimulatedDisk::new());
    let mut newest = None;
    for run in 0..12 {
        // Far less than a segment each.
        let manager = engine_on(on(&storage).checkpoint_every(3)).build().expect("a sound journal");
        let recovered = manager.recovery_report().expect("a journal");
        if run > 5 {
            let behind = recovered.entries - recovered.checkpoint.expect("one was written");
            // At most two intervals of three runs, with an opening, a closing and ten entries each.
            assert!(behind <= 7 * 14, "run {run}: {behind} entries were replayed");
        }
        newest = recovered.checkpoint.max(newest);
        add(&manager, 10);
        assert!(manager.shutdown(MINUTE).is_clean());
    }
    assert!(newest.is_some());
}

#[test]
fn an_end_in_good_order_catches_up_where_a_checkpoint_is_due() {
    let disk = SimulatedDisk::new();
    let manager = engine_on(on(&Watched::one(&disk)).segment_bytes(2_000).checkpoint_every(3));
    let manager = manager.build().expect("a new journal");
    // Faster than the auditor, which looks every tenth of a second.
    for _ in 0..20 {
        add(&manager, 20);
        manager.flush().wait().expect("written");
    }
    assert!(manager.shutdown(MINUTE).is_clean());
    assert!(checkpoints(&disk) > 0);
    let again = engine_on(on(&Watched::one(&disk.killed()))).build().expect("a sound journal");
    let recovered = again.recovery_report().expect("a journal");
    let behind = recovered.entries - recovered.checkpoint.expect("one was written");
    assert!(recovered.closed && behind < 300, "{behind} of {}", recovered.entries);
}

#[test]
fn a_checkpoint_that_can_not_be_written_shows_in_health_and_stops_nobody() {
    let disk = SimulatedDisk::new();
    let storage = Watched::one(&disk);
    let manager = engine_on(on(&storage).segment_bytes(400)).without_threads().build();
    let manager = manager.expect("a new journal");
    let work = || {
        for _ in 0..10 {
            add(&manager, 2);
            manager.flush().wait().expect("written");
        }
        assert!(manager.verify().expect("sound").is_sound());
    };
    storage.refuse(Some("checkpoint"));
    work();
    let Health::Degraded { reason } = manager.health() else { panic!("all is well") };
    assert!(reason.contains("checkpoint"), "{reason}");
    assert_eq!(checkpoints(&disk), 0);
    storage.refuse(None);
    work();
    assert_eq!(manager.health(), Health::Ok);
    assert!(checkpoints(&disk) > 0);
}

#[test]
fn a_read_that_panics_keeps_no_auditor_from_its_work() {
    all_is_well_after_a_read_panics_in("stockade-auditor");
}

#[test]
fn a_read_that_panics_keeps_the_outcome_files_from_no_care() {
    all_is_well_after_a_read_panics_in("stockade-outcomes");
}

fn all_is_well_after_a_read_panics_in(thread: &'static str) {
    let disk = StalledDisk::default();
    // The outcomes are read when the engine opens: not by the first opening of a new journal.
    let builder = || InventoryManager::builder().warehouse("SF").journal(disk.clone());
    assert!(builder().build().expect("a new journal").shutdown(MINUTE).is_clean());
    disk.panic_once_in_a_read_of(thread);
    let manager = builder().build().expect("a sound journal");
    let until = Instant::now() + MINUTE;
    while disk.panics_in_a_read() || manager.health() != Health::Ok {
        assert!(Instant::now() < until, "nobody reads, or not again: {:?}", manager.health());
        manager.add_stock(("SF", "LAPTOP"), 1, "SUPPLIER").expect("room");
        manager.flush().wait().expect("a disk that works");
    }
    assert!(manager.verify().expect("sound").is_sound());
    assert!(manager.shutdown(MINUTE).is_clean());
    let again = InventoryManager::builder().warehouse("SF").journal(disk.disk.killed());
    assert!(again.build().expect("a sound journal").verify().expect("sound").is_sound());
}

#[test]
fn no_checkpoint_comes_before_as_many_entries_as_the_log_retains() {
    let disk = SimulatedDisk::new();
    let builder = engine_on(on(&Watched::one(&disk)).segment_bytes(300));
    let builder = builder.limits(Limits::new().audit_retained(100)).without_threads();
    let manager = builder.build().expect("a new journal");
    let mut seen = 0;
    for _ in 0..200 {
        add(&manager, 2);
        manager.flush().wait().expect("written");
        assert!(manager.verify().expect("sound").is_sound());
        seen = seen.max(checkpoints(&disk));
        let open = engine_on(on(&Watched::one(&disk.killed())))
            .limits(Limits::new().audit_retained(100))
            .without_threads();
        let recovered = open.build().expect("sound").recovery_report().expect("a journal").clone();
        let behind = recovered.entries - recovered.checkpoint.unwrap_or(0);
        assert!(behind < 240, "{behind} entries were replayed");
    }
    assert_eq!(seen, 2);
}
