//! The packed stock word: pure arithmetic, no atomics.
//!
//! ```text
//!   63     62      61 ............ 31   30 ............. 0
//! +------+------+---------------------+---------------------+
//! | mark | zero |  reserved (31 bits) | available (31 bits) |
//! +------+------+---------------------+---------------------+
//! ```
//!
//! Anyone may take *available* units. *Reserved* units are taken: held by a pending reservation, or
//! sold and still in the building. Both counts are in one word, so they are always read, and always
//! change, together (Law 1). A word with bit 63 set holds no counts: it is the *mark* of a
//! multi-word CAS that is under way.
//!
//! No other file holds a shift or a mask of this layout.

use crate::base::quantity::{MAX_UNITS, Quantity};

const COUNT_BITS: u32 = 31;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const RESERVED_SHIFT: u32 = COUNT_BITS;
/// Set in a word that a multi-word CAS has marked. `mcas/mark.rs` lays out the other 63 bits.
pub(in crate::stock) const MARK_BIT: u64 = 1 << 63;

const _: () = assert!(COUNT_MASK == MAX_UNITS as u64, "a count holds every legal quantity");
const _: () = assert!(
    (COUNT_MASK | COUNT_MASK << RESERVED_SHIFT) & MARK_BIT == 0,
    "the counts leave the mark alone"
);
const _: () = assert!(COUNT_MASK & COUNT_MASK << RESERVED_SHIFT == 0, "the counts do not overlap");

/// A snapshot of one stock word that holds counts, never a mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Word(u64);

impl Word {
    /// A word of these counts. Both must be at most [`MAX_UNITS`].
    pub(crate) fn new(available: u32, reserved: u32) -> Self {
        debug_assert!(available <= MAX_UNITS && reserved <= MAX_UNITS);
        Self(u64::from(available) | u64::from(reserved) << RESERVED_SHIFT)
    }

    /// The counts that `bits` encode, or `None` if they are a mark.
    pub(crate) fn from_bits(bits: u64) -> Option<Self> {
        (bits & MARK_BIT == 0).then_some(Self(bits))
    }

    /// The encoded word, as it stands in a cell.
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// Units that anyone may take.
    pub(crate) fn available(self) -> u32 {
        (self.0 & COUNT_MASK) as u32
    }

    /// Units that are held, or sold and not yet shipped.
    pub(crate) fn reserved(self) -> u32 {
        (self.0 >> RESERVED_SHIFT & COUNT_MASK) as u32
    }

    /// The word after `delta`, or `None` if a count would leave the range 0 to [`MAX_UNITS`].
    pub(crate) fn apply(self, delta: Delta) -> Option<Self> {
        let available = i64::from(self.available()) + i64::from(delta.available);
        let reserved = i64::from(self.reserved()) + i64::from(delta.reserved);
        // A negative number has its high bits set, so one comparison checks both ends.
        let fits = (available | reserved) as u64 <= COUNT_MASK;
        fits.then_some(Self(available as u64 | (reserved as u64) << RESERVED_SHIFT))
    }
}

/// How one operation changes one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Delta {
    available: i32,
    reserved: i32,
}

impl Delta {
    /// Units come in: `available += qty`.
    pub(crate) fn receive(qty: Quantity) -> Self {
        Self { available: signed(qty), reserved: 0 }
    }

    /// Units go out: `available -= qty`.
    pub(crate) fn withdraw(qty: Quantity) -> Self {
        Self { available: -signed(qty), reserved: 0 }
    }

    /// A reserve: `available -= qty`, `reserved += qty`.
    pub(crate) fn hold(qty: Quantity) -> Self {
        Self { available: -signed(qty), reserved: signed(qty) }
    }

    /// A hold or a sale is undone: `available += qty`, `reserved -= qty`.
    pub(crate) fn give_back(qty: Quantity) -> Self {
        Self { available: signed(qty), reserved: -signed(qty) }
    }

    /// Sold units leave the building: `reserved -= qty`.
    pub(crate) fn ship(qty: Quantity) -> Self {
        Self { available: 0, reserved: -signed(qty) }
    }

    /// Changes nothing, and so fits every word: a line that only reads.
    pub(crate) const NOTHING: Self = Self { available: 0, reserved: 0 };

    /// Both deltas in one. `None` if a count would move by more than any word holds: no word fits
    /// such a delta, so its operation is refused without a look at the word.
    pub(crate) fn merge(self, other: Self) -> Option<Self> {
        Some(Self {
            available: self.available.checked_add(other.available)?,
            reserved: self.reserved.checked_add(other.reserved)?,
        })
    }

    /// How far `available` moves.
    pub(crate) fn available(self) -> i32 {
        self.available
    }

    /// How far `reserved` moves.
    pub(crate) fn reserved(self) -> i32 {
        self.reserved
    }

    /// The delta as one word, for an atomic: `available` in the upper half, `reserved` in the
    /// lower.
    pub(crate) fn bits(self) -> u64 {
        u64::from(self.available.cast_unsigned()) << 32 | u64::from(self.reserved.cast_unsigned())
    }

    /// The delta that [`bits`](Self::bits) encoded.
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self {
            available: ((bits >> 32) as u32).cast_signed(),
            reserved: (bits as u32).cast_signed(),
        }
    }
}

/// Always fits: a quantity is at most 2^31 - 1.
fn signed(qty: Quantity) -> i32 {
    qty.get() as i32
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn qty(units: u32) -> Quantity {
        Quantity::new(units).expect("a legal quantity")
    }

    #[test]
    fn a_delta_that_does_not_fit_is_refused() {
        let word = Word::new(5, 2);
        assert_eq!(word.apply(Delta::hold(qty(6))), None);
        assert_eq!(word.apply(Delta::withdraw(qty(6))), None);
        assert_eq!(word.apply(Delta::ship(qty(3))), None);
        assert_eq!(word.apply(Delta::give_back(qty(3))), None);
        assert_eq!(Word::new(MAX_UNITS, 0).apply(Delta::receive(qty(1))), None);
    }

    #[test]
    fn a_marked_word_is_no_count() {
        assert_eq!(Word::from_bits(MARK_BIT), None);
        assert_eq!(Word::from_bits(MARK_BIT | 7), None);
        assert_eq!(Word::from_bits(7), Some(Word::new(7, 0)));
    }

    #[test]
    fn deltas_merge_unless_no_word_could_hold_the_sum() {
        let five = Delta::hold(qty(2)).merge(Delta::hold(qty(3)));
        assert_eq!(five, Some(Delta::hold(qty(5))));
        let nothing = Delta::hold(qty(2)).merge(Delta::give_back(qty(2)));
        assert_eq!(nothing, Some(Delta::NOTHING));
        let all = qty(MAX_UNITS);
        assert_eq!(Delta::receive(all).merge(Delta::receive(all)), None);
        assert_eq!(Delta::withdraw(all).merge(Delta::withdraw(all)), None);
    }

    proptest! {
        #[test]
        fn a_delta_survives_packing(out in 1..=MAX_UNITS, back in 1..=MAX_UNITS) {
            let (out, back) = (qty(out), qty(back));
            for delta in [Delta::hold(out), Delta::give_back(back), Delta::ship(out)] {
                prop_assert_eq!(Delta::from_bits(delta.bits()), delta);
            }
        }

        #[test]
        fn counts_survive_packing(available in 0..=MAX_UNITS, reserved in 0..=MAX_UNITS) {
            let word = Word::new(available, reserved);
            prop_assert_eq!((word.available(), word.reserved()), (available, reserved));
            prop_assert_eq!(Word::from_bits(word.bits()), Some(word));
        }

        #[test]
        fn a_hold_moves_units_between_the_counts(
            available in 0..=MAX_UNITS,
            reserved in 0..=MAX_UNITS,
            units in 1..=MAX_UNITS,
        ) {
            let word = Word::new(available, reserved);
            let has_room = u64::from(reserved) + u64::from(units) <= u64::from(MAX_UNITS);
            let fits = units <= available && has_room;
            match word.apply(Delta::hold(qty(units))) {
                Some(after) => {
                    prop_assert!(fits);
                    prop_assert_eq!(after, Word::new(available - units, reserved + units));
                    prop_assert_eq!(after.apply(Delta::give_back(qty(units))), Some(word));
                }
                None => prop_assert!(!fits),
            }
        }
    }
}
