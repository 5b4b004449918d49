//! The counts of levels and warehouses that the entries add up to.

use std::sync::Arc;

use crate::base::quantity::MAX_UNITS;
use crate::journal::ledger::Setting;
use crate::stock::handle::{ProductIndex, WarehouseIndex};

/// A warehouse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WarehouseState {
    pub(crate) name: Arc<str>,
    pub(crate) capacity: u32,
    pub(crate) on_hand: u64,
    pub(crate) suspended: bool,
    /// An inner `None` means that the warehouse has no threshold.
    pub(crate) threshold: Setting<Option<u32>>,
}

/// A stock level: one product in one warehouse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LevelState {
    pub(crate) warehouse: WarehouseIndex,
    pub(crate) product: ProductIndex,
    pub(crate) available: u32,
    pub(crate) reserved: u32,
    pub(crate) sold: u32,
    /// The level's own threshold, if it has one. An inner `None` means that alerts are off.
    pub(crate) threshold: Option<Option<u32>>,
}

impl LevelState {
    pub(crate) fn new(warehouse: WarehouseIndex, product: ProductIndex) -> Self {
        Self { warehouse, product, available: 0, reserved: 0, sold: 0, threshold: None }
    }

    /// Adds units that come in.
    pub(crate) fn receive(&mut self, units: u32) -> Result<(), &'static str> {
        self.available = add(self.available, units)?;
        Ok(())
    }

    /// Takes off available units.
    pub(crate) fn withdraw(&mut self, units: u32) -> Result<(), &'static str> {
        self.available =
            self.available.checked_sub(units).ok_or("it takes more than was available")?;
        Ok(())
    }

    /// Moves units from available to reserved.
    pub(crate) fn hold(&mut self, units: u32) -> Result<(), &'static str> {
        self.withdraw(units)?;
        self.reserved = add(self.reserved, units)?;
        Ok(())
    }

    /// Makes reserved units available again.
    pub(crate) fn give_back(&mut self, units: u32) -> Result<(), &'static str> {
        self.unreserve(units)?;
        self.receive(units)
    }

    /// Marks reserved units as sold. They stay reserved until they leave the building.
    pub(crate) fn sell(&mut self, units: u32) -> Result<(), &'static str> {
        self.sold = add(self.sold, units)?;
        if self.sold > self.reserved {
            return Err("it sells more than was reserved");
        }
        Ok(())
    }

    /// Takes off sold units, which leave the building or are about to become available.
    pub(crate) fn take_sold(&mut self, units: u32) -> Result<(), &'static str> {
        self.sold = self.sold.checked_sub(units).ok_or("it takes more than was sold")?;
        Ok(())
    }

    /// Takes off reserved units.
    pub(crate) fn unreserve(&mut self, units: u32) -> Result<(), &'static str> {
        self.reserved =
            self.reserved.checked_sub(units).ok_or("it gives back more than was reserved")?;
        if self.sold > self.reserved {
            return Err("it gives back what was sold");
        }
        Ok(())
    }
}

impl WarehouseState {
    /// Adds units that come into the building.
    pub(crate) fn take_in(&mut self, units: u32) -> Result<(), &'static str> {
        self.on_hand += u64::from(units);
        if self.on_hand > u64::from(self.capacity) {
            return Err("the warehouse holds more than its capacity");
        }
        Ok(())
    }

    /// Takes off units that leave the building.
    pub(crate) fn let_out(&mut self, units: u32) -> Result<(), &'static str> {
        self.on_hand =
            self.on_hand.checked_sub(u64::from(units)).ok_or("more leaves than was there")?;
        Ok(())
    }
}

fn add(count: u32, units: u32) -> Result<u32, &'static str> {
    let sum = count.checked_add(units).filter(|sum| *sum <= MAX_UNITS);
    sum.ok_or("a count leaves its bounds")
}
