//! The cost of a reserve and a confirm in the calling thread. On an engine with a buffered journal,
//! without metadata, there is no allocation, no system call and no wait. A short basket makes no
//! allocation either.
//!
//! All counts are of the calling thread only; the writer thread may allocate and call. Costs that
//! are bounded by the engine's structure, not by the number of calls, fall into the warm-up: a
//! thread's own magazines of free slots, and the slots themselves, of which as many are filled once
//! as finished records are retained. Back-pressure is not counted: a queue that is more than half
//! full wakes its writer, and one that is three quarters full makes callers wait. So the rounds are
//! short, and the writer catches up between them.
#![cfg(feature = "journal")]

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use stockade::{
    AuditBatch, AuditSink, BasketLine, InventoryManager, LevelHandle, ReservationId, SinkError,
};

use common::scratch::Scratch;

const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");
const HOLD: Duration = Duration::from_secs(3_600);
const ROUNDS: usize = 100;
const PAIRS_A_ROUND: usize = 1_000;
/// More than the retained records, so that every slot of the run has been used before.
const WARM_ROUNDS: usize = 100;

/// Tells a child process of this program that it is traced, and where to keep its journal.
const TRACED: &str = "STOCKADE_TRACED";
/// Paths of no file. Looking one up is a system call that shows in a trace. The hot path lies
/// between the two.
const BEGINS: &str = "/the-hot-path-begins-here";
const ENDS: &str = "/the-hot-path-ends-here";

/// An engine with a buffered journal in `directory`, after the warm-up.
fn warm(directory: PathBuf) -> (InventoryManager, LevelHandle) {
    let builder = InventoryManager::builder().warehouse("SF").journal(directory);
    let manager = builder.build().expect("a new journal");
    manager.add_stock(LAPTOPS, stockade::MAX_UNITS, "SUPPLIER").expect("room");
    let laptops = manager.level(LAPTOPS).expect("open");
    for _ in 0..WARM_ROUNDS {
        pairs(&manager, laptops);
        manager.flush().wait().expect("a healthy disk");
    }
    (manager, laptops)
}

fn pairs(manager: &InventoryManager, laptops: LevelHandle) {
    for _ in 0..PAIRS_A_ROUND {
        let hold = manager.reserve(laptops, 1, HOLD).expect("stock and slots");
        manager.confirm(hold).expect("pending");
    }
}

fn say(what: &str) {
    std::io::Write::write_all(&mut std::io::stderr(), what.as_bytes()).expect("stderr");
}

/// Allocations of the calling thread in `rounds` rounds.
fn allocations(rounds: usize, manager: &InventoryManager, laptops: LevelHandle) -> u64 {
    let mut allocations = 0;
    for _ in 0..rounds {
        allocations += allocation_counter::measure(|| pairs(manager, laptops)).count_total;
        manager.flush().wait().expect("a healthy disk");
    }
    allocations
}

#[test]
fn a_warm_pair_makes_no_allocation() {
    let scratch = Scratch::new("allocations");
    let (manager, laptops) = warm(scratch.join("journal"));
    let made = allocations(ROUNDS, &manager, laptops);
    assert_eq!(made, 0, "in {ROUNDS} rounds of {PAIRS_A_ROUND} pairs");
    // Beside others too, whose slots come and go through the same places; each has its own warm-up.
    let beside = || {
        allocations(2, &manager, laptops);
        allocations(ROUNDS / 4, &manager, laptops)
    };
    let made: Vec<u64> = thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(beside)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(made, [0; 3], "allocations of threads side by side");
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(Box::new(1))));
    assert_eq!(counted.count_total, 1, "nothing is counted");
}

/// A sink that takes nothing while the test holds the lock.
struct Stalled(Arc<Mutex<()>>);

impl AuditSink for Stalled {
    fn append(&mut self, _: &AuditBatch<'_>) -> Result<(), SinkError> {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }
}

/// Each leaves two records, so that a round needs fewer buffers than the engine keeps (1,024).
const BASKETS_A_ROUND: usize = 250;

#[test]
fn a_warm_basket_makes_no_allocation() {
    let scratch = Scratch::new("baskets");
    let stall = Arc::new(Mutex::new(()));
    let builder = InventoryManager::builder().warehouse("SF").journal(scratch.join("journal"));
    let manager = builder.sink(Stalled(Arc::clone(&stall))).build().expect("a new journal");
    let lines = ["LAPTOP", "MOUSE", "DESK", "LAMP"].map(|product| {
        let units = stockade::MAX_UNITS / 4;
        manager.add_stock(("SF", product), units, "SUPPLIER").expect("room");
        BasketLine::new(manager.level(("SF", product)).expect("open"), 1)
    });
    let release = |basket: ReservationId| _ = manager.release(basket).expect("pending");
    let confirm = |basket: ReservationId| manager.confirm(basket).expect("pending");
    let ends: [&dyn Fn(ReservationId); 2] = [&release, &confirm];
    let round = |lines: &[BasketLine<'_>], end: &dyn Fn(ReservationId)| {
        for _ in 0..BASKETS_A_ROUND {
            end(manager.reserve_basket(lines, HOLD).expect("stock and slots"));
        }
    };
    let flush = || manager.flush().wait().expect("a healthy disk");
    // While the writer can't give any back, callers make as many buffers as the engine keeps.
    let stalled = stall.lock().expect("no panic");
    (0..3).for_each(|_| round(&lines, &release));
    drop(stalled);
    for _ in 0..WARM_ROUNDS {
        round(&lines, &release);
        flush();
    }
    for lines in [&lines[..2], &lines[..]] {
        for (end, ends) in ["release", "confirm"].into_iter().zip(ends) {
            let made = (0..ROUNDS / 4).map(|_| {
                let made = allocation_counter::measure(|| round(lines, ends)).count_total;
                flush();
                made
            });
            assert_eq!(made.sum::<u64>(), 0, "{} lines, and {end}", lines.len());
        }
    }
}

/// How often this thread gave up its processor voluntarily, which it does when it waits.
fn waits() -> Option<u64> {
    let status = fs::read_to_string("/proc/thread-self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn a_warm_pair_waits_for_nothing() {
    let Some(_) = waits() else {
        return say("skipped: this system does not count a thread's waits\n");
    };
    let scratch = Scratch::new("waits");
    let (manager, laptops) = warm(scratch.join("journal"));
    let mut waited = 0;
    for _ in 0..ROUNDS {
        let before = waits().expect("as before");
        pairs(&manager, laptops);
        waited += waits().expect("as before") - before;
        manager.flush().wait().expect("a healthy disk");
    }
    // The system itself may make it wait for a page now and then.
    assert!(
        waited < ROUNDS as u64 / 4,
        "{waited} waits in {ROUNDS} rounds of {PAIRS_A_ROUND} pairs"
    );
}

/// The rounds, between two system calls that a trace shows.
#[test]
#[ignore = "run by the test below, to be traced"]
fn traced() {
    let Ok(directory) = std::env::var(TRACED) else { return };
    let (manager, laptops) = warm(directory.into());
    for _ in 0..ROUNDS {
        fs::metadata(BEGINS).expect_err("there is none");
        pairs(&manager, laptops);
        fs::metadata(ENDS).expect_err("there is none");
        manager.flush().wait().expect("a healthy disk");
    }
}

/// The system calls between the marks, and how many rounds were seen.
fn calls_on_the_hot_path(trace: &str) -> (Vec<&str>, usize) {
    let (mut calls, mut rounds) = (Vec::new(), 0);
    let mut inside: Option<&str> = None;
    for line in trace.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        match inside {
            None if call.contains(BEGINS) => inside = Some(thread),
            Some(hot) if hot == thread => {
                // The second half of a call that another thread's line came between.
                if call.contains(ENDS) {
                    (inside, rounds) = (None, rounds + 1);
                } else if !call.contains("resumed>") {
                    calls.push(call);
                }
            }
            _ => {}
        }
    }
    (calls, rounds)
}

#[test]
fn a_warm_pair_makes_no_system_call() {
    let scratch = Scratch::new("calls");
    let trace = scratch.join("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o"]).arg(&trace);
    strace.arg(std::env::current_exe().expect("this program"));
    strace.args(["traced", "--exact", "--ignored"]).env(TRACED, scratch.join("journal"));
    let run = match strace.stdin(Stdio::null()).output() {
        Ok(run) if run.status.success() => run,
        Ok(run) => {
            let told = String::from_utf8_lossy(&run.stderr);
            assert!(!told.contains("panicked"), "{told}");
            return say(&format!("skipped: this machine lets nobody trace calls: {told}\n"));
        }
        Err(_) => return say("skipped: there is no strace on this machine\n"),
    };
    let told = String::from_utf8_lossy(&run.stdout);
    let trace = fs::read_to_string(trace).expect("a trace");
    let (calls, rounds) = calls_on_the_hot_path(&trace);
    assert_eq!(rounds, ROUNDS, "{told}");
    assert_eq!(calls, [""; 0], "in {ROUNDS} rounds of {PAIRS_A_ROUND} pairs");
}
