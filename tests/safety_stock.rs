//! Safety stock: so many units of a level are kept back from all sales, whatever happens at once,
//! and only a call that passes it takes them.

mod common;

use std::sync::atomic::{AtomicU32, Ordering};

use stockade::{
    AllocationStrategy, BasketError, BasketLine, Candidate, ConfirmOrRetake, EventType,
    FulfillError, IdempotencyKey, InventoryManager, KeyError, MAX_UNITS, PlaceError, Release,
    ReserveError, RetakeError, SettingError,
};

use common::{LAPTOPS, LONG, MICE, clock, counts, log_of, ms, quiet, race, threaded};

/// An engine with ten laptops, of which four are kept back, and ten mice.
fn stocked() -> InventoryManager {
    let manager = quiet(&clock()).build().expect("legal settings");
    manager.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
    manager.add_stock(MICE, 10, "SUPPLIER").expect("room");
    manager.set_safety_stock(LAPTOPS, 4).expect("open");
    manager
}

fn short(needed: u32, available: u32) -> ReserveError {
    ReserveError::Insufficient { needed, available, safety_stock: 4, overdue_left: false }
}

#[test]
fn every_sale_leaves_it_and_says_what_it_left() {
    let manager = stocked();
    let level = manager.stock_level(LAPTOPS).expect("open");
    assert_eq!((level.available(), level.safety_stock(), level.for_sale()), (10, 4, 6));
    assert_eq!(manager.reserve(LAPTOPS, 7, LONG), Err(short(7, 10)));
    assert_eq!(manager.sell(LAPTOPS, 7), Err(short(7, 10)));
    assert_eq!(short(7, 10).to_string(), "7 units needed, 10 available, 4 of them safety stock");
    let lines = [BasketLine::new(LAPTOPS, 7), BasketLine::new(MICE, 1)];
    for lines in [&lines[..], &lines[..1]] {
        let Err(BasketError::Insufficient { lines, .. }) = manager.reserve_basket(lines, LONG)
        else {
            panic!("it would take safety stock")
        };
        let [line] = &lines[..] else { panic!("one line is short: {lines:?}") };
        assert_eq!((line.needed, line.available, line.safety_stock), (7, 10, 4));
    }
    let short_sum = FulfillError::Insufficient { needed: 7, available: 6 };
    let order = [LAPTOPS.0.into()];
    let fulfilled = manager.fulfill_across_warehouses(LAPTOPS.1, 7, &order, LONG);
    assert_eq!(fulfilled, Err(short_sum));
    assert_eq!(manager.stats().refusals.insufficient, 5);
    assert_eq!(counts(&manager, LAPTOPS), (10, 0, 0), "nothing was taken");

    manager.reserve(LAPTOPS, 4, LONG).expect("above it");
    manager.sell(LAPTOPS, 2).expect("above it");
    assert_eq!(manager.sell(LAPTOPS, 1), Err(short(1, 4)));
    assert_eq!(level.for_sale(), 0);
}

#[test]
fn a_split_fulfilment_takes_the_rest_elsewhere_and_shows_strategies_what_is_for_sale() {
    struct Seen(AtomicU32);
    impl AllocationStrategy for Seen {
        fn order(&self, _: u32, candidates: &mut Vec<Candidate>) {
            let sum = candidates.iter().map(|candidate| candidate.available).sum();
            self.0.store(sum, Ordering::Relaxed);
        }
    }
    let manager = stocked();
    let (here, there) = (LAPTOPS, ("NYC", LAPTOPS.1));
    manager.add_stock(there, 3, "SUPPLIER").expect("room");
    manager.set_safety_stock(there, 1).expect("open");
    let seen = Seen(AtomicU32::new(0));
    let hold = manager.fulfill_by(LAPTOPS.1, 8, &seen, LONG).expect("six and two");
    assert_eq!(seen.0.into_inner(), 8);
    assert_eq!((counts(&manager, here).0, counts(&manager, there).0), (4, 1));
    assert_eq!(manager.release(hold), Ok(Release::Released));
    let refused = manager.fulfill_by(LAPTOPS.1, 9, &Seen(AtomicU32::new(0)), LONG);
    assert_eq!(refused, Err(FulfillError::Insufficient { needed: 9, available: 8 }));
    let request = manager.request().pass_safety_stock("the last ones");
    request.fulfill_by(LAPTOPS.1, 13, &Seen(AtomicU32::new(0)), LONG).expect("all there are");
}

#[test]
fn what_is_held_is_sold_and_what_comes_back_is_kept_first() {
    let manager = stocked();
    let (kept, given) = (manager.reserve(LAPTOPS, 3, LONG), manager.reserve(LAPTOPS, 3, LONG));
    manager.set_safety_stock(LAPTOPS, 9).expect("open");
    assert_eq!(manager.confirm(kept.expect("above it")), Ok(()));
    assert_eq!(manager.release(given.expect("above it")), Ok(Release::Released));
    assert_eq!(counts(&manager, LAPTOPS).0, 7);
    assert!(manager.sell(LAPTOPS, 1).is_err(), "seven are left of the nine");
    manager.cancel_sale(LAPTOPS, 3, "changed their mind").expect("sold");
    manager.sell(LAPTOPS, 1).expect("ten are there again");
    manager.set_safety_stock(LAPTOPS, 0).expect("open");
    manager.sell(LAPTOPS, 9).expect("none is kept");
}

#[test]
fn staff_moves_units_whatever_is_kept() {
    let manager = stocked();
    manager.remove_stock(LAPTOPS, 7, "water").expect("they are broken");
    manager.transfer(LAPTOPS.0, "NYC", LAPTOPS.1, 1).expect("it is there");
    let request = manager.request().hold_units();
    request.request_transfer(LAPTOPS.0, "NYC", LAPTOPS.1, 1).expect("it is there");
    assert_eq!(counts(&manager, LAPTOPS).0, 1);
}

#[test]
fn a_call_that_passes_it_takes_it_and_its_entry_says_why() {
    let manager = stocked();
    let passing = || manager.request().pass_safety_stock("replaces a broken one");
    let hold = passing().reserve(LAPTOPS, 8, LONG).expect("it passes");
    passing().sell(LAPTOPS, 1).expect("it passes");
    passing().reserve_basket(&[BasketLine::new(LAPTOPS, 1)], LONG).expect("it passes");
    let none = ReserveError::Insufficient {
        needed: 1,
        available: 0,
        safety_stock: 0,
        overdue_left: false,
    };
    assert_eq!(passing().sell(LAPTOPS, 1), Err(none));
    let entries = log_of(&manager);
    let said = entries.iter().filter(|entry| entry.reservation.is_some());
    let why = |entry: &stockade::AuditEntry| entry.note("passedSafetyStock").map(str::to_owned);
    assert!(said.clone().count() >= 4);
    assert!(said.map(why).all(|why| why.as_deref() == Some("replaces a broken one")));
    assert_eq!(manager.release(hold), Ok(Release::Released));

    let twice = manager.request().note("passedSafetyStock", "").pass_safety_stock("").sell(MICE, 1);
    assert!(matches!(twice, Err(ReserveError::Call(_))), "{twice:?}");
}

#[test]
fn a_late_payment_leaves_it_or_passes_it() {
    let manager = stocked();
    let hold = manager.reserve(LAPTOPS, 2, LONG).expect("above it");
    assert_eq!(manager.release(hold), Ok(Release::Released));
    manager.sell(LAPTOPS, 6).expect("above it");
    let late = manager.confirm_or_retake(hold);
    let Err(RetakeError::Insufficient { lines, .. }) = late else { panic!("{late:?}") };
    assert_eq!((lines[0].available, lines[0].safety_stock), (4, 4));
    let late = manager.request().pass_safety_stock("paid in time").confirm_or_retake(hold);
    assert!(matches!(late, Ok(ConfirmOrRetake::Retaken(_))), "{late:?}");
    assert_eq!(counts(&manager, LAPTOPS).0, 2);
}

#[test]
fn overdue_holds_are_taken_back_before_it_is_called_short() {
    let clock = clock();
    let manager = quiet(&clock).build().expect("legal settings");
    manager.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
    manager.set_safety_stock(LAPTOPS, 4).expect("open");
    manager.reserve(LAPTOPS, 6, ms(10)).expect("above it");
    clock.advance(ms(11));
    manager.sell(LAPTOPS, 1).expect("the hold is overdue");
    manager.sell(LAPTOPS, 5).expect("all of it came back");
    assert_eq!(manager.sell(LAPTOPS, 1), Err(short(1, 4)));
}

#[test]
fn passing_it_is_another_request_under_a_key() {
    let manager = stocked();
    let keyed = || manager.request().key(IdempotencyKey::try_from("order-1").expect("legal"));
    let sold = keyed().sell(LAPTOPS, 1).expect("above it");
    assert_eq!(keyed().sell(LAPTOPS, 1), Ok(sold));
    let other = keyed().pass_safety_stock("a code").sell(LAPTOPS, 1);
    assert_eq!(other, Err(KeyError::Conflict.into()));
}

#[test]
fn a_setting_that_can_not_be_changes_nothing() {
    let manager = stocked();
    let most = manager.set_safety_stock(LAPTOPS, MAX_UNITS);
    assert_eq!(most, Ok(()));
    assert!(manager.sell(LAPTOPS, MAX_UNITS).is_err(), "and nothing overflows");
    let units = MAX_UNITS + 1;
    assert_eq!(manager.set_safety_stock(LAPTOPS, units), Err(SettingError::SafetyStock { units }));
    let nowhere = manager.set_safety_stock(("SF", "TYPO"), 1);
    assert!(matches!(nowhere, Err(SettingError::Place(PlaceError::NeverStocked { .. }))));
    assert_eq!(manager.stock_level(LAPTOPS).expect("open").safety_stock(), MAX_UNITS);
    let entries = log_of(&manager);
    let changes = entries.iter().filter(|it| it.entry_type == EventType::SettingChanged.into());
    assert_eq!(changes.count(), 2);
}

/// Buyers, baskets and staff at once: what is kept stays, and all that is above it is sold.
#[test]
fn sixty_four_buyers_leave_exactly_what_is_kept() {
    const KEPT: u32 = 7;
    for round in 0..20 {
        let manager = threaded().build().expect("legal settings");
        manager.add_stock(LAPTOPS, 100, "SUPPLIER").expect("room");
        manager.add_stock(MICE, 1_000, "SUPPLIER").expect("room");
        manager.set_safety_stock(LAPTOPS, KEPT).expect("open");
        let order = [LAPTOPS.0.into()];
        let sold = race(64, |thread| {
            let mut got = 0;
            for _ in 0..3 {
                let basket = [BasketLine::new(LAPTOPS, 1), BasketLine::new(MICE, 1)];
                let took = match (thread + round) % 4 {
                    0 => manager.sell(LAPTOPS, 1).is_ok(),
                    1 => manager.reserve_basket(&basket, LONG).is_ok(),
                    2 => manager.fulfill_across_warehouses(LAPTOPS.1, 1, &order, LONG).is_ok(),
                    _ => manager.reserve(LAPTOPS, 1, LONG).is_ok(),
                };
                got += u32::from(took);
                assert!(manager.available(LAPTOPS).expect("open") >= KEPT);
            }
            got
        });
        assert_eq!(sold.iter().sum::<u32>(), 100 - KEPT);
        assert_eq!(counts(&manager, LAPTOPS).0, KEPT);
    }
}
