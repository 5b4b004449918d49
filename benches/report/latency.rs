//! How long a caller waits when callers come by schedule, at three parts of the capacity.

use crate::common::Scale;
use crate::common::crew::{Ask, Crew, Plan, Turn, histogram};
use crate::common::machine::{Watch, hop};
use crate::common::workload::Access;
use crate::local::{Field, crews};
use crate::progress::Progress;
use crate::race::Pace;
use crate::row::{Row, Section, Times, median};

/// Parts of what one thread can do when it is never idle.
const LOADS: &[f64] = &[0.1, 0.5, 0.9];

/// Reserve and pair, in an open loop.
pub(crate) fn latency(scale: Scale, pace: Pace, progress: &mut Progress) -> Vec<Row> {
    let access = Access::Zipf(10_000);
    let live = scale.pick(500, 50_000, 50_000);
    let mut crews = crews(Plan::new(access, 1, live), &access.units(), Field::Lean);
    let mut rows = Vec::new();
    for (ask, name) in [(Ask::Reserve, "reserve"), (Ask::Pair, "the pair")] {
        progress.say(&format!("latency of {name}, arrivals by schedule"));
        for load in LOADS {
            let watch = Watch::start();
            let mut seen: Vec<Seen> = crews.iter().map(|_| Seen::default()).collect();
            for _ in 0..pace.turns {
                for (crew, seen) in crews.iter_mut().zip(&mut seen) {
                    seen.turn(crew, ask, *load, pace);
                }
            }
            let others = watch.cores_of_others();
            rows.extend(crews.iter().zip(&seen).map(|(crew, seen)| Row {
                live,
                products: access.products(),
                per_second: median(&seen.rates),
                load: Some(*load),
                times: Times::of(&seen.times),
                hop: (!seen.hops.is_empty()).then(|| median(&seen.hops)),
                others,
                turns: pace.turns,
                ..Row::new(Section::Latency, format!("{name}, {}", access.name()), &crew.about)
            }));
        }
    }
    rows
}

struct Seen {
    times: hdrhistogram::Histogram<u64>,
    rates: Vec<f64>,
    hops: Vec<f64>,
}

impl Default for Seen {
    fn default() -> Self {
        Self { times: histogram(), rates: Vec::new(), hops: Vec::new() }
    }
}

impl Seen {
    /// The capacity as it is at this moment, and then a part of it by schedule.
    fn turn(&mut self, crew: &mut Crew, ask: Ask, load: f64, pace: Pace) {
        self.hops.extend(hop());
        // The same loop that makes the schedule, never idle: its own work counts too.
        let flat_out = Turn::Paced { span: pace.span / 4, every_ns: 0.0 };
        let capacity = crew.run(ask, flat_out).per_second();
        let every_ns = 1e9 / (capacity * load);
        let outcome = crew.run(ask, Turn::Paced { span: pace.span, every_ns });
        self.rates.push(outcome.per_second());
        self.times.add(outcome.times).expect("equal bounds");
    }
}
