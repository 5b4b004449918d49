//! An opening behind the journal's newest entry: all that is pending keeps the time it had left.

use std::time::Duration;

use stockade::testing::SimulatedDisk;
use stockade::{
    AuditFilter, BasketLine, Clock, ClockApart, EventType, Health, InventoryManager, JournalReader,
    ManualClock, Reservation, ReservationId, Timestamp,
};

use crate::shop::{
    DAY, HOUR, LAPTOPS, MICE, MINUTE, RIGHT, SECOND, at, available, builder, builder_on, clock,
    forgetful, limits, open,
};

const STEPS: [u64; 4] = [1_001, HOUR, DAY, 13 * 365 * DAY];

fn steps(shop: &InventoryManager) -> usize {
    shop.run_until_idle();
    let filter = AuditFilter::new().entry_type(EventType::ClockStepped);
    shop.audit_log().query(&filter).entries.len()
}

fn left(shop: &InventoryManager, id: ReservationId, now: u64) -> u64 {
    shop.reservation(id).expect("held").expires_at.as_millis() - now
}

#[test]
fn a_hold_keeps_the_time_that_it_had_left() {
    for by in STEPS {
        let disk = SimulatedDisk::new();
        let (shop, clock) = open(&disk, RIGHT + by);
        shop.add_stock(LAPTOPS, 1_000, "SUPPLIER").expect("room");
        shop.add_stock(MICE, 10, "SUPPLIER").expect("room");
        let hold = shop.reserve(LAPTOPS, 1, 10 * MINUTE).expect("stock");
        let lines = [BasketLine::new(LAPTOPS, 1), BasketLine::new(MICE, 1)];
        let basket = shop.reserve_basket(&lines, 5 * MINUTE).expect("stock");
        let overdue = shop.reserve(LAPTOPS, 7, Duration::from_secs(1)).expect("stock");
        clock.set(at(RIGHT + by + 2 * SECOND));
        shop.extend(basket, 5 * MINUTE).expect("pending");
        shop.run_until_idle();
        assert_eq!(available(&shop), 998, "the last one is overdue");
        let late = shop.reserve(LAPTOPS, 7, Duration::from_secs(1)).expect("stock");
        clock.set(at(RIGHT + by + 4 * SECOND));
        shop.request().note("order", "7").reserve(MICE, 1, MINUTE).expect("stock");
        shop.flush().wait().expect("a disk");
        std::mem::forget(shop);

        let (shop, clock) = open(&disk.killed(), RIGHT);
        assert_eq!(left(&shop, hold, RIGHT), 596 * SECOND, "{by}");
        assert_eq!(left(&shop, basket, RIGHT), 298 * SECOND, "{by}");
        let report = shop.recovery_report().expect("a journal");
        let step = report.clock_step.expect("a step");
        assert_eq!((step.to, step.by()), (at(RIGHT), Duration::from_millis(by + 4 * SECOND)));
        assert!(matches!(shop.health(), Health::Degraded { .. }));
        assert_eq!(steps(&shop), 1);
        // What was overdue already gets the grace of an opening, no more, and is overdue then.
        assert_eq!(left(&shop, late, RIGHT), 60 * SECOND, "{by}");
        assert_eq!(report.given_grace, 1);
        clock.set(at(RIGHT + 60 * SECOND + 1));
        let _ = shop.confirm(late).expect_err("it is overdue");
        let _ = shop.confirm(overdue).expect_err("it has expired");
        assert_eq!(available(&shop), 998, "{by}");
        assert!(shop.verify().expect("sound").is_sound());
        clock.set(at(RIGHT + 596 * SECOND + 1));
        shop.run_until_idle();
        assert_eq!(available(&shop), 1_000, "{by}");
    }
}

#[test]
fn a_second_behind_is_no_step_and_a_long_stop_is_none_either() {
    for now in [RIGHT - SECOND, RIGHT, RIGHT + 13 * 365 * DAY] {
        let disk = SimulatedDisk::new();
        let (shop, _clock) = open(&disk, RIGHT);
        shop.add_stock(LAPTOPS, 1_000, "SUPPLIER").expect("room");
        let hold = shop.reserve(LAPTOPS, 1, MINUTE).expect("stock");
        drop(shop);
        let (shop, _clock) = open(&disk, now);
        assert_eq!(shop.recovery_report().expect("a journal").clock_step, None);
        assert_eq!((shop.health(), steps(&shop)), (Health::Ok, 0));
        let due = shop.reservation(hold).expect("held").expires_at;
        // After a long stop it gets the grace that an opening gives to overdue holds.
        assert!(due == at(RIGHT + 60 * SECOND) || due > at(now), "{due}");
    }
}

#[test]
fn keys_records_and_requests_shift_alike() {
    let disk = SimulatedDisk::new();
    let open = |millis| {
        let clock = clock(millis);
        (builder_on(forgetful(&disk), &clock).build().expect("a sound journal"), clock)
    };
    let (shop, clock) = open(RIGHT + HOUR);
    shop.add_stock(LAPTOPS, 1_000, "SUPPLIER").expect("room");
    let request = shop.request_transfer("SF", "NYC", "LAPTOP", 5).expect("a request");
    let rejected = shop.request_transfer("SF", "NYC", "LAPTOP", 5).expect("a request");
    shop.reject_transfer(rejected, "ANNE", "no").expect("open");
    let key = stockade::IdempotencyKey::try_from("order-7").expect("a key");
    let order = shop.request().key(key).sell(LAPTOPS, 3).expect("stock");
    let gone = shop.reserve(LAPTOPS, 1, MINUTE).expect("stock");
    let _ = shop.release(gone).expect("a hold");
    clock.set(at(RIGHT + HOUR + 30 * 60 * SECOND));
    shop.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
    drop(shop);

    // Half an hour of the key's hour is over.
    let (shop, clock) = open(RIGHT);
    let ago = at(RIGHT - 30 * 60 * SECOND);
    assert_eq!(shop.transfer_request(request).expect("known").requested_at, ago);
    let decided = shop.transfer_request(rejected).expect("known");
    assert_eq!((decided.requested_at, decided.decision.expect("rejected").at), (ago, ago));
    clock.set(at(RIGHT + 30 * 60 * SECOND));
    assert_eq!(shop.request().key(key).sell(LAPTOPS, 3), Ok(order));
    clock.set(at(RIGHT + 30 * 60 * SECOND + 1));
    assert_ne!(shop.request().key(key).sell(LAPTOPS, 3), Ok(order));
    let again = shop.confirm_or_retake_lines(gone, &[BasketLine::new(LAPTOPS, 1)]).expect("stock");
    let repeat = shop.confirm_or_retake_lines(gone, &[BasketLine::new(LAPTOPS, 1)]).expect("stock");
    assert_ne!(again, repeat, "the second finds the first's");
}

/// Everything about pending holds.
fn pending(shop: &InventoryManager) -> Vec<(ReservationId, Timestamp, u32)> {
    let page = shop.reservations(LAPTOPS, None, 64).expect("a level");
    let told = |it: &Reservation| (it.id, it.expires_at, it.lines[0].quantity);
    let mut told: Vec<_> = page.reservations.iter().map(told).collect();
    told.sort();
    told
}

#[test]
fn a_crash_at_any_write_of_the_opening_leaves_every_hold_its_time() {
    let disk = SimulatedDisk::new();
    let (shop, _clock) = open(&disk, RIGHT + HOUR);
    shop.add_stock(LAPTOPS, 1_000, "SUPPLIER").expect("room");
    let holds: Vec<_> = (1..=5)
        .map(|minutes| shop.reserve(LAPTOPS, minutes, MINUTE * minutes).expect("stock"))
        .collect();
    drop(shop);
    let began = disk.steps();
    let (shop, _clock) = open(&disk, RIGHT);
    shop.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
    shop.run_until_idle();
    let expected = pending(&shop);
    std::mem::forget(shop);
    let mut stepped = [0, 0];
    for step in began..=disk.steps() {
        for kind in 0..3 {
            let crashed = disk.crash(step, |piece| kind == 1 || (kind == 2 && piece % 2 == 1));
            JournalReader::on(crashed.killed()).verify(None).expect("sound");
            // At the same moment, then a minute later, then once more behind.
            let (shop, clock) = open(&crashed, RIGHT);
            assert_eq!(pending(&shop), expected, "step {step}, kind {kind}");
            stepped[steps(&shop).min(1)] += 1;
            clock.set(at(RIGHT + 30 * SECOND));
            shop.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
            shop.run_until_idle();
            std::mem::forget(shop);
            let (shop, _clock) = open(&crashed.killed(), RIGHT - DAY);
            for (minutes, hold) in (1..=5).zip(&holds) {
                let due = left(&shop, *hold, RIGHT - DAY);
                assert_eq!(due, (minutes * 60 - 30) * SECOND, "step {step}, kind {kind}");
            }
        }
    }
    assert!(stepped[1] > 0, "{stepped:?}");
}

#[test]
fn what_reads_the_journal_shifts_as_the_engine_did() {
    let disk = SimulatedDisk::new();
    let journal = |now: u64| {
        let journal = stockade::JournalOptions::storage(disk.clone());
        let journal = journal.segment_bytes(1_500).checkpoint_every(1);
        let clock = clock(now);
        let shop = crate::shop::builder_on(
            journal.retention(stockade::JournalRetention::remove()),
            &clock,
        );
        shop.limits(limits().audit_retained(8)).build().expect("sound")
    };
    let mut hold = None;
    for session in 0..4 {
        // Each an hour behind the one before.
        let now = RIGHT - session * HOUR;
        let shop = journal(now);
        if let Some(hold) = hold {
            assert_eq!(left(&shop, hold, now), 600 * SECOND, "session {session}");
        }
        for step in 0..40 {
            shop.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
            let noted = shop.request().note("buyer", "ANNE").sell(LAPTOPS, 1);
            noted.expect("stock");
            shop.run_until_idle();
            assert!(shop.verify().expect("sound").is_sound(), "session {session}, step {step}");
        }
        if hold.is_none() {
            hold = Some(shop.reserve(LAPTOPS, 1, 10 * MINUTE).expect("stock"));
        }
        let redacted = shop.redact(|entry| entry.note("buyer") == Some("ANNE")).expect("sound");
        assert!(redacted.records > 0);
        let name = format!("stockade-time-{}-{session}", std::process::id());
        let copy = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&copy);
        shop.backup(&copy).expect("room");
        JournalReader::new(&copy).verify(None).expect("a sound copy");
        std::fs::remove_dir_all(&copy).expect("there");
        drop(shop);
        let report = JournalReader::on(disk.killed()).verify(None).expect("sound");
        assert!(report.checkpoints > 0, "session {session}");
    }
}

#[test]
fn health_tells_of_the_step_until_a_day_has_run_or_somebody_knows() {
    let disk = SimulatedDisk::new();
    let (shop, _clock) = open(&disk, RIGHT + HOUR);
    shop.add_stock(LAPTOPS, 1_000, "SUPPLIER").expect("room");
    drop(shop);
    let is_told = |shop: &InventoryManager| match shop.health() {
        Health::Degraded { reason } => reason.contains("3600s behind the journal"),
        _ => false,
    };
    let run = |disk: &SimulatedDisk, from: u64, long: u64| {
        let (shop, clock) = open(disk, from);
        let told = is_told(&shop);
        assert_eq!(shop.recovery_report().expect("a journal").clock_step.is_some(), told);
        clock.set(at(from + long));
        shop.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
        shop.run_until_idle();
        (told, is_told(&shop))
    };
    // A restart does not end it, and a stop is no running.
    assert_eq!(run(&disk, RIGHT, 10 * HOUR), (true, true));
    assert_eq!(run(&disk, RIGHT + 10 * DAY, 10 * HOUR), (true, true));
    let known = SimulatedDisk::with_files(disk.files());
    assert_eq!(run(&disk, RIGHT + 11 * DAY, 4 * HOUR), (true, false));
    assert_eq!(run(&disk, RIGHT + 12 * DAY, HOUR), (false, false));

    let (shop, _clock) = open(&known, RIGHT + 11 * DAY);
    assert!(is_told(&shop));
    shop.acknowledge_clock_step().expect("an open engine");
    assert_eq!(shop.health(), Health::Ok);
    shop.acknowledge_clock_step().expect("nothing to do");
    drop(shop);
    assert_eq!(run(&known, RIGHT + 12 * DAY, HOUR), (false, false));
    // A new step is told of again.
    assert_eq!(run(&known, RIGHT + 12 * DAY, HOUR), (true, true));
}

/// A clock that the wall clock has left behind.
struct Apart(ManualClock, Option<ClockApart>);

impl Clock for Apart {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn apart_from_wall_clock(&self) -> Option<ClockApart> {
        self.1
    }
}

#[test]
fn health_tells_that_the_wall_clock_is_elsewhere_and_nothing_else_changes() {
    let far = Duration::from_millis(5_001);
    let near = Duration::from_secs(5);
    for (apart, expected) in [
        (None, None),
        (Some(ClockApart::Ahead(near)), None),
        (Some(ClockApart::Ahead(far)), Some("5.001s ahead of the wall clock")),
        (Some(ClockApart::Behind(far)), Some("5.001s behind the wall clock")),
    ] {
        let disk = SimulatedDisk::new();
        let now = Apart(ManualClock::at(at(RIGHT)), apart);
        let shop = builder(&disk, &clock(0)).clock(now).build().expect("a journal");
        match (shop.health(), expected) {
            (Health::Ok, None) => {}
            (Health::Degraded { reason }, Some(words)) => {
                assert!(reason.contains(words), "{reason}")
            }
            (health, _) => panic!("{health:?} for {apart:?}"),
        }
        shop.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
        let hold = shop.reserve(LAPTOPS, 1, MINUTE).expect("stock");
        assert_eq!(left(&shop, hold, RIGHT), 60 * SECOND);
    }
}
