//! Sold units that leave, or whose sale is cancelled, by reservation: never more than it sold.
//!
//! A level counts its sold units, whoever bought them; only the reservation's record knows whose they
//! are. So a call first makes that record its own, so that it can't be reused and nobody else can
//! settle its units (Law 3), then takes the units off the levels' sold ones, logs, gives, and shows
//! all lines' new numbers at one instant (`reservation/steps.rs`).

use crate::audit::entry::AdjustmentType;
use crate::clock::Timestamp;
use crate::error::{InvalidInput, NoReservation, SoldLinesError, Uncertain};
use crate::manager::InventoryManager;
use crate::manager::answer::KeyUse;
use crate::manager::basket::basket_shape;
use crate::manager::details::Details;
use crate::manager::durability::OperationKind;
use crate::manager::engine::Engine;
use crate::manager::found::Found;
use crate::manager::place::BasketLine;
use crate::manager::recorder::Draft;
use crate::manager::request::Request;
use crate::quantity::Quantity;
use crate::reservation::id::ReservationId;
use crate::reservation::state::Phase;
use crate::reservation::steps::NotSettling;
use crate::stock::cell::CellId;
use crate::stock::commit::Line as CommitLine;
use crate::stock::handle::LevelHandle;
use crate::stock::word::Delta;

/// # Sold units of a reservation
impl InventoryManager {
    /// Lets units leave the building that a reservation sold: several lines in one step. Never more
    /// than the reservation sold, and never a unit twice. Works while units of it are still held, too,
    /// for those that it has sold by then.
    ///
    /// Works as long as the reservation's record is readable; one that was made to
    /// [`keep_until_shipped`](Request::keep_until_shipped) is readable until all that it sold is
    /// shipped or cancelled. [`ship`](Self::ship) by level needs no record, and so does not know whose
    /// units leave: whoever ships by both can find a reservation's units gone.
    ///
    /// # Errors
    /// [`SoldLinesError::NotSold`] if a line has fewer units left to ship;
    /// [`NoReservation::Forgotten`] if the record has gone. See [`SoldLinesError`] for the rest.
    /// Nothing has moved then.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use stockade::{BasketLine, SoldLinesError};
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// let order = manager.request().keep_until_shipped().sell(("SF", "LAPTOP"), 3)?;
    /// manager.sell(("SF", "LAPTOP"), 5)?;
    ///
    /// let laptops = |units| [BasketLine::new(("SF", "LAPTOP"), units)];
    /// manager.ship_lines(order, &laptops(2))?;
    /// // The level has six sold units left, this order only one of them.
    /// let refused = manager.ship_lines(order, &laptops(2));
    /// assert!(matches!(refused, Err(SoldLinesError::NotSold { needed: 2, sold: 1, .. })));
    /// manager.cancel_sale_lines(order, &laptops(1), "returned at the door")?;
    /// assert_eq!((manager.sold(("SF", "LAPTOP")), manager.available(("SF", "LAPTOP"))), (5, 3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ship_lines(
        &self,
        id: ReservationId,
        lines: &[BasketLine<'_>],
    ) -> Result<(), SoldLinesError> {
        self.request().ship_lines(id, lines)
    }

    /// Takes the sale of units back that a reservation sold, for a `reason`: they become available
    /// again, those of several lines at one instant. Otherwise as [`ship_lines`](Self::ship_lines).
    ///
    /// # Errors
    /// As there.
    pub fn cancel_sale_lines(
        &self,
        id: ReservationId,
        lines: &[BasketLine<'_>],
        reason: &str,
    ) -> Result<(), SoldLinesError> {
        self.request().cancel_sale_lines(id, lines, reason)
    }
}

impl Request<'_> {
    /// As [`InventoryManager::ship_lines`], with this request's details.
    pub fn ship_lines(
        &self,
        id: ReservationId,
        lines: &[BasketLine<'_>],
    ) -> Result<(), SoldLinesError> {
        self.engine.settle_lines(&self.details, id, lines, Settlement::Ship)
    }

    /// As [`InventoryManager::cancel_sale_lines`], with this request's details.
    pub fn cancel_sale_lines(
        &self,
        id: ReservationId,
        lines: &[BasketLine<'_>],
        reason: &str,
    ) -> Result<(), SoldLinesError> {
        self.engine.settle_lines(&self.details, id, lines, Settlement::Cancel { reason })
    }
}

/// What becomes of sold units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Settlement<'a> {
    Ship,
    Cancel { reason: &'a str },
}

impl Settlement<'_> {
    fn kind(self) -> OperationKind {
        match self {
            Self::Ship => OperationKind::Ship,
            Self::Cancel { .. } => OperationKind::CancelSale,
        }
    }

    fn entry_type(self) -> AdjustmentType {
        match self {
            Self::Ship => AdjustmentType::Shipped,
            Self::Cancel { .. } => AdjustmentType::SaleCancelled,
        }
    }
}

/// What a call does.
struct Plan {
    moved: Vec<(LevelHandle, Quantity)>,
    /// What is settled of each line afterwards.
    settled: Vec<u32>,
    /// Whether that is all that was sold.
    all: bool,
}

impl Engine {
    fn settle_lines(
        &self,
        details: &Details,
        id: ReservationId,
        lines: &[BasketLine<'_>],
        settlement: Settlement<'_>,
    ) -> Result<(), SoldLinesError> {
        if lines.is_empty() {
            return Err(InvalidInput::Empty.into());
        }
        let shape = || match settlement {
            Settlement::Ship => basket_shape("ship-lines", lines).reservation(id),
            Settlement::Cancel { reason } => {
                basket_shape("cancel-sale-lines", lines).reservation(id).text(reason)
            }
        };
        self.keyed(settlement.kind(), details, shape, |key| {
            let named = self.merged::<SoldLinesError>(lines)?;
            self.admit()?;
            let now = self.now();
            loop {
                let found = self.find_sold(id, now)?;
                let plan = self.plan_settling(&found, &named)?;
                let draft = self.settling_draft(id, &found, &plan, settlement, details, key, now);
                // Where another call was first, its outcome is looked at.
                if let Some(recorded) = self.settle(id, &found, plan, settlement, draft, now)? {
                    return Ok(recorded?);
                }
            }
        })
    }

    /// Reads a reservation and its lines. An overdue hold is expired before.
    fn find_sold(&self, id: ReservationId, now: Timestamp) -> Result<Found<'_>, SoldLinesError> {
        loop {
            let found = self.find_whole(id)?;
            if found.state.is_overdue(now) {
                self.expire(id.slot(), found.slot, found.state, now);
                continue;
            }
            return match found.state.phase() {
                Phase::Ending | Phase::Settling => Err(SoldLinesError::Changing),
                _ => Ok(found),
            };
        }
    }

    /// What the call does to each line, if they have what it names.
    fn plan_settling(
        &self,
        found: &Found<'_>,
        named: &[(LevelHandle, u32)],
    ) -> Result<Plan, SoldLinesError> {
        let end = found.tenant.chain.end(found.state.phase());
        let mut plan = Plan {
            moved: Vec::with_capacity(named.len()),
            settled: Vec::with_capacity(found.lines.len()),
            all: true,
        };
        let mut named = named.iter().peekable();
        // Both are sorted by level.
        for line in &found.lines {
            let units =
                named.next_if(|(level, _)| *level == line.level).map_or(0, |(_, units)| *units);
            let left = line.sold_in(end) - line.settled;
            if units > left {
                return Err(self.not_sold(line.level, units, left));
            }
            if units > 0 {
                plan.moved.push((line.level, Quantity::new(units)?));
            }
            plan.settled.push(line.settled + units);
            plan.all &= units == left;
        }
        match named.next() {
            Some((level, units)) => Err(self.not_sold(*level, *units, 0)),
            None => Ok(plan),
        }
    }

    fn not_sold(&self, level: LevelHandle, needed: u32, sold: u32) -> SoldLinesError {
        let (warehouse, product) = self.names_of(level);
        let (warehouse, product) = (warehouse.as_ref().into(), product.as_ref().into());
        SoldLinesError::NotSold { warehouse, product, needed, sold }
    }

    #[allow(clippy::too_many_arguments, reason = "all that the record tells")]
    fn settling_draft(
        &self,
        id: ReservationId,
        found: &Found<'_>,
        plan: &Plan,
        settlement: Settlement<'_>,
        details: &Details,
        key: Option<KeyUse<'_>>,
        now: Timestamp,
    ) -> Draft<'_> {
        let mut draft = self
            .recorder
            .movement_of(settlement.entry_type())
            .at(now)
            .reservation(id, found.state.expires_at())
            .owner(found.tenant.owner);
        for (level, qty) in &plan.moved {
            draft = draft.line(*level, qty.get());
        }
        if let Settlement::Cancel { reason } = settlement {
            draft = draft.text("reason", reason);
        }
        draft.details(details).key(key, ())
    }

    /// Makes the reservation this call's own, and moves the units. `None`: another call was first.
    fn settle(
        &self,
        id: ReservationId,
        found: &Found<'_>,
        plan: Plan,
        settlement: Settlement<'_>,
        draft: Draft<'_>,
        now: Timestamp,
    ) -> Result<Option<Result<(), Uncertain>>, SoldLinesError> {
        let gifts = self.settling_gifts(&plan.moved, settlement);
        let settling = match self.slots.begin_settling(id.slot(), found.slot, found.state) {
            Ok(settling) => settling,
            Err(NotSettling::Changed) => return Ok(None),
            Err(NotSettling::Busy) => return Err(SoldLinesError::Changing),
            Err(NotSettling::Gone) => return Err(NoReservation::Forgotten.into()),
        };
        if let Err(refusal) = self.take_sold(&plan.moved) {
            settling.give_up();
            return Err(refusal);
        }
        // Law 2: the sold units are taken; queued, and then given.
        let recorded = self.queue_and_give(draft, &gifts);
        settling.finish(plan.settled, plan.all, now);
        Ok(Some(recorded))
    }

    /// Takes the units off the levels' sold ones: all, or none. The reservation has as many; only where
    /// others ship by level can a level have fewer. In such a mix, a call that is refused here holds
    /// units of its other lines for a moment.
    fn take_sold(&self, moved: &[(LevelHandle, Quantity)]) -> Result<(), SoldLinesError> {
        let level = |handle| self.catalog.level(handle);
        for (taken, (handle, qty)) in moved.iter().enumerate() {
            let refusal = match level(*handle).map(|level| level.take_sold(*qty)) {
                Some(Ok(())) => continue,
                Some(Err(sold)) => self.not_sold(*handle, qty.get(), sold),
                None => self.not_sold(*handle, qty.get(), 0),
            };
            for (handle, qty) in &moved[..taken] {
                if let Some(level) = level(*handle) {
                    level.sell(*qty);
                }
            }
            return Err(refusal);
        }
        Ok(())
    }

    /// What the levels, and the rooms of their warehouses, are given.
    fn settling_gifts(
        &self,
        moved: &[(LevelHandle, Quantity)],
        settlement: Settlement<'_>,
    ) -> Vec<CommitLine> {
        let mut gifts: Vec<CommitLine> = Vec::with_capacity(moved.len() + 1);
        for &(level, qty) in moved {
            let cell = CellId::level(level);
            let delta = match settlement {
                Settlement::Ship => Delta::ship(qty),
                Settlement::Cancel { .. } => Delta::give_back(qty),
            };
            gifts.push(CommitLine { cell, delta });
            if settlement == Settlement::Ship
                && let Some(level) = self.catalog.level(level)
            {
                let cell = CellId::room(level.warehouse());
                gifts.push(CommitLine { cell, delta: Delta::receive(qty) });
            }
        }
        gifts.sort_unstable_by_key(|gift| gift.cell);
        // Rooms that several lines make: no sum is more than the warehouse can hold.
        gifts.dedup_by(|next, kept| match kept.delta.merge(next.delta) {
            Some(sum) if kept.cell == next.cell => {
                kept.delta = sum;
                true
            }
            _ => false,
        });
        gifts
    }
}
