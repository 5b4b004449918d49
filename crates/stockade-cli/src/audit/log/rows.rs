//! An entry as JSON and as CSV.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;

use serde::Serialize;
use stockade::{AuditEntry, EntryDraw};

use crate::audit::time::shown;
use crate::report::safe_json;

/// An entry. Its field names are part of the program's interface.
#[derive(Debug, Serialize)]
pub(super) struct EntryRow<'a> {
    sequence: u64,
    at: String,
    at_ms: u64,
    #[serde(rename = "type")]
    entry_type: &'static str,
    warehouse: Option<&'a str>,
    product: Option<&'a str>,
    other_warehouse: Option<&'a str>,
    quantity: u32,
    reservation: Option<String>,
    owner: Option<String>,
    expires_at_ms: Option<u64>,
    retaken_from: Option<String>,
    metadata: Notes<'a>,
    /// The first entry of its record.
    record: u64,
    /// The hash of its call's idempotency key.
    key: Option<String>,
    /// What its units count under limits. CSV has it as text.
    limits: &'a [EntryDraw],
}

/// Pairs of text. CSV has no nested values, so there they are one field of text.
#[derive(Clone, Copy, Debug)]
struct Notes<'a>(&'a [(String, String)]);

/// What is noted under one name. Older versions of the library let a call give a name twice. An
/// object with a name twice has one value for most readers, so then it is a list.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Noted<'a> {
    One(&'a str),
    More(Vec<&'a str>),
}

impl Serialize for Notes<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut noted: Vec<(&str, Noted<'_>)> = Vec::with_capacity(self.0.len());
        let mut places = HashMap::with_capacity(self.0.len());
        for (name, value) in self.0 {
            let place = *places.entry(name).or_insert(noted.len());
            match noted.get_mut(place) {
                None => noted.push((name, Noted::One(value))),
                Some((_, Noted::More(values))) => values.push(value),
                Some((_, one)) => {
                    if let Noted::One(first) = *one {
                        *one = Noted::More(vec![first, value]);
                    }
                }
            }
        }
        serializer.collect_map(noted)
    }
}

pub(super) const COLUMNS: [&str; 16] = [
    "sequence",
    "at",
    "at_ms",
    "type",
    "warehouse",
    "product",
    "other_warehouse",
    "quantity",
    "reservation",
    "owner",
    "expires_at_ms",
    "retaken_from",
    "metadata",
    "record",
    "key",
    "limits",
];

impl<'a> EntryRow<'a> {
    fn of(entry: &'a AuditEntry) -> Self {
        Self {
            sequence: entry.sequence,
            at: shown(entry.at),
            at_ms: entry.at.as_millis(),
            entry_type: entry.entry_type.name(),
            warehouse: entry.warehouse.as_deref(),
            product: entry.product.as_deref(),
            other_warehouse: entry.other_warehouse.as_deref(),
            quantity: entry.quantity,
            reservation: entry.reservation.map(|id| id.to_string()),
            owner: entry.owner.map(|owner| owner.to_string()),
            expires_at_ms: entry.expires_at.map(stockade::Timestamp::as_millis),
            retaken_from: entry.retaken_from.map(|id| id.to_string()),
            metadata: Notes(entry.metadata()),
            record: entry.record,
            key: entry.key.map(|key| key.to_string()),
            limits: &entry.limits,
        }
    }
}

/// An entry as one line of JSON.
pub(crate) fn entry_line(entry: &AuditEntry) -> io::Result<String> {
    Ok(safe_json(serde_json::to_string(&EntryRow::of(entry))?))
}

/// An entry as one line of CSV.
pub(super) fn csv_line(entry: &AuditEntry) -> io::Result<Vec<u8>> {
    let row = &EntryRow::of(entry);
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let name = |name: Option<&str>| cell(name.unwrap_or_default()).into_owned();
    let metadata = match row.metadata.0 {
        [] => String::new(),
        _ => safe_json(serde_json::to_string(&row.metadata)?),
    };
    let limits = match row.limits {
        [] => String::new(),
        draws => serde_json::to_string(draws)?,
    };
    csv_record([
        &*row.sequence.to_string(),
        &row.at,
        &row.at_ms.to_string(),
        row.entry_type,
        &name(row.warehouse),
        &name(row.product),
        &name(row.other_warehouse),
        &row.quantity.to_string(),
        &text(&row.reservation),
        &text(&row.owner),
        &row.expires_at_ms.map(|at| at.to_string()).unwrap_or_default(),
        &text(&row.retaken_from),
        &metadata,
        &row.record.to_string(),
        &text(&row.key),
        &limits,
    ])
}

/// Fields as one line of CSV.
pub(super) fn csv_record<'a>(fields: impl IntoIterator<Item = &'a str>) -> io::Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new().buffer_capacity(512).from_writer(Vec::new());
    writer.write_record(fields).map_err(io::Error::other)?;
    writer.into_inner().map_err(|error| io::Error::other(error.to_string()))
}

/// Text as a cell that no spreadsheet computes: with a `'` before it if it begins like a formula,
/// or with a `'` of its own. So a reader that takes away a first `'` gets the text back.
fn cell(text: &str) -> Cow<'_, str> {
    let is_formula = |it: char| {
        matches!(it, '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '\'')
            // The same signs in full width, which some spreadsheets take for them.
            || matches!(it, '\u{ff1d}' | '\u{ff0b}' | '\u{ff0d}' | '\u{ff20}')
    };
    match text.starts_with(is_formula) {
        true => format!("'{text}").into(),
        false => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_each_name_once() {
        let json = |pairs: &[(&str, &str)]| {
            let own = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
            let pairs: Vec<(String, String)> = pairs.iter().map(own).collect();
            serde_json::to_string(&Notes(&pairs)).expect("JSON")
        };
        assert_eq!(json(&[]), "{}");
        assert_eq!(json(&[("b", "1"), ("a", "2")]), r#"{"b":"1","a":"2"}"#);
        let thrice = [("b", "1"), ("a", "2"), ("b", "3"), ("b", "1")];
        assert_eq!(json(&thrice), r#"{"b":["1","3","1"],"a":"2"}"#);
    }

    #[test]
    fn a_cell_is_no_formula_and_gives_its_text_back() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'x", "\u{ff1d}1"] {
            assert_eq!(cell(text), format!("'{text}"));
        }
        for text in ["", "LAPTOP", "a=b", " =1", "10001"] {
            assert_eq!(cell(text), text);
        }
    }
}
