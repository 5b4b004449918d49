//! A thread that sleeps when there is nothing to do: nothing is left with it while it sleeps. The
//! items are bare atomics; `queue` has the same sleep with the queue itself.
//! The sleeper is never the model's first thread: that one waits for others at the end, and loom's
//! `unpark` would wake it from there, too.

use std::sync::Arc;

use loom_tests::model;

use crate::audit::wake_signal::WakeSignal;
use crate::base::parking::Parking;
use crate::base::sync::{AtomicU32, Ordering, sequenced};
use crate::engine::{race, spawn};

/// The audit writer's bell, and how many items wait for it.
struct Audit {
    wake_signal: WakeSignal,
    items: AtomicU32,
}

impl Audit {
    fn new() -> Arc<Self> {
        Arc::new(Self { wake_signal: WakeSignal::new(), items: AtomicU32::new(0) })
    }

    /// Says whether the writer lives.
    fn push(&self) -> bool {
        self.items.fetch_add(1, Ordering::SeqCst);
        self.wake_signal.ring(&sequenced()).is_ok()
    }

    /// Works until there were `last` items. A sleep that nobody ends is a deadlock, which loom
    /// finds.
    fn write(&self, last: u32) {
        self.wake_signal.answer();
        let mut written = 0;
        while written < last {
            written += self.items.swap(0, Ordering::Relaxed);
            if written < last {
                self.wake_signal.park(|| self.items.load(Ordering::Relaxed) > 0);
            }
        }
    }
}

#[test]
fn a_push_leaves_no_item_with_a_sleeping_writer() {
    model("a push against the writer's parking", || {
        let ((), pushed) = race(&Audit::new(), |audit| audit.write(1), Audit::push);
        assert!(pushed, "the writer lives");
    });
}

#[test]
fn of_two_pushes_none_leaves_its_item_with_a_sleeping_writer() {
    model("two pushes against the writer's parking", || {
        let audit = Audit::new();
        let first = spawn(&audit, Audit::push);
        race(&audit, |audit| audit.write(2), Audit::push);
        first.join().expect("the thread ends");
    });
}

#[test]
fn what_was_pushed_before_the_writer_left_is_in_its_last_look() {
    model("a push against the writer's end", || {
        let (heard, last) = race(&Audit::new(), Audit::push, |audit| {
            audit.wake_signal.leave();
            audit.items.load(Ordering::Relaxed)
        });
        assert!(!heard || last == 1, "the push was told that it will be written");
    });
}

/// The alert dispatcher's parking: levels that are raised, and the order to end.
struct Dispatcher {
    parking: Parking,
    raised: AtomicU32,
    orders: AtomicU32,
}

#[test]
fn the_desk_sleeps_through_neither_a_level_nor_an_order() {
    model("a level and an order against the dispatcher's parking", || {
        let none = || AtomicU32::new(0);
        let dispatcher =
            Arc::new(Dispatcher { parking: Parking::new(), raised: none(), orders: none() });
        let raise = spawn(&dispatcher, |dispatcher| {
            dispatcher.raised.fetch_add(1, Ordering::Relaxed);
            dispatcher.parking.wake();
        });
        let order = |dispatcher: &Dispatcher| {
            dispatcher.orders.fetch_max(1, Ordering::Release);
            dispatcher.parking.wake();
        };
        // Until both have come; each must wake it, the other may be long over.
        let deliver = |dispatcher: &Dispatcher| {
            dispatcher.parking.answer();
            let (mut delivered, mut orders) = (0, 0);
            while delivered + orders < 2 {
                orders = dispatcher.orders.load(Ordering::Acquire);
                delivered += dispatcher.raised.swap(0, Ordering::Relaxed);
                if delivered + orders < 2 {
                    dispatcher.parking.park(|| {
                        let told = dispatcher.orders.load(Ordering::Relaxed) != orders;
                        told || dispatcher.raised.load(Ordering::Relaxed) > 0
                    });
                }
            }
        };
        race(&dispatcher, deliver, order);
        raise.join().expect("the thread ends");
    });
}
