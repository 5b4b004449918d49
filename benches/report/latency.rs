//! The latency of calls that arrive by schedule, at three fractions of the capacity.

use crate::common::Scale;
use crate::common::crew::{Crew, Plan};
use crate::common::machine::Watch;
use crate::common::median::median;
use crate::common::nothing::Nothing;
use crate::common::open_loop::{LOADS, Waits};
use crate::common::order::Ask;
use crate::local::{SHOP, many, warm, whole_crews};
use crate::progress::Progress;
use crate::race::Pace;
use crate::row::{Row, Section, Times};

/// How the workload of the rows begins in which only the reserve is timed.
pub(crate) const RESERVE: &str = "reserve";

/// Reserve and pair, in an open loop.
pub(crate) fn latency(scale: Scale, pace: Pace, progress: &mut Progress) -> Vec<Row> {
    let live = many(scale);
    let plan = Plan::new(SHOP, 1, live);
    let mut crews = whole_crews(plan, &SHOP.units());
    // The machine by itself, for comparison: its own stalls count for the calls, too.
    crews.push(Crew::hire(&Nothing, plan));
    for crew in &mut crews {
        crew.run(Ask::Pair, warm(scale));
    }
    let mut rows = Vec::new();
    for (ask, name) in [(Ask::Reserve, RESERVE), (Ask::Pair, "the pair")] {
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
                products: SHOP.products(),
                per_second: median(&waits.rates),
                load: Some(*load),
                times: Times::of(&waits.times),
                hop: (!waits.hops.is_empty()).then(|| median(&waits.hops)),
                others,
                turns: pace.turns,
                ..Row::new(Section::Latency, format!("{name}, {}", SHOP.name()), &crew.about)
            }));
        }
    }
    rows
}
