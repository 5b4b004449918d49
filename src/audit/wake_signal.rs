//! The writer's wake signal: a push wakes a parked writer, and hears whether there is still one to
//! write its item.
//!
//! How a sleeper and those who wake it never miss each other is told in
//! [`parking`](crate::base::parking).

use std::ptr;
use std::time::Duration;

use crate::base::foreign;
use crate::base::parking::{Parking, Posture};
use crate::base::sync::Fenced;

/// The writer has ended: the operation was applied, but its entry may not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WriterGone;

/// Where the one writer sleeps. A nap lasts some microseconds; only a flush or a queue past half is
/// worth waking it for.
#[derive(Debug)]
pub(crate) struct WakeSignal(Parking);

impl WakeSignal {
    /// The wake signal of a writer that runs, or will.
    pub(crate) fn new() -> Self {
        Self(Parking::new())
    }

    /// Makes the calling thread the one that is woken. To be called before its first sleep.
    pub(crate) fn answer(&self) {
        self.0.answer();
    }

    /// Whether the writer has ended.
    pub(crate) fn is_gone(&self) -> bool {
        // A glance is enough. Whoever spends what was given by a thread that saw the writer gone
        // has that thread's look before its own, so it sees it too and queues nothing either.
        self.0.posture() == Posture::Gone
    }

    /// To be called after an item was queued, with the proof that a writer which did not see it
    /// shows its posture: wakes a parked writer, and says whether it still lives.
    #[inline(always)]
    pub(crate) fn ring(&self, queued: &Fenced) -> Result<(), WriterGone> {
        match self.0.posture_behind(queued) {
            Posture::Up | Posture::Napping => Ok(()),
            asleep_or_gone => self.ring_again(asleep_or_gone),
        }
    }

    #[cold]
    #[inline(never)]
    fn ring_again(&self, posture: Posture) -> Result<(), WriterGone> {
        if posture == Posture::Gone {
            return Err(WriterGone);
        }
        self.0.rouse(Posture::Parked);
        Ok(())
    }

    /// Wakes the writer from whatever sleep it is in: for a flush, a full queue, the end.
    pub(crate) fn wake(&self) {
        self.0.wake();
    }

    /// Whether the writer naps.
    pub(crate) fn is_napping(&self) -> bool {
        self.0.posture() == Posture::Napping
    }

    /// Runs `code`, which calls the user's sink. May be nested in the sink of another engine.
    pub(crate) fn in_sink<R>(&self, code: impl FnOnce() -> R) -> R {
        foreign::in_sink_of(ptr::from_ref(self).addr(), code)
    }

    /// Whether the calling thread is in this engine's own sink. Then it must not wait for the
    /// writer.
    pub(crate) fn is_in_own_sink(&self) -> bool {
        foreign::is_in_sink_of(ptr::from_ref(self).addr())
    }

    /// The writer sleeps at most `span`, unless `urgent` finds something at its last look.
    pub(crate) fn nap(&self, span: Duration, urgent: impl FnOnce() -> bool) {
        self.0.nap(span, urgent);
    }

    /// The writer sleeps until it is woken, unless `anything` is there at its last look. May return
    /// without cause.
    pub(crate) fn park(&self, anything: impl FnOnce() -> bool) {
        self.0.park(anything);
    }

    /// The writer ends. What was queued by a push that returned `Ok` can be taken after this call;
    /// nothing that comes later will ever be.
    pub(crate) fn leave(&self) {
        self.0.leave();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::base::sync::fenced;
    use std::sync::Arc;
    use std::thread;

    #[test]
    fn a_ring_wakes_a_parked_writer() {
        let signal = Arc::new(WakeSignal::new());
        let parked = thread::spawn({
            let signal = Arc::clone(&signal);
            move || {
                signal.answer();
                signal.park(|| false);
            }
        });
        while !parked.is_finished() {
            assert_eq!(signal.ring(&fenced()), Ok(()));
            thread::yield_now();
        }
    }

    #[test]
    fn a_ring_lets_a_napping_writer_sleep() {
        let signal = Arc::new(WakeSignal::new());
        let napping = thread::spawn({
            let signal = Arc::clone(&signal);
            move || {
                signal.answer();
                signal.nap(Duration::from_secs(3_600), || false);
            }
        });
        while !signal.is_napping() {
            thread::yield_now();
        }
        assert_eq!(signal.ring(&fenced()), Ok(()));
        assert!(signal.is_napping());
        while !napping.is_finished() {
            signal.wake();
            thread::yield_now();
        }
    }

    #[test]
    fn a_ring_for_a_writer_that_left_says_so() {
        let signal = WakeSignal::new();
        signal.leave();
        assert_eq!(signal.ring(&fenced()), Err(WriterGone));
        signal.wake();
        assert!(signal.is_gone(), "nobody brings it back");
    }
}
