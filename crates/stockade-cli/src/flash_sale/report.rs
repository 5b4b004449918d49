//! The result of a sale: the comparison of the buyers' receipts with the levels and the log, as
//! JSON and as a summary.

use std::fmt;

use hdrhistogram::Histogram;
use serde::Serialize;
use stockade::InventoryManager;

use crate::books::Books;
use crate::flash_sale::{Rush, SaleArgs};
use crate::interrupt;
use crate::journal::JournalReport;
use crate::proof::{self, Broken, End, Shelf};
use crate::report::{self, Report, Summary, counted, grouped, span};

/// The result. It covers this run alone, except `oversold_units`, `conserved` and `broken_laws`,
/// which cover the whole journal. Its field names are part of the program's interface.
#[derive(Debug, Serialize)]
pub(super) struct SaleReport {
    buyers: u32,
    products: u32,
    stock: u32,
    zipf: f64,
    confirm_rate: f64,
    ttl_ms: u64,
    seed: u64,
    /// Attempts that were made: fewer than those that were asked for, if `interrupted`.
    attempts: u64,
    /// Whether a signal ended the sale.
    interrupted: bool,
    reserved: u64,
    refused: u64,
    /// The part of `refused` that found no free slot, rather than no stock.
    refused_full: u64,
    /// The part of `refused` that a customer's limit refused.
    refused_limit: u64,
    /// What each customer may hold and buy, if that is limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u32>,
    /// Who bought, if customers were told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    customers: Option<CustomerReport>,
    confirmed: u64,
    released: u64,
    /// Abandoned holds, and holds that a buyer found expired.
    expired: u64,
    /// The part of `expired` that an interrupted sale did not wait for: they will expire.
    pending: u64,
    units_stocked: u64,
    units_sold: u64,
    /// Units sold of each product beyond those stocked, summed. For each product, the witness with
    /// the highest count decides.
    oversold_units: u64,
    /// Whether all witnesses agree: `broken_laws` is empty, and no unit was oversold.
    pub(super) conserved: bool,
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
    /// The latency of the attempts that reserved a unit, and of the refused ones; exact to 1%.
    /// Apart, because a refusal only reads a level. `null` if there were none.
    reserve_ns: Option<Latencies>,
    refuse_ns: Option<Latencies>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) journal: Option<JournalReport>,
}

/// Who bought.
#[derive(Debug, Serialize)]
struct CustomerReport {
    /// Customers who bought something.
    bought: u64,
    /// The most units that one of them bought.
    most: u64,
    bot_attempts: u64,
    bot_units: u64,
}

#[derive(Debug, Serialize)]
struct Latencies {
    p50: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

/// Compares the buyers' receipts, the levels and the log.
pub(super) fn account(
    args: &SaleArgs,
    (manager, shelves): (&InventoryManager, &[Shelf]),
    rush: Rush,
    (history, books): (&Books, &Books),
    mut broken: Broken,
) -> SaleReport {
    let Rush { tally, findings, took, end } = rush;
    let stock = proof::take_stock((manager, shelves), (history, books), end, &mut broken);
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
    let attempts = tally.reserved + tally.refused;
    let (log, before) = (books.total(), history.total());
    let ended = tally.confirmed + tally.released + tally.expired;
    // Holds from the journal that have expired during this run.
    let lapsed = before.held() - (i128::from(stock.reserved) - i128::from(stock.sold));
    let mut check = |what: &str, found: u64, before: u64, expected: i128| {
        broken.unless_equal(what, i128::from(found) - i128::from(before), expected);
    };
    if !interrupt::heard() {
        check("attempts answered", attempts, 0, args.attempts.into());
    }
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
    let customers = args.customers.of(args.attempts).told_apart.then(|| CustomerReport {
        bought: tally.bought.len() as u64,
        most: tally.bought.values().copied().max().unwrap_or(0),
        bot_attempts: tally.bot_attempts,
        bot_units: tally
            .bought
            .iter()
            .filter(|(who, _)| who.is_bot())
            .map(|(_, units)| units)
            .sum(),
    });
    if let (Some(limit), Some(CustomerReport { most, .. })) = (args.customers.limit, &customers) {
        broken.unless(*most <= limit.into(), || {
            format!("a customer bought {most} units, where each may buy {limit}")
        });
    }
    let broken_laws = broken.into_sentences();
    let seconds = report::seconds(took);
    SaleReport {
        buyers: args.buyers,
        products: args.products,
        stock: args.stock,
        zipf: args.zipf,
        confirm_rate: args.confirm_rate,
        ttl_ms: args.ttl_ms,
        seed: args.seed,
        attempts,
        interrupted: attempts < args.attempts || end == End::Cut,
        reserved: tally.reserved,
        refused: tally.refused,
        refused_full: tally.refused_full,
        refused_limit: tally.refused_limit,
        limit: args.customers.limit,
        customers,
        confirmed: tally.confirmed,
        released: tally.released,
        expired: tally.expired,
        pending: u64::try_from(-lapsed).unwrap_or(0),
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
        attempts_per_second: (attempts as f64 / took.as_secs_f64().max(1e-9)).round(),
        reserve_ns: Latencies::of(&tally.reserve_ns),
        refuse_ns: Latencies::of(&tally.refuse_ns),
        journal: None,
    }
}

impl Latencies {
    /// `None` if nothing was timed.
    fn of(timed: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| timed.value_at_quantile(quantile);
        let all = Self { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: timed.max() };
        (!timed.is_empty()).then_some(all)
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, p999, max] = [self.p50, self.p99, self.p999, self.max].map(span);
        write!(f, "p50 {p50}, p99 {p99}, p99.9 {p999}, at most {max}")
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
        if self.interrupted {
            summary.text("  interrupted", "by a signal, before its end");
        }
        summary.line("refused", self.refused, "nothing left to reserve at that moment");
        if self.refused_full > 0 {
            summary.line("  for want of a slot", self.refused_full, "");
        }
        if let Some(limit) = self.limit {
            let each = counted(limit.into(), "unit");
            summary.line("  by the limit", self.refused_limit, format_args!("{each} a customer"));
        }
        summary.line("reserved", self.reserved, "");
        summary.line("  confirmed", self.confirmed, "");
        summary.line("  released", self.released, "");
        summary.line("  expired", self.expired, format_args!("after {} ms", self.ttl_ms));
        if self.pending > 0 {
            let note = "of these, when the sale was interrupted";
            summary.line("    pending", self.pending, note);
        }
        summary.line("units stocked", self.units_stocked, "");
        summary.line("units sold", self.units_sold, "");
        if let Some(CustomerReport { bought, most, bot_attempts, bot_units }) = &self.customers {
            let most = counted(*most, "unit");
            summary.line("  to customers", *bought, format_args!("at most {most} each"));
            let attempts = counted(*bot_attempts, "attempt");
            summary.line("  units to bots", *bot_units, format_args!("for {attempts}"));
        }
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
        writeln!(f)?;
        let latencies = [("reserve", &self.reserve_ns), ("refusal", &self.refuse_ns)];
        for (what, latencies) in latencies {
            if let Some(latencies) = latencies {
                writeln!(f, "  a {what} took        {latencies}")?;
            }
        }
        let proof = "live counts, audit log and the buyers' receipts agree on every product";
        report::verdict(f, &self.broken_laws, proof)
    }
}
