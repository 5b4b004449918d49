//! What the steps of a reservation give back of its draws.

use crate::base::clock::Timestamp;
use crate::base::quantity::Quantity;
use crate::base::short_list::ShortList;
use crate::engine::Engine;
use crate::policy::rule_book::LiveRule;
use crate::reservation::chain::Chain;
use crate::reservation::slot::draw::SlotDraw;
use crate::stock::allowance::rule::{LimitCounts, LimitUnit};
use crate::stock::allowance::word;
use crate::stock::cell::{CellId, CellKind};
use crate::stock::handle::AllowanceIndex;
use crate::stock::mcas::CellDelta;

/// So many draws of a reservation take no list on the heap.
const FEW: usize = 2;

/// The draws of a reservation.
pub(in crate::engine) type Draws = ShortList<SlotDraw, FEW>;
/// What is given back, sorted by cell.
pub(in crate::engine) type Gifts = ShortList<CellDelta, { 2 * FEW }>;

/// What a step does to one line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::engine) struct LineStep {
    pub(in crate::engine) sold: u32,
    pub(in crate::engine) given_back: u32,
    pub(in crate::engine) cancelled: u32,
}

impl LineStep {
    /// What of a draw stays.
    fn leaves_of(self, draw: &SlotDraw, counts: LimitCounts) -> u32 {
        let sold = if counts.counts_sales() { 0 } else { self.sold };
        // What comes back of the hold was never in a draw of sold units.
        let given_back = if draw.of_sale { 0 } else { self.given_back };
        let cancelled = if counts.gives_back_on_cancel() { self.cancelled } else { 0 };
        draw.drawn.saturating_sub(sold + given_back + cancelled)
    }
}

impl Engine {
    /// Takes a step on the draws of a reservation, of which `step` tells by line. Adds to `gifts`
    /// what it gives back.
    pub(in crate::engine) fn settle_draws(
        &self,
        draws: &mut [SlotDraw],
        gifts: &mut Gifts,
        step: impl Fn(u32) -> LineStep,
    ) {
        let mut shares = ShortList::<u32, FEW>::new();
        draws.iter().for_each(|draw| shares.push(cancelled_of(draw, draws, step(draw.line))));
        self.change_draws(draws, gifts, |at, rule, draw| {
            let cancelled = shares.get(at).copied().unwrap_or(0);
            LineStep { cancelled, ..step(draw.line) }.leaves_of(draw, rule.counts)
        });
    }

    /// Changes the draws to what `left` says stays of each, by its place, and adds to `gifts` what
    /// that gives back.
    pub(super) fn change_draws(
        &self,
        draws: &mut [SlotDraw],
        gifts: &mut Gifts,
        left: impl Fn(usize, &LiveRule, &SlotDraw) -> u32,
    ) {
        let mut changes = ShortList::<DrawChange, FEW>::new();
        for (at, draw) in draws.iter_mut().enumerate() {
            // A draw's rule stays, also when it was dropped.
            let Some(rule) = self.rules.rule(draw.key.rule) else { continue };
            let after = left(at, rule, draw).min(draw.drawn);
            let (allowance, unit) = (draw.allowance, rule.unit);
            if draw.drawn > 0 {
                changes.push(DrawChange { allowance, unit, before: draw.drawn, after });
            }
            draw.drawn = after;
        }
        changes.sort_unstable_by_key(|change| change.allowance);
        for run in changes.chunk_by(|one, next| one.allowance == next.allowance) {
            let given = match run[0].unit {
                LimitUnit::Units => run.iter().map(|it| it.before - it.after).sum(),
                // The reservation counts as one, for as long as one of its lines draws.
                LimitUnit::Reservations => u32::from(run.iter().all(|it| it.after == 0)),
            };
            if let Ok(given) = Quantity::new(given) {
                let cell = CellId::allowance(run[0].allowance);
                gifts.push(CellDelta { cell, delta: word::give(given) });
            }
        }
    }

    /// The draws of a hold that this thread ends with a sale: from `now` on they count for a time,
    /// if their rules say so. Writes them, and returns the hold's chain as it is then, and when the
    /// first of the draws counts no more.
    pub(in crate::engine) fn count_sold(
        &self,
        chain: Chain,
        draws: &mut [SlotDraw],
        now: Timestamp,
    ) -> (Chain, Option<Timestamp>) {
        let counted = self.begin_windows(draws, now);
        self.slots.write_draws(chain, draws);
        (chain.counting(counted.is_some()), counted)
    }

    /// From `now` on, draws count for a time if their rules say so: the hold is over. Returns when
    /// the first of them counts no more.
    pub(in crate::engine) fn begin_windows(
        &self,
        draws: &mut [SlotDraw],
        now: Timestamp,
    ) -> Option<Timestamp> {
        for draw in draws.iter_mut().filter(|draw| draw.drawn > 0) {
            let window = self.rules.rule(draw.key.rule).and_then(|rule| rule.counts.window());
            draw.until = window.map_or_else(Timestamp::default, |it| now.saturating_add(it));
        }
        draws.iter().filter_map(SlotDraw::ends).min()
    }

    /// Retires the allowances among these cells of which nothing is used any more. Call it after
    /// the gifts are given.
    pub(in crate::engine) fn retire_allowances(&self, gifts: &[CellDelta]) {
        for gift in gifts {
            if let CellKind::Allowance(index) = gift.cell.kind() {
                self.catalog.allowances().retire_if_idle(index);
            }
        }
    }
}

/// How many of a line's cancelled units a draw gives back. Different subjects may have drawn for
/// units of one line, each at its sale. Nobody knows whose unit is cancelled; the first in the
/// order of keys gives back first, as the ledger does.
fn cancelled_of(draw: &SlotDraw, draws: &[SlotDraw], step: LineStep) -> u32 {
    if step.cancelled == 0 || !draw.of_sale {
        return step.cancelled;
    }
    let is_before = |other: &&SlotDraw| {
        (other.line, other.key.rule) == (draw.line, draw.key.rule) && other.key < draw.key
    };
    let before = draws.iter().filter(is_before).fold(0u32, |sum, it| sum.saturating_add(it.drawn));
    step.cancelled.saturating_sub(before)
}

/// How a draw on one allowance changes.
#[derive(Clone, Copy, Debug)]
struct DrawChange {
    allowance: AllowanceIndex,
    unit: LimitUnit,
    before: u32,
    after: u32,
}
