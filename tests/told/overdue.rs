//! Overdue holds: their units are anyone's, whether somebody has taken them back yet or not.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use stockade::{
    AllocationStrategy, BasketError, Candidate, LargestStockFirst, RequestTransferError,
    ReserveError,
};

use crate::common::{LONG, clock, ms, quiet, small};
use crate::{NYC, SF, line, shop, with_overdue};

#[test]
fn a_split_fulfilment_takes_overdue_units_before_it_goes_on_to_the_next_warehouse() {
    let manager = with_overdue(9);
    let order = ["SF".into(), "NYC".into()];
    manager.fulfill_across_warehouses("LAPTOP", 4, &order, LONG).expect("stock");
    assert_eq!((manager.available(SF), manager.available(NYC)), (Ok(6), Ok(10)));
}

#[test]
fn an_order_by_stock_counts_overdue_units() {
    let clock = clock();
    let manager = shop(quiet(&clock));
    manager.remove_stock(NYC, 1, "DAMAGED").expect("stock");
    manager.reserve(SF, 5, ms(5)).expect("stock");
    clock.advance(ms(6));
    manager.fulfill_by("LAPTOP", 3, &LargestStockFirst, LONG).expect("stock");
    assert_eq!((manager.available(SF), manager.available(NYC)), (Ok(7), Ok(9)));
}

#[test]
fn a_strategy_is_shown_overdue_units() {
    /// Notes what it is shown.
    struct Shown(Mutex<Vec<u32>>);
    impl AllocationStrategy for Shown {
        fn order(&self, _: u32, candidates: &mut Vec<Candidate>) {
            let shown = candidates.iter().map(|it| it.available).collect();
            *self.0.lock().expect("no panic") = shown;
        }
    }
    let clock = clock();
    let manager = shop(quiet(&clock));
    manager.reserve_basket(&[line(SF, 9), line(NYC, 2)], ms(5)).expect("stock");
    manager.reserve(NYC, 3, LONG).expect("stock");
    clock.advance(ms(6));
    let shown = Shown(Mutex::default());
    manager.fulfill_by("LAPTOP", 3, &shown, LONG).expect("stock");
    assert_eq!(*shown.0.lock().expect("no panic"), [10, 7]);
}

/// An engine whose calls end at most two overdue holds each, with so many overdue holds of one.
fn with_overdue_holds(holds: u32) -> stockade::InventoryManager {
    let clock = clock();
    let manager = shop(quiet(&clock).limits(small().overdue_limit(2)));
    for _ in 0..holds {
        manager.reserve(SF, 1, ms(5)).expect("stock");
    }
    clock.advance(ms(6));
    manager
}

#[test]
fn no_overdue_hold_is_said_to_be_left_where_the_last_one_was_taken_back() {
    for (holds, left) in [(1, false), (2, false), (3, true)] {
        let refused = with_overdue_holds(holds).reserve(SF, 11, LONG);
        let available = 10 - holds.saturating_sub(2);
        let short = ReserveError::Insufficient {
            needed: 11,
            available,
            safety_stock: 0,
            overdue_left: left,
        };
        assert_eq!(refused, Err(short), "{holds} holds");

        let refused = with_overdue_holds(holds).reserve_basket(&[line(SF, 11), line(NYC, 1)], LONG);
        let Err(BasketError::Insufficient { overdue_left, .. }) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(overdue_left, left, "{holds} holds");

        let manager = with_overdue_holds(holds);
        let refused = manager.request().hold_units().request_transfer("SF", "NYC", "LAPTOP", 11);
        let Err(RequestTransferError::Insufficient { overdue_left, .. }) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(overdue_left, left, "{holds} holds");
    }
}

#[test]
fn what_is_available_is_told_with_and_without_overdue_holds() {
    let clock = clock();
    let manager = shop(quiet(&clock));
    let told = || (manager.available(SF), manager.available_with_overdue(SF));
    assert_eq!(told(), (Ok(10), Ok(10)));
    manager.reserve(SF, 2, ms(5)).expect("stock");
    manager.reserve_basket(&[line(SF, 3), line(NYC, 1)], ms(5)).expect("stock");
    let part = manager.reserve(SF, 3, ms(5)).expect("stock");
    manager.confirm_lines(part, &[line(SF, 1)]).expect("pending");
    manager.reserve(SF, 1, LONG).expect("stock");
    manager.reserve(NYC, 4, ms(5)).expect("stock");
    clock.advance(ms(5));
    assert_eq!(told(), (Ok(1), Ok(1)), "not overdue yet");
    clock.advance(ms(1));
    let entries = manager.audit_log().newest_sequence();
    assert_eq!(told(), (Ok(1), Ok(8)));
    assert_eq!(manager.available_with_overdue(NYC), Ok(10));
    assert_eq!(manager.available(SF), Ok(1), "nothing was taken back");
    assert_eq!(manager.audit_log().newest_sequence(), entries);
    manager.reserve(SF, 8, LONG).expect("all of them");
    assert_eq!(told(), (Ok(0), Ok(0)));
    assert_eq!(
        manager.available_with_overdue(("NYC", "MOUSE")),
        manager.available(("NYC", "MOUSE"))
    );
}

#[test]
fn the_sum_with_overdue_holds_stands_still_while_they_are_taken_back() {
    for round in 0..20 {
        let clock = clock();
        let manager = shop(quiet(&clock).limits(small().overdue_limit(1)));
        for _ in 0..10 {
            manager.reserve(SF, 1, ms(5)).expect("stock");
        }
        clock.advance(ms(6));
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                // Each of these takes one overdue hold back, and is refused all the same.
                for units in 2..=11 {
                    let _ = manager.remove_stock(SF, units, "LOST").expect_err("too few");
                    thread::yield_now();
                }
                done.store(true, Ordering::Relaxed);
            });
            while !done.load(Ordering::Relaxed) {
                assert_eq!(manager.available_with_overdue(SF), Ok(10), "round {round}");
            }
        });
        assert_eq!(manager.available(SF), Ok(10));
    }
}
