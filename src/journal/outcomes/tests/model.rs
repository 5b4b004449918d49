//! The files against a map: random runs, merges, openings, ages and budgets.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// How many names there are.
const NAMES: u64 = 12;

#[derive(Clone, Debug)]
enum ModelStep {
    /// A segment with records of these names, each with a value.
    Install(Vec<(u64, u64)>),
    Merge,
    /// Time passes.
    Wait(u64),
    /// The process is killed; the next one has this budget.
    Reopen(usize),
}

fn step() -> impl Strategy<Value = ModelStep> {
    prop_oneof![
        12 => prop::collection::vec((0..NAMES, 0_u64..9), 0..6).prop_map(ModelStep::Install),
        3 => Just(ModelStep::Merge),
        3 => (1_u64..KEEP / 4).prop_map(ModelStep::Wait),
        1 => prop_oneof![Just(0), Just(3_000), Just(usize::MAX)].prop_map(ModelStep::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]
    #[test]
    fn the_files_answer_as_a_map_does(steps in prop::collection::vec(step(), 1..60)) {
        let mut disk = SimulatedDisk::new();
        let mut outcomes = open(&disk, 0);
        let mut model: HashMap<u64, (u64, u64)> = HashMap::new();
        let (mut now, mut segments) = (1, 0);
        let last = steps.len() - 1;
        for (at, step) in steps.into_iter().enumerate() {
            match step {
                ModelStep::Install(names) => {
                    segments += 1;
                    let mut builder = outcomes.builder();
                    for (name, value) in names {
                        add_each(&mut builder, name, value, now);
                        model.insert(name, (value, now));
                    }
                    outcomes.install(range(segments), &builder, time(now)).expect("room");
                }
                ModelStep::Merge => while outcomes.merge_due(time(now)).expect("room") {},
                ModelStep::Wait(millis) => now += millis,
                ModelStep::Reopen(memory) => {
                    disk = disk.killed();
                    outcomes = open_with(Arc::new(disk.clone()), segments, memory);
                    let missing = outcomes.missing(&layout(segments));
                    prop_assert_eq!(missing, Vec::new());
                }
            }
            prop_assert_eq!(outcomes.stats().gaps, Vec::new());
            // All names at every fifth step is enough.
            for name in (0..=NAMES).filter(|_| at.is_multiple_of(5) || at == last) {
                let found = found(&outcomes, name);
                match model.get(&name) {
                    None => prop_assert_eq!(found, OutcomeLookup::Absent),
                    Some((_, at)) if at + KEEP < now && found == OutcomeLookup::Absent => {}
                    Some((value, at)) => {
                        prop_assert_eq!(found, found_value(name, *value, *at));
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_over_leaves_the_disk_and_what_is_not_stays() {
    let disk = SimulatedDisk::new();
    let outcomes = open(&disk, 0);
    let mut most = 0;
    for number in 1..=400 {
        // Twenty segments in the time that records are kept.
        let now = number * KEEP / 20;
        install(&outcomes, number, now).expect("room");
        while outcomes.merge_due(time(now)).expect("room") {}
        let stats = outcomes.stats();
        most = most.max(stats.records);
        assert!(stats.oldest.is_some_and(|it| it.as_millis() + KEEP * 3 / 2 >= now), "{stats:?}");
        let due = number.saturating_sub(20).max(1);
        assert_eq!(found(&outcomes, due), found_value(due, due % 7, due * KEEP / 20));
    }
    assert!(most <= 3 * 30, "{most} records: half as long again as twenty segments of three");
    assert_eq!(found(&outcomes, 300), OutcomeLookup::Absent);
    let files = disk.files().len();
    assert!(files < 20, "{files} files");
    assert_eq!(open(&disk.killed(), 400).missing(&layout(400)), Vec::new());
}

#[test]
fn a_look_up_asks_few_runs_however_many_segments_there_were() {
    let disk = SimulatedDisk::new();
    let outcomes = open(&disk, 0);
    for number in 1..=8 * 8 * 8 - 1 {
        install(&outcomes, number, 1).expect("room");
        while outcomes.merge_due(time(1)).expect("room") {}
    }
    assert_eq!(outcomes.stats().runs, 7 + 7 + 7);
    install(&outcomes, 512, 1).expect("room");
    while outcomes.merge_due(time(1)).expect("room") {}
    assert_eq!((outcomes.stats().runs, disk.files().len()), (1, 1));
    assert_eq!(found(&outcomes, 17), found_value(17, 3, 1));
}
