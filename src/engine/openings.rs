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
    /// Openings that saved nothing have no span, so the number of an older gap may be too high.
    /// Then the id's bits contradict it, and the answer is `None`, as for an id that nobody made.
    fn that_lost(&self, id: ReservationId) -> Option<u64> {
        let made = id.created_at();
        // A wrong clock may have put one opening's entries into another's gap.
        if self.spans.iter().any(|(first, last)| (*first..=*last).contains(&made)) {
            return None;
        }
        let mut next = self.opened_at;
        for (opening, (first, last)) in (1..self.current).rev().zip(self.spans.iter().rev()) {
            if *last < made && made < next && id.may_be_of(opening) {
                return Some(opening);
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
        match self.openings.that_lost(id) {
            Some(opening) => NoReservation::Lost { opening },
            None if matches!(found, Lookup::Unknown) => NoReservation::Unknown,
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
            assert_eq!(openings.that_lost(id(made, opening)), lost, "{made} {opening}");
        }
        assert_eq!(Openings::default().that_lost(id(5, 0)), None, "no journal, no crash");
    }

    #[test]
    fn a_wrong_clock_makes_no_gap_of_what_was_saved() {
        // The second opening ran behind the first one, and the third inside of its gap.
        let spans = vec![(at(100), at(200)), (at(10), at(20)), (at(120), at(130))];
        let openings = Openings { current: 4, spans, opened_at: at(300) };
        assert_eq!(openings.that_lost(id(125, 2)), None, "the third saved entries there");
        assert_eq!(openings.that_lost(id(150, 3)), None, "so did the first");
        assert_eq!(openings.that_lost(id(250, 3)), Some(3));
        assert_eq!(openings.that_lost(id(50, 2)), Some(2));
    }
}
