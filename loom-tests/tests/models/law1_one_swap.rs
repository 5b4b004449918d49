//! Law 1: available and reserved move together, in one swap that checks before it takes.

use std::sync::Arc;

use loom_tests::model;

use crate::engine::{level_of, qty, race, spawn};
use crate::stock::cell::NoMarks;
use crate::stock::level::Counts;

#[test]
fn of_two_reserves_for_the_last_unit_one_gets_it() {
    model("two reserves for the last unit", || {
        let level = Arc::new(level_of(1));
        let (first, second) = race(
            &level,
            |level| level.hold(qty(1), 0, &NoMarks).map(drop),
            |level| level.hold(qty(1), 0, &NoMarks).map(drop),
        );
        assert!(
            matches!((first, second), (Ok(()), Err(0)) | (Err(0), Ok(()))),
            "one unit for {first:?} and {second:?}"
        );
        assert_eq!(level.counts(), Counts { available: 0, reserved: 1, sold: 0, tracked: 0 });
    });
}

#[test]
fn no_unit_is_lost_between_three_reserves() {
    model("three reserves for two units", || {
        let level = Arc::new(level_of(2));
        let first = spawn(&level, |level| level.hold(qty(1), 0, &NoMarks).is_ok());
        let (second, third) = race(
            &level,
            |level| level.hold(qty(1), 0, &NoMarks).is_ok(),
            |level| level.hold(qty(1), 0, &NoMarks).is_ok(),
        );
        let got = [first.join().expect("the thread ends"), second, third];
        assert_eq!(got.iter().filter(|got| **got).count(), 2, "two units are there: {got:?}");
        assert_eq!(level.counts(), Counts { available: 0, reserved: 2, sold: 0, tracked: 0 });
    });
}

#[test]
fn a_reserve_beside_a_release_gets_the_unit_or_is_truly_refused() {
    model("a reserve against a release", || {
        let level = Arc::new(level_of(1));
        level.hold(qty(1), 0, &NoMarks).expect("a unit");
        let reserve = spawn(&level, |level| level.hold(qty(1), 0, &NoMarks).map(drop));
        // The reader: no instant shows a unit on neither side, nor on both.
        let (_, seen) =
            race(&level, |level| level.give_back(qty(1), &NoMarks), |level| level.counts());
        assert_eq!(seen.on_hand(), 1, "a unit is on one side or the other: {seen:?}");
        let expected = match reserve.join().expect("the thread ends") {
            Ok(()) => Counts { available: 0, reserved: 1, sold: 0, tracked: 0 },
            Err(available) => {
                assert_eq!(available, 0, "a refusal names what was there");
                Counts { available: 1, reserved: 0, sold: 0, tracked: 0 }
            }
        };
        assert_eq!(level.counts(), expected);
    });
}
