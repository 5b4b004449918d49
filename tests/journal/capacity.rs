//! A warehouse with more inside than its capacity: it opens, lets units out, and takes none in.

use std::time::{Duration, Instant};

use stockade::testing::SimulatedDisk;
use stockade::{
    AddError, AuditFilter, BasketLine, InventoryManager, JournalOptions, JournalReader, Release,
    SettingError, TransferError, WarehouseSpec,
};

use crate::state::{MINUTE, Random, seed, small};

const PLACE: (&str, &str) = ("SF", "LAPTOP");

/// SF with this capacity, and NYC, on this disk.
fn open(disk: &SimulatedDisk, capacity: u32) -> InventoryManager {
    let builder = InventoryManager::builder().journal(disk.clone()).without_threads();
    let builder = builder.limits(small()).warehouse(WarehouseSpec::new("SF").capacity(capacity));
    builder.warehouse("NYC").build().unwrap_or_else(|error| panic!("{capacity}: {error}"))
}

fn room(manager: &InventoryManager) -> u32 {
    manager.warehouse("SF").expect("a warehouse").room_left()
}

fn check_sound(disk: &SimulatedDisk) {
    JournalReader::on(disk.clone()).verify(None).expect("a sound journal");
}

#[test]
fn a_capacity_below_what_is_inside_opens_with_room_for_nothing() {
    let disk = SimulatedDisk::new();
    let first = open(&disk, 20);
    first.add_stock(PLACE, 10, "SUPPLIER").expect("room");
    first.add_stock(("NYC", "LAPTOP"), 5, "SUPPLIER").expect("room");
    let sold = first.sell(PLACE, 3).expect("stock");
    let held = first.reserve(PLACE, 2, MINUTE).expect("stock");
    drop(first);

    let again = open(&disk, 8);
    assert_eq!((room(&again), again.warehouse("SF").expect("there").capacity()), (0, 8));
    let full = AddError::OverCapacity { needed: 1, room: 0 };
    assert_eq!(again.add_stock(PLACE, 1, "SUPPLIER"), Err(full.clone()));
    assert_eq!(
        again.transfer("NYC", "SF", "LAPTOP", 1),
        Err(TransferError::OverCapacity { needed: 1, room: 0 })
    );
    // Whatever stays inside goes on as ever.
    again.confirm(held).expect("pending");
    let basket = [BasketLine::new(PLACE, 1), BasketLine::new(("NYC", "LAPTOP"), 1)];
    let basket = again.reserve_basket(&basket, MINUTE).expect("stock");
    assert_eq!(again.release(basket), Ok(Release::Released));
    // 10 inside: three ways out, and the first two units make no room.
    again.ship(PLACE, 1).expect("sold");
    assert_eq!(room(&again), 0);
    assert_eq!(again.add_stock(PLACE, 1, "SUPPLIER"), Err(full.clone()));
    again.transfer("SF", "NYC", "LAPTOP", 1).expect("stock");
    assert_eq!(room(&again), 0, "8 of 8");
    assert_eq!(again.add_stock(PLACE, 1, "SUPPLIER"), Err(full));
    again.remove_stock(PLACE, 1, "dropped").expect("stock");
    assert_eq!(room(&again), 1);
    again.add_stock(PLACE, 1, "SUPPLIER").expect("room for one");
    again.ship_lines(sold, &[BasketLine::new(PLACE, 2)]).expect("sold");
    assert_eq!(room(&again), 2);
    drop(again);
    check_sound(&disk);

    let third = open(&disk, 8);
    assert_eq!((room(&third), third.counts(PLACE).expect("known").on_hand()), (2, 6));
    drop(third);
    assert_eq!(room(&open(&disk, 20)), 14);
    check_sound(&disk);
}

#[test]
fn one_step_out_fills_what_is_over_and_makes_room_of_the_rest() {
    for leave in [1, 2, 3, 10] {
        let disk = SimulatedDisk::new();
        let first = open(&disk, 10);
        first.add_stock(PLACE, 10, "SUPPLIER").expect("room");
        drop(first);
        let again = open(&disk, 8);
        again.remove_stock(PLACE, leave, "dropped").expect("stock");
        assert_eq!(room(&again), leave.saturating_sub(2), "{leave} of 10 left, 8 fit");
    }
}

/// Capacity, room left, units over.
fn rooms(manager: &InventoryManager) -> (u32, u32, u32) {
    let sf = manager.warehouse("SF").expect("a warehouse");
    (sf.capacity(), sf.room_left(), sf.over_capacity())
}

#[test]
fn a_capacity_changed_at_run_time_lasts_until_the_builder_gives_another() {
    let disk = SimulatedDisk::new();
    let first = open(&disk, 20);
    first.add_stock(PLACE, 10, "SUPPLIER").expect("room");
    for (units, after) in
        [(8, (8, 0, 2)), (9, (9, 0, 1)), (12, (12, 2, 0)), (12, (12, 2, 0)), (7, (7, 0, 3))]
    {
        first.set_capacity("SF", units).expect("a legal capacity");
        assert_eq!(rooms(&first), after);
    }
    first.run_until_idle();
    let log = first.audit_log().query(&AuditFilter::new()).entries;
    let inside: Vec<_> = log.iter().filter_map(|entry| entry.note("inside")).collect();
    assert_eq!(inside, ["10", "10"], "a lower capacity says how much lay inside");
    assert_eq!(first.set_capacity("SF", 0), Err(SettingError::Capacity { units: 0 }));
    let most = stockade::MAX_UNITS;
    let above = SettingError::Capacity { units: most + 1 };
    assert_eq!(first.set_capacity("SF", most + 1), Err(above));
    assert!(first.set_capacity("LA", 5).is_err(), "no such warehouse");
    assert_eq!(rooms(&first), (7, 0, 3));
    drop(first);
    check_sound(&disk);
    assert_eq!(rooms(&open(&disk, 20)), (7, 0, 3), "the builder repeats itself");
    // A threshold that is new writes the definition of the warehouse anew; the capacity stays.
    let spec = WarehouseSpec::new("SF").capacity(20).threshold(3);
    let builder = InventoryManager::builder().journal(disk.clone()).without_threads();
    let again = builder.limits(small()).warehouse(spec).warehouse("NYC").build();
    assert_eq!(rooms(&again.expect("a sound journal")), (7, 0, 3));
    assert_eq!(rooms(&open(&disk, 20)), (7, 0, 3));
    assert_eq!(rooms(&open(&disk, 15)), (15, 5, 0), "a new value of the builder's wins");
    assert_eq!(rooms(&open(&disk, 20)), (20, 10, 0));
    check_sound(&disk);
    let last = open(&disk, 20);
    last.set_capacity("SF", most).expect("the largest");
    assert_eq!(rooms(&last), (most, most - 10, 0));
    last.set_capacity("SF", 1).expect("the smallest");
    assert_eq!(rooms(&last), (1, 0, 9));
}

#[test]
fn what_is_short_of_room_beside_a_change_moves_in_whole_or_not_at_all() {
    let disk = SimulatedDisk::new();
    let manager = open(&disk, 20);
    manager.add_stock(("NYC", "LAPTOP"), 30, "SUPPLIER").expect("room");
    manager.transfer("NYC", "SF", "LAPTOP", 10).expect("room");
    let request = manager.request_transfer("NYC", "SF", "LAPTOP", 4).expect("stock");
    manager.set_capacity("SF", 12).expect("a legal capacity");
    let failed = manager.approve_transfer(request, "Ada").expect_err("room for 2");
    assert_eq!(failed.code(), "transfer_no_room");
    manager.set_capacity("SF", 9).expect("a legal capacity");
    let request = manager.request_transfer("NYC", "SF", "LAPTOP", 1).expect("stock");
    manager.approve_transfer(request, "Ada").expect_err("none left");
    // To and fro between two warehouses that are over their capacities.
    manager.set_capacity("NYC", 1).expect("a legal capacity");
    assert!(manager.transfer("SF", "NYC", "LAPTOP", 1).is_err());
    assert!(manager.transfer("NYC", "SF", "LAPTOP", 1).is_err());
    manager.set_capacity("NYC", 21).expect("a legal capacity");
    manager.transfer("SF", "NYC", "LAPTOP", 1).expect("room for one");
    assert_eq!(rooms(&manager), (9, 0, 0));
    assert!(manager.verify().expect("a journal").is_sound());
    drop(manager);
    check_sound(&disk);
}

#[test]
fn a_process_that_ends_at_any_moment_of_a_change_leaves_the_old_capacity_or_the_new_one() {
    // Lowered below what is inside, with units that come in just before, then raised again.
    let disk = SimulatedDisk::new();
    let manager = open(&disk, 20);
    manager.add_stock(PLACE, 10, "SUPPLIER").expect("room");
    manager.flush().wait().expect("written");
    let mut moments = Vec::new();
    let mut step = |change: &dyn Fn(&InventoryManager)| {
        let began = (disk.steps(), rooms(&manager));
        change(&manager);
        // Whatever the writer does with it may be the last that it does.
        manager.flush().wait().expect("written");
        moments.push((began, (disk.steps(), rooms(&manager))));
    };
    step(&|manager| manager.add_stock(PLACE, 5, "SUPPLIER").expect("room"));
    step(&|manager| manager.set_capacity("SF", 8).expect("a legal capacity"));
    step(&|manager| manager.remove_stock(PLACE, 9, "sent back").expect("stock"));
    step(&|manager| manager.set_capacity("SF", 12).expect("a legal capacity"));
    step(&|manager| manager.add_stock(PLACE, 6, "SUPPLIER").expect("room"));
    std::mem::forget(manager);
    let mut seen = [0; 2];
    for ((from, before), (to, after)) in moments {
        for at in from..=to {
            for survives in [false, true] {
                let image = disk.crash(at, |_| survives);
                let again = open(&image, 20);
                let found = rooms(&again);
                assert!(found == before || found == after, "{found:?}, {before:?} to {after:?}");
                assert!(at < to || found == after, "acknowledged, and gone: {found:?}");
                seen[usize::from(found == after)] += 1;
                assert!(again.verify().expect("a journal").is_sound());
                drop(again);
                check_sound(&image);
            }
        }
    }
    assert!(seen.iter().all(|times| *times > 3), "{seen:?}");
}

#[test]
fn a_changed_capacity_and_what_is_over_it_are_in_checkpoints() {
    let disk = SimulatedDisk::new();
    let open = || {
        let journal = JournalOptions::storage(disk.clone());
        let journal = journal.segment_bytes(500).checkpoint_every(1);
        let spec = WarehouseSpec::new("SF").capacity(20);
        let builder = InventoryManager::builder().journal(journal).without_threads();
        let limits = small().audit_retained(8);
        builder.limits(limits).warehouse(spec).build().expect("a sound journal")
    };
    let manager = open();
    manager.add_stock(PLACE, 10, "SUPPLIER").expect("room");
    manager.set_capacity("SF", 8).expect("a legal capacity");
    for _ in 0..30 {
        let id = manager.reserve(PLACE, 1, MINUTE).expect("stock");
        assert_eq!(manager.release(id), Ok(Release::Released));
        manager.run_until_idle();
        // The auditor reads on, and writes what is due.
        assert!(manager.verify().expect("a sound journal").is_sound());
    }
    drop(manager);
    let checkpoints = disk.files().into_iter().filter(|(name, _)| name.ends_with(".checkpoint"));
    assert!(checkpoints.count() > 0, "no checkpoint to begin from");
    check_sound(&disk);
    let again = open();
    let report = again.recovery_report().expect("a recovery");
    assert!(report.checkpoint.is_some(), "{report:?}");
    assert_eq!(rooms(&again), (8, 0, 2));
}

#[test]
fn calls_beside_a_capacity_that_changes_leave_a_legal_history() {
    let disk = SimulatedDisk::new();
    let spec = |name| WarehouseSpec::new(name).capacity(40);
    let builder = InventoryManager::builder().journal(disk.clone()).limits(small());
    let manager = builder.warehouse(spec("SF")).warehouse(spec("NYC")).build().expect("a journal");
    let until = Instant::now() + Duration::from_millis(1_500);
    let running = || Instant::now() < until;
    std::thread::scope(|threads| {
        for warehouse in ["SF", "NYC"] {
            threads.spawn(|| {
                let mut random = Random::new(seed());
                while running() {
                    let capacity = 1 + random.below(40) as u32;
                    manager.set_capacity("SF", capacity).expect("a legal capacity");
                }
            });
            let other = if warehouse == "SF" { "NYC" } else { "SF" };
            let manager = &manager;
            threads.spawn(move || {
                let mut random = Random::new(seed() + 1);
                while running() {
                    let (place, units) = ((warehouse, "LAPTOP"), 1 + random.below(7) as u32);
                    let _ = manager.add_stock(place, units, "SUPPLIER");
                    let _ = manager.transfer(warehouse, other, "LAPTOP", units);
                    if manager.sell(place, units).is_ok() {
                        let _ = manager.ship(place, units);
                    }
                    let _ = manager.remove_stock(place, units, "dropped");
                }
            });
        }
    });
    assert!(manager.verify().expect("a sound journal").is_sound());
    let seen = rooms(&manager);
    let inside = manager.counts(PLACE).expect("known").on_hand();
    assert_eq!(seen, (seen.0, seen.0.saturating_sub(inside), inside.saturating_sub(seen.0)));
    drop(manager);
    check_sound(&disk);
    let builder = InventoryManager::builder().journal(disk.clone()).limits(small());
    let again = builder.warehouse(spec("SF")).warehouse(spec("NYC")).build().expect("sound");
    assert_eq!(rooms(&again), seen, "the last record is the capacity in force");
}
