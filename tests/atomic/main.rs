//! Law 4 from outside: all or nothing, at one instant, whatever else goes on.

mod baskets;
mod fulfilment;
mod refusals;
mod stalls;
mod transfers;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stockade::InventoryManager;

/// Longer than any test.
const HOUR: Duration = Duration::from_secs(3_600);
/// How long the tests with load run at least.
const LOAD: Duration = Duration::from_millis(300);

/// Calls `work` again and again in threads of their own, one for each number, while `look` runs in
/// this thread for as long as the load lasts and at least so many times. `work` is told how often it
/// was called before.
fn under_load(threads: u32, work: impl Fn(u32, u32) + Sync, mut look: impl FnMut()) {
    const LOOKS: u32 = 1_000;
    let over = AtomicBool::new(false);
    /// Ends the threads, also where a look panics.
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    thread::scope(|scope| {
        let ending = Over(&over);
        for number in 0..threads {
            let (over, work) = (&over, &work);
            scope.spawn(move || {
                for round in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    work(number, round);
                }
            });
        }
        let (begun, mut looks) = (Instant::now(), 0);
        while looks < LOOKS || begun.elapsed() < LOAD {
            look();
            looks += 1;
        }
        drop(ending);
    });
}

fn add(manager: &InventoryManager, warehouse: &str, product: &str, units: u32) {
    manager.add_stock((warehouse, product), units, "SUPPLIER").expect("room");
}

/// Units in the building, of a snapshot's level.
fn on_hand(level: &stockade::LevelSnapshot) -> u64 {
    u64::from(level.available) + u64::from(level.reserved)
}
