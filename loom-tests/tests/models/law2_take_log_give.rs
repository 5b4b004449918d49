//! Law 2: take, then log; log, then give. So whoever spends a unit is logged after whoever gave it.

use std::sync::Arc;

use loom_tests::model;

use crate::base::sync::{AtomicBool, Ordering};
use crate::engine::{Answer, Engine, at, level_of, qty, race, slots_of, spawn, warehouse_of};
use crate::readers::record;
use crate::reservation::id::ReservationId;
use crate::reservation::slots::{Lookup, Slots};
use crate::stock::cell::NoMarks;
use crate::stock::level::StockLevel;
use crate::stock::warehouse::Warehouse;

#[test]
fn a_released_unit_is_reserved_once_and_after_its_return_in_the_record() {
    model("law 2: release, reserve, reserve", || {
        let engine = Arc::new(Engine::new(1, 3));
        assert!(engine.add(1));
        let id = engine.reserve(1, 1, 100).expect("a unit");
        let reserve = spawn(&engine, |engine| engine.reserve(2, 1, 100));
        let (released, _) =
            race(&engine, move |engine| engine.release(id, 2), |engine| engine.reserve(3, 1, 100));
        assert_eq!(released, Answer::Done);
        reserve.join().expect("the thread ends");
        engine.check();
    });
}

#[test]
fn a_received_unit_is_reserved_and_removed_after_its_arrival_in_the_record() {
    model("law 2: add, reserve, remove", || {
        let engine = Arc::new(Engine::new(1, 1));
        assert!(engine.add(1));
        let remove = spawn(&engine, |engine| engine.remove(1));
        race(&engine, |engine| engine.add(1), |engine| engine.reserve(1, 1, 100));
        remove.join().expect("the thread ends");
        engine.check();
    });
}

#[test]
fn a_sold_unit_is_shipped_after_its_sale_in_the_record() {
    model("law 2: confirm, ship, cancel", || {
        let engine = Arc::new(Engine::new(1, 1));
        assert!(engine.add(1));
        let id = engine.reserve(1, 1, 100).expect("a unit");
        let ship = spawn(&engine, |engine| engine.ship(1));
        let (confirmed, cancelled) =
            race(&engine, move |engine| engine.confirm(id, 2), |engine| engine.cancel_sale(1));
        assert_eq!(confirmed, Answer::Done);
        assert!(!(ship.join().expect("the thread ends") && cancelled), "one unit, two ends");
        engine.check();
    });
}

#[test]
fn a_hold_is_ended_after_its_reserve_in_the_record() {
    model("law 2: reserve, release", || {
        let engine = Arc::new(Engine::new(1, 1));
        assert!(engine.add(1));
        // Somebody who guesses the id right, before its owner hears it.
        let id = ReservationId::new(at(1), 0, 1);
        race(&engine, |engine| engine.reserve(1, 1, 100), |engine| engine.release(id, 2));
        engine.check();
    });
}

#[test]
fn a_slot_is_taken_after_its_last_holds_end_in_the_record() {
    model("law 2: release, reserve in its slot", || {
        let engine = Arc::new(Engine::new(2, 1));
        assert!(engine.add(2));
        let id = engine.reserve(1, 1, 100).expect("a unit");
        race(&engine, move |engine| engine.release(id, 2), |engine| engine.reserve(2, 1, 100));
        engine.check();
    });
}

/// The queue's stand-in where orderings are in question: a flag that nothing but the unit itself
/// hands on (the stub queue's lock would order everything).
struct Logged<T> {
    place: T,
    logged: AtomicBool,
}

impl<T> Logged<T> {
    fn new(place: T) -> Arc<Self> {
        Arc::new(Self { place, logged: AtomicBool::new(false) })
    }

    fn log(&self) {
        self.logged.store(true, Ordering::Relaxed);
    }

    fn assert_logged(&self) {
        assert!(self.logged.load(Ordering::Relaxed), "spent by one who can't see it was given");
    }
}

#[test]
fn whoever_takes_an_available_unit_sees_that_its_giver_is_logged() {
    model("law 2: available is handed on", || {
        race(
            &Logged::new(level_of(0)),
            |level: &Logged<StockLevel>| {
                level.log();
                level.place.receive(qty(1), &NoMarks);
            },
            |level| {
                if level.place.hold(qty(1), 0, &NoMarks).is_ok() {
                    level.assert_logged();
                }
            },
        );
    });
}

#[test]
fn whoever_takes_a_sold_unit_sees_that_its_sale_is_logged() {
    model("law 2: sold is handed on", || {
        let level = level_of(1);
        level.hold(qty(1), 0, &NoMarks).expect("a unit");
        race(
            &Logged::new(level),
            |level: &Logged<StockLevel>| {
                level.log();
                level.place.sold_to(false).add(qty(1));
            },
            |level| {
                if level.place.take_sold(qty(1)).is_ok() {
                    level.assert_logged();
                }
            },
        );
    });
}

#[test]
fn whoever_takes_room_sees_that_its_giver_is_logged() {
    model("law 2: room is handed on", || {
        let warehouse = warehouse_of(1);
        warehouse.take_room(qty(1), &NoMarks).expect("room");
        race(
            &Logged::new(warehouse),
            |warehouse: &Logged<Warehouse>| {
                warehouse.log();
                warehouse.place.give_room(qty(1), &NoMarks);
            },
            |warehouse| {
                if warehouse.place.take_room(qty(1), &NoMarks).is_ok() {
                    warehouse.assert_logged();
                }
            },
        );
    });
}

#[test]
fn whoever_finds_a_hold_sees_that_its_reserve_is_logged() {
    model("law 2: an id is handed on", || {
        let id = record(0, 1).id;
        race(
            &Logged::new(slots_of(1)),
            |slots: &Logged<Slots>| {
                let vacated = slots.place.take(at(1), || at(1)).expect("a slot");
                slots.log();
                slots.place.publish(vacated, record(0, 1), at(100));
            },
            move |slots| {
                if let Lookup::Found(..) = slots.place.find(id) {
                    slots.assert_logged();
                }
            },
        );
    });
}
