//! What is made after a session whose clock was ahead bears the right time.

use std::sync::Arc;
use std::time::Duration;

use stockade::testing::SimulatedDisk;
use stockade::{
    AuditFilter, BasketLine, ConfirmOrRetake, IdempotencyKey, InventoryManager, ManualClock,
    NoReservation, ReservationId, ReservationStatus,
};

use crate::shop::{
    DAY, HOUR, LAPTOPS, MICE, MINUTE, RIGHT, SECOND, at, available, builder, builder_on, clock,
    forgetful, limits, open,
};

/// How far ahead the clocks of these sessions are: an hour, and thirteen years.
const AHEAD: [u64; 2] = [HOUR, 13 * 365 * DAY];

/// More than the magazines of one thread hold, so that slots come round.
const PAIRS: usize = 700;

/// A session whose clock is ahead. Its slots come round, and `held` holds stay in theirs.
fn session_ahead(disk: &SimulatedDisk, by: u64, held: usize) -> Vec<ReservationId> {
    let clock = clock(RIGHT + by);
    let builder = builder(disk, &clock).limits(limits().retention(MINUTE, 64));
    let shop = builder.build().expect("a journal");
    shop.add_stock(LAPTOPS, 1_000, "SUPPLIER").expect("room");
    shop.add_stock(MICE, 1_000, "SUPPLIER").expect("room");
    let holds = (0..held).map(|_| shop.reserve(LAPTOPS, 1, MINUTE).expect("stock")).collect();
    for _ in 0..PAIRS {
        let hold = shop.reserve(LAPTOPS, 1, MINUTE).expect("stock");
        let _ = shop.release(hold).expect("a hold");
    }
    shop.run_until_idle();
    holds
}

/// The shop after it, with its clock right. Few records are retained, so that slots come round.
fn right(disk: &SimulatedDisk) -> (InventoryManager, Arc<ManualClock>) {
    let clock = clock(RIGHT);
    let builder = builder(disk, &clock).limits(limits().retention(MINUTE, 64));
    (builder.build().expect("a sound journal"), clock)
}

fn check_hold(shop: &InventoryManager, id: ReservationId, now: u64, context: &str) {
    let hold = shop.reservation(id).expect("just made");
    assert_eq!(hold.expires_at, at(now + 60 * SECOND), "{context}");
    assert_eq!(hold.created_at, at(now), "{context}");
}

#[test]
fn whatever_makes_a_hold_dates_it_by_the_clock_and_not_by_its_slots_last_tenant() {
    for by in AHEAD {
        let disk = SimulatedDisk::new();
        session_ahead(&disk, by, 0);
        let (shop, clock) = right(&disk);
        let began = shop.audit_log().newest_sequence();
        for round in 0..PAIRS as u64 {
            let now = RIGHT + round;
            clock.set(at(now));
            let context = format!("{by} ms ahead, round {round}");
            let one = shop.reserve(LAPTOPS, 1, MINUTE).expect("stock");
            check_hold(&shop, one, now, &context);
            let noted = shop.request().note("order", "7").reserve(LAPTOPS, 1, MINUTE);
            check_hold(&shop, noted.expect("stock"), now, &context);
            let lines = [BasketLine::new(LAPTOPS, 1), BasketLine::new(MICE, 1)];
            let basket = shop.reserve_basket(&lines, MINUTE).expect("stock");
            check_hold(&shop, basket, now, &context);
            let warehouses = ["SF".into(), "NYC".into()];
            let split = shop.fulfill_across_warehouses("MOUSE", 1, &warehouses, MINUTE);
            check_hold(&shop, split.expect("stock"), now, &context);
            for hold in [one, basket] {
                let _ = shop.release(hold).expect("a hold");
            }
            if round % 8 == 0 {
                let order = shop.sell(LAPTOPS, 1).expect("stock");
                assert_eq!(shop.reservation(order).expect("just made").created_at, at(now));
                let late = shop.confirm_or_retake_lines(one, &[BasketLine::new(LAPTOPS, 1)]);
                let _ = late.expect("its units are back");
            }
            clock.set(at(now + 1));
            shop.run_until_idle();
            for hold in shop.reservations(LAPTOPS, None, 64).expect("a level").reservations {
                let _ = shop.release(hold.id).expect("a hold");
            }
            for hold in shop.reservations(MICE, None, 64).expect("a level").reservations {
                let _ = shop.release(hold.id).expect("a hold");
            }
        }
        shop.run_until_idle();
        let now = RIGHT + PAIRS as u64 + 1;
        let entries = shop.audit_log().query(&AuditFilter::new());
        let new = entries.entries.iter().filter(|entry| entry.sequence > began);
        let late: Vec<_> = new.filter(|entry| entry.at > at(now)).collect();
        assert!(late.is_empty(), "{} entries lie ahead, such as {:?}", late.len(), late[0]);
    }
}

#[test]
fn every_hold_falls_due_when_its_own_time_is_up() {
    // With few slots, all of them had tenants from the future. With many, some are fresh.
    for slots in [64, 1_024, 8_192] {
        let disk = SimulatedDisk::new();
        let limits = limits().max_reservations(slots).retention(MINUTE, 64);
        let ahead = builder(&disk, &clock(RIGHT + HOUR)).limits(limits.clone());
        let shop = ahead.build().expect("a journal");
        shop.add_stock(LAPTOPS, 1_000, "SUPPLIER").expect("room");
        for _ in 0..PAIRS {
            let hold = shop.reserve(LAPTOPS, 1, MINUTE).expect("stock");
            let _ = shop.release(hold).expect("a hold");
        }
        drop(shop);
        let clock = clock(RIGHT);
        let shop = builder(&disk, &clock).limits(limits).build().expect("a sound journal");
        let holds: Vec<_> =
            (0..40).map(|_| shop.reserve(LAPTOPS, 25, MINUTE).expect("stock")).collect();
        let due = |id: &ReservationId| shop.reservation(*id).expect("held").expires_at;
        assert!(holds.iter().all(|id| due(id) == at(RIGHT + 60 * SECOND)), "{slots} slots");
        let mut sorted = holds.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), holds.len());
        // Where all slots had such tenants, their records left before their time.
        let early = shop.stats().records_dropped_early;
        assert!(if slots == 64 { early >= 40 } else { early == 0 }, "{early} of {slots} slots");
        clock.set(at(RIGHT + 180 * SECOND));
        shop.run_until_idle();
        assert_eq!(available(&shop), 1_000, "{slots} slots");
    }
}

#[test]
fn a_hold_of_the_wrong_session_is_ended_and_told_of_as_any_other() {
    let disk = SimulatedDisk::new();
    let holds = session_ahead(&disk, HOUR, 8);
    let (shop, _clock) = right(&disk);
    for (index, hold) in holds.iter().enumerate() {
        match index % 2 {
            0 => drop(shop.release(*hold).expect("a hold")),
            _ => shop.confirm(*hold).expect("a hold"),
        }
    }
    // Their slots go round, and new holds get others.
    for _ in 0..PAIRS {
        let hold = shop.reserve(LAPTOPS, 1, MINUTE).expect("stock");
        assert_eq!(shop.reservation(hold).expect("held").created_at, at(RIGHT));
        let _ = shop.release(hold).expect("a hold");
    }
    for (index, hold) in holds.iter().enumerate() {
        let expected = match index % 2 {
            0 => ReservationStatus::Released,
            _ => ReservationStatus::Confirmed,
        };
        assert_eq!(shop.reservation(*hold).expect("readable").status, expected);
    }
}

#[test]
fn an_extension_beyond_the_longest_life_is_refused_after_a_session_ahead_too() {
    let disk = SimulatedDisk::new();
    session_ahead(&disk, HOUR, 0);
    let longest = limits().longest_total_hold(2 * MINUTE).retention(MINUTE, 64);
    let clock = clock(RIGHT);
    let shop = builder(&disk, &clock).limits(longest).build().expect("a sound journal");
    for _ in 0..PAIRS {
        let hold = shop.reserve(LAPTOPS, 1, MINUTE).expect("stock");
        assert!(shop.extend(hold, 3 * MINUTE).is_err());
        let extended = shop.extend(hold, 2 * MINUTE).expect("within the cap");
        assert_eq!(extended, at(RIGHT + 120 * SECOND));
        let _ = shop.release(hold).expect("a hold");
    }
}

#[test]
fn a_session_ahead_a_right_one_and_a_session_ahead_again_leave_every_hold_its_time() {
    let disk = SimulatedDisk::new();
    session_ahead(&disk, HOUR, 1);
    for (session, now) in [RIGHT, RIGHT + HOUR, RIGHT + 1, RIGHT + DAY].into_iter().enumerate() {
        let (shop, clock) = open(&disk, now);
        let hold = shop.reserve(LAPTOPS, 1, MINUTE).expect("stock");
        check_hold(&shop, hold, now, &format!("session {session}"));
        clock.set(at(now + 61 * SECOND));
        shop.run_until_idle();
        assert_eq!(available(&shop), 1_000, "session {session}");
    }
}

#[test]
fn a_hold_without_a_record_is_retaken_though_the_log_dropped_entries_from_the_future() {
    let disk = SimulatedDisk::new();
    let limits = limits().audit_retained(2_000).retention(Duration::ZERO, 0);
    let ahead = builder_on(forgetful(&disk), &clock(RIGHT + HOUR)).limits(limits.clone());
    let shop = ahead.build().expect("a journal");
    shop.add_stock(LAPTOPS, 10_000, "SUPPLIER").expect("room");
    let sell = |shop: &InventoryManager, times: usize| {
        for _ in 0..times {
            shop.sell(LAPTOPS, 1).expect("stock");
        }
        shop.run_until_idle();
    };
    sell(&shop, 1_500);
    drop(shop);
    let clock = clock(RIGHT);
    let shop =
        builder_on(forgetful(&disk), &clock).limits(limits).build().expect("a sound journal");
    // Entries of the first session leave the log.
    sell(&shop, 1_500);
    clock.set(at(RIGHT + SECOND));
    let hold = shop.reserve(LAPTOPS, 1, MINUTE).expect("stock");
    let _ = shop.release(hold).expect("a hold");
    sell(&shop, 700);
    assert_eq!(shop.reservation(hold), Err(NoReservation::Forgotten));
    let retaken = shop.confirm_or_retake_lines(hold, &[BasketLine::new(LAPTOPS, 1)]);
    assert!(matches!(retaken, Ok(ConfirmOrRetake::Retaken(_))), "{retaken:?}");
}

#[test]
fn a_hold_of_the_wrong_session_is_retaken_once_though_the_key_is_forgotten() {
    let disk = SimulatedDisk::new();
    let hold = session_ahead(&disk, HOUR, 1)[0];
    let short = limits().key_retention(Duration::from_secs(1), 1_000);
    let clock = clock(RIGHT);
    let shop = builder_on(forgetful(&disk), &clock).limits(short).build().expect("a sound journal");
    let _ = shop.release(hold).expect("a hold");
    let lines = [BasketLine::new(LAPTOPS, 1)];
    let first = shop.confirm_or_retake_lines(hold, &lines).expect("stock");
    let ConfirmOrRetake::Retaken(by) = first else { panic!("{first:?}") };
    // The second time before the clock has come to the hold's time, and the third time after.
    for later in [2 * SECOND, HOUR, 2 * HOUR, DAY] {
        clock.set(at(RIGHT + later));
        let again = shop.confirm_or_retake_lines(hold, &lines);
        assert_eq!(again, Ok(ConfirmOrRetake::AlreadyRetaken(by)), "{later} ms later");
        assert_eq!(shop.sold(LAPTOPS), Ok(1));
        clock.set(at(RIGHT + later + 2 * SECOND));
        let key = IdempotencyKey::try_from(format!("{later}").as_str()).expect("a key");
        shop.request().key(key).add_stock(MICE, 1, "SUPPLIER").expect("room");
    }
}

/// Where every slot is in use, new holds get those of the wrong session all the same. The ids of
/// that session stay the older ones: they are forgotten, and were not never made.
#[test]
fn holds_in_the_last_slots_do_not_make_those_of_the_wrong_session_unknown() {
    const SLOTS: usize = 4;
    for by in AHEAD {
        let disk = SimulatedDisk::new();
        let session = |millis| {
            let limits = limits().max_reservations(SLOTS as u32).retention(Duration::ZERO, 0);
            let builder = builder_on(forgetful(&disk), &clock(millis)).limits(limits);
            builder.build().expect("a sound journal")
        };
        let ahead = session(RIGHT + by);
        ahead.add_stock(LAPTOPS, 100, "SUPPLIER").expect("room");
        ahead.add_stock(MICE, 100, "SUPPLIER").expect("room");
        let lines = [BasketLine::new(LAPTOPS, 1), BasketLine::new(MICE, 1)];
        let old = [0, 1].map(|_| ahead.reserve_basket(&lines, MINUTE).expect("stock"));
        for hold in old {
            let _ = ahead.release(hold).expect("a hold");
        }
        let used = ahead.stats().slots_retained + ahead.stats().slots_free;
        drop(ahead);

        let shop = session(RIGHT);
        let stats = shop.stats();
        assert_eq!((stats.slots_live, stats.slots_retained + stats.slots_free), (0, used), "{by}");
        let new: Vec<_> = (0..SLOTS)
            .map(|number| {
                shop.reserve(LAPTOPS, 1, MINUTE).unwrap_or_else(|it| panic!("{number}: {it}"))
            })
            .collect();
        assert!(shop.reserve(LAPTOPS, 1, MINUTE).is_err(), "all slots are in use");
        for id in old {
            assert_eq!(shop.reservation(id).err(), Some(NoReservation::Forgotten), "{by} ms ahead");
        }
        for id in new {
            let _ = shop.release(id).expect("a hold");
        }
    }
}
