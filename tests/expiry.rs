//! Expiry: overdue holds are expired by callers that need their units, and by the sweeper. `extend`
//! extends a pending hold.

mod common;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use stockade::testing::FaultySink;
use stockade::{
    Backpressure, BasketError, BasketLine, EventType, ExtendError, Gone, InvalidInput, InvalidTtl,
    Release, RequestTransferError, ReservationStatus, ReserveError, Timestamp,
};

use common::{
    LAPTOPS, LONG, clock, counts, ledger, log_of, ms, quiet, single_holds, small, threaded, within,
};

#[test]
fn an_extended_hold_lives_longer_and_the_log_says_until_when() {
    let clock = clock();
    let manager = quiet(&clock).build().expect("legal settings");
    manager.add_stock(LAPTOPS, 5, "SUPPLIER").expect("room");
    let hold = manager.reserve(LAPTOPS, 2, ms(100)).expect("stock");

    clock.advance(ms(50));
    let until = manager.extend(hold, ms(200)).expect("pending");
    assert_eq!(until, Timestamp::from_millis(1_250));
    assert_eq!(manager.reservation(hold).map(|found| found.expires_at), Ok(until));

    clock.advance(ms(200));
    manager.run_until_idle();
    assert_eq!(counts(&manager, LAPTOPS), (3, 2, 0), "its last millisecond still counts");
    let log = log_of(&manager);
    let extended: Vec<_> =
        log.iter().filter(|entry| entry.entry_type == EventType::Extended.into()).collect();
    assert_eq!(extended.len(), 1);
    assert_eq!((extended[0].reservation, extended[0].expires_at), (Some(hold), Some(until)));

    clock.advance(ms(1));
    manager.run_until_idle();
    assert_eq!(counts(&manager, LAPTOPS), (5, 0, 0));
}

#[test]
fn an_extension_never_cuts_a_hold_short() {
    let clock = clock();
    let manager = quiet(&clock).build().expect("legal settings");
    manager.add_stock(LAPTOPS, 5, "SUPPLIER").expect("room");
    let hold = manager.reserve(LAPTOPS, 2, ms(100)).expect("stock");
    assert_eq!(manager.extend(hold, ms(10)), Ok(Timestamp::from_millis(1_100)));
    clock.advance(ms(100));
    assert_eq!(manager.confirm(hold), Ok(()));
}

#[test]
fn no_hold_is_extended_beyond_the_longest_total() {
    let clock = clock();
    let manager =
        quiet(&clock).limits(small().longest_total_hold(ms(300))).build().expect("legal settings");
    manager.add_stock(LAPTOPS, 5, "SUPPLIER").expect("room");
    let hold = manager.reserve(LAPTOPS, 2, ms(100)).expect("stock");
    clock.advance(ms(90));
    let (asked, latest) = (Timestamp::from_millis(1_301), Timestamp::from_millis(1_300));
    assert_eq!(manager.extend(hold, ms(211)), Err(ExtendError::OverCap { asked, latest }));
    assert_eq!(manager.reservation(hold).map(|found| found.expires_at.as_millis()), Ok(1_100));
    assert_eq!(manager.extend(hold, ms(210)), Ok(latest));
}

#[test]
fn nobody_extends_a_hold_that_is_over() {
    let clock = clock();
    let manager = quiet(&clock).build().expect("legal settings");
    manager.add_stock(LAPTOPS, 9, "SUPPLIER").expect("room");
    let [overdue, released, sold] =
        [0; 3].map(|_| manager.reserve(LAPTOPS, 1, ms(100)).expect("stock"));
    assert_eq!(manager.release(released), Ok(Release::Released));
    manager.confirm(sold).expect("pending");
    clock.advance(ms(101));
    let expired = Gone::Expired { at: Timestamp::from_millis(1_100), returned: 1 };
    assert_eq!(manager.extend(overdue, ms(5)), Err(expired.into()));
    assert_eq!(manager.extend(overdue, ms(5)), Err(expired.into()));
    let given_back = Gone::Released { returned: 1 };
    assert_eq!(manager.extend(released, ms(5)), Err(given_back.into()));
    assert_eq!(manager.extend(sold, ms(5)), Err(Gone::Sold { units: 1 }.into()));
    let longest = Duration::from_secs(24 * 60 * 60);
    for ttl in [Duration::ZERO, longest + ms(1)] {
        let refused = ExtendError::Input(InvalidInput::Ttl(InvalidTtl { ttl, longest }));
        assert_eq!(manager.extend(sold, ttl), Err(refused));
    }
}

#[test]
fn confirming_an_overdue_hold_ends_it_and_says_since_when() {
    let clock = clock();
    let manager = quiet(&clock).build().expect("legal settings");
    manager.add_stock(LAPTOPS, 5, "SUPPLIER").expect("room");
    let hold = manager.reserve(LAPTOPS, 2, ms(100)).expect("stock");
    clock.advance(ms(101));
    assert_eq!(counts(&manager, LAPTOPS), (3, 2, 0), "nobody looked yet");
    let expired = Gone::Expired { at: Timestamp::from_millis(1_100), returned: 2 };
    assert_eq!(manager.confirm(hold), Err(expired.into()));
    assert_eq!(counts(&manager, LAPTOPS), (5, 0, 0));
    assert_eq!(manager.reservation(hold).map(|it| it.status), Ok(ReservationStatus::Expired));
    assert_eq!(manager.confirm(hold), Err(expired.into()));
    assert_eq!(manager.release(hold), Ok(Release::Expired));
    let log = log_of(&manager);
    let last = log.last().expect("entries");
    assert_eq!((last.quantity, last.note("reason")), (2, Some("expired")), "ended once");
}

#[test]
fn a_reserve_that_is_short_takes_back_what_is_overdue() {
    let clock = clock();
    let manager = quiet(&clock).build().expect("legal settings");
    manager.add_stock(LAPTOPS, 5, "SUPPLIER").expect("room");
    let holds = [1, 2, 2].map(|units| manager.reserve(LAPTOPS, units, ms(100)).expect("stock"));
    clock.advance(ms(100));
    let short = ReserveError::Insufficient {
        needed: 3,
        available: 0,
        safety_stock: 0,
        overdue_left: false,
    };
    assert_eq!(manager.reserve(LAPTOPS, 3, ms(100)), Err(short), "the last millisecond counts");

    clock.advance(ms(1));
    manager.reserve(LAPTOPS, 3, ms(100)).expect("the first two gave theirs back");
    let status = |id| manager.reservation(id).expect("kept").status;
    use ReservationStatus::{Expired, Pending};
    assert_eq!(holds.map(status), [Expired, Expired, Pending], "no more than were needed");
    assert_eq!(counts(&manager, LAPTOPS), (0, 5, 0));

    let short = ReserveError::Insufficient {
        needed: 3,
        available: 2,
        safety_stock: 0,
        overdue_left: false,
    };
    assert_eq!(manager.sell(LAPTOPS, 3), Err(short));
    assert_eq!(holds.map(status), [Expired; 3]);
}

#[test]
fn a_basket_takes_back_what_all_its_lines_need_and_no_more() {
    const MICE: (&str, &str) = ("SF", "MOUSE");
    let clock = clock();
    let manager = quiet(&clock).build().expect("legal settings");
    for level in [LAPTOPS, MICE] {
        manager.add_stock(level, 4, "SUPPLIER").expect("room");
    }
    let hold = |level| manager.reserve(level, 2, ms(100)).expect("stock");
    let holds = [LAPTOPS, MICE, LAPTOPS, MICE].map(hold);
    clock.advance(ms(101));
    let lines = [BasketLine::new(LAPTOPS, 2), BasketLine::new(MICE, 2)];
    manager.reserve_basket(&lines, LONG).expect("taken back");
    let status = |id| manager.reservation(id).expect("kept").status;
    use ReservationStatus::{Expired, Pending};
    assert_eq!(holds.map(status), [Expired, Expired, Pending, Pending]);
}

/// A scan that found all that was overdue need not be done again in the same millisecond, but in
/// the next one.
#[test]
fn what_falls_due_a_millisecond_after_a_look_is_found_by_the_next() {
    let clock = clock();
    let manager = quiet(&clock).build().expect("legal settings");
    manager.add_stock(LAPTOPS, 2, "SUPPLIER").expect("room");
    let hold = |ttl| manager.reserve(LAPTOPS, 1, ms(ttl)).expect("stock");
    let holds = [hold(100), hold(101)];
    clock.advance(ms(101));
    let request = || manager.request().hold_units().request_transfer("SF", "NYC", "LAPTOP", 2);
    let short = RequestTransferError::Insufficient { needed: 2, available: 1, overdue_left: false };
    for _ in 0..2 {
        assert_eq!(request(), Err(short.clone()), "the second is not overdue");
    }
    clock.advance(ms(1));
    request().expect("taken back");
    let status = |id| manager.reservation(id).expect("kept").status;
    assert_eq!(holds.map(status), [ReservationStatus::Expired; 2]);
}

/// Slots are units of another kind: who finds none left takes back those of overdue holds.
#[test]
fn a_hold_that_finds_no_slot_takes_that_of_an_overdue_one() {
    let clock = clock();
    let limits = small().max_reservations(1);
    let manager = quiet(&clock).limits(limits).build().expect("legal settings");
    manager.add_stock(LAPTOPS, 2, "SUPPLIER").expect("room");
    let first = manager.reserve(LAPTOPS, 1, ms(100)).expect("a slot");
    let full = Err(ReserveError::Full { slots: 1 });
    assert_eq!(manager.reserve(LAPTOPS, 1, LONG), full);
    clock.advance(ms(101));
    let second = manager.reserve(LAPTOPS, 1, LONG).expect("the slot of the first");
    assert_ne!(first, second);
    assert_eq!(manager.reserve(LAPTOPS, 1, LONG), full, "the second one lives");
    assert_eq!(counts(&manager, LAPTOPS), (1, 1, 0));
}

#[test]
fn everything_that_needs_units_takes_back_what_is_overdue() {
    let clock = clock();
    let manager = quiet(&clock).build().expect("legal settings");
    manager.add_stock(LAPTOPS, 4, "SUPPLIER").expect("room");
    let overdue = || {
        manager.reserve(LAPTOPS, 4, ms(100)).expect("stock");
        clock.advance(ms(101));
    };
    overdue();
    let sold = manager.sell(LAPTOPS, 4).expect("taken back");
    manager.cancel_sale(LAPTOPS, 4, "declined").expect("sold");
    assert_eq!(manager.reservation(sold).map(|it| it.status), Ok(ReservationStatus::Confirmed));

    overdue();
    let lines = [BasketLine::new(LAPTOPS, 1), BasketLine::new(LAPTOPS, 3)];
    let basket = manager.reserve_basket(&lines, ms(100)).expect("taken back");
    assert_eq!(manager.release(basket), Ok(Release::Released));

    overdue();
    manager.transfer("SF", "NYC", "LAPTOP", 1).expect("taken back");
    manager.transfer("NYC", "SF", "LAPTOP", 1).expect("stock");

    overdue();
    manager.remove_stock(LAPTOPS, 4, "dropped").expect("taken back");
    assert_eq!(counts(&manager, LAPTOPS), (0, 0, 0));
}

#[test]
fn a_call_ends_no_more_overdue_holds_than_it_is_allowed_to() {
    let clock = clock();
    let manager = quiet(&clock).limits(small().overdue_limit(2)).build().expect("legal settings");
    manager.add_stock(LAPTOPS, 9, "SUPPLIER").expect("room");
    single_holds(&manager, 9, ms(100));
    clock.advance(ms(101));

    let refused = |available| ReserveError::Insufficient {
        needed: 9,
        available,
        safety_stock: 0,
        overdue_left: true,
    };
    assert_eq!(manager.reserve(LAPTOPS, 9, ms(1)), Err(refused(2)));
    assert_eq!(manager.sell(LAPTOPS, 9), Err(refused(4)));
    assert!(refused(4).is_retryable());
    let lines = [BasketLine::new(LAPTOPS, 9)];
    match manager.reserve_basket(&lines, ms(1)) {
        Err(BasketError::Insufficient { lines, overdue_left: true }) => {
            assert_eq!((lines[0].needed, lines[0].available), (9, 6));
        }
        other => panic!("{other:?}"),
    }
    assert!(manager.remove_stock(LAPTOPS, 9, "dropped").is_err());
    assert_eq!(manager.available(LAPTOPS).expect("known"), 8);
    manager.reserve(LAPTOPS, 9, ms(1)).expect("the last one");
}

#[test]
fn more_overdue_holds_than_the_queue_has_places_do_not_stop_a_quiet_engine() {
    let clock = clock();
    let manager = quiet(&clock).limits(small().audit_queue(16)).build().expect("legal settings");
    manager.add_stock(LAPTOPS, 100, "SUPPLIER").expect("room");
    let holds = manager.clone();
    within(ms(20_000), move || {
        single_holds(&holds, 100, ms(100));
        clock.advance(ms(101));
        holds.reserve(LAPTOPS, 100, ms(100)).expect("all were taken back");
        clock.advance(ms(101));
        holds.run_until_idle();
    });
    assert_eq!(counts(&manager, LAPTOPS), (100, 0, 0));
    ledger::assert_legal(&log_of(&manager)).assert_ends_as(&manager);
}

#[test]
fn who_will_not_wait_for_the_queue_does_not_wait_for_overdue_holds_either() {
    let (sink, control) = FaultySink::new();
    let clock = clock();
    let manager = threaded()
        .clock(Arc::clone(&clock))
        .sweeper(false)
        .limits(small().audit_queue(16))
        .backpressure(Backpressure::Refuse)
        .sink(sink)
        .build()
        .expect("legal settings");
    manager.add_stock(LAPTOPS, 100, "SUPPLIER").expect("room");
    for _ in 0..100 {
        manager.flush().wait().expect("a healthy sink");
        single_holds(&manager, 1, ms(100));
    }
    manager.flush().wait().expect("a healthy sink");
    control.stall();
    clock.advance(ms(101));
    let caller = manager.clone();
    within(ms(20_000), move || {
        for _ in 0..100 {
            let refused = caller.reserve(LAPTOPS, 100, ms(100)).expect_err("not all came back");
            assert!(refused.is_retryable(), "{refused}");
        }
    });
    let stats = manager.stats();
    assert!(stats.queue_depth < stats.queue_capacity, "the last quarter is not for new calls");
    control.recover();
    let retry = || manager.reserve(LAPTOPS, 100, ms(100)).is_err_and(|error| error.is_retryable());
    while retry() {
        manager.flush().wait().expect("a healthy sink");
    }
    assert_eq!(counts(&manager, LAPTOPS), (0, 100, 0));
    ledger::assert_legal(&log_of(&manager)).assert_ends_as(&manager);
}

#[test]
fn the_sweeper_ends_what_is_overdue_while_others_buy() {
    const HOLDS: u32 = 20_000;
    let manager = threaded().build().expect("legal settings");
    manager.add_stock(LAPTOPS, HOLDS, "SUPPLIER").expect("room");
    manager.add_stock(("SF", "MOUSE"), 1, "SUPPLIER").expect("room");
    single_holds(&manager, HOLDS as usize - 1, ms(200));
    let lasting = manager.reserve(LAPTOPS, 1, LONG).expect("stock");
    let mut bought = 0_u32;
    let limit = Instant::now() + Duration::from_secs(60);
    while manager.held(LAPTOPS).expect("known") > 1 {
        let mouse = manager.sell(("SF", "MOUSE"), 1).expect("the mice are nobody else's");
        manager.cancel_sale(("SF", "MOUSE"), 1, "again").expect("just sold");
        assert_eq!(manager.reservation(mouse).map(|it| it.lines.len()), Ok(1));
        bought += 1;
        assert!(
            Instant::now() < limit,
            "the sweeper left {} units",
            manager.held(LAPTOPS).expect("known")
        );
    }
    assert!(bought > 0);
    assert_eq!(counts(&manager, LAPTOPS), (HOLDS - 1, 1, 0));
    assert_eq!(manager.reservation(lasting).map(|it| it.status), Ok(ReservationStatus::Pending));
    ledger::assert_legal(&log_of(&manager)).assert_ends_as(&manager);
}

#[test]
fn without_a_sweeper_nothing_ends_by_itself() {
    let manager = threaded().sweeper(false).build().expect("legal settings");
    manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
    let hold = manager.reserve(LAPTOPS, 1, ms(1)).expect("stock");
    thread::sleep(ms(60));
    assert_eq!(manager.reservation(hold).map(|it| it.status), Ok(ReservationStatus::Pending));
    assert!(manager.stats().sweeper_lag >= ms(50));
    manager.reserve(LAPTOPS, 1, LONG).expect("taken back");
}
