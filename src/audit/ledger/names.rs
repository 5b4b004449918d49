//! What the handles in a journal's entries stand for, by the entries that defined them.

use std::sync::Arc;

use crate::audit::ledger::Ledger;
use crate::audit::view::Names;
use crate::stock::handle::{LevelHandle, ProductId, WarehouseId};

impl Names for Ledger {
    fn level(&self, level: LevelHandle) -> Option<(WarehouseId, ProductId)> {
        self.levels.get(level.index()).map(|level| (level.warehouse, level.product))
    }

    fn warehouse_name(&self, warehouse: WarehouseId) -> Option<Arc<str>> {
        self.warehouses.get(warehouse.index()).map(|it| Arc::clone(&it.name))
    }

    fn product_name(&self, product: ProductId) -> Option<Arc<str>> {
        self.products.get(product.index()).cloned()
    }

    /// Looks through all of them.
    fn warehouse_id(&self, name: &str) -> Option<WarehouseId> {
        let at = self.warehouses.iter().position(|it| &*it.name == name)?;
        u16::try_from(at).ok().map(WarehouseId)
    }

    /// Looks through all of them.
    fn product_id(&self, name: &str) -> Option<ProductId> {
        let at = self.products.iter().position(|known| &**known == name)?;
        u32::try_from(at).ok().map(ProductId)
    }
}
