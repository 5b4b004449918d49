//! Idempotency keys: a retry gets the first answer and moves nothing twice, however many threads
//! race with it.

mod common;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use stockade::testing::FaultySink;
use stockade::{
    AddError, AdjustmentType, AuditEntry, Backpressure, BasketError, BasketLine, CallError,
    ConfirmError, EventType, Gone, IdempotencyKey, InventoryManager, KeyError, Owner, Release,
    ReleaseError, RemoveError, Request, ReserveError, ShipError, TransferError, WhenFull,
};
use uuid::Uuid;

use common::clocks::Turnstile;
use common::{
    LAPTOPS, LONG, clock, counts, ledger, log_of, ms, quiet, race, small, threaded, within,
};

const MICE: (&str, &str) = ("SF", "MOUSE");

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::try_from(text).expect("a legal key")
}

fn stocked(manager: InventoryManager) -> InventoryManager {
    manager.add_stock(LAPTOPS, 1_000, "SUPPLIER").expect("room");
    manager.add_stock(MICE, 1_000, "SUPPLIER").expect("room");
    manager
}

fn movements(manager: &InventoryManager, kind: AdjustmentType) -> Vec<AuditEntry> {
    let mut entries = log_of(manager);
    entries.retain(|entry| entry.entry_type == kind.into());
    entries
}

/// Checks that all are equal, and returns one.
#[track_caller]
fn one<T: PartialEq + std::fmt::Debug>(answers: Vec<T>) -> T {
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
    answers.into_iter().next().expect("at least one")
}

#[test]
fn threads_that_race_with_one_key_get_one_answer_and_move_once() {
    const THREADS: usize = 16;
    let manager = stocked(threaded().build().expect("legal settings"));
    for round in 0..40_u32 {
        let request = |name: &str| manager.request().key(key(&format!("{name} {round}")));
        let hold = one(race(THREADS, |_| request("reserve").reserve(LAPTOPS, 2, LONG)));
        let hold = hold.expect("stock");
        let sale = one(race(THREADS, |_| request("sell").sell(LAPTOPS, 1))).expect("stock");
        let lines = [BasketLine::new(LAPTOPS, 1), BasketLine::new(MICE, 3)];
        let basket = one(race(THREADS, |_| request("basket").reserve_basket(&lines, LONG)));
        let basket = basket.expect("stock");
        assert!(hold != sale && sale != basket);
        assert_eq!(one(race(THREADS, |_| request("confirm").confirm(hold))), Ok(()));
        let released = one(race(THREADS, |_| request("release").release(basket)));
        assert_eq!(released, Ok(Release::Released), "the first answer, and not a repeat's");
        assert_eq!(one(race(THREADS, |_| request("add").add_stock(MICE, 7, "x"))), Ok(()));
        assert_eq!(one(race(THREADS, |_| request("remove").remove_stock(MICE, 7, "x"))), Ok(()));
        assert_eq!(one(race(THREADS, |_| request("ship").ship(LAPTOPS, 1))), Ok(()));
        let cancelled = race(THREADS, |_| request("cancel").cancel_sale(LAPTOPS, 2, "x"));
        assert_eq!(one(cancelled), Ok(()));
        let moved = race(THREADS, |_| request("transfer").transfer("SF", "NYC", "MOUSE", 1));
        assert_eq!(one(moved), Ok(()));
        assert_eq!(counts(&manager, LAPTOPS), (1_000 - round - 1, 0, 0));
        assert_eq!(counts(&manager, MICE), (1_000 - round - 1, 0, 0));
    }
    assert_eq!(manager.stats().keys, 400);
    assert_eq!(movements(&manager, AdjustmentType::Sold).len(), 80);
    assert_eq!(movements(&manager, AdjustmentType::Returned).len(), 80, "a basket has two lines");
    ledger::assert_legal(&log_of(&manager)).assert_ends_as(&manager);
}

#[test]
fn one_key_with_different_requests_moves_for_the_first_and_refuses_the_others() {
    let manager = stocked(threaded().build().expect("legal settings"));
    for round in 0..60_u32 {
        let key = key(&format!("round {round}"));
        let units = |thread: usize| 1 + (thread as u32 % 4);
        let answers = race(12, |thread| manager.request().key(key).sell(LAPTOPS, units(thread)));
        let sold: Vec<_> = answers.iter().flatten().collect();
        assert_eq!(sold.len(), 3, "three threads asked for the same: {answers:?}");
        assert!(sold.iter().all(|id| *id == sold[0]));
        let conflicts = answers.iter().flat_map(|answer| answer.as_ref().err());
        assert!(
            conflicts
                .clone()
                .all(|error| *error == ReserveError::Call(CallError::Key(KeyError::Conflict)))
        );
        assert_eq!(conflicts.count(), 9);
        let quantity = manager.reservation(*sold[0]).expect("kept").lines[0].quantity;
        assert_eq!(manager.sold(LAPTOPS).expect("known"), quantity);
        manager.cancel_sale(LAPTOPS, quantity, "again").expect("just sold");
    }
}

/// Every argument of a call is part of its fingerprint, except notes.
#[test]
fn a_request_that_differs_in_anything_is_a_conflict() {
    let manager = stocked(quiet(&clock()).build().expect("legal settings"));
    let request = || manager.request().key(key("once"));
    let (mine, yours) = (Owner([1; 16]), Owner([2; 16]));
    let hold = request().owner(mine).note("try", "1").reserve(LAPTOPS, 2, LONG).expect("stock");
    let again = request().owner(mine).note("try", "2").reserve(LAPTOPS, 2, LONG);
    assert_eq!(again, Ok(hold));

    let conflict = KeyError::Conflict;
    let handle = manager.level(LAPTOPS).expect("open");
    type Call<'a> = &'a dyn Fn(Request<'_>) -> Result<stockade::ReservationId, ReserveError>;
    let others: [Call<'_>; 7] = [
        &|it| it.owner(mine).reserve(LAPTOPS, 3, LONG),
        &|it| it.owner(mine).reserve(LAPTOPS, 2, LONG - ms(1)),
        &|it| it.owner(mine).reserve(MICE, 2, LONG),
        &|it| it.owner(mine).reserve(handle, 2, LONG),
        &|it| it.owner(yours).reserve(LAPTOPS, 2, LONG),
        &|it| it.reserve(LAPTOPS, 2, LONG),
        &|it| it.owner(mine).sell(LAPTOPS, 2),
    ];
    for other in others {
        assert_eq!(other(request()), Err(ReserveError::Call(CallError::Key(conflict))));
    }
    // Another operation with the same key, and nothing else to tell it by.
    let plain_request = || manager.request().key(key("plain"));
    let plain = plain_request().reserve(LAPTOPS, 2, LONG).expect("stock");
    let line = [BasketLine::new(LAPTOPS, 2)];
    assert_eq!(
        request().owner(mine).reserve_basket(&line, LONG),
        Err(BasketError::Call(CallError::Key(conflict)))
    );
    assert_eq!(
        plain_request().add_stock(LAPTOPS, 2, "x"),
        Err(AddError::Call(CallError::Key(conflict)))
    );
    assert_eq!(
        plain_request().remove_stock(LAPTOPS, 2, "x"),
        Err(RemoveError::Call(CallError::Key(conflict)))
    );
    assert_eq!(plain_request().ship(LAPTOPS, 2), Err(ShipError::Call(CallError::Key(conflict))));
    assert_eq!(plain_request().confirm(plain), Err(ConfirmError::Call(CallError::Key(conflict))));
    assert_eq!(plain_request().release(plain), Err(ReleaseError::Call(CallError::Key(conflict))));
    let transfer = plain_request().transfer("SF", "NYC", "LAPTOP", 2);
    assert_eq!(transfer, Err(TransferError::Call(CallError::Key(conflict))));
    assert!(plain_request().extend(plain, LONG).is_err());
    assert!(request().owner(mine).confirm_or_retake_lines(hold, &line).is_err());
    assert!(!ReserveError::Call(CallError::Key(conflict)).is_retryable());
    assert_eq!(counts(&manager, LAPTOPS), (996, 4, 0));

    let basket =
        |lines: &[BasketLine<'_>]| manager.request().key(key("basket")).reserve_basket(lines, LONG);
    let (a, b) = (BasketLine::new(LAPTOPS, 1), BasketLine::new(MICE, 1));
    let first = basket(&[a, b]).expect("stock");
    assert_eq!(basket(&[a, b]), Ok(first));
    for other in [vec![b, a], vec![a], vec![a, b, b]] {
        assert_eq!(basket(&other), Err(BasketError::Call(CallError::Key(conflict))));
    }
    let moved = |reason| manager.request().key(key("note")).remove_stock(MICE, 1, reason);
    assert_eq!(moved("dropped"), Ok(()));
    assert_eq!(moved("lost"), Err(RemoveError::Call(CallError::Key(conflict))));
}

#[test]
fn a_uuid_is_a_key_and_so_is_any_text_or_bytes() {
    let manager = stocked(quiet(&clock()).build().expect("legal settings"));
    let uuid = Uuid::from_u128(77);
    let bytes = IdempotencyKey::try_from(&[0xff, 0][..]).expect("two bytes");
    for key in [uuid.into(), key(&uuid.to_string()), key("ключ"), bytes] {
        let sell = || manager.request().key(key).sell(LAPTOPS, 1).expect("stock");
        assert_eq!(sell(), sell());
    }
    assert_eq!(manager.sold(LAPTOPS).expect("known"), 4);
}

#[test]
fn a_refusal_is_not_remembered() {
    let manager = quiet(&clock()).build().expect("legal settings");
    manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
    let request = || manager.request().key(key("once"));
    assert!(request().sell(LAPTOPS, 2).is_err());
    assert!(request().sell(("SF", "NEVER STOCKED"), 2).is_err());
    assert!(request().reserve(LAPTOPS, 1, Duration::ZERO).is_err());
    manager.suspend("SF").expect("a warehouse");
    assert!(request().sell(LAPTOPS, 1).is_err());
    manager.resume("SF").expect("a warehouse");
    assert_eq!(manager.stats().keys, 0);
    manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
    let sale = request().sell(LAPTOPS, 2).expect("stock");
    assert_eq!(request().sell(LAPTOPS, 2), Ok(sale));

    let hold = manager.request().key(key("second")).confirm(sale);
    assert_eq!(hold, Err(Gone::Sold { units: 2 }.into()));
    assert_eq!(manager.stats().keys, 1);
}

/// Threads wait for a call that is then refused. Each of them then tries by itself, one at a time.
#[test]
fn of_racing_calls_that_are_refused_none_is_remembered() {
    let manager = threaded().build().expect("legal settings");
    manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
    for _ in 0..50 {
        let answers = race(8, |_| manager.request().key(key("once")).sell(LAPTOPS, 2));
        let short = ReserveError::Insufficient {
            needed: 2,
            available: 1,
            safety_stock: 0,
            overdue_left: false,
        };
        assert_eq!(one(answers), Err(short));
    }
    assert_eq!((manager.stats().keys, manager.stats().refusals.insufficient), (0, 400));
    manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
    let answers = race(8, |_| manager.request().key(key("once")).sell(LAPTOPS, 2));
    one(answers).expect("stock");
    assert_eq!(counts(&manager, LAPTOPS), (0, 2, 2));
}

#[test]
fn a_key_that_moved_nothing_is_in_the_log_all_the_same() {
    let manager = stocked(quiet(&clock()).build().expect("legal settings"));
    let hold = manager.reserve(LAPTOPS, 1, LONG).expect("stock");
    assert_eq!(manager.release(hold), Ok(Release::Released));
    let release = || manager.request().key(key("late")).release(hold);
    assert_eq!(release(), Ok(Release::AlreadyReleased));
    assert_eq!(release(), Ok(Release::AlreadyReleased));
    let log = log_of(&manager);
    let uses = log.iter().filter(|entry| entry.entry_type == EventType::KeyUsed.into());
    assert_eq!(uses.count(), 1);
}

#[test]
fn a_key_is_remembered_for_its_time() {
    let clock = clock();
    let builder = quiet(&clock).limits(small().key_retention(ms(100), 1_000));
    let manager = stocked(builder.build().expect("legal settings"));
    let sell = |units| manager.request().key(key("once")).sell(LAPTOPS, units);
    let first = sell(1).expect("stock");
    clock.advance(ms(100));
    assert_eq!(sell(1), Ok(first), "its last millisecond");
    assert!(sell(2).is_err());
    clock.advance(ms(1));
    let second = sell(2).expect("a new request");
    assert_ne!(second, first);
    assert_eq!(manager.sold(LAPTOPS).expect("known"), 3);
    clock.advance(ms(100));
    assert_eq!(sell(2), Ok(second), "its time began anew");
}

#[test]
fn so_many_keys_are_remembered_and_the_oldest_goes_first() {
    let manager = quiet(&clock())
        .limits(small().key_retention(LONG, 3).when_full(WhenFull::DropOldest))
        .build()
        .expect("legal settings");
    let manager = stocked(manager);
    let sell = |name: &str| manager.request().key(key(name)).sell(LAPTOPS, 1).expect("stock");
    let first: Vec<_> = ["a", "b", "c"].map(sell).into();
    assert_eq!(["a", "b", "c"].map(sell).to_vec(), first);
    let fourth = sell("d");
    assert_eq!(manager.stats().keys, 3);
    assert_eq!((sell("b"), sell("c"), sell("d")), (first[1], first[2], fourth));
    assert_ne!(sell("a"), first[0]);
    assert_eq!(manager.sold(LAPTOPS).expect("known"), 5);
}

/// The sweeper drops expired keys, so that they are not kept until new ones arrive.
#[test]
fn keys_whose_time_is_up_leave_an_idle_engine() {
    let manager = threaded()
        .limits(small().key_retention(ms(30), 1_000_000))
        .build()
        .expect("legal settings");
    let manager = stocked(manager);
    for number in 0..200 {
        let key = IdempotencyKey::from(Uuid::from_u128(number));
        manager.request().key(key).sell(LAPTOPS, 1).expect("stock");
    }
    within(Duration::from_secs(30), move || {
        while manager.stats().keys > 0 {
            thread::sleep(ms(5));
        }
    });
}

#[test]
fn who_will_not_wait_for_the_same_key_is_told_so() {
    let clock = Arc::new(Turnstile::default());
    let manager = threaded()
        .clock(Arc::clone(&clock))
        .backpressure(Backpressure::Refuse)
        .sweeper(false)
        .build()
        .expect("legal settings");
    let manager = stocked(manager);
    let sell = |units| manager.request().key(key("once")).sell(LAPTOPS, units);
    thread::scope(|scope| {
        // The first call stops on its way: it has claimed the key, and looks at the clock again.
        let first = scope.spawn(|| {
            clock.stop_my_second_look();
            sell(1)
        });
        clock.wait_until_stopped();
        let refused = sell(1).expect_err("under way");
        assert_eq!(refused, ReserveError::Call(CallError::Key(KeyError::InProgress)));
        assert!(refused.is_retryable());
        assert_eq!(
            sell(2),
            Err(ReserveError::Call(CallError::Key(KeyError::Conflict))),
            "told at once"
        );
        clock.go_on();
        let first = first.join().expect("no panic");
        assert_eq!(sell(1), first);
    });
    assert_eq!(manager.sold(LAPTOPS).expect("known"), 1);
}

#[test]
fn who_waits_for_the_same_key_gets_its_answer() {
    let clock = Arc::new(Turnstile::default());
    let builder = threaded().clock(Arc::clone(&clock)).sweeper(false);
    let manager = stocked(builder.build().expect("legal settings"));
    let sell = |units| manager.request().key(key("once")).sell(LAPTOPS, units);
    thread::scope(|scope| {
        let first = scope.spawn(|| {
            clock.stop_my_second_look();
            sell(1)
        });
        clock.wait_until_stopped();
        let waiting: Vec<_> = (0..4).map(|_| scope.spawn(|| sell(1))).collect();
        assert_eq!(
            sell(2),
            Err(ReserveError::Call(CallError::Key(KeyError::Conflict))),
            "nobody waits for that"
        );
        thread::sleep(ms(20));
        assert!(waiting.iter().all(|thread| !thread.is_finished()));
        clock.go_on();
        let first = first.join().expect("no panic");
        for thread in waiting {
            assert_eq!(thread.join().expect("no panic"), first);
        }
    });
    assert_eq!(manager.sold(LAPTOPS).expect("known"), 1);
}

#[test]
fn a_key_is_free_again_where_its_call_panicked() {
    let clock = Arc::new(Turnstile::default());
    let builder = threaded().clock(Arc::clone(&clock)).sweeper(false);
    let manager = stocked(builder.build().expect("legal settings"));
    let sell = || manager.request().key(key("once")).sell(LAPTOPS, 1);
    thread::scope(|scope| {
        let first = scope.spawn(|| {
            clock.stop_my_second_look();
            sell()
        });
        clock.wait_until_stopped();
        clock.blow_up();
        assert!(first.join().is_err(), "the caller's own clock panicked");
    });
    sell().expect("the key is free");
    assert_eq!((manager.sold(LAPTOPS).expect("known"), manager.stats().keys), (1, 1));
}

/// While the sink fails, a repeat of an answered call gets its answer. It moves nothing.
#[test]
fn a_repeat_is_answered_by_a_stopped_engine() {
    let (sink, control) = FaultySink::new();
    let manager = stocked(threaded().sink(sink).build().expect("legal settings"));
    let sell = |name| manager.request().key(key(name)).sell(LAPTOPS, 1);
    let sale = sell("before").expect("stock");
    control.fail("disk full");
    within(Duration::from_secs(30), {
        let manager = manager.clone();
        // On a busy machine the mice are sold out before the writer has tried.
        move || while !matches!(manager.sell(MICE, 1), Err(ReserveError::Call(_))) {}
    });
    assert_eq!(sell("before"), Ok(sale));
    assert!(sell("new").is_err_and(|error| error.is_retryable()));
    control.recover();
    within(Duration::from_secs(30), {
        let manager = manager.clone();
        move || while manager.flush().wait().is_err() {}
    });
    sell("new").expect("a refusal is not remembered");
    assert_eq!(manager.sold(LAPTOPS).expect("known"), 2);
}
