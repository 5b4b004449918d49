//! Split fulfilment: the whole quantity or nothing, also while the stock moves about.

use std::sync::Barrier;
use std::thread;

use stockade::{
    FewestParcels, FulfilError, InventoryManager, LargestStockFirst, PriorityOrder, Release,
};

use crate::{HOUR, add, under_load};

#[test]
fn all_units_are_found_wherever_they_are_moved_to_meanwhile() {
    let places = ["SF", "NYC", "LA"];
    let builder = places.iter().fold(InventoryManager::builder(), |b, name| b.warehouse(*name));
    let manager = builder.build().expect("a legal engine");
    places.iter().for_each(|place| add(&manager, place, "LAPTOP", 4));
    let work = |number: u32, round: u32| {
        let from = places[((number + round) % 3) as usize];
        let to = places[((number + round + 1 + round % 2) % 3) as usize];
        let _ = manager.transfer(from, to, "LAPTOP", 1 + round % 4);
    };
    let order = places.map(Into::into);
    let mut splits = std::collections::HashSet::new();
    under_load(2, work, || {
        // The sum is never short, so that nobody may be refused.
        let hold =
            manager.fulfill_across_warehouses("LAPTOP", 12, &order, HOUR).expect("12 are there");
        let lines = manager.reservation(hold).expect("live").lines;
        let parts: Vec<u32> = lines.iter().map(|line| line.quantity).collect();
        assert_eq!(parts.iter().sum::<u32>(), 12, "{lines:?}");
        splits.insert(parts);
        let thirteen = manager.fulfill_across_warehouses("LAPTOP", 1, &order, HOUR);
        assert_eq!(thirteen, Err(FulfilError::Insufficient { needed: 1, available: 0 }));
        assert_eq!(manager.release(hold), Ok(Release::Released));
    });
    assert!(splits.len() > 1, "the units were always in the same places: {splits:?}");
    assert_eq!(manager.totals("LAPTOP").available, 12);
}

#[test]
fn a_refusal_tells_a_sum_that_was_short_at_one_instant() {
    let manager = InventoryManager::builder()
        .warehouse("SF")
        .warehouse("NYC")
        .build()
        .expect("a legal engine");
    add(&manager, "SF", "LAPTOP", 6);
    add(&manager, "NYC", "LAPTOP", 4);
    let work = |number: u32, round: u32| match number {
        // Three units come and go; the others only move.
        0 => {
            if let Ok(hold) = manager.reserve(("SF", "LAPTOP"), 3, HOUR) {
                manager.release(hold).map(drop).expect("pending");
            }
        }
        _ => {
            let (from, to) = if round % 2 == 0 { ("SF", "NYC") } else { ("NYC", "SF") };
            let _ = manager.transfer(from, to, "LAPTOP", 1 + round % 5);
        }
    };
    let (mut taken, mut refused) = (0, 0);
    let order = ["NYC".into(), "SF".into()];
    under_load(2, work, || match manager.fulfill_across_warehouses("LAPTOP", 8, &order, HOUR) {
        Ok(hold) => {
            taken += 1;
            manager.release(hold).map(drop).expect("pending");
        }
        Err(error) => {
            refused += 1;
            assert_eq!(error, FulfilError::Insufficient { needed: 8, available: 7 });
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

/// Races `look` with the first transfer ever of a product to the other warehouse.
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
        assert_eq!(manager.totals(product).on_hand(), 3);
    });
}
