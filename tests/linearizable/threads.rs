//! The threads that make the calls: the system's. (`loom-tests/shuttle` has others.)

use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) use std::hint::spin_loop;
pub(crate) use std::thread::scope;

/// Where threads wait for one another.
pub(crate) struct Start {
    missing: AtomicUsize,
}

impl Start {
    pub(crate) fn of(threads: usize) -> Self {
        Self { missing: AtomicUsize::new(threads) }
    }

    /// Together, and awake: calls are over in less time than a sleeper takes to wake up.
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
