//! `stockade replay`: replays a real order book through the engine.

mod report;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::value_parser;
use indicatif::ProgressBar;
use stockade::{
    AddError, BasketError, BasketLine, HoldRequest, InvalidInput, InventoryManager, Limits,
    MAX_UNITS, RemoveError, Request,
};

use crate::books::{Bookkeeper, Books};
use crate::interrupt;
use crate::journal::JournalArgs;
use crate::orders::{Invoice, OrderFormat, OrderLine, Orders};
use crate::proof::{self, Broken, Shelf};
use crate::replay::report::account;
use crate::report::{Output, seconds};
use crate::{Failure, Verdict};

/// The note that names the invoice of an entry.
const INVOICE: &str = "invoice";

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
/// is rejected if its quantity is 0 or no whole number, if it is positive in an invoice that begins
/// with C, or if a space or a spreadsheet's text marker (' or =) stands before its stock code.
/// Rejected lines are named; a file of which no line can be replayed is refused. Each entry in the
/// journal bears its invoice's number, as the note `invoice`.
///
/// Commas, semicolons, tabs and bars are recognized, and so are UTF-8, UTF-16 and the line ends of
/// all systems. Ctrl-C ends the run with its result.
#[derive(Debug, clap::Args)]
pub(crate) struct ReplayArgs {
    /// A CSV file with the columns InvoiceNo (or Invoice), StockCode and Quantity, in any order and
    /// in upper or lower case; others are ignored
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    format: OrderFormat,
    /// Refuse a file with a line that would be rejected, before anything is moved
    #[arg(long)]
    strict: bool,
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

/// What the engine answered.
#[derive(Clone, Copy, Debug, Default)]
struct ReplayTally {
    /// Invoices that were processed.
    invoices: u64,
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
        self.invoices += other.invoices;
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
    interrupt::listen()?;
    let bar = output.progress(0, "bytes of the file");
    let orders = Orders::read(&args.file, &args.format, &bar)?;
    bar.finish_and_clear();
    orders.check(&args.file, args.strict)?;
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
    let journal = args.journal.finish(&manager, (&history, output), &mut broken)?;
    let books = (&history, &bookkeeper.books());
    let shop = Store { manager: &manager, shelves: &shelves };
    let mut report = account(args, &orders, &shop, tally, books, broken);
    (report.journal, report.seconds) = (journal, seconds(took));
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
        while !interrupt::heard() {
            // Relaxed: the counter hands out indexes of lists that nobody changes.
            let index = handed_out.fetch_add(1, Ordering::Relaxed);
            let (Some(invoice), Some(number)) =
                (orders.invoices.get(index), orders.numbers.get(index))
            else {
                break;
            };
            Clerk { store, number }.process(invoice, &mut tally)?;
            tally.invoices += 1;
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

/// Who processes one invoice.
struct Clerk<'a> {
    store: &'a Store<'a>,
    /// The invoice's number.
    number: &'a str,
}

impl<'a> Clerk<'a> {
    /// A call that notes the invoice's number.
    fn request(&self) -> Request<'a> {
        self.store.manager.request().note(INVOICE, self.number)
    }

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
        match HoldRequest::from(self.request()).reserve_basket(&lines, HOLD) {
            Ok(id) => {
                self.request()
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
        match self.request().remove_stock(self.shelf(line).level, quantity(line), "WRITE-OFF") {
            Ok(()) => tally.units_written_off += line.units,
            Err(
                RemoveError::Insufficient { .. } | RemoveError::Input(InvalidInput::Quantity(_)),
            ) => tally.write_offs_refused += 1,
            Err(error) => return Err(Failure::run("units can't be written off", error)),
        }
        Ok(())
    }

    fn take_back(&self, line: &OrderLine, tally: &mut ReplayTally) -> Result<(), Failure> {
        match self.request().add_stock(self.shelf(line).level, quantity(line), "CUSTOMER-RETURN") {
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
        &self.store.shelves[line.product]
    }
}

/// The quantity to ask the engine for. It refuses more units than it can count, so larger numbers
/// are capped.
fn quantity(line: &OrderLine) -> u32 {
    u32::try_from(line.units).unwrap_or(u32::MAX)
}
