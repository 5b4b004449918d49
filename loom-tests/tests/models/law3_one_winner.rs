//! Law 3: one swap of the whole state word picks the single winner of every race over a hold.

use std::sync::Arc;

use loom_tests::model;

use crate::engine::{Answer, Engine, race, spawn};
use crate::reservation::state::Phase;

#[test]
fn of_confirm_expiry_and_release_one_wins() {
    model("confirm against expire against release", || {
        let engine = Arc::new(Engine::new(1, 1));
        assert!(engine.add(1));
        let id = engine.reserve(1, 1, 100).expect("a unit");
        // Their clocks differ: the one who confirms looked before the hold fell due.
        let confirm = spawn(&engine, move |engine| engine.confirm(id, 100));
        let expire = spawn(&engine, move |engine| engine.expire(id, 101));
        let released = engine.release(id, 99);
        let answers = [
            confirm.join().expect("the thread ends"),
            expire.join().expect("the thread ends"),
            released,
        ];
        let winners = answers.iter().filter(|answer| **answer == Answer::Done).count();
        assert_eq!(winners, 1, "one winner: {answers:?}");
        let sold = u32::from(answers[0] == Answer::Done);
        assert_eq!(engine.counts(), (0, 1 - sold, sold, sold));
        engine.check();
    });
}

#[test]
fn who_hears_that_a_hold_is_over_finds_its_units_given_back() {
    model("a loser's answer against the winner's steps", || {
        let engine = Arc::new(Engine::new(1, 1));
        assert!(engine.add(1));
        let id = engine.reserve(1, 1, 100).expect("a unit");
        let (winner, ()) = race(
            &engine,
            move |engine| engine.release(id, 2),
            |engine| {
                let Answer::Lost(Phase::Released) = engine.confirm(id, 2) else { return };
                assert_eq!(engine.level.available(), 1, "released, but the unit is not back");
            },
        );
        let _ = winner;
        engine.check();
    });
}

#[test]
fn no_expiry_kills_a_hold_that_was_just_extended() {
    model("extend against expire", || {
        let engine = Arc::new(Engine::new(1, 1));
        assert!(engine.add(1));
        let id = engine.reserve(1, 1, 100).expect("a unit");
        let (expired, extended) = race(
            &engine,
            move |engine| engine.expire(id, 101),
            |engine| engine.extend(id, 100, 200),
        );
        match (extended, expired) {
            (Answer::Done, Answer::NotTheTime | Answer::Lost(Phase::Pending)) => {
                assert_eq!(engine.counts(), (0, 0, 1, 0), "the hold lives on");
                assert_eq!(engine.confirm(id, 150), Answer::Done);
            }
            (Answer::InProgress | Answer::Lost(_), Answer::Done) => {
                assert_eq!(engine.counts(), (0, 1, 0, 0), "the hold is over");
            }
            other => panic!("extended and expired: {other:?}"),
        }
        engine.check();
    });
}

#[test]
fn an_old_id_confirms_no_stranger_in_its_slot() {
    model("confirm of an old id against reuse", || {
        let engine = Arc::new(Engine::new(2, 1));
        assert!(engine.add(2));
        let old = engine.reserve(1, 1, 100).expect("a unit");
        let (confirmed, (released, young)) = race(
            &engine,
            move |engine| engine.confirm(old, 2),
            |engine| {
                let released = engine.release(old, 2);
                // The only slot there is. The same expiry: only the generation tells them apart.
                (released, engine.reserve(3, 1, 100))
            },
        );
        assert!((confirmed == Answer::Done) != (released == Answer::Done));
        if let Some(young) = young {
            assert_eq!(engine.confirm(young, 4), Answer::Done, "the stranger's hold still lives");
        }
        engine.check();
    });
}
