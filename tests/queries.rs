//! Queries of stock, reservations and the log. No test here is about moving units.

mod common;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use stockade::{
    AdjustmentType, AuditFilter, BasketLine, ConfirmOrRetake, EventType, IdempotencyKey,
    InventoryManager, LevelRef, NoReservation, Owner, PlaceError, Release, ReservationId,
    ReservationStatus, SnapshotError, WarehouseId,
};

use common::{LAPTOPS, LONG, clock, log_of, ms, quiet, single_holds, small, threaded, within};

const MICE: (&str, &str) = ("SF", "MOUSE");
const FAR_LAPTOPS: (&str, &str) = ("NYC", "LAPTOP");

fn stocked(manager: InventoryManager) -> InventoryManager {
    for level in [LAPTOPS, MICE, FAR_LAPTOPS] {
        manager.add_stock(level, 1_000_000, "SUPPLIER").expect("room");
    }
    manager
}

fn quiet_and_stocked() -> InventoryManager {
    stocked(quiet(&clock()).build().expect("legal settings"))
}

/// All live reservations of a level, read in pages of `limit`.
fn paged(manager: &InventoryManager, level: (&str, &str), limit: usize) -> Vec<ReservationId> {
    let (mut ids, mut from) = (Vec::new(), None);
    loop {
        let page = manager.reservations(level, from, limit).expect("an open level");
        assert!(page.reservations.len() <= limit);
        ids.extend(page.reservations.iter().map(|found| found.id));
        match page.next {
            Some(next) => from = Some(next),
            None => return ids,
        }
    }
}

#[test]
fn pages_of_live_reservations_show_each_once() {
    let manager = quiet_and_stocked();
    let singles = single_holds(&manager, 300, LONG);
    let lines = [BasketLine::new(MICE, 2), BasketLine::new(LAPTOPS, 1)];
    let baskets: Vec<_> =
        (0..50).map(|_| manager.reserve_basket(&lines, LONG).expect("stock")).collect();
    let far = manager.reserve(FAR_LAPTOPS, 1, LONG).expect("stock");
    for id in &singles[..100] {
        manager.confirm(*id).expect("pending");
    }
    for id in &baskets[..10] {
        assert_eq!(manager.release(*id), Ok(Release::Released));
    }
    manager.sell(LAPTOPS, 1).expect("stock");

    let live = |parts: &[&[ReservationId]]| -> HashSet<_> { parts.concat().into_iter().collect() };
    let laptops = live(&[&singles[100..], &baskets[10..]]);
    for limit in [1, 7, 239, 240, 241, usize::MAX] {
        let seen = paged(&manager, LAPTOPS, limit);
        assert_eq!(seen.len(), 240, "in pages of {limit}");
        assert_eq!(seen.into_iter().collect::<HashSet<_>>(), laptops, "in pages of {limit}");
        let mice: HashSet<_> = paged(&manager, MICE, limit).into_iter().collect();
        assert_eq!(mice, live(&[&baskets[10..]]));
        assert_eq!(paged(&manager, FAR_LAPTOPS, limit), [far]);
    }
    let page = manager.reservations(MICE, None, 1).expect("an open level");
    let basket = &page.reservations[0];
    assert_eq!(basket.status, ReservationStatus::Pending);
    let lines: Vec<_> = basket.lines.iter().map(|it| (&*it.product, it.quantity)).collect();
    assert_eq!(lines, [("LAPTOP", 1), ("MOUSE", 2)]);

    let nowhere = PlaceError::NotStockedHere { warehouse: "NYC".into(), product: "MOUSE".into() };
    assert_eq!(manager.reservations(("NYC", "MOUSE"), None, 9), Err(nowhere));
}

#[test]
fn a_reservation_that_lives_throughout_is_seen_once_while_others_come_and_go() {
    let manager = stocked(threaded().build().expect("legal settings"));
    let mut lasting = Vec::new();
    for _ in 0..200 {
        lasting.extend(single_holds(&manager, 1, LONG));
        for passing in single_holds(&manager, 2, LONG) {
            assert_eq!(manager.release(passing), Ok(Release::Released));
        }
    }
    let lasting: HashSet<_> = lasting.into_iter().collect();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let lines = [BasketLine::new(MICE, 1), BasketLine::new(LAPTOPS, 1)];
                    let basket = manager.reserve_basket(&lines, LONG).expect("stock");
                    assert_eq!(manager.release(basket), Ok(Release::Released));
                }
            });
        }
        for limit in (1..40).map(|round| round * 13) {
            let seen = paged(&manager, LAPTOPS, limit);
            let found = seen.iter().filter(|id| lasting.contains(id)).count();
            assert_eq!(found, lasting.len(), "in pages of {limit}");
        }
        done.store(true, Ordering::Relaxed);
    });
}

/// Slots pass through several threads' magazines, so a later line's slot can be reused before the
/// slot of its head.
#[test]
fn a_record_of_which_a_line_is_gone_is_forgotten_and_not_looked_for_ever() {
    let manager =
        stocked(threaded().limits(small().retention(ms(0), 0)).build().expect("legal settings"));
    within(Duration::from_secs(30), move || {
        let lines = [LAPTOPS, MICE, FAR_LAPTOPS].map(|level| BasketLine::new(level, 1));
        let baskets: Vec<_> =
            (0..600).map(|_| manager.reserve_basket(&lines, LONG).expect("stock")).collect();
        for basket in &baskets {
            assert_eq!(manager.release(*basket), Ok(Release::Released));
        }
        // Others get a magazine of slots each, of which they use one.
        for _ in 0..4 {
            thread::scope(|scope| scope.spawn(|| single_holds(&manager, 1, LONG)).join().is_ok());
        }
        single_holds(&manager, 400, LONG);
        let kept = baskets.iter().filter(|basket| match manager.reservation(**basket) {
            Ok(record) => record.lines.len() == 3,
            Err(missing) => {
                assert_eq!(missing, NoReservation::Forgotten);
                false
            }
        });
        assert!((1..600).contains(&kept.count()));
    });
}

#[test]
fn a_reservation_is_found_by_its_key() {
    let clock = clock();
    let manager =
        stocked(quiet(&clock).limits(small().key_retention(ms(100), 100)).build().expect("legal"));
    let key = |text: &str| IdempotencyKey::try_from(text).expect("a legal key");
    let with = |text| manager.request().key(key(text));
    let found = |text| manager.reservation_by_key(&key(text)).map(|found| found.id);

    let hold = with("hold").reserve(LAPTOPS, 1, LONG).expect("stock");
    let sale = with("sale").sell(LAPTOPS, 1).expect("stock");
    let lines = [BasketLine::new(LAPTOPS, 1), BasketLine::new(MICE, 1)];
    let basket = with("basket").reserve_basket(&lines, LONG).expect("stock");
    assert_eq!((found("hold"), found("sale"), found("basket")), (Ok(hold), Ok(sale), Ok(basket)));

    assert_eq!(with("release").release(hold), Ok(Release::Released));
    let retaken = with("late").confirm_or_retake_lines(hold, &[BasketLine::new(LAPTOPS, 1)]);
    let Ok(ConfirmOrRetake::Retaken(new)) = retaken else { panic!("{retaken:?}") };
    assert_eq!(found("late"), Ok(new));

    // A key that made none, one that was never used, and one that was refused.
    assert_eq!(found("release"), Err(NoReservation::Unknown));
    assert_eq!(found("never"), Err(NoReservation::Unknown));
    assert!(with("refused").sell(("NYC", "MOUSE"), 1).is_err());
    assert_eq!(found("refused"), Err(NoReservation::Unknown));

    clock.advance(ms(100));
    assert_eq!(found("hold"), Ok(hold), "whatever became of the reservation");
    clock.advance(ms(1));
    assert_eq!(found("hold"), Err(NoReservation::Unknown));
}

#[test]
fn totals_add_up_the_warehouses_and_a_warehouse_lists_its_levels() {
    let manager = quiet_and_stocked();
    manager.sell(LAPTOPS, 5).expect("stock");
    manager.reserve(FAR_LAPTOPS, 7, LONG).expect("stock");
    let laptop = manager.product("LAPTOP").expect("known");
    for totals in [manager.totals("LAPTOP").expect("known"), manager.totals(laptop).expect("known")]
    {
        let sums = (totals.available, totals.reserved, totals.on_hand());
        assert_eq!(sums, (2_000_000 - 12, 12, 2_000_000));
    }
    let never = PlaceError::NeverStocked { product: "NOBODY'S".into() };
    assert_eq!(manager.totals("NOBODY'S"), Err(never.clone()));
    assert_eq!(manager.totals_approximate("NOBODY'S"), Err(never.clone()));
    assert_eq!(manager.product("NOBODY'S"), Err(never));

    let sf = manager.warehouse("SF").expect("known").id();
    for levels in [manager.levels("SF"), manager.levels(sf)] {
        let levels = levels.expect("known");
        let names: Vec<&str> = levels.iter().map(|it| &*it.product).collect();
        assert_eq!(names, ["LAPTOP", "MOUSE"]);
        let laptops = levels[0].counts;
        assert_eq!((laptops.available, laptops.reserved, laptops.sold), (999_995, 5, 5));
        assert_eq!((laptops.held(), laptops.on_hand()), (0, 1_000_000));
        assert_eq!(manager.level(LAPTOPS), Ok(levels[0].level));
        assert_eq!(manager.counts(levels[0].level).expect("known"), laptops);
    }
    assert!(manager.levels("MARS").is_err());
    let names: Vec<&str> = manager.warehouses().iter().map(|it| it.name()).collect();
    assert_eq!(names, ["SF", "NYC"]);
    let positions: Vec<usize> =
        manager.warehouses().iter().map(|it| WarehouseId::index(it.id())).collect();
    assert_eq!(positions, [0, 1]);

    let level = manager.stock_level(FAR_LAPTOPS).expect("open");
    assert_eq!((level.available(), level.reserved(), level.held()), (999_993, 7, 7));
    assert_eq!((level.sold(), level.on_hand()), (0, 1_000_000));
    assert_eq!((level.product(), level.warehouse().index()), (laptop, 1));
    let elsewhere = PlaceError::NotStockedHere { warehouse: "NYC".into(), product: "MOUSE".into() };
    assert_eq!(manager.stock_level(("NYC", "MOUSE")).map(drop), Err(elsewhere));
    let counts = manager.counts(("NYC", "MOUSE")).expect("known");
    assert_eq!((counts.available, counts.reserved, counts.sold), (0, 0, 0));
}

#[test]
fn the_log_answers_by_what_where_who_and_when() {
    let clock = clock();
    let manager = stocked(quiet(&clock).build().expect("legal settings"));
    clock.advance(ms(10));
    let owner = Owner([5; 16]);
    let hold = manager.request().owner(owner).reserve(LAPTOPS, 3, LONG).expect("stock");
    clock.advance(ms(10));
    manager.confirm(hold).expect("pending");
    manager.transfer("SF", "NYC", "LAPTOP", 4).expect("stock");
    let all = log_of(&manager);

    let asked = |filter: AuditFilter| -> Vec<u64> {
        let entries = manager.audit_log().query(&filter).entries;
        entries.into_iter().map(|entry| entry.sequence).collect()
    };
    let such = |holds: &dyn Fn(&stockade::AuditEntry) -> bool| -> Vec<u64> {
        let entries = all.iter().filter(|entry| holds(entry));
        entries.map(|entry| entry.sequence).collect()
    };
    let laptop = |entry: &stockade::AuditEntry| entry.product.as_deref() == Some("LAPTOP");
    let sf = |entry: &stockade::AuditEntry| entry.warehouse.as_deref() == Some("SF");
    let plain = AuditFilter::new;
    assert_eq!(asked(plain().product("LAPTOP")), such(&laptop));
    assert_eq!(asked(plain().warehouse("SF")), such(&sf));
    let both = such(&|entry| laptop(entry) && sf(entry));
    assert_eq!(asked(plain().product("LAPTOP").warehouse("SF")), both);
    assert_eq!(asked(plain().reservation(hold)).len(), 2);
    assert_eq!(asked(plain().owner(owner)).len(), 2);
    assert_eq!(asked(plain().owner(Owner([6; 16]))), []);
    assert_eq!(asked(plain().product("NOBODY'S")), []);
    let sold = plain().entry_type(AdjustmentType::Sold).entry_type(EventType::Opened);
    assert_eq!(asked(sold).len(), 2);
    let moment = stockade::Timestamp::from_millis(1_010);
    let then = such(&|entry| entry.at == moment);
    assert_eq!(then.len(), 1);
    assert_eq!(asked(plain().since(moment).until(moment)), then);
    let without = plain().without(AdjustmentType::Reserved).since(moment);
    assert_eq!(asked(without).len(), 3, "sold, and the two ends of the transfer");

    let (mut paged, mut after) = (Vec::new(), 0);
    loop {
        let page = manager.audit_log().query(&AuditFilter::new().limit(3).after(after));
        assert!(page.entries.len() <= 3);
        paged.extend(page.entries);
        match page.next {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(paged, all);
}

#[test]
fn a_log_that_keeps_few_entries_says_how_many_have_left() {
    let manager = stocked(
        quiet(&clock()).limits(small().audit_retained(10)).build().expect("legal settings"),
    );
    single_holds(&manager, 5_000, LONG);
    let kept = log_of(&manager);
    let newest = manager.audit_log().newest_sequence();
    let numbers: Vec<u64> = kept.iter().map(|entry| entry.sequence).collect();
    assert_eq!(numbers, (newest - 9..=newest).collect::<Vec<_>>());
    assert_eq!((manager.audit_log().len(), manager.audit_log().evicted()), (10, newest - 10));
    let page = manager.audit_log().query(&AuditFilter::new().after(newest - 3));
    assert_eq!((page.entries.len(), page.left), (3, newest - 10));
    assert_eq!(page.oldest_sequence, Some(newest - 9));
    let stats = manager.stats();
    assert_eq!((stats.audit_kept, stats.audit_evicted), (10, newest - 10));
}

#[test]
fn a_snapshot_has_no_more_levels_than_a_commit() {
    let manager = quiet_and_stocked();
    let levels = |count: usize| vec![LevelRef::from(LAPTOPS); count];
    let seen = manager.snapshot(&levels(65_535)).expect("as many as there can be");
    assert_eq!(seen.len(), 65_535);
    let refused = manager.snapshot(&levels(65_536)).map(drop);
    assert_eq!(refused, Err(SnapshotError::TooManyLevels { levels: 65_536, most: 65_535 }));
}

/// The log lies in chunks of 1,024 entries. A page may begin with any of them.
#[test]
fn a_page_begins_with_the_next_entry_wherever_a_chunk_ends() {
    let manager = quiet(&clock()).build().expect("legal settings");
    assert_eq!((manager.audit_log().is_empty(), manager.audit_log().len()), (true, 0));
    for _ in 0..2_100 {
        manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
        manager.run_until_idle();
    }
    assert!(!manager.audit_log().is_empty());
    for after in [0, 1, 1_022, 1_023, 1_024, 1_025, 2_046, 2_047, 2_048, 2_049] {
        let page = manager.audit_log().query(&AuditFilter::new().after(after).limit(1));
        let first = page.entries.first().expect("there are more");
        assert_eq!(first.sequence, after + 1);
        assert_eq!((first.reservation, first.owner), (None, None), "it is of no hold");
    }
}
