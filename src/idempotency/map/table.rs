//! The table of one part of the idempotency map: entries by the digest of their name, in the order
//! in which they came. The oldest leaves first.
//!
//! ```text
//!   index:    [   ][ 7 ][   ][ 5 ][   ][ 6 ][   ][   ]
//!   entries:            5 6 7
//!              oldest --^     ^-- end
//! ```
//!
//! Entries lie in a queue, each at its *place*, a number that counts up. An index, open-addressed,
//! has the place of each. So an entry takes its own bytes and some 8 of the index, and the order in
//! which entries leave takes nothing.

use std::collections::VecDeque;
use std::mem;

use crate::idempotency::digest::NameDigest;

/// Entries in one piece of memory. A table that grows copies none of them.
const CHUNK: usize = 64;

/// Entries by name, in order.
pub(super) struct KeyTable<V> {
    /// For each entry a cell, the first free one from its name's home on; 0 is free. At most three
    /// quarters are taken. The lower bits of a cell, as many as it takes to count cells, are those
    /// of the entry's place; the others are of its name. So a search looks at other entries hardly
    /// ever, each of which is likely to be far from the cache.
    index: Vec<u32>,
    /// The entries, oldest first, without gaps. All chunks but the first and the last are full; the
    /// first still has what was taken out of it.
    chunks: VecDeque<Vec<(NameDigest, V)>>,
    /// An empty chunk, for the next one.
    spare: Vec<(NameDigest, V)>,
    /// The place of the oldest entry.
    oldest: usize,
    /// The place after the newest.
    end: usize,
}

/// Marks a cell that is taken.
const TAKEN: u32 = 1 << 31;

impl<V> Default for KeyTable<V> {
    fn default() -> Self {
        let (chunks, spare) = (VecDeque::new(), Vec::new());
        Self { index: Vec::new(), chunks, spare, oldest: 0, end: 0 }
    }
}

impl<V> KeyTable<V> {
    /// The most memory that an entry takes: its own bytes, and its share of an index that has just
    /// grown, which is 3 parts in 8 full.
    pub(super) const BYTES_AN_ENTRY: usize =
        size_of::<(NameDigest, V)>() + size_of::<[u32; 8]>().div_ceil(3);

    pub(super) fn len(&self) -> usize {
        self.end - self.oldest
    }

    #[inline]
    pub(super) fn get(&self, name: NameDigest) -> Option<&V> {
        let (_, place) = self.find(name)?;
        Some(&self.at(place).1)
    }

    pub(super) fn get_mut(&mut self, name: NameDigest) -> Option<&mut V> {
        let (_, place) = self.find(name)?;
        let (chunk, within) = self.chunk_of(place);
        Some(&mut self.chunks[chunk][within].1)
    }

    /// The oldest entry.
    #[inline]
    pub(super) fn oldest(&self) -> Option<&V> {
        (self.oldest != self.end).then(|| &self.at(self.oldest).1)
    }

    /// Adds the newest entry. The table has none of this name.
    pub(super) fn push(&mut self, name: NameDigest, value: V) {
        debug_assert!(self.find(name).is_none(), "a name is there once");
        if (self.len() + 1) * 4 > self.index.len() * 3 {
            self.grow();
        }
        let cell = self.free_cell(name);
        self.index[cell] = self.cell_for(name, self.end);
        match self.chunks.back_mut().filter(|_| !self.end.is_multiple_of(CHUNK)) {
            Some(chunk) => chunk.push((name, value)),
            None => self.push_chunk((name, value)),
        }
        self.end += 1;
    }

    fn push_chunk(&mut self, first: (NameDigest, V)) {
        let mut chunk = mem::take(&mut self.spare);
        // The first chunk is small: a handful of keys should not cost 64 whole ones.
        chunk.reserve_exact(if self.end == 0 { 4 } else { CHUNK });
        chunk.push(first);
        self.chunks.push_back(chunk);
    }

    /// Takes out the oldest entry.
    pub(super) fn pop_oldest(&mut self) {
        if self.oldest != self.end {
            let name = self.at(self.oldest).0;
            self.clear_cell(self.cell_of(name, self.oldest));
            self.drop_oldest();
        }
    }

    /// Takes out the entry of this name. The oldest one takes its place, so that there is no gap.
    pub(super) fn remove(&mut self, name: NameDigest) {
        let Some((cell, place)) = self.find(name) else { return };
        self.clear_cell(cell);
        if place != self.oldest {
            let moving = self.at(self.oldest).0;
            let cell = self.cell_of(moving, self.oldest);
            self.index[cell] = self.cell_for(moving, place);
            let (chunk, within) = self.chunk_of(place);
            let first = self.oldest % CHUNK;
            let mut chunks = self.chunks.iter_mut();
            match (chunks.next(), chunk.checked_sub(1)) {
                (Some(own), None) => own.swap(first, within),
                (Some(own), Some(later)) => {
                    if let Some(other) = chunks.nth(later) {
                        mem::swap(&mut own[first], &mut other[within]);
                    }
                }
                (None, _) => {}
            }
        }
        self.drop_oldest();
    }

    /// Steps over the oldest entry, which has no cell any more.
    fn drop_oldest(&mut self) {
        self.oldest += 1;
        if self.oldest.is_multiple_of(CHUNK)
            && let Some(mut chunk) = self.chunks.pop_front()
        {
            chunk.clear();
            self.spare = chunk;
        }
    }

    /// The chunk that has this place, and where in it that is.
    #[inline]
    fn chunk_of(&self, place: usize) -> (usize, usize) {
        (place / CHUNK - self.oldest / CHUNK, place % CHUNK)
    }

    #[inline]
    fn at(&self, place: usize) -> &(NameDigest, V) {
        let (chunk, within) = self.chunk_of(place);
        &self.chunks[chunk][within]
    }

    /// The cell and the place of an entry.
    #[inline]
    fn find(&self, name: NameDigest) -> Option<(usize, usize)> {
        let last = self.index.len().checked_sub(1)?;
        let (mut cell, wanted) = (name.home() & last, self.cell_for(name, 0));
        loop {
            let known = self.index[cell];
            if known == 0 {
                return None;
            }
            if (known ^ wanted) as usize <= last {
                let place = self.place_in(known);
                if self.at(place).0 == name {
                    return Some((cell, place));
                }
            }
            cell = (cell + 1) & last;
        }
    }

    /// The cell that has this place, which belongs to the entry of this name.
    fn cell_of(&self, name: NameDigest, place: usize) -> usize {
        let last = self.index.len() - 1;
        let (mut cell, wanted) = (name.home() & last, self.cell_for(name, place));
        // It is there, and no other entry has the same bits of its place.
        while self.index[cell] != wanted {
            cell = (cell + 1) & last;
        }
        cell
    }

    /// The place that a taken cell names. There are more cells than entries, so its lower bits
    /// suffice.
    fn place_in(&self, cell: u32) -> usize {
        let ahead = (cell as usize).wrapping_sub(self.oldest) & (self.index.len() - 1);
        self.oldest + ahead
    }

    /// What the cell of an entry holds. A part of a thousand million entries, which is the most,
    /// would take 60 GB.
    fn cell_for(&self, name: NameDigest, place: usize) -> u32 {
        let last = (self.index.len() - 1) as u32;
        TAKEN | (name.bits() & !last) | (place as u32 & last)
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
            let known = self.index[next];
            if known == 0 {
                break;
            }
            let home = self.at(self.place_in(known)).0.home() & last;
            // How far it lies from its home, and from the free cell.
            if (next.wrapping_sub(home) & last) >= (next.wrapping_sub(free) & last) {
                self.index[free] = known;
                free = next;
            }
        }
        self.index[free] = 0;
    }

    #[cold]
    fn grow(&mut self) {
        self.index = vec![0; (self.index.len() * 2).max(8)];
        for place in self.oldest..self.end {
            let name = self.at(place).0;
            let cell = self.free_cell(name);
            self.index[cell] = self.cell_for(name, place);
        }
    }

    /// How many entries the memory has room for.
    #[cfg(all(test, not(loom)))]
    pub(super) fn capacity(&self) -> usize {
        self.spare.capacity() + self.chunks.iter().map(Vec::capacity).sum::<usize>()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    proptest! {
        /// Whatever comes and goes, it is what a plain list has. Few homes, so that most names meet
        /// others.
        #[test]
        fn it_holds_what_a_plain_list_holds(
            steps in prop::collection::vec((0_u64..9, 0_u64..40, any::<u16>()), 0..900),
        ) {
            let name = |number: u64| NameDigest::from_halves([number % 7, number]);
            let (mut table, mut plain) = (KeyTable::default(), VecDeque::<(u64, u16)>::new());
            for (step, number, value) in steps {
                let known = plain.iter().position(|(own, _)| *own == number);
                match step {
                    0..=4 if known.is_none() => {
                        table.push(name(number), value);
                        plain.push_back((number, value));
                    }
                    0..=5 => {
                        table.pop_oldest();
                        plain.pop_front();
                    }
                    6 => {
                        table.remove(name(number));
                        if let Some(place) = known {
                            plain.swap(0, place);
                            plain.pop_front();
                        }
                    }
                    _ => {
                        if let (Some(own), Some(place)) = (table.get_mut(name(number)), known) {
                            *own = value;
                            plain[place].1 = value;
                        }
                    }
                }
                prop_assert_eq!(table.len(), plain.len());
                prop_assert_eq!(table.oldest(), plain.front().map(|(_, value)| value));
            }
            for number in 0..40 {
                let known = plain.iter().find(|(own, _)| *own == number);
                prop_assert_eq!(table.get(name(number)), known.map(|(_, value)| value));
            }
        }
    }

    #[test]
    fn chunks_come_and_go_and_the_memory_stays() {
        let name = |number: u64| NameDigest::from_halves([number << 3, number << 40 | number]);
        let mut table = KeyTable::default();
        for number in 0..5_000 {
            table.push(name(number), number);
            if number % 10 == 0 {
                assert_eq!(table.get(name(number)), Some(&number));
                table.remove(name(number));
                assert_eq!(table.get(name(number)), None);
            }
            while table.len() > 200 {
                table.pop_oldest();
            }
        }
        assert!(table.capacity() <= 200 + 3 * CHUNK, "{}", table.capacity());
        while table.oldest().is_some() {
            table.pop_oldest();
        }
        assert!(table.index.iter().all(|cell| *cell == 0));
    }
}
