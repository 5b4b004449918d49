//! One atomic stock word, and the one compare-and-swap loop that changes it (Law 1).
//!
//! The successful swap is the linearization point of every operation on one cell. A refusal
//! linearizes at the load that found too few units.
//!
//! A word may be *marked*: a multi-word CAS has noted its counts elsewhere and put a mark in their
//! place (`mcas/mod.rs` explains it all). This file knows only that bit 63 says so. The traits
//! [`Marks`] and [`ResolveMark`] tell what a marked word means and get the mark out of the way.
//! Unmarked words, nearly all of them, pay one predictable branch for this.

use crate::base::quantity::Quantity;
use crate::base::sync::{AtomicU64, Ordering};
use crate::stock::handle::{AllowanceIndex, LevelIndex, WarehouseIndex};
use crate::stock::word::{Delta, Word};

/// A stock word that many threads read and change: a level's counts, a warehouse's room, or what is
/// used of an allowance.
#[derive(Debug)]
pub(crate) struct Cell {
    word: AtomicU64,
}

/// The word that a successful swap replaced, and the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) before: Word,
    pub(crate) after: Word,
}

/// The small stable number of a cell. An unfinished commit finds the cell again by it.
///
/// The two top bits tell allowances, levels and rooms apart. A commit marks its cells in ascending
/// order: first allowances, which are one subject's each, then levels, which all buyers of a
/// product share. It marks rooms last, and for the shortest time, because every movement in a
/// warehouse needs its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CellId(u32);

/// What a cell counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CellKind {
    /// What is used of an allowance.
    Allowance(AllowanceIndex),
    /// The available and reserved units of a level.
    Level(LevelIndex),
    /// The room left in a warehouse, or the units in it beyond its capacity.
    Room(WarehouseIndex),
}

const ROOM_BIT: u32 = 1 << 31;
const LEVEL_BIT: u32 = 1 << 30;

impl CellId {
    /// What is used of an allowance.
    pub(crate) fn allowance(allowance: AllowanceIndex) -> Self {
        debug_assert!(allowance.0 < LEVEL_BIT, "no engine has 2^30 allowances");
        Self(allowance.0)
    }

    /// The counts of a level.
    pub(crate) fn level(level: LevelIndex) -> Self {
        debug_assert!(level.0 < LEVEL_BIT, "no engine has 2^30 levels");
        Self(LEVEL_BIT | level.0)
    }

    /// The room left in a warehouse.
    pub(crate) fn room(warehouse: WarehouseIndex) -> Self {
        Self(ROOM_BIT | u32::from(warehouse.0))
    }

    /// What the cell counts.
    pub(crate) fn kind(self) -> CellKind {
        // Levels first: they are in every commit, and no room's number has their bit.
        if self.0 & LEVEL_BIT != 0 {
            CellKind::Level(LevelIndex(self.0 & !LEVEL_BIT))
        } else if self.0 & ROOM_BIT != 0 {
            // A room's number fits: `room` made it from 16 bits.
            CellKind::Room(WarehouseIndex((self.0 & !ROOM_BIT) as u16))
        } else {
            CellKind::Allowance(AllowanceIndex(self.0))
        }
    }

    /// The id as a number, for an atomic.
    pub(crate) fn bits(self) -> u32 {
        self.0
    }

    /// The id that [`bits`](Self::bits) encoded.
    pub(crate) fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}

/// Reads marked words. The descriptor pool implements it.
pub(crate) trait Marks {
    /// What the cell `id` counts while it holds the mark `bits`. Writes nothing. `None` if the mark
    /// is gone from the cell by now; a second read of the cell then finds something newer.
    fn value(&self, id: CellId, bits: u64) -> Option<Word>;
}

/// Gets marks out of the way. The descriptor pool together with all cells implements it.
pub(crate) trait ResolveMark {
    /// Gets the mark `bits` out of `cell`, or makes some progress towards it, by helping the commit
    /// that put it there. The caller reads the cell again. `Err` if `delta` does not fit what the
    /// mark means: it holds what [`value`](Marks::value) would return, and nothing was written.
    fn resolve_mark(&self, id: CellId, cell: &Cell, bits: u64, delta: Delta) -> Result<(), Word>;
}

/// For cells that no commit ever marks, in tests and models.
#[cfg(any(test, all(loom, feature = "loom")))]
#[derive(Debug)]
pub(crate) struct NoMarks;

#[cfg(any(test, all(loom, feature = "loom")))]
impl ResolveMark for NoMarks {
    fn resolve_mark(&self, id: CellId, _: &Cell, bits: u64, _: Delta) -> Result<(), Word> {
        panic!("{id:?} is marked ({bits:x}), and there are no commits")
    }
}

impl Cell {
    /// A cell that starts with `word`.
    pub(crate) fn new(word: Word) -> Self {
        Self { word: AtomicU64::new(word.bits()) }
    }

    /// Both counts at one instant. Never waits and writes nothing.
    #[inline]
    pub(crate) fn read<M: Marks + ?Sized>(&self, id: CellId, marks: &M) -> Word {
        match Word::from_bits(self.look()) {
            Some(word) => word,
            None => self.read_marked(id, marks),
        }
    }

    #[cold]
    #[inline(never)]
    fn read_marked<M: Marks + ?Sized>(&self, id: CellId, marks: &M) -> Word {
        loop {
            let bits = self.look();
            if let Some(word) = Word::from_bits(bits).or_else(|| marks.value(id, bits)) {
                return word;
            }
        }
    }

    /// Applies `delta` if it fits, and returns what the swap replaced. If it does not fit, changes
    /// nothing and returns the word that was short.
    ///
    /// Lock-free: a swap fails only because another one succeeded, and an unfinished commit in the
    /// way is helped to its end, not waited for.
    #[inline(always)]
    pub(crate) fn apply<S: ResolveMark + ?Sized>(
        &self,
        id: CellId,
        delta: Delta,
        commits: &S,
    ) -> Result<Change, Word> {
        self.change(id, delta, commits, |word| word.apply(delta))
    }

    /// Takes room away, whether so much was left or not. `Err` only if there would be more over
    /// than a word holds.
    pub(crate) fn take_room_by_force<S: ResolveMark + ?Sized>(
        &self,
        id: CellId,
        qty: Quantity,
        commits: &S,
    ) -> Result<Change, Word> {
        // Nothing that a mark may mean is too little, so "nothing" stands for the delta there.
        self.change(id, Delta::NOTHING, commits, |word| word.without_room(qty))
    }

    /// Replaces the word by what `next` makes of it. Whatever a mark means must allow `delta`, or
    /// the change is refused there.
    #[inline(always)]
    fn change<S: ResolveMark + ?Sized>(
        &self,
        id: CellId,
        delta: Delta,
        commits: &S,
        next: impl Fn(Word) -> Option<Word>,
    ) -> Result<Change, Word> {
        let mut bits = self.look();
        loop {
            let Some(before) = Word::from_bits(bits) else {
                bits = self.clear_the_way(id, bits, delta, commits)?;
                continue;
            };
            let Some(after) = next(before) else {
                return Err(before);
            };
            // AcqRel. Release publishes what this thread did before it gave (the queued entry).
            // Acquire, here and where the swap fails, sees what earlier givers did before. Both
            // pair with the swaps of other threads and with `look`.
            match self.word.compare_exchange_weak(
                before.bits(),
                after.bits(),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Ok(Change { before, after }),
                Err(now) => bits = now,
            }
        }
    }

    /// One step past a mark; returns what the cell holds then. A delta that does not fit what the
    /// mark means is refused at once, so the refusals of a sold-out product write nothing.
    #[cold]
    #[inline(never)]
    fn clear_the_way<S: ResolveMark + ?Sized>(
        &self,
        id: CellId,
        bits: u64,
        delta: Delta,
        commits: &S,
    ) -> Result<u64, Word> {
        commits.resolve_mark(id, self, bits, delta)?;
        Ok(self.look())
    }

    /// The raw word: counts or a mark.
    pub(in crate::stock) fn look(&self) -> u64 {
        // Acquire pairs with the Release half of every swap of the word. For plain counts: whoever
        // sees units given back also sees that the giver has queued its audit entry (Law 2). For a
        // mark: whoever meets it sees all that its operation wrote before.
        self.word.load(Ordering::Acquire)
    }

    /// Puts a commit's mark in the place of `word`.
    pub(in crate::stock) fn put_mark(&self, word: Word, mark: u64) -> bool {
        // Release pairs with `look`. Acquire sees what the writer of `word`, or of the faster mark,
        // did.
        self.word.compare_exchange(word.bits(), mark, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Replaces a commit's mark by the counts that it has come to mean. If the mark is gone,
    /// another thread has replaced it, by the same counts.
    pub(in crate::stock) fn unmark(&self, mark: u64, word: Word) {
        // Release: whoever sees the counts sees the record queued before them (Law 2), and that the
        // operation is final. Acquire on failure: this thread may go on to give its descriptor
        // back, and must pass on that the mark is gone to whoever sees that (`ControlWord::load`).
        // If this were Relaxed, a model ends with a reader that finds the stale mark for ever.
        let _ = self.word.compare_exchange(mark, word.bits(), Ordering::AcqRel, Ordering::Acquire);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn allowances_come_before_levels_and_rooms_come_last() {
        let allowance = |number| CellId::allowance(AllowanceIndex(number));
        let level = |number| CellId::level(LevelIndex(number));
        let room = |number| CellId::room(WarehouseIndex(number));
        let last = (1 << 30) - 1;
        let all = [allowance(0), allowance(last), level(0), level(last), room(0), room(u16::MAX)];
        assert!(all.is_sorted_by(|one, next| one < next));
        let kinds = [
            CellKind::Allowance(AllowanceIndex(0)),
            CellKind::Allowance(AllowanceIndex(last)),
            CellKind::Level(LevelIndex(0)),
            CellKind::Level(LevelIndex(last)),
            CellKind::Room(WarehouseIndex(0)),
            CellKind::Room(WarehouseIndex(u16::MAX)),
        ];
        assert_eq!(all.map(CellId::kind), kinds);
        assert_eq!(all.map(|id| CellId::from_bits(id.bits())), all);
    }
}
