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
//! A *room word* counts a warehouse's room in the same two halves: *left*, the units that still fit
//! (the lower half), and *over*, the units inside beyond the capacity (the upper half). One of them
//! is always 0. So the word is a signed balance: capacity minus what is inside. It has arithmetic
//! of its own. Room that is given fills down `over` first, and room is taken out of `left` alone.
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

    /// The word after `delta`, or `None` if a count would leave the range 0 to [`MAX_UNITS`], or
    /// `available` would fall under the delta's [floor](Delta::above).
    #[inline(always)]
    pub(crate) fn apply(self, delta: Delta) -> Option<Self> {
        let available = i64::from(self.available()) + i64::from(delta.available);
        let reserved = i64::from(self.reserved()) + i64::from(delta.reserved);
        match Self::of_counts(available, reserved) {
            // A room's delta comes here, since it fits no level's word. So the deltas of levels,
            // nearly all of them, pay nothing for the question.
            None if delta.is_room() => self.apply_to_room(delta.available),
            Some(after) if delta.available < 0 && after.available() < delta.floor => None,
            after => after,
        }
    }

    /// Room is given (`units` above 0), or taken: of what is left, and of no more.
    fn apply_to_room(self, units: i32) -> Option<Self> {
        let balance = self.balance() + i64::from(units);
        if units < 0 && balance < 0 { None } else { Self::of_balance(balance) }
    }

    /// A room word's balance: capacity minus what is inside.
    pub(crate) fn balance(self) -> i64 {
        i64::from(self.available()) - i64::from(self.reserved())
    }

    /// The room word after `units` of room are gone, whether so many were left or not. For a
    /// capacity that shrinks, and for units that are inside already.
    pub(crate) fn without_room(self, units: Quantity) -> Option<Self> {
        Self::of_balance(self.balance() - i64::from(units.get()))
    }

    /// `None` if the balance is more than one of the halves can hold.
    fn of_balance(balance: i64) -> Option<Self> {
        Self::of_counts(balance.max(0), (-balance).max(0))
    }

    /// `None` if a count is not in the range 0 to [`MAX_UNITS`].
    fn of_counts(available: i64, reserved: i64) -> Option<Self> {
        // A negative number has its high bits set, so one comparison checks both ends.
        let fits = (available | reserved) as u64 <= COUNT_MASK;
        fits.then_some(Self(available as u64 | (reserved as u64) << RESERVED_SHIFT))
    }
}

/// How one operation changes one word: a level's, or a room's.
///
/// A room's delta has its units in `available` and [`ROOM`] in the place of `reserved`. No level's
/// delta has that: no word could fit it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Delta {
    available: i32,
    reserved: i32,
    /// See [`above`](Self::above).
    floor: u32,
}

/// What the `reserved` of a room's delta holds. It brings any count below 0.
pub(in crate::stock) const ROOM: i32 = i32::MIN;

impl Delta {
    /// A warehouse gets room back: for units that have left it, or by a larger capacity.
    pub(crate) fn give_room(qty: Quantity) -> Self {
        Self { available: signed(qty), reserved: ROOM, floor: 0 }
    }

    /// Room is taken for units that will come in.
    pub(crate) fn take_room(qty: Quantity) -> Self {
        Self { available: -signed(qty), reserved: ROOM, floor: 0 }
    }

    /// Units come in: `available += qty`.
    pub(crate) fn receive(qty: Quantity) -> Self {
        Self { available: signed(qty), reserved: 0, floor: 0 }
    }

    /// Units go out: `available -= qty`.
    pub(crate) fn withdraw(qty: Quantity) -> Self {
        Self { available: -signed(qty), reserved: 0, floor: 0 }
    }

    /// A reserve: `available -= qty`, `reserved += qty`.
    pub(crate) fn hold(qty: Quantity) -> Self {
        Self { available: -signed(qty), reserved: signed(qty), floor: 0 }
    }

    /// A hold or a sale is undone: `available += qty`, `reserved -= qty`.
    pub(crate) fn give_back(qty: Quantity) -> Self {
        Self { available: signed(qty), reserved: -signed(qty), floor: 0 }
    }

    /// Sold units leave the building: `reserved -= qty`.
    pub(crate) fn ship(qty: Quantity) -> Self {
        Self { available: 0, reserved: -signed(qty), floor: 0 }
    }

    /// The same, but it fits only where at least `floor` units stay available. That is asked only
    /// of a delta that takes: what gives always fits, however low the count was or is then.
    ///
    /// The floor is part of the delta, and not read again from a setting: all who drive a commit
    /// must decide alike.
    pub(crate) fn above(self, floor: u32) -> Self {
        Self { floor, ..self }
    }

    /// Changes nothing, and so fits every word: a line that only reads.
    pub(crate) const NOTHING: Self = Self { available: 0, reserved: 0, floor: 0 };

    /// Both deltas in one, above the higher of their floors. `None` if a count would move by more
    /// than any word holds: no word fits such a delta, so its operation is refused without a look
    /// at the word. Both must be of a level, or both of a room.
    pub(crate) fn merge(self, other: Self) -> Option<Self> {
        let available = self.available.checked_add(other.available)?;
        let reserved = match (self.is_room(), other.is_room()) {
            (true, true) => ROOM,
            (false, false) => self.reserved.checked_add(other.reserved)?,
            // One cell is never both.
            _ => return None,
        };
        Some(Self { available, reserved, floor: self.floor.max(other.floor) })
    }

    fn is_room(self) -> bool {
        self.reserved == ROOM
    }

    /// How far `available` moves, or a room's balance.
    pub(crate) fn available(self) -> i32 {
        self.available
    }

    /// How far `reserved` moves; means nothing in a room's delta.
    pub(crate) fn reserved(self) -> i32 {
        self.reserved
    }

    /// How many units must stay available.
    pub(crate) fn floor(self) -> u32 {
        self.floor
    }

    /// How the counts move, as one word, for an atomic: `available` in the upper half, `reserved`
    /// in the lower.
    pub(crate) fn bits(self) -> u64 {
        u64::from(self.available.cast_unsigned()) << 32 | u64::from(self.reserved.cast_unsigned())
    }

    /// The delta that [`bits`](Self::bits) encoded, without a floor.
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self {
            available: ((bits >> 32) as u32).cast_signed(),
            reserved: (bits as u32).cast_signed(),
            floor: 0,
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
    fn a_floor_binds_what_takes_and_nothing_that_gives() {
        let word = Word::new(5, 2);
        assert_eq!(word.apply(Delta::hold(qty(2)).above(3)), Some(Word::new(3, 4)));
        for takes in [Delta::hold(qty(3)), Delta::withdraw(qty(3))] {
            assert!(word.apply(takes).is_some());
            assert_eq!(word.apply(takes.above(3)), None);
        }
        let gives = [Delta::give_back(qty(1)), Delta::receive(qty(1)), Delta::ship(qty(1))];
        for gives in gives.into_iter().chain([Delta::NOTHING]) {
            assert_eq!(word.apply(gives.above(9)), word.apply(gives));
        }
        let both = Delta::hold(qty(1)).above(4).merge(Delta::hold(qty(1)).above(3));
        assert_eq!(both, Some(Delta::hold(qty(2)).above(4)));
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

    #[test]
    fn deltas_of_one_room_merge_to_their_sum_and_never_with_a_levels() {
        let (two, five) = (qty(2), qty(5));
        let both = Delta::give_room(five).merge(Delta::take_room(two));
        assert_eq!(both, Some(Delta::give_room(qty(3))));
        assert_eq!(
            Delta::give_room(two).merge(Delta::give_room(five)),
            Some(Delta::give_room(qty(7)))
        );
        let nothing = Delta::give_room(two).merge(Delta::take_room(two)).expect("a sum");
        for word in [Word::new(3, 0), Word::new(0, 3), Word::new(0, 0)] {
            assert_eq!(word.apply(nothing), Some(word));
        }
        assert_eq!(Delta::give_room(two).merge(Delta::receive(two)), None);
        let all = qty(MAX_UNITS);
        assert_eq!(Delta::take_room(all).merge(Delta::take_room(all)), None);
    }

    #[test]
    fn room_given_fills_down_what_is_over_and_only_the_rest_is_left() {
        let over = Word::new(0, 3);
        for (given, after) in [(1, (0, 2)), (3, (0, 0)), (5, (2, 0))] {
            let after = Word::new(after.0, after.1);
            assert_eq!(over.apply(Delta::give_room(qty(given))), Some(after), "{given}");
        }
        assert_eq!(over.apply(Delta::take_room(qty(1))), None, "nothing is left to take");
        assert_eq!(Word::new(2, 0).apply(Delta::take_room(qty(3))), None);
        assert_eq!(Word::new(2, 0).without_room(qty(5)), Some(over));
    }

    #[test]
    fn no_levels_word_fits_a_rooms_delta_by_the_arithmetic_of_levels() {
        // The largest reserved count is the nearest to fitting.
        let nearest = i64::from(MAX_UNITS) + i64::from(ROOM);
        assert_eq!((nearest, Word::of_counts(0, nearest)), (-1, None));
    }

    proptest! {
        #[test]
        fn a_delta_survives_packing(out in 1..=MAX_UNITS, back in 1..=MAX_UNITS) {
            let (out, back) = (qty(out), qty(back));
            let rooms = [Delta::give_room(back), Delta::take_room(out)];
            for delta in [Delta::hold(out), Delta::give_back(back), Delta::ship(out)]
                .into_iter()
                .chain(rooms)
            {
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
        fn a_room_word_is_the_capacity_less_what_is_inside(
            capacity in 0..=MAX_UNITS,
            inside in 0..=MAX_UNITS,
            units in 1..=MAX_UNITS,
        ) {
            let word = |capacity: u32, inside: i64| {
                let balance = i64::from(capacity) - inside;
                Word::new(balance.max(0) as u32, (-balance).max(0) as u32)
            };
            let (before, inside) = (word(capacity, inside.into()), i64::from(inside));
            let more = inside + i64::from(units);
            let taken = (more <= i64::from(capacity)).then(|| word(capacity, more));
            prop_assert_eq!(before.apply(Delta::take_room(qty(units))), taken);
            if let Some(less) = inside.checked_sub(units.into()).filter(|less| *less >= 0) {
                let given = before.apply(Delta::give_room(qty(units)));
                prop_assert_eq!(given, Some(word(capacity, less)));
            }
            if let Some(shrunk) = capacity.checked_sub(units) {
                prop_assert_eq!(before.without_room(qty(units)), Some(word(shrunk, inside)));
            }
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
