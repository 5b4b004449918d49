//! Taking the lines of a basket, with what they draw on allowances: all at one instant, or none.

use crate::base::clock::Timestamp;
use crate::base::error::{BasketError, InvalidInput, LimitError, NotStarted, ShortLine, Uncertain};
use crate::base::short_list::{SHORT, ShortList};
use crate::engine::allowances::ask::Taking;
use crate::engine::allowances::plan::{DrawPlan, Drawing, LimitedLine, NoDraws};
use crate::engine::call::Call;
use crate::engine::ops::resolved_line::ResolvedLine;
use crate::engine::ops::taken_basket::{Basket, Purpose};
use crate::engine::{Engine, Refusal};
use crate::reservation::chain::Chain;
use crate::reservation::id::ReservationId;
use crate::reservation::line::SlotLine;
use crate::reservation::slot::{LinkContent, ReservationRecord};
use crate::reservation::slots::vacant_chain::VacantChain;
use crate::stock::mcas::{CellDelta, MAX_LINES, Refused};

/// The lines of a basket, with their levels.
pub(in crate::engine) type WantedLines<'e> = ShortList<ResolvedLine<'e>, SHORT>;

/// What was lacking for a basket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lack {
    /// A line had only so many units available.
    Units { line: usize, available: u32 },
    /// Under the plan's allowance `at`, so many could still have been drawn.
    Allowance { at: usize, available: u32 },
}

impl<'a> Call<'a> {
    /// Takes all lines, or none. A refusal names the lines that are short, or the limit.
    pub(in crate::engine) fn take_basket(
        self,
        wanted: &'a [ResolvedLine<'a>],
        purpose: Purpose,
    ) -> Result<ReservationId, BasketError> {
        let basket = Basket { wanted, purpose };
        if wanted.iter().all(|line| !line.limited) {
            return self.take_drawing(basket, NoDraws);
        }
        self.take_limited(basket)
    }

    #[inline(never)]
    fn take_limited(self, basket: Basket<'a>) -> Result<ReservationId, BasketError> {
        let engine = self.engine;
        let taking = match basket.purpose {
            Purpose::Hold { .. } => Taking::Hold,
            Purpose::Sale { .. } => Taking::Sale,
        };
        let limited = |(line, it): (u32, &ResolvedLine<'a>)| LimitedLine {
            line,
            handle: it.handle,
            level: it.level,
            units: it.qty.get(),
        };
        let mut fits = false;
        // What is short is told of first.
        if let [line] = basket.wanted
            && enough(basket.wanted)
        {
            match self.fits_at_once(taking, limited((0, line))) {
                Ok(found) => fits = found,
                Err(refusal) => return Err(engine.refuse_limited(refusal)),
            }
        }
        let mut plan = DrawPlan::none(engine);
        plan.note_look(fits);
        let lines = (0..).zip(basket.wanted).map(limited);
        self.plan_draws(taking, lines, &[], &mut plan)
            .map_err(|refusal| engine.refuse_limited::<BasketError>(refusal))?;
        // A commit has no more lines than the longest basket.
        let (cells, most) = (basket.wanted.len() + plan.cells(), MAX_LINES);
        if cells > most {
            return Err(InvalidInput::TooManyLines { lines: cells, most }.into());
        }
        self.take_drawing(basket, plan)
    }

    /// Takes all lines, and what they draw.
    #[inline(always)]
    fn take_drawing(
        self,
        basket: Basket<'_>,
        mut draws: impl Drawing<'a>,
    ) -> Result<ReservationId, BasketError> {
        let (engine, Basket { wanted, purpose }) = (self.engine, basket);
        let count = |_: &NotStarted| engine.refusals.count(Refusal::Unavailable as usize);
        engine.check_gate().inspect_err(count)?;
        let now = self.timed().now();
        engine.look_before_taking(wanted, &draws, now)?;
        engine.admit().inspect_err(count)?;
        if let Some(plan) = draws.plan_mut() {
            plan.pin(now).map_err(|full| engine.refuse_limited::<BasketError>(full))?;
        }
        let slots_of_draws = draws.plan().map_or(0, DrawPlan::len);
        let slots = engine.slots_for_basket(wanted.len() + slots_of_draws, purpose, now)?;
        let call = self.at(slots.head().taken_at());
        let now = call.now();
        let id = engine.new_id(slots.head());
        // One that goes in words is made of what the commit leaves: nothing of it can fail.
        let record = match draws.plan() {
            Some(plan) if call.draws_in_words(basket, plan) => None,
            plan => Some(call.basket_record(basket, plan, id)),
        };
        if let Err(refusal) = engine.take_lines(wanted, &mut draws, now) {
            engine.slots.put_back_chain(slots, now);
            return Err(refusal);
        }
        let recorded = match (record, draws.plan()) {
            (Some(record), None) => record.queue_while_written(),
            (Some(mut record), Some(plan)) => {
                record.note_used_after(plan);
                record.queue_while_written()
            }
            (None, plan) => call.queue_in_words(basket, plan, id),
        };
        call.publish_basket(basket, &draws, slots, id);
        recorded.map_err(Uncertain::from)?;
        Ok(id)
    }

    #[inline(always)]
    fn publish_basket(
        self,
        basket: Basket<'_>,
        draws: &impl Drawing<'a>,
        slots: VacantChain<'_>,
        id: ReservationId,
    ) {
        let (engine, Basket { wanted, purpose }) = (self.engine, basket);
        let mut lines = wanted.iter().map(|line| SlotLine::new(line.handle, line.qty.get()));
        let Some(first) = lines.next() else { return };
        let chain = Chain::NONE.keeping(self.keeps_until_shipped());
        let chain = chain.drawing(draws.plan().is_some_and(|plan| !plan.is_empty()));
        let record = ReservationRecord { id, owner: self.owner(), line: first, chain };
        let lines = lines.map(LinkContent::Line);
        match purpose {
            Purpose::Hold { .. } => {
                let expires_at = purpose.expires_at(self.now());
                let slots_of = &engine.slots;
                match draws.plan() {
                    None => slots_of.publish_lines(slots, lines, record, expires_at),
                    Some(plan) => {
                        let rest = lines.chain(plan.slot_draws(None).map(LinkContent::Draw));
                        slots_of.publish_lines(slots, rest, record, expires_at);
                    }
                }
            }
            Purpose::Sale { retaken_from } => {
                let kept = chain.keeps();
                wanted.iter().for_each(|line| line.level.sold_to(kept).add(line.qty));
                let number = slots.head().number();
                let drawn = draws.plan().into_iter();
                let drawn = drawn.flat_map(|plan| plan.slot_draws(Some(self.now())));
                let counted = drawn.clone().filter_map(|draw| draw.ends()).min();
                let rest = lines
                    .chain(drawn.map(LinkContent::Draw))
                    .chain(retaken_from.map(LinkContent::RetakenFrom));
                let chain = engine.slots.publish_sold_lines(slots, rest, record, counted);
                engine.slots.retire(number, chain, true, self.now());
            }
        }
    }
}

impl Engine {
    /// Refuses a basket that is plainly short, without a write to shared memory. In a flash sale,
    /// most calls come when everything is sold out.
    #[inline(always)]
    fn look_before_taking<'e>(
        &self,
        wanted: &[ResolvedLine<'_>],
        draws: &impl Drawing<'e>,
        now: Timestamp,
    ) -> Result<(), BasketError> {
        let Some(plan) = draws.plan() else {
            if enough(wanted) {
                return Ok(());
            }
            let (short, overdue_left) = self.look_for_short_lines(wanted, now);
            return if short.is_empty() {
                Ok(())
            } else {
                Err(self.refuse_basket(short, overdue_left))
            };
        };
        if enough(wanted) {
            if plan.was_seen_to_fit() {
                return Ok(());
            }
            match plan.refusal(false) {
                None => return Ok(()),
                Some(refusal) if !self.slots.is_due(now) => {
                    return Err(self.refuse_limited(refusal));
                }
                Some(_) => {}
            }
        }
        self.look_for_overdue_of(wanted, plan, now)
    }

    /// Refuses what is short or at a limit though overdue holds were taken back.
    #[cold]
    #[inline(never)]
    fn look_for_overdue_of(
        &self,
        wanted: &[ResolvedLine<'_>],
        plan: &DrawPlan<'_>,
        now: Timestamp,
    ) -> Result<(), BasketError> {
        let overdue_left = !self.take_back_overdue(now, || enough(wanted) && plan.has_room());
        let short = self.short_lines(wanted);
        if !short.is_empty() {
            return Err(self.refuse_basket(short, overdue_left));
        }
        match plan.refusal(overdue_left) {
            None => Ok(()),
            Some(refusal) => Err(self.refuse_limited(refusal)),
        }
    }

    /// The lines that are short though overdue holds were taken back, and whether such holds are
    /// left.
    #[cold]
    #[inline(never)]
    pub(super) fn look_for_short_lines(
        &self,
        wanted: &[ResolvedLine<'_>],
        now: Timestamp,
    ) -> (Vec<ShortLine>, bool) {
        let mut short = self.short_lines(wanted);
        let mut overdue_left = false;
        if !short.is_empty() && self.slots.is_due(now) {
            overdue_left = !self.take_back_overdue(now, || enough(wanted));
            short = self.short_lines(wanted);
        }
        (short, overdue_left)
    }

    /// Takes all lines at one instant, or none. A refusal is exact: the first line that it names
    /// was short at one instant of this call.
    #[inline]
    fn take_lines<'e>(
        &self,
        wanted: &[ResolvedLine<'_>],
        draws: &mut impl Drawing<'e>,
        now: Timestamp,
    ) -> Result<(), BasketError> {
        match self.try_to_take(wanted, draws)? {
            None => Ok(()),
            Some(lack) => self.take_lines_again(wanted, draws, lack, now),
        }
    }

    /// Takes the lines, for which something was lacking, if overdue holds had that.
    #[cold]
    #[inline(never)]
    fn take_lines_again<'e>(
        &self,
        wanted: &[ResolvedLine<'_>],
        draws: &mut impl Drawing<'e>,
        mut lack: Lack,
        now: Timestamp,
    ) -> Result<(), BasketError> {
        let mut overdue_left = false;
        if self.slots.is_due(now) {
            // Expire holds here, outside the commit: a commit must touch cells in ascending order
            // only.
            let room = || draws.plan().is_none_or(DrawPlan::has_room);
            overdue_left = !self.take_back_overdue(now, || enough(wanted) && room());
            lack = match self.try_to_take(wanted, draws)? {
                None => return Ok(()),
                Some(lack) => lack,
            };
        }
        let (line, available) = match lack {
            Lack::Units { line, available } => (line, available),
            Lack::Allowance { at, available } => {
                let plan = draws.plan();
                return Err(match plan.and_then(|it| it.refused_at(at, available, overdue_left)) {
                    Some(refusal) => self.refuse_limited(refusal),
                    None => unreachable!("the commit has a line for each allowance"),
                });
            }
        };
        let mut named = vec![self.short(&wanted[line], available)];
        let others = wanted.iter().enumerate().filter(|(at, _)| *at != line).map(|(_, line)| line);
        named.extend(others.filter_map(|line| self.short_line(line)));
        Err(self.refuse_basket(named, overdue_left))
    }

    /// Takes all lines and draws, or returns what was lacking.
    #[inline(always)]
    fn try_to_take<'e>(
        &self,
        wanted: &[ResolvedLine<'_>],
        draws: &mut impl Drawing<'e>,
    ) -> Result<Option<Lack>, NotStarted> {
        if let Some(plan) = draws.plan_mut() {
            return self.try_to_draw(wanted, plan);
        }
        if let [line] = wanted {
            return Ok(match line.take(self) {
                Ok(change) => {
                    if line.level.crosses(change) {
                        self.raise_alert(line.handle, line.level);
                    }
                    None
                }
                Err(available) => Some(Lack::Units { line: 0, available }),
            });
        }
        let lines = wanted.iter().map(|line| line.cell_delta());
        Ok(match self.commit(lines)?.run_and_forget() {
            Ok(()) => None,
            Err(Refused::Line { line, available, .. }) => Some(Lack::Units { line, available }),
            Err(Refused::Sum { .. }) => unreachable!("a basket fills nothing"),
        })
    }

    #[inline(never)]
    fn try_to_draw(
        &self,
        wanted: &[ResolvedLine<'_>],
        plan: &mut DrawPlan<'_>,
    ) -> Result<Option<Lack>, NotStarted> {
        let mut lines = ShortList::<CellDelta, 4>::new();
        let levels = wanted.iter().map(|line| line.cell_delta());
        plan.cell_deltas().chain(levels).for_each(|line| lines.push(line));
        let drawn = plan.cells();
        Ok(match self.commit(lines.iter())?.run() {
            Ok(done) => {
                (0..drawn).for_each(|at| plan.note(at, done.change(at)));
                None
            }
            Err(Refused::Line { line, available, .. }) => Some(match line.checked_sub(drawn) {
                Some(line) => Lack::Units { line, available },
                None => Lack::Allowance { at: line, available },
            }),
            Err(Refused::Sum { .. }) => unreachable!("a basket fills nothing"),
        })
    }

    #[inline(always)]
    fn slots_for_basket(
        &self,
        lines: usize,
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<VacantChain<'_>, BasketError> {
        let count = lines + usize::from(purpose.retaken_from().is_some());
        self.take_chain(count, now).ok_or_else(|| {
            self.refusals.count(Refusal::Full as usize);
            BasketError::Full { slots: self.max_slots }
        })
    }

    /// Counts what a limit refuses.
    pub(in crate::engine) fn refuse_limited<E: From<LimitError>>(&self, refusal: LimitError) -> E {
        self.refusals.count(Refusal::Limited as usize);
        refusal.into()
    }

    #[cold]
    pub(super) fn refuse_basket(&self, lines: Vec<ShortLine>, overdue_left: bool) -> BasketError {
        // A name that nobody ever stocked says nothing about stock.
        if lines.iter().any(|line| !line.never_stocked) {
            self.refusals.count(Refusal::Insufficient as usize);
        }
        BasketError::Insufficient { lines, overdue_left }
    }

    /// The lines that are short now, each read by itself.
    fn short_lines(&self, wanted: &[ResolvedLine<'_>]) -> Vec<ShortLine> {
        wanted.iter().filter_map(|line| self.short_line(line)).collect()
    }

    fn short_line(&self, line: &ResolvedLine<'_>) -> Option<ShortLine> {
        line.too_few().map(|available| self.short(line, available))
    }

    fn short(&self, line: &ResolvedLine<'_>, available: u32) -> ShortLine {
        let (warehouse, product) = self.names_of(line.handle);
        ShortLine {
            warehouse: warehouse.as_ref().into(),
            product: product.as_ref().into(),
            needed: line.qty.get(),
            available,
            safety_stock: line.floor,
            never_stocked: false,
        }
    }
}

fn enough(wanted: &[ResolvedLine<'_>]) -> bool {
    wanted.iter().all(|line| line.too_few().is_none())
}
