//! The ledger: the state that a journal's entries add up to. Each entry is checked against the
//! laws.
//!
//! The ledger knows nothing of the engine; it reads entries alone. Recovery builds an engine's
//! state from it. Verification and the auditor only want it to find no broken law.

mod allowances;
mod apply;
pub(crate) mod clock;
mod definitions;
pub(crate) mod holds;
pub(crate) mod levels;
pub(crate) mod limits;
mod limits_state;
pub(crate) mod state;
#[cfg(all(test, not(loom)))]
mod tests;
mod tracked;
pub(crate) mod transfers;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use crate::audit::record::KeyMark;
use crate::audit::view::Names;
use crate::base::clock::Timestamp;
use crate::reservation::id::ReservationId;
use crate::stock::handle::{LevelIndex, ProductIndex, WarehouseIndex};

use clock::JournalClock;
use holds::Holds;
use levels::{LevelState, WarehouseState};
use limits::LimitsState;
use transfers::Transfers;

/// The state that all entries so far add up to.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) warehouses: Vec<WarehouseState>,
    pub(crate) products: Vec<Arc<str>>,
    /// By level index.
    pub(crate) levels: Vec<LevelState>,
    pub(crate) holds: Holds,
    /// Idempotency keys, oldest first. At most `keys_kept` are remembered.
    pub(crate) keys: VecDeque<(KeyMark, Timestamp)>,
    /// Retakes, oldest first: the old reservation, the new one, and when. At most `keys_kept`.
    pub(crate) retakes: VecDeque<(ReservationId, ReservationId, Timestamp)>,
    keys_kept: usize,
    /// What of the keys and retakes may not be forgotten yet, beyond `keys_kept`.
    pub(crate) unsettled: UnsettledKeys,
    /// Transfer requests: all open ones, and the newest decided ones.
    pub(crate) transfers: Transfers,
    /// Rules, groups, and what is drawn on allowances.
    pub(crate) limits: LimitsState,
    /// The longest time to live, in milliseconds.
    pub(crate) longest_ttl: Setting<u64>,
    /// The next entry's sequence number.
    pub(crate) next_sequence: u64,
    /// The latest time of any entry so far; after a step back of the clock, of any since then.
    pub(crate) newest_at: Timestamp,
    pub(crate) clock: JournalClock,
    /// The law of tracked units holds (`tracked.rs`).
    tracks: bool,
}

/// The keys and retakes of the newest entries, which no outcome file has yet. A recovery must hand
/// them all to the engine, however many they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnsettledKeys {
    /// The last entry whose key an outcome file has.
    pub(crate) settled: u64,
    /// How many of the newest keys and retakes came after it.
    pub(crate) keys: usize,
    pub(crate) retakes: usize,
}

impl Default for UnsettledKeys {
    /// None are: any may be forgotten.
    fn default() -> Self {
        Self { settled: u64::MAX, keys: 0, retakes: 0 }
    }
}

/// A setting that the builder gives and a call may change at run time. If the next builder gives
/// the same value again, the change still holds. If it gives another value, that value wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Setting<T> {
    /// The value that the builder gave when it was last recorded.
    pub(crate) built: Option<T>,
    /// The value that was set at run time since then.
    pub(crate) changed: Option<T>,
}

impl<T: Copy + PartialEq> Setting<T> {
    /// The value that holds if the builder gives `given` now.
    pub(crate) fn under(&self, given: T) -> T {
        match self.changed {
            Some(changed) if self.built == Some(given) => changed,
            _ => given,
        }
    }
}

impl Names for Ledger {
    fn level(&self, level: LevelIndex) -> Option<(WarehouseIndex, ProductIndex)> {
        self.levels.get(level.index()).map(|level| (level.warehouse, level.product))
    }

    fn warehouse_name(&self, warehouse: WarehouseIndex) -> Option<Arc<str>> {
        self.warehouses.get(warehouse.index()).map(|warehouse| Arc::clone(&warehouse.name))
    }

    fn product_name(&self, product: ProductIndex) -> Option<Arc<str>> {
        self.products.get(product.index()).map(Arc::clone)
    }

    // Linear searches: the look-ups are rare, and a hash map would cost more than it saves.

    fn warehouse_index(&self, name: &str) -> Option<WarehouseIndex> {
        let at = self.warehouses.iter().position(|warehouse| &*warehouse.name == name)?;
        u16::try_from(at).ok().map(WarehouseIndex)
    }

    fn product_index(&self, name: &str) -> Option<ProductIndex> {
        let at = self.products.iter().position(|product| &**product == name)?;
        u32::try_from(at).ok().map(ProductIndex)
    }
}

/// A broken law: the sequence number of the entry that breaks it, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) sequence: u64,
    pub(crate) what: String,
}

impl Ledger {
    /// An empty ledger, which will remember the newest `keys_kept` keys.
    pub(crate) fn new(keys_kept: usize) -> Self {
        Self {
            warehouses: Vec::new(),
            products: Vec::new(),
            levels: Vec::new(),
            holds: Holds::default(),
            keys: VecDeque::new(),
            retakes: VecDeque::new(),
            keys_kept,
            unsettled: UnsettledKeys::default(),
            transfers: Transfers::default(),
            limits: LimitsState::default(),
            longest_ttl: Setting::default(),
            next_sequence: 1,
            newest_at: Timestamp::default(),
            clock: JournalClock::beginning_at(1),
            tracks: false,
        }
    }

    /// The times after `now` in which entries and ids were made: the first and the last of each
    /// opening.
    pub(crate) fn dated_ahead(&self, now: Timestamp) -> Vec<(Timestamp, Timestamp)> {
        let mut ahead = self.clock.spans_ahead(now);
        if !self.clock.is_whole() {
            // Of what came before, the ids tell.
            let furthest = self.holds.all().map(|hold| hold.id.created_at()).max();
            ahead.extend(furthest.filter(|last| *last > now).map(|last| (now, last)));
        }
        ahead
    }

    /// Remembers the key of the record that is being applied.
    fn remember_key(&mut self, key: (KeyMark, Timestamp)) {
        self.keys.push_back(key);
        self.unsettled.keys += usize::from(self.is_unsettled());
        if self.keys.len() > self.keys_kept.max(self.unsettled.keys) {
            self.keys.pop_front();
        }
    }

    /// Remembers the retake of the record that is being applied.
    fn remember_retake(&mut self, retake: (ReservationId, ReservationId, Timestamp)) {
        self.retakes.push_back(retake);
        self.unsettled.retakes += usize::from(self.is_unsettled());
        if self.retakes.len() > self.keys_kept.max(self.unsettled.retakes) {
            self.retakes.pop_front();
        }
    }

    /// Whether no outcome file has the record that is being applied.
    fn is_unsettled(&self) -> bool {
        self.next_sequence - 1 > self.unsettled.settled
    }

    /// Lets the ledger forget all but the newest keys again, once the engine has them.
    pub(crate) fn forget_keys(&mut self) {
        self.unsettled = UnsettledKeys::default();
        let over = self.keys.len().saturating_sub(self.keys_kept);
        self.keys.drain(..over);
        let over = self.retakes.len().saturating_sub(self.keys_kept);
        self.retakes.drain(..over);
    }

    /// Takes the clock out, and leaves one that knows nothing.
    pub(crate) fn take_clock(&mut self) -> JournalClock {
        std::mem::replace(&mut self.clock, JournalClock::beginning_at(1))
    }

    /// Checks that each level's reserved units equal its held plus its sold units, so no unit is
    /// promised twice; that each warehouse has on hand what its levels have; that of each allowance
    /// is used what reservations have drawn on it; then that nothing was defined twice. All hold
    /// after every record. But the check scans all levels and holds, so callers run it only at the
    /// end.
    pub(crate) fn check_totals(&self) -> Result<(), Broken> {
        let mut held = vec![0_u64; self.levels.len()];
        let lines = self.holds.live().flat_map(|hold| hold.lines());
        let by_holds = lines.map(|line| (line.level, line.held));
        let requests = self.transfers.open().filter(|request| request.held);
        let by_requests = requests.map(|request| (request.from, request.units));
        for (level, units) in by_holds.chain(by_requests) {
            if let Some(held) = held.get_mut(level.index()) {
                *held += u64::from(units);
            }
        }
        for (handle, (level, held)) in self.levels.iter().zip(held).enumerate() {
            if u64::from(level.reserved) != held + u64::from(level.sold) {
                let what = format!(
                    "level {handle} has {} reserved, but {held} held and {} sold",
                    level.reserved, level.sold
                );
                return Err(Broken { sequence: self.next_sequence - 1, what });
            }
            if self.tracks && level.tracked > level.sold {
                let what = format!(
                    "level {handle} has {} sold, but {} of kept reservations",
                    level.sold, level.tracked
                );
                return Err(Broken { sequence: self.next_sequence - 1, what });
            }
        }
        self.check_units_on_hand()?;
        self.check_allowances()?;
        self.check_definitions()
    }

    fn check_units_on_hand(&self) -> Result<(), Broken> {
        let mut inside = vec![0_u64; self.warehouses.len()];
        for level in &self.levels {
            if let Some(inside) = inside.get_mut(level.warehouse.index()) {
                *inside += u64::from(level.available) + u64::from(level.reserved);
            }
        }
        for (warehouse, inside) in self.warehouses.iter().zip(inside) {
            let WarehouseState { name, on_hand, .. } = warehouse;
            if *on_hand != inside {
                let what =
                    format!("warehouse {name:?} has {on_hand} units, but its levels have {inside}");
                return Err(Broken { sequence: self.next_sequence - 1, what });
            }
        }
        Ok(())
    }

    /// Checks that no warehouse, product or level was defined under two numbers. An engine finds
    /// each by name, so it would find only one of the two.
    fn check_definitions(&self) -> Result<(), Broken> {
        let twice = |what| Err(Broken { sequence: self.next_sequence - 1, what });
        let mut names = HashSet::new();
        if let Some(again) = self.warehouses.iter().find(|it| !names.insert(&it.name)) {
            return twice(format!("warehouse {:?} was defined under two numbers", again.name));
        }
        names.clear();
        if let Some(again) = self.products.iter().find(|name| !names.insert(name)) {
            return twice(format!("product {again:?} was defined under two numbers"));
        }
        let mut places = HashSet::new();
        let again = self.levels.iter().position(|it| !places.insert((it.warehouse, it.product)));
        match again {
            Some(handle) => twice(format!("level {handle} lies where another one does")),
            None => Ok(()),
        }
    }
}
