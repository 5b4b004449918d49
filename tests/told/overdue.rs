//! Overdue holds: their units are anyone's, whether somebody has taken them back yet or not.

use std::sync::Mutex;

use stockade::{
    AllocationStrategy, BasketError, Candidate, LargestStockFirst, RequestTransferError,
    ReserveError,
};

use crate::common::{LONG, clock, ms, quiet, small};
use crate::{NYC, SF, line, pass, shop};

#[test]
fn a_split_fulfilment_takes_overdue_units_before_it_goes_on_to_the_next_warehouse() {
    let clock = clock();
    let manager = shop(quiet(&clock));
    manager.reserve(SF, 9, ms(5)).expect("stock");
    pass(&clock, 6);
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
    pass(&clock, 6);
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
    pass(&clock, 6);
    let shown = Shown(Mutex::default());
    manager.fulfill_by("LAPTOP", 3, &shown, LONG).expect("stock");
    assert_eq!(*shown.0.lock().expect("no panic"), [10, 7]);
}

/// An engine whose calls end at most two overdue holds each, with so many overdue holds of one.
fn with_overdue(holds: u32) -> stockade::InventoryManager {
    let clock = clock();
    let manager = shop(quiet(&clock).limits(small().overdue_limit(2)));
    for _ in 0..holds {
        manager.reserve(SF, 1, ms(5)).expect("stock");
    }
    pass(&clock, 6);
    manager
}

#[test]
fn no_overdue_hold_is_said_to_be_left_where_the_last_one_was_taken_back() {
    for (holds, left) in [(1, false), (2, false), (3, true)] {
        let refused = with_overdue(holds).reserve(SF, 11, LONG);
        let available = 10 - holds.saturating_sub(2);
        let short = ReserveError::Insufficient { needed: 11, available, overdue_left: left };
        assert_eq!(refused, Err(short), "{holds} holds");

        let refused = with_overdue(holds).reserve_basket(&[line(SF, 11), line(NYC, 1)], LONG);
        let Err(BasketError::Insufficient { overdue_left, .. }) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(overdue_left, left, "{holds} holds");

        let manager = with_overdue(holds);
        let refused = manager.request().hold_units().request_transfer("SF", "NYC", "LAPTOP", 11);
        let Err(RequestTransferError::Insufficient { overdue_left, .. }) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(overdue_left, left, "{holds} holds");
    }
}
