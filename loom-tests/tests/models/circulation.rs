//! How slots circulate: each belongs to one hold at a time, and none is lost.

use std::sync::Arc;
use std::time::Duration;

use loom_tests::{model, model_bounded};

use crate::engine::{at, race, slots_of, spawn};
use crate::readers::{end, publish, record};
use crate::reservation::free_list::magazine::MAGAZINE;
use crate::reservation::free_list::{FreeList, Retention};
use crate::reservation::slots::{Slots, VacantSlot};

const AT_ONCE: Retention = Retention { time: Duration::ZERO, records: 0, drop_oldest: true };
const FOR_10_MS: Retention =
    Retention { time: Duration::from_millis(10), records: 100, drop_oldest: true };

/// How many slots a shard keeps before it hands a magazine of them to the depot.
const SHARD_QUEUE: u32 = 4 * MAGAZINE as u32;

#[test]
fn of_two_threads_one_gets_the_last_slot() {
    model("two threads for the last slot", || {
        let slots = Arc::new(slots_of(1));
        let take = |slots: &Slots| slots.take(at(1), || at(1)).map(|vacated| vacated.number());
        let taken = race(&slots, take, take);
        assert!(matches!(taken, (Some(0), None) | (None, Some(0))), "{taken:?}");
    });
}

#[test]
fn fresh_slots_are_handed_out_once() {
    model("three threads for fresh slots", || {
        let magazines = Arc::new(FreeList::new(3, 1, AT_ONCE));
        let take = |magazines: &FreeList| magazines.take(at(1), |_| 0);
        let first = spawn(&magazines, take);
        let (second, third) = race(&magazines, take, take);
        // Also to one who comes while another carries the rest of a magazine to the shard.
        let mut taken = [first.join().expect("the thread ends"), second, third];
        taken.sort_unstable();
        assert_eq!(taken, [Some(0), Some(1), Some(2)]);
    });
}

/// Magazines at their maximum of `slots`, all of them retired at moment 1.
fn all_retired(slots: u32, kept: Retention) -> FreeList {
    let magazines = FreeList::new(slots, 1, kept);
    for _ in 0..slots {
        magazines.take(at(1), |_| 0).expect("a fresh slot");
    }
    for slot in 0..slots {
        magazines.retire(slot, at(1));
    }
    magazines
}

/// Magazines whose shard has retired the slots `0..retired`, at moment 1; records stay for 10 ms.
/// One magazine of fresh slots is left.
fn retaining(retired: u32) -> FreeList {
    let magazines = FreeList::new((retired + 1).next_multiple_of(2) + 2, 1, FOR_10_MS);
    for _ in 0..(retired + 1).next_multiple_of(2) {
        magazines.take(at(1), |_| 0).expect("a fresh slot");
    }
    for slot in 0..retired {
        magazines.retire(slot, at(1));
    }
    magazines
}

#[test]
fn a_slot_on_its_way_to_the_shard_is_not_overlooked() {
    model("takes of all free slots against a refill", || {
        // One magazine in the depot, and one slot that has not come so far.
        let magazines = Arc::new(all_retired(SHARD_QUEUE + 1, AT_ONCE));
        let (first, others) = race(
            &magazines,
            |magazines| magazines.take(at(2), |_| 0),
            |magazines| (0..SHARD_QUEUE).map(|_| magazines.take(at(2), |_| 0)).collect::<Vec<_>>(),
        );
        assert!(first.is_some() && others.iter().all(Option::is_some), "{first:?}, {others:?}");
    });
}

#[test]
fn a_magazine_that_was_looked_at_is_not_overlooked() {
    // One preemption: with two it was a fifth of the time that all models took. What it then
    // catches besides, a refill that is not marked, the model of a slot on its way catches as well.
    model_bounded("takes of all free slots against a look at the oldest magazine", 1, || {
        // As above, but the magazine is too young, and so put to the front first.
        let magazines = Arc::new(all_retired(SHARD_QUEUE + 1, FOR_10_MS));
        let (first, others) = race(
            &magazines,
            |magazines| magazines.take(at(2), |_| 0),
            |magazines| (0..SHARD_QUEUE).map(|_| magazines.take(at(2), |_| 0)).collect::<Vec<_>>(),
        );
        assert!(first.is_some() && others.iter().all(Option::is_some), "{first:?}, {others:?}");
    });
}

#[test]
fn a_slot_on_its_way_to_the_depot_is_not_overlooked() {
    model("takes of all free slots against a spill", || {
        let magazines = FreeList::new(SHARD_QUEUE + 1, 1, AT_ONCE);
        for _ in 0..=SHARD_QUEUE {
            magazines.take(at(1), |_| 0).expect("a fresh slot");
        }
        for slot in 0..SHARD_QUEUE {
            magazines.retire(slot, at(1));
        }
        let magazines = Arc::new(magazines);
        let ((), taken) = race(
            &magazines,
            |magazines| magazines.retire(SHARD_QUEUE, at(2)),
            |magazines| (0..SHARD_QUEUE).map(|_| magazines.take(at(2), |_| 0)).collect::<Vec<_>>(),
        );
        assert!(taken.iter().all(Option::is_some), "they were free all the time: {taken:?}");
    });
}

/// All slots but those of `held` are found again, each once.
fn assert_all_found(magazines: &FreeList, taken: Vec<u32>, held: &[u32]) {
    let mut found = taken;
    found.extend(held);
    found.extend(std::iter::from_fn(|| magazines.take(at(100), |_| 0)));
    found.sort_unstable();
    let all: Vec<_> = (0..magazines.used()).collect();
    assert_eq!(found, all, "each slot once");
}

#[test]
fn a_magazine_that_is_not_ripe_yet_is_handed_on_with_its_slots() {
    model("a magazine at the front", || {
        let magazines = Arc::new(retaining(SHARD_QUEUE));
        let (first, second) = race(
            &magazines,
            |magazines| {
                // Fills a magazine, and then finds it too young.
                magazines.retire(SHARD_QUEUE, at(1));
                magazines.take(at(2), |_| 0)
            },
            |magazines| magazines.take(at(50), |_| 0),
        );
        let taken = [first, second].into_iter().flatten().collect();
        assert_all_found(&magazines, taken, &[SHARD_QUEUE + 1]);
    });
}

#[test]
fn of_two_magazines_that_are_not_ripe_neither_is_lost() {
    model("two looks at the oldest magazines", || {
        let magazines = Arc::new(retaining(SHARD_QUEUE + 3));
        let take = |magazines: &FreeList| magazines.take(at(2), |_| 0);
        let (first, second) = race(&magazines, take, take);
        let taken = [first, second].into_iter().flatten().collect();
        assert_all_found(&magazines, taken, &[SHARD_QUEUE + 3]);
    });
}

#[test]
fn the_magazine_at_the_front_goes_to_one_thread() {
    model("two takes of the front", || {
        let magazines = retaining(SHARD_QUEUE + 1);
        let early = magazines.take(at(2), |_| 0).expect("a fresh slot");
        // The other fresh one.
        let other = magazines.take(at(2), |_| 0).expect("a fresh slot");
        let magazines = Arc::new(magazines);
        let take = |magazines: &FreeList| magazines.take(at(50), |_| 0);
        let (first, second) = race(&magazines, take, take);
        let taken = [first, second].into_iter().flatten().collect();
        assert_all_found(&magazines, taken, &[early, other, SHARD_QUEUE + 1]);
    });
}

#[test]
fn a_retired_slot_is_found_by_a_thread_of_another_shard() {
    model("take from another thread's shard", || {
        let magazines = Arc::new(FreeList::new(2, 2, AT_ONCE));
        let slot = magazines.take(at(1), |_| 0).expect("a fresh slot");
        let (taken, ()) = race(
            &magazines,
            |magazines| [magazines.take(at(2), |_| 0), magazines.take(at(2), |_| 0)],
            move |magazines| magazines.retire(slot, at(2)),
        );
        let mut taken: Vec<_> = taken.into_iter().flatten().collect();
        assert!(!taken.is_empty(), "one slot was free all the time");
        taken.extend(std::iter::from_fn(|| magazines.take(at(3), |_| 0)));
        taken.sort_unstable();
        assert_eq!(taken, [0, 1], "each slot once");
    });
}

#[test]
fn each_slot_of_a_basket_returns_once() {
    model("a basket's end against a take", || {
        let slots = Arc::new(slots_of(3));
        let old = publish(&slots, 1, 3, at(100));
        let (_, young) = race(
            &slots,
            move |slots| end(slots, old),
            |slots| {
                let publish = |vacated: VacantSlot<'_>| {
                    let record = record(vacated.number(), 2);
                    slots.publish(vacated, record, at(100));
                    record.id.slot()
                };
                // What has come back so far: the later line's link is another's then.
                [slots.take(at(1), || at(1)).map(publish), slots.take(at(1), || at(1)).map(publish)]
            },
        );
        let mut taken: Vec<_> = young.into_iter().flatten().collect();
        taken.extend(
            std::iter::from_fn(|| slots.take(at(1), || at(1))).map(|vacated| vacated.number()),
        );
        taken.sort_unstable();
        assert_eq!(taken, [0, 1, 2], "each slot once");
    });
}

#[test]
fn a_magazine_is_filled_again_only_when_it_is_empty() {
    model("a take from the depot against a return to it", || {
        // The depot holds one magazine, and the shard has room for one slot.
        let (late, later) = (SHARD_QUEUE + 1, SHARD_QUEUE + 2);
        let magazines = FreeList::new(SHARD_QUEUE + 3, 1, AT_ONCE);
        for _ in 0..SHARD_QUEUE + 3 {
            magazines.take(at(1), |_| 0).expect("a fresh slot");
        }
        for slot in 0..late {
            magazines.retire(slot, at(1));
        }
        let magazines = Arc::new(magazines);
        let (taken, ()) = race(
            &magazines,
            |magazines| magazines.take(at(2), |_| 0),
            |magazines| {
                magazines.retire(late, at(2));
                magazines.retire(later, at(2));
            },
        );
        assert!(taken.is_some(), "slots were free all the time");
        assert_all_found(&magazines, taken.into_iter().collect(), &[]);
    });
}

#[test]
fn what_is_left_of_a_magazine_at_the_front_is_handed_on() {
    model("a take of what another could not make ready", || {
        // The depot holds two magazines. Both threads of shard 0 refill, and the second can't have
        // its magazine handed out of; the thread of shard 1 comes for the rest.
        let all = SHARD_QUEUE + 2 * MAGAZINE as u32;
        let magazines = FreeList::new(all, 2, AT_ONCE);
        for _ in 0..all {
            magazines.take(at(1), |_| 0).expect("a fresh slot");
        }
        for slot in 0..all {
            magazines.retire(slot, at(1));
        }
        let magazines = Arc::new(magazines);
        let take = |magazines: &FreeList| magazines.take(at(2), |_| 0);
        let rest = spawn(&magazines, take);
        let (first, second) = race(&magazines, take, take);
        let taken = [first, second, rest.join().expect("the thread ends")];
        assert!(taken.iter().all(Option::is_some), "slots were free all the time");
        assert_all_found(&magazines, taken.into_iter().flatten().collect(), &[]);
    });
}

/// Both find the same place free, and one of them has to look on.
#[test]
fn slots_that_end_at_once_in_one_shard_come_back_each() {
    model("two ends of holds in one shard", || {
        let magazines = FreeList::new(SHARD_QUEUE, 1, AT_ONCE);
        for _ in 0..SHARD_QUEUE {
            magazines.take(at(1), |_| 0).expect("a fresh slot");
        }
        for slot in 2..SHARD_QUEUE {
            magazines.retire(slot, at(1));
        }
        let magazines = Arc::new(magazines);
        let retire = |slot| move |magazines: &FreeList| magazines.retire(slot, at(2));
        race(&magazines, retire(0), retire(1));
        assert_all_found(&magazines, Vec::new(), &[]);
    });
}

/// Whoever stalled between the look at a place and the swap must not get what was there by then.
#[test]
fn a_slot_is_not_taken_out_of_a_magazine_that_came_back() {
    model("a take against a magazine's way round", || {
        // Both slots stand ready in the only magazine that anybody fills.
        let magazines = FreeList::new(SHARD_QUEUE + 2, 1, AT_ONCE);
        for _ in 0..SHARD_QUEUE + 2 {
            magazines.take(at(1), |_| 0).expect("a fresh slot");
        }
        for slot in 0..SHARD_QUEUE + 1 {
            magazines.retire(slot, at(1));
        }
        let first = magazines.take(at(2), |_| 0).expect("of the magazine");
        let magazines = Arc::new(magazines);
        let (one, others) = race(
            &magazines,
            |magazines| magazines.take(at(2), |_| 0),
            move |magazines| {
                // Takes the last one, fills the magazine again, and has it handed out of again.
                let last = magazines.take(at(2), |_| 0);
                magazines.retire(SHARD_QUEUE + 1, at(2));
                magazines.retire(first, at(2));
                [last, magazines.take(at(2), |_| 0)]
            },
        );
        let taken = others.into_iter().flatten().chain(one).collect();
        assert_all_found(&magazines, taken, &[]);
    });
}
