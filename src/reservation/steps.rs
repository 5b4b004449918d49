//! Steps on part of a reservation: lines replaced under a live hold, and sold units settled.
//!
//! Both are decided by the head's state word (Law 3), and both show at one instant, the store of one
//! word, while the lines may be many. Readers never wait for them: whatever they meet, they find the
//! lines whole, as they were before or as they are after.
//!
//! * **Lines of a live hold** ([`Slots::replace_lines`]). Whoever swapped `Pending` for `Ending` makes
//!   a fresh chain of all lines, switches the head to it by one store of its chain word, publishes the
//!   next generation, and discards the old chain. An old slot that is reused at once shows a reader,
//!   by its name, that the chain it follows is no longer the head's.
//! * **Sold units** ([`Slots::begin_settling`]). The slots of a confirmed reservation may come round and
//!   be reused at any time, one by one. So the settling thread swaps the head from `Confirmed` to
//!   `Settling`, which no reuse takes, and then each later slot likewise; a slot that was reused before
//!   means that the record is gone, and what was swapped is put back. A hold that has sold a part and
//!   still holds the rest goes from `Pending` to `Ending`; its slots are its own. The new numbers are
//!   written beside the old ones (`line.rs`), and the head's next generation makes them count.

use crate::clock::Timestamp;
use crate::reservation::chain::{Chain, NO_SLOT};
use crate::reservation::line::Line;
use crate::reservation::slot::{ChainName, KeepLink, Slot};
use crate::reservation::slots::{HeldSlot, Slots, Vacated};
use crate::reservation::state::Phase;

impl Slots {
    /// Replaces all lines of the hold `head`, which was found pending and which this thread has in
    /// `Ending`, and puts the hold into `phase`. Returns its new chain.
    pub(crate) fn replace_lines(
        &self,
        head: HeldSlot<'_>,
        lines: &[(Vacated<'_>, Line)],
        phase: Phase,
        now: Timestamp,
    ) -> Chain {
        let HeldSlot { number, slot, state } = head;
        let old = slot.chain();
        let after = state.next_generation().in_phase(phase);
        let name = ChainName { head: number, generation: after.generation() };
        let first = Self::link(lines, name, NO_SLOT);
        let new = old.of_all_lines(first, after.generation());
        #[cfg(not(planted = "chain_switched_late"))]
        slot.switch_chain(new);
        slot.finish(after);
        #[cfg(planted = "chain_switched_late")]
        slot.switch_chain(new);
        self.retire_links(old, now);
        new
    }

    /// Makes the reservation `head`, found confirmed or pending, this thread's own, so that none of its
    /// slots can be reused, and nobody else can settle its units.
    pub(crate) fn begin_settling<'a>(
        &'a self,
        head: HeldSlot<'a>,
    ) -> Result<Settling<'a>, NotSettling> {
        let live = head.state.phase() == Phase::Pending;
        let during = if live { Phase::Ending } else { Phase::Settling };
        head.swap_to(during).map_err(|_| NotSettling::Changed)?;
        let settling = Settling { slots: self, head, chain: head.slot.chain() };
        if live {
            return Ok(settling);
        }
        let name = ChainName { head: head.number, generation: settling.chain.generation() };
        let mut kept = 0;
        let mut refusal = None;
        self.each_link(settling.chain, |_, link| {
            refusal = match link.keep_link(name) {
                KeepLink::Kept => None,
                KeepLink::Busy => Some(NotSettling::Busy),
                KeepLink::Gone => Some(NotSettling::Gone),
            };
            kept += usize::from(refusal.is_none());
            refusal.is_none()
        });
        match refusal {
            None => Ok(settling),
            Some(refusal) => {
                settling.undo(kept);
                Err(refusal)
            }
        }
    }
}

/// Why a reservation's sold units can't be settled now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotSettling {
    /// Its record has changed since it was looked at: look again.
    Changed,
    /// Another thread has not let go of its slots yet.
    Busy,
    /// A slot of it has been reused: there is no record any more.
    Gone,
}

/// A reservation that one thread has to itself, to settle its sold units.
#[derive(Debug)]
#[must_use = "its slots can't be reused until it is finished or given up"]
pub(crate) struct Settling<'a> {
    slots: &'a Slots,
    /// In the state that it was found in.
    head: HeldSlot<'a>,
    chain: Chain,
}

impl Settling<'_> {
    /// Writes down what is settled of each line by now, and lets go of the reservation. If it was to
    /// keep its slots until `all` was settled, and that is so, they retire.
    pub(crate) fn finish(self, settled: impl IntoIterator<Item = u32>, all: bool, now: Timestamp) {
        let after = self.head.state.next_generation();
        let mut settled = settled.into_iter();
        #[cfg(planted = "settled_in_place")]
        let generation = self.head.state.generation();
        #[cfg(not(planted = "settled_in_place"))]
        let generation = after.generation();
        let mut write = |slot: &Slot| {
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
        // The head first: whoever finds the record whole finds it with the new numbers.
        self.head.slot.finish(after);
        self.release_links(usize::MAX);
        if self.head.state.phase() == Phase::Confirmed && self.chain.keeps() && all {
            self.slots.retire_all(self.head.number, self.chain, now);
        }
    }

    /// Lets go of the reservation as it was.
    pub(crate) fn give_up(self) {
        self.undo(usize::MAX);
    }

    fn undo(self, kept: usize) {
        self.release_links(kept);
        // The same word as before: nothing has changed for whoever saw it then.
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
