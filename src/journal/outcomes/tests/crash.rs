//! A power cut after every step of the disk, and disks that fail.

use super::*;

/// Segments of the story.
const SEGMENTS: u64 = 22;
/// How much time passes from one segment to the next: some runs are over at the end.
const PACE: u64 = 90;

#[test]
fn a_power_cut_at_any_step_loses_nothing_that_was_installed() {
    let disk = SimulatedDisk::new();
    let outcomes = open(&disk, 0);
    // Of each segment: the step after which it must be there.
    let mut done = Vec::new();
    for number in 1..=SEGMENTS {
        install(&outcomes, number, number * PACE).expect("room");
        done.push(disk.steps());
        while outcomes.merge_due(time(number * PACE)).expect("room") {}
    }
    let runs = outcomes.stats().runs;
    assert!(runs < 15, "nothing was merged or removed: {runs} runs");
    for step in 0..=disk.steps() {
        // Nothing unsynced survives, or a part of it.
        for seed in [None, Some(step)] {
            let cut = disk.crash(step, |piece| seed.is_some_and(|seed| (piece + seed) % 3 != 0));
            let installed = done.iter().filter(|at| **at <= step).count() as u64;
            check(&cut, installed, &format!("step {step}, seed {seed:?}"));
        }
    }
}

/// All segments up to `installed` are covered or over, none twice, and whatever is missing can be
/// made anew.
fn check(cut: &SimulatedDisk, installed: u64, context: &str) {
    let layout = layout(SEGMENTS);
    let outcomes = open(cut, SEGMENTS);
    let missing = outcomes.missing(&layout);
    assert!(missing.iter().all(|range| range.first > installed), "{context}: {missing:?}");
    assert_eq!(outcomes.stats().gaps, Vec::new(), "{context}");
    for number in 1..=installed {
        let at = number * PACE;
        let is_over = at + KEEP < installed * PACE + PACE;
        let found = found(&outcomes, number);
        let is_right = found == found_value(number, number % 7, at);
        assert!(is_right || (is_over && found == OutcomeLookup::Absent), "{context}: {found:?}");
    }
    assert!(cut.files().iter().all(|(name, _)| !name.ends_with(".new")), "{context}");
    if !missing.len().is_multiple_of(3) {
        // So much is not needed at every step.
        return;
    }
    for range in missing {
        install(&outcomes, range.first, range.first * PACE).expect("room");
    }
    while outcomes.merge_due(time(SEGMENTS * PACE)).expect("room") {}
    assert_eq!(outcomes.missing(&layout), Vec::new(), "{context}");
    let last = found(&outcomes, SEGMENTS);
    assert_eq!(last, found_value(SEGMENTS, SEGMENTS % 7, SEGMENTS * PACE), "{context}");
}

#[test]
fn a_disk_that_fails_leaves_all_as_it_was_and_the_next_try_works() {
    let disk = SimulatedDisk::new();
    let outcomes = open(&disk, 0);
    install(&outcomes, 1, 1).expect("room");
    let fail: [&dyn Fn(bool); 3] =
        [&|fail| disk.fail_fsync(fail), &|fail| disk.fail_appends(fail), &|fail| {
            disk.fill(fail.then_some(100))
        }];
    for (number, fail) in (2..).zip(fail) {
        fail(true);
        let failed = install(&outcomes, number, number).expect_err("a failing disk");
        assert!(matches!(failed, JournalError::Storage { .. }), "{failed}");
        assert_eq!(outcomes.missing(&layout(number)), [range(number)]);
        assert_eq!(found(&outcomes, number), OutcomeLookup::Absent);
        assert_eq!(found(&outcomes, 1), found_value(1, 1, 1));
        fail(false);
        install(&outcomes, number, number).expect("a working disk");
        assert_eq!(found(&outcomes, number), found_value(number, number, number));
    }
    for number in 5..=8 {
        install(&outcomes, number, number).expect("a working disk");
    }
    disk.fail_fsync(true);
    assert!(outcomes.merge_due(time(8)).is_err());
    assert_eq!((outcomes.stats().runs, found(&outcomes, 8)), (8, found_value(8, 1, 8)));
    disk.fail_fsync(false);
    assert_eq!(outcomes.merge_due(time(8)), Ok(true));
    assert_eq!((outcomes.stats().runs, found(&outcomes, 8)), (1, found_value(8, 1, 8)));
    assert!(disk.files().iter().all(|(name, _)| !name.ends_with(".new")));
}

#[test]
fn a_tail_that_was_lost_takes_its_runs_with_it() {
    let disk = SimulatedDisk::new();
    let outcomes = open(&disk, 0);
    (1..=3).for_each(|number| install(&outcomes, number, number).expect("room"));
    // The journal goes on from another third segment.
    let mut layout = layout(4);
    for it in &mut layout.path[3..] {
        it.header.base.hash = [99; 32];
    }
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let outcomes =
        Outcomes::open(storage, &layout, (JOURNAL, 2), limits(usize::MAX)).expect("a disk");
    assert_eq!(outcomes.missing(&layout).len(), 2);
    assert_eq!(found(&outcomes, 2), found_value(2, 2, 2));
    assert_eq!(found(&outcomes, 3), OutcomeLookup::Absent, "it is of another future");
    // Files of another journal count for nothing.
    layout.path.iter_mut().for_each(|it| it.header.journal = 8);
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let outcomes = Outcomes::open(storage, &layout, (8, 3), limits(usize::MAX)).expect("a disk");
    assert_eq!((outcomes.stats().runs, outcomes.missing(&layout).len()), (0, 4));
}
