//! What a commit costs beside the same work under locks taken in order. Not a test: run it with
//! `cargo test --release -p stockade --lib commit::cost -- --ignored --nocapture`.

#![allow(clippy::print_stdout, reason = "it is there to print")]
#![allow(clippy::expect_used, reason = "a bench that fails should say where")]

use super::testbed::{Testbed, delta, id};
use super::{Line, Notice, Operation, merge_lines};
use crate::stock::announce::{Announced, PAYLOAD_WORDS};
use crate::stock::word::Word;
use crate::sync::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

const NOTICE: Notice = Notice { announced: Announced::Never, payload: [0; PAYLOAD_WORDS] };

/// The median of some runs, in nanoseconds an operation.
fn nanoseconds(operations: u32, mut run: impl FnMut()) -> f64 {
    let mut times: Vec<_> = (0..9)
        .map(|_| {
            let start = Instant::now();
            (0..operations).for_each(|_| run());
            start.elapsed().as_nanos() as f64 / f64::from(operations)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

#[test]
#[ignore = "a measurement"]
fn one_thread_against_ordered_locks() {
    for lines in [1, 2, 4, 21, 1_114] {
        let start = vec![(1_000_000_u32, 0_u32); lines];
        let bed = Testbed::new(&start);
        let locked: Vec<_> = start.into_iter().map(Mutex::new).collect();
        let operations = 4_000_000 / (lines as u32 * 10);
        // To and fro, so that nothing runs out.
        let mut there = [1, -1].map(|by| {
            let line = |cell| Line { cell: id(cell), delta: delta((-by, by)) };
            (0..lines).map(line).collect::<Vec<_>>()
        });
        let mut turn = 0;
        let commit = nanoseconds(operations, || {
            turn = 1 - turn;
            let merged = merge_lines(&mut there[1 - turn]).expect("it fits");
            let operation = Operation::begin(&bed, merged, NOTICE).expect("there is a slot");
            assert!(operation.run().is_ok());
        });
        let mut guards: Vec<MutexGuard<'_, (u32, u32)>> = Vec::with_capacity(lines);
        let mut by = 1_i32;
        let locks = nanoseconds(operations, || {
            guards.extend(locked.iter().map(|cell| cell.lock().expect("nobody panics")));
            let fits = guards.iter().all(|word| word.0 >= 1);
            for word in guards.iter_mut().filter(|_| fits) {
                word.0 = word.0.wrapping_add_signed(-by);
                word.1 = word.1.wrapping_add_signed(by);
            }
            by = -by;
            guards.clear();
        });
        println!("{lines} lines: commit {commit:.0} ns, ordered locks {locks:.0} ns");
    }
}

/// The price of the one branch that single-cell operations pay for all this.
#[test]
#[ignore = "a measurement"]
fn one_cell_with_and_without_the_look_for_marks() {
    let bed = Testbed::new(&[(1_000_000, 0)]);
    let bare = AtomicU64::new(Word::new(1_000_000, 0).bits());
    let mut by = 1;
    for _ in 0..3 {
        let with = nanoseconds(2_000_000, || {
            by = -by;
            assert!(bed.apply(0, (by, -by)));
        });
        let without = nanoseconds(2_000_000, || {
            by = -by;
            let mut bits = bare.load(Ordering::Acquire);
            loop {
                let before = Word::from_bits(bits).unwrap_or_default();
                let after = before.apply(delta((by, -by))).expect("it fits").bits();
                let swap =
                    bare.compare_exchange_weak(bits, after, Ordering::AcqRel, Ordering::Acquire);
                match swap {
                    Ok(_) => break,
                    Err(now) => bits = now,
                }
            }
        });
        println!("one cell: {with:.2} ns, without the look for marks {without:.2} ns");
    }
}
