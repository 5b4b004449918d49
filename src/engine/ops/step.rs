//! A step on a hold that leaves it with other lines, or with more draws than it had.
//!
//! It takes slots for all lines and draws as they are afterwards. Then it swaps exactly the state
//! word under which it read the hold (Law 3), takes what the step draws on allowances, queues one
//! record of all that it moves, moves it, and shows the new lines at one instant
//! (`reservation/steps.rs`).

use crate::audit::entry::AdjustmentType;
use crate::audit::record_builder::RecordBuilder;
use crate::audit::wake_signal::WriterGone;
use crate::base::error::{LimitError, NotStarted, PartialError};
use crate::base::quantity::Quantity;
use crate::engine::Engine;
use crate::engine::allowances::ask::Taking;
use crate::engine::allowances::plan::{DrawPlan, LimitedLine};
use crate::engine::allowances::settle::{Draws, Gifts, LineStep};
use crate::engine::answer::Answer;
use crate::engine::call::Call;
use crate::engine::ops::hold_end::{EndKind, EndOutcome, HoldEnd, NotSold};
use crate::engine::view::reservation::ReservationSnapshot;
use crate::reservation::id::ReservationId;
use crate::reservation::line::SlotLine;
use crate::reservation::slot::LinkContent;
use crate::reservation::slot::draw::SlotDraw;
use crate::reservation::slots::{HeldSlot, VacantSlot};
use crate::reservation::state::Phase;
use crate::stock::cell::CellId;
use crate::stock::handle::LevelIndex;
use crate::stock::mcas::{CellDelta, Refused};
use crate::stock::word::Delta;

/// What a step will do.
pub(super) struct StepPlan {
    /// All lines as they are after the step.
    pub(super) lines: Vec<SlotLine>,
    pub(super) sold: Vec<(LevelIndex, Quantity)>,
    pub(super) given_back: Vec<(LevelIndex, Quantity)>,
}

/// Why a step was not taken. The hold is as it was found.
pub(super) enum StepRefused {
    Limit(LimitError),
    NotSold(NotSold),
    /// It needs new slots, and all are in use.
    Full {
        slots: u32,
    },
    NotStarted(NotStarted),
}

impl From<LimitError> for StepRefused {
    fn from(refusal: LimitError) -> Self {
        Self::Limit(refusal)
    }
}

impl From<StepRefused> for PartialError {
    fn from(refused: StepRefused) -> Self {
        match refused {
            StepRefused::Limit(limit) => Self::Limit(limit),
            StepRefused::NotSold(missing) => missing.into(),
            StepRefused::Full { slots } => Self::Full { slots },
            StepRefused::NotStarted(cause) => cause.into(),
        }
    }
}

impl StepPlan {
    /// The plan of the sale of all that these lines hold.
    fn of_whole_sale(lines: &[SlotLine]) -> Self {
        let mut plan = Self {
            lines: Vec::with_capacity(lines.len()),
            sold: Vec::new(),
            given_back: Vec::new(),
        };
        for line in lines {
            if let Ok(units) = Quantity::new(line.held) {
                plan.sold.push((line.level, units));
            }
            plan.lines.push(line.step(line.held, 0).unwrap_or(*line));
        }
        plan
    }

    /// The ordinary end that does the same as the step; `None` if there is none.
    pub(super) fn plain_end(&self) -> Option<EndKind> {
        let over = self.lines.iter().all(|line| line.held == 0);
        match (over, self.sold.is_empty(), self.given_back.is_empty()) {
            (true, false, true) => Some(EndKind::Sell),
            (true, true, false) => Some(EndKind::Release),
            _ => None,
        }
    }

    /// The phase of the hold after the step.
    pub(super) fn phase(&self) -> Phase {
        if self.lines.iter().any(|line| line.held > 0) {
            Phase::Pending
        } else if self.lines.iter().any(|line| line.sold > 0) {
            Phase::Confirmed
        } else {
            Phase::Released
        }
    }

    /// What it does to each line of the hold, which had these.
    fn steps(&self, before: &[SlotLine]) -> Vec<LineStep> {
        let step = |(after, before): (&SlotLine, &SlotLine)| LineStep {
            sold: after.sold - before.sold,
            given_back: after.given_back - before.given_back,
            cancelled: 0,
        };
        self.lines.iter().zip(before).map(step).collect()
    }
}

impl<'a> Call<'a> {
    /// Plans what the sale of held units draws: only where a limit asks for its subject then.
    pub(super) fn plan_draws_of_sale(
        self,
        hold: &ReservationSnapshot<'_>,
        plan: &StepPlan,
    ) -> Result<DrawPlan<'a>, LimitError> {
        let engine = self.engine;
        if !engine.rules.asks_at_sale() || plan.sold.is_empty() {
            return Ok(DrawPlan::none(engine));
        }
        let had = engine.draws_of(hold);
        let steps = plan.steps(&hold.lines);
        let lines = (0..).zip(hold.lines.iter().zip(&steps)).filter_map(|(at, (line, step))| {
            let level = engine.catalog.level(line.level)?;
            let limited = LimitedLine { line: at, handle: line.level, level, units: step.sold };
            (step.sold > 0).then_some(limited)
        });
        let mut draws = DrawPlan::none(engine);
        self.plan_draws(Taking::SaleOfHeld, lines, &had, &mut draws)?;
        if draws.refusal(false).is_some() {
            let now = self.now();
            let overdue_left = !engine.take_back_overdue(now, || draws.has_room());
            draws.refusal(overdue_left).map_or(Ok(()), Err)?;
        }
        Ok(draws)
    }

    /// Does a step that leaves the hold with other lines or draws. `None` if another call was
    /// first.
    pub(super) fn step(
        self,
        hold: &ReservationSnapshot<'_>,
        plan: &StepPlan,
        mut draws: DrawPlan<'_>,
        answer: Answer,
    ) -> Result<Option<Result<(), WriterGone>>, StepRefused> {
        let (engine, now) = (self.engine, self.now());
        // Law 5: obtain what can run out before anything moves.
        draws.pin(now).map_err(StepRefused::Limit)?;
        let mut after = engine.draws_of(hold);
        let mut gifts = Gifts::new();
        let steps = plan.steps(&hold.lines);
        // What is drawn now is among them: a reservation that draws for one more line counts on,
        // also where the step gives back all that it had drawn before.
        draws.slot_draws(None).for_each(|draw| add_draw(&mut after, draw));
        engine.settle_draws(&mut after, &mut gifts, |line| {
            steps.get(line as usize).copied().unwrap_or_default()
        });
        let mut counted = None;
        if plan.phase() == Phase::Confirmed {
            counted = engine.begin_windows(&mut after, now);
        }
        let slots = engine
            .take_slots(plan.lines.len() + after.len(), now)
            .ok_or(StepRefused::Full { slots: engine.max_slots })?;
        let put_back = |slots: Vec<VacantSlot<'_>>| {
            slots.into_iter().for_each(|slot| engine.slots.put_back(slot, now));
        };
        let mut record = engine
            .step_record(plan)
            .at(now)
            .reservation(hold.record.id, hold.head.state.expires_at())
            .owner(hold.record.owner)
            .of_hold(self, answer);
        if !draws.is_empty() {
            let places = places_of_sales(&steps);
            record = record.draws(draws.marks(|line| places[line as usize]));
        }
        // Law 3: swap the whole word, so that the lines are still the ones that the plan was made
        // for.
        if hold.head.swap_to(Phase::Ending).is_err() {
            put_back(slots);
            return Ok(None);
        }
        if let Err(refused) = engine.draw(&mut draws) {
            put_back(slots);
            // The same word as before: nothing has changed for a reader that saw it then.
            hold.head.slot.finish(hold.head.state);
            return Err(refused);
        }
        if let Err(missing) = self.keep_if_asked(hold.head) {
            put_back(slots);
            // No record tells of these draws, so none has to tell that they came back.
            engine.give(draws.gifts());
            return Err(StepRefused::NotSold(missing));
        }
        record.note_used_after(&draws);
        let gift = |&(level, qty): &(LevelIndex, Quantity)| CellDelta {
            cell: CellId::level(level),
            delta: Delta::give_back(qty),
        };
        plan.given_back.iter().map(gift).for_each(|gift| gifts.push(gift));
        // Law 2: queue first, then sell and give back, then show the new lines.
        let recorded = engine.queue_and_give(record, gifts.iter().copied());
        engine.retire_allowances(&gifts);
        engine.add_sold(&plan.sold, hold.head.slot.chain().keeps());
        let lines = plan.lines.iter().copied().map(LinkContent::Line);
        let contents = lines.chain(after.iter().copied().map(LinkContent::Draw));
        let links: Vec<(VacantSlot<'_>, LinkContent)> = slots.into_iter().zip(contents).collect();
        let phase = plan.phase();
        let chain = engine.slots.replace_lines(hold.head, &links, phase, now);
        counted.into_iter().for_each(|it| engine.slots.note_counted(hold.head.number, it));
        if phase.is_final() {
            let unsettled = plan.lines.iter().any(SlotLine::is_unsettled);
            engine.slots.retire(hold.head.number, chain, unsettled, now);
        }
        Ok(Some(recorded))
    }

    /// Sells the whole hold `head`, where a limit may ask for its subject at the sale. `None` if
    /// another thread changed it first.
    #[cold]
    pub(super) fn sell_asking(
        self,
        id: ReservationId,
        head: HeldSlot<'_>,
        answer: Answer,
    ) -> Option<EndOutcome> {
        let hold = self.engine.snapshot_of(id).ok().filter(|it| it.head.state == head.state)?;
        let plan = StepPlan::of_whole_sale(&hold.lines);
        let draws = match self.plan_draws_of_sale(&hold, &plan) {
            Ok(draws) => draws,
            Err(refusal) => return Some(EndOutcome::Limited(self.engine.refuse_limited(refusal))),
        };
        if draws.is_empty() {
            head.swap_to(Phase::Ending).ok()?;
            return Some(match self.keep_if_asked(head) {
                Ok(()) => EndOutcome::Done(self.finish_hold(head, EndKind::Sell, answer)),
                Err(missing) => EndOutcome::NotSold(missing),
            });
        }
        Some(match self.step(&hold, &plan, draws, answer) {
            Ok(recorded) => EndOutcome::Done(HoldEnd { recorded: recorded?, in_part: None }),
            Err(StepRefused::Limit(refusal)) => {
                EndOutcome::Limited(self.engine.refuse_limited(refusal))
            }
            Err(StepRefused::NotSold(missing)) => EndOutcome::NotSold(missing),
            Err(StepRefused::Full { slots }) => EndOutcome::Full { slots },
            Err(StepRefused::NotStarted(cause)) => EndOutcome::NotStarted(cause),
        })
    }
}

impl Engine {
    /// Counts a step that a limit refused.
    pub(super) fn count_limited(&self, refused: StepRefused) -> StepRefused {
        match refused {
            StepRefused::Limit(refusal) => self.refuse_limited(refusal),
            other => other,
        }
    }
}

/// Adds a draw to those that a hold has, or to the one of the same line and subject.
fn add_draw(draws: &mut Draws, draw: SlotDraw) {
    let same = |known: &&mut SlotDraw| {
        (known.line, known.key, known.of_sale) == (draw.line, draw.key, draw.of_sale)
    };
    match draws.iter_mut().find(same) {
        // Where nothing was drawn any more, the allowance may have another place by now.
        Some(known) => {
            (known.drawn, known.allowance) = (known.drawn + draw.drawn, draw.allowance);
        }
        None => draws.push(draw),
    }
}

/// For each line of the hold, which line of the step's record sells units of it: the sold ones come
/// first.
fn places_of_sales(steps: &[LineStep]) -> Vec<u32> {
    let mut sold = 0;
    let place = |step: &LineStep| {
        let place = sold;
        sold += u32::from(step.sold > 0);
        place
    };
    steps.iter().map(place).collect()
}

impl Engine {
    /// What the lines of a hold have drawn. Read before the swap of its state, which tells whether
    /// it is still so.
    fn draws_of(&self, hold: &ReservationSnapshot<'_>) -> Draws {
        let mut draws = Draws::new();
        self.slots.draws_of(hold.record.chain, |draw| draws.push(draw));
        draws
    }

    /// Takes what is planned on allowances alone.
    fn draw(&self, draws: &mut DrawPlan<'_>) -> Result<(), StepRefused> {
        if draws.is_empty() {
            return Ok(());
        }
        match self.commit(draws.cell_deltas()).map_err(StepRefused::NotStarted)?.run() {
            Ok(done) => {
                (0..done.lines()).for_each(|at| draws.note(at, done.change(at)));
                Ok(())
            }
            Err(Refused::Line { line, available, .. }) => {
                match draws.refused_at(line, available, false) {
                    Some(refusal) => Err(StepRefused::Limit(refusal)),
                    None => unreachable!("the commit has a line for each allowance"),
                }
            }
            Err(Refused::Sum { .. }) => unreachable!("the commit fills nothing"),
        }
    }

    /// One record with all entries of the step: first of what it sells.
    fn step_record(&self, plan: &StepPlan) -> RecordBuilder<'_> {
        let first =
            if plan.sold.is_empty() { AdjustmentType::Returned } else { AdjustmentType::Sold };
        let sold = plan.sold.iter().map(|line| (AdjustmentType::Sold, line));
        let given_back = plan.given_back.iter().map(|line| (AdjustmentType::Returned, line));
        sold.chain(given_back).fold(self.recorder.movement_of(first), |record, (movement, line)| {
            let &(level, qty) = line;
            if movement == first {
                record.line(level, qty.get())
            } else {
                record.and(movement, level, qty)
            }
        })
    }
}
