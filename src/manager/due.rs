//! What the threads that end overdue holds know of one another.

use crate::sync::{AtomicBool, AtomicU64, Ordering};

/// A sweep that has ended this many holds looks whether the queue has room for more.
const SWEEP_CHUNK: usize = 1_024;

/// What the threads that take back know of one another.
#[derive(Debug)]
pub(super) struct Due {
    /// A scan that came to its end: the next one is not worth it before this moment.
    pub(super) rest_until: AtomicU64,
    /// Holds that one call ends at most.
    pub(super) limit: usize,
    /// Holds that a sweep ends between two looks at the queue.
    pub(super) chunk: usize,
    /// Whether a thread sweeps.
    sweeper: bool,
    /// Set when the sweeper is to end.
    pub(super) stopping: AtomicBool,
}

impl Due {
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
