//! The report: everything measured in one run, as a page with plots and as JSON.
//!
//! `cargo bench --bench report` takes some minutes, `cargo bench --bench report -- --quick` about
//! one. `-- --test` only checks that it works, and `-- only=limits` measures that section alone.
//! Both files are written to `target/report/`.
#![allow(clippy::print_stderr, reason = "a bench speaks")]

mod charts;
#[path = "../common/mod.rs"]
mod common;
mod http;
mod idle;
mod instructions;
mod latency;
mod limits;
mod local;
mod model;
mod numbers;
mod one_core;
mod page;
mod plot;
mod progress;
mod race;
mod remote;
mod row;
mod sale;
mod targets;
mod verdict;

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use common::machine::{Machine, disk_megabytes_a_second, fsync_us};
use common::programs::Folder;
use common::table::table;
use common::{Scale, arguments};
use instructions::Counted;
use model::Modelled;
use numbers::{count, nanos};
use progress::Progress;
use race::Pace;
use remote::Servers;
use row::{Burn, Findings, Row, Section};

fn main() -> io::Result<()> {
    let scale = Scale::asked();
    if one_core::measured_as_child(scale) || common::counts::worked_as_child() {
        return Ok(());
    }
    common::local::proof::prove();
    limits::prove();
    verdict::prove();
    common::bursts::prove();
    model::prove();
    let mut progress = Progress::start();
    let machine = Machine::look();
    let turns = scale.pick(1, 3, 5);
    let disk = Folder::new(None).ok();
    let fsync_us = disk.as_ref().and_then(|disk| fsync_us(disk.path()));
    let megabytes = scale.pick(4, 64, 512);
    let disk_rate = disk.as_ref().and_then(|disk| disk_megabytes_a_second(disk.path(), megabytes));
    drop(disk);

    let Measured { rows, burns, counted, modelled } = match arguments::text("only").as_str() {
        "" => everything(scale, turns, &mut progress),
        "limits" => limits_alone(scale, turns, &mut progress),
        other => return Err(io::Error::other(format!("{other} is not measured alone"))),
    };
    let findings = Findings {
        machine,
        scale,
        turns,
        rows,
        burns,
        counted,
        modelled,
        notes: std::mem::take(&mut progress.notes),
        fsync_us,
        disk_rate,
        seconds: progress.seconds(),
    };
    summarize(&findings);
    let folder = folder();
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("report.json"), format!("{:#}\n", findings.json()))?;
    fs::write(folder.join("index.html"), page::page(&findings))?;
    eprintln!("{}", folder.join("index.html").display());
    Ok(())
}

/// What the sections measured.
struct Measured {
    rows: Vec<Row>,
    burns: Vec<Burn>,
    counted: Counted,
    modelled: Vec<Modelled>,
}

fn everything(scale: Scale, turns: usize, progress: &mut Progress) -> Measured {
    let span = |smoke, quick, full| Pace {
        turns,
        span: Duration::from_millis(scale.pick(smoke, quick, full)),
    };
    let counted = instructions::counted(scale, progress);
    let mut rows = idle::floor(scale, progress);
    rows.extend(idle::idle(scale, progress));
    rows.extend(one_core::one_core(scale, turns, progress));
    rows.extend(local::contention(scale, span(5, 30, 200), progress));
    let modelled = model::model(scale, progress);
    rows.extend(local::growth(scale, span(5, 30, 200), progress));
    rows.extend(local::real(scale, span(5, 30, 200), progress));
    rows.extend(local::refused(scale, span(5, 30, 200), progress));
    rows.extend(limits::in_process(scale, turns, progress));
    rows.extend(latency::latency(scale, span(5, 40, 500), progress));
    let flushing = remote::flushing(span(20, 100, 1_000), progress);
    let servers = Servers::start(progress);
    rows.extend(remote::peers(scale, span(20, 80, 1_000), &servers, progress));
    rows.extend(flushing);
    rows.extend(http::http(scale, span(20, 80, 1_000), &servers, progress));
    rows.extend(limits::beside_servers(scale, turns, &servers, progress));
    let (sold, burns) = sale::sale(scale, &servers, progress);
    rows.extend(sold);
    Measured { rows, burns, counted, modelled }
}

/// For whoever changes limits: the same as in the whole run.
fn limits_alone(scale: Scale, turns: usize, progress: &mut Progress) -> Measured {
    let mut rows = limits::in_process(scale, turns, progress);
    let servers = Servers::start(progress);
    rows.extend(limits::beside_servers(scale, turns, &servers, progress));
    let counted = Err("this run measures limits alone".to_owned());
    Measured { rows, burns: Vec::new(), counted, modelled: Vec::new() }
}

/// `target/report`, wherever `target` is.
fn folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target")).join("report")
}

/// Prints the rows in short, and the targets, to the terminal.
fn summarize(findings: &Findings) {
    let mut rows = table(
        2,
        &[
            "workload",
            "engine",
            "live or products",
            "threads",
            "a second",
            "one every",
            "cpu",
            "writer's",
            "p99.9",
            "hop",
            "stockade / this",
        ],
    );
    for section in [
        Section::Contention,
        Section::Real,
        Section::Growth,
        Section::Refused,
        Section::Peers,
        Section::Http,
        Section::Limits,
    ] {
        for row in findings.rows_of(section) {
            let size = if row.live > 1 { row.live } else { row.products };
            rows.add_row([
                row.workload.clone(),
                row.label(),
                size.to_string(),
                row.threads.to_string(),
                count(row.per_second),
                nanos(row.ns_each()),
                row.cpu_ns_each.map_or_else(String::new, nanos),
                row.writer_ns_each.map_or_else(String::new, nanos),
                row.times.map_or_else(String::new, |times| nanos(times.p999 as f64)),
                row.hop.map_or_else(String::new, nanos),
                row.against.map_or_else(String::new, |ratio| format!("{:.2}", ratio.median)),
            ]);
        }
    }
    eprintln!("{rows}\n");
    let mut aims = table(5, &["target", "wanted", "measured", "verdict", "beside it"]);
    for target in targets::targets(findings) {
        let (wanted, measured) = (target.wanted(), target.measured());
        aims.add_row([
            target.what,
            &wanted,
            &measured,
            &target.verdict().to_string(),
            &target.beside,
        ]);
    }
    eprintln!("{aims}");
}
