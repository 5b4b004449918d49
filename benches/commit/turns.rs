//! One turn of each kind, and the medians of many turns.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use comfy_table::Table;
use hdrhistogram::Histogram;

use crate::common::table::table;
use crate::stores::{CellDelta, Store, hold, undo};

/// The figures of both sides, turn by turn.
pub(crate) struct Sides {
    turns: Vec<(f64, f64)>,
}

impl Sides {
    pub(crate) fn new() -> Self {
        Self { turns: Vec::new() }
    }

    pub(crate) fn note(&mut self, commits: f64, locks: f64) {
        self.turns.push((commits, locks));
    }

    /// Medians as a row of [`sides`], in a unit of which `scale` make one of the base unit.
    pub(crate) fn row(&self, name: &str, scale: f64) -> [String; 4] {
        let of = |pick: fn(&(f64, f64)) -> f64| median(self.turns.iter().map(pick).collect());
        let (commits, locks, ratio) = (of(|turn| turn.0), of(|turn| turn.1), of(|t| t.0 / t.1));
        let figures = [commits * scale, locks * scale, ratio].map(|figure| format!("{figure:.2}"));
        let [commits, locks, ratio] = figures;
        [name.to_owned(), commits, locks, ratio]
    }
}

/// A table with both sides.
pub(crate) fn sides(what: &str) -> Table {
    table(1, &[what, "commit", "locks", "ratio"])
}

/// The median.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Seconds for an operation that one thread does and undoes.
pub(crate) fn one_thread(store: &impl Store, lines: &[CellDelta], span: Duration) -> f64 {
    let (back, begun) = (undo(lines), Instant::now());
    let rounds = (20_000 / lines.len()).max(4);
    let mut done = 0;
    while begun.elapsed() < span {
        for _ in 0..rounds {
            assert!(store.commit(lines) && store.commit(&back), "there is plenty");
        }
        done += 2 * rounds;
    }
    begun.elapsed().as_secs_f64() / done as f64
}

/// Seconds for an operation, on average and at the 99.9th percentile.
pub(crate) struct Crowd {
    pub(crate) each: f64,
    pub(crate) late: f64,
}

/// Threads that hold and give back baskets of `length` lines on the same few cells.
pub(crate) fn crowd(
    store: &impl Store,
    threads: usize,
    length: usize,
    cells: usize,
    span: Duration,
) -> Crowd {
    let start = Barrier::new(threads);
    let work = |number: usize| {
        let mut random = Xorshift(number as u64 + 1);
        let baskets: Vec<_> = (0..64).map(|_| hold(random.pick(length, cells))).collect();
        let both = |lines: Vec<CellDelta>| [undo(&lines), lines];
        let baskets: Vec<[Vec<CellDelta>; 2]> = baskets.into_iter().map(both).collect();
        let mut times = Histogram::<u64>::new(3).expect("a legal precision");
        start.wait();
        let mut began = Instant::now();
        let end = began + span;
        while began < end {
            for [back, lines] in &baskets {
                for lines in [lines, back] {
                    assert!(store.commit(lines), "there is plenty");
                    // Read the clock once for each operation: the end of one is the beginning of
                    // the next.
                    let ended = Instant::now();
                    times.saturating_record((ended - began).as_nanos() as u64);
                    began = ended;
                }
            }
        }
        times
    };
    let times = thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..threads).map(|at| scope.spawn(move || work(at))).collect();
        let mut all = Histogram::<u64>::new(3).expect("a legal precision");
        for thread in threads {
            all.add(thread.join().expect("no panic")).expect("the same precision");
        }
        all
    });
    let each = span.as_secs_f64() / times.len() as f64;
    Crowd { each, late: times.value_at_quantile(0.999) as f64 / 1e9 }
}

/// Operations per second.
pub(crate) struct Beside {
    pub(crate) singles: f64,
    pub(crate) baskets: f64,
}

/// Single buyers on the cells of a long basket, which is held and given back in a loop.
pub(crate) fn looper(store: &impl Store, buyers: usize, length: usize, span: Duration) -> Beside {
    let (basket, over) = (hold(0..length), AtomicBool::new(false));
    let back = undo(&basket);
    let buy = |number: usize| {
        let (mut random, mut bought) = (Xorshift(number as u64 + 1), 0_u64);
        while !over.load(Ordering::Relaxed) {
            for _ in 0..64 {
                let at = random.below(length);
                assert!(store.apply(basket[at]) && store.apply(back[at]), "there is plenty");
            }
            bought += 128;
        }
        bought
    };
    let begun = Instant::now();
    let (singles, baskets) = thread::scope(|scope| {
        let buy = &buy;
        let threads: Vec<_> = (0..buyers).map(|at| scope.spawn(move || buy(at))).collect();
        let mut baskets = 0_u64;
        while begun.elapsed() < span {
            assert!(store.commit(&basket) && store.commit(&back), "there is plenty");
            baskets += 2;
        }
        over.store(true, Ordering::Relaxed);
        let bought = threads.into_iter().map(|thread| thread.join().expect("no panic"));
        (bought.sum::<u64>(), baskets)
    });
    let seconds = begun.elapsed().as_secs_f64();
    Beside { singles: singles as f64 / seconds, baskets: baskets as f64 / seconds }
}

/// Xorshift (Marsaglia 2003): fast, and random enough to pick products.
struct Xorshift(u64);

impl Xorshift {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (((self.0 >> 32) * end as u64) >> 32) as usize
    }

    /// `count` different numbers below `end`, in ascending order.
    fn pick(&mut self, count: usize, end: usize) -> Vec<usize> {
        let mut left = count;
        let mut picked = Vec::with_capacity(count);
        for number in 0..end {
            if self.below(end - number) < left {
                picked.push(number);
                left -= 1;
            }
        }
        picked
    }
}
