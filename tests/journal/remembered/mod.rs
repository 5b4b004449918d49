//! Random lives of a shop, checked against a plain model of what it promised: a key answered within
//! its days gets the same answer and runs nothing, and the outcome of every reservation is told
//! within its days, over restarts, kills, power cuts, lost and damaged outcome files.
//!
//! `PROPTEST_CASES` sets how many lives to try. Lives that failed once are in `mod.regressions`,
//! and are tried first.

mod disk;
mod driver;
mod model;
mod plan;

use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence};

use driver::Driver;
use plan::{End, Ending, Harm, Step, steps};

fn config() -> Config {
    let persistence = FileFailurePersistence::WithSource("regressions");
    let default = Config::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { 48 };
    Config { cases, failure_persistence: Some(Box::new(persistence)), ..default }
}

fn live(steps: &[Step]) {
    let mut driver = Driver::new();
    for (number, step) in steps.iter().enumerate() {
        driver.step(number, step);
    }
    driver.finish();
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_answer_and_every_outcome_is_told_as_long_as_it_was_promised(steps in steps(1..60)) {
        live(&steps);
    }
}

/// After a crash, the segment that repeats its unsynced end is finished after others were. Its file
/// comes after theirs.
#[test]
fn what_came_before_the_first_outcome_file_is_not_taken_for_forgotten() {
    live(&[
        Step::Reopen { end: End::PowerCut(267_076_347_611_645_520), hours: 0, harm: Harm::Nothing },
        Step::Reserve { key: Some(5), units: 1, hours: 1 },
        Step::End { what: Ending::Confirm, hold: 0, key: Some(1) },
        Step::Idle,
        Step::Reserve { key: None, units: 1, hours: 1 },
        Step::Reserve { key: Some(2), units: 1, hours: 1 },
        Step::Others(2),
        Step::Reserve { key: None, units: 1, hours: 1 },
    ]);
}

/// The end of the hold lies among what the crash left unsynced, and its days count from there.
#[test]
fn how_a_hold_ended_just_before_a_crash_is_known_just_after() {
    let reserve = |key| Step::Reserve { key, units: 1, hours: 1 };
    live(&[
        reserve(None),
        reserve(None),
        reserve(None),
        reserve(None),
        reserve(Some(0)),
        Step::Hours(167),
        reserve(Some(0)),
        Step::Others(1),
        Step::Idle,
        reserve(None),
        Step::Reopen { end: End::Killed, hours: 1, harm: Harm::Nothing },
        Step::End { what: Ending::Retake, hold: 0, key: None },
    ]);
}

/// The journal is older than answers are kept, and the openings without a call left outcome files
/// without records: these don't say that what was lost before them has had its days.
#[test]
fn an_answer_is_known_after_its_outcome_file_was_lost_twice() {
    let reopen = |harm| Step::Reopen { end: End::Closed, hours: 0, harm };
    live(&[
        Step::Hours(168),
        Step::Reserve { key: Some(0), units: 1, hours: 1 },
        Step::Idle,
        reopen(Harm::Nothing),
        Step::Others(4),
        reopen(Harm::Lost(Some(0))),
        reopen(Harm::Lost(Some(0))),
    ]);
}
