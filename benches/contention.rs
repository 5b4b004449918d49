//! A reserve and a confirm with 1 to 8 threads. The demand is one hot product, a web shop's mix, or
//! a large catalog with even demand. One, a thousand or 50,000 holds are alive. Engine and peers
//! take turns.
#![allow(clippy::print_stderr, reason = "a bench speaks")]

mod common;

use std::time::Duration;

use common::crew::{Crew, Plan};
use common::engine::Engine;
use common::ledger::Ledger;
use common::local::Job;
use common::local::dashmap::DashMapPeer;
use common::local::mutex::MutexPeer;
use common::order::{Ask, Turn};
use common::workload::Access;
use common::{Scale, machine};
use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};

fn pairs(criterion: &mut Criterion) {
    let scale = Scale::asked();
    let large = Access::Uniform(scale.pick(1_000, 1_000_000, 1_000_000));
    for access in [Access::Hot, Access::Zipf(10_000), large] {
        for live in [1, scale.pick(10, 1_000, 1_000), scale.pick(100, 50_000, 50_000)] {
            let hop = machine::hop().unwrap_or(f64::NAN);
            eprintln!("{}, {live} live a thread; hop {hop:.0} ns", access.name());
            let mut group = criterion.benchmark_group(format!("{}/{live} live", access.name()));
            group.warm_up_time(Duration::from_millis(300)).sample_size(10);
            group.measurement_time(Duration::from_secs(1)).throughput(Throughput::Elements(1));
            for threads in [1, 2, 4, 8] {
                let plan = Plan::new(access, threads, live);
                let units = access.units();
                for durability in Engine::UNWAITING {
                    measure(&mut group, plan, || Engine::open(*durability, &units));
                }
                for job in [Job::Whole, Job::Lean] {
                    measure(&mut group, plan, || MutexPeer::open(&units, job));
                    measure(&mut group, plan, || DashMapPeer::open(&units, job));
                }
            }
            group.finish();
        }
    }
}

fn measure<L: Ledger>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    plan: Plan,
    open: impl FnOnce() -> L,
) {
    // Opened before its name is known, so that a filter on the command line costs no more than
    // this.
    let ledger = open();
    let about = ledger.about();
    let title = format!("{} {}", about.title(), about.durability.name());
    let mut crew = None;
    group.bench_function(BenchmarkId::new(title, plan.threads), |bencher| {
        let crew = crew.get_or_insert_with(|| Crew::hire(&ledger, plan));
        bencher.iter_custom(|pairs| {
            let times = pairs.div_ceil(plan.threads as u64);
            let outcome = crew.run(Ask::Pair, Turn::Times(times));
            outcome.span.mul_f64(pairs as f64 / outcome.done as f64)
        });
    });
}

criterion_group!(benches, pairs);
criterion_main!(benches);
