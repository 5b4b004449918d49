//! Entries as a table to read. Column widths are fixed: to fit them, a table would have to hold all
//! rows before it prints the first one, and a journal may have millions.

use std::mem;

use console::{Style, measure_text_width};
use stockade::{AdjustmentType, AuditEntry, EntryDraw, EntryType};

use crate::audit::time::shown;
use crate::report::printable;
use crate::wrap::Wrapped;

/// A terminal that is narrower gets the columns closer together.
const WIDE: usize = 130;

/// How far lines are indented that go on with a row: below the column `at`, or in a wide terminal
/// below the details.
const INDENT: usize = 8;
const WIDE_INDENT: usize = 96;

/// A cell is at least as wide as its column, and to the right in it if that is negative.
type Widths = [i16; 6];

/// As wide as most names are. The narrow ones fit, with their names, into eighty columns.
const WIDTHS: Widths = [-10, 24, 17, 12, 16, -10];
const NARROW: Widths = [-7, 24, 16, 9, 10, -8];

/// How rows are laid out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    widths: Widths,
    /// The columns of the terminal; without one, each row is one line.
    columns: Option<usize>,
    indent: usize,
}

impl Table {
    pub(super) fn new(columns: Option<usize>) -> Self {
        let (widths, indent) = match columns {
            Some(columns) if columns < WIDE => (NARROW, INDENT.min(columns / 4)),
            _ => (WIDTHS, WIDE_INDENT),
        };
        Self { widths, columns, indent }
    }

    /// The row of column names.
    pub(super) fn names(&self) -> String {
        let names = ["entry", "at", "type", "warehouse", "product", "quantity"];
        let mut row = Row::of(*self);
        for (name, width) in names.iter().zip(self.widths) {
            row.put(name, width, &Style::new().bold());
        }
        row.detail("details", &Style::new().bold());
        row.lines.end()
    }

    /// An entry's row.
    pub(super) fn row(&self, entry: &AuditEntry) -> String {
        let name = |name: Option<&str>| printable(name.unwrap_or("-")).into_owned();
        let kind = entry.entry_type.name();
        let cells = [
            entry.sequence.to_string(),
            shown(entry.at),
            kind.to_owned(),
            name(entry.warehouse.as_deref()),
            name(entry.product.as_deref()),
            entry.quantity.to_string(),
        ];
        let mut row = Row::of(*self);
        for ((place, cell), width) in cells.iter().enumerate().zip(self.widths) {
            let style = if place == 2 { colour(entry.entry_type) } else { Style::new() };
            row.put(cell, width, &style);
        }
        let owner = entry.owner.map(|owner| ("owner", owner.to_string().into()));
        let until = entry.expires_at.map(|at| ("expiresAt", shown(at).into()));
        // Most records have one entry, which needs no number beside its own.
        let is_later = entry.record != entry.sequence;
        let record = is_later.then(|| ("record", entry.record.to_string().into()));
        let hash = entry.key.map(|key| ("key", key.to_string().into()));
        let drawn = |draw: &EntryDraw| {
            let passed = if draw.passed { " passed" } else { "" };
            let EntryDraw { rule, subject, used_after, maximum, .. } = draw;
            ("limit", format!("{rule}:{subject} {used_after}/{maximum}{passed}").into())
        };
        let typed = owner.into_iter().chain(until).chain(record).chain(hash);
        let typed = typed.chain(entry.limits.iter().map(drawn));
        for (key, value) in entry.metadata_view().into_iter().chain(typed) {
            let detail = format!("{}={}", printable(key), printable(&value));
            row.detail(&detail, &Style::new());
        }
        row.lines.end()
    }
}

fn colour(entry_type: EntryType) -> Style {
    let style = Style::new();
    match entry_type {
        EntryType::Movement(AdjustmentType::Sold) => style.green(),
        EntryType::Movement(AdjustmentType::Reserved) => style.yellow(),
        EntryType::Movement(AdjustmentType::Damaged) => style.red(),
        EntryType::Movement(_) => style.cyan(),
        _ => style.dim(),
    }
}

/// A row that is being laid out.
struct Row {
    lines: Wrapped,
    /// Whether the details have begun.
    detailed: bool,
}

impl Row {
    fn of(table: Table) -> Self {
        Self { lines: Wrapped::new(table.columns, table.indent), detailed: false }
    }

    /// Adds a cell of a column.
    fn put(&mut self, cell: &str, width: i16, style: &Style) {
        let missing = usize::from(width.unsigned_abs()).saturating_sub(measure_text_width(cell));
        let (before, after) = if width < 0 { (missing, 0) } else { (0, missing) };
        self.lines.space(before);
        self.lines.word(cell, style);
        self.lines.space(after + 1);
    }

    /// Adds a detail, word by word.
    fn detail(&mut self, detail: &str, style: &Style) {
        // One space more before the first of them.
        self.lines.space(usize::from(!mem::replace(&mut self.detailed, true)));
        for word in detail.split(' ') {
            self.lines.word(word, style);
            self.lines.space(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid_out(columns: Option<usize>, details: &[&str]) -> String {
        let table = Table::new(columns);
        let mut row = Row::of(table);
        for (cell, width) in ["1", "now", "Sold", "SF", "LAPTOP", "3"].iter().zip(table.widths) {
            row.put(cell, width, &Style::new());
        }
        details.iter().for_each(|detail| row.detail(detail, &Style::new()));
        row.lines.end()
    }

    #[test]
    fn a_pipe_gets_one_line_and_a_terminal_as_many_as_it_takes() {
        let details = ["source=A SUPPLIER", "order=42"];
        let piped = laid_out(None, &details);
        let start = "         1 now                      Sold              SF           LAPTOP  ";
        assert_eq!(piped, format!("{start}                  3  {} {}\n", details[0], details[1]));
        let narrow = laid_out(Some(80), &details);
        let start =
            "      1 now                      Sold             SF        LAPTOP            3";
        assert_eq!(narrow, format!("{start}\n        source=A SUPPLIER order=42\n"));
        assert_eq!(laid_out(Some(200), &details), piped);
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_whatever_the_words_are() {
        let long = "x".repeat(500);
        let wide = "\u{6f22}".repeat(99);
        for columns in [1, 2, 7, 20, 80, 129, 130, 200] {
            let text = laid_out(Some(columns), &["a b", &long, &wide, ""]);
            for line in text.lines() {
                // A letter of two columns does not fit into one.
                assert!(measure_text_width(line) <= columns.max(2), "{columns}: {line:?}");
            }
            let letters = text.split_whitespace().collect::<String>();
            assert!(letters.contains(&long) && letters.contains(&wide), "{columns}");
        }
    }
}
