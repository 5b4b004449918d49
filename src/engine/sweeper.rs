//! Overdue holds: taken back by the reserve that needs their units, and by a sweeper behind.

use std::sync::Weak;
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::base::quantity::Quantity;
use crate::base::sync::{AtomicBool, AtomicU64, Ordering, park_at_most};
use crate::engine::Engine;
use crate::reservation::deadlines::Scan;
use crate::stock::cell::Change;
use crate::stock::level::StockLevel;

/// The sweeper looks this often, at most and at least.
const SHORTEST_NAP: Duration = Duration::from_millis(1);
const LONGEST_NAP: Duration = Duration::from_millis(50);

/// Keys that a sweep drops at most.
const KEYS_PURGED: usize = 4_096;

/// A sweep that has ended this many holds looks whether the queue has room for more.
const SWEEP_CHUNK: usize = 1_024;

/// State shared by callers and the sweeper while they expire holds.
#[derive(Debug)]
pub(super) struct SweepControl {
    /// A scan came to its end: the next one is not worth it before this moment.
    rest_until: AtomicU64,
    /// Holds that one call ends at most.
    limit: usize,
    /// Holds that a sweep ends between two looks at the queue.
    chunk: usize,
    /// Whether a thread sweeps.
    sweeper: bool,
    /// Set when the sweeper is to end.
    stopping: AtomicBool,
}

impl SweepControl {
    pub(super) fn new(limit: usize, queue_capacity: usize, sweeper: bool) -> Self {
        Self {
            rest_until: AtomicU64::new(0),
            limit,
            chunk: SWEEP_CHUNK.min(queue_capacity / 8).max(1),
            sweeper,
            stopping: AtomicBool::new(false),
        }
    }

    pub(super) fn has_sweeper(&self) -> bool {
        self.sweeper
    }

    /// Tells the sweeper to end.
    pub(super) fn stop(&self) {
        // Release pairs with the Acquire in `run_sweeper`.
        self.stopping.store(true, Ordering::Release);
    }
}

/// Why a level is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StockShortfall {
    pub(super) available: u32,
    /// Overdue holds are left that the call did not get to.
    pub(super) overdue_left: bool,
}

impl Engine {
    /// Tries `take`; where it is short, takes back what is overdue and tries again.
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
                self.take_again(now, available, take, || level.available() >= qty.get())
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn take_again(
        &self,
        now: Timestamp,
        available: u32,
        take: impl Fn() -> Result<Change, u32>,
        enough: impl Fn() -> bool,
    ) -> Result<Change, StockShortfall> {
        if !self.slots.is_due(now) {
            return Err(StockShortfall { available, overdue_left: false });
        }
        let overdue_left = !self.take_back_overdue(now, enough);
        take().map_err(|available| StockShortfall { available, overdue_left })
    }

    /// Ends overdue holds until `enough`, or nothing more is due, or the configured number is
    /// reached, or the queue has no room for more; `false` only in the last two cases. Never waits
    /// for another thread that does the same.
    #[cold]
    pub(super) fn take_back_overdue(&self, now: Timestamp, enough: impl Fn() -> bool) -> bool {
        if enough() || !self.slots.is_due(now) {
            return true;
        }
        // Relaxed: a hint that spares a second scan; a hold that falls due in between counts as
        // live for that millisecond.
        if now.as_millis() < self.sweeping.rest_until.load(Ordering::Relaxed) {
            return true;
        }
        let (mut ended, mut refused) = (0, false);
        let scan = self.slots.scan_due(now, |hold| {
            // Law 5: each end is an item of its own, and so is admitted like one.
            refused = self.admit().is_err();
            if !refused {
                ended += usize::from(self.expire(hold, now));
            }
            refused || ended >= self.sweeping.limit || enough()
        });
        match scan {
            Scan::Complete => {
                self.sweeping.rest_until.store(now.as_millis() + 1, Ordering::Relaxed);
                true
            }
            Scan::Stopped => enough() || !(refused || ended >= self.sweeping.limit),
        }
    }

    /// Ends everything that is due, in chunks, using at most half of the audit queue, so that a
    /// million expiries don't stall a buyer. Returns how many holds it ended.
    pub(super) fn sweep(&self) -> usize {
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
                ended += usize::from(self.expire(hold, now));
                ended >= self.sweeping.chunk
            });
            total += ended;
            if scan == Scan::Complete {
                return total;
            }
        }
    }
}

/// The sweeper's thread: ends what is due, soon after it falls due. Holds the engine only while it
/// sweeps, so that it never keeps an engine alive that its users have dropped.
pub(super) fn run_sweeper(engine: &Weak<Engine>) {
    while let Some(engine) = engine.upgrade() {
        if engine.sweeping.stopping.load(Ordering::Acquire) {
            return;
        }
        engine.sweep();
        engine.keys.purge(engine.now(), KEYS_PURGED);
        let nap =
            engine.slots.next_due().saturating_since(engine.now()).clamp(SHORTEST_NAP, LONGEST_NAP);
        // Let go of before the nap, so that nobody waits for it.
        drop(engine);
        park_at_most(nap);
    }
}
