//! A given number of pairs and nothing else, for profilers and for counting instructions.
//!
//! ```text
//! cargo bench --bench hot_path -- engine=stockade pairs=2000000 live=50000 threads=1
//! cargo bench --bench hot_path -- lines=2 end=release pairs=200000 live=1000
//! ```
//!
//! With `lines=`, the engine alone holds baskets of so many lines, in one thread, and ends each by
//! `end=`, `release` or `confirm`. One line is a plain reserve. The thread waits for the writer
//! every `flush=` baskets, so that a profiler, which runs one thread at a time, does not count a
//! queue that fills up.
//!
//! Under callgrind, run it twice with different numbers of pairs. The difference is the cost of the
//! additional pairs.
#![allow(clippy::print_stdout, reason = "a bench speaks")]

mod common;

use common::Scale;
use common::arguments::{number, text};
use common::crew::{Crew, Plan};
use common::engine::Engine;
use common::ledger::{Durability, Ledger, Session, TTL};
use common::local::Job;
use common::local::dashmap::DashMapPeer;
use common::local::mutex::MutexPeer;
use common::order::{Ask, Turn};
use common::workload::{Access, Ending, Holds, Random};
use stockade::{BasketLine, InventoryManager, LevelHandle, ReservationId};

fn main() {
    let pairs: u64 = number("pairs", Scale::asked().pick(1_000, 2_000_000, 10_000_000));
    if !text("lines").is_empty() {
        return baskets(pairs);
    }
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

/// Baskets drawn in advance, so that drawing costs next to nothing while they are counted.
const DRAWN: usize = 1 << 12;

/// So many baskets, each held and ended.
fn baskets(pairs: u64) {
    let (lines, live) = (number("lines", 2), number("live", 1));
    let releases = text("end") != "confirm";
    let durability = match &*text("engine") {
        "journal" => Durability::Buffered,
        _ => Durability::InMemory,
    };
    let engine = Engine::open(durability, &Access::Uniform(number("products", 10_000)).units());
    let drawn = draw(&engine.levels, lines);
    let mut holds = Holds::fill(live, Ending::InOrder, 7, |at| {
        hold(&engine.manager, &drawn[at % DRAWN * lines..][..lines])
    });
    let (mut session, flush) = (engine.session(), number("flush", 256));
    let mut run = |times: u64| {
        for (at, basket) in drawn.chunks_exact(lines).cycle().take(times as usize).enumerate() {
            let ended = holds.exchange(hold(&engine.manager, basket));
            end(&mut session, ended, releases);
            if at % flush == 0 {
                session.flush();
            }
        }
    };
    run(number("warm", pairs / 10));
    let began = std::time::Instant::now();
    run(pairs);
    let each = began.elapsed().as_nanos() as f64 / pairs as f64;
    println!("{pairs} baskets of {lines} lines, {each:.1} ns each");
}

fn draw(levels: &[LevelHandle], lines: usize) -> Vec<BasketLine<'static>> {
    assert!(lines <= levels.len(), "the products of a basket differ");
    let mut random = Random::new(3);
    let mut drawn = Vec::with_capacity(DRAWN * lines);
    for _ in 0..DRAWN {
        let first = drawn.len();
        while drawn.len() < first + lines {
            let line = BasketLine::new(levels[random.below(levels.len())], 1);
            if !drawn[first..].contains(&line) {
                drawn.push(line);
            }
        }
    }
    drawn
}

/// Never inlined, like `end`: their names tell callgrind what to count, and the waits between them
/// do not count.
#[inline(never)]
fn hold(manager: &InventoryManager, basket: &[BasketLine<'_>]) -> ReservationId {
    match basket {
        [line] => manager.reserve(line.level, line.quantity, TTL).expect("in stock"),
        _ => manager.reserve_basket(basket, TTL).expect("in stock"),
    }
}

#[inline(never)]
fn end(session: &mut impl Session<Hold = ReservationId>, hold: ReservationId, releases: bool) {
    if releases { session.release(hold) } else { session.confirm(hold) }
}
