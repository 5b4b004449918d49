//! The manager's operations, for callers who add nothing to them.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::error::{
    AddError, BasketError, ConfirmError, ExtendError, FulfillError, PlaceError, ReleaseError,
    RemoveError, ReserveError, RetakeError, SettingError, ShipError, TransferError,
};
use crate::manager::InventoryManager;
use crate::manager::answer::{ConfirmOrRetake, Release};
use crate::manager::details::NO_DETAILS;
use crate::manager::place::{BasketLine, LevelRef, ProductRef, WarehouseRef};
use crate::policy::alerts::{ListenerId, Scope, StockAlertListener};
use crate::policy::allocation::AllocationStrategy;
use crate::reservation::id::ReservationId;
use crate::stock::handle::LevelHandle;

/// # Stock
impl InventoryManager {
    /// Adds units that have come in from `source`. A product that is new is defined by this.
    ///
    /// # Errors
    /// [`AddError::OverCapacity`] says how much room the warehouse has left; see [`AddError`] for the
    /// rest. Nothing has moved then.
    ///
    /// ```
    /// use stockade::{AddError, InventoryManager, WarehouseSpec, PlaceError, NoReservation, FulfillError};
    /// let manager = InventoryManager::builder().warehouse(WarehouseSpec::new("SF").capacity(15)).build()?;
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
        self.request().add_stock(level, quantity, source)
    }

    /// Takes available units out of the stock for a `reason`: damaged, lost, written off.
    ///
    /// # Errors
    /// [`RemoveError::Insufficient`] if fewer units are available; see [`RemoveError`] for the rest.
    /// Nothing has moved then.
    ///
    /// ```
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// manager.remove_stock(("SF", "LAPTOP"), 1, "dropped")?;
    /// assert_eq!(manager.available(("SF", "LAPTOP")), 9);
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn remove_stock<'l>(
        &self,
        level: impl Into<LevelRef<'l>>,
        quantity: u32,
        reason: &str,
    ) -> Result<(), RemoveError> {
        self.request().remove_stock(level, quantity, reason)
    }

    /// Lets sold units leave the building.
    ///
    /// # Errors
    /// [`ShipError::NotSold`] if fewer units are sold and still here; see [`ShipError`] for the rest.
    /// Nothing has moved then.
    ///
    /// ```
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// manager.sell(("SF", "LAPTOP"), 3)?;
    /// manager.ship(("SF", "LAPTOP"), 2)?;
    /// let counts = manager.counts(("SF", "LAPTOP"));
    /// assert_eq!((counts.sold, counts.reserved, counts.on_hand()), (1, 1, 8));
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn ship<'l>(&self, level: impl Into<LevelRef<'l>>, quantity: u32) -> Result<(), ShipError> {
        self.request().ship(level, quantity)
    }

    /// Takes a sale back for a `reason`: sold units that have not left become available again.
    ///
    /// # Errors
    /// [`ShipError::NotSold`] if fewer units are sold and still here; see [`ShipError`] for the rest.
    /// Nothing has moved then.
    ///
    /// ```
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// manager.sell(("SF", "LAPTOP"), 3)?;
    /// manager.cancel_sale(("SF", "LAPTOP"), 3, "card declined")?;
    /// assert_eq!(manager.available(("SF", "LAPTOP")), 10);
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn cancel_sale<'l>(
        &self,
        level: impl Into<LevelRef<'l>>,
        quantity: u32,
        reason: &str,
    ) -> Result<(), ShipError> {
        self.request().cancel_sale(level, quantity, reason)
    }

    /// Moves available units of a product from one warehouse to another.
    ///
    /// # Errors
    /// [`TransferError::Insufficient`] if the source is short, [`TransferError::OverCapacity`] if the
    /// destination is full; see [`TransferError`] for the rest. Nothing has moved then.
    ///
    /// ```
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").warehouse("NYC").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// manager.transfer("SF", "NYC", "LAPTOP", 4)?;
    /// assert_eq!(manager.available(("NYC", "LAPTOP")), 4);
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn transfer<'w>(
        &self,
        from: impl Into<WarehouseRef<'w>>,
        to: impl Into<WarehouseRef<'w>>,
        product: impl Into<ProductRef<'w>>,
        quantity: u32,
    ) -> Result<(), TransferError> {
        self.request().transfer(from, to, product, quantity)
    }

    /// The handle of a stock level, which is opened, empty, if it is new. A call by handle costs no
    /// hashing.
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
        let level = LevelRef::Names(warehouse, product);
        self.engine.check_names(level)?;
        if let Some(known) = self.engine.resolve_stocked(level)? {
            return Ok(known);
        }
        self.engine.admit()?;
        Ok(self.engine.resolve_or_open(level)?)
    }
}

/// # Reservations
impl InventoryManager {
    /// Holds units for a buyer, for `ttl` at most: exactly, and never more than there are.
    ///
    /// Costs some hundred nanoseconds, whatever else goes on. Waits only if the audit queue is nearly
    /// full and the engine is set to wait ([`Backpressure`](crate::Backpressure)).
    ///
    /// # Errors
    /// [`ReserveError::Insufficient`] if fewer units are available, also for a product that lies
    /// elsewhere only; [`PlaceError::NeverStocked`] for one that no warehouse ever had. See
    /// [`ReserveError`] for the rest. Nothing has moved then.
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
        self.engine.reserve(&NO_DETAILS, level.into(), quantity, ttl)
    }

    /// Reserves and confirms in one call: one record with both entries. Costs and waits as
    /// [`reserve`](Self::reserve) does.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve).
    ///
    /// ```
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// let order = manager.sell(("SF", "LAPTOP"), 3)?;
    /// assert_eq!(manager.sold(("SF", "LAPTOP")), 3);
    /// assert_eq!(manager.reservation(order)?.units_sold(), 3);
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn sell<'l>(
        &self,
        level: impl Into<LevelRef<'l>>,
        quantity: u32,
    ) -> Result<ReservationId, ReserveError> {
        self.engine.sell(&NO_DETAILS, level.into(), quantity)
    }

    /// Holds all lines under one reservation, or none. Equal lines are merged.
    ///
    /// # Errors
    /// [`BasketError::Insufficient`] names the lines that were short; see [`BasketError`] for the
    /// rest. Nothing has moved then.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use stockade::BasketLine;
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// manager.add_stock(("SF", "MOUSE"), 10, "SUPPLIER")?;
    /// let lines = [BasketLine::new(("SF", "LAPTOP"), 1), BasketLine::new(("SF", "MOUSE"), 2)];
    /// let basket = manager.reserve_basket(&lines, Duration::from_secs(60))?;
    /// manager.release(basket)?;
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn reserve_basket(
        &self,
        lines: &[BasketLine<'_>],
        ttl: Duration,
    ) -> Result<ReservationId, BasketError> {
        self.request().reserve_basket(lines, ttl)
    }

    /// Holds a quantity of a product out of several warehouses, taking from each in this order until
    /// the quantity is met: all of it at one instant, or nothing. The reservation has a line for each
    /// warehouse that gives. Suspended warehouses are passed over.
    ///
    /// # Errors
    /// [`FulfillError::Insufficient`] if all of them together had fewer units at one instant of this
    /// call; see [`FulfillError`] for the rest. Nothing has moved then.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").warehouse("NYC").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 2, "SUPPLIER")?;
    /// manager.add_stock(("NYC", "LAPTOP"), 5, "SUPPLIER")?;
    /// let order = ["SF".into(), "NYC".into()];
    /// manager.fulfill_across_warehouses("LAPTOP", 6, &order, Duration::from_secs(60))?;
    /// assert_eq!(manager.available(("NYC", "LAPTOP")), 1);
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn fulfill_across_warehouses<'p>(
        &self,
        product: impl Into<ProductRef<'p>>,
        quantity: u32,
        order_of_warehouses: &[WarehouseRef<'_>],
        ttl: Duration,
    ) -> Result<ReservationId, FulfillError> {
        self.request().fulfill_across_warehouses(product, quantity, order_of_warehouses, ttl)
    }

    /// As [`fulfill_across_warehouses`](Self::fulfill_across_warehouses), with the warehouses in the
    /// order that a strategy chooses.
    ///
    /// # Errors
    /// As there.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use stockade::LargestStockFirst;
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").warehouse("NYC").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 2, "SUPPLIER")?;
    /// manager.add_stock(("NYC", "LAPTOP"), 5, "SUPPLIER")?;
    /// manager.fulfill_by("LAPTOP", 4, &LargestStockFirst, Duration::from_secs(60))?;
    /// assert_eq!(manager.available(("SF", "LAPTOP")), 2);
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn fulfill_by<'p>(
        &self,
        product: impl Into<ProductRef<'p>>,
        quantity: u32,
        strategy: &dyn AllocationStrategy,
        ttl: Duration,
    ) -> Result<ReservationId, FulfillError> {
        self.request().fulfill_by(product, quantity, strategy, ttl)
    }

    /// Sells what a pending reservation holds. Its units stay reserved until they are shipped.
    ///
    /// # Errors
    /// [`Gone::Expired`](crate::Gone::Expired) if its time was up: the call has ended it then, unless
    /// that was done before. See [`ConfirmError`] for the rest.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use stockade::{ConfirmError, Gone};
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// let hold = manager.reserve(("SF", "LAPTOP"), 2, Duration::from_secs(30))?;
    /// manager.confirm(hold)?;
    /// assert_eq!(manager.confirm(hold), Err(ConfirmError::Gone(Gone::Sold { units: 2 })));
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn confirm(&self, id: ReservationId) -> Result<(), ConfirmError> {
        self.engine.confirm(&NO_DETAILS, id)
    }

    /// Gives back what a pending reservation holds. A repeat, an expired and an unknown id are
    /// no-ops, and the outcome says which.
    ///
    /// # Errors
    /// [`ReleaseError::Sold`] if it was sold; see [`ReleaseError`] for the rest.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use stockade::Release;
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// let hold = manager.reserve(("SF", "LAPTOP"), 2, Duration::from_secs(30))?;
    /// assert_eq!(manager.release(hold)?, Release::Released);
    /// assert_eq!(manager.release(hold)?, Release::AlreadyReleased);
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn release(&self, id: ReservationId) -> Result<Release, ReleaseError> {
        self.engine.release(&NO_DETAILS, id)
    }

    /// Prolongs a pending hold until `ttl` from now, and says when it will expire. A hold is never
    /// cut short: an earlier end leaves it as it is.
    ///
    /// # Errors
    /// [`ExtendError::OverCap`] if the hold would live longer in all than the engine allows; see
    /// [`ExtendError`] for the rest.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// let hold = manager.reserve(("SF", "LAPTOP"), 2, Duration::from_secs(30))?;
    /// let before = manager.reservation(hold)?.expires_at;
    /// assert!(manager.extend(hold, Duration::from_secs(60))? > before);
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn extend(&self, id: ReservationId, ttl: Duration) -> Result<Timestamp, ExtendError> {
        self.request().extend(id, ttl)
    }

    /// For a payment that may come late: confirms the hold if it is pending; if it ended without a
    /// sale, takes the same lines and sells them anew in one step, under a new id.
    ///
    /// Two callers with different keys, or none, sell once. A hold that is over is never itself
    /// revived. Where the hold's slot has been used since, the audit log decides; the call waits then
    /// until it is written.
    ///
    /// # Errors
    /// [`RetakeError::Insufficient`] says which lines are short; [`RetakeError::NoReservation`], also
    /// that the audit log does not reach back far enough. Nothing has moved then. See
    /// [`RetakeError`] for the rest.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use stockade::{BasketLine, ConfirmOrRetake};
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// let hold = manager.reserve(("SF", "LAPTOP"), 2, Duration::from_secs(30))?;
    /// manager.release(hold)?;
    /// let lines = [BasketLine::new(("SF", "LAPTOP"), 2)];
    /// let paid = manager.confirm_or_retake(hold, &lines)?;
    /// assert!(matches!(paid, ConfirmOrRetake::Retaken(_)));
    /// assert_eq!(manager.sold(("SF", "LAPTOP")), 2);
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn confirm_or_retake(
        &self,
        id: ReservationId,
        lines: &[BasketLine<'_>],
    ) -> Result<ConfirmOrRetake, RetakeError> {
        self.request().confirm_or_retake(id, lines)
    }
}

/// # Alerts
impl InventoryManager {
    /// Registers a listener for the alerts of all warehouses, from now on. A listener that calls the
    /// engine holds it [weakly](Self::downgrade), or the engine never ends.
    pub fn add_listener(&self, listener: impl StockAlertListener) -> ListenerId {
        self.engine.listeners.add(Scope::Everywhere, std::sync::Arc::new(listener))
    }

    /// Registers a listener for the alerts of one warehouse, from now on.
    ///
    /// # Errors
    /// [`PlaceError`] if there is no such warehouse.
    pub fn add_warehouse_listener<'w>(
        &self,
        warehouse: impl Into<WarehouseRef<'w>>,
        listener: impl StockAlertListener,
    ) -> Result<ListenerId, PlaceError> {
        let warehouse = self.engine.warehouse(warehouse.into())?.id();
        Ok(self.engine.listeners.add(Scope::Warehouse(warehouse), std::sync::Arc::new(listener)))
    }

    /// Takes a registration back; `false` if it was taken back before.
    pub fn remove_listener(&self, listener: ListenerId) -> bool {
        self.engine.listeners.remove(listener)
    }
}
