//! The chain word: how the head of a reservation leads to its other slots.
//!
//! ```text
//!   63 .. 57   56       55      54        53         52     51      50 .. 32          31 .. 0
//! +---------+--------+-------+---------+----------+------+-------+-----------------+-----------+
//! | unused  | counts | draws | expired | released | keep | whole | generation (19) | slot (32) |
//! +---------+--------+-------+---------+----------+------+-------+-----------------+-----------+
//! ```
//!
//! *Slot* is the first slot of the chain. *Generation* is what the slots of the chain bear beside
//! the head's number. A partial step cannot change several slots at one instant. So it makes a
//! fresh chain of all lines, and then stores this one word. *Whole* marks such a chain: it holds
//! all lines, and the line in the head itself means nothing. A reader that loads the word sees all
//! lines as they were before the step, or all as they are after it.
//!
//! *Keep*: the slots do not retire until all that was sold is shipped or cancelled. *Released* and
//! *expired* tell how a reservation ended that had sold something before and gave its last units
//! back. Its phase alone says only that it is confirmed.
//!
//! *Draws*: some slots of the chain are draws on allowances. *Counts*: the hold is over, and draws
//! of what it sold count for a time. The slots do not retire before that is over, either.

use crate::reservation::state::{GENERATION_BITS, Phase};

/// The number of a slot. An id holds it, so a look-up hashes nothing.
pub(crate) type SlotNumber = u32;

/// No slot: the end of a chain.
pub(crate) const NO_SLOT: SlotNumber = SlotNumber::MAX;

const SLOT_BITS: u32 = 32;
const GENERATION_MASK: u64 = (1 << GENERATION_BITS) - 1;
const WHOLE: u64 = 1 << (SLOT_BITS + GENERATION_BITS);
const KEEP: u64 = WHOLE << 1;
const RELEASED: u64 = KEEP << 1;
const EXPIRED: u64 = RELEASED << 1;
const DRAWS: u64 = EXPIRED << 1;
const COUNTS: u64 = DRAWS << 1;

const _: () = assert!(SLOT_BITS == SlotNumber::BITS && SLOT_BITS + GENERATION_BITS + 6 <= 64);

/// A snapshot of a head's chain word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chain(u64);

impl Chain {
    /// A reservation of one line, which is in the head.
    pub(crate) const NONE: Self = Self(NO_SLOT as u64);

    /// The lines after the head's own: the chain that begins at `first`, made in `generation`.
    pub(crate) fn of_later_lines(self, first: SlotNumber, generation: u32) -> Self {
        Self(self.flags() & !WHOLE | Self::leads_to(first, generation))
    }

    /// All lines: the chain that begins at `first`, made in `generation`.
    pub(crate) fn of_all_lines(self, first: SlotNumber, generation: u32) -> Self {
        Self(self.flags() | WHOLE | Self::leads_to(first, generation))
    }

    /// Sets whether the slots are kept until all that was sold is shipped or cancelled.
    pub(crate) fn keeping(self, keep: bool) -> Self {
        Self(if keep { self.0 | KEEP } else { self.0 & !KEEP })
    }

    /// Sets whether some of the slots are draws.
    pub(crate) fn drawing(self, draws: bool) -> Self {
        Self(if draws { self.0 | DRAWS } else { self.0 & !DRAWS })
    }

    /// Whether the slots of a hold that is over stay: some of what it sold is `unsettled` and its
    /// record is kept for that, or draws of it still count.
    #[inline(always)]
    pub(crate) fn stays(self, unsettled: bool) -> bool {
        self.0 & (KEEP | COUNTS) != 0 && (unsettled || self.counts())
    }

    /// Whether some of the slots are draws.
    pub(crate) fn draws(self) -> bool {
        self.0 & DRAWS != 0
    }

    /// Sets whether draws of what it sold count for a time.
    pub(crate) fn counting(self, counts: bool) -> Self {
        Self(if counts { self.0 | COUNTS } else { self.0 & !COUNTS })
    }

    /// Whether draws of what it sold count for a time, which is not over.
    pub(crate) fn counts(self) -> bool {
        self.0 & COUNTS != 0
    }

    /// The reservation has sold something before, and now ends and gives its last units back.
    pub(crate) fn ending_as(self, end: Phase) -> Self {
        match end {
            Phase::Released => Self(self.0 | RELEASED),
            Phase::Expired => Self(self.0 | EXPIRED),
            _ => self,
        }
    }

    /// The word that [`bits`](Self::bits) encoded.
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    /// The first slot after the head; [`NO_SLOT`] if there is none.
    pub(crate) fn first(self) -> SlotNumber {
        self.0 as SlotNumber
    }

    /// Whether the head is the only slot.
    pub(crate) fn is_empty(self) -> bool {
        self.first() == NO_SLOT
    }

    /// The generation that the slots of the chain bear.
    pub(crate) fn generation(self) -> u32 {
        (self.0 >> SLOT_BITS & GENERATION_MASK) as u32
    }

    /// Whether the chain holds all lines, so that the head's own line means nothing.
    pub(crate) fn is_whole(self) -> bool {
        self.0 & WHOLE != 0
    }

    /// Whether the slots are kept until all that was sold is shipped or cancelled.
    pub(crate) fn keeps(self) -> bool {
        self.0 & KEEP != 0
    }

    /// How a reservation in `phase` ended. A confirmed one may have given its last units back.
    pub(crate) fn end(self, phase: Phase) -> Phase {
        match phase {
            Phase::Confirmed | Phase::Shipping if self.0 & EXPIRED != 0 => Phase::Expired,
            Phase::Confirmed | Phase::Shipping if self.0 & RELEASED != 0 => Phase::Released,
            Phase::Shipping => Phase::Confirmed,
            phase => phase,
        }
    }

    fn flags(self) -> u64 {
        self.0 & !(WHOLE - 1)
    }

    fn leads_to(first: SlotNumber, generation: u32) -> u64 {
        u64::from(first) | (u64::from(generation) & GENERATION_MASK) << SLOT_BITS
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_chain_survives_packing(
            first: u32, generation in 0..1_u32 << 19, keep: bool, whole: bool,
        ) {
            let chain = Chain::NONE.keeping(keep);
            let chain = if whole {
                chain.of_all_lines(first, generation)
            } else {
                chain.of_later_lines(first, generation)
            };
            let read = Chain::from_bits(chain.bits());
            prop_assert_eq!((read.first(), read.generation()), (first, generation));
            prop_assert_eq!((read.is_whole(), read.keeps()), (whole, keep));
            prop_assert_eq!(read.end(Phase::Confirmed), Phase::Confirmed);
            let drawing = read.drawing(true).counting(true);
            prop_assert!(!read.draws() && !read.counts() && drawing.draws() && drawing.counts());
            prop_assert_eq!(drawing.counting(false).drawing(false), read);
            for end in [Phase::Released, Phase::Expired] {
                let over = read.ending_as(end);
                prop_assert_eq!(over.end(Phase::Confirmed), end);
                prop_assert_eq!(over.end(Phase::Shipping), end);
                prop_assert_eq!((over.first(), over.keeps()), (first, keep));
            }
        }
    }

    #[test]
    fn a_hold_of_one_line_has_no_chain() {
        assert!(Chain::NONE.is_empty() && !Chain::NONE.is_whole() && !Chain::NONE.keeps());
        assert!(Chain::NONE.keeping(true).is_empty());
    }
}
