//! The index of holders: it finds every live hold, and keeps none that is over.

use std::sync::Arc;

use loom_tests::model;

use crate::engine::{Answer, Engine, race};
use crate::expiry::sweep;
use crate::reservation::holders::Holder;
use crate::reservation::id::{Owner, ReservationId};

const ANN: Owner = Owner([7; 16]);

fn shop() -> Arc<Engine> {
    let engine = Engine::of_owner(3, 3, ANN);
    assert!(engine.add(3));
    Arc::new(engine)
}

fn holds(engine: &Engine) -> Vec<ReservationId> {
    engine.slots.holders().expect("the index").holds_of(Holder::Owner(ANN))
}

#[test]
fn a_hold_that_ends_while_it_is_made_leaves_nothing_in_the_index_of_holders() {
    model("a reserve against the sweeper", || {
        let engine = shop();
        // Its time is up as it shows.
        let (made, swept) = race(&engine, |it| it.reserve(1, 1, 1).is_some(), |it| sweep(it, 9));
        assert!(made);
        assert_eq!(swept + sweep(&engine, 9), 1);
        assert_eq!(holds(&engine), []);
        engine.check();
    });
}

#[test]
fn a_hold_is_in_the_index_of_holders_while_it_is_live() {
    model("an end and a new hold against a look", || {
        let engine = shop();
        let [first, second] = [1, 2].map(|born| engine.reserve(born, 1, 30).expect("a unit"));
        let third = engine.reserve(3, 1, 30).expect("a unit");
        let (released, found) = race(&engine, move |it| it.release(second, 5), holds);
        assert_eq!(released, Answer::Done);
        assert!(found == [first, second, third] || found == [first, third]);
        assert_eq!(holds(&engine), [first, third]);
    });
}

#[test]
fn who_returns_a_hold_has_entered_it_into_the_index_of_holders() {
    model("a slot that goes to the next hold", || {
        let engine = shop();
        let first = engine.reserve(1, 1, 30).expect("a unit");
        let (released, second) = race(
            &engine,
            move |it| it.release(first, 5),
            |it| {
                let second = it.reserve(6, 1, 30).expect("a unit");
                assert!(holds(it).contains(&second));
                second
            },
        );
        assert_eq!(released, Answer::Done);
        assert_eq!(holds(&engine), [second]);
    });
}

/// A kept hold that is sold, and at once shipped by another thread: its slot goes to the next hold.
fn race_a_shipment(then: fn(&Engine, Option<ReservationId>)) {
    let mut engine = Engine::of_owner(3, 1, ANN);
    engine.kept = true;
    assert!(engine.add(3));
    let engine = Arc::new(engine);
    let first = engine.reserve(1, 1, 30).expect("a unit");
    let (sold, second) = race(
        &engine,
        move |it| it.confirm(first, 5),
        move |it| {
            let shipped = it.ship_of(first, 1, 6) == Answer::Done;
            let second = if shipped { it.reserve(7, 1, 30) } else { None };
            then(it, second);
            second
        },
    );
    assert_eq!(sold, Answer::Done);
    assert_eq!(holds(&engine), second.into_iter().collect::<Vec<_>>());
}

#[test]
fn a_kept_sale_that_is_shipped_at_once_leaves_nothing_in_the_index_of_holders() {
    model("a confirm against the shipment and the next hold", || race_a_shipment(|_, _| {}));
}

#[test]
fn a_kept_sale_that_is_shipped_at_once_takes_no_other_hold_out_of_the_index_of_holders() {
    model("the same, and a look", || {
        race_a_shipment(|engine, second| {
            let found = holds(engine);
            assert!(second.iter().all(|hold| found.contains(hold)), "a live hold is not there");
        });
    });
}
