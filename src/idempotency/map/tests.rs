use super::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::thread;

use crate::idempotency::key::IdempotencyKey;
use crate::reservation::id::ReservationId;

const PRINT: u128 = 7;
const OTHER_PRINT: u128 = 8;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn named(number: u64) -> KeyName {
    KeyName::Caller(IdempotencyKey::from_bytes(&number.to_le_bytes()).expect("a legal key"))
}

fn keys_for(lifetime: Duration, count: usize) -> IdempotencyMap<u64> {
    IdempotencyMap::new(KeyLimits { lifetime, count, drop_oldest: true, unsettled: None })
}

/// Keys that live for 100 ms, at most 1,000 of them; then the oldest leave.
fn keys() -> IdempotencyMap<u64> {
    keys_for(Duration::from_millis(100), 1_000)
}

/// Keys that live for 100 ms, at most 3 of them; then no more come.
fn full_at_three() -> IdempotencyMap<u64> {
    let lifetime = Duration::from_millis(100);
    IdempotencyMap::new(KeyLimits { lifetime, count: 3, drop_oldest: false, unsettled: None })
}

#[track_caller]
fn first<A: Clone>(keys: &IdempotencyMap<A>, name: KeyName, now: Timestamp) -> ClaimedKey<'_, A> {
    match keys.claim(&name, PRINT, now, OnDuplicate::Refuse) {
        KeyClaim::First(claimed_key) => claimed_key,
        _ => panic!("{name:?} is not free"),
    }
}

fn publish(keys: &IdempotencyMap<u64>, number: u64, now: Timestamp) {
    first(keys, named(number), now).publish(number, now);
}

#[test]
fn of_many_threads_one_is_first_and_all_hear_its_answer() {
    for round in 0..20_u64 {
        let keys = keys();
        let barrier = Barrier::new(16);
        let race = |caller: u64| {
            barrier.wait();
            match keys.claim(&named(1), PRINT, at(5), OnDuplicate::Wait) {
                KeyClaim::First(claimed_key) => {
                    // Long enough for the others to spin, yield and sleep, in turns.
                    thread::sleep(Duration::from_micros(round * 200));
                    claimed_key.publish(caller, at(5));
                    (true, caller)
                }
                KeyClaim::Repeat(answer) => (false, answer),
                other => panic!("{other:?}"),
            }
        };
        let heard: Vec<_> = thread::scope(|scope| {
            let callers: Vec<_> = (0..16).map(|id| scope.spawn(move || race(id))).collect();
            callers.into_iter().map(|caller| caller.join().expect("no panic")).collect()
        });
        assert_eq!(heard.iter().filter(|(first, _)| *first).count(), 1);
        assert!(heard.iter().all(|(_, answer)| *answer == heard[0].1));
        assert_eq!(keys.len(), 1);
    }
}

#[test]
fn a_name_that_many_want_at_the_same_instant_goes_to_one() {
    const NAMES: u64 = 20_000;
    let keys = keys_for(Duration::from_secs(3_600), 1_000_000);
    let barrier = Barrier::new(4);
    let claim_all = || {
        barrier.wait();
        let claims = (0..NAMES).filter(|number| {
            match keys.claim(&named(*number), PRINT, at(0), OnDuplicate::Wait) {
                KeyClaim::First(claimed_key) => claimed_key.publish(*number, at(0)),
                other => {
                    assert!(matches!(other, KeyClaim::Repeat(answer) if answer == *number));
                    return false;
                }
            }
            true
        });
        claims.count() as u64
    };
    let firsts: u64 = thread::scope(|scope| {
        let callers: Vec<_> = (0..4).map(|_| scope.spawn(claim_all)).collect();
        callers.into_iter().map(|caller| caller.join().expect("no panic")).sum()
    });
    assert_eq!((firsts, keys.len() as u64), (NAMES, NAMES));
}

#[test]
fn another_request_under_the_same_key_is_a_conflict_at_once() {
    let keys = keys();
    let claimed_key = first(&keys, named(1), at(0));
    assert_eq!(claimed_key.fingerprint, PRINT);
    // In progress: the conflict must not wait for the answer, or this would hang.
    let claim = keys.claim(&named(1), OTHER_PRINT, at(0), OnDuplicate::Wait);
    assert!(matches!(claim, KeyClaim::Conflict));
    claimed_key.publish(1, at(0));
    let claim = keys.claim(&named(1), OTHER_PRINT, at(0), OnDuplicate::Wait);
    assert!(matches!(claim, KeyClaim::Conflict));
    let claim = keys.claim(&named(1), PRINT, at(0), OnDuplicate::Wait);
    assert!(matches!(claim, KeyClaim::Repeat(1)));
}

#[test]
fn who_will_not_wait_is_told_busy() {
    let keys = keys();
    let claimed_key = first(&keys, named(1), at(0));
    assert!(matches!(keys.claim(&named(1), PRINT, at(0), OnDuplicate::Refuse), KeyClaim::Busy));
    // A marker does not expire: its call is still at work.
    assert!(matches!(keys.claim(&named(1), PRINT, at(9_999), OnDuplicate::Refuse), KeyClaim::Busy));
    assert_eq!((keys.get(&named(1), at(0)), keys.len()), (None, 1));
    assert!(keys.is_under_way(&named(1)));
    drop(claimed_key);
}

#[test]
fn a_refusal_is_not_remembered() {
    let keys = keys();
    drop(first(&keys, named(1), at(0)));
    let claim = keys.claim(&named(1), OTHER_PRINT, at(0), OnDuplicate::Refuse);
    assert!(matches!(claim, KeyClaim::First(_)));
    drop(claim);
    assert_eq!((keys.parts.len(), keys.len(), keys.evicted_before()), (0, 0, None));
}

#[test]
fn a_call_that_panics_frees_its_key() {
    let keys = keys();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _ticket = first(&keys, named(1), at(0));
        std::panic::resume_unwind(Box::new("the call failed"));
    }));
    assert!(panicked.is_err());
    publish(&keys, 1, at(0));
    assert_eq!(keys.get(&named(1), at(0)), Some(1));
}

#[test]
fn after_a_withdrawal_one_of_those_who_wait_is_first() {
    let keys = keys();
    let claimed_key = first(&keys, named(1), at(0));
    let firsts = thread::scope(|scope| {
        let wait = || match keys.claim(&named(1), PRINT, at(0), OnDuplicate::Wait) {
            KeyClaim::First(claimed_key) => {
                claimed_key.publish(42, at(0));
                1
            }
            KeyClaim::Repeat(42) => 0,
            other => panic!("{other:?}"),
        };
        let waiting: Vec<_> = (0..8).map(|_| scope.spawn(wait)).collect();
        thread::sleep(Duration::from_millis(5));
        drop(claimed_key);
        waiting.into_iter().map(|caller| caller.join().expect("no panic")).sum::<u32>()
    });
    assert_eq!(firsts, 1);
}

#[test]
fn a_key_expires_to_the_millisecond() {
    let keys = keys();
    publish(&keys, 1, at(50));
    assert_eq!(keys.get(&named(1), at(150)), Some(1));
    assert!(matches!(
        keys.claim(&named(1), PRINT, at(150), OnDuplicate::Wait),
        KeyClaim::Repeat(1)
    ));
    assert_eq!(keys.evicted_before(), None);

    assert_eq!(keys.get(&named(1), at(151)), None);
    assert_eq!(keys.evicted_before(), Some(at(50)), "a look-up that finds it gone says so");
    // An expired key is absent: even another request may take the name.
    let claim = keys.claim(&named(1), OTHER_PRINT, at(151), OnDuplicate::Wait);
    assert!(matches!(claim, KeyClaim::First(_)));
    assert_eq!(keys.len(), 1, "the claim has its place");
    drop(claim);
    assert_eq!(keys.len(), 0);
}

#[test]
fn a_claim_of_an_expired_key_raises_the_mark() {
    let keys = keys();
    publish(&keys, 1, at(50));
    drop(first(&keys, named(1), at(151)));
    assert_eq!((keys.evicted_before(), keys.len()), (Some(at(50)), 0));
}

#[test]
fn a_purge_drops_what_has_expired_and_no_more() {
    let keys = keys();
    (0..10).for_each(|number| publish(&keys, number, at(number)));
    assert_eq!(keys.purge(at(104), 3), 3);
    assert_eq!((keys.len(), keys.evicted_before()), (7, Some(at(2))));
    assert_eq!(keys.purge(at(104), 3), 1);
    assert_eq!((keys.len(), keys.parts.len(), keys.evicted_before()), (6, 6, Some(at(3))));
    assert_eq!(keys.get(&named(4), at(104)), Some(4));
}

#[test]
fn expired_keys_leave_faster_than_others_come() {
    let keys = keys();
    (0..10).for_each(|number| publish(&keys, number, at(0)));
    (10..15).for_each(|number| publish(&keys, number, at(101)));
    assert_eq!((keys.len(), keys.parts.len()), (5, 5));
    assert_eq!(keys.evicted_before(), Some(at(0)));
    // Of many parts, each has got about as many as it had, and lost up to two for each.
    let keys = keys_for(Duration::from_millis(100), 1_000_000);
    (0..10_000).for_each(|number| publish(&keys, number, at(0)));
    (10_000..20_000).for_each(|number| publish(&keys, number, at(101)));
    assert!((10_000..10_050).contains(&keys.len()), "{}", keys.len());
    assert_eq!(keys.parts.len(), keys.len());
}

#[test]
fn beyond_the_count_the_first_published_leave_first() {
    for count in [1_000, 20_000] {
        let keys = keys_for(Duration::from_secs(3_600), count);
        // Claimed in one order and published in the other.
        let claims = (0..count as u64).map(|id| (id, first(&keys, named(id), at(1))));
        let mut tickets: Vec<_> = claims.collect();
        let oldest = tickets.len() as u64 - 1;
        while let Some((id, claimed_key)) = tickets.pop() {
            claimed_key.publish(id, at(2 + oldest - id));
        }
        assert_eq!((keys.len(), keys.evicted_before()), (count, None));
        for later in 0..500 {
            publish(&keys, 50_000 + later, at(30_000));
            assert_eq!((keys.len(), keys.parts.len()), (count, count));
            assert_eq!(keys.get(&named(oldest - later), at(30_000)), None);
            let next = oldest - later - 1;
            assert_eq!(keys.get(&named(next), at(30_000)), Some(next));
            assert_eq!(keys.evicted_before(), Some(at(2 + later)));
        }
    }
}

/// Also where all came at the same moment.
#[test]
fn few_answers_leave_in_their_order_to_the_last_one() {
    let keys = keys_for(Duration::from_secs(3_600), 3);
    for number in 0..100 {
        publish(&keys, number, at(7));
        let kept = (0..=number).filter(|known| keys.get(&named(*known), at(7)).is_some());
        assert!(kept.eq(number.saturating_sub(2)..=number), "{number}");
    }
}

#[test]
fn who_leaves_before_its_time_is_counted() {
    let keys = keys();
    (0..1_000).for_each(|number| publish(&keys, number, at(7)));
    let whole = KeysInStock { oldest: Some(at(7)), dropped_early: 0, missing_until: None };
    assert_eq!(keys.in_stock(), whole);
    publish(&keys, 1_000, at(20));
    let early = KeysInStock { dropped_early: 1, missing_until: Some(at(107)), ..whole };
    assert_eq!(keys.in_stock(), early);
    // Those whose time is up are not counted.
    publish(&keys, 1_001, at(108));
    assert_eq!(keys.in_stock().dropped_early, 1);
    while keys.purge(at(300), 9) > 0 {}
    assert_eq!((keys.in_stock().oldest, keys.in_stock().dropped_early), (None, 1));
}

#[test]
fn at_the_bound_a_new_key_is_refused_and_an_old_one_is_answered() {
    let keys = full_at_three();
    (0..3).for_each(|number| publish(&keys, number, at(number)));
    let ask = |number, now| keys.claim(&named(number), PRINT, at(now), OnDuplicate::Wait);
    for _ in 0..3 {
        assert!(matches!(ask(9, 100), KeyClaim::Full));
    }
    assert!(matches!(ask(0, 100), KeyClaim::Repeat(0)), "no answer has left");
    assert_eq!((keys.len(), keys.parts.len(), keys.in_stock().dropped_early), (3, 3, 0));
    // Its time is up: one place is free, and no second one.
    let claimed_key = first(&keys, named(9), at(101));
    assert!(matches!(ask(8, 101), KeyClaim::Full));
    drop(claimed_key);
    first(&keys, named(8), at(101)).publish(8, at(101));
    assert!(matches!(ask(7, 101), KeyClaim::Full));
    assert!(matches!(ask(1, 101), KeyClaim::Repeat(1)));
}

#[test]
fn a_key_whose_time_is_up_gives_its_place_to_its_own_next_call() {
    let keys = full_at_three();
    (0..3).for_each(|number| publish(&keys, number, at(0)));
    publish(&keys, 2, at(101));
    assert_eq!(keys.get(&named(2), at(101)), Some(2));
    publish(&keys, 3, at(101));
    publish(&keys, 4, at(101));
    assert!(matches!(keys.claim(&named(5), PRINT, at(101), OnDuplicate::Wait), KeyClaim::Full));
    assert_eq!((keys.len(), keys.parts.len()), (3, 3));
}

#[test]
fn restored_answers_above_the_bound_all_stay() {
    let keys = full_at_three();
    (0..5).for_each(|number| keys.restore(named(number), PRINT, number, at(0)));
    assert!((0..5).all(|number| keys.get(&named(number), at(100)) == Some(number)));
    assert!(matches!(keys.claim(&named(9), PRINT, at(100), OnDuplicate::Wait), KeyClaim::Full));
}

#[test]
fn many_threads_never_take_more_places_than_there_are() {
    for _ in 0..50 {
        let keys = full_at_three();
        let start = Barrier::new(4);
        let claim_two = |thread: u64| {
            start.wait();
            let claim = |number| keys.claim(&named(number), PRINT, at(0), OnDuplicate::Refuse);
            let published = [2 * thread, 2 * thread + 1].map(|number| match claim(number) {
                KeyClaim::First(claimed_key) => {
                    claimed_key.publish(number, at(0));
                    1
                }
                KeyClaim::Full => 0,
                other => panic!("{other:?}"),
            });
            published.iter().sum::<u64>()
        };
        let published: u64 = thread::scope(|scope| {
            let claim_two = &claim_two;
            let threads: Vec<_> = (0..4).map(|it| scope.spawn(move || claim_two(it))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        assert_eq!((published, keys.len(), keys.parts.len()), (3, 3, 3));
    }
}

#[test]
fn the_old_answer_of_a_name_leaves_and_its_new_one_stays() {
    let keys = keys();
    publish(&keys, 1, at(0));
    // Expired, and published again before it was dropped.
    let claimed_key = first(&keys, named(1), at(101));
    claimed_key.publish(11, at(101));
    assert_eq!(keys.purge(at(102), 9), 0, "the claim has taken the old answer out");
    assert_eq!((keys.get(&named(1), at(102)), keys.len()), (Some(11), 1));
    // The same at the bound, where the oldest leaves.
    for number in 2..1_001 {
        publish(&keys, number, at(101));
    }
    keys.restore(named(1), PRINT, 12, at(101));
    assert_eq!((keys.get(&named(1), at(101)), keys.len()), (Some(12), 1_000));
    assert_eq!(keys.evicted_before(), Some(at(0)), "a replaced answer was not dropped");
}

#[test]
fn a_restored_key_answers_as_if_it_had_been_published() {
    let keys = keys();
    let retake = KeyName::Retake(ReservationId::from_halves([1, 2]));
    keys.restore(retake, PRINT, 3, at(10));
    assert!(matches!(keys.claim(&retake, PRINT, at(110), OnDuplicate::Wait), KeyClaim::Repeat(3)));
    assert!(matches!(
        keys.claim(&retake, OTHER_PRINT, at(110), OnDuplicate::Wait),
        KeyClaim::Conflict
    ));
    assert!(matches!(keys.claim(&retake, PRINT, at(111), OnDuplicate::Wait), KeyClaim::First(_)));
    (0..2_000).for_each(|number| keys.restore(named(number), PRINT, number, at(20)));
    assert_eq!((keys.len(), keys.evicted_before()), (1_000, Some(at(20))));
}

#[test]
fn memory_is_bounded_over_two_hundred_thousand_keys() {
    memory_is_bounded_over(100_000);
}

#[test]
#[ignore = "half a minute of processor time"]
fn memory_is_bounded_over_millions_of_keys() {
    memory_is_bounded_over(1_000_000);
}

fn memory_is_bounded_over(steps: u64) {
    let keys = keys();
    thread::scope(|scope| {
        for thread in 0..2_u64 {
            let keys = &keys;
            scope.spawn(move || {
                for step in 0..steps {
                    // Some names come again, expired or dropped by then; time passes slowly.
                    let number = step % (steps * 3 / 10) * 2 + thread;
                    if let KeyClaim::First(claimed_key) =
                        keys.claim(&named(number), PRINT, at(step / 16), OnDuplicate::Refuse)
                    {
                        claimed_key.publish(number, at(step / 16));
                    }
                }
            });
        }
    });
    assert!(keys.len() <= 1_000);
    assert_eq!(keys.parts.len(), keys.len());
    assert!(keys.parts.capacity() < 16_000, "{}", keys.parts.capacity());
}

#[test]
fn what_was_published_after_the_mark_is_surely_there() {
    let keys = keys();
    thread::scope(|scope| {
        for thread in 0..3_u64 {
            let keys = &keys;
            scope.spawn(move || {
                for step in 0..20_000 {
                    let (number, now) = (step * 3 + thread, at(step));
                    publish(keys, number, now);
                    if keys.get(&named(number), now).is_none() {
                        assert!(keys.evicted_before() >= Some(now));
                    }
                }
            });
        }
    });
}

#[test]
fn an_answer_waits_until_it_is_settled_and_is_settled_once() {
    let lifetime = Duration::from_millis(100);
    let limits = KeyLimits { lifetime, count: 1_000, drop_oldest: false, unsettled: Some(2) };
    let keys = IdempotencyMap::new(limits);
    assert_eq!(keys.unsettled(), 0);
    publish(&keys, 1, at(0));
    publish(&keys, 2, at(1));
    assert_eq!(keys.unsettled(), 2);
    let third = || keys.claim(&named(3), PRINT, at(2), OnDuplicate::Refuse);
    assert!(matches!(third(), KeyClaim::Behind));
    keys.settle(&named(2), at(0));
    assert_eq!(keys.unsettled(), 2, "an older answer of this key was meant");
    for _ in 0..2 {
        keys.settle(&named(1), at(0));
        assert_eq!(keys.unsettled(), 1);
    }
    assert!(matches!(third(), KeyClaim::First(_)));
    publish(&keys, 3, at(2));
    assert_eq!(keys.unsettled(), 2);
}

/// Parts take several places ahead where there are so many: no more are taken than there are, and
/// none is left.
#[test]
fn a_large_bound_is_met_to_the_last_place() {
    const BOUND: usize = 1 << 17;
    let lifetime = Duration::from_millis(100);
    let limits = KeyLimits { lifetime, count: BOUND, drop_oldest: false, unsettled: None };
    let keys = IdempotencyMap::new(limits);
    let mut numbers = 0..;
    let mut fill = |now| {
        for number in numbers.by_ref() {
            match keys.claim(&named(number), PRINT, now, OnDuplicate::Refuse) {
                KeyClaim::First(claimed_key) => claimed_key.publish(number, now),
                KeyClaim::Full => return (keys.len(), keys.parts.len()),
                other => panic!("{other:?}"),
            }
        }
        unreachable!("there is a bound");
    };
    assert_eq!(fill(at(0)), (BOUND, BOUND));
    for number in 0..1_000 {
        let claim = keys.claim(&named(number), PRINT, at(0), OnDuplicate::Refuse);
        assert!(matches!(claim, KeyClaim::Repeat(answer) if answer == number));
    }
    while keys.purge(at(101), 1_000) > 0 {}
    assert_eq!((keys.len(), keys.parts.len()), (0, 0));
    assert_eq!(fill(at(101)), (BOUND, BOUND));
}

/// A refused call leaves nothing, whatever other calls are under way.
#[test]
fn refused_calls_take_no_memory() {
    let keys = keys();
    let _longest = first(&keys, named(0), at(0));
    let mut others = std::collections::VecDeque::new();
    for number in 1..20_000 {
        others.push_back(first(&keys, named(number), at(0)));
        if others.len() > 50 {
            others.pop_front();
        }
    }
    drop(others);
    assert_eq!((keys.len(), keys.parts.len(), keys.parts.capacity()), (1, 1, 0));
}
