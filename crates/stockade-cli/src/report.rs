//! The output of a run: a progress bar while it runs, then a summary or one JSON object.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use console::{Term, style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::Failure;
use crate::wrap::wrapped;

/// The output format.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

/// A result that can be printed in both formats: its fields as JSON, its `Display` as a summary.
pub(crate) trait Report: Serialize + Display {}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether the format is JSON.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// A progress bar on stderr, if stderr is a terminal. Otherwise it draws nothing.
    pub(crate) fn progress(self, steps: u64, of: &'static str) -> ProgressBar {
        if self.json || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template(
            "{wide_bar} {human_pos}/{human_len} {msg} {percent}% {eta}",
        );
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.with_message(of)
    }

    /// Prints a note beside the result, on stderr.
    pub(crate) fn note(self, text: &str) {
        // If stderr is closed, the result is still valid.
        let _ = writeln!(io::stderr(), "{}", printable(text));
    }

    /// Prints the result on stdout.
    pub(crate) fn show(self, report: &impl Report) -> Result<(), Failure> {
        let text = if self.json {
            let json = serde_json::to_string_pretty(report);
            let json =
                json.map_err(|error| Failure::run("the result can't be written as JSON", error))?;
            safe_json(json)
        } else {
            match terminal_width() {
                Some(columns) => wrapped(&report.to_string(), columns),
                None => report.to_string(),
            }
        };
        let mut stdout = io::stdout().lock();
        let written = writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush());
        tolerate_closed_pipe(written)
            .map_err(|error| Failure::run("the result can't be written to stdout", error))
    }
}

/// Ignores a closed pipe: a reader that has seen enough, such as `head`, is not an error.
pub(crate) fn tolerate_closed_pipe(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// The lines of a summary. Each has a label, a number and a remark.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    lines: Vec<[String; 3]>,
}

impl Summary {
    /// Adds a line.
    pub(crate) fn line(&mut self, what: &str, units: u64, note: impl Display) {
        self.lines.push([format!("  {what}"), grouped(units), note.to_string()]);
    }

    /// Adds a line without a number.
    pub(crate) fn text(&mut self, what: &str, text: &str) {
        self.lines.push([format!("  {what}"), String::new(), text.to_owned()]);
    }
}

impl Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alignments = [CellAlignment::Left, CellAlignment::Right, CellAlignment::Left];
        write_table(f, &self.lines, alignments)
    }
}

/// Writes columns without lines between them. Each is as wide as its widest cell.
pub(crate) fn write_table<const COLUMNS: usize>(
    f: &mut fmt::Formatter<'_>,
    rows: &[[String; COLUMNS]],
    alignments: [CellAlignment; COLUMNS],
) -> fmt::Result {
    let mut table = Table::new();
    table.load_preset(NOTHING).add_rows(rows);
    for (column, alignment) in table.column_iter_mut().zip(alignments) {
        column.set_padding((0, 2)).set_cell_alignment(alignment);
    }
    writeln!(f, "{}", table.trim_fmt())
}

/// Writes the last lines of a summary: whether every unit is accounted for, and if not, what is
/// wrong.
pub(crate) fn verdict(f: &mut fmt::Formatter<'_>, broken: &[String], proof: &str) -> fmt::Result {
    if broken.is_empty() {
        return writeln!(f, "\n{}: {proof}.", good("Conserved"));
    }
    writeln!(f, "\n{}:", bad("NOT CONSERVED"))?;
    broken.iter().try_for_each(|law| writeln!(f, "  - {law}"))
}

/// Words that say that all is well; in colour on a terminal.
pub(crate) fn good(words: &str) -> impl Display {
    style(words.to_owned()).green().bold()
}

/// Words that say that something is wrong; in colour on a terminal.
pub(crate) fn bad(words: &str) -> impl Display {
    style(words.to_owned()).red().bold()
}

/// `NO_COLOR` holds, whatever else the environment asks for.
pub(crate) fn settle_colour() {
    if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        console::set_colors_enabled(false);
        console::set_colors_enabled_stderr(false);
    }
}

/// The columns of the terminal on stdout; `None` if stdout is none.
pub(crate) fn terminal_width() -> Option<usize> {
    let (_, columns) = Term::stdout().size_checked()?;
    io::stdout().is_terminal().then_some(usize::from(columns)).filter(|columns| *columns > 0)
}

/// A name that is safe to print. A caller's text must neither control the terminal nor hide, turn
/// round or forge what stands beside it.
pub(crate) fn printable(name: &str) -> Cow<'_, str> {
    escaped(name, is_unprintable)
}

fn escaped(text: &str, unwanted: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&unwanted) {
        return text.into();
    }
    let escaped = |shown: char| match unwanted(shown) {
        true if shown.is_ascii() => shown.escape_default().collect::<String>(),
        true => shown.escape_unicode().collect(),
        false => shown.to_string(),
    };
    text.chars().map(escaped).collect::<String>().into()
}

/// JSON that says the same, in characters that steer no terminal. They stand only within strings,
/// where JSON has its own way to write them.
pub(crate) fn safe_json(json: String) -> String {
    let unwanted = |it: char| is_unprintable(it) && it != '\n';
    if !json.contains(unwanted) {
        return json;
    }
    let mut safe = String::with_capacity(json.len() + 16);
    for letter in json.chars() {
        match unwanted(letter) {
            true => {
                let mut units = [0; 2];
                for unit in letter.encode_utf16(&mut units) {
                    safe.push_str(&format!("\\u{unit:04x}"));
                }
            }
            false => safe.push(letter),
        }
    }
    safe
}

/// Whether a character does something else than to show a sign: control characters, line and
/// paragraph separators, and those that Unicode calls format characters or that show nothing, such
/// as U+202E (writes backwards), U+200B (no width) and U+FEFF (a byte order mark).
pub(crate) fn is_unprintable(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}'
            | '\u{890}' | '\u{891}' | '\u{8e2}' | '\u{115f}' | '\u{1160}' | '\u{17b4}'
            | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1345f}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// A text between quotes, safe to print: spaces at its ends are seen.
pub(crate) fn quoted(text: &str) -> String {
    let blank = |it: char| it.is_whitespace() && it != ' ';
    format!("\"{}\"", escaped(text, |it| is_unprintable(it) || blank(it)))
}

/// A path that is safe to print.
pub(crate) fn path(path: &Path) -> String {
    printable(&path.to_string_lossy()).into_owned()
}

/// A number with its noun: `1 buyer`, `2 buyers`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// A number with separators: 1234567 becomes `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A time span in a suitable unit.
pub(crate) fn span(nanos: u64) -> String {
    format!("{:.1?}", Duration::from_nanos(nanos))
}

/// A time span in seconds, for JSON.
pub(crate) fn seconds(span: Duration) -> f64 {
    // Round to microseconds: more digits would claim more precision than the measurement has.
    (span.as_secs_f64() * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        let shown = [0, 999, 1_000, 12_345, 1_234_567].map(grouped);
        assert_eq!(shown, ["0", "999", "1,000", "12,345", "1,234,567"]);
    }

    #[test]
    fn a_name_steers_no_terminal() {
        assert_eq!(printable("caf\u{e9}"), "caf\u{e9}");
        assert_eq!(printable("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
    }

    #[test]
    fn one_is_no_plural() {
        assert_eq!(counted(1, "buyer"), "1 buyer");
        assert_eq!(counted(1_024, "buyer"), "1,024 buyers");
    }

    #[test]
    fn a_reader_that_went_away_is_no_error_but_a_full_disk_is() {
        let closed = Err(io::ErrorKind::BrokenPipe.into());
        assert!(tolerate_closed_pipe(closed).is_ok());
        assert!(tolerate_closed_pipe(Err(io::ErrorKind::StorageFull.into())).is_err());
    }

    #[test]
    fn seconds_are_rounded_to_what_was_measured() {
        assert_eq!(seconds(Duration::from_nanos(1_500_000_499)), 1.5);
    }
}
