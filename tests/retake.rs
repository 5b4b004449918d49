//! Late payments: `confirm_or_retake` in all its branches. However often and from wherever it is
//! called, a hold sells once.

mod common;

use std::sync::Arc;

use stockade::{
    AdjustmentType, AuditEntry, BasketLine, Builder, ConfirmOrRetake, EntryType, IdempotencyKey,
    InvalidInput, InventoryManager, Limits, ManualClock, NoReservation, PlaceError, Release,
    ReservationId, ReservationStatus, RetakeError, ShortLine, WhenFull,
};

use common::{
    LAPTOPS, LONG, MICE, bury, clock, counts, ledger, log_of, ms, quiet, race, small, threaded,
};

/// An engine with ten laptops and ten mice.
fn stocked(builder: Builder) -> InventoryManager {
    let manager = builder.build().expect("legal settings");
    manager.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
    manager.add_stock(MICE, 10, "SUPPLIER").expect("room");
    manager
}

fn laptops(units: u32) -> [BasketLine<'static>; 1] {
    [BasketLine::new(LAPTOPS, units)]
}

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::try_from(text).expect("a legal key")
}

/// A released hold of two laptops.
fn released(manager: &InventoryManager) -> ReservationId {
    let hold = manager.reserve(LAPTOPS, 2, LONG).expect("stock");
    assert_eq!(manager.release(hold), Ok(Release::Released));
    hold
}

fn entries_of(manager: &InventoryManager, id: ReservationId) -> Vec<AuditEntry> {
    let mut entries = log_of(manager);
    entries.retain(|entry| entry.reservation == Some(id));
    entries
}

fn types(entries: &[AuditEntry]) -> Vec<EntryType> {
    entries.iter().map(|entry| entry.entry_type).collect()
}

/// An engine with short retention.
fn forgetful(clock: &Arc<ManualClock>) -> Builder {
    quiet(clock).limits(few())
}

/// Few slots, so that each is soon reused.
fn few() -> Limits {
    small().max_reservations(8).retention(ms(0), 0)
}

#[test]
fn a_pending_hold_is_confirmed() {
    let manager = stocked(quiet(&clock()));
    let hold = manager.reserve(LAPTOPS, 3, LONG).expect("stock");
    assert_eq!(manager.confirm_or_retake_lines(hold, &laptops(3)), Ok(ConfirmOrRetake::Confirmed));
    assert_eq!(counts(&manager, LAPTOPS), (7, 3, 3));
    let record = manager.reservation(hold).expect("kept");
    assert_eq!((record.status, record.retaken_from), (ReservationStatus::Confirmed, None));
    let entries = entries_of(&manager, hold);
    assert_eq!(types(&entries), [AdjustmentType::Reserved.into(), AdjustmentType::Sold.into()]);
}

#[test]
fn the_lines_may_be_named_in_any_order_and_way() {
    let manager = stocked(quiet(&clock()));
    let handle = manager.level(LAPTOPS).expect("open");
    let lines = [BasketLine::new(LAPTOPS, 3), BasketLine::new(MICE, 2)];
    let hold = manager.reserve_basket(&lines, LONG).expect("stock");
    let named = [BasketLine::new(MICE, 2), BasketLine::new(LAPTOPS, 1), BasketLine::new(handle, 2)];
    assert_eq!(manager.confirm_or_retake_lines(hold, &named), Ok(ConfirmOrRetake::Confirmed));
    assert_eq!((manager.sold(LAPTOPS).expect("known"), manager.sold(MICE).expect("known")), (3, 2));
}

#[test]
fn a_pending_hold_in_a_suspended_warehouse_is_confirmed() {
    let manager = stocked(quiet(&clock()));
    let hold = manager.reserve(LAPTOPS, 3, LONG).expect("stock");
    manager.suspend("SF").expect("a warehouse");
    assert_eq!(manager.confirm_or_retake_lines(hold, &laptops(3)), Ok(ConfirmOrRetake::Confirmed));
}

#[test]
fn a_pending_hold_is_not_confirmed_for_other_lines() {
    let stranger = {
        let manager = stocked(quiet(&clock()));
        manager.open_level("NYC", "DESK").expect("a warehouse")
    };
    for suspended in [false, true] {
        let manager = stocked(quiet(&clock()));
        let hold = manager.reserve(LAPTOPS, 3, LONG).expect("stock");
        if suspended {
            manager.suspend("SF").expect("a warehouse");
        }
        for other in [
            vec![BasketLine::new(LAPTOPS, 2)],
            vec![BasketLine::new(LAPTOPS, 4)],
            vec![BasketLine::new(MICE, 3)],
            vec![BasketLine::new(LAPTOPS, 3), BasketLine::new(MICE, 1)],
            vec![BasketLine::new(LAPTOPS, 3), BasketLine::new(LAPTOPS, 1)],
            vec![BasketLine::new(LAPTOPS, 3), BasketLine::new(LAPTOPS, stockade::MAX_UNITS)],
            vec![BasketLine::new(LAPTOPS, 3), BasketLine::new(("SF", "NEVER STOCKED"), 1)],
            vec![BasketLine::new(("NYC", "LAPTOP"), 3)],
            vec![BasketLine::new(("MARS", "LAPTOP"), 3)],
        ] {
            let refused = manager.request().key(key("late")).confirm_or_retake_lines(hold, &other);
            assert_eq!(refused, Err(RetakeError::OtherLines), "{other:?}");
        }
        let lines = [BasketLine::new(stranger, 3)];
        let refused = manager.request().key(key("late")).confirm_or_retake_lines(hold, &lines);
        assert_eq!(refused, Err(PlaceError::ForeignHandle.into()));
        assert_eq!(counts(&manager, LAPTOPS), (7, 3, 0));
        assert_eq!(manager.stats().refusals.insufficient, 0, "no reserve was refused");
        // Refusals are not remembered.
        let sold = manager.request().key(key("late")).confirm_or_retake_lines(hold, &laptops(3));
        assert_eq!(sold, Ok(ConfirmOrRetake::Confirmed));
    }
}

#[test]
fn a_hold_that_sold_says_so_with_its_units() {
    let manager = stocked(quiet(&clock()));
    let lines = [BasketLine::new(LAPTOPS, 3), BasketLine::new(MICE, 4)];
    let hold = manager.reserve_basket(&lines, LONG).expect("stock");
    manager.confirm(hold).expect("pending");
    for attempt in ["first", "first", "second"] {
        let answer = manager.request().key(key(attempt)).confirm_or_retake_lines(hold, &lines);
        assert_eq!(answer, Ok(ConfirmOrRetake::AlreadySold { units: 7 }), "{attempt}");
    }
    // Whatever lines are named.
    let answer = manager.confirm_or_retake_lines(hold, &laptops(1));
    assert_eq!(answer, Ok(ConfirmOrRetake::AlreadySold { units: 7 }));
    assert_eq!((counts(&manager, LAPTOPS), counts(&manager, MICE)), ((7, 3, 3), (6, 4, 4)));
    let sale = manager.sell(MICE, 2).expect("stock");
    let answer = manager.confirm_or_retake_lines(sale, &[BasketLine::new(MICE, 2)]);
    assert_eq!(answer, Ok(ConfirmOrRetake::AlreadySold { units: 2 }));
}

#[test]
fn an_overdue_hold_is_taken_anew_under_another_id() {
    let clock = clock();
    let manager = stocked(quiet(&clock));
    let lines = [BasketLine::new(LAPTOPS, 3), BasketLine::new(MICE, 4)];
    let hold = manager.reserve_basket(&lines, ms(100)).expect("stock");
    clock.advance(ms(101));
    let Ok(ConfirmOrRetake::Retaken(new)) = manager.confirm_or_retake_lines(hold, &lines) else {
        panic!("the units are there");
    };
    assert_eq!((counts(&manager, LAPTOPS), counts(&manager, MICE)), ((7, 3, 3), (6, 4, 4)));

    let old = manager.reservation(hold).expect("kept");
    assert_eq!((old.status, old.retaken_from), (ReservationStatus::Expired, None));
    let record = manager.reservation(new).expect("kept");
    assert_eq!((record.status, record.retaken_from), (ReservationStatus::Confirmed, Some(hold)));
    let units: Vec<u32> = record.lines.iter().map(|line| line.quantity).collect();
    assert_eq!(units, [3, 4]);

    use AdjustmentType::{Reserved, Returned, Sold};
    let entries = entries_of(&manager, hold);
    assert_eq!(types(&entries), [Reserved, Reserved, Returned, Returned].map(EntryType::from));
    assert!(entries.iter().all(|entry| entry.retaken_from.is_none()));
    let entries = entries_of(&manager, new);
    assert_eq!(types(&entries), [Reserved, Reserved, Sold, Sold].map(EntryType::from));
    assert!(entries.iter().all(|entry| entry.retaken_from == Some(hold)));
    ledger::assert_legal(&log_of(&manager)).assert_ends_as(&manager);
}

#[test]
fn a_hold_is_taken_anew_once_whoever_asks() {
    let manager = stocked(quiet(&clock()));
    let hold = released(&manager);
    let ask =
        |attempt| manager.request().key(key(attempt)).confirm_or_retake_lines(hold, &laptops(2));
    let Ok(ConfirmOrRetake::Retaken(new)) = ask("first") else { panic!("the units are there") };
    assert_eq!(ask("first"), Ok(ConfirmOrRetake::Retaken(new)), "its answer was lost");
    assert_eq!(ask("second"), Ok(ConfirmOrRetake::AlreadyRetaken(new)));
    assert_eq!(ask("second"), Ok(ConfirmOrRetake::AlreadyRetaken(new)));
    let without_key = manager.confirm_or_retake_lines(hold, &laptops(2));
    assert_eq!(without_key, Ok(ConfirmOrRetake::AlreadyRetaken(new)));
    assert_eq!(counts(&manager, LAPTOPS), (8, 2, 2));

    let of_the_new = manager.confirm_or_retake_lines(new, &laptops(2));
    assert_eq!(of_the_new, Ok(ConfirmOrRetake::AlreadySold { units: 2 }));
    for attempt in ["first", "second"] {
        assert_eq!(manager.reservation_by_key(&key(attempt)).map(|it| it.id), Ok(new));
    }
}

#[test]
fn many_threads_with_different_keys_sell_once() {
    for round in 0..30 {
        let manager = stocked(threaded());
        let hold = released(&manager);
        let answers = race(8, |thread| {
            let request = manager.request().key(key(&format!("payment {thread}")));
            request.confirm_or_retake_lines(hold, &laptops(2)).expect("the units are there")
        });
        let winners: Vec<_> = answers
            .iter()
            .filter_map(|answer| match answer {
                ConfirmOrRetake::Retaken(id) => Some(*id),
                _ => None,
            })
            .collect();
        assert_eq!(winners.len(), 1, "round {round}: {answers:?}");
        let others =
            answers.iter().filter(|it| **it == ConfirmOrRetake::AlreadyRetaken(winners[0]));
        assert_eq!(others.count(), 7, "round {round}: {answers:?}");
        assert_eq!(counts(&manager, LAPTOPS), (8, 2, 2));
        ledger::assert_legal(&log_of(&manager)).assert_ends_as(&manager);
    }
}

/// A payment that arrives while the hold ends. The hold is confirmed or retaken, and sold once.
#[test]
fn a_payment_that_races_with_the_end_of_its_hold_sells_once() {
    for round in 0..60 {
        let manager = stocked(threaded());
        let hold = manager.reserve(LAPTOPS, 2, LONG).expect("stock");
        let answers = race(3, |thread| {
            if thread == 0 {
                let _ = manager.release(hold);
                return None;
            }
            loop {
                match manager.confirm_or_retake_lines(hold, &laptops(2)) {
                    Err(RetakeError::Changing) => std::thread::yield_now(),
                    answer => return Some(answer.expect("the units are there")),
                }
            }
        });
        assert_eq!(counts(&manager, LAPTOPS), (8, 2, 2), "round {round}: {answers:?}");
        ledger::assert_legal(&log_of(&manager)).assert_ends_as(&manager);
    }
}

#[test]
fn for_a_slot_that_was_used_since_the_log_decides() {
    let clock = clock();
    let manager = stocked(forgetful(&clock));
    let expired = manager.reserve(LAPTOPS, 1, ms(100)).expect("stock");
    clock.advance(ms(101));
    manager.run_until_idle();
    let unsold = released(&manager);
    let sold = manager.sell(LAPTOPS, 3).expect("stock");
    for id in [expired, unsold, sold] {
        bury(&manager, id);
    }
    let answer = manager.confirm_or_retake_lines(sold, &laptops(3));
    assert_eq!(answer, Ok(ConfirmOrRetake::AlreadySold { units: 3 }));
    assert_eq!(counts(&manager, LAPTOPS), (7, 3, 3));
    for (id, units) in [(expired, 1), (unsold, 2)] {
        let answer = manager.confirm_or_retake_lines(id, &laptops(units));
        let Ok(ConfirmOrRetake::Retaken(new)) = answer else { panic!("{answer:?}") };
        let again = manager.confirm_or_retake_lines(id, &laptops(units));
        assert_eq!(again, Ok(ConfirmOrRetake::AlreadyRetaken(new)));
    }
    assert_eq!(counts(&manager, LAPTOPS), (4, 6, 6));
}

#[test]
fn the_log_is_waited_for_before_it_decides() {
    for _ in 0..40 {
        let manager = stocked(threaded().limits(few()));
        let sold = manager.sell(LAPTOPS, 3).expect("stock");
        bury(&manager, sold);
        let answer = manager.confirm_or_retake_lines(sold, &laptops(3));
        assert_eq!(answer, Ok(ConfirmOrRetake::AlreadySold { units: 3 }));
    }
}

/// The old id's own key is dropped before the log's entry: the log knows of the retake.
#[test]
fn a_retake_that_only_the_log_remembers_is_not_made_again() {
    let clock = clock();
    for is_forgotten in [false, true] {
        for by_count in [false, true] {
            let limits = if is_forgotten { few() } else { small() };
            let count = if by_count { 1 } else { 1_000 };
            let manager = stocked(
                quiet(&clock)
                    .limits(limits.key_retention(ms(50), count).when_full(WhenFull::DropOldest)),
            );
            let hold = released(&manager);
            let Ok(ConfirmOrRetake::Retaken(new)) =
                manager.confirm_or_retake_lines(hold, &laptops(2))
            else {
                panic!("the units are there");
            };
            if by_count {
                let crowd = manager.request().key(key("another")).ship(LAPTOPS, 1);
                crowd.expect("sold before");
            } else {
                clock.advance(ms(51));
            }
            if is_forgotten {
                bury(&manager, hold);
            }
            let again = manager.confirm_or_retake_lines(hold, &laptops(2));
            assert_eq!(again, Ok(ConfirmOrRetake::AlreadyRetaken(new)));
            assert_eq!(manager.counts(LAPTOPS).expect("known").available, 8);
        }
    }
}

/// Writes so many entries that an earlier one is evicted from a log that retains very few.
fn outlive_the_log(manager: &InventoryManager, clock: &ManualClock) {
    clock.advance(ms(1));
    for _ in 0..1_500 {
        manager.sell(MICE, 1).expect("stock");
        manager.cancel_sale(MICE, 1, "again").expect("just sold");
    }
    manager.flush().wait().expect("a healthy log");
}

#[test]
fn where_the_log_does_not_reach_back_nothing_is_sold() {
    let clock = clock();
    let manager =
        stocked(quiet(&clock).limits(few().audit_retained(1).key_retention(ms(10), 1_000)));
    let (unsold, sold) = (released(&manager), manager.sell(LAPTOPS, 3).expect("stock"));
    outlive_the_log(&manager, &clock);
    assert!(manager.audit_log().evicted() > 3_000);
    for id in [unsold, sold] {
        bury(&manager, id);
        let forgotten = manager.request().key(key("late")).confirm_or_retake_lines(id, &laptops(2));
        assert_eq!(forgotten, Err(RetakeError::NoReservation(NoReservation::Forgotten)));
    }
    assert_eq!(counts(&manager, LAPTOPS), (7, 3, 3));

    // A hold that is younger than all that has left the log is another matter.
    clock.advance(ms(1));
    let young = released(&manager);
    bury(&manager, young);
    let answer = manager.confirm_or_retake_lines(young, &laptops(2));
    assert!(matches!(answer, Ok(ConfirmOrRetake::Retaken(_))), "{answer:?}");
}

#[test]
fn a_record_that_is_kept_needs_no_log_until_keys_were_dropped() {
    let clock = clock();
    let manager =
        stocked(quiet(&clock).limits(
            small().audit_retained(1).key_retention(LONG, 2).when_full(WhenFull::DropOldest),
        ));
    let [first, second] = [0; 2].map(|_| released(&manager));
    outlive_the_log(&manager, &clock);
    let answer = manager.confirm_or_retake_lines(first, &laptops(2));
    assert!(matches!(answer, Ok(ConfirmOrRetake::Retaken(_))), "{answer:?}");
    // From here on a retake of the second might have been, and be forgotten.
    for crowd in ["one", "two", "three"] {
        manager.request().key(key(crowd)).remove_stock(MICE, 1, "dropped").expect("stock");
    }
    let answer = manager.confirm_or_retake_lines(second, &laptops(2));
    assert_eq!(answer, Err(RetakeError::NoReservation(NoReservation::Forgotten)));
    assert_eq!(counts(&manager, LAPTOPS), (8, 2, 2));
}

#[test]
fn an_id_that_was_never_made_is_unknown() {
    let clock = clock();
    let (manager, other) = (stocked(quiet(&clock)), stocked(quiet(&clock).seed(8)));
    let stranger = [(); 3].map(|()| released(&other))[2];
    assert_eq!(
        manager.confirm_or_retake_lines(stranger, &laptops(2)),
        Err(RetakeError::NoReservation(NoReservation::Unknown))
    );
    // Also where its slot is in use, or was.
    clock.advance(ms(1));
    (0..9).for_each(|_| _ = released(&manager));
    assert_eq!(
        manager.confirm_or_retake_lines(stranger, &laptops(2)),
        Err(RetakeError::NoReservation(NoReservation::Unknown))
    );
    assert_eq!(counts(&manager, LAPTOPS), (10, 0, 0));
}

#[test]
fn a_retake_that_is_short_names_the_lines_and_may_succeed_later() {
    let manager = stocked(quiet(&clock()));
    let lines = [BasketLine::new(LAPTOPS, 3), BasketLine::new(MICE, 4)];
    let hold = manager.reserve_basket(&lines, LONG).expect("stock");
    assert_eq!(manager.release(hold), Ok(Release::Released));
    manager.remove_stock(MICE, 7, "dropped").expect("stock");

    let ask = || manager.request().key(key("late")).confirm_or_retake_lines(hold, &lines);
    let Err(RetakeError::Insufficient { lines: short, overdue_left: false }) = ask() else {
        panic!("three mice are left");
    };
    let named = |line: &ShortLine| (line.product.clone(), line.needed, line.available);
    assert_eq!(short.iter().map(named).collect::<Vec<_>>(), [("MOUSE".to_owned(), 4, 3)]);
    assert_eq!((counts(&manager, LAPTOPS), counts(&manager, MICE)), ((10, 0, 0), (3, 0, 0)));

    manager.add_stock(MICE, 1, "SUPPLIER").expect("room");
    let answer = ask();
    assert!(matches!(answer, Ok(ConfirmOrRetake::Retaken(_))), "{answer:?}");
    assert_eq!((counts(&manager, LAPTOPS), counts(&manager, MICE)), ((7, 3, 3), (0, 4, 4)));
}

#[test]
fn a_retake_is_refused_like_a_basket() {
    let clock = clock();
    let manager = stocked(quiet(&clock).limits(small().max_reservations(2)));
    let hold = released(&manager);
    let refused = |lines: &[BasketLine<'_>]| match manager.confirm_or_retake_lines(hold, lines) {
        Err(refusal) => refusal,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&[]), RetakeError::Input(InvalidInput::Empty));
    manager.suspend("SF").expect("a warehouse");
    assert_eq!(refused(&laptops(2)), RetakeError::Suspended { warehouse: "SF".into() });
    manager.resume("SF").expect("a warehouse");
    // A slot for the line, and one for the old id.
    let _live = manager.reserve(MICE, 1, LONG).expect("stock");
    assert_eq!(refused(&laptops(2)), RetakeError::Full { slots: 2 });
    assert_eq!(counts(&manager, LAPTOPS), (10, 0, 0));
}
