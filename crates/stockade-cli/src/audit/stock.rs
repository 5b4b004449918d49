//! `stockade audit stock`: what the journal alone adds up to.

use std::fmt;

use serde::{Serialize, Serializer};
use stockade::StockRow;

use crate::audit::Source;
use crate::audit::time::{Moment, shown};
use crate::report::{Output, Report, grouped, printable};
use crate::{Failure, Verdict};

/// Adds up the stock that the entries say there is, now or at an earlier moment
///
/// With --json, an array of rows: warehouse, product, available, reserved, sold. `reserved` is what is
/// spoken for: held, or sold and still in the building.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    source: Source,
    /// As of this moment, RFC 3339 or milliseconds since 1970: what the longest beginning of the
    /// journal without a later entry adds up to
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    at: Option<Moment>,
}

#[derive(Debug)]
struct StockReport {
    rows: Vec<Row>,
    entries: u64,
    newest_at: Option<String>,
}

/// Its field names are part of the program's interface.
#[derive(Debug, Serialize)]
struct Row {
    warehouse: String,
    product: String,
    available: u32,
    reserved: u32,
    sold: u32,
}

pub(crate) fn run(args: &Args, output: Output) -> Result<Verdict, Failure> {
    let bar = output.progress(0, "segments");
    let stock = args.source.open(&bar).stock(args.at.map(Moment::or_before));
    bar.finish_and_clear();
    let stock = stock.map_err(|error| args.source.failure(error))?;
    let mut rows: Vec<Row> = stock.rows.iter().map(Row::of).collect();
    rows.sort_by(|a, b| (&a.warehouse, &a.product).cmp(&(&b.warehouse, &b.product)));
    let newest_at = (stock.sequence > 0).then(|| shown(stock.newest_at));
    output.show(&StockReport { rows, entries: stock.sequence, newest_at })?;
    Ok(Verdict::Kept)
}

impl Row {
    fn of(level: &StockRow) -> Self {
        Self {
            warehouse: level.warehouse.to_string(),
            product: level.product.to_string(),
            available: level.available,
            reserved: level.reserved,
            sold: level.sold,
        }
    }
}

impl Serialize for StockReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.rows)
    }
}

impl Report for StockReport {}

impl fmt::Display for StockReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |f: &mut fmt::Formatter<'_>, names: [&str; 2], figures: [String; 3]| {
            let [warehouse, product] = names.map(printable);
            let [available, reserved, sold] = figures;
            writeln!(f, "{warehouse:<16} {product:<24} {available:>13} {reserved:>13} {sold:>13}")
        };
        let head = ["available", "reserved", "sold"].map(str::to_owned);
        row(f, ["warehouse", "product"], head)?;
        let mut total = [0_u64; 3];
        for Row { warehouse, product, available, reserved, sold } in &self.rows {
            let figures = [*available, *reserved, *sold].map(u64::from);
            (0..3).for_each(|at| total[at] += figures[at]);
            row(f, [warehouse, product], figures.map(grouped))?;
        }
        row(f, ["all", ""], total.map(grouped))?;
        match &self.newest_at {
            Some(at) => writeln!(f, "\nAs of entry {}, {at}.", grouped(self.entries)),
            None => writeln!(f, "\nBefore the first entry."),
        }
    }
}
