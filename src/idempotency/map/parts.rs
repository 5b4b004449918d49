//! The table behind the idempotency map: entries by the digest of their name, in parts, each under
//! a lock of its own.
//!
//! A part is a dense list of entries, and an index with the place of each, open-addressed. So an
//! entry takes its own bytes and some 8 of the index. A hash table of the entries themselves keeps
//! room for a third to two thirds more of them.

use crate::base::sync::{Mutex, MutexGuard, lock};
use crate::idempotency::digest::NameDigest;

/// Entries in one piece of memory. A part that grows copies none of them.
const CHUNK: usize = 64;

/// All entries of the map.
pub(super) struct Parts<V> {
    parts: Box<[Mutex<Part<V>>]>,
}

impl<V> Parts<V> {
    /// The most memory that an entry takes: its own bytes, and its share of an index that has just
    /// grown, which is 3 parts in 8 full.
    pub(super) const BYTES_AN_ENTRY: usize =
        size_of::<(NameDigest, V)>() + size_of::<[u32; 8]>().div_ceil(3);

    /// An empty table of so many parts, a power of two.
    pub(super) fn new(parts: usize) -> Self {
        debug_assert!(parts.is_power_of_two());
        Self { parts: (0..parts).map(|_| Mutex::new(Part::default())).collect() }
    }

    /// The part of this name, locked. Nobody may hold two.
    pub(super) fn of(&self, name: NameDigest) -> MutexGuard<'_, Part<V>> {
        // Nothing that runs under this lock can panic half-way.
        lock(&self.parts[name.part() & (self.parts.len() - 1)])
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(|part| lock(part).len).sum()
    }

    /// How many entries the memory has room for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        let room =
            |part: &Mutex<Part<V>>| lock(part).chunks.iter().map(Vec::capacity).sum::<usize>();
        self.parts.iter().map(room).sum()
    }
}

/// One part of the table.
pub(super) struct Part<V> {
    /// For each entry a cell, the first free one from its name's home on; 0 is free. At most three
    /// quarters are taken. The lower bits of a cell, as many as it takes to count cells, are the
    /// entry's place and 1; the others are of its name. So a search looks at other entries hardly
    /// ever, each of which is likely to be far from the cache.
    index: Vec<u32>,
    /// The entries, without gaps. Only the last chunk has room.
    chunks: Vec<Vec<(NameDigest, V)>>,
    len: usize,
}

impl<V> Default for Part<V> {
    fn default() -> Self {
        Self { index: Vec::new(), chunks: Vec::new(), len: 0 }
    }
}

impl<V> Part<V> {
    pub(super) fn get(&self, name: NameDigest) -> Option<&V> {
        let (_, place) = self.find(name)?;
        Some(&self.at(place).1)
    }

    pub(super) fn get_mut(&mut self, name: NameDigest) -> Option<&mut V> {
        let (_, place) = self.find(name)?;
        Some(&mut self.chunks[place / CHUNK][place % CHUNK].1)
    }

    /// Puts an entry in, and returns the one that it replaces.
    pub(super) fn insert(&mut self, name: NameDigest, value: V) -> Option<V> {
        if let Some(known) = self.get_mut(name) {
            return Some(std::mem::replace(known, value));
        }
        if (self.len + 1) * 4 > self.index.len() * 3 {
            self.grow();
        }
        let place = self.len;
        let cell = self.free_cell(name);
        self.index[cell] = self.cell_for(name, place);
        match self.chunks.last_mut().filter(|chunk| chunk.len() < CHUNK) {
            Some(chunk) => chunk.push((name, value)),
            None => {
                // The first chunk is small: a handful of keys should not cost 64 whole ones.
                let mut chunk = Vec::with_capacity(if place == 0 { 4 } else { CHUNK });
                chunk.push((name, value));
                self.chunks.push(chunk);
            }
        }
        self.len += 1;
        None
    }

    /// Takes an entry out if `goes` says so.
    pub(super) fn remove_if(
        &mut self,
        name: NameDigest,
        goes: impl FnOnce(&V) -> bool,
    ) -> Option<V> {
        let (cell, place) = self.find(name)?;
        if !goes(&self.at(place).1) {
            return None;
        }
        self.clear_cell(cell);
        // The last entry takes the place, so that there is no gap.
        let last = self.chunks.last_mut()?.pop()?;
        if self.chunks.last().is_some_and(Vec::is_empty) {
            self.chunks.pop();
        }
        self.len -= 1;
        if place == self.len {
            return Some(last.1);
        }
        if let Some(cell) = self.cell_of(last.0, self.len) {
            self.index[cell] = self.cell_for(last.0, place);
        }
        let gone = std::mem::replace(&mut self.chunks[place / CHUNK][place % CHUNK], last);
        Some(gone.1)
    }

    fn at(&self, place: usize) -> &(NameDigest, V) {
        &self.chunks[place / CHUNK][place % CHUNK]
    }

    /// The cell and the place of an entry.
    fn find(&self, name: NameDigest) -> Option<(usize, usize)> {
        let mut cell = self.home(name)?;
        let (last, wanted) = (self.index.len() - 1, self.cell_for(name, 0));
        loop {
            let known = self.index[cell];
            let place = self.place_in(known)?;
            if (known ^ wanted) as usize <= last && self.at(place).0 == name {
                return Some((cell, place));
            }
            cell = (cell + 1) & last;
        }
    }

    /// The cell that has this place, which belongs to the entry of this name.
    fn cell_of(&self, name: NameDigest, place: usize) -> Option<usize> {
        let mut cell = self.home(name)?;
        while self.place_in(self.index[cell]) != Some(place) {
            cell = (cell + 1) & (self.index.len() - 1);
        }
        Some(cell)
    }

    /// The place that a cell names; `None` if it is free.
    fn place_in(&self, cell: u32) -> Option<usize> {
        (cell as usize & (self.index.len() - 1)).checked_sub(1)
    }

    /// What the cell of an entry holds. A part of two thousand million entries, which is the most,
    /// would take 150 GB.
    fn cell_for(&self, name: NameDigest, place: usize) -> u32 {
        (name.bits() & !(self.index.len() - 1) as u32) | (place as u32 + 1)
    }

    /// The cell at which the search for this name begins; `None` while there are no cells.
    fn home(&self, name: NameDigest) -> Option<usize> {
        Some(name.home() & self.index.len().checked_sub(1)?)
    }

    fn free_cell(&self, name: NameDigest) -> usize {
        let last = self.index.len() - 1;
        let mut cell = name.home() & last;
        while self.index[cell] != 0 {
            cell = (cell + 1) & last;
        }
        cell
    }

    /// Frees a cell. Those behind it that could lie nearer to their home move up, so that no search
    /// ends too early.
    fn clear_cell(&mut self, cell: usize) {
        let last = self.index.len() - 1;
        let (mut free, mut next) = (cell, cell);
        loop {
            next = (next + 1) & last;
            let Some(place) = self.place_in(self.index[next]) else { break };
            let home = self.at(place).0.home() & last;
            // How far it lies from its home, and from the free cell.
            if (next.wrapping_sub(home) & last) >= (next.wrapping_sub(free) & last) {
                self.index[free] = self.index[next];
                free = next;
            }
        }
        self.index[free] = 0;
    }

    #[cold]
    fn grow(&mut self) {
        self.index = vec![0; (self.index.len() * 2).max(8)];
        for place in 0..self.len {
            let cell = self.free_cell(self.at(place).0);
            self.index[cell] = self.cell_for(self.at(place).0, place);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        /// Whatever comes and goes, it is what a map of the standard library has. Few homes, so
        /// that most names meet others.
        #[test]
        fn it_holds_what_a_plain_map_holds(
            steps in prop::collection::vec((0_u64..5, 0_u64..40, any::<u16>()), 0..600),
        ) {
            let (mut part, mut plain) = (Part::default(), HashMap::new());
            for (step, number, value) in steps {
                let name = NameDigest::from_halves([number % 7, number]);
                match step {
                    0 | 1 => prop_assert_eq!(part.insert(name, value), plain.insert(number, value)),
                    2 => {
                        let gone = part.remove_if(name, |own| own % 2 == 0);
                        let goes = plain.get(&number).is_some_and(|own| own % 2 == 0);
                        prop_assert_eq!(gone, goes.then(|| plain.remove(&number)).flatten());
                    }
                    3 => prop_assert_eq!(part.remove_if(name, |_| true), plain.remove(&number)),
                    _ => {
                        prop_assert_eq!(part.get_mut(name), plain.get_mut(&number));
                    }
                }
                prop_assert_eq!(part.len, plain.len());
            }
            for number in 0..40 {
                let name = NameDigest::from_halves([number % 7, number]);
                prop_assert_eq!(part.get(name), plain.get(&number));
            }
        }
    }
}
