//! A position names its history: one of a lost future is refused, and nothing is skipped.

use stockade::testing::SimulatedDisk;
use stockade::{InventoryManager, JournalError, JournalPosition};

use crate::state::engine_on;

const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");

/// Adds `count` times, and waits until all is on the disk.
fn trade(manager: &InventoryManager, count: usize) {
    for _ in 0..count {
        manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
    }
    manager.flush().wait().expect("on the disk");
}

/// The position of a subscriber that has seen all that is on the disk.
fn seen_all(manager: &InventoryManager) -> JournalPosition {
    let mut entries = manager.subscribe(JournalPosition::default()).expect("all is there");
    while entries.try_next().expect("sound").is_some() {}
    entries.position()
}

/// The follower saw another opening of the same number, and more entries than the backup held.
#[test]
fn a_backup_restored_under_a_follower_is_told_where_the_histories_part() {
    let (disk, copy) = (SimulatedDisk::new(), SimulatedDisk::new());
    let manager = engine_on(&disk).build().expect("a new journal");
    trade(&manager, 10);
    let shared = manager.backup_to(&copy).expect("a copy").sequence;
    drop(manager);
    let manager = engine_on(&disk).build().expect("sound");
    trade(&manager, 22);
    let seen = seen_all(&manager);
    drop(manager);

    let restored = engine_on(&copy).build().expect("sound");
    trade(&restored, 50);
    assert!(restored.journal_head().expect("a journal").sequence > seen.sequence);
    let refused = restored.subscribe(seen).map(drop);
    assert_eq!(refused, Err(JournalError::Rewound { to: shared }));
}
