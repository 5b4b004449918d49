//! The alert dispatcher: delivers alerts in a thread of its own, off the hot path.
//!
//! A buyer's call that crosses a threshold only queues the level's handle, and wakes the thread if
//! it sleeps. A level is queued at most once (it remembers that itself). So the number of levels
//! bounds the queue, however slow the listeners are.

use std::fmt;
use std::io;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::base::foreign::{self, Watch};
use crate::base::parking::Parking;
use crate::base::sync::{
    AtomicU8, AtomicU64, AtomicUsize, Condvar, Mutex, MutexGuard, Ordering, SegQueue, lock,
};
use crate::base::threads;
use crate::policy::alerts::{StockAlert, StockAlertListener};
use crate::stock::handle::LevelIndex;

/// From this time on, a listener that has not returned shows in the engine's health.
const STUCK: Duration = Duration::from_secs(5);

/// Where the dispatcher gets what it delivers. The engine implements it.
pub(crate) trait AlertSource: Send + Sync {
    /// Takes the level's alert, with its newest counts; `None` if there is nothing to report. From
    /// here on the level may be queued again.
    fn take_alert(&self, level: LevelIndex) -> Option<StockAlert>;

    /// The listeners that hear the level's alerts.
    fn listeners(&self, level: LevelIndex) -> Vec<Arc<dyn StockAlertListener>>;
}

/// The queue of levels with an undelivered alert, and the thread that empties it.
pub(crate) struct AlertDispatcher {
    shared: Arc<DispatcherState>,
}

/// What callers and the delivery thread share.
struct DispatcherState {
    pending: SegQueue<LevelIndex>,
    /// Levels taken from the queue whose listeners have not all returned.
    in_hand: AtomicUsize,
    panics: AtomicU64,
    /// Over the calls of listeners.
    watch: Watch,
    /// What the thread has been told to do: one of the constants in [`orders`].
    orders: AtomicU8,
    /// Where the thread sleeps. Whoever queues must wake it.
    parking: Parking,
    phase: Mutex<ThreadPhase>,
    /// Notified when `phase` becomes `Ended`.
    on_end: Condvar,
}

/// Where the delivery thread is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ThreadPhase {
    NotStarted,
    Running,
    Ended,
}

/// What the delivery thread has been told to do. It only rises.
mod orders {
    pub(super) const DELIVER: u8 = 0;
    /// Deliver what is queued, then end.
    pub(super) const DRAIN: u8 = 1;
    /// End as soon as the running listener returns.
    pub(super) const ABANDON: u8 = 2;
}

impl AlertDispatcher {
    /// A dispatcher without a thread: alerts wait until [`start`](Self::start) or
    /// [`deliver_pending`](Self::deliver_pending).
    pub(crate) fn new() -> Self {
        let shared = DispatcherState {
            pending: SegQueue::new(),
            in_hand: AtomicUsize::new(0),
            panics: AtomicU64::new(0),
            watch: Watch::default(),
            orders: AtomicU8::new(orders::DELIVER),
            parking: Parking::new(),
            phase: Mutex::new(ThreadPhase::NotStarted),
            on_end: Condvar::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Starts the delivery thread. Does nothing if it was started before. The thread ends with the
    /// dispatcher, or when `source` is gone.
    ///
    /// # Errors
    /// The system's, if it grants no thread.
    pub(crate) fn start(&self, source: Weak<dyn AlertSource>) -> io::Result<()> {
        // Locked until `Running` is stored, so that neither a second start nor a quick end comes in
        // between.
        let mut phase = self.shared.phase();
        if *phase != ThreadPhase::NotStarted {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        threads::spawn("stockade-alerts", move || {
            let _end = EndGuard(&shared);
            shared.parking.answer();
            shared.run(&source);
        })?;
        *phase = ThreadPhase::Running;
        Ok(())
    }

    /// Queues a level that has an alert to deliver. The level must not be queued already. Never
    /// waits. Costs a push, a fence and, if the delivery thread sleeps, waking it.
    pub(crate) fn raise(&self, level: LevelIndex) {
        self.shared.pending.push(level);
        self.shared.parking.wake();
    }

    /// Delivers what is queued at this moment, in the caller's thread, and returns how many levels
    /// that were. Alerts that listeners raise meanwhile wait for the next call.
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
        // Relaxed: a figure for reports; nothing depends on it.
        self.shared.pending.len() + self.shared.in_hand.load(Ordering::Relaxed)
    }

    /// How many calls of listeners have panicked. Never waits.
    pub(crate) fn panics(&self) -> u64 {
        // Relaxed: as above.
        self.shared.panics.load(Ordering::Relaxed)
    }

    /// What is wrong with a listener, for `health`.
    pub(crate) fn problem(&self) -> Option<String> {
        let taken = self.shared.watch.longer_than(STUCK)?;
        Some(format!("a listener has not returned for {taken:?}: other alerts wait for it"))
    }

    /// Whether the thread has ended, because it was told to or because its source is gone.
    pub(crate) fn has_ended(&self) -> bool {
        *self.shared.phase() == ThreadPhase::Ended
    }

    /// Delivers what is queued and ends the thread. Waits for that until `deadline` has passed, and
    /// returns how many levels' alerts then stay undelivered. A listener that is stuck is left
    /// behind; its thread ends when it returns. If a listener calls this, it does not wait for
    /// itself.
    pub(crate) fn shutdown(&self, deadline: Duration) -> usize {
        self.shared.order(orders::DRAIN);
        let from_a_listener = self.shared.parking.is_own_thread();
        if !from_a_listener && !self.shared.wait_for_end(deadline) {
            self.shared.order(orders::ABANDON);
        }
        self.backlog()
    }
}

impl Drop for AlertDispatcher {
    /// Never waits: a listener may be stuck, or may itself drop the engine.
    fn drop(&mut self) {
        self.shared.order(orders::ABANDON);
    }
}

impl DispatcherState {
    /// What the delivery thread does.
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
            // Drop the engine first, so that a stuck listener does not keep it alive.
            drop(engine);
            self.deliver(alert, listeners);
        }
    }

    /// Takes a level from the queue. Counts it as in hand before it leaves the queue, so the
    /// backlog never shows too small. An [`InHand`] counts it out again.
    fn take_next(&self) -> Option<LevelIndex> {
        if self.pending.is_empty() {
            return None;
        }
        // Relaxed, here and in `InHand`: only reported.
        self.in_hand.fetch_add(1, Ordering::Relaxed);
        let level = self.pending.pop();
        if level.is_none() {
            self.in_hand.fetch_sub(1, Ordering::Relaxed);
        }
        level
    }

    /// Calls every listener with the alert. No lock is held meanwhile.
    fn deliver(&self, alert: Option<StockAlert>, listeners: Vec<Arc<dyn StockAlertListener>>) {
        let Some(alert) = alert else {
            return;
        };
        for listener in listeners {
            // It moves in, because the last owner runs its destructor, which may panic too.
            let heard = foreign::call(|| {
                let listener = listener;
                self.watch.over(|| listener.on_alert(&alert));
            });
            if heard.is_err() {
                self.panics.fetch_add(1, Ordering::Relaxed);
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
        let mut phase = self.phase();
        while *phase == ThreadPhase::Running {
            let left = deadline.saturating_sub(began.elapsed());
            if left.is_zero() {
                return false;
            }
            phase = match self.on_end.wait_timeout(phase, left) {
                Ok((phase, _)) => phase,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        true
    }

    fn phase(&self) -> MutexGuard<'_, ThreadPhase> {
        lock(&self.phase)
    }
}

/// Counts a level out when its delivery is over, even if that panics.
struct InHand<'a>(&'a DispatcherState);

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        self.0.in_hand.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Tells waiting threads that the delivery thread has ended, however it did.
struct EndGuard<'a>(&'a DispatcherState);

impl Drop for EndGuard<'_> {
    fn drop(&mut self) {
        *self.0.phase() = ThreadPhase::Ended;
        self.0.on_end.notify_all();
    }
}

impl fmt::Debug for AlertDispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlertDispatcher").field("backlog", &self.backlog()).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
