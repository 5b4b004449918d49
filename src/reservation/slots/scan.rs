//! Finding what is due: holds whose time is up, and sales whose draws have counted for their time.

use crate::base::clock::Timestamp;
use crate::reservation::chain::SlotNumber;
use crate::reservation::deadlines::{Scan, ScannedSlot};
use crate::reservation::slot::{LinkContent, Slot};
use crate::reservation::slots::{ChainWalk, HeldSlot, Slots};
use crate::reservation::state::{Phase, SlotState};

impl Slots {
    /// Passes everything that is due at `now` to `end`, with the slot and state in which it was
    /// found: each hold that is overdue, and each sale (its state is `Confirmed`) whose draws have
    /// counted for their time, once for each rule. `end` ends it, and returns true to stop the
    /// scan.
    pub(crate) fn scan_due(
        &self,
        now: Timestamp,
        mut end: impl FnMut(HeldSlot<'_>) -> bool,
    ) -> Scan {
        self.scan(now, |hold| {
            let is_due = hold.state.is_overdue(now) || hold.state.phase() == Phase::Confirmed;
            is_due && end(hold)
        })
    }

    /// As [`scan_due`](Self::scan_due), but passes holds alone, also those that another thread is
    /// ending.
    pub(crate) fn scan_past(
        &self,
        now: Timestamp,
        mut each: impl FnMut(HeldSlot<'_>) -> bool,
    ) -> Scan {
        self.scan(now, |hold| hold.state.phase().is_live() && each(hold))
    }

    /// When the next of the draws of a sale, which was found in `state`, counts no more. `None` if
    /// none counts for a time. If that changes at this moment, the earliest time that there is.
    fn counted_until(
        &self,
        number: SlotNumber,
        slot: Slot<'_>,
        state: SlotState,
    ) -> Option<Timestamp> {
        if !matches!(state.phase(), Phase::Confirmed | Phase::Shipping) {
            return None;
        }
        let chain = slot.chain();
        if !chain.counts() {
            return None;
        }
        let mut earliest: Option<Timestamp> = None;
        let walked = self.walk_links(number, state, chain, |content| {
            if let LinkContent::Draw(draw) = content {
                earliest = earliest.into_iter().chain(draw.ends()).min();
            }
        });
        match walked {
            ChainWalk::Whole { .. } => earliest,
            ChainWalk::Gone | ChainWalk::Changed => Some(Timestamp::default()),
        }
    }

    /// Passes what is due, and what another thread is ending, to `each`.
    fn scan(&self, now: Timestamp, mut each: impl FnMut(HeldSlot<'_>) -> bool) -> Scan {
        self.deadlines.scan(
            now,
            || self.free_list.used(),
            |number| {
                let Some(slot) = self.at(number) else {
                    return (ScannedSlot::Nothing, false);
                };
                let due = |state: SlotState| match state.phase() {
                    Phase::Pending | Phase::Ending => Some(state.expires_at()),
                    _ => self.counted_until(number, slot, state),
                };
                let is_past = |state| due(state).is_some_and(|due| now > due);
                let mut after = slot.state();
                let mut enough = false;
                // A sale may be due under several rules, and is passed once for each.
                while !enough && is_past(after) {
                    let state = after;
                    enough = each(HeldSlot { number, slot, state });
                    after = slot.state();
                    if after == state || state.phase() != Phase::Confirmed {
                        break;
                    }
                }
                let found = match due(after) {
                    Some(due) => ScannedSlot::Live(due),
                    None if after.is_taken() => ScannedSlot::Taken,
                    None => ScannedSlot::Nothing,
                };
                (found, enough)
            },
        )
    }
}
