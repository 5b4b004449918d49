//! The index of holders: who has which live holds. An engine has one if its builder asks for it.
//!
//! A hold is entered before it shows, and taken out by the thread that ends it, before the end
//! shows. So whoever looks finds every hold that was live all the while; the slots say which of
//! those found still are.
//!
//! A sorted set, and not a list for each holder: a shop may give half a million holds one owner.

use std::collections::BTreeSet;

use crate::base::shard::shards_for;
use crate::base::sync::{CachePadded, Mutex, lock};
use crate::reservation::id::{Owner, ReservationId};
use crate::stock::allowance::key::SubjectHash;

/// Who has a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Holder {
    Owner(Owner),
    /// A subject for which the hold has drawn on an allowance.
    Subject(SubjectHash),
}

impl Holder {
    /// Which part of so many, a power of two, has this holder.
    fn part_of(self, parts: usize) -> usize {
        let [first, second] = match self {
            Self::Owner(owner) => owner.to_halves(),
            Self::Subject(subject) => subject.to_halves(),
        };
        // Owners may be small numbers, in whichever bytes. A product of twice the length has all
        // bits of both in its middle.
        let both = first ^ second.rotate_left(u32::BITS);
        let spread = u128::from(both) * 0x9e37_79b9_7f4a_7c15;
        (spread >> u64::BITS ^ spread >> u32::BITS) as usize & (parts - 1)
    }
}

type Part = BTreeSet<(Holder, ReservationId)>;

/// Who has which live holds.
#[derive(Debug)]
pub(crate) struct HolderIndex {
    parts: Box<[CachePadded<Mutex<Part>>]>,
}

impl HolderIndex {
    /// For about so many threads.
    pub(crate) fn new(threads: usize) -> Self {
        // Four for each thread: then two threads seldom meet in one.
        let parts = shards_for(4 * threads);
        Self { parts: (0..parts).map(|_| CachePadded::new(Mutex::new(Part::new()))).collect() }
    }

    fn part(&self, holder: Holder) -> &Mutex<Part> {
        &self.parts[holder.part_of(self.parts.len())]
    }

    /// Enters a hold, before it shows. It may be there already.
    pub(crate) fn enter(&self, holder: Holder, hold: ReservationId) {
        lock(self.part(holder)).insert((holder, hold));
    }

    /// Takes a hold out that ends. It may be gone already.
    pub(crate) fn leave(&self, holder: Holder, hold: ReservationId) {
        lock(self.part(holder)).remove(&(holder, hold));
    }

    /// The holds of a holder, in the order of their ids. Some may be over.
    pub(crate) fn holds_of(&self, holder: Holder) -> Vec<ReservationId> {
        let part = lock(self.part(holder));
        let own = (holder, ReservationId::from_halves([0, 0]))..;
        part.range(own).take_while(|(of, _)| *of == holder).map(|(_, hold)| *hold).collect()
    }

    /// How many entries there are. Exact while nothing moves.
    pub(crate) fn len(&self) -> usize {
        self.parts.iter().map(|part| lock(part).len()).sum()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::base::clock::Timestamp;

    fn hold(slot: u32) -> ReservationId {
        ReservationId::new(Timestamp::from_millis(1_700_000_000_000), slot, 0)
    }

    #[test]
    fn a_holder_has_what_was_entered_and_has_not_left() {
        let index = HolderIndex::new(2);
        let holders = (0..=255_u8).flat_map(|byte| {
            [Holder::Owner(Owner([byte; 16])), Holder::Subject(SubjectHash([byte; 16]))]
        });
        let holders: Vec<Holder> = holders.collect();
        for (at, holder) in (0..).zip(&holders) {
            for slot in [2 * at + 1, 2 * at, 2 * at] {
                index.enter(*holder, hold(slot));
            }
        }
        assert_eq!(index.len(), 2 * holders.len());
        for (at, holder) in (0..).zip(&holders) {
            assert_eq!(index.holds_of(*holder), [hold(2 * at), hold(2 * at + 1)]);
            index.leave(*holder, hold(2 * at));
            index.leave(*holder, hold(2 * at));
            assert_eq!(index.holds_of(*holder), [hold(2 * at + 1)]);
        }
        assert_eq!(index.len(), holders.len());
    }

    #[test]
    fn holders_that_are_small_numbers_are_spread_over_all_parts() {
        for place in [0, 7, 8, 15] {
            let owner = |number: u8| {
                let mut bytes = [0; 16];
                bytes[place] = number;
                Holder::Owner(Owner(bytes))
            };
            let mut found = [0; 8];
            (0..=255).for_each(|number| found[owner(number).part_of(8)] += 1);
            assert!(found.iter().all(|count| (8..=96).contains(count)), "{place}: {found:?}");
        }
    }
}
