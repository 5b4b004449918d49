//! The recovery report says how long the whole opening took.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use stockade::{Clock, Timestamp};

use crate::common::scratch::Scratch;
use crate::common::{LONG, threaded};
use crate::{SF, shop};

/// A clock that takes its time.
struct Slow(AtomicU32);

const EACH: Duration = Duration::from_millis(30);

impl Clock for Slow {
    fn now(&self) -> Timestamp {
        self.0.fetch_add(1, Ordering::Relaxed);
        thread::sleep(EACH);
        Timestamp::from_millis(1_000)
    }
}

#[test]
fn the_time_that_an_opening_takes_has_all_its_parts() {
    let directory = Scratch::new("took");
    let manager = shop(threaded().journal(directory.join("journal")));
    manager.reserve(SF, 1, LONG).expect("stock");
    drop(manager);
    let clock = Arc::new(Slow(AtomicU32::new(0)));
    let builder = threaded().without_threads().clock(Arc::clone(&clock));
    let manager = builder.journal(directory.join("journal")).build().expect("a sound journal");
    // `build` reads the clock before it replays, while it restores, and as it records the opening.
    let reads = clock.0.load(Ordering::Relaxed);
    let report = manager.recovery_report().expect("a journal");
    assert!(reads >= 3 && report.took >= reads * EACH, "{reads} reads, {:?}", report.took);
}
