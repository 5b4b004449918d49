//! The multi-word CAS compared with the same work under ordered locks, in turns within one run.
//!
//! ```text
//! cargo bench --bench commit               # everything, about a minute
//! cargo bench --bench commit -- --quick    # shorter turns
//! cargo bench --bench commit -- hot        # a section: one, hot, beside, all-in
//! ```
//!
//! The multi-word CAS is the library's own. The bench compiles the library's lowest floors by path,
//! because the public interface does not show it. `locks` is parking_lot's mutexes around the same
//! words, taken in the same order. The output is medians over the turns, and medians of the ratios
//! of neighbouring turns.
#![allow(clippy::print_stdout, reason = "a bench speaks")]

#[path = "../common/mod.rs"]
mod common;

#[path = "../../src/base"]
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the library's, of which a part is used"
)]
mod base {
    pub(crate) mod ceilings;
    pub(crate) mod clock;
    pub(crate) mod doubling_table;
    pub(crate) mod quantity;
    pub(crate) mod shard;
    pub(crate) mod sync;
    pub(crate) mod table;
}
#[path = "../../src/stock/mod.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the library's, of which a part is used"
)]
mod stock;

mod engine;
mod stores;
mod turns;

use std::time::Duration;

use common::Scale;
use stores::{Commits, Locks, hold, transfer};
use turns::{Sides, crowd, looper, one_thread, sides};

/// The numbers of lines in a mean and in the longest of a real wholesaler's orders.
const MEAN: usize = 21;
const LONGEST: usize = 1_114;
/// Hot: so few products that any two baskets of the mean length overlap.
const HOT: usize = 64;

/// A part of the bench, for a number of turns and the length of each.
type Measurement = fn(usize, Duration);

fn main() {
    let scale = Scale::asked();
    let turns = scale.pick(1, 7, 15);
    let span = Duration::from_millis(scale.pick(2, 60, 200));

    let sections: [(&str, Measurement); 4] =
        [("one", one), ("hot", hot), ("beside", beside), ("all-in", engine::print)];
    let asked = |name: &str| std::env::args().any(|argument| argument == name);
    let any = sections.iter().any(|(name, _)| asked(name));
    for (name, section) in sections {
        if !any || asked(name) {
            section(turns, span);
        }
    }
}

fn one(turns: usize, span: Duration) {
    let mut rows = sides("one thread, ns an operation");
    for (name, lines) in [
        ("transfer over 2 levels", transfer(&[0, 1])),
        ("transfer over 2 levels and 2 rooms", transfer(&[0, 1, 2, 3])),
        ("basket of 21 lines", hold(0..MEAN)),
        ("basket of 1,114 lines", hold(0..LONGEST)),
    ] {
        let (commits, locks) = (Commits::of(LONGEST), Locks::of(LONGEST));
        let mut both = Sides::new();
        for _ in 0..turns {
            both.note(one_thread(&commits, &lines, span), one_thread(&locks, &lines, span));
        }
        rows.add_row(both.row(name, 1e9));
    }
    println!("{rows}\n");
}

fn hot(turns: usize, span: Duration) {
    let mut rows = sides(&format!("21 lines of {HOT} hot products, us an operation"));
    for threads in [2, 8] {
        let (commits, locks) = (Commits::of(HOT), Locks::of(HOT));
        let (mut rates, mut tails) = (Sides::new(), Sides::new());
        for _ in 0..turns {
            let one = crowd(&commits, threads, MEAN, HOT, span);
            let other = crowd(&locks, threads, MEAN, HOT, span);
            rates.note(one.each, other.each);
            tails.note(one.late, other.late);
        }
        rows.add_row(rates.row(&format!("{threads} threads"), 1e6));
        rows.add_row(tails.row(&format!("{threads} threads, p99.9"), 1e6));
    }
    println!("{rows}\n");
}

fn beside(turns: usize, span: Duration) {
    let mut rows = sides("beside a looping basket of 1,114 lines");
    for buyers in [1, 2] {
        let (commits, locks) = (Commits::of(LONGEST), Locks::of(LONGEST));
        let (mut singles, mut baskets) = (Sides::new(), Sides::new());
        for _ in 0..turns {
            let one = looper(&commits, buyers, LONGEST, span);
            let other = looper(&locks, buyers, LONGEST, span);
            singles.note(one.singles, other.singles);
            baskets.note(one.baskets, other.baskets);
        }
        rows.add_row(singles.row(&format!("{buyers} single buyers, M a second"), 1e-6));
        rows.add_row(baskets.row(&format!("{buyers} single buyers, baskets a second"), 1.0));
    }
    println!("{rows}\n");
}
