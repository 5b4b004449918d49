//! Who is told of low stock.

use std::sync::Arc;

use crate::base::error::PlaceError;
use crate::engine::InventoryManager;
use crate::engine::place::{WarehouseRef, foreign};
use crate::policy::alerts::{ListenerId, Scope, StockAlertListener};

/// # Alerts
impl InventoryManager {
    /// Registers a listener for the alerts of all warehouses, from now on. A listener that calls
    /// the engine holds it [weakly](Self::downgrade), or the engine never ends.
    pub fn add_listener(&self, listener: impl StockAlertListener) -> ListenerId {
        self.engine.listeners.add(Scope::Everywhere, Arc::new(listener))
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
        let warehouse = self.engine.warehouse(warehouse.into())?.index();
        Ok(self.engine.listeners.add(Scope::Warehouse(warehouse), Arc::new(listener)))
    }

    /// Takes a registration back; `false` if it was taken back before.
    pub fn remove_listener(&self, listener: ListenerId) -> Result<bool, PlaceError> {
        self.engine.listeners.remove(listener).ok_or_else(foreign)
    }
}
