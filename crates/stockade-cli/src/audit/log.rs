//! `stockade audit log`: lists the entries of a journal.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::ops::ControlFlow;

use clap::ValueEnum;
use indicatif::ProgressBar;
use serde::Serialize;
use stockade::{
    AdjustmentType, AuditEntry, AuditFilter, EntryType, EventType, Owner, ReservationId,
};

use crate::audit::time::{Moment, shown};
use crate::audit::{Source, owner};
use crate::report::{Output, printable, tolerate_closed_pipe};
use crate::{Failure, Verdict};

/// Lists the entries that meet all the given conditions, the oldest first
#[derive(Debug, clap::Args)]
pub(crate) struct LogArgs {
    #[command(flatten)]
    source: Source,
    /// Only entries about this product
    #[arg(long, value_name = "NAME")]
    product: Option<String>,
    /// Only entries of this warehouse; a transfer has one entry at each end
    #[arg(long, value_name = "NAME")]
    warehouse: Option<String>,
    /// Only entries of this reservation, a UUID
    #[arg(long, value_name = "ID")]
    reservation: Option<ReservationId>,
    /// Only entries of this owner's reservations, a UUID
    #[arg(long, value_name = "ID", value_parser = owner)]
    owner: Option<Owner>,
    /// Only entries of this type, such as Sold; can be repeated for more types
    #[arg(long = "type", value_name = "TYPE", value_parser = entry_type)]
    types: Vec<EntryType>,
    /// Only entries at this time or later, RFC 3339 or milliseconds since 1970
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    since: Option<Moment>,
    /// Only entries at this time or earlier, RFC 3339 or milliseconds since 1970
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    until: Option<Moment>,
    /// At most this many entries
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    limit: Option<usize>,
    /// The output format: a table to read, one JSON object a line, or CSV with a first row of
    /// names; --json means jsonl
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Jsonl,
    Csv,
}

/// Parses an entry type, in upper or lower case.
fn entry_type(text: &str) -> Result<EntryType, String> {
    let movements = AdjustmentType::ALL.iter().copied().map(EntryType::from);
    let mut all = movements.chain(EventType::ALL.iter().copied().map(EntryType::from));
    let names: Vec<_> = all.clone().map(EntryType::name).collect();
    all.find(|known| known.name().eq_ignore_ascii_case(text))
        .ok_or_else(|| format!("expected one of {}", names.join(", ")))
}

impl LogArgs {
    fn filter(&self) -> AuditFilter {
        let mut filter = AuditFilter::new().limit(self.limit.unwrap_or(usize::MAX));
        if let Some(product) = &self.product {
            filter = filter.product(product);
        }
        if let Some(warehouse) = &self.warehouse {
            filter = filter.warehouse(warehouse);
        }
        if let Some(reservation) = self.reservation {
            filter = filter.reservation(reservation);
        }
        if let Some(owner) = self.owner {
            filter = filter.owner(owner);
        }
        if let Some(since) = self.since {
            filter = filter.since(since.or_after());
        }
        if let Some(until) = self.until {
            filter = filter.until(until.or_before());
        }
        self.types.iter().fold(filter, |filter, entry_type| filter.entry_type(*entry_type))
    }
}

pub(crate) fn run(args: &LogArgs, output: Output) -> Result<Verdict, Failure> {
    let format = match (args.format, output.is_json()) {
        (Format::Csv, true) => {
            return Err(Failure::Call("--json and --format csv exclude each other".to_owned()));
        }
        (_, true) => Format::Jsonl,
        (format, false) => format,
    };
    // A progress bar between the printed lines would be in the way, so a terminal gets none.
    let bar = match io::stdout().is_terminal() {
        true => ProgressBar::hidden(),
        false => output.progress(0, "segments"),
    };
    let mut listing = Listing::new(format);
    let mut written = Ok(());
    let mut journal = args.source.open(&bar);
    let oldest = journal.oldest_entry().map_err(|error| args.source.failure(error))?;
    let read = journal.entries_while(&args.filter(), |entry| {
        written = listing.put(&entry);
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    bar.finish_and_clear();
    // Entries before any damage are still printed.
    let written = written.and_then(|()| listing.end(read.is_ok()));
    tolerate_closed_pipe(written)
        .map_err(|error| Failure::run("the entries can't be written to stdout", error))?;
    read.map_err(|error| args.source.failure(error))?;
    if oldest > 1 {
        output.note(&format!(
            "entries before {oldest} were archived or removed: --archive shows archived ones"
        ));
    }
    Ok(Verdict::Kept)
}

/// An entry. Its field names are part of the program's interface.
#[derive(Debug, Serialize)]
struct EntryRow<'a> {
    sequence: u64,
    at: String,
    at_ms: u64,
    #[serde(rename = "type")]
    entry_type: &'static str,
    warehouse: Option<&'a str>,
    product: Option<&'a str>,
    other_warehouse: Option<&'a str>,
    quantity: u32,
    reservation: Option<String>,
    owner: Option<String>,
    expires_at_ms: Option<u64>,
    retaken_from: Option<String>,
    metadata: Notes<'a>,
}

/// Pairs of text. CSV has no nested values, so there they are one field of text.
#[derive(Clone, Copy, Debug)]
struct Notes<'a>(&'a [(String, String)]);

impl Serialize for Notes<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

const COLUMNS: [&str; 13] = [
    "sequence",
    "at",
    "at_ms",
    "type",
    "warehouse",
    "product",
    "other_warehouse",
    "quantity",
    "reservation",
    "owner",
    "expires_at_ms",
    "retaken_from",
    "metadata",
];

impl<'a> EntryRow<'a> {
    fn of(entry: &'a AuditEntry) -> Self {
        Self {
            sequence: entry.sequence,
            at: shown(entry.at),
            at_ms: entry.at.as_millis(),
            entry_type: entry.entry_type.name(),
            warehouse: entry.warehouse.as_deref(),
            product: entry.product.as_deref(),
            other_warehouse: entry.other_warehouse.as_deref(),
            quantity: entry.quantity,
            reservation: entry.reservation.map(|id| id.to_string()),
            owner: entry.owner.map(|owner| owner.to_string()),
            expires_at_ms: entry.expires_at.map(stockade::Timestamp::as_millis),
            retaken_from: entry.retaken_from.map(|id| id.to_string()),
            metadata: Notes(entry.metadata()),
        }
    }
}

/// An entry as one line of JSON.
pub(super) fn entry_line(entry: &AuditEntry) -> io::Result<String> {
    Ok(serde_json::to_string(&EntryRow::of(entry))?)
}

/// Writes entries to stdout.
struct Listing {
    sheet: Sheet,
    /// Whether the row of column names was written.
    begun: bool,
}

enum Sheet {
    Table(BufWriter<StdoutLock<'static>>),
    Jsonl(BufWriter<StdoutLock<'static>>),
    Csv(Box<csv::Writer<StdoutLock<'static>>>),
}

impl Listing {
    fn new(format: Format) -> Self {
        let stdout = io::stdout().lock();
        let sheet = match format {
            Format::Table => Sheet::Table(BufWriter::new(stdout)),
            Format::Jsonl => Sheet::Jsonl(BufWriter::new(stdout)),
            Format::Csv => Sheet::Csv(Box::new(csv::Writer::from_writer(stdout))),
        };
        Self { sheet, begun: false }
    }

    /// Writes the row of column names, unless it was written before.
    fn begin(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        match &mut self.sheet {
            Sheet::Table(out) => {
                let [warehouse, product] = ["warehouse", "product"];
                writeln!(
                    out,
                    "{:>10} {:<24} {:<17} {warehouse:<12} {product:<16} {:>10}  details",
                    "entry", "at", "type", "quantity"
                )
            }
            Sheet::Jsonl(_) => Ok(()),
            Sheet::Csv(out) => out.write_record(COLUMNS).map_err(io_error),
        }
    }

    fn put(&mut self, entry: &AuditEntry) -> io::Result<()> {
        self.begin()?;
        match &mut self.sheet {
            Sheet::Table(out) => table_row(out, entry),
            Sheet::Jsonl(out) => {
                serde_json::to_writer(&mut *out, &EntryRow::of(entry))?;
                out.write_all(b"\n")
            }
            Sheet::Csv(out) => csv_row(out, &EntryRow::of(entry)),
        }
    }

    /// `readable`: there was a journal, even if it had no matching entry.
    fn end(&mut self, readable: bool) -> io::Result<()> {
        if readable {
            self.begin()?;
        }
        match &mut self.sheet {
            Sheet::Table(out) | Sheet::Jsonl(out) => out.flush(),
            Sheet::Csv(out) => out.flush(),
        }
    }
}

/// Columns of a fixed width, by hand. To fit column widths, a table would have to hold all rows
/// before it prints the first one, and a journal may have millions.
fn table_row(out: &mut impl Write, entry: &AuditEntry) -> io::Result<()> {
    write!(
        out,
        "{:>10} {:<24} {:<17} {:<12} {:<16} {:>10} ",
        entry.sequence,
        shown(entry.at),
        entry.entry_type,
        printable(entry.warehouse.as_deref().unwrap_or("-")),
        printable(entry.product.as_deref().unwrap_or("-")),
        entry.quantity
    )?;
    let owner = entry.owner.map(|owner| ("owner", owner.to_string().into()));
    let until = entry.expires_at.map(|at| ("expiresAt", shown(at).into()));
    for (key, value) in entry.metadata_view().into_iter().chain(owner).chain(until) {
        write!(out, " {}={}", printable(key), printable(&value))?;
    }
    writeln!(out)
}

fn csv_row(out: &mut csv::Writer<impl Write>, row: &EntryRow<'_>) -> io::Result<()> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let metadata = match row.metadata.0 {
        [] => String::new(),
        _ => serde_json::to_string(&row.metadata)?,
    };
    let fields = [
        &*row.sequence.to_string(),
        &row.at,
        &row.at_ms.to_string(),
        row.entry_type,
        row.warehouse.unwrap_or_default(),
        row.product.unwrap_or_default(),
        row.other_warehouse.unwrap_or_default(),
        &row.quantity.to_string(),
        &text(&row.reservation),
        &text(&row.owner),
        &row.expires_at_ms.map(|at| at.to_string()).unwrap_or_default(),
        &text(&row.retaken_from),
        &metadata,
    ];
    out.write_record(fields).map_err(io_error)
}

/// The operating system's error, so that a closed pipe can be recognized.
fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}
