//! The page: plots, tables and their explanation, in one file that needs no other.

use std::fmt::Write;

use crate::charts;
use crate::common::Scale;
use crate::instructions::instructions;
use crate::model::modelled;
use crate::numbers::{count, digits, nanos};
use crate::plot::escape;
use crate::row::{Findings, Row, Section, Spread};
use crate::targets::targets;

const STYLE: &str = include_str!("page.css");
const HOW: &str = include_str!("how.html");
const WHERE_NOT: &str = include_str!("where_not.html");

/// The whole page.
pub(crate) fn page(findings: &Findings) -> String {
    let mut page = String::new();
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n\
         <meta name=viewport content='width=device-width, initial-scale=1'>\n\
         <title>Stockade: measured</title>\n<style>\n{STYLE}</style>\n<main>\n\
         <h1>Stockade: measured</h1>\n{}",
        machine(findings)
    );
    targets_table(&mut page, findings);
    part(&mut page, "Side by side, at equal durability", PEERS, &charts::peers(findings));
    guarantees(&mut page, findings);
    table(&mut page, findings, Section::Peers);
    part(&mut page, "What buyers see: over HTTP", HTTP, &charts::http(findings));
    table(&mut page, findings, Section::Http);
    part(&mut page, "Limits per customer", LIMITS, &charts::limits(findings));
    table(&mut page, findings, Section::Limits);
    part(&mut page, "By threads", CONTENTION, &charts::contention(findings));
    table(&mut page, findings, Section::Contention);
    modelled(&mut page, findings);
    part(&mut page, "What a shop calls", REAL, &charts::real(findings));
    table(&mut page, findings, Section::Real);
    instructions(&mut page, &findings.counted);
    part(&mut page, "By live holds, and by products", GROWTH, &charts::growth(findings));
    table(&mut page, findings, Section::Growth);
    part(&mut page, "Waiting times", LATENCY, &charts::latency(findings));
    table(&mut page, findings, Section::Latency);
    part(&mut page, "Sold out", REFUSED, &charts::refused(findings));
    table(&mut page, findings, Section::Refused);
    part(&mut page, "A flash sale", SALE, &charts::sale(findings));
    table(&mut page, findings, Section::Sale);
    part(&mut page, "The floor", FLOOR, "");
    floor(&mut page, findings);
    part(&mut page, "Nobody calls, and one core for all", IDLE, "");
    idle(&mut page, findings);
    page.push_str(HOW);
    notes(&mut page, findings);
    page.push_str(WHERE_NOT);
    page.push_str("</main>\n</html>\n");
    page
}

const TARGETS: &str = "Each number is computed from the rows below: a rate or a time is the median over the \
    turns, a ratio the median of ratios of turns that lie side by side. The range over the turns stands in \
    brackets. A target is met or missed only if every turn says so; else the verdict is \
    <i>unclear</i>. A thread that writes the record shares the cores with the buyers, in the engine and in the \
    peers of this process: its part stands beside the figure. Peers in this process do the \
    engine's whole job; what the same peer makes that leaves out expiry and finished holds stands beside \
    it.";
const PEERS: &str = "A pair is a reserve and its confirm, each checked and recorded; demand is Zipf \
    0.99 over 10,000 products. What each figure guarantees stands below the plots; only rows of \
    one durability are compared. A server is driven over a unix socket and does what a library can't: \
    it serves many processes. That is what its figure pays for. PostgreSQL is driven by two clients, the \
    <code>postgres</code> crate and a small one of our own; a target takes the smaller ratio, that \
    of the faster row. Dots, and no bars: on a log axis the length of a bar says nothing.";
const HTTP: &str = "An engine in the process against a server behind a socket is not what a buyer sees: a shop \
    has a service in front of either. Here it is the same small one for all (<code>common/http.rs</code>: \
    HTTP/1.1 over the machine's own TCP, a thread for each connection), and the same 32 buyers, each with one \
    request under way. Buyers, service and server share the cores. Beside them stand the same 32 callers without \
    HTTP. <b>stockade / this</b> compares over HTTP with over HTTP, and without with without.";
const LIMITS: &str = "Two for each customer, as in a drop. A unit is held for one customer under that \
    limit, and released: stock and limit are checked and taken together, all or nothing, and both \
    are given back. Or the limit refuses it, because the customer holds two already. Nobody here \
    waits to pay: confirms are not in these figures. Each caller serves customers of its own, in \
    turn, so that a customer comes again only after all others, and every hold that is to pass \
    does. <b>Stockade</b> has one limit that covers all products, and each call names its \
    customer, whose id the engine keeps as a keyed hash; the others keep the customer's number. \
    The <b>mutex</b> has a map of what each customer has drawn, under the same lock; \
    <b>DashMap</b> one more map, whose entry is locked before the product's. <b>Redis</b> has a \
    hash with a field for each customer who has something, checked and raised in the script that \
    takes the stock. <b>PostgreSQL</b> has a row for each customer, raised by an upsert that \
    looks at the maximum, in the statement that takes the stock; customers who have all are \
    refused without a write. The run begins by proving of each that a customer gets two holds and \
    no third, also if eight callers try at once, that refused calls move nothing, and that what \
    is released can be held again. The live holds in the rows of refusals are those that fill the \
    limits. A server does what a library can't: it serves many processes, over a socket.";
const CONTENTION: &str = "Each thread buys as fast as it can. With one live hold a thread ends each hold \
    right after it has made it, which keeps everything in the nearest cache and happens in no shop; with \
    more, it reserves a new one and confirms its oldest, as shops do whose buyers take minutes to pay. The \
    peers do the engine's whole job; the lean ones (dashed) forget a hold as soon as it is over, and \
    nothing looks for their overdue holds. The engine with a buffered journal is dotted.";
const REAL: &str = "The pair of all other parts is the plain one: no key, no owner, no note. A shop gives \
    each step of an order an idempotency key, so that a retry after a lost answer sells nothing twice, \
    names the hold's owner, and notes the order's number in the log. That is the real pair, in turns with \
    the plain one. <b>stockade / this</b> says how many times the plain pair's price it has. The peers in \
    this process have no keys and no notes, so there is nothing to compare it with: with the servers it \
    would be a script and a table more.";
const GROWTH: &str = "One thread; all sizes take turns in one race. Look at the slope: what an inventory \
    costs must not depend on how much is going on in it.";
const LATENCY: &str = "One generator, arrivals by a fixed schedule. A call's time counts from its \
    scheduled arrival, so that a stall is charged to all who came during it. The capacity is that of \
    the generator's own loop when it is never idle, measured just before each turn. <b>Nothing</b> is a \
    ledger whose calls return at once: what its callers wait, they wait for the machine, which takes the core \
    away now and then, and that is in every other line too.";
const REFUSED: &str = "Most of a flash sale's traffic comes after its end.";
const SALE: &str = "Eight buyers in this process, 50 connections to Redis, 32 to PostgreSQL; reserves \
    only, once each. Time is on a log scale.";
const IDLE: &str = "An engine that nobody calls should cost nothing. And in a container that may use one \
    core, buyers and writer share it: nothing must collapse. Here all threads are bound to one core, and \
    unbound in turn, each time in a process of its own.";
const FLOOR: &str =
    "What the parts of an inventory cost on this machine, each by itself, one thread.";

pub(crate) fn part(page: &mut String, title: &str, text: &str, plots: &str) {
    let _ = write!(page, "<h2>{title}</h2>\n<p>{text}</p>\n<div class=plots>\n{plots}</div>\n");
}

fn machine(findings: &Findings) -> String {
    let machine = &findings.machine;
    let hop = findings.hops().map_or_else(String::new, |[low, middle, high]| {
        format!(
            "; a cache line went from core to core in {} (median; {} to {} from row to row)",
            nanos(middle),
            nanos(low),
            nanos(high)
        )
    });
    let fsync = findings.fsync_us.map_or_else(String::new, |micros| {
        format!("; a small append was on the disk after {}", nanos(micros * 1e3))
    });
    let disk = findings
        .disk_rate
        .map_or_else(String::new, |rate| format!("; it takes {} MB a second", digits(rate)));
    let others = findings.others();
    let warning = if findings.scale == Scale::Smoke {
        "<p class=warning>This run only shows that the harness works: its figures mean nothing.</p>\n"
            .to_owned()
    } else if others > 0.1 {
        format!(
            "<p class=warning>Other processes kept {others:.1} cores busy meanwhile. Rates and \
             waiting times of such a run say little; look at the processor time for each pair, and \
             measure again when the machine is idle.</p>\n"
        )
    } else {
        String::new()
    };
    format!(
        "<p class=machine>{} at {}; {}, {} cores; {}; {}{hop}{fsync}{disk}. {} run: {} turns each, {:.0} \
         seconds in all.</p>\n{warning}",
        escape(&machine.date),
        escape(&machine.commit),
        escape(&machine.cpu),
        machine.cores,
        escape(&machine.kernel),
        escape(&machine.rustc),
        findings.scale.name(),
        findings.turns,
        findings.seconds,
    )
}

/// The targets, which a doubter looks for first.
fn targets_table(page: &mut String, findings: &Findings) {
    let _ = write!(
        page,
        "<h2>Targets, and how close</h2>\n<p>{TARGETS}</p>\n<div class=wide><table class=targets>\n\
         <tr><th>target<th>wanted<th>measured<th>verdict<th>beside it\n"
    );
    for target in targets(findings) {
        let verdict = target.verdict();
        let _ = writeln!(
            page,
            "<tr><td>{}<td class=number>{}<td class=number>{}<td class='{}'>{}<td>{}",
            escape(target.what),
            escape(&target.wanted()),
            escape(&target.measured()),
            verdict.class(),
            escape(&verdict.to_string()),
            escape(&target.beside),
        );
    }
    page.push_str("</table></div>\n");
}

fn table(page: &mut String, findings: &Findings, section: Section) {
    let rows: Vec<&Row> = findings.rows_of(section).collect();
    if rows.is_empty() {
        return;
    }
    page.push_str(
        "<details><summary>All rows</summary><div class=wide><table class=rows>\n<tr><th>engine<th>workload\
         <th>threads<th>live<th>durability<th>each second<th>one every<th>cpu<th>writer's cpu<th>p50<th>p99<th>p99.9\
         <th>p99.99<th>hop<th>sync<th>stockade / this<th>over its smallest<th>slowest thread\
         <th>others' cores\n",
    );
    for row in rows {
        let time = |of: Option<u64>| of.map_or_else(String::new, |value| nanos(value as f64));
        let times = row.times;
        let load = row.load.map_or_else(String::new, |load| format!(", {:.0}% load", load * 100.0));
        let ratio = |of: Option<Spread>| {
            of.map_or_else(String::new, |ratio| {
                let Spread { median, lowest, highest } = ratio;
                format!("{} ({} to {})", digits(median), digits(lowest), digits(highest))
            })
        };
        let cells = [
            row.title(),
            format!("{}{load}", row.workload),
            row.threads.to_string(),
            count(row.live as f64),
            row.durability.to_owned(),
            count(row.per_second),
            nanos(row.ns_each()),
            row.cpu_ns_each.map_or_else(String::new, nanos),
            row.writer_ns_each.map_or_else(String::new, nanos),
            time(times.map(|times| times.p50)),
            time(times.map(|times| times.p99)),
            time(times.map(|times| times.p999)),
            time(times.map(|times| times.p9999)),
            row.hop.map_or_else(String::new, nanos),
            row.fsync_us.map_or_else(String::new, |micros| nanos(micros * 1e3)),
            ratio(row.against),
            ratio(row.over_own),
            row.least_share.map_or_else(String::new, |share| format!("{:.0}%", share * 100.0)),
            row.others.map_or_else(String::new, |cores| format!("{cores:.1}")),
        ];
        let cells: String = cells.iter().map(|cell| format!("<td>{}", escape(cell))).collect();
        let _ = writeln!(page, "<tr>{cells}");
    }
    page.push_str("</table></div></details>\n");
}

/// The guarantees behind each figure of the peers' plots.
fn guarantees(page: &mut String, findings: &Findings) {
    let mut said: Vec<(String, &str)> = Vec::new();
    for row in findings.rows_of(Section::Peers) {
        let who = format!("{}, {}", row.engine, row.durability);
        if !said.iter().any(|(known, _)| *known == who) {
            said.push((who, row.guarantees));
        }
    }
    page.push_str("<h3>What each figure guarantees</h3>\n<ul>\n");
    for (who, guarantees) in said {
        let _ = writeln!(page, "<li><b>{}:</b> {}", escape(&who), escape(guarantees));
    }
    page.push_str("</ul>\n");
}

fn floor(page: &mut String, findings: &Findings) {
    page.push_str("<table>\n<tr><th>part<th>one\n");
    for row in findings.rows_of(Section::Floor) {
        let _ = writeln!(page, "<tr><td>{}<td>{}", escape(&row.workload), nanos(row.ns_each()));
    }
    page.push_str("</table>\n");
}

fn idle(page: &mut String, findings: &Findings) {
    page.push_str("<table>\n<tr><th>case<th>threads<th>of a core<th>pairs a second\n");
    for row in findings.rows_of(Section::Idle) {
        let cores =
            row.idle_cores.map_or_else(String::new, |cores| format!("{:.2}%", cores * 100.0));
        let rate = if row.per_second.is_finite() { count(row.per_second) } else { String::new() };
        let (case, threads) = (escape(&row.workload), row.threads);
        let _ = writeln!(page, "<tr><td>{case}<td>{threads}<td>{cores}<td>{rate}");
    }
    page.push_str("</table>\n");
}

fn notes(page: &mut String, findings: &Findings) {
    page.push_str("<h3>What was started, and what was skipped</h3>\n<ul>\n");
    for note in &findings.notes {
        let _ = writeln!(page, "<li><code>{}</code>", escape(note));
    }
    page.push_str("</ul>\n");
}
