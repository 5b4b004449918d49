//! Replaces dashmap, which loom cannot see into: a map of two parts, each under the model's mutex.
//! It has the same interface. A reader locks its part for itself, too, which orders no more:
//! whoever reads and whoever changes a part are ordered either way.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::ops::Deref;

use super::{Mutex, MutexGuard, lock};

type Pairs<K, V> = Vec<(K, V)>;

#[derive(Debug)]
pub(crate) struct LockedMap<K, V> {
    parts: [Mutex<Pairs<K, V>>; 2],
}

#[allow(dead_code, reason = "each model uses a part of the interface")]
impl<K: Eq + Hash, V> LockedMap<K, V> {
    pub(crate) fn with_shard_amount(_parts: usize) -> Self {
        Self { parts: [Mutex::new(Vec::new()), Mutex::new(Vec::new())] }
    }

    fn part(&self, key: &K) -> MutexGuard<'_, Pairs<K, V>> {
        // Without a secret: the same model meets the same locks.
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        lock(&self.parts[(hash & 1) as usize])
    }

    pub(crate) fn get(&self, key: &K) -> Option<FoundPair<'_, K, V>> {
        let part = self.part(key);
        let at = part.iter().position(|(own, _)| own == key)?;
        Some(FoundPair { part, at })
    }

    pub(crate) fn entry(&self, key: K) -> Entry<'_, K, V> {
        let part = self.part(&key);
        match part.iter().position(|(own, _)| *own == key) {
            Some(at) => Entry::Occupied(FoundPair { part, at }),
            None => Entry::Vacant(VacantPair { part, key }),
        }
    }

    pub(crate) fn insert(&self, key: K, value: V) -> Option<V> {
        match self.entry(key) {
            Entry::Occupied(mut occupied) => Some(occupied.insert(value)),
            Entry::Vacant(vacant) => {
                drop(vacant.insert(value));
                None
            }
        }
    }

    pub(crate) fn remove_if(&self, key: &K, goes: impl FnOnce(&K, &V) -> bool) -> Option<(K, V)> {
        let mut part = self.part(key);
        let at = part.iter().position(|(own, _)| own == key)?;
        let (own, value) = &part[at];
        goes(own, value).then(|| part.swap_remove(at))
    }
}

pub(crate) enum Entry<'a, K, V> {
    Occupied(FoundPair<'a, K, V>),
    Vacant(VacantPair<'a, K, V>),
}

/// A pair of the map, whose part is locked.
pub(crate) struct FoundPair<'a, K, V> {
    part: MutexGuard<'a, Pairs<K, V>>,
    at: usize,
}

impl<K, V> FoundPair<'_, K, V> {
    pub(crate) fn get(&self) -> &V {
        self
    }

    pub(crate) fn get_mut(&mut self) -> &mut V {
        &mut self.part[self.at].1
    }

    pub(crate) fn insert(&mut self, value: V) -> V {
        std::mem::replace(self.get_mut(), value)
    }
}

impl<K, V> Deref for FoundPair<'_, K, V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.part[self.at].1
    }
}

/// A key that the map does not have, whose part is locked.
pub(crate) struct VacantPair<'a, K, V> {
    part: MutexGuard<'a, Pairs<K, V>>,
    key: K,
}

impl<'a, K, V> VacantPair<'a, K, V> {
    pub(crate) fn insert(mut self, value: V) -> FoundPair<'a, K, V> {
        self.part.push((self.key, value));
        FoundPair { at: self.part.len() - 1, part: self.part }
    }
}
