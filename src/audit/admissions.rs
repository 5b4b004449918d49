//! Calls that begin without a look at the queue.

use crate::base::shard::{own, parallelism, shards_for};
use crate::base::sync::{AtomicU32, CachePadded, MODELLED, Ordering};

/// Calls that may begin without a look at the queue, since one found it at most half full.
///
/// Threads of one shard may each spend the same one, so up to `MOST` for each
/// *thread* begin unlooked. A quarter of the queue lies between the half and the three quarters:
/// room for those of 512 threads, whatever the capacity. With more of them, all in that state at
/// once, some pushes wait.
#[derive(Debug)]
pub(super) struct Admissions {
    shards: Box<[CachePadded<AtomicU32>]>,
    /// How many a look is good for; none where the queue is small.
    granted: u32,
}

impl Admissions {
    const MOST: u32 = 32;
    const THREADS: usize = 512;

    pub(super) fn new(capacity: usize) -> Self {
        let fitting = u32::try_from(capacity / 4 / Self::THREADS).unwrap_or(Self::MOST);
        let shards = if MODELLED { 1 } else { shards_for(parallelism()) };
        Self {
            shards: (0..shards).map(|_| CachePadded::new(AtomicU32::new(0))).collect(),
            granted: fitting.min(Self::MOST),
        }
    }

    #[inline(always)]
    fn own(&self) -> &AtomicU32 {
        own::<CachePadded<AtomicU32>>(&self.shards)
    }

    /// Spends one, if there is any.
    #[inline]
    pub(super) fn take(&self) -> bool {
        // Relaxed, and no read-modify-write: a count that orders nothing, and may be spent twice.
        let own = self.own();
        let left = own.load(Ordering::Relaxed);
        if left > 0 {
            own.store(left - 1, Ordering::Relaxed);
        }
        left > 0
    }

    /// The caller has looked, and there is room.
    pub(super) fn grant(&self) {
        if self.granted > 0 {
            self.own().store(self.granted, Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn one_look_admits_as_many_calls_as_it_grants_and_none_in_a_small_queue() {
        let (large, small) = (Admissions::new(1 << 16), Admissions::new(1 << 10));
        assert!(!large.take());
        for _ in 0..2 {
            large.grant();
            assert!((0..Admissions::MOST).all(|_| large.take()));
            assert!(!large.take(), "all are spent");
        }
        small.grant();
        assert!(!small.take());
    }
}
