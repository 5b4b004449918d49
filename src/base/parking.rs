//! Sleep and wake-up without a lost wake-up: one consumer thread sleeps here, producers wake it.
//!
//! ```text
//!   producer                          sleeper
//!     leaves something                  lies down: stores its posture
//!     fence                             fence
//!     loads the posture,                takes a last look,
//!     wakes a sleeper that lies         sleeps if there is nothing
//! ```
//!
//! Two threads each store, fence, and load (Dekker's pattern, also called store buffering). At
//! least one of them sees the other's store: either the last look finds what was left, or the
//! producer finds the sleeper lying. A producer whose store is a `SeqCst` read-modify-write, as a
//! push into the audit queue is, needs no fence; see [`Fenced`].

use std::fmt;
use std::time::Duration;

use crate::base::sync::{
    AtomicU8, CachePadded, Fenced, Mutex, Ordering, Thread, current, fence, fenced, lock, park,
    park_at_most,
};

/// What the sleeper does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Posture {
    /// At work, or about to be.
    Up,
    /// Asleep for a short time. Not worth a wake-up for every item.
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

/// Where one thread sleeps, with the handle to wake it.
pub(crate) struct Parking {
    /// The sleeper writes it when it lies down and gets up, and so does the thread that wakes it.
    /// Every producer reads it. The fences order it, and the queue itself hands over what was left.
    posture: CachePadded<AtomicU8>,
    /// Set by [`answer`](Parking::answer). Whoever finds the sleeper lying finds this set, because
    /// the sleeper released the lock before.
    sleeper: Mutex<Option<Thread>>,
}

impl Parking {
    /// No thread sleeps here yet.
    pub(crate) fn new() -> Self {
        let up = AtomicU8::new(Posture::Up as u8);
        Self { posture: CachePadded::new(up), sleeper: Mutex::new(None) }
    }

    /// Makes the calling thread the sleeper. Call it before its first sleep.
    pub(crate) fn answer(&self) {
        *lock(&self.sleeper) = Some(current());
    }

    /// Whether the calling thread is the sleeper.
    pub(crate) fn is_own_thread(&self) -> bool {
        lock(&self.sleeper).as_ref().is_some_and(|sleeper| sleeper.id() == current().id())
    }

    /// What the sleeper does, without a fence: it may not have seen what was left before.
    pub(crate) fn posture(&self) -> Posture {
        Posture::from_u8(self.posture.load(Ordering::Relaxed))
    }

    /// What the sleeper does, for a producer that has left something. A sleeper that is up will
    /// find it.
    pub(crate) fn posture_after_leaving(&self) -> Posture {
        self.posture_behind(&fenced())
    }

    /// The same, for a producer that has a proof of its fence.
    #[inline(always)]
    pub(crate) fn posture_behind(&self, left: &Fenced) -> Posture {
        // Behind what `left` proves, this pairs with the fences in `lie_down` and `leave`.
        Posture::from_u8(self.posture.load(left.load_order()))
    }

    /// Wakes the sleeper from whatever sleep it is in, for what was left before.
    pub(crate) fn wake(&self) {
        if let asleep @ (Posture::Napping | Posture::Parked) = self.posture_after_leaving() {
            self.rouse(asleep);
        }
    }

    /// Wakes the sleeper, if it still lies as the caller saw it.
    #[cold]
    pub(crate) fn rouse(&self, asleep: Posture) {
        let up = Posture::Up as u8;
        // Many may try to wake it. The swap only picks the one that makes the system call.
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
    /// return without a cause.
    pub(crate) fn park(&self, anything: impl FnOnce() -> bool) {
        self.lie_down(Posture::Parked, anything, park);
    }

    fn lie_down(&self, posture: Posture, last_look: impl FnOnce() -> bool, sleep: impl FnOnce()) {
        self.posture.store(posture as u8, Ordering::Relaxed);
        // Pairs with the fence in `posture_after_leaving`, or what `Fenced` proves. If a producer
        // did not see this posture, the last look finds what it left.
        fence(Ordering::SeqCst);
        if !last_look() {
            sleep();
        }
        self.posture.store(Posture::Up as u8, Ordering::Relaxed);
    }

    /// The sleeper leaves for good. After this call it can take what was left by producers that did
    /// not see that it is gone. Nobody will take what comes later.
    pub(crate) fn leave(&self) {
        self.posture.store(Posture::Gone as u8, Ordering::Relaxed);
        // Pairs with the fence in `posture_after_leaving`.
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
