//! Partial steps: a confirm or a release of some units of a hold.
//!
//! A step first reads the hold's lines, checks that they hold what it names, and takes slots for
//! the new lines. Then it swaps exactly the state word under which it read the lines, so that they
//! cannot have changed since (Law 3). It queues one record of all that it moves, moves it, and
//! shows the new lines at one instant (`reservation/steps.rs`). A step that leaves nothing held and
//! only sells, or only releases, is an ordinary end of the hold and takes no slots.

use crate::audit::wake_signal::WriterGone;
use crate::base::error::{InvalidInput, PartialError, PlaceError, Uncertain};
use crate::base::quantity::{InvalidQuantity, Quantity};
use crate::engine::answer::Answer;
use crate::engine::call::Call;
use crate::engine::durability::OperationKind;
use crate::engine::ops::basket::basket_shape;
use crate::engine::ops::hold_end::EndKind;
use crate::engine::ops::step::StepPlan;
use crate::engine::place::{BasketLine, OwnLines, merge_equal_levels};
use crate::engine::request::{Request, on_requests_for_sales};
use crate::engine::request_shape::RequestShape;
use crate::engine::view::reservation::ReservationSnapshot;
use crate::engine::{Engine, InventoryManager};
use crate::reservation::id::ReservationId;
use crate::reservation::line::SlotLine;
use crate::reservation::state::Phase;
use crate::reservation::view::ReservationStatus;
use crate::stock::handle::LevelIndex;

/// # Parts of a reservation
impl InventoryManager {
    /// Sells some of what a pending reservation holds: whole lines, or some units of them. Lines of
    /// the same level are merged. What the call does not name stays held. Can be called as often as
    /// wanted. Returns the status afterwards: pending while a unit is held, else confirmed.
    ///
    /// Costs one slot for each line of the reservation, unless it sells all that is held. Waits as
    /// [`reserve`](Self::reserve) does.
    ///
    /// # Errors
    /// [`PartialError::NotHeld`] if a line holds fewer units. [`PartialError::Gone`] if the hold is
    /// over; an overdue one is expired. Unless the error is [`Uncertain`](crate::Uncertain),
    /// nothing else has moved. See [`PartialError`] for the rest.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use stockade::{BasketLine, PartialError, ReservationStatus};
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// let hold = manager.reserve(("SF", "LAPTOP"), 3, Duration::from_secs(60))?;
    /// let laptops = |units| [BasketLine::new(("SF", "LAPTOP"), units)];
    ///
    /// assert_eq!(manager.confirm_lines(hold, &laptops(2))?, ReservationStatus::Pending);
    /// let line = &manager.reservation(hold)?.lines[0];
    /// assert_eq!((line.quantity, line.held, line.sold), (3, 1, 2));
    ///
    /// let refused = manager.confirm_lines(hold, &laptops(2));
    /// assert!(matches!(refused, Err(PartialError::NotHeld { needed: 2, held: 1, .. })));
    /// assert_eq!(manager.confirm_lines(hold, &laptops(1))?, ReservationStatus::Confirmed);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn confirm_lines(
        &self,
        id: ReservationId,
        lines: &[BasketLine<'_>],
    ) -> Result<ReservationStatus, PartialError> {
        self.call().partial(id, lines, PartialStep::Confirm)
    }

    /// Gives back some of what a pending reservation holds. Returns the status afterwards: pending
    /// while a unit is held, else confirmed if any unit was sold, else released. In all else it is
    /// the same as [`confirm_lines`](Self::confirm_lines).
    ///
    /// # Errors
    /// Same as [`confirm_lines`](Self::confirm_lines).
    ///
    /// ```
    /// # use std::time::Duration;
    /// use stockade::{BasketLine, ReservationStatus};
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// let hold = manager.reserve(("SF", "LAPTOP"), 3, Duration::from_secs(60))?;
    /// let one_less = [BasketLine::new(("SF", "LAPTOP"), 1)];
    /// assert_eq!(manager.release_lines(hold, &one_less)?, ReservationStatus::Pending);
    /// assert_eq!(manager.available(("SF", "LAPTOP"))?, 8);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn release_lines(
        &self,
        id: ReservationId,
        lines: &[BasketLine<'_>],
    ) -> Result<ReservationStatus, PartialError> {
        self.call().partial(id, lines, PartialStep::Release)
    }

    /// Sells the units that are named, and gives back all others that the reservation holds, in one
    /// step. No reader sees one part without the other. In all else it is the same as
    /// [`confirm_lines`](Self::confirm_lines).
    ///
    /// # Errors
    /// Same as [`confirm_lines`](Self::confirm_lines).
    ///
    /// ```
    /// # use std::time::Duration;
    /// use stockade::{BasketLine, ReservationStatus};
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// manager.add_stock(("SF", "MOUSE"), 10, "SUPPLIER")?;
    /// let lines = [BasketLine::new(("SF", "LAPTOP"), 1), BasketLine::new(("SF", "MOUSE"), 2)];
    /// let basket = manager.reserve_basket(&lines, Duration::from_secs(60))?;
    /// // The customer keeps the laptop and one mouse.
    /// let kept = [BasketLine::new(("SF", "LAPTOP"), 1), BasketLine::new(("SF", "MOUSE"), 1)];
    /// let status = manager.confirm_lines_and_release_rest(basket, &kept)?;
    /// assert_eq!(status, ReservationStatus::Confirmed);
    /// assert_eq!((manager.sold(("SF", "MOUSE"))?, manager.available(("SF", "MOUSE"))?), (1, 9));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn confirm_lines_and_release_rest(
        &self,
        id: ReservationId,
        lines: &[BasketLine<'_>],
    ) -> Result<ReservationStatus, PartialError> {
        self.call().partial(id, lines, PartialStep::ConfirmAndReleaseRest)
    }
}

on_requests_for_sales! {
    /// Same as [`InventoryManager::confirm_lines`], with this request's options.
    /// With a key, the look-up [may read the disk](Self::key).
    pub fn confirm_lines(
        &self,
        id: ReservationId,
        lines: &[BasketLine<'_>],
    ) -> Result<ReservationStatus, PartialError> {
        self.call().partial(id, lines, PartialStep::Confirm)
    }

    /// Same as [`InventoryManager::confirm_lines_and_release_rest`], with this request's options.
    /// With a key, the look-up [may read the disk](Self::key).
    pub fn confirm_lines_and_release_rest(
        &self,
        id: ReservationId,
        lines: &[BasketLine<'_>],
    ) -> Result<ReservationStatus, PartialError> {
        self.call().partial(id, lines, PartialStep::ConfirmAndReleaseRest)
    }
}

impl Request<'_> {
    /// Same as [`InventoryManager::release_lines`], with this request's options.
    /// With a key, the look-up [may read the disk](Self::key).
    pub fn release_lines(
        &self,
        id: ReservationId,
        lines: &[BasketLine<'_>],
    ) -> Result<ReservationStatus, PartialError> {
        self.call().partial(id, lines, PartialStep::Release)
    }
}

/// What a step does with the units that it names, and with the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PartialStep {
    Confirm,
    Release,
    ConfirmAndReleaseRest,
}

impl PartialStep {
    fn name(self) -> &'static str {
        match self {
            Self::Confirm => "confirm-lines",
            Self::Release => "release-lines",
            Self::ConfirmAndReleaseRest => "confirm-lines-and-release-rest",
        }
    }

    fn kind(self) -> OperationKind {
        match self {
            Self::Confirm | Self::ConfirmAndReleaseRest => OperationKind::Sell,
            Self::Release => OperationKind::Release,
        }
    }

    /// The units to sell and the units to give back, of a line that holds `held` units and of which
    /// the step names `named`.
    fn parts(self, held: u32, named: u32) -> (u32, u32) {
        match self {
            Self::Confirm => (named, 0),
            Self::Release => (0, named),
            Self::ConfirmAndReleaseRest => (named, held - named),
        }
    }
}

impl Call<'_> {
    fn partial(
        self,
        id: ReservationId,
        lines: &[BasketLine<'_>],
        step: PartialStep,
    ) -> Result<ReservationStatus, PartialError> {
        if lines.is_empty() {
            return Err(InvalidInput::Empty.into());
        }
        let lines = self.engine.own_lines::<PartialError>(lines)?;
        let shape =
            |it: &mut RequestShape| basket_shape(it, step.name(), lines).reservation(id).end();
        self.keyed(step.kind(), shape, |call| {
            let engine = call.engine;
            let named = engine.merged::<PartialError>(lines)?;
            engine.admit()?;
            let call = call.timed();
            loop {
                let hold = call.find_pending(id)?;
                let plan = engine.plan(step, &hold.lines, &named)?;
                let answer = status(plan.phase());
                let draws = call
                    .plan_draws_of_sale(&hold, &plan)
                    .map_err(|refusal| engine.refuse_limited::<PartialError>(refusal))?;
                let done = match plan.plain_end().filter(|_| draws.is_empty()) {
                    Some(end) => call.end_found(&hold, end, answer.into())?,
                    None => call
                        .step(&hold, &plan, draws, answer.into())
                        .map_err(|refused| engine.count_limited(refused))?,
                };
                // If another call was first, look again at what it did.
                if let Some(recorded) = done {
                    return Ok(recorded.map(|()| answer).map_err(Uncertain::from)?);
                }
            }
        })
    }

    /// Does a step that ends the hold as `confirm` or `release` would. `None` if another call was
    /// first.
    fn end_found(
        self,
        hold: &ReservationSnapshot<'_>,
        end: EndKind,
        answer: Answer,
    ) -> Result<Option<Result<(), WriterGone>>, PartialError> {
        if hold.head.swap_to(Phase::Ending).is_err() {
            return Ok(None);
        }
        self.keep_if_asked(hold.head)?;
        Ok(Some(self.finish_hold(hold.head, end, answer).recorded))
    }
}

impl<'a> Call<'a> {
    /// Reads a pending hold with its lines, or returns why it cannot. Expires an overdue hold.
    fn find_pending(self, id: ReservationId) -> Result<ReservationSnapshot<'a>, PartialError> {
        let (engine, now) = (self.engine, self.now());
        loop {
            let hold = match engine.snapshot_of(id) {
                Ok(hold) => hold,
                Err(none) => return Err(self.gone_without_record(id, none)?.into()),
            };
            let state = hold.head.state;
            match state.phase() {
                Phase::Pending if state.is_overdue(now) => {
                    if engine.expire(hold.head, now) {
                        return Err(hold.gone_in(Phase::Expired).into());
                    }
                }
                Phase::Pending => return Ok(hold),
                Phase::Ending => return Err(PartialError::Changing),
                _ => return Err(hold.gone().into()),
            }
        }
    }
}

impl Engine {
    /// The lines' levels and units, sorted by level and merged.
    pub(in crate::engine) fn merged<E>(
        &self,
        lines: OwnLines<'_>,
    ) -> Result<Vec<(LevelIndex, u32)>, E>
    where
        E: From<InvalidQuantity> + From<PlaceError>,
    {
        let mut merged = Vec::with_capacity(lines.len());
        for (level, quantity) in lines.iter() {
            let qty = Quantity::new(quantity)?;
            merged.push((self.resolve(level)?, qty.get()));
        }
        let distinct = merge_equal_levels(&mut merged);
        merged.truncate(distinct);
        Ok(merged)
    }

    /// Plans what the step does to each line. Refuses it if a line holds fewer units than the step
    /// names.
    fn plan(
        &self,
        step: PartialStep,
        lines: &[SlotLine],
        named: &[(LevelIndex, u32)],
    ) -> Result<StepPlan, PartialError> {
        let mut plan = StepPlan {
            lines: Vec::with_capacity(lines.len()),
            sold: Vec::new(),
            given_back: Vec::new(),
        };
        let mut named = named.iter().peekable();
        // Both lists are sorted by level.
        for line in lines {
            let units =
                named.next_if(|(level, _)| *level == line.level).map_or(0, |(_, units)| *units);
            if units > line.held {
                return Err(self.not_held(line.level, units, line.held));
            }
            let (sold, given_back) = step.parts(line.held, units);
            for (units, moved) in [(sold, &mut plan.sold), (given_back, &mut plan.given_back)] {
                if units > 0 {
                    moved.push((line.level, Quantity::new(units)?));
                }
            }
            let Some(line) = line.step(sold, given_back) else {
                return Err(self.not_held(line.level, units, line.held));
            };
            plan.lines.push(line);
        }
        match named.next() {
            Some((level, units)) => Err(self.not_held(*level, *units, 0)),
            None => Ok(plan),
        }
    }

    fn not_held(&self, level: LevelIndex, needed: u32, held: u32) -> PartialError {
        let (warehouse, product) = self.names_of(level);
        let (warehouse, product) = (warehouse.as_ref().into(), product.as_ref().into());
        PartialError::NotHeld { warehouse, product, needed, held }
    }
}

/// The status that callers see for the phase after a step.
fn status(phase: Phase) -> ReservationStatus {
    ReservationStatus::of(phase).unwrap_or(ReservationStatus::Pending)
}
