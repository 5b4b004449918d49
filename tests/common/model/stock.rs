//! The model's stock movements, transfers and settings.

use std::time::Duration;

use stockade::{
    AddError, AdjustmentType, BasketError, EventType, InvalidInput, InvalidName, PlaceError,
    RemoveError, ReserveError, RetakeError, SettingError, ShipError, TransferError,
};

use super::call::{Answer, Call, Denied, Entry, Given, Op, Place};
use super::{Level, Model};

/// The largest quantity, written out, so that the model does not take it from `src`.
const MOST: u32 = 2_147_483_647;

impl Model {
    /// Validates the arguments, which happens before a key is looked up.
    pub(super) fn check_form(&self, op: &Op) -> Result<(), Denied> {
        match op {
            Op::Add(place, units, _) => {
                AddError::check(*units)?;
                self.check_names(*place).map_err(AddError::from)?;
            }
            Op::Remove(place, units, _) => {
                RemoveError::check(*units)?;
                self.check_names(*place).map_err(RemoveError::from)?;
            }
            Op::Ship(place, units) | Op::CancelSale(place, units, _) => {
                ShipError::check(*units)?;
                self.check_names(*place).map_err(ShipError::from)?;
            }
            Op::Reserve(place, units, _) | Op::Sell(place, units) => {
                ReserveError::check(*units)?;
                self.check_names(*place).map_err(ReserveError::from)?;
            }
            Op::Basket(lines, _) => self.check_lines(lines).map_err(Denied::from)?,
            Op::Retake(_, lines) => {
                self.check_lines(lines).map_err(RetakeError::from)?;
            }
            Op::Transfer(from, to, product, units, _) => {
                TransferError::check(*units)?;
                let unknown = |name: &str| TransferError::Place(no_warehouse(name));
                self.warehouse_named(from).ok_or_else(|| unknown(from))?;
                self.warehouse_named(to).ok_or_else(|| unknown(to))?;
                if from == to {
                    return Err(TransferError::SameWarehouse.into());
                }
                check_name(product).map_err(TransferError::from)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn check_lines(&self, lines: &[(Place, u32)]) -> Result<(), BasketError> {
        if lines.is_empty() {
            return Err(BasketError::Input(InvalidInput::Empty));
        }
        for (place, units) in lines {
            BasketError::check(*units)?;
            self.check_names(*place)?;
        }
        Ok(())
    }

    fn check_names(&self, place: Place) -> Result<(), InvalidName> {
        let Place::Names(warehouse, product) = place else { return Ok(()) };
        check_name(warehouse)?;
        check_name(product)
    }

    /// The level of a place. The warehouse must exist and the product must be known. `None` if the
    /// product was stocked only elsewhere.
    pub(super) fn find_known(&self, place: Place) -> Result<Option<usize>, PlaceError> {
        match (self.find(place)?, place) {
            (None, Place::Names(_, product)) if !self.is_known(product) => {
                Err(PlaceError::NeverStocked { product: product.to_owned() })
            }
            (found, _) => Ok(found),
        }
    }

    pub(super) fn is_known(&self, product: &str) -> bool {
        self.products.contains(&product)
    }

    /// The level of a place. The warehouse must exist. `None` if the product was never stocked
    /// there.
    pub(super) fn find(&self, place: Place) -> Result<Option<usize>, PlaceError> {
        if let Place::Names(warehouse, _) = place {
            self.warehouse_named(warehouse).ok_or_else(|| no_warehouse(warehouse))?;
        }
        Ok(self.level_at(place))
    }

    pub(super) fn is_suspended(&self, level: usize) -> Option<String> {
        self.refuses(self.levels[level].warehouse)
    }

    /// The name of the warehouse, if it is suspended.
    fn refuses(&self, warehouse: usize) -> Option<String> {
        let warehouse = &self.warehouses[warehouse];
        warehouse.suspended.then(|| warehouse.name.to_owned())
    }

    pub(super) fn open(&mut self, warehouse: usize, product: &'static str) -> usize {
        let names = Place::Names(self.warehouses[warehouse].name, product);
        if let Some(known) = self.level_at(names) {
            return known;
        }
        let known = self.products.iter().position(|known| *known == product);
        let number = known.unwrap_or_else(|| {
            self.products.push(product);
            let number = self.products.len() - 1;
            let defined = Entry::event(EventType::ProductDefined, self.now);
            let defined = Entry { product: Some(number), ..defined };
            self.log.push(defined.note("name", product));
            number
        });
        self.levels.push(Level {
            warehouse,
            product: number,
            available: 0,
            reserved: 0,
            sold: 0,
            own_threshold: None,
            safety_stock: 0,
            crossings: 0,
        });
        let level = self.levels.len() - 1;
        let opened = Entry::event(EventType::LevelOpened, self.now);
        self.log.push(self.at_level(opened, level, None));
        level
    }

    pub(super) fn add(&mut self, call: &Call, place: Place, units: u32, source: &str) -> Answer {
        let known = self.find(place).map_err(AddError::Place)?;
        let warehouse = match (known, place) {
            (Some(level), _) => self.levels[level].warehouse,
            (None, Place::Names(name, _)) => self.warehouse_named(name).expect("just found"),
            (None, Place::Level(_)) => unreachable!("a level by number is known"),
        };
        if let Some(warehouse) = self.refuses(warehouse) {
            return Err(AddError::Suspended { warehouse }.into());
        }
        let room = self.room(warehouse);
        if units > room {
            return Err(AddError::OverCapacity { needed: units, room }.into());
        }
        let level = match (known, place) {
            (None, Place::Names(_, product)) => self.open(warehouse, product),
            (level, _) => level.expect("known"),
        };
        let entry = Entry::movement(AdjustmentType::Received, self.now, units);
        let entry = self.at_level(entry, level, Some(call)).note("source", source);
        self.log.push(entry);
        self.put_units(level, units);
        Ok(Given::Done)
    }

    pub(super) fn remove(&mut self, call: &Call, place: Place, units: u32, why: &str) -> Answer {
        let short = |available| RemoveError::Insufficient { needed: units, available };
        let found = self.find_known(place).map_err(RemoveError::Place)?;
        let Some(level) = found else { return Err(short(0).into()) };
        if let Some(warehouse) = self.is_suspended(level) {
            return Err(RemoveError::Suspended { warehouse }.into());
        }
        self.end_overdue(|model| model.levels[level].available >= units);
        if self.levels[level].available < units {
            return Err(short(self.levels[level].available).into());
        }
        let entry = Entry::movement(AdjustmentType::Damaged, self.now, units);
        let entry = self.at_level(entry, level, Some(call)).note("reason", why);
        self.log.push(entry);
        self.take_units(level, units, false);
        Ok(Given::Done)
    }

    /// Takes sold units away, or returns how many there are.
    fn take_sold(&mut self, place: Place, units: u32) -> Result<usize, ShipError> {
        let not_sold = |sold| ShipError::NotSold { needed: units, sold, tracked: 0 };
        let level = self.find_known(place)?.ok_or(not_sold(0))?;
        let sold = self.levels[level].sold;
        self.levels[level].sold = sold.checked_sub(units).ok_or(not_sold(sold))?;
        self.levels[level].reserved -= units;
        Ok(level)
    }

    pub(super) fn ship(&mut self, call: &Call, place: Place, units: u32) -> Answer {
        let level = self.take_sold(place, units)?;
        let entry = Entry::movement(AdjustmentType::Shipped, self.now, units);
        self.log.push(self.at_level(entry, level, Some(call)));
        Ok(Given::Done)
    }

    pub(super) fn cancel(&mut self, call: &Call, place: Place, units: u32, why: &str) -> Answer {
        let level = self.take_sold(place, units)?;
        self.levels[level].available += units;
        let entry = Entry::movement(AdjustmentType::SaleCancelled, self.now, units);
        self.log.push(self.at_level(entry, level, Some(call)).note("reason", why));
        Ok(Given::Done)
    }

    pub(super) fn transfer(
        &mut self,
        call: &Call,
        (from, to): (&'static str, &'static str),
        product: &'static str,
        units: u32,
    ) -> Answer {
        let place = |name| self.warehouse_named(name).expect("checked by its form");
        let (source, target) = (place(from), place(to));
        for warehouse in [source, target] {
            if let Some(warehouse) = self.refuses(warehouse) {
                return Err(TransferError::Suspended { warehouse }.into());
            }
        }
        let short = |available| TransferError::Insufficient { needed: units, available };
        let found = self.find_known(Place::Names(from, product)).map_err(TransferError::Place)?;
        let Some(out) = found else { return Err(short(0).into()) };
        self.end_overdue(|model| model.levels[out].available >= units);
        if self.levels[out].available < units {
            return Err(short(self.levels[out].available).into());
        }
        let room = self.room(target);
        if units > room {
            return Err(TransferError::OverCapacity { needed: units, room }.into());
        }
        let into = self.open(target, product);
        for (kind, level, other) in [
            (AdjustmentType::TransferredOut, out, target),
            (AdjustmentType::TransferredIn, into, source),
        ] {
            let entry = Entry::movement(kind, self.now, units);
            let entry = Entry { other: Some(other), ..entry };
            self.log.push(self.at_level(entry, level, Some(call)));
        }
        // Both change at one instant. Alerts are raised in the order of the levels.
        if out < into {
            self.take_units(out, units, false);
            self.put_units(into, units);
        } else {
            self.put_units(into, units);
            self.take_units(out, units, false);
        }
        Ok(Given::Done)
    }

    pub(super) fn open_level(&mut self, warehouse: &str, product: &'static str) -> Answer {
        check_name(warehouse).map_err(SettingError::Name)?;
        check_name(product).map_err(SettingError::Name)?;
        let found = self.warehouse_named(warehouse);
        let place = found.ok_or_else(|| SettingError::Place(no_warehouse(warehouse)))?;
        Ok(Given::Level(self.open(place, product)))
    }

    /// Logs the change of a setting, for a warehouse or a level.
    fn changed(&mut self, entry: Entry, setting: &str, value: impl ToString) -> Answer {
        self.log.push(entry.note("setting", setting).note("value", value));
        Ok(Given::Done)
    }

    fn at_warehouse(&self, name: &str) -> Result<(usize, Entry), SettingError> {
        let found = self.warehouse_named(name);
        let number = found.ok_or_else(|| SettingError::Place(no_warehouse(name)))?;
        let entry = Entry::event(EventType::SettingChanged, self.now);
        Ok((number, Entry { warehouse: Some(number), ..entry }))
    }

    pub(super) fn suspend(&mut self, warehouse: &str, on: bool) -> Answer {
        let (number, entry) = self.at_warehouse(warehouse)?;
        self.warehouses[number].suspended = on;
        self.changed(entry, "suspended", on)
    }

    pub(super) fn set_capacity(&mut self, warehouse: &str, units: u32) -> Answer {
        if !(1..=MOST).contains(&units) {
            return Err(SettingError::Capacity { units }.into());
        }
        let (number, entry) = self.at_warehouse(warehouse)?;
        let lowered = units < self.warehouses[number].capacity;
        self.warehouses[number].capacity = units;
        self.changed(entry, "capacity", units)?;
        if lowered {
            let inside = self.inside(number);
            let entry = self.log.pop().expect("just logged");
            self.log.push(entry.note("inside", inside));
        }
        Ok(Given::Done)
    }

    /// Units on hand in all levels of a warehouse.
    fn inside(&self, warehouse: usize) -> u32 {
        let levels = self.levels.iter().filter(|level| level.warehouse == warehouse);
        levels.map(|level| level.available + level.reserved).sum()
    }

    /// Units that the warehouse has room for.
    pub(crate) fn room(&self, warehouse: usize) -> u32 {
        self.warehouses[warehouse].capacity.saturating_sub(self.inside(warehouse))
    }

    /// Units in the warehouse beyond its capacity.
    pub(crate) fn over(&self, warehouse: usize) -> u32 {
        self.inside(warehouse).saturating_sub(self.warehouses[warehouse].capacity)
    }

    pub(super) fn set_threshold(&mut self, warehouse: &str, units: Option<u32>) -> Answer {
        check_threshold(units)?;
        let (number, entry) = self.at_warehouse(warehouse)?;
        self.warehouses[number].threshold = units;
        self.changed(entry, "threshold", shown(units))
    }

    pub(super) fn set_own_threshold(&mut self, place: Place, own: Option<Option<u32>>) -> Answer {
        check_threshold(own.flatten())?;
        let level = self.level_to_set(place)?;
        self.levels[level].own_threshold = own;
        let entry = Entry::event(EventType::SettingChanged, self.now);
        let entry = self.at_level(entry, level, None);
        self.changed(entry, "threshold", own.map_or("of the warehouse".to_owned(), shown))
    }

    pub(super) fn set_safety_stock(&mut self, place: Place, units: u32) -> Answer {
        if units > MOST {
            return Err(SettingError::SafetyStock { units }.into());
        }
        let level = self.level_to_set(place)?;
        self.levels[level].safety_stock = units;
        let entry = Entry::event(EventType::SettingChanged, self.now);
        let entry = self.at_level(entry, level, None);
        self.changed(entry, "safety_stock", units)
    }

    fn level_to_set(&self, place: Place) -> Result<usize, super::call::Denied> {
        self.check_names(place).map_err(SettingError::Name)?;
        match (self.find_known(place).map_err(SettingError::Place)?, place) {
            (Some(level), _) => Ok(level),
            (None, Place::Names(warehouse, product)) => {
                let (warehouse, product) = (warehouse.to_owned(), product.to_owned());
                Err(SettingError::Place(PlaceError::NotStockedHere { warehouse, product }).into())
            }
            (None, Place::Level(_)) => unreachable!("a level by number is known"),
        }
    }

    pub(super) fn set_longest_ttl(&mut self, longest: Duration) -> Answer {
        if longest.as_millis() == 0 {
            return Err(SettingError::LongestTtl.into());
        }
        self.bounds.longest_ttl = longest;
        let entry = Entry::event(EventType::SettingChanged, self.now);
        self.changed(entry, "longest_ttl_ms", longest.as_millis())
    }
}

fn shown(threshold: Option<u32>) -> String {
    threshold.map_or("none".to_owned(), |units| units.to_string())
}

fn check_threshold(threshold: Option<u32>) -> Result<(), SettingError> {
    match threshold {
        Some(units) if units >= MOST => Err(SettingError::Threshold { units }),
        _ => Ok(()),
    }
}

fn check_name(name: &str) -> Result<(), InvalidName> {
    match name.len() {
        1..=255 => Ok(()),
        bytes => Err(InvalidName { bytes }),
    }
}

pub(super) fn no_warehouse(name: &str) -> PlaceError {
    PlaceError::UnknownWarehouse { warehouse: name.to_owned() }
}

/// Errors that can report an invalid quantity.
trait CheckQuantity: From<stockade::InvalidQuantity> {
    fn check(units: u32) -> Result<(), Self> {
        if (1..=MOST).contains(&units) {
            Ok(())
        } else {
            Err(stockade::InvalidQuantity { units }.into())
        }
    }
}

impl CheckQuantity for AddError {}
impl CheckQuantity for RemoveError {}
impl CheckQuantity for ShipError {}
impl CheckQuantity for ReserveError {}
impl CheckQuantity for BasketError {}
impl CheckQuantity for TransferError {}
