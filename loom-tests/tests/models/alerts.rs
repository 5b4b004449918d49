//! Low-stock alerts: each crossing is seen by one thread, and none is lost on its way out.

use std::sync::Arc;

use loom_tests::model;

use crate::base::sync::ArrayQueue;
use crate::engine::{level_of, qty, race, spawn};
use crate::stock::cell::NoMarks;
use crate::stock::level::StockLevel;

/// A level that is low at one unit.
fn level_of_threshold_one(units: u32) -> StockLevel {
    let level = level_of(units);
    level.set_shared_threshold(Some(1));
    level
}

#[test]
fn exactly_one_of_three_reserves_crosses_the_threshold() {
    model("the alert crossing", || {
        let level = Arc::new(level_of_threshold_one(3));
        let hold =
            |level: &StockLevel| level.crosses(level.hold(qty(1), 0, &NoMarks).expect("a unit"));
        let first = spawn(&level, hold);
        let (second, third) = race(&level, hold, hold);
        let crossed = [first.join().expect("the thread ends"), second, third];
        assert_eq!(crossed.iter().filter(|crossed| **crossed).count(), 1, "{crossed:?}");
    });
}

/// A level, the alerts that wait for the deliverer, and what it delivered.
struct Alerts {
    level: StockLevel,
    queue: ArrayQueue<()>,
}

impl Alerts {
    fn new(units: u32) -> Arc<Self> {
        Arc::new(Self { level: level_of_threshold_one(units), queue: ArrayQueue::new(4) })
    }

    fn reserve(&self, units: u32) -> u32 {
        let crossed = self.level.crosses(self.level.hold(qty(units), 0, &NoMarks).expect("units"));
        if crossed && self.level.note_crossing() {
            self.queue.push(()).expect("at most one alert of a level waits");
        }
        u32::from(crossed)
    }

    fn deliver(&self) -> Option<(u32, u32)> {
        self.queue.pop()?;
        let crossings = self.level.take_crossings();
        Some((crossings, self.level.available()))
    }
}

#[test]
fn every_crossing_is_delivered_once() {
    model("note a crossing against taking them", || {
        let alerts = Alerts::new(2);
        let (crossed, early) = race(
            &alerts,
            |alerts| {
                let first = alerts.reserve(1);
                alerts.level.receive(qty(1), &NoMarks);
                first + alerts.reserve(1)
            },
            |alerts| alerts.deliver(),
        );
        assert_eq!(crossed, 2);
        let late: Vec<_> = std::iter::from_fn(|| alerts.deliver()).collect();
        let delivered: u32 = early.iter().chain(&late).map(|(crossings, _)| crossings).sum();
        assert_eq!(delivered, crossed, "delivered {early:?}, then {late:?}");
        assert!(early.iter().chain(&late).all(|(crossings, _)| *crossings > 0), "an empty alert");
    });
}

#[test]
fn whoever_takes_a_crossing_reads_an_available_that_is_at_least_as_new() {
    model("the newest available of an alert", || {
        // Units only leave here: the more crossings were taken, the less can be available. The
        // second crosses a threshold that was lowered meanwhile.
        let level = Arc::new(level_of_threshold_one(2));
        let (_, (crossings, available)) = race(
            &level,
            |level| {
                assert!(level.crosses(level.hold(qty(1), 0, &NoMarks).expect("a unit")));
                level.note_crossing();
                level.set_shared_threshold(Some(0));
                assert!(level.crosses(level.hold(qty(1), 0, &NoMarks).expect("a unit")));
                level.note_crossing();
            },
            |level| (level.take_crossings(), level.available()),
        );
        assert!(available <= 2 - crossings, "{crossings} crossings, and still {available}");
    });
}
