//! A model of more cores than this machine has: what buyers cost each other, carried on to 64.
//!
//! Buyers meet at lines of memory that all of them change. Such a line serves one core after the
//! other, and each change of hands takes a hop. That is a queue with one server and as many
//! customers as cores; its mean values have an exact recursion (mean value analysis). One number of
//! each engine is free: how many hops a pair takes of the busiest lines. Bursts of two buyers at
//! once set it.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::charts::color;
use crate::common::Scale;
use crate::common::bursts::{Bursts, bursts};
use crate::common::engine::Engine;
use crate::common::ledger::{Durability, Ledger};
use crate::common::local::Job;
use crate::common::local::dashmap::DashMapPeer;
use crate::common::local::mutex::MutexPeer;
use crate::local::{SHOP, many};
use crate::numbers::{count, digits, nanos};
use crate::page::part;
use crate::plot::{Axis, Line, LinePlot, Stroke, escape};
use crate::progress::Progress;
use crate::row::{Findings, Section};

/// Hops of cores that share a cache, of one socket, and of two sockets, in nanoseconds.
const HOPS: [f64; 3] = [25.0, 60.0, 200.0];
const MOST_CORES: usize = 64;

/// An engine, what its pair takes of shared lines by its code, and what bursts say.
#[derive(Clone, Debug)]
pub(crate) struct Modelled {
    engine: &'static str,
    counted: &'static str,
    bursts: Option<Bursts>,
}

const TEXT: &str = "<b>This is a model, and no measurement.</b> No machine of 64 cores was used. Buyers meet at \
    lines of memory that all of them change, and a line serves one core at a time, for a hop each. So pairs \
    come to a ceiling, however many cores there are. <b>Counted</b> is how many of a pair's changes of shared \
    lines the code has. <b>Calibrated</b> is how many hops of one such line explain what two buyers cost each \
    other here, in bursts that ran truly at the same time; those that did not are thrown away. From there \
    the curves are a queue with one server (mean value analysis). The writer has a core of its own beside \
    the buyers, and no engine goes faster than its writer. If \
    <b>calibrated</b> is far above <b>counted</b>, more than the counted lines makes two buyers slow: places \
    of the queue that share a line, claims that are tried again, the writer that reads behind them, or other \
    processes on the same cores. What the model leaves out: buyers who meet at a product, more memory traffic \
    than a machine can carry, and that a lock which waits goes to sleep. Take the \
    curves for ceilings.";
const OWN: &str = "2: two entries, each takes its ticket at the queue's tail, by one `fetch_add`";
const MUTEX: &str =
    "12: twice the lock, and under it four lines of maps, free list and heap; twice the tail";
const DASHMAP: &str =
    "4 to 6: twice the queue's tail, twice the finished holds' queue; at times an entry's lock";

/// Measures the bursts of the engine and of the peers that do its whole job.
pub(crate) fn model(scale: Scale, progress: &mut Progress) -> Vec<Modelled> {
    let times = scale.pick(100, 1_500, 10_000);
    let units = SHOP.units();
    let say = |engine| progress.say(&format!("bursts of two at once: {engine}"));
    let modelled = |engine, counted, bursts| {
        say(engine);
        Modelled { engine, counted, bursts }
    };
    fn of<L: Ledger>(ledger: &L, times: usize) -> Option<Bursts> {
        bursts(ledger, SHOP, times)
    }
    vec![
        modelled("stockade", OWN, of(&Engine::open(Durability::InMemory, &units), times)),
        modelled("mutex", MUTEX, of(&MutexPeer::open(&units, Job::Whole), times)),
        modelled("dashmap", DASHMAP, of(&DashMapPeer::open(&units, Job::Whole), times)),
    ]
}

/// Pairs per second of so many cores. `own` is a pair's time without anybody else, `transfers` how
/// many hops it takes of the busiest line.
fn rate(cores: usize, own: f64, transfers: f64, hop: f64) -> f64 {
    let (mut waiting, mut rate) = (0.0, 0.0);
    for cores_so_far in 1..=cores {
        // The line is still here if no other core has taken it since.
        let elsewhere = (cores - 1) as f64 / cores as f64;
        let service = transfers * hop * elsewhere;
        let stay = service * (1.0 + waiting);
        rate = cores_so_far as f64 / (own + stay);
        waiting = rate * stay;
    }
    rate * 1e9
}

/// The transfers with which two cores are as fast as the bursts were.
fn calibrated(bursts: &Bursts) -> f64 {
    let Bursts { alone, together, hop, .. } = *bursts;
    let measured = 2e9 / together;
    let (mut low, mut high) = (0.0, 1_000.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        // More transfers, less speed.
        if rate(2, alone, middle, hop) > measured { low = middle } else { high = middle }
    }
    low
}

/// The writer's time for a pair, as the race by threads measured it.
fn writers_time(findings: &Findings, engine: &str) -> Option<f64> {
    let mut rows = findings.rows_of(Section::Contention);
    let live = many(findings.scale);
    let is_it = |row: &&crate::row::Row| {
        row.engine == engine
            && row.setup.is_empty()
            && row.durability == "in memory"
            && row.live == live
            && row.workload == SHOP.name()
    };
    rows.find(is_it).and_then(|row| row.writer_ns_each)
}

/// Pairs per second that the model says, writer included.
fn modelled_rate(bursts: &Bursts, writer: Option<f64>, cores: usize, hop: f64) -> f64 {
    let buyers = rate(cores, bursts.alone, calibrated(bursts), hop);
    writer.map_or(buyers, |each| buyers.min(1e9 / each))
}

/// The part of the page.
pub(crate) fn modelled(page: &mut String, findings: &Findings) {
    let plots: String = HOPS.iter().map(|hop| plot(findings, *hop)).collect();
    part(page, "More cores: a model", TEXT, &plots);
    page.push_str(
        "<div class=wide><table>\n<tr><th>engine<th>a pair alone<th>two at once, each<th>bursts that \
         counted<th>hop<th>counted<th>calibrated<th>writer's cpu\n",
    );
    for Modelled { engine, counted, bursts } in &findings.modelled {
        let Some(bursts) = bursts else {
            let _ = writeln!(
                page,
                "<tr><td>{engine}<td>not measured<td>not measured<td>too few ran at once<td><td>{}",
                escape(counted)
            );
            continue;
        };
        let writer = writers_time(findings, engine);
        let _ = writeln!(
            page,
            "<tr><td>{engine}<td class=number>{}<td class=number>{}<td class=number>{} of {}\
             <td class=number>{}<td>{}<td class=number>{}<td class=number>{}",
            nanos(bursts.alone),
            nanos(bursts.together),
            bursts.valid,
            bursts.tried,
            nanos(bursts.hop),
            escape(counted),
            digits(calibrated(bursts)),
            writer.map_or("not measured".to_owned(), nanos),
        );
    }
    page.push_str("</table></div>\n");
}

/// The curves for one hop.
fn plot(findings: &Findings, hop: f64) -> String {
    let line = |of: &Modelled| {
        let (bursts, writer) = (of.bursts.as_ref()?, writers_time(findings, of.engine));
        let points = (1..=MOST_CORES)
            .map(|cores| (cores as f64, modelled_rate(bursts, writer, cores, hop)))
            .collect();
        Some(Line {
            name: format!("{}, model", of.engine),
            color: color(of.engine),
            stroke: Stroke::Dashed,
            points,
            marked: false,
            ranges: Vec::new(),
        })
    };
    let axis = Axis::new("cores of buyers, and one for the writer", count);
    let marks = vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
    let plot = LinePlot {
        title: format!("MODEL, not measured: a hop of {hop} ns"),
        x: Axis { marks, ..axis },
        y: Axis::new("pairs a second, at most", count),
        log_y: false,
        lines: findings.modelled.iter().filter_map(line).collect(),
    };
    plot.figure()
}

/// The bursts and the model as other programs read them.
pub(crate) fn json(findings: &Findings) -> Value {
    let row = |of: &Modelled| {
        let bursts = of.bursts.as_ref();
        let writer = writers_time(findings, of.engine);
        let curve = |hop: &f64| {
            let rates = [1, 2, 4, 8, 16, 32, 64]
                .map(|cores| bursts.map(|bursts| modelled_rate(bursts, writer, cores, *hop)));
            json!({ "hop_ns": hop, "cores": [1, 2, 4, 8, 16, 32, 64], "pairs_per_second": rates })
        };
        json!({
            "engine": of.engine,
            "is_a_model": true,
            "transfers_counted": of.counted,
            "transfers_calibrated": bursts.map(calibrated),
            "burst_ns_alone": bursts.map(|bursts| bursts.alone),
            "burst_ns_of_two_at_once": bursts.map(|bursts| bursts.together),
            "bursts_valid": bursts.map(|bursts| bursts.valid),
            "bursts_tried": bursts.map(|bursts| bursts.tried),
            "core_to_core_hop_ns": bursts.map(|bursts| bursts.hop),
            "curves": HOPS.iter().map(curve).collect::<Vec<_>>(),
        })
    };
    json!(findings.modelled.iter().map(row).collect::<Vec<_>>())
}

/// Proves the model where its answer is known: alone nobody waits, many are as fast as the line,
/// and a calibration finds the transfers that it was made of.
pub(crate) fn prove() {
    let near = |one: f64, other: f64| (one / other - 1.0).abs() < 0.02;
    assert!(near(rate(1, 200.0, 2.0, 60.0), 5e6), "alone");
    assert!(near(rate(MOST_CORES, 200.0, 2.0, 60.0), 1e9 / 120.0 * 64.0 / 63.0), "a ceiling");
    let together = 2e9 / rate(2, 200.0, 2.5, 60.0);
    let bursts = Bursts { alone: 200.0, together, valid: 1, tried: 1, hop: 60.0 };
    assert!(near(calibrated(&bursts), 2.5), "what it was made of");
}
