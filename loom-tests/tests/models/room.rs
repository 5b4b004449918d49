//! Room left in a warehouse: no more comes in than there is room for, and what leaves one that is
//! over its capacity makes no room.

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

#[test]
fn what_leaves_a_warehouse_that_is_over_its_capacity_makes_no_room_for_an_add() {
    model("a removal and an add in a warehouse that is over", || {
        let engine = Arc::new(Engine::new(3, 1));
        assert!(engine.add(3));
        engine.set_capacity(1);
        let remove = spawn(&engine, |engine| engine.remove(1));
        let (added, removed) = race(&engine, |engine| engine.add(1), |engine| engine.remove(1));
        assert!(remove.join().expect("the thread ends") && removed);
        assert!(!added, "1 of 1 units is inside at the least");
        assert_eq!(engine.counts(), (0, 1, 0, 0));
        engine.check();
    });
}

#[test]
fn an_add_beside_a_lowered_capacity_finds_the_room_before_it_or_after_it() {
    model("an add and a removal beside a lowered capacity", || {
        let engine = Arc::new(Engine::new(3, 1));
        assert!(engine.add(1));
        let lower = spawn(&engine, |engine| engine.set_capacity(1));
        let (added, removed) = race(&engine, |engine| engine.add(2), |engine| engine.remove(1));
        lower.join().expect("the thread ends");
        assert!(removed);
        assert_eq!(engine.counts().1, if added { 2 } else { 0 });
        engine.check();
    });
}

#[test]
fn room_of_a_larger_capacity_is_taken_after_the_change_in_the_record() {
    model("two adds beside a raised capacity", || {
        let engine = Arc::new(Engine::new(1, 1));
        assert!(engine.add(1));
        let raise = spawn(&engine, |engine| engine.set_capacity(2));
        let (first, second) = race(&engine, |engine| engine.add(1), |engine| engine.add(1));
        raise.join().expect("the thread ends");
        assert!(!first || !second, "one unit of room for two adds");
        engine.check();
    });
}
