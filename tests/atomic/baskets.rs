//! Baskets: all lines or none, taken at one instant and given back at one instant.

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use stockade::{
    BasketError, BasketLine, InvalidInput, InventoryManager, LevelRef, ManualClock, Release,
    ReservationId, Timestamp,
};

use crate::{HOUR, add, under_load, under_load_until};

fn shop() -> InventoryManager {
    InventoryManager::builder().warehouse("SF").warehouse("NYC").build().expect("a legal engine")
}

/// An engine whose clock stands still, and without a sweeper.
fn shop_by_hand() -> (InventoryManager, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000)));
    let builder = InventoryManager::builder().warehouse("SF").clock(Arc::clone(&clock));
    (builder.sweeper(false).build().expect("a legal engine"), clock)
}

fn line(product: &str, units: u32) -> BasketLine<'_> {
    BasketLine::new(("SF", product), units)
}

/// Runs both at the same time.
fn race<A: Send, B: Send>(
    one: impl FnOnce() -> A + Send,
    other: impl FnOnce() -> B + Send,
) -> (A, B) {
    let start = Barrier::new(2);
    thread::scope(|scope| {
        let one = scope.spawn(|| {
            start.wait();
            one()
        });
        start.wait();
        let other = other();
        (one.join().expect("no panic"), other)
    })
}

#[test]
fn of_two_baskets_over_the_same_stock_exactly_one_gets_all() {
    let manager = shop();
    for round in 0..3_000 {
        let [x, y] = ["X", "Y"].map(|product| format!("{product}{round}"));
        add(&manager, "SF", &x, 1);
        add(&manager, "SF", &y, 1);
        // Named in opposite orders, as two buyers would.
        let take = |first: &str, second: &str| {
            manager.reserve_basket(&[line(first, 1), line(second, 1)], HOUR)
        };
        let (one, other) = race(|| take(&x, &y), || take(&y, &x));
        assert!(one.is_ok() != other.is_ok(), "{one:?} and {other:?}");
        for product in [&x, &y] {
            let counts = manager.counts(("SF", product.as_str())).expect("known");
            assert_eq!((counts.available, counts.reserved), (0, 1), "{one:?} and {other:?}");
        }
    }
}

#[test]
fn a_basket_beside_single_buyers_takes_all_its_lines_or_leaves_all_to_them() {
    let manager = shop();
    for round in 0..2_000 {
        let [x, y] = ["X", "Y"].map(|product| format!("{product}{round}"));
        add(&manager, "SF", &x, 3);
        add(&manager, "SF", &y, 3);
        let buy = || {
            let single = |product: &str| manager.reserve(("SF", product), 2, HOUR).is_ok();
            (single(&y), single(&x))
        };
        let basket = || manager.reserve_basket(&[line(&x, 2), line(&y, 2)], HOUR);
        let (basket, (got_y, got_x)) = race(basket, buy);
        // Of each product, two units and two more are not there.
        match basket {
            Ok(_) => assert!(!got_x && !got_y, "more was sold than there was"),
            Err(BasketError::Insufficient { .. }) => {
                assert!(got_x && got_y, "all were refused, the basket although it got nothing");
            }
            Err(error) => panic!("{error}"),
        }
        for product in [&x, &y] {
            assert_eq!(manager.reserved(("SF", product.as_str())).expect("known"), 2);
        }
    }
}

#[test]
fn one_product_on_two_lines_is_one_demand_for_their_sum() {
    let manager = shop();
    add(&manager, "SF", "LAPTOP", 5);
    let refused = manager.reserve_basket(&[line("LAPTOP", 3), line("LAPTOP", 3)], HOUR);
    let Err(BasketError::Insufficient { lines, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!((lines.len(), lines[0].needed, lines[0].available), (1, 6, 5));
    assert_eq!(
        manager.available(("SF", "LAPTOP")).expect("known"),
        5,
        "a refused basket takes nothing"
    );

    let twice = [line("LAPTOP", 2), line("LAPTOP", 3)];
    let basket = manager.reserve_basket(&twice, HOUR).expect("just enough");
    let lines = manager.reservation(basket).expect("live").lines;
    assert_eq!((lines.len(), lines[0].quantity), (1, 5));
    assert_eq!(manager.release(basket), Ok(Release::Released));

    // By a name and by a handle: the same all the same.
    let handle = manager.level(("SF", "LAPTOP")).expect("open");
    let mixed = [line("LAPTOP", 3), BasketLine::new(handle, 3)];
    assert!(manager.reserve_basket(&mixed, HOUR).is_err());
}

#[test]
fn one_product_on_two_lines_is_never_oversold_in_a_race() {
    let manager = shop();
    add(&manager, "SF", "LAPTOP", 7);
    add(&manager, "SF", "MOUSE", 1_000);
    let work = |number: u32, _| {
        let lines = [line("LAPTOP", 2), line("MOUSE", 1), line("LAPTOP", 2)];
        if number == 0 {
            if let Ok(hold) = manager.reserve(("SF", "LAPTOP"), 3, HOUR) {
                manager.release(hold).map(drop).expect("pending");
            }
        } else if let Ok(basket) = manager.reserve_basket(&lines, HOUR) {
            assert_eq!(manager.reservation(basket).expect("live").lines[0].quantity, 4);
            manager.release(basket).map(drop).expect("pending");
        }
    };
    under_load(3, work, || {
        let counts = manager.counts(("SF", "LAPTOP")).expect("known");
        assert_eq!(counts.on_hand(), 7, "{counts:?}");
    });
    assert_eq!(manager.available(("SF", "LAPTOP")).expect("known"), 7);
}

#[test]
fn a_basket_of_ten_thousand_lines_is_taken_and_given_back_whole() {
    let manager = shop();
    let names: Vec<String> = (0..10_000).map(|number| format!("P{number}")).collect();
    names.iter().for_each(|name| add(&manager, "SF", name, 2));
    let lines: Vec<_> = names.iter().map(|name| line(name, 1)).collect();
    let first = manager.reserve_basket(&lines, HOUR).expect("two of each");
    let second = manager.reserve_basket(&lines, HOUR).expect("one of each");
    assert_eq!(manager.reservation(first).expect("live").lines.len(), 10_000);
    let refused = manager.reserve_basket(&lines, HOUR);
    let Err(BasketError::Insufficient { lines: short, .. }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(short.len(), 10_000);
    manager.release(first).map(drop).expect("pending");
    manager.confirm(second).expect("pending");
    let sold = |name: &String| {
        let counts = manager.counts(("SF", name.as_str())).expect("known");
        (counts.available, counts.reserved, counts.sold) == (1, 1, 1)
    };
    assert!(names.iter().all(sold));
    let too_many: Vec<_> =
        lines.iter().copied().chain([BasketLine::new(("NYC", "P0"), 1)]).collect();
    add(&manager, "NYC", "P0", 1);
    let refused = manager.reserve_basket(&too_many, HOUR);
    assert_eq!(
        refused,
        Err(BasketError::Input(InvalidInput::TooManyLines { lines: 10_001, most: 10_000 }))
    );
}

/// The products of the next tests' baskets, one unit each.
const PRODUCTS: [&str; 5] = ["A", "B", "C", "D", "E"];

/// Runs `end` on baskets of all products again and again, while snapshots check that all lines are
/// held or none.
fn end_baskets_while_looking(
    manager: &InventoryManager,
    ttl: Duration,
    end: impl Fn(ReservationId) + Sync,
) {
    end_while_looking(manager, &PRODUCTS, ttl, end);
}

fn end_while_looking(
    manager: &InventoryManager,
    products: &[&'static str],
    ttl: Duration,
    end: impl Fn(ReservationId) + Sync,
) {
    products.iter().for_each(|product| add(manager, "SF", product, 1));
    let lines: Vec<_> = products.iter().map(|product| line(product, 1)).collect();
    let levels: Vec<_> = products.iter().map(|it| LevelRef::Names("SF", it)).collect();
    let all = products.len() as u32;
    let (mut held, mut free) = (0, 0);
    let work = |_, _| end(manager.reserve_basket(&lines, ttl).expect("all are there"));
    under_load_until(1, work, || {
        let seen = manager.snapshot(&levels).expect("all are open");
        match seen.iter().map(|level| level.reserved).sum::<u32>() {
            0 => free += 1,
            seen if seen == all => held += 1,
            _ => panic!("half a basket: {seen:?}"),
        }
        held > 0 && free > 0
    });
}

#[test]
fn a_release_gives_all_lines_back_at_one_instant() {
    let manager = shop();
    end_baskets_while_looking(&manager, HOUR, |basket| {
        assert_eq!(manager.release(basket), Ok(Release::Released));
    });
}

/// Two lines are the fewest that need a commit.
#[test]
fn a_release_of_two_lines_gives_them_back_at_one_instant() {
    let manager = shop();
    end_while_looking(&manager, &PRODUCTS[..2], HOUR, |basket| {
        assert_eq!(manager.release(basket), Ok(Release::Released));
    });
}

#[test]
fn an_expiry_gives_all_lines_back_at_one_instant() {
    let (manager, clock) = shop_by_hand();
    end_baskets_while_looking(&manager, Duration::from_millis(5), |basket| {
        clock.advance(Duration::from_millis(6));
        assert_eq!(manager.release(basket), Ok(Release::Expired));
    });
}

#[test]
fn what_a_basket_needs_is_taken_back_from_overdue_baskets_whole() {
    let (manager, clock) = shop_by_hand();
    end_baskets_while_looking(&manager, Duration::from_millis(5), |_| {
        clock.advance(Duration::from_millis(6));
    });
}
