//! Engine and peers in this process: by threads, by live holds, by products, and sold out.

use stockade::ReservationId;

use crate::common::Scale;
use crate::common::crew::{Crew, Plan};
use crate::common::engine::Engine;
use crate::common::ledger::Durability;
use crate::common::local::Job;
use crate::common::local::dashmap::DashMapPeer;
use crate::common::local::mutex::MutexPeer;
use crate::common::machine::{available_memory, used_memory};
use crate::common::order::{Ask, Turn};
use crate::common::real::RealEngine;
use crate::common::workload::{Access, Ending};
use crate::progress::Progress;
use crate::race::{Pace, Race};
use crate::row::{Row, Section};

/// A shop's demand: what the targets are about.
pub(crate) const SHOP: Access = Access::Zipf(10_000);
/// The most live holds that a full run measures.
pub(crate) const MOST_LIVE: usize = 10_000_000;
pub(crate) const SOLD_OUT: &str = "refused reserve of one product";

/// The memory that a live hold may take, over all engines together, while their maps grow.
const BYTES_A_HOLD: u64 = 1_200;

/// Live holds of a thread in a busy shop, where holds live for minutes.
pub(crate) fn many(scale: Scale) -> usize {
    scale.pick(500, 50_000, 50_000)
}

/// Pairs until an engine has all its finished records and its newest million entries. From then on
/// it reuses the same memory.
pub(crate) fn warm(scale: Scale) -> Turn {
    Turn::Times(scale.pick(5_000, 120_000, 600_000))
}

const WHOLE: &[Job] = &[Job::Whole];
const WHOLE_AND_LEAN: &[Job] = &[Job::Whole, Job::Lean];

/// The engine with and without a journal, and its peers, all with the same stock and the same task.
/// None of them waits for the disk: another section measures that, with many callers.
fn crews(plan: Plan, units: &[u32], jobs: &[Job]) -> Vec<Crew> {
    let mut crews = vec![Crew::hire(&Engine::open(Durability::InMemory, units), plan)];
    crews.extend(others(plan, units, jobs));
    crews
}

/// All of them but the engine in memory.
fn others(plan: Plan, units: &[u32], jobs: &[Job]) -> Vec<Crew> {
    let mut crews = vec![Crew::hire(&Engine::open(Durability::Buffered, units), plan)];
    for job in jobs {
        crews.push(Crew::hire(&MutexPeer::open(units, *job), plan));
        crews.push(Crew::hire(&DashMapPeer::open(units, *job), plan));
    }
    crews
}

/// Those that do the whole job.
pub(crate) fn whole_crews(plan: Plan, units: &[u32]) -> Vec<Crew> {
    crews(plan, units, WHOLE)
}

/// Throughput by threads.
pub(crate) fn contention(scale: Scale, pace: Pace, progress: &mut Progress) -> Vec<Row> {
    let many = many(scale);
    let uniform = Access::Uniform(scale.pick(10_000, 200_000, 1_000_000));
    let threads = scale.pick(&[2][..], &[1, 2, 8], &[1, 2, 4, 8]);
    let two = scale.pick(&[2][..], &[1, 2], &[1, 2, 4, 8]);
    // A million levels take some time to open.
    let some = scale.pick(&[2][..], &[1, 2, 8], &[1, 2, 8]);
    let cases: &[(Access, usize, &[usize])] = &[
        (SHOP, 1, two),
        (SHOP, scale.pick(100, 1_000, 1_000), two),
        (SHOP, many, threads),
        (Access::Hot, 1, threads),
        (Access::Hot, many, threads),
        (uniform, many, some),
        (uniform, 1, some),
    ];
    let mut rows = Vec::new();
    for (access, live, threads) in &cases[..scale.pick(7, 4, 7)] {
        for threads in *threads {
            progress.say(&format!("{}, {live} live, {threads} threads", access.name()));
            let mut race = Race::new(Section::Contention, access.name(), Ask::Pair, warm(scale));
            let plan = Plan::new(*access, *threads, *live);
            race.group(crews(plan, &access.units(), WHOLE_AND_LEAN));
            rows.extend(race.run(pace));
        }
    }
    rows
}

/// The cost of a pair, by live holds and by products.
pub(crate) fn growth(scale: Scale, pace: Pace, progress: &mut Progress) -> Vec<Row> {
    let mut rows = Vec::new();
    for (ending, order) in [(Ending::InOrder, "in order"), (Ending::AtRandom, "at random")] {
        rows.extend(by_holds(scale, pace, progress, ending, order));
    }
    let sizes = scale.pick(&[1_000][..], &[1_000, 100_000], &[1_000, 10_000, 100_000, 1_000_000]);
    let workload = "products, asked for evenly".to_owned();
    let mut race = Race::new(Section::Growth, workload, Ask::Pair, warm(scale));
    for products in sizes {
        progress.say(&format!("{products} products"));
        let access = Access::Uniform(*products);
        race.group(crews(Plan::new(access, 1, 1), &access.units(), WHOLE));
    }
    rows.extend(race.run(pace));
    rows
}

/// All sizes in one race, so that the slope comes from neighbouring turns.
fn by_holds(
    scale: Scale,
    pace: Pace,
    progress: &mut Progress,
    ending: Ending,
    order: &str,
) -> Vec<Row> {
    let sizes: &[usize] = scale.pick(
        &[1_000],
        &[1_000, 50_000, 1_000_000],
        &[1_000, 10_000, 100_000, 1_000_000, MOST_LIVE],
    );
    let workload = format!("live holds, ended {order}");
    let mut race = Race::new(Section::Growth, workload, Ask::Pair, warm(scale));
    let units = SHOP.units();
    let mut engine_alone = None;
    for live in sizes {
        if *live as u64 * BYTES_A_HOLD > available_memory() {
            progress.note(&format!("{live} live holds: skipped, too little memory"));
            continue;
        }
        progress.say(&format!("{live} live holds, ended {order}"));
        let plan = Plan { ending, ..Plan::new(SHOP, 1, *live) };
        // The smallest engine shows, once it is warm, how much memory an engine needs beside its
        // holds.
        let before = used_memory();
        let mut engine = Crew::hire(&Engine::open(Durability::InMemory, &units), plan);
        engine.run(Ask::Pair, warm(scale));
        let took = used_memory().saturating_sub(before) as f64;
        let (smallest, alone) = *engine_alone.get_or_insert((*live, took));
        let mut crews = vec![engine];
        crews.extend(others(plan, &units, scale.pick(WHOLE, WHOLE, WHOLE_AND_LEAN)));
        let place = race.group(crews);
        if *live >= 1_000 * smallest {
            let bytes =
                (took - alone) / (live - smallest) as f64 - size_of::<ReservationId>() as f64;
            race.note_bytes_a_hold(place, bytes);
        }
    }
    progress.say("all of them in turn");
    race.run(pace)
}

/// The pair with all that a shop gives it, in turns with the plain one.
pub(crate) fn real(scale: Scale, pace: Pace, progress: &mut Progress) -> Vec<Row> {
    progress.say("the pair as a shop calls it");
    let plan = Plan::new(SHOP, 1, many(scale));
    let units = SHOP.units();
    // Keys stay for days: a longer run would only fill the memory.
    let warm = Turn::Times(scale.pick(2_000, 70_000, 200_000));
    let mut race = Race::new(Section::Real, SHOP.name(), Ask::Pair, warm);
    for durability in Engine::UNWAITING {
        let open = || Engine::open(*durability, &units);
        let real = RealEngine(open());
        race.group(vec![Crew::hire(&open(), plan), Crew::hire(&real, plan)]);
    }
    race.run(pace)
}

/// Reserves of a sold-out product.
pub(crate) fn refused(scale: Scale, pace: Pace, progress: &mut Progress) -> Vec<Row> {
    progress.say("sold out");
    let mut race =
        Race::new(Section::Refused, SOLD_OUT.to_owned(), Ask::Refused, Turn::Times(10_000));
    for threads in scale.pick(&[1][..], &[1, 2], &[1, 2, 8]) {
        race.group(whole_crews(Plan::new(Access::Hot, *threads, 1), &[0]));
    }
    race.run(pace)
}
