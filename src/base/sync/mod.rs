//! The one door to atomics, fences, locks and shared queues.
//!
//! Every file of this crate takes its atomics from here. So the same source files that ship also
//! compile on the atomics of two model checkers, which explore their interleavings:
//!
//! - [loom](https://docs.rs/loom), under `--cfg loom` with the feature `loom`: the lock-free files;
//!   every interleaving of small programs, including weak memory orderings;
//! - [shuttle](https://docs.rs/shuttle), under `--cfg shuttle` with the feature `shuttle`: the
//!   whole engine; random interleavings of larger programs, with all orderings taken for `SeqCst`.
//!
//! `tests/tidy.rs` checks that there is no other door. Mutexes come through it too: a thread that
//! waits for one must let the model's other threads run. A lock that guards a few statements
//! without any atomic (a `OnceLock`, a list of listeners) may come from the standard library,
//! because no model interrupts those.

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

/// Whether this is a model checker's build. Then sizes are small, so that tables grow, queues wrap
/// and chains continue within a few calls. And nobody spins, because models have no time.
pub(crate) const MODELLED: bool =
    cfg!(any(all(loom, feature = "loom"), all(shuttle, feature = "shuttle")));

/// Proof that this thread has executed a `SeqCst` fence, or a `SeqCst` read-modify-write, behind
/// the write that another thread must not miss. What it then loads with `SeqCst` pairs with that
/// thread's fence: of the two, at least one sees the other's write.
#[derive(Debug)]
pub(crate) struct Fenced(());

impl Fenced {
    /// The ordering of the loads that pair with the other thread's fence. A read-modify-write alone
    /// orders no weaker load behind it, and no model would show that.
    #[inline(always)]
    pub(crate) fn load_order(&self) -> Ordering {
        Ordering::SeqCst
    }
}

/// Executes a `SeqCst` fence. The caller names its partner.
#[inline]
pub(crate) fn fenced() -> Fenced {
    fence(Ordering::SeqCst);
    Fenced(())
}

/// The proof behind a write that is itself a `SeqCst` read-modify-write. It needs no fence of its
/// own, and executes none: such writes, and `SeqCst` loads, are in one order with all fences. Loom
/// takes both for `AcqRel`. So in its models a fence stands here for that order. It orders more:
/// that loads behind it are `SeqCst` is seen to by [`Fenced::load_order`] alone.
#[inline(always)]
pub(crate) fn sequenced() -> Fenced {
    #[cfg(all(loom, feature = "loom"))]
    fence(Ordering::SeqCst);
    Fenced(())
}

/// Locks `mutex`, even if a thread panicked while it held the lock. That is safe, because the
/// values that these locks guard are whole between any two statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
