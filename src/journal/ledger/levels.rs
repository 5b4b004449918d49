//! The counts of levels and warehouses that the entries add up to.

use std::sync::Arc;

use crate::base::quantity::MAX_UNITS;
use crate::journal::ledger::Setting;
use crate::stock::handle::{ProductIndex, WarehouseIndex};

/// A warehouse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WarehouseState {
    pub(crate) name: Arc<str>,
    /// In units. The builder always gives one.
    pub(crate) capacity: Setting<u32>,
    pub(crate) on_hand: u64,
    /// How many units may still be recorded as coming in beyond the capacity: they had taken their
    /// room before the capacity was lowered, and were recorded after.
    pub(crate) under_way: u32,
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
    /// Sold units of reservations that are kept until they are shipped: a part of `sold`, except in
    /// a journal of before this law (`tracked.rs`).
    pub(crate) tracked: u32,
    /// The level's own threshold, if it has one. An inner `None` means that alerts are off.
    pub(crate) threshold: Option<Option<u32>>,
    /// In units. It decides on no record: what was sold was sold by the setting of its moment.
    pub(crate) safety_stock: u32,
}

impl LevelState {
    pub(crate) fn new(warehouse: WarehouseIndex, product: ProductIndex) -> Self {
        let (available, reserved, sold, tracked) = (0, 0, 0, 0);
        let (threshold, safety_stock) = (None, 0);
        Self { warehouse, product, available, reserved, sold, tracked, threshold, safety_stock }
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
    /// A warehouse that the builder has just defined.
    pub(crate) fn new(name: &str, capacity: u32, threshold: Option<Option<u32>>) -> Self {
        Self {
            name: name.into(),
            capacity: Setting { built: Some(capacity), changed: None },
            on_hand: 0,
            under_way: 0,
            suspended: false,
            threshold: Setting { built: threshold, changed: None },
        }
    }

    /// The capacity in force.
    pub(crate) fn capacity(&self) -> u32 {
        self.capacity.changed.or(self.capacity.built).unwrap_or(0)
    }

    /// Changes the capacity at run time. `inside`: how many units the engine had inside, those that
    /// were only about to be recorded included, at the instant at which it took the room away.
    pub(crate) fn change_capacity(&mut self, capacity: u32, inside: Option<u32>) {
        // A larger capacity gives room, and excuses nothing that was not excused before.
        if capacity < self.capacity() {
            // Units that come in are recorded a moment after they took their room. So the record of
            // some may stand behind this one: as many as were inside then, and are in no record
            // yet. Where all that was inside fits the new capacity, so do they.
            let unrecorded = u64::from(inside.unwrap_or(0)).saturating_sub(self.on_hand);
            let fits = inside.is_none_or(|inside| inside <= capacity);
            self.under_way = if fits { 0 } else { u32::try_from(unrecorded).unwrap_or(0) };
        }
        self.capacity.changed = Some(capacity);
    }

    /// Adds units that come into the building. They must fit, though what lies there already may
    /// be more than the capacity.
    pub(crate) fn take_in(&mut self, units: u32) -> Result<(), &'static str> {
        self.on_hand += u64::from(units);
        if self.on_hand > u64::from(self.capacity()) {
            let left = self.under_way.checked_sub(units);
            self.under_way = left.ok_or("the warehouse holds more than its capacity")?;
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
