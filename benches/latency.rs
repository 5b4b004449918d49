//! The latency of a reserve and of a pair, at 10%, 50% and 90% of the capacity. Calls arrive by
//! schedule, so a stall counts for every call that arrives during it.
#![allow(clippy::print_stdout, reason = "a bench speaks")]

mod common;

use std::time::Duration;

use common::Scale;
use common::crew::{Crew, Plan};
use common::engine::Engine;
use common::local::Job;
use common::local::dashmap::DashMapPeer;
use common::local::mutex::MutexPeer;
use common::nothing::Nothing;
use common::open_loop::{LOADS, Waits};
use common::order::{Ask, Turn};
use common::table::table;
use common::workload::Access;

fn main() {
    let scale = Scale::asked();
    let access = Access::Zipf(10_000);
    let plan = Plan::new(access, 1, scale.pick(100, 50_000, 50_000));
    let (turns, span) = (scale.pick(1, 3, 5), Duration::from_millis(scale.pick(5, 200, 1_000)));
    let units = access.units();
    let engines = Engine::UNWAITING.iter();
    let mut crews: Vec<Crew> =
        engines.map(|durability| Crew::hire(&Engine::open(*durability, &units), plan)).collect();
    crews.push(Crew::hire(&MutexPeer::open(&units, Job::Whole), plan));
    crews.push(Crew::hire(&DashMapPeer::open(&units, Job::Whole), plan));
    crews.push(Crew::hire(&Nothing, plan));
    for crew in &mut crews {
        crew.run(Ask::Pair, Turn::Times(scale.pick(1_000, 600_000, 600_000)));
    }
    println!("{}, {} live; nanoseconds from scheduled arrival to answer", access.name(), plan.live);
    let mut rows = table(3, &["call", "load", "by", "p50", "p90", "p99", "p99.9", "p99.99", "hop"]);
    for (ask, name) in [(Ask::Reserve, "reserve"), (Ask::Pair, "pair")] {
        for load in LOADS {
            let mut waits: Vec<Waits> = crews.iter().map(|_| Waits::new()).collect();
            for _ in 0..turns {
                for (crew, waits) in crews.iter_mut().zip(&mut waits) {
                    waits.turn(crew, ask, *load, span);
                }
            }
            for (crew, waits) in crews.iter().zip(&waits) {
                let about = &crew.about;
                let by = format!("{}, {}", about.title(), about.durability.name());
                let mut row = vec![name.to_owned(), format!("{:.0}%", load * 100.0), by];
                for quantile in [0.5, 0.9, 0.99, 0.999, 0.9999] {
                    row.push(waits.times.value_at_quantile(quantile).to_string());
                }
                row.push(waits.hops.first().map_or_else(String::new, |hop| format!("{hop:.0}")));
                rows.add_row(row);
            }
        }
    }
    println!("{rows}");
}
