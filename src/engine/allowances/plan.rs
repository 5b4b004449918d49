//! What a call is to draw: planned before anything moves, taken in the commit that takes the stock.
//!
//! A plan reads each rule once, its maximum with its version, and writes that into the commit's
//! lines: so all who drive the commit decide alike. It pins the allowances until it is dropped, so
//! that none is retired between the plan and the commit.

use std::sync::Arc;

use crate::audit::draw::DrawMark;
use crate::base::clock::Timestamp;
use crate::base::error::LimitError;
use crate::base::quantity::{MAX_UNITS, Quantity};
use crate::base::short_list::ShortList;
use crate::engine::Engine;
use crate::policy::rule_book::{LiveRule, RuleBound};
use crate::reservation::slot::draw::SlotDraw;
use crate::stock::allowance::key::AllowanceKey;
use crate::stock::allowance::rule::LimitUnit;
use crate::stock::allowance::word;
use crate::stock::cell::{CellId, Change};
use crate::stock::handle::{AllowanceIndex, LevelIndex};
use crate::stock::level::StockLevel;
use crate::stock::mcas::CellDelta;
use crate::stock::word::Delta;

/// So many allowances and draws of one call take no list on the heap.
const FEW: usize = 2;

/// A line that is to be taken, as limits see it.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct LimitedLine<'a> {
    /// Which of the call's lines it is.
    pub(in crate::engine) line: u32,
    pub(in crate::engine) handle: LevelIndex,
    pub(in crate::engine) level: &'a StockLevel,
    pub(in crate::engine) units: u32,
}

/// What a call is to draw, or has drawn.
#[derive(Debug)]
pub(in crate::engine) struct DrawPlan<'e> {
    engine: &'e Engine,
    /// One for each allowance, in the order in which lines asked for them.
    allowances: ShortList<PlannedAllowance<'e>, FEW>,
    draws: ShortList<PlannedDraw, FEW>,
    /// How many of the allowances are pinned, the first ones.
    pinned: usize,
    /// Once all are pinned: their places in the order of their numbers, as a commit needs them.
    by_number: ShortList<u32, FEW>,
    /// The units were held without these draws.
    pub(super) of_sale: bool,
    /// A look before the plan has found room.
    seen_to_fit: bool,
}

/// What a call draws besides what it takes: a [`DrawPlan`], or [`NoDraws`]. Most calls draw
/// nothing, and their path has no trace of what draws need.
pub(in crate::engine) trait Drawing<'e> {
    /// The plan, if there is one.
    fn plan(&self) -> Option<&DrawPlan<'e>>;
    /// The same, to change it.
    fn plan_mut(&mut self) -> Option<&mut DrawPlan<'e>>;
}

/// Of a call that draws nothing.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct NoDraws;

impl<'e> Drawing<'e> for NoDraws {
    #[inline(always)]
    fn plan(&self) -> Option<&DrawPlan<'e>> {
        None
    }

    #[inline(always)]
    fn plan_mut(&mut self) -> Option<&mut DrawPlan<'e>> {
        None
    }
}

impl<'e> Drawing<'e> for DrawPlan<'e> {
    #[inline(always)]
    fn plan(&self) -> Option<&DrawPlan<'e>> {
        Some(self)
    }

    #[inline(always)]
    fn plan_mut(&mut self) -> Option<&mut DrawPlan<'e>> {
        Some(self)
    }
}

/// What is to be drawn on one allowance.
#[derive(Clone, Copy, Debug)]
struct PlannedAllowance<'e> {
    rule: &'e LiveRule,
    key: AllowanceKey,
    /// Means something once it is pinned.
    index: AllowanceIndex,
    bound: RuleBound,
    passed: bool,
    asked: u32,
    used_after: u32,
}

/// How a draw is taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draw {
    /// The call may pass the rule.
    pub(super) passed: bool,
    /// The reservation counts already.
    pub(super) counted: bool,
}

/// A line that draws, and the place of the allowance in the plan.
#[derive(Clone, Copy, Debug)]
struct PlannedDraw {
    line: u32,
    units: u32,
    allowance: u32,
}

impl PlannedAllowance<'_> {
    /// The most that may be used after the draw.
    fn ceiling(&self) -> u32 {
        if self.passed { MAX_UNITS } else { self.bound.maximum }
    }

    fn refuse(&self, used: u32, overdue_left: bool) -> LimitError {
        LimitError::Reached {
            limit: Arc::clone(&self.rule.name),
            maximum: self.bound.maximum,
            used,
            asked: self.asked,
            overdue_left,
        }
    }
}

impl<'e> DrawPlan<'e> {
    /// A plan of nothing.
    #[inline]
    pub(in crate::engine) fn none(engine: &'e Engine) -> Self {
        let (allowances, draws) = (ShortList::new(), ShortList::new());
        let (by_number, of_sale, seen_to_fit) = (ShortList::new(), false, false);
        Self { engine, allowances, draws, pinned: 0, by_number, of_sale, seen_to_fit }
    }

    /// Notes whether a look before the plan has found room: then no other is taken. The commit
    /// decides, whatever a look has found.
    pub(in crate::engine) fn note_look(&mut self, fits: bool) {
        self.seen_to_fit = fits;
    }

    /// What [`note_look`](Self::note_look) has noted.
    pub(in crate::engine) fn was_seen_to_fit(&self) -> bool {
        self.seen_to_fit
    }

    /// Adds what a line draws under a rule.
    pub(super) fn add(
        &mut self,
        rule: &'e LiveRule,
        key: AllowanceKey,
        line: LimitedLine<'_>,
        Draw { passed, counted }: Draw,
    ) {
        // No call names a level twice, so none can be known.
        let known = if rule.is_by_level() {
            None
        } else {
            self.allowances.iter().position(|known| known.key == key)
        };
        // No more than a call has lines and limits.
        let allowance = known.unwrap_or(self.allowances.len()) as u32;
        self.draws.push(PlannedDraw { line: line.line, units: line.units, allowance });
        if let Some(known) = known {
            if rule.unit == LimitUnit::Units {
                let asked = &mut self.allowances[known].asked;
                // Above `MAX_UNITS` it fits under no maximum.
                *asked = asked.saturating_add(line.units);
            }
            return;
        }
        let asked = if counted { 0 } else { rule.amount(line.units) };
        let (bound, index) = (rule.bound(), AllowanceIndex(0));
        let planned = PlannedAllowance { rule, key, index, bound, passed, asked, used_after: 0 };
        self.allowances.push(planned);
    }

    /// Whether nothing is to be drawn.
    #[inline(always)]
    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.draws.is_empty()
    }

    /// How many draws there are: each takes a slot.
    #[inline(always)]
    pub(in crate::engine) fn len(&self) -> usize {
        self.draws.len()
    }

    /// How many cells of a commit it takes.
    pub(in crate::engine) fn cells(&self) -> usize {
        self.allowances.len()
    }

    /// Why a limit refuses the call now, if one does. Writes nothing.
    #[inline]
    pub(in crate::engine) fn refusal(&self, overdue_left: bool) -> Option<LimitError> {
        let refuse = |planned: &PlannedAllowance<'_>| {
            let used = self.engine.catalog.allowances().used(planned.key);
            let after = used.saturating_add(planned.asked);
            let fits = planned.asked == 0 || after <= planned.ceiling();
            (!fits).then(|| planned.refuse(used, overdue_left))
        };
        self.allowances.iter().find_map(refuse)
    }

    /// Whether no limit refuses the call now.
    pub(in crate::engine) fn has_room(&self) -> bool {
        self.refusal(false).is_none()
    }

    /// Spreads the draws of line 0 over the parts in which it was taken: what each line draws.
    pub(in crate::engine) fn spread(&mut self, parts: impl Iterator<Item = u32>) {
        let whole = std::mem::replace(&mut self.draws, ShortList::new());
        for (line, units) in (0..).zip(parts) {
            whole.iter().for_each(|draw| self.draws.push(PlannedDraw { line, units, ..*draw }));
        }
    }

    /// Refuses a plan of a rule that counts by level: the call doesn't know yet how much each level
    /// gives.
    pub(in crate::engine) fn refuse_by_level(&self) -> Result<(), LimitError> {
        match self.allowances.iter().find(|planned| planned.rule.is_by_level()) {
            None => Ok(()),
            Some(it) => Err(LimitError::ByLevel { limit: Arc::clone(&it.rule.name) }),
        }
    }

    /// Makes sure that each allowance is there, and stays. Takes overdue holds back if all are in
    /// use.
    ///
    /// # Errors
    /// [`LimitError::Full`].
    #[inline]
    pub(in crate::engine) fn pin(&mut self, now: Timestamp) -> Result<(), LimitError> {
        match self.pin_all() {
            Err(_) if self.engine.slots.is_due(now) => self.pin_after_overdue(now),
            pinned => pinned,
        }
    }

    #[cold]
    #[inline(never)]
    fn pin_after_overdue(&mut self, now: Timestamp) -> Result<(), LimitError> {
        let lacking = self.allowances.len() - self.pinned;
        let table = self.engine.catalog.allowances();
        self.engine.take_back_overdue(now, || table.room() >= lacking);
        self.pin_all()
    }

    /// Pins those that are not pinned yet.
    fn pin_all(&mut self) -> Result<(), LimitError> {
        let table = self.engine.catalog.allowances();
        for planned in self.allowances.iter_mut().skip(self.pinned) {
            planned.index =
                table.pin(planned.key).map_err(|full| LimitError::Full { most: full.most })?;
            self.pinned += 1;
        }
        (0..self.pinned as u32).for_each(|place| self.by_number.push(place));
        let allowances = &self.allowances;
        self.by_number.sort_unstable_by_key(|place| allowances[*place as usize].index);
        Ok(())
    }

    /// All allowances, in the order of their numbers.
    fn pinned(&self) -> impl ExactSizeIterator<Item = &PlannedAllowance<'e>> + Clone {
        self.by_number.iter().map(|place| &self.allowances[*place as usize])
    }

    /// The lines of the commit that draws, sorted by cell.
    pub(in crate::engine) fn cell_deltas(
        &self,
    ) -> impl ExactSizeIterator<Item = CellDelta> + Clone {
        self.pinned().map(|planned| {
            let draw = |asked| word::draw(asked, planned.ceiling());
            let delta = Quantity::new(planned.asked).map_or(Delta::NOTHING, draw);
            CellDelta { cell: CellId::allowance(planned.index), delta }
        })
    }

    /// What gives back what that commit has drawn, sorted by cell.
    pub(in crate::engine) fn gifts(&self) -> impl ExactSizeIterator<Item = CellDelta> + Clone {
        self.pinned().map(|planned| {
            let delta = Quantity::new(planned.asked).map_or(Delta::NOTHING, word::give);
            CellDelta { cell: CellId::allowance(planned.index), delta }
        })
    }

    /// Notes what line `at` of that commit has changed.
    pub(in crate::engine) fn note(&mut self, at: usize, change: Change) {
        if let Some(place) = self.by_number.get(at) {
            self.allowances[*place as usize].used_after = word::used_in(change.after);
        }
    }

    /// The refusal of that commit, of which line `at` found so many available in its word.
    pub(in crate::engine) fn refused_at(
        &self,
        at: usize,
        available: u32,
        overdue_left: bool,
    ) -> Option<LimitError> {
        let used = MAX_UNITS.saturating_sub(available);
        let place = *self.by_number.get(at)?;
        Some(self.allowances[place as usize].refuse(used, overdue_left))
    }

    /// The marks of the record, in the order of the draws. `line` turns the number of a line of the
    /// call into that of its line in the record.
    pub(in crate::engine) fn marks(
        &self,
        line: impl Fn(u32) -> u32,
    ) -> impl Iterator<Item = DrawMark> {
        self.draws.iter().map(move |draw| {
            let planned = self.allowance_of(draw);
            DrawMark {
                key: planned.key,
                version: planned.bound.version,
                maximum: planned.bound.maximum,
                used_after: planned.used_after,
                passed: planned.passed,
                line: line(draw.line),
            }
        })
    }

    /// What each draw left used, in the order of the marks.
    pub(in crate::engine) fn used_after(&self) -> impl Iterator<Item = u32> {
        self.draws.iter().map(|draw| self.allowance_of(draw).used_after)
    }

    /// The draws as slots keep them. `sold_at`: when the units were sold, if they are.
    pub(in crate::engine) fn slot_draws(
        &self,
        sold_at: Option<Timestamp>,
    ) -> impl Iterator<Item = SlotDraw> + Clone {
        self.draws.iter().map(move |draw| {
            let planned = self.allowance_of(draw);
            let window = planned.rule.counts.window().zip(sold_at);
            SlotDraw {
                line: draw.line,
                key: planned.key,
                allowance: planned.index,
                drawn: draw.units,
                of_sale: self.of_sale,
                until: window.map_or_else(Timestamp::default, |(it, at)| at.saturating_add(it)),
            }
        })
    }

    fn allowance_of(&self, draw: &PlannedDraw) -> &PlannedAllowance<'e> {
        &self.allowances[draw.allowance as usize]
    }
}

impl Drop for DrawPlan<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.pinned > 0 {
            let table = self.engine.catalog.allowances();
            // Those behind were not reached.
            self.allowances.iter().take(self.pinned).for_each(|planned| table.unpin(planned.index));
        }
    }
}
