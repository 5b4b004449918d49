//! The units of a reservation's lines: how its steps sell them, give them back, and take sold ones.

use crate::audit::record::PlainEntry;
use crate::audit::wake_signal::WriterGone;
use crate::base::clock::Timestamp;
use crate::base::quantity::Quantity;
use crate::base::short_list::{SHORT, ShortList};
use crate::engine::Engine;
use crate::engine::allowances::settle::{Draws, Gifts};
use crate::engine::call::Call;
use crate::engine::ops::hold_end::{EndKind, NotSold};
use crate::engine::recording::QueuedRecord;
use crate::reservation::chain::Chain;
use crate::reservation::line::SlotLine;
use crate::reservation::slot::ReservationRecord;
use crate::reservation::slots::HeldSlot;
use crate::reservation::state::SlotState;
use crate::stock::cell::CellId;
use crate::stock::handle::LevelIndex;
use crate::stock::mcas::{CellDelta, Cells};
use crate::stock::word::Delta;

/// What a hold that ends still held, and how it ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldUnits<'l> {
    pub(super) end: EndKind,
    pub(super) lines: &'l [SlotLine],
    /// The reservation is kept until it is shipped.
    pub(super) kept: bool,
}

/// The entry of the end of a hold that held units of one line.
#[inline(always)]
pub(super) fn end_of_line(
    end: EndKind,
    reservation: &ReservationRecord,
    line: SlotLine,
    state: SlotState,
    now: Timestamp,
) -> PlainEntry {
    let entry = PlainEntry::new(end.entry_type(), now, line.level, line.held)
        .reservation(reservation.id)
        .expires_at(state.expires_at())
        .owner(reservation.owner);
    if end == EndKind::Expire { entry.expired() } else { entry }
}

impl Call<'_> {
    /// Keeps the hold `head` until it is shipped, if the call's options ask for it. This thread has
    /// it in `Ending`. Call it before the step's own units count as sold. If it is refused, the
    /// hold is as it was found, and this thread no longer has it.
    #[inline]
    pub(super) fn keep_if_asked(self, head: HeldSlot<'_>) -> Result<(), NotSold> {
        if self.keeps_until_shipped() { self.engine.keep(head) } else { Ok(()) }
    }
}

impl Call<'_> {
    /// Settles the draws of a hold that ends, and maybe has sold something. Returns its chain, and
    /// until when the first of its draws counts, if some count for a time.
    #[inline(never)]
    pub(super) fn settle_ended(
        self,
        head: HeldSlot<'_>,
        record: &ReservationRecord,
        (end, sold): (EndKind, bool),
        gifts: &mut Gifts,
    ) -> (Chain, Option<Timestamp>) {
        let (slots, chain) = (&self.engine.slots, record.chain);
        let mut held = ShortList::<u32, SHORT>::new();
        slots.lines_of(head, record, |line| held.push(line.held));
        let mut draws = Draws::new();
        slots.draws_of(chain, |draw| draws.push(draw));
        self.engine.settle_draws(&mut draws, gifts, |line| {
            end.step_on(held.get(line as usize).copied().unwrap_or(0))
        });
        if sold { self.engine.count_sold(chain, &mut draws, self.now()) } else { (chain, None) }
    }
}

impl Engine {
    /// Units that the hold sold before become tracked units, and its slots are kept.
    #[cold]
    fn keep(&self, head: HeldSlot<'_>) -> Result<(), NotSold> {
        let HeldSlot { slot, state, .. } = head;
        let record = slot.read_record(state);
        if record.chain.keeps() {
            return Ok(());
        }
        let mut sold = Vec::new();
        self.slots.lines_of(head, &record, |line| {
            if let Ok(units) = Quantity::new(line.sold.saturating_sub(line.settled)) {
                sold.push((line.level, units));
            }
        });
        if let Err(missing) = self.take_sold(&sold, false) {
            // The same word as before: nothing has changed for a reader that saw it then.
            slot.finish(state);
            return Err(missing);
        }
        // Law 2 asks to queue before a unit is given. Nobody can take these yet: only a call that
        // has the reservation to itself takes its tracked units, and now this call has it.
        self.add_sold(&sold, true);
        slot.switch_chain(record.chain.keeping(true));
        Ok(())
    }

    /// Takes units off the levels' sold counts: all, or none. The reservation has sold as many; a
    /// level has fewer only if others ship by level, and the reservation is not `kept` until it is
    /// shipped. A call that is refused for that reason takes units of its other lines for a moment,
    /// and gives them back.
    pub(super) fn take_sold(
        &self,
        units: &[(LevelIndex, Quantity)],
        kept: bool,
    ) -> Result<(), NotSold> {
        for (taken, &(level, qty)) in units.iter().enumerate() {
            let counts = self.catalog.level(level);
            if let Err(sold) = counts.map_or(Err(0), |counts| counts.sold_to(kept).take(qty)) {
                self.add_sold(&units[..taken], kept);
                return Err(NotSold { level, needed: qty.get(), sold });
            }
        }
        Ok(())
    }

    /// Adds units to the levels' sold counts: of a `kept` reservation, or another.
    pub(super) fn add_sold(&self, units: &[(LevelIndex, Quantity)], kept: bool) {
        for &(level, qty) in units {
            if let Some(level) = self.catalog.level(level) {
                level.sold_to(kept).add(qty);
            }
        }
    }

    /// Queues the record of what the lines hold, then sells or returns it, and gives the `gifts` of
    /// allowances.
    #[inline(always)]
    pub(super) fn end_lines<const DRAWS: bool>(
        &self,
        record: impl QueuedRecord,
        HeldUnits { end, lines, kept }: HeldUnits<'_>,
        gifts: &mut Gifts,
    ) -> Result<(), WriterGone> {
        if end == EndKind::Sell {
            // Under a limit that counts holds, a sale gives back what they drew.
            let recorded = match DRAWS {
                true => self.queue_and_give(record, gifts.iter().copied()),
                false => record.queue_while_written(),
            };
            lines.iter().for_each(|line| self.give_line(end, *line, kept));
            self.retire_allowances(gifts);
            return recorded;
        }
        // A hold's lines are sorted by level, each level once, as its basket was. What comes back
        // of allowances sorts before them.
        let gift = |line: &SlotLine| CellDelta {
            cell: CellId::level(line.level),
            delta: Quantity::new(line.held).map_or(Delta::NOTHING, Delta::give_back),
        };
        if !DRAWS {
            return self.queue_and_give(record, lines.iter().map(gift));
        }
        lines.iter().map(gift).for_each(|gift| gifts.push(gift));
        let recorded = self.queue_and_give(record, gifts.iter().copied());
        self.retire_allowances(gifts);
        recorded
    }

    /// Queues the record, then gives all units at one instant (Law 4). The gifts must be sorted by
    /// cell, and must be such that they always fit.
    #[inline(always)]
    pub(in crate::engine) fn queue_and_give(
        &self,
        record: impl QueuedRecord,
        gifts: impl ExactSizeIterator<Item = CellDelta> + Clone,
    ) -> Result<(), WriterGone> {
        let commit = if gifts.len() > 1 { self.commit(gifts.clone()).ok() } else { None };
        // Law 2: queue before the credit shows.
        let recorded = record.queue_while_written();
        match commit {
            Some(commit) => {
                let given = commit.run_and_forget();
                debug_assert!(given.is_ok(), "a gift always fits");
            }
            // One gift needs no commit. With more, no descriptor is free, or they are too many for
            // one: the units must come back, so they come one cell at a time.
            None => self.give(gifts),
        }
        recorded
    }

    /// Gives back one cell after the other.
    pub(super) fn give(&self, gifts: impl Iterator<Item = CellDelta>) {
        for gift in gifts {
            let given = self.cell(gift.cell).apply(gift.cell, gift.delta, self);
            debug_assert!(given.is_ok(), "a gift always fits");
        }
    }

    /// Sells the held units of a line, to a `kept` reservation or another, or gives them back.
    #[inline]
    pub(super) fn give_line(&self, end: EndKind, line: SlotLine, kept: bool) {
        // The line's level is open and its quantity valid: the reserve has checked both.
        let (Some(level), Ok(qty)) = (self.catalog.level(line.level), Quantity::new(line.held))
        else {
            debug_assert!(false, "a live line is legal: {line:?}");
            return;
        };
        match end {
            EndKind::Sell => level.sold_to(kept).add(qty),
            EndKind::Release | EndKind::Expire => level.give_back(qty, self),
        }
    }
}
