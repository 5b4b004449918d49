//! Answers as long as they are promised: keys that do not leave in silence, answers that can be
//! asked for, outcomes that say what was sold, and late payments that need nothing but the id.

mod common;

use std::sync::Arc;
use std::time::Duration;

use stockade::{
    AuditFilter, BasketLine, Builder, ConfirmError, ConfirmOrRetake, Gone, Health, IdempotencyKey,
    InventoryManager, KeyAnswer, KeyError, Limits, ManualClock, NoReservation, Owner, Release,
    ReleaseError, ReservationId, ReservationStatus, RetakeError, Timestamp, WhenFull,
};

use common::{LAPTOPS, LONG, MICE, bury, clock, ms, quiet, small};

const DAY: Duration = Duration::from_secs(86_400);

fn stocked(builder: Builder) -> InventoryManager {
    let manager = builder.build().expect("legal settings");
    manager.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
    manager.add_stock(MICE, 10, "SUPPLIER").expect("room");
    manager
}

fn key(text: impl AsRef<str>) -> IdempotencyKey {
    IdempotencyKey::try_from(text.as_ref()).expect("a legal key")
}

fn both() -> [BasketLine<'static>; 2] {
    [BasketLine::new(LAPTOPS, 2), BasketLine::new(MICE, 3)]
}

fn counts(manager: &InventoryManager) -> [(u32, u32); 2] {
    [LAPTOPS, MICE].map(|level| {
        let counts = manager.counts(level).expect("known");
        (counts.available, counts.sold)
    })
}

/// Few slots, so that each is soon reused.
fn few() -> Limits {
    small().max_reservations(8).retention(ms(0), 0)
}

fn retaken(answer: Result<ConfirmOrRetake, RetakeError>) -> ReservationId {
    match answer {
        Ok(ConfirmOrRetake::Retaken(new)) => new,
        other => panic!("{other:?}"),
    }
}

// Keys.

/// A refund's webhook comes again after a day; and the first of a million sales is asked for again.
#[test]
fn a_key_lives_for_days_and_is_not_crowded_out() {
    let clock = clock();
    let manager = stocked(quiet(&clock));
    manager.sell(LAPTOPS, 5).expect("stock");
    let refund = || manager.request().key(key("refund")).cancel_sale(LAPTOPS, 2, "sent back");
    refund().expect("sold");
    clock.advance(DAY);
    refund().expect("the stored answer");
    assert_eq!(manager.sold(LAPTOPS), Ok(3), "one refund, delivered twice");
    assert!(manager.stats().keys_max > 1_000_001, "{}", manager.stats().keys_max);
    assert_eq!(manager.stats().oldest_key, Some(DAY));
}

fn three_keys(when_full: WhenFull) -> Limits {
    small().key_retention(LONG, 3).when_full(when_full)
}

#[test]
fn without_room_a_new_key_is_refused_and_no_answer_leaves() {
    let clock = clock();
    let manager = stocked(quiet(&clock).limits(small().key_retention(LONG, 3)));
    let sell = |name: &str| manager.request().key(key(name)).sell(LAPTOPS, 1);
    let first: Vec<_> = ["a", "b"].map(|name| sell(name).expect("stock")).into();
    assert_eq!(manager.health(), Health::Ok);
    sell("c").expect("stock");
    let Health::Degraded { reason } = manager.health() else { panic!("three of three places") };
    assert!(reason.contains("3 of 3 places"), "{reason}");
    let refused = sell("d").expect_err("no room");
    assert_eq!(refused, KeyError::Full { keys: 3 }.into());
    assert!(refused.is_retryable() && refused.code() == "keys_full");
    assert_eq!(["a", "b"].map(|name| sell(name).expect("stored")).to_vec(), first);
    manager.sell(LAPTOPS, 1).expect("no key, no refusal");
    assert_eq!((manager.sold(LAPTOPS), manager.stats().keys_dropped_early), (Ok(4), 0));
    // A retake needs a place of its own.
    let hold = manager.reserve(MICE, 1, LONG).expect("stock");
    assert_eq!(manager.release(hold), Ok(Release::Released));
    assert_eq!(manager.confirm_or_retake(hold), Err(KeyError::Full { keys: 3 }.into()));
    clock.advance(LONG + ms(1));
    sell("d").expect("the others' time is up");
    assert_eq!(manager.health(), Health::Ok);
}

#[test]
fn a_key_that_is_dropped_before_its_time_is_counted_and_shows_in_the_health() {
    let clock = clock();
    let manager = stocked(quiet(&clock).limits(three_keys(WhenFull::DropOldest)));
    let sell = |name: &str| manager.request().key(key(name)).sell(LAPTOPS, 1).expect("stock");
    let _ = ["a", "b", "c"].map(sell);
    clock.advance(ms(5));
    let _ = sell("d");
    let stats = manager.stats();
    assert_eq!((stats.keys, stats.keys_max, stats.keys_dropped_early), (3, 3, 1));
    assert_eq!(stats.oldest_key, Some(ms(5)));
    let Health::Degraded { reason } = manager.health() else { panic!("a key is missing") };
    assert!(reason.contains("1 idempotency keys were dropped"), "{reason}");
    // Until the time of the one that left is up.
    clock.advance(LONG + ms(1));
    let _ = sell("e");
    assert_eq!((manager.health(), manager.stats().keys_dropped_early), (Health::Ok, 1));
}

#[test]
fn the_health_warns_from_four_fifths_on() {
    let manager = stocked(quiet(&clock()).limits(small().key_retention(LONG, 10)));
    for number in 0..10 {
        assert_eq!(manager.health() == Health::Ok, number < 8, "{number}");
        let key = key(format!("order-{number}"));
        manager.request().key(key).add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
    }
}

#[test]
fn room_for_keys_is_a_figure_of_bytes() {
    let room = |bytes| {
        let limits = small().key_memory(bytes);
        quiet(&clock()).limits(limits).build().map(|manager| manager.stats().keys_max)
    };
    let (little, much) = (room(1 << 20).expect("legal"), room(1 << 30).expect("legal"));
    // A key takes 70 bytes at most, as the documentation says.
    assert!((14_979..16_000).contains(&little), "{little}");
    assert!(much.abs_diff(little * 1_024) < 1_024, "{much}");
    assert!(room(60).is_err(), "room for no key");
}

// Stored answers.

#[test]
fn the_answer_of_a_key_is_told_without_running_anything() {
    let clock = clock();
    let manager = stocked(quiet(&clock).limits(small().key_retention(LONG, 100)));
    let under = |name| manager.request().key(key(name));
    let asked = |name| manager.answer_of(&key(name)).expect("no file to ask");
    assert_eq!(asked("hold"), None);
    let hold = under("hold").reserve(LAPTOPS, 2, LONG).expect("stock");
    assert_eq!(asked("hold"), Some(KeyAnswer::Reserved(hold)));
    let until = under("longer").extend(hold, LONG).expect("pending");
    assert_eq!(asked("longer"), Some(KeyAnswer::Extended(until)));
    under("step").confirm_lines(hold, &[BasketLine::new(LAPTOPS, 1)]).expect("held");
    assert_eq!(asked("step"), Some(KeyAnswer::Stepped(ReservationStatus::Pending)));
    let released = under("release").release(hold).expect("pending");
    assert_eq!(released, Release::PartlySold { sold: 1, returned: 1 });
    assert_eq!(asked("release"), Some(KeyAnswer::Released(released)));
    let late = under("late").confirm_or_retake(hold).expect("a record");
    assert_eq!(late, ConfirmOrRetake::PartlySold { sold: 1, returned: 1 });
    assert_eq!(asked("late"), Some(KeyAnswer::ConfirmedOrRetaken(late)));
    under("ship").ship(LAPTOPS, 1).expect("sold");
    assert_eq!(asked("ship"), Some(KeyAnswer::Done));
    let request = under("move").request_transfer("SF", "NYC", "LAPTOP", 1).expect("room");
    assert_eq!(asked("move"), Some(KeyAnswer::TransferRequested(request)));
    assert!(under("short").sell(LAPTOPS, 99).is_err());
    assert_eq!(asked("short"), None, "a refusal is not stored");
    let entries = manager.audit_log().newest_sequence();
    assert_eq!(asked("hold"), Some(KeyAnswer::Reserved(hold)));
    assert_eq!(manager.audit_log().newest_sequence(), entries);
    clock.advance(LONG + ms(1));
    assert_eq!(asked("hold"), None, "its time is up");
}

// Outcomes.

/// Sells one of two laptops, and gives the other back: released, or by its time.
fn sold_in_part(manager: &InventoryManager, clock: &ManualClock, expire: bool) -> ReservationId {
    let hold = manager.reserve(LAPTOPS, 2, LONG).expect("stock");
    manager.confirm_lines(hold, &[BasketLine::new(LAPTOPS, 1)]).expect("held");
    if expire {
        clock.advance(LONG + ms(1));
        manager.run_until_idle();
    } else {
        let partly = Release::PartlySold { sold: 1, returned: 1 };
        assert_eq!(manager.release(hold), Ok(partly));
    }
    hold
}

#[test]
fn who_sold_a_part_is_told_so_by_every_call() {
    for expire in [false, true] {
        let clock = clock();
        let manager = stocked(quiet(&clock));
        let hold = sold_in_part(&manager, &clock, expire);
        let (gone, line) = (Gone::PartlySold { sold: 1, returned: 1 }, [both()[0]]);
        assert_eq!(gone.code(), "hold_partly_sold", "who refunds on `released` does not on this");
        assert_eq!(manager.confirm(hold), Err(gone.into()));
        assert_eq!(manager.extend(hold, LONG), Err(gone.into()));
        assert_eq!(manager.confirm_lines(hold, &line), Err(gone.into()));
        assert_eq!(manager.release_lines(hold, &line), Err(gone.into()));
        let partly = Release::PartlySold { sold: 1, returned: 1 };
        assert_eq!(manager.release(hold), Ok(partly));
        let late = Ok(ConfirmOrRetake::PartlySold { sold: 1, returned: 1 });
        assert_eq!(manager.confirm_or_retake(hold), late);
        assert_eq!(manager.confirm_or_retake_lines(hold, &line), late);
        let found = manager.reservation(hold).expect("a record");
        assert_eq!((found.units_sold(), found.units_given_back()), (1, 1));
        manager.ship_lines(hold, &[BasketLine::new(LAPTOPS, 1)]).expect("the sold one");
        assert_eq!(manager.confirm(hold), Err(gone.into()), "shipped since");
    }
}

/// A hold that is found overdue by the call itself, and one whose last units were sold.
#[test]
fn a_part_that_went_back_is_told_however_the_rest_ended() {
    let clock = clock();
    let manager = stocked(quiet(&clock));
    let overdue = manager.reserve(LAPTOPS, 2, LONG).expect("stock");
    manager.confirm_lines(overdue, &[BasketLine::new(LAPTOPS, 1)]).expect("held");
    clock.advance(LONG + ms(1));
    let partly = Release::PartlySold { sold: 1, returned: 1 };
    assert_eq!(manager.release(overdue), Ok(partly));

    let kept = manager.reserve_basket(&both(), LONG).expect("stock");
    manager.confirm_lines_and_release_rest(kept, &[both()[0]]).expect("held");
    let gone = Gone::PartlySold { sold: 2, returned: 3 };
    assert_eq!(manager.confirm(kept), Err(ConfirmError::Gone(gone)));
    let sold_last = manager.reserve_basket(&both(), LONG).expect("stock");
    manager.release_lines(sold_last, &[both()[1]]).expect("held");
    manager.confirm(sold_last).expect("the laptops");
    assert_eq!(manager.confirm(sold_last), Err(ConfirmError::Gone(gone)));
    assert_eq!(manager.release(sold_last), Err(ReleaseError::Sold { units: 2 }));
}

#[test]
fn a_keyed_release_of_a_part_has_one_answer() {
    let manager = stocked(quiet(&clock()));
    let hold = manager.reserve(LAPTOPS, 3, LONG).expect("stock");
    manager.confirm_lines(hold, &[BasketLine::new(LAPTOPS, 2)]).expect("held");
    let release = || manager.request().key(key("once")).release(hold);
    let partly = Ok(Release::PartlySold { sold: 2, returned: 1 });
    assert_eq!((release(), release()), (partly.clone(), partly));
}

// Late payments.

const BUYER: Owner = Owner([7; 16]);

#[test]
fn a_late_payment_needs_nothing_but_the_id() {
    for forgotten in [false, true] {
        let clock = clock();
        let limits = if forgotten { few() } else { small() };
        let manager = stocked(quiet(&clock).limits(limits));
        let request = manager.request().owner(BUYER).keep_until_shipped();
        let hold = request.note("mail", "a@b.c").reserve_basket(&both(), LONG).expect("stock");
        assert_eq!(manager.release(hold), Ok(Release::Released));
        if forgotten {
            bury(&manager, hold);
        }
        let new = retaken(manager.confirm_or_retake(hold));
        assert_eq!(counts(&manager), [(8, 2), (7, 3)]);
        let found = manager.reservation(new).expect("kept");
        assert_eq!((found.owner, found.retaken_from), (Some(BUYER), Some(hold)), "{forgotten}");
        assert!(found.keep_until_shipped, "as the old one would have been");
        manager.flush().wait().expect("a healthy log");
        let page = manager.audit_log().query(&AuditFilter::new().reservation(new));
        assert!(page.entries.iter().all(|entry| entry.owner == Some(BUYER)));
        assert!(page.entries.iter().all(|entry| entry.retaken_from == Some(hold)));
        assert!(page.entries.iter().all(|entry| entry.note("mail").is_none()), "notes stay");
        let again = Ok(ConfirmOrRetake::AlreadyRetaken(new));
        assert_eq!(manager.confirm_or_retake(hold), again);
        assert_eq!(manager.confirm_or_retake_lines(hold, &both()), again, "the other form");
    }
}

#[test]
fn a_late_payment_for_a_single_unit_takes_that_unit() {
    let clock = clock();
    let manager = stocked(quiet(&clock));
    let hold = manager.reserve(LAPTOPS, 1, ms(100)).expect("stock");
    clock.advance(ms(101));
    let new = retaken(manager.confirm_or_retake(hold));
    let found = manager.reservation(new).expect("a record");
    assert_eq!((found.units_sold(), found.retaken_from), (1, Some(hold)));
    manager.flush().wait().expect("a healthy log");
    let page = manager.audit_log().query(&AuditFilter::new().reservation(hold));
    let due: Vec<_> = page.entries.iter().map(|entry| entry.expires_at).collect();
    assert_eq!(due, [Some(Timestamp::from_millis(1_100)); 2], "when it was due, at its end too");
}

#[test]
fn the_owner_goes_along_where_the_lines_are_named_and_the_request_may_name_another() {
    for other in [None, Some(Owner([9; 16]))] {
        let manager = stocked(quiet(&clock()));
        let hold = manager.request().owner(BUYER).reserve(LAPTOPS, 2, LONG).expect("stock");
        assert_eq!(manager.release(hold), Ok(Release::Released));
        let line = [both()[0]];
        let answer = match other {
            None => manager.confirm_or_retake_lines(hold, &line),
            Some(owner) => manager.request().owner(owner).confirm_or_retake_lines(hold, &line),
        };
        let found = manager.reservation(retaken(answer)).expect("kept");
        assert_eq!(found.owner, other.or(Some(BUYER)));
    }
}

#[test]
fn a_hold_in_time_is_confirmed_by_its_id() {
    let manager = stocked(quiet(&clock()));
    let hold = manager.reserve_basket(&both(), LONG).expect("stock");
    let pay = || manager.request().key(key("webhook")).confirm_or_retake(hold);
    assert_eq!((pay(), pay()), (Ok(ConfirmOrRetake::Confirmed), Ok(ConfirmOrRetake::Confirmed)));
    let without_key = manager.confirm_or_retake(hold);
    assert_eq!(without_key, Ok(ConfirmOrRetake::AlreadySold { units: 5 }));
    let other_form = manager.request().key(key("webhook")).confirm_or_retake_lines(hold, &both());
    assert_eq!(other_form, Err(KeyError::Conflict.into()), "it is another request");
}

/// What the buyer took out of the basket before it ended is not paid for, and not sold.
#[test]
fn what_was_given_back_before_the_end_is_not_taken_again() {
    for forgotten in [false, true] {
        // Both orders: the records of the two steps must not be taken for one.
        for dropped in [0, 1] {
            let clock = clock();
            let limits = if forgotten { few() } else { small() };
            let manager = stocked(quiet(&clock).limits(limits));
            let hold = manager.reserve_basket(&both(), LONG).expect("stock");
            let step = manager.request().note("why", "taken out");
            step.release_lines(hold, &[both()[dropped]]).expect("held");
            let end = manager.request().note("why", "left");
            assert_eq!(end.release(hold), Ok(Release::Released));
            if forgotten {
                bury(&manager, hold);
            }
            let _ = retaken(manager.confirm_or_retake(hold));
            let expected = [[(10, 0), (7, 3)], [(8, 2), (10, 0)]][dropped];
            assert_eq!(counts(&manager), expected, "{forgotten} {dropped}");
        }
    }
}

#[test]
fn where_nothing_tells_the_lines_nothing_is_sold() {
    let clock = clock();
    let manager = stocked(quiet(&clock).limits(few().audit_retained(1)));
    let hold = manager.reserve(LAPTOPS, 2, LONG).expect("stock");
    assert_eq!(manager.release(hold), Ok(Release::Released));
    clock.advance(ms(1));
    for _ in 0..1_500 {
        manager.sell(MICE, 1).expect("stock");
        manager.cancel_sale(MICE, 1, "again").expect("just sold");
    }
    manager.flush().wait().expect("a healthy log");
    bury(&manager, hold);
    let refused = Err(RetakeError::NoReservation(NoReservation::Forgotten));
    assert_eq!(manager.confirm_or_retake(hold), refused);
    let other = stocked(quiet(&Arc::clone(&clock)).seed(99));
    let stranger = other.reserve(LAPTOPS, 2, LONG).expect("stock");
    clock.advance(ms(1));
    let fresh = stocked(quiet(&clock));
    let unknown = Err(RetakeError::NoReservation(NoReservation::Unknown));
    assert_eq!(fresh.confirm_or_retake(stranger), unknown);
}

// Records that are kept from their confirmation on.

#[test]
fn a_record_can_be_kept_from_the_confirmation_on() {
    for part in 0..4 {
        let manager = stocked(quiet(&clock()).limits(few()));
        let hold = match part {
            0 => manager.reserve(LAPTOPS, 2, LONG).expect("stock"),
            _ => manager.reserve_basket(&both(), LONG).expect("stock"),
        };
        let keep = manager.request().keep_until_shipped();
        let step = [BasketLine::new(LAPTOPS, 2)];
        match part {
            0 | 1 => keep.confirm(hold).expect("pending"),
            2 => _ = keep.confirm_lines_and_release_rest(hold, &step).expect("held"),
            _ => _ = keep.confirm_or_retake(hold).expect("pending"),
        }
        let found = manager.reservation(hold).expect("a record");
        assert!(found.keep_until_shipped && found.status == ReservationStatus::Confirmed);
        for _ in 0..100 {
            let other = manager.reserve(LAPTOPS, 1, LONG).expect("stock");
            assert_eq!(manager.release(other), Ok(Release::Released));
        }
        let sold = manager.reservation(hold).expect("kept").units_sold();
        assert_eq!(sold, [2, 5, 2, 5][part]);
        manager.ship_lines(hold, &step).expect("kept");
        if sold == 5 {
            assert!(manager.reservation(hold).is_ok(), "the mice are still here");
            manager.ship_lines(hold, &[BasketLine::new(MICE, 3)]).expect("kept");
        }
        bury(&manager, hold);
    }
}

#[test]
fn to_keep_a_record_is_part_of_the_request() {
    let manager = stocked(quiet(&clock()));
    let hold = manager.reserve(LAPTOPS, 2, LONG).expect("stock");
    let keyed = || manager.request().key(key("pay"));
    keyed().keep_until_shipped().confirm(hold).expect("pending");
    keyed().keep_until_shipped().confirm(hold).expect("the stored answer");
    assert_eq!(keyed().confirm(hold), Err(KeyError::Conflict.into()));
    let log = common::log_of(&manager);
    let sale = log.iter().find(|entry| entry.entry_type == stockade::AdjustmentType::Sold.into());
    assert_eq!(sale.expect("a sale").note("keep"), Some("until-shipped"));
}

#[test]
fn what_was_asked_for_at_the_reserve_stays_without_asking_again() {
    let manager = stocked(quiet(&clock()).limits(few()));
    let hold = manager.request().keep_until_shipped().reserve_basket(&both(), LONG).expect("stock");
    manager.confirm_lines(hold, &[BasketLine::new(LAPTOPS, 1)]).expect("held");
    manager.confirm(hold).expect("pending");
    assert!(manager.reservation(hold).expect("a record").keep_until_shipped);
}

// Finished records.

#[test]
fn records_that_leave_before_their_time_are_counted() {
    let clock = clock();
    let limits = small().retention(LONG, 1_000);
    let manager = stocked(quiet(&clock).limits(limits));
    let sell = |count: u32| {
        for _ in 0..count {
            let hold = manager.reserve(LAPTOPS, 1, LONG).expect("stock");
            assert_eq!(manager.release(hold), Ok(Release::Released));
        }
    };
    sell(900);
    let stats = manager.stats();
    assert_eq!(stats.records_dropped_early, 0);
    clock.advance(ms(7));
    sell(1_000);
    let stats = manager.stats();
    let dropped = stats.records_dropped_early;
    assert!((500..1_900).contains(&dropped), "{dropped} of 1,900, and 1,000 may stay");
    assert!(stats.oldest_record.is_none_or(|age| age <= ms(7)), "{:?}", stats.oldest_record);
    // With time, all go in theirs; the last ones have had just enough of it.
    clock.advance(LONG);
    sell(500);
    assert_eq!(manager.stats().records_dropped_early, dropped);
}

#[test]
fn at_the_maximum_of_slots_the_records_that_yield_are_counted() {
    let limits = small().max_reservations(8).retention(LONG, 1_000);
    let manager = stocked(quiet(&clock()).limits(limits));
    for _ in 0..20 {
        let hold = manager.reserve(LAPTOPS, 1, LONG).expect("stock");
        assert_eq!(manager.release(hold), Ok(Release::Released));
    }
    assert_eq!(manager.stats().records_dropped_early, 12);
}
