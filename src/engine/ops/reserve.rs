//! Taking units for a buyer: the hold, and the sale in one call.

use std::time::Duration;

use crate::audit::entry::AdjustmentType;
use crate::audit::record::PlainEntry;
use crate::base::clock::Timestamp;
use crate::base::error::{NotStarted, ReserveError, Uncertain};
use crate::base::quantity::Quantity;
use crate::engine::call::Call;
use crate::engine::durability::{Durability, OperationKind};
use crate::engine::hold_options::{HoldOptions, NoOptions};
use crate::engine::ops::resolved_line::ResolvedLine;
use crate::engine::ops::taken_basket::Purpose;
use crate::engine::place::{LevelRef, OwnLevel};
use crate::engine::request::on_requests_for_holds;
use crate::engine::request_options::SafetyStock;
use crate::engine::request_shape::RequestShape;
use crate::engine::sweeper::StockShortfall;
use crate::engine::{Engine, InventoryManager, Refusal};
use crate::reservation::chain::Chain;
use crate::reservation::id::ReservationId;
use crate::reservation::line::SlotLine;
use crate::reservation::slot::ReservationRecord;
use crate::stock::cell::Change;
use crate::stock::handle::LevelHandle;
use crate::stock::level::StockLevel;
use crate::stock::warehouse::Warehouse;

impl InventoryManager {
    /// Holds units for a buyer, for `ttl` at most. Never holds more units than there are: two
    /// buyers cannot get the same unit.
    ///
    /// The hold lasts until it is confirmed or released. If neither happens within `ttl`, rounded
    /// up to whole milliseconds, it expires and its units are available again.
    /// [`extend`](Self::extend) gives it more time.
    ///
    /// Costs some hundred nanoseconds. Waits only if the audit queue is nearly full and the engine
    /// is set to wait ([`Backpressure`](crate::Backpressure)), or if the call is
    /// [`Synced`](crate::Durability::Synced). [`InventoryManager`](InventoryManager#waiting) says
    /// how long.
    ///
    /// # Errors
    /// [`ReserveError::Insufficient`] if fewer units are available above the [safety
    /// stock](Self::set_safety_stock), also if the product was stocked only in other warehouses.
    /// [`ReserveError::Limit`] if a [limit](Self::define_limit) covers the product and the subject
    /// has drawn all of it, or the call names no subject
    /// ([`Request::subject`](crate::Request::subject)).
    /// [`PlaceError::NeverStocked`](crate::PlaceError::NeverStocked) if this engine has never heard
    /// of the product. Unless the error is [`Uncertain`](crate::Uncertain), nothing has moved. See
    /// [`ReserveError`] for the rest.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use stockade::ReserveError;
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// let hold = manager.reserve(("SF", "LAPTOP"), 8, Duration::from_secs(60))?;
    /// let refused = manager.reserve(("SF", "LAPTOP"), 8, Duration::from_secs(60));
    /// assert!(matches!(refused, Err(ReserveError::Insufficient { needed: 8, available: 2, .. })));
    /// manager.confirm(hold)?;
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn reserve<'l>(
        &self,
        level: impl Into<LevelRef<'l>>,
        quantity: u32,
        ttl: Duration,
    ) -> Result<ReservationId, ReserveError> {
        // A path for each: the one for handles gets its handle in a register.
        match level.into() {
            LevelRef::Handle(level) => self.engine.reserve_by_handle(level, quantity, ttl),
            LevelRef::Names(warehouse, product) => {
                self.engine.reserve_by_names(warehouse, product, quantity, ttl)
            }
        }
    }

    /// Reserves and confirms in one call, which queues one record with both entries. Costs and
    /// waits as [`reserve`](Self::reserve) does.
    ///
    /// # Errors
    /// Same as [`reserve`](Self::reserve).
    ///
    /// ```
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// let order = manager.sell(("SF", "LAPTOP"), 3)?;
    /// assert_eq!(manager.sold(("SF", "LAPTOP"))?, 3);
    /// assert_eq!(manager.reservation(order)?.units_sold(), 3);
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn sell<'l>(
        &self,
        level: impl Into<LevelRef<'l>>,
        quantity: u32,
    ) -> Result<ReservationId, ReserveError> {
        self.call().sell(level.into(), quantity)
    }
}

on_requests_for_holds! {
    /// Same as [`InventoryManager::reserve`], with this request's options.
    /// With a key, the look-up [may read the disk](Self::key).
    pub fn reserve<'l>(
        &self,
        level: impl Into<LevelRef<'l>>,
        quantity: u32,
        ttl: Duration,
    ) -> Result<ReservationId, ReserveError> {
        self.call().reserve(level.into(), quantity, ttl)
    }

    /// Same as [`InventoryManager::sell`], with this request's options.
    /// With a key, the look-up [may read the disk](Self::key).
    pub fn sell<'l>(
        &self,
        level: impl Into<LevelRef<'l>>,
        quantity: u32,
    ) -> Result<ReservationId, ReserveError> {
        self.call().sell(level.into(), quantity)
    }
}

impl Engine {
    #[inline(never)]
    fn reserve_by_handle(
        &self,
        level: LevelHandle,
        quantity: u32,
        ttl: Duration,
    ) -> Result<ReservationId, ReserveError> {
        self.reserve_plain(level, quantity, ttl)
    }

    #[inline(never)]
    fn reserve_by_names(
        &self,
        warehouse: &str,
        product: &str,
        quantity: u32,
        ttl: Duration,
    ) -> Result<ReservationId, ReserveError> {
        self.reserve_plain((warehouse, product), quantity, ttl)
    }

    /// A reserve without options, which most are. Where the engine's setting is to wait for the
    /// disk, or the line is not clear at the first look, it takes the way of all others.
    #[inline(always)]
    fn reserve_plain<'l>(
        &self,
        level: impl Into<LevelRef<'l>> + Copy,
        quantity: u32,
        ttl: Duration,
    ) -> Result<ReservationId, ReserveError> {
        if self.durabilities.of(OperationKind::Reserve) == Durability::Synced {
            return Call::plain(self).reserve(level.into(), quantity, ttl);
        }
        let (own, qty) = self.checked_line(level.into(), quantity)?;
        self.ttl_limits.check_hold(ttl)?;
        let Some(line) = self.line_at_once(own, qty).filter(|line| !line.limited) else {
            return Call::plain(self).reserve(level.into(), quantity, ttl);
        };
        self.hold(NoOptions::UNDATED, line, ttl)
    }

    /// Holds the line. The time to live is valid.
    #[inline(always)]
    fn hold<'a>(
        &'a self,
        call: impl HoldOptions<'a>,
        line: ResolvedLine<'a>,
        ttl: Duration,
    ) -> Result<ReservationId, ReserveError> {
        let qty = line.qty;
        if let Some(available) = line.too_few() {
            // Most refusals end here: sold out is most of a flash sale.
            if !self.slots.is_due(self.now()) {
                return Err(self.refuse_short(qty, line.short_by(available, false)));
            }
            self.look_for_overdue(line)?;
        }
        self.admit_hold()?;
        // Each error leaves at once: a slot that passes through a result would lie in memory.
        let Some(slot) = self.take_slot(call.timed(self).now()) else {
            return Err(self.refuse_full());
        };
        let id = self.new_id(&slot);
        let now = slot.taken_at();
        let expires_at = now.saturating_add(ttl);
        let entry = PlainEntry::new(AdjustmentType::Reserved, now, line.handle, qty.get())
            .reservation(id)
            .expires_at(expires_at)
            .owner(call.owner());
        let record = call.record_of_hold(self, entry, id);
        // Law 2: take, then log. Publish the id last, because with it the units can be confirmed.
        if let Err(short) = self.take_units(line, now) {
            self.slots.put_back(slot, now);
            return Err(self.refuse_short(qty, short));
        }
        let recorded = self.queue(entry, record);
        self.slots.publish(slot, record_of(call, id, line), expires_at);
        recorded.map_err(Uncertain::from)?;
        Ok(id)
    }

    /// A caller's line, checked for this engine.
    #[inline(always)]
    fn checked_line<'l>(
        &self,
        level: LevelRef<'l>,
        quantity: u32,
    ) -> Result<(OwnLevel<'l>, Quantity), ReserveError> {
        let qty = Quantity::new(quantity)?;
        level.check_names()?;
        Ok((self.own_level(level)?, qty))
    }
}

impl Call<'_> {
    #[inline(never)]
    fn reserve(
        self,
        level: LevelRef<'_>,
        quantity: u32,
        ttl: Duration,
    ) -> Result<ReservationId, ReserveError> {
        let (level, qty) = self.engine.checked_line(level, quantity)?;
        let shape =
            |it: &mut RequestShape| it.named("reserve").level(level).units(qty).span(ttl).end();
        self.keyed(OperationKind::Reserve, shape, |call| {
            call.engine.ttl_limits.check_hold(ttl)?;
            let line = call.engine.line_to_sell(level, qty, call.safety_stock())?;
            if line.limited {
                return call.take_limited_line(line, Purpose::Hold { ttl });
            }
            call.engine.hold(call, line, ttl)
        })
    }

    fn sell(self, level: LevelRef<'_>, quantity: u32) -> Result<ReservationId, ReserveError> {
        let (level, qty) = self.engine.checked_line(level, quantity)?;
        let shape = |it: &mut RequestShape| it.named("sell").level(level).units(qty).end();
        self.keyed(OperationKind::Sell, shape, |call| {
            let engine = call.engine;
            let line = engine.line_to_sell(level, qty, call.safety_stock())?;
            if line.limited {
                return call.take_limited_line(line, Purpose::Sale { retaken_from: None });
            }
            if line.too_few().is_some() {
                engine.look_for_overdue(line)?;
            }
            engine.admit_hold()?;
            let slot = engine.take_slot(call.timed().now()).ok_or_else(|| engine.refuse_full())?;
            let id = engine.new_id(&slot);
            let now = slot.taken_at();
            let call = call.at(now);
            let record = engine
                .recorder
                .movement(AdjustmentType::Reserved, line.handle, qty)
                .and(AdjustmentType::Sold, line.handle, qty)
                .new_hold(call, id, now)
                .of_hold(call, id);
            if let Err(short) = engine.take_units(line, now) {
                engine.slots.put_back(slot, now);
                return Err(engine.refuse_short(qty, short));
            }
            let recorded = record.queue();
            line.level.sold_to(call.keeps_until_shipped()).add(qty);
            let (number, sold) = (slot.number(), record_of(call, id, line));
            engine.slots.publish_sold(slot, sold, None);
            engine.slots.retire(number, sold.chain, true, now);
            recorded?;
            Ok(id)
        })
    }

    /// Takes a line under a limit: a basket of one. Never inline: the other lines' path is the
    /// shorter for it.
    #[inline(never)]
    fn take_limited_line(
        self,
        line: ResolvedLine<'_>,
        purpose: Purpose,
    ) -> Result<ReservationId, ReserveError> {
        Ok(self.take_basket(&[line], purpose)?)
    }
}

/// The slot's record of a new hold of one line.
#[inline(always)]
fn record_of<'a>(
    call: impl HoldOptions<'a>,
    id: ReservationId,
    line: ResolvedLine<'_>,
) -> ReservationRecord {
    ReservationRecord {
        id,
        owner: call.owner(),
        line: SlotLine::new(line.handle, line.qty.get()),
        chain: Chain::NONE.keeping(call.keeps_until_shipped()),
    }
}

impl Engine {
    /// The line to take, if that is clear at the first look: the gate is open, the level is there,
    /// and its warehouse is not suspended.
    #[inline(always)]
    fn line_at_once(&self, level: OwnLevel<'_>, qty: Quantity) -> Option<ResolvedLine<'_>> {
        let any_suspended = self.catalog.is_any_suspended();
        if !self.recorder.gate().is_open() {
            return None;
        }
        let handle = self.opened(level).ok()??;
        let level = self.catalog.level(handle)?;
        if any_suspended && self.is_suspended(level) {
            return None;
        }
        Some(ResolvedLine::new(handle, level, qty, SafetyStock::Keep))
    }

    #[cold]
    #[inline(never)]
    fn is_suspended(&self, level: &StockLevel) -> bool {
        self.warehouse_of(level).is_ok_and(Warehouse::is_suspended)
    }

    /// The line to take, or why there is none. Whether there are [too
    /// few](ResolvedLine::too_few) units is left to the caller.
    #[inline(never)]
    fn line_to_sell(
        &self,
        level: OwnLevel<'_>,
        qty: Quantity,
        safety_stock: SafetyStock,
    ) -> Result<ResolvedLine<'_>, ReserveError> {
        self.check_gate().map_err(|error| self.refuse_unavailable(error))?;
        let Some(handle) = self.resolve_stocked(level)? else {
            let none = StockShortfall { available: 0, safety_stock: 0, overdue_left: false };
            return Err(self.refuse_short(qty, none));
        };
        let (level, warehouse) = self.level_and_warehouse(handle)?;
        self.check_open(warehouse).map_err(|warehouse| {
            self.refusals.count(Refusal::Suspended as usize);
            ReserveError::Suspended { warehouse }
        })?;
        Ok(ResolvedLine::new(handle, level, qty, safety_stock))
    }

    /// Refuses a line that is short, unless expiring overdue holds frees enough units. It runs
    /// before the call takes a slot, because an overdue hold may have the last one.
    #[cold]
    #[inline(never)]
    fn look_for_overdue(&self, line: ResolvedLine<'_>) -> Result<(), ReserveError> {
        let overdue_left = !self.take_back_overdue(self.now(), || line.too_few().is_none());
        if let Some(available) = line.too_few() {
            return Err(self.refuse_short(line.qty, line.short_by(available, overdue_left)));
        }
        // That may have waited for room in the queue.
        self.check_gate().map_err(|error| self.refuse_unavailable(error))
    }

    /// Admits a call that found the gate open a moment ago, which is enough.
    #[inline(always)]
    fn admit_hold(&self) -> Result<(), ReserveError> {
        if self.recorder.is_admitted() {
            return Ok(());
        }
        self.admit().map_err(|error| self.refuse_unavailable(error))
    }

    /// Takes the units, if need be once overdue holds have given theirs back.
    #[inline(always)]
    fn take_units(&self, line: ResolvedLine<'_>, now: Timestamp) -> Result<(), StockShortfall> {
        let change = match line.take(self) {
            Ok(change) => change,
            Err(available) => self.take_overdue_units(line, now, available)?,
        };
        if line.level.crosses(change) {
            self.raise_alert(line.handle, line.level);
        }
        Ok(())
    }

    // A function of its own: closures beside the first try would keep its arguments in memory.
    #[cold]
    #[inline(never)]
    fn take_overdue_units(
        &self,
        line: ResolvedLine<'_>,
        now: Timestamp,
        available: u32,
    ) -> Result<Change, StockShortfall> {
        let short = line.short_by(available, false);
        self.take_again(now, short, || line.take(self), || line.too_few().is_none())
    }

    #[cold]
    fn refuse_unavailable(&self, error: NotStarted) -> ReserveError {
        self.refusals.count(Refusal::Unavailable as usize);
        error.into()
    }

    #[cold]
    fn refuse_full(&self) -> ReserveError {
        self.refusals.count(Refusal::Full as usize);
        ReserveError::Full { slots: self.max_slots }
    }

    #[inline(always)]
    fn refuse_short(&self, qty: Quantity, short: StockShortfall) -> ReserveError {
        self.refusals.count(Refusal::Insufficient as usize);
        ReserveError::Insufficient {
            needed: qty.get(),
            available: short.available,
            safety_stock: short.safety_stock,
            overdue_left: short.overdue_left,
        }
    }
}
