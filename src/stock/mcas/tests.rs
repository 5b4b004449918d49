//! MCAS against a sequential model, and under load.

use super::testbed::{Move, ROOM, ShortCell, Testbed, When};
use proptest::prelude::*;

const HOLD_ONE: Move = (-1, 1);

#[test]
fn a_transfer_moves_units_and_tells_what_it_replaced() {
    let bed = Testbed::new(&[(5, 0), (1, 2)]);
    let before = bed.commit(&[(1, (3, 0)), (0, (-3, 0))], When::BeforeShown);
    assert_eq!(before, Ok(vec![(5, 0), (1, 2)]));
    assert_eq!((bed.read(0), bed.read(1)), ((2, 0), (4, 2)));
    assert_eq!(bed.check_journal().len(), 1);
    assert_eq!(bed.shown(), 1);
}

#[test]
fn a_refused_basket_takes_nothing_and_names_the_line() {
    let bed = Testbed::new(&[(5, 0), (1, 0), (5, 0)]);
    let refused = bed.commit(&[(0, HOLD_ONE), (1, (-2, 2)), (2, HOLD_ONE)], When::AfterDone);
    assert_eq!(refused, Err(ShortCell { cell: Some(1), available: 1 }));
    assert!(bed.is_clean());
    assert_eq!(bed.check_journal(), []);
    assert_eq!(bed.shown(), 0);
}

#[test]
fn two_lines_on_one_cell_are_one_demand() {
    let bed = Testbed::new(&[(3, 0)]);
    let twice = [(0, (-2, 2)), (0, (-2, 2))];
    assert_eq!(bed.commit(&twice, When::AfterDone), Err(ShortCell { cell: Some(0), available: 3 }));
}

#[test]
fn a_split_fulfillment_fills_in_the_order_it_was_given() {
    let bed = Testbed::new(&[(4, 0), (0, 0), (3, 1), (9, 0)]);
    assert!(bed.fill(&[2, 1, 0, 3, 2], 5, When::AfterDone).is_ok());
    let after: Vec<_> = (0..4).map(|cell| bed.read(cell)).collect();
    assert_eq!(after, [(2, 2), (0, 0), (0, 4), (9, 0)]);
    assert_eq!(
        bed.fill(&[2, 1, 0], 3, When::AfterDone),
        Err(ShortCell { cell: None, available: 2 })
    );
    assert_eq!(bed.check_journal().len(), 1);
}

#[test]
fn room_that_a_commit_gives_fills_down_what_is_over_whoever_drives_it() {
    // Two levels, and the rooms of their warehouses: 2 over, and 4 left.
    let start = [(9, 0), (0, 0), (0, 2), (4, 0)];
    let moves =
        |units: i32| [(0, (-units, 0)), (1, (units, 0)), (2, (units, ROOM)), (3, (-units, ROOM))];
    for (units, rooms) in [(1, [(0, 1), (3, 0)]), (2, [(0, 0), (2, 0)]), (4, [(2, 0), (0, 0)])] {
        let bed = Testbed::new(&start);
        assert!(bed.commit(&moves(units), When::Never).is_ok());
        assert_eq!([bed.read(2), bed.read(3)], rooms, "{units} by the owner");
        for marked in 1..=4 {
            let bed = Testbed::new(&start);
            let half = bed.stop_half_way(&moves(units), When::Never, marked);
            assert_eq!([bed.read(2), bed.read(3)], [(0, 2), (4, 0)], "readers see the old room");
            // Whoever lowers the capacity of the first meets the mark, and helps.
            bed.take_room_by_force(2, 1);
            assert!(half.wake().is_ok());
            let (left, over) = rooms[0];
            let less = (left.saturating_sub(1), over + u32::from(left == 0));
            assert_eq!([bed.read(2), bed.read(3)], [less, rooms[1]], "{units}, {marked} marked");
            assert!(bed.is_clean());
        }
    }
}

#[test]
fn a_commit_takes_room_out_of_what_is_left_alone() {
    let bed = Testbed::new(&[(9, 0), (0, 2)]);
    let refused = bed.commit(&[(0, (-1, 0)), (1, (-1, ROOM))], When::AfterDone);
    assert_eq!(refused, Err(ShortCell { cell: Some(1), available: 0 }));
    // Lines of one room are one: what the sum gives counts.
    let sum = [(1, (3, ROOM)), (1, (-1, ROOM))];
    assert_eq!(bed.commit(&sum, When::Never), Ok(vec![(0, 2)]));
    assert_eq!(bed.read(1), (0, 0));
    assert!(bed.commit(&[(1, (2, ROOM)), (1, (-3, ROOM))], When::Never).is_err());
    assert!(bed.is_clean());
}

#[test]
fn a_sleeping_owner_is_helped_and_finds_its_work_done() {
    let bed = Testbed::new(&[(5, 0), (0, 0)]);
    let half = bed.stop_half_way(&[(0, (-3, 0)), (1, (3, 0))], When::BeforeShown, 1);
    assert_eq!(bed.read(0), (5, 0), "readers see the old counts and write nothing");
    assert!(!bed.is_clean());
    assert!(!bed.take(0, 6), "what is short by what the mark means is refused without any help");
    assert!(!bed.is_clean());
    assert!(bed.take(0, 1), "a buyer helps the transfer to its end first");
    assert!(bed.is_clean());
    assert_eq!((bed.read(0), bed.read(1)), ((1, 0), (3, 0)));
    assert_eq!(half.wake(), Ok(vec![(5, 0), (0, 0)]));
    assert_eq!(bed.check_journal().len(), 2);
    assert_eq!(bed.shown(), 1);
}

#[test]
fn a_late_mark_is_nothing_to_readers_and_goes_with_who_put_it() {
    let bed = Testbed::new(&[(2, 0), (2, 0)]);
    let half = bed.stop_half_way(&[(0, (-1, 0)), (1, (1, 0))], When::Never, 1);
    let sleeper = half.helper_asleep_before(1);
    assert!(half.wake().is_ok());
    assert!(bed.apply(1, (-1, 0)), "the word is what it was");
    assert!(sleeper.mark());
    assert!(!bed.is_clean());
    assert_eq!(bed.read(1), (2, 0));
    sleeper.finish();
    assert!(bed.is_clean());
    assert_eq!([bed.read(0), bed.read(1)], [(1, 0), (2, 0)]);
}

#[test]
fn an_operation_that_is_never_run_never_was() {
    let bed = Testbed::new(&[(5, 0)]);
    drop(bed.stop_half_way(&[(0, HOLD_ONE)], When::AfterDone, 0));
    assert_eq!(bed.commit(&[(0, HOLD_ONE)], When::AfterDone), Ok(vec![(5, 0)]));
}

#[test]
fn ten_thousand_lines_commit_at_once() {
    let bed = Testbed::new(&vec![(1, 0); 10_000]);
    let basket: Vec<_> = (0..10_000).rev().map(|cell| (cell, HOLD_ONE)).collect();
    assert_eq!(bed.commit(&basket, When::Never).map(|before| before.len()), Ok(10_000));
    let short = ShortCell { cell: Some(0), available: 0 };
    assert_eq!(bed.commit(&basket, When::Never), Err(short));
    let half = bed.stop_half_way(
        &(0..10_000).map(|cell| (cell, (1, -1))).collect::<Vec<_>>(),
        When::BeforeShown,
        9_999,
    );
    assert_eq!(bed.read(9_998), (0, 1));
    assert!(bed.apply(9_999, (0, -1)), "a buyer at the far end does not even meet it");
    assert!(bed.apply(9_998, (0, 1)), "another one meets it, and its end: it is refused");
    assert_eq!(half.wake(), Err(ShortCell { cell: Some(9_999), available: 0 }));
    assert!(bed.is_clean());
}

/// One step of a sequential history.
#[derive(Clone, Debug)]
enum HistoryStep {
    Single(usize, Move),
    Commit(Vec<(usize, Move)>),
    Fill(Vec<usize>, u32),
    Snapshot(Vec<usize>),
    /// A commit whose owner stops after so many marks and wakes at the end of the next step.
    Stall(Vec<(usize, Move)>, usize),
}

const CELLS: usize = 5;

fn a_move() -> impl Strategy<Value = Move> {
    (-4..=4, -4..=4)
}

fn a_step() -> impl Strategy<Value = HistoryStep> {
    let lines = || prop::collection::vec((0..CELLS, a_move()), 1..8);
    let cells = || prop::collection::vec(0..CELLS, 1..CELLS);
    prop_oneof![
        (0..CELLS, a_move()).prop_map(|(cell, by)| HistoryStep::Single(cell, by)),
        lines().prop_map(HistoryStep::Commit),
        (cells(), 1..20_u32).prop_map(|(cells, units)| HistoryStep::Fill(cells, units)),
        cells().prop_map(HistoryStep::Snapshot),
        (lines(), 0..CELLS).prop_map(|(lines, marks)| HistoryStep::Stall(lines, marks)),
    ]
}

fn moved((available, reserved): (u32, u32), by: Move) -> Option<(u32, u32)> {
    available.checked_add_signed(by.0).zip(reserved.checked_add_signed(by.1))
}

/// All lines at once or none; lines on one cell are summed first.
fn commit(counts: &mut [(u32, u32)], lines: &[(usize, Move)]) -> bool {
    let mut after = counts.to_vec();
    for (cell, word) in after.iter_mut().enumerate() {
        let on_cell = lines.iter().filter(|line| line.0 == cell);
        let sum = on_cell.fold((0, 0), |sum, &(_, by)| (sum.0 + by.0, sum.1 + by.1));
        match moved(*word, sum) {
            Some(new) => *word = new,
            None => return false,
        }
    }
    counts.copy_from_slice(&after);
    true
}

fn fill(counts: &mut [(u32, u32)], order: &[usize], mut units: u32) -> bool {
    let mut after = counts.to_vec();
    for &cell in order {
        let taken = units.min(after[cell].0);
        after[cell] = (after[cell].0 - taken, after[cell].1 + taken);
        units -= taken;
    }
    if units == 0 {
        counts.copy_from_slice(&after);
    }
    units == 0
}

proptest! {
    #[test]
    fn histories_match_a_sequential_model(
        start in prop::collection::vec((0..9_u32, 0..9_u32), CELLS),
        steps in prop::collection::vec(a_step(), 1..40),
    ) {
        let bed = Testbed::new(&start);
        let mut model = start;
        for step in steps {
            match step {
                HistoryStep::Single(cell, by) => {
                    prop_assert_eq!(bed.apply(cell, by), commit(&mut model, &[(cell, by)]));
                }
                HistoryStep::Commit(lines) => {
                    let done = bed.commit(&lines, When::Never).is_ok();
                    prop_assert_eq!(done, commit(&mut model, &lines));
                }
                HistoryStep::Fill(order, units) => {
                    let done = bed.fill(&order, units, When::Never).is_ok();
                    prop_assert_eq!(done, fill(&mut model, &order, units));
                }
                HistoryStep::Snapshot(mut cells) => {
                    cells.sort_unstable();
                    cells.dedup();
                    let expected: Vec<_> = cells.iter().map(|&cell| model[cell]).collect();
                    prop_assert_eq!(bed.snapshot(&cells), expected);
                }
                HistoryStep::Stall(lines, marks) => {
                    // The owner marks what fits and stops; a snapshot of all cells helps it
                    // through.
                    let mut merged: Vec<usize> = lines.iter().map(|line| line.0).collect();
                    merged.sort_unstable();
                    merged.dedup();
                    let marks = marks.min(merged.len());
                    let fits = commit(&mut model.clone(), &lines);
                    if fits && marks > 0 {
                        let half = bed.stop_half_way(&lines, When::Never, marks);
                        let old: Vec<_> = (0..CELLS).map(|cell| bed.read(cell)).collect();
                        prop_assert_eq!(&old, &model);
                        commit(&mut model, &lines);
                        prop_assert_eq!(&bed.snapshot(&[0, 1, 2, 3, 4]), &model);
                        prop_assert!(half.wake().is_ok());
                    }
                }
            }
            let now: Vec<_> = (0..CELLS).map(|cell| bed.read(cell)).collect();
            prop_assert_eq!(&now, &model);
            prop_assert!(bed.is_clean());
        }
    }
}

/// Threads transfer between, hold on and read the same few cells: no unit is ever lost or made.
#[test]
fn every_snapshot_under_load_conserves_units() {
    const LEVELS: usize = 12;
    const EACH: u32 = 20;
    let bed = Testbed::new(&[(EACH, 0); LEVELS]);
    let all: Vec<_> = (0..LEVELS).collect();
    std::thread::scope(|scope| {
        for seed in 1..=4_u64 {
            let bed = &bed;
            scope.spawn(move || {
                let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
                let mut next = move |below: usize| {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    random as usize % below
                };
                for _ in 0..20_000 {
                    let units = next(9) as i32 + 1;
                    match next(4) {
                        0 => {
                            let _ = bed.apply(next(LEVELS), (-units, units));
                        }
                        1 => {
                            let _ = bed.apply(next(LEVELS), (units, -units));
                        }
                        2 => {
                            let lines: Vec<_> = (0..6).map(|_| (next(LEVELS), HOLD_ONE)).collect();
                            let _ = bed.commit(&lines, When::Never);
                        }
                        _ => {
                            let moves = [(next(LEVELS), (-units, 0)), (next(LEVELS), (units, 0))];
                            let _ = bed.commit(&moves, When::Never);
                        }
                    }
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..20_000 {
                let units: u32 = bed.snapshot(&all).iter().map(|word| word.0 + word.1).sum();
                assert_eq!(units, EACH * LEVELS as u32);
            }
        });
    });
    assert!(bed.is_clean());
}
