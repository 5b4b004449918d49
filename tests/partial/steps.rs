//! Partial confirms and partial releases.

use std::time::Duration;

use stockade::{
    AdjustmentType, AuditFilter, BasketLine, CallError, ConfirmOrRetake, Gone, IdempotencyKey,
    InvalidInput, Limits, NoReservation, PartialError, PlaceError, Release, ReservationStatus,
    RetakeError, SoldLinesError,
};

use crate::{CABLE, LAPTOP, MOUSE, TTL, basket, counts, line, parts, shop, shop_with};

#[test]
fn some_units_are_sold_and_the_others_stay_held() {
    let (manager, _) = shop();
    let id = basket(&manager);
    let status = manager.confirm_lines(id, &[line(LAPTOP, 2), line(CABLE, 5)]);
    assert_eq!(status, Ok(ReservationStatus::Pending));
    let found = manager.reservation(id).expect("a record");
    assert_eq!(found.status, ReservationStatus::Pending);
    assert_eq!(parts(&found, LAPTOP), (3, 1, 2));
    assert_eq!(parts(&found, MOUSE), (4, 4, 0));
    assert_eq!(parts(&found, CABLE), (5, 0, 5));
    assert_eq!(counts(&manager, LAPTOP), (7, 3, 2));
    assert_eq!(counts(&manager, CABLE), (5, 5, 5));
    assert_eq!((found.units_held(), found.units_sold()), (5, 7));
}

#[test]
fn some_units_are_given_back_and_the_others_stay_held() {
    let (manager, _) = shop();
    let id = basket(&manager);
    // Equal lines are merged.
    let status = manager.release_lines(id, &[line(MOUSE, 1), line(CABLE, 2), line(MOUSE, 1)]);
    assert_eq!(status, Ok(ReservationStatus::Pending));
    let found = manager.reservation(id).expect("a record");
    assert_eq!(parts(&found, LAPTOP), (3, 3, 0));
    assert_eq!(parts(&found, MOUSE), (4, 2, 0));
    assert_eq!(parts(&found, CABLE), (5, 3, 0));
    let given_back: Vec<u32> = found.lines.iter().map(|line| line.given_back()).collect();
    assert_eq!((given_back, found.units_given_back()), (vec![0, 2, 2], 4), "of a live hold, too");
    assert_eq!(counts(&manager, MOUSE), (8, 2, 0));
    assert_eq!(counts(&manager, CABLE), (7, 3, 0));
}

#[test]
fn one_step_sells_some_and_gives_the_rest_back() {
    let (manager, _) = shop();
    let id = basket(&manager);
    manager.confirm_lines(id, &[line(LAPTOP, 1)]).expect("held");
    let status = manager.confirm_lines_and_release_rest(id, &[line(LAPTOP, 1), line(MOUSE, 4)]);
    assert_eq!(status, Ok(ReservationStatus::Confirmed));
    let found = manager.reservation(id).expect("a record");
    assert_eq!(found.status, ReservationStatus::Confirmed);
    assert_eq!(parts(&found, LAPTOP), (3, 0, 2));
    assert_eq!(parts(&found, MOUSE), (4, 0, 4));
    assert_eq!(parts(&found, CABLE), (5, 0, 0));
    assert_eq!(found.lines.iter().map(|line| line.given_back()).sum::<u32>(), 6);
    assert_eq!(counts(&manager, LAPTOP), (8, 2, 2));
    assert_eq!(counts(&manager, MOUSE), (6, 4, 4));
    assert_eq!(counts(&manager, CABLE), (10, 0, 0));
    let gone = Gone::PartlySold { sold: 6, returned: 6 };
    assert_eq!(manager.confirm(id), Err(gone.into()));
}

#[test]
fn a_step_that_names_more_than_is_held_moves_nothing() {
    let (manager, _) = shop();
    let id = basket(&manager);
    manager.confirm_lines(id, &[line(LAPTOP, 2)]).expect("held");
    let refused = manager.release_lines(id, &[line(MOUSE, 1), line(LAPTOP, 2)]);
    let expected = PartialError::NotHeld {
        warehouse: "SF".into(),
        product: "LAPTOP".into(),
        needed: 2,
        held: 1,
    };
    assert_eq!(refused, Err(expected));
    assert_eq!(counts(&manager, MOUSE), (6, 4, 0));
    manager.add_stock(("NYC", "MOUSE"), 1, "SUPPLIER").expect("room");
    let no_line = manager.confirm_lines(id, &[line(("NYC", "MOUSE"), 1)]);
    assert!(matches!(no_line, Err(PartialError::NotHeld { needed: 1, held: 0, .. })));
    assert_eq!(manager.confirm_lines(id, &[]), Err(PartialError::Input(InvalidInput::Empty)));
    assert!(matches!(
        manager.confirm_lines(id, &[line(MOUSE, 0)]),
        Err(PartialError::Input(InvalidInput::Quantity(_)))
    ));
}

#[test]
fn a_single_line_is_sold_and_given_back_in_parts() {
    let (manager, _) = shop();
    let id = manager.reserve(LAPTOP, 5, TTL).expect("stock");
    for units in 1..=2 {
        let status = manager.confirm_lines(id, &[line(LAPTOP, units)]);
        assert_eq!(status, Ok(ReservationStatus::Pending));
    }
    assert_eq!(manager.release_lines(id, &[line(LAPTOP, 1)]), Ok(ReservationStatus::Pending));
    let found = manager.reservation(id).expect("a record");
    assert_eq!(parts(&found, LAPTOP), (5, 1, 3));
    assert_eq!(counts(&manager, LAPTOP), (6, 4, 3));
    manager.confirm(id).expect("one is held");
    let found = manager.reservation(id).expect("a record");
    assert_eq!((found.status, parts(&found, LAPTOP)), (ReservationStatus::Confirmed, (5, 0, 4)));
    assert_eq!(counts(&manager, LAPTOP), (6, 4, 4));
}

#[test]
fn what_is_given_back_entirely_without_a_sale_is_released() {
    let (manager, _) = shop();
    let id = basket(&manager);
    manager.release_lines(id, &[line(LAPTOP, 3), line(MOUSE, 4)]).expect("held");
    assert_eq!(manager.release_lines(id, &[line(CABLE, 5)]), Ok(ReservationStatus::Released));
    assert_eq!(manager.reservation(id).expect("a record").status, ReservationStatus::Released);
    assert_eq!(manager.release(id), Ok(Release::AlreadyReleased));
    let released = Gone::Released { returned: 12 };
    assert_eq!(manager.release_lines(id, &[line(CABLE, 1)]), Err(released.into()));
    for level in [LAPTOP, MOUSE, CABLE] {
        assert_eq!(counts(&manager, level), (10, 0, 0));
    }
}

#[test]
fn a_hold_that_sold_something_is_confirmed_however_it_ends() {
    let (manager, clock) = shop();
    let released = basket(&manager);
    manager.confirm_lines(released, &[line(LAPTOP, 1)]).expect("held");
    let partly = Release::PartlySold { sold: 1, returned: 11 };
    assert_eq!(manager.release(released), Ok(partly));
    let found = manager.reservation(released).expect("a record");
    assert_eq!(found.status, ReservationStatus::Confirmed);
    assert_eq!((parts(&found, LAPTOP), parts(&found, CABLE)), ((3, 0, 1), (5, 0, 0)));
    // Its last units were given back, so that nobody may take it for sold as a whole.
    assert_eq!(manager.confirm(released), Err(Gone::PartlySold { sold: 1, returned: 11 }.into()));
    assert_eq!(manager.release(released), Ok(partly), "a repeat hears the same");

    let expired = basket(&manager);
    manager.confirm_lines(expired, &[line(MOUSE, 1)]).expect("held");
    clock.advance(TTL + Duration::from_millis(1));
    manager.run_until_idle();
    let found = manager.reservation(expired).expect("a record");
    assert_eq!((found.status, parts(&found, MOUSE)), (ReservationStatus::Confirmed, (4, 0, 1)));
    let gone = Gone::PartlySold { sold: 1, returned: 11 };
    assert_eq!(manager.confirm(expired), Err(gone.into()));
    let refused = manager.confirm_lines(expired, &[line(MOUSE, 1)]);
    assert_eq!(refused, Err(gone.into()));
    assert_eq!(counts(&manager, LAPTOP), (9, 1, 1));
    assert_eq!(counts(&manager, MOUSE), (9, 1, 1));
    assert_eq!(counts(&manager, CABLE), (10, 0, 0));
}

#[test]
fn a_step_on_an_overdue_hold_expires_it() {
    let (manager, clock) = shop();
    let id = basket(&manager);
    let at = manager.reservation(id).expect("a record").expires_at;
    clock.advance(TTL + Duration::from_millis(1));
    let refused = manager.confirm_lines(id, &[line(LAPTOP, 1)]);
    assert_eq!(refused, Err(Gone::Expired { at, returned: 12 }.into()));
    assert_eq!(manager.reservation(id).expect("a record").status, ReservationStatus::Expired);
    assert_eq!(counts(&manager, LAPTOP), (10, 0, 0));
}

#[test]
fn a_step_neither_shortens_the_hold_nor_hides_it_from_the_sweeper() {
    let (manager, clock) = shop();
    let id = basket(&manager);
    manager.extend(id, 2 * TTL).expect("pending");
    manager.release_lines(id, &[line(LAPTOP, 1)]).expect("held");
    clock.advance(TTL + Duration::from_millis(1));
    manager.run_until_idle();
    assert_eq!(manager.held(LAPTOP).expect("known"), 2);
    manager.extend(id, 2 * TTL).expect("pending");
    clock.advance(2 * TTL + Duration::from_millis(1));
    manager.run_until_idle();
    assert_eq!(counts(&manager, LAPTOP), (10, 0, 0));
}

#[test]
fn one_record_carries_all_entries_of_a_step() {
    let (manager, _) = shop();
    let id = basket(&manager);
    let request = || manager.request().note("order", "A-1");
    request().confirm_lines_and_release_rest(id, &[line(LAPTOP, 2), line(CABLE, 5)]).expect("held");
    manager.run_until_idle();
    let entries = manager.audit_log().query(&AuditFilter::new().reservation(id)).entries;
    let seen: Vec<_> = entries
        .iter()
        .map(|entry| {
            (entry.entry_type, entry.product.as_deref().unwrap_or_default(), entry.quantity)
        })
        .collect();
    use AdjustmentType::*;
    let expected = [
        (Reserved.into(), "LAPTOP", 3),
        (Reserved.into(), "MOUSE", 4),
        (Reserved.into(), "CABLE", 5),
        (Sold.into(), "LAPTOP", 2),
        (Sold.into(), "CABLE", 5),
        (Returned.into(), "LAPTOP", 1),
        (Returned.into(), "MOUSE", 4),
    ];
    assert_eq!(seen, expected);
    assert!(entries[3..].iter().all(|entry| entry.note("order") == Some("A-1")));
}

#[test]
fn a_retried_step_moves_nothing_twice() {
    let (manager, _) = shop();
    let id = basket(&manager);
    let key = IdempotencyKey::try_from("payment-1").expect("a key");
    let step = || manager.request().key(key).confirm_lines(id, &[line(LAPTOP, 1)]);
    assert_eq!(step(), Ok(ReservationStatus::Pending));
    manager.confirm(id).expect("pending");
    assert_eq!(step(), Ok(ReservationStatus::Pending), "the first answer");
    assert_eq!(counts(&manager, LAPTOP), (7, 3, 3));
    let other = manager.request().key(key).release_lines(id, &[line(LAPTOP, 1)]);
    assert!(matches!(other, Err(PartialError::Call(CallError::Key(_)))));
}

#[test]
fn a_hold_that_sold_a_part_is_not_taken_again() {
    let lines = [line(LAPTOP, 3)];
    let (manager, clock) = shop_with(|builder| builder.limits(Limits::new().max_reservations(2)));
    let id = manager.reserve(LAPTOP, 3, TTL).expect("stock");
    manager.confirm_lines(id, &lines_of(1)).expect("held");
    clock.advance(TTL + Duration::from_millis(1));
    let late = manager.confirm_or_retake_lines(id, &lines);
    assert_eq!(late, Ok(ConfirmOrRetake::PartlySold { sold: 1, returned: 2 }));
    // Also where only the audit log remembers it.
    for _ in 0..4 {
        let _ = manager.sell(MOUSE, 1).expect("stock");
    }
    manager.run_until_idle();
    assert!(manager.reservation(id).is_err(), "forgotten");
    let late = manager.confirm_or_retake_lines(id, &lines);
    assert_eq!(late, Ok(ConfirmOrRetake::PartlySold { sold: 1, returned: 2 }));
    assert_eq!(counts(&manager, LAPTOP), (9, 1, 1));
}

fn lines_of(units: u32) -> [BasketLine<'static>; 1] {
    [line(LAPTOP, units)]
}

#[test]
fn a_late_payment_for_a_hold_that_gave_a_part_back_sells_the_rest() {
    let (manager, _) = shop();
    let id = manager.reserve(LAPTOP, 3, TTL).expect("stock");
    manager.release_lines(id, &lines_of(1)).expect("held");
    assert_eq!(manager.confirm_or_retake_lines(id, &lines_of(3)), Ok(ConfirmOrRetake::Confirmed));
    assert_eq!(counts(&manager, LAPTOP), (8, 2, 2));
}

#[test]
fn a_step_that_finds_no_slots_moves_nothing_and_whole_ends_need_none() {
    let (manager, _) = shop_with(|builder| builder.limits(Limits::new().max_reservations(3)));
    let id = basket(&manager);
    assert_eq!(manager.confirm_lines(id, &lines_of(1)), Err(PartialError::Full { slots: 3 }));
    assert_eq!(counts(&manager, LAPTOP), (7, 3, 0));
    let all = [line(LAPTOP, 3), line(MOUSE, 4), line(CABLE, 5)];
    assert_eq!(manager.confirm_lines(id, &all), Ok(ReservationStatus::Confirmed));
}

#[test]
fn steps_without_end_use_no_more_slots_than_two_chains() {
    let (manager, _) = shop_with(|builder| builder.limits(Limits::new().max_reservations(8)));
    for _ in 0..50 {
        let id = basket(&manager);
        for _ in 0..3 {
            manager.release_lines(id, &[line(MOUSE, 1)]).expect("held");
            assert_eq!(manager.stats().slots_live, 4);
        }
        assert_eq!(manager.release(id), Ok(Release::Released));
        assert_eq!(manager.stats().slots_live, 0);
    }
}

#[test]
fn a_step_wakes_no_slot_of_another_hold() {
    let (manager, _) = shop_with(|builder| builder.limits(Limits::new().max_reservations(8)));
    let first = manager.reserve_basket(&[line(LAPTOP, 2), line(CABLE, 2)], TTL).expect("stock");
    manager.release_lines(first, &[line(LAPTOP, 1)]).expect("held");
    // Reuses what the step discarded.
    let second = manager.reserve_basket(&[line(MOUSE, 1), line(CABLE, 1)], TTL).expect("stock");
    manager.confirm_lines(second, &[line(MOUSE, 1)]).expect("held");
    let found = manager.reservation(first).expect("a record");
    assert_eq!((parts(&found, LAPTOP), parts(&found, CABLE)), ((2, 1, 0), (2, 2, 0)));
    let found = manager.reservation(second).expect("a record");
    assert_eq!((parts(&found, MOUSE), parts(&found, CABLE)), ((1, 0, 1), (1, 1, 0)));
}

/// Steps on lines name their places, as a basket does.
#[test]
fn a_line_in_no_place_is_refused_to_every_step_on_a_hold() {
    let (manager, _) = shop();
    let id = basket(&manager);
    let before = manager.reservation(id);
    let unknown = PlaceError::UnknownWarehouse { warehouse: "LA".to_owned() };
    let lines = [line(("LA", "LAPTOP"), 1)];
    let partial = Err(PartialError::Place(unknown.clone()));
    assert_eq!(manager.confirm_lines(id, &lines), partial);
    assert_eq!(manager.release_lines(id, &lines), partial);
    assert_eq!(manager.confirm_lines_and_release_rest(id, &lines), partial);
    let settled = Err(SoldLinesError::Place(unknown.clone()));
    assert_eq!(manager.ship_lines(id, &lines), settled);
    assert_eq!(manager.cancel_sale_lines(id, &lines, "declined"), settled);
    assert_eq!(manager.reservation(id), before);
    // Without a record of the hold, nothing but the lines says where they lay.
    let (other, _) = shop();
    assert_eq!(other.confirm_or_retake_lines(id, &lines), Err(NoReservation::Unknown.into()));
    assert!(manager.release(id).is_ok());
    assert_eq!(manager.confirm_or_retake_lines(id, &lines), Err(RetakeError::OtherLines));
}
