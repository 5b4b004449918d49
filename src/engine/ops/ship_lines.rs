//! Shipping sold units, or cancelling their sale, by reservation: never more than it sold.
//!
//! A level counts its sold units, but only the reservation's record says who bought them. So a call
//! first claims that record (Law 3): its slots cannot be reused, and nobody else can ship or cancel
//! its units. Then the call takes the units off the levels' sold counts, queues its record, gives
//! the units, and shows the new numbers of all lines at one instant (`reservation/steps.rs`).

use crate::audit::entry::AdjustmentType;
use crate::audit::record_builder::RecordBuilder;
use crate::base::clock::Timestamp;
use crate::base::error::{InvalidInput, NoReservation, SoldLinesError, Uncertain};
use crate::base::quantity::Quantity;
use crate::engine::allowances::settle::{Draws, Gifts, LineStep};
use crate::engine::call::Call;
use crate::engine::durability::OperationKind;
use crate::engine::ops::basket::basket_shape;
use crate::engine::ops::hold_end::NotSold;
use crate::engine::place::BasketLine;
use crate::engine::request::Request;
use crate::engine::request_shape::RequestShape;
use crate::engine::view::reservation::ReservationSnapshot;
use crate::engine::{Engine, InventoryManager};
use crate::reservation::id::ReservationId;
use crate::reservation::line::SlotLine;
use crate::reservation::state::Phase;
use crate::reservation::steps::{NotShipping, ShippingClaim};
use crate::stock::cell::CellId;
use crate::stock::handle::LevelIndex;
use crate::stock::mcas::CellDelta;
use crate::stock::word::Delta;

/// # Sold units of a reservation
impl InventoryManager {
    /// Marks units of a reservation as shipped: several lines in one step, and lines of the same
    /// level are merged. Never ships more than the reservation sold, and never a unit twice. Also
    /// works while the reservation still holds units, for those that it has sold so far. Waits as
    /// [`reserve`](Self::reserve) does.
    ///
    /// Works as long as the reservation's record is readable. With
    /// [`keep_until_shipped`](Request::keep_until_shipped), the record stays readable until all
    /// units that it sold are shipped or their sale is cancelled, and its units are *tracked*: no
    /// other call takes them. [`ship`](Self::ship) needs no record, and does not know whose units
    /// leave. If a level's units are shipped by both calls, `ship` can take the units of a
    /// reservation that is not kept.
    ///
    /// # Errors
    /// [`SoldLinesError::NotSold`] if a line has fewer units left to ship.
    /// [`NoReservation::Forgotten`] if the record is no longer kept. Unless the error is
    /// [`Uncertain`](crate::Uncertain), nothing has moved. See [`SoldLinesError`] for the rest.
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
    /// assert_eq!((manager.sold(("SF", "LAPTOP"))?, manager.available(("SF", "LAPTOP"))?), (5, 3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ship_lines(
        &self,
        id: ReservationId,
        lines: &[BasketLine<'_>],
    ) -> Result<(), SoldLinesError> {
        self.call().ship_lines(id, lines, Shipment::Ship)
    }

    /// Cancels the sale of units of a reservation, for a `reason`, which goes into the audit entry.
    /// The units become available again, those of several lines at one instant. In all else it is
    /// the same as [`ship_lines`](Self::ship_lines).
    ///
    /// # Errors
    /// Same as [`ship_lines`](Self::ship_lines).
    pub fn cancel_sale_lines(
        &self,
        id: ReservationId,
        lines: &[BasketLine<'_>],
        reason: &str,
    ) -> Result<(), SoldLinesError> {
        self.call().ship_lines(id, lines, Shipment::Cancel { reason })
    }
}

impl Request<'_> {
    /// Same as [`InventoryManager::ship_lines`], with this request's options.
    /// With a key, the look-up [may read the disk](Self::key).
    pub fn ship_lines(
        &self,
        id: ReservationId,
        lines: &[BasketLine<'_>],
    ) -> Result<(), SoldLinesError> {
        self.call().ship_lines(id, lines, Shipment::Ship)
    }

    /// Same as [`InventoryManager::cancel_sale_lines`], with this request's options.
    /// With a key, the look-up [may read the disk](Self::key).
    pub fn cancel_sale_lines(
        &self,
        id: ReservationId,
        lines: &[BasketLine<'_>],
        reason: &str,
    ) -> Result<(), SoldLinesError> {
        self.call().ship_lines(id, lines, Shipment::Cancel { reason })
    }
}

/// What happens to sold units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shipment<'a> {
    Ship,
    Cancel { reason: &'a str },
}

impl Shipment<'_> {
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

/// What a call will do.
struct ShipmentPlan {
    moved: Vec<(LevelIndex, Quantity)>,
    /// For each line: units shipped or cancelled in all, after the call.
    settled: Vec<u32>,
    /// Whether the call leaves no sold unit to ship or cancel.
    all: bool,
}

impl<'a> Call<'a> {
    fn ship_lines(
        self,
        id: ReservationId,
        lines: &[BasketLine<'_>],
        shipment: Shipment<'_>,
    ) -> Result<(), SoldLinesError> {
        if lines.is_empty() {
            return Err(InvalidInput::Empty.into());
        }
        let lines = self.engine.own_lines::<SoldLinesError>(lines)?;
        if let Shipment::Cancel { reason } = shipment {
            self.check_text(reason)?;
        }
        let shape = |it: &mut RequestShape| match shipment {
            Shipment::Ship => basket_shape(it, "ship-lines", lines).reservation(id).end(),
            Shipment::Cancel { reason } => {
                basket_shape(it, "cancel-sale-lines", lines).reservation(id).text(reason).end();
            }
        };
        self.keyed(shipment.kind(), shape, |call| {
            let engine = call.engine;
            let named = engine.merged::<SoldLinesError>(lines)?;
            engine.admit()?;
            let call = call.timed();
            loop {
                let sale = engine.find_sold(id, call.now())?;
                let plan = engine.plan_shipment(&sale, &named)?;
                let record = call.shipment_record(&sale, &plan.moved, shipment);
                // If another call was first, look again at what it did.
                if let Some(recorded) = call.ship_planned(&sale, plan, shipment, record)? {
                    return Ok(recorded?);
                }
            }
        })
    }

    fn shipment_record(
        self,
        sale: &ReservationSnapshot<'_>,
        moved: &[(LevelIndex, Quantity)],
        shipment: Shipment<'_>,
    ) -> RecordBuilder<'a> {
        let mut record = self
            .engine
            .recorder
            .movement_of(shipment.entry_type())
            .at(self.now())
            .reservation(sale.record.id, sale.head.state.expires_at())
            .owner(sale.record.owner);
        for (level, qty) in moved {
            record = record.line(*level, qty.get());
        }
        if let Shipment::Cancel { reason } = shipment {
            record = record.text("reason", reason);
        }
        record.of_call(self, ())
    }

    /// Claims the reservation for this call, and moves the units. `None` if another call was first.
    fn ship_planned(
        self,
        sale: &ReservationSnapshot<'_>,
        plan: ShipmentPlan,
        shipment: Shipment<'_>,
        record: RecordBuilder<'_>,
    ) -> Result<Option<Result<(), Uncertain>>, SoldLinesError> {
        let engine = self.engine;
        let mut gifts = Gifts::new();
        let claim = match engine.slots.begin_shipping(sale.head) {
            Ok(claim) => claim,
            Err(NotShipping::Changed) => return Ok(None),
            Err(NotShipping::Busy) => return Err(SoldLinesError::Changing),
            Err(NotShipping::Gone) => return Err(NoReservation::Forgotten.into()),
        };
        if let Err(missing) = engine.take_sold(&plan.moved, sale.record.chain.keeps()) {
            claim.give_up();
            return Err(engine.not_sold(missing));
        }
        if let Shipment::Cancel { .. } = shipment {
            engine.cancel_draws(&claim, &sale.lines, &plan, &mut gifts);
        }
        let units = engine.shipment_gifts(&plan.moved, shipment);
        units.into_iter().for_each(|gift| gifts.push(gift));
        // Law 2: the sold units are taken; now queue the record, then give.
        let recorded = engine.queue_and_give(record, gifts.iter().copied());
        engine.retire_allowances(&gifts);
        claim.finish(plan.settled, plan.all, self.now());
        Ok(Some(recorded.map_err(Uncertain::from)))
    }
}

impl Engine {
    /// Reads a reservation with its lines. Expires an overdue hold first.
    fn find_sold(
        &self,
        id: ReservationId,
        now: Timestamp,
    ) -> Result<ReservationSnapshot<'_>, SoldLinesError> {
        loop {
            let sale = self.snapshot_of(id)?;
            if sale.head.state.is_overdue(now) {
                self.expire(sale.head, now);
                continue;
            }
            return match sale.head.state.phase() {
                Phase::Ending | Phase::Shipping => Err(SoldLinesError::Changing),
                _ => Ok(sale),
            };
        }
    }

    /// Plans what the call does to each line. Refuses it if a line has fewer units left than it
    /// names.
    fn plan_shipment(
        &self,
        sale: &ReservationSnapshot<'_>,
        named: &[(LevelIndex, u32)],
    ) -> Result<ShipmentPlan, SoldLinesError> {
        let end = sale.record.chain.end(sale.head.state.phase());
        let mut plan = ShipmentPlan {
            moved: Vec::with_capacity(named.len()),
            settled: Vec::with_capacity(sale.lines.len()),
            all: true,
        };
        let mut named = named.iter().peekable();
        // Both lists are sorted by level.
        for line in &sale.lines {
            let units =
                named.next_if(|(level, _)| *level == line.level).map_or(0, |(_, units)| *units);
            let left = line.sold_in(end) - line.settled;
            if units > left {
                return Err(self.not_sold(NotSold {
                    level: line.level,
                    needed: units,
                    sold: left,
                }));
            }
            if units > 0 {
                plan.moved.push((line.level, Quantity::new(units)?));
            }
            plan.settled.push(line.settled + units);
            plan.all &= units == left;
        }
        match named.next() {
            Some(&(level, needed)) => Err(self.not_sold(NotSold { level, needed, sold: 0 })),
            None => Ok(plan),
        }
    }

    /// Gives back what the cancelled units drew on allowances, where the rules say so.
    fn cancel_draws(
        &self,
        claim: &ShippingClaim<'_>,
        lines: &[SlotLine],
        plan: &ShipmentPlan,
        gifts: &mut Gifts,
    ) {
        let mut draws = Draws::new();
        claim.draws(|draw| draws.push(draw));
        if draws.is_empty() {
            return;
        }
        self.settle_draws(&mut draws, gifts, |line| {
            let before = lines.get(line as usize).map_or(0, |line| line.settled);
            let after = plan.settled.get(line as usize).copied().unwrap_or(before);
            LineStep { cancelled: after - before, ..LineStep::default() }
        });
        claim.write_draws(&draws);
    }

    fn not_sold(&self, NotSold { level, needed, sold }: NotSold) -> SoldLinesError {
        let (warehouse, product) = self.names_of(level);
        let (warehouse, product) = (warehouse.as_ref().into(), product.as_ref().into());
        SoldLinesError::NotSold { warehouse, product, needed, sold }
    }

    /// What the levels get, and the room that their warehouses get back.
    fn shipment_gifts(
        &self,
        moved: &[(LevelIndex, Quantity)],
        shipment: Shipment<'_>,
    ) -> Vec<CellDelta> {
        let mut gifts: Vec<CellDelta> = Vec::with_capacity(moved.len() + 1);
        for &(level, qty) in moved {
            let cell = CellId::level(level);
            let delta = match shipment {
                Shipment::Ship => Delta::ship(qty),
                Shipment::Cancel { .. } => Delta::give_back(qty),
            };
            gifts.push(CellDelta { cell, delta });
            if shipment == Shipment::Ship
                && let Some(level) = self.catalog.level(level)
            {
                let cell = CellId::room(level.warehouse_index());
                gifts.push(CellDelta { cell, delta: Delta::give_room(qty) });
            }
        }
        gifts.sort_unstable_by_key(|gift| gift.cell);
        // Merge the room that several lines free. The sum cannot be more than the warehouse holds.
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
