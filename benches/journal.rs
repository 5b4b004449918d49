//! The cost of a journal: pairs beside an engine without one, calls that wait for the disk,
//! recovery.
//!
//! ```text
//! cargo bench --bench journal              # about a minute
//! cargo bench --bench journal -- --quick
//! ```
//!
//! The disk's own throughput and sync time are printed beside it. Runs are short, because an engine
//! writes faster than many disks.
#![allow(clippy::print_stdout, reason = "a bench speaks")]

mod common;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use stockade::{Durability, InventoryManager, JournalReader, Limits};

use common::Scale;
use common::crew::{Crew, Plan};
use common::engine::Engine;
use common::ledger::Durability as Asked;
use common::order::{Ask, Turn};
use common::workload::Access;

const MINUTE: Duration = Duration::from_secs(60);

fn main() {
    let scale = Scale::asked();
    disk(scale);
    pairs(scale);
    waiting(scale);
    recovery(scale);
}

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = Path::new("/var/tmp").join(format!("stockade-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a scratch directory");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A directory that cannot be removed changes no figure.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The disk by itself.
fn disk(scale: Scale) {
    let scratch = Scratch::new("disk");
    let mut file = File::create(scratch.0.join("file")).expect("a file");
    let (block, blocks) = (vec![7; 1 << 20], scale.pick(8, 128, 512));
    let began = Instant::now();
    for _ in 0..blocks {
        file.write_all(&block).expect("room");
    }
    file.sync_data().expect("a disk");
    let rate = f64::from(blocks) / began.elapsed().as_secs_f64();
    let syncs = scale.pick(5, 100, 300);
    let began = Instant::now();
    for _ in 0..syncs {
        file.write_all(&block[..512]).expect("room");
        file.sync_data().expect("a disk");
    }
    let sync = began.elapsed() / syncs;
    println!("the disk: {rate:.0} MiB a second in one piece, {sync:?} a sync of 512 bytes");
}

/// Pairs of reserve and confirm, in turns.
fn pairs(scale: Scale) {
    let access = Access::Zipf(10_000);
    let units = access.units();
    for threads in [1, 2] {
        let plan = Plan::new(access, threads, 1_000);
        let mut crews = [Asked::InMemory, Asked::Buffered]
            .map(|durability| Crew::hire(&Engine::open(durability, &units), plan));
        let mut ratios = Vec::new();
        for round in 0..scale.pick(2, 6, 12) {
            let nanos = crews.each_mut().map(|crew| {
                let outcome =
                    crew.run(Ask::Pair, Turn::Times(scale.pick(1_000, 500_000, 1_000_000)));
                outcome.span.as_nanos() as f64 / outcome.done as f64
            });
            if round > 0 {
                ratios.push(nanos[0] / nanos[1]);
                println!(
                    "{threads} threads: {:.0} ns in memory, {:.0} ns buffered",
                    nanos[0], nanos[1]
                );
            }
        }
        ratios.sort_by(f64::total_cmp);
        println!("{threads} threads: buffered keeps {:.0}%", 100.0 * ratios[ratios.len() / 2]);
    }
}

/// Calls that each wait for the disk.
fn waiting(scale: Scale) {
    let scratch = Scratch::new("waiting");
    let builder = InventoryManager::builder().warehouse("SF").journal(scratch.0.join("journal"));
    let manager = builder.durability(Durability::Synced).build().expect("a new journal");
    let level = manager.open_level("SF", "LAPTOP").expect("a legal name");
    manager.add_stock(level, 1 << 30, "SUPPLIER").expect("room");
    let rate_of = |callers: usize, each: u32| {
        let began = Instant::now();
        thread::scope(|scope| {
            for _ in 0..callers {
                scope.spawn(|| (0..each).for_each(|_| _ = manager.sell(level, 1).expect("stock")));
            }
        });
        callers as f64 * f64::from(each) / began.elapsed().as_secs_f64()
    };
    let one = rate_of(1, scale.pick(5, 200, 1_000));
    for callers in [8, 64] {
        let many = rate_of(callers, scale.pick(5, 200, 1_000));
        println!(
            "{callers} waiting callers: {many:.0} sales a second, {:.0} times one's {one:.0}",
            many / one
        );
    }
}

/// Recovery: opening a journal that an engine left.
fn recovery(scale: Scale) {
    let scratch = Scratch::new("recovery");
    let journal = scratch.0.join("journal");
    let open = || {
        let builder = InventoryManager::builder().warehouse("SF").journal(&journal);
        builder.limits(Limits::new().audit_retained(1_000)).build().expect("a sound journal")
    };
    let manager = open();
    let levels: Vec<_> = (0..10_000)
        .map(|product| manager.open_level("SF", &format!("SKU-{product}")).expect("a legal name"))
        .collect();
    levels.iter().for_each(|level| manager.add_stock(*level, 100_000, "S").expect("room"));
    let pairs = scale.pick(10_000, 5_000_000, 25_000_000);
    let began = Instant::now();
    for pair in 0..pairs {
        let level = levels[pair * 7_919 % levels.len()];
        let hold = manager.reserve(level, 1, MINUTE).expect("stock");
        manager.confirm(hold).expect("pending");
    }
    manager.flush().wait().expect("on the disk");
    let rate = pairs as f64 / began.elapsed().as_secs_f64() / 1e6;
    drop(manager);
    let bytes: u64 = fs::read_dir(&journal)
        .expect("a directory")
        .flatten()
        .map(|file| file.metadata().map_or(0, |it| it.len()))
        .sum();
    let entries = 2 * pairs;
    println!(
        "{entries} entries, {:.1} bytes each, {rate:.2} M pairs a second",
        bytes as f64 / entries as f64
    );
    for _ in 0..2 {
        let began = Instant::now();
        JournalReader::new(&journal).verify(None).expect("sound");
        let took = began.elapsed().as_secs_f64();
        println!(
            "verify, with the laws: {:.2} M entries a second, {:.0} MB a second",
            entries as f64 / took / 1e6,
            bytes as f64 / took / 1e6
        );
    }
    for _ in 0..2 {
        let manager = open();
        let took = manager.recovery_report().expect("a journal").took.as_secs_f64();
        println!(
            "recovery: {:.2} M entries a second, {:.0} MB a second",
            entries as f64 / took / 1e6,
            bytes as f64 / took / 1e6
        );
    }
}
