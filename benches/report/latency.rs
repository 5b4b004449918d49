//! How long a caller waits when callers come by schedule, at three parts of the capacity.

use crate::common::Scale;
use crate::common::crew::{Ask, Plan};
use crate::common::machine::Watch;
use crate::common::open_loop::{LOADS, Waits};
use crate::common::workload::Access;
use crate::local::{Field, crews, warm};
use crate::progress::Progress;
use crate::race::Pace;
use crate::row::{Row, Section, Times, median};

/// Reserve and pair, in an open loop.
pub(crate) fn latency(scale: Scale, pace: Pace, progress: &mut Progress) -> Vec<Row> {
    let access = Access::Zipf(10_000);
    let live = scale.pick(500, 50_000, 50_000);
    let mut crews = crews(Plan::new(access, 1, live), &access.units(), Field::Lean);
    for crew in &mut crews {
        crew.run(Ask::Pair, warm(scale, 1));
    }
    let mut rows = Vec::new();
    for (ask, name) in [(Ask::Reserve, "reserve"), (Ask::Pair, "the pair")] {
        progress.say(&format!("latency of {name}, arrivals by schedule"));
        for load in LOADS {
            let watch = Watch::start();
            let mut waits: Vec<Waits> = crews.iter().map(|_| Waits::new()).collect();
            for _ in 0..pace.turns {
                for (crew, waits) in crews.iter_mut().zip(&mut waits) {
                    waits.turn(crew, ask, *load, pace.span);
                }
            }
            let others = watch.cores_of_others();
            rows.extend(crews.iter().zip(&waits).map(|(crew, waits)| Row {
                live,
                products: access.products(),
                per_second: median(&waits.rates),
                load: Some(*load),
                times: Times::of(&waits.times),
                hop: (!waits.hops.is_empty()).then(|| median(&waits.hops)),
                others,
                turns: pace.turns,
                ..Row::new(Section::Latency, format!("{name}, {}", access.name()), &crew.about)
            }));
        }
    }
    rows
}
