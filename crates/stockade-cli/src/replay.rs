//! `stockade replay`: replays a real order book through the engine.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::value_parser;
use indicatif::ProgressBar;
use serde::Serialize;
use stockade::{
    AddError, BasketError, BasketLine, InvalidInput, InventoryManager, Limits, MAX_UNITS,
    RemoveError,
};

use crate::books::{Bookkeeper, Books};
use crate::journal::{JournalArgs, JournalReport};
use crate::orders::{Invoice, OrderLine, Orders};
use crate::proof::{self, Broken, Shelf};
use crate::report::{self, Output, Report, Summary, counted, grouped};
use crate::{Failure, Verdict};

/// The warehouse of all stock.
const WAREHOUSE: &str = "MAIN";

/// The time to live of a basket between its reservation and its sale.
const HOLD: Duration = Duration::from_secs(600);

/// Slots beyond those of the baskets in progress, because finished reservations are retained for a
/// while.
const SPARE_SLOTS: usize = 1 << 17;

/// The maximum number of products in one basket of the engine.
const BASKET_MAX: usize = 65_535;

/// Replays an order file with the columns of the Online Retail data
///
/// Products are the stock codes that begin with a digit. All other codes are charges, and are
/// skipped. Every product opens with the same stock. Invoices are processed in the order of their
/// first row. The positive lines of an invoice are one basket, with equal products merged, which is
/// sold as a whole or refused as a whole. Then its negative lines are written off, one by one,
/// unless stock is short. The negative lines of an invoice that begins with C are returns. A line
/// is rejected if its quantity is 0 or no whole number, or if it is positive in an invoice that
/// begins with C.
#[derive(Debug, clap::Args)]
pub(crate) struct ReplayArgs {
    /// A CSV file with the columns InvoiceNo, StockCode and Quantity, in any order; others are
    /// ignored
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Opening units of every product; over all products at most 2147483647, the capacity of a
    /// warehouse
    #[arg(long, allow_negative_numbers = true, value_name = "N", default_value_t = 100, value_parser = value_parser!(u32).range(0..=i64::from(MAX_UNITS)))]
    stock: u32,
    /// Threads that process the invoices, 1 to 1024; with 1, the result depends on the file alone
    #[arg(long, allow_negative_numbers = true, value_name = "T", default_value_t = 1, value_parser = value_parser!(u32).range(1..=1024))]
    threads: u32,
    #[command(flatten)]
    journal: JournalArgs,
}

/// The result. It covers this run alone, except `available`, `reserved`, `oversold_units`,
/// `conserved` and `broken_laws`, which cover the whole journal. Its field names are part of the
/// program's interface.
#[derive(Debug, Serialize)]
struct ReplayReport {
    file: String,
    stock: u32,
    threads: u32,
    lines: u64,
    invoices: u64,
    products: u64,
    charges_skipped: u64,
    lines_rejected: u64,
    baskets_reserved: u64,
    baskets_refused: u64,
    units_sold: u64,
    units_returned: u64,
    /// Returned lines for which the warehouse had no room.
    returns_refused: u64,
    units_written_off: u64,
    write_offs_refused: u64,
    available: u64,
    reserved: u64,
    /// Units sold beyond those that were there, summed over all products.
    oversold_units: u64,
    conserved: bool,
    broken_laws: Vec<String>,
    /// Entries of the audit log that move units. All other entries are events.
    audit_entries: u64,
    audit_events: u64,
    /// Seconds from the first `add_stock` until the audit log was written. Reading the file is not
    /// included.
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    journal: Option<JournalReport>,
}

/// What the engine answered.
#[derive(Clone, Copy, Debug, Default)]
struct ReplayTally {
    baskets_reserved: u64,
    baskets_refused: u64,
    units_sold: u64,
    units_returned: u64,
    returns_refused: u64,
    units_written_off: u64,
    write_offs_refused: u64,
}

impl ReplayTally {
    fn add(&mut self, other: &Self) {
        self.baskets_reserved += other.baskets_reserved;
        self.baskets_refused += other.baskets_refused;
        self.units_sold += other.units_sold;
        self.units_returned += other.units_returned;
        self.returns_refused += other.returns_refused;
        self.units_written_off += other.units_written_off;
        self.write_offs_refused += other.write_offs_refused;
    }
}

/// Replays the file and prints the result.
pub(crate) fn run(args: &ReplayArgs, output: Output) -> Result<Verdict, Failure> {
    let orders = Orders::read(&args.file)?;
    let opening = orders.products.len() as u128 * u128::from(args.stock);
    if opening > u128::from(MAX_UNITS) {
        return Err(Failure::Call(format!(
            "--stock {} of each of the file's {} products make {opening} units, but a warehouse holds at most {MAX_UNITS}",
            args.stock,
            orders.products.len()
        )));
    }
    if orders.longest_basket() > BASKET_MAX {
        let problem = format!(
            "expected at most {BASKET_MAX} products in an invoice, found {}",
            orders.longest_basket()
        );
        return Err(Failure::file(&args.file, None, problem));
    }
    let history = args.journal.history(output)?;
    let progress = output.progress(orders.invoices.len() as u64, "invoices");
    let bookkeeper = Bookkeeper::new(history.clone());
    let manager = engine(args, &orders, bookkeeper.clone())?;

    let start = Instant::now();
    let shelves = fill_shelves(&manager, args, &orders, &history)?;
    let tally =
        work_off(args, &orders, &Store { manager: &manager, shelves: &shelves }, &progress)?;
    manager.flush().wait().map_err(|error| Failure::run("the audit log is incomplete", error))?;
    let took = start.elapsed();
    progress.finish_and_clear();

    let mut broken = Broken::default();
    let journal = args.journal.finish(&manager, &history, &mut broken)?;
    let books = (&history, &bookkeeper.books());
    let shop = Store { manager: &manager, shelves: &shelves };
    let report = account(args, &orders, &shop, tally, books, broken);
    let report = ReplayReport { journal, seconds: report::seconds(took), ..report };
    output.show(&report)?;
    Ok(if report.conserved { Verdict::Kept } else { Verdict::Broken })
}

/// Builds an engine that can hold the longest basket of the file once for each thread.
fn engine(
    args: &ReplayArgs,
    orders: &Orders,
    books: Bookkeeper,
) -> Result<InventoryManager, Failure> {
    let longest = orders.longest_basket().max(1);
    let slots = longest.saturating_mul(args.threads as usize).saturating_add(SPARE_SLOTS);
    let slots = u32::try_from(slots).unwrap_or(u32::MAX);
    let limits = Limits::new().max_basket_lines(longest).max_reservations(slots);
    let builder = InventoryManager::builder()
        .warehouse(WAREHOUSE)
        // Nobody reads the log in memory, because the sink keeps the books. So retain one entry.
        .limits(limits.audit_retained(1))
        .sink(books);
    args.journal.build(builder)
}

/// Stocks the products of the order book. Shelves that only the journal knows follow them.
fn fill_shelves(
    manager: &InventoryManager,
    args: &ReplayArgs,
    orders: &Orders,
    history: &Books,
) -> Result<Vec<Shelf>, Failure> {
    let fill =
        |product: &str, stock| proof::fill_shelf(manager, (WAREHOUSE, product), stock, "OPENING");
    let products = orders.products.iter();
    let mut shelves = products
        .map(|product| fill(product, args.stock))
        .collect::<Result<Vec<Shelf>, Failure>>()?;
    let ordered: HashSet<&str> = orders.products.iter().map(String::as_str).collect();
    for other in history.products().into_iter().filter(|it| !ordered.contains(it)) {
        shelves.push(fill(other, 0)?);
    }
    Ok(shelves)
}

/// Hands out the invoices, in order, to the threads.
fn work_off(
    args: &ReplayArgs,
    orders: &Orders,
    store: &Store<'_>,
    progress: &ProgressBar,
) -> Result<ReplayTally, Failure> {
    let handed_out = AtomicUsize::new(0);
    let clerk = &|| {
        let mut tally = ReplayTally::default();
        // Relaxed: the counter hands out indexes of a list that nobody changes.
        while let Some(invoice) = orders.invoices.get(handed_out.fetch_add(1, Ordering::Relaxed)) {
            store.process(invoice, &mut tally)?;
            progress.inc(1);
        }
        Ok(tally)
    };
    thread::scope(|scope| {
        let start = |_| thread::Builder::new().name("clerk".to_owned()).spawn_scoped(scope, clerk);
        // Collect first: all threads must start before the first one is joined.
        let clerks: Vec<_> = (0..args.threads).map(start).collect();
        let mut total = ReplayTally::default();
        for clerk in clerks {
            let clerk = clerk.map_err(|error| Failure::run("no thread for a clerk", error))?;
            let tally = clerk.join().map_err(|_| Failure::Run("a clerk panicked".to_owned()))?;
            total.add(&tally?);
        }
        Ok(total)
    })
}

/// The engine, and its shelves.
#[derive(Debug)]
struct Store<'a> {
    manager: &'a InventoryManager,
    shelves: &'a [Shelf],
}

impl Store<'_> {
    fn process(&self, invoice: &Invoice, tally: &mut ReplayTally) -> Result<(), Failure> {
        match invoice {
            Invoice::Sale { basket, write_offs } => {
                if !basket.is_empty() {
                    self.sell(basket, tally)?;
                }
                write_offs.iter().try_for_each(|line| self.write_off(line, tally))
            }
            Invoice::Return(lines) => lines.iter().try_for_each(|line| self.take_back(line, tally)),
        }
    }

    fn sell(&self, basket: &[OrderLine], tally: &mut ReplayTally) -> Result<(), Failure> {
        let lines: Vec<_> = basket
            .iter()
            .map(|line| BasketLine::new(self.shelf(line).level, quantity(line)))
            .collect();
        match self.manager.reserve_basket(&lines, HOLD) {
            Ok(id) => {
                self.manager
                    .confirm(id)
                    .map_err(|error| Failure::run("a basket can't be confirmed", error))?;
                tally.baskets_reserved += 1;
                tally.units_sold += basket.iter().map(|line| line.units).sum::<u64>();
                Ok(())
            }
            Err(
                BasketError::Insufficient { .. } | BasketError::Input(InvalidInput::Quantity(_)),
            ) => {
                tally.baskets_refused += 1;
                Ok(())
            }
            Err(error) => Err(Failure::run("a basket can't be reserved", error)),
        }
    }

    fn write_off(&self, line: &OrderLine, tally: &mut ReplayTally) -> Result<(), Failure> {
        match self.manager.remove_stock(self.shelf(line).level, quantity(line), "WRITE-OFF") {
            Ok(()) => tally.units_written_off += line.units,
            Err(
                RemoveError::Insufficient { .. } | RemoveError::Input(InvalidInput::Quantity(_)),
            ) => tally.write_offs_refused += 1,
            Err(error) => return Err(Failure::run("units can't be written off", error)),
        }
        Ok(())
    }

    fn take_back(&self, line: &OrderLine, tally: &mut ReplayTally) -> Result<(), Failure> {
        match self.manager.add_stock(self.shelf(line).level, quantity(line), "CUSTOMER-RETURN") {
            Ok(()) => tally.units_returned += line.units,
            // The warehouse is full.
            Err(AddError::OverCapacity { .. } | AddError::Input(InvalidInput::Quantity(_))) => {
                tally.returns_refused += 1
            }
            Err(error) => return Err(Failure::run("units can't be taken back", error)),
        }
        Ok(())
    }

    fn shelf(&self, line: &OrderLine) -> &Shelf {
        &self.shelves[line.product]
    }
}

/// The quantity to ask the engine for. It refuses more units than it can count, so larger numbers
/// are capped.
fn quantity(line: &OrderLine) -> u32 {
    u32::try_from(line.units).unwrap_or(u32::MAX)
}

/// Compares the callers' answers with the levels and the log.
#[expect(clippy::too_many_arguments, reason = "all that the report is made of")]
fn account(
    args: &ReplayArgs,
    orders: &Orders,
    store: &Store<'_>,
    tally: ReplayTally,
    (history, books): (&Books, &Books),
    mut broken: Broken,
) -> ReplayReport {
    let stock = proof::take_stock(store.manager, store.shelves, (history, books), &mut broken);
    let products = orders.products.len() as u64;
    let opening = products * u64::from(args.stock);
    let (log, before) = (books.total(), history.total());
    let left = before.on_hand() + i128::from(opening) + i128::from(tally.units_returned)
        - i128::from(tally.units_written_off);
    // `lapsed`: units of holds from the journal that have expired during this run.
    let still_held = i128::from(stock.reserved) - i128::from(stock.sold);
    let lapsed = before.held() - still_held;
    let mut check = |what: &str, found: u64, before: u64, expected: i128| {
        broken.unless_equal(what, i128::from(found) - i128::from(before), expected);
    };
    let on_hand = stock.available + stock.reserved;
    check("units on hand, against opened + returned - written off", on_hand, 0, left);
    let sold = i128::from(tally.units_sold);
    let spoken_for = i128::from(before.sold) + sold + still_held;
    check("reserved units, against those sold", stock.reserved, 0, spoken_for);
    let received = i128::from(opening) + i128::from(tally.units_returned);
    check("units that the log received", log.received, before.received, received);
    let written_off = tally.units_written_off.into();
    check("units that the log wrote off", log.written_off, before.written_off, written_off);
    check("units that the log reserved", log.reserved, before.reserved, sold);
    check("units that the log sold", log.sold, before.sold, sold);
    check("units that the log took back from holds", log.returned, before.returned, lapsed);
    let oversold_units = store.shelves.iter().map(|shelf| {
        let account = books.account(&shelf.product);
        // The higher count of the two witnesses.
        let sold = account.sold.max(store.manager.counts(shelf.level).expect("known").sold.into());
        let beyond = i128::from(sold) - account.on_hand();
        u64::try_from(beyond).unwrap_or(0)
    });
    let oversold_units = oversold_units.sum();
    broken.unless_equal("oversold units", oversold_units, 0_u64);
    let broken_laws = broken.into_sentences();
    ReplayReport {
        file: args.file.display().to_string(),
        stock: args.stock,
        threads: args.threads,
        lines: orders.lines,
        invoices: orders.invoices.len() as u64,
        products,
        charges_skipped: orders.charges_skipped,
        lines_rejected: orders.lines_rejected,
        baskets_reserved: tally.baskets_reserved,
        baskets_refused: tally.baskets_refused,
        units_sold: tally.units_sold,
        units_returned: tally.units_returned,
        returns_refused: tally.returns_refused,
        units_written_off: tally.units_written_off,
        write_offs_refused: tally.write_offs_refused,
        available: stock.available,
        reserved: stock.reserved,
        oversold_units,
        conserved: broken_laws.is_empty(),
        broken_laws,
        audit_entries: books.movements - history.movements,
        audit_events: books.events - history.events,
        seconds: 0.0,
        journal: None,
    }
}

impl Report for ReplayReport {}

impl fmt::Display for ReplayReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stock = counted(self.stock.into(), "unit");
        let threads = counted(self.threads.into(), "thread");
        writeln!(f, "Replay of {}: {stock} of each product, {threads}\n", self.file)?;
        let mut summary = Summary::default();
        summary.line("lines", self.lines, format_args!("replayed in {:.3} s", self.seconds));
        summary.line("  charges skipped", self.charges_skipped, "");
        summary.line("  rejected", self.lines_rejected, "");
        summary.line("invoices", self.invoices, "");
        summary.line("products", self.products, "");
        summary.line("baskets reserved", self.baskets_reserved, "and confirmed");
        summary.line("baskets refused", self.baskets_refused, "at least one line was short");
        summary.line("units sold", self.units_sold, "");
        summary.line("units returned", self.units_returned, "");
        if self.returns_refused > 0 {
            summary.line("  returns refused", self.returns_refused, "the warehouse was full");
        }
        summary.line("units written off", self.units_written_off, "");
        summary.line("  write-offs refused", self.write_offs_refused, "stock was short");
        summary.line("available", self.available, "units at the end");
        summary.line("reserved", self.reserved, "units at the end, all of them sold");
        summary.line("oversold units", self.oversold_units, "");
        summary.line(
            "audit entries",
            self.audit_entries,
            format_args!("and {} events", grouped(self.audit_events)),
        );
        if let Some(journal) = &self.journal {
            journal.add_to(&mut summary);
        }
        write!(f, "{summary}")?;
        let proof = "live counts, audit log and the answers to every call agree on every product";
        report::verdict(f, &self.broken_laws, proof)
    }
}
