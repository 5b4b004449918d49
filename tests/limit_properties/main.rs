//! Limits under random sequences of calls, against a model of plain lists: every answer, every
//! refusal with its numbers, what each subject has used, every line of every reservation; over
//! restarts, after which the journal must say the same.
//!
//! `PROPTEST_CASES` sets how many sequences to try. `PROPTEST_RNG_SEED` replays a run.

mod driver;
mod ending;
mod model;
mod plan;
mod translate;

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};

use self::driver::Driver;
use self::plan::{Step, steps};

fn run(steps: &[Step]) {
    let mut driver = Driver::new();
    for step in steps {
        driver.step(step);
    }
    driver.finish();
}

fn config(cases: u32) -> Config {
    let persistence = FileFailurePersistence::SourceParallel("proptest-regressions");
    let default = Config::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { cases };
    Config { cases, failure_persistence: Some(Box::new(persistence)), ..default }
}

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn limits_are_what_plain_lists_say(steps in steps(70)) {
        run(&steps);
    }
}

/// A million steps.
#[test]
#[ignore = "takes minutes: run it in a release build"]
#[allow(clippy::print_stdout, reason = "whoever runs it wants to know how much was tried")]
fn limits_are_what_plain_lists_say_for_long() {
    let played = Cell::new(0);
    let config = Config { source_file: Some(file!()), cases: 7_000, ..config(0) };
    let tried = TestRunner::new(config).run(&steps(300), |steps| {
        run(&steps);
        played.set(played.get() + steps.len());
        Ok(())
    });
    tried.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(played.get() > 1_000_000, "only {} steps", played.get());
}
