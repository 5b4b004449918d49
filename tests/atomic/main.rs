//! Law 4 through the public interface: all or nothing, at one instant, under load.

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
/// The minimum duration of the tests under load.
const LOAD: Duration = Duration::from_millis(300);

/// Longer than any of them waits for what it is to see.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs `work` in threads, once for each number, again and again. Meanwhile runs `look` in this
/// thread, for the duration of the load and at least a minimum number of times. `work` gets the
/// number of its earlier calls.
fn under_load(threads: u32, work: impl Fn(u32, u32) + Sync, mut look: impl FnMut()) {
    under_load_until(threads, work, || {
        look();
        true
    });
}

/// The same, and it goes on until `look` says that it has seen all that the test is about. How the
/// machine shares its time out is then no matter of luck.
fn under_load_until(threads: u32, work: impl Fn(u32, u32) + Sync, mut look: impl FnMut() -> bool) {
    const LOOKS: u32 = 1_000;
    let over = AtomicBool::new(false);
    /// Ends the threads, even if a look panics.
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
        let (begun, mut looks, mut seen) = (Instant::now(), 0, false);
        while looks < LOOKS || begun.elapsed() < LOAD || !seen {
            assert!(begun.elapsed() < PATIENCE, "not seen in {looks} looks");
            seen = look();
            looks += 1;
            if begun.elapsed() > LOAD {
                // It waits for the others now.
                thread::yield_now();
            }
        }
        drop(ending);
    });
}

fn add(manager: &InventoryManager, warehouse: &str, product: &str, units: u32) {
    manager.add_stock((warehouse, product), units, "SUPPLIER").expect("room");
}

/// Units on hand in a level's snapshot.
fn on_hand(level: &stockade::LevelSnapshot) -> u64 {
    u64::from(level.available) + u64::from(level.reserved)
}
