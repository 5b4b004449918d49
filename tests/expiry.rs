//! The end of a hold's time: overdue holds are taken back by whoever needs their units and by the
//! sweeper behind, and `extend` prolongs what is still pending.

mod common;

use std::time::Duration;

use stockade::{
    ConfirmError, EventType, ExtendError, InvalidTtl, Release, ReservationStatus, Timestamp,
};

use common::{LAPTOPS, clock, counts, log_of, ms, quiet};

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
    let manager = quiet(&clock).longest_total_hold(ms(300)).build().expect("legal settings");
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
    let expired_at = Timestamp::from_millis(1_100);
    assert_eq!(manager.extend(overdue, ms(5)), Err(ExtendError::Expired { expired_at }));
    assert_eq!(manager.extend(overdue, ms(5)), Err(ExtendError::Expired { expired_at }));
    assert_eq!(manager.extend(released, ms(5)), Err(ExtendError::Released));
    assert_eq!(manager.extend(sold, ms(5)), Err(ExtendError::AlreadyConfirmed));
    let longest = Duration::from_secs(24 * 60 * 60);
    for ttl in [Duration::ZERO, longest + ms(1)] {
        let refused = ExtendError::Ttl(InvalidTtl { ttl, longest });
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
    let expired_at = Timestamp::from_millis(1_100);
    assert_eq!(manager.confirm(hold), Err(ConfirmError::Expired { expired_at }));
    assert_eq!(counts(&manager, LAPTOPS), (5, 0, 0));
    assert_eq!(manager.reservation(hold).map(|it| it.status), Ok(ReservationStatus::Expired));
    assert_eq!(manager.confirm(hold), Err(ConfirmError::Expired { expired_at }));
    assert_eq!(manager.release(hold), Ok(Release::Expired));
    let log = log_of(&manager);
    let last = log.last().expect("entries");
    assert_eq!((last.quantity, last.note("reason")), (2, Some("expired")), "ended once");
}
