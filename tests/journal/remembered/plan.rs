//! Random lives. References to keys and holds are numbers; the driver takes them modulo the number
//! that exists at that step.

use std::ops::Range;

use proptest::prelude::*;

/// What a call does with a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Confirm,
    Release,
    Retake,
}

/// What happened to the outcome files while the engine was closed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Harm {
    Nothing,
    /// The n-th file is gone, or all are.
    Lost(Option<usize>),
    /// The n-th file has a flipped bit, or all have.
    Flipped(Option<usize>),
}

/// How the engine ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Closed,
    Killed,
    /// With the number that decides which unsynced pieces survive.
    PowerCut(u64),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// A reserve of so many units, for so many hours.
    Reserve {
        key: Option<usize>,
        units: u32,
        hours: u64,
    },
    End {
        what: Ending,
        hold: usize,
        key: Option<usize>,
    },
    /// The last call under a key comes again.
    Again(usize),
    /// So many other keyed calls, which fill segments.
    Others(u32),
    /// So many hours pass.
    Hours(u64),
    /// Overdue holds are swept, and what is queued is written.
    Idle,
    Flush,
    /// The auditor reads all, and writes the outcome files of finished segments.
    Audit,
    /// The engine ends, and is opened again after so many hours.
    Reopen {
        end: End,
        hours: u64,
        harm: Harm,
    },
}

pub(super) fn steps(count: Range<usize>) -> impl Strategy<Value = Vec<Step>> {
    let key = || prop_oneof![1 => Just(None), 3 => (0..6_usize).prop_map(Some)];
    let what = prop_oneof![Just(Ending::Confirm), Just(Ending::Release), Just(Ending::Retake)];
    let hours = || prop_oneof![4 => 0..30_u64, 2 => 100..200_u64, 1 => 300..600_u64];
    let file = || prop_oneof![2 => (0..9_usize).prop_map(Some), 1 => Just(None)];
    let harm = prop_oneof![
        3 => Just(Harm::Nothing),
        1 => file().prop_map(Harm::Lost),
        1 => file().prop_map(Harm::Flipped),
    ];
    let end =
        prop_oneof![Just(End::Closed), Just(End::Killed), any::<u64>().prop_map(End::PowerCut),];
    let step = prop_oneof![
        6 => (key(), 1..4_u32, prop_oneof![2 => 1..3_u64, 1 => 200..300_u64])
            .prop_map(|(key, units, hours)| Step::Reserve { key, units, hours }),
        8 => (what, 0..30_usize, key()).prop_map(|(what, hold, key)| Step::End { what, hold, key }),
        5 => (0..6_usize).prop_map(Step::Again),
        2 => (1..25_u32).prop_map(Step::Others),
        3 => hours().prop_map(Step::Hours),
        2 => Just(Step::Idle),
        1 => Just(Step::Flush),
        3 => Just(Step::Audit),
        3 => (end, hours(), harm).prop_map(|(end, hours, harm)| Step::Reopen { end, hours, harm }),
    ];
    prop::collection::vec(step, count)
}
