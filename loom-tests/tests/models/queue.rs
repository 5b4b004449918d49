//! The audit queue and its ring, as they ship: order, holes, laps, giving up, leaving, sleeping.
//!
//! Where two threads wait for each other by turns (one for room, one at a hole), there is no third:
//! loom would let the two wait for each other for ever while the third stands. A unit test of the
//! ring and the schedules of the whole engine have such thirds.

use std::sync::Arc;
use std::time::Instant;

use loom_tests::model;

use crate::audit::queue::{AuditQueue, Backpressure};
use crate::audit::ring::{Beside, FoundBeside, Wants};
use crate::audit::wake_signal::WriterGone;
use crate::base::sync::{AtomicU32, Ordering, yield_now};
use crate::engine::{race, spawn};

/// The whole queue, with two words an item: the second is the inverse of the first.
struct Queue {
    own: AuditQueue<u64, 2, 2>,
    /// What a thread tells another by, as a level's word does.
    told: AtomicU32,
}

impl Queue {
    fn new(capacity: usize) -> Arc<Self> {
        let own = AuditQueue::new(capacity, Backpressure::Wait);
        Arc::new(Self { own, told: AtomicU32::new(0) })
    }

    fn push(&self, item: u64) -> Result<(), WriterGone> {
        self.own.push([item, !item], Beside::Nothing)
    }

    /// With words beside the words.
    fn push_words(&self, item: u64) -> Result<(), WriterGone> {
        assert!(self.own.make_rows());
        self.own.push([item, !item], Beside::Words(&[item, !item]))
    }

    /// With something beside the words.
    fn push_long(&self, item: u64) -> Result<(), WriterGone> {
        self.own.push([item, !item], Beside::Other(item))
    }

    /// A push that turns back at once where there is no room.
    fn push_or_turn_back(&self, item: u64) -> Result<(), WriterGone> {
        self.own.push_by([item, !item], Beside::Nothing, Instant::now())
    }

    fn tell(&self) {
        self.told.store(1, Ordering::Release);
    }

    fn is_told(&self) -> bool {
        self.told.load(Ordering::Acquire) == 1
    }

    /// One turn of the writer.
    fn drain(&self, items: &mut Vec<u64>) {
        self.own.drain(u64::MAX, |words, found| {
            items.push(whole(words, found));
            Wants::More
        });
    }

    /// The writer works until it has `count` items.
    fn write(&self, count: usize) -> Vec<u64> {
        let mut items = Vec::new();
        loop {
            self.drain(&mut items);
            if items.len() >= count {
                return items;
            }
            yield_now();
        }
    }

    fn leave(&self) -> Vec<u64> {
        let mut items = Vec::new();
        self.own.leave(|words, found| items.push(whole(words, found)));
        items
    }
}

/// What one push stored, and nobody else's.
fn whole([item, inverse]: [u64; 2], found: FoundBeside<'_, u64, 2>) -> u64 {
    assert_eq!(item, !inverse, "half an item");
    match found {
        FoundBeside::Nothing => {}
        FoundBeside::Words(row) => {
            assert_eq!([row.word(0), row.word(1)], [item, inverse], "another's")
        }
        FoundBeside::Other(own) => assert_eq!(own, item, "another's"),
    }
    item
}

#[test]
fn the_writer_reads_whole_items() {
    model("two pushes against the writer", || {
        let queue = Queue::new(2);
        let first = spawn(&queue, |queue| queue.push(1));
        let ((), mut items) = race(&queue, |queue| queue.push(2).unwrap(), |queue| queue.write(2));
        first.join().unwrap().unwrap();
        items.sort_unstable();
        assert_eq!(items, [1, 2]);
    });
}

#[test]
fn what_lies_beside_an_item_comes_with_it() {
    model("long items and a short one through one place", || {
        let queue = Queue::new(1);
        let pusher = |queue: &Queue| {
            queue.push_long(1).unwrap();
            queue.push(2).unwrap();
            queue.push_long(3).unwrap();
        };
        let ((), items) = race(&queue, pusher, |queue| queue.write(3));
        assert_eq!(items, [1, 2, 3]);
    });
}

#[test]
fn the_words_beside_an_item_come_with_it() {
    model("items with words beside them through one place", || {
        let queue = Queue::new(1);
        let pusher = |queue: &Queue| {
            queue.push_words(1).unwrap();
            queue.push_words(2).unwrap();
            queue.push(3).unwrap();
        };
        let ((), items) = race(&queue, pusher, |queue| queue.write(3));
        assert_eq!(items, [1, 2, 3]);
    });
}

#[test]
fn who_saw_what_another_gave_is_behind_it_in_the_order() {
    model("a push, then what it gives, then the push of who took it", || {
        let queue = Queue::new(2);
        let giver = spawn(&queue, |queue| {
            queue.push(1).unwrap();
            queue.tell();
        });
        let taker = |queue: &Queue| {
            let saw = queue.is_told();
            queue.push(2).unwrap();
            saw
        };
        let (saw, items) = race(&queue, taker, |queue| queue.write(2));
        giver.join().unwrap();
        assert!(!saw || items == [1, 2], "Law 2: {items:?}");
    });
}

#[test]
fn a_flush_has_what_was_pushed_before_it_although_a_hole_lies_before() {
    model("a push and a flush against a push that has not published", || {
        let queue = Queue::new(2);
        let other = spawn(&queue, |queue| queue.push(1));
        let flusher = |queue: &Queue| {
            queue.push(2).unwrap();
            // The ticket of the flush.
            queue.tell();
        };
        let writer = |queue: &Queue| {
            let asked = queue.is_told();
            let mut items = Vec::new();
            queue.drain(&mut items);
            assert!(!asked || items.contains(&2), "it was pushed before the flush");
        };
        race(&queue, flusher, writer);
        other.join().unwrap().unwrap();
    });
}

#[test]
fn a_place_is_used_again_only_when_it_was_read() {
    model("three pushes through one place", || {
        let queue = Queue::new(1);
        let pusher = |queue: &Queue| {
            queue.push(1).unwrap();
            queue.push(2).unwrap();
            queue.push(3).unwrap();
        };
        let ((), items) = race(&queue, pusher, |queue| queue.write(3));
        assert_eq!(items, [1, 2, 3]);
    });
}

#[test]
fn of_two_that_turn_back_where_there_is_no_room_one_gets_the_place() {
    model("two pushes that may turn back, for one place", || {
        let queue = Queue::new(1);
        let first = |queue: &Queue| queue.push_or_turn_back(1).is_ok();
        let second = |queue: &Queue| queue.push_or_turn_back(2).is_ok();
        let (first, second) = race(&queue, first, second);
        assert!(first != second, "one place: {first} {second}");
        let mut items = Vec::new();
        queue.drain(&mut items);
        assert_eq!(items, [if first { 1 } else { 2 }]);
    });
}

#[test]
fn who_turns_back_leaves_no_hole() {
    model("a push that may turn back against the writer", || {
        let queue = Queue::new(1);
        queue.push(1).unwrap();
        let pusher = |queue: &Queue| queue.push_or_turn_back(2).is_ok();
        let (pushed, mut items) = race(&queue, pusher, |queue| queue.write(1));
        queue.drain(&mut items);
        assert_eq!(items, [1, 2][..1 + usize::from(pushed)], "it says what became of its item");
        assert!(queue.own.is_empty());
    });
}

#[test]
fn who_gives_up_waiting_for_a_stuck_writer_leaves_no_hole() {
    model("a push into a full queue whose writer is abandoned and comes back", || {
        let queue = Queue::new(1);
        queue.push(1).unwrap();
        let (pushed, mut items) = race(
            &queue,
            |queue| queue.push(2),
            |queue| {
                queue.own.abandon();
                queue.write(1)
            },
        );
        queue.drain(&mut items);
        // Told that it will be written, it is. Told that it will not, it may be.
        assert!(pushed.is_err() || items == [1, 2], "{items:?}");
        assert!(queue.own.is_empty(), "nobody waits for what was given up");
    });
}

#[test]
fn what_was_pushed_before_the_writer_left_is_in_its_last_look() {
    model("two pushes against the writer's end, with one place", || {
        let queue = Queue::new(1);
        let first = spawn(&queue, |queue| queue.push(1));
        let (second, last) = race(&queue, |queue| queue.push(2), Queue::leave);
        let first = first.join().unwrap();
        assert!(first.is_err() || last.contains(&1), "the first was told that it is written");
        assert!(second.is_err() || last.contains(&2), "the second was told that it is written");
    });
}

#[test]
fn no_item_lies_with_a_sleeping_writer() {
    model("two pushes against the queue's own sleep", || {
        let queue = Queue::new(2);
        let first = spawn(&queue, |queue| queue.push(1));
        let writer = |queue: &Queue| {
            queue.own.wake_signal().answer();
            let mut items = Vec::new();
            while items.len() < 2 {
                queue.drain(&mut items);
                if items.len() < 2 {
                    queue.own.wake_signal().park(|| !queue.own.is_empty());
                }
            }
        };
        let ((), pushed) = race(&queue, writer, |queue| queue.push(2));
        first.join().unwrap().unwrap();
        pushed.unwrap();
    });
}
