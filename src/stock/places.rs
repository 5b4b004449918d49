//! Where a product's levels are: one place for each warehouse.

use crate::base::sync::{AtomicU32, Ordering};
use crate::stock::handle::{LevelIndex, WarehouseIndex};

/// The product has no level in this warehouse.
const NO_LEVEL: u32 = u32::MAX;

/// The levels of a product, by warehouse. A level is entered once, and stays.
#[derive(Debug)]
pub(crate) struct LevelPlaces(Box<[AtomicU32]>);

impl LevelPlaces {
    /// No level in any of so many warehouses.
    pub(crate) fn none(warehouses: usize) -> Self {
        Self((0..warehouses).map(|_| AtomicU32::new(NO_LEVEL)).collect())
    }

    /// The level in a warehouse, if there is one.
    pub(crate) fn get(&self, warehouse: WarehouseIndex) -> Option<LevelIndex> {
        // Acquire pairs with the Release in `publish`.
        let level = self.0.get(warehouse.index())?.load(Ordering::Acquire);
        (level != NO_LEVEL).then_some(LevelIndex(level))
    }

    /// Gives a level out. Law 2: it is open by now, and its event is queued.
    pub(crate) fn publish(&self, warehouse: WarehouseIndex, level: LevelIndex) {
        if let Some(place) = self.0.get(warehouse.index()) {
            // Release pairs with the Acquire in `get`: whoever gets the handle finds the level
            // open, and its event is queued before all that is done with it.
            place.store(level.0, Ordering::Release);
        }
    }
}
