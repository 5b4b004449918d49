//! A reserve and a confirm: by the engine, by what a user would write in process, and by the
//! servers that shops use. Each server is started from the installed program, or skipped with a
//! message.
#![allow(clippy::print_stderr, reason = "a bench speaks")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::crew::{Crew, Plan};
use common::engine::Engine;
use common::ledger::{Durability, Ledger};
use common::local::Job;
use common::local::dashmap::DashMapPeer;
use common::local::mutex::MutexPeer;
use common::local::proof;
use common::order::{Ask, Turn};
use common::postgres::{Drive, PostgresClient, PostgresPeer, PostgresServer};
use common::redis::{PROGRAMS, RedisPeer, RedisServer};
use common::workload::Access;
use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};

const ACCESS: Access = Access::Zipf(10_000);

fn in_process(criterion: &mut Criterion) {
    proof::prove();
    let units = ACCESS.units();
    let mut group = start(criterion, "peers/in process");
    for threads in [1, 2] {
        for durability in Engine::DURABILITIES {
            measure(&mut group, threads, &Engine::open(*durability, &units));
        }
        for job in [Job::Whole, Job::Lean] {
            measure(&mut group, threads, &MutexPeer::open(&units, job));
            measure(&mut group, threads, &DashMapPeer::open(&units, job));
        }
    }
    group.finish();
}

fn redis(criterion: &mut Criterion) {
    let units = ACCESS.units();
    for program in PROGRAMS {
        for durability in [Durability::InMemory, Durability::Buffered, Durability::Synced] {
            let server = match RedisServer::start(*program, durability) {
                Ok(Some(server)) => Arc::new(server),
                Ok(None) => {
                    eprintln!("{}: not installed, skipped", program.1);
                    break;
                }
                Err(error) => {
                    eprintln!("{}: skipped: {error}", program.1);
                    break;
                }
            };
            eprintln!("{} {}", program.1, server.flags());
            let mut group = start(criterion, &format!("peers/{}", program.0));
            for (connections, depth) in [(1, 1), (50, 1), (4, 64)] {
                let peer = RedisPeer::open(&server, connections, depth, &units).expect("a server");
                measure(&mut group, connections, &peer);
            }
            group.finish();
        }
    }
}

fn postgres(criterion: &mut Criterion) {
    let units = ACCESS.units();
    let server = match PostgresServer::start() {
        Ok(Some(server)) => Arc::new(server),
        Ok(None) => return eprintln!("postgres: not installed, skipped"),
        Err(error) => return eprintln!("postgres: skipped: {error}"),
    };
    eprintln!("postgres {}", PostgresServer::flags());
    let mut group = start(criterion, "peers/postgresql");
    for durability in [Durability::InMemory, Durability::Buffered, Durability::Synced] {
        for connections in [1, 8, 32] {
            for client in PostgresClient::BOTH {
                let drive = Drive { client, durability, connections };
                let peer = PostgresPeer::open(&server, drive, &units);
                measure(&mut group, connections, &peer.expect("a server"));
            }
        }
    }
    group.finish();
}

fn start<'c>(criterion: &'c mut Criterion, name: &str) -> BenchmarkGroup<'c, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    group.sample_size(10).throughput(Throughput::Elements(1));
    group
}

fn measure<L: Ledger>(group: &mut BenchmarkGroup<'_, WallTime>, threads: usize, ledger: &L) {
    let about = ledger.about();
    let title = format!("{}, {}", about.title(), about.durability.name());
    let mut crew = None;
    group.bench_function(BenchmarkId::new(title, threads), |bencher| {
        let crew = crew.get_or_insert_with(|| Crew::hire(ledger, Plan::new(ACCESS, threads, 1)));
        bencher.iter_custom(|pairs| {
            let times = pairs.div_ceil(threads as u64);
            let outcome = crew.run(Ask::Pair, Turn::Times(times));
            outcome.span.mul_f64(pairs as f64 / outcome.done as f64)
        });
    });
}

criterion_group!(benches, in_process, redis, postgres);
criterion_main!(benches);
