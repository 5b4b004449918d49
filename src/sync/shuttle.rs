//! Shuttle's side of the door: its atomics, and a map whose locks let its other threads run.
//!
//! All threads of a model are run by one thread of the system, which gives way to another of them
//! before every access to an atomic or a lock of shuttle's. A lock that shuttle knows nothing of must
//! therefore never be held across such an access: whoever waited for it would stop them all.

use std::borrow::Borrow;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash};
use std::marker::PhantomData;
use std::time::Duration;

pub(crate) use dashmap::Entry;
use dashmap::mapref::one::Ref;
use dashmap::try_result::TryResult;
pub(crate) use shuttle::hint::spin_loop;
pub(crate) use shuttle::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, fence,
};
pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard};
pub(crate) use shuttle::thread::{Thread, current, park, yield_now};

/// Models have no time: any span may be over at once.
pub(crate) fn park_at_most(_span: Duration) {
    yield_now();
}

/// Models have no time: lets the others run.
pub(crate) fn nap(_span: Duration) {
    yield_now();
}

/// The number of this thread in the model that runs; all of its threads share one of the system's.
pub(crate) fn thread_ordinal() -> usize {
    shuttle::current::me().into()
}

/// `DashMap`, but that whoever finds a part of it locked lets the model's other threads run. Hashed
/// without a secret, so that the same seed meets the same locks.
#[derive(Debug)]
pub(crate) struct DashMap<K: Eq + Hash, V, S = ()> {
    inner: dashmap::DashMap<K, V, BuildHasherDefault<DefaultHasher>>,
    hasher: PhantomData<S>,
}

impl<K: Eq + Hash, V> DashMap<K, V> {
    pub(crate) fn with_shard_amount(_parts: usize) -> Self {
        Self::with_hasher(())
    }
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

    pub(crate) fn entry(&self, key: K) -> Entry<'_, K, V>
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

    pub(crate) fn remove_if(&self, key: &K, goes: impl FnOnce(&K, &V) -> bool) -> Option<(K, V)>
    where
        K: Clone,
    {
        match self.entry(key.clone()) {
            Entry::Occupied(occupied) if goes(occupied.key(), occupied.get()) => {
                Some(occupied.remove_entry())
            }
            _ => None,
        }
    }
}
