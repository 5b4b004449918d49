//! Split fulfillment: one quantity of a product, taken out of several warehouses, all or nothing.

use std::time::Duration;

use crate::audit::entry::AdjustmentType;
use crate::base::clock::Timestamp;
use crate::base::error::{FulfillError, NotStarted, PlaceError};
use crate::base::quantity::Quantity;
use crate::engine::call::Call;
use crate::engine::durability::OperationKind;
use crate::engine::place::{ProductRef, WarehouseRef, foreign};
use crate::engine::request::on_requests_for_holds;
use crate::engine::request_options::SafetyStock;
use crate::engine::request_shape::RequestShape;
use crate::engine::{Engine, InventoryManager, Refusal};
use crate::policy::allocation::{AllocationStrategy, Candidate, PriorityOrder};
use crate::reservation::chain::Chain;
use crate::reservation::id::ReservationId;
use crate::reservation::line::SlotLine;
use crate::reservation::slot::ReservationRecord;
use crate::reservation::slots::vacant_chain::VacantChain;
use crate::stock::cell::{CellId, CellKind};
use crate::stock::handle::{LevelIndex, ProductIndex};
use crate::stock::mcas::recorder::LogOrder;
use crate::stock::mcas::{FillStop, Operation, PoolExhausted, Refused, plan_stops};

impl InventoryManager {
    /// Holds a quantity of a product out of several warehouses, under one reservation, or holds
    /// nothing. It takes from each warehouse in this order until the quantity is met, at one
    /// instant. The reservation has a line for each warehouse that gives.
    ///
    /// It skips a suspended warehouse, and one that never had the product. Units of overdue holds
    /// are taken back first, so that no warehouse is passed over for them. The hold expires `ttl`
    /// from now, rounded up to whole milliseconds. Waits as [`reserve`](Self::reserve) does.
    ///
    /// # Errors
    /// [`FulfillError::Insufficient`] if all of these warehouses together had fewer units, above
    /// their [safety stocks](Self::set_safety_stock), at one instant of this call. Unless the error
    /// is [`Uncertain`](crate::Uncertain), nothing has moved. See [`FulfillError`] for the rest.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use stockade::InventoryManager;
    /// # let manager = InventoryManager::builder().warehouse("SF").warehouse("NYC").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 2, "SUPPLIER")?;
    /// manager.add_stock(("NYC", "LAPTOP"), 5, "SUPPLIER")?;
    /// let order = ["SF".into(), "NYC".into()];
    /// manager.fulfill_across_warehouses("LAPTOP", 6, &order, Duration::from_secs(60))?;
    /// assert_eq!(manager.available(("NYC", "LAPTOP"))?, 1);
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn fulfill_across_warehouses<'p>(
        &self,
        product: impl Into<ProductRef<'p>>,
        quantity: u32,
        order_of_warehouses: &[WarehouseRef<'_>],
        ttl: Duration,
    ) -> Result<ReservationId, FulfillError> {
        self.call().fulfill_in_order(product.into(), quantity, order_of_warehouses, ttl)
    }

    /// Same as [`fulfill_across_warehouses`](Self::fulfill_across_warehouses), with the warehouses
    /// in the order that a strategy chooses.
    ///
    /// The strategy runs on the calling thread. It gets the warehouses that have ever had the
    /// product and are not suspended, with the units of overdue holds among those available. It
    /// runs again if another warehouse gets the product during this call and the units were too
    /// few.
    ///
    /// # Errors
    /// Same as [`fulfill_across_warehouses`](Self::fulfill_across_warehouses).
    ///
    /// ```
    /// # use std::time::Duration;
    /// use stockade::LargestStockFirst;
    /// # use stockade::InventoryManager;
    /// # let manager = InventoryManager::builder().warehouse("SF").warehouse("NYC").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 2, "SUPPLIER")?;
    /// manager.add_stock(("NYC", "LAPTOP"), 5, "SUPPLIER")?;
    /// manager.fulfill_by("LAPTOP", 4, &LargestStockFirst, Duration::from_secs(60))?;
    /// assert_eq!(manager.available(("SF", "LAPTOP"))?, 2);
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn fulfill_by<'p>(
        &self,
        product: impl Into<ProductRef<'p>>,
        quantity: u32,
        strategy: &dyn AllocationStrategy,
        ttl: Duration,
    ) -> Result<ReservationId, FulfillError> {
        self.call().fulfill(product.into(), quantity, strategy, ttl)
    }
}

on_requests_for_holds! {
    /// Same as [`InventoryManager::fulfill_across_warehouses`], with this request's options.
    /// With a key, the look-up [may read the disk](Self::key).
    pub fn fulfill_across_warehouses<'p>(
        &self,
        product: impl Into<ProductRef<'p>>,
        quantity: u32,
        order_of_warehouses: &[WarehouseRef<'_>],
        ttl: Duration,
    ) -> Result<ReservationId, FulfillError> {
        self.call().fulfill_in_order(product.into(), quantity, order_of_warehouses, ttl)
    }

    /// Same as [`InventoryManager::fulfill_by`], with this request's options.
    /// With a key, the look-up [may read the disk](Self::key).
    pub fn fulfill_by<'p>(
        &self,
        product: impl Into<ProductRef<'p>>,
        quantity: u32,
        strategy: &dyn AllocationStrategy,
        ttl: Duration,
    ) -> Result<ReservationId, FulfillError> {
        self.call().fulfill(product.into(), quantity, strategy, ttl)
    }
}

/// The units that a split fulfillment took, by level, in the order of their cells.
type Parts = Vec<(LevelIndex, Quantity)>;

impl Call<'_> {
    fn fulfill_in_order(
        self,
        product: ProductRef<'_>,
        quantity: u32,
        order_of_warehouses: &[WarehouseRef<'_>],
        ttl: Duration,
    ) -> Result<ReservationId, FulfillError> {
        let names = order_of_warehouses.iter().map(|warehouse| {
            self.engine.warehouse(*warehouse).map(|found| found.name().to_owned())
        });
        let order = PriorityOrder::new(names.collect::<Result<Vec<_>, _>>()?);
        self.fulfill(product, quantity, &order, ttl)
    }

    fn fulfill(
        self,
        product: ProductRef<'_>,
        quantity: u32,
        strategy: &dyn AllocationStrategy,
        ttl: Duration,
    ) -> Result<ReservationId, FulfillError> {
        let engine = self.engine;
        let qty = Quantity::new(quantity)?;
        product.check_name()?;
        let product = engine.own_product(product)?;
        // The fingerprint leaves the strategy out: a retry asks it again, and it may answer
        // otherwise.
        let shape =
            |it: &mut RequestShape| it.named("fulfil").product(product).units(qty).span(ttl).end();
        self.keyed(OperationKind::Reserve, shape, |call| {
            engine.ttl_limits.check_hold(ttl)?;
            engine.check_gate()?;
            let product = engine.product(product)?;
            loop {
                let levels = engine.catalog.levels_of(product).count();
                match call.fulfill_from_open_levels(product, qty, strategy, ttl) {
                    // If a level was opened after they were listed, it may have got units before
                    // the refusal: try again.
                    Err(FulfillError::Insufficient { .. })
                        if engine.catalog.levels_of(product).count() > levels => {}
                    other => return other,
                }
            }
        })
    }

    fn fulfill_from_open_levels(
        self,
        product: ProductIndex,
        qty: Quantity,
        strategy: &dyn AllocationStrategy,
        ttl: Duration,
    ) -> Result<ReservationId, FulfillError> {
        let engine = self.engine;
        let now = self.timed().now();
        engine.take_back_overdue_of(product, now);
        let levels = engine.levels_in_order(product, qty, strategy, self.safety_stock())?;
        engine.look_before_filling(&levels, qty, now)?;
        engine.admit()?;
        if levels.is_empty() {
            return Err(engine.refuse_sum(qty, 0));
        }
        let mut slots = engine.slots_for_parts(levels.len().min(qty.get() as usize), now)?;
        let call = self.at(slots.head().taken_at());
        let now = call.now();
        let id = engine.new_id(slots.head());
        let expires_at = now.saturating_add(ttl);
        let mut record = engine
            .recorder
            .movement_of(AdjustmentType::Reserved)
            .new_hold(call, id, expires_at)
            .of_hold(call, id);
        let parts = match engine.fill(&levels, qty, now) {
            Ok(parts) => parts,
            Err(refusal) => {
                engine.slots.put_back_chain(slots, now);
                return Err(refusal);
            }
        };
        // Law 2: take, then log. Publish the id last, because with it the units can be confirmed.
        for (level, qty) in &parts {
            record = record.line(*level, qty.get());
        }
        let recorded = record.queue();
        engine.slots.put_back_behind(&mut slots, parts.len(), now);
        call.publish_parts(slots, &parts, id, expires_at);
        recorded?;
        Ok(id)
    }

    fn publish_parts(
        self,
        slots: VacantChain<'_>,
        parts: &[(LevelIndex, Quantity)],
        id: ReservationId,
        expires_at: Timestamp,
    ) {
        let mut lines = parts.iter().map(|(level, qty)| SlotLine::new(*level, qty.get()));
        let Some(line) = lines.next() else { return };
        let chain = Chain::NONE.keeping(self.keeps_until_shipped());
        let record = ReservationRecord { id, owner: self.owner(), line, chain };
        self.engine.slots.publish_lines(slots, lines, record, expires_at);
    }
}

/// A level that may give a part, and how many units it has to keep available. That is read once,
/// so that all steps of the call decide alike.
#[derive(Clone, Copy, Debug)]
struct FillSource {
    level: LevelIndex,
    floor: u32,
}

impl Engine {
    /// The warehouses that have ever had the product and are not suspended.
    fn candidates(&self, product: ProductIndex, safety_stock: SafetyStock) -> Vec<Candidate> {
        let candidate = |handle| {
            let (level, warehouse) = self.level_and_warehouse(handle).ok()?;
            let free = level.available_above(safety_stock.floor_of(level));
            (!warehouse.is_suspended()).then(|| Candidate::of(warehouse, free))
        };
        self.catalog.levels_of(product).filter_map(candidate).collect()
    }

    /// Expires overdue holds before a strategy looks at the stock: their units count as available
    /// in each warehouse, and not only where the sum is short without them. Expires up to the
    /// configured number, and none if no level of the product holds a unit.
    fn take_back_overdue_of(&self, product: ProductIndex, now: Timestamp) {
        if !self.slots.is_due(now) {
            return;
        }
        let holds = |level| self.catalog.level(level).is_some_and(|level| level.held() > 0);
        self.take_back_overdue(now, || !self.catalog.levels_of(product).any(holds));
    }

    /// The levels in the strategy's order. Skips a warehouse that never had the product or is
    /// suspended. Refuses a warehouse of another engine.
    fn levels_in_order(
        &self,
        product: ProductIndex,
        qty: Quantity,
        strategy: &dyn AllocationStrategy,
        safety_stock: SafetyStock,
    ) -> Result<Vec<FillSource>, PlaceError> {
        let mut candidates = self.candidates(product, safety_stock);
        strategy.order(qty.get(), &mut candidates);
        let level = |candidate: &Candidate| {
            let Some(index) = candidate.id.of(self.catalog.tag()) else {
                return Some(Err(foreign()));
            };
            let warehouse = self.catalog.warehouse(index)?;
            let level = self.catalog.level_of(index, product)?;
            let floor = safety_stock.floor_of(self.catalog.level(level)?);
            (!warehouse.is_suspended()).then_some(Ok(FillSource { level, floor }))
        };
        candidates.iter().filter_map(level).collect()
    }

    /// Refuses what is plainly short, without a write to shared memory: no level, or only one and
    /// it is short. Expires overdue holds first if the sum is short.
    fn look_before_filling(
        &self,
        levels: &[FillSource],
        qty: Quantity,
        now: Timestamp,
    ) -> Result<(), FulfillError> {
        let sum = || self.sum_available(levels);
        let enough = || sum() >= u64::from(qty.get());
        if !enough() && self.slots.is_due(now) {
            self.take_back_overdue(now, enough);
        }
        // With several levels, the sum is no proof: each was read at another instant, and stock may
        // have moved between them. Only the commit can refuse then.
        let available = sum();
        if levels.is_empty() || (levels.len() == 1 && available < u64::from(qty.get())) {
            return Err(self.refuse_sum(qty, available));
        }
        Ok(())
    }

    /// What the levels can give, down to their floors.
    fn sum_available(&self, levels: &[FillSource]) -> u64 {
        let free = |source: &FillSource| {
            Some(self.catalog.level(source.level)?.available_above(source.floor))
        };
        levels.iter().filter_map(free).map(u64::from).sum()
    }

    /// Takes the whole quantity at one instant, or nothing. A refusal was true at one instant.
    fn fill(
        &self,
        levels: &[FillSource],
        qty: Quantity,
        now: Timestamp,
    ) -> Result<Parts, FulfillError> {
        match self.try_to_fill(levels, qty)? {
            Ok(parts) => Ok(parts),
            Err(_) if self.slots.is_due(now) => {
                // Expire holds here, outside the commit: a commit must touch cells in ascending
                // order only.
                self.take_back_overdue(now, || self.sum_available(levels) >= u64::from(qty.get()));
                self.try_to_fill(levels, qty)?.map_err(|available| self.refuse_sum(qty, available))
            }
            Err(available) => Err(self.refuse_sum(qty, available)),
        }
    }

    /// Takes the whole quantity or nothing. The inner `Err` holds the sum of available units at one
    /// instant.
    fn try_to_fill(
        &self,
        levels: &[FillSource],
        qty: Quantity,
    ) -> Result<Result<Parts, u64>, NotStarted> {
        let stop = |(turn, &FillSource { level, floor }): (u32, &FillSource)| FillStop {
            cell: CellId::level(level),
            floor,
            turn,
        };
        let mut stops: Vec<FillStop> = (0..).zip(levels).map(stop).collect();
        let operation = Operation::begin_fill(self, plan_stops(&mut stops), qty, LogOrder::ByOwner)
            .map_err(|PoolExhausted| NotStarted::Busy)?;
        Ok(match operation.run() {
            Ok(done) => {
                let part = |line| {
                    let change = done.change(line);
                    let units = change.before.available() - change.after.available();
                    match done.cell(line).kind() {
                        CellKind::Level(level) => Some((level, Quantity::new(units).ok()?)),
                        CellKind::Room(_) | CellKind::Allowance(_) => None,
                    }
                };
                Ok((0..done.lines()).filter_map(part).collect())
            }
            Err(Refused::Sum { available }) => Err(available),
            Err(Refused::Line { available, .. }) => Err(u64::from(available)),
        })
    }

    fn slots_for_parts(
        &self,
        count: usize,
        now: Timestamp,
    ) -> Result<VacantChain<'_>, FulfillError> {
        self.take_chain(count, now).ok_or_else(|| {
            self.refusals.count(Refusal::Full as usize);
            FulfillError::Full { slots: self.max_slots }
        })
    }

    #[cold]
    fn refuse_sum(&self, qty: Quantity, available: u64) -> FulfillError {
        self.refusals.count(Refusal::Insufficient as usize);
        FulfillError::Insufficient { needed: qty.get(), available }
    }
}
