//! An engine that has ended gives the journal's lock back, and a restart at once is not refused,
//! however slow disk and auditor are.

use std::thread;
use std::time::{Duration, Instant};

use stockade::{
    BuildError, Durability, InventoryManager, JournalError, JournalOptions, Limits, redact,
};

use crate::stalled::StalledDisk;

const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");
/// Longer than a drop waits, which is half a second.
const LONG: Duration = Duration::from_secs(3);

fn open(journal: JournalOptions) -> Result<InventoryManager, BuildError> {
    let builder = InventoryManager::builder().warehouse("SF").journal(journal);
    builder.limits(Limits::new().max_reservations(8_192)).build()
}

fn on(disk: &StalledDisk) -> JournalOptions {
    JournalOptions::storage(disk.clone()).sync_interval(Duration::from_millis(1))
}

/// An engine with five units on the disk.
fn trading(disk: &StalledDisk) -> InventoryManager {
    let manager = open(on(disk)).expect("a new journal");
    let request = manager.request().durability(Durability::Synced);
    request.add_stock(LAPTOPS, 5, "SUPPLIER").expect("room");
    manager
}

/// Ends the engine while its disk syncs nothing. The disk works again a while later.
fn end_on_a_stalled_disk(manager: InventoryManager, disk: &StalledDisk) {
    disk.shut();
    drop(manager);
    let disk = disk.clone();
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(500));
        disk.open();
    });
}

fn assert_opens(journal: JournalOptions) {
    let again = open(journal).expect("the lock was given back");
    assert_eq!(again.available(LAPTOPS), Ok(5));
}

#[test]
fn an_auditor_in_the_midst_of_a_step_keeps_no_lock() {
    let disk = StalledDisk::default();
    let manager = open(on(&disk)).expect("a new journal");
    disk.slow_the_auditor(LONG);
    let request = manager.request().durability(Durability::Synced);
    request.add_stock(LAPTOPS, 5, "SUPPLIER").expect("room");
    // The auditor looks every tenth of a second.
    thread::sleep(Duration::from_millis(300));
    drop(manager);
    assert_opens(on(&disk).wait_for_lock(Duration::ZERO));
}

#[test]
fn a_restart_waits_until_the_engine_before_has_synced_its_end() {
    let disk = StalledDisk::default();
    let manager = trading(&disk);
    end_on_a_stalled_disk(manager, &disk);
    assert_opens(on(&disk));
}

#[test]
fn a_redaction_waits_until_the_engine_before_has_synced_its_end() {
    let disk = StalledDisk::default();
    let manager = trading(&disk);
    end_on_a_stalled_disk(manager, &disk);
    assert_eq!(redact(&disk, |_| true).map(|erased| erased.records), Ok(1));
}

#[test]
fn a_journal_that_stays_in_use_is_refused_after_the_wait() {
    let disk = StalledDisk::default();
    let _manager = trading(&disk);
    for wait in [Duration::ZERO, Duration::from_millis(100)] {
        let began = Instant::now();
        let second = open(on(&disk).wait_for_lock(wait)).map(|_| ());
        assert_eq!(second, Err(BuildError::Journal(JournalError::Locked)));
        assert!(began.elapsed() >= wait);
    }
}
