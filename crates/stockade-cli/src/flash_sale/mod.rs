//! `stockade flash-sale`: many buyers, few units.

pub(crate) mod customers;
mod report;

use std::collections::HashSet;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use clap::builder::RangedU64ValueParser;
use clap::value_parser;
use indicatif::ProgressBar;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::Zipf;
use stockade::{InventoryManager, Limits, MAX_UNITS};

use crate::auditor::{self, Findings};
use crate::books::{Bookkeeper, Books};
use crate::buyer::{self, Sale, SaleTally};
use crate::flash_sale::customers::CustomerArgs;
use crate::flash_sale::report::account;
use crate::interrupt;
use crate::journal::JournalArgs;
use crate::proof::{self, Broken, End, Shelf};
use crate::report::Output;
use crate::{Failure, Verdict};

/// The warehouse of all stock.
const WAREHOUSE: &str = "MAIN";

/// How long after its expiry an abandoned hold may still be pending. Later counts as a failure.
const GRACE: Duration = Duration::from_secs(10);

/// The same limit if the journal had pending holds: they still exist, and cannot be told apart from
/// the buyers' holds.
const SETTLING: Duration = Duration::from_secs(1);

/// How long an interrupted sale waits for its abandoned holds to expire.
const PATIENCE: Duration = Duration::from_secs(2);

/// Slots beyond the holds that can live at once, for holds that are just beginning or ending.
const SPARE_SLOTS: u64 = 1 << 17;

/// The maximum number of slots of an engine.
const SLOTS_MAX: u32 = 1 << 31;

/// Many buyers, few units: shows that no unit is sold twice or lost
///
/// Buyers (one thread each) reserve single units of products with uneven demand, then confirm,
/// release, or abandon the hold so that it expires. Meanwhile an auditor reads the stock levels,
/// and counts each moment in which a law is broken. Once the last abandoned hold has expired, live
/// counts, audit log and the buyers' receipts are compared, product by product.
///
/// Ctrl-C ends the sale with its result: buyers stop, and holds that would live longer than two
/// seconds are left pending. A second one ends the program at once.
#[derive(Debug, clap::Args)]
pub(crate) struct SaleArgs {
    /// Buyers, one thread each: 1 to 1024
    #[arg(long, allow_negative_numbers = true, value_name = "N", default_value_t = 8, value_parser = value_parser!(u32).range(1..=1024))]
    buyers: u32,
    /// Products on sale: 1 to 16777216
    #[arg(long, allow_negative_numbers = true, value_name = "N", default_value_t = 100, value_parser = value_parser!(u32).range(1..=1 << 24))]
    products: u32,
    /// Units of each product; of all products together at most 2147483647, what a warehouse holds
    #[arg(long, allow_negative_numbers = true, value_name = "N", default_value_t = 1_000, value_parser = units())]
    stock: u32,
    /// Attempts to reserve a unit, over all buyers
    #[arg(long, allow_negative_numbers = true, value_name = "N", default_value_t = 2_000_000, value_parser = value_parser!(u64).range(1..))]
    attempts: u64,
    /// How uneven demand is: the product of rank r is wanted 1/r^S times as much as the first one;
    /// 0 makes all equal; at most 10
    #[arg(long, allow_negative_numbers = true, value_name = "S", default_value_t = 1.0, value_parser = zipf)]
    zipf: f64,
    /// The fraction of reserved units that is confirmed, 0 to 1; of the others, half are released
    /// and half are left to expire
    #[arg(long, allow_negative_numbers = true, value_name = "RATE", default_value_t = 0.7, value_parser = rate)]
    confirm_rate: f64,
    /// How long a hold lives, in milliseconds: 1 to 3600000; the run ends after the last one
    #[arg(long, allow_negative_numbers = true, value_name = "MS", default_value_t = 20, value_parser = value_parser!(u64).range(1..=3_600_000))]
    ttl_ms: u64,
    /// Seed of the buyers' shopping lists
    #[arg(long, allow_negative_numbers = true, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    customers: CustomerArgs,
    #[command(flatten)]
    journal: JournalArgs,
}

fn units() -> RangedU64ValueParser<u32> {
    RangedU64ValueParser::new().range(1..=u64::from(MAX_UNITS))
}

fn zipf(text: &str) -> Result<f64, String> {
    number_within(text, 0.0, 10.0)
}

pub(crate) fn rate(text: &str) -> Result<f64, String> {
    number_within(text, 0.0, 1.0)
}

fn number_within(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("expected a number from {least} to {most}"))
}

/// Runs the sale and prints the result.
pub(crate) fn run(args: &SaleArgs, output: Output) -> Result<Verdict, Failure> {
    args.customers.check(args.products)?;
    let units_stocked = u64::from(args.products) * u64::from(args.stock);
    if units_stocked > u64::from(MAX_UNITS) {
        return Err(Failure::Call(format!(
            "--products {} of --stock {} make {units_stocked} units, but a warehouse holds at most {MAX_UNITS}",
            args.products, args.stock
        )));
    }
    interrupt::listen()?;
    let history = args.journal.history(output)?;
    let there = history.total();
    if there.on_hand() + i128::from(units_stocked) > i128::from(MAX_UNITS) {
        return Err(Failure::Call(format!(
            "{units_stocked} units on top of the {} in the journal are more than a warehouse holds, {MAX_UNITS}",
            there.on_hand()
        )));
    }
    let progress = output.progress(args.attempts, "attempts");
    let bookkeeper = Bookkeeper::new(history.clone());
    let slots = units_stocked.saturating_add(u64::try_from(there.held()).unwrap_or(0));
    let manager = engine(args, slots, bookkeeper.clone())?;
    let shelves = fill_shelves(&manager, args, &history)?;
    args.customers.limit(&manager, &shelves)?;
    let rush = sell_out(args, &manager, (&shelves, &history), &progress)?;
    manager.flush().wait().map_err(|error| Failure::run("the audit log is incomplete", error))?;
    progress.finish_and_clear();

    let mut broken = Broken::default();
    let journal = args.journal.finish(&manager, (&history, output), &mut broken)?;
    let books = (&history, &bookkeeper.books());
    let shop = (&manager, &*shelves);
    let mut report = account(args, shop, rush, books, broken);
    report.journal = journal;
    output.show(&report)?;
    Ok(if report.conserved { Verdict::Kept } else { Verdict::Broken })
}

/// Builds an engine in which every unit can be on hold at once.
fn engine(args: &SaleArgs, units: u64, books: Bookkeeper) -> Result<InventoryManager, Failure> {
    let slots =
        u32::try_from(units.min(args.attempts) + SPARE_SLOTS).unwrap_or(u32::MAX).min(SLOTS_MAX);
    let builder = InventoryManager::builder()
        .warehouse(WAREHOUSE)
        // Nobody reads the log in memory, because the sink keeps the books. So retain one entry.
        .limits(Limits::new().max_reservations(slots).audit_retained(1))
        .sink(books);
    args.journal.build(builder)
}

/// Stocks the shelves of the sale. Shelves that only the journal knows follow them.
fn fill_shelves(
    manager: &InventoryManager,
    args: &SaleArgs,
    history: &Books,
) -> Result<Vec<Shelf>, Failure> {
    let product = |number: u32| format!("P{number:05}");
    let fill = |product: &str, stock| {
        proof::fill_shelf(manager, (WAREHOUSE, product), stock, "FLASH-SALE")
    };
    let mut shelves = (1..=args.products)
        .map(|number| fill(&product(number), args.stock))
        .collect::<Result<Vec<Shelf>, Failure>>()?;
    let on_sale: HashSet<String> = (1..=args.products).map(product).collect();
    for other in history.products().into_iter().filter(|it| !on_sale.contains(*it)) {
        shelves.push(fill(other, 0)?);
    }
    Ok(shelves)
}

/// The result of the sale itself, before the comparison.
#[derive(Debug)]
struct Rush {
    tally: SaleTally,
    findings: Findings,
    took: Duration,
    end: End,
}

/// Runs the buyers and the auditor, and waits until no hold is left.
fn sell_out(
    args: &SaleArgs,
    manager: &InventoryManager,
    (shelves, history): (&[Shelf], &Books),
    progress: &ProgressBar,
) -> Result<Rush, Failure> {
    let demand = Zipf::new(f64::from(args.products), args.zipf)
        .map_err(|error| Failure::Call(format!("--zipf {}: {error}", args.zipf)))?;
    let sale = Sale {
        manager,
        shelves,
        demand,
        confirm_rate: args.confirm_rate,
        ttl: Duration::from_millis(args.ttl_ms),
        customers: args.customers.of(args.attempts),
        progress,
        doors: OnceLock::new(),
    };
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = || auditor::watch(manager, shelves, &over);
        let auditor = spawn(scope, "auditor", watch)?;
        let rushed = rush(args, &sale);
        let mut end = End::Settled;
        if rushed.is_ok() {
            progress.set_message("attempts, waiting for abandoned holds to expire");
            end = wait_for_expiry(manager, shelves, history, sale.ttl);
        }
        // Release pairs with the Acquire load in the auditor: its last round sees everything that
        // the buyers did.
        over.store(true, Ordering::Release);
        let findings = join(auditor)?;
        let (tally, took) = rushed?;
        Ok(Rush { tally, findings, took, end })
    })
}

/// Runs all buyers to their end. Returns the time from the start signal on.
fn rush(args: &SaleArgs, sale: &Sale<'_>) -> Result<(SaleTally, Duration), Failure> {
    let mut seeds = Xoshiro256PlusPlus::seed_from_u64(args.seed);
    thread::scope(|scope| {
        let mut buyers = Vec::new();
        for number in 0..u64::from(args.buyers) {
            let (share, rest) =
                (args.attempts / u64::from(args.buyers), args.attempts % u64::from(args.buyers));
            let attempts = share + u64::from(number < rest);
            let seed = seeds.random();
            match spawn(scope, "buyer", move || buyer::shop(sale, seed, attempts)) {
                Ok(buyer) => buyers.push(buyer),
                Err(failure) => {
                    // Release the buyers that have started: they would wait for ever.
                    let _ = sale.doors.set(false);
                    return Err(failure);
                }
            }
        }
        let start = Instant::now();
        let _ = sale.doors.set(true);
        let told: Vec<_> = buyers.into_iter().map(join).collect();
        let took = start.elapsed();
        let mut total = SaleTally::new()?;
        for tally in told {
            total.add(&tally??)?;
        }
        Ok((total, took))
    })
}

fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>, Failure> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, work);
    thread.map_err(|error| Failure::run(format!("no thread for the {name}"), error))
}

fn join<T>(thread: ScopedJoinHandle<'_, T>) -> Result<T, Failure> {
    let name = thread.thread().name().unwrap_or("thread").to_owned();
    thread.join().map_err(|_| Failure::Run(format!("the {name} panicked")))
}

/// Returns when no unit is held any more, or after `longest`. If the journal had pending holds,
/// they may live longer. Then it returns when all holds of the buyers must have expired. A signal
/// ends the wait a little after it came.
fn wait_for_expiry(
    manager: &InventoryManager,
    shelves: &[Shelf],
    history: &Books,
    ttl: Duration,
) -> End {
    let start = Instant::now();
    let mut signalled = None;
    let held = |shelf: &Shelf| i128::from(manager.counts(shelf.level).expect("known").held());
    let is_over = |shelf: &Shelf| match held(shelf) {
        0 => true,
        held => start.elapsed() > ttl + SETTLING && held <= history.account(&shelf.product).held(),
    };
    while !shelves.iter().all(is_over) && start.elapsed() < ttl + GRACE {
        if interrupt::heard() && signalled.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
            return End::Cut;
        }
        thread::sleep(Duration::from_millis(1));
    }
    End::Settled
}
