//! Reads an order book from a CSV file, and sorts its rows into invoices.
//!
//! The rules, with which anyone can compute the expected result of a replay:
//!
//! - The first row names the columns. `InvoiceNo`, `StockCode` and `Quantity` are required, in any
//!   order; other columns are ignored. Every row has as many fields as the first one. Fields are
//!   not trimmed. Empty lines are not rows.
//! - A product is a stock code that begins with a digit, 0 to 9. Rows with any other code are
//!   charges (postage, discounts, fees), and are skipped before any other check.
//! - A whole number is an optional `+` or `-` and one or more digits, and nothing else.
//! - Rows with the same invoice number are one invoice, wherever they are in the file. Invoices are
//!   ordered by their first row. An invoice whose number begins with `C` is a return.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::mem;
use std::path::Path;

use csv::{ByteRecord, Reader, ReaderBuilder, Terminator};
use stockade::MAX_NAME_BYTES;

use crate::Failure;

/// The columns that every file must have.
const COLUMNS: [&str; 3] = ["InvoiceNo", "StockCode", "Quantity"];

/// Appended to the file's last row. If the reader does not return it as a row of its own, a quote
/// was never closed.
const END: &[u8] = b"\0";
const AFTER_FILE: &[u8] = b"\n\0";

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
    /// The number of rows in the file.
    pub(crate) lines: u64,
    pub(crate) charges_skipped: u64,
    pub(crate) lines_rejected: u64,
}

impl Orders {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let file = File::open(path).map_err(|error| unreadable(path, error))?;
        Self::parse(path, file)
    }

    /// The number of lines in the longest basket.
    pub(crate) fn longest_basket(&self) -> usize {
        let lengths = self.invoices.iter().map(|invoice| match invoice {
            Invoice::Sale { basket, .. } => basket.len(),
            Invoice::Return(_) => 0,
        });
        lengths.max().unwrap_or(0)
    }

    fn parse(path: &Path, file: impl Read) -> Result<Self, Failure> {
        let mut rows = Rows::of(path, file);
        let header = rows.next()?.ok_or_else(|| {
            Failure::file(
                path,
                1,
                format!("expected the columns {}, found nothing", listed(&COLUMNS)),
            )
        })?;
        let [invoice_column, code_column, quantity_column] =
            find_columns(header).map_err(|problem| rows.fault(problem))?;
        let width = rows.record.len();
        let mut sorter = Sorter::default();
        while let Some(row) = rows.next()? {
            if row.len() != width {
                let problem =
                    format!("expected {width} fields, as in the first row, found {}", row.len());
                return Err(rows.fault(problem));
            }
            let field = |column: usize| row.get(column).unwrap_or_default();
            let sorted =
                sorter.take(field(invoice_column), field(code_column), field(quantity_column));
            sorted.map_err(|problem| rows.fault(problem))?;
        }
        Ok(sorter.finish())
    }
}

/// The positions of the required columns in the first row.
fn find_columns(header: &ByteRecord) -> Result<[usize; 3], String> {
    let mut places = [0; 3];
    for (place, name) in places.iter_mut().zip(COLUMNS) {
        let mut found =
            (0..header.len()).filter(|&column| header.get(column) == Some(name.as_bytes()));
        *place = found.next().ok_or_else(|| {
            format!("expected the columns {}, but there is no {name}", listed(&COLUMNS))
        })?;
        if found.next().is_some() {
            return Err(format!("expected one column {name}, found several"));
        }
    }
    Ok(places)
}

fn listed(names: &[&str; 3]) -> String {
    let [first, second, third] = names;
    format!("{first}, {second} and {third}")
}

fn unreadable(path: &Path, error: io::Error) -> Failure {
    Failure::file(path, None, format!("can't be read: {error}"))
}

/// The rows of a file, each with the number of the line on which it begins.
struct Rows<'a, R> {
    path: &'a Path,
    reader: Reader<io::Chain<R, &'static [u8]>>,
    record: ByteRecord,
    /// The line on which the current row begins.
    line: u64,
}

impl<'a, R: Read> Rows<'a, R> {
    fn of(path: &'a Path, file: R) -> Self {
        // Only "\n" ends a line, so that lines are counted alike in every file. A "\r" before it is
        // removed from the last field. Rows of any width are accepted here, because `next` checks
        // them.
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .terminator(Terminator::Any(b'\n'))
            .from_reader(file.chain(AFTER_FILE));
        Self { path, reader, record: ByteRecord::new(), line: 0 }
    }

    /// The next row that is not empty; `None` at the end of the file.
    fn next(&mut self) -> Result<Option<&ByteRecord>, Failure> {
        loop {
            if !self.read()? {
                return Ok(None);
            }
            let is_end = self.record.len() == 1 && self.record.get(0) == Some(END);
            if is_end || self.record.as_slice().ends_with(AFTER_FILE) {
                return self.end(is_end).map(|()| None);
            }
            self.drop_carriage_return();
            if self.record.len() > 1 || self.record.get(0).is_some_and(|only| !only.is_empty()) {
                return Ok(Some(&self.record));
            }
        }
    }

    fn read(&mut self) -> Result<bool, Failure> {
        let read = self.reader.read_byte_record(&mut self.record);
        let read = read.map_err(|error| unreadable(self.path, error.into()))?;
        if read {
            // The reader stands on the line after the row's last line. A row can span several
            // lines.
            let breaks = self.record.as_slice().iter().filter(|&&byte| byte == b'\n').count();
            self.line = self.reader.position().line().saturating_sub(breaks as u64 + 1);
        }
        Ok(read)
    }

    /// Checks what follows a row that ends with the end marker. `alone`: the row has nothing else.
    fn end(&mut self, alone: bool) -> Result<(), Failure> {
        let line = self.line;
        let more = self.read()?;
        // A quoted field that swallowed the end marker has no line break behind it.
        self.line = if more { line } else { line + 1 };
        match (alone, more) {
            (true, false) => Ok(()),
            (false, false) => Err(self.fault("a quoted field in this row is never closed")),
            (_, true) => Err(self.fault("expected text, found a NUL byte")),
        }
    }

    fn drop_carriage_return(&mut self) {
        let Some(last) = self.record.len().checked_sub(1) else { return };
        if let Some([field @ .., b'\r']) = self.record.get(last) {
            let field = field.to_vec();
            self.record.truncate(last);
            self.record.push_field(&field);
        }
    }

    /// The failure for the current row.
    fn fault(&self, problem: impl Into<String>) -> Failure {
        Failure::file(self.path, self.line, problem)
    }
}

/// Sorts rows into invoices.
#[derive(Debug, Default)]
struct Sorter {
    orders: Orders,
    product_numbers: HashMap<String, usize, foldhash::fast::RandomState>,
    invoice_numbers: HashMap<Vec<u8>, usize, foldhash::fast::RandomState>,
}

impl Sorter {
    /// Adds a row. An error says what was expected.
    fn take(&mut self, invoice: &[u8], code: &[u8], quantity: &[u8]) -> Result<(), String> {
        self.orders.lines += 1;
        let number = self.invoice_number(invoice);
        if !code.first().is_some_and(u8::is_ascii_digit) {
            self.orders.charges_skipped += 1;
            return Ok(());
        }
        let product = self.product_number(code)?;
        let quantity = whole_number(quantity).unwrap_or(0);
        let line = OrderLine { product, units: quantity.unsigned_abs() };
        match self.orders.invoices.get_mut(number) {
            Some(Invoice::Sale { basket, .. }) if quantity > 0 => basket.push(line),
            Some(Invoice::Sale { write_offs, .. }) if quantity < 0 => write_offs.push(line),
            Some(Invoice::Return(lines)) if quantity < 0 => lines.push(line),
            _ => self.orders.lines_rejected += 1,
        }
        Ok(())
    }

    fn invoice_number(&mut self, invoice: &[u8]) -> usize {
        if let Some(&known) = self.invoice_numbers.get(invoice) {
            return known;
        }
        let number = self.orders.invoices.len();
        self.invoice_numbers.insert(invoice.to_vec(), number);
        self.orders.invoices.push(match invoice.first() {
            Some(b'C') => Invoice::Return(Vec::new()),
            _ => Invoice::Sale { basket: Vec::new(), write_offs: Vec::new() },
        });
        number
    }

    fn product_number(&mut self, code: &[u8]) -> Result<usize, String> {
        let code = str::from_utf8(code).map_err(|_| "expected a StockCode in UTF-8".to_owned())?;
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
        self.orders
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "InvoiceNo,StockCode,Description,Quantity";

    fn parse(text: impl AsRef<[u8]>) -> Result<Orders, String> {
        Orders::parse(Path::new("o.csv"), text.as_ref()).map_err(|failure| failure.to_string())
    }

    fn rows(rows: &[u8]) -> Result<Orders, String> {
        parse([HEADER.as_bytes(), b"\n", rows].concat())
    }

    fn basket(orders: &Orders, invoice: usize) -> Vec<(&str, u64)> {
        let Some(Invoice::Sale { basket, .. }) = orders.invoices.get(invoice) else {
            return vec![];
        };
        basket.iter().map(|line| (orders.products[line.product].as_str(), line.units)).collect()
    }

    #[test]
    fn a_whole_number_is_an_optional_sign_and_digits() {
        let numbers = ["7", "+7", "-7", "007", "0", "-0"].map(|text| whole_number(text.as_bytes()));
        assert_eq!(numbers, [Some(7), Some(7), Some(-7), Some(7), Some(0), Some(0)]);
        for text in ["", "+", "-", "--1", "+-1", " 7", "7 ", "7.0", "1e3", "1,000", "\u{667}", "x"]
        {
            assert_eq!(whole_number(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(whole_number(b"99999999999999999999"), Some(i64::MAX));
        assert_eq!(whole_number(b"-99999999999999999999"), Some(i64::MIN));
        assert_eq!(whole_number(b"7\xff"), None);
    }

    #[test]
    fn an_invoice_is_put_together_from_wherever_its_rows_stand() {
        let orders = rows(b"2,1A,,4\n1,1B,,1\n2,1A,,5\n2,1B,,1\n").expect("a good file");
        assert_eq!(orders.products, ["1A", "1B"]);
        assert_eq!(basket(&orders, 0), [("1A", 9), ("1B", 1)]);
        assert_eq!(basket(&orders, 1), [("1B", 1)]);
        assert_eq!(orders.longest_basket(), 2);
    }

    #[test]
    fn a_sum_beyond_all_bounds_stays_beyond_them() {
        let orders = rows(b"1,1A,,9999999999999999999\n1,1A,,9999999999999999999\n1,1A,,1\n");
        assert_eq!(basket(&orders.expect("a good file"), 0), [("1A", u64::MAX)]);
    }

    #[test]
    fn bytes_that_are_no_text_do_no_harm_where_nobody_reads_them() {
        let orders = rows(b"1\xff,1A,caf\xe9,4\n").expect("a good file");
        assert_eq!(basket(&orders, 0), [("1A", 4)]);
        let refused = rows(b"1,1A,,4\n1,1\xe9,,4\n");
        assert_eq!(refused, Err("o.csv, line 3: expected a StockCode in UTF-8".to_owned()));
    }

    #[test]
    fn a_fault_names_the_line_whatever_stands_before_it() {
        let expected = "expected 4 fields, as in the first row, found 3".to_owned();
        for (before, line) in [
            ("1,1A,,1\n", 3),
            ("1,1A,,1\r\n1,1A,,1\r\n", 4),
            ("\n\r\n1,1A,,1\n\n", 6),
            ("1,1A,\"two\nlines\",1\n", 4),
        ] {
            for after in ["", "\n", "\r\n", "\n1,1A,,1\n"] {
                let text = format!("{before}1,1A,1{after}");
                let fault = rows(text.as_bytes());
                assert_eq!(fault, Err(format!("o.csv, line {line}: {expected}")), "{text:?}");
            }
        }
    }

    #[test]
    fn files_of_other_systems_are_read_alike() {
        let plain = rows(b"1,1A,,4\n").expect("a good file");
        assert_eq!(parse(format!("{HEADER}\r\n1,1A,,4\r\n")), Ok(plain.clone()));
        assert_eq!(parse(format!("\u{feff}{HEADER}\n1,1A,,4")), Ok(plain.clone()));
        assert_eq!(parse("Quantity,Country,StockCode,InvoiceNo\n4,\"a, b\",1A,1\n"), Ok(plain));
        assert_eq!(rows(b""), Ok(Orders::default()));
    }

    #[test]
    fn a_quote_that_is_never_closed_is_named_by_the_line_it_begins_on() {
        let fault = Err("o.csv, line 3: a quoted field in this row is never closed".to_owned());
        assert_eq!(rows(b"1,1A,,1\n1,1A,\"x,1\n1,1A,,1\n"), fault);
        assert_eq!(rows(b"1,1A,,1\n1,1A,x,\"1\n1,1A,,1\n"), fault);
        assert_eq!(rows(b"1,1A,,1\n1,1A,x,\"1"), fault);
    }

    #[test]
    fn a_nul_byte_does_not_pass_for_the_end_of_the_file() {
        let fault = "o.csv, line 3: expected text, found a NUL byte".to_owned();
        assert_eq!(rows(b"1,1A,,1\n\0\n1,1A,,1\n"), Err(fault.clone()));
        assert_eq!(rows(b"1,1A,,1\n\0"), Err(fault));
    }

    #[test]
    fn columns_that_are_missing_or_doubled_are_named() {
        let expected = "o.csv, line 1: expected the columns InvoiceNo, StockCode and Quantity";
        assert_eq!(parse(""), Err(format!("{expected}, found nothing")));
        assert_eq!(
            parse("InvoiceNo,StockCode,Qty\n"),
            Err(format!("{expected}, but there is no Quantity"))
        );
        assert_eq!(
            parse("\nInvoiceNo;StockCode;Quantity\n"),
            Err(format!("{expected}, but there is no InvoiceNo").replace("line 1", "line 2"))
        );
        let doubled = parse("InvoiceNo,StockCode,Quantity,Quantity\n");
        assert_eq!(
            doubled,
            Err("o.csv, line 1: expected one column Quantity, found several".to_owned())
        );
    }
}
