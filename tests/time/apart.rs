//! An engine that runs, and whose clock and the wall clock part: it is recorded, whoever asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use stockade::testing::SimulatedDisk;
use stockade::{
    AuditEntry, AuditFilter, Builder, Clock, ClockApart, EventType, Health, InventoryManager,
    JournalReader, ManualClock, SystemClock, Timestamp,
};

use crate::shop::{HOUR, LAPTOPS, MINUTE, RIGHT, at, limits};

/// A clock that is ahead of the wall clock by so many milliseconds.
struct Parting<C> {
    clock: C,
    ahead: AtomicI64,
}

impl<C> Parting<C> {
    fn new(clock: C) -> Arc<Self> {
        Arc::new(Self { clock, ahead: AtomicI64::new(0) })
    }

    fn part(&self, ahead: i64) {
        self.ahead.store(ahead, Ordering::SeqCst);
    }
}

impl<C: Clock> Clock for Parting<C> {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn apart_from_wall_clock(&self) -> Option<ClockApart> {
        let now = self.now().as_millis();
        let wall = now.saturating_add_signed(-self.ahead.load(Ordering::SeqCst));
        Some(ClockApart::between(at(now), at(wall)))
    }
}

fn builder(disk: &SimulatedDisk) -> Builder {
    InventoryManager::builder().warehouse("SF").journal(disk.clone()).limits(limits())
}

fn found(shop: &InventoryManager) -> Vec<AuditEntry> {
    shop.audit_log().query(&AuditFilter::new().entry_type(EventType::ClockApart)).entries
}

/// How far the entry says that the engine's clock was ahead.
fn ahead(entry: &AuditEntry) -> i64 {
    let wall: u64 = entry.note("wall").and_then(|wall| wall.parse().ok()).expect("a time");
    entry.at.as_millis() as i64 - wall as i64
}

#[test]
fn clocks_that_part_are_recorded_within_a_minute_once_for_each_five_seconds() {
    let disk = SimulatedDisk::new();
    let clock = Parting::new(ManualClock::at(at(RIGHT)));
    let shop = builder(&disk).clock(Arc::clone(&clock)).without_threads().build().expect("new");
    let minutes = |count: u32| {
        for _ in 0..count {
            clock.clock.advance(MINUTE);
            shop.run_until_idle();
        }
    };
    shop.run_until_idle();
    let mut expected = Vec::new();
    // How far they are apart, and whether that is news.
    let story = [
        (5_000, false),
        (5_001, true),
        (9_000, false),
        (12_000, true),
        (0, true),
        (-4_000, false),
        (-(HOUR as i64), true),
        (HOUR as i64, true),
        (HOUR as i64 - 5_001, true),
        (3_000, true),
    ];
    for (apart, is_news) in story {
        clock.part(apart);
        shop.run_until_idle();
        assert_eq!(found(&shop).len(), expected.len(), "{apart} ms, before the minute is over");
        minutes(1);
        expected.extend(is_news.then_some(apart));
        assert_eq!(found(&shop).iter().map(ahead).collect::<Vec<_>>(), expected, "{apart} ms");
        minutes(3);
        assert_eq!(found(&shop).len(), expected.len(), "{apart} ms, some minutes later");
        let is_told = matches!(shop.health(), Health::Degraded { .. });
        assert_eq!(is_told, apart.abs() > 5_000, "{apart} ms");
    }
    drop(shop);
    JournalReader::on(disk.clone()).verify(None).expect("sound");
    let shop = builder(&disk).clock(clock).without_threads().build().expect("a sound journal");
    assert_eq!(found(&shop).len(), expected.len());
    assert_eq!(shop.recovery_report().expect("a journal").clock_step, None);
}

#[test]
fn health_records_at_once_and_a_full_queue_or_a_closed_engine_does_no_harm() {
    let disk = SimulatedDisk::new();
    let clock = Parting::new(ManualClock::at(at(RIGHT)));
    let shop = builder(&disk).clock(Arc::clone(&clock)).without_threads().build().expect("new");
    shop.run_until_idle();
    clock.part(-7_000);
    for _ in 0..3 {
        let Health::Degraded { reason } = shop.health() else { panic!("{:?}", shop.health()) };
        assert_eq!(reason, "the engine's clock is 7s behind the wall clock");
    }
    shop.run_until_idle();
    assert_eq!(found(&shop).iter().map(ahead).collect::<Vec<_>>(), [-7_000]);
    let _ = shop.shutdown(Duration::from_secs(5));
    clock.part(7_000);
    assert!(!matches!(shop.health(), Health::Ok));
    assert_eq!(found(&shop).len(), 1);
}

#[test]
fn nobody_needs_to_ask() {
    let disk = SimulatedDisk::new();
    let clock = Parting::new(SystemClock::new());
    clock.part(60_000);
    let shop = builder(&disk).clock(Arc::clone(&clock)).build().expect("new");
    let begun = Instant::now();
    while found(&shop).is_empty() {
        assert!(begun.elapsed() < MINUTE, "no event");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(found(&shop).iter().map(ahead).collect::<Vec<_>>(), [60_000]);
}

#[test]
fn an_engine_without_a_sweeper_compares_when_health_is_asked_and_amid_no_operation() {
    let disk = SimulatedDisk::new();
    let clock = Parting::new(ManualClock::at(at(RIGHT)));
    let shop = builder(&disk).clock(Arc::clone(&clock)).sweeper(false).build().expect("new");
    shop.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
    let _ = shop.reserve(LAPTOPS, 1, Duration::from_secs(1)).expect("stock");
    clock.part(-60_000);
    clock.clock.advance(MINUTE);
    let _ = shop.reserve(LAPTOPS, 1, Duration::from_secs(1)).expect("the first one is overdue");
    shop.flush().wait().expect("written");
    assert!(found(&shop).is_empty());
    assert!(matches!(shop.health(), Health::Degraded { .. }));
    shop.flush().wait().expect("written");
    assert_eq!(found(&shop).iter().map(ahead).collect::<Vec<_>>(), [-60_000]);
}
