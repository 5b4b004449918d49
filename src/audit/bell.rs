//! The writer's bell: how it sleeps without missing anything, and who wakes it.
//!
//! A producer leaves its item first and looks at the writer's state after; a writer that lies down
//! sets its state first and looks for items after. A `SeqCst` fence stands between the two steps on
//! either side, so that at least one of them sees the other: an item is never left with a sleeping
//! writer. (Fences rather than `SeqCst` accesses, because loom treats those as `AcqRel`.)

use std::fmt;
use std::time::Duration;

use crossbeam::utils::CachePadded;

use crate::sync::{AtomicU8, Mutex, Ordering, Thread, current, fence, lock, park, park_at_most};

/// At work, or about to be.
const RUNNING: u8 = 0;
/// Asleep for some microseconds; only a flush or a queue past half is worth waking it for.
const NAPPING: u8 = 1;
/// Asleep until somebody wakes it.
const PARKED: u8 = 2;
/// Gone for good: nothing queued from now on will be written.
const GONE: u8 = 3;

/// The writer has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit writer has ended: the operation was applied, but its entry may not be written")]
pub(crate) struct WriterGone;

/// One writer's state, and the handle by which to wake it.
pub(crate) struct Bell {
    /// Written by the writer as it lies down and gets up, and by whoever wakes it; read on every push.
    state: CachePadded<AtomicU8>,
    /// Set by [`answer`](Bell::answer); empty while no thread drives the writer.
    writer: Mutex<Option<Thread>>,
}

impl Bell {
    /// The bell of a writer that runs, or will.
    pub(crate) fn new() -> Self {
        Self { state: CachePadded::new(AtomicU8::new(RUNNING)), writer: Mutex::new(None) }
    }

    /// Makes the calling thread the one that is woken. To be called before its first sleep.
    pub(crate) fn answer(&self) {
        *lock(&self.writer) = Some(current());
    }

    /// Whether the writer has ended.
    pub(crate) fn is_gone(&self) -> bool {
        // Relaxed: coherence is enough. Whoever spends what was given by a thread that saw GONE has
        // that thread's look before its own, so it sees GONE too and queues nothing either.
        self.state.load(Ordering::Relaxed) == GONE
    }

    /// To be called after an item was queued: wakes a parked writer, and says whether it still lives.
    pub(crate) fn ring(&self) -> Result<(), WriterGone> {
        // Pairs with the fence in `lie_down` and the one in `leave`.
        #[cfg(not(planted = "push_without_fence"))]
        fence(Ordering::SeqCst);
        match self.state.load(Ordering::Relaxed) {
            PARKED => {
                self.rouse(PARKED);
                Ok(())
            }
            GONE => Err(WriterGone),
            _ => Ok(()),
        }
    }

    /// Wakes the writer from whatever sleep it is in: for a flush, a full queue, the end.
    pub(crate) fn wake(&self) {
        // Pairs with the fence in `lie_down`.
        fence(Ordering::SeqCst);
        if let asleep @ (NAPPING | PARKED) = self.state.load(Ordering::Relaxed) {
            self.rouse(asleep);
        }
    }

    /// Whether the writer naps.
    pub(crate) fn is_napping(&self) -> bool {
        self.state.load(Ordering::Relaxed) == NAPPING
    }

    #[cold]
    fn rouse(&self, asleep: u8) {
        // Relaxed: the queue hands over the items. The swap only picks the one who unparks.
        let swapped =
            self.state.compare_exchange(asleep, RUNNING, Ordering::Relaxed, Ordering::Relaxed);
        if swapped.is_ok()
            && let Some(writer) = &*lock(&self.writer)
        {
            writer.unpark();
        }
    }

    /// The writer sleeps at most `span`, unless `urgent` finds something at its last look.
    pub(crate) fn nap(&self, span: Duration, urgent: impl FnOnce() -> bool) {
        self.lie_down(NAPPING, urgent, || park_at_most(span));
    }

    /// The writer sleeps until somebody rings, unless `anything` is there at its last look. May
    /// return without cause.
    pub(crate) fn park(&self, anything: impl FnOnce() -> bool) {
        #[cfg(planted = "park_without_last_look")]
        let anything = || {
            drop(anything);
            false
        };
        self.lie_down(PARKED, anything, park);
    }

    fn lie_down(&self, asleep: u8, last_look: impl FnOnce() -> bool, sleep: impl FnOnce()) {
        self.state.store(asleep, Ordering::Relaxed);
        // Pairs with the fences in `ring` and `wake`: a producer that did not see this state has its
        // item found by the last look.
        fence(Ordering::SeqCst);
        if !last_look() {
            sleep();
        }
        self.state.store(RUNNING, Ordering::Relaxed);
    }

    /// The writer ends. What was queued by a push that returned `Ok` can be taken after this call;
    /// nothing that comes later will ever be.
    pub(crate) fn leave(&self) {
        self.state.store(GONE, Ordering::Relaxed);
        // Pairs with the fence in `ring`: a push that did not see GONE is found by the drain that
        // follows.
        fence(Ordering::SeqCst);
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state.load(Ordering::Relaxed) {
            RUNNING => "running",
            NAPPING => "napping",
            PARKED => "parked",
            _ => "gone",
        };
        f.debug_tuple("Bell").field(&state).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;

    #[test]
    fn a_writer_whose_last_look_finds_something_does_not_sleep() {
        let bell = Bell::new();
        bell.answer();
        // Nobody will ring: a sleep would last for ever, or for an hour.
        bell.park(|| true);
        bell.nap(Duration::from_secs(3_600), || true);
        assert_eq!(bell.ring(), Ok(()));
    }

    #[test]
    fn a_ring_wakes_a_parked_writer_and_lets_a_napping_one_sleep() {
        let bell = Arc::new(Bell::new());
        let parked = thread::spawn({
            let bell = Arc::clone(&bell);
            move || {
                bell.answer();
                bell.park(|| false);
            }
        });
        while !parked.is_finished() {
            assert_eq!(bell.ring(), Ok(()));
            thread::yield_now();
        }
        bell.state.store(NAPPING, Ordering::Relaxed);
        assert_eq!(bell.ring(), Ok(()));
        assert!(bell.is_napping());
        bell.wake();
        assert!(!bell.is_napping());
    }

    #[test]
    fn a_ring_for_a_writer_that_left_says_so() {
        let bell = Bell::new();
        bell.leave();
        assert_eq!(bell.ring(), Err(WriterGone));
        bell.wake();
        assert!(bell.is_gone(), "nobody brings it back");
    }
}
