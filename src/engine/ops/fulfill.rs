//! Split fulfillment: one quantity of a product, taken out of several warehouses, all or nothing.

use std::time::Duration;

use crate::audit::entry::AdjustmentType;
use crate::base::clock::Timestamp;
use crate::base::error::{FulfillError, NotStarted, PlaceError};
use crate::base::quantity::Quantity;
use crate::engine::allowances::ask::Taking;
use crate::engine::allowances::plan::{DrawPlan, LimitedLine};
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
use crate::reservation::slot::{LinkContent, ReservationRecord};
use crate::reservation::slots::vacant_chain::VacantChain;
use crate::stock::cell::{CellId, CellKind};
use crate::stock::handle::{LevelIndex, ProductIndex};
use crate::stock::mcas::recorder::LogOrder;
use crate::stock::mcas::{CellDelta, FillStop, Operation, PoolExhausted, Refused, plan_stops};

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
        let mut plan = self.plan_fill(&levels, qty)?;
        engine.look_before_filling(&levels, qty, &plan, now)?;
        engine.admit()?;
        if levels.is_empty() {
            return Err(engine.refuse_sum(qty, 0));
        }
        plan.pin(now).map_err(|full| engine.refuse_limited::<FulfillError>(full))?;
        let each = 1 + plan.len();
        let mut slots = engine.slots_for_parts(levels.len().min(qty.get() as usize) * each, now)?;
        let call = self.at(slots.head().taken_at());
        let now = call.now();
        let id = engine.new_id(slots.head());
        let expires_at = now.saturating_add(ttl);
        let mut record = engine
            .recorder
            .movement_of(AdjustmentType::Reserved)
            .new_hold(call, id, expires_at)
            .of_hold(call, id);
        let parts = match engine.fill(&levels, qty, &mut plan, now) {
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
        if !plan.is_empty() {
            plan.spread(parts.iter().map(|(_, qty)| qty.get()));
            record = record.draws(plan.marks(|line| line));
        }
        let recorded = record.queue();
        engine.slots.put_back_behind(&mut slots, parts.len() * each, now);
        call.publish_parts(slots, (&parts, &plan), id, expires_at);
        recorded?;
        Ok(id)
    }

    fn publish_parts(
        self,
        slots: VacantChain<'_>,
        (parts, plan): (&[(LevelIndex, Quantity)], &DrawPlan<'_>),
        id: ReservationId,
        expires_at: Timestamp,
    ) {
        let mut lines = parts.iter().map(|(level, qty)| SlotLine::new(*level, qty.get()));
        let Some(line) = lines.next() else { return };
        let chain = Chain::NONE.keeping(self.keeps_until_shipped()).drawing(!plan.is_empty());
        let record = ReservationRecord { id, owner: self.owner(), line, chain };
        let draws = plan.slot_draws(None).map(LinkContent::Draw);
        let rest = lines.map(LinkContent::Line).chain(draws);
        self.engine.slots.publish_lines(slots, rest, record, expires_at);
    }
}

impl<'a> Call<'a> {
    /// What the whole quantity draws, as if it were one line. Which level gives how much of it is
    /// known only afterwards.
    fn plan_fill(self, levels: &[FillSource], qty: Quantity) -> Result<DrawPlan<'a>, FulfillError> {
        let engine = self.engine;
        // All are levels of one product, so each is under the same limits.
        let first = levels.iter().find_map(|source| {
            let level = engine.catalog.level(source.level)?;
            Some(LimitedLine { line: 0, handle: source.level, level, units: qty.get() })
        });
        let mut plan = DrawPlan::none(engine);
        self.plan_draws(Taking::Hold, first.into_iter(), &[], &mut plan)
            .and_then(|()| plan.refuse_by_level())
            .map_err(|refusal| engine.refuse_limited::<FulfillError>(refusal))?;
        Ok(plan)
    }
}

/// A level that may give a part, and how many units it has to keep available. That is read once,
/// so that all steps of the call decide alike.
#[derive(Clone, Copy, Debug)]
struct FillSource {
    level: LevelIndex,
    floor: u32,
}

/// What a fill found lacking, at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FillShortage {
    /// Which line of the commit had too few. The first are those of allowances; beyond all, it was
    /// the sum of the levels.
    line: usize,
    available: u64,
}

impl FillShortage {
    /// What one word had available, if it was one.
    fn available(self) -> u32 {
        u32::try_from(self.available).unwrap_or(u32::MAX)
    }
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
        plan: &DrawPlan<'_>,
        now: Timestamp,
    ) -> Result<(), FulfillError> {
        let sum = || self.sum_available(levels);
        let enough = || sum() >= u64::from(qty.get()) && plan.has_room();
        let mut overdue_left = false;
        if !enough() && self.slots.is_due(now) {
            overdue_left = !self.take_back_overdue(now, enough);
        }
        if let Some(refusal) = plan.refusal(overdue_left) {
            return Err(self.refuse_limited(refusal));
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
        plan: &mut DrawPlan<'_>,
        now: Timestamp,
    ) -> Result<Parts, FulfillError> {
        let mut filled = self.try_to_fill(levels, qty, plan)?;
        let mut overdue_left = false;
        if filled.is_err() && self.slots.is_due(now) {
            // Expire holds here, outside the commit: a commit must touch cells in ascending order
            // only.
            let enough = || self.sum_available(levels) >= u64::from(qty.get()) && plan.has_room();
            overdue_left = !self.take_back_overdue(now, enough);
            filled = self.try_to_fill(levels, qty, plan)?;
        }
        filled.map_err(|short| match plan.refused_at(short.line, short.available(), overdue_left) {
            Some(refusal) => self.refuse_limited(refusal),
            None => self.refuse_sum(qty, short.available),
        })
    }

    /// Takes the whole quantity, with what it draws, or nothing.
    fn try_to_fill(
        &self,
        levels: &[FillSource],
        qty: Quantity,
        plan: &mut DrawPlan<'_>,
    ) -> Result<Result<Parts, FillShortage>, NotStarted> {
        let stop = |(turn, &FillSource { level, floor }): (u32, &FillSource)| FillStop {
            cell: CellId::level(level),
            floor,
            turn,
        };
        let mut stops: Vec<FillStop> = (0..).zip(levels).map(stop).collect();
        let fixed: Vec<CellDelta> = plan.cell_deltas().collect();
        let stops = plan_stops(&mut stops);
        let operation = Operation::begin_fill(self, &fixed, stops, qty, LogOrder::ByOwner)
            .map_err(|PoolExhausted| NotStarted::Busy)?;
        Ok(match operation.run() {
            Ok(done) => {
                (0..fixed.len()).for_each(|at| plan.note(at, done.change(at)));
                let part = |line| {
                    let change = done.change(line);
                    let units = change.before.available() - change.after.available();
                    match done.cell(line).kind() {
                        CellKind::Level(level) => Some((level, Quantity::new(units).ok()?)),
                        CellKind::Room(_) | CellKind::Allowance(_) => None,
                    }
                };
                Ok((fixed.len()..done.lines()).filter_map(part).collect())
            }
            Err(Refused::Sum { available }) => Err(FillShortage { line: usize::MAX, available }),
            Err(Refused::Line { line, available, .. }) => {
                Err(FillShortage { line, available: available.into() })
            }
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
