//! The alert desk: delivers alerts in a thread of its own, off the hot path.
//!
//! A buyer's call that crosses a threshold only queues its level's handle, and wakes the thread if
//! it sleeps. A level is queued at most once (it remembers that itself), so the queue is bounded by
//! the number of levels, however slow the listeners.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crate::parking::Parking;
use crate::policy::alerts::{StockAlert, StockAlertListener};
use crate::stock::handle::LevelIndex;
use crate::sync::{
    AtomicU8, AtomicU64, AtomicUsize, Condvar, Mutex, MutexGuard, Ordering, SegQueue, lock,
};

/// Where the desk gets what it delivers.
pub(crate) trait AlertSource: Send + Sync {
    /// Takes the level's alert, with its newest counts; `None` if nothing is to be told. From here
    /// on the level may be raised again.
    fn take_alert(&self, level: LevelIndex) -> Option<StockAlert>;

    /// Who is to hear the level's alerts.
    fn listeners(&self, level: LevelIndex) -> Vec<Arc<dyn StockAlertListener>>;
}

/// The queue of levels with an undelivered alert, and the thread that works it off.
pub(crate) struct AlertDesk {
    shared: Arc<Shared>,
}

/// What callers and the delivery thread share.
struct Shared {
    pending: SegQueue<LevelIndex>,
    /// Levels taken from the queue whose listeners have not all returned.
    in_hand: AtomicUsize,
    panics: AtomicU64,
    /// How far the desk is from its end: one of the constants in [`orders`].
    orders: AtomicU8,
    /// Where the thread sleeps: whoever queues must wake it.
    parking: Parking,
    life: Mutex<Life>,
    /// Notified when `life` becomes `Ended`.
    on_end: Condvar,
}

/// Where the delivery thread is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    NotStarted,
    Running,
    Ended,
}

/// What the delivery thread has been told to do. Only ever rises.
mod orders {
    pub(super) const DELIVER: u8 = 0;
    /// Deliver what is queued, then end.
    pub(super) const DRAIN: u8 = 1;
    /// End as soon as the listener at work returns.
    pub(super) const ABANDON: u8 = 2;
}

impl AlertDesk {
    /// A desk without a thread: alerts wait until [`start`](Self::start) or
    /// [`deliver_pending`](Self::deliver_pending).
    pub(crate) fn new() -> Self {
        let shared = Shared {
            pending: SegQueue::new(),
            in_hand: AtomicUsize::new(0),
            panics: AtomicU64::new(0),
            orders: AtomicU8::new(orders::DELIVER),
            parking: Parking::new(),
            life: Mutex::new(Life::NotStarted),
            on_end: Condvar::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Starts the delivery thread; does nothing if it was started before. It ends with the desk, or
    /// when `source` is gone.
    ///
    /// # Errors
    /// The system's, if it grants no thread.
    pub(crate) fn start(&self, source: Weak<dyn AlertSource>) -> io::Result<()> {
        // Locked until `Running` is noted, so that two starts, or a quick end, can't come between.
        let mut life = self.shared.life();
        if *life != Life::NotStarted {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        thread::Builder::new().name("stockade-alerts".into()).spawn(move || {
            let _end = EndGuard(&shared);
            shared.parking.answer();
            shared.run(&source);
        })?;
        *life = Life::Running;
        Ok(())
    }

    /// Queues a level that has an alert to deliver. The level must not be queued already. Never
    /// waits; costs a push, a fence and, if the delivery thread sleeps, waking it.
    pub(crate) fn raise(&self, level: LevelIndex) {
        self.shared.pending.push(level);
        self.shared.parking.wake();
    }

    /// Delivers what is queued at this moment, in the caller's thread, and says how many levels that
    /// were. What listeners raise meanwhile is left for the next call.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn deliver_pending(&self, source: &dyn AlertSource) -> usize {
        let queued = self.shared.pending.len();
        for delivered in 0..queued {
            let Some(level) = self.shared.take_next() else {
                return delivered;
            };
            let _in_hand = InHand(&self.shared);
            self.shared.deliver(source.take_alert(level), source.listeners(level));
        }
        queued
    }

    /// How many levels have an alert that not all of its listeners have heard. Never waits.
    pub(crate) fn backlog(&self) -> usize {
        // Relaxed: a figure for people; nothing is decided by it.
        self.shared.pending.len() + self.shared.in_hand.load(Ordering::Relaxed)
    }

    /// How many calls of listeners have panicked. Never waits.
    pub(crate) fn panics(&self) -> u64 {
        // Relaxed: as above.
        self.shared.panics.load(Ordering::Relaxed)
    }

    /// Whether the thread has ended, as it does when told to or when its source is gone.
    pub(crate) fn has_ended(&self) -> bool {
        *self.shared.life() == Life::Ended
    }

    /// Delivers what is queued and ends the thread; waits for that until `deadline` has passed, and
    /// says how many levels' alerts then stay undelivered. A listener that is stuck is left behind,
    /// and its thread ends when it returns. Called by a listener, it does not wait for itself.
    pub(crate) fn shutdown(&self, deadline: Duration) -> usize {
        self.shared.order(orders::DRAIN);
        let from_a_listener = self.shared.parking.is_own_thread();
        if !from_a_listener && !self.shared.wait_for_end(deadline) {
            self.shared.order(orders::ABANDON);
        }
        self.backlog()
    }
}

impl Drop for AlertDesk {
    /// Never waits: a listener may be stuck, or may itself be what drops the engine.
    fn drop(&mut self) {
        self.shared.order(orders::ABANDON);
    }
}

impl Shared {
    /// The delivery thread's life.
    fn run(&self, source: &Weak<dyn AlertSource>) {
        loop {
            // Acquire pairs with the Release in `order`.
            let orders = self.orders.load(Ordering::Acquire);
            if orders == orders::ABANDON {
                return;
            }
            let Some(level) = self.take_next() else {
                if orders == orders::DRAIN {
                    return;
                }
                self.park();
                continue;
            };
            let _in_hand = InHand(self);
            let Some(engine) = source.upgrade() else {
                return;
            };
            let (alert, listeners) = (engine.take_alert(level), engine.listeners(level));
            // Let go of first, so that a stuck listener does not keep the engine alive.
            drop(engine);
            self.deliver(alert, listeners);
        }
    }

    /// Takes a level from the queue. It counts as in hand before it leaves the queue, so that the
    /// backlog is never shown too small; an [`InHand`] counts it out again.
    fn take_next(&self) -> Option<LevelIndex> {
        if self.pending.is_empty() {
            return None;
        }
        // Relaxed, here and in `InHand`: only ever shown.
        self.in_hand.fetch_add(1, Ordering::Relaxed);
        let level = self.pending.pop();
        if level.is_none() {
            self.in_hand.fetch_sub(1, Ordering::Relaxed);
        }
        level
    }

    /// Lets every listener hear the alert; no lock is held meanwhile.
    fn deliver(&self, alert: Option<StockAlert>, listeners: Vec<Arc<dyn StockAlertListener>>) {
        let Some(alert) = alert else {
            return;
        };
        for listener in listeners {
            // Unwind safe: nothing of ours is seen half-changed, and a listener answers for itself.
            // It moves in, because the last one to let go of it runs its destructor.
            let heard = catch_unwind(AssertUnwindSafe(|| {
                let listener = listener;
                listener.on_alert(&alert);
            }));
            if let Err(payload) = heard {
                self.panics.fetch_add(1, Ordering::Relaxed);
                // What it threw may throw in turn as it is dropped; the second is not looked at.
                if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                    std::mem::forget(second);
                }
            }
        }
    }

    /// Sleeps until there is something to do.
    fn park(&self) {
        self.parking.park(|| {
            // Relaxed: the fence before this last look orders it.
            let told = self.orders.load(Ordering::Relaxed) != orders::DELIVER;
            told || !self.pending.is_empty()
        });
    }

    fn order(&self, orders: u8) {
        // Release pairs with the Acquire in `run`.
        self.orders.fetch_max(orders, Ordering::Release);
        self.parking.wake();
    }

    /// Waits while the thread runs; false if the deadline came first.
    fn wait_for_end(&self, deadline: Duration) -> bool {
        let began = Instant::now();
        let mut life = self.life();
        while *life == Life::Running {
            let left = deadline.saturating_sub(began.elapsed());
            if left.is_zero() {
                return false;
            }
            life = match self.on_end.wait_timeout(life, left) {
                Ok((life, _)) => life,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        true
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        lock(&self.life)
    }
}

/// Counts a level out when its delivery is over, also if that panics.
struct InHand<'a>(&'a Shared);

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        self.0.in_hand.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Tells those who wait that the thread has ended, however it did.
struct EndGuard<'a>(&'a Shared);

impl Drop for EndGuard<'_> {
    fn drop(&mut self) {
        *self.0.life() = Life::Ended;
        self.0.on_end.notify_all();
    }
}

impl fmt::Debug for AlertDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlertDesk").field("backlog", &self.backlog()).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
