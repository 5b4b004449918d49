//! Baskets: several lines under one reservation, all or nothing.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use crate::audit::entry::AdjustmentType;
use crate::audit::record_builder::RecordBuilder;
use crate::base::clock::Timestamp;
use crate::base::error::{BasketError, InvalidInput, LimitError, NotStarted, ShortLine};
use crate::base::quantity::Quantity;
use crate::base::short_list::ShortList;
use crate::engine::allowances::plan::{DrawPlan, LimitedLine, Taking};
use crate::engine::answer::{Answer, ConfirmOrRetake};
use crate::engine::call::Call;
use crate::engine::durability::OperationKind;
use crate::engine::ops::reserve::ResolvedLine;
use crate::engine::place::{BasketLine, OwnLevel, OwnLines, foreign, merge_equal_levels};
use crate::engine::request::on_requests_for_holds;
use crate::engine::request_options::SafetyStock;
use crate::engine::request_shape::RequestShape;
use crate::engine::{Engine, InventoryManager, Refusal};
use crate::reservation::chain::Chain;
use crate::reservation::id::ReservationId;
use crate::reservation::line::SlotLine;
use crate::reservation::slot::{LinkContent, ReservationRecord};
use crate::reservation::slots::vacant_chain::VacantChain;
use crate::stock::handle::LevelIndex;
use crate::stock::mcas::{CellDelta, Refused};

impl InventoryManager {
    /// Holds all lines of a basket under one reservation, or none. Lines of the same level are
    /// merged.
    ///
    /// The lines show at one instant: no reader sees a part of a basket. The hold expires `ttl`
    /// from now, rounded up to whole milliseconds. Costs one slot for each line. Waits as
    /// [`reserve`](Self::reserve) does.
    ///
    /// # Errors
    /// [`BasketError::Insufficient`] names the lines that were short. Unless the error is
    /// [`Uncertain`](crate::Uncertain), nothing has moved. See [`BasketError`] for the rest.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use stockade::BasketLine;
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// manager.add_stock(("SF", "MOUSE"), 10, "SUPPLIER")?;
    /// let lines = [BasketLine::new(("SF", "LAPTOP"), 1), BasketLine::new(("SF", "MOUSE"), 2)];
    /// let basket = manager.reserve_basket(&lines, Duration::from_secs(60))?;
    /// manager.release(basket)?;
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn reserve_basket(
        &self,
        lines: &[BasketLine<'_>],
        ttl: Duration,
    ) -> Result<ReservationId, BasketError> {
        self.call().reserve_basket(lines, ttl)
    }
}

on_requests_for_holds! {
    /// Same as [`InventoryManager::reserve_basket`], with this request's options.
    /// With a key, the look-up [may read the disk](Self::key).
    pub fn reserve_basket(
        &self,
        lines: &[BasketLine<'_>],
        ttl: Duration,
    ) -> Result<ReservationId, BasketError> {
        self.call().reserve_basket(lines, ttl)
    }
}

/// So many lines of a basket or a hold take no list on the heap. Most baskets are short.
pub(in crate::engine) const SHORT: usize = 8;

/// The lines of a basket, with their levels.
pub(in crate::engine) type WantedLines<'e> = ShortList<ResolvedLine<'e>, SHORT>;

/// Whether a basket is held, or sold at once.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) enum Purpose {
    Hold {
        ttl: Duration,
    },
    /// Sold at once; maybe in place of a hold that ended without a sale.
    Sale {
        retaken_from: Option<ReservationId>,
    },
}

impl Purpose {
    /// When the hold expires that is made `now`. A basket that is sold at once expires then.
    fn expires_at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Hold { ttl } => now.saturating_add(ttl),
            Self::Sale { .. } => now,
        }
    }

    /// The hold that it takes anew.
    fn retaken_from(self) -> Option<ReservationId> {
        if let Self::Sale { retaken_from } = self { retaken_from } else { None }
    }
}

impl<'a> Call<'a> {
    fn reserve_basket(
        self,
        lines: &[BasketLine<'_>],
        ttl: Duration,
    ) -> Result<ReservationId, BasketError> {
        let lines = self.engine.check_basket(lines)?;
        let shape = |it: &mut RequestShape| basket_shape(it, "basket", lines).span(ttl).end();
        self.keyed(OperationKind::Reserve, shape, |call| {
            call.engine.ttl_limits.check_hold(ttl)?;
            let mut wanted = WantedLines::new();
            call.engine.resolve_lines(lines, call.safety_stock(), &mut wanted)?;
            call.take_basket(&wanted, Purpose::Hold { ttl })
        })
    }

    /// Takes all lines, or none. A refusal names the lines that are short.
    pub(in crate::engine) fn take_basket(
        self,
        wanted: &[ResolvedLine<'_>],
        purpose: Purpose,
    ) -> Result<ReservationId, BasketError> {
        let engine = self.engine;
        let count = |_: &NotStarted| engine.refusals.count(Refusal::Unavailable as usize);
        engine.check_gate().inspect_err(count)?;
        let now = self.timed().now();
        let mut plan = self.plan_for(wanted, purpose)?;
        engine.look_before_taking(wanted, &plan, now)?;
        engine.admit().inspect_err(count)?;
        plan.pin().map_err(|full| engine.refuse_limited::<BasketError>(full))?;
        let slots = engine.slots_for_basket(wanted.len() + plan.len(), purpose, now)?;
        let call = self.at(slots.head().taken_at());
        let now = call.now();
        let id = engine.new_id(slots.head());
        let mut record = call.basket_record(wanted, &plan, purpose, id);
        if let Err(refusal) = engine.take_lines(wanted, &mut plan, now) {
            engine.slots.put_back_chain(slots, now);
            return Err(refusal);
        }
        record.note_used_after(&plan);
        let recorded = record.queue();
        call.publish_basket(wanted, &plan, purpose, slots, id);
        recorded?;
        Ok(id)
    }

    /// What the lines draw on allowances. Most baskets draw nothing, and pay nothing for it.
    #[inline]
    fn plan_for(
        self,
        wanted: &[ResolvedLine<'_>],
        purpose: Purpose,
    ) -> Result<DrawPlan<'a>, BasketError> {
        if wanted.iter().all(|line| !line.limited) {
            return Ok(DrawPlan::none(self.engine));
        }
        let taking = match purpose {
            Purpose::Hold { .. } => Taking::Hold,
            Purpose::Sale { .. } => Taking::Sale,
        };
        let lines = (0..).zip(wanted).map(|(line, it)| LimitedLine {
            line,
            handle: it.handle,
            level: it.level,
            units: it.qty.get(),
        });
        let plan = self.plan_draws(taking, lines, &[]);
        plan.map_err(|refusal| self.engine.refuse_limited(refusal))
    }

    fn basket_record(
        self,
        wanted: &[ResolvedLine<'_>],
        plan: &DrawPlan<'_>,
        purpose: Purpose,
        id: ReservationId,
    ) -> RecordBuilder<'a> {
        let answer = match purpose.retaken_from() {
            None => Answer::Reservation(id),
            Some(_) => ConfirmOrRetake::Retaken(id).into(),
        };
        let mut record = self
            .engine
            .recorder
            .movement_of(AdjustmentType::Reserved)
            .new_hold(self, id, purpose.expires_at(self.now()))
            .of_hold(self, answer);
        record = record.lines(wanted.iter().map(|line| (line.handle, line.qty.get())));
        if !plan.is_empty() {
            // The record's first lines are those of the call.
            record = record.draws(plan.marks(|line| line));
        }
        if let Purpose::Sale { retaken_from } = purpose {
            record = retaken_from.into_iter().fold(record, RecordBuilder::retaken_from);
            for line in wanted {
                record = record.and(AdjustmentType::Sold, line.handle, line.qty);
            }
        }
        record
    }

    fn publish_basket(
        self,
        wanted: &[ResolvedLine<'_>],
        plan: &DrawPlan<'_>,
        purpose: Purpose,
        slots: VacantChain<'_>,
        id: ReservationId,
    ) {
        let engine = self.engine;
        let mut lines = wanted.iter().map(|line| SlotLine::new(line.handle, line.qty.get()));
        let Some(first) = lines.next() else { return };
        let chain = Chain::NONE.keeping(self.keeps_until_shipped()).drawing(!plan.is_empty());
        let record = ReservationRecord { id, owner: self.owner(), line: first, chain };
        let lines = lines.map(LinkContent::Line);
        match purpose {
            Purpose::Hold { .. } => {
                let expires_at = purpose.expires_at(self.now());
                let rest = lines.chain(plan.slot_draws(None).map(LinkContent::Draw));
                engine.slots.publish_lines(slots, rest, record, expires_at);
            }
            Purpose::Sale { retaken_from } => {
                let kept = chain.keeps();
                wanted.iter().for_each(|line| line.level.sold_to(kept).add(line.qty));
                let number = slots.head().number();
                let draws = plan.slot_draws(Some(self.now()));
                let counted = draws.clone().filter_map(|draw| draw.ends()).min();
                let rest = lines
                    .chain(draws.map(LinkContent::Draw))
                    .chain(retaken_from.map(LinkContent::RetakenFrom));
                let chain = engine.slots.publish_sold_lines(slots, rest, record, counted);
                engine.slots.retire(number, chain, true, self.now());
            }
        }
    }
}

impl Engine {
    /// Refuses a basket that is not valid, without a look at the stock.
    pub(in crate::engine) fn check_basket<'l>(
        &self,
        lines: &'l [BasketLine<'l>],
    ) -> Result<OwnLines<'l>, BasketError> {
        if lines.is_empty() { Err(InvalidInput::Empty.into()) } else { self.own_lines(lines) }
    }

    /// Adds the lines with their levels to `wanted`, sorted and merged. Refuses a suspended
    /// warehouse, and a line without a level. That refusal names all other lines that are short as
    /// well.
    pub(in crate::engine) fn resolve_lines<'e>(
        &'e self,
        lines: OwnLines<'_>,
        safety_stock: SafetyStock,
        wanted: &mut WantedLines<'e>,
    ) -> Result<(), BasketError> {
        let mut found = ShortList::<_, SHORT>::holding((LevelIndex(0), 0));
        let mut not_there: Vec<ShortLine> = Vec::new();
        // Where in that list each place is. A basket of the caller's may be long. Most have no such
        // line, and pay nothing for it.
        let mut listed = None;
        for (level, quantity) in lines.iter() {
            match (self.opened(level)?, level) {
                (Some(handle), _) => found.push((handle, quantity)),
                (None, OwnLevel::Names(warehouse, product)) => {
                    match listed.get_or_insert_with(HashMap::new).entry((warehouse, product)) {
                        Entry::Occupied(at) => {
                            let line: &mut ShortLine = &mut not_there[*at.get()];
                            line.needed = line.needed.saturating_add(quantity);
                        }
                        Entry::Vacant(free) => {
                            free.insert(not_there.len());
                            not_there.push(ShortLine {
                                warehouse: warehouse.to_owned(),
                                product: product.to_owned(),
                                needed: quantity,
                                available: 0,
                                safety_stock: 0,
                                never_stocked: self.known_product(product).is_err(),
                            });
                        }
                    }
                }
                (None, OwnLevel::Index(_)) => return Err(foreign().into()),
            }
        }
        let distinct = merge_equal_levels(&mut found);
        self.resolve_levels(&found[..distinct], safety_stock, wanted)?;
        if not_there.is_empty() {
            return Ok(());
        }
        let (short, overdue_left) = self.look_for_short_lines(wanted, self.now());
        not_there.extend(short);
        Err(self.refuse_basket(not_there, overdue_left))
    }

    /// The same for lines whose levels are known, sorted and merged.
    #[inline(always)]
    pub(in crate::engine) fn resolve_levels<'e>(
        &'e self,
        found: &[(LevelIndex, u32)],
        safety_stock: SafetyStock,
        wanted: &mut WantedLines<'e>,
    ) -> Result<(), BasketError> {
        let most = self.max_basket_lines;
        if found.len() > most {
            return Err(InvalidInput::TooManyLines { lines: found.len(), most }.into());
        }
        for &(handle, units) in found {
            let qty = Quantity::new(units)?;
            let (level, warehouse) = self.level_and_warehouse(handle)?;
            self.check_open(warehouse).map_err(|warehouse| {
                self.refusals.count(Refusal::Suspended as usize);
                BasketError::Suspended { warehouse }
            })?;
            wanted.push(ResolvedLine::new(handle, level, qty, safety_stock));
        }
        Ok(())
    }

    /// Refuses a basket that is plainly short, without a write to shared memory. In a flash sale,
    /// most calls come when everything is sold out.
    fn look_before_taking(
        &self,
        wanted: &[ResolvedLine<'_>],
        plan: &DrawPlan<'_>,
        now: Timestamp,
    ) -> Result<(), BasketError> {
        if enough(wanted) {
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
    fn look_for_short_lines(
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
    fn take_lines(
        &self,
        wanted: &[ResolvedLine<'_>],
        plan: &mut DrawPlan<'_>,
        now: Timestamp,
    ) -> Result<(), BasketError> {
        match self.try_to_take(wanted, plan)? {
            None => Ok(()),
            Some(lack) => self.take_lines_again(wanted, plan, lack, now),
        }
    }

    /// Takes the lines, for which something was lacking, if overdue holds had that.
    #[cold]
    #[inline(never)]
    fn take_lines_again(
        &self,
        wanted: &[ResolvedLine<'_>],
        plan: &mut DrawPlan<'_>,
        mut lack: Lack,
        now: Timestamp,
    ) -> Result<(), BasketError> {
        let mut overdue_left = false;
        if self.slots.is_due(now) {
            // Expire holds here, outside the commit: a commit must touch cells in ascending order
            // only.
            overdue_left = !self.take_back_overdue(now, || enough(wanted) && plan.has_room());
            lack = match self.try_to_take(wanted, plan)? {
                None => return Ok(()),
                Some(lack) => lack,
            };
        }
        let (line, available) = match lack {
            Lack::Units { line, available } => (line, available),
            Lack::Allowance { at, available } => {
                return Err(match plan.refused_at(at, available, overdue_left) {
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
    fn try_to_take(
        &self,
        wanted: &[ResolvedLine<'_>],
        plan: &mut DrawPlan<'_>,
    ) -> Result<Option<Lack>, NotStarted> {
        if !plan.is_empty() {
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
        let mut lines = ShortList::<CellDelta, SHORT>::new();
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
    fn refuse_basket(&self, lines: Vec<ShortLine>, overdue_left: bool) -> BasketError {
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

/// What was lacking for a basket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lack {
    /// A line had only so many units available.
    Units { line: usize, available: u32 },
    /// Under the plan's allowance `at`, so many could still have been drawn.
    Allowance { at: usize, available: u32 },
}

fn enough(wanted: &[ResolvedLine<'_>]) -> bool {
    wanted.iter().all(|line| line.too_few().is_none())
}

/// The fingerprint of a basket: the operation, then its lines.
pub(in crate::engine) fn basket_shape<'s>(
    shape: &'s mut RequestShape,
    operation: &str,
    lines: OwnLines<'_>,
) -> &'s mut RequestShape {
    shape.named(operation).count(lines.len());
    lines.iter().for_each(|(level, quantity)| shape.level(level).count(quantity as usize).end());
    shape
}
