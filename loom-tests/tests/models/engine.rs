//! One level, one warehouse, the slots and a stub queue, with the steps of each operation in the
//! order of the manager's files: what is obtained first, taken, queued, and given last.

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::base::quantity::Quantity;
use crate::base::sync::ArrayQueue;
use crate::record::{Entry, Ledger};
use crate::reservation::chain::Chain;
use crate::reservation::free_list::Retention;
use crate::reservation::id::{Owner, ReservationId};
use crate::reservation::line::SlotLine;
use crate::reservation::slot::{LinkContent, ReservationRecord};
use crate::reservation::slots::{HeldSlot, Lookup, ReadReservation, Slots};
use crate::reservation::state::Phase;
use crate::reservation::steps::NotShipping;
use crate::stock::cell::NoMarks;
use crate::stock::handle::{LevelIndex, ProductIndex, WarehouseIndex};
use crate::stock::level::StockLevel;
use crate::stock::warehouse::Warehouse;

pub const LEVEL: LevelIndex = LevelIndex(0);

pub fn qty(units: u32) -> Quantity {
    Quantity::new(units).expect("a legal quantity")
}

pub fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// An open level of `units` available units.
pub fn level_of(units: u32) -> StockLevel {
    let level = StockLevel::closed();
    level.open(LevelIndex(0), WarehouseIndex(0), ProductIndex(0), None);
    if units > 0 {
        level.receive(qty(units), &NoMarks);
    }
    level
}

/// A warehouse with room for `capacity` units.
pub fn warehouse_of(capacity: u32) -> Warehouse {
    Warehouse::new(WarehouseIndex(0), "SF".into(), capacity, None)
}

/// Slots of one shard that keep no record longer than they must.
pub fn slots_of(max_slots: u32) -> Slots {
    Slots::new(max_slots, 1, Retention { time: Duration::ZERO, records: 0, drop_oldest: true })
}

/// Runs `first` in a thread of its own beside `second`, and returns what both say.
pub fn race<T: Send + Sync + 'static, A: 'static, B>(
    shared: &Arc<T>,
    first: impl FnOnce(&T) -> A + 'static,
    second: impl FnOnce(&T) -> B,
) -> (A, B) {
    let first = spawn(shared, first);
    let second = second(shared);
    (first.join().expect("the thread ends"), second)
}

/// A thread of the model.
pub fn spawn<T: Send + Sync + 'static, A: 'static>(
    shared: &Arc<T>,
    job: impl FnOnce(&T) -> A + 'static,
) -> loom::thread::JoinHandle<A> {
    let shared = Arc::clone(shared);
    loom::thread::spawn(move || job(&shared))
}

pub struct Engine {
    pub level: StockLevel,
    pub warehouse: Warehouse,
    pub slots: Slots,
    queue: ArrayQueue<Entry>,
    capacity: u32,
    owner: Option<Owner>,
    /// Holds are kept until they are shipped.
    pub kept: bool,
}

/// What became of a call that ends a hold, or extends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This call did it.
    Done,
    /// Another call is ending the hold at this moment.
    InProgress,
    /// Another call was first; the hold is over, or has changed.
    Lost(Phase),
    /// It is not overdue (or, to `extend` and `confirm`, it is).
    NotTheTime,
    /// The reservation has fewer units to move.
    TooFew,
    Forgotten,
    Unknown,
}

impl Engine {
    pub fn new(capacity: u32, max_slots: u32) -> Self {
        Self {
            level: level_of(0),
            warehouse: warehouse_of(capacity),
            slots: slots_of(max_slots),
            queue: ArrayQueue::new(64),
            capacity,
            owner: None,
            kept: false,
        }
    }

    /// With an index of holders, and every hold this owner's.
    pub fn of_owner(capacity: u32, max_slots: u32, owner: Owner) -> Self {
        let slots = slots_of(max_slots).with_holder_index(1);
        Self { slots, owner: Some(owner), ..Self::new(capacity, max_slots) }
    }

    fn log(&self, entry: Entry) {
        self.queue.push(entry).expect("the queue has room");
    }

    /// Law 2: what an operation gives can be spent only after its entry is queued.
    fn log_and_give(&self, entry: Entry, give: impl FnOnce()) {
        self.log(entry);
        give();
    }

    pub fn add(&self, units: u32) -> bool {
        if self.warehouse.take_room(qty(units), &NoMarks).is_err() {
            return false;
        }
        self.log_and_give(Entry::Received(units), || {
            self.level.receive(qty(units), &NoMarks);
        });
        true
    }

    pub fn remove(&self, units: u32) -> bool {
        if self.level.withdraw(qty(units), &NoMarks).is_err() {
            return false;
        }
        self.log_and_give(Entry::Damaged(units), || self.warehouse.give_room(qty(units), &NoMarks));
        true
    }

    /// As the manager's. One call at a time.
    pub fn set_capacity(&self, units: u32) {
        if units < self.warehouse.capacity() {
            let inside = self.warehouse.lower_capacity(units, &NoMarks);
            self.log(Entry::Lowered(units, inside));
        } else {
            self.log_and_give(Entry::Raised(units), || {
                self.warehouse.raise_capacity(units, &NoMarks);
            });
        }
    }

    /// Its caller says when the hold is born: ids must differ.
    pub fn reserve(&self, born: u64, units: u32, expires_at: u64) -> Option<ReservationId> {
        let slot = self.slots.take(at(born), || at(born))?;
        if self.level.hold(qty(units), 0, &NoMarks).is_err() {
            self.slots.put_back(slot, at(born));
            return None;
        }
        let id = ReservationId::new(at(born), slot.number(), born);
        let line = SlotLine::new(LEVEL, units);
        let record = ReservationRecord {
            id,
            owner: self.owner,
            line,
            chain: Chain::NONE.keeping(self.kept),
        };
        self.log_and_give(Entry::Reserved(id, units), || {
            self.slots.publish(slot, record, at(expires_at));
        });
        Some(id)
    }

    pub fn confirm(&self, id: ReservationId, now: u64) -> Answer {
        self.end(id, Phase::Confirmed, now)
    }

    pub fn release(&self, id: ReservationId, now: u64) -> Answer {
        self.end(id, Phase::Released, now)
    }

    pub fn expire(&self, id: ReservationId, now: u64) -> Answer {
        self.end(id, Phase::Expired, now)
    }

    fn end(&self, id: ReservationId, how: Phase, now: u64) -> Answer {
        let head = match self.slots.find(id) {
            Lookup::Found(head) => head,
            Lookup::Forgotten => return Answer::Forgotten,
            Lookup::Unknown => return Answer::Unknown,
        };
        let HeldSlot { slot, state, .. } = head;
        match state.phase() {
            Phase::Pending => {}
            Phase::Ending => return Answer::InProgress,
            over => return Answer::Lost(over),
        }
        let wrong_time = match how {
            Phase::Confirmed => state.is_overdue(at(now)),
            Phase::Expired => !state.is_overdue(at(now)),
            _ => false,
        };
        if wrong_time {
            return Answer::NotTheTime;
        }
        let entry = if how == Phase::Confirmed { Entry::Sold(id) } else { Entry::Returned(id) };
        if let Err(other) = head.swap_to(Phase::Ending) {
            return Answer::Lost(other.phase());
        }
        let record = slot.read_record(state);
        assert_eq!(record.id, id, "the winner of a swap has won its own hold");
        let (mut units, mut sold_before) = (0, false);
        self.slots.lines_of(head, &record, |line| {
            units += line.held;
            sold_before |= line.sold > 0;
        });
        let give = || {
            if how == Phase::Confirmed {
                self.level.sold_to(false).add(qty(units));
            } else {
                self.level.give_back(qty(units), &NoMarks);
            }
        };
        let give_slot = || {
            if sold_before && how != Phase::Confirmed {
                slot.switch_chain(record.chain.ending_as(how));
            }
            let phase = if sold_before { Phase::Confirmed } else { how };
            self.slots.finish(head, phase, record.chain);
            self.slots.retire(id.slot(), record.chain, phase == Phase::Confirmed, at(now));
        };
        self.log_and_give(entry, give);
        give_slot();
        Answer::Done
    }

    /// Sells and gives back some of the units of a hold that holds more, or just as many.
    pub fn step(&self, id: ReservationId, sell: u32, give_back: u32, now: u64) -> Answer {
        let mut lines = Vec::new();
        let state = match self.slots.read(id, |line| lines.push(line)) {
            ReadReservation::Found { state, .. } => state,
            ReadReservation::Changed => return Answer::InProgress,
            ReadReservation::Forgotten => return Answer::Forgotten,
            ReadReservation::Unknown => return Answer::Unknown,
        };
        match state.phase() {
            Phase::Pending if state.is_overdue(at(now)) => return Answer::NotTheTime,
            Phase::Pending => {}
            Phase::Ending => return Answer::InProgress,
            over => return Answer::Lost(over),
        }
        let Some(line) = lines[0].step(sell, give_back) else { return Answer::TooFew };
        let slot = self.slots.at(id.slot()).expect("a slot");
        let head = HeldSlot { number: id.slot(), slot, state };
        let fresh = self.slots.take(at(now), || at(now)).expect("a slot for the step");
        if let Err(other) = head.swap_to(Phase::Ending) {
            self.slots.put_back(fresh, at(now));
            return Answer::Lost(other.phase());
        }
        self.log_and_give(Entry::Stepped(id, sell, give_back), || {
            if give_back > 0 {
                self.level.give_back(qty(give_back), &NoMarks);
            }
            if sell > 0 {
                self.level.sold_to(false).add(qty(sell));
            }
        });
        let phase = match (line.held, line.sold) {
            (0, 0) => Phase::Released,
            (0, _) => Phase::Confirmed,
            _ => Phase::Pending,
        };
        let lines = [(fresh, LinkContent::Line(line))];
        let chain = self.slots.replace_lines(head, &lines, phase, at(now));
        if phase.is_final() {
            self.slots.retire(id.slot(), chain, line.is_unsettled(), at(now));
        }
        Answer::Done
    }

    /// Ships some of the units that a reservation of one line sold.
    pub fn ship_of(&self, id: ReservationId, units: u32, now: u64) -> Answer {
        let mut lines = Vec::new();
        let (record, state) = match self.slots.read(id, |line| lines.push(line)) {
            ReadReservation::Found { record, state, .. } => (record, state),
            ReadReservation::Changed => return Answer::InProgress,
            ReadReservation::Forgotten => return Answer::Forgotten,
            ReadReservation::Unknown => return Answer::Unknown,
        };
        match state.phase() {
            Phase::Confirmed | Phase::Pending => {}
            Phase::Ending | Phase::Shipping => return Answer::InProgress,
            other => return Answer::Lost(other),
        }
        let line = lines[0];
        let sold = line.sold_in(record.chain.end(state.phase()));
        if sold - line.settled < units {
            return Answer::TooFew;
        }
        let slot = self.slots.at(id.slot()).expect("a slot");
        let head = HeldSlot { number: id.slot(), slot, state };
        let settling = match self.slots.begin_shipping(head) {
            Ok(settling) => settling,
            Err(NotShipping::Changed | NotShipping::Busy) => return Answer::InProgress,
            Err(NotShipping::Gone) => return Answer::Forgotten,
        };
        if self.level.take_sold(qty(units)).is_err() {
            settling.give_up();
            return Answer::TooFew;
        }
        self.log_and_give(Entry::Shipped(units), || {
            self.level.ship(qty(units), &NoMarks);
            self.warehouse.give_room(qty(units), &NoMarks);
        });
        settling.finish([line.settled + units], line.settled + units == sold, at(now));
        Answer::Done
    }

    pub fn extend(&self, id: ReservationId, now: u64, expires_at: u64) -> Answer {
        let head = match self.slots.find(id) {
            Lookup::Found(head) => head,
            Lookup::Forgotten => return Answer::Forgotten,
            Lookup::Unknown => return Answer::Unknown,
        };
        let HeldSlot { slot, state, .. } = head;
        match state.phase() {
            Phase::Pending if state.is_overdue(at(now)) => return Answer::NotTheTime,
            Phase::Pending => {}
            Phase::Ending => return Answer::InProgress,
            over => return Answer::Lost(over),
        }
        match slot.swap(state, state.expiring_at(at(expires_at))) {
            Ok(()) => {
                self.log(Entry::Extended(id));
                Answer::Done
            }
            Err(other) => Answer::Lost(other.phase()),
        }
    }

    pub fn ship(&self, units: u32) -> bool {
        if self.level.take_sold(qty(units)).is_err() {
            return false;
        }
        self.log_and_give(Entry::Shipped(units), || {
            self.level.ship(qty(units), &NoMarks);
            self.warehouse.give_room(qty(units), &NoMarks);
        });
        true
    }

    pub fn cancel_sale(&self, units: u32) -> bool {
        if self.level.take_sold(qty(units)).is_err() {
            return false;
        }
        self.log_and_give(Entry::SaleCancelled(units), || {
            self.level.give_back(qty(units), &NoMarks);
        });
        true
    }

    /// What stands in the cells.
    pub fn counts(&self) -> (u32, u32, u32, u32) {
        let counts = self.level.counts();
        (self.warehouse.room_left(), counts.available, counts.reserved, counts.sold)
    }

    /// Checks that every prefix of the record is a legal history, and that the whole of it leads to
    /// the counts that stand in the cells. Returns the record.
    pub fn check(&self) -> Vec<Entry> {
        let record: Vec<Entry> = std::iter::from_fn(|| self.queue.pop()).collect();
        let mut ledger = Ledger::new(self.capacity);
        for entry in &record {
            ledger.play(*entry);
        }
        let room = ledger.capacity.saturating_sub(ledger.inside());
        let played = (room, ledger.available, ledger.reserved, ledger.sold);
        assert_eq!(played, self.counts(), "the record leads elsewhere: {record:?}");
        let over = ledger.inside().saturating_sub(ledger.capacity);
        let live = (self.warehouse.capacity(), self.warehouse.over_capacity());
        assert_eq!((ledger.capacity, over), live, "the record leads elsewhere: {record:?}");
        record
    }
}
