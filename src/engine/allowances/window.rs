//! The end of the time for which a sale counts under a limit.

use crate::audit::entry::EventType;
use crate::base::clock::Timestamp;
use crate::base::short_list::{SHORT, ShortList};
use crate::engine::Engine;
use crate::engine::allowances::settle::{Draws, Gifts};
use crate::reservation::slot::draw::SlotDraw;
use crate::reservation::slots::HeldSlot;
use crate::reservation::state::Phase;

impl Engine {
    /// Takes back what is due at `now`: expires a hold, or gives back what a sale drew, if that has
    /// counted for its time. `true` if this call did it; another thread may have been first.
    pub(in crate::engine) fn take_back(&self, found: HeldSlot<'_>, now: Timestamp) -> bool {
        if found.state.phase() == Phase::Confirmed {
            self.end_counting(found, now)
        } else {
            self.expire(found, now)
        }
    }

    /// Gives back what the sale drew under one rule, whose time is over. If others are due as well,
    /// the sale stays due.
    #[cold]
    fn end_counting(&self, sale: HeldSlot<'_>, now: Timestamp) -> bool {
        let Ok(claim) = self.slots.begin_shipping(sale) else { return false };
        let mut draws = Draws::new();
        claim.draws(|draw| draws.push(draw));
        let is_due = |draw: &SlotDraw| draw.ends().is_some_and(|until| now > until);
        let Some(rule) = draws.iter().find(|draw| is_due(draw)).map(|draw| draw.key.rule) else {
            claim.give_up();
            return false;
        };
        let held = sale.slot.read_record(sale.state);
        let end = held.chain.end(sale.state.phase());
        let (mut first, mut unsettled) = (None, false);
        let mut settled = ShortList::<u32, SHORT>::new();
        self.slots.lines_of(sale, &held, |line| {
            first.get_or_insert(line.level);
            unsettled |= line.sold_in(end) > line.settled;
            settled.push(line.settled);
        });
        let mut record = self
            .recorder
            .event(EventType::AllowanceReturned)
            .at(now)
            .reservation(held.id, sale.state.expires_at())
            .owner(held.owner);
        if let Some(level) = first {
            record = record.line(level, 0);
        }
        let record = record.text("rule", &rule.0.to_string());
        let mut gifts = Gifts::new();
        self.change_draws(&mut draws, &mut gifts, |_, draw| {
            if draw.key.rule == rule { 0 } else { draw.drawn }
        });
        // If it can't be queued, the engine is ending, and what is due comes back either way.
        let _ = self.queue_and_give(record, gifts.iter().copied());
        self.retire_allowances(&gifts);
        claim.write_draws(&draws);
        let counts = draws.iter().any(|draw| draw.ends().is_some());
        claim.end_counting(settled.iter().copied(), (counts, unsettled), now);
        true
    }
}
