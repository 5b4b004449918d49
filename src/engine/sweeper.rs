//! Expiry of overdue holds: by a call that needs their units or slots, and by the sweeper thread.

use std::sync::Weak;
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::base::foreign;
use crate::base::quantity::Quantity;
use crate::base::sync::{AtomicBool, AtomicU64, Ordering, park_at_most};
use crate::engine::Engine;
use crate::reservation::deadlines::Scan;
use crate::stock::cell::Change;
use crate::stock::level::StockLevel;

/// Bounds of the sweeper's pause between two sweeps.
const SHORTEST_NAP: Duration = Duration::from_millis(1);
const LONGEST_NAP: Duration = Duration::from_millis(50);

/// The most keys that one turn of the sweeper drops.
const KEYS_PURGED: usize = 4_096;

/// The most holds that a sweep ends before it checks the audit queue again.
const SWEEP_CHUNK: usize = 1_024;

/// State shared by callers and the sweeper while they expire holds.
#[derive(Debug)]
pub(super) struct SweepControl {
    /// In milliseconds since 1970. The last scan was complete, so no caller scans again before this
    /// time.
    rest_until: AtomicU64,
    /// The most holds that one call ends.
    limit: usize,
    /// The most holds that a sweep ends between two looks at the audit queue.
    chunk: usize,
    /// Whether the engine has a sweeper thread.
    sweeper: bool,
    /// How many holds were ended because they were overdue. Relaxed: a figure.
    expired: AtomicU64,
    /// Set when the sweeper must end.
    stopping: AtomicBool,
}

impl SweepControl {
    pub(super) fn new(limit: usize, queue_capacity: usize, sweeper: bool) -> Self {
        Self {
            rest_until: AtomicU64::new(0),
            limit,
            chunk: SWEEP_CHUNK.min(queue_capacity / 8).max(1),
            sweeper,
            expired: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
        }
    }

    pub(super) fn has_sweeper(&self) -> bool {
        self.sweeper
    }

    /// How many holds were ended because they were overdue.
    pub(super) fn expired(&self) -> u64 {
        self.expired.load(Ordering::Relaxed)
    }

    /// Tells the sweeper to end. Does not wait for it.
    pub(super) fn stop(&self) {
        // Release pairs with the Acquire in `run_sweeper`.
        self.stopping.store(true, Ordering::Release);
    }
}

/// How short a level was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StockShortfall {
    pub(super) available: u32,
    /// How many of these the call had to leave there.
    pub(super) safety_stock: u32,
    /// Whether overdue holds are left that the call did not reach. A retry may succeed.
    pub(super) overdue_left: bool,
}

impl Engine {
    /// Tries `take`, of units of whatever kind. If the level is short, expires overdue holds and
    /// tries again.
    #[inline]
    pub(super) fn with_overdue_taken_back(
        &self,
        now: Timestamp,
        level: &StockLevel,
        qty: Quantity,
        take: impl Fn() -> Result<Change, u32>,
    ) -> Result<Change, StockShortfall> {
        match take() {
            Ok(change) => Ok(change),
            Err(available) => {
                let short = StockShortfall { available, safety_stock: 0, overdue_left: false };
                self.take_again(now, short, take, || level.available() >= qty.get())
            }
        }
    }

    /// Expires overdue holds of a level that was short, and tries `take` again.
    #[cold]
    #[inline(never)]
    pub(super) fn take_again(
        &self,
        now: Timestamp,
        short: StockShortfall,
        take: impl Fn() -> Result<Change, u32>,
        enough: impl Fn() -> bool,
    ) -> Result<Change, StockShortfall> {
        if !self.slots.is_due(now) {
            return Err(short);
        }
        let overdue_left = !self.take_back_overdue(now, enough);
        take().map_err(|available| StockShortfall { available, overdue_left, ..short })
    }

    /// Expires overdue holds. Stops when `enough` says so, when nothing is due any more, when the
    /// configured number is reached, or when the queue has no room. Returns `false` only in the
    /// last two cases, if it is not enough then and an overdue hold is really left. Two threads may
    /// do this at once; neither waits for the other.
    #[cold]
    pub(super) fn take_back_overdue(&self, now: Timestamp, enough: impl Fn() -> bool) -> bool {
        if enough() || !self.slots.is_due(now) {
            return true;
        }
        // Relaxed: a hint that saves a second scan. A hold that falls due after the scan counts as
        // live for the rest of that millisecond.
        if now.as_millis() < self.sweeping.rest_until.load(Ordering::Relaxed) {
            return true;
        }
        let (mut ended, mut refused) = (0, false);
        let scan = self.slots.scan_due(now, |hold| {
            // Law 5: each expiry queues a record of its own, so each one is admitted.
            refused = self.admit().is_err();
            if !refused {
                ended += usize::from(self.take_back(hold, now));
            }
            refused || ended >= self.sweeping.limit || enough()
        });
        self.sweeping.expired.fetch_add(ended as u64, Ordering::Relaxed);
        match scan {
            Scan::Complete => {
                self.sweeping.rest_until.store(now.as_millis() + 1, Ordering::Relaxed);
                true
            }
            Scan::Stopped => {
                enough() || !(refused || ended >= self.sweeping.limit) || !self.is_overdue_left(now)
            }
        }
    }

    /// Whether there is an overdue hold. The bounds alone may say so when there is none.
    fn is_overdue_left(&self, now: Timestamp) -> bool {
        self.slots.scan_due(now, |_| true) == Scan::Stopped
    }

    /// Expires everything that is due, in chunks. Stops when the engine is closed. Also stops when
    /// the audit queue is half full, so that a million expiries do not hold up a buyer. Returns the
    /// number of holds that it ended.
    pub(super) fn sweep(&self) -> usize {
        self.watch_clock();
        let mut total = 0;
        loop {
            let now = self.now();
            if !self.slots.is_due(now)
                || self.recorder.half_full()
                || self.recorder.gate().is_closed()
            {
                return total;
            }
            let mut ended = 0;
            let scan = self.slots.scan_due(now, |hold| {
                ended += usize::from(self.take_back(hold, now));
                ended >= self.sweeping.chunk
            });
            total += ended;
            self.sweeping.expired.fetch_add(ended as u64, Ordering::Relaxed);
            if scan == Scan::Complete {
                return total;
            }
        }
    }
}

/// The body of the sweeper thread: expires holds soon after they fall due, and drops old keys. It
/// holds a reference to the engine only while it sweeps, so that it does not keep an engine alive
/// after its last manager was dropped.
pub(super) fn run_sweeper(engine: &Weak<Engine>) {
    while let Some(engine) = engine.upgrade() {
        // Acquire pairs with the Release in `stop`.
        if engine.sweeping.stopping.load(Ordering::Acquire) {
            return;
        }
        // The clock is the caller's, and may panic: then nothing is swept until it is well.
        let swept = foreign::call(|| {
            engine.sweep();
            engine.keys.purge(engine.now(), KEYS_PURGED);
            engine.slots.end_quarantine(engine.now());
            engine.slots.next_due().saturating_since(engine.now())
        });
        let nap = swept.unwrap_or(LONGEST_NAP).clamp(SHORTEST_NAP, LONGEST_NAP);
        // Drop the reference before the pause, so that nobody waits for this thread to end the
        // engine.
        drop(engine);
        park_at_most(nap);
    }
}
