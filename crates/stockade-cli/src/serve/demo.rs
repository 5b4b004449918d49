//! A flash sale that goes on and on, so that there is something to look at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use stockade::{InventoryManager, ReservationId};

use crate::Failure;

const PRODUCTS: [&str; 3] = ["SNEAKER", "HOODIE", "CAP"];
/// What comes in once a product is sold out, after a pause in which it stays so.
const DELIVERY: u32 = 2_000;
/// Buyers come so far apart: 400 a second.
const PAUSE: Duration = Duration::from_micros(2_500);
const HOLD: Duration = Duration::from_secs(8);
/// How many holds a buyer leaves to be paid, on average, at a time.
const OPEN: usize = 400;

/// The sale, until it is dropped.
pub(super) struct Demo {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Relaxed: the thread stops a little later, and reads nothing that was written before.
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A sale that has failed has said so.
            let _ = thread.join();
        }
    }
}

/// Starts the sale.
pub(super) fn start(manager: &InventoryManager) -> Result<Demo, Failure> {
    let ended = Arc::new(AtomicBool::new(false));
    let manager = manager.clone();
    let warehouse = manager.warehouses()[0].name().to_owned();
    let until = Arc::clone(&ended);
    let thread = thread::Builder::new().name("demo".to_owned()).spawn(move || {
        let mut random = StdRng::seed_from_u64(1);
        let mut open: Vec<ReservationId> = Vec::new();
        while !until.load(Ordering::Relaxed) {
            buy(&manager, &warehouse, &mut random, &mut open);
            thread::sleep(PAUSE);
        }
    });
    let thread = thread.map_err(|error| Failure::run("the demo can't be started", error))?;
    Ok(Demo { ended, thread: Some(thread) })
}

/// One buyer holds something, and another one pays or lets go. A refusal is a part of the show.
fn buy(
    manager: &InventoryManager,
    warehouse: &str,
    random: &mut StdRng,
    open: &mut Vec<ReservationId>,
) {
    let product = PRODUCTS[random.random_range(0..PRODUCTS.len())];
    match manager.reserve((warehouse, product), random.random_range(1..=3), HOLD) {
        Ok(hold) => open.push(hold),
        // Now and then a delivery comes: at the start, and some seconds after a product is sold
        // out.
        Err(_) if random.random_ratio(1, 200) || manager.counts((warehouse, product)).is_err() => {
            drop(manager.add_stock((warehouse, product), DELIVERY, "demo"));
        }
        Err(_) => {}
    }
    if open.len() > OPEN {
        let hold = open.swap_remove(random.random_range(0..open.len()));
        match random.random_range(0..10) {
            0 => drop(manager.release(hold)),
            // This one forgets, and the hold expires.
            1 => {}
            _ => drop(manager.confirm(hold)),
        }
    }
    // What was sold leaves the building.
    if random.random_ratio(1, 50)
        && let Ok(counts) = manager.counts((warehouse, product))
        && counts.sold > 0
    {
        drop(manager.ship((warehouse, product), counts.sold));
    }
}
