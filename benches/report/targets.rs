//! The targets of the engine, and how close this run came.

use serde_json::{Value, json};

use crate::common::engine::ONCE_A_PAIR;
use crate::common::http::HTTP;
use crate::common::nothing::NOTHING;
use crate::common::workload::Access;
use crate::latency::RESERVE;
use crate::local::{MOST_LIVE, SHOP, SOLD_OUT, many};
use crate::numbers::{count, digits, nanos, percent, times};
use crate::one_core::ONE_CORE;
use crate::remote::WAITING;
use crate::row::{Findings, Row, Section, Spread, Times};
use crate::verdict::{Verdict, Wanted};

/// A target.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) what: &'static str,
    wanted: Wanted,
    shown: fn(f64) -> String,
    measured: Option<Spread>,
    /// What a reader must know to understand the number.
    pub(crate) beside: String,
}

impl Target {
    pub(crate) fn wanted(&self) -> String {
        match self.wanted {
            Wanted::AtMost(limit) => format!("at most {}", (self.shown)(limit)),
            Wanted::AtLeast(limit) => format!("at least {}", (self.shown)(limit)),
        }
    }

    pub(crate) fn measured(&self) -> String {
        let Some(Spread { median, lowest, highest }) = self.measured else {
            return "-".to_owned();
        };
        if lowest.to_bits() == highest.to_bits() {
            return (self.shown)(median);
        }
        let [median, lowest, highest] = [median, lowest, highest].map(self.shown);
        format!("{median} ({lowest} to {highest})")
    }

    pub(crate) fn verdict(&self) -> Verdict {
        self.wanted.judge(self.measured)
    }

    pub(crate) fn json(&self) -> Value {
        let wanted = match self.wanted {
            Wanted::AtMost(_) => "at most",
            Wanted::AtLeast(_) => "at least",
        };
        json!({
            "target": self.what,
            "wanted": wanted,
            "limit": self.wanted.limit(),
            "measured": self.measured.map(|it| it.median),
            "measured_lowest": self.measured.map(|it| it.lowest),
            "measured_highest": self.measured.map(|it| it.highest),
            "verdict": self.verdict().to_string(),
            "beside": self.beside,
        })
    }
}

fn bytes(value: f64) -> String {
    format!("{value:.0} bytes")
}

fn a_second(value: f64) -> String {
    format!("{}/s", count(value))
}

/// One engine in the race by threads.
#[derive(Clone, Copy)]
struct Case<'c> {
    workload: &'c str,
    engine: &'c str,
    threads: usize,
    live: usize,
}

/// Finds the number of a target.
struct Finder<'f> {
    findings: &'f Findings,
    many: usize,
}

impl<'f> Finder<'f> {
    fn row(&self, section: Section, is_it: impl Fn(&Row) -> bool) -> Option<&'f Row> {
        self.findings.rows_of(section).find(|row| is_it(row))
    }

    /// In the race by threads: the engine or peer that does the whole job, in memory.
    fn shop(&self, engine: &str, threads: usize, live: usize) -> Option<&'f Row> {
        self.contender(Case { workload: &SHOP.name(), engine, threads, live }, "")
    }

    fn contender(&self, case: Case<'_>, setup: &str) -> Option<&'f Row> {
        self.row(Section::Contention, |row| {
            let is_engine = row.engine == case.engine && row.setup == setup;
            let is_load = row.threads == case.threads && row.live == case.live;
            is_engine && is_load && row.workload == case.workload && row.durability == "in memory"
        })
    }

    /// That the writer takes a part of the cores, where buyers leave none to it.
    fn shared_cores(&self, row: Option<&Row>) -> Option<String> {
        let cores = self.findings.machine.cores;
        let row = row.filter(|row| row.threads >= cores)?;
        let part = row.writers_core().map(|part| format!(", and takes {} of one", percent(part)));
        Some(format!("the writer shares the {cores} cores{}", part.unwrap_or_default()))
    }

    /// The engine's rate divided by a peer's, and beside it divided by the lean peer's.
    fn over(&self, what: &'static str, wanted: f64, case: Case<'_>) -> Target {
        let ratio = |setup| self.contender(case, setup)?.against;
        let lean = ratio("lean").map(|ratio| format!("the lean one: {}", times(ratio.median)));
        let shared = self.shared_cores(self.contender(Case { engine: "stockade", ..case }, ""));
        Target {
            what,
            wanted: Wanted::AtLeast(wanted),
            shown: times,
            measured: ratio(""),
            beside: [lean, shared].into_iter().flatten().collect::<Vec<_>>().join("; "),
        }
    }

    /// The engine's cost with the most live holds, divided by that with the fewest.
    fn slope(&self, what: &'static str, order: &str, wanted: f64) -> Target {
        let is_it = |row: &&Row| {
            row.engine == "stockade"
                && row.durability == "in memory"
                && row.workload.ends_with(order)
        };
        let largest = self.findings.rows_of(Section::Growth).filter(is_it).last();
        let ratio = largest.and_then(|row| row.over_own);
        Target {
            what,
            wanted: Wanted::AtMost(wanted),
            shown: times,
            // A run that stops at fewer holds has not measured the slope to the most.
            measured: ratio
                .filter(|_| largest.is_some_and(|row| row.live == MOST_LIVE))
                .map(Spread::inverse),
            beside: largest.map_or_else(String::new, |row| {
                let (live, each) = (count(row.live as f64), nanos(row.ns_each()));
                if row.live == MOST_LIVE {
                    return format!("{each} there");
                }
                let so_far = ratio.map(|ratio| format!("{} ", times(1.0 / ratio.median)));
                let so_far = so_far.unwrap_or_default();
                format!("{so_far}up to {live}, where this run stopped, {each} there")
            }),
        }
    }

    /// The smallest ratio with a service in front of both, which is what a buyer sees.
    fn over_http(&self, row: &Row) -> String {
        let is_same = |it: &&Row| {
            let is_it = it.engine == row.engine && it.durability == row.durability;
            is_it && it.setup.starts_with(HTTP)
        };
        let rows = self.findings.rows_of(Section::Http).filter(is_same);
        let least = rows.filter_map(|row| row.against).min_by(|a, b| a.median.total_cmp(&b.median));
        least.map_or_else(String::new, |Spread { median, lowest, highest }| {
            let [median, lowest, highest] = [median, lowest, highest].map(times);
            format!("; both over HTTP, 32 connections: {median} ({lowest} to {highest})")
        })
    }

    /// The engine beside the best of a server's rows, among those that `is_it` selects.
    fn server(&self, what: &'static str, wanted: f64, is_it: impl Fn(&Row) -> bool) -> Target {
        let rows = self.findings.rows_of(Section::Peers).filter(|row| is_it(row));
        let ratio = |row: &Row| row.against.map_or(f64::INFINITY, |ratio| ratio.median);
        let best = rows.min_by(|a, b| ratio(a).total_cmp(&ratio(b)));
        let best = best.filter(|row| row.against.is_some());
        let beside = best.map(|row| {
            let fsync = row.fsync_us.map(|micros| format!("; a sync took {}", nanos(micros * 1e3)));
            let once = self.row(Section::Peers, |ours| {
                let is_engine = ours.engine == "stockade" && ours.durability == row.durability;
                is_engine && ours.threads == row.threads && ours.setup == ONCE_A_PAIR
            });
            let once = once.map(|ours| {
                format!("; waiting once a pair: {}", times(ours.per_second / row.per_second))
            });
            let (fsync, once) = (fsync.unwrap_or_default(), once.unwrap_or_default());
            let http = self.over_http(row);
            let rate = a_second(row.per_second);
            format!("{}, {}: {rate}{fsync}{once}{http}", row.title(), row.durability)
        });
        Target {
            what,
            wanted: Wanted::AtLeast(wanted),
            shown: times,
            measured: best.and_then(|row| row.against),
            beside: beside.unwrap_or_default(),
        }
    }

    fn plain(
        what: &'static str,
        wanted: Wanted,
        shown: fn(f64) -> String,
        measured: Option<Spread>,
    ) -> Target {
        Target { what, wanted, shown, measured, beside: String::new() }
    }
}

/// All targets, in the order of the page's sections.
pub(crate) fn targets(findings: &Findings) -> Vec<Target> {
    let finder = Finder { findings, many: many(findings.scale) };
    [alone(&finder), together(&finder), servers(&finder), at_rest(&finder), waits(&finder)].concat()
}

/// One thread.
fn alone(finder: &Finder<'_>) -> Vec<Target> {
    use Wanted::AtMost;
    let buffered = finder.row(Section::Contention, |row| {
        let is_case = row.workload == SHOP.name() && row.threads == 1 && row.live == finder.many;
        is_case && row.durability == "buffered"
    });
    let memory = finder.shop("stockade", 1, finder.many);
    let hold = finder.findings.rows_of(Section::Growth).filter(|row| row.bytes_a_hold.is_some());
    let hold = hold.max_by_key(|row| row.live);
    vec![
        Finder::plain(
            "a pair, 1 thread, 50,000 live, buffered journal",
            AtMost(140.0),
            nanos,
            buffered.map(Row::ns_range),
        ),
        Finder::plain(
            "a pair, 1 thread, 50,000 live, in memory",
            AtMost(100.0),
            nanos,
            memory.map(Row::ns_range),
        ),
        finder.slope("cost from 1 thousand to 10 million live, ended in order", "in order", 1.5),
        finder.slope("cost from 1 thousand to 10 million live, at random", "at random", 3.0),
        Target {
            what: "memory for a live hold",
            wanted: AtMost(128.0),
            shown: bytes,
            measured: hold.and_then(|row| row.bytes_a_hold).map(Spread::of_one),
            beside: hold.map_or_else(String::new, |row| {
                format!("of {}, beside what an engine needs anyway", count(row.live as f64))
            }),
        },
    ]
}

/// Several threads, and the peers in this process.
fn together(finder: &Finder<'_>) -> Vec<Target> {
    use Wanted::AtLeast;
    let (shop, hot, many) = (SHOP.name(), Access::Hot.name(), finder.many);
    let on = |workload, engine, threads, live| Case { workload, engine, threads, live };
    let two = finder.shop("stockade", 2, many);
    let tail = |engine, setup| {
        let row = finder.contender(Case { workload: &hot, engine, threads: 8, live: 1 }, setup)?;
        row.times.map(|times| times.p999 as f64)
    };
    let over_tail = |setup| Some(tail("mutex", setup)? / tail("stockade", "")?);
    let lean = over_tail("lean").map(|ratio| format!("the lean one's: {}", times(ratio)));
    vec![
        Target {
            beside: finder.shared_cores(two).unwrap_or_default(),
            ..Finder::plain(
                "2 threads, 50,000 live each",
                AtLeast(6.5e6),
                a_second,
                two.map(Row::rate_range),
            )
        },
        finder.over("the same, against the mutex", 4.0, on(&shop, "mutex", 2, many)),
        finder.over("the same, against DashMap", 3.0, on(&shop, "dashmap", 2, many)),
        finder.over("1 thread, 1 live, against the mutex", 1.0, on(&shop, "mutex", 1, 1)),
        finder.over("1 thread, 1 live, against DashMap", 1.0, on(&shop, "dashmap", 1, 1)),
        finder.over("2 threads, 1 live each, against the mutex", 1.0, on(&shop, "mutex", 2, 1)),
        finder.over("2 threads, 1 live each, against DashMap", 1.0, on(&shop, "dashmap", 2, 1)),
        finder.over("one hot product, 2 threads, against the mutex", 1.0, on(&hot, "mutex", 2, 1)),
        Target {
            what: "one hot product, 8 threads: the mutex's p99.9 over the engine's",
            wanted: AtLeast(10.0),
            shown: times,
            measured: over_tail("").map(Spread::of_one),
            beside: lean.unwrap_or_default(),
        },
    ]
}

/// Redis and PostgreSQL, at equal durability.
fn servers(finder: &Finder<'_>) -> Vec<Target> {
    let is = |row: &Row, engine: &str, durability: &str| {
        row.engine == engine && row.durability == durability
    };
    let step_for_step =
        |engine: &'static str| move |row: &Row| is(row, engine, "synced") && row.threads == WAITING;
    let waiting =
        finder.row(Section::Peers, |row| is(row, "stockade", "synced") && row.threads == WAITING);
    let flushing = finder.row(Section::Peers, |row| {
        is(row, "stockade", "buffered") && row.setup.starts_with("a flush")
    });
    let sync = waiting.and_then(|row| row.fsync_us);
    vec![
        finder.server("against Redis at its best, in memory", 50.0, |row| {
            is(row, "redis", "in memory")
        }),
        finder.server("against one unpipelined connection to Redis", 400.0, |row| {
            is(row, "redis", "in memory") && row.threads == 1
        }),
        finder.server(
            "64 callers that wait at each step, against PostgreSQL's 64",
            10.0,
            step_for_step("postgresql"),
        ),
        finder.server(
            "64 callers that wait at each step, against Redis' 64 (appendfsync always)",
            3.0,
            step_for_step("redis"),
        ),
        Target {
            what: "64 callers that wait, against 1 that does",
            wanted: Wanted::AtLeast(20.0),
            shown: times,
            measured: waiting.and_then(|row| row.over_own),
            beside: sync.map_or_else(String::new, |micros| {
                format!("asked for where a sync takes 200 to 500 us; here: {}", nanos(micros * 1e3))
            }),
        },
        Target {
            what: "64 callers that flush every 1,000 pairs, against 64 that never do",
            wanted: Wanted::AtLeast(0.8),
            shown: percent,
            measured: flushing.and_then(|row| row.against).map(Spread::inverse),
            beside: finder.findings.disk_rate.map_or_else(String::new, |rate| {
                format!(
                    "the disk takes {} MB/s, and those that never flush don't wait for it",
                    digits(rate)
                )
            }),
        },
    ]
}

/// An engine without calls, with one core, without stock.
fn at_rest(finder: &Finder<'_>) -> Vec<Target> {
    use Wanted::{AtLeast, AtMost};
    let idle = finder.findings.rows_of(Section::Idle).find_map(|row| row.idle_cores);
    let bound = finder.row(Section::Idle, |row| row.workload == ONE_CORE);
    let refused = |threads| {
        finder.row(Section::Refused, |row| {
            let is_engine = row.engine == "stockade" && row.durability == "in memory";
            is_engine && row.workload == SOLD_OUT && row.threads == threads
        })
    };
    vec![
        Finder::plain(
            "an idle engine, of a core",
            AtMost(0.005),
            percent,
            idle.map(Spread::of_one),
        ),
        Finder::plain(
            "everything on one core, against all cores",
            AtLeast(0.4),
            percent,
            bound.and_then(|row| row.over_own),
        ),
        Finder::plain("a refused reserve", AtMost(15.0), nanos, refused(1).map(Row::ns_range)),
        Finder::plain(
            "refused reserves, 2 threads against 1",
            AtLeast(1.8),
            times,
            refused(2).and_then(|row| row.over_own),
        ),
    ]
}

/// Latencies.
fn waits(finder: &Finder<'_>) -> Vec<Target> {
    use Wanted::{AtLeast, AtMost};
    let half = |engine| {
        let row = finder.row(Section::Latency, |row| {
            let is_case = row.workload.starts_with(RESERVE) && row.load == Some(0.5);
            is_case && row.engine == engine && row.durability == "in memory"
        });
        row.and_then(|row| row.times)
    };
    let tail = |what, limit, quantile: fn(Times) -> u64| {
        let at = |engine| half(engine).map(|times| quantile(times) as f64);
        let beside = at(NOTHING).map(|floor| {
            format!("calls that do nothing, by schedule on this machine: {}", nanos(floor))
        });
        Target {
            beside: beside.unwrap_or_default(),
            ..Finder::plain(what, AtMost(limit), nanos, at("stockade").map(Spread::of_one))
        }
    };
    let crowd = finder.shop("stockade", 8, finder.many);
    vec![
        tail("p99 of a reserve, 50% load", 1_000.0, |times| times.p99),
        tail("p99.9 of a reserve, 50% load", 10_000.0, |times| times.p999),
        Finder::plain(
            "no thread starves: the slowest of 8, of an equal share",
            AtLeast(0.1),
            percent,
            crowd.and_then(|row| row.least_share).map(Spread::of_one),
        ),
    ]
}
