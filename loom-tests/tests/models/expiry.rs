//! The expiry bounds: nothing that is due is ever overlooked.

use std::sync::Arc;

use loom_tests::model;

use crate::base::sync::{AtomicU64, Ordering, sequenced};
use crate::engine::{Answer, Engine, at, race, spawn};
use crate::reservation::deadlines::{Deadlines, GROUP, Scan, ScannedSlot};
use crate::reservation::slots::{HeldSlot, Slots};

/// Slots in two segments of two groups.
const SLOTS: u32 = (2 * GROUP * GROUP) as u32;

/// In place of an expiry: a reserve has the slot.
const TAKEN: u64 = u64::MAX;

/// The bounds, over slots of which only the expiry matters: 0 is no live hold.
struct Column {
    expiry: Deadlines,
    live: [AtomicU64; SLOTS as usize],
}

impl Column {
    /// Every bound above slot 0 is too early: its hold is over.
    fn with_a_hold_that_is_over() -> Arc<Self> {
        let column = Self {
            expiry: Deadlines::new(SLOTS as usize),
            live: std::array::from_fn(|_| AtomicU64::new(0)),
        };
        // As a reserve that is long over would have.
        column.expiry.note(0, at(10), &sequenced());
        Arc::new(column)
    }

    fn publish(&self, slot: u32, expires_at: u64) {
        let live = &self.live[slot as usize];
        live.swap(TAKEN, Ordering::SeqCst);
        let taken = sequenced();
        live.store(expires_at, Ordering::Release);
        self.expiry.note(slot, at(expires_at), &taken);
    }

    /// Ends what is overdue at `now`; returns it.
    fn scan(&self, now: u64) -> Vec<u32> {
        let mut ended = Vec::new();
        let visit = |slot: u32| {
            let live = &self.live[slot as usize];
            let expires_at = live.load(Ordering::Acquire);
            if expires_at == 0 {
                return (ScannedSlot::Nothing, false);
            }
            if expires_at == TAKEN {
                return (ScannedSlot::Taken, false);
            }
            if now <= expires_at {
                return (ScannedSlot::Live(at(expires_at)), false);
            }
            if live.compare_exchange(expires_at, 0, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                ended.push(slot);
            }
            (ScannedSlot::Nothing, false)
        };
        assert_eq!(self.expiry.scan(at(now), || SLOTS, visit), Scan::Complete);
        ended
    }
}

/// A hold is published in `slot` while a scan raises the bounds above the one that is over.
fn publish_against_a_scan(slot: u32) {
    let column = Column::with_a_hold_that_is_over();
    race(&column, move |column| column.publish(slot, 30), |column| column.scan(20));
    assert!(column.expiry.next_due() <= at(30), "next due at {}", column.expiry.next_due());
    assert_eq!(column.scan(40), [slot], "the hold that is due is found");
}

#[test]
fn a_hold_published_in_a_group_that_is_being_raised_is_found() {
    model("publish against a scan, same slot", || publish_against_a_scan(0));
}

#[test]
fn a_hold_published_beside_a_group_that_is_being_raised_is_found() {
    model("publish against a scan, same segment", || publish_against_a_scan(GROUP as u32));
}

#[test]
fn a_hold_published_beside_a_segment_that_is_being_raised_is_found() {
    model("publish against a scan, other segment", || {
        publish_against_a_scan((GROUP * GROUP) as u32);
    });
}

#[test]
fn of_two_holds_published_during_a_scan_neither_is_overlooked() {
    model("two publish against a scan", || {
        let column = Column::with_a_hold_that_is_over();
        let first = spawn(&column, |column| column.publish(0, 30));
        race(&column, |column| column.publish(1, 25), |column| column.scan(20));
        first.join().expect("the thread ends");
        assert!(column.expiry.next_due() <= at(25));
        assert_eq!(column.scan(40), [0, 1]);
    });
}

#[test]
fn two_scans_raise_no_bound_above_what_is_live() {
    model("publish against two scans", || {
        let column = Column::with_a_hold_that_is_over();
        let publish = spawn(&column, |column| column.publish(1, 30));
        race(&column, |column| column.scan(20), |column| column.scan(20));
        publish.join().expect("the thread ends");
        assert!(column.expiry.next_due() <= at(30));
        assert_eq!(column.scan(40), [1]);
    });
}

/// Ends what is overdue in the real slots, the way the sweeper does: where the engine's bound says
/// that nothing is due, it does not look.
pub fn sweep(engine: &Engine, now: u64) -> u32 {
    let slots: &Slots = &engine.slots;
    if !slots.is_due(at(now)) {
        return 0;
    }
    let mut ended = 0;
    slots.scan_due(at(now), |HeldSlot { slot, state, .. }| {
        assert!(state.is_overdue(at(now)));
        let id = slot.read_record(state).id;
        ended += u32::from(engine.expire(id, now) == Answer::Done);
        false
    });
    ended
}

#[test]
fn a_hold_made_while_the_sweeper_looks_is_swept_when_it_is_due() {
    model("a reserve against the sweeper", || {
        let engine = Arc::new(Engine::new(2, 2));
        assert!(engine.add(2));
        engine.reserve(1, 1, 10).expect("a unit");
        let (made, early) =
            race(&engine, |engine| engine.reserve(2, 1, 30).is_some(), |engine| sweep(engine, 20));
        assert!(made);
        assert_eq!((early, sweep(&engine, 40)), (1, 1));
        assert_eq!(engine.counts(), (0, 2, 0, 0));
        engine.check();
    });
}

#[test]
fn a_hold_in_a_fresh_segment_is_swept_when_it_is_due() {
    model("a reserve of a fresh slot against the sweeper", || {
        const OTHERS: u32 = (GROUP * GROUP) as u32 - 1;
        let engine = Engine::new(2 + OTHERS, SLOTS);
        assert!(engine.add(2 + OTHERS));
        engine.reserve(1, 1, 10).expect("a unit");
        // The rest of the first segment is in others' hands.
        for other in 0..OTHERS {
            engine.reserve(u64::from(3 + other), 1, 1_000).expect("a unit");
        }
        let engine = Arc::new(engine);
        let (made, early) =
            race(&engine, |engine| engine.reserve(2, 1, 30).is_some(), |engine| sweep(engine, 20));
        assert!(made);
        assert_eq!((early, sweep(&engine, 40)), (1, 1));
    });
}

#[test]
fn a_hold_that_is_changed_in_part_while_the_sweeper_looks_is_swept_when_it_is_due() {
    model("a partial step against the sweeper", || {
        let engine = Arc::new(Engine::new(3, 3));
        assert!(engine.add(3));
        engine.reserve(1, 1, 10).expect("a unit");
        let id = engine.reserve(2, 2, 30).expect("units");
        let (stepped, early) =
            race(&engine, move |engine| engine.step(id, 1, 0, 15), |engine| sweep(engine, 20));
        assert_eq!(stepped, Answer::Done);
        assert_eq!((early, sweep(&engine, 40)), (1, 1));
    });
}
