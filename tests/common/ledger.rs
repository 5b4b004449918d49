//! A ledger of the tests, which believes only the audit log. It reads the log entry by entry, and
//! rejects each entry that could not follow the ones before it. A log that it reads to the end is
//! legal in every prefix (Law 2).

use std::collections::HashMap;
use std::sync::Arc;

use stockade::{
    AdjustmentType, AuditEntry, EntryType, EventType, InventoryManager, ReservationId,
    ReservationStatus,
};

type Place = (Arc<str>, Arc<str>);

/// The stock, according to the log.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    read: u64,
    products: HashMap<Arc<str>, ()>,
    warehouses: HashMap<Arc<str>, Building>,
    levels: HashMap<Place, Level>,
    holds: HashMap<ReservationId, Hold>,
    /// Transfer requests by their numbers: whether each is open.
    requests: HashMap<String, bool>,
    /// The hold whose record is being read.
    being_reserved: Option<ReservationId>,
}

#[derive(Clone, Copy, Debug)]
struct Building {
    capacity: u32,
    on_hand: u32,
    /// Units that may come in beyond the capacity: they had taken room before it was lowered.
    excused: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Level {
    available: u32,
    reserved: u32,
    sold: u32,
    /// Units of `sold` whose reservations are kept until they are shipped.
    tracked: u32,
}

#[derive(Debug, Default)]
struct Hold {
    /// Whether it is kept until all that it sold is shipped or cancelled.
    kept: bool,
    /// Units that are still held, for each level.
    held: HashMap<Place, u32>,
    /// Units that were sold and neither shipped nor cancelled by reservation, for each level.
    unsettled: HashMap<Place, u32>,
    /// Whether any of its units were sold.
    sold: bool,
    retaken_by: Option<ReservationId>,
}

/// Reads a whole log.
///
/// # Panics
/// Panics with the first illegal entry.
#[track_caller]
pub(crate) fn assert_legal(entries: &[AuditEntry]) -> Ledger {
    let mut ledger = Ledger::default();
    for entry in entries {
        if let Err(reason) = ledger.read(entry) {
            panic!("entry {} is illegal: {reason}\n{entry:?}", entry.sequence);
        }
    }
    ledger
}

impl Ledger {
    /// Reads the next entry, or says why it is illegal.
    pub(crate) fn read(&mut self, entry: &AuditEntry) -> Result<(), String> {
        if entry.sequence != self.read + 1 {
            return Err(format!("it follows entry {}", self.read));
        }
        self.read = entry.sequence;
        match entry.entry_type {
            EntryType::Event(event) => self.read_event(event, entry),
            EntryType::Movement(movement) => self.read_movement(movement, entry),
        }?;
        let reserved = entry.entry_type == AdjustmentType::Reserved.into();
        self.being_reserved = entry.reservation.filter(|_| reserved);
        Ok(())
    }

    fn read_event(&mut self, event: EventType, entry: &AuditEntry) -> Result<(), String> {
        match event {
            EventType::Opened if self.read != 1 => Err("the engine was opened before".into()),
            EventType::WarehouseDefined => {
                let name = entry.warehouse.clone().ok_or("no warehouse")?;
                let capacity = entry.note("capacity").and_then(|units| units.parse().ok());
                let capacity = capacity.ok_or("no capacity")?;
                let building = Building { capacity, on_hand: 0, excused: 0 };
                let known = self.warehouses.insert(name, building);
                known.map_or(Ok(()), |_| Err("the warehouse was defined before".into()))
            }
            EventType::ProductDefined => {
                let name = entry.product.clone().ok_or("no product")?;
                let known = self.products.insert(name, ());
                known.map_or(Ok(()), |()| Err("the product was defined before".into()))
            }
            EventType::LevelOpened => {
                let place = place(entry)?;
                self.products.get(&place.1).ok_or("its product is not defined")?;
                let known = self.levels.insert(place, Level::default());
                known.map_or(Ok(()), |_| Err("the level was opened before".into()))
            }
            EventType::Extended => {
                let id = entry.reservation.ok_or("no hold")?;
                self.holds.get(&id).map(drop).ok_or("the hold was never made".into())
            }
            EventType::TransferRequested => {
                let number = entry.note("transferRequestId").ok_or("no number")?;
                let known = self.requests.insert(number.to_owned(), true);
                known.map_or(Ok(()), |_| Err("the transfer was requested before".into()))
            }
            EventType::TransferDecided => {
                let number = entry.note("transferRequestId").ok_or("no number")?;
                match self.requests.insert(number.to_owned(), false) {
                    Some(true) => Ok(()),
                    Some(false) => Err("the transfer was decided before".into()),
                    None => Err("the transfer was never requested".into()),
                }
            }
            EventType::SettingChanged if entry.note("setting") == Some("capacity") => {
                let name = entry.warehouse.as_ref().ok_or("no warehouse")?;
                let building = self.warehouses.get_mut(name).ok_or("no such warehouse")?;
                let units = |name| entry.note(name).and_then(|units| units.parse::<u32>().ok());
                let capacity = units("value").ok_or("no capacity")?;
                let lowered = capacity < building.capacity;
                building.capacity = capacity;
                match units("inside") {
                    Some(inside) if lowered => {
                        let unrecorded = inside.saturating_sub(building.on_hand);
                        building.excused = if inside > capacity { unrecorded } else { 0 };
                        Ok(())
                    }
                    None if !lowered => Ok(()),
                    inside => Err(format!("from {building:?}, with {inside:?} inside")),
                }
            }
            _ => Ok(()),
        }
    }

    fn read_movement(
        &mut self,
        movement: AdjustmentType,
        entry: &AuditEntry,
    ) -> Result<(), String> {
        use AdjustmentType::{
            Damaged, Received, Reserved, Returned, SaleCancelled, Shipped, Sold, TransferredIn,
            TransferredOut,
        };
        if entry.quantity == 0 {
            return Err("it moves nothing".into());
        }
        let place = place(entry)?;
        // Units held by a transfer request belong to no reservation.
        let of_request = entry.note("transferRequestId").is_some();
        match movement {
            Reserved if !of_request => self.hold(entry, &place)?,
            Sold | Returned if !of_request => self.end(movement, entry, &place)?,
            Shipped | SaleCancelled => self.settle(entry, &place)?,
            _ => {}
        }
        self.keep_if_told(entry);
        let units = entry.quantity;
        let building = self.warehouses.get_mut(&place.0).ok_or("the warehouse is not defined")?;
        let level = self.levels.get_mut(&place).ok_or("the level was never opened")?;
        match movement {
            Received | TransferredIn => {
                building.on_hand += units;
                if building.on_hand > building.capacity {
                    take(&mut building.excused, units, "room")?;
                }
                level.available += units;
            }
            Damaged | TransferredOut => {
                take(&mut level.available, units, "available")?;
                take(&mut building.on_hand, units, "on hand")?;
            }
            Reserved => {
                take(&mut level.available, units, "available")?;
                level.reserved += units;
            }
            Sold => level.sold += units,
            Returned => {
                take(&mut level.reserved, units, "reserved")?;
                level.available += units;
            }
            SaleCancelled => {
                take(&mut level.sold, units, "sold")?;
                take(&mut level.reserved, units, "reserved")?;
                level.available += units;
            }
            Shipped => {
                take(&mut level.sold, units, "sold")?;
                take(&mut level.reserved, units, "reserved")?;
                take(&mut building.on_hand, units, "on hand")?;
            }
            other => return Err(format!("the ledger does not know {other}")),
        }
        if level.sold > level.reserved || level.tracked > level.sold {
            return Err(format!("more is sold than reserved, or tracked than sold: {level:?}"));
        }
        Ok(())
    }

    /// Keeps the entry's reservation if it says so. What that sold before is tracked from here on.
    fn keep_if_told(&mut self, entry: &AuditEntry) {
        let told = entry.note("keep") == Some("until-shipped");
        let Some(id) = entry.reservation.filter(|_| told) else { return };
        let Some(hold) = self.holds.get_mut(&id) else { return };
        if !std::mem::replace(&mut hold.kept, true) {
            for (place, units) in &hold.unsettled {
                self.levels.entry(place.clone()).or_default().tracked += units;
            }
        }
    }

    /// One line of a new hold.
    fn hold(&mut self, entry: &AuditEntry, place: &Place) -> Result<(), String> {
        let id = entry.reservation.ok_or("no reservation")?;
        if self.holds.contains_key(&id) && self.being_reserved != Some(id) {
            return Err("the hold was made before".into());
        }
        if let Some(old) = entry.retaken_from {
            let old = self.holds.get_mut(&old).ok_or("it retakes a hold that was never made")?;
            if old.sold || old.is_partly_held() {
                return Err("it retakes a hold that is not over, or that sold".into());
            }
            if *old.retaken_by.get_or_insert(id) != id {
                return Err("its hold was retaken before".into());
            }
        }
        let hold = self.holds.entry(id).or_default();
        match hold.held.insert(place.clone(), entry.quantity) {
            None => Ok(()),
            Some(_) => Err("the hold has two lines of one level".into()),
        }
    }

    /// One line of a hold's end, or of a partial step.
    fn end(
        &mut self,
        movement: AdjustmentType,
        entry: &AuditEntry,
        place: &Place,
    ) -> Result<(), String> {
        let id = entry.reservation.ok_or("no reservation")?;
        let hold = self.holds.get_mut(&id).ok_or("its hold was never made")?;
        if movement == AdjustmentType::Sold {
            hold.sold = true;
            *hold.unsettled.entry(place.clone()).or_default() += entry.quantity;
            if hold.kept {
                self.levels.entry(place.clone()).or_default().tracked += entry.quantity;
            }
        }
        let held = hold.held.get_mut(place).ok_or("the hold has no such line")?;
        take(held, entry.quantity, "held")
    }

    /// One line that is shipped, or whose sale is cancelled. By level, it names no reservation.
    fn settle(&mut self, entry: &AuditEntry, place: &Place) -> Result<(), String> {
        let Some(id) = entry.reservation else { return Ok(()) };
        let hold = self.holds.get_mut(&id).ok_or("its hold was never made")?;
        if hold.kept {
            let level = self.levels.entry(place.clone()).or_default();
            take(&mut level.tracked, entry.quantity, "tracked")?;
        }
        take(hold.unsettled.entry(place.clone()).or_default(), entry.quantity, "sold by it")
    }

    /// Compares the end of the log with an engine in which nothing moves.
    ///
    /// # Panics
    /// Panics at the first difference.
    #[track_caller]
    pub(crate) fn assert_ends_as(&self, manager: &InventoryManager) {
        for warehouse in manager.warehouses() {
            let name = warehouse.name();
            let Building { capacity, on_hand, .. } = self.warehouses[name];
            let live = (warehouse.capacity(), warehouse.room_left(), warehouse.over_capacity());
            let (room, over) = (capacity.saturating_sub(on_hand), on_hand.saturating_sub(capacity));
            assert_eq!(live, (capacity, room, over), "the room in {name}");
            for live in manager.levels(name).expect("a warehouse") {
                let place = (Arc::from(name), live.product);
                let stockade::Counts { available, reserved, sold, tracked, .. } = live.counts;
                let counts = Level { available, reserved, sold, tracked };
                assert_eq!(self.levels.get(&place), Some(&counts), "counts of {place:?}");
            }
        }
        let levels: usize = manager.stats().levels;
        assert_eq!(self.levels.len(), levels, "levels");
        for (id, hold) in &self.holds {
            let live = manager.reservation(*id).map(|found| found.status);
            let is_pending = live == Ok(ReservationStatus::Pending);
            assert_eq!(is_pending, hold.is_partly_held(), "{id} is {live:?}: {hold:?}");
            if !is_pending && live.is_ok() {
                let is_sold = live == Ok(ReservationStatus::Confirmed);
                assert_eq!(is_sold, hold.sold, "{id} is {live:?}: {hold:?}");
            }
        }
    }

    /// Units sold and still in the building, over all levels.
    pub(crate) fn sold(&self) -> u64 {
        self.levels.values().map(|level| u64::from(level.sold)).sum()
    }

    /// How many holds were ever made.
    pub(crate) fn holds(&self) -> usize {
        self.holds.len()
    }
}

impl Hold {
    fn is_partly_held(&self) -> bool {
        self.held.values().any(|units| *units > 0)
    }
}

fn place(entry: &AuditEntry) -> Result<Place, String> {
    entry.warehouse.clone().zip(entry.product.clone()).ok_or_else(|| "it names no level".into())
}

fn take(from: &mut u32, units: u32, what: &str) -> Result<(), String> {
    *from = from.checked_sub(units).ok_or_else(|| format!("only {from} {what}"))?;
    Ok(())
}
