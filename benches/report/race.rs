//! Engines that take turns: A, B, A, B. What the machine does to one of them it does to the next one
//! too, so a ratio is made of turns that lie side by side.

use std::time::Duration;

use crate::common::crew::{Ask, Crew, Turn, histogram};
use crate::common::machine::{Watch, hop};
use crate::row::{Ratio, Row, Section, Times, median};

/// How often, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) turns: usize,
    pub(crate) span: Duration,
}

/// A comparison.
pub(crate) struct Race {
    pub(crate) section: Section,
    pub(crate) workload: String,
    pub(crate) ask: Ask,
    /// How every crew gets warm before the first turn counts.
    pub(crate) warm: Turn,
    pub(crate) crews: Vec<Crew>,
}

impl Race {
    /// Runs all crews in turn, and then each once more with every call timed. The first crew is the
    /// one that the others are compared with.
    pub(crate) fn run(mut self, pace: Pace) -> Vec<Row> {
        let watch = Watch::start();
        let mut rates = vec![Vec::new(); self.crews.len()];
        let mut cpu = vec![Vec::new(); self.crews.len()];
        let mut hops = vec![Vec::new(); self.crews.len()];
        for crew in &mut self.crews {
            crew.run(self.ask, self.warm);
        }
        for _ in 0..pace.turns {
            for (place, crew) in self.crews.iter_mut().enumerate() {
                hops[place].extend(hop());
                let outcome = crew.run(self.ask, Turn::For(pace.span));
                rates[place].push(outcome.per_second());
                cpu[place].push(outcome.cpu_ns_each());
            }
        }
        let mut times = vec![histogram(); self.crews.len()];
        for _ in 0..2 {
            for (crew, times) in self.crews.iter_mut().zip(&mut times) {
                let timed = crew.run(self.ask, Turn::Timed(pace.span / 2));
                times.add(timed.times).expect("equal bounds");
            }
        }
        let others = watch.cores_of_others();
        let row = |(place, crew): (usize, &Crew)| Row {
            threads: crew.plan.threads,
            live: crew.plan.live,
            products: crew.plan.access.products(),
            per_second: median(&rates[place]),
            cpu_ns_each: Some(median(&cpu[place])),
            times: Times::of(&times[place]),
            hop: (!hops[place].is_empty()).then(|| median(&hops[place])),
            others,
            against: (place > 0).then(|| Ratio::of(&rates[0], &rates[place])),
            turns: pace.turns,
            ..Row::new(self.section, self.workload.clone(), &crew.about)
        };
        self.crews.iter().enumerate().map(row).collect()
    }
}
