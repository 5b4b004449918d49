//! Memory: bytes for each live reservation, everything included, and a bound however many come and
//! go. Measured as the resident memory of the process, in pages, from Linux's `/proc`; on other
//! systems these tests check nothing.
//!
//! `cargo test --release --test memory -- --ignored --nocapture` runs the large ones.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stockade::{AuditFilter, BasketLine, Builder, InventoryManager, LevelHandle, Limits};

const LONG: Duration = Duration::from_secs(3_600);
const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");
/// The promised maximum.
const BYTES_A_HOLD: f64 = 128.0;
const MIB: f64 = 1_048_576.0;

/// Runs one test at a time, because each measures the whole process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Resident memory of this process in bytes, if the system reports it.
fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1_024.0)
}

/// An engine whose log retains almost nothing, so that only the measured part grows.
fn engine(builder: Builder, limits: Limits) -> InventoryManager {
    let limits = limits.audit_retained(1_000).audit_queue(1 << 16);
    let manager = builder.warehouse("SF").limits(limits).build().expect("legal settings");
    manager.add_stock(LAPTOPS, stockade::MAX_UNITS, "SUPPLIER").expect("room");
    manager
}

/// Bytes for each of `count` live holds.
fn bytes_a_hold(count: u32) -> Option<f64> {
    let limits = Limits::new().max_reservations(count + 1_024);
    let manager = engine(InventoryManager::builder(), limits);
    let laptops = manager.level(LAPTOPS).expect("open");
    let hold = || manager.reserve(laptops, 1, LONG).expect("stock and slots");
    // What is made once, and then kept, is made now.
    (0..20_000).for_each(|_| assert_eq!(manager.confirm(hold()), Ok(())));
    manager.flush().wait().expect("a healthy log");
    let before = resident()?;
    let first = hold();
    (1..count).for_each(|_| _ = hold());
    manager.flush().wait().expect("a healthy log");
    let after = resident()?;
    assert_eq!(manager.held(laptops).expect("known"), count);
    assert_eq!(manager.reservation(first).map(|it| it.id), Ok(first), "the oldest is still there");
    Some((after - before) / f64::from(count))
}

/// Growth of the process in MiB while `work` runs `pairs` times, after a first tenth as warm-up.
/// Each run makes at least two entries.
fn growth(pairs: u64, work: impl Fn(&InventoryManager, LevelHandle)) -> Option<f64> {
    let manager = engine(InventoryManager::builder().warehouse("NYC"), Limits::new());
    let laptops = manager.level(LAPTOPS).expect("open");
    let pair = |_| work(&manager, laptops);
    let warm = (pairs / 10).max(pairs.min(300_000));
    (0..warm).for_each(pair);
    manager.flush().wait().expect("a healthy log");
    let before = resident()?;
    (0..pairs).for_each(pair);
    manager.flush().wait().expect("a healthy log");
    let after = resident()?;
    assert!(manager.audit_log().newest_sequence() >= 2 * (pairs + warm));
    assert!(manager.audit_log().query(&AuditFilter::new()).entries.len() <= 1_000);
    Some((after - before) / MIB)
}

#[track_caller]
fn assert_cheap(count: u32) {
    let _alone = alone();
    if let Some(bytes) = bytes_a_hold(count) {
        assert!(bytes <= BYTES_A_HOLD, "{bytes:.1} bytes each");
        assert!(bytes >= 48.0, "{bytes:.1} bytes each: that was not measured");
        report(&format!("{count} live holds: {bytes:.1} bytes each"));
    }
}

#[track_caller]
fn assert_bounded(times: u64, what: &str, work: impl Fn(&InventoryManager, LevelHandle)) {
    let _alone = alone();
    if let Some(grown) = growth(times, work) {
        assert!(grown < 24.0, "{grown:.1} MiB more after {times} {what}");
        report(&format!("{times} {what}: {grown:.1} MiB more"));
    }
}

fn reserve_and_confirm(manager: &InventoryManager, laptops: LevelHandle) {
    let hold = manager.reserve(laptops, 1, LONG).expect("stock and slots");
    manager.confirm(hold).expect("pending");
}

/// Two multi-word CASes, each over two levels and two rooms.
fn there_and_back(manager: &InventoryManager, _: LevelHandle) {
    manager.transfer("SF", "NYC", "LAPTOP", 1).expect("stock and room");
    manager.transfer("NYC", "SF", "LAPTOP", 1).expect("stock and room");
}

/// Prints a figure, which shows with `--nocapture`.
#[allow(clippy::print_stdout, reason = "the figures are what these tests are run for")]
fn report(figure: &str) {
    println!("{figure}");
}

#[test]
fn a_million_live_holds_cost_at_most_128_bytes_each() {
    assert_cheap(1_000_000);
}

/// The table of slots goes on in segments of 64 MB here: only what is used of them is there.
#[test]
fn a_large_segment_costs_no_more_than_what_is_used_of_it() {
    let _alone = alone();
    if let Some(bytes) = bytes_a_hold(200_000) {
        assert!(bytes <= BYTES_A_HOLD, "{bytes:.1} bytes each");
    }
}

#[test]
#[ignore = "takes 700 MB"]
fn ten_million_live_holds_cost_at_most_128_bytes_each() {
    assert_cheap(10_000_000);
}

#[test]
fn memory_is_bounded_over_a_million_pairs() {
    assert_bounded(1_000_000, "pairs of reserve and confirm", reserve_and_confirm);
}

#[test]
#[ignore = "takes a minute in release"]
fn memory_is_bounded_over_a_hundred_million_pairs() {
    assert_bounded(100_000_000, "pairs of reserve and confirm", reserve_and_confirm);
}

/// Refused calls, repeats, unknown names and unknown ids leave nothing in memory.
#[test]
fn memory_is_bounded_over_two_hundred_thousand_commits() {
    assert_bounded(100_000, "transfers there and back", there_and_back);
}

#[test]
#[ignore = "takes a minute in release"]
fn memory_is_bounded_over_a_hundred_million_commits() {
    assert_bounded(50_000_000, "transfers there and back", there_and_back);
}

#[test]
fn refusals_cost_no_memory() {
    let _alone = alone();
    let manager = engine(InventoryManager::builder(), Limits::new());
    let stranger = {
        let other = engine(InventoryManager::builder(), Limits::new());
        other.reserve(LAPTOPS, 1, LONG).expect("stock")
    };
    let refused = |round: u32| {
        let name = format!("GUESS {round}");
        let place = ("SF", &*name);
        assert!(manager.reserve(place, 1, LONG).is_err());
        assert!(manager.reserve_basket(&[BasketLine::new(place, 1)], LONG).is_err());
        let key = stockade::IdempotencyKey::try_from(&*name).expect("a legal key");
        assert!(manager.request().key(key).sell(place, 1).is_err());
        assert!(manager.confirm(stranger).is_err());
    };
    (0..10_000).for_each(refused);
    let Some(before) = resident() else { return };
    (10_000..60_000).for_each(refused);
    let grown = (resident().expect("as before") - before) / MIB;
    assert!(grown < 4.0, "{grown:.1} MiB more");
    assert_eq!(manager.stats().keys, 0);
}
