//! A given number of pairs and nothing else, for profilers and for counting instructions.
//!
//! ```text
//! cargo bench --bench hot_path -- engine=stockade pairs=2000000 live=50000 threads=1
//! ```
//!
//! Under callgrind, run it twice with different numbers of pairs. The difference is the cost of the
//! additional pairs.
#![allow(clippy::print_stdout, reason = "a bench speaks")]

mod common;

use common::Scale;
use common::crew::{Crew, Plan};
use common::engine::Engine;
use common::ledger::Durability;
use common::local::Job;
use common::local::dashmap::DashMapPeer;
use common::local::mutex::MutexPeer;
use common::order::{Ask, Turn};
use common::workload::{Access, Ending};

fn main() {
    let pairs: u64 = number("pairs", Scale::asked().pick(1_000, 2_000_000, 10_000_000));
    let threads = number("threads", 1);
    let access = match number("products", 10_000) {
        1 => Access::Hot,
        products => Access::Zipf(products),
    };
    let ending = if text("order") == "random" { Ending::AtRandom } else { Ending::InOrder };
    let plan = Plan { ending, ..Plan::new(access, threads, number("live", 1)) };
    let units = access.units();
    let job = if text("job") == "lean" { Job::Lean } else { Job::Whole };
    let mut crew = match &*text("engine") {
        "mutex" => Crew::hire(&MutexPeer::open(&units, job), plan),
        "dashmap" => Crew::hire(&DashMapPeer::open(&units, job), plan),
        "journal" => Crew::hire(&Engine::open(Durability::Buffered, &units), plan),
        "" | "stockade" => Crew::hire(&Engine::open(Durability::InMemory, &units), plan),
        other => panic!("no engine of name {other}"),
    };
    crew.run(Ask::Pair, Turn::Times(number("warm", pairs / 10) / threads as u64));
    let outcome = crew.run(Ask::Pair, Turn::Times(pairs / threads as u64));
    let each = outcome.span.as_nanos() as f64 / outcome.done as f64;
    let (title, cpu) = (crew.about.title(), outcome.cpu_ns_each());
    println!("{title}: {} pairs, {each:.1} ns each, {cpu:.1} ns of a buyer's cpu", outcome.done);
}

/// The value of an argument `name=value`.
fn text(name: &str) -> String {
    let value =
        |argument: String| argument.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
    std::env::args().find_map(value).unwrap_or_default()
}

fn number<T: std::str::FromStr>(name: &str, default: T) -> T {
    let given = text(name);
    if given.is_empty() { default } else { given.parse().ok().expect("a number") }
}
