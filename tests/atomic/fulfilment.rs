//! Split fulfillment: the whole quantity or nothing, even while the stock moves.

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use stockade::{
    FewestParcels, FulfillError, InventoryManager, LargestStockFirst, ManualClock, PriorityOrder,
    Release, Timestamp,
};

use crate::{HOUR, add, under_load};

/// Many warehouses, so that a sum over single reads takes some time.
const PLACES: [&str; 8] = ["SF", "NYC", "LA", "BOS", "SEA", "DEN", "ATL", "CHI"];

/// An engine with these warehouses and `units` in each.
fn spread(units: u32) -> InventoryManager {
    let builder = PLACES.iter().fold(InventoryManager::builder(), |b, name| b.warehouse(*name));
    let manager = builder.build().expect("a legal engine");
    PLACES.iter().for_each(|place| add(&manager, place, "LAPTOP", units));
    manager
}

/// Moves some units to another warehouse each time.
fn shuffle(manager: &InventoryManager, number: u32, round: u32) {
    let from = (number * 5 + round) as usize % PLACES.len();
    let to = (from + 1 + round as usize % 7) % PLACES.len();
    let _ = manager.transfer(PLACES[from], PLACES[to], "LAPTOP", 1 + round % 4);
}

#[test]
fn all_units_are_found_wherever_they_are_moved_to_meanwhile() {
    let manager = spread(4);
    let order = PLACES.map(Into::into);
    let mut splits = std::collections::HashSet::new();
    under_load(
        2,
        |number, round| shuffle(&manager, number, round),
        || {
            // There are always 32: never fewer, and never more.
            for _ in 0..5 {
                let too_many = manager.fulfill_across_warehouses("LAPTOP", 33, &order, HOUR);
                assert_eq!(too_many, Err(FulfillError::Insufficient { needed: 33, available: 32 }));
            }
            let hold = manager.fulfill_across_warehouses("LAPTOP", 32, &order, HOUR).expect("all");
            let lines = manager.reservation(hold).expect("live").lines;
            let parts: Vec<u32> = lines.iter().map(|line| line.quantity).collect();
            assert_eq!(parts.iter().sum::<u32>(), 32, "{lines:?}");
            splits.insert(parts);
            assert_eq!(manager.release(hold), Ok(Release::Released));
        },
    );
    assert!(splits.len() > 1, "the units were always in the same places: {splits:?}");
    assert_eq!(manager.totals("LAPTOP").expect("known").available, 32);
}

#[test]
fn a_refusal_tells_a_sum_that_was_short_at_one_instant() {
    let manager = spread(4);
    let work = |number: u32, round: u32| match number {
        // Three units come and go; the others only move.
        0 => {
            let order = PLACES.map(Into::into);
            if let Ok(hold) = manager.fulfill_across_warehouses("LAPTOP", 3, &order, HOUR) {
                manager.release(hold).map(drop).expect("pending");
            }
        }
        _ => shuffle(&manager, number, round),
    };
    let (mut taken, mut refused) = (0, 0);
    let order = PLACES.map(Into::into);
    under_load(2, work, || match manager.fulfill_across_warehouses("LAPTOP", 30, &order, HOUR) {
        Ok(hold) => {
            taken += 1;
            manager.release(hold).map(drop).expect("pending");
        }
        Err(error) => {
            refused += 1;
            assert_eq!(error, FulfillError::Insufficient { needed: 30, available: 29 });
        }
    });
    assert!(taken > 0 && refused > 0, "taken {taken} times, refused {refused} times");
}

#[test]
fn each_strategy_takes_from_where_it_says() {
    let places = [("SF", 2), ("NYC", 9), ("LA", 5)];
    let taken = |strategy: &dyn stockade::AllocationStrategy, units| {
        let builder =
            places.iter().fold(InventoryManager::builder(), |b, (name, _)| b.warehouse(*name));
        let manager = builder.build().expect("a legal engine");
        places.iter().for_each(|(place, units)| add(&manager, place, "LAPTOP", *units));
        let hold = manager.fulfill_by("LAPTOP", units, strategy, HOUR).expect("enough");
        let lines = manager.reservation(hold).expect("live").lines;
        lines.iter().map(|line| (line.warehouse.to_string(), line.quantity)).collect::<Vec<_>>()
    };
    let expect = |parts: &[(&str, u32)]| -> Vec<(String, u32)> {
        parts.iter().map(|(place, units)| ((*place).to_owned(), *units)).collect()
    };
    let priority = PriorityOrder::new(["SF", "LA", "NYC"]);
    assert_eq!(taken(&priority, 8), expect(&[("SF", 2), ("NYC", 1), ("LA", 5)]));
    assert_eq!(taken(&LargestStockFirst, 11), expect(&[("NYC", 9), ("LA", 2)]));
    assert_eq!(taken(&FewestParcels, 5).len(), 1);
}

/// Races `look` with a product's first transfer to the other warehouse.
fn beside_a_first_transfer(look: impl Fn(&InventoryManager, &str)) {
    let manager = InventoryManager::builder()
        .warehouse("SF")
        .warehouse("NYC")
        .build()
        .expect("a legal engine");
    for round in 0..3_000 {
        let product = format!("P{round}");
        add(&manager, "SF", &product, 3);
        let start = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                let _ = manager.transfer("SF", "NYC", product.as_str(), 3);
            });
            start.wait();
            // At each round a little later, to meet the transfer in all its steps.
            (0..round % 300 * 8).for_each(|_| std::hint::spin_loop());
            look(&manager, &product);
        });
    }
}

#[test]
fn units_are_found_in_a_warehouse_that_never_had_the_product_before() {
    let order = ["SF".into(), "NYC".into()];
    beside_a_first_transfer(|manager, product| {
        let found = manager.fulfill_across_warehouses(product, 3, &order, HOUR);
        assert!(found.is_ok(), "{found:?}");
    });
}

#[test]
fn units_are_counted_in_a_warehouse_that_never_had_the_product_before() {
    beside_a_first_transfer(|manager, product| {
        assert_eq!(manager.totals(product).expect("known").on_hand(), 3);
    });
}

#[test]
fn what_an_overdue_hold_keeps_of_a_single_warehouse_is_there() {
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000)));
    let builder = InventoryManager::builder().warehouse("SF").clock(Arc::clone(&clock));
    let manager = builder.without_threads().build().expect("a legal engine");
    manager.add_stock(("SF", "LAPTOP"), 5, "SUPPLIER").expect("room");
    manager.reserve(("SF", "LAPTOP"), 4, Duration::from_millis(10)).expect("stock");
    clock.advance(Duration::from_millis(11));
    let order = ["SF".into()];
    let id = manager.fulfill_across_warehouses("LAPTOP", 2, &order, Duration::from_secs(60));
    assert!(id.is_ok(), "{id:?}");
    assert_eq!(manager.available(("SF", "LAPTOP")).expect("known"), 3);
}

/// It takes a slot for each level that might give something, before it knows which do.
#[test]
fn a_fulfilment_gives_back_the_slots_that_it_does_not_need() {
    let limits = stockade::Limits::new().max_reservations(4).retention(Duration::ZERO, 0);
    let builder = InventoryManager::builder().warehouse("SF").warehouse("NYC").limits(limits);
    let manager = builder.build().expect("a legal engine");
    add(&manager, "SF", "LAPTOP", 5);
    add(&manager, "NYC", "LAPTOP", 5);
    let order = ["SF".into(), "NYC".into()];
    let take = |units| manager.fulfill_across_warehouses("LAPTOP", units, &order, HOUR);
    for _ in 0..20 {
        let refused = Err(FulfillError::Insufficient { needed: 11, available: 10 });
        assert_eq!(take(11), refused);
        let hold = take(2).expect("of the first one, in one slot of two");
        assert_eq!(manager.reservation(hold).expect("pending").lines.len(), 1);
        manager.release(hold).map(drop).expect("pending");
    }
    for _ in 0..3 {
        take(1).expect("three slots are taken");
    }
    let refused = take(2);
    assert_eq!(refused, Err(FulfillError::Full { slots: 4 }), "it needs two for a moment");
    let refusals = manager.stats().refusals;
    assert_eq!((refusals.insufficient, refusals.full), (20, 1));
}
