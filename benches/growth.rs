//! How the cost of a pair grows: with a thousand to ten million live holds, ended in order and at
//! random, and with a thousand to a million products.

mod common;

use std::time::Duration;

use common::Scale;
use common::crew::{Crew, Plan};
use common::engine::Engine;
use common::ledger::{Durability, Ledger};
use common::local::Job;
use common::local::dashmap::DashMapPeer;
use common::local::mutex::MutexPeer;
use common::order::{Ask, Turn};
use common::workload::{Access, Ending};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main};

fn holds(criterion: &mut Criterion) {
    let all = [1_000, 10_000, 100_000, 1_000_000, 10_000_000];
    let sizes = &all[..Scale::asked().pick(1, 4, 5)];
    for (ending, order) in [(Ending::InOrder, "in order"), (Ending::AtRandom, "at random")] {
        let mut group = start(criterion, &format!("holds, ended {order}"));
        for live in sizes {
            let plan = Plan { ending, ..Plan::new(Access::Zipf(10_000), 1, *live) };
            measure_all(&mut group, plan, *live);
        }
        group.finish();
    }
}

fn products(criterion: &mut Criterion) {
    let all = [1_000, 10_000, 100_000, 1_000_000];
    let sizes = &all[..Scale::asked().pick(1, 4, 4)];
    let mut group = start(criterion, "products");
    for products in sizes {
        measure_all(&mut group, Plan::new(Access::Uniform(*products), 1, 1), *products);
    }
    group.finish();
}

fn start<'c>(criterion: &'c mut Criterion, name: &str) -> BenchmarkGroup<'c, WallTime> {
    let mut group = criterion.benchmark_group(format!("growth/{name}"));
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    group.sample_size(10);
    group
}

fn measure_all(group: &mut BenchmarkGroup<'_, WallTime>, plan: Plan, size: usize) {
    let units = plan.access.units();
    measure(group, plan, size, || Engine::open(Durability::InMemory, &units));
    for job in [Job::Whole, Job::Lean] {
        measure(group, plan, size, || MutexPeer::open(&units, job));
        measure(group, plan, size, || DashMapPeer::open(&units, job));
    }
}

fn measure<L: Ledger>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    plan: Plan,
    size: usize,
    open: impl FnOnce() -> L,
) {
    let ledger = open();
    let mut crew = None;
    group.bench_function(BenchmarkId::new(ledger.about().title(), size), |bencher| {
        let crew = crew.get_or_insert_with(|| Crew::hire(&ledger, plan));
        bencher.iter_custom(|pairs| crew.run(Ask::Pair, Turn::Times(pairs)).span);
    });
}

criterion_group!(benches, holds, products);
criterion_main!(benches);
