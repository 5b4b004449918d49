//! Units that come in and go out: add, remove, ship, and the sale that is cancelled.

use crate::audit::entry::AdjustmentType;
use crate::audit::record::Step;
use crate::error::{AddError, RemoveError, ShipError};
use crate::manager::details::Details;
use crate::manager::durability::OperationKind;
use crate::manager::engine::Engine;
use crate::manager::keyed::RequestShape;
use crate::manager::place::LevelRef;
use crate::manager::request::Request;
use crate::quantity::Quantity;

impl Request<'_> {
    /// As [`InventoryManager::add_stock`](crate::InventoryManager::add_stock), with this request's details.
    pub fn add_stock<'l>(
        &self,
        level: impl Into<LevelRef<'l>>,
        quantity: u32,
        source: &str,
    ) -> Result<(), AddError> {
        self.engine.add_stock(&self.details, level.into(), quantity, source)
    }

    /// As [`InventoryManager::remove_stock`](crate::InventoryManager::remove_stock), with this request's details.
    pub fn remove_stock<'l>(
        &self,
        level: impl Into<LevelRef<'l>>,
        quantity: u32,
        reason: &str,
    ) -> Result<(), RemoveError> {
        self.engine.remove_stock(&self.details, level.into(), quantity, reason)
    }

    /// As [`InventoryManager::ship`](crate::InventoryManager::ship), with this request's details.
    pub fn ship<'l>(&self, level: impl Into<LevelRef<'l>>, quantity: u32) -> Result<(), ShipError> {
        self.engine.ship(&self.details, level.into(), quantity)
    }

    /// As [`InventoryManager::cancel_sale`](crate::InventoryManager::cancel_sale), with this request's details.
    pub fn cancel_sale<'l>(
        &self,
        level: impl Into<LevelRef<'l>>,
        quantity: u32,
        reason: &str,
    ) -> Result<(), ShipError> {
        self.engine.cancel_sale(&self.details, level.into(), quantity, reason)
    }
}

impl Engine {
    fn add_stock(
        &self,
        details: &Details,
        level: LevelRef<'_>,
        quantity: u32,
        source: &str,
    ) -> Result<(), AddError> {
        let qty = Quantity::new(quantity)?;
        self.check_names(level)?;
        let shape = || RequestShape::new("add").level(level).units(qty).text(source);
        self.keyed(OperationKind::Add, details, shape, |key| {
            self.admit()?;
            let over_capacity = |room| AddError::OverCapacity { needed: qty.get(), room };
            if let (None, LevelRef::Names(warehouse, _)) = (self.resolve_stocked(level)?, level) {
                // A product that is new is not defined by what is refused.
                let warehouse = self.warehouse(warehouse.into())?;
                self.check_open(warehouse)
                    .map_err(|warehouse| AddError::Suspended { warehouse })?;
                let room = warehouse.room_left();
                if room < qty.get() {
                    return Err(over_capacity(room));
                }
            }
            let handle = self.resolve_or_open(level)?;
            let (level, warehouse) = self.level_and_warehouse(handle)?;
            self.check_open(warehouse).map_err(|warehouse| AddError::Suspended { warehouse })?;
            let draft = self
                .recorder
                .movement(AdjustmentType::Received, handle, qty)
                .at(self.now())
                .details(details)
                .text("source", source)
                .key(key, ());
            // Law 2: room is taken, the entry queued, and only then can the units be spent.
            warehouse.take_room(qty, self).map_err(over_capacity)?;
            let recorded = draft.queue();
            let change = level.receive(qty, self);
            if level.is_low_after(change) {
                self.raise_alert(handle, level);
            }
            Ok(recorded?)
        })
    }

    fn remove_stock(
        &self,
        details: &Details,
        level: LevelRef<'_>,
        quantity: u32,
        reason: &str,
    ) -> Result<(), RemoveError> {
        let qty = Quantity::new(quantity)?;
        let short = |available| RemoveError::Insufficient { needed: qty.get(), available };
        self.check_names(level)?;
        let shape = || RequestShape::new("remove").level(level).units(qty).text(reason);
        self.keyed(OperationKind::Remove, details, shape, |key| {
            self.admit()?;
            let Some(handle) = self.resolve_known(level)? else { return Err(short(0)) };
            let (level, warehouse) = self.level_and_warehouse(handle)?;
            self.check_open(warehouse).map_err(|warehouse| RemoveError::Suspended { warehouse })?;
            let now = self.now();
            let draft = self
                .recorder
                .movement(AdjustmentType::Damaged, handle, qty)
                .at(now)
                .details(details)
                .text("reason", reason)
                .key(key, ());
            let change = self
                .with_overdue_taken_back(now, level, qty, || level.withdraw(qty, self))
                .map_err(|short_by| short(short_by.available))?;
            let recorded = draft.queue();
            warehouse.give_room(qty, self);
            if level.crosses(change) {
                self.raise_alert(handle, level);
            }
            Ok(recorded?)
        })
    }

    fn ship(&self, details: &Details, level: LevelRef<'_>, quantity: u32) -> Result<(), ShipError> {
        let qty = Quantity::new(quantity)?;
        self.check_names(level)?;
        let shape = || RequestShape::new("ship").level(level).units(qty);
        self.keyed(OperationKind::Ship, details, shape, |key| {
            let not_sold = |sold| ShipError::NotSold { needed: qty.get(), sold };
            self.admit()?;
            let Some(handle) = self.resolve_known(level)? else { return Err(not_sold(0)) };
            let (level, warehouse) = self.level_and_warehouse(handle)?;
            let step = Step::new(AdjustmentType::Shipped, self.now(), handle, qty.get());
            let long = (details.lengthen() || key.is_some())
                .then(|| self.recorder.draft_from(step).details(details).key(key, ()));
            level.take_sold(qty).map_err(not_sold)?;
            let recorded = self.recorder.queue(step, long);
            level.ship(qty, self);
            warehouse.give_room(qty, self);
            Ok(recorded?)
        })
    }

    fn cancel_sale(
        &self,
        details: &Details,
        level: LevelRef<'_>,
        quantity: u32,
        reason: &str,
    ) -> Result<(), ShipError> {
        let qty = Quantity::new(quantity)?;
        self.check_names(level)?;
        let shape = || RequestShape::new("cancel-sale").level(level).units(qty).text(reason);
        self.keyed(OperationKind::CancelSale, details, shape, |key| {
            let not_sold = |sold| ShipError::NotSold { needed: qty.get(), sold };
            self.admit()?;
            let Some(handle) = self.resolve_known(level)? else { return Err(not_sold(0)) };
            let (level, _) = self.level_and_warehouse(handle)?;
            let draft = self
                .recorder
                .movement(AdjustmentType::SaleCancelled, handle, qty)
                .at(self.now())
                .details(details)
                .text("reason", reason)
                .key(key, ());
            level.take_sold(qty).map_err(not_sold)?;
            let recorded = draft.queue();
            level.give_back(qty, self);
            Ok(recorded?)
        })
    }
}
