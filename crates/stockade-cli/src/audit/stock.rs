//! `stockade audit stock`: the stock that a journal adds up to.

use std::fmt;

use comfy_table::CellAlignment;
use serde::{Serialize, Serializer};
use stockade::StockRow;

use crate::audit::Source;
use crate::audit::time::{Moment, shown};
use crate::report::{Output, Report, grouped, printable, write_table};
use crate::{Failure, Verdict};

/// Adds up the stock of the journal's entries, now or at an earlier time
///
/// With --json, prints an array of rows: warehouse, product, available, reserved, sold. `reserved`
/// is what is spoken for: held, or sold and still in the building.
#[derive(Debug, clap::Args)]
pub(crate) struct StockArgs {
    #[command(flatten)]
    source: Source,
    /// As of this time, RFC 3339 or milliseconds since 1970: adds up the entries before the first
    /// later one
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    at: Option<Moment>,
}

#[derive(Debug)]
struct StockReport {
    rows: Vec<LevelRow>,
    entries: u64,
    newest_at: Option<String>,
}

/// A row of the result. Its field names are part of the program's interface.
#[derive(Debug, Serialize)]
struct LevelRow {
    warehouse: String,
    product: String,
    available: u32,
    reserved: u32,
    sold: u32,
}

pub(crate) fn run(args: &StockArgs, output: Output) -> Result<Verdict, Failure> {
    let bar = output.progress(0, "segments");
    let stock = args.source.open(&bar).stock(args.at.map(Moment::or_before));
    bar.finish_and_clear();
    let stock = stock.map_err(|error| args.source.failure(error))?;
    let mut rows: Vec<LevelRow> = stock.rows.iter().map(LevelRow::of).collect();
    rows.sort_by(|a, b| (&a.warehouse, &a.product).cmp(&(&b.warehouse, &b.product)));
    let newest_at = (stock.sequence > 0).then(|| shown(stock.newest_at));
    output.show(&StockReport { rows, entries: stock.sequence, newest_at })?;
    if let Some(ahead) = stock.ahead {
        output.note(&format!(
            "{} entries bear times up to {}: a clock that was ahead. They count as of {}, when an \
             engine was opened.",
            grouped(ahead.entries),
            shown(ahead.latest),
            shown(ahead.opened_at)
        ));
    }
    Ok(Verdict::Kept)
}

impl LevelRow {
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
        let row = |names: [&str; 2], figures: [u64; 3]| {
            let [warehouse, product] = names.map(|name| printable(name).into_owned());
            let [available, reserved, sold] = figures.map(grouped);
            [warehouse, product, available, reserved, sold]
        };
        let mut table =
            vec![["warehouse", "product", "available", "reserved", "sold"].map(str::to_owned)];
        let mut total = [0_u64; 3];
        for LevelRow { warehouse, product, available, reserved, sold } in &self.rows {
            let figures = [*available, *reserved, *sold].map(u64::from);
            (0..3).for_each(|at| total[at] += figures[at]);
            table.push(row([warehouse, product], figures));
        }
        table.push(row(["all", ""], total));
        let [left, right] = [CellAlignment::Left, CellAlignment::Right];
        write_table(f, &table, [left, left, right, right, right])?;
        match &self.newest_at {
            Some(at) => writeln!(f, "\nAs of entry {}, {at}.", grouped(self.entries)),
            None => writeln!(f, "\nBefore the first entry."),
        }
    }
}
