//! Which shard a thread uses, and counters that threads don't fight over.

use crate::sync::{AtomicU64, Ordering};

/// A small number for this thread, counted up from 0: threads that start one after the other land on
/// different shards.
#[cfg(not(all(loom, feature = "loom")))]
pub(crate) fn thread_ordinal() -> usize {
    use std::cell::Cell;
    // Not through `sync`: a process-wide counter, taken once a thread, that no law stands on.
    static NEXT: std::sync::Mutex<usize> = std::sync::Mutex::new(0);
    thread_local! {
        static ORDINAL: Cell<Option<usize>> = const { Cell::new(None) };
    }
    ORDINAL.get().unwrap_or_else(|| {
        let mut next = NEXT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let ordinal = *next;
        *next += 1;
        ORDINAL.set(Some(ordinal));
        ordinal
    })
}

#[cfg(all(loom, feature = "loom"))]
pub(crate) use crate::sync::model_thread as thread_ordinal;

/// Where this thread begins to look in a table that all threads share. In a model all begin at the
/// same place, so that they meet.
pub(crate) fn lane() -> usize {
    if cfg!(all(loom, feature = "loom")) { 0 } else { thread_ordinal() }
}

/// How many shards suit about `threads` threads: a power of two, at most 64.
pub(crate) fn shards_for(threads: usize) -> usize {
    threads.clamp(1, 64).next_power_of_two()
}

/// `N` counters in each of some shards: counting writes no line that another core writes often.
#[derive(Debug)]
pub(crate) struct Counters<const N: usize> {
    shards: Box<[Padded<N>]>,
}

#[derive(Debug)]
#[repr(align(128))]
struct Padded<const N: usize>([AtomicU64; N]);

impl<const N: usize> Counters<N> {
    pub(crate) fn new(threads: usize) -> Self {
        let shard = |_| Padded(std::array::from_fn(|_| AtomicU64::new(0)));
        Self { shards: (0..shards_for(threads)).map(shard).collect() }
    }

    /// Counts one.
    pub(crate) fn count(&self, which: usize) {
        let shard = &self.shards[thread_ordinal() & (self.shards.len() - 1)];
        // Relaxed: a statistic that orders nothing.
        shard.0[which].fetch_add(1, Ordering::Relaxed);
    }

    /// The sum over all shards.
    pub(crate) fn sum(&self, which: usize) -> u64 {
        self.shards.iter().map(|shard| shard.0[which].load(Ordering::Relaxed)).sum()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn counters_add_up_over_threads() {
        let counters = Counters::<2>::new(4);
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| (0..100).for_each(|_| counters.count(1)));
            }
        });
        assert_eq!((counters.sum(0), counters.sum(1)), (0, 600));
    }
}
