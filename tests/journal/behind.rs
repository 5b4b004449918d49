//! As many answers wait for their outcome file as may: new keys are refused, nothing runs twice,
//! and it passes.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use stockade::testing::SimulatedDisk;
use stockade::{
    Builder, ErrorKind, IdempotencyKey, InventoryManager, JournalOptions, KeyError, Limits,
    ReservationId, ReserveError, Storage,
};

use crate::outcomes::Refusing;
use crate::state::MINUTE;

const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");
/// So many answers may wait.
const MOST: usize = 5;
/// Longer than any of these tests fills it.
const ENDLESS: u64 = 1 << 40;

fn engine(storage: impl Storage) -> Builder {
    let journal = JournalOptions::storage(storage).segment_bytes(ENDLESS);
    let limits = Limits::new().most_unsettled(MOST);
    InventoryManager::builder().warehouse("SF").limits(limits).journal(journal)
}

fn stocked(builder: Builder) -> InventoryManager {
    let manager = builder.build().expect("a new journal");
    manager.add_stock(LAPTOPS, 1_000, "SUPPLIER").expect("room");
    manager
}

fn order(manager: &InventoryManager, number: usize) -> Result<ReservationId, ReserveError> {
    let key = IdempotencyKey::try_from(&*format!("order-{number}")).expect("short");
    manager.request().key(key).reserve(LAPTOPS, 1, MINUTE)
}

fn behind() -> ReserveError {
    KeyError::Behind.into()
}

/// Fills the engine with answers that wait.
fn fill(manager: &InventoryManager) -> Vec<ReservationId> {
    let ids = (0..MOST).map(|number| order(manager, number).expect("stock")).collect();
    assert_eq!(order(manager, MOST), Err(behind()));
    ids
}

/// What the engine owes to its callers while answers wait.
fn assert_only_new_keys_are_refused(manager: &InventoryManager, ids: &[ReservationId]) {
    let available = manager.available(LAPTOPS).expect("stocked");
    assert_eq!(order(manager, MOST), Err(behind()));
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(order(manager, number), Ok(*id), "order {number}");
    }
    let key = IdempotencyKey::try_from("order-0").expect("short");
    let other = manager.request().key(key).reserve(LAPTOPS, 2, MINUTE);
    assert_eq!(other, Err(KeyError::Conflict.into()));
    assert_eq!(manager.available(LAPTOPS), Ok(available), "something moved");
    let hold = manager.reserve(LAPTOPS, 1, MINUTE).expect("a call without a key goes on");
    assert!(manager.release(hold).is_ok());
}

#[test]
fn the_refusal_says_that_a_retry_may_succeed() {
    let error = behind();
    assert!(error.is_retryable() && error.kind() == ErrorKind::Busy, "{error:?}");
    assert_eq!(error.code(), "keys_behind");
}

#[test]
fn a_segment_that_is_never_full_keeps_no_key_waiting() {
    let manager = stocked(engine(SimulatedDisk::new()).without_threads());
    let mut ids = fill(&manager);
    assert_only_new_keys_are_refused(&manager, &ids);
    // The caller retries, and nobody else calls.
    for number in MOST..6 * MOST {
        let mut tries = 0;
        let id = loop {
            match order(&manager, number) {
                Err(error) if error == behind() && tries < 9 => tries += 1,
                other => break other,
            }
            manager.run_until_idle();
        };
        ids.push(id.expect("a retry succeeds"));
    }
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(order(&manager, number), Ok(*id), "order {number}");
    }
    assert!(manager.verify().expect("sound").is_sound());
}

#[test]
fn with_threads_too() {
    let manager = stocked(engine(SimulatedDisk::new()));
    let mut ids = fill(&manager);
    let deadline = Instant::now() + MINUTE;
    for number in MOST..4 * MOST {
        let id = loop {
            match order(&manager, number) {
                Err(error) if error == behind() && Instant::now() < deadline => {}
                other => break other,
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        ids.push(id.expect("a retry succeeds"));
    }
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(order(&manager, number), Ok(*id), "order {number}");
    }
}

#[test]
fn a_disk_that_took_no_outcome_file_is_tried_again_by_retries_alone() {
    let disk = SimulatedDisk::new();
    let refusing = Refusing::new(&disk, true);
    let manager = stocked(engine(refusing.clone()).without_threads());
    let ids = fill(&manager);
    for _ in 0..20 {
        assert_only_new_keys_are_refused(&manager, &ids);
        manager.run_until_idle();
    }
    let segments = disk.files().iter().filter(|(name, _)| name.ends_with(".journal")).count();
    assert!(segments <= 3, "each refused call began a segment: {segments}");
    refusing.refuses.store(false, Ordering::SeqCst);
    let mut tries = 0;
    let id = loop {
        match order(&manager, MOST) {
            Err(error) if error == behind() && tries < 9 => tries += 1,
            other => break other,
        }
        manager.run_until_idle();
    };
    let id = id.expect("a retry succeeds");
    assert_eq!(order(&manager, MOST), Ok(id));
    assert_eq!(order(&manager, 0), Ok(ids[0]));
}
