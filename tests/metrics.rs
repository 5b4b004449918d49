//! What an engine hands to the recorder of the `metrics` crate.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{LAPTOPS, LONG, clock, ms, quiet};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString,
    Unit, with_local_recorder,
};
use stockade::testing::SimulatedDisk;
use stockade::{
    AdjustmentType, EventType, IdempotencyKey, InventoryManager, LimitRule, Release,
    describe_metrics,
};

/// Keeps what it is told: series with their values, and descriptions.
#[derive(Default)]
struct Told {
    counters: Mutex<BTreeMap<String, Arc<Cell>>>,
    gauges: Mutex<BTreeMap<String, Arc<Cell>>>,
    described: Mutex<BTreeMap<String, (&'static str, Option<Unit>)>>,
}

/// A value, as the bits of a counter or of a gauge.
#[derive(Default)]
struct Cell(AtomicU64);

impl CounterFn for Cell {
    fn increment(&self, by: u64) {
        panic!("all counters are absolute, but this one was increased by {by}");
    }

    fn absolute(&self, value: u64) {
        // Unlike a real recorder's, so that a counter that goes down shows.
        self.0.store(value, Ordering::Relaxed);
    }
}

impl GaugeFn for Cell {
    fn increment(&self, by: f64) {
        panic!("all gauges are set, but this one was increased by {by}");
    }

    fn decrement(&self, by: f64) {
        panic!("all gauges are set, but this one was decreased by {by}");
    }

    fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }
}

/// `name{label=value,...}`
fn series(key: &Key) -> String {
    let labels: Vec<_> = key.labels().map(|it| format!("{}={}", it.key(), it.value())).collect();
    let labels = labels.join(",");
    if labels.is_empty() { key.name().to_owned() } else { format!("{}{{{labels}}}", key.name()) }
}

impl Recorder for Told {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.described
            .lock()
            .expect("no panic")
            .insert(name.as_str().to_owned(), ("counter", unit));
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.described.lock().expect("no panic").insert(name.as_str().to_owned(), ("gauge", unit));
    }

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
        panic!("there are none");
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let mut counters = self.counters.lock().expect("no panic");
        Counter::from_arc(Arc::clone(counters.entry(series(key)).or_default()))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let mut gauges = self.gauges.lock().expect("no panic");
        Gauge::from_arc(Arc::clone(gauges.entry(series(key)).or_default()))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        panic!("there are none");
    }
}

impl Told {
    fn publish(&self, manager: &InventoryManager) {
        with_local_recorder(self, || manager.publish_metrics());
    }

    fn counter(&self, series: &str) -> u64 {
        let counters = self.counters.lock().expect("no panic");
        let found = counters.get(series).unwrap_or_else(|| panic!("no counter {series}"));
        found.0.load(Ordering::Relaxed)
    }

    fn gauge(&self, series: &str) -> f64 {
        let gauges = self.gauges.lock().expect("no panic");
        let found = gauges.get(series).unwrap_or_else(|| panic!("no gauge {series}"));
        f64::from_bits(found.0.load(Ordering::Relaxed))
    }

    fn all_counters(&self) -> BTreeMap<String, u64> {
        let counters = self.counters.lock().expect("no panic");
        counters.iter().map(|(name, it)| (name.clone(), it.0.load(Ordering::Relaxed))).collect()
    }

    /// The names that were published, each with its type.
    fn published(&self) -> BTreeSet<(String, String)> {
        let names = |of: &Mutex<BTreeMap<String, Arc<Cell>>>, kind: &str| {
            let of = of.lock().expect("no panic");
            let name = |it: &String| it.split('{').next().unwrap_or_default().to_owned();
            of.keys().map(|it| (name(it), kind.to_owned())).collect::<Vec<_>>()
        };
        let counters = names(&self.counters, "counter");
        counters.into_iter().chain(names(&self.gauges, "gauge")).collect()
    }
}

/// The rows of the page: name, type, unit, and whether only a journal has it.
fn page() -> Vec<[String; 4]> {
    let page = include_str!("../docs/metrics.md");
    let rows = page.lines().filter(|line| line.starts_with("| `stockade_"));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(|it| it.trim().trim_matches('`')).collect();
        assert_eq!(cells.len(), 7, "{row}");
        let journal = cells[4].starts_with("*journal*").to_string();
        [cells[1].to_owned(), cells[2].to_owned(), cells[3].to_owned(), journal]
    })
    .collect()
}

fn names_on_page(with_journal: bool) -> BTreeSet<(String, String)> {
    let rows = page().into_iter().filter(|[.., journal]| with_journal || journal == "false");
    rows.map(|[name, kind, ..]| (name, kind)).collect()
}

fn on(disk: &SimulatedDisk) -> InventoryManager {
    let manager = quiet(&clock()).journal(disk.clone()).build().expect("a journal");
    manager.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
    manager
}

#[test]
fn each_figure_has_its_value() {
    let (told, clock) = (Told::default(), clock());
    let order = IdempotencyKey::try_from("order-1").expect("a key");
    let manager = quiet(&clock).build().expect("an engine");
    manager.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
    manager.sell(LAPTOPS, 2).expect("stock");
    manager.reserve(LAPTOPS, 3, ms(10)).expect("stock");
    manager.reserve(LAPTOPS, 1, LONG).expect("stock");
    manager.reserve(LAPTOPS, 9, LONG).expect_err("too few");
    manager.request().key(order).sell(LAPTOPS, 1).expect("stock");
    told.publish(&manager);
    assert!(told.gauge("stockade_audit_queue_depth") > 0.0);
    assert_eq!(told.gauge("stockade_slots{state=live}"), 2.0);
    assert_eq!(told.counter("stockade_entries_total{type=Sold}"), 0, "nothing is written yet");

    clock.advance(ms(50));
    told.publish(&manager);
    assert_eq!(told.gauge("stockade_sweeper_lag_seconds"), 0.04);
    assert_eq!(told.gauge("stockade_oldest_key_seconds"), 0.05);
    manager.run_until_idle();
    // One that a call ends, because it needs the units.
    let last = manager.available(LAPTOPS).expect("a level");
    manager.reserve(LAPTOPS, last, ms(10)).expect("stock");
    clock.advance(ms(50));
    manager.reserve(LAPTOPS, 1, LONG).expect("overdue stock");
    manager.run_until_idle();
    told.publish(&manager);

    let gauges = [
        ("ready", 1.0),
        ("degraded", 0.0),
        ("audit_queue_depth", 0.0),
        ("audit_queue_capacity", manager.stats().queue_capacity as f64),
        ("unwritten_records", 0.0),
        ("slots{state=live}", 2.0),
        ("slots_max", 65_536.0),
        ("keys", 1.0),
        ("keys_max", manager.stats().keys_max as f64),
        ("products", 1.0),
        ("levels", 1.0),
        ("sweeper_lag_seconds", 0.0),
        ("alert_backlog", 0.0),
    ];
    for (name, value) in gauges {
        assert_eq!(told.gauge(&format!("stockade_{name}")), value, "{name}");
    }
    let counters = [
        ("refusals_total{cause=insufficient}", 1),
        ("refusals_total{cause=full}", 0),
        ("expired_holds_total", 2),
        ("entries_total{type=Received}", 1),
        ("units_total{type=Received}", 10),
        ("entries_total{type=Reserved}", 6),
        ("units_total{type=Reserved}", 2 + 3 + 1 + 1 + u64::from(last) + 1),
        ("entries_total{type=Sold}", 2),
        ("units_total{type=Sold}", 3),
        ("entries_total{type=Returned}", 2),
        ("units_total{type=Returned}", 3 + u64::from(last)),
        ("entries_total{type=LevelOpened}", 1),
    ];
    for (name, value) in counters {
        assert_eq!(told.counter(&format!("stockade_{name}")), value, "{name}");
    }
    let written = manager.stats().written;
    assert_eq!(written.total(), manager.audit_log().newest_sequence());
    assert_eq!(written.units(AdjustmentType::Sold), 3);
    assert_eq!(written.entries(EventType::LevelOpened), 1);
}

#[test]
fn each_cause_of_a_refusal_has_its_counter() {
    let told = Told::default();
    let manager = quiet(&clock()).build().expect("an engine");
    manager.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
    manager.define_limit(LimitRule::by_level("cap", 4).products([LAPTOPS.1])).expect("a limit");
    manager.reserve(LAPTOPS, 5, LONG).expect_err("over the limit");
    for _ in 0..2 {
        manager.reserve(LAPTOPS, 11, LONG).expect_err("too few");
    }
    manager.suspend(LAPTOPS.0).expect("a warehouse");
    for _ in 0..3 {
        manager.reserve(LAPTOPS, 1, LONG).expect_err("suspended");
    }
    told.publish(&manager);
    let causes = ["limited", "insufficient", "suspended", "full", "unavailable"];
    let refused = causes.map(|it| told.counter(&format!("stockade_refusals_total{{cause={it}}}")));
    assert_eq!(refused, [1, 2, 3, 0, 0]);
}

#[test]
fn the_journals_figures_have_their_values() {
    let (told, disk) = (Told::default(), SimulatedDisk::new());
    let manager = on(&disk);
    manager.flush().wait().expect("durable");
    let before = manager.stats().journal;
    // Written and not synced: without threads only a flush syncs.
    manager.sell(LAPTOPS, 1).expect("stock");
    manager.sell(LAPTOPS, 1).expect("stock");
    let start = std::time::Instant::now();
    manager.run_until_idle();
    let unsynced = manager.stats().journal;
    let slept = ms(20);
    assert_eq!(unsynced.unsynced_entries, 4);
    std::thread::sleep(slept);
    let later = manager.stats().journal.oldest_unsynced;
    assert!(later >= slept && later <= start.elapsed(), "{later:?}");
    manager.flush().wait().expect("durable");
    manager.verify().expect("sound");
    told.publish(&manager);
    let after = manager.stats().journal;
    assert!(after.syncs > before.syncs && after.appended_bytes > before.appended_bytes);
    assert_eq!(after.synced_entries - before.synced_entries, 4);
    assert!(after.sync_time >= after.last_sync && after.last_sync > Duration::ZERO);
    assert_eq!((after.unsynced_entries, after.oldest_unsynced), (0, Duration::ZERO));
    assert_eq!((after.unaudited, after.audit_failed), (0, false));
    // What was appended is what the segments have.
    let files = disk.files();
    let segments = files.iter().filter(|(name, _)| name.ends_with(".journal"));
    let bytes: usize = segments.map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(after.appended_bytes, bytes as u64);
    assert_eq!(told.counter("stockade_journal_appended_bytes_total"), bytes as u64);
    assert_eq!(told.counter("stockade_journal_syncs_total"), after.syncs);
    assert_eq!(told.counter("stockade_journal_synced_entries_total"), after.synced_entries);
    assert_eq!(told.gauge("stockade_journal_sync_time_seconds"), after.sync_time.as_secs_f64());
    assert_eq!(told.gauge("stockade_auditor_failed"), 0.0);

    let billing = manager.consumer("billing").expect("a consumer");
    let mut entries = billing.subscribe().expect("its beginning");
    for _ in 0..2 {
        entries.try_next().expect("readable").expect("an entry");
    }
    billing.acknowledge(entries.position()).expect("stored");
    told.publish(&manager);
    assert_eq!(told.gauge("stockade_consumers"), 1.0);
    let newest = manager.audit_log().newest_sequence();
    assert_eq!(told.gauge("stockade_consumer_lag_entries"), (newest - 2) as f64);
}

#[test]
fn a_disk_that_fails_shows_as_not_ready() {
    let (told, disk) = (Told::default(), SimulatedDisk::new());
    let manager = on(&disk);
    manager.flush().wait().expect("durable");
    disk.fail_fsync(true);
    manager.sell(LAPTOPS, 1).expect("stock");
    manager.flush().wait().expect_err("a broken disk");
    told.publish(&manager);
    assert_eq!(told.gauge("stockade_ready"), 0.0);
    assert_eq!(told.gauge("stockade_degraded"), 0.0);
    assert_eq!(told.counter("stockade_journal_sync_failures_total"), 1);
    disk.fail_fsync(false);
    manager.run_until_idle();
    told.publish(&manager);
    assert_eq!(told.gauge("stockade_ready"), 1.0);
    assert_eq!(told.counter("stockade_journal_sync_failures_total"), 1, "it is over, and counts");
    assert_eq!(told.gauge("stockade_journal_unsynced_entries"), 0.0);
}

#[test]
fn a_disk_that_is_nearly_full_shows_as_degraded() {
    let (told, disk) = (Told::default(), SimulatedDisk::new());
    let manager = on(&disk);
    manager.flush().wait().expect("durable");
    told.publish(&manager);
    assert_eq!(told.gauge("stockade_degraded"), 0.0);
    disk.fill(Some(4_000));
    told.publish(&manager);
    assert_eq!(told.gauge("stockade_ready"), 1.0);
    assert_eq!(told.gauge("stockade_degraded"), 1.0);
    assert_eq!(told.gauge("stockade_journal_free_bytes"), 4_000.0);
}

#[test]
fn the_page_lists_what_is_published_and_nothing_else() {
    let told = Told::default();
    told.publish(&on(&SimulatedDisk::new()));
    assert_eq!(told.published(), names_on_page(true));
    let told = Told::default();
    told.publish(&quiet(&clock()).build().expect("an engine"));
    assert_eq!(told.published(), names_on_page(false));
}

#[test]
fn each_metric_is_described_with_its_type_and_unit() {
    let told = Told::default();
    with_local_recorder(&told, describe_metrics);
    let described = told.described.lock().expect("no panic");
    assert_eq!(described.len(), page().len());
    for [name, kind, unit, _] in page() {
        let unit = match &*unit {
            "seconds" => Unit::Seconds,
            "bytes" => Unit::Bytes,
            _ => Unit::Count,
        };
        assert_eq!(described.get(&name), Some(&(&*kind, Some(unit))), "{name}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
        let base = name.trim_end_matches("_total");
        assert_eq!(base.ends_with("_seconds"), unit == Unit::Seconds, "{name}");
        assert_eq!(base.ends_with("_bytes"), unit == Unit::Bytes, "{name}");
    }
}

#[test]
fn counters_never_go_down() {
    let (told, disk) = (Told::default(), SimulatedDisk::new());
    let manager = on(&disk);
    let mut before = BTreeMap::new();
    for round in 0..20 {
        manager.add_stock(LAPTOPS, 3, "SUPPLIER").expect("room");
        let hold = manager.reserve(LAPTOPS, 1, LONG).expect("stock");
        assert_eq!(manager.release(hold), Ok(Release::Released));
        manager.reserve(LAPTOPS, 10_000, LONG).expect_err("too few");
        if round % 3 == 0 {
            manager.flush().wait().expect("durable");
        }
        manager.run_until_idle();
        told.publish(&manager);
        let after = told.all_counters();
        for (name, value) in &before {
            assert!(after[name] >= *value, "{name} went from {value} to {}", after[name]);
        }
        before = after;
    }
    assert_eq!(before["stockade_refusals_total{cause=insufficient}"], 20);
}

#[test]
fn engines_of_one_process_are_told_apart_by_a_label() {
    let told = Told::default();
    let (one, two) = (on(&SimulatedDisk::new()), on(&SimulatedDisk::new()));
    two.open_level("SF", "MOUSE").expect("a level");
    with_local_recorder(&told, || {
        one.publish_metrics_as("one");
        two.publish_metrics_as("two");
    });
    assert_eq!(told.gauge("stockade_levels{engine=one}"), 1.0);
    assert_eq!(told.gauge("stockade_levels{engine=two}"), 2.0);
    assert_eq!(told.counter("stockade_refusals_total{engine=one,cause=full}"), 0);
    assert!(!told.gauges.lock().expect("no panic").contains_key("stockade_levels"));
}

/// Calls the engine, and then panics.
struct Hostile(InventoryManager);

impl Recorder for Hostile {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        self.0.sell(LAPTOPS, 1).expect("stock");
        self.0.flush().wait().expect("durable");
        self.0.verify().expect("sound");
        panic!("a recorder with a bug");
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
fn a_recorder_may_call_the_engine_and_may_panic() {
    let manager = on(&SimulatedDisk::new());
    let hostile = Hostile(manager.clone());
    common::within(Duration::from_secs(30), move || {
        let publish = || with_local_recorder(&hostile, || hostile.0.publish_metrics());
        catch_unwind(AssertUnwindSafe(publish)).expect_err("its panic goes on");
    });
    assert_eq!(manager.available(LAPTOPS), Ok(9));
    let told = Told::default();
    told.publish(&manager);
    assert_eq!(told.counter("stockade_entries_total{type=Sold}"), 1);
}
