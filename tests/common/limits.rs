//! Shops whose limits are tested.

use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "journal")]
use stockade::{Builder, JournalOptions, testing::SimulatedDisk};
use stockade::{InventoryManager, LimitCounts, LimitRule, Limits, ManualClock, Timestamp};

pub(crate) const SHOE: (&str, &str) = ("SF", "SHOE");
pub(crate) const SOCK: (&str, &str) = ("SF", "SOCK");
/// How long a hold lasts.
pub(crate) const TTL: Duration = Duration::from_secs(60);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// A shop with two products in two warehouses, and the clock that it goes by.
pub(crate) fn shop() -> (InventoryManager, Arc<ManualClock>) {
    shop_of(Limits::new())
}

pub(crate) fn shop_of(limits: Limits) -> (InventoryManager, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000_000)));
    let builder = InventoryManager::builder().warehouse("SF").warehouse("NYC").without_threads();
    let builder = builder.limits(limits).clock(Arc::clone(&clock)).subject_secret([7; 16]);
    let manager = builder.build().expect("a shop");
    stock(&manager);
    manager.add_stock(("NYC", "SHOE"), 100, "SUPPLIER").expect("room");
    (manager, clock)
}

/// A shop with a journal, which counts what falls due from its opening on.
#[cfg(feature = "journal")]
pub(crate) fn on_disk(disk: &SimulatedDisk) -> Builder {
    let journal =
        JournalOptions::storage(disk.clone()).least_free_space(0).recovery_grace(Duration::ZERO);
    InventoryManager::builder().warehouse("SF").without_threads().journal(journal)
}

pub(crate) fn stock(manager: &InventoryManager) {
    for place in [SHOE, SOCK] {
        manager.add_stock(place, 100, "SUPPLIER").expect("room");
    }
}

pub(crate) fn two_each(counts: LimitCounts) -> LimitRule {
    LimitRule::new("two each", "customer", 2).counts(counts).products(["SHOE", "SOCK"])
}

pub(crate) fn used(manager: &InventoryManager, limit: &str, who: &str) -> u32 {
    manager.usage(limit, who).expect("a limit").used
}
