//! The sold counter, which stands beside the stock word: `sold <= reserved` at every instant.

use std::sync::Arc;

use loom_tests::model;

use crate::engine::{level_of, qty, race, spawn};
use crate::stock::cell::NoMarks;
use crate::stock::level::{Counts, StockLevel};

/// A level of two units, both reserved, one of them sold.
fn half_sold() -> Arc<StockLevel> {
    let level = level_of(2);
    level.hold(qty(2), 0, &NoMarks).expect("units");
    level.sold_to(false).add(qty(1));
    Arc::new(level)
}

fn assert_sound(counts: Counts) {
    assert!(counts.sold <= counts.reserved, "more sold than reserved: {counts:?}");
}

#[test]
fn a_reader_never_sees_more_sold_than_reserved_while_units_ship() {
    model("the sold counter's reader against ship and confirm", || {
        let level = half_sold();
        let confirm = spawn(&level, |level| level.sold_to(false).add(qty(1)));
        let (_, seen) = race(
            &level,
            |level| {
                level.take_sold(qty(1)).expect("one is sold");
                level.ship(qty(1), &NoMarks);
            },
            |level| level.counts(),
        );
        assert_sound(seen);
        confirm.join().expect("the thread ends");
        assert_eq!(level.counts(), Counts { available: 0, reserved: 1, sold: 1, tracked: 0 });
    });
}

#[test]
fn a_reader_never_sees_more_sold_than_reserved_while_holds_are_sold() {
    model("the sold counter's reader against hold and confirm", || {
        let level = Arc::new(level_of(2));
        let (_, seen) = race(
            &level,
            |level| {
                level.hold(qty(1), 0, &NoMarks).expect("a unit");
                level.sold_to(false).add(qty(1));
                level.hold(qty(1), 0, &NoMarks).expect("a unit");
                level.sold_to(false).add(qty(1));
            },
            |level| [level.counts(), level.counts()],
        );
        seen.into_iter().for_each(assert_sound);
        assert!(seen[0].sold <= seen[1].sold, "a sale was seen and then was not: {seen:?}");
    });
}

/// A level of two units, both sold, one of them to a reservation that is kept.
fn one_of_two_tracked() -> Arc<StockLevel> {
    let level = level_of(2);
    level.hold(qty(2), 0, &NoMarks).expect("units");
    level.sold_to(false).add(qty(1));
    level.sold_to(true).add(qty(1));
    Arc::new(level)
}

#[test]
fn a_reader_never_sees_more_sold_than_reserved_while_tracked_units_ship() {
    model("the reader of both sold counters against ships of either kind", || {
        let level = one_of_two_tracked();
        let by_level = spawn(&level, |level| {
            level.take_sold(qty(1)).expect("one is not tracked");
            level.ship(qty(1), &NoMarks);
        });
        let (_, seen) = race(
            &level,
            |level| {
                level.sold_to(true).take(qty(1)).expect("one is tracked");
                level.ship(qty(1), &NoMarks);
            },
            |level| level.counts(),
        );
        assert_sound(seen);
        assert!(seen.tracked <= seen.sold, "{seen:?}");
        by_level.join().expect("the thread ends");
        assert_eq!(level.counts(), Counts::default());
    });
}

#[test]
fn a_ship_by_level_leaves_tracked_units_alone() {
    model("ship by level against the sale and the shipment of a kept reservation", || {
        let level = one_of_two_tracked();
        let kept = spawn(&level, |level| {
            level.sold_to(true).take(qty(1)).expect("its own unit");
            level.ship(qty(1), &NoMarks);
        });
        let (two, one) = race(
            &level,
            |level| level.take_sold(qty(2)),
            |level| level.take_sold(qty(1)).map(|()| level.ship(qty(1), &NoMarks)).is_ok(),
        );
        kept.join().expect("the thread ends");
        assert!(one, "one unit was free all the time");
        assert!(matches!(two, Err(0 | 1)), "two were never free: {two:?}");
        assert_eq!(level.counts(), Counts::default());
    });
}

#[test]
fn a_unit_that_becomes_tracked_goes_to_its_reservation_or_by_level_and_never_to_both() {
    model("a reservation is kept beside a ship by level, and a reader", || {
        let level = half_sold();
        let kept = spawn(&level, |level| {
            // As the engine does: off the one counter first, so that no reader sees a unit twice.
            let tracked = level.take_sold(qty(1)).is_ok();
            if tracked {
                level.sold_to(true).add(qty(1));
                level.sold_to(true).take(qty(1)).expect("nobody else takes it");
                level.ship(qty(1), &NoMarks);
            }
            tracked
        });
        let (shipped, seen) = race(
            &level,
            |level| level.take_sold(qty(1)).map(|()| level.ship(qty(1), &NoMarks)).is_ok(),
            |level| level.counts(),
        );
        assert_sound(seen);
        assert!(seen.tracked <= seen.sold && seen.sold <= 1, "{seen:?}");
        assert!(kept.join().expect("the thread ends") ^ shipped, "one of them has the unit");
        assert_eq!(level.counts(), Counts { available: 0, reserved: 1, sold: 0, tracked: 0 });
    });
}

#[test]
fn a_sold_unit_is_shipped_or_cancelled_once() {
    model("ship against cancel against confirm", || {
        let level = half_sold();
        let confirm = spawn(&level, |level| level.sold_to(false).add(qty(1)));
        let (shipped, cancelled) = race(
            &level,
            |level| level.take_sold(qty(2)).map(|()| level.ship(qty(2), &NoMarks)).is_ok(),
            |level| level.take_sold(qty(1)).map(|()| level.give_back(qty(1), &NoMarks)).is_ok(),
        );
        confirm.join().expect("the thread ends");
        let expected = match (shipped, cancelled) {
            (true, false) => Counts { available: 0, reserved: 0, sold: 0, tracked: 0 },
            (false, true) => Counts { available: 1, reserved: 1, sold: 1, tracked: 0 },
            other => panic!("one unit was sold all the time, and never three: {other:?}"),
        };
        assert_eq!(level.counts(), expected);
    });
}

#[test]
fn a_refused_ship_disturbs_nobody() {
    model("a ship that is refused against a reader and another", || {
        let level = Arc::new(level_of(1));
        level.hold(qty(1), 0, &NoMarks).expect("a unit");
        let ship = spawn(&level, |level| level.take_sold(qty(1)));
        let (other, seen) = race(&level, |level| level.take_sold(qty(1)), |level| level.counts());
        assert_eq!(seen, Counts { available: 0, reserved: 1, sold: 0, tracked: 0 });
        assert_eq!(other, Err(0));
        assert_eq!(ship.join().expect("the thread ends"), Err(0));
    });
}
