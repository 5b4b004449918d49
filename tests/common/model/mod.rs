//! The model: what the engine must answer, count and log, as simply as possible. It has one thread
//! and plain collections. It implements every rule of the design again, and shares nothing with
//! `src` except the types of the answers.

pub(crate) mod call;
mod holds;
mod keys;
mod stock;

use std::collections::VecDeque;
use std::time::Duration;

use stockade::{CallError, EventType, KeyError, Refusals, ReservationStatus};

use call::{Answer, Call, Entry, Given, Hold, Op, Place};
use keys::{Claim, Keys, Name};

/// The limits of the engine under test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) longest_ttl: Duration,
    pub(crate) longest_total: Duration,
    pub(crate) slots: usize,
    pub(crate) basket_lines: usize,
    pub(crate) key_lifetime: u64,
    pub(crate) keys: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Warehouse {
    pub(crate) name: &'static str,
    pub(crate) capacity: u32,
    pub(crate) suspended: bool,
    pub(crate) threshold: Option<u32>,
}

#[derive(Clone, Debug)]
pub(crate) struct Level {
    pub(crate) warehouse: usize,
    pub(crate) product: usize,
    pub(crate) available: u32,
    pub(crate) reserved: u32,
    pub(crate) sold: u32,
    /// The level's own threshold. The inner `None` means no alerts.
    pub(crate) own_threshold: Option<Option<u32>>,
    pub(crate) safety_stock: u32,
    crossings: u32,
}

/// A delivered alert: level, available, threshold, crossings.
pub(crate) type Alert = (usize, u32, u32, u32);

pub(crate) struct Model {
    pub(crate) now: u64,
    pub(crate) bounds: Bounds,
    pub(crate) warehouses: Vec<Warehouse>,
    pub(crate) products: Vec<&'static str>,
    pub(crate) levels: Vec<Level>,
    pub(crate) holds: Vec<Hold>,
    pub(crate) log: Vec<Entry>,
    pub(crate) alerts: Vec<Alert>,
    pub(crate) insufficient: u64,
    pub(crate) full: u64,
    pub(crate) suspended: u64,
    keys: Keys,
    /// Levels with a waiting alert, the oldest one first.
    alerting: VecDeque<usize>,
}

impl Model {
    /// A new engine with these warehouses (name, capacity, threshold).
    pub(crate) fn new(
        now: u64,
        bounds: Bounds,
        warehouses: &[(&'static str, u32, Option<u32>)],
    ) -> Self {
        let opened = Entry::event(EventType::Opened, now);
        let opened = opened.note("longest_ttl_ms", bounds.longest_ttl.as_millis());
        let mut log = vec![opened.note("tracked", 1)];
        for (number, (name, capacity, threshold)) in warehouses.iter().enumerate() {
            let defined = Entry::event(EventType::WarehouseDefined, now);
            let defined = Entry { warehouse: Some(number), ..defined };
            let threshold = threshold.map_or_else(|| "none".to_owned(), |it| it.to_string());
            let defined = defined.note("name", name).note("capacity", capacity);
            log.push(defined.note("threshold", threshold));
        }
        let warehouse = |&(name, capacity, threshold): &_| {
            let suspended = false;
            Warehouse { name, capacity, suspended, threshold }
        };
        Self {
            now,
            bounds,
            warehouses: warehouses.iter().map(warehouse).collect(),
            products: Vec::new(),
            levels: Vec::new(),
            holds: Vec::new(),
            log,
            alerts: Vec::new(),
            insufficient: 0,
            full: 0,
            suspended: 0,
            keys: Keys::new(bounds.key_lifetime, bounds.keys),
            alerting: VecDeque::new(),
        }
    }

    /// Makes one call, with all its effects.
    pub(crate) fn call(&mut self, call: &Call) -> Answer {
        self.check_form(&call.op)?;
        let keyed = call.key.filter(|_| call.op.takes_a_key());
        let Some(key) = keyed else { return self.run(call) };
        let print = Some((call.op.clone(), call.owner, call.passes));
        match self.keys.claim(Name::Caller(key), &print, self.now) {
            Claim::Repeat(given) => Ok(given),
            Claim::Conflict => Err(self.refused_key(&call.op)),
            Claim::First => {
                let given = self.run(call)?;
                // `confirm_or_retake` keeps its first answer under the key; so do all other calls.
                self.keys.publish(Name::Caller(key), print, given.clone(), self.now);
                Ok(given)
            }
        }
    }

    fn refused_key(&self, op: &Op) -> call::Denied {
        use stockade::{
            AddError, BasketError, ConfirmError, ExtendError, ReleaseError, RemoveError,
            ReserveError, RetakeError, ShipError, TransferError,
        };
        let conflict = KeyError::Conflict;
        match op {
            Op::Add(..) => AddError::Call(CallError::Key(conflict)).into(),
            Op::Remove(..) => RemoveError::Call(CallError::Key(conflict)).into(),
            Op::Ship(..) | Op::CancelSale(..) => ShipError::Call(CallError::Key(conflict)).into(),
            Op::Transfer(..) => TransferError::Call(CallError::Key(conflict)).into(),
            Op::Reserve(..) | Op::Sell(..) => ReserveError::Call(CallError::Key(conflict)).into(),
            Op::Basket(..) => BasketError::Call(CallError::Key(conflict)).into(),
            Op::Confirm(..) => ConfirmError::Call(CallError::Key(conflict)).into(),
            Op::Release(..) => ReleaseError::Call(CallError::Key(conflict)).into(),
            Op::Extend(..) => ExtendError::Call(CallError::Key(conflict)).into(),
            Op::Retake(..) => RetakeError::Call(CallError::Key(conflict)).into(),
            settings => unreachable!("{settings:?} takes no key"),
        }
    }

    fn run(&mut self, call: &Call) -> Answer {
        match &call.op {
            Op::Add(place, units, source) => self.add(call, *place, *units, source),
            Op::Remove(place, units, reason) => self.remove(call, *place, *units, reason),
            Op::Ship(place, units) => self.ship(call, *place, *units),
            Op::CancelSale(place, units, reason) => self.cancel(call, *place, *units, reason),
            Op::Transfer(from, to, product, units, _) => {
                self.transfer(call, (from, to), product, *units)
            }
            Op::Reserve(place, units, ttl) => self.reserve(call, *place, *units, *ttl),
            Op::Sell(place, units) => self.sell(call, *place, *units),
            Op::Basket(lines, ttl) => self.basket(call, lines, *ttl),
            Op::Confirm(hold) => self.confirm(call, *hold),
            Op::Release(hold) => self.release(call, *hold),
            Op::Extend(hold, ttl) => self.extend(call, *hold, *ttl),
            Op::Retake(hold, lines) => self.confirm_or_retake(call, *hold, lines),
            Op::OpenLevel(warehouse, product) => self.open_level(warehouse, product),
            Op::Suspend(warehouse, on) => self.suspend(warehouse, *on),
            Op::Capacity(warehouse, units) => self.set_capacity(warehouse, *units),
            Op::Threshold(warehouse, units) => self.set_threshold(warehouse, *units),
            Op::ProductThreshold(place, units) => self.set_own_threshold(*place, Some(*units)),
            Op::ClearThreshold(place) => self.set_own_threshold(*place, None),
            Op::SafetyStock(place, units) => self.set_safety_stock(*place, *units),
            Op::LongestTtl(longest) => self.set_longest_ttl(*longest),
        }
    }

    /// The level at a place, if it is open.
    pub(crate) fn level_at(&self, place: Place) -> Option<usize> {
        match place {
            Place::Level(number) => Some(number),
            Place::Names(warehouse, product) => self.levels.iter().position(|level| {
                self.warehouses[level.warehouse].name == warehouse
                    && self.products[level.product] == product
            }),
        }
    }

    pub(crate) fn warehouse_named(&self, name: &str) -> Option<usize> {
        self.warehouses.iter().position(|warehouse| warehouse.name == name)
    }

    /// A level's names.
    pub(crate) fn names_of(&self, level: usize) -> (&'static str, &'static str) {
        let Level { warehouse, product, .. } = self.levels[level];
        (self.warehouses[warehouse].name, self.products[product])
    }

    pub(crate) fn threshold_of(&self, level: usize) -> Option<u32> {
        let level = &self.levels[level];
        level.own_threshold.unwrap_or(self.warehouses[level.warehouse].threshold)
    }

    pub(crate) fn is_pending(&self, hold: usize) -> bool {
        self.holds[hold].status == ReservationStatus::Pending
    }

    /// Slots used by live holds.
    pub(crate) fn slots_used(&self) -> usize {
        let live = self.holds.iter().filter(|hold| hold.status == ReservationStatus::Pending);
        live.map(|hold| hold.lines.len()).sum()
    }

    pub(crate) fn keys(&self) -> usize {
        self.keys.len()
    }

    /// The hold that the request with this key made.
    pub(crate) fn hold_by_key(&self, key: u8) -> Option<usize> {
        match self.keys.get(Name::Caller(key), self.now)? {
            Given::Hold(hold) | Given::Retaken(hold) | Given::RetakenBefore(hold) => Some(*hold),
            _ => None,
        }
    }

    pub(crate) fn refusals(&self) -> Refusals {
        let mut refusals = Refusals::default();
        refusals.insufficient = self.insufficient;
        refusals.full = self.full;
        refusals.suspended = self.suspended;
        refusals
    }

    /// Does all background work: expires overdue holds, and delivers alerts.
    pub(crate) fn run_until_idle(&mut self) {
        self.end_overdue(|_| false);
        while let Some(level) = self.alerting.pop_front() {
            let crossings = std::mem::take(&mut self.levels[level].crossings);
            if let Some(threshold) = self.threshold_of(level) {
                self.alerts.push((level, self.levels[level].available, threshold, crossings));
            }
        }
    }

    fn raise_alert(&mut self, level: usize) {
        self.levels[level].crossings += 1;
        if self.levels[level].crossings == 1 {
            self.alerting.push_back(level);
        }
    }

    /// Takes available units, which must be there. They become reserved if `reserve`, and otherwise
    /// leave.
    fn take_units(&mut self, level: usize, units: u32, reserve: bool) {
        let before = self.levels[level].available;
        let after = before - units;
        self.levels[level].available = after;
        self.levels[level].reserved += if reserve { units } else { 0 };
        if self.threshold_of(level).is_some_and(|least| before > least && after <= least) {
            self.raise_alert(level);
        }
    }

    /// Adds units, whose room was taken before.
    fn put_units(&mut self, level: usize, units: u32) {
        self.levels[level].available += units;
        let after = self.levels[level].available;
        if self.threshold_of(level).is_some_and(|least| after <= least) {
            self.raise_alert(level);
        }
    }

    /// An entry about a level, with the caller's notes.
    fn at_level(&self, mut entry: Entry, level: usize, call: Option<&Call>) -> Entry {
        entry.warehouse = Some(self.levels[level].warehouse);
        entry.product = Some(self.levels[level].product);
        match call {
            Some(call) => entry.notes_of(call),
            None => entry,
        }
    }
}
