//! A shop with random customers, on a journal. All commands must agree with it.

use std::sync::Arc;
use std::time::Duration;

use stockade::{
    BasketLine, Builder, Counts, InventoryManager, JournalOptions, ManualClock, Owner,
    ReservationId, Timestamp,
};

pub(crate) const WAREHOUSES: [&str; 3] = ["SF", "NYC", "LA"];
pub(crate) const PRODUCTS: [&str; 3] = ["LAPTOP", "DESK, oak", "tab\there"];
/// The time at which every shop opens.
pub(crate) const OPENING: u64 = 1_700_000_000_000;
const HOLD: Duration = Duration::from_secs(60);

pub(crate) struct Shop {
    pub(crate) manager: InventoryManager,
    pub(crate) clock: Arc<ManualClock>,
    holds: Vec<ReservationId>,
    random: u64,
}

pub(crate) fn journal(folder: &str) -> JournalOptions {
    JournalOptions::directory(folder).segment_bytes(20_000)
}

pub(crate) fn builder(journal: JournalOptions) -> Builder {
    let builder = InventoryManager::builder().journal(journal);
    WAREHOUSES.iter().fold(builder, |builder, name| builder.warehouse(*name))
}

pub(crate) fn owner(number: u64) -> Owner {
    Owner(uuid::Uuid::from_u64_pair(0, number).into_bytes())
}

impl Shop {
    /// Opens the journal in `folder`, with a clock that stands still.
    pub(crate) fn open(folder: &str, seed: u64) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(OPENING)));
        let builder = builder(journal(folder)).clock(Arc::clone(&clock)).without_threads();
        let manager = builder.build().expect("a sound journal");
        Self { manager, clock, holds: Vec::new(), random: seed }
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        // splitmix64
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % bound as u64) as usize
    }

    fn some_hold(&mut self) -> Option<ReservationId> {
        let at = self.below(self.holds.len().max(1));
        (at < self.holds.len()).then(|| self.holds.swap_remove(at))
    }

    /// One random event in a shop. Its result does not matter.
    pub(crate) fn step(&mut self) {
        let place = (WAREHOUSES[self.below(3)], PRODUCTS[self.below(3)]);
        let units = 1 + self.below(4) as u32;
        match self.below(12) {
            0 | 1 => drop(self.manager.add_stock(place, units * 4, "SUPPLIER")),
            2 => drop(self.manager.remove_stock(place, units, "dropped, \"hard\"")),
            3 | 4 => {
                let customer = owner(self.below(3) as u64);
                let request = self.manager.request().owner(customer);
                self.holds.extend(request.reserve(place, units, HOLD));
            }
            5 => {
                let other = (WAREHOUSES[self.below(3)], PRODUCTS[0]);
                let lines = [BasketLine::new(place, 1), BasketLine::new(other, units)];
                self.holds.extend(self.manager.reserve_basket(&lines, HOLD));
            }
            6 | 7 => drop(self.some_hold().map(|id| self.manager.confirm(id))),
            8 => drop(self.some_hold().map(|id| self.manager.release(id))),
            9 => drop(self.manager.ship(place, 1)),
            10 => drop(self.manager.cancel_sale(place, 1, "second thoughts")),
            _ => {
                let target = WAREHOUSES[self.below(3)];
                drop(self.manager.transfer(place.0, target, place.1, units));
            }
        }
    }

    pub(crate) fn flush(&self) {
        self.manager.run_until_idle();
        self.manager.flush().wait().expect("a disk that works");
    }

    /// The counts of every level, by warehouse and product.
    pub(crate) fn counts(&self) -> Vec<(&'static str, &'static str, Counts)> {
        let mut counts = Vec::new();
        for (warehouse, product) in WAREHOUSES.iter().flat_map(|w| PRODUCTS.map(|p| (*w, p))) {
            if self.manager.level((warehouse, product)).is_ok() {
                counts.push((
                    warehouse,
                    product,
                    self.manager.counts((warehouse, product)).expect("known"),
                ));
            }
        }
        counts.sort_unstable_by_key(|(warehouse, product, _)| (*warehouse, *product));
        counts
    }
}
