//! Units that come in and go out by level: add, remove, ship, and the cancelled sale.

use std::sync::Arc;

use crate::audit::entry::AdjustmentType;
use crate::audit::record::PlainEntry;
use crate::base::error::{AddError, RemoveError, SettingError, ShipError, Uncertain};
use crate::base::quantity::Quantity;
use crate::engine::answer::Answer;
use crate::engine::call::Call;
use crate::engine::durability::OperationKind;
use crate::engine::place::{LevelRef, OwnLevel};
use crate::engine::request::Request;
use crate::engine::request_shape::RequestShape;
use crate::engine::{Engine, InventoryManager};
use crate::stock::handle::LevelHandle;
use crate::stock::level::StockLevel;

/// # Stock
impl InventoryManager {
    /// Adds units that have come in from `source`, which goes into the audit entry. Defines the
    /// product if it is new. Waits as [`reserve`](Self::reserve) does.
    ///
    /// # Errors
    /// [`AddError::OverCapacity`] says how much room the warehouse has left. Unless the error is
    /// [`Uncertain`](crate::Uncertain), nothing has moved. See [`AddError`] for the rest.
    ///
    /// ```
    /// use stockade::{AddError, InventoryManager, WarehouseSpec};
    /// let sf = WarehouseSpec::new("SF").capacity(15);
    /// let manager = InventoryManager::builder().warehouse(sf).build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// let refused = manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER");
    /// assert_eq!(refused, Err(AddError::OverCapacity { needed: 10, room: 5 }));
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn add_stock<'l>(
        &self,
        level: impl Into<LevelRef<'l>>,
        quantity: u32,
        source: &str,
    ) -> Result<(), AddError> {
        self.call().add_stock(level.into(), quantity, source)
    }

    /// Removes available units from the stock for a `reason`: damaged, lost, written off. The
    /// reason goes into the audit entry. Waits as [`reserve`](Self::reserve) does.
    ///
    /// # Errors
    /// [`RemoveError::Insufficient`] if fewer units are available. Unless the error is
    /// [`Uncertain`](crate::Uncertain), nothing has moved. See [`RemoveError`] for the rest.
    ///
    /// ```
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// manager.remove_stock(("SF", "LAPTOP"), 1, "dropped")?;
    /// assert_eq!(manager.available(("SF", "LAPTOP"))?, 9);
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn remove_stock<'l>(
        &self,
        level: impl Into<LevelRef<'l>>,
        quantity: u32,
        reason: &str,
    ) -> Result<(), RemoveError> {
        self.call().remove_stock(level.into(), quantity, reason)
    }

    /// Marks sold units of a level as shipped: they leave the building. Does not ask whose units
    /// they are, but takes none of a reservation that is
    /// [kept until it is shipped](Request::keep_until_shipped);
    /// [`ship_lines`](Self::ship_lines) ships by reservation. Waits as [`reserve`](Self::reserve)
    /// does.
    ///
    /// # Errors
    /// [`ShipError::NotSold`] if fewer such units are sold and still in the building. Unless the
    /// error is [`Uncertain`](crate::Uncertain), nothing has moved. See [`ShipError`] for the rest.
    ///
    /// ```
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// manager.sell(("SF", "LAPTOP"), 3)?;
    /// manager.ship(("SF", "LAPTOP"), 2)?;
    /// let counts = manager.counts(("SF", "LAPTOP"))?;
    /// assert_eq!((counts.sold, counts.reserved, counts.on_hand()), (1, 1, 8));
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn ship<'l>(&self, level: impl Into<LevelRef<'l>>, quantity: u32) -> Result<(), ShipError> {
        self.call().ship(level.into(), quantity)
    }

    /// Cancels a sale for a `reason`, which goes into the audit entry: sold units that have not
    /// left the building become available again. Does not ask whose units they are, but takes none
    /// of a reservation that is [kept until it is shipped](Request::keep_until_shipped);
    /// [`cancel_sale_lines`](Self::cancel_sale_lines) cancels by reservation. Waits as
    /// [`reserve`](Self::reserve) does.
    ///
    /// # Errors
    /// [`ShipError::NotSold`] if fewer such units are sold and still in the building. Unless the
    /// error is [`Uncertain`](crate::Uncertain), nothing has moved. See [`ShipError`] for the rest.
    ///
    /// ```
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// manager.sell(("SF", "LAPTOP"), 3)?;
    /// manager.cancel_sale(("SF", "LAPTOP"), 3, "card declined")?;
    /// assert_eq!(manager.available(("SF", "LAPTOP"))?, 10);
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn cancel_sale<'l>(
        &self,
        level: impl Into<LevelRef<'l>>,
        quantity: u32,
        reason: &str,
    ) -> Result<(), ShipError> {
        self.call().cancel_sale(level.into(), quantity, reason)
    }

    /// Returns the handle of a stock level, and opens the level, with no units, if it is new. A
    /// call by handle hashes no names. Waits for room in the audit queue only if the level is new.
    ///
    /// # Errors
    /// See [`SettingError`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// let laptops = manager.open_level("SF", "LAPTOP")?;
    /// manager.add_stock(laptops, 10, "SUPPLIER")?;
    /// manager.reserve(laptops, 3, Duration::from_secs(60))?;
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn open_level(&self, warehouse: &str, product: &str) -> Result<LevelHandle, SettingError> {
        let engine = &self.engine;
        let level = LevelRef::Names(warehouse, product);
        level.check_names()?;
        let level = engine.own_level(level)?;
        if let Some(known) = engine.opened(level)? {
            return Ok(engine.handle(known));
        }
        engine.admit()?;
        Ok(engine.handle(engine.resolve_or_open(level, engine.now())?))
    }
}

impl Request<'_> {
    /// Same as [`InventoryManager::add_stock`], with this request's options.
    /// With a key, the look-up [may read the disk](Self::key).
    pub fn add_stock<'l>(
        &self,
        level: impl Into<LevelRef<'l>>,
        quantity: u32,
        source: &str,
    ) -> Result<(), AddError> {
        self.call().add_stock(level.into(), quantity, source)
    }

    /// Same as [`InventoryManager::remove_stock`], with this request's options.
    /// With a key, the look-up [may read the disk](Self::key).
    pub fn remove_stock<'l>(
        &self,
        level: impl Into<LevelRef<'l>>,
        quantity: u32,
        reason: &str,
    ) -> Result<(), RemoveError> {
        self.call().remove_stock(level.into(), quantity, reason)
    }

    /// Same as [`InventoryManager::ship`], with this request's options.
    /// With a key, the look-up [may read the disk](Self::key).
    pub fn ship<'l>(&self, level: impl Into<LevelRef<'l>>, quantity: u32) -> Result<(), ShipError> {
        self.call().ship(level.into(), quantity)
    }

    /// Same as [`InventoryManager::cancel_sale`], with this request's options.
    /// With a key, the look-up [may read the disk](Self::key).
    pub fn cancel_sale<'l>(
        &self,
        level: impl Into<LevelRef<'l>>,
        quantity: u32,
        reason: &str,
    ) -> Result<(), ShipError> {
        self.call().cancel_sale(level.into(), quantity, reason)
    }
}

impl Call<'_> {
    fn add_stock(self, level: LevelRef<'_>, quantity: u32, source: &str) -> Result<(), AddError> {
        let qty = Quantity::new(quantity)?;
        level.check_names()?;
        let level = self.engine.own_level(level)?;
        self.check_text(source)?;
        let shape =
            |it: &mut RequestShape| it.named("add").level(level).units(qty).text(source).end();
        self.keyed(OperationKind::Add, shape, |call| {
            let engine = call.engine;
            engine.admit()?;
            let over_capacity = |room| AddError::OverCapacity { needed: qty.get(), room };
            if let (None, OwnLevel::Names(warehouse, _)) = (engine.opened(level)?, level) {
                // Refuse before the product is defined: a refused call must not define one.
                let warehouse = engine.warehouse(warehouse.into())?;
                engine
                    .check_open(warehouse)
                    .map_err(|warehouse| AddError::Suspended { warehouse })?;
                let room = warehouse.room_left();
                if room < qty.get() {
                    return Err(over_capacity(room));
                }
            }
            let now = call.timed().now();
            let handle = engine.resolve_or_open(level, now)?;
            let (level, warehouse) = engine.level_and_warehouse(handle)?;
            engine.check_open(warehouse).map_err(|warehouse| AddError::Suspended { warehouse })?;
            let record = engine
                .recorder
                .movement(AdjustmentType::Received, handle, qty)
                .at(now)
                .of_call(call, ())
                .text("source", source);
            // Law 2: take room, queue the record, and only then give units that can be spent.
            warehouse.take_room(qty, engine).map_err(over_capacity)?;
            let recorded = record.queue();
            let change = level.receive(qty, engine);
            if level.is_low_after(change) {
                engine.raise_alert(handle, level);
            }
            Ok(recorded?)
        })
    }

    fn remove_stock(
        self,
        level: LevelRef<'_>,
        quantity: u32,
        reason: &str,
    ) -> Result<(), RemoveError> {
        let qty = Quantity::new(quantity)?;
        let short = |available| RemoveError::Insufficient { needed: qty.get(), available };
        level.check_names()?;
        let level = self.engine.own_level(level)?;
        self.check_text(reason)?;
        let shape =
            |it: &mut RequestShape| it.named("remove").level(level).units(qty).text(reason).end();
        self.keyed(OperationKind::Remove, shape, |call| {
            let engine = call.engine;
            engine.admit()?;
            let Some(handle) = engine.resolve_stocked(level)? else { return Err(short(0)) };
            let (level, warehouse) = engine.level_and_warehouse(handle)?;
            engine
                .check_open(warehouse)
                .map_err(|warehouse| RemoveError::Suspended { warehouse })?;
            let now = call.timed().now();
            let record = engine
                .recorder
                .movement(AdjustmentType::Damaged, handle, qty)
                .at(now)
                .of_call(call, ())
                .text("reason", reason);
            let change = engine
                .with_overdue_taken_back(now, level, qty, || level.withdraw(qty, engine))
                .map_err(|short_by| short(short_by.available))?;
            let recorded = record.queue();
            warehouse.give_room(qty, engine);
            if level.crosses(change) {
                engine.raise_alert(handle, level);
            }
            Ok(recorded?)
        })
    }

    fn ship(self, level: LevelRef<'_>, quantity: u32) -> Result<(), ShipError> {
        let qty = Quantity::new(quantity)?;
        level.check_names()?;
        let level = self.engine.own_level(level)?;
        let shape = |it: &mut RequestShape| it.named("ship").level(level).units(qty).end();
        self.keyed(OperationKind::Ship, shape, |call| {
            let engine = call.engine;
            let not_sold = |sold, tracked| ShipError::NotSold { needed: qty.get(), sold, tracked };
            engine.admit()?;
            let Some(handle) = engine.resolve_stocked(level)? else { return Err(not_sold(0, 0)) };
            let (level, warehouse) = engine.level_and_warehouse(handle)?;
            engine.check_ships_by_level(level)?;
            let now = call.timed().now();
            let entry = PlainEntry::new(AdjustmentType::Shipped, now, handle, qty.get());
            let beyond = call.beyond(engine, entry, Answer::Done);
            level.take_sold(qty).map_err(|sold| not_sold(sold, level.tracked()))?;
            let recorded = engine.queue(entry, beyond);
            level.ship(qty, engine);
            warehouse.give_room(qty, engine);
            Ok(recorded.map_err(Uncertain::from)?)
        })
    }

    fn cancel_sale(
        self,
        level: LevelRef<'_>,
        quantity: u32,
        reason: &str,
    ) -> Result<(), ShipError> {
        let qty = Quantity::new(quantity)?;
        level.check_names()?;
        let level = self.engine.own_level(level)?;
        self.check_text(reason)?;
        let shape = |it: &mut RequestShape| {
            it.named("cancel-sale").level(level).units(qty).text(reason).end()
        };
        self.keyed(OperationKind::CancelSale, shape, |call| {
            let engine = call.engine;
            let not_sold = |sold, tracked| ShipError::NotSold { needed: qty.get(), sold, tracked };
            engine.admit()?;
            let Some(handle) = engine.resolve_stocked(level)? else { return Err(not_sold(0, 0)) };
            let (level, _) = engine.level_and_warehouse(handle)?;
            engine.check_ships_by_level(level)?;
            let record = engine
                .recorder
                .movement(AdjustmentType::SaleCancelled, handle, qty)
                .at(call.timed().now())
                .of_call(call, ())
                .text("reason", reason);
            level.take_sold(qty).map_err(|sold| not_sold(sold, level.tracked()))?;
            let recorded = record.queue();
            level.give_back(qty, engine);
            Ok(recorded?)
        })
    }
}

impl Engine {
    /// Refuses a call by level where it would have to say whose sale it is: a limit covers the
    /// product, and gives back what a cancelled sale drew.
    fn check_ships_by_level(&self, level: &StockLevel) -> Result<(), ShipError> {
        if !level.bounds().limited {
            return Ok(());
        }
        let mut rules = self.rules_over(level.product_index());
        match rules.find(|rule| rule.counts.gives_back_on_cancel()) {
            None => Ok(()),
            Some(rule) => Err(ShipError::NeedsReservation { limit: Arc::clone(&rule.name) }),
        }
    }
}
