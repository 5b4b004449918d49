//! Shared by the benches: the engine and its peers behind one trait, the workloads, the threads
//! that run them, and the machine.
#![allow(dead_code, reason = "every bench uses its own part of this")]

pub(crate) mod arguments;
pub(crate) mod bursts;
pub(crate) mod buyer;
pub(crate) mod counts;
pub(crate) mod crew;
pub(crate) mod customers;
pub(crate) mod engine;
pub(crate) mod floor;
pub(crate) mod http;
pub(crate) mod ledger;
pub(crate) mod limit_proof;
pub(crate) mod limited;
pub(crate) mod local;
pub(crate) mod machine;
pub(crate) mod median;
pub(crate) mod nothing;
pub(crate) mod open_loop;
pub(crate) mod order;
pub(crate) mod postgres;
pub(crate) mod programs;
pub(crate) mod real;
pub(crate) mod redis;
pub(crate) mod table;
pub(crate) mod workload;

/// How much to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Each case once, small: does it work at all?
    Smoke,
    /// Under a minute.
    Quick,
    /// As long as it takes.
    Full,
}

impl Scale {
    /// The scale that the command line asks for. `cargo bench` passes `--bench`. Any other caller,
    /// such as `cargo test --all-targets`, only checks that the bench works.
    pub(crate) fn asked() -> Self {
        let has = |flag: &str| std::env::args().any(|argument| argument == flag);
        match () {
            () if has("--test") || !has("--bench") => Self::Smoke,
            () if has("--quick") => Self::Quick,
            () => Self::Full,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        self.pick("smoke", "quick", "full")
    }

    /// The number for this scale.
    pub(crate) fn pick<T>(self, smoke: T, quick: T, full: T) -> T {
        match self {
            Self::Smoke => smoke,
            Self::Quick => quick,
            Self::Full => full,
        }
    }
}
