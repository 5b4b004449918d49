//! What an order file holds that was not replayed as it stands there, or is likely a slip: rejected
//! lines, and names that only differ by case or spaces.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;

use crate::report::{grouped, quoted};

/// How many lines, and how many groups of names, are kept. Further ones are only counted.
pub(super) const KEPT: usize = 1_000;

/// How many are named to a person.
const NAMED: usize = 10;

/// Why a line was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Why {
    #[serde(rename = "the quantity is no whole number")]
    NoNumber,
    #[serde(rename = "the quantity is 0")]
    Zero,
    #[serde(rename = "a positive quantity on a return")]
    PositiveReturn,
    #[serde(rename = "a spreadsheet's text marker stands before the stock code")]
    TextMarker,
    #[serde(rename = "a space stands before the stock code")]
    SpaceBefore,
    #[serde(rename = "there is no stock code")]
    NoCode,
}

/// A line that was not replayed. Its field names are part of the program's interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Rejected {
    pub(crate) line: u64,
    pub(crate) invoice: String,
    pub(crate) code: String,
    pub(crate) quantity: String,
    pub(crate) why: Why,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, invoice, code, quantity, why } = self;
        let [invoice, code, quantity] = [invoice, code, quantity].map(|it| quoted(it));
        write!(f, "line {line}: ")?;
        match why {
            Why::NoNumber => write!(f, "the quantity {quantity} is no whole number"),
            Why::Zero => write!(f, "the quantity {quantity} is 0"),
            Why::PositiveReturn => {
                write!(f, "the quantity {quantity} is positive, and invoice {invoice} a return")
            }
            Why::TextMarker => {
                write!(f, "a spreadsheet's text marker stands before the stock code {code}")
            }
            Why::SpaceBefore => write!(f, "a space stands before the stock code {code}"),
            Why::NoCode => f.write_str("there is no stock code"),
        }
    }
}

/// The first of `all`, one after the other, and how many more there are in `total`.
pub(crate) fn named<T: fmt::Display>(all: &[T], total: u64) -> Vec<String> {
    let mut lines: Vec<String> = all.iter().take(NAMED).map(T::to_string).collect();
    let more = total.saturating_sub(lines.len() as u64);
    if more > 0 {
        lines.push(format!("and {} more", grouped(more)));
    }
    lines
}

/// Names that are the same except for case, and for spaces at their ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub(crate) struct Similar(Vec<String>);

impl fmt::Display for Similar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(|name| quoted(name)).collect();
        f.write_str(&names.join(", "))
    }
}

/// The groups of similar names among distinct ones, ordered.
pub(super) fn similar<'a>(names: impl Iterator<Item = &'a str>) -> Vec<Similar> {
    let mut groups: HashMap<String, Vec<&str>, foldhash::fast::RandomState> = HashMap::default();
    for name in names {
        groups.entry(folded(name)).or_default().push(name);
    }
    let several = groups.into_values().filter(|group| group.len() > 1);
    let mut several: Vec<Similar> = several
        .map(|mut group| {
            group.sort_unstable();
            Similar(group.into_iter().map(str::to_owned).collect())
        })
        .collect();
    several.sort_unstable();
    several
}

/// A name without what a reader does not see: case, spaces at the ends, and invisible characters.
fn folded(name: &str) -> String {
    let seen = name.chars().filter(|it| !crate::report::is_unprintable(*it));
    seen.flat_map(char::to_lowercase).collect::<String>().trim().to_owned()
}
