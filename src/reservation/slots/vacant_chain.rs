//! The slots that a call takes for the lines of one new reservation.
//!
//! They are a chain before they are published: each bears the number of the next one in its own
//! field, as it will afterwards. So a basket of any length needs no list of its slots.

use crate::base::clock::Timestamp;
use crate::reservation::chain::{Chain, NO_SLOT};
use crate::reservation::slot::{ChainName, LinkContent, ReservationRecord, Slot};
use crate::reservation::slots::{Slots, VacantSlot};
use crate::reservation::state::Phase;

/// Slots that one thread has taken for one reservation, and no other thread can reach: the head's,
/// and one for each thing behind it.
#[derive(Debug)]
#[must_use = "taken slots are published or put back"]
pub(crate) struct VacantChain<'s> {
    head: VacantSlot<'s>,
    last: Slot<'s>,
}

impl<'s> VacantChain<'s> {
    /// A chain of nothing but its head.
    #[inline]
    pub(crate) fn new(head: VacantSlot<'s>) -> Self {
        head.slot.lead_to(NO_SLOT);
        Self { last: head.slot, head }
    }

    /// Adds a slot at the end.
    #[inline]
    pub(crate) fn push(&mut self, vacated: VacantSlot<'s>) {
        self.last.lead_to(vacated.number);
        vacated.slot.lead_to(NO_SLOT);
        self.last = vacated.slot;
    }

    pub(crate) fn head(&self) -> &VacantSlot<'s> {
        &self.head
    }
}

impl Slots {
    /// Makes a hold of these slots live, with the head's line in `record` and the `rest` behind it.
    /// Its id is visible from here on.
    #[inline]
    pub(crate) fn publish_lines(
        &self,
        slots: VacantChain<'_>,
        rest: impl IntoIterator<Item = LinkContent>,
        record: ReservationRecord,
        expires_at: Timestamp,
    ) {
        let chain = self.join(&slots.head, rest, record.chain);
        self.publish(slots.head, ReservationRecord { chain, ..record }, expires_at);
    }

    /// The same for a hold that begins and ends in one step: a sale. Its slots may retire then,
    /// unless its draws count until `counted`. Returns the chain to the slots after the head.
    pub(crate) fn publish_sold_lines(
        &self,
        slots: VacantChain<'_>,
        rest: impl IntoIterator<Item = LinkContent>,
        record: ReservationRecord,
        counted: Option<Timestamp>,
    ) -> Chain {
        let chain = self.join(&slots.head, rest, record.chain.counting(counted.is_some()));
        self.publish_sold(slots.head, ReservationRecord { chain, ..record }, counted);
        chain
    }

    /// Gives back slots that were taken and not used.
    pub(crate) fn put_back_chain<'s>(&'s self, mut slots: VacantChain<'s>, now: Timestamp) {
        self.put_back_behind(&mut slots, 1, now);
        self.put_back(slots.head, now);
    }

    /// Gives back all slots but the first `count`, of which there is at least one.
    pub(crate) fn put_back_behind<'s>(
        &'s self,
        slots: &mut VacantChain<'s>,
        count: usize,
        now: Timestamp,
    ) {
        let mut last = slots.head.slot;
        for _ in 1..count {
            let Some(next) = self.at(last.following()) else { return };
            last = next;
        }
        let later = Chain::NONE.of_later_lines(last.following(), 0);
        last.lead_to(NO_SLOT);
        slots.last = last;
        self.each_link(later, |number, slot| {
            slot.abandon(slot.state());
            self.free_list.put_back(number, now);
            true
        });
    }

    /// Fills the slots behind `head`. Returns the head's chain word: `chain`, leading to them.
    #[inline]
    fn join(
        &self,
        head: &VacantSlot<'_>,
        rest: impl IntoIterator<Item = LinkContent>,
        chain: Chain,
    ) -> Chain {
        let name = ChainName { head: head.number, generation: head.state.generation() };
        let chain = match head.slot.following() {
            NO_SLOT => chain,
            first => chain.of_later_lines(first, name.generation),
        };
        let mut rest = rest.into_iter();
        self.each_link(chain, |_, slot| {
            // Nobody but this thread has moved it since it was vacated.
            let vacant = slot.state();
            debug_assert_eq!(vacant.phase(), Phase::Vacant);
            match rest.next() {
                Some(content) => slot.join(vacant, name, content, slot.following()),
                None => debug_assert!(false, "a slot was taken for something"),
            }
            true
        });
        debug_assert!(rest.next().is_none(), "each has a slot");
        chain
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::reservation::free_list::Retention;
    use crate::reservation::id::ReservationId;
    use crate::reservation::line::SlotLine;
    use crate::reservation::slots::ReadReservation;
    use crate::stock::handle::LevelIndex;

    const NOW: Timestamp = Timestamp::from_millis(1);

    fn slots() -> Slots {
        Slots::new(4, 1, Retention { time: Duration::ZERO, records: 0, drop_oldest: true })
    }

    fn chain(slots: &Slots, count: usize) -> VacantChain<'_> {
        let take = || slots.take(NOW, || NOW).expect("a slot");
        let mut chain = VacantChain::new(take());
        (1..count).for_each(|_| chain.push(take()));
        chain
    }

    fn line(level: u32) -> SlotLine {
        SlotLine::new(LevelIndex(level), level + 1)
    }

    #[test]
    fn a_published_chain_is_read_line_by_line_with_its_note_behind() {
        let later = ReservationId::new(NOW, 77, 7);
        for (count, of) in [(1, None), (2, None), (4, None), (4, Some(later))] {
            let slots = slots();
            let taken = chain(&slots, count);
            let id = ReservationId::new(NOW, taken.head().number(), 5);
            let record = ReservationRecord { id, owner: None, line: line(0), chain: Chain::NONE };
            let lines = count as u32 - u32::from(of.is_some());
            let rest = (1..lines).map(line).map(LinkContent::Line);
            let rest = rest.chain(of.map(LinkContent::RetakenFrom));
            match of {
                Some(_) => {
                    slots.publish_sold_lines(taken, rest, record, None);
                }
                None => slots.publish_lines(taken, rest, record, NOW),
            }
            let mut read = Vec::new();
            let found = slots.read(id, |line| read.push(line));
            assert!(
                matches!(found, ReadReservation::Found { retaken_from, .. } if retaken_from == of),
                "{found:?}"
            );
            assert_eq!(read, (0..lines).map(line).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_slot_that_was_taken_and_put_back_is_no_line_of_its_former_reservation() {
        let slots = slots();
        let early = NOW.saturating_add_millis(100);
        let taken = chain(&slots, 3);
        let id = ReservationId::new(early, taken.head().number(), 5);
        let record = ReservationRecord { id, owner: None, line: line(0), chain: Chain::NONE };
        let (number, of) = (taken.head().number(), ReservationId::new(NOW, 77, 7));
        let rest = [LinkContent::Line(line(1)), LinkContent::RetakenFrom(of)];
        let links = slots.publish_sold_lines(taken, rest, record, None);
        assert!(matches!(slots.read(id, |_| {}), ReadReservation::Found { .. }));
        slots.retire(number, links, false, NOW);
        // The fourth slot, and then the head, which lies ahead of the clock and goes into
        // quarantine: so what is put back is the slot after it, whose own link the new chain has
        // overwritten.
        let fourth = slots.take(NOW, || NOW).expect("a slot");
        let second = VacantChain::new(slots.take(NOW, || NOW).expect("a slot"));
        assert_ne!(second.head().number(), number);
        slots.put_back_chain(second, NOW);
        let read = slots.read(id, |_| {});
        assert!(matches!(read, ReadReservation::Forgotten), "{read:?}");
        slots.put_back(fourth, NOW);
    }

    #[test]
    fn a_chain_that_is_put_back_leaves_all_its_slots_to_others() {
        let slots = slots();
        for count in [1, 2, 4, 3, 4] {
            let taken = chain(&slots, count);
            slots.put_back_chain(taken, NOW);
        }
        assert!(slots.take(NOW, || NOW).is_some());
    }
}
