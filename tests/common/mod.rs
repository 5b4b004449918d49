//! Shared by the integration tests: engines, a clock, racing threads, and a log that is read whole.

#![allow(dead_code, reason = "every test file uses its own part")]

pub(crate) mod clocks;
pub(crate) mod ledger;
pub(crate) mod limits;
pub(crate) mod model;
pub(crate) mod rng;
pub(crate) mod scratch;
pub(crate) mod sinks;

use std::panic::resume_unwind;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use stockade::{
    AuditEntry, AuditFilter, Builder, InventoryManager, Limits, ManualClock, NoReservation,
    Release, ReservationId, Timestamp,
};

/// The level that most tests use.
pub(crate) const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");

/// Another one, beside it.
pub(crate) const MICE: (&str, &str) = ("SF", "MOUSE");

/// Longer than any test lasts.
pub(crate) const LONG: Duration = Duration::from_secs(3_600);

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A clock that stands still, one second after 1970 began.
pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_millis(1_000)))
}

/// An engine with the warehouses SF and NYC, without threads.
pub(crate) fn quiet(clock: &Arc<ManualClock>) -> Builder {
    threaded().clock(Arc::clone(clock)).without_threads().seed(7)
}

/// An engine with threads, the warehouses SF and NYC, and small tables, so that it is built
/// quickly.
pub(crate) fn threaded() -> Builder {
    InventoryManager::builder().warehouse("SF").warehouse("NYC").limits(small())
}

/// Limits of engines that are built quickly.
pub(crate) fn small() -> Limits {
    Limits::new().max_reservations(1 << 16).audit_queue(1 << 12)
}

/// Makes holds until the slot of `id`, which has ended, has been reused. There must be mice.
pub(crate) fn bury(manager: &InventoryManager, id: ReservationId) {
    for _ in 0..1_000 {
        if manager.reservation(id) == Err(NoReservation::Forgotten) {
            return;
        }
        let other = manager.reserve(MICE, 1, LONG).expect("stock");
        assert_eq!(manager.release(other), Ok(Release::Released));
    }
    panic!("the slot was never used again");
}

/// Runs `work` in its own thread, and fails the test if it does not end in time.
#[track_caller]
pub(crate) fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (done, ended) = channel();
    let thread = thread::spawn(move || {
        let result = work();
        // The test may have given up.
        let _ = done.send(());
        result
    });
    if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
        panic!("not done after {limit:?}: something hangs");
    }
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// Waits until `holds` does, and fails the test if it does not in time.
#[track_caller]
pub(crate) fn wait_for(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let limit = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < limit, "never {what}");
        thread::sleep(ms(1));
    }
}

/// Runs `work` in `threads` threads that start at the same moment, and returns their results in
/// order.
pub(crate) fn race<T: Send>(threads: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(threads);
    thread::scope(|scope| {
        let spawn = |number| {
            let (start, work) = (&start, &work);
            scope.spawn(move || {
                start.wait();
                work(number)
            })
        };
        let racing: Vec<_> = (0..threads).map(spawn).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, T>| {
            thread.join().unwrap_or_else(|panic| resume_unwind(panic))
        };
        racing.into_iter().map(join).collect()
    })
}

/// Makes `count` holds of one laptop each.
#[track_caller]
pub(crate) fn single_holds(
    manager: &InventoryManager,
    count: usize,
    ttl: Duration,
) -> Vec<ReservationId> {
    (0..count).map(|_| manager.reserve(LAPTOPS, 1, ttl).expect("stock")).collect()
}

/// The log of everything done so far. Waits until it is written.
#[track_caller]
pub(crate) fn log_of(manager: &InventoryManager) -> Vec<AuditEntry> {
    manager.flush().wait().expect("a healthy log");
    written(manager)
}

/// The entries in the log at this moment. Does not wait.
pub(crate) fn written(manager: &InventoryManager) -> Vec<AuditEntry> {
    manager.audit_log().query(&AuditFilter::new().limit(usize::MAX)).entries
}

/// `(available, reserved, sold)` of a level.
pub(crate) fn counts(manager: &InventoryManager, level: (&str, &str)) -> (u32, u32, u32) {
    let counts = manager.counts(level).expect("known");
    (counts.available, counts.reserved, counts.sold)
}
