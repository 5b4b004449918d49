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
pub(crate) use std::hint::spin_loop;
pub(crate) use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, fence,
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

/// A small number for this thread, counted up from 0. So threads that start one after the other use
/// different shards.
#[inline]
pub(crate) fn thread_ordinal() -> usize {
    match ORDINAL.get() {
        UNKNOWN => count_thread(),
        known => known,
    }
}

const UNKNOWN: usize = usize::MAX;

thread_local! {
    static ORDINAL: Cell<usize> = const { Cell::new(UNKNOWN) };
}

#[cold]
#[inline(never)]
fn count_thread() -> usize {
    // A process-wide counter, taken once a thread. No law depends on it.
    static NEXT: Mutex<usize> = Mutex::new(0);
    let mut next = super::lock(&NEXT);
    let ordinal = *next;
    *next += 1;
    ORDINAL.set(ordinal);
    ordinal
}
