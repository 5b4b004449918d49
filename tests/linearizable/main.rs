//! Linearizability: every short history of racing calls looks as if the calls had run one after
//! another.
//!
//! Threads make random calls on a few hot levels. For each call, the answer is recorded, with the
//! moments of the call and the return. Then the [`checker`] looks for an order that explains all
//! answers. If there is one, each call took effect at one instant (Law 4).
//!
//! These are threads of the machine, whose two cores give few interleavings. `loom-tests/shuttle`
//! makes the same histories under its own schedules, tens of thousands of them.
//!
//! `STOCKADE_SEED` replays the calls of one history, but not its schedule, which is the machine's.
//! `STOCKADE_HISTORIES` sets how many to try.

mod checker;
mod history;
mod model;
mod threads;

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use history::Plan;

/// How many histories are made and checked, at least.
const HISTORIES: u64 = 3_000;
/// How many of them must have had racing calls, unless that takes too long: on a busy machine,
/// threads may run one after another.
const RACES: u64 = 500;
const LONGEST: Duration = Duration::from_secs(60);

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")))
}

/// A number that differs in each run.
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
