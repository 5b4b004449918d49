//! Runs a plan on an engine and on the model, and compares both after every step.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stockade::{
    AuditEntry, BasketLine, Health, HoldRequest, InventoryManager, LevelHandle, LevelRef, Limits,
    ManualClock, NoReservation, Owner, ProductRef, ReservationId, ReservationStatus, RetakeError,
    StockAlert, StockAlertListener, Timestamp, WarehouseRef, WarehouseSpec, WhenFull,
};

use super::plan::{PRODUCTS, Step, WAREHOUSES, What, Where};
use super::translate::{
    basket_denied, done, never_made, request_key, short, slot_of, with_options,
};
use crate::common::model::call::{Answer, Call, Entry, Given, HoldRef, Op, Place};
use crate::common::model::{Alert, Bounds, Model};
use crate::common::{ledger, log_of, ms};

const START: u64 = 1_000;
const STOCKED: [(&str, u32, Option<u32>); 2] = [("SF", 60, Some(3)), ("NYC", 35, None)];
/// The keys that a plan may use.
const KEYS: u8 = 4;

pub(super) struct Driver {
    model: Model,
    manager: InventoryManager,
    clock: Arc<ManualClock>,
    alerts: Arc<Heard>,
    handles: Vec<LevelHandle>,
    ids: Vec<ReservationId>,
    numbers: HashMap<ReservationId, usize>,
    calls: Vec<Call>,
}

#[derive(Default)]
struct Heard(Mutex<Vec<StockAlert>>);

impl StockAlertListener for Heard {
    fn on_low_stock(&self, _: &str, _: &str, _: u32) {}

    fn on_alert(&self, alert: &StockAlert) {
        self.0.lock().expect("no panic").push(alert.clone());
    }
}

impl Driver {
    pub(super) fn new(slots: usize) -> Self {
        let bounds = Bounds {
            longest_ttl: ms(500),
            longest_total: ms(450),
            slots,
            basket_lines: 3,
            key_lifetime: 400,
            keys: 5,
        };
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(START)));
        let alerts = Arc::new(Heard::default());
        let mut builder = InventoryManager::builder();
        for (name, capacity, threshold) in STOCKED {
            let spec = WarehouseSpec::new(name).capacity(capacity);
            builder = builder.warehouse(match threshold {
                Some(units) => spec.threshold(units),
                None => spec,
            });
        }
        let limits = Limits::new()
            .longest_ttl(bounds.longest_ttl)
            .longest_total_hold(bounds.longest_total)
            .max_reservations(slots as u32)
            .max_basket_lines(bounds.basket_lines)
            .key_retention(ms(bounds.key_lifetime), bounds.keys)
            .when_full(WhenFull::DropOldest)
            .audit_queue(256);
        let builder = builder.clock(Arc::clone(&clock)).limits(limits).seed(1).without_threads();
        let manager = builder.listener(Arc::clone(&alerts)).build().expect("legal settings");
        Self {
            model: Model::new(START, bounds, &STOCKED),
            manager,
            clock,
            alerts,
            handles: Vec::new(),
            ids: Vec::new(),
            numbers: HashMap::new(),
            calls: Vec::new(),
        }
    }

    pub(super) fn step(&mut self, step: &Step) {
        self.note_forgotten();
        match step {
            Step::Call { what, key, owner, note, passes } => {
                let op = self.resolve(what);
                let call = Call {
                    key: *key,
                    owner: owner.filter(|_| op.takes_an_owner()),
                    passes: *passes && op.takes_an_owner(),
                    op,
                    note: note.then_some("by hand"),
                };
                self.call(call);
            }
            Step::Again(number) => {
                if !self.calls.is_empty() {
                    self.call(self.calls[number % self.calls.len()].clone());
                }
            }
            Step::Advance(millis) => {
                self.clock.advance(ms(*millis));
                self.model.now += millis;
            }
            Step::Idle => self.idle(),
        }
        self.compare(step);
    }

    /// Compares what shows only at the end: alerts, and the whole log.
    pub(super) fn finish(mut self) {
        self.idle();
        let entries = log_of(&self.manager);
        let told: Vec<Entry> = entries.iter().map(|entry| self.entry_of(entry)).collect();
        for (number, (told, expected)) in told.iter().zip(&self.model.log).enumerate() {
            assert_eq!(told, expected, "entry {} after {}", number + 1, self.story());
        }
        assert_eq!(told.len(), self.model.log.len(), "entries after {}", self.story());
        ledger::assert_legal(&entries).assert_ends_as(&self.manager);
    }

    fn idle(&mut self) {
        self.manager.run_until_idle();
        self.model.run_until_idle();
        let number = |alert: &StockAlert| -> Alert {
            let level = self.manager.level((&*alert.warehouse, &*alert.product)).expect("open");
            (level.index(), alert.available, alert.threshold, alert.crossings)
        };
        let mut heard: Vec<Alert> =
            self.alerts.0.lock().expect("no panic").iter().map(number).collect();
        // Which of two levels that one commit lowers is told of first, nobody promises.
        let mut expected = self.model.alerts.clone();
        heard.sort_unstable();
        expected.sort_unstable();
        assert_eq!(heard, expected, "alerts after {}", self.story());
    }

    /// The calls so far, one on each line.
    fn story(&self) -> String {
        self.calls.iter().map(|call| format!("\n  {call:?}")).collect()
    }

    fn call(&mut self, call: Call) {
        let expected = self.model.call(&call);
        let answer = self.ask(&call, &expected);
        assert_eq!(answer, expected, "{call:?} after {}", self.story());
        self.calls.push(call);
    }

    /// Makes the call on the engine, and translates its answer to the model's terms.
    fn ask(&mut self, call: &Call, expected: &Answer) -> Answer {
        let manager = self.manager.clone();
        let request = with_options(manager.request(), call);
        let hold_request = HoldRequest::from(request.clone());
        let hold_request = match call.owner {
            Some(number) => hold_request.owner(Owner([number; 16])),
            None => hold_request,
        };
        let hold_request = match call.passes {
            true => hold_request.pass_safety_stock("staff"),
            false => hold_request,
        };
        match &call.op {
            Op::Add(place, units, source) => {
                done(request.add_stock(self.level(*place), *units, source))
            }
            Op::Remove(place, units, reason) => {
                done(request.remove_stock(self.level(*place), *units, reason))
            }
            Op::Ship(place, units) => done(request.ship(self.level(*place), *units)),
            Op::CancelSale(place, units, reason) => {
                done(request.cancel_sale(self.level(*place), *units, reason))
            }
            Op::Transfer(from, to, product, units, false) => {
                done(request.transfer(*from, *to, *product, *units))
            }
            Op::Transfer(from, to, product, units, true) => {
                let id = |name| WarehouseRef::Id(manager.warehouse(name).expect("known").id());
                let product = ProductRef::Id(manager.product(product).expect("known"));
                done(request.transfer(id(*from), id(*to), product, *units))
            }
            Op::Reserve(place, units, ttl) => {
                let id = hold_request.reserve(self.level(*place), *units, *ttl)?;
                Ok(Given::Hold(self.number(id, expected)))
            }
            Op::Sell(place, units) => {
                let id = hold_request.sell(self.level(*place), *units)?;
                Ok(Given::Hold(self.number(id, expected)))
            }
            Op::Basket(lines, ttl) => {
                let id =
                    hold_request.reserve_basket(&self.lines(lines), *ttl).map_err(basket_denied)?;
                Ok(Given::Hold(self.number(id, expected)))
            }
            Op::Confirm(hold) => done(request.confirm(self.id(*hold))),
            Op::Release(hold) => Ok(Given::Released(request.release(self.id(*hold))?)),
            Op::Extend(hold, ttl) => {
                Ok(Given::Until(request.extend(self.id(*hold), *ttl)?.as_millis()))
            }
            Op::Retake(hold, lines) => {
                let late = hold_request.confirm_or_retake_lines(self.id(*hold), &self.lines(lines));
                self.late_answer(late, expected)
            }
            Op::OpenLevel(warehouse, product) => {
                Ok(Given::Level(manager.open_level(warehouse, product)?.index()))
            }
            Op::Suspend(warehouse, true) => done(manager.suspend(*warehouse)),
            Op::Suspend(warehouse, false) => done(manager.resume(*warehouse)),
            Op::Capacity(warehouse, units) => done(manager.set_capacity(*warehouse, *units)),
            Op::Threshold(warehouse, units) => done(manager.set_threshold(*warehouse, *units)),
            Op::ProductThreshold(place, units) => {
                done(manager.set_product_threshold(self.level(*place), *units))
            }
            Op::ClearThreshold(place) => done(manager.clear_product_threshold(self.level(*place))),
            Op::SafetyStock(place, units) => {
                done(manager.set_safety_stock(self.level(*place), *units))
            }
            Op::LongestTtl(longest) => done(manager.set_longest_ttl(*longest)),
        }
    }

    fn late_answer(
        &mut self,
        answer: Result<stockade::ConfirmOrRetake, RetakeError>,
        expected: &Answer,
    ) -> Answer {
        use stockade::ConfirmOrRetake::{AlreadyRetaken, AlreadySold, Confirmed, Retaken};
        match answer {
            Ok(Confirmed) => Ok(Given::ConfirmedInTime),
            Ok(Retaken(id)) => Ok(Given::Retaken(self.number(id, expected))),
            Ok(AlreadyRetaken(id)) => Ok(Given::RetakenBefore(self.number(id, expected))),
            Ok(AlreadySold { units }) => Ok(Given::SoldBefore(units)),
            Ok(other) => unreachable!("{other:?} is new to these tests"),
            Err(RetakeError::Insufficient { lines, overdue_left: left }) => Err(short(lines, left)),
            Err(error) => Err(error.into()),
        }
    }

    /// The number of a hold. A hold that the model has just made gets its id here.
    fn number(&mut self, id: ReservationId, expected: &Answer) -> usize {
        if let Some(known) = self.numbers.get(&id) {
            return *known;
        }
        let fresh = self.ids.len();
        let Ok(Given::Hold(new) | Given::Retaken(new)) = expected else { return usize::MAX };
        if *new == fresh {
            self.ids.push(id);
            self.numbers.insert(id, fresh);
            self.model.holds[fresh].slot = slot_of(id);
        }
        fresh
    }

    /// The engine may drop the record of an ended hold for good, once slots are short.
    fn note_forgotten(&mut self) {
        let few_slots = self.model.bounds.slots < 1_000;
        for (number, id) in self.ids.iter().enumerate() {
            let gone = self.manager.reservation(*id) == Err(NoReservation::Forgotten);
            assert!(!gone || few_slots, "a record is gone before its time");
            assert!(!gone || !self.model.is_pending(number), "a live hold is gone");
            self.model.holds[number].forgotten |= gone;
        }
    }

    fn compare(&mut self, step: &Step) {
        self.note_forgotten();
        let manager = &self.manager;
        for (number, expected) in self.model.warehouses.iter().enumerate() {
            let seen = manager.warehouse(expected.name).expect("a warehouse");
            let rooms = (seen.capacity(), seen.room_left(), seen.over_capacity());
            let seen = (rooms, seen.is_suspended(), seen.threshold());
            let rooms = (expected.capacity, self.model.room(number), self.model.over(number));
            let expected = (rooms, expected.suspended, expected.threshold);
            assert_eq!(seen, expected, "a warehouse after {step:?}, {}", self.story());
        }
        for (number, expected) in self.model.levels.iter().enumerate() {
            let names = self.model.names_of(number);
            let handle = manager.level(names).expect("an open level");
            assert_eq!(handle.index(), number);
            if number == self.handles.len() {
                self.handles.push(handle);
            }
            let seen = manager.counts(names).expect("known");
            assert_eq!(seen, manager.counts(handle).expect("known"));
            let counts = (expected.available, expected.reserved, expected.sold);
            let seen = (seen.available, seen.reserved, seen.sold);
            assert_eq!(seen, counts, "{names:?} after {step:?}, {}", self.story());
            let threshold = manager.stock_level(handle).expect("an open level").threshold();
            assert_eq!(threshold, self.model.threshold_of(number), "{}", self.story());
            self.compare_live(number);
        }
        for number in 0..self.model.holds.len() {
            self.compare_hold(number, step);
        }
        for key in 0..KEYS {
            let found = manager.reservation_by_key(&request_key(key)).map(|found| found.id);
            let expected = match self.model.hold_by_key(key) {
                None => Err(NoReservation::Unknown),
                Some(hold) if self.model.holds[hold].forgotten => Err(NoReservation::Forgotten),
                Some(hold) => Ok(self.ids[hold]),
            };
            assert_eq!(found, expected, "key {key} after {step:?}, {}", self.story());
        }
        let stats = manager.stats();
        assert_eq!(stats.keys, self.model.keys(), "keys after {step:?}, {}", self.story());
        let seen = (stats.products, stats.levels, stats.slots_live);
        let expected =
            (self.model.products.len(), self.model.levels.len(), self.model.slots_used());
        assert_eq!(seen, expected, "products, levels, live slots after {}", self.story());
        assert_eq!(stats.refusals, self.model.refusals(), "after {}", self.story());
        assert!(matches!(manager.health(), Health::Ok | Health::Degraded { .. }), "few keys fit");
    }

    /// The live reservations of a level, in the order of their slots.
    fn compare_live(&self, level: usize) {
        let holds = self.model.holds.iter().enumerate();
        let mut expected: Vec<(u32, ReservationId)> = holds
            .filter(|(number, hold)| {
                self.model.is_pending(*number) && hold.lines.iter().any(|line| line.0 == level)
            })
            .map(|(number, hold)| (hold.slot, self.ids[number]))
            .collect();
        expected.sort_unstable();
        let page = self.manager.reservations(self.handles[level], None, usize::MAX);
        let seen = page.expect("an open level").reservations;
        let seen: Vec<_> = seen.into_iter().map(|found| (slot_of(found.id), found.id)).collect();
        assert_eq!(seen, expected, "after {}", self.story());
    }

    fn compare_hold(&self, number: usize, step: &Step) {
        let expected = &self.model.holds[number];
        let found = match self.manager.reservation(self.ids[number]) {
            Ok(found) => found,
            Err(_) if expected.forgotten => return,
            Err(missing) => panic!("{missing} after {step:?}, {}", self.story()),
        };
        let lines: Vec<_> =
            found.lines.iter().map(|line| (line.level.index(), line.quantity)).collect();
        for line in &found.lines {
            let names = self.model.names_of(line.level.index());
            assert_eq!((&*line.warehouse, &*line.product), names);
        }
        let times = (found.created_at.as_millis(), found.expires_at.as_millis());
        let from = found.retaken_from.map(|id| self.numbers[&id]);
        let seen = (found.status, lines, times, found.owner, from);
        let times = (expected.created, expected.expires);
        let owner = expected.owner.map(|number| Owner([number; 16]));
        let lines = expected.lines.clone();
        let expected = (expected.status, lines, times, owner, expected.retaken_from);
        assert_eq!(seen, expected, "hold {number} after {step:?}, {}", self.story());
        // An overdue hold shows as pending until somebody ends it.
        let pending = found.status == ReservationStatus::Pending;
        assert_eq!(pending, self.model.is_pending(number));
    }

    fn entry_of(&self, entry: &AuditEntry) -> Entry {
        let warehouse = |name: &Option<Arc<str>>| {
            name.as_deref().map(|name| self.model.warehouse_named(name).expect("a warehouse"))
        };
        let product = |name: &str| {
            self.model.products.iter().position(|known| *known == name).expect("a product")
        };
        Entry {
            kind: entry.entry_type,
            at: entry.at.as_millis(),
            warehouse: warehouse(&entry.warehouse),
            product: entry.product.as_deref().map(product),
            other: warehouse(&entry.other_warehouse),
            units: entry.quantity,
            hold: entry.reservation.map(|id| self.numbers[&id]),
            owner: entry.owner.map(|owner| owner.0[0]),
            expires: entry.expires_at.map(Timestamp::as_millis),
            retaken_from: entry.retaken_from.map(|id| self.numbers[&id]),
            notes: entry.metadata().to_vec(),
        }
    }

    fn resolve(&self, what: &What) -> Op {
        let hold = |hold: &Option<usize>| -> HoldRef {
            hold.filter(|_| !self.ids.is_empty()).map(|hold| hold % self.ids.len())
        };
        let lines = |lines: &[(Where, u32)]| -> Vec<(Place, u32)> {
            lines.iter().map(|(place, units)| (self.place(*place), *units)).collect()
        };
        match what {
            What::Add(place, units) => Op::Add(self.place(*place), *units, "SUPPLIER"),
            What::Remove(place, units) => Op::Remove(self.place(*place), *units, "dropped"),
            What::Ship(place, units) => Op::Ship(self.place(*place), *units),
            What::CancelSale(place, units) => {
                Op::CancelSale(self.place(*place), *units, "declined")
            }
            What::Transfer { from, to, product, units, by_handle } => {
                let (from, to) = (WAREHOUSES[*from], WAREHOUSES[*to]);
                let product = PRODUCTS[*product];
                let known =
                    [from, to].iter().all(|name| self.model.warehouse_named(name).is_some())
                        && self.model.products.contains(&product);
                Op::Transfer(from, to, product, *units, *by_handle && known)
            }
            What::Reserve(place, units, ttl) => Op::Reserve(self.place(*place), *units, ms(*ttl)),
            What::Sell(place, units) => Op::Sell(self.place(*place), *units),
            What::Basket(wanted, ttl) => Op::Basket(lines(wanted), ms(*ttl)),
            What::Confirm(wanted) => Op::Confirm(hold(wanted)),
            What::Release(wanted) => Op::Release(hold(wanted)),
            What::Extend(wanted, ttl) => Op::Extend(hold(wanted), ms(*ttl)),
            What::Retake(wanted, other) => {
                let wanted = hold(wanted);
                let own = wanted.map(|hold| &self.model.holds[hold].lines);
                let own = own.map(|own| own.iter().map(|it| (Place::Level(it.0), it.1)).collect());
                let own = own.unwrap_or_else(|| vec![(Place::Names("SF", "LAPTOP"), 1)]);
                Op::Retake(wanted, other.as_deref().map_or(own, lines))
            }
            What::OpenLevel(place, product) => {
                Op::OpenLevel(WAREHOUSES[*place], PRODUCTS[*product])
            }
            What::Suspend(place, on) => Op::Suspend(WAREHOUSES[*place], *on),
            What::Capacity(place, units) => Op::Capacity(WAREHOUSES[*place], *units),
            What::Threshold(place, units) => Op::Threshold(WAREHOUSES[*place], *units),
            What::ProductThreshold(place, units) => {
                Op::ProductThreshold(self.place(*place), *units)
            }
            What::ClearThreshold(place) => Op::ClearThreshold(self.place(*place)),
            What::SafetyStock(place, units) => Op::SafetyStock(self.place(*place), *units),
            What::LongestTtl(millis) => Op::LongestTtl(Duration::from_millis(*millis)),
        }
    }

    fn place(&self, place: Where) -> Place {
        static LONG_NAME: [u8; 256] = [b'X'; 256];
        match place {
            Where::Names(warehouse, product) => {
                Place::Names(WAREHOUSES[warehouse], PRODUCTS[product])
            }
            Where::Handle(_) if self.handles.is_empty() => Place::Names("SF", "LAPTOP"),
            Where::Handle(number) => Place::Level(number % self.handles.len()),
            Where::NoName => Place::Names("SF", ""),
            Where::LongName => {
                Place::Names("NYC", std::str::from_utf8(&LONG_NAME).expect("plain letters"))
            }
        }
    }

    fn level(&self, place: Place) -> LevelRef<'static> {
        match place {
            Place::Names(warehouse, product) => LevelRef::Names(warehouse, product),
            Place::Level(number) => self.handles[number].into(),
        }
    }

    fn lines(&self, lines: &[(Place, u32)]) -> Vec<BasketLine<'static>> {
        lines.iter().map(|(place, units)| BasketLine::new(self.level(*place), *units)).collect()
    }

    fn id(&self, hold: HoldRef) -> ReservationId {
        hold.map_or_else(never_made, |hold| self.ids[hold])
    }
}
