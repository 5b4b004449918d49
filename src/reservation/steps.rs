//! Steps on part of a reservation: replacing the lines of a live hold, and settling sold units.
//!
//! The head's state word decides both (Law 3). Both show at one instant, the store of one word,
//! although there may be many lines. Readers never wait for them: a reader finds all lines as they
//! were before the step, or all as they are after it.
//!
//! - **Lines of a live hold** ([`Slots::replace_lines`]). The thread that swapped `Pending` for
//!   `Ending` makes a fresh chain of all lines, switches the head to it by one store of its chain
//!   word, publishes the next generation, and retires the old chain. If an old slot is reused at
//!   once, its name tells a reader that the chain is no longer the head's.
//! - **Sold units** ([`Slots::begin_shipping`]). The slots of a confirmed reservation may be reused
//!   at any time, one by one. So the thread swaps the head from `Confirmed` to `Shipping`, which no
//!   reuse takes, and then each later slot likewise. If one was reused before, the record is gone,
//!   and the thread puts back what it swapped. A hold that has sold a part and still holds the rest
//!   goes from `Pending` to `Ending` instead; its slots are its own. The thread writes the new
//!   numbers beside the old ones (`line.rs`), and the head's next generation makes them count.

use crate::base::clock::Timestamp;
use crate::reservation::chain::Chain;
use crate::reservation::slot::draw::SlotDraw;
use crate::reservation::slot::{ChainName, KeepLink, LinkContent, Slot};
use crate::reservation::slots::{HeldSlot, Slots, VacantSlot};
use crate::reservation::state::Phase;

impl Slots {
    /// Replaces all lines of the hold `head`, and its draws behind them, and puts the hold into
    /// `phase`. Returns its new chain. The hold was found pending, and this thread has it in
    /// `Ending`.
    pub(crate) fn replace_lines(
        &self,
        head: HeldSlot<'_>,
        links: &[(VacantSlot<'_>, LinkContent)],
        phase: Phase,
        now: Timestamp,
    ) -> Chain {
        let HeldSlot { number, slot, state } = head;
        let old = slot.chain();
        let after = state.next_generation().in_phase(phase);
        let name = ChainName { head: number, generation: after.generation() };
        let first = Self::link(links, name);
        let draws = || links.iter().filter_map(|(_, content)| content.draw());
        let counts = phase.is_final() && draws().any(|draw| draw.ends().is_some());
        let new = old.of_all_lines(first, after.generation());
        let new = new.drawing(draws().next().is_some()).counting(counts);
        if phase.is_final() {
            self.leave_holders(head, new);
        } else if draws().next().is_some() {
            // A subject may have come that the hold had not drawn for.
            self.enter_holders(slot.read_record(state).id, None, new);
        }
        slot.switch_chain(new);
        slot.finish(after);
        self.retire_links(old, now);
        new
    }

    /// Claims the reservation `head`, found confirmed or pending, for this thread. Until it lets
    /// go, none of its slots can be reused, and nobody else can settle its units.
    pub(crate) fn begin_shipping<'a>(
        &'a self,
        head: HeldSlot<'a>,
    ) -> Result<ShippingClaim<'a>, NotShipping> {
        let live = head.state.phase() == Phase::Pending;
        let during = if live { Phase::Ending } else { Phase::Shipping };
        head.swap_to(during).map_err(|_| NotShipping::Changed)?;
        let claim = ShippingClaim { slots: self, head, chain: head.slot.chain() };
        if live {
            return Ok(claim);
        }
        let name = ChainName { head: head.number, generation: claim.chain.generation() };
        let mut kept = 0;
        let mut refusal = None;
        self.each_link(claim.chain, |_, link| {
            refusal = match link.keep_link(name) {
                KeepLink::Kept => None,
                KeepLink::Busy => Some(NotShipping::Busy),
                KeepLink::Gone => Some(NotShipping::Gone),
            };
            kept += usize::from(refusal.is_none());
            refusal.is_none()
        });
        match refusal {
            None => Ok(claim),
            Some(refusal) => {
                claim.undo(kept);
                Err(refusal)
            }
        }
    }
}

/// Why a reservation's sold units cannot be settled now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotShipping {
    /// Its record has changed since it was read: read again.
    Changed,
    /// Another thread has not let go of its slots yet.
    Busy,
    /// One of its slots was reused: the record is gone.
    Gone,
}

/// A reservation that one thread has to itself, to settle its sold units.
#[derive(Debug)]
#[must_use = "its slots can't be reused until it is finished or given up"]
pub(crate) struct ShippingClaim<'a> {
    slots: &'a Slots,
    /// In the state that it was found in.
    head: HeldSlot<'a>,
    chain: Chain,
}

impl ShippingClaim<'_> {
    /// Writes how many units of each line are settled by now, and lets go of the reservation. If
    /// the slots were kept until `all` was settled, or for draws that counted, and nothing keeps
    /// them any more, they retire.
    pub(crate) fn finish(
        mut self,
        settled: impl IntoIterator<Item = u32>,
        all: bool,
        now: Timestamp,
    ) {
        let before = self.chain;
        let is_sale = self.head.state.phase() == Phase::Confirmed;
        if before.counts() {
            let mut counts = false;
            self.draws(|draw| counts |= draw.ends().is_some());
            self.chain = before.counting(counts);
            self.head.slot.switch_chain(self.chain);
        }
        self.let_go_with(settled);
        let was_kept = before.keeps() || before.counts();
        if is_sale && was_kept && !self.chain.stays(!all) {
            self.slots.retire_all(self.head.number, self.chain, now);
        }
    }

    /// Lets go of the reservation in its next generation, from which on these settled units of each
    /// line count.
    fn let_go_with(&self, settled: impl IntoIterator<Item = u32>) {
        let after = self.head.state.next_generation();
        let mut settled = settled.into_iter();
        let generation = after.generation();
        let mut write = |slot: Slot<'_>| {
            if let Some(units) = settled.next() {
                slot.write_settled(generation, units);
            }
        };
        if !self.chain.is_whole() {
            write(self.head.slot);
        }
        self.slots.each_link(self.chain, |_, link| {
            write(link);
            true
        });
        // The head first: whoever finds the record whole then finds it with the new numbers.
        self.head.slot.finish(after);
        self.release_links(usize::MAX);
    }

    /// The draws of the reservation.
    pub(crate) fn draws(&self, each: impl FnMut(SlotDraw)) {
        self.slots.draws_of(self.chain, each);
    }

    /// Writes what each draw comes to, in the order of [`draws`](Self::draws). Call it before the
    /// claim is finished.
    pub(crate) fn write_draws(&self, draws: &[SlotDraw]) {
        self.slots.write_draws(self.chain, draws);
    }

    /// Ends the time for which some draws of a sale counted: lets go of the reservation, of which
    /// so many units of each line are `settled`, as before. Its slots retire, unless other draws
    /// `count` on, or what it sold is `unsettled` and kept.
    pub(crate) fn end_counting(
        mut self,
        settled: impl IntoIterator<Item = u32>,
        (counts, unsettled): (bool, bool),
        now: Timestamp,
    ) {
        self.chain = self.chain.counting(counts);
        self.head.slot.switch_chain(self.chain);
        self.let_go_with(settled);
        if !self.chain.stays(unsettled) {
            self.slots.retire_all(self.head.number, self.chain, now);
        }
    }

    /// Lets go of the reservation, unchanged.
    pub(crate) fn give_up(self) {
        self.undo(usize::MAX);
    }

    fn undo(self, kept: usize) {
        self.release_links(kept);
        // The same word as before: nothing has changed for a reader that saw it then.
        self.head.slot.finish(self.head.state);
    }

    fn release_links(&self, kept: usize) {
        let mut left = if self.head.state.phase() == Phase::Confirmed { kept } else { 0 };
        self.slots.each_link(self.chain, |_, link| {
            if left > 0 {
                link.release_link();
            }
            left = left.saturating_sub(1);
            left > 0
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::reservation::chain::SlotNumber;
    use crate::reservation::free_list::Retention;
    use crate::reservation::id::ReservationId;
    use crate::reservation::line::SlotLine;
    use crate::reservation::slot::ReservationRecord;
    use crate::reservation::slots::vacant_chain::VacantChain;
    use crate::stock::handle::LevelIndex;

    const NOW: Timestamp = Timestamp::from_millis(1);

    /// A reservation of four lines, sold or live: its head, and all its slots, the head's first.
    fn basket(slots: &Slots, is_sold: bool) -> (HeldSlot<'_>, Vec<SlotNumber>) {
        let take = || slots.take(NOW, || NOW).expect("a slot");
        let line = |level| SlotLine::new(LevelIndex(level), 1);
        let head = take();
        let (number, id) = (head.number(), ReservationId::new(NOW, head.number(), 5));
        let (mut chain, mut numbers) = (VacantChain::new(head), vec![number]);
        for slot in [take(), take(), take()] {
            numbers.push(slot.number());
            chain.push(slot);
        }
        let record = ReservationRecord { id, owner: None, line: line(0), chain: Chain::NONE };
        let rest = (1..4).map(line).map(LinkContent::Line);
        if is_sold {
            slots.publish_sold_lines(chain, rest, record, None);
        } else {
            slots.publish_lines(chain, rest, record, Timestamp::from_millis(100));
        }
        let slot = slots.at(number).expect("a slot");
        (HeldSlot { number, slot, state: slot.state() }, numbers)
    }

    fn slots() -> Slots {
        Slots::new(8, 1, Retention { time: Duration::ZERO, records: 0, drop_oldest: true })
    }

    fn phases(slots: &Slots, numbers: &[SlotNumber]) -> Vec<Phase> {
        numbers.iter().map(|it| slots.at(*it).expect("a slot").state().phase()).collect()
    }

    #[test]
    fn a_claim_keeps_every_slot_until_it_is_given_up() {
        let claimed = [
            (true, [Phase::Shipping; 4]),
            (false, [Phase::Ending, Phase::Line, Phase::Line, Phase::Line]),
        ];
        for (is_sold, during) in claimed {
            let slots = slots();
            let (head, numbers) = basket(&slots, is_sold);
            let before = phases(&slots, &numbers);
            let claim = slots.begin_shipping(head).expect("it is whole");
            assert_eq!(phases(&slots, &numbers), during);
            assert_eq!(slots.begin_shipping(head).err(), Some(NotShipping::Changed));
            claim.give_up();
            assert_eq!(phases(&slots, &numbers), before);
        }
    }

    #[test]
    fn a_claim_that_finds_a_slot_gone_lets_go_of_those_before_it() {
        for gone in 1..4 {
            let slots = slots();
            let (head, numbers) = basket(&slots, true);
            let taken = slots.at(numbers[gone]).expect("a slot");
            taken.vacate(taken.state()).expect("it is at rest");
            let before = phases(&slots, &numbers);
            assert_eq!(slots.begin_shipping(head).err(), Some(NotShipping::Gone));
            assert_eq!(phases(&slots, &numbers), before, "slot {gone} is gone");
        }
    }
}
