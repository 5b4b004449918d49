//! A draw on an allowance, in a later slot of a chain.
//!
//! ```text
//!             +--------------------------------------------------------------+
//!   name      | head slot | generation        | drawn (32) | allowance (32)  |
//!   owner     | the subject                                                  |
//!   line      | DRAW (32)                     | of sale (1) | which line     |
//!   settled   | rule (22)                     | until, ms (42)               |
//!             +--------------------------------------------------------------+
//! ```
//!
//! The draws of a reservation come behind its lines. Only the thread that has the reservation to
//! itself, in `Ending` or `Shipping`, reads or changes what is drawn: so that needs no second copy.
//! The subject and the rule never change, and anyone may read them, as all else in the chain.

use super::{LINE, NAME, SETTLED, Slot};
use crate::base::clock::Timestamp;
use crate::base::sync::Ordering;
use crate::reservation::line::DRAW;
use crate::stock::allowance::key::{AllowanceKey, RuleNumber, SubjectHash};
use crate::stock::handle::AllowanceIndex;

const UNTIL_BITS: u32 = 42;
const UNTIL_MASK: u64 = (1 << UNTIL_BITS) - 1;
/// The most numbers of rules: as many as a slot can name.
pub(crate) const MOST_RULES: u32 = 1 << (u64::BITS - UNTIL_BITS);
const LOWER_HALF: u64 = u32::MAX as u64;
const OF_SALE: u64 = 1 << 31;
/// In place of a line: of a draw that was given back before an opening. It says for whom the hold
/// was, and nothing else.
pub(crate) const NO_LINE: u32 = OF_SALE as u32 - 1;

const _: () = assert!(UNTIL_MASK == Timestamp::MAX.as_millis(), "every moment fits");

/// What a line of a reservation has drawn on one allowance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotDraw {
    /// Which line of the reservation draws, counted from 0. Steps on parts keep the lines' order.
    pub(crate) line: u32,
    pub(crate) key: AllowanceKey,
    /// Where the allowance is, as long as something is drawn.
    pub(crate) allowance: AllowanceIndex,
    /// Units of the line that count.
    pub(crate) drawn: u32,
    /// It was taken when units were sold that were held without it. So it counts sold units alone.
    pub(crate) of_sale: bool,
    /// When they count no more, if the hold is over and they count for a time. Else the default.
    pub(crate) until: Timestamp,
}

impl SlotDraw {
    /// Whether a sale still counts, for a time.
    pub(crate) fn ends(&self) -> Option<Timestamp> {
        (self.drawn > 0 && self.until != Timestamp::default()).then_some(self.until)
    }
}

impl Slot<'_> {
    /// Writes the draw, all but the chain's name and the link.
    pub(super) fn write_draw(self, draw: &SlotDraw) {
        let SlotDraw { line, key, .. } = *draw;
        debug_assert!(key.rule.0 < MOST_RULES, "who defines a rule has checked that");
        self.write_drawn(draw);
        self.write_owner(key.subject.to_halves());
        let of_sale = if draw.of_sale { OF_SALE } else { 0 };
        let line = u64::from(DRAW) << u32::BITS | of_sale | u64::from(line);
        self.0[LINE].store(line, Ordering::Relaxed);
    }

    /// Writes what of the draw changes. Only the thread that has the reservation to itself may.
    pub(crate) fn write_drawn(self, draw: &SlotDraw) {
        // Relaxed: the store of the head's state, with which the thread lets go, publishes it.
        let drawn = u64::from(draw.drawn) << u32::BITS | u64::from(draw.allowance.0);
        self.0[NAME[1]].store(drawn, Ordering::Relaxed);
        let until = u64::from(draw.key.rule.0) << UNTIL_BITS | draw.until.as_millis();
        self.0[SETTLED].store(until, Ordering::Relaxed);
    }

    /// The draw in this slot; `None` if it holds none.
    pub(crate) fn read_draw(self) -> Option<SlotDraw> {
        let line = self.0[LINE].load(Ordering::Relaxed);
        if line >> u32::BITS != u64::from(DRAW) {
            return None;
        }
        let drawn = self.0[NAME[1]].load(Ordering::Relaxed);
        let until = self.0[SETTLED].load(Ordering::Relaxed);
        let subject = SubjectHash::from_halves(self.read_owner());
        Some(SlotDraw {
            line: (line & (OF_SALE - 1)) as u32,
            key: AllowanceKey { rule: RuleNumber((until >> UNTIL_BITS) as u32), subject },
            allowance: AllowanceIndex((drawn & LOWER_HALF) as u32),
            drawn: (drawn >> u32::BITS) as u32,
            of_sale: line & OF_SALE != 0,
            until: Timestamp::from_millis(until & UNTIL_MASK),
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::base::sync::AtomicU64;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_draw_survives_packing(
            line in 0..=u32::from(u16::MAX), rule in 0..MOST_RULES, halves: [u64; 2],
            allowance: u32, drawn: u32, of_sale: bool,
            until in 0..=Timestamp::MAX.as_millis(),
        ) {
            let words = std::array::from_fn(|_| AtomicU64::new(0));
            let slot = Slot::new(&words);
            prop_assert_eq!(slot.read_draw(), None);
            let subject = SubjectHash::from_halves(halves);
            let draw = SlotDraw {
                line,
                key: AllowanceKey { rule: RuleNumber(rule), subject },
                allowance: AllowanceIndex(allowance),
                drawn,
                of_sale,
                until: Timestamp::from_millis(until),
            };
            slot.write_draw(&draw);
            prop_assert_eq!(slot.read_draw(), Some(draw));
        }
    }
}
