//! `stockade audit log`: lists the entries of a journal.

mod follow;
mod newest;
mod rows;
mod table;

use std::collections::VecDeque;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::ops::ControlFlow;

use clap::ValueEnum;
use indicatif::ProgressBar;
use stockade::{
    AdjustmentType, AuditEntry, AuditFilter, EntryType, EventType, JournalError, JournalReader,
    Owner, ReservationId,
};

use crate::audit::log::newest::Spool;
pub(super) use crate::audit::log::rows::entry_line;
use crate::audit::log::table::Table;
use crate::audit::time::Moment;
use crate::audit::{Source, owner};
use crate::report::{Output, terminal_width, tolerate_closed_pipe};
use crate::{Failure, Verdict};

/// Lists the entries that meet all the given conditions, the oldest first
///
/// In a terminal, the table is as wide as the terminal: what does not fit goes on in the next line.
/// Elsewhere each entry is one line. In CSV, a text that begins like a formula (= + - @, a tab or a
/// line break) or with a ' has a ' before it, so that no spreadsheet computes it.
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
    /// At most this many entries, the first ones in the order of the list
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    limit: Option<usize>,
    /// Only the newest N of these entries
    #[arg(long, value_name = "N", allow_negative_numbers = true, conflicts_with = "limit")]
    tail: Option<usize>,
    /// List the newest entry first
    #[arg(long)]
    newest_first: bool,
    /// Then go on listing, as an engine writes, until Ctrl-C. Each look reads the whole journal, so
    /// on a long one new entries come some seconds late
    #[arg(long, short, conflicts_with_all = ["newest_first", "limit"])]
    follow: bool,
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
    /// How many entries are enough, counted from the oldest one on; `None` if all must be read.
    fn most(&self) -> Option<usize> {
        self.limit.filter(|_| !self.newest_first)
    }

    fn filter(&self) -> AuditFilter {
        let mut filter = AuditFilter::new().limit(self.most().unwrap_or(usize::MAX));
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
    // A progress bar between the printed lines would be in the way. So a terminal gets none, unless
    // all is read before the first line is printed.
    let in_the_way = io::stdout().is_terminal() && !args.newest_first && args.tail.is_none();
    let bar = match in_the_way {
        true => ProgressBar::hidden(),
        false => output.progress(0, "segments"),
    };
    let mut listing = Listing::new(format);
    let mut journal = args.source.open(&bar);
    let oldest = journal.oldest_entry().map_err(|error| args.source.failure(error))?;
    let (read, written) = list(args, (&mut journal, &bar), &mut listing);
    // Entries before any damage are still printed.
    let written = written.and_then(|()| listing.flush(read.is_ok()));
    let done = matches!(&written, Err(error) if error.kind() == io::ErrorKind::BrokenPipe);
    tolerate_closed_pipe(written).map_err(unwritten)?;
    let last = read.map_err(|error| args.source.failure(error))?;
    if oldest > 1 {
        output.note(&format!(
            "entries before {oldest} were archived or removed: --archive shows archived ones"
        ));
    }
    if args.follow && !done {
        follow::run(args, last, &mut listing)?;
    }
    Ok(Verdict::Kept)
}

fn unwritten(error: io::Error) -> Failure {
    Failure::run("the entries can't be written to stdout", error)
}

/// Prints the entries that are there. Gives the last one that was read, and how the printing went.
fn list(
    args: &LogArgs,
    (journal, bar): (&mut JournalReader, &ProgressBar),
    listing: &mut Listing,
) -> (Result<u64, JournalError>, io::Result<()>) {
    let mut order = match (args.newest_first, args.tail.or(args.limit)) {
        (true, None) => Order::Reversed(Spool::default()),
        (newest_first, Some(most)) if newest_first || args.tail.is_some() => {
            Order::Newest { most, kept: VecDeque::new(), newest_first }
        }
        _ => Order::AsRead,
    };
    let (mut last, mut written) = (0, Ok(()));
    let read = journal.entries_while(&args.filter(), |entry| {
        last = entry.sequence;
        written = order.take(entry, listing);
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    bar.finish_and_clear();
    let written = written.and_then(|()| order.finish(listing));
    (read.map(|()| last), written)
}

/// The order in which entries are printed.
enum Order {
    AsRead,
    /// The newest entries, at most so many.
    Newest {
        most: usize,
        kept: VecDeque<AuditEntry>,
        newest_first: bool,
    },
    Reversed(Spool),
}

impl Order {
    fn take(&mut self, entry: AuditEntry, listing: &mut Listing) -> io::Result<()> {
        match self {
            Self::AsRead => listing.put(&entry),
            Self::Newest { most, kept, .. } => {
                kept.push_back(entry);
                if kept.len() > *most {
                    kept.pop_front();
                }
                Ok(())
            }
            Self::Reversed(spool) => spool.push(&listing.row(&entry)?),
        }
    }

    fn finish(self, listing: &mut Listing) -> io::Result<()> {
        match self {
            Self::AsRead => Ok(()),
            Self::Newest { mut kept, newest_first, .. } => {
                if newest_first {
                    kept.make_contiguous().reverse();
                }
                kept.iter().try_for_each(|entry| listing.put(entry))
            }
            Self::Reversed(spool) => spool.reversed(|row| listing.put_row(row)),
        }
    }
}

/// Writes entries to stdout.
struct Listing {
    format: Format,
    table: Table,
    out: BufWriter<StdoutLock<'static>>,
    /// Whether the row of column names was written.
    begun: bool,
}

impl Listing {
    fn new(format: Format) -> Self {
        let table = Table::new(terminal_width());
        Self { format, table, out: BufWriter::new(io::stdout().lock()), begun: false }
    }

    /// Writes the row of column names, unless it was written before.
    fn begin(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        match self.format {
            Format::Table => self.out.write_all(self.table.names().as_bytes()),
            Format::Jsonl => Ok(()),
            Format::Csv => self.out.write_all(&rows::csv_record(rows::COLUMNS)?),
        }
    }

    /// An entry as it is printed.
    fn row(&self, entry: &AuditEntry) -> io::Result<Vec<u8>> {
        match self.format {
            Format::Table => Ok(self.table.row(entry).into_bytes()),
            Format::Jsonl => Ok((entry_line(entry)? + "\n").into_bytes()),
            Format::Csv => rows::csv_line(entry),
        }
    }

    fn put(&mut self, entry: &AuditEntry) -> io::Result<()> {
        let row = self.row(entry)?;
        self.put_row(&row)
    }

    fn put_row(&mut self, row: &[u8]) -> io::Result<()> {
        self.begin()?;
        self.out.write_all(row)
    }

    /// `readable`: there was a journal, even if it had no matching entry.
    fn flush(&mut self, readable: bool) -> io::Result<()> {
        if readable {
            self.begin()?;
        }
        self.out.flush()
    }
}
