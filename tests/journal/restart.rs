//! Restart: a reopened engine is in the state in which it ended.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stockade::testing::SimulatedDisk;
use stockade::{
    AddError, AuditFilter, BasketLine, BuildError, ConfirmError, ConfirmOrRetake, FileStorage,
    Gone, IdempotencyKey, InventoryManager, JournalError, KeyError, Limits, ManualClock, Owner,
    PlaceError, Release, ReservationStatus, StockAlertListener, Timestamp, WarehouseSpec,
};

use crate::state::{MINUTE, check_laws, counts, engine_on, on, pending, small};

fn key(name: &str) -> IdempotencyKey {
    IdempotencyKey::try_from(name).expect("a legal key")
}

#[test]
fn everything_that_an_engine_knows_survives_a_restart() {
    let disk = SimulatedDisk::new();
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000_000)));
    let open = || engine_on(&disk).clock(Arc::clone(&clock)).build().expect("a sound journal");

    let first = open();
    first.add_stock(("SF", "LAPTOP"), 100, "SUPPLIER").expect("room");
    first.add_stock(("NYC", "PHONE"), 50, "SUPPLIER").expect("room");
    first.remove_stock(("SF", "LAPTOP"), 1, "dropped").expect("stock");
    first.transfer("SF", "LA", "LAPTOP", 9).expect("stock");
    let owner = Owner([7; 16]);
    let held = first.request().owner(owner).reserve(("SF", "LAPTOP"), 3, MINUTE).expect("stock");
    let lines = [BasketLine::new(("NYC", "PHONE"), 2), BasketLine::new(("SF", "LAPTOP"), 5)];
    let basket = first.request().owner(owner).reserve_basket(&lines, MINUTE).expect("stock");
    let sold = first.sell(("SF", "LAPTOP"), 4).expect("stock");
    let released = first.reserve(("SF", "LAPTOP"), 6, MINUTE).expect("stock");
    assert_eq!(first.release(released), Ok(Release::Released));
    first.ship(("SF", "LAPTOP"), 1).expect("sold");
    first.cancel_sale(("SF", "LAPTOP"), 1, "changed their mind").expect("sold");
    let expiry = first.extend(held, 2 * MINUTE).expect("pending");
    let keyed = first.request().key(key("A")).reserve(("SF", "LAPTOP"), 1, MINUTE).expect("stock");
    first.set_longest_ttl(Duration::from_secs(7_200)).expect("a setting");
    first.set_threshold("SF", Some(5)).expect("a setting");
    first.set_product_threshold(("NYC", "PHONE"), Some(9)).expect("a setting");
    first.set_safety_stock(("NYC", "PHONE"), 7).expect("a setting");
    first.set_safety_stock(("SF", "LAPTOP"), 7).expect("a setting");
    first.set_safety_stock(("SF", "LAPTOP"), 0).expect("a setting");
    first.suspend("LA").expect("a setting");

    let (before, holds) = (counts(&first), pending(&first));
    let (entries, handle) =
        (first.audit_log().newest_sequence(), first.level(("NYC", "PHONE")).expect("open"));
    let retained = first.audit_log().query(&AuditFilter::new().limit(usize::MAX)).entries;
    drop(first);

    for _ in 0..2 {
        let again = open();
        assert_eq!(counts(&again), before);
        assert_eq!(pending(&again), holds);
        check_laws(&again);
        assert_eq!(again.level(("NYC", "PHONE")).map(|it| it.index()), Ok(handle.index()));
        assert_eq!(again.available(handle), Err(PlaceError::ForeignHandle), "of the engine before");
        let held = again.reservation(held).expect("pending");
        assert_eq!((held.owner, held.expires_at), (Some(owner), expiry));
        assert_eq!(again.reservation(basket).expect("pending").lines.len(), 2);
        let status = |id| again.reservation(id).expect("a kept record").status;
        assert_eq!(status(sold), ReservationStatus::Confirmed);
        assert_eq!(status(released), ReservationStatus::Released);
        let reserve =
            |units| again.request().key(key("A")).reserve(("SF", "LAPTOP"), units, MINUTE);
        assert_eq!(reserve(1), Ok(keyed));
        assert_eq!(reserve(2), Err(KeyError::Conflict.into()));
        assert_eq!(again.longest_ttl(), Duration::from_secs(7_200));
        let level = |place| again.stock_level(place).expect("a level").threshold();
        assert_eq!(level(("SF", "LAPTOP")), Some(5));
        assert_eq!(level(("NYC", "PHONE")), Some(9));
        let kept = |place| again.stock_level(place).expect("a level").safety_stock();
        assert_eq!((kept(("SF", "LAPTOP")), kept(("NYC", "PHONE"))), (0, 7));
        let refused = again.add_stock(("LA", "LAPTOP"), 1, "SUPPLIER");
        assert!(matches!(refused, Err(AddError::Suspended { .. })));
        let report = again.recovery_report().expect("a journal");
        assert!(report.closed && report.torn.is_none());
        assert!(report.entries > entries, "{report:?}");
        let log = again.audit_log().query(&AuditFilter::new().limit(usize::MAX)).entries;
        assert_eq!(log[..retained.len()], retained[..]);
        again.flush().wait().expect("written");
        assert!(again.audit_log().newest_sequence() > report.entries);
    }
    let last = open();
    last.confirm(held).expect("pending");
    last.confirm(basket).expect("pending");
    check_laws(&last);
}

#[test]
fn a_hold_that_fell_due_while_the_engine_was_down_gets_a_grace() {
    let disk = SimulatedDisk::new();
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000_000)));
    let open = |grace| {
        let builder = engine_on(on(&disk).recovery_grace(grace)).clock(Arc::clone(&clock));
        builder.build().expect("a sound journal")
    };
    let first = open(MINUTE);
    first.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER").expect("room");
    let short = first.reserve(("SF", "LAPTOP"), 1, Duration::from_secs(10)).expect("stock");
    let long = first.reserve(("SF", "LAPTOP"), 2, 60 * MINUTE).expect("stock");
    let long_expiry = first.reservation(long).expect("pending").expires_at;
    drop(first);
    clock.advance(10 * MINUTE);

    let again = open(MINUTE);
    assert_eq!(again.recovery_report().map(|it| (it.pending, it.given_grace)), Some((2, 1)));
    let expires_at = again.reservation(short).expect("pending").expires_at;
    assert_eq!(expires_at, Timestamp::from_millis(1_000_000).saturating_add(11 * MINUTE));
    assert_eq!(again.reservation(long).expect("pending").expires_at, long_expiry);
    drop(again);

    // The grace is in the journal, so that it is given once.
    let third = open(MINUTE);
    assert_eq!(third.recovery_report().map(|it| it.given_grace), Some(0));
    assert_eq!(third.reservation(short).expect("pending").expires_at, expires_at);
    third.confirm(short).expect("pending");
    drop(third);

    clock.advance(120 * MINUTE);
    let none = open(Duration::ZERO);
    assert!(matches!(none.confirm(long), Err(ConfirmError::Gone(Gone::Expired { .. }))));
    assert_eq!(none.available(("SF", "LAPTOP")).expect("known"), 9);
}

#[test]
fn what_the_builder_changes_stands_and_what_it_repeats_does_not_undo_a_change() {
    let disk = SimulatedDisk::new();
    let open = |threshold, capacity| {
        let spec = WarehouseSpec::new("SF").threshold(threshold).capacity(capacity);
        let builder = InventoryManager::builder().journal(disk.clone()).without_threads();
        builder.warehouse(spec).build()
    };
    let threshold =
        |manager: &InventoryManager| manager.warehouse("SF").expect("a warehouse").threshold();
    let first = open(20, 100).expect("a new journal");
    first.add_stock(("SF", "LAPTOP"), 50, "SUPPLIER").expect("room");
    first.set_threshold("SF", Some(30)).expect("a setting");
    drop(first);
    assert_eq!(threshold(&open(20, 100).expect("a sound journal")), Some(30));
    assert_eq!(threshold(&open(20, 60).expect("a sound journal")), Some(30));
    assert_eq!(threshold(&open(25, 60).expect("a sound journal")), Some(25));
    assert_eq!(threshold(&open(25, 60).expect("a sound journal")), Some(25));
    let full = open(25, 49).expect("less than what is inside");
    assert_eq!(full.available(("SF", "LAPTOP")), Ok(50));
    assert_eq!(full.warehouse("SF").map(|it| (it.room_left(), it.over_capacity())), Ok((0, 1)));
}

/// The builder changes a setting at an opening, a call changes it again, and the builder repeats
/// what it said before: the call was last.
#[test]
fn a_change_by_a_call_stands_after_a_change_by_the_builder() {
    let disk = SimulatedDisk::new();
    let open = |threshold, capacity, longest| {
        let spec = WarehouseSpec::new("SF").threshold(threshold).capacity(capacity);
        let limits = Limits::new().longest_ttl(Duration::from_secs(longest));
        let builder = InventoryManager::builder().journal(disk.clone()).without_threads();
        builder.limits(limits).warehouse(spec).build().expect("a sound journal")
    };
    let seen = |manager: &InventoryManager| {
        let sf = manager.warehouse("SF").expect("a warehouse");
        let level = manager.stock_level(("SF", "LAPTOP")).expect("open");
        (sf.threshold(), level.threshold(), sf.capacity(), manager.longest_ttl().as_secs())
    };
    let first = open(5, 500, 3_600);
    first.add_stock(("SF", "LAPTOP"), 100, "SUPPLIER").expect("room");
    drop(first);
    let second = open(7, 700, 7_200);
    assert_eq!(seen(&second), (Some(7), Some(7), 700, 7_200), "by the builder");
    second.set_threshold("SF", Some(9)).expect("a warehouse");
    second.set_capacity("SF", 900).expect("a warehouse");
    second.set_longest_ttl(Duration::from_secs(9_000)).expect("a legal span");
    drop(second);
    for _ in 0..2 {
        assert_eq!(seen(&open(7, 700, 7_200)), (Some(9), Some(9), 900, 9_000), "by the calls");
    }
}

/// What is told of reservations is the same after a restart, whichever way they went, and the
/// report counts all that was restored.
#[test]
fn every_reservation_is_told_as_before_and_counted() {
    let (laptops, phones) = (("SF", "LAPTOP"), ("SF", "PHONE"));
    let disk = SimulatedDisk::new();
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000_000)));
    let open = || engine_on(&disk).clock(Arc::clone(&clock)).build().expect("a sound journal");
    let first = open();
    for place in [phones, laptops, ("NYC", "LAPTOP"), ("LA", "LAPTOP")] {
        first.add_stock(place, 20, "SUPPLIER").expect("room");
    }
    let both = [BasketLine::new(laptops, 3), BasketLine::new(phones, 2)];
    let basket = || first.reserve_basket(&both, MINUTE).expect("stock");
    let one = [BasketLine::new(laptops, 1)];
    // One unit of one line is a sale, too.
    let [partly, live, in_part, plain] = [basket(), basket(), basket(), basket()];
    let sold_then_released = basket();
    first.confirm_lines(sold_then_released, &one).map(drop).expect("pending");
    first.release(sold_then_released).map(drop).expect("pending");
    first.confirm_lines_and_release_rest(partly, &one).map(drop).expect("pending");
    first.confirm_lines(in_part, &one).map(drop).expect("pending");
    first.release(plain).map(drop).expect("pending");
    let single = first.sell(phones, 1).expect("stock");
    let order = ["LA".into(), "NYC".into(), "SF".into()];
    let spread = first.fulfill_across_warehouses("LAPTOP", 45, &order, MINUTE).expect("stock");
    let key = IdempotencyKey::try_from("once").expect("a legal key");
    let keyed = first.request().key(key).reserve(phones, 1, MINUTE).expect("stock");
    let transfer = first.request_transfer("SF", "NYC", "PHONE", 1).expect("stock");
    // Two expire: one of several lines, and one of a single line with an owner.
    let soon = Duration::from_secs(1);
    let overdue = first.reserve_basket(&both, soon).expect("stock");
    let owned = first.request().owner(Owner([7; 16])).reserve(phones, 1, soon).expect("stock");
    clock.advance(2 * soon);
    first.run_until_idle();
    let ids =
        [partly, live, in_part, plain, sold_then_released, single, spread, keyed, overdue, owned];
    let told = |manager: &InventoryManager| {
        let told = ids.map(|id| {
            let it = manager.reservation(id).expect("a record");
            let lines = it.lines.iter().map(|line| {
                (line.warehouse.clone(), line.product.clone(), line.quantity, line.held, line.sold)
            });
            (it.status, it.created_at, it.expires_at, lines.collect::<Vec<_>>())
        });
        // These are over, so neither call moves anything.
        let over = [partly, plain, sold_then_released, single, overdue, owned];
        let ended = over.map(|id| (manager.confirm(id), manager.release(id)));
        (told, ended, manager.transfer_request(transfer).map(|it| it.status))
    };
    let before = told(&first);
    drop(first);
    let again = open();
    assert_eq!(told(&again), before);
    let report = again.recovery_report().expect("a journal");
    assert_eq!((report.pending, report.finished, report.given_grace), (4, 6, 0), "{report:?}");
    assert_eq!((report.keys, report.transfer_requests), (1, 1), "{report:?}");
    assert!(report.took > Duration::ZERO, "{report:?}");
    // The lines go back whole, wherever they lie.
    for id in [live, in_part, spread] {
        again.release(id).map(drop).expect("pending");
    }
    assert_eq!(again.counts(laptops).map(|it| (it.available, it.sold)), Ok((17, 3)));
    assert_eq!(again.available(("LA", "LAPTOP")), Ok(20));
}

/// A key lives in memory at least as long as its answer is kept on the disk: only memory has the
/// answers that no file has yet.
#[test]
fn a_key_is_kept_as_long_as_its_answer_though_keys_alone_would_go_sooner() {
    let disk = SimulatedDisk::new();
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000_000)));
    let builder = engine_on(&disk).clock(Arc::clone(&clock));
    let limits = small().key_retention(Duration::from_secs(1), 1_000);
    let manager = builder.limits(limits).build().expect("a new journal");
    manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER").expect("room");
    let key = IdempotencyKey::try_from("once").expect("a legal key");
    let sell = || manager.request().key(key).sell(("SF", "LAPTOP"), 1);
    let first = sell();
    clock.advance(60 * MINUTE);
    assert_eq!(sell(), first);
    assert_eq!(manager.sold(("SF", "LAPTOP")), Ok(1));
}

/// The files know of a hold whose record has left memory, and of one that left a moment ago: the
/// journal is read on first.
#[test]
fn a_hold_whose_record_left_a_moment_ago_is_told_of() {
    let disk = SimulatedDisk::new();
    let limits = || small().max_reservations(1).retention(Duration::ZERO, 0);
    let manager = engine_on(&disk).limits(limits()).build().expect("a new journal");
    manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER").expect("room");
    let hold = || manager.reserve(("SF", "LAPTOP"), 1, MINUTE).expect("stock");
    let first = hold();
    manager.release(first).map(drop).expect("pending");
    let second = hold();
    assert_eq!(manager.release(first), Ok(Release::AlreadyReleased), "not merely forgotten");
    drop(manager);
    let again = engine_on(&disk).limits(limits()).build().expect("as many as there may be");
    again.confirm(second).expect("pending");
}

/// Of the answers in a journal, those in the files need not be kept in memory, and those that are
/// in none must be.
#[test]
fn a_restart_knows_which_answers_the_files_have() {
    const KEYS: usize = 100;
    let disk = SimulatedDisk::new();
    let open = || engine_on(on(&disk).segment_bytes(2_000)).build().expect("a sound journal");
    let first = open();
    first.add_stock(("SF", "LAPTOP"), 1_000, "SUPPLIER").expect("room");
    for number in 0..KEYS {
        let key = IdempotencyKey::try_from(&*format!("key {number}")).expect("a legal key");
        first.request().key(key).sell(("SF", "LAPTOP"), 1).map(drop).expect("stock");
        first.run_until_idle();
    }
    assert!(first.verify().expect("a sound journal").is_sound());
    drop(first);
    let again = open();
    let figures = again.stats().outcomes;
    assert!(figures.oldest < 60 * MINUTE, "they are of this test: {figures:?}");
    let waiting = figures.waiting;
    assert!((1..KEYS).contains(&waiting), "{waiting} of {KEYS} wait for a file");
}

/// An alert that was raised and not delivered is lost with its process. So each level that is low
/// raises one anew, the first of the journal too.
#[test]
fn every_level_that_is_low_raises_an_alert_after_a_restart() {
    struct Wire(Mutex<Sender<String>>);
    impl StockAlertListener for Wire {
        fn on_low_stock(&self, _: &str, product: &str, _: u32) {
            let _ = self.0.lock().expect("no panic").send(product.to_owned());
        }
    }
    let disk = SimulatedDisk::new();
    let open = || {
        let (sender, heard) = channel();
        let wire = Wire(Mutex::new(sender));
        let builder = InventoryManager::builder().journal(disk.clone()).without_threads();
        let builder = builder.warehouse(WarehouseSpec::new("SF").threshold(5)).listener(wire);
        (builder.build().expect("a sound journal"), heard)
    };
    let (first, _heard) = open();
    for (product, units) in [("LAPTOP", 5), ("MOUSE", 6), ("CABLE", 4)] {
        first.add_stock(("SF", product), units, "SUPPLIER").expect("room");
    }
    drop(first);
    let (again, heard) = open();
    again.run_until_idle();
    let mut heard: Vec<String> = heard.try_iter().collect();
    heard.sort();
    assert_eq!(heard, ["CABLE", "LAPTOP"]);
}

#[test]
fn a_builder_must_name_every_warehouse_of_the_journal_and_may_add_some_in_any_order() {
    let disk = SimulatedDisk::new();
    let open = |names: &[&str]| {
        let builder = InventoryManager::builder().journal(disk.clone()).without_threads();
        names.iter().fold(builder, |builder, name| builder.warehouse(*name)).build()
    };
    let first = open(&["SF", "NYC"]).expect("a new journal");
    first.add_stock(("NYC", "LAPTOP"), 5, "SUPPLIER").expect("room");
    let handle = first.level(("NYC", "LAPTOP")).expect("a level");
    drop(first);
    let missing = JournalError::MissingWarehouse { warehouse: "SF".to_owned() };
    assert_eq!(open(&["NYC", "LA"]).expect_err("SF lacks"), BuildError::Journal(missing));
    let again = open(&["LA", "NYC", "SF"]).expect("all are there");
    assert_eq!(again.level(("NYC", "LAPTOP")).map(|it| it.index()), Ok(handle.index()));
    assert_eq!(again.available(("NYC", "LAPTOP")), Ok(5));
    again.transfer("NYC", "LA", "LAPTOP", 2).expect("stock");
    drop(again);
    let third = open(&["SF", "NYC", "LA"]).expect("all are there");
    assert_eq!(third.available(("LA", "LAPTOP")).expect("known"), 2);
}

#[test]
fn a_journal_is_open_for_writing_once() {
    let disk = SimulatedDisk::new();
    let first = engine_on(&disk).build().expect("a new journal");
    let at_once = on(&disk).wait_for_lock(Duration::ZERO);
    let second = engine_on(at_once).build().expect_err("taken");
    assert_eq!(second, BuildError::Journal(JournalError::Locked));
    assert!(second.is_retryable());
    let waiting = std::thread::spawn({
        let builder = engine_on(on(&disk).wait_for_lock(MINUTE));
        move || builder.build().map(drop)
    });
    std::thread::sleep(Duration::from_millis(20));
    drop(first);
    assert_eq!(waiting.join().expect("no panic"), Ok(()));
}

#[test]
fn a_smaller_maximum_limits_new_holds_only() {
    let disk = SimulatedDisk::new();
    let first = engine_on(&disk).build().expect("a new journal");
    first.add_stock(("SF", "LAPTOP"), 1_000, "SUPPLIER").expect("room");
    let hold = || first.reserve(("SF", "LAPTOP"), 1, MINUTE).expect("stock");
    let holds: Vec<_> = (0..300).map(|_| hold()).collect();
    drop(first);
    let again =
        engine_on(&disk).limits(small().max_reservations(10)).build().expect("a sound journal");
    assert_eq!(pending(&again).len(), 300);
    assert!(again.reserve(("SF", "LAPTOP"), 1, MINUTE).is_err());
    holds.iter().for_each(|id| again.confirm(*id).expect("pending"));
    let new = (0..11).map(|_| again.reserve(("SF", "LAPTOP"), 1, MINUTE).is_ok());
    assert_eq!(new.filter(|made| *made).count(), 10);
}

#[test]
fn a_hold_taken_anew_before_the_restart_is_not_taken_again_after_it() {
    let disk = SimulatedDisk::new();
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000_000)));
    let open = || engine_on(&disk).clock(Arc::clone(&clock)).build().expect("a sound journal");
    let first = open();
    first.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER").expect("room");
    let late = first.reserve(("SF", "LAPTOP"), 2, Duration::from_secs(1)).expect("stock");
    clock.advance(MINUTE);
    let lines = [BasketLine::new(("SF", "LAPTOP"), 2)];
    let Ok(ConfirmOrRetake::Retaken(by)) = first.confirm_or_retake_lines(late, &lines) else {
        panic!("taken anew");
    };
    drop(first);
    let again = open();
    assert_eq!(
        again.confirm_or_retake_lines(late, &lines),
        Ok(ConfirmOrRetake::AlreadyRetaken(by))
    );
    assert_eq!(again.reservation(by).map(|it| it.retaken_from), Ok(Some(late)));
    assert_eq!(again.sold(("SF", "LAPTOP")).expect("known"), 2);
}

#[test]
fn segments_follow_one_another_and_are_read_as_one() {
    let disk = SimulatedDisk::new();
    let open = || engine_on(on(&disk).segment_bytes(2_000)).build().expect("a sound journal");
    let mut sold = 0;
    for _ in 0..3 {
        let manager = open();
        manager.add_stock(("SF", "LAPTOP"), 100, "SUPPLIER").expect("room");
        for _ in 0..50 {
            manager.sell(("SF", "LAPTOP"), 1).expect("stock");
            manager.flush().wait().expect("written");
            sold += 1;
        }
    }
    let manager = open();
    assert_eq!(manager.sold(("SF", "LAPTOP")).expect("known"), sold);
    assert!(
        manager.recovery_report().is_some_and(|it| it.segments > 6),
        "{:?}",
        manager.recovery_report()
    );
    check_laws(&manager);
}

#[test]
fn a_journal_in_a_directory_is_what_a_simulated_one_is() {
    let directory = std::env::temp_dir().join(format!("stockade-{}", std::process::id()));
    let open = |on: &dyn Fn() -> stockade::Builder| on().warehouse("SF").build();
    let builder = || InventoryManager::builder().journal(FileStorage::new(&directory));
    let first = open(&builder).expect("a new journal");
    first.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER").expect("room");
    let hold = first.reserve(("SF", "LAPTOP"), 3, MINUTE).expect("stock");
    let taken = open(&builder).expect_err("taken");
    assert_eq!(taken, BuildError::Journal(JournalError::Locked));
    assert!(first.shutdown(MINUTE).is_clean());
    let again = open(&builder).expect("a sound journal");
    assert!(again.recovery_report().is_some_and(|it| it.closed));
    again.confirm(hold).expect("pending");
    drop(again);
    std::fs::remove_dir_all(&directory).expect("it is there");
}
