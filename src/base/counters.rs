//! Counters that threads do not contend for: each thread has a cache line of its own in each
//! engine.
//!
//! Only the thread writes its line, so it counts by a load and a store, and locks nothing. Which
//! line is its own, its [number](thread_ordinal) says. When it has ended, the number and the line
//! go to a thread that comes later, which counts on from what it finds there. So a sum stays exact,
//! and there are no more lines than threads were alive at once.

use crate::base::doubling_table::DoublingTable;
use crate::base::sync::{
    AtomicU64, CachePadded, MODELLED, Ordering, known_ordinal, thread_ordinal,
};

/// Lines that are there from the start, so that nearly all threads find theirs at once.
const FIRST: usize = if MODELLED { 2 } else { 16 };
/// With these there are lines for sixteen thousand threads more.
const SEGMENTS: usize = 10;

type CounterLine<const N: usize> = CachePadded<[AtomicU64; N]>;
type MoreLines<const N: usize> = DoublingTable<CounterLine<N>, FIRST, SEGMENTS>;

/// `N` counters.
#[derive(Debug)]
pub(crate) struct Counters<const N: usize> {
    first: Box<[CounterLine<N>; FIRST]>,
    /// Those behind the first, made when their threads first count.
    more: MoreLines<N>,
    /// Of threads that have no line: they are about to end, or too many are alive.
    shared: [AtomicU64; N],
}

impl<const N: usize> Counters<N> {
    /// All are 0.
    pub(crate) fn new() -> Self {
        let first = Box::new(std::array::from_fn(|_| line()));
        Self { first, more: DoublingTable::new(), shared: zeros() }
    }

    /// Adds one to counter `which`.
    #[inline]
    pub(crate) fn count(&self, which: usize) {
        match self.first.get(known_ordinal()) {
            Some(line) => count_in(line, which),
            None => self.count_elsewhere(which),
        }
    }

    #[cold]
    #[inline(never)]
    fn count_elsewhere(&self, which: usize) {
        let number = thread_ordinal();
        if let Some(line) = self.first.get(number) {
            return count_in(line, which);
        }
        let behind = number - FIRST;
        if self.more.get(behind).is_none() && behind < MoreLines::<N>::CAPACITY {
            self.more.grow(behind + 1, line);
        }
        match self.more.get(behind) {
            Some(line) => count_in(line, which),
            // Relaxed: a statistic that orders nothing.
            None => _ = self.shared[which].fetch_add(1, Ordering::Relaxed),
        }
    }

    /// The sum of counter `which` over all threads: all that happened before this call, and
    /// some of what happens meanwhile.
    pub(crate) fn sum(&self, which: usize) -> u64 {
        let lines = self.first.iter().chain(self.more.iter());
        let own: u64 = lines.map(|line| line[which].load(Ordering::Relaxed)).sum();
        own + self.shared[which].load(Ordering::Relaxed)
    }
}

/// Counts in the calling thread's own line.
#[inline]
fn count_in<const N: usize>(line: &[AtomicU64; N], which: usize) {
    // Relaxed, and no read-modify-write: nobody else writes here. What the number's last thread has
    // counted happened before it gave the number back, and so before this thread got it.
    let counter = &line[which];
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

fn line<const N: usize>() -> CounterLine<N> {
    CachePadded::new(zeros())
}

fn zeros<const N: usize>() -> [AtomicU64; N] {
    std::array::from_fn(|_| AtomicU64::new(0))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::thread;

    #[test]
    fn counters_add_up_over_threads_that_run_at_once() {
        const THREADS: u64 = 3 * FIRST as u64;
        let (counters, all_run) = (Counters::<2>::new(), Barrier::new(THREADS as usize));
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    all_run.wait();
                    (0..1_000).for_each(|_| counters.count(1));
                    all_run.wait();
                });
            }
        });
        assert_eq!((counters.sum(0), counters.sum(1)), (0, THREADS * 1_000));
    }

    #[test]
    fn what_ended_threads_have_counted_stays_and_takes_no_room_of_its_own() {
        let counters = std::sync::Arc::new(Counters::<1>::new());
        for _ in 0..2_000 {
            let counters = std::sync::Arc::clone(&counters);
            thread::spawn(move || counters.count(0)).join().expect("no panic");
        }
        assert_eq!(counters.sum(0), 2_000);
        // Other tests have threads too, but not so many at once.
        assert!(counters.more.iter().count() < 1_000);
    }
}
