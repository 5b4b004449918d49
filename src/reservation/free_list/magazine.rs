//! A magazine: a block of slot numbers that moves as one.

use crate::base::clock::Timestamp;
use crate::base::sync::{AtomicU32, AtomicU64, AtomicUsize, MODELLED, Ordering};
use crate::reservation::chain::SlotNumber;

/// How many slots move between a shard and the depot at a time. Few enough that filling a magazine,
/// once in so many ends of a hold, takes well under a microsecond.
pub(crate) const MAGAZINE: usize = if MODELLED { 2 } else { 64 };

/// The first and the last slot of a magazine are so far apart at most if their holds ended in about
/// the order in which they were made, by a few threads.
const SIDE_BY_SIDE: u32 = 4 * MAGAZINE as u32;

/// A block of slot numbers. The thread that takes its number off a queue has it to itself.
#[derive(Debug)]
pub(super) struct Magazine {
    /// Filled from the back; see [`first`](Self::first).
    slots: [AtomicU32; MAGAZINE],
    count: AtomicUsize,
    /// When it was filled: no record in it ended later.
    filled_at: AtomicU64,
}

impl Magazine {
    pub(super) fn new() -> Self {
        Self {
            slots: std::array::from_fn(|_| AtomicU32::new(0)),
            count: AtomicUsize::new(0),
            filled_at: AtomicU64::new(0),
        }
    }

    /// The place of the first slot in it; [`MAGAZINE`] if it is empty. Relaxed, as everything in a
    /// magazine that this thread has to itself: the queue that handed it over orders its contents.
    pub(super) fn first(&self) -> usize {
        MAGAZINE.saturating_sub(self.count.load(Ordering::Relaxed))
    }

    /// Fills it with these slots, oldest first; at most [`MAGAZINE`].
    pub(super) fn fill(&self, slots: &[SlotNumber], now: Timestamp) {
        for (place, slot) in self.slots.iter().rev().zip(slots.iter().rev()) {
            place.store(*slot, Ordering::Relaxed);
        }
        self.count.store(slots.len(), Ordering::Relaxed);
        self.filled_at.store(now.as_millis(), Ordering::Relaxed);
    }

    /// The slot at a place; `None` behind the last.
    #[inline]
    pub(super) fn slot(&self, place: usize) -> Option<SlotNumber> {
        Some(self.slots.get(place)?.load(Ordering::Relaxed))
    }

    /// Has the processor fetch what holds in these slots will touch, if the slots are scattered: if
    /// their holds ended at random, each lies where no cache has it. `load` reads a word of it. The
    /// processor fetches all of them side by side, for little more time than one takes. So the
    /// reserves that take the slots need not wait one by one. Slots that ended in order lie side by
    /// side, and the processor is ahead by itself.
    pub(super) fn fetch(&self, load: impl Fn(SlotNumber) -> u64) {
        let slots = &self.slots[self.first().min(MAGAZINE)..];
        let [Some(first), Some(last)] = [slots.first(), slots.last()] else { return };
        let [first, last] = [first, last].map(|slot| slot.load(Ordering::Relaxed));
        if first.abs_diff(last) <= SIDE_BY_SIDE {
            return;
        }
        // Nobody wants the words. But their loads must not be optimised away.
        let words = slots.iter().map(|slot| load(slot.load(Ordering::Relaxed)));
        std::hint::black_box(words.fold(0, |all, word| all ^ word));
    }

    /// Notes that the slots before this place have been taken.
    pub(super) fn keep_from(&self, place: usize) {
        self.count.store(MAGAZINE - place, Ordering::Relaxed);
    }

    /// When it was filled.
    pub(super) fn filled_at(&self) -> Timestamp {
        Timestamp::from_millis(self.filled_at.load(Ordering::Relaxed))
    }
}
