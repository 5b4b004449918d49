//! Every history of racing calls looks as if the calls had been made one after the other, under
//! tens of thousands of schedules.
//!
//! The calls, the sequential model and the search for an order are those of the library's own
//! `tests/linearizable`; only the threads are shuttle's.
#![cfg(shuttle)]

#[path = "../../../../tests/linearizable/checker.rs"]
mod checker;
#[path = "../../../../tests/linearizable/history.rs"]
mod history;
#[path = "../../../../tests/linearizable/model.rs"]
mod model;
mod threads;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use history::Plan;
use shuttle_tests::explore;

const PLANS: u64 = 4_000;
const SCHEDULES: usize = 20;

#[test]
fn every_history_has_an_order() {
    let raced = Arc::new(AtomicU64::new(0));
    explore("every_history_has_an_order", PLANS, SCHEDULES, |seed| {
        let (plan, raced) = (Plan::new(seed), Arc::clone(&raced));
        move || {
            let (calls, initial) = plan.run();
            assert!(
                checker::explain(&calls, &initial).is_some(),
                "no order explains this history, from {initial:?}:\n{}",
                history::shown(&calls),
            );
            let has_raced = |at: usize| calls[at + 1..].iter().any(|one| calls[at].overlaps(one));
            raced.fetch_add(u64::from((0..calls.len()).any(has_raced)), Ordering::Relaxed);
        }
    });
    let raced = raced.load(Ordering::Relaxed);
    assert!(raced > 0, "no two calls were ever open at once");
}
