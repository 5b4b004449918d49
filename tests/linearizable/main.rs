//! Every short history of racing calls looks as if the calls had been made one after the other.
//!
//! Threads make random calls on a few hot levels, and each call's answer is written down with the
//! moments at which it was made and returned. [`checker`] then looks for an order that explains all
//! answers; that there is one is what "at one instant" means (Law 4).
//!
//! These are the threads of the machine, whose two cores do not interleave finely; `loom-tests/shuttle`
//! makes the same histories under schedules of its own, and by the ten thousand.
//!
//! `STOCKADE_SEED` replays the calls of one history (not its schedule, which is the machine's), and
//! `STOCKADE_HISTORIES` says how many to try.

mod checker;
mod history;
mod model;
mod threads;

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use history::Plan;

/// How many histories are made and checked, at least.
const HISTORIES: u64 = 3_000;
/// How many of them must have had calls that raced, unless that takes too long: a machine that is busy
/// with other things runs one thread after the other.
const RACES: u64 = 500;
const LONGEST: Duration = Duration::from_secs(60);

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")))
}

/// A number that is another one in each run.
fn seed_of_the_day() -> u64 {
    RandomState::new().hash_one("linearizable")
}

#[test]
fn every_short_history_of_racing_calls_has_an_order() {
    let (first, histories) = match setting("STOCKADE_SEED") {
        // The same calls many times: the schedule differs.
        Some(seed) => (seed, setting("STOCKADE_HISTORIES").unwrap_or(1_000)),
        None => (seed_of_the_day(), setting("STOCKADE_HISTORIES").unwrap_or(HISTORIES)),
    };
    let replays = setting("STOCKADE_SEED").is_some();
    let begun = Instant::now();
    let mut races = 0;
    for number in 0.. {
        if number >= histories && (replays || races >= RACES || begun.elapsed() > LONGEST) {
            break;
        }
        let seed = if replays { first } else { first.wrapping_add(number) };
        let (calls, initial) = Plan::new(seed).run();
        assert!(
            checker::explain(&calls, &initial).is_some(),
            "no order explains this history (STOCKADE_SEED={seed}), from {initial:?}:\n{}",
            history::shown(&calls),
        );
        let has_raced = |at: usize| calls[at + 1..].iter().any(|other| calls[at].overlaps(other));
        races += u64::from((0..calls.len()).any(has_raced));
    }
    assert!(races > 0, "the machine ran one call after the other, and nothing was shown");
}
