//! Shared by these tests: shops on simulated disks, whose clocks are right or not.

use std::sync::Arc;
use std::time::Duration;

use stockade::testing::SimulatedDisk;
use stockade::{Builder, InventoryManager, JournalOptions, Limits, ManualClock, Timestamp};

pub(crate) const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");
pub(crate) const MICE: (&str, &str) = ("SF", "MOUSE");
/// A moment at which a clock is right.
pub(crate) const RIGHT: u64 = 1_790_000_000_000;
pub(crate) const SECOND: u64 = 1_000;
pub(crate) const HOUR: u64 = 3_600 * SECOND;
pub(crate) const DAY: u64 = 24 * HOUR;
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

pub(crate) fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(crate) fn limits() -> Limits {
    let limits = Limits::new().max_reservations(1_024).audit_queue(1_024).audit_retained(64);
    limits.key_retention(std::time::Duration::from_secs(3_600), 1_000)
}

/// A journal without outcome files: what memory forgets is forgotten.
pub(crate) fn forgetful(disk: &SimulatedDisk) -> JournalOptions {
    JournalOptions::storage(disk.clone()).keep_outcomes(std::time::Duration::ZERO)
}

/// A shop without threads, whose clock shows `millis`.
pub(crate) fn builder(disk: &SimulatedDisk, clock: &Arc<ManualClock>) -> Builder {
    builder_on(JournalOptions::storage(disk.clone()), clock)
}

pub(crate) fn builder_on(journal: impl Into<JournalOptions>, clock: &Arc<ManualClock>) -> Builder {
    let builder = InventoryManager::builder().warehouse("SF").warehouse("NYC").journal(journal);
    builder.without_threads().clock(Arc::clone(clock)).limits(limits())
}

pub(crate) fn clock(millis: u64) -> Arc<ManualClock> {
    Arc::new(ManualClock::at(at(millis)))
}

/// Opens a shop whose clock shows `millis`.
pub(crate) fn open(disk: &SimulatedDisk, millis: u64) -> (InventoryManager, Arc<ManualClock>) {
    let clock = clock(millis);
    (builder(disk, &clock).build().expect("a sound journal"), clock)
}

pub(crate) fn available(shop: &InventoryManager) -> u32 {
    shop.available(LAPTOPS).expect("known")
}
