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
use plan::{Step, steps};

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
