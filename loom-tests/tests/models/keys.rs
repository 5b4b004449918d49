//! Answers of idempotency keys: one leaves memory only once it lies in its outcome file, and
//! whoever finds it gone finds it there.

use std::sync::Arc;
use std::time::Duration;

use loom_tests::model;

use crate::base::clock::Timestamp;
use crate::base::sync::{AtomicBool, Ordering};
use crate::engine::race;
use crate::idempotency::key::{IdempotencyKey, KeyName};
use crate::idempotency::map::{IdempotencyMap, KeyClaim, KeyLimits, OnDuplicate};

const PRINT: u128 = 7;
const HOUR: u64 = 60 * 60 * 1_000;

/// The keys of an engine with a journal, and whether the outcome file of key 1 is installed.
struct Shop {
    keys: IdempotencyMap<u32>,
    filed: AtomicBool,
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn named(number: u8) -> KeyName {
    KeyName::Caller(IdempotencyKey::from_bytes(&[number]).expect("a legal key"))
}

impl Shop {
    /// Memory for no answer at all: each leaves as soon as it may. At most `unsettled` may wait.
    fn new(unsettled: usize) -> Arc<Self> {
        let limits = KeyLimits {
            lifetime: Duration::from_millis(HOUR),
            count: 0,
            drop_oldest: false,
            unsettled: Some(unsettled),
        };
        Arc::new(Self { keys: IdempotencyMap::new(limits), filed: AtomicBool::new(false) })
    }

    fn claim(&self, key: u8, now: u64) -> KeyClaim<'_, u32> {
        self.keys.claim(&named(key), PRINT, at(now), OnDuplicate::Refuse)
    }

    /// The first call under this key is answered.
    fn answer(&self, key: u8, answer: u32, now: u64) {
        match self.claim(key, now) {
            KeyClaim::First(claim) => claim.publish(answer, at(now)),
            other => panic!("key {key} is not free: {other:?}"),
        }
    }

    /// A file gets the answer of this key. Then memory may let go of it.
    fn file(&self, key: u8, answered: u64) {
        // Relaxed: the model's only order is that of the map.
        self.filed.store(true, Ordering::Relaxed);
        self.keys.settle(&named(key), at(answered));
    }

    /// A retry of key 1: its answer, from memory or, where memory has none, from the file.
    fn retry(&self, answer: u32, now: u64) {
        match self.claim(1, now) {
            KeyClaim::Repeat(found) => assert_eq!(found, answer),
            KeyClaim::First(_) => {
                assert!(self.filed.load(Ordering::Relaxed), "it is nowhere, and would run again");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn whoever_finds_an_answer_gone_finds_it_filed() {
    model("a retry while its answer is settled", || {
        let shop = Shop::new(9);
        shop.answer(1, 11, 0);
        race(&shop, |shop| shop.file(1, 0), |shop| shop.retry(11, 1));
        shop.retry(11, 1);
    });
}

#[test]
fn an_answer_that_waits_makes_no_room_for_one_that_is_filed() {
    model("an answer that waits, while others are settled", || {
        let shop = Shop::new(9);
        // Some of the others lie in its part of the map, some in the other one.
        (1..5).for_each(|key| shop.answer(key, 10 + u32::from(key), 0));
        let settle = |shop: &Shop| (2..5).for_each(|key| shop.keys.settle(&named(key), at(0)));
        race(&shop, settle, |shop| shop.retry(11, 1));
        shop.retry(11, 1);
        // However long it waits, by the clock.
        shop.retry(11, 9 * HOUR);
    });
}

#[test]
fn a_file_that_is_made_anew_settles_no_later_answer() {
    model("a file made anew, while its key is used anew", || {
        let shop = Shop::new(9);
        shop.answer(1, 11, 0);
        shop.keys.settle(&named(1), at(0));
        race(&shop, |shop| shop.keys.settle(&named(1), at(0)), |shop| shop.answer(1, 21, 2 * HOUR));
        shop.keys.settle(&named(1), at(0));
        shop.retry(21, 2 * HOUR);
    });
}

#[test]
fn an_answer_that_is_settled_as_it_is_published_keeps_no_new_key_out() {
    model("an answer is settled as it is published", || {
        let shop = Shop::new(2);
        let (_, claimed) = race(
            &shop,
            |shop| shop.answer(1, 11, 0),
            |shop| {
                shop.file(1, 0);
                matches!(shop.claim(2, 0), KeyClaim::First(_))
            },
        );
        assert!(claimed, "so few answers wait that a new key is free");
        shop.file(1, 0);
        assert_eq!(shop.keys.unsettled(), 0);
        shop.retry(11, 1);
    });
}

#[test]
fn whoever_misses_a_dropped_answer_sees_the_mark() {
    model("a look-up while the oldest answer is dropped", || {
        let limits = KeyLimits {
            lifetime: Duration::from_millis(HOUR),
            count: 1,
            drop_oldest: true,
            unsettled: None,
        };
        let keys = IdempotencyMap::new(limits);
        let shop = Arc::new(Shop { keys, filed: AtomicBool::new(false) });
        shop.answer(1, 11, 5);
        race(
            &shop,
            |shop| shop.answer(2, 12, 6),
            |shop| {
                if shop.keys.get(&named(1), at(7)).is_none() {
                    assert_eq!(shop.keys.evicted_before(), Some(at(5)));
                }
            },
        );
        assert_eq!(
            (shop.keys.get(&named(1), at(7)), shop.keys.get(&named(2), at(7))),
            (None, Some(12))
        );
    });
}
