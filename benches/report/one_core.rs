//! Buyers and writer on one core. In a container with a small quota, the engine must not collapse.
//!
//! The report runs itself as a child process, in turns bound to one core and unbound.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::common::Scale;
use crate::common::crew::{Crew, Plan};
use crate::common::engine::Engine;
use crate::common::ledger::{Durability, Ledger};
use crate::common::median::median;
use crate::common::order::{Ask, Turn};
use crate::common::programs::find;
use crate::local::{SHOP, many, warm};
use crate::progress::Progress;
use crate::row::{Row, Section, Spread};

/// The argument that makes this process the child.
const CHILD: &str = "--measure-once";
const THREADS: usize = 2;
/// The names in the rows.
const ALL_CORES: &str = "all cores";
pub(crate) const ONE_CORE: &str = "one core for buyers and writer";

/// The child's part: prints the engine's rate. Returns `false` if this process is not the child.
pub(crate) fn measured_as_child(scale: Scale) -> bool {
    if !std::env::args().any(|argument| argument == CHILD) {
        return false;
    }
    let plan = Plan::new(SHOP, THREADS, many(scale));
    let span = Duration::from_millis(scale.pick(5, 100, 1_000));
    let mut crew = Crew::hire(&Engine::open(Durability::InMemory, &SHOP.units()), plan);
    crew.run(Ask::Pair, warm(scale));
    eprintln!("{CHILD} {}", crew.run(Ask::Pair, Turn::For(span)).per_second());
    true
}

/// Runs the child on all cores and on one, in turns.
pub(crate) fn one_core(scale: Scale, turns: usize, progress: &mut Progress) -> Vec<Row> {
    let Some(taskset) = find("taskset", &[]) else {
        progress.note("taskset is not installed: the rate on one core was not measured");
        return Vec::new();
    };
    progress.say("everything on one core");
    let mut rates: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..turns {
        for (rates, cores) in rates.iter_mut().zip([None, Some("0")]) {
            match child(scale, &taskset, cores) {
                Some(found) => rates.push(found),
                None => {
                    progress.note("the rate on one core was not measured: the child failed");
                    return Vec::new();
                }
            }
        }
    }
    let [free, bound] = rates;
    let ratio = Spread::of_ratios(&bound, &free);
    let about = Engine::open(Durability::InMemory, &[1]).about();
    let row = |workload: &str, rates: &[f64]| Row {
        threads: THREADS,
        live: many(scale),
        products: SHOP.products(),
        per_second: median(rates),
        rates: Some(Spread::of(rates)),
        turns,
        ..Row::new(Section::Idle, workload, &about)
    };
    vec![row(ALL_CORES, &free), Row { over_own: Some(ratio), ..row(ONE_CORE, &bound) }]
}

/// The rate that a child measured.
fn child(scale: Scale, taskset: &Path, cores: Option<&str>) -> Option<f64> {
    let program = std::env::current_exe().ok()?;
    let mut command = match cores {
        Some(cores) => {
            let mut command = Command::new(taskset);
            command.args(["-c", cores]).arg(program);
            command
        }
        None => Command::new(program),
    };
    let flags: &[&str] = scale.pick(&["--test"], &["--bench", "--quick"], &["--bench"]);
    let output = command.arg(CHILD).args(flags).output().ok()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let rate = said.lines().find_map(|line| line.strip_prefix(CHILD));
    if output.status.success() { rate?.trim().parse().ok() } else { None }
}
