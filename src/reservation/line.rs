//! One line of a reservation, and how the words of a slot pack it.
//!
//! ```text
//!   63 ............. 32   31   30 ............. 0
//! +---------------------+----+-------------------+
//! |     level (32)      | o  |     held (31)     |   line; o: the head has an owner
//! +---------------------+----+-------------------+
//! |   sold so far (32)  |  given back so far (32)|   earlier steps: later slots only
//! +---------------------+------------------------+
//! |  settled, odd (32)  |   settled, even (32)   |   settled
//! +---------------------+------------------------+
//! ```
//!
//! *Held* is what the line holds, or held when the hold ended. *Sold* and *given back* count the
//! partial steps before that. A line that has seen a partial step is always in a later slot,
//! because the head's words are full.
//!
//! *Settled* counts sold units that were shipped, or whose sale was cancelled, by reservation. The
//! word has two copies. The head's generation, odd or even, selects the one that counts. A thread
//! that settles several lines writes the other copy in each slot, and then publishes the head's
//! next generation. This switches all lines to the new numbers at one instant.

use crate::reservation::state::Phase;
use crate::stock::handle::LevelIndex;

/// The level number of a slot that holds a note and no line.
pub(crate) const NOTE: u32 = u32::MAX;
/// The level number of a slot that holds a draw and no line.
pub(crate) const DRAW: u32 = u32::MAX - 1;

const HAS_OWNER: u64 = 1 << 31;
const HELD_MASK: u64 = HAS_OWNER - 1;

/// One line of a reservation: units of one level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotLine {
    pub(crate) level: LevelIndex,
    /// Units under hold. Once the hold is over: the units that its end sold or gave back.
    pub(crate) held: u32,
    /// Units sold by partial steps before the end.
    pub(crate) sold: u32,
    /// Units given back by partial steps before the end.
    pub(crate) given_back: u32,
    /// Sold units that were since shipped or cancelled by reservation.
    pub(crate) settled: u32,
}

impl SlotLine {
    /// A line of nothing, where there must be some line.
    pub(crate) const NONE: Self =
        Self { level: LevelIndex(0), held: 0, sold: 0, given_back: 0, settled: 0 };

    /// A line of a new hold.
    pub(crate) fn new(level: LevelIndex, held: u32) -> Self {
        Self { level, held, sold: 0, given_back: 0, settled: 0 }
    }

    /// Units that the line holds at present, in a reservation whose end (or phase, if live) is
    /// `end`.
    pub(crate) fn held_in(&self, end: Phase) -> u32 {
        if end.is_live() { self.held } else { 0 }
    }

    /// Units that the line has sold, in a reservation whose end (or phase, if live) is `end`.
    pub(crate) fn sold_in(&self, end: Phase) -> u32 {
        if end == Phase::Confirmed { self.sold + self.held } else { self.sold }
    }

    /// Whether a partial step has sold units that are neither shipped nor cancelled.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.sold > self.settled
    }

    /// Units that the line had at first.
    pub(crate) fn quantity(&self) -> u32 {
        self.held + self.sold + self.given_back
    }

    /// The line after a step that sold and gave back so many of its held units. `None` if it holds
    /// fewer.
    pub(crate) fn step(self, sold: u32, given_back: u32) -> Option<Self> {
        let held = self.held.checked_sub(sold)?.checked_sub(given_back)?;
        Some(Self {
            held,
            sold: self.sold + sold,
            given_back: self.given_back + given_back,
            ..self
        })
    }

    /// The line's own word.
    pub(crate) fn word(&self, has_owner: bool) -> u64 {
        let owner = if has_owner { HAS_OWNER } else { 0 };
        u64::from(self.level.0) << 32 | owner | u64::from(self.held)
    }

    /// The word of the earlier steps.
    pub(crate) fn steps_word(&self) -> u64 {
        u64::from(self.sold) << 32 | u64::from(self.given_back)
    }

    /// The word of the settled units, with the same number in both copies.
    pub(crate) fn settled_word(&self) -> u64 {
        u64::from(self.settled) << 32 | u64::from(self.settled)
    }

    /// The line that these words encode while its head is in `generation`, and whether the head has
    /// an owner.
    pub(crate) fn from_words(word: u64, steps: u64, settled: u64, generation: u32) -> (Self, bool) {
        let line = Self {
            level: LevelIndex((word >> 32) as u32),
            held: (word & HELD_MASK) as u32,
            sold: (steps >> 32) as u32,
            given_back: steps as u32,
            settled: (settled >> settled_shift(generation)) as u32,
        };
        (line, word & HAS_OWNER != 0)
    }
}

/// The settled word that counts `units` from the head's `generation` on, and until then what it
/// counts now.
pub(crate) fn settled_from(word: u64, generation: u32, units: u32) -> u64 {
    let shift = settled_shift(generation);
    word & !(u64::from(u32::MAX) << shift) | u64::from(units) << shift
}

fn settled_shift(generation: u32) -> u32 {
    generation % 2 * 32
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_line_survives_packing(
            level in 0..u32::MAX, held in 0..1_u32 << 31, sold in 0..1_u32 << 31,
            given_back in 0..1_u32 << 31, settled: u32, owner: bool, generation in 0..4_u32,
        ) {
            let line = SlotLine { level: LevelIndex(level), held, sold, given_back, settled };
            let words = (line.word(owner), line.steps_word(), line.settled_word());
            let (word, steps, settled) = words;
            let unpacked = SlotLine::from_words(word, steps, settled, generation);
            prop_assert_eq!(unpacked, (line, owner));
        }

        #[test]
        fn what_is_settled_counts_from_the_next_generation_on(
            before: u32, after: u32, generation in 0..4_u32,
        ) {
            let line = SlotLine { settled: before, ..SlotLine::new(LevelIndex(1), 9) };
            let word = settled_from(line.settled_word(), generation + 1, after);
            let settled = |at| SlotLine::from_words(line.word(false), 0, word, at).0.settled;
            prop_assert_eq!((settled(generation), settled(generation + 1)), (before, after));
        }
    }

    #[test]
    fn a_step_takes_no_more_than_is_held() {
        let line = SlotLine::new(LevelIndex(1), 5);
        let stepped = line.step(2, 1).expect("3 of 5");
        assert_eq!((stepped.held, stepped.sold, stepped.given_back), (2, 2, 1));
        assert_eq!(stepped.quantity(), 5);
        assert_eq!(stepped.step(2, 1), None);
    }
}
