//! The one door to atomics, fences, locks and shared queues.
//!
//! Every file of this crate takes its atomics from here, so that the very source files that ship
//! also compile on the atomics of two model checkers, and have their interleavings explored:
//!
//! - [loom](https://docs.rs/loom), under `--cfg loom` with the feature `loom`: the lock-free files,
//!   every interleaving of small programs, weak memory orderings included;
//! - [shuttle](https://docs.rs/shuttle), under `--cfg shuttle` with the feature `shuttle`: the whole
//!   manager, random interleavings of larger programs, all orderings taken for `SeqCst`.
//!
//! `tests/tidy.rs` keeps the door the only one. Mutexes come through it too, for whoever waits for one
//! must let the model's other threads run; only what guards a few statements without any atomic may
//! come from the standard library (a `OnceLock`, a list of listeners), for no model interrupts those.

pub(crate) use std::sync::atomic::Ordering;

#[cfg(all(loom, feature = "loom"))]
mod loom;
#[cfg(any(all(loom, feature = "loom"), all(shuttle, feature = "shuttle")))]
mod model;
#[cfg(not(any(all(loom, feature = "loom"), all(shuttle, feature = "shuttle"))))]
mod native;
#[cfg(all(shuttle, feature = "shuttle"))]
mod shuttle;

#[cfg(all(loom, feature = "loom"))]
pub(crate) use loom::*;
#[cfg(any(all(loom, feature = "loom"), all(shuttle, feature = "shuttle")))]
#[allow(unused_imports, reason = "each model uses a part of the interface")]
pub(crate) use model::*;
#[cfg(not(any(all(loom, feature = "loom"), all(shuttle, feature = "shuttle"))))]
pub(crate) use native::*;
#[cfg(all(shuttle, feature = "shuttle"))]
pub(crate) use shuttle::*;

/// Whether this is a model checker's build. There sizes are small, so that tables grow, queues turn
/// round and chains go on within a few calls, and nobody spins, because models have no time.
pub(crate) const MODELLED: bool =
    cfg!(any(all(loom, feature = "loom"), all(shuttle, feature = "shuttle")));

/// Shows that this thread has made a `SeqCst` fence after all that it wrote before: so that one fence can
/// stand between several writes and the looks that each of them has to be followed by.
#[derive(Debug)]
pub(crate) struct Fenced(());

impl Fenced {
    /// What is shown where the fence was left out on purpose.
    #[cfg(planted = "lower_without_fence")]
    pub(crate) fn pretended() -> Self {
        Self(())
    }
}

/// Makes a `SeqCst` fence. What it pairs with, its caller says.
#[inline]
pub(crate) fn fenced() -> Fenced {
    fence(Ordering::SeqCst);
    Fenced(())
}

/// Locks `mutex`, also when a thread panicked while it held the lock: each of them guards values that
/// are whole between any two statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
