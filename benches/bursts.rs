//! What two buyers of different products cost each other at the same instant.
//!
//! ```text
//! cargo bench --bench bursts
//! ```
#![allow(clippy::print_stdout, reason = "a bench speaks")]

mod common;

use common::Scale;
use common::bursts::{bursts, prove};
use common::engine::Engine;
use common::ledger::{Durability, Ledger};
use common::local::Job;
use common::local::dashmap::DashMapPeer;
use common::local::mutex::MutexPeer;
use common::workload::Access;

/// The demand of a shop, of which the buyers take every other product each.
const DEMAND: Access = Access::Zipf(10_000);

fn main() {
    prove();
    let (units, turns) = (DEMAND.units(), Scale::asked().pick(1, 3, 5));
    for _ in 0..turns {
        show("stockade", &Engine::open(Durability::InMemory, &units));
        show("mutex", &MutexPeer::open(&units, Job::Whole));
        show("dashmap", &DashMapPeer::open(&units, Job::Whole));
    }
}

fn show<L: Ledger>(name: &str, ledger: &L) {
    let tried = Scale::asked().pick(100, 1_500, 10_000);
    let Some(found) = bursts(ledger, DEMAND, tried) else {
        println!("{name:9} two threads hardly ever ran at once");
        return;
    };
    let (alone, together) = (found.alone, found.together);
    println!(
        "{name:9} a pair alone {alone:.0} ns, two at once {together:.0} ns each: {:.0} ns more, \
         {:.1} hops of {:.0} ns ({} of {} bursts count)",
        together - alone,
        (together - alone) / found.hop,
        found.hop,
        found.valid,
        found.tried,
    );
}
