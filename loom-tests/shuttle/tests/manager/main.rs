//! The whole manager under shuttle's schedules: a few threads make random calls of every kind on a
//! few hot levels, while the laws are looked at; when they are through, a bookkeeper reads the
//! whole log.
//!
//! What each program does is in [`stage`], how a call is made in [`calls`], and what must hold at
//! any moment in [`watch`].
#![cfg(shuttle)]

mod calls;
mod durable;
mod ends;
#[path = "../../../../tests/common/ledger.rs"]
#[allow(dead_code, reason = "the library's own tests use the rest")]
mod ledger;
mod limits;
#[path = "../../../../tests/common/rng.rs"]
#[allow(dead_code, reason = "the library's own tests use the rest")]
mod rng;
mod scarce;
mod slots;
mod stage;
mod watch;

use shuttle_tests::explore;
use stage::{Scene, Stage};

/// Every kind of call, with slots and queue enough for all.
#[test]
fn the_laws_hold_while_everything_happens_at_once() {
    explore("the_laws_hold_while_everything_happens_at_once", 8_000, 10, |seed| {
        move || Stage::set(seed, Scene::Roomy).play()
    });
}

/// So few slots that ids are used again all the time, and so short a queue that callers write it
/// out.
#[test]
fn the_laws_hold_with_few_slots_and_a_short_queue() {
    explore("the_laws_hold_with_few_slots_and_a_short_queue", 2_000, 10, |seed| {
        move || Stage::set(seed, Scene::Tight).play()
    });
}

/// Two or three calls in all, so that a bug of three preemptions is found where it can be.
#[test]
fn the_laws_hold_between_any_few_calls() {
    explore("the_laws_hold_between_any_few_calls", 5_000, 10, |seed| {
        move || Stage::set(seed, Scene::Brief).play()
    });
}

/// Callers that wait for the disk, whose syncs are shared.
#[test]
fn what_callers_wait_for_together_survives_a_power_cut() {
    explore("what_callers_wait_for_together_survives_a_power_cut", 500, 10, |seed| {
        move || durable::play(seed)
    });
}

/// One customer under limits, served by several threads at once.
#[test]
fn nobody_draws_above_a_limit_and_all_comes_back() {
    explore("nobody_draws_above_a_limit_and_all_comes_back", 4_000, 10, |seed| {
        move || limits::play(seed)
    });
}

/// A confirm that a limit refuses at the last moment leaves its hold as it was.
#[test]
fn a_confirm_that_a_limit_refuses_keeps_nothing() {
    explore("a_confirm_that_a_limit_refuses_keeps_nothing", 40, 50, |seed| {
        move || limits::two_sales_of_one_card(seed)
    });
}
