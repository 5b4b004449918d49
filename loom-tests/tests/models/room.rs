//! Room left in a warehouse: no more comes in than there is room for.

use crate::stock::cell::NoMarks;
use std::sync::Arc;

use loom_tests::model;

use crate::engine::{Engine, qty, race, spawn, warehouse_of};

#[test]
fn room_given_back_goes_to_one_of_two_adds() {
    model("room given back against two adds", || {
        let warehouse = Arc::new(warehouse_of(1));
        warehouse.take_room(qty(1), &NoMarks).expect("room");
        let give = spawn(&warehouse, |warehouse| warehouse.give_room(qty(1), &NoMarks));
        let (first, second) = race(
            &warehouse,
            |warehouse| warehouse.take_room(qty(1), &NoMarks),
            |warehouse| warehouse.take_room(qty(1), &NoMarks),
        );
        give.join().expect("the thread ends");
        for refused in [first, second].into_iter().filter_map(Result::err) {
            assert_eq!(refused, 0, "a refusal names the room that was left");
        }
        assert!(first.is_err() || second.is_err(), "one unit of room for two adds");
        let taken = u32::from(first.is_ok() || second.is_ok());
        assert_eq!(warehouse.room_left(), 1 - taken);
    });
}

#[test]
fn a_full_warehouse_takes_two_adds_only_as_units_leave() {
    model("two adds against a removal", || {
        let engine = Arc::new(Engine::new(2, 1));
        assert!(engine.add(1));
        let remove = spawn(&engine, |engine| engine.remove(1));
        let (first, second) = race(&engine, |engine| engine.add(1), |engine| engine.add(1));
        assert!(remove.join().expect("the thread ends"));
        assert!(first || second, "there was room for one all the time");
        engine.check();
    });
}
