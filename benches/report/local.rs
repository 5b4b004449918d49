//! Engine and peers in this process: by threads, by live holds, by products, and sold out.

use crate::common::Scale;
use crate::common::crew::{Ask, Crew, Plan, Turn};
use crate::common::engine::Engine;
use crate::common::ledger::Durability;
use crate::common::local::dashmap::DashMapPeer;
use crate::common::local::mutex::MutexPeer;
use crate::common::machine::available_memory;
use crate::common::workload::{Access, Ending};
use crate::progress::Progress;
use crate::race::{Pace, Race};
use crate::row::{Row, Section};

/// The finished holds that the engine keeps readable; a peer that keeps as many does the same job.
const KEPT: usize = 65_536;
/// What a live hold may cost any of the engines, all of them together, while their maps grow.
const BYTES_A_HOLD: u64 = 1_000;

/// Pairs until an engine has its finished records and its newest million entries, and so goes round in
/// the same memory from then on.
pub(crate) fn warm(scale: Scale, threads: usize) -> Turn {
    Turn::Times(scale.pick(5_000, 200_000, 600_000) / threads as u64)
}

/// Whether the peers that do the engine's whole job join, besides the leaner ones.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Lean,
    Whole,
}

fn field(scale: Scale, live: usize) -> Field {
    if scale == Scale::Full || live == 1 { Field::Whole } else { Field::Lean }
}

/// The engine with each durability, and its peers, all with the same stock and the same task.
pub(crate) fn crews(plan: Plan, units: &[u32], field: Field) -> Vec<Crew> {
    let engines = Engine::DURABILITIES.iter();
    let mut crews: Vec<Crew> =
        engines.map(|durability| Crew::hire(&Engine::open(*durability, units), plan)).collect();
    crews.push(Crew::hire(&MutexPeer::open(units, 0), plan));
    crews.push(Crew::hire(&DashMapPeer::open(units), plan));
    if field == Field::Whole {
        crews.push(Crew::hire(&MutexPeer::open(units, KEPT), plan));
    }
    crews
}

/// Throughput by threads.
pub(crate) fn contention(scale: Scale, pace: Pace, progress: &mut Progress) -> Vec<Row> {
    let many = scale.pick(500, 50_000, 50_000);
    let zipf = Access::Zipf(10_000);
    let uniform = Access::Uniform(scale.pick(10_000, 200_000, 1_000_000));
    let threads = scale.pick(&[2][..], &[1, 2, 8], &[1, 2, 4, 8]);
    let few = scale.pick(&[2][..], &[2], threads);
    let cases: &[(Access, usize, &[usize])] = &[
        (zipf, 1, threads),
        (zipf, many, threads),
        (Access::Hot, 1, threads),
        (Access::Hot, many, few),
        (uniform, many, few),
        (uniform, 1, few),
    ];
    let mut rows = Vec::new();
    for (access, live, threads) in &cases[..scale.pick(6, 5, 6)] {
        for threads in *threads {
            progress.say(&format!("{}, {live} live, {threads} threads", access.name()));
            let plan = Plan::new(*access, *threads, *live);
            let race = Race {
                section: Section::Contention,
                workload: access.name(),
                ask: Ask::Pair,
                warm: warm(scale, *threads),
                crews: crews(plan, &access.units(), field(scale, *live)),
            };
            rows.extend(race.run(pace));
        }
    }
    rows
}

/// The cost of a pair by live holds, and by products.
pub(crate) fn growth(scale: Scale, pace: Pace, progress: &mut Progress) -> Vec<Row> {
    let mut rows = Vec::new();
    let sizes: &[usize] = scale.pick(
        &[1_000],
        &[1_000, 50_000, 1_000_000],
        &[1_000, 10_000, 100_000, 1_000_000, 10_000_000],
    );
    for (ending, order) in [(Ending::InOrder, "in order"), (Ending::AtRandom, "at random")] {
        for live in sizes {
            if *live as u64 * BYTES_A_HOLD > available_memory() {
                progress.note(&format!("{live} live holds: skipped, too little memory"));
                continue;
            }
            progress.say(&format!("{live} live holds, ended {order}"));
            let access = Access::Zipf(10_000);
            let plan = Plan { ending, ..Plan::new(access, 1, *live) };
            let race = Race {
                section: Section::Growth,
                workload: format!("live holds, ended {order}"),
                ask: Ask::Pair,
                warm: warm(scale, 1),
                crews: crews(plan, &access.units(), Field::Lean),
            };
            rows.extend(race.run(pace));
        }
    }
    let sizes = scale.pick(&[1_000][..], &[1_000, 100_000], &[1_000, 10_000, 100_000, 1_000_000]);
    for products in sizes {
        progress.say(&format!("{products} products"));
        let access = Access::Uniform(*products);
        let race = Race {
            section: Section::Growth,
            workload: "products, asked for evenly".to_owned(),
            ask: Ask::Pair,
            warm: warm(scale, 1),
            crews: crews(Plan::new(access, 1, 1), &access.units(), Field::Lean),
        };
        rows.extend(race.run(pace));
    }
    rows
}

/// Reserves of what is sold out.
pub(crate) fn refused(scale: Scale, pace: Pace, progress: &mut Progress) -> Vec<Row> {
    let mut rows = Vec::new();
    for threads in scale.pick(&[1][..], &[1, 2], &[1, 2, 8]) {
        progress.say(&format!("sold out, {threads} threads"));
        let plan = Plan::new(Access::Hot, *threads, 1);
        let race = Race {
            section: Section::Refused,
            workload: "refused reserve of one product".to_owned(),
            ask: Ask::Refused,
            warm: Turn::Times(10_000),
            crews: crews(plan, &[0], Field::Lean),
        };
        rows.extend(race.run(pace));
    }
    rows
}

/// The engine and its peers for one durability, for comparisons with servers.
pub(crate) fn engines_of(durability: Durability, plan: Plan, units: &[u32]) -> Option<Crew> {
    let offered = Engine::DURABILITIES.contains(&durability);
    offered.then(|| Crew::hire(&Engine::open(durability, units), plan))
}
