//! The result of a replay: the comparison of the callers' answers with the levels and the log, as
//! JSON and as a summary.

use std::fmt;

use serde::Serialize;

use crate::books::Books;
use crate::journal::JournalReport;
use crate::orders::{Orders, Rejected, Similar, named};
use crate::proof::{self, Broken, End};
use crate::replay::{ReplayArgs, ReplayTally, Store};
use crate::report::{self, Report, Summary, counted, grouped, printable};

/// The result. It covers this run alone, except `available`, `reserved`, `oversold_units`,
/// `conserved` and `broken_laws`, which cover the whole journal. Its field names are part of the
/// program's interface.
#[derive(Debug, Serialize)]
pub(super) struct ReplayReport {
    file: String,
    stock: u32,
    threads: u32,
    lines: u64,
    invoices: u64,
    products: u64,
    charges_skipped: u64,
    lines_rejected: u64,
    /// The first 1,000 rejected lines.
    rejected: Vec<Rejected>,
    /// Stock codes, invoice numbers: groups that differ only by case or spaces at their ends.
    similar_codes: Vec<Similar>,
    similar_invoices: Vec<Similar>,
    /// Whether a signal ended the run. Then the other invoices were left out.
    interrupted: bool,
    invoices_replayed: u64,
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
    pub(super) conserved: bool,
    broken_laws: Vec<String>,
    /// Entries of the audit log that move units. All other entries are events.
    audit_entries: u64,
    audit_events: u64,
    /// Seconds from the first `add_stock` until the audit log was written. Reading the file is not
    /// included.
    pub(super) seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) journal: Option<JournalReport>,
}

/// Compares the callers' answers with the levels and the log.
#[expect(clippy::too_many_arguments, reason = "all that the report is made of")]
pub(super) fn account(
    args: &ReplayArgs,
    orders: &Orders,
    store: &Store<'_>,
    tally: ReplayTally,
    (history, books): (&Books, &Books),
    mut broken: Broken,
) -> ReplayReport {
    let stock = proof::take_stock(
        (store.manager, store.shelves),
        (history, books),
        End::Settled,
        &mut broken,
    );
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
        rejected: orders.rejected.clone(),
        similar_codes: orders.similar_codes.clone(),
        similar_invoices: orders.similar_invoices.clone(),
        interrupted: tally.invoices < orders.invoices.len() as u64,
        invoices_replayed: tally.invoices,
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
        let file = printable(&self.file);
        writeln!(f, "Replay of {file}: {stock} of each product, {threads}\n")?;
        let mut summary = Summary::default();
        summary.line("lines", self.lines, format_args!("replayed in {:.3} s", self.seconds));
        summary.line("  charges skipped", self.charges_skipped, "");
        summary.line("  rejected", self.lines_rejected, "");
        summary.line("invoices", self.invoices, "");
        if self.interrupted {
            let note = "when it was interrupted";
            summary.line("  replayed", self.invoices_replayed, note);
        }
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
        let total = self.lines_rejected;
        list(f, "Rejected, and not replayed", &self.rejected, total)?;
        let likely = "differ only by case or spaces, and are taken for different ones";
        let groups = &self.similar_codes;
        list(f, &format!("Stock codes that {likely}"), groups, groups.len() as u64)?;
        let groups = &self.similar_invoices;
        list(f, &format!("Invoice numbers that {likely}"), groups, groups.len() as u64)?;
        let proof = "live counts, audit log and the answers to every call agree on every product";
        report::verdict(f, &self.broken_laws, proof)
    }
}

/// The first of some things, if there are any.
fn list(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    all: &[impl fmt::Display],
    total: u64,
) -> fmt::Result {
    if all.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n{title}:")?;
    named(all, total).iter().try_for_each(|it| writeln!(f, "  - {it}"))
}
