//! Shuttle's side of the door: its atomics, and a map whose locks let the model's other threads
//! run.
//!
//! One system thread runs all threads of a model. Before every access to one of shuttle's atomics
//! or locks, it may switch to another of them. A lock that shuttle does not know must therefore
//! never be held across such an access: a thread that waits for it would stop them all.

use std::borrow::Borrow;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash};
use std::marker::PhantomData;
use std::time::Duration;

use dashmap::Entry;
use dashmap::mapref::one::Ref;
use dashmap::try_result::TryResult;
pub(crate) use shuttle::hint::spin_loop;
pub(crate) use shuttle::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, fence,
};
pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard};
pub(crate) use shuttle::thread::{Thread, current, park, yield_now};

/// Models have no time: any span may be over at once.
pub(crate) fn park_at_most(_span: Duration) {
    yield_now();
}

/// Models have no time: lets the other threads run.
pub(crate) fn nap(_span: Duration) {
    yield_now();
}

/// The number of this thread in the running model. All threads of a model run on one system thread,
/// so a thread-local would be shared.
pub(crate) fn thread_ordinal() -> usize {
    shuttle::current::me().into()
}

/// The same number.
#[allow(dead_code, reason = "each model uses a part of the interface")]
pub(crate) fn known_ordinal() -> usize {
    thread_ordinal()
}

/// `DashMap`, except that a thread that finds a part of it locked lets the model's other threads
/// run. The hash has no secret, so the same seed meets the same locks.
#[derive(Debug)]
pub(crate) struct DashMap<K: Eq + Hash, V, S = ()> {
    inner: dashmap::DashMap<K, V, BuildHasherDefault<DefaultHasher>>,
    hasher: PhantomData<S>,
}

impl<K: Eq + Hash, V, S> DashMap<K, V, S> {
    /// Few parts, so that threads meet.
    pub(crate) fn with_hasher(_hasher: S) -> Self {
        let inner = dashmap::DashMap::with_hasher_and_shard_amount(Default::default(), 2);
        Self { inner, hasher: PhantomData }
    }

    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<Ref<'_, K, V>>
    where
        K: Borrow<Q>,
    {
        loop {
            match self.inner.try_get(key) {
                TryResult::Present(found) => return Some(found),
                TryResult::Absent => return None,
                TryResult::Locked => yield_now(),
            }
        }
    }

    fn entry(&self, key: K) -> Entry<'_, K, V>
    where
        K: Clone,
    {
        loop {
            match self.inner.try_entry(key.clone()) {
                Some(entry) => return entry,
                None => yield_now(),
            }
        }
    }

    pub(crate) fn insert(&self, key: K, value: V) -> Option<V>
    where
        K: Clone,
    {
        match self.entry(key) {
            Entry::Occupied(mut occupied) => Some(occupied.insert(value)),
            Entry::Vacant(vacant) => {
                vacant.insert(value);
                None
            }
        }
    }
}
