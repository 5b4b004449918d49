//! What calls cost in instructions, beside what they cost before.
//!
//! ```text
//! cargo bench --bench counts                       # a table beside the checked-in counts
//! cargo bench --bench counts -- --check            # fails where a count grew by more than 2%
//! cargo bench --bench counts -- --write            # writes the counts down anew
//! cargo bench --bench counts -- "real pair" --by-function   # some rows, and where it goes
//! ```
//!
//! A count that grew is made three times, and the least counts; so does the least of three that is
//! written down. It needs `valgrind`, and `objdump` for locked instructions.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench speaks")]

mod bar;
#[path = "../common/mod.rs"]
mod common;

use std::process::ExitCode;

use bar::{Bar, Judged};
use common::Scale;
use common::counts::{Cost, Counter, Counts, Work, prove, worked_as_child};
use common::programs::Folder;
use common::table::table;

/// Functions shown of each thread.
const SHOWN: usize = 30;
/// How often a work is counted before a count that is too high is believed, and before one is
/// written down.
const TRIES: usize = 3;

fn main() -> ExitCode {
    if worked_as_child() {
        return ExitCode::SUCCESS;
    }
    let outcome = if Scale::asked() == Scale::Smoke { smoke() } else { count_all() };
    match outcome {
        Ok(code) => code,
        Err(reason) => {
            eprintln!("not counted: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// Shows that profiles are read as they are meant, and that two rows can be counted, if valgrind
/// is there.
fn smoke() -> Result<ExitCode, String> {
    let folder = Folder::new(None).map_err(|error| error.to_string())?;
    prove(folder.path())?;
    bar::prove();
    let counter = match Counter::new() {
        Ok(counter) => counter,
        Err(reason) => {
            println!("nothing was counted: {reason}");
            return Ok(ExitCode::SUCCESS);
        }
    };
    let few = 500;
    let counted = [counter.count(Work::Refused, few)?, counter.count(Work::Released, few)?];
    show(&counted, &Bar::default());
    assert!(counted[0].caller.instructions < counted[1].caller.instructions);
    Ok(ExitCode::SUCCESS)
}

fn count_all() -> Result<ExitCode, String> {
    let has = |flag: &str| std::env::args().any(|argument| argument == flag);
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let is_wanted = |work: &Work| {
        wanted.is_empty() || wanted.iter().any(|wanted| work.name().contains(wanted.as_str()))
    };
    let counter = Counter::new()?;
    let bar = Bar::read()?;
    let doubted = |counts: &Counts| {
        let judged = has("--check") && bar.does_not_apply().is_none();
        has("--write") || judged && bar.judge(counts).iter().any(|judged| judged.worse)
    };
    let mut counted = Vec::new();
    for work in Work::ALL.into_iter().filter(is_wanted) {
        eprintln!("counting: {}", work.name());
        let mut counts = counter.count(work, work.units())?;
        for _ in 1..TRIES {
            if doubted(&counts) {
                eprintln!("counting once more: {}", work.name());
                counts = counts.least(counter.count(work, work.units())?);
            }
        }
        counted.push(counts);
    }
    show(&counted, &bar);
    if let Some(reason) = counter.blind_to_locks() {
        println!("\nLocked instructions were not counted: {reason}.");
    }
    if has("--by-function") {
        counted.iter().for_each(show_functions);
    }
    if has("--write") {
        Bar::of(&counted).write(&bar)?;
        println!("\nWritten down.");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(judge(&counted, &bar, has("--check")))
}

fn judge(counted: &[Counts], bar: &Bar, check: bool) -> ExitCode {
    if let Some(reason) = bar.does_not_apply() {
        println!("\n*** NOT COMPARED: {reason} ***");
        return ExitCode::SUCCESS;
    }
    let judged: Vec<Judged> = counted.iter().flat_map(|counts| bar.judge(counts)).collect();
    for judged in &judged {
        println!("{}", judged.text);
    }
    if judged.is_empty() {
        println!("\nAll counts are where they were.");
    }
    let worse = judged.iter().any(|judged| judged.worse);
    if check && worse { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn show(counted: &[Counts], bar: &Bar) {
    let heads = ["", "instructions", "before", "locked", "before", "fences", "before"];
    let writer = ["writer's", "before", "locked", "before"];
    let mut table = table(1, &[&heads[..], &writer[..]].concat());
    let whole = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.0}"));
    let part = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
    for counts in counted {
        let before = bar.of_work(counts.work.name());
        let caller = before.map(|(caller, _)| caller);
        let writer = before.map(|(_, writer)| writer);
        let instructions = |cost: Option<Cost>| whole(cost.map(|cost| cost.instructions));
        let locked = |cost: Option<Cost>| part(cost.and_then(|cost| cost.locked));
        let fences = |cost: Option<Cost>| part(cost.and_then(|cost| cost.fences));
        table.add_row([
            counts.work.name().to_owned(),
            instructions(Some(counts.caller)),
            instructions(caller),
            locked(Some(counts.caller)),
            locked(caller),
            fences(Some(counts.caller)),
            fences(caller),
            instructions(Some(counts.writer)),
            instructions(writer),
            locked(Some(counts.writer)),
            locked(writer),
        ]);
    }
    println!("{table}");
}

fn show_functions(counts: &Counts) {
    for (thread, functions) in ["the caller", "the writer"].into_iter().zip(&counts.by_function) {
        println!("\n{}: {thread}", counts.work.name());
        for (name, each) in functions.iter().take(SHOWN) {
            println!("{each:9.1}  {name}");
        }
    }
}
