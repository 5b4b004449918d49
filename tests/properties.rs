//! Random sequences of operations, checked against a simple model: every answer, every count, every
//! reservation, and at the end every entry of the audit log (Laws 1, 2, 3 and 5, for one thread).
//!
//! `PROPTEST_CASES` sets how many sequences to try. `PROPTEST_RNG_SEED` replays a run. Sequences
//! that failed once are in `properties.regressions`, and are tried first.

mod common;
mod properties {
    mod driver;
    mod plan;
    mod translate;

    use proptest::prelude::*;
    use proptest::test_runner::{Config, FileFailurePersistence};

    use self::driver::Driver;
    use self::plan::{Step, steps};

    fn config() -> Config {
        let persistence = FileFailurePersistence::WithSource("regressions");
        let default = Config::default();
        let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { 200 };
        Config { cases, failure_persistence: Some(Box::new(persistence)), ..default }
    }

    fn run(slots: usize, steps: &[Step]) {
        let mut driver = Driver::new(slots);
        for step in steps {
            driver.step(step);
        }
        driver.finish();
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn the_engine_does_what_the_model_does(steps in steps(1..80)) {
            run(4_096, &steps);
        }

        /// With very few slots, reserves are refused for lack of slots, and records of ended holds
        /// are dropped soon. Then only the log tells how they ended.
        #[test]
        fn the_engine_does_so_with_few_slots_too(slots in 1..9_usize, steps in steps(1..80)) {
            run(slots, &steps);
        }
    }
}
