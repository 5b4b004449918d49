//! Turns rows into plots.

use plotters::style::RGBColor;

use crate::numbers::{count, nanos};
use crate::plot::{Axis, Dot, DotPlot, Line, LinePlot, Stroke};
use crate::row::{Findings, Row, Section, Spread, Times};

/// An engine's color, the same in every plot.
pub(crate) fn color(engine: &str) -> RGBColor {
    match engine {
        "stockade" => RGBColor(0x0b, 0x62, 0xd6),
        "mutex" => RGBColor(0xd9, 0x77, 0x06),
        "dashmap" => RGBColor(0x15, 0x80, 0x3d),
        "redis" => RGBColor(0xc8, 0x32, 0x2b),
        "postgresql" => RGBColor(0x7c, 0x3a, 0xed),
        "valkey" => RGBColor(0xbe, 0x18, 0x5d),
        _ => RGBColor(0x68, 0x72, 0x7f),
    }
}

/// The style that tells an engine's lines apart.
fn stroke(row: &Row) -> Stroke {
    match row.durability {
        "buffered" => Stroke::Dotted,
        _ if row.setup == "lean" => Stroke::Dashed,
        _ => Stroke::Solid,
    }
}

/// The rows of one engine are one line.
fn lines<'r>(
    rows: impl Iterator<Item = &'r Row>,
    point: impl Fn(&Row) -> (f64, Spread),
) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for row in rows {
        let name = row.label();
        let place = lines.iter().position(|line| line.name == name).unwrap_or_else(|| {
            let (color, stroke) = (color(&row.engine), stroke(row));
            let (points, ranges) = (Vec::new(), Vec::new());
            lines.push(Line { name, color, stroke, points, marked: true, ranges });
            lines.len() - 1
        });
        let (x, Spread { median, lowest, highest }) = point(row);
        lines[place].points.push((x, median));
        lines[place].ranges.push((x, lowest..highest));
    }
    lines
}

/// The common values of a section's rows, in the order of measurement.
fn groups<K: PartialEq>(
    findings: &Findings,
    section: Section,
    key: impl Fn(&Row) -> K,
) -> Vec<(K, Vec<&Row>)> {
    let mut groups: Vec<(K, Vec<&Row>)> = Vec::new();
    for row in findings.rows_of(section) {
        let key = key(row);
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, rows)) => rows.push(row),
            None => groups.push((key, vec![row])),
        }
    }
    groups
}

/// The axis of the measured numbers of threads.
fn threads_axis(rows: &[&Row]) -> Axis {
    let most = rows.iter().map(|row| row.threads).max().unwrap_or(1);
    let marks = [1, 2, 4, 8].into_iter().filter(|threads| *threads <= most);
    Axis { marks: marks.map(|threads| threads as f64).collect(), ..Axis::new("threads", count) }
}

/// Pairs per second by threads, with a plot for each demand.
pub(crate) fn contention(findings: &Findings) -> String {
    let groups = groups(findings, Section::Contention, |row| (row.workload.clone(), row.live));
    let cores = format!("; {} cores, shared with the writer", findings.machine.cores);
    let plot = |((workload, live), rows): ((String, usize), Vec<&Row>)| LinePlot {
        title: match live {
            1 => format!("{workload}; 1 live hold a thread{cores}"),
            _ => format!("{workload}; {} live holds a thread{cores}", count(live as f64)),
        },
        x: threads_axis(&rows),
        y: Axis::new("pairs a second", count),
        log_y: false,
        lines: lines(rows.into_iter(), |row| (row.threads as f64, row.rate_range())),
    };
    groups.into_iter().map(plot).map(|plot| plot.figure()).collect()
}

/// The cost of a pair, by live holds or by products.
pub(crate) fn growth(findings: &Findings) -> String {
    let groups = groups(findings, Section::Growth, |row| row.workload.clone());
    let plot = |(workload, rows): (String, Vec<&Row>)| {
        let by_products = workload.starts_with("products");
        let size = move |row: &Row| if by_products { row.products } else { row.live };
        LinePlot {
            title: format!("Cost of a pair by {workload}"),
            x: Axis::new(if by_products { "products" } else { "live holds" }, count),
            y: Axis::new("a pair", nanos),
            log_y: false,
            lines: lines(rows.into_iter(), |row| (size(row) as f64, row.ns_range())),
        }
    };
    groups.into_iter().map(plot).map(|plot| plot.figure()).collect()
}

/// Refusals per second by threads.
pub(crate) fn refused(findings: &Findings) -> String {
    let rows: Vec<&Row> = findings.rows_of(Section::Refused).collect();
    let plot = LinePlot {
        title: "Sold out: refusals a second by threads".to_owned(),
        x: threads_axis(&rows),
        y: Axis::new("refusals a second", count),
        log_y: false,
        lines: lines(rows.into_iter(), |row| (row.threads as f64, row.rate_range())),
    };
    plot.figure()
}

/// The axis of percentiles: the mark N means that one call in N waits longer.
const ONE_IN: [f64; 5] = [2.0, 10.0, 100.0, 1e3, 1e4];

/// The percentile of such a mark.
fn percentile(one_in: f64) -> String {
    // The last mark needs two decimals.
    let percent = format!("{:.2}", 100.0 - 100.0 / one_in);
    format!("p{}", percent.trim_end_matches('0').trim_end_matches('.'))
}

/// Latencies by percentile, with a plot for each call and load.
pub(crate) fn latency(findings: &Findings) -> String {
    let load = |row: &Row| row.load.map_or(0, |load| (load * 100.0).round() as u32);
    let groups = groups(findings, Section::Latency, |row| (row.workload.clone(), load(row)));
    let line = |row: &Row| {
        let Times { p50, p90, p99, p999, p9999, .. } = row.times?;
        let values = [p50, p90, p99, p999, p9999].map(|nanos| nanos as f64);
        let points = ONE_IN.into_iter().zip(values).collect();
        let (name, color, stroke) = (row.label(), color(&row.engine), stroke(row));
        Some(Line { name, color, stroke, points, marked: true, ranges: Vec::new() })
    };
    let plot = |((workload, load), rows): ((String, u32), Vec<&Row>)| LinePlot {
        title: format!("{workload}; at {load}% of the capacity"),
        x: Axis {
            marks: ONE_IN.to_vec(),
            ..Axis::new("so many of the callers waited no longer", percentile)
        },
        y: Axis::new("from arrival to answer", nanos),
        log_y: true,
        lines: rows.into_iter().filter_map(line).collect(),
    };
    groups.into_iter().map(plot).map(|plot| plot.figure()).collect()
}

/// All engines on a log scale, with a plot for each durability.
pub(crate) fn peers(findings: &Findings) -> String {
    let name = |row: &Row| {
        let plural = plural(row.threads);
        match (&*row.engine, &*row.setup) {
            (engine, "") => format!("{engine}, {} thread{plural}", row.threads),
            ("stockade", setup) => format!("stockade, {} caller{plural}: {setup}", row.threads),
            _ => row.title(),
        }
    };
    dots(findings, Section::Peers, name)
}

/// The same with a small HTTP service in front, beside the same callers without it.
pub(crate) fn http(findings: &Findings) -> String {
    let name = |row: &Row| match &*row.setup {
        "" => format!("{}, in process", row.engine),
        _ => row.title(),
    };
    dots(findings, Section::Http, name)
}

/// The plain pair and the one that a shop calls, on a log scale.
pub(crate) fn real(findings: &Findings) -> String {
    let name =
        |row: &Row| if row.setup.is_empty() { "plain".to_owned() } else { row.setup.clone() };
    dots(findings, Section::Real, name)
}

/// A hold under a limit of its customer and its release, or its refusal: a plot for each race.
pub(crate) fn limits(findings: &Findings) -> String {
    let groups = groups(findings, Section::Limits, |row| (row.workload.clone(), row.durability));
    let name = |row: &Row| match &*row.engine {
        "stockade" | "mutex" | "dashmap" => {
            format!("{}, {} thread{}", row.title(), row.threads, plural(row.threads))
        }
        _ => row.title(),
    };
    let plot = |((workload, durability), rows): ((String, &str), Vec<&Row>)| {
        let title = format!("A second, {durability}: {workload}");
        rates(title, "a second (log scale)", rows, &name)
    };
    groups.into_iter().map(plot).map(DotPlot::figure).collect()
}

fn plural(threads: usize) -> &'static str {
    if threads == 1 { "" } else { "s" }
}

/// A section's rates on a log scale, with a plot for each durability.
fn dots(findings: &Findings, section: Section, name: impl Fn(&Row) -> String) -> String {
    let groups = groups(findings, section, |row| row.durability);
    let plot = |(durability, rows): (&'static str, Vec<&Row>)| {
        let title = format!("Pairs a second, {durability}");
        rates(title, "pairs a second (log scale)", rows, &name)
    };
    groups.into_iter().map(plot).map(DotPlot::figure).collect()
}

/// The rates of rows on a log scale.
fn rates(
    title: String,
    label: &'static str,
    rows: Vec<&Row>,
    name: &impl Fn(&Row) -> String,
) -> DotPlot {
    let dot = |row: &Row| {
        let shown = format!("{}/s", count(row.per_second));
        let Spread { lowest, highest, .. } = row.rate_range();
        let (color, value, range) = (color(&row.engine), row.per_second, lowest..highest);
        Dot { name: name(row), color, value, range, shown }
    };
    DotPlot { title, label, dots: rows.into_iter().map(dot).collect() }
}

/// The remaining stock over time.
pub(crate) fn sale(findings: &Findings) -> String {
    let lines = findings.burns.iter().map(|burn| Line {
        name: burn.title.clone(),
        color: color(burn.title.split(',').next().unwrap_or_default()),
        stroke: match burn.title.rsplit(", ").next() {
            Some("synced") => Stroke::Dashed,
            Some("buffered") => Stroke::Dotted,
            _ => Stroke::Solid,
        },
        points: burn.left.clone(),
        marked: false,
        ranges: Vec::new(),
    });
    let plot = LinePlot {
        title: "A flash sale's stock burning down".to_owned(),
        x: Axis::new("since the doors opened (log scale)", |seconds| nanos(seconds * 1e9)),
        y: Axis::new("units left", count),
        log_y: false,
        lines: lines.collect(),
    };
    plot.figure()
}
