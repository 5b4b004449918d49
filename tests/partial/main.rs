//! Partial steps: some lines of a reservation, or some units of a line, are confirmed, released,
//! shipped or cancelled.

mod random;
mod settling;
mod steps;
mod threads;

use std::sync::Arc;
use std::time::Duration;

use stockade::{BasketLine, InventoryManager, ManualClock, Reservation, ReservationId, Timestamp};

const TTL: Duration = Duration::from_secs(60);
const LAPTOP: (&str, &str) = ("SF", "LAPTOP");
const MOUSE: (&str, &str) = ("SF", "MOUSE");
const CABLE: (&str, &str) = ("NYC", "CABLE");

/// A shop with 10 units of everything.
fn shop() -> (InventoryManager, Arc<ManualClock>) {
    shop_with(|builder| builder)
}

fn shop_with(
    set: impl FnOnce(stockade::Builder) -> stockade::Builder,
) -> (InventoryManager, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000)));
    let builder = InventoryManager::builder()
        .warehouse("SF")
        .warehouse("NYC")
        .clock(Arc::clone(&clock))
        .seed(7)
        .without_threads();
    let manager = set(builder).build().expect("a shop");
    for level in [LAPTOP, MOUSE, CABLE] {
        manager.add_stock(level, 10, "SUPPLIER").expect("room");
    }
    (manager, clock)
}

fn line((warehouse, product): (&'static str, &'static str), units: u32) -> BasketLine<'static> {
    BasketLine::new((warehouse, product), units)
}

fn basket(manager: &InventoryManager) -> ReservationId {
    let lines = [line(LAPTOP, 3), line(MOUSE, 4), line(CABLE, 5)];
    manager.reserve_basket(&lines, TTL).expect("stock")
}

/// Quantity, held and sold units of a reservation's line.
fn parts(found: &Reservation, level: (&str, &str)) -> (u32, u32, u32) {
    let line = found
        .lines
        .iter()
        .find(|line| (&*line.warehouse, &*line.product) == level)
        .expect("the line is there");
    (line.quantity, line.held, line.sold)
}

/// Available, reserved and sold units of a level.
fn counts(manager: &InventoryManager, level: (&str, &str)) -> (u32, u32, u32) {
    let counts = manager.counts(level).expect("known");
    (counts.available, counts.reserved, counts.sold)
}
