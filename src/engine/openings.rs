//! The openings of the journal: which one this engine is, and what the earlier ones may have lost.
//!
//! A call may be answered before its record is on the disk. If the machine dies then, the record is
//! lost, but its caller still has the id. Such an id was made after the last entry that its opening
//! saved, and before the next opening. No entry that was saved lies in such a gap, so no id of a
//! gap was ever recorded. The id's own bits say which opening made it.

use crate::base::clock::Timestamp;
use crate::base::error::NoReservation;
use crate::engine::Engine;
use crate::reservation::id::ReservationId;
use crate::reservation::slots::{Lookup, VacantSlot};

/// The openings of the journal up to this engine's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Openings {
    /// The number of this engine's opening; 0 without a journal.
    current: u64,
    /// For each earlier opening that saved an entry, the times of its first and last one, oldest
    /// first.
    spans: Vec<(Timestamp, Timestamp)>,
    /// When this engine opened the journal.
    opened_at: Timestamp,
}

impl Openings {
    #[cfg(feature = "journal")]
    pub(super) fn new(
        current: u64,
        spans: Vec<(Timestamp, Timestamp)>,
        opened_at: Timestamp,
    ) -> Self {
        Self { current, spans, opened_at }
    }

    /// The opening that lost this id, if it was made in a gap.
    ///
    /// Openings that saved nothing have no span, and nobody knows between which spans they were. So
    /// each of some numbers may be that of a gap, and the id's bits say which: the lowest that
    /// fits.
    ///
    /// `unused`: its slot was never used by it, nor by a later one. So it was not saved, and the
    /// millisecond of the last entry that was saved belongs to the gap, too.
    fn that_lost(&self, id: ReservationId, unused: bool) -> Option<u64> {
        let made = id.created_at();
        let is_before = |last: Timestamp| last < made || (last == made && unused);
        // A wrong clock may have put one opening's entries into another's gap.
        if self.spans.iter().any(|(first, last)| *first <= made && !is_before(*last)) {
            return None;
        }
        let spans = self.spans.len() as u64;
        let without = self.current.saturating_sub(1).saturating_sub(spans);
        let mut next = self.opened_at;
        for (highest, (first, last)) in (1..self.current).rev().zip(self.spans.iter().rev()) {
            let lowest = highest.saturating_sub(without).max(1);
            let lost = (lowest..=highest).find(|it| id.may_be_of(*it));
            if is_before(*last) && made < next && lost.is_some() {
                return lost;
            }
            next = *first;
        }
        None
    }
}

impl Engine {
    /// The id of a new hold in this slot.
    #[inline(always)]
    pub(super) fn new_id(&self, slot: &VacantSlot<'_>) -> ReservationId {
        let lowest = ReservationId::lowest(self.openings.current, self.randomness.next());
        ReservationId::new(slot.id_time(), slot.number(), lowest)
    }

    /// Why a look-up found no record.
    #[cold]
    #[inline(never)]
    pub(super) fn missing(&self, id: ReservationId, found: Lookup<'_>) -> NoReservation {
        let unused = matches!(found, Lookup::Unknown);
        match self.openings.that_lost(id, unused) {
            Some(opening) => NoReservation::Lost { opening },
            // Of a session whose clock was ahead, a slot may no longer show that it had this id.
            None if unused && !self.is_dated_ahead(id.created_at()) => NoReservation::Unknown,
            None => NoReservation::Forgotten,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn id(made: u64, opening: u64) -> ReservationId {
        ReservationId::new(at(made), 3, ReservationId::lowest(opening, u64::MAX))
    }

    #[test]
    fn an_id_of_a_gap_is_lost_by_the_opening_before_it() {
        let spans = vec![(at(10), at(20)), (at(30), at(40))];
        let openings = Openings { current: 3, spans, opened_at: at(50) };
        for (made, opening, lost) in [
            (15, 1, None),
            (20, 1, None),
            (21, 1, Some(1)),
            (29, 1, Some(1)),
            (29, 2, None),
            (30, 1, None),
            (41, 2, Some(2)),
            (41, 6, Some(2)),
            (49, 1, None),
            (50, 2, None),
            (50, 3, None),
            (9, 0, None),
        ] {
            assert_eq!(openings.that_lost(id(made, opening), false), lost, "{made} {opening}");
        }
        // In the millisecond of the last entry: only the slot tells whether it was saved.
        assert_eq!(openings.that_lost(id(20, 1), true), Some(1));
        assert_eq!(openings.that_lost(id(40, 2), true), Some(2));
        assert_eq!(openings.that_lost(id(19, 1), true), None);
        assert_eq!(Openings::default().that_lost(id(5, 0), false), None, "no journal, no crash");
    }

    #[test]
    fn an_opening_that_saved_nothing_makes_no_id_of_a_gap_unknown() {
        // Of five openings two saved nothing: nobody knows which of them.
        let spans = vec![(at(10), at(20)), (at(30), at(40)), (at(50), at(60))];
        let openings = Openings { current: 6, spans, opened_at: at(90) };
        for (made, opening, lost) in [
            (25, 1, Some(1)),
            (25, 2, Some(2)),
            (25, 3, Some(3)),
            (25, 4, None),
            (45, 2, Some(2)),
            (45, 4, Some(4)),
            (45, 5, None),
            (70, 3, Some(3)),
            (70, 5, Some(5)),
            (70, 6, None),
            (55, 4, None),
        ] {
            assert_eq!(openings.that_lost(id(made, opening), false), lost, "{made} {opening}");
        }
    }

    #[test]
    fn a_wrong_clock_makes_no_gap_of_what_was_saved() {
        // The second opening ran behind the first one, and the third inside of its gap.
        let spans = vec![(at(100), at(200)), (at(10), at(20)), (at(120), at(130))];
        let openings = Openings { current: 4, spans, opened_at: at(300) };
        assert_eq!(openings.that_lost(id(125, 2), false), None, "the third saved entries there");
        assert_eq!(openings.that_lost(id(150, 3), false), None, "so did the first");
        assert_eq!(openings.that_lost(id(250, 3), false), Some(3));
        assert_eq!(openings.that_lost(id(50, 2), false), Some(2));
    }
}
