//! Limits: what an engine accepts, it can open again. Each test fills an engine to its brim, closes
//! or kills it, and opens it. Then the next thing that was admitted before is admitted, and the one
//! beyond is refused with the same error.

mod extremes;
mod names;
mod requests;
mod slots;
mod text;

use std::sync::Arc;
use std::time::Duration;

use stockade::testing::SimulatedDisk;
use stockade::{Builder, InventoryManager, JournalOptions, Limits, ManualClock, Timestamp};

pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
pub(crate) const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");

/// How an engine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    Killed,
    PowerCut,
}

pub(crate) const ENDS: [End; 3] = [End::Closed, End::Killed, End::PowerCut];

/// Small limits: four warehouses, no more products, levels and slots than a test fills.
pub(crate) fn tiny() -> Limits {
    let names = [4, 8, 32, 16];
    Limits::new().max_reservations(16).audit_queue(256).shrink(names).retention(HOUR, 1_000)
}

/// A disk and a clock, which outlive engines.
pub(crate) struct Shop {
    pub(crate) disk: SimulatedDisk,
    pub(crate) clock: Arc<ManualClock>,
}

impl Shop {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000_000)));
        Self { disk: SimulatedDisk::new(), clock }
    }

    /// An engine with the warehouses SF and NYC.
    pub(crate) fn builder(&self, limits: Limits) -> Builder {
        // These limits are of memory. Outcome files have none, so there are none.
        let journal = JournalOptions::storage(self.disk.clone());
        let journal = journal.keep_outcomes(std::time::Duration::ZERO);
        let builder = InventoryManager::builder().warehouse("SF").warehouse("NYC");
        builder.journal(journal).limits(limits).clock(Arc::clone(&self.clock)).without_threads()
    }

    pub(crate) fn open(&self, limits: Limits) -> InventoryManager {
        self.builder(limits).build().expect("what an engine accepts, it can open again")
    }

    /// Ends the engine, which has acknowledged everything as durable.
    pub(crate) fn end(&mut self, manager: InventoryManager, end: End) {
        let durable = manager.request().durability(stockade::Durability::Synced);
        durable.add_stock(("NYC", "LAST"), 1, "the last entry").expect("a level that is there");
        match end {
            End::Closed => drop(manager),
            End::Killed => self.disk = self.disk.killed(),
            End::PowerCut => self.disk = self.disk.crash(self.disk.steps(), |_| false),
        }
    }

    /// An engine with stock, and the level that [`end`](Self::end) needs.
    pub(crate) fn stocked(&self, limits: Limits) -> InventoryManager {
        let manager = self.open(limits);
        manager.add_stock(LAPTOPS, 10_000, "SUPPLIER").expect("room");
        manager.add_stock(("NYC", "LAST"), 1, "SUPPLIER").expect("room");
        manager
    }
}
