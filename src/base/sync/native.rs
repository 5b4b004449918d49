//! What ships: the standard library's atomics and crossbeam's queues.

pub(crate) use crossbeam_queue::ArrayQueue;
/// Unbounded. Only for what something else bounds.
pub(crate) use crossbeam_queue::SegQueue;
/// Waits for another thread: spins at first, then yields.
pub(crate) use crossbeam_utils::Backoff;
/// Puts a value that all threads use on a cache line of its own.
pub(crate) use crossbeam_utils::CachePadded;
pub(crate) use dashmap::DashMap;
use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
pub(crate) use std::hint::spin_loop;
pub(crate) use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, fence,
};
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
pub(crate) use std::thread::{Thread, current, park, yield_now};
use std::time::Duration;

/// Sleeps at most `span`, less if another thread unparks this one.
pub(crate) fn park_at_most(span: Duration) {
    std::thread::park_timeout(span);
}

/// Sleeps for `span`: how a caller waits for a thread that has much to do.
pub(crate) fn nap(span: Duration) {
    std::thread::sleep(span);
}

/// A small number that no other living thread has: the smallest that was free when the thread first
/// asked. A later thread gets it once this one has ended, and sees all that this one did. A thread
/// that is about to end, in destructors of its thread-locals, may have [none](NO_NUMBER) any more.
#[inline]
pub(crate) fn thread_ordinal() -> usize {
    match ORDINAL.get() {
        UNKNOWN => number_thread(),
        known => known,
    }
}

/// The same number; one that no thread has if this thread has not [asked](thread_ordinal) before.
#[inline]
pub(crate) fn known_ordinal() -> usize {
    ORDINAL.get()
}

/// Of all threads that have no number of their own.
const NO_NUMBER: usize = usize::MAX - 1;
const UNKNOWN: usize = usize::MAX;

thread_local! {
    // Without a destructor, so that a look at it is one load.
    static ORDINAL: Cell<usize> = const { Cell::new(UNKNOWN) };
    static LEASE: NumberLease = const { NumberLease };
}

/// Gives the thread's number back when the thread ends.
struct NumberLease;

impl Drop for NumberLease {
    fn drop(&mut self) {
        // First, because another thread may have it from then on.
        let number = ORDINAL.replace(NO_NUMBER);
        super::lock(&NUMBERS).free.push(Reverse(number));
    }
}

/// The numbers of a process. Taken and given back once a thread. The lock hands over what the
/// number's last thread has done.
struct Numbers {
    /// No thread has had this one, or any above.
    fresh: usize,
    free: BinaryHeap<Reverse<usize>>,
}

static NUMBERS: Mutex<Numbers> = Mutex::new(Numbers { fresh: 0, free: BinaryHeap::new() });

#[cold]
#[inline(never)]
fn number_thread() -> usize {
    // From here on the number is given back. Where nobody would, the thread gets none.
    let number = LEASE.try_with(|_| {
        let mut numbers = super::lock(&NUMBERS);
        let Some(Reverse(number)) = numbers.free.pop() else {
            numbers.fresh += 1;
            return numbers.fresh - 1;
        };
        number
    });
    let number = number.unwrap_or(NO_NUMBER);
    ORDINAL.set(number);
    number
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::sync::Barrier;
    use std::sync::mpsc::{Sender, channel};
    use std::thread;

    #[test]
    fn no_two_living_threads_have_the_same_number() {
        let all_live = Barrier::new(50);
        let numbers: BTreeSet<usize> = thread::scope(|scope| {
            let number = || {
                let number = thread_ordinal();
                all_live.wait();
                assert_eq!(number, thread_ordinal());
                number
            };
            let threads: Vec<_> = (0..50).map(|_| scope.spawn(number)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(numbers.len(), 50);
    }

    #[test]
    fn numbers_of_ended_threads_are_given_again() {
        let number = |_| thread::spawn(thread_ordinal).join().expect("no panic");
        let numbers: BTreeSet<usize> = (0..2_000).map(number).collect();
        // Other tests have threads too, but not so many at once.
        assert!(numbers.len() < 1_000, "{}", numbers.len());
    }

    /// Tells the number that its thread has when this is dropped.
    struct LastNumber(Sender<usize>);

    impl Drop for LastNumber {
        fn drop(&mut self) {
            let _ = self.0.send(thread_ordinal());
        }
    }

    thread_local! {
        static EARLY: Cell<Option<LastNumber>> = const { Cell::new(None) };
        static LATE: Cell<Option<LastNumber>> = const { Cell::new(None) };
    }

    #[test]
    fn a_thread_that_has_given_its_number_back_has_none() {
        let (sender, receiver) = channel();
        let ending = thread::spawn(move || {
            // One before the number, one behind it: destructors run in one order or the other.
            EARLY.set(Some(LastNumber(sender.clone())));
            let number = thread_ordinal();
            LATE.set(Some(LastNumber(sender)));
            number
        });
        let number = ending.join().expect("no panic");
        let last: BTreeSet<usize> = receiver.iter().collect();
        assert_eq!(last, BTreeSet::from([number, NO_NUMBER]));
    }
}
