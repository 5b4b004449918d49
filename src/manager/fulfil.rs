//! Split fulfilment: one quantity, out of several warehouses, all of it or none.

use std::time::Duration;

use crate::audit::entry::AdjustmentType;
use crate::clock::Timestamp;
use crate::error::{FulfillError, NotStarted};
use crate::manager::answer::KeyUse;
use crate::manager::details::Details;
use crate::manager::durability::OperationKind;
use crate::manager::engine::{Engine, Refusal};
use crate::manager::keyed::RequestShape;
use crate::manager::place::{ProductRef, WarehouseRef};
use crate::manager::request::Request;
use crate::policy::allocation::{AllocationStrategy, Candidate, PriorityOrder};
use crate::quantity::Quantity;
use crate::reservation::chain::Chain;
use crate::reservation::id::ReservationId;
use crate::reservation::line::Line;
use crate::reservation::slot::Tenant;
use crate::reservation::slots::Vacated;
use crate::stock::announce::Announced;
use crate::stock::cell::{CellId, CellKind};
use crate::stock::commit::{Operation, PoolExhausted, Refused, Stop, plan_stops};
use crate::stock::handle::{LevelHandle, ProductId};

impl Request<'_> {
    /// As [`InventoryManager::fulfill_across_warehouses`](crate::InventoryManager::fulfill_across_warehouses),
    /// with this request's details.
    pub fn fulfill_across_warehouses<'p>(
        &self,
        product: impl Into<ProductRef<'p>>,
        quantity: u32,
        order_of_warehouses: &[WarehouseRef<'_>],
        ttl: Duration,
    ) -> Result<ReservationId, FulfillError> {
        let names = order_of_warehouses.iter().map(|warehouse| {
            self.engine.warehouse(*warehouse).map(|found| found.name().to_owned())
        });
        let order = PriorityOrder::new(names.collect::<Result<Vec<_>, _>>()?);
        self.fulfill_by(product, quantity, &order, ttl)
    }

    /// As [`InventoryManager::fulfill_by`](crate::InventoryManager::fulfill_by), with this request's
    /// details.
    pub fn fulfill_by<'p>(
        &self,
        product: impl Into<ProductRef<'p>>,
        quantity: u32,
        strategy: &dyn AllocationStrategy,
        ttl: Duration,
    ) -> Result<ReservationId, FulfillError> {
        self.engine.fulfil(&self.details, product.into(), quantity, strategy, ttl)
    }
}

/// What a split fulfilment took: units of levels, in the order of their cells.
type Parts = Vec<(LevelHandle, Quantity)>;

impl Engine {
    fn fulfil(
        &self,
        details: &Details,
        product: ProductRef<'_>,
        quantity: u32,
        strategy: &dyn AllocationStrategy,
        ttl: Duration,
    ) -> Result<ReservationId, FulfillError> {
        let qty = Quantity::new(quantity)?;
        if let ProductRef::Name(name) = product {
            self.check_name(name)?;
        }
        // The strategy is no part of the request: it may be asked again, and answer otherwise.
        let shape = || RequestShape::new("fulfil").product(product).units(qty).span(ttl);
        self.keyed(OperationKind::Reserve, details, shape, |key| {
            let ttl_millis = self.settings.checked_ttl(ttl)?;
            self.check_gate()?;
            loop {
                let levels = self.levels_of(product).len();
                match self.fulfil_from_open_levels(details, key, product, qty, strategy, ttl_millis)
                {
                    // Opened since they were listed, a level may have got units before the refusal.
                    Err(FulfillError::Insufficient { .. })
                        if self.levels_of(product).len() > levels => {}
                    other => return other,
                }
            }
        })
    }

    fn fulfil_from_open_levels(
        &self,
        details: &Details,
        key: Option<KeyUse<'_>>,
        product: ProductRef<'_>,
        qty: Quantity,
        strategy: &dyn AllocationStrategy,
        ttl_millis: u64,
    ) -> Result<ReservationId, FulfillError> {
        let product = self.known_product(product)?;
        let levels = self.turns(product, self.candidates(product), qty, strategy);
        let now = self.now();
        self.look_before_filling(&levels, qty, now)?;
        self.admit()?;
        let slots = self.slots_for_parts(levels.len().min(qty.get() as usize), now)?;
        let Some(head) = slots.first() else { return Err(self.refuse_sum(qty, 0)) };
        let now = head.birth(now, || self.now());
        let id = ReservationId::new(now, head.number(), self.randomness.next());
        let expires_at = now.saturating_add_millis(ttl_millis);
        let mut draft = self
            .recorder
            .movement_of(AdjustmentType::Reserved)
            .new_hold(id, expires_at, details)
            .key(key, id);
        let parts = match self.fill(&levels, qty, now) {
            Ok(parts) => parts,
            Err(refusal) => {
                slots.into_iter().for_each(|slot| self.slots.put_back(slot, now));
                return Err(refusal);
            }
        };
        // Law 2: taken, so logged; and the id, which can be spent on a confirm, is given last.
        for (level, qty) in &parts {
            draft = draft.line(*level, qty.get());
        }
        let recorded = draft.queue();
        self.publish_parts(details, slots, &parts, id, expires_at);
        recorded?;
        Ok(id)
    }

    /// The warehouses that have ever had the product and are not suspended.
    fn candidates(&self, product: ProductId) -> Vec<Candidate> {
        let candidate = |handle| {
            let (level, warehouse) = self.level_and_warehouse(handle).ok()?;
            let open = !warehouse.is_suspended();
            open.then(|| {
                Candidate::new(warehouse.id().0, warehouse.shared_name(), level.available())
            })
        };
        self.catalog.levels_of(product).filter_map(candidate).collect()
    }

    /// The strategy's order, as levels. What it names that is no candidate is passed over.
    fn turns(
        &self,
        product: ProductId,
        mut candidates: Vec<Candidate>,
        qty: Quantity,
        strategy: &dyn AllocationStrategy,
    ) -> Vec<LevelHandle> {
        strategy.order(qty.get(), &mut candidates);
        let level = |candidate: &Candidate| {
            let warehouse = self.catalog.warehouse(candidate.id)?;
            let level = self.catalog.level_of(candidate.id, product)?;
            (!warehouse.is_suspended()).then_some(level)
        };
        candidates.iter().filter_map(level).collect()
    }

    /// Refuses without a write to shared memory where the sum is short by far; a sum is no instant,
    /// so that only the commit can refuse where stock moves meanwhile.
    fn look_before_filling(
        &self,
        levels: &[LevelHandle],
        qty: Quantity,
        now: Timestamp,
    ) -> Result<(), FulfillError> {
        let sum = || self.sum_available(levels);
        let enough = || sum() >= u64::from(qty.get());
        if !enough() && self.slots.is_due(now) {
            self.take_back_overdue(now, enough);
        }
        // Each level was empty at its look. That all were at once is likely, not certain, unless
        // there is only one.
        let available = sum();
        if levels.is_empty() || (levels.len() == 1 && available < u64::from(qty.get())) {
            return Err(self.refuse_sum(qty, available));
        }
        Ok(())
    }

    fn sum_available(&self, levels: &[LevelHandle]) -> u64 {
        let available = |level: &LevelHandle| self.catalog.level(*level).map(|it| it.available());
        levels.iter().filter_map(available).map(u64::from).sum()
    }

    /// Takes the whole quantity at one instant, or nothing; a refusal was true at one instant.
    fn fill(
        &self,
        levels: &[LevelHandle],
        qty: Quantity,
        now: Timestamp,
    ) -> Result<Parts, FulfillError> {
        match self.try_to_fill(levels, qty)? {
            Ok(parts) => Ok(parts),
            Err(_) if self.slots.is_due(now) => {
                // A commit never ends holds by itself, so that it keeps to its order of cells.
                self.take_back_overdue(now, || self.sum_available(levels) >= u64::from(qty.get()));
                self.try_to_fill(levels, qty)?.map_err(|available| self.refuse_sum(qty, available))
            }
            Err(available) => Err(self.refuse_sum(qty, available)),
        }
    }

    /// `Err` inside: so many were available in all, at one instant.
    fn try_to_fill(
        &self,
        levels: &[LevelHandle],
        qty: Quantity,
    ) -> Result<Result<Parts, u64>, NotStarted> {
        let stop = |(turn, level): (u32, &LevelHandle)| Stop { cell: CellId::level(*level), turn };
        let mut stops: Vec<Stop> = (0..).zip(levels).map(stop).collect();
        let operation =
            Operation::begin_fill(self, plan_stops(&mut stops), qty, Announced::ByOwner)
                .map_err(|PoolExhausted| NotStarted::Busy)?;
        Ok(match operation.run() {
            Ok(done) => {
                let part = |line| {
                    let change = done.change(line);
                    let units = change.before.available() - change.after.available();
                    match done.cell(line).kind() {
                        CellKind::Level(level) => Some((level, Quantity::new(units).ok()?)),
                        CellKind::Room(_) => None,
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
    ) -> Result<Vec<Vacated<'_>>, FulfillError> {
        self.take_slots(count, now).ok_or_else(|| {
            self.refusals.count(Refusal::Full as usize);
            FulfillError::Full { slots: self.max_slots }
        })
    }

    fn publish_parts(
        &self,
        details: &Details,
        slots: Vec<Vacated<'_>>,
        parts: &[(LevelHandle, Quantity)],
        id: ReservationId,
        expires_at: Timestamp,
    ) {
        let mut slots = slots.into_iter();
        let mut lines = parts.iter().map(|(level, qty)| Line::new(*level, qty.get()));
        let (Some(head), Some(line)) = (slots.next(), lines.next()) else { return };
        let rest: Vec<(Vacated<'_>, Line)> =
            lines.map_while(|line| Some((slots.next()?, line))).collect();
        let chain = Chain::NONE.keeping(details.keep_until_shipped);
        let tenant = Tenant { id, owner: details.owner, line, chain };
        self.slots.publish(head, &rest, tenant, expires_at);
        slots.for_each(|unused| self.slots.put_back(unused, id.created_at()));
    }

    #[cold]
    fn refuse_sum(&self, qty: Quantity, available: u64) -> FulfillError {
        self.refusals.count(Refusal::Insufficient as usize);
        FulfillError::Insufficient { needed: qty.get(), available }
    }
}
