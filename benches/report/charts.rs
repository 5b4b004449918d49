//! From rows to plots.

use crate::row::{Findings, Row, Section, Times};
use crate::svg::{Axis, Bar, Plot, Series, bars, count, nanos};

/// The classes of a row's line: the engine's color, the same in every plot, and its dashes.
fn class(row: &Row) -> String {
    let dashes = match row.durability {
        "buffered" => " dotted",
        _ if row.setup == "lean" => " dashed",
        _ => "",
    };
    format!("{}{dashes}", color(&row.engine))
}

fn color(engine: &str) -> &'static str {
    match engine {
        "stockade" => "one",
        "mutex" => "two",
        "dashmap" => "three",
        "redis" => "four",
        "postgresql" => "five",
        _ => "six",
    }
}

/// Rows that belong to one engine are one line.
fn lines<'r>(
    rows: impl Iterator<Item = &'r Row>,
    point: impl Fn(&Row) -> (f64, f64),
) -> Vec<Series> {
    let mut lines: Vec<Series> = Vec::new();
    for row in rows {
        let name = row.label();
        let place = lines.iter().position(|line| line.name == name).unwrap_or_else(|| {
            lines.push(Series { name, class: class(row), points: Vec::new(), dots: true });
            lines.len() - 1
        });
        lines[place].points.push(point(row));
    }
    lines
}

/// What rows of a section have in common, in the order in which they were measured.
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

/// As many threads as were measured.
fn thread_marks(rows: &[&Row]) -> Vec<(f64, String)> {
    let most = rows.iter().map(|row| row.threads).max().unwrap_or(1);
    let marks = [1, 2, 4, 8].into_iter().filter(|threads| *threads <= most);
    marks.map(|threads| (threads as f64, threads.to_string())).collect()
}

/// Pairs a second by threads, a plot for each demand.
pub(crate) fn contention(findings: &Findings) -> String {
    let groups = groups(findings, Section::Contention, |row| (row.workload.clone(), row.live));
    let plot = |((workload, live), rows): ((String, usize), Vec<&Row>)| Plot {
        title: match live {
            1 => format!("{workload}; 1 live hold a thread"),
            _ => format!("{workload}; {} live holds a thread", count(live as f64)),
        },
        x: Axis::log("threads", count).marked(thread_marks(&rows)),
        y: Axis::linear("pairs a second", count),
        series: lines(rows.into_iter(), |row| (row.threads as f64, row.per_second)),
    };
    groups.into_iter().map(plot).map(|plot| plot.figure()).collect()
}

/// The cost of a pair by live holds or by products.
pub(crate) fn growth(findings: &Findings) -> String {
    let groups = groups(findings, Section::Growth, |row| row.workload.clone());
    let plot = |(workload, rows): (String, Vec<&Row>)| {
        let by_products = workload.starts_with("products");
        let size = move |row: &Row| if by_products { row.products } else { row.live };
        Plot {
            title: format!("Cost of a pair by {workload}"),
            x: Axis::log(if by_products { "products" } else { "live holds" }, count),
            y: Axis::linear("a pair", nanos),
            series: lines(rows.into_iter(), |row| (size(row) as f64, row.ns_each())),
        }
    };
    groups.into_iter().map(plot).map(|plot| plot.figure()).collect()
}

/// Refusals a second by threads.
pub(crate) fn refused(findings: &Findings) -> String {
    let rows: Vec<&Row> = findings.rows_of(Section::Refused).collect();
    let plot = Plot {
        title: "Sold out: refusals a second by threads".to_owned(),
        x: Axis::log("threads", count).marked(thread_marks(&rows)),
        y: Axis::linear("refusals a second", count),
        series: lines(rows.into_iter(), |row| (row.threads as f64, row.per_second)),
    };
    plot.figure()
}

/// Waiting times by percentile, a plot for each call and load.
pub(crate) fn latency(findings: &Findings) -> String {
    // One in so many waits longer.
    let marks = [(2.0, "p50"), (10.0, "p90"), (100.0, "p99"), (1e3, "p99.9"), (1e4, "p99.99")];
    let marks = marks.map(|(one_in, name)| (one_in, name.to_owned()));
    let load = |row: &Row| row.load.map_or(0, |load| (load * 100.0).round() as u32);
    let groups = groups(findings, Section::Latency, |row| (row.workload.clone(), load(row)));
    let plot = |((workload, load), rows): ((String, u32), Vec<&Row>)| Plot {
        title: format!("{workload}; at {load}% of the capacity"),
        x: Axis::log("so many of the callers waited no longer", count).marked(marks.clone()),
        y: Axis::log("from arrival to answer", nanos),
        series: rows
            .into_iter()
            .filter_map(|row| {
                let Times { p50, p90, p99, p999, p9999, .. } = row.times?;
                let values = [p50, p90, p99, p999, p9999].map(|nanos| nanos as f64);
                let points = marks.iter().map(|mark| mark.0).zip(values).collect();
                Some(Series { name: row.label(), class: class(row), points, dots: true })
            })
            .collect(),
    };
    groups.into_iter().map(plot).map(|plot| plot.figure()).collect()
}

/// Everyone on a log scale, a plot for each durability.
pub(crate) fn peers(findings: &Findings) -> String {
    let groups = groups(findings, Section::Peers, |row| row.durability);
    let plot = |(durability, rows): (&'static str, Vec<&Row>)| {
        let bar = |row: &Row| {
            let plural = if row.threads == 1 { "" } else { "s" };
            let name = match (&*row.engine, &*row.setup) {
                (engine, "") => format!("{engine}, {} thread{plural}", row.threads),
                ("stockade", setup) => {
                    format!("stockade, {} caller{plural}: {setup}", row.threads)
                }
                _ => row.title(),
            };
            let shown = format!("{}/s", count(row.per_second));
            Bar { name, class: color(&row.engine).to_owned(), value: row.per_second, shown }
        };
        let mut rows: Vec<Bar> = rows.into_iter().map(bar).collect();
        rows.sort_by(|a, b| b.value.total_cmp(&a.value));
        bars(&format!("Pairs a second, {durability} (log scale)"), &rows)
    };
    groups.into_iter().map(plot).collect()
}

/// Stock that is left, over time.
pub(crate) fn sale(findings: &Findings) -> String {
    let series = findings.burns.iter().map(|burn| {
        let engine = burn.title.split(',').next().unwrap_or_default();
        let dashes = match burn.title.rsplit(", ").next() {
            Some("synced") => " dashed",
            Some("buffered") => " dotted",
            _ => "",
        };
        Series {
            name: burn.title.clone(),
            class: format!("{}{dashes}", color(engine)),
            points: burn.left.clone(),
            dots: false,
        }
    });
    let plot = Plot {
        title: "A flash sale's stock burning down".to_owned(),
        x: Axis::log("since the doors opened (log scale)", |seconds| nanos(seconds * 1e9)),
        y: Axis::linear("units left", count),
        series: series.collect(),
    };
    plot.figure()
}
