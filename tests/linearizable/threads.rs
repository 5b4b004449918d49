//! The threads that make the calls: the system's. (`loom-tests/shuttle` has its own.)

use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) use std::hint::spin_loop;
pub(crate) use std::thread::scope;

/// A point at which threads wait for each other.
pub(crate) struct Start {
    missing: AtomicUsize,
}

impl Start {
    pub(crate) fn of(threads: usize) -> Self {
        Self { missing: AtomicUsize::new(threads) }
    }

    /// They must start together and awake. A call takes less time than a sleeping thread needs to
    /// wake.
    pub(crate) fn together(&self) {
        self.missing.fetch_sub(1, Ordering::SeqCst);
        let mut looks = 0;
        while self.missing.load(Ordering::SeqCst) > 0 {
            looks += 1;
            if looks % 1_000 == 0 {
                std::thread::yield_now();
            }
            spin_loop();
        }
    }
}
