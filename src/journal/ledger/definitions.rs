//! What the entries define and set: warehouses, products, levels, and the settings of a running
//! engine.

use std::sync::Arc;

use crate::audit::record::Subject;
use crate::base::quantity::MAX_UNITS;
use crate::journal::ledger::levels::{LevelState, WarehouseState};
use crate::journal::ledger::transfers::LawResult;
use crate::journal::ledger::{Ledger, Setting};
use crate::stock::handle::{LevelIndex, ProductIndex, WarehouseIndex};

impl Ledger {
    /// Defines a warehouse. Each opening may define it again, with a new capacity or threshold, but
    /// never with another name. The capacity may be less than what lies inside.
    pub(super) fn define_warehouse(
        &mut self,
        id: WarehouseIndex,
        name: &str,
        capacity: u32,
        threshold: Option<Option<u32>>,
    ) -> LawResult {
        let next = self.warehouses.len();
        match self.warehouses.get_mut(id.index()) {
            Some(known) if &*known.name != name => Err("a warehouse changes its name"),
            Some(known) => {
                if known.capacity.built != Some(capacity) {
                    known.capacity = Setting { built: Some(capacity), changed: None };
                }
                if known.threshold.built != threshold {
                    known.threshold = Setting { built: threshold, changed: None };
                }
                Ok(())
            }
            None if id.index() == next => {
                self.warehouses.push(WarehouseState::new(name, capacity, threshold));
                Ok(())
            }
            None => Err("a warehouse is defined out of turn"),
        }
    }

    pub(super) fn define_product(&mut self, id: ProductIndex, name: &str) -> LawResult {
        if id.index() != self.products.len() {
            return Err("a product is defined out of turn");
        }
        self.products.push(Arc::from(name));
        Ok(())
    }

    pub(super) fn open_level(
        &mut self,
        handle: LevelIndex,
        warehouse: WarehouseIndex,
        product: ProductIndex,
    ) -> LawResult {
        if handle.index() != self.levels.len() {
            return Err("a level is opened out of turn");
        }
        if warehouse.index() >= self.warehouses.len() || product.index() >= self.products.len() {
            return Err("a level is opened in a place that was never defined");
        }
        self.levels.push(LevelState::new(warehouse, product));
        Ok(())
    }

    /// Changes a warehouse's capacity. Unlike the settings it decides what is legal, since room is
    /// a count that can be spent (Law 2). So a value that can't be is refused, not passed over.
    pub(super) fn change_capacity(
        &mut self,
        subject: Subject,
        value: &str,
        inside: Option<&str>,
    ) -> LawResult {
        let Subject::Warehouse(id) = subject else { return Err("a capacity of no warehouse") };
        let warehouse = self.warehouses.get_mut(id.index()).ok_or(UNKNOWN)?;
        let units = capacity(value).ok_or("a capacity that can't be")?;
        let inside = inside.map(|units| units.parse().ok().filter(|units| *units <= MAX_UNITS));
        let inside =
            inside.map(|units| units.ok_or("a count that leaves its bounds")).transpose()?;
        warehouse.change_capacity(units, inside);
        Ok(())
    }

    pub(super) fn change_setting(
        &mut self,
        subject: Subject,
        setting: &str,
        value: &str,
    ) -> LawResult {
        match (subject, setting) {
            (Subject::None, "longest_ttl_ms") => {
                self.longest_ttl.changed = value.parse().ok();
            }
            (Subject::None, "clock_step") => self.clock.acknowledge(),
            (Subject::Warehouse(id), "suspended") => {
                self.warehouses.get_mut(id.index()).ok_or(UNKNOWN)?.suspended = value == "true";
            }
            (Subject::Warehouse(id), "threshold") => {
                let warehouse = self.warehouses.get_mut(id.index()).ok_or(UNKNOWN)?;
                warehouse.threshold.changed = threshold(value);
            }
            (Subject::Level(handle), "threshold") => {
                // "of the warehouse" parses to `None`: the level has no threshold of its own.
                self.levels.get_mut(handle.index()).ok_or(UNKNOWN)?.threshold = threshold(value);
            }
            (Subject::Level(handle), "safety_stock") => {
                let units = value.parse().ok().filter(|units| *units <= MAX_UNITS);
                let units = units.ok_or("a safety stock that can't be")?;
                self.levels.get_mut(handle.index()).ok_or(UNKNOWN)?.safety_stock = units;
            }
            // A setting that a later version wrote. No count of stock depends on settings.
            _ => {}
        }
        Ok(())
    }
}

const UNKNOWN: &str = "a setting of something that was never defined";

/// Parses a threshold as the engine writes it: a number of units, or `none`. Any other text gives
/// `None`.
pub(super) fn threshold(value: &str) -> Option<Option<u32>> {
    match value {
        "none" => Some(None),
        number => number.parse().ok().map(Some),
    }
}

/// Parses a capacity in units.
pub(super) fn capacity(value: &str) -> Option<u32> {
    value.parse().ok().filter(|units| (1..=MAX_UNITS).contains(units))
}
