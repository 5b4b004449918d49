//! Which columns of an order file hold the invoice number, the stock code and the quantity.

use std::str::FromStr;

use csv::ByteRecord;

/// The columns that every file must have, each with the names that it goes by, the preferred one
/// first. Online Retail II has `Invoice` where Online Retail has `InvoiceNo`.
const COLUMNS: [&[&str]; 3] = [&["InvoiceNo", "Invoice"], &["StockCode"], &["Quantity"]];

/// The names of the three columns in one file, as its user gave them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ColumnNames([String; 3]);

impl FromStr for ColumnNames {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
        let names = <[String; 3]>::try_from(names);
        let names = names.ok().filter(|names| names.iter().all(|name| !name.is_empty()));
        names.map(Self).ok_or_else(|| "expected three names, separated by commas".to_owned())
    }
}

/// The positions of the required columns in the first row.
pub(super) fn find_columns(
    header: &ByteRecord,
    given: Option<&ColumnNames>,
) -> Result<[usize; 3], String> {
    let mut places = [0; 3];
    for (number, place) in places.iter_mut().enumerate() {
        let given = given.map(|names| [names.0[number].as_str()]);
        let names = given.as_ref().map_or(COLUMNS[number], |names| names);
        // An exact name first: a file may have `InvoiceNo`, and `invoice no` for something else.
        let exact = names.iter().map(|name| columns(header, |found| found == name.as_bytes()));
        let alike = names.iter().map(|name| columns(header, |found| is_alike(found, name)));
        let found = exact.chain(alike).find(|found| !found.is_empty()).unwrap_or_default();
        *place = match found[..] {
            [only] => only,
            [] => return Err(missing(names[0])),
            [..] => return Err(format!("expected one column {}, found several", names[0])),
        };
    }
    Ok(places)
}

/// What a file without a first row is told.
pub(super) fn nothing_found() -> String {
    format!("expected the columns {}, found nothing", listed())
}

fn missing(name: &str) -> String {
    format!("expected the columns {}, but there is no {name}; --columns can name others", listed())
}

fn listed() -> String {
    let [first, second, third] = COLUMNS.map(|names| names[0]);
    format!("{first}, {second} and {third}")
}

fn columns(header: &ByteRecord, wanted: impl Fn(&[u8]) -> bool) -> Vec<usize> {
    (0..header.len()).filter(|&column| header.get(column).is_some_and(&wanted)).collect()
}

/// Whether two names have the same letters and digits, in whatever case.
fn is_alike(found: &[u8], name: &str) -> bool {
    let letters = |name: &str| -> String {
        name.chars().filter(|it| it.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    str::from_utf8(found).is_ok_and(|found| letters(found) == letters(name))
}
