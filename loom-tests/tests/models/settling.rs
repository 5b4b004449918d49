//! Sold units shipped or cancelled by reservation: never more than it sold, never into another's
//! slot, and shown for all lines at one instant.

use std::sync::Arc;

use loom_tests::model;

use crate::engine::{Answer, Engine, at, race, slots_of};
use crate::readers::{line, publish};
use crate::reservation::id::ReservationId;
use crate::reservation::slots::{HeldSlot, ReadReservation, Slots};
use crate::reservation::state::{Phase, SlotState};

/// Reservation 1 of so many lines, sold; its slots have retired.
fn sold(slots: &Slots, lines: u32) -> ReservationId {
    let id = publish(slots, 1, lines, at(100));
    let slot = slots.at(id.slot()).expect("a slot");
    let state = slot.state();
    slot.swap(state, state.in_phase(Phase::Ending)).expect("nobody else ends it");
    let chain = slot.read_record(state).chain;
    slot.finish(state.in_phase(Phase::Confirmed));
    slots.retire(id.slot(), chain, true, at(1));
    id
}

/// Notes `more` settled units on each line; `false` if the record is gone or another's hands are
/// on it.
fn settle(slots: &Slots, id: ReservationId, more: u32) -> bool {
    let mut lines = Vec::new();
    let ReadReservation::Found { state, .. } = slots.read(id, |line| lines.push(line)) else {
        return false;
    };
    let slot = slots.at(id.slot()).expect("a slot");
    if state.phase() != Phase::Confirmed {
        return false;
    }
    let Ok(settling) = slots.begin_shipping(HeldSlot { number: id.slot(), slot, state }) else {
        return false;
    };
    settling.finish(lines.iter().map(|line| line.settled + more), false, at(1));
    true
}

/// Reads once: how much more is settled of each line than at first, and the state.
fn read(slots: &Slots, id: ReservationId) -> Option<(Vec<u32>, SlotState)> {
    let mut more = Vec::new();
    match slots.read(id, |read| more.push(read.settled - line(1, more.len() as u32).settled)) {
        ReadReservation::Found { state, .. } => Some((more, state)),
        _ => None,
    }
}

#[test]
fn a_reader_sees_units_settled_on_all_lines_or_on_none() {
    model("a reader against units settled on two lines", || {
        let slots = Arc::new(slots_of(2));
        let id = sold(&slots, 2);
        let (settled, read_beside) =
            race(&slots, move |slots| settle(slots, id, 1), |slots| read(slots, id));
        assert!(settled);
        if let Some((more, _)) = read_beside {
            assert!(more == [0, 0] || more == [1, 1], "{more:?}");
        }
        assert_eq!(read(&slots, id).map(|(more, _)| more), Some(vec![1, 1]));
    });
}

#[test]
fn a_reader_takes_no_later_numbers_for_those_of_its_state() {
    model("a reader against units settled twice", || {
        let slots = Arc::new(slots_of(1));
        let id = sold(&slots, 1);
        let first = slots.at(id.slot()).expect("a slot").state();
        let (_, found) = race(
            &slots,
            move |slots| settle(slots, id, 1) && settle(slots, id, 1),
            |slots| read(slots, id),
        );
        if let Some((more, state)) = found
            && state == first
        {
            assert_eq!(more, [0]);
        }
        assert_eq!(read(&slots, id).map(|(more, _)| more), Some(vec![2]));
    });
}

#[test]
fn units_are_settled_in_no_slot_that_is_another_reservations_by_now() {
    model("units settled against reuse", || {
        let slots = Arc::new(slots_of(2));
        let id = sold(&slots, 2);
        let young = crate::readers::record(1, 2);
        let (_, reused) = race(
            &slots,
            move |slots| settle(slots, id, 1),
            move |slots| {
                // The later slot comes round first.
                let slot = slots.at(1).expect("a slot");
                let Ok((former, _)) = slot.former() else { return false };
                let Ok((vacated, _)) = slot.vacate(former) else { return false };
                slot.admit(vacated, &young, Phase::Pending, at(100));
                true
            },
        );
        if reused {
            let mut lines = Vec::new();
            let found = slots.read(young.id, |line| lines.push(line));
            assert!(matches!(found, ReadReservation::Found { .. }), "{found:?}");
            assert_eq!(lines, [line(2, 0)], "another's units were settled in the young hold");
            assert!(matches!(slots.read(id, drop), ReadReservation::Forgotten));
        }
    });
}

#[test]
fn of_two_who_ship_the_last_unit_of_a_reservation_one_does() {
    model("two ship by reservation", || {
        let engine = Arc::new(Engine::new(2, 2));
        assert!(engine.add(2));
        let id = engine.reserve(1, 1, 100).expect("a unit");
        // Another reservation's unit lies on the same level: the level alone would not refuse.
        let other = engine.reserve(2, 1, 100).expect("a unit");
        assert_eq!((engine.confirm(id, 3), engine.confirm(other, 3)), (Answer::Done, Answer::Done));
        let (first, second) = race(
            &engine,
            move |engine| engine.ship_of(id, 1, 4),
            |engine| engine.ship_of(id, 1, 4),
        );
        assert!((first == Answer::Done) != (second == Answer::Done), "{first:?}, {second:?}");
        assert_eq!(engine.ship_of(id, 1, 5), Answer::TooFew);
        assert_eq!(engine.counts(), (1, 0, 1, 1));
        engine.check();
    });
}

#[test]
fn a_reservation_ships_its_units_or_is_forgotten() {
    model("ship by reservation against reuse of its slot", || {
        let engine = Arc::new(Engine::new(2, 1));
        assert!(engine.add(2));
        let id = engine.reserve(1, 1, 100).expect("a unit");
        assert_eq!(engine.confirm(id, 2), Answer::Done);
        let (shipped, young) = race(
            &engine,
            move |engine| engine.ship_of(id, 1, 3),
            |engine| engine.reserve(4, 1, 100),
        );
        assert!(matches!(shipped, Answer::Done | Answer::Forgotten | Answer::InProgress));
        assert!(shipped == Answer::Done || young.is_some(), "{shipped:?}, {young:?}");
        if let Some(young) = young {
            assert_eq!(engine.confirm(young, 5), Answer::Done);
        }
        engine.check();
    });
}
