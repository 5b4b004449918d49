//! How slots circulate: each belongs to one hold at a time, and none is lost.

use std::sync::Arc;
use std::time::Duration;

use loom_tests::model;

use crate::engine::{at, race, slots_of, spawn};
use crate::reservation::magazines::{MAGAZINE, Magazines, Retention};

const AT_ONCE: Retention = Retention { time: Duration::ZERO, records: 0 };

#[test]
fn of_two_threads_one_gets_the_last_slot() {
    model("two threads for the last slot", || {
        let slots = Arc::new(slots_of(1));
        let take = |slots: &crate::reservation::slots::Slots| {
            slots.take(at(1)).map(|vacated| vacated.number())
        };
        let taken = race(&slots, take, take);
        assert!(matches!(taken, (Some(0), None) | (None, Some(0))), "{taken:?}");
    });
}

#[test]
fn fresh_slots_are_handed_out_once() {
    model("three threads for fresh slots", || {
        let magazines = Arc::new(Magazines::new(3, 1, AT_ONCE));
        let take = |magazines: &Magazines| magazines.take(at(1));
        let first = spawn(&magazines, take);
        let (second, third) = race(&magazines, take, take);
        let mut taken: Vec<_> =
            [first.join().expect("the thread ends"), second, third].into_iter().flatten().collect();
        // One who comes while another fills the shard may find nothing; nobody finds the same.
        taken.extend(std::iter::from_fn(|| magazines.take(at(1))));
        taken.sort_unstable();
        assert_eq!(taken, [0, 1, 2]);
    });
}

/// Magazines whose depot holds one full magazine; every other slot is in use.
fn one_full_magazine(shards: usize) -> Arc<Magazines> {
    // A shard keeps this many ended slots before it hands a magazine of them to the depot.
    let shard_queue = 4 * MAGAZINE as u32;
    let magazines = Magazines::new(shard_queue + 1, shards, AT_ONCE);
    for _ in 0..=shard_queue {
        magazines.take(at(1)).expect("a fresh slot");
    }
    for slot in 0..=shard_queue {
        magazines.retire(slot, at(1));
    }
    // The rest, which this thread's shard still keeps, goes into use again, but for the depot's.
    Arc::new(magazines)
}

#[test]
fn a_magazine_of_the_depot_goes_to_one_thread() {
    model("two threads for the depot's magazine", || {
        let magazines = one_full_magazine(1);
        let take = |magazines: &Magazines| magazines.take(at(2));
        let (first, second) = race(&magazines, take, take);
        let mut taken: Vec<_> = [first, second].into_iter().flatten().collect();
        taken.extend(std::iter::from_fn(|| magazines.take(at(2))));
        taken.sort_unstable();
        assert_eq!(taken, (0..=4 * MAGAZINE as u32).collect::<Vec<_>>(), "each slot once");
    });
}

#[test]
fn a_magazine_that_is_not_ripe_yet_is_lost_to_nobody() {
    model("a look at the oldest magazine against a take", || {
        let shard_queue = 4 * MAGAZINE as u32;
        let kept = Retention { time: Duration::from_millis(10), records: 100 };
        let magazines = Magazines::new(shard_queue + 3, 1, kept);
        for _ in 0..shard_queue + 1 {
            magazines.take(at(1)).expect("a fresh slot");
        }
        for slot in 0..shard_queue + 1 {
            magazines.retire(slot, at(1));
        }
        let magazines = Arc::new(magazines);
        // Too early for the one, late enough for the other.
        let (first, second) = race(
            &magazines,
            |magazines| magazines.take(at(2)),
            |magazines| magazines.take(at(20)),
        );
        let mut taken: Vec<_> = [first, second].into_iter().flatten().collect();
        taken.extend(std::iter::from_fn(|| magazines.take(at(30))));
        taken.sort_unstable();
        assert_eq!(taken, (0..shard_queue + 3).collect::<Vec<_>>(), "each slot once");
    });
}

#[test]
fn a_retired_slot_is_found_by_a_thread_of_another_shard() {
    model("take from another thread's shard", || {
        let magazines = Arc::new(Magazines::new(2, 2, AT_ONCE));
        let slot = magazines.take(at(1)).expect("a fresh slot");
        let (taken, ()) = race(
            &magazines,
            |magazines| [magazines.take(at(2)), magazines.take(at(2))],
            move |magazines| magazines.retire(slot, at(2)),
        );
        let mut taken: Vec<_> = taken.into_iter().flatten().collect();
        assert!(!taken.is_empty(), "one slot was free all the time");
        taken.extend(std::iter::from_fn(|| magazines.take(at(3))));
        taken.sort_unstable();
        assert_eq!(taken, [0, 1], "each slot once");
    });
}
