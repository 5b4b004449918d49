//! The rows of measurements, and their JSON.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::common::Scale;
use crate::common::ledger::About;
use crate::common::machine::Machine;
use crate::common::median::median;
use crate::instructions::{self, Counted};
use crate::limits::BESIDE_SERVERS;
use crate::model::{self, Modelled};
use crate::targets::{Target, targets};

/// Which part of the report a row belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    Floor,
    Contention,
    Growth,
    Refused,
    Peers,
    Http,
    Limits,
    Real,
    Latency,
    Sale,
    Idle,
}

impl Section {
    fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Contention => "contention",
            Self::Growth => "growth",
            Self::Refused => "refused",
            Self::Peers => "peers",
            Self::Http => "http",
            Self::Limits => "limits",
            Self::Real => "real",
            Self::Latency => "latency",
            Self::Sale => "sale",
            Self::Idle => "idle",
        }
    }
}

/// One engine with one workload.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) section: Section,
    pub(crate) engine: String,
    /// The choices in the engine's use, if there are any.
    pub(crate) setup: String,
    pub(crate) workload: String,
    pub(crate) threads: usize,
    /// Live holds of each thread.
    pub(crate) live: usize,
    pub(crate) products: usize,
    pub(crate) durability: &'static str,
    pub(crate) guarantees: &'static str,
    /// The median over the turns.
    pub(crate) per_second: f64,
    /// The rates of the turns, where there were several.
    pub(crate) rates: Option<Spread>,
    /// A buyer's processor time for each call, in nanoseconds.
    pub(crate) cpu_ns_each: Option<f64>,
    /// The same of the thread that writes the record, which shares the cores with the buyers.
    pub(crate) writer_ns_each: Option<f64>,
    /// In an open loop: the fraction of the capacity.
    pub(crate) load: Option<f64>,
    pub(crate) times: Option<Times>,
    /// From core to core, in nanoseconds, measured beside each turn: the median.
    pub(crate) hop: Option<f64>,
    /// Microseconds until a small append is on the disk, measured beside each turn: the median.
    pub(crate) fsync_us: Option<f64>,
    /// Cores that other processes kept busy meanwhile.
    pub(crate) others: Option<f64>,
    /// Cores that an idle engine kept busy.
    pub(crate) idle_cores: Option<f64>,
    /// Memory for each live hold, in bytes.
    pub(crate) bytes_a_hold: Option<f64>,
    /// The work of the slowest thread of a turn, as a fraction of an equal share: the median.
    pub(crate) least_share: Option<f64>,
    /// The rate of the comparison's first engine, divided by this rate.
    pub(crate) against: Option<Spread>,
    /// This rate, divided by that of the same engine at its smallest in the same race: with the
    /// fewest threads, live holds or products. On one core: divided by the rate on all cores.
    pub(crate) over_own: Option<Spread>,
    pub(crate) turns: usize,
}

impl Row {
    pub(crate) fn new(section: Section, workload: impl Into<String>, about: &About) -> Self {
        Self {
            section,
            engine: about.engine.to_owned(),
            setup: about.setup.clone(),
            workload: workload.into(),
            threads: 1,
            live: 1,
            products: 1,
            durability: about.durability.name(),
            guarantees: about.guarantees,
            per_second: f64::NAN,
            rates: None,
            cpu_ns_each: None,
            writer_ns_each: None,
            load: None,
            times: None,
            hop: None,
            fsync_us: None,
            others: None,
            idle_cores: None,
            bytes_a_hold: None,
            least_share: None,
            against: None,
            over_own: None,
            turns: 1,
        }
    }

    /// Engine and setup.
    pub(crate) fn title(&self) -> String {
        let comma = if self.setup.is_empty() { "" } else { ", " };
        format!("{}{comma}{}", self.engine, self.setup)
    }

    /// Engine, setup and durability: what tells the lines of one plot apart.
    pub(crate) fn label(&self) -> String {
        let durability = if self.durability == "in memory" { "" } else { self.durability };
        let comma = if durability.is_empty() { "" } else { ", " };
        format!("{}{comma}{durability}", self.title())
    }

    /// Nanoseconds between the ends of two pairs, over all threads.
    pub(crate) fn ns_each(&self) -> f64 {
        1e9 / self.per_second
    }

    /// How much of a core the writer took at this rate: its time for the pairs of a second.
    pub(crate) fn writers_core(&self) -> Option<f64> {
        Some(self.writer_ns_each? * self.per_second / 1e9)
    }

    /// The rates of all turns, as far as this row has them.
    pub(crate) fn rate_range(&self) -> Spread {
        self.rates.unwrap_or(Spread::of_one(self.per_second))
    }

    /// [`ns_each`](Self::ns_each) of all turns.
    pub(crate) fn ns_range(&self) -> Spread {
        let Spread { median, lowest, highest } = self.rate_range().inverse();
        Spread { median: 1e9 * median, lowest: 1e9 * lowest, highest: 1e9 * highest }
    }

    /// The row as other programs read it. What was not measured is null.
    fn json(&self) -> Value {
        let time = |of: fn(&Times) -> u64| self.times.as_ref().map(of);
        json!({
            "section": self.section.name(),
            "engine": self.engine,
            "setup": self.setup,
            "workload": self.workload,
            "threads": self.threads,
            "live": self.live,
            "products": self.products,
            "durability": self.durability,
            "pairs_per_second": self.per_second,
            "pairs_per_second_lowest": self.rates.map(|rates| rates.lowest),
            "pairs_per_second_highest": self.rates.map(|rates| rates.highest),
            "ns_per_pair": self.ns_each(),
            "cpu_ns_per_pair": self.cpu_ns_each,
            "writer_cpu_ns_per_pair": self.writer_ns_each,
            "p50_ns": time(|times| times.p50),
            "p90_ns": time(|times| times.p90),
            "p99_ns": time(|times| times.p99),
            "p999_ns": time(|times| times.p999),
            "p9999_ns": time(|times| times.p9999),
            "max_ns": time(|times| times.max),
            "loop": if self.load.is_some() { "open" } else { "closed" },
            "load": self.load,
            "core_to_core_hop_ns": self.hop,
            "fsync_us": self.fsync_us,
            "cores_busy_with_others": self.others,
            "idle_cores": self.idle_cores,
            "bytes_per_live_hold": self.bytes_a_hold,
            "least_share_of_a_thread": self.least_share,
            "turns": self.turns,
            "stockade_ratio_median": self.against.map(|ratio| ratio.median),
            "stockade_ratio_lowest": self.against.map(|ratio| ratio.lowest),
            "stockade_ratio_highest": self.against.map(|ratio| ratio.highest),
            "over_own_ratio_median": self.over_own.map(|ratio| ratio.median),
            "over_own_ratio_lowest": self.over_own.map(|ratio| ratio.lowest),
            "over_own_ratio_highest": self.over_own.map(|ratio| ratio.highest),
            "guarantees": self.guarantees,
        })
    }
}

/// The latencies of single calls, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) p9999: u64,
    pub(crate) max: u64,
}

impl Times {
    pub(crate) fn of(times: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| times.value_at_quantile(quantile);
        (!times.is_empty()).then(|| Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            p9999: at(0.9999),
            max: times.max(),
        })
    }
}

/// What several turns measured: a rate, or the rate of one engine divided by another's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) lowest: f64,
    pub(crate) highest: f64,
}

impl Spread {
    /// What the turns measured; there is at least one.
    pub(crate) fn of(turns: &[f64]) -> Self {
        let mut sorted = turns.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (lowest, highest) = (sorted[0], sorted[sorted.len() - 1]);
        Self { median: median(&sorted), lowest, highest }
    }

    /// A number that was measured once.
    pub(crate) fn of_one(value: f64) -> Self {
        Self { median: value, lowest: value, highest: value }
    }

    /// Divides the turns of one engine by the neighbouring turns of the other.
    pub(crate) fn of_ratios(ours: &[f64], theirs: &[f64]) -> Self {
        let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(our, their)| our / their).collect();
        Self::of(&ratios)
    }

    /// One divided by each.
    pub(crate) fn inverse(self) -> Self {
        Self { median: 1.0 / self.median, lowest: 1.0 / self.highest, highest: 1.0 / self.lowest }
    }
}

/// A curve that belongs to no row: remaining stock over time.
#[derive(Clone, Debug)]
pub(crate) struct Burn {
    pub(crate) title: String,
    /// Seconds since the start of the sale, and units left.
    pub(crate) left: Vec<(f64, f64)>,
}

/// All measurements.
pub(crate) struct Findings {
    pub(crate) machine: Machine,
    pub(crate) scale: Scale,
    pub(crate) turns: usize,
    pub(crate) rows: Vec<Row>,
    pub(crate) burns: Vec<Burn>,
    pub(crate) counted: Counted,
    pub(crate) modelled: Vec<Modelled>,
    /// How things were started, and why some were skipped.
    pub(crate) notes: Vec<String>,
    pub(crate) fsync_us: Option<f64>,
    /// Megabytes per second that the disk writes in one piece, with a sync at the end.
    pub(crate) disk_rate: Option<f64>,
    pub(crate) seconds: f64,
}

impl Findings {
    pub(crate) fn rows_of(&self, section: Section) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.section == section)
    }

    /// How many cores other processes kept busy while engines in this process were measured.
    pub(crate) fn others(&self) -> f64 {
        let is_beside =
            |row: &Row| row.section == Section::Peers || row.workload.ends_with(BESIDE_SERVERS);
        let alone = self.rows.iter().filter(|row| !is_beside(row));
        median(&alone.filter_map(|row| row.others).collect::<Vec<_>>())
    }

    /// The hop over all rows, in nanoseconds: lowest, median, highest.
    pub(crate) fn hops(&self) -> Option<[f64; 3]> {
        let mut hops: Vec<f64> = self.rows.iter().filter_map(|row| row.hop).collect();
        hops.sort_by(f64::total_cmp);
        Some([*hops.first()?, median(&hops), *hops.last()?])
    }

    /// The report as JSON: machine, notes, targets, rows.
    pub(crate) fn json(&self) -> Value {
        let machine = &self.machine;
        json!({
            "machine": {
                "cpu": machine.cpu,
                "cores": machine.cores,
                "kernel": machine.kernel,
                "rustc": machine.rustc,
                "core_to_core_hop_ns": self.hops().map(|[_, middle, _]| middle),
                "core_to_core_hop_ns_range": self.hops(),
                "fsync_us": self.fsync_us,
                "disk_megabytes_per_second": self.disk_rate,
            },
            "date": machine.date,
            "commit": machine.commit,
            "scale": self.scale.name(),
            "cores_busy_with_others": self.others(),
            "turns": self.turns,
            "seconds": self.seconds,
            "notes": self.notes,
            "targets": targets(self).iter().map(Target::json).collect::<Vec<_>>(),
            "counts": instructions::json(&self.counted),
            "cores_model": model::json(self),
            "rows": self.rows.iter().map(Row::json).collect::<Vec<_>>(),
        })
    }
}
