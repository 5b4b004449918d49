//! Engines that take turns: A, B, A, B. A disturbance of the machine hits neighbouring turns alike,
//! so ratios are taken of neighbouring turns.

use std::time::Duration;

use crate::common::crew::{Crew, Outcome};
use crate::common::ledger::Durability;
use crate::common::machine::{Watch, fsync_us, hop};
use crate::common::median::median;
use crate::common::order::{Ask, Turn, histogram};
use crate::common::programs::Folder;
use crate::row::{Row, Section, Spread, Times};

/// How often, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) turns: usize,
    pub(crate) span: Duration,
}

/// A comparison.
pub(crate) struct Race {
    section: Section,
    workload: String,
    ask: Ask,
    /// How long every crew warms up before the first turn counts. The calls are those of a whole
    /// crew.
    warm: Turn,
    runners: Vec<Runner>,
}

/// A crew, and the results of its turns.
struct Runner {
    crew: Crew,
    /// The place in the race of the engine that it is compared with.
    against: Option<usize>,
    /// The place of the same engine at its smallest: with the fewest threads, or the fewest live
    /// holds.
    smallest: Option<usize>,
    outcomes: Vec<Outcome>,
    hops: Vec<f64>,
    fsyncs: Vec<f64>,
    bytes_a_hold: Option<f64>,
}

impl Race {
    pub(crate) fn new(section: Section, workload: String, ask: Ask, warm: Turn) -> Self {
        Self { section, workload, ask, warm, runners: Vec::new() }
    }

    /// Adds crews. All are compared with the first one, if that is the engine's; and each is
    /// compared with the earlier crew of the same engine that was added first. Returns the place of
    /// the first.
    pub(crate) fn group(&mut self, crews: Vec<Crew>) -> usize {
        let first = self.runners.len();
        let is_engine = crews.first().is_some_and(|crew| crew.about.engine == "stockade");
        for crew in crews {
            let place = self.runners.len();
            let is_same = |runner: &Runner| {
                let (one, other) = (&runner.crew.about, &crew.about);
                one.title() == other.title() && one.durability == other.durability
            };
            self.runners.push(Runner {
                against: (is_engine && place > first).then_some(first),
                smallest: self.runners[..first].iter().position(is_same),
                crew,
                outcomes: Vec::new(),
                hops: Vec::new(),
                fsyncs: Vec::new(),
                bytes_a_hold: None,
            });
        }
        first
    }

    /// Notes the memory of a live hold, for the crew at this place.
    pub(crate) fn note_bytes_a_hold(&mut self, place: usize, bytes: f64) {
        self.runners[place].bytes_a_hold = Some(bytes);
    }

    /// Runs all crews in turns, and then with every call timed.
    pub(crate) fn run(mut self, pace: Pace) -> Vec<Row> {
        let watch = Watch::start();
        let is_synced = |runner: &Runner| runner.crew.about.durability == Durability::Synced;
        let disk = self.runners.iter().any(is_synced).then(|| Folder::new(None).ok()).flatten();
        for runner in &mut self.runners {
            let warm = match self.warm {
                Turn::Times(times) => Turn::Times(times / runner.crew.plan.threads as u64),
                other => other,
            };
            runner.crew.run(self.ask, warm);
        }
        for _ in 0..pace.turns {
            for runner in &mut self.runners {
                runner.hops.extend(hop());
                runner.fsyncs.extend(disk.as_ref().and_then(|disk| fsync_us(disk.path())));
                runner.outcomes.push(runner.crew.run(self.ask, Turn::For(pace.span)));
            }
        }
        let mut times = vec![histogram(); self.runners.len()];
        for _ in 0..2 {
            for (runner, times) in self.runners.iter_mut().zip(&mut times) {
                let timed = runner.crew.run(self.ask, Turn::Timed(pace.span / 2));
                times.add(timed.times).expect("equal bounds");
            }
        }
        let others = watch.cores_of_others();
        let places = 0..self.runners.len();
        places
            .map(|place| {
                let row = self.row(place);
                Row { others, turns: pace.turns, times: Times::of(&times[place]), ..row }
            })
            .collect()
    }

    fn row(&self, place: usize) -> Row {
        let runner = &self.runners[place];
        let Runner { crew, hops, fsyncs, .. } = runner;
        let rates = |place: usize| self.of_each(place, Outcome::per_second);
        // Turns after which the writer was too far behind are left out.
        let writers = self.of_each(place, Outcome::writer_ns_each);
        let writers: Vec<f64> = writers.into_iter().flatten().collect();
        let of_all = |values: &[f64]| (!values.is_empty()).then(|| median(values));
        Row {
            threads: crew.plan.threads,
            live: crew.plan.live,
            products: crew.plan.access.products(),
            per_second: median(&rates(place)),
            rates: Some(Spread::of(&rates(place))),
            cpu_ns_each: Some(median(&self.of_each(place, Outcome::cpu_ns_each))),
            writer_ns_each: of_all(&writers),
            least_share: of_all(&self.of_each(place, Outcome::least_share)),
            hop: of_all(hops),
            fsync_us: of_all(fsyncs),
            bytes_a_hold: runner.bytes_a_hold,
            against: runner.against.map(|engine| Spread::of_ratios(&rates(engine), &rates(place))),
            over_own: runner.smallest.map(|small| Spread::of_ratios(&rates(place), &rates(small))),
            ..Row::new(self.section, self.workload.clone(), &crew.about)
        }
    }

    fn of_each<T>(&self, place: usize, value: fn(&Outcome) -> T) -> Vec<T> {
        self.runners[place].outcomes.iter().map(value).collect()
    }
}
