//! Many more threads than cores, and calls that sleep half-way. All others make progress, and
//! nothing is lost.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use stockade::{BasketLine, Clock, InventoryManager, LevelRef, SystemClock, Timestamp};

use crate::{HOUR, add, on_hand};

const THREADS: u32 = 64;
const ROUNDS: u32 = 150;
const PRODUCTS: [&str; 3] = ["LAPTOP", "MOUSE", "BAG"];
const UNITS: u32 = 200;

/// A clock that sometimes sleeps. Operations read the time, so it makes them sleep half-way.
struct SleepyClock(SystemClock);

impl Clock for SleepyClock {
    fn now(&self) -> Timestamp {
        thread_local! {
            static READS: Cell<u32> = const { Cell::new(0) };
        }
        let reads = READS.get().wrapping_add(1);
        READS.set(reads);
        if reads.is_multiple_of(37) {
            thread::sleep(Duration::from_micros(u64::from(reads % 11) * 200));
        }
        self.0.now()
    }
}

#[test]
fn sixty_four_threads_that_stall_inside_their_calls_lose_nothing() {
    let clock = SleepyClock(SystemClock::new());
    let builder = InventoryManager::builder().clock(clock).warehouse("SF").warehouse("NYC");
    let manager = builder.build().expect("a legal engine");
    for product in PRODUCTS {
        add(&manager, "SF", product, UNITS);
        add(&manager, "NYC", product, UNITS);
    }
    let levels: Vec<_> = PRODUCTS
        .iter()
        .flat_map(|product| ["SF", "NYC"].map(|warehouse| LevelRef::Names(warehouse, product)))
        .collect();
    let all = u64::from(UNITS) * levels.len() as u64;
    let (sold, moved) = (AtomicU32::new(0), AtomicU32::new(0));
    let work = |number: u32| {
        for round in 0..ROUNDS {
            let product = PRODUCTS[((number + round) % 3) as usize];
            let units = 1 + (number * 7 + round) % 5;
            let done = match (number + round) % 5 {
                0 => manager.transfer("SF", "NYC", product, units).is_ok(),
                1 => manager.transfer("NYC", "SF", product, units).is_ok(),
                2 => {
                    // In an order of its own: no two threads agree on one.
                    let lines = (0..3).map(|step| {
                        let product = PRODUCTS[((number + step) % 3) as usize];
                        BasketLine::new(("SF", product), units)
                    });
                    let basket = manager.reserve_basket(&lines.collect::<Vec<_>>(), HOUR);
                    basket.is_ok_and(|basket| manager.release(basket).is_ok())
                }
                3 => {
                    let hold = manager.fulfill_across_warehouses(
                        product,
                        units,
                        &["NYC".into(), "SF".into()],
                        HOUR,
                    );
                    hold.is_ok_and(|hold| {
                        let keeps = round.is_multiple_of(16) && manager.confirm(hold).is_ok();
                        if keeps {
                            sold.fetch_add(units, Ordering::Relaxed);
                        }
                        keeps || manager.release(hold).is_ok()
                    })
                }
                _ => {
                    let seen = manager.snapshot(&levels).expect("all are open");
                    assert_eq!(seen.iter().map(on_hand).sum::<u64>(), all, "{seen:?}");
                    true
                }
            };
            moved.fetch_add(u32::from(done), Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        for number in 0..THREADS {
            let work = &work;
            scope.spawn(move || work(number));
        }
    });
    let totals = PRODUCTS.map(|product| manager.totals(product).expect("known"));
    assert_eq!(totals.iter().map(|total| total.on_hand()).sum::<u64>(), all);
    let reserved: u64 = totals.iter().map(|total| total.reserved).sum();
    assert_eq!(
        reserved,
        u64::from(sold.into_inner()),
        "what is held was given back, but for sales"
    );
    assert!(moved.into_inner() > THREADS * ROUNDS / 2, "most calls found what they wanted");
}
