//! All allowances of an engine: found by rule and subject, made when one is first asked for, and
//! retired when nothing of them is used.
//!
//! Most customers hold nothing at any one time. So an allowance is there only while somebody has
//! drawn of it, or is about to. It has a *number*, by which a commit names its cell, and the number
//! is another allowance's once it is retired.
//!
//! # Who keeps an allowance
//!
//! - **A pin.** Whoever is about to draw pins the allowance ([`Allowances::pin`]), and takes the
//!   pin off when its commit is final ([`Allowances::unpin`]), done or refused.
//! - **A draw.** What is drawn and not given back counts as used.
//!
//! Whoever has neither may not name the number in a commit. An allowance is *idle* when it has no
//! pin and nothing of it is used. Only then it is retired, under the lock of its shard.
//!
//! # Why nothing is lost between that look and the next use of the number
//!
//! Pins are counted under the lock, so while a thread has it and sees none, nobody is about to
//! draw: who comes later waits for the lock, finds no allowance of that key, and makes another.
//! Every earlier draw was made by a thread that has taken its pin off since, under this lock, so
//! the look at the word sees it. Nobody is about to give, because nothing is drawn. So no operation
//! that is not final names the cell, and two kinds of swap are left that may still come:
//!
//! - **A mark is taken off.** It is there no more, for the look does not end at a mark. It takes
//!   off one whose operation is final, as any reader may: a helper's winning mark stays for a while
//!   after the owner has got his answer. If the owner of a gift only looked whether the word is
//!   plain, he would find that mark now and then, and nobody would look a second time. A mark whose
//!   operation is not final stands for units that are not given yet.
//! - **A late mark is put in** (`mcas/mod.rs`): a helper fell asleep before its swap, and wakes up
//!   when the word is again what it was, of this allowance or of the next one. Its operation is
//!   final. If that was refused, all its marks mean what they replaced. If it is done, the helper
//!   had joined before, so each line has a claimed winner, and the helper loses its claim. Either
//!   way its mark means the word that it replaced, to all readers, *whosever* that word is: a mark
//!   means something for a cell, and a key is no part of that. Whoever wants the cell takes the
//!   mark off by this meaning, and so does the helper before it leaves; its notes stay until then.
//!   So nothing is lost, and nothing goes to the other subject.
//!
//! A word that is reused is not written: it says already that nothing is used. If it were stored
//! anew, a late mark could be overwritten, which would do no harm, and a draw, which would.
//!
//! # Why no idle allowance stays
//!
//! It becomes idle when the last pin is taken off, or the last units are given back. Whoever does
//! either looks *after* it, and the later one sees what the other has done: pins change under the
//! lock under which both look, and of two gifts the later one reads its own swap. A look may come
//! so late that the number is free again, or another allowance's. It then finds a free number, or
//! retires that one for whoever is on his way to do so.

use std::sync::Arc;

use crate::base::quantity::Quantity;
use crate::base::sync::{AtomicU32, CachePadded, MODELLED, Mutex, MutexGuard, Ordering, lock};
use crate::base::table::Table;
use crate::stock::allowance::key::AllowanceKey;
use crate::stock::allowance::place::AllowancePlace;
use crate::stock::allowance::shard::{AllowanceShard, SHARDS, shard_of};
use crate::stock::allowance::word::{NO_MAXIMUM, draw, used_in};
use crate::stock::cell::{Cell, CellId, ResolveMark};
use crate::stock::handle::AllowanceIndex;
use crate::stock::mcas::DescriptorPool;
use crate::stock::word::Word;

/// Numbers of one shard beyond twice its share: subjects spread evenly, but not perfectly.
const SPARE: usize = if MODELLED { 2 } else { 1_024 };

/// The allowances of an engine.
///
/// An allowance takes 40 bytes, and its index 4 to 8. Nothing is allocated for those of which there
/// were never more.
#[derive(Debug)]
pub(crate) struct Allowances {
    places: Table<AllowancePlace>,
    shards: Box<[CachePadded<Mutex<AllowanceShard>>]>,
    /// How many there are, in all shards.
    count: CachePadded<AtomicU32>,
    most: u32,
    marks: Arc<DescriptorPool>,
}

/// There are as many allowances as there may be, and none of this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AllowancesFull {
    pub(crate) most: u32,
}

impl Allowances {
    /// At most so many allowances; `marks` tells what the marks of commits in their words mean.
    pub(crate) fn new(most: u32, marks: &Arc<DescriptorPool>) -> Self {
        let share = most as usize / SHARDS as usize;
        let places = (2 * share + SPARE) * SHARDS as usize;
        let shard = |first| CachePadded::new(Mutex::new(AllowanceShard::new(first)));
        Self {
            places: Table::new(places, AllowancePlace::free),
            shards: (0..SHARDS).map(shard).collect(),
            count: CachePadded::new(AtomicU32::new(0)),
            most,
            marks: Arc::clone(marks),
        }
    }

    /// Pins the allowance of this key, and makes it if there is none. The caller takes the pin off
    /// once the commit for which it wants the allowance is final.
    pub(crate) fn pin(&self, key: AllowanceKey) -> Result<AllowanceIndex, AllowancesFull> {
        let mut shard = self.shard(key);
        let (number, place) = match shard.find(&self.places, key) {
            Some(found) => found,
            None => self.make(&mut shard, key)?,
        };
        place.pin();
        Ok(AllowanceIndex(number))
    }

    /// Takes off a pin, and retires the allowance if it is idle. The caller's commit is final.
    pub(crate) fn unpin(&self, index: AllowanceIndex) {
        let Some(place) = self.places.get(index.index()) else { return };
        let mut shard = self.shard_at(index);
        place.unpin();
        self.retire(&mut shard, index, place);
    }

    /// Retires the allowance if it is idle. Called by whoever has given back what it had drawn,
    /// after that shows.
    pub(crate) fn retire_if_idle(&self, index: AllowanceIndex) {
        let Some(place) = self.places.get(index.index()) else { return };
        // The caller's own swap, or a newer one: whoever gives back the rest comes here, too.
        if Word::from_bits(place.word().look()).is_some_and(|word| used_in(word) > 0) {
            return;
        }
        self.retire(&mut self.shard_at(index), index, place);
    }

    /// How much is used of the allowance of this key: 0 if there is none.
    pub(crate) fn used(&self, key: AllowanceKey) -> u32 {
        // Under the lock to its end: the number might be another's a moment later.
        let shard = self.shard(key);
        shard.find(&self.places, key).map_or(0, |(number, place)| self.used_of(number, place))
    }

    /// How much is used of an allowance that the caller has pinned or drawn of. One load.
    #[cfg(any(test, all(loom, feature = "loom")))]
    pub(crate) fn used_at(&self, index: AllowanceIndex) -> u32 {
        self.places.get(index.index()).map_or(0, |place| self.used_of(index.0, place))
    }

    /// The allowance of this key, of which the caller has drawn. Its draw keeps it.
    pub(crate) fn find(&self, key: AllowanceKey) -> Option<AllowanceIndex> {
        self.shard(key).find(&self.places, key).map(|(number, _)| AllowanceIndex(number))
    }

    /// The word of an allowance that the caller has pinned or drawn of, for a commit.
    #[inline]
    pub(crate) fn cell(&self, index: AllowanceIndex) -> Option<&Cell> {
        self.places.get(index.index()).map(AllowancePlace::word)
    }

    /// Whose an allowance is that the caller has pinned or drawn of. `None` if no allowance ever
    /// had the number.
    #[cfg(any(test, all(loom, feature = "loom")))]
    pub(crate) fn key(&self, index: AllowanceIndex) -> Option<AllowanceKey> {
        self.places.get(index.index()).map(AllowancePlace::key)
    }

    /// Draws units that an earlier run has drawn, whatever the maximum. `Err` also if a word can't
    /// count so many: no ledger tells of that.
    pub(crate) fn restore<S: ResolveMark + ?Sized>(
        &self,
        key: AllowanceKey,
        used: Quantity,
        commits: &S,
    ) -> Result<AllowanceIndex, AllowancesFull> {
        let full = AllowancesFull { most: self.most };
        let index = self.pin(key)?;
        let cell = self.cell(index).ok_or(full)?;
        let drawn = cell.apply(CellId::allowance(index), draw(used, NO_MAXIMUM), commits);
        self.unpin(index);
        drawn.map(|_| index).map_err(|_| full)
    }

    /// Tells each allowance of which something is used, and how much. It is asked of one shard at a
    /// time, at one instant each, and told under no lock.
    pub(crate) fn each(&self, mut report: impl FnMut(AllowanceKey, u32)) {
        let mut found = Vec::new();
        for shard in &self.shards {
            let shard = lock(shard);
            let all = shard.all(&self.places);
            found.extend(all.map(|(number, place)| (place.key(), self.used_of(number, place))));
            drop(shard);
            found.drain(..).filter(|(_, used)| *used > 0).for_each(|(key, used)| report(key, used));
        }
    }

    /// How many allowances there are. Never waits.
    pub(crate) fn len(&self) -> u32 {
        // Relaxed: a figure.
        self.count.load(Ordering::Relaxed)
    }

    /// How many more there may be. Never waits.
    pub(crate) fn room(&self) -> usize {
        self.most.saturating_sub(self.len()) as usize
    }

    /// How many bytes all of it takes.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        let index = |shard: &CachePadded<Mutex<AllowanceShard>>| {
            size_of_val(shard) + lock(shard).index_bytes()
        };
        self.places.bytes() + self.shards.iter().map(index).sum::<usize>()
    }

    /// The most allowances that share a bucket.
    #[cfg(test)]
    pub(crate) fn longest_chain(&self) -> usize {
        let longest = |shard: &CachePadded<Mutex<_>>| {
            let shard: MutexGuard<'_, AllowanceShard> = lock(shard);
            shard.longest_chain(&self.places)
        };
        self.shards.iter().map(longest).max().unwrap_or_default()
    }

    fn shard(&self, key: AllowanceKey) -> MutexGuard<'_, AllowanceShard> {
        lock(&self.shards[shard_of(key) as usize])
    }

    fn shard_at(&self, index: AllowanceIndex) -> MutexGuard<'_, AllowanceShard> {
        // A shard's numbers leave its own as the remainder.
        lock(&self.shards[index.index() % self.shards.len()])
    }

    fn make(
        &self,
        shard: &mut AllowanceShard,
        key: AllowanceKey,
    ) -> Result<(u32, &AllowancePlace), AllowancesFull> {
        let full = AllowancesFull { most: self.most };
        let swap = |count| {
            // Relaxed, as all of the count: it hands over nothing. Whoever knows that an allowance
            // was retired finds it counted.
            self.count.compare_exchange(count, count + 1, Ordering::Relaxed, Ordering::Relaxed)
        };
        let mut count = self.len();
        loop {
            if count >= self.most {
                return Err(full);
            }
            match swap(count) {
                Ok(_) => break,
                Err(now) => count = now,
            }
        }
        let made = shard.make(&self.places, key);
        debug_assert!(made.is_none_or(|(number, place)| self.used_of(number, place) == 0));
        made.ok_or_else(|| {
            self.count.fetch_sub(1, Ordering::Relaxed);
            full
        })
    }

    /// Retires the allowance if it is idle; the caller has locked its shard.
    fn retire(&self, shard: &mut AllowanceShard, index: AllowanceIndex, place: &AllowancePlace) {
        if place.is_unpinned() && self.is_unused(index, place.word()) {
            shard.retire(&self.places, index.0, place);
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether nothing is used. Takes marks off whose operations are final. One that is not final
    /// stands for units that somebody is about to give back.
    fn is_unused(&self, index: AllowanceIndex, cell: &Cell) -> bool {
        loop {
            let bits = cell.look();
            match Word::from_bits(bits) {
                Some(word) => return used_in(word) == 0,
                None if self.marks.clear_final(CellId::allowance(index), cell, bits) => {}
                None => return false,
            }
        }
    }

    fn used_of(&self, number: u32, place: &AllowancePlace) -> u32 {
        let id = CellId::allowance(AllowanceIndex(number));
        used_in(place.word().read(id, &*self.marks))
    }
}
