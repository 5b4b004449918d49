//! Taking units for a buyer: the hold, and the sale in one call.

use std::time::Duration;

use crate::audit::entry::AdjustmentType;
use crate::audit::record::Step;
use crate::clock::Timestamp;
use crate::error::{NotStarted, ReserveError};
use crate::manager::answer::KeyUse;
use crate::manager::details::Details;
use crate::manager::durability::OperationKind;
use crate::manager::engine::{Engine, Refusal};
use crate::manager::keyed::RequestShape;
use crate::manager::place::LevelRef;
use crate::manager::request::Request;
use crate::manager::sweep::Short;
use crate::quantity::Quantity;
use crate::reservation::chain::Chain;
use crate::reservation::id::ReservationId;
use crate::reservation::line::Line;
use crate::reservation::slot::Tenant;
use crate::reservation::slots::Vacated;
use crate::stock::handle::LevelHandle;
use crate::stock::level::StockLevel;
use crate::stock::warehouse::Warehouse;

impl Request<'_> {
    /// As [`InventoryManager::reserve`](crate::InventoryManager::reserve), with this request's details.
    pub fn reserve<'l>(
        &self,
        level: impl Into<LevelRef<'l>>,
        quantity: u32,
        ttl: Duration,
    ) -> Result<ReservationId, ReserveError> {
        self.engine.reserve(&self.details, level.into(), quantity, ttl)
    }

    /// As [`InventoryManager::sell`](crate::InventoryManager::sell), with this request's details.
    pub fn sell<'l>(
        &self,
        level: impl Into<LevelRef<'l>>,
        quantity: u32,
    ) -> Result<ReservationId, ReserveError> {
        self.engine.sell(&self.details, level.into(), quantity)
    }
}

impl Engine {
    pub(super) fn reserve(
        &self,
        details: &Details,
        level: LevelRef<'_>,
        quantity: u32,
        ttl: Duration,
    ) -> Result<ReservationId, ReserveError> {
        let qty = Quantity::new(quantity)?;
        self.check_names(level)?;
        let shape = || RequestShape::new("reserve").level(level).units(qty).span(ttl);
        self.keyed(OperationKind::Reserve, details, shape, |key| {
            self.reserve_once(details, level, qty, ttl, key)
        })
    }

    // A function of its own gets its arguments in registers, not through the closure that calls it.
    #[inline(never)]
    fn reserve_once(
        &self,
        details: &Details,
        level: LevelRef<'_>,
        qty: Quantity,
        ttl: Duration,
        key: Option<KeyUse<'_>>,
    ) -> Result<ReservationId, ReserveError> {
        let ttl_millis = self.settings.checked_ttl(ttl)?;
        let (handle, level) = self.level_to_sell(level, qty)?;
        let now = self.now();
        let (slot, id) = self.slot_for(now)?;
        let now = id.created_at();
        let expires_at = now.saturating_add_millis(ttl_millis);
        let step = Step::new(AdjustmentType::Reserved, now, handle, qty.get())
            .reservation(id)
            .expires_at(expires_at)
            .owner(details.owner);
        let long = (details.lengthen_hold() || key.is_some())
            .then(|| self.recorder.draft_from(step).hold_details(details).key(key, id));
        // Law 2: take, then log; and the id, which can be spent on a confirm, is given last.
        let slot = self.take_units(slot, handle, level, qty, now)?;
        let recorded = self.recorder.queue_unrung(step, long);
        #[cfg(planted = "reserve_allocates")]
        drop(std::hint::black_box(Box::new(id)));
        #[cfg(planted = "reserve_calls_the_system")]
        drop(std::fs::metadata("/"));
        #[cfg(planted = "reserve_waits")]
        std::thread::sleep(Duration::from_micros(1));
        let tenant = Tenant {
            id,
            owner: details.owner,
            line: Line::new(handle, qty.get()),
            chain: Chain::NONE.keeping(details.keep_until_shipped),
        };
        let fence = self.slots.publish(slot, &[], tenant, expires_at);
        recorded.and_then(|()| self.recorder.ring_behind(&fence))?;
        Ok(id)
    }

    pub(super) fn sell(
        &self,
        details: &Details,
        level: LevelRef<'_>,
        quantity: u32,
    ) -> Result<ReservationId, ReserveError> {
        let qty = Quantity::new(quantity)?;
        self.check_names(level)?;
        let shape = || RequestShape::new("sell").level(level).units(qty);
        self.keyed(OperationKind::Sell, details, shape, |key| {
            let (handle, level) = self.level_to_sell(level, qty)?;
            let now = self.now();
            let (slot, id) = self.slot_for(now)?;
            let now = id.created_at();
            let draft = self
                .recorder
                .movement(AdjustmentType::Reserved, handle, qty)
                .and(AdjustmentType::Sold, handle, qty)
                .new_hold(id, now, details)
                .key(key, id);
            let slot = self.take_units(slot, handle, level, qty, now)?;
            let recorded = draft.queue();
            level.sell(qty);
            let number = slot.number();
            let tenant = Tenant {
                id,
                owner: details.owner,
                line: Line::new(handle, qty.get()),
                chain: Chain::NONE.keeping(details.keep_until_shipped),
            };
            let chain = self.slots.publish_sold(slot, &[], None, tenant, now);
            self.slots.retire(number, chain, true, now);
            recorded?;
            Ok(id)
        })
    }

    /// The level to take from: refuses, without a write to shared memory, what is plainly short.
    #[inline(always)]
    fn level_to_sell(
        &self,
        level: LevelRef<'_>,
        qty: Quantity,
    ) -> Result<(LevelHandle, &StockLevel), ReserveError> {
        self.check_gate().map_err(|error| self.refuse_unavailable(error))?;
        let Some(handle) = self.resolve_known(level)? else {
            return Err(self.refuse_short(qty, Short { available: 0, overdue_left: false }));
        };
        let (level, warehouse) = self.level_and_warehouse(handle)?;
        if warehouse.is_suspended() {
            return Err(self.refuse_suspended(warehouse));
        }
        let available = level.available();
        if available < qty.get() {
            self.look_for_overdue(level, qty, available)?;
        }
        Ok((handle, level))
    }

    /// Refuses a level that is short, unless enough of its units are with overdue holds. Those are taken
    /// back before a slot is asked for: one of them may be its own.
    #[inline(never)]
    fn look_for_overdue(
        &self,
        level: &StockLevel,
        qty: Quantity,
        available: u32,
    ) -> Result<(), ReserveError> {
        let now = self.now();
        if !self.slots.is_due(now) {
            return Err(self.refuse_short(qty, Short { available, overdue_left: false }));
        }
        let overdue_left = !self.take_back_overdue(now, || level.available() >= qty.get());
        let available = level.available();
        if available < qty.get() {
            return Err(self.refuse_short(qty, Short { available, overdue_left }));
        }
        Ok(())
    }

    /// A slot and an id for a new hold.
    #[inline(always)]
    fn slot_for(&self, now: Timestamp) -> Result<(Vacated<'_>, ReservationId), ReserveError> {
        self.admit().map_err(|error| self.refuse_unavailable(error))?;
        let slot = self.take_slot(now).ok_or_else(|| self.refuse_full())?;
        let born = slot.birth(now, || self.now());
        let id = ReservationId::new(born, slot.number(), self.randomness.next());
        Ok((slot, id))
    }

    /// Takes the units, or gives the slot back and refuses.
    #[inline(always)]
    fn take_units<'s>(
        &self,
        slot: Vacated<'s>,
        handle: LevelHandle,
        level: &StockLevel,
        qty: Quantity,
        now: Timestamp,
    ) -> Result<Vacated<'s>, ReserveError> {
        match self.with_overdue_taken_back(now, level, qty, || level.hold(qty, self)) {
            Ok(change) => {
                if level.crosses(change) {
                    self.raise_alert(handle, level);
                }
                Ok(slot)
            }
            Err(short) => {
                self.slots.put_back(slot, now);
                Err(self.refuse_short(qty, short))
            }
        }
    }

    #[cold]
    fn refuse_unavailable(&self, error: NotStarted) -> ReserveError {
        self.refusals.count(Refusal::Unavailable as usize);
        error.into()
    }

    #[cold]
    fn refuse_suspended(&self, warehouse: &Warehouse) -> ReserveError {
        self.refusals.count(Refusal::Suspended as usize);
        ReserveError::Suspended { warehouse: warehouse.name().to_owned() }
    }

    #[cold]
    fn refuse_full(&self) -> ReserveError {
        self.refusals.count(Refusal::Full as usize);
        ReserveError::Full { slots: self.max_slots }
    }

    #[cold]
    fn refuse_short(&self, qty: Quantity, short: Short) -> ReserveError {
        self.refusals.count(Refusal::Insufficient as usize);
        ReserveError::Insufficient {
            needed: qty.get(),
            available: short.available,
            overdue_left: short.overdue_left,
        }
    }
}
