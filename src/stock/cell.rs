//! One atomic stock word, and the one compare-and-swap loop that changes it (Law 1).
//!
//! A word may be *marked*: a multi-cell commit has noted its counts elsewhere and put its own name
//! in their place (`commit/mod.rs` tells the whole story). This file knows only that bit 63 says so
//! and that somebody, behind the trait [`Settle`], can say what such a word means and get it out of
//! the way. Unmarked words, nearly all of them, pay one predictable branch for it.

use crate::stock::handle::{LevelIndex, WarehouseIndex};
use crate::stock::word::{Delta, Word};
use crate::sync::{AtomicU64, Ordering};

/// A stock word that many threads read and change: a level's counts, or a warehouse's room.
#[derive(Debug)]
pub(crate) struct Cell {
    word: AtomicU64,
}

/// What a successful swap replaced, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) before: Word,
    pub(crate) after: Word,
}

/// The small stable number of a cell, by which an unfinished commit finds its way back to it.
///
/// The top bit tells rooms of warehouses from stock levels. A commit marks its cells in ascending
/// order, so that rooms, which every movement in their warehouse needs, are marked last and shortest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CellId(u32);

/// What a cell counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CellKind {
    /// The available and reserved units of a level.
    Level(LevelIndex),
    /// The room left in a warehouse.
    Room(WarehouseIndex),
}

const ROOM_BIT: u32 = 1 << 31;

impl CellId {
    /// The counts of a level.
    pub(crate) fn level(level: LevelIndex) -> Self {
        debug_assert!(level.0 & ROOM_BIT == 0, "no manager has 2^31 levels");
        Self(level.0)
    }

    /// The room left in a warehouse.
    pub(crate) fn room(warehouse: WarehouseIndex) -> Self {
        Self(ROOM_BIT | u32::from(warehouse.0))
    }

    /// What the cell counts.
    pub(crate) fn kind(self) -> CellKind {
        if self.0 & ROOM_BIT == 0 {
            CellKind::Level(LevelIndex(self.0))
        } else {
            // A room's number was made of 16 bits.
            CellKind::Room(WarehouseIndex((self.0 & !ROOM_BIT) as u16))
        }
    }

    /// The number, for an atomic.
    pub(crate) fn bits(self) -> u32 {
        self.0
    }

    /// The id that [`bits`](Self::bits) made a number of.
    pub(crate) fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}

/// Whoever can read marked words: the commits' pool.
pub(crate) trait Marks {
    /// What the cell `id` counts while it holds the mark `bits`. Writes nothing. `None` says that
    /// the mark is gone from the cell by now, and a second look at it will show something newer.
    fn value(&self, id: CellId, bits: u64) -> Option<Word>;
}

/// Whoever can get marks out of the way: the commits' pool with all cells at hand.
pub(crate) trait Settle {
    /// Gets the mark `bits` out of `cell`, or at least some way towards it: helps the commit that
    /// put it there to its end. The caller looks at the cell again. But if `delta` does not fit what
    /// the mark means, returns that as [`value`](Marks::value) would, and writes nothing.
    fn settle(&self, id: CellId, cell: &Cell, bits: u64, delta: Delta) -> Result<(), Word>;
}

/// For cells that stand alone, in tests and models: no commit ever marks them.
#[cfg(any(test, all(loom, feature = "loom")))]
#[derive(Debug)]
pub(crate) struct Alone;

#[cfg(any(test, all(loom, feature = "loom")))]
impl Settle for Alone {
    fn settle(&self, id: CellId, _: &Cell, bits: u64, _: Delta) -> Result<(), Word> {
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

    /// Applies `delta` if it fits, and says what the swap replaced; otherwise changes nothing and
    /// returns the word that was short. Lock-free: a failed swap means that another one succeeded,
    /// and an unfinished commit in the way is helped to its end, not waited for.
    #[inline]
    pub(crate) fn apply<S: Settle + ?Sized>(
        &self,
        id: CellId,
        delta: Delta,
        commits: &S,
    ) -> Result<Change, Word> {
        let mut bits = self.look();
        loop {
            let Some(before) = Word::from_bits(bits) else {
                bits = self.clear_the_way(id, bits, delta, commits)?;
                continue;
            };
            let Some(after) = before.apply(delta) else {
                return Err(before);
            };
            #[cfg(planted = "cell_swapped_blindly")]
            {
                self.word.store(after.bits(), Ordering::Release);
                return Ok(Change { before, after });
            }
            // AcqRel: Release hands on what this thread did before it gave (the queued entry);
            // Acquire, here and where the swap fails, takes over what earlier givers did before.
            match self.word.compare_exchange_weak(
                before.bits(),
                after.bits(),
                if cfg!(planted = "cell_swap_relaxed") {
                    Ordering::Relaxed
                } else {
                    Ordering::AcqRel
                },
                Ordering::Acquire,
            ) {
                Ok(_) => return Ok(Change { before, after }),
                Err(now) => bits = now,
            }
        }
    }

    /// One step past a mark: says what the cell holds then. A delta that does not fit what the mark
    /// means is refused at once, so that the refusals of a sold-out product write nothing.
    #[cold]
    #[inline(never)]
    fn clear_the_way<S: Settle + ?Sized>(
        &self,
        id: CellId,
        bits: u64,
        delta: Delta,
        commits: &S,
    ) -> Result<u64, Word> {
        commits.settle(id, self, bits, delta)?;
        Ok(self.look())
    }

    /// What stands in memory: counts or a mark.
    pub(in crate::stock) fn look(&self) -> u64 {
        // Acquire pairs with the Release half of every swap of the word. Of plain counts: whoever
        // sees units given back also sees that the giver has queued its audit entry (Law 2). Of a
        // mark: whoever meets one sees all that its operation wrote down before.
        self.word.load(Ordering::Acquire)
    }

    /// Puts a commit's mark in the place of `word`.
    pub(in crate::stock) fn put_mark(&self, word: Word, mark: u64) -> bool {
        // Release pairs with `look`; Acquire takes over from whoever wrote `word`, or was faster.
        self.word.compare_exchange(word.bits(), mark, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Takes a commit's mark off, for the counts that it has come to mean. A mark that is gone
    /// already was taken off by somebody else, for the same counts.
    pub(in crate::stock) fn take_mark_off(&self, mark: u64, word: Word) {
        // Release: whoever sees the counts sees the announcement that came before them (Law 2), and
        // that the operation is final. Acquire, on failure: this thread may go on to give its slot
        // back, and must hand on to whoever sees that (`ControlWord::load`) that the mark is gone.
        // A model of it ends in a reader who finds the stale mark for ever if this is Relaxed.
        let _ = self.word.compare_exchange(mark, word.bits(), Ordering::AcqRel, Ordering::Acquire);
    }
}
