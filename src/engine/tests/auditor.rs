//! An auditor that dies of a bug of the engine's own. No storage can do that: they are guarded.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::base::sync::{AtomicBool, Ordering};
use crate::engine::InventoryManager;
use crate::engine::view::stats::Health;
use crate::journal::options::JournalOptions;
use crate::journal::storage::pass_on::pass_on;
use crate::journal::storage::simulated::SimulatedDisk;
use crate::journal::storage::{Storage, StorageFile};

/// Stands for the bug: the auditor's next read panics.
struct Breaks(SimulatedDisk, AtomicBool);

impl Storage for Breaks {
    pass_on!(0: lock list create rename remove sync_directory);

    fn read(&self, name: &str, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        let is_auditor = thread::current().name() == Some("stockade-auditor");
        assert!(!is_auditor || !self.1.swap(false, Ordering::SeqCst), "a bug");
        self.0.read(name, offset, length)
    }
}

#[test]
fn an_auditor_that_has_died_shows_in_health_and_stops_nobody() {
    let disk = SimulatedDisk::new();
    let bug = Arc::new(Breaks(disk.clone(), AtomicBool::new(false)));
    let mut options = JournalOptions::storage(disk.clone());
    options.storage = Arc::clone(&bug) as _;
    let builder = InventoryManager::builder().warehouse("SF").journal(options);
    let manager = builder.build().expect("a new journal");
    bug.1.store(true, Ordering::SeqCst);
    let until = Instant::now() + Duration::from_secs(20);
    while !matches!(manager.health(), Health::Degraded { reason } if reason.contains("auditor")) {
        assert!(Instant::now() < until, "nobody heard of it: {:?}", manager.health());
        manager.add_stock(("SF", "LAPTOP"), 1, "SUPPLIER").expect("room");
        manager.flush().wait().expect("a disk that works");
    }
    assert!(manager.stats().journal.audit_failed);
    // What it has added up half-way is believed by nobody.
    assert!(manager.verify().is_err());
    assert!(manager.shutdown(Duration::from_secs(60)).is_clean());
    let again = InventoryManager::builder().warehouse("SF").journal(disk.killed());
    assert!(again.build().expect("a sound journal").verify().expect("sound").is_sound());
}
