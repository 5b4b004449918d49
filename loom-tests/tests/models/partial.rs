//! Steps on part of a hold: one winner (Law 3), and readers who see all lines before or all after.

use std::sync::Arc;

use loom_tests::model;

use crate::engine::{Answer, Engine, at, race, slots_of};
use crate::readers::{line, publish};
use crate::reservation::id::ReservationId;
use crate::reservation::line::SlotLine;
use crate::reservation::slot::LinkContent;
use crate::reservation::slots::{HeldSlot, ReadReservation, Slots};
use crate::reservation::state::{Phase, SlotState};

/// The lines of reservation 1 before a step, and after it.
fn lines(count: u32, stepped: bool) -> Vec<SlotLine> {
    let step = |line: SlotLine| if stepped { line.step(2, 1).expect("3 units") } else { line };
    (0..count).map(|place| step(line(1, place))).collect()
}

/// A step on every line of reservation 1.
fn step(slots: &Slots, id: ReservationId, before: SlotState, count: u32) {
    let slot = slots.at(id.slot()).expect("a slot");
    let fresh: Vec<_> = lines(count, true)
        .into_iter()
        .map(|line| {
            (slots.take(at(1), || at(1)).expect("a slot for the step"), LinkContent::Line(line))
        })
        .collect();
    let head = HeldSlot { number: id.slot(), slot, state: before };
    head.swap_to(Phase::Ending).expect("nobody else changes it");
    slots.replace_lines(head, &fresh, Phase::Pending, at(1));
}

/// Reads once. Whatever is found is whole, and belongs to the state that it is said to be in.
fn read(slots: &Slots, id: ReservationId, before: SlotState, count: u32) -> bool {
    let mut found = Vec::new();
    let ReadReservation::Found { state, .. } = slots.read(id, |line| found.push(line)) else {
        return false;
    };
    match state.phase() {
        Phase::Pending if state == before => assert_eq!(found, lines(count, false)),
        Phase::Pending => assert_eq!(found, lines(count, true)),
        Phase::Ending => {
            assert!(found == lines(count, false) || found == lines(count, true), "{found:?}");
        }
        other => panic!("{other:?} was never published"),
    }
    true
}

/// What every model of readers begins with.
fn basket(count: u32, max_slots: u32) -> (Arc<Slots>, ReservationId, SlotState) {
    let slots = Arc::new(slots_of(max_slots));
    let id = publish(&slots, 1, count, at(100));
    let before = slots.at(id.slot()).expect("a slot").state();
    (slots, id, before)
}

#[test]
fn a_reader_sees_a_partial_step_whole_or_not_at_all() {
    model("a reader against a partial step", || {
        let (slots, id, before) = basket(1, 2);
        race(
            &slots,
            move |slots| step(slots, id, before, 1),
            |slots| {
                let slot = slots.at(id.slot()).expect("a slot");
                let first = slot.state();
                let found = read(slots, id, before, 1);
                // It may have to look again because somebody changed the hold, and not because
                // somebody is about to.
                assert!(found || slot.state() != first, "a reader waits for a step");
            },
        );
        assert!(read(&slots, id, before, 1));
    });
}

#[test]
fn a_reader_sees_all_lines_before_a_partial_step_or_all_after_it() {
    model("a basket's reader against a partial step and reuse", || {
        let (slots, id, before) = basket(2, 4);
        race(
            &slots,
            move |slots| {
                step(slots, id, before, 2);
                // Moves into what the step discarded.
                publish(slots, 2, 1, at(100))
            },
            |slots| read(slots, id, before, 2),
        );
        assert!(read(&slots, id, before, 2));
    });
}

/// A hold of `units` units, and slots for two steps on it at once.
fn held(units: u32) -> (Arc<Engine>, ReservationId) {
    let engine = Arc::new(Engine::new(units, 4));
    assert!(engine.add(units));
    let id = engine.reserve(1, units, 100).expect("units");
    (engine, id)
}

#[test]
fn two_partial_steps_sell_no_unit_twice() {
    model("two partial steps", || {
        let (engine, id) = held(3);
        let (first, second) = race(
            &engine,
            move |engine| engine.step(id, 1, 0, 2),
            |engine| engine.step(id, 0, 1, 2),
        );
        let done = [first, second].map(|answer| u32::from(answer == Answer::Done));
        assert!(done != [0, 0], "one of them wins: {first:?}, {second:?}");
        assert_eq!(engine.counts(), (0, done[1], 3 - done[1], done[0]));
        assert_eq!(engine.confirm(id, 3), Answer::Done, "what is left is held");
        assert_eq!(engine.counts(), (0, done[1], 3 - done[1], 3 - done[1]));
        engine.check();
    });
}

#[test]
fn who_saw_a_hold_before_a_partial_step_can_not_end_it_unseen() {
    model("an end against a partial step", || {
        let (slots, id, before) = basket(1, 2);
        let swap = move |slots: &Slots| {
            let slot = slots.at(id.slot()).expect("a slot");
            slot.swap(before, before.in_phase(Phase::Ending)).is_ok()
        };
        let (stepped, ended) = race(
            &slots,
            move |slots| {
                let fresh = slots.take(at(1), || at(1)).expect("a slot for the step");
                let won = swap(slots);
                if won {
                    let slot = slots.at(id.slot()).expect("a slot");
                    let lines = [(fresh, LinkContent::Line(lines(1, true)[0]))];
                    let head = HeldSlot { number: id.slot(), slot, state: before };
                    slots.replace_lines(head, &lines, Phase::Pending, at(1));
                }
                won
            },
            // It looked before the step, and so must not end what the step made of the hold.
            swap,
        );
        assert!(stepped != ended, "one of them changed the hold: {stepped}, {ended}");
    });
}

#[test]
fn a_partial_step_against_a_confirm_sells_each_unit_once() {
    model("a partial step against a confirm", || {
        let (engine, id) = held(2);
        let (stepped, confirmed) =
            race(&engine, move |engine| engine.step(id, 0, 1, 2), |engine| engine.confirm(id, 2));
        let given_back = u32::from(stepped == Answer::Done);
        if confirmed == Answer::Done {
            assert_eq!(engine.counts(), (0, given_back, 2 - given_back, 2 - given_back));
        } else {
            assert_eq!((stepped, engine.counts()), (Answer::Done, (0, 1, 1, 0)));
        }
        engine.check();
    });
}

#[test]
fn a_partial_sale_against_an_expiry_gives_back_only_what_is_still_held() {
    model("a partial step against an expiry", || {
        let (engine, id) = held(2);
        // Their clocks differ.
        let (stepped, expired) = race(
            &engine,
            move |engine| engine.step(id, 1, 0, 100),
            |engine| engine.expire(id, 101),
        );
        let sold = u32::from(stepped == Answer::Done);
        let given_back = if expired == Answer::Done { 2 - sold } else { 0 };
        assert!(sold + given_back > 0, "one of them wins: {stepped:?}, {expired:?}");
        assert_eq!(engine.counts(), (0, given_back, 2 - given_back, sold));
        if expired == Answer::Done {
            let phase = engine.slots.at(id.slot()).expect("a slot").state().phase();
            assert_eq!(phase, if sold > 0 { Phase::Confirmed } else { Phase::Expired });
        }
        engine.check();
    });
}

#[test]
fn a_partial_step_undoes_no_extension() {
    model("a partial step against an extension", || {
        let (engine, id) = held(2);
        let (stepped, extended) = race(
            &engine,
            move |engine| engine.step(id, 1, 0, 50),
            |engine| engine.extend(id, 50, 200),
        );
        assert!(stepped == Answer::Done || extended == Answer::Done);
        let until = engine.slots.at(id.slot()).expect("a slot").state().expires_at();
        assert_eq!(until, at(if extended == Answer::Done { 200 } else { 100 }));
        engine.check();
    });
}
