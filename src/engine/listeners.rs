//! Registration of low-stock listeners.

use std::sync::Arc;

use crate::base::error::PlaceError;
use crate::engine::InventoryManager;
use crate::engine::place::{WarehouseRef, foreign};
use crate::policy::alerts::{ListenerId, Scope, StockAlertListener};

/// # Alerts
impl InventoryManager {
    /// Registers a listener for the alerts of all warehouses, from now on.
    ///
    /// The engine owns the listener. If the listener calls the engine, it must hold it
    /// [weakly](Self::downgrade); with a strong handle the engine would never end.
    pub fn add_listener(&self, listener: impl StockAlertListener) -> ListenerId {
        self.engine.listeners.add(Scope::Everywhere, Arc::new(listener))
    }

    /// Registers a listener for the alerts of one warehouse, from now on. See
    /// [`add_listener`](Self::add_listener).
    ///
    /// # Errors
    /// [`PlaceError`] if there is no such warehouse, or the handle is another engine's.
    pub fn add_warehouse_listener<'w>(
        &self,
        warehouse: impl Into<WarehouseRef<'w>>,
        listener: impl StockAlertListener,
    ) -> Result<ListenerId, PlaceError> {
        let warehouse = self.engine.warehouse(warehouse.into())?.index();
        Ok(self.engine.listeners.add(Scope::Warehouse(warehouse), Arc::new(listener)))
    }

    /// Removes a listener. Returns `false` if it was removed before.
    ///
    /// # Errors
    /// [`PlaceError::ForeignHandle`] if another engine registered the listener.
    pub fn remove_listener(&self, listener: ListenerId) -> Result<bool, PlaceError> {
        self.engine.listeners.remove(listener).ok_or_else(foreign)
    }
}
