//! Waking futures from the engine's threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// Wakes a future. A waker is another's code: one that panics must not end the thread that calls
/// it, nor hurt whoever is woken next. Not to be called under a lock.
pub(crate) fn wake(waker: Waker) {
    let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
}
