//! Which shard a thread uses, and counters that threads do not contend for.

pub(crate) use crate::base::sync::thread_ordinal;
use crate::base::sync::{AtomicU64, CachePadded, MODELLED, Ordering};

/// How many threads are likely to run at once. In a model always two, so that a seed replays on any
/// machine.
pub(crate) fn parallelism() -> usize {
    if MODELLED { 2 } else { std::thread::available_parallelism().map_or(1, usize::from) }
}

/// Where this thread starts to search a table that all threads share. In a loom model all start at
/// the same place, so that they meet.
pub(crate) fn lane() -> usize {
    if cfg!(all(loom, feature = "loom")) { 0 } else { thread_ordinal() }
}

/// How many shards suit about `threads` threads: a power of two, at most 64.
pub(crate) fn shards_for(threads: usize) -> usize {
    threads.clamp(1, 64).next_power_of_two()
}

/// `N` sharded counters. Counting writes no cache line that another core writes often.
#[derive(Debug)]
pub(crate) struct Counters<const N: usize> {
    shards: Box<[CachePadded<[AtomicU64; N]>]>,
}

impl<const N: usize> Counters<N> {
    pub(crate) fn new(threads: usize) -> Self {
        let shard = |_| CachePadded::new(std::array::from_fn(|_| AtomicU64::new(0)));
        Self { shards: (0..shards_for(threads)).map(shard).collect() }
    }

    /// Adds one to counter `which`.
    pub(crate) fn count(&self, which: usize) {
        let shard = &self.shards[thread_ordinal() & (self.shards.len() - 1)];
        // Relaxed: a statistic that orders nothing.
        shard[which].fetch_add(1, Ordering::Relaxed);
    }

    /// The sum of counter `which` over all shards.
    pub(crate) fn sum(&self, which: usize) -> u64 {
        self.shards.iter().map(|shard| shard[which].load(Ordering::Relaxed)).sum()
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
