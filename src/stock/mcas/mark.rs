//! What stands in a marked word: pure packing, no atomics.
//!
//! ```text
//!   63     62     61 ........ 45   44 ................. 0
//! +------+--------+---------------+----------------------+
//! | one  | helper | slot (17 bits)|  sequence (45 bits)  |
//! +------+--------+---------------+----------------------+
//! ```
//!
//! A mark names the slot of the thread that put it there, and the sequence that the slot had then.
//! Sequences of a slot only rise, so that no mark ever recurs. With the *helper* bit clear, the slot
//! is the operation itself: such a mark doubles as the operation's name. With the bit set, the slot
//! belongs to a helper and says which operation it helps.

use crate::stock::word::MARK_BIT;

use crate::stock::mcas::recorder::CommitName;

/// How many bits name a slot: 131,072 of them.
pub(super) const SLOT_BITS: u32 = 17;
/// How many bits count the uses of a slot. At 20 million a second they last 20 days of one slot, so
/// a slot that has used them up is laid aside for good.
pub(super) const SEQUENCE_BITS: u32 = 45;

const SEQUENCE_MASK: u64 = (1 << SEQUENCE_BITS) - 1;
const SLOT_SHIFT: u32 = SEQUENCE_BITS;
const SLOT_MASK: u64 = (1 << SLOT_BITS) - 1;
const HELPER_BIT: u64 = 1 << 62;

const _: () = assert!(SEQUENCE_MASK & (SLOT_MASK << SLOT_SHIFT) == 0, "the fields do not overlap");
const _: () = assert!(
    MARK_BIT ^ HELPER_BIT ^ (SLOT_MASK << SLOT_SHIFT) ^ SEQUENCE_MASK == u64::MAX,
    "together they fill the word"
);

/// The name that a driver of a multi-cell operation leaves in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark(u64);

impl Mark {
    /// The mark of the operation in `slot` itself, which is also its name.
    pub(super) fn owner(slot: u32, sequence: u64) -> Self {
        debug_assert!(u64::from(slot) <= SLOT_MASK && sequence <= SEQUENCE_MASK);
        Self(MARK_BIT | u64::from(slot) << SLOT_SHIFT | sequence)
    }

    /// The mark of a helper whose notes are in `slot`.
    pub(super) fn helper(slot: u32, sequence: u64) -> Self {
        Self(Self::owner(slot, sequence).0 | HELPER_BIT)
    }

    /// The mark behind `bits`, or `None` where they are counts, or nothing.
    pub(super) fn from_bits(bits: u64) -> Option<Self> {
        (bits & MARK_BIT != 0).then_some(Self(bits))
    }

    /// What stands in memory.
    pub(super) fn bits(self) -> u64 {
        self.0
    }

    /// Was it put there by a helper?
    pub(super) fn is_helper(self) -> bool {
        self.0 & HELPER_BIT != 0
    }

    /// The slot in which whoever put it there noted the counts that it replaced.
    pub(super) fn slot(self) -> u32 {
        (self.0 >> SLOT_SHIFT & SLOT_MASK) as u32
    }

    /// The sequence that the slot had; another one now says that the mark is gone from its cell.
    pub(super) fn sequence(self) -> u64 {
        self.0 & SEQUENCE_MASK
    }

    /// The operation's name, as the world outside knows it.
    pub(super) fn name(self) -> CommitName {
        CommitName { slot: self.slot(), sequence: self.sequence() }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::stock::word::Word;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_mark_survives_packing_and_is_no_count(
            slot in 0..1_u32 << SLOT_BITS,
            sequence in 0..1_u64 << SEQUENCE_BITS,
            helper: bool,
        ) {
            let mark = if helper { Mark::helper(slot, sequence) } else { Mark::owner(slot, sequence) };
            prop_assert_eq!((mark.slot(), mark.sequence(), mark.is_helper()), (slot, sequence, helper));
            prop_assert_eq!(Mark::from_bits(mark.bits()), Some(mark));
            prop_assert_eq!(Word::from_bits(mark.bits()), None);
        }
    }

    #[test]
    fn counts_are_no_mark() {
        assert_eq!(Mark::from_bits(0), None);
        assert_eq!(Mark::from_bits(Word::new(3, 4).bits()), None);
    }
}
