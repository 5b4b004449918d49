//! The word of an allowance, and how draws change it.
//!
//! An allowance is a word as a level's is. What may still be drawn, if no maximum stood in the way,
//! is *available*: [`MAX_UNITS`] less what is used. Nothing is reserved. So a draw is a withdrawal
//! that leaves what lies above the maximum: the maximum is the delta's floor, from the other end.
//! It travels in the line, as every floor does, so all who drive a commit decide by the same one.
//! And it binds draws alone: what is given back always fits, also under a maximum that is lower by
//! now.

use crate::base::quantity::{MAX_UNITS, Quantity};
use crate::stock::word::{Delta, Word};

/// The maximum of a call that passes the rule: as much as a word can count.
pub(crate) const NO_MAXIMUM: u32 = MAX_UNITS;

/// An allowance of which nothing is used.
pub(crate) fn unused() -> Word {
    Word::new(MAX_UNITS, 0)
}

/// How much is used, as an allowance's word says.
pub(crate) fn used_in(word: Word) -> u32 {
    MAX_UNITS - word.available()
}

/// Draws `units`, if no more than `maximum` are used then.
pub(crate) fn draw(units: Quantity, maximum: u32) -> Delta {
    Delta::withdraw(units).above(MAX_UNITS.saturating_sub(maximum))
}

/// Gives `units` back that were drawn.
pub(crate) fn give(units: Quantity) -> Delta {
    Delta::receive(units)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn qty(units: u32) -> Quantity {
        Quantity::new(units).expect("a legal quantity")
    }

    fn word_of(used: u32) -> Word {
        Word::new(MAX_UNITS - used, 0)
    }

    #[test]
    fn a_draw_fits_up_to_the_maximum_and_not_one_above() {
        assert_eq!(used_in(unused()), 0);
        assert_eq!(unused().apply(draw(qty(2), 2)), Some(word_of(2)));
        assert_eq!(unused().apply(draw(qty(3), 2)), None);
        assert_eq!(word_of(1).apply(draw(qty(1), 2)), Some(word_of(2)));
        assert_eq!(word_of(2).apply(draw(qty(1), 2)), None);
        assert_eq!(unused().apply(draw(qty(1), 0)), None);
    }

    #[test]
    fn what_is_given_back_fits_under_any_maximum() {
        assert_eq!(word_of(5).apply(give(qty(2))), Some(word_of(3)));
        assert_eq!(word_of(5).apply(give(qty(5))), Some(unused()));
        assert_eq!(word_of(5).apply(give(qty(6))), None, "nobody gives what was not drawn");
        assert_eq!(word_of(5).apply(draw(qty(1), 2)), None, "the maximum is lower by now");
    }

    #[test]
    fn a_call_that_passes_the_rule_draws_as_much_as_a_word_counts() {
        assert_eq!(word_of(7).apply(draw(qty(1), NO_MAXIMUM)), Some(word_of(8)));
        assert_eq!(unused().apply(draw(qty(MAX_UNITS), NO_MAXIMUM)), Some(word_of(MAX_UNITS)));
        assert_eq!(word_of(MAX_UNITS).apply(draw(qty(1), NO_MAXIMUM)), None);
        assert_eq!(draw(qty(1), u32::MAX), draw(qty(1), NO_MAXIMUM));
    }

    #[test]
    fn draws_of_one_commit_are_one_draw_under_the_maximum() {
        let both = draw(qty(1), 3).merge(draw(qty(2), 3)).expect("a sum");
        assert_eq!(both, draw(qty(3), 3));
        assert_eq!(word_of(1).apply(both), None);
    }
}
