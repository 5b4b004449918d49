//! `stockade flash-sale`: many buyers, few units.

use std::collections::HashSet;
use std::fmt;
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
use serde::Serialize;
use stockade::{InventoryManager, Limits, MAX_UNITS};

use crate::auditor::{self, Findings};
use crate::books::{Bookkeeper, Books};
use crate::buyer::{self, Sale, SaleTally};
use crate::journal::{JournalArgs, JournalReport};
use crate::proof::{self, Broken, Shelf};
use crate::report::{self, Output, Report, Summary, counted, grouped, span};
use crate::{Failure, Verdict};

/// The warehouse of all stock.
const WAREHOUSE: &str = "MAIN";

/// How long after its expiry an abandoned hold may still be pending. Later counts as a failure.
const GRACE: Duration = Duration::from_secs(10);

/// The same limit if the journal had pending holds: they still exist, and cannot be told apart from
/// the buyers' holds.
const SETTLING: Duration = Duration::from_secs(1);

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
    journal: JournalArgs,
}

fn units() -> RangedU64ValueParser<u32> {
    RangedU64ValueParser::new().range(1..=u64::from(MAX_UNITS))
}

fn zipf(text: &str) -> Result<f64, String> {
    number_within(text, 0.0, 10.0)
}

fn rate(text: &str) -> Result<f64, String> {
    number_within(text, 0.0, 1.0)
}

fn number_within(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("expected a number from {least} to {most}"))
}

/// The result. It covers this run alone, except `oversold_units`, `conserved` and `broken_laws`,
/// which cover the whole journal. Its field names are part of the program's interface.
#[derive(Debug, Serialize)]
struct SaleReport {
    buyers: u32,
    products: u32,
    stock: u32,
    zipf: f64,
    confirm_rate: f64,
    ttl_ms: u64,
    seed: u64,
    attempts: u64,
    reserved: u64,
    refused: u64,
    /// The part of `refused` that found no free slot, rather than no stock.
    refused_full: u64,
    confirmed: u64,
    released: u64,
    /// Abandoned holds, and holds that a buyer found expired.
    expired: u64,
    units_stocked: u64,
    units_sold: u64,
    /// Units sold of each product beyond those stocked, summed. For each product, the witness with
    /// the highest count decides.
    oversold_units: u64,
    /// Whether all witnesses agree: `broken_laws` is empty, and no unit was oversold.
    conserved: bool,
    broken_laws: Vec<String>,
    /// How many times the auditor read a level while buyers moved stock or holds expired.
    law_checks: u64,
    /// How many of these reads showed a broken law.
    law_breaks: u64,
    /// Entries of the audit log that move units. All other entries are events.
    audit_entries: u64,
    audit_events: u64,
    /// Seconds from the start signal to the last attempt of the last buyer.
    seconds: f64,
    attempts_per_second: f64,
    /// The latency of every attempt, refused ones included; exact to 1%.
    reserve_ns: Latencies,
    #[serde(skip_serializing_if = "Option::is_none")]
    journal: Option<JournalReport>,
}

#[derive(Debug, Serialize)]
struct Latencies {
    p50: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

/// Runs the sale and prints the result.
pub(crate) fn run(args: &SaleArgs, output: Output) -> Result<Verdict, Failure> {
    let units_stocked = u64::from(args.products) * u64::from(args.stock);
    if units_stocked > u64::from(MAX_UNITS) {
        return Err(Failure::Call(format!(
            "--products {} of --stock {} make {units_stocked} units, but a warehouse holds at most {MAX_UNITS}",
            args.products, args.stock
        )));
    }
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
    let rush = sell_out(args, &manager, (&shelves, &history), &progress)?;
    manager.flush().wait().map_err(|error| Failure::run("the audit log is incomplete", error))?;
    progress.finish_and_clear();

    let mut broken = Broken::default();
    let journal = args.journal.finish(&manager, &history, &mut broken)?;
    let books = (&history, &bookkeeper.books());
    let report = SaleReport { journal, ..account(args, &manager, &shelves, rush, books, broken) };
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
        progress,
        doors: OnceLock::new(),
    };
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = || auditor::watch(manager, shelves, &over);
        let auditor = spawn(scope, "auditor", watch)?;
        let rushed = rush(args, &sale);
        if rushed.is_ok() {
            progress.set_message("attempts, waiting for abandoned holds to expire");
            wait_for_expiry(manager, shelves, history, sale.ttl);
        }
        // Release pairs with the Acquire load in the auditor: its last round sees everything that
        // the buyers did.
        over.store(true, Ordering::Release);
        let findings = join(auditor)?;
        let (tally, took) = rushed?;
        Ok(Rush { tally, findings, took })
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
/// they may live longer. Then it returns when all holds of the buyers must have expired.
fn wait_for_expiry(manager: &InventoryManager, shelves: &[Shelf], history: &Books, ttl: Duration) {
    let start = Instant::now();
    let held = |shelf: &Shelf| i128::from(manager.counts(shelf.level).expect("known").held());
    let is_over = |shelf: &Shelf| match held(shelf) {
        0 => true,
        held => start.elapsed() > ttl + SETTLING && held <= history.account(&shelf.product).held(),
    };
    while !shelves.iter().all(is_over) && start.elapsed() < ttl + GRACE {
        thread::sleep(Duration::from_millis(1));
    }
}

/// Compares the buyers' receipts, the levels and the log.
#[expect(clippy::too_many_arguments, reason = "all that the report is made of")]
fn account(
    args: &SaleArgs,
    manager: &InventoryManager,
    shelves: &[Shelf],
    rush: Rush,
    (history, books): (&Books, &Books),
    mut broken: Broken,
) -> SaleReport {
    let Rush { tally, findings, took } = rush;
    let stock = proof::take_stock(manager, shelves, (history, books), &mut broken);
    let mut oversold_units = 0;
    for (number, shelf) in (0_u32..).zip(shelves) {
        let Shelf { product, level, .. } = shelf;
        let bought = tally.receipts.get(&number).copied().unwrap_or(0) + u64::from(shelf.sold);
        let account = books.account(product);
        let sold = manager.counts(*level).expect("known").sold.into();
        let stocked = if number < args.products { u64::from(args.stock) } else { 0 };
        let check = |broken: &mut Broken, what: &str, found: u64, expected: u64| {
            broken.unless_equal(format_args!("{product}, {what}"), found, expected);
        };
        let received = history.account(product).received + stocked;
        check(&mut broken, "units that the log received", account.received, received);
        check(&mut broken, "units that buyers have receipts for, against those sold", bought, sold);
        // The highest count of the three witnesses.
        let most = bought.max(sold).max(account.sold);
        oversold_units += most.saturating_sub(u64::from(shelf.on_hand));
    }
    broken.unless_equal("oversold units", oversold_units, 0_u64);
    let (log, before) = (books.total(), history.total());
    let ended = tally.confirmed + tally.released + tally.expired;
    // Holds from the journal that have expired during this run.
    let lapsed = before.held() - (i128::from(stock.reserved) - i128::from(stock.sold));
    let mut check = |what: &str, found: u64, before: u64, expected: i128| {
        broken.unless_equal(what, i128::from(found) - i128::from(before), expected);
    };
    check("attempts answered", tally.reserved + tally.refused, 0, args.attempts.into());
    check("holds ended, against those made", ended, 0, tally.reserved.into());
    check("holds that the log reserved", log.reserved, before.reserved, tally.reserved.into());
    check("holds that the log sold", log.sold, before.sold, tally.confirmed.into());
    let expired = i128::from(tally.expired) + lapsed;
    check("holds that the log let expire", log.expired, before.expired, expired);
    let returned = i128::from(tally.released) + expired;
    check("holds that the log gave back", log.returned, before.returned, returned);
    broken.unless(findings.law_breaks == 0, || {
        let first = findings.first.as_deref().unwrap_or_default();
        format!("{} broken laws seen while the sale ran, first {first}", findings.law_breaks)
    });
    let broken_laws = broken.into_sentences();
    let seconds = report::seconds(took);
    let at = |quantile| tally.reserve_ns.value_at_quantile(quantile);
    SaleReport {
        buyers: args.buyers,
        products: args.products,
        stock: args.stock,
        zipf: args.zipf,
        confirm_rate: args.confirm_rate,
        ttl_ms: args.ttl_ms,
        seed: args.seed,
        attempts: args.attempts,
        reserved: tally.reserved,
        refused: tally.refused,
        refused_full: tally.refused_full,
        confirmed: tally.confirmed,
        released: tally.released,
        expired: tally.expired,
        units_stocked: u64::from(args.stock) * u64::from(args.products),
        units_sold: stock.sold.saturating_sub(before.sold),
        oversold_units,
        conserved: broken_laws.is_empty(),
        broken_laws,
        law_checks: findings.looks,
        law_breaks: findings.law_breaks,
        audit_entries: books.movements - history.movements,
        audit_events: books.events - history.events,
        seconds,
        attempts_per_second: (args.attempts as f64 / took.as_secs_f64().max(1e-9)).round(),
        reserve_ns: Latencies {
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: tally.reserve_ns.max(),
        },
        journal: None,
    }
}

impl Report for SaleReport {}

impl fmt::Display for SaleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let buyers = counted(self.buyers.into(), "buyer");
        let products = counted(self.products.into(), "product");
        let stock = counted(self.stock.into(), "unit");
        writeln!(f, "Flash sale: {buyers}, {products} of {stock} each, seed {}\n", self.seed)?;
        let mut summary = Summary::default();
        let rate = grouped(self.attempts_per_second as u64);
        summary.line(
            "attempts",
            self.attempts,
            format_args!("in {:.3} s, {rate} a second", self.seconds),
        );
        summary.line("refused", self.refused, "nothing left to reserve at that moment");
        if self.refused_full > 0 {
            summary.line("  for want of a slot", self.refused_full, "");
        }
        summary.line("reserved", self.reserved, "");
        summary.line("  confirmed", self.confirmed, "");
        summary.line("  released", self.released, "");
        summary.line("  expired", self.expired, format_args!("after {} ms", self.ttl_ms));
        summary.line("units stocked", self.units_stocked, "");
        summary.line("units sold", self.units_sold, "");
        summary.line("oversold units", self.oversold_units, "");
        let events = grouped(self.audit_events);
        summary.line("audit entries", self.audit_entries, format_args!("and {events} events"));
        let breaks = grouped(self.law_breaks);
        summary.line(
            "looks at levels",
            self.law_checks,
            format_args!("meanwhile, {breaks} of them at a broken law"),
        );
        if let Some(journal) = &self.journal {
            journal.add_to(&mut summary);
        }
        write!(f, "{summary}")?;
        let Latencies { p50, p99, p999, max } = self.reserve_ns;
        let [p50, p99, p999, max] = [p50, p99, p999, max].map(span);
        writeln!(f, "\n  a reserve took        p50 {p50}, p99 {p99}, p99.9 {p999}, at most {max}")?;
        let proof = "live counts, audit log and the buyers' receipts agree on every product";
        report::verdict(f, &self.broken_laws, proof)
    }
}
