//! Reads an order book from a CSV file, and sorts its rows into invoices.
//!
//! The rules, with which anyone can compute the expected result of a replay:
//!
//! - The first row names the columns ([`columns`]). Three are required, in any order; other columns
//!   are ignored. Every row has as many fields as the first one. Fields are not trimmed. Empty
//!   lines are not rows.
//! - A product is a stock code that begins with a digit, 0 to 9. Rows with any other code are
//!   charges (postage, discounts, fees), and are skipped before any other check. With
//!   `--all-codes`, each code is a product.
//! - A code behind a spreadsheet's text marker (`'00123` or `="00123"`) or behind a space is
//!   neither: its row is rejected, because a guess could lose a product or split it in two.
//! - A whole number is an optional `+` or `-` and one or more digits, and nothing else: no
//!   thousands, no decimals, no spaces.
//! - Rows with the same invoice number are one invoice, wherever they are in the file. Invoices are
//!   ordered by their first row. An invoice whose number begins with `C` is a return.

mod columns;
mod dialect;
mod rejected;
mod rows;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::mem;
use std::path::Path;

use indicatif::ProgressBar;
use stockade::MAX_NAME_BYTES;

use crate::Failure;
use crate::orders::columns::{find_columns, nothing_found};
pub(crate) use crate::orders::dialect::OrderFormat;
use crate::orders::dialect::unreadable;
use crate::orders::rejected::{KEPT, Why, similar};
pub(crate) use crate::orders::rejected::{Rejected, Similar, named};
use crate::orders::rows::Rows;
use crate::report::is_unprintable;

/// Units of one product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OrderLine {
    /// The index in [`Orders::products`].
    pub(crate) product: usize,
    /// At least 1. It may be more than any warehouse can hold.
    pub(crate) units: u64,
}

/// What one invoice asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Invoice {
    /// Units are sold or written off.
    Sale {
        /// Sold together or not at all. Each product has one line.
        basket: Vec<OrderLine>,
        /// Written off one by one, after the basket.
        write_offs: Vec<OrderLine>,
    },
    /// Units are returned.
    Return(Vec<OrderLine>),
}

/// An order book.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Orders {
    /// Ordered by first appearance in the file.
    pub(crate) products: Vec<String>,
    /// Ordered by first appearance in the file.
    pub(crate) invoices: Vec<Invoice>,
    /// The number of each invoice. Bytes that are no text are replaced.
    pub(crate) numbers: Vec<String>,
    /// The number of rows in the file.
    pub(crate) lines: u64,
    pub(crate) charges_skipped: u64,
    pub(crate) lines_rejected: u64,
    /// The first of the rejected lines.
    pub(crate) rejected: Vec<Rejected>,
    /// Stock codes, and invoice numbers, that differ only by case or spaces: likely one thing.
    pub(crate) similar_codes: Vec<Similar>,
    pub(crate) similar_invoices: Vec<Similar>,
}

impl Orders {
    /// Reads a file.
    pub(crate) fn read(
        path: &Path,
        format: &OrderFormat,
        progress: &ProgressBar,
    ) -> Result<Self, Failure> {
        let file = File::open(path).map_err(|error| unreadable(path, error))?;
        progress.set_length(file.metadata().map_or(0, |file| file.len()));
        Self::parse(path, progress.wrap_read(file), format)
    }

    /// Refuses a file of which no line can be replayed; and, if `strict`, one with rejected lines.
    pub(crate) fn check(&self, path: &Path, strict: bool) -> Result<(), Failure> {
        let replayed = self.lines - self.charges_skipped - self.lines_rejected;
        let problem = match (self.lines, replayed) {
            (1.., 0) => {
                let charges = match self.charges_skipped {
                    0 => String::new(),
                    skipped => format!(
                        "; {skipped} skipped as charges, because their stock codes begin with no \
                         digit (--all-codes takes them as goods)"
                    ),
                };
                let (lines, rejected) = (self.lines, self.lines_rejected);
                format!("none of {lines} lines can be replayed: {rejected} rejected{charges}")
            }
            _ if strict && self.lines_rejected > 0 => {
                format!("{} of {} lines are rejected", self.lines_rejected, self.lines)
            }
            _ => return Ok(()),
        };
        let lines = [vec![problem], named(&self.rejected, self.lines_rejected)].concat();
        Err(Failure::file(path, None, lines.join("; ")))
    }

    /// The number of lines in the longest basket.
    pub(crate) fn longest_basket(&self) -> usize {
        let lengths = self.invoices.iter().map(|invoice| match invoice {
            Invoice::Sale { basket, .. } => basket.len(),
            Invoice::Return(_) => 0,
        });
        lengths.max().unwrap_or(0)
    }

    fn parse(path: &Path, file: impl Read, format: &OrderFormat) -> Result<Self, Failure> {
        let mut rows = Rows::of(path, dialect::open(path, file, format)?);
        let header = rows.next()?.ok_or_else(|| Failure::file(path, 1, nothing_found()))?;
        let [invoice_column, code_column, quantity_column] =
            find_columns(header, format.columns.as_ref()).map_err(|problem| rows.fault(problem))?;
        let width = rows.width();
        let mut sorter = Sorter { all_codes: format.all_codes, ..Sorter::default() };
        while let Some(row) = rows.next()? {
            if row.len() != width {
                let problem =
                    format!("expected {width} fields, as in the first row, found {}", row.len());
                return Err(rows.fault(problem));
            }
            let field = |column: usize| row.get(column).unwrap_or_default();
            let sorted =
                sorter.take(field(invoice_column), field(code_column), field(quantity_column));
            match sorted {
                Ok(None) => {}
                Ok(Some(rejected)) => sorter.reject(Rejected { line: rows.line(), ..rejected }),
                Err(problem) => return Err(rows.fault(problem)),
            }
        }
        Ok(sorter.finish())
    }
}

/// Sorts rows into invoices.
#[derive(Debug, Default)]
struct Sorter {
    orders: Orders,
    /// Whether codes that begin with no digit are products too.
    all_codes: bool,
    product_numbers: HashMap<String, usize, foldhash::fast::RandomState>,
    invoice_numbers: HashMap<Vec<u8>, usize, foldhash::fast::RandomState>,
    /// The codes of charges. Not all of them are text.
    charges: HashSet<Vec<u8>, foldhash::fast::RandomState>,
}

impl Sorter {
    /// Adds a row. Returns it if it is rejected, without its line. An error says what was expected.
    fn take(
        &mut self,
        invoice: &[u8],
        code: &[u8],
        quantity: &[u8],
    ) -> Result<Option<Rejected>, String> {
        self.orders.lines += 1;
        let number = self.invoice_number(invoice)?;
        let rejected = |why| {
            let [invoice, code, quantity] =
                [invoice, code, quantity].map(|field| String::from_utf8_lossy(field).into_owned());
            Ok(Some(Rejected { line: 0, invoice, code, quantity, why }))
        };
        match code.first() {
            Some(b'\'' | b'=') => return rejected(Why::TextMarker),
            Some(b'0'..=b'9') => {}
            _ if has_space_before(code) => return rejected(Why::SpaceBefore),
            None if self.all_codes => return rejected(Why::NoCode),
            Some(_) if self.all_codes => {}
            Some(_) | None => {
                self.orders.charges_skipped += 1;
                if !self.charges.contains(code) {
                    self.charges.insert(code.to_vec());
                }
                return Ok(None);
            }
        }
        let product = self.product_number(code)?;
        let Some(quantity) = whole_number(quantity) else { return rejected(Why::NoNumber) };
        let line = OrderLine { product, units: quantity.unsigned_abs() };
        match self.orders.invoices.get_mut(number) {
            _ if quantity == 0 => return rejected(Why::Zero),
            Some(Invoice::Sale { basket, .. }) if quantity > 0 => basket.push(line),
            Some(Invoice::Sale { write_offs, .. }) => write_offs.push(line),
            Some(Invoice::Return(_)) if quantity > 0 => return rejected(Why::PositiveReturn),
            Some(Invoice::Return(lines)) => lines.push(line),
            None => {}
        }
        Ok(None)
    }

    fn reject(&mut self, line: Rejected) {
        self.orders.lines_rejected += 1;
        if self.orders.rejected.len() < KEPT {
            self.orders.rejected.push(line);
        }
    }

    fn invoice_number(&mut self, invoice: &[u8]) -> Result<usize, String> {
        if let Some(&known) = self.invoice_numbers.get(invoice) {
            return Ok(known);
        }
        if invoice.len() > MAX_NAME_BYTES {
            return Err(format!(
                "expected an invoice number of at most {MAX_NAME_BYTES} bytes, found {}",
                invoice.len()
            ));
        }
        let number = self.orders.invoices.len();
        self.invoice_numbers.insert(invoice.to_vec(), number);
        self.orders.numbers.push(String::from_utf8_lossy(invoice).into_owned());
        self.orders.invoices.push(match invoice.first() {
            Some(b'C') => Invoice::Return(Vec::new()),
            _ => Invoice::Sale { basket: Vec::new(), write_offs: Vec::new() },
        });
        Ok(number)
    }

    fn product_number(&mut self, code: &[u8]) -> Result<usize, String> {
        // A file that was decoded has this character where it holds no text.
        let code = str::from_utf8(code).ok().filter(|code| !code.contains('\u{fffd}'));
        let code = code.ok_or("expected a StockCode in UTF-8; --encoding names another")?;
        if let Some(&known) = self.product_numbers.get(code) {
            return Ok(known);
        }
        if code.len() > MAX_NAME_BYTES {
            return Err(format!(
                "expected a StockCode of at most {MAX_NAME_BYTES} bytes, found {}",
                code.len()
            ));
        }
        let number = self.orders.products.len();
        self.product_numbers.insert(code.to_owned(), number);
        self.orders.products.push(code.to_owned());
        Ok(number)
    }

    fn finish(mut self) -> Orders {
        for invoice in &mut self.orders.invoices {
            if let Invoice::Sale { basket, .. } = invoice {
                *basket = merged(mem::take(basket));
            }
        }
        let charges: Vec<_> = self.charges.iter().map(|it| String::from_utf8_lossy(it)).collect();
        let codes = self.orders.products.iter().map(String::as_str);
        self.orders.similar_codes = similar(codes.chain(charges.iter().map(|it| &**it)));
        self.orders.similar_invoices = similar(self.orders.numbers.iter().map(String::as_str));
        self.orders
    }
}

/// Whether spaces, or what nobody sees, stand before a digit.
fn has_space_before(code: &[u8]) -> bool {
    let unseen = |it: char| it.is_whitespace() || is_unprintable(it);
    let seen = str::from_utf8(code).map(|code| code.trim_start_matches(unseen));
    seen.is_ok_and(|seen| {
        seen.len() < code.len() && seen.starts_with(|it: char| it.is_ascii_digit())
    })
}

/// Merges lines of the same product.
fn merged(mut basket: Vec<OrderLine>) -> Vec<OrderLine> {
    basket.sort_by_key(|line| line.product);
    basket.dedup_by(|next, kept| {
        let equal = next.product == kept.product;
        if equal {
            // A saturated sum is far more than any warehouse can hold, so it is refused in any
            // case.
            kept.units = kept.units.saturating_add(next.units);
        }
        equal
    });
    basket
}

/// An optional sign and digits. A number too large for the type becomes the largest one, which no
/// warehouse can hold either.
fn whole_number(field: &[u8]) -> Option<i64> {
    let text = str::from_utf8(field).ok()?;
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let too_large = if text.starts_with('-') { i64::MIN } else { i64::MAX };
    Some(text.parse().unwrap_or(too_large))
}
