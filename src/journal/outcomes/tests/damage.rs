//! Damaged, missing and mixed-up files: never a wrong answer, and never "absent" for what is lost.

use super::*;

/// Three runs, each of one segment with some records.
fn three_runs() -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let outcomes = open(&disk, 0);
    (1..=3).for_each(|number| install(&outcomes, number, number).expect("room"));
    assert_eq!(disk.files().len(), 3);
    disk
}

/// Every answer is right, or says that it can't be given. Only the newest run may be missing as if
/// it had never been: then it is reported as not yet made.
fn check(disk: &SimulatedDisk, context: &str) {
    let outcomes = open(disk, 3);
    let answers = [1, 2, 3].map(|name| found(&outcomes, name));
    let missing = outcomes.missing(&layout(3));
    let is_missing = |name: u64| missing.iter().any(|range| range.first == name);
    for (name, answer) in (1..).zip(answers) {
        let is_open = answer == OutcomeLookup::Incomplete && !missing.is_empty();
        let is_late = answer == OutcomeLookup::Absent && name == 3 && is_missing(3);
        let is_right = answer == found_value(name, name, name);
        assert!(is_right || is_open || is_late, "{context}, name {name}: {answer:?}");
    }
    let stranger = found(&outcomes, 4);
    match is_missing(1) || is_missing(2) {
        true => assert_eq!(stranger, OutcomeLookup::Incomplete, "{context}"),
        false if is_missing(3) => assert_ne!(stranger, OutcomeLookup::NeedsDisk, "{context}"),
        false => assert_eq!(stranger, OutcomeLookup::Absent, "{context}"),
    }
    // Made anew, all is right.
    for range in missing {
        install(&outcomes, range.first, range.first).expect("room");
    }
    assert_eq!(outcomes.missing(&layout(3)), Vec::new(), "{context}");
    for name in 1..=3 {
        assert_eq!(found(&outcomes, name), found_value(name, name, name), "{context}");
    }
}

#[test]
fn no_flipped_byte_gives_a_wrong_answer() {
    let files = three_runs().files();
    let length = files[1].1.len();
    // Zeros fill up the pages. Of these, a few are enough.
    let matters = |at: usize| at % 4096 < 360 || at % 4096 > 4086 || at.is_multiple_of(211);
    for place in (0..length).filter(|at| matters(*at)) {
        let mut files = files.clone();
        files[1].1[place] ^= 1 << (place % 8);
        check(&SimulatedDisk::with_files(files), &format!("byte {place}"));
    }
}

#[test]
fn no_file_that_is_cut_missing_or_swapped_gives_a_wrong_answer() {
    let files = three_runs().files();
    for which in 0..3 {
        for length in (0..files[which].1.len()).step_by(1_000) {
            let mut cut = files.clone();
            cut[which].1.truncate(length);
            check(&SimulatedDisk::with_files(cut), &format!("file {which} to {length}"));
        }
        let mut missing = files.clone();
        missing.remove(which);
        check(&SimulatedDisk::with_files(missing), &format!("file {which} missing"));
        let mut swapped = files.clone();
        swapped[which].1 = files[(which + 1) % 3].1.clone();
        check(&SimulatedDisk::with_files(swapped), &format!("file {which} swapped"));
        // A page of another run, in its place.
        let mut mixed = files.clone();
        let page = files[(which + 1) % 3].1[..4096].to_vec();
        mixed[which].1[..4096].copy_from_slice(&page);
        check(&SimulatedDisk::with_files(mixed), &format!("file {which} mixed"));
    }
}

#[test]
fn a_run_found_damaged_while_it_is_in_use_is_made_anew() {
    let disk = three_runs();
    let outcomes = open(&disk, 3);
    assert_eq!(found(&outcomes, 1), found_value(1, 1, 1));
    // The first page of the second run goes bad beneath the engine.
    let (name, mut bytes) = disk.files().remove(1);
    bytes[30] ^= 1;
    disk.remove(&name).expect("a file");
    disk.create(&name).and_then(|file| file.append(&bytes)).expect("room");
    assert_eq!(found(&outcomes, 2), OutcomeLookup::Incomplete);
    assert_eq!(found(&outcomes, 4), OutcomeLookup::Incomplete, "it may have been in there");
    assert_eq!(found(&outcomes, 3), found_value(3, 3, 3), "what is newer is known");
    assert_eq!(outcomes.stats().gaps, [range(2)]);
    assert_eq!(outcomes.missing(&layout(3)), [range(2)]);
    install(&outcomes, 2, 2).expect("room");
    assert_eq!(outcomes.stats().gaps, Vec::new());
    assert_eq!(found(&outcomes, 4), OutcomeLookup::Absent);
    check(&disk.killed(), "made anew");
}

#[test]
fn a_merge_of_a_damaged_run_fails_and_names_the_gap() {
    let disk = SimulatedDisk::new();
    let outcomes = open(&disk, 0);
    (1..=8).for_each(|number| install(&outcomes, number, number).expect("room"));
    let (name, mut bytes) = disk.files().remove(4);
    bytes[30] ^= 1;
    disk.remove(&name).expect("a file");
    disk.create(&name).and_then(|file| file.append(&bytes)).expect("room");
    assert!(matches!(outcomes.merge_due(time(8)), Err(JournalError::Damaged { .. })));
    assert_eq!(outcomes.stats().gaps, [range(5)]);
    assert_eq!(outcomes.merge_due(time(8)), Ok(false));
    // Its segment is gone, too: what it held is given up.
    outcomes.install(range(5), &outcomes.builder(), time(8)).expect("room");
    assert_eq!(outcomes.merge_due(time(8)), Ok(true));
    assert_eq!(found(&outcomes, 4), found_value(4, 4, 4));
    assert_eq!(found(&outcomes, 5), OutcomeLookup::Absent);
}

#[test]
fn a_merged_run_that_is_damaged_is_made_anew_segment_by_segment() {
    let disk = SimulatedDisk::new();
    let outcomes = open(&disk, 0);
    (1..=9).for_each(|number| install(&outcomes, number, number).expect("room"));
    // As after a crash between the merge and the removal of what it was made of.
    let before = disk.files();
    assert_eq!(outcomes.merge_due(time(9)), Ok(true));
    let mut merged = disk.files();
    assert_eq!(merged.len(), 2);
    merged[0].1[30] ^= 1;
    let outcomes = open(&SimulatedDisk::with_files(merged.clone()), 9);
    assert_eq!(found(&outcomes, 2), OutcomeLookup::Incomplete);
    for number in 1..=7 {
        install(&outcomes, number, number).expect("room");
        assert_eq!(found(&outcomes, 99), OutcomeLookup::Incomplete);
    }
    install(&outcomes, 8, 8).expect("room");
    assert_eq!(found(&outcomes, 99), OutcomeLookup::Absent);
    assert_eq!(found(&outcomes, 2), found_value(2, 2, 2));
    // If its foot is damaged, what it was made of counts, as long as it is there.
    let last = merged[0].1.len() - 1;
    merged[0].1[last] ^= 1;
    let all = before.into_iter().chain(merged);
    let outcomes = open(&SimulatedDisk::with_files(all), 9);
    assert_eq!(outcomes.missing(&layout(9)), Vec::new());
    assert_eq!((outcomes.stats().runs, found(&outcomes, 2)), (9, found_value(2, 2, 2)));
}

#[test]
fn a_gap_that_is_younger_than_what_is_over_stays_a_gap() {
    for is_found_in_use in [false, true] {
        let disk = SimulatedDisk::new();
        let outcomes = open(&disk, 0);
        for (number, millis) in [(1, 1), (2, KEEP), (3, KEEP + 1)] {
            install(&outcomes, number, millis).expect("room");
        }
        let (name, mut bytes) = disk.files().remove(1);
        bytes[30] ^= 1;
        disk.remove(&name).expect("a file");
        let outcomes = if is_found_in_use {
            disk.create(&name).and_then(|file| file.append(&bytes)).expect("room");
            assert_eq!(found(&outcomes, 2), OutcomeLookup::Incomplete);
            outcomes
        } else {
            open(&disk, 3)
        };
        // The first run is over now, and the lost one is not.
        install(&outcomes, 4, KEEP + KEEP / 2).expect("room");
        assert_eq!(outcomes.missing(&layout(4)), [range(2)]);
        assert_eq!(found(&outcomes, 99), OutcomeLookup::Incomplete);
        install(&outcomes, 2, KEEP).expect("room");
        assert_eq!(found(&outcomes, 2), found_value(2, 2, KEEP));
        assert_eq!(open(&disk, 4).missing(&layout(4)), Vec::new());
        assert_eq!(found(&outcomes, 99), OutcomeLookup::Absent);
    }
}

#[test]
fn what_is_lost_before_runs_without_records_stays_a_gap() {
    // What the run before the lost one holds is over, if there is one.
    for lost in [1, 2] {
        let disk = SimulatedDisk::new();
        let outcomes = open(&disk, 0);
        (1..lost).for_each(|number| install(&outcomes, number, 1).expect("room"));
        install(&outcomes, lost, 2 * KEEP).expect("room");
        let install_empty = |outcomes: &Outcomes, number| {
            outcomes.install(range(number), &outcomes.builder(), time(2 * KEEP)).expect("room");
        };
        [1, 2].iter().for_each(|more| install_empty(&outcomes, lost + more));
        disk.remove(&range(lost).name()).expect("a file");
        let outcomes = open(&disk, lost + 2);
        install_empty(&outcomes, lost + 3);
        for outcomes in [outcomes, open(&disk, lost + 3)] {
            assert_eq!(outcomes.missing(&layout(lost + 3)), [range(lost)]);
            assert_eq!(found(&outcomes, 99), OutcomeLookup::Incomplete);
        }
        let outcomes = open(&disk, lost + 3);
        install(&outcomes, lost, 2 * KEEP).expect("room");
        assert_eq!(found(&outcomes, lost), found_value(lost, lost, 2 * KEEP));
        assert_eq!(found(&outcomes, 99), OutcomeLookup::Absent);
    }
}

#[test]
fn a_gap_between_what_is_over_is_over() {
    let disk = SimulatedDisk::new();
    let outcomes = open(&disk, 0);
    (1..=3).for_each(|number| install(&outcomes, number, number).expect("room"));
    disk.remove(&range(2).name()).expect("a file");
    let outcomes = open(&disk, 3);
    assert_eq!(outcomes.stats().gaps, [range(2)]);
    (4..=5).for_each(|number| install(&outcomes, number, 2 * KEEP).expect("room"));
    for outcomes in [outcomes, open(&disk, 5)] {
        assert_eq!(outcomes.missing(&layout(5)), Vec::new());
        assert_eq!((outcomes.stats().runs, outcomes.stats().gaps), (2, Vec::new()));
        assert_eq!(found(&outcomes, 99), OutcomeLookup::Absent);
    }
}

#[test]
fn a_run_that_would_cover_half_of_another_is_refused_and_the_same_again_does_nothing() {
    let disk = SimulatedDisk::new();
    let outcomes = open(&disk, 0);
    let both = SegmentRange { end: point(2), ..range(1) };
    outcomes.install(both, &outcomes.builder(), time(1)).expect("room");
    let steps = disk.steps();
    install(&outcomes, 1, 1).expect("nothing to do");
    assert_eq!(disk.steps(), steps);
    let overlapping = SegmentRange { end: point(3), ..range(2) };
    let refused = outcomes.install(overlapping, &outcomes.builder(), time(1));
    assert!(matches!(refused, Err(JournalError::Damaged { .. })));
    assert_eq!(disk.steps(), steps);
}
