//! Runs small programs of several threads under many random schedules, each from a seed.
#![cfg(shuttle)]

use std::fmt::Write as _;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use shuttle::scheduler::{PctScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

/// How many orders between steps a bug may need to show: the depth that PCT looks for.
const DEPTH: usize = 3;
/// No program here takes so many steps, unless it never ends.
const MAX_STEPS: usize = 200_000;
/// What a thread's stack takes.
const STACK: usize = 1 << 19;

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")))
}

/// Makes a program of each of `programs` seeds and runs it under `schedules` schedules of the PCT
/// scheduler, on all cores; prints how many runs there were.
///
/// A program that panics ends the test with the seed that replays it, program and schedules, in the
/// environment's `STOCKADE_SEED`. `STOCKADE_HISTORIES` says how many programs to make instead, from
/// random seeds: for the long search.
pub fn explore<P: Fn() + Send + Sync + 'static>(
    name: &str,
    programs: u64,
    schedules: usize,
    program: impl Fn(u64) -> P + Sync,
) {
    let (first, count) = match (setting("STOCKADE_SEED"), setting("STOCKADE_HISTORIES")) {
        (Some(seed), _) => (seed, 1),
        (None, Some(programs)) => (random_seed(), programs),
        // The same in each run, so that what is green stays green.
        (None, None) => (0, programs),
    };
    let begun = Instant::now();
    let next = AtomicU64::new(0);
    let (runs, switches) = (AtomicU64::new(0), AtomicU64::new(0));
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count || failed.lock().is_ok_and(|failed| failed.is_some()) {
                        return;
                    }
                    let seed = first.wrapping_add(number);
                    let program = program(seed);
                    let counts = (&runs, &switches);
                    let pct = PctScheduler::new_from_seed(seed, DEPTH, schedules);
                    if let Err(panic) = run_all(pct, counts, program) {
                        failed.lock().expect("no panic").get_or_insert((seed, panic));
                    }
                }
            });
        }
    });
    let (runs, switches) = (runs.into_inner(), switches.into_inner());
    say(name, runs, switches, begun);
    if let Some((seed, panic)) = failed.into_inner().expect("no panic") {
        let _ = writeln!(std::io::stderr(), "STOCKADE_SEED={seed} replays {name}");
        resume_unwind(panic);
    }
    assert_eq!(runs, count * schedules as u64);
    assert!(switches > runs, "the threads of {name} never met");
}

/// Runs `program` under each schedule that `scheduler` makes.
pub fn explore_with(
    name: &str,
    scheduler: impl Scheduler + 'static,
    program: impl Fn() + Send + Sync + 'static,
) {
    let begun = Instant::now();
    let (runs, switches) = (AtomicU64::new(0), AtomicU64::new(0));
    let outcome = run_all(scheduler, (&runs, &switches), program);
    say(name, runs.into_inner(), switches.into_inner(), begun);
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

type Panic = Box<dyn std::any::Any + Send>;

fn run_all(
    scheduler: impl Scheduler + 'static,
    (runs, switches): (&AtomicU64, &AtomicU64),
    program: impl Fn() + Send + Sync + 'static,
) -> Result<(), Panic> {
    let mut config = Config::new();
    config.stack_size = STACK;
    config.max_steps = MaxSteps::FailAfter(MAX_STEPS);
    // The seed says it all.
    config.failure_persistence = FailurePersistence::None;
    config.silence_warnings = true;
    let counts = std::sync::Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let counted = std::sync::Arc::clone(&counts);
    let all = AssertUnwindSafe(|| {
        Runner::new(scheduler, config).run(move || {
            program();
            counted[0].fetch_add(1, Ordering::Relaxed);
            counted[1].fetch_add(shuttle::current::context_switches() as u64, Ordering::Relaxed);
        })
    });
    let outcome = catch_unwind(all);
    runs.fetch_add(counts[0].load(Ordering::Relaxed), Ordering::Relaxed);
    switches.fetch_add(counts[1].load(Ordering::Relaxed), Ordering::Relaxed);
    outcome.map(drop)
}

fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one("shuttle")
}

fn say(name: &str, runs: u64, switches: u64, begun: Instant) {
    let mut line = String::new();
    let steps = switches / runs.max(1);
    let _ = write!(line, "{name}: {runs} runs of {steps} steps in {:.1?}", begun.elapsed());
    // Straight to the stream, because the test harness swallows what `println!` says in a test that
    // passes.
    let _ = writeln!(std::io::stderr(), "{line}");
}
