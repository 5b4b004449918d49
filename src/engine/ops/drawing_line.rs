//! The end of a hold of one line that has drawn on allowances, which most that draw are: one entry,
//! and one commit of what it gives back.

use crate::base::quantity::Quantity;
use crate::engine::allowances::settle::{Draws, Gifts};
use crate::engine::answer::Answer;
use crate::engine::call::Call;
use crate::engine::hold_options::HoldOptions;
use crate::engine::ops::hold_end::{EndKind, HoldEnd};
use crate::engine::ops::units::end_of_line;
use crate::engine::recording::EntryRecord;
use crate::reservation::slots::HeldSlot;
use crate::stock::cell::CellId;
use crate::stock::mcas::CellDelta;
use crate::stock::word::Delta;

impl Call<'_> {
    /// Finishes what the swap to `Ending` began, if the hold has one line, in its head. `None` if
    /// it has more: nothing is done then.
    pub(super) fn finish_drawing_line(
        self,
        head: HeldSlot<'_>,
        end: EndKind,
        answer: Answer,
    ) -> Option<HoldEnd> {
        let (engine, HeldSlot { number, slot, state }) = (self.engine, head);
        let mut chain = slot.chain();
        let mut draws = Draws::new();
        if !engine.slots.draws_of_one_line(chain, |draw| draws.push(draw)) {
            return None;
        }
        let reservation = slot.read_record(state);
        let (line, now) = (reservation.line, self.now());
        let mut gifts = Gifts::new();
        engine.settle_draws(&mut draws, &mut gifts, |_| end.step_on(line.held));
        let mut counted = None;
        if end == EndKind::Sell {
            (chain, counted) = engine.count_sold(chain, &mut draws, now);
            slot.switch_chain(chain);
        }
        let entry = end_of_line(end, &reservation, line, state, now);
        let beyond = self.record_of_hold(engine, entry, answer);
        let record = EntryRecord { entry, beyond, recorder: &engine.recorder };
        if end != EndKind::Sell
            && let Ok(units) = Quantity::new(line.held)
        {
            // It sorts behind what comes back of allowances.
            let (cell, delta) = (CellId::level(line.level), Delta::give_back(units));
            gifts.push(CellDelta { cell, delta });
        }
        let recorded = engine.queue_and_give(record, gifts.iter().copied());
        if end == EndKind::Sell {
            engine.give_line(end, line, chain.keeps());
        }
        engine.retire_allowances(&gifts);
        engine.slots.finish(head, end.final_phase(), chain);
        counted.into_iter().for_each(|until| engine.slots.note_counted(number, until));
        engine.slots.retire(number, chain, end == EndKind::Sell, now);
        Some(HoldEnd { recorded, in_part: None })
    }
}
