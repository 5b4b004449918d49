//! How a thread that works off what others leave sleeps without missing anything, and who wakes it.
//!
//! ```text
//!   one who leaves something          the sleeper
//!     leaves it                         lies down: sets its posture
//!     fence                             fence
//!     looks at the posture,             takes a last look,
//!     wakes who lies                    sleeps if there is nothing
//! ```
//!
//! Of two threads that each write, fence and look, at least one sees the other's write: either the
//! last look finds what was left, or the one who left it finds the sleeper lying. (`SeqCst` fences
//! rather than `SeqCst` accesses, because loom treats those as `AcqRel`.)

use std::fmt;
use std::time::Duration;

use crate::sync::{
    AtomicU8, CachePadded, Fenced, Mutex, Ordering, Thread, current, fence, fenced, lock, park,
    park_at_most,
};

/// What the sleeper is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Posture {
    /// At work, or about to be.
    Up,
    /// Asleep for a moment; not worth waking for everything.
    Napping,
    /// Asleep until somebody wakes it.
    Parked,
    /// Gone for good: it takes nothing that is left from now on.
    Gone,
}

impl Posture {
    fn from_u8(value: u8) -> Self {
        match value {
            0 => Self::Up,
            1 => Self::Napping,
            2 => Self::Parked,
            _ => Self::Gone,
        }
    }
}

/// Where one thread sleeps, with the handle by which to wake it.
pub(crate) struct Parking {
    /// Written by the sleeper as it lies down and gets up, and by whoever wakes it; read by everyone
    /// who leaves something. Relaxed throughout: the fences order it, and what was left is handed
    /// over by the place where it lies.
    posture: CachePadded<AtomicU8>,
    /// Set by [`answer`](Parking::answer). Who finds the sleeper lying finds it set, because the lock
    /// was given back before.
    sleeper: Mutex<Option<Thread>>,
}

impl Parking {
    /// Nobody sleeps here yet.
    pub(crate) fn new() -> Self {
        let up = AtomicU8::new(Posture::Up as u8);
        Self { posture: CachePadded::new(up), sleeper: Mutex::new(None) }
    }

    /// Makes the calling thread the one that is woken. To be called before its first sleep.
    pub(crate) fn answer(&self) {
        *lock(&self.sleeper) = Some(current());
    }

    /// Whether the calling thread is the one that is woken.
    pub(crate) fn is_own_thread(&self) -> bool {
        lock(&self.sleeper).as_ref().is_some_and(|sleeper| sleeper.id() == current().id())
    }

    /// What the sleeper is at, at a glance: nothing that was left before is sure to be seen.
    pub(crate) fn posture(&self) -> Posture {
        Posture::from_u8(self.posture.load(Ordering::Relaxed))
    }

    /// What the sleeper is at, for one who has left something: who is up finds it.
    pub(crate) fn posture_after_leaving(&self) -> Posture {
        #[cfg(planted = "push_without_fence")]
        return self.posture();
        #[cfg(not(planted = "push_without_fence"))]
        self.posture_behind(&fenced())
    }

    /// The same, for one who has made a fence since.
    #[inline]
    pub(crate) fn posture_behind(&self, _: &Fenced) -> Posture {
        // The fence pairs with those in `lie_down` and `leave`.
        self.posture()
    }

    /// Wakes the sleeper from whatever sleep it is in, for what was left before.
    pub(crate) fn wake(&self) {
        if let asleep @ (Posture::Napping | Posture::Parked) = self.posture_after_leaving() {
            self.rouse(asleep);
        }
    }

    /// Wakes the sleeper, if it still lies as it was seen to.
    #[cold]
    pub(crate) fn rouse(&self, asleep: Posture) {
        let up = Posture::Up as u8;
        // The swap only picks, of many who wake it, the one who makes the system call.
        let swapped =
            self.posture.compare_exchange(asleep as u8, up, Ordering::Relaxed, Ordering::Relaxed);
        if swapped.is_ok()
            && let Some(sleeper) = &*lock(&self.sleeper)
        {
            sleeper.unpark();
        }
    }

    /// The sleeper sleeps at most `span`, unless `urgent` finds something at its last look.
    pub(crate) fn nap(&self, span: Duration, urgent: impl FnOnce() -> bool) {
        self.lie_down(Posture::Napping, urgent, || park_at_most(span));
    }

    /// The sleeper sleeps until somebody wakes it, unless `anything` is there at its last look. May
    /// return without cause.
    pub(crate) fn park(&self, anything: impl FnOnce() -> bool) {
        #[cfg(planted = "park_without_last_look")]
        let anything = || {
            drop(anything);
            false
        };
        self.lie_down(Posture::Parked, anything, park);
    }

    fn lie_down(&self, posture: Posture, last_look: impl FnOnce() -> bool, sleep: impl FnOnce()) {
        self.posture.store(posture as u8, Ordering::Relaxed);
        // Pairs with the fence in `posture_after_leaving`: one who left something and did not see
        // this posture has it found by the last look.
        #[cfg(not(planted = "park_without_fence"))]
        fence(Ordering::SeqCst);
        if !last_look() {
            sleep();
        }
        self.posture.store(Posture::Up as u8, Ordering::Relaxed);
    }

    /// The sleeper goes for good. What was left by one who did not hear that it is gone can be taken
    /// after this call; nothing that comes later will ever be.
    pub(crate) fn leave(&self) {
        self.posture.store(Posture::Gone as u8, Ordering::Relaxed);
        // Pairs with the fence in `posture_after_leaving`.
        #[cfg(not(planted = "leave_without_fence"))]
        fence(Ordering::SeqCst);
    }
}

impl fmt::Debug for Parking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Parking").field(&self.posture()).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;

    #[test]
    fn a_sleeper_whose_last_look_finds_something_does_not_sleep() {
        let parking = Parking::new();
        parking.answer();
        // Nobody will wake it: a sleep would last for ever, or for an hour.
        parking.park(|| true);
        parking.nap(Duration::from_secs(3_600), || true);
        assert_eq!(parking.posture(), Posture::Up);
    }

    #[test]
    fn whoever_lies_is_woken() {
        let parking = Arc::new(Parking::new());
        let parked = thread::spawn({
            let parking = Arc::clone(&parking);
            move || {
                parking.answer();
                parking.park(|| false);
                parking.nap(Duration::from_secs(3_600), || false);
                parking.is_own_thread()
            }
        });
        while !parked.is_finished() {
            parking.wake();
            thread::yield_now();
        }
        assert!(parked.join().expect("no panic"));
        assert!(!parking.is_own_thread());
    }

    #[test]
    fn who_is_gone_is_not_brought_back() {
        let parking = Parking::new();
        parking.leave();
        parking.wake();
        parking.rouse(Posture::Parked);
        assert_eq!(parking.posture_after_leaving(), Posture::Gone);
    }
}
