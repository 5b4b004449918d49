//! The active magazine of a shard: which one it hands slots out of, and from which place on, in one
//! word.

use crate::base::sync::{AtomicU64, Ordering};
use crate::reservation::chain::SlotNumber;
use crate::reservation::free_list::magazine::{MAGAZINE, Magazine};

/// ```text
///   63 ............. 38   37 ........... 31   30 .......... 0
/// +---------------------+------------------+------------------+
/// |    magazine (26)    |  next place (7)  |   version (31)   |
/// +---------------------+------------------+------------------+
/// ```
///
/// Taking a slot reads its place and then moves the word on by one swap. Whoever stalled between
/// the two fails, also where the same magazine has come back: each installation has a version of
/// its own (an ABA generation).
#[derive(Debug)]
pub(super) struct ActiveMagazine(AtomicU64);

/// A slot that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TakenSlot {
    pub(super) slot: SlotNumber,
    /// The magazine, if this was its last slot: the caller's now, to be filled again.
    pub(super) emptied: Option<u32>,
}

const PLACE_BITS: u32 = 7;
const VERSION_BITS: u32 = 31;
const VERSION_MASK: u64 = (1 << VERSION_BITS) - 1;
const PLACE_MASK: u64 = (1 << PLACE_BITS) - 1;

const _: () = assert!(MAGAZINE <= PLACE_MASK as usize, "the place behind the last has a number");

/// The word of a shard without an active magazine ends so, whatever its version.
const EMPTY: u64 = MAGAZINE as u64;

/// The most magazines that the word can name.
pub(super) const MOST_MAGAZINES: usize = 1 << (64 - PLACE_BITS - VERSION_BITS);

fn place_of(word: u64) -> u64 {
    word >> VERSION_BITS & PLACE_MASK
}

fn magazine_of(word: u64) -> u32 {
    (word >> (PLACE_BITS + VERSION_BITS)) as u32
}

impl ActiveMagazine {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(EMPTY << VERSION_BITS))
    }

    /// Takes the next slot, if there is one.
    #[inline(always)]
    pub(super) fn take<'m>(
        &self,
        magazine: impl Fn(usize) -> Option<&'m Magazine>,
    ) -> Option<TakenSlot> {
        // Acquire pairs with the Release in `install`: the magazine's contents.
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            let place = place_of(word) as usize;
            let number = magazine_of(word);
            // Empty: the place behind the last.
            let slot = magazine(number as usize)?.slot(place)?;
            let next = word + (1 << VERSION_BITS);
            // Release keeps the read of the place before the swap: whoever takes the last slot
            // acquires it, and may have the magazine filled again then. (No model shows this one:
            // in loom no load waits for what is stored after it.)
            let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
            match self.0.compare_exchange_weak(word, next, success, failure) {
                Ok(_) => {
                    let emptied = (place + 1 == MAGAZINE).then_some(number);
                    return Some(TakenSlot { slot, emptied });
                }
                Err(now) => word = now,
            }
        }
    }

    /// Has slots handed out of this magazine, from place `first` on; `false` if there is another
    /// one that still has some.
    pub(super) fn install(&self, magazine: u32, first: usize) -> bool {
        let word = self.0.load(Ordering::Relaxed);
        if place_of(word) != EMPTY {
            return false;
        }
        let version = (word + 1) & VERSION_MASK;
        let new = (u64::from(magazine) << PLACE_BITS | first as u64) << VERSION_BITS | version;
        // Release pairs with the Acquire in `take`. (A fence of `InFlightRefills`, on every way
        // here, would do too, so that no model shows the lack of it.)
        self.0.compare_exchange(word, new, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// Slots that it could hand out.
    pub(super) fn left(&self) -> usize {
        MAGAZINE - place_of(self.0.load(Ordering::Relaxed)) as usize
    }
}
