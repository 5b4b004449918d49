//! The mark that stands in a cell in place of its counts: pure packing, no atomics.
//!
//! ```text
//!   63     62     61 ........ 45   44 ................. 0
//! +------+--------+---------------+----------------------+
//! | one  | helper | slot (17 bits)|  sequence (45 bits)  |
//! +------+--------+---------------+----------------------+
//! ```
//!
//! A mark names the descriptor of the thread that put it there: its slot in the pool, and the
//! sequence that the slot had then. The sequence is an ABA generation: a slot's sequence only
//! rises, so no mark ever recurs. If the *helper* bit is clear, the descriptor is the operation
//! itself, and the mark is also the operation's name. If the bit is set, the descriptor belongs to
//! a helper and names the operation that it helps.

use crate::stock::word::MARK_BIT;

use crate::stock::mcas::recorder::CommitName;

/// The bits that name a slot: 131,072 slots.
pub(super) const SLOT_BITS: u32 = 17;
/// The bits that count the uses of a slot. At 20 million uses a second, one slot lasts 20 days. A
/// slot that has used them up is never taken again.
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

/// What a driver of an MCAS leaves in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark(u64);

impl Mark {
    /// The mark of the operation in `slot` itself, which is also the operation's name.
    pub(super) fn owner(slot: u32, sequence: u64) -> Self {
        debug_assert!(u64::from(slot) <= SLOT_MASK && sequence <= SEQUENCE_MASK);
        Self(MARK_BIT | u64::from(slot) << SLOT_SHIFT | sequence)
    }

    /// The mark of a helper whose notes are in `slot`.
    pub(super) fn helper(slot: u32, sequence: u64) -> Self {
        Self(Self::owner(slot, sequence).0 | HELPER_BIT)
    }

    /// The mark that `bits` encode, or `None` if they are counts or zero.
    pub(super) fn from_bits(bits: u64) -> Option<Self> {
        (bits & MARK_BIT != 0).then_some(Self(bits))
    }

    /// The encoded mark, as it stands in a cell.
    pub(super) fn bits(self) -> u64 {
        self.0
    }

    /// Whether a helper put it there.
    pub(super) fn is_helper(self) -> bool {
        self.0 & HELPER_BIT != 0
    }

    /// The slot of the thread that put the mark there. That thread noted in it the counts that the
    /// mark replaced.
    pub(super) fn slot(self) -> u32 {
        (self.0 >> SLOT_SHIFT & SLOT_MASK) as u32
    }

    /// The sequence that the slot had. If the slot has another one now, the mark is gone from its
    /// cell.
    pub(super) fn sequence(self) -> u64 {
        self.0 & SEQUENCE_MASK
    }

    /// The operation's name, as the floors above know it.
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
            let make = if helper { Mark::helper } else { Mark::owner };
            let mark = make(slot, sequence);
            let unpacked = (mark.slot(), mark.sequence(), mark.is_helper());
            prop_assert_eq!(unpacked, (slot, sequence, helper));
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
