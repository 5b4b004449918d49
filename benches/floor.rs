//! The cost of an inventory's parts on this machine, each by itself: a lower bound for every pair.
#![allow(clippy::print_stderr, reason = "a bench speaks")]

mod common;

use std::time::Duration;

use common::{floor, machine};
use criterion::{Criterion, criterion_group, criterion_main};

fn parts(criterion: &mut Criterion) {
    if let Some(hop) = machine::hop() {
        eprintln!("a cache line takes {hop:.0} ns from core to core at this moment");
    }
    let mut group = criterion.benchmark_group("floor");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    for (name, part) in floor::PARTS {
        group.bench_function(*name, |bencher| bencher.iter_custom(part));
    }
    group.finish();
}

criterion_group!(benches, parts);
criterion_main!(benches);
