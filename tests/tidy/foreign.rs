//! Calls of code that the engine did not write: `docs/foreign-code.md` lists them all, and each is
//! made where the list says.

use std::collections::{BTreeMap, BTreeSet};

use super::rules::is_test;
use super::source::{Source, Token};

/// A row of the table: whose code, how it is called, where, and which tests hold it.
#[derive(Debug)]
pub(crate) struct Row {
    whose: String,
    calls: Vec<String>,
    files: BTreeSet<String>,
    tests: Vec<String>,
}

/// What stands in backticks.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The rows of four cells that begin in backticks, in whichever table of the page.
pub(crate) fn rows(page: &str) -> Vec<Row> {
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows = page.lines().filter(|line| line.starts_with("| `")).map(cells);
    rows.filter(|cells| cells.len() == 6)
        .map(|cells| Row {
            whose: quoted(&cells[1]).remove(0),
            calls: quoted(&cells[2]),
            files: quoted(&cells[3]).into_iter().collect(),
            tests: quoted(&cells[4]),
        })
        .collect()
}

/// A file's code without its tests.
fn shipped(source: &Source) -> &[Token] {
    let is_tests = |row: &[Token]| row.iter().map(|it| &*it.text).eq(["mod", "tests", "{"]);
    let end = source.tokens.windows(3).position(is_tests).unwrap_or(source.tokens.len());
    &source.tokens[..end]
}

/// The files of the library that are shipped.
fn library(sources: &[Source]) -> impl Iterator<Item = &Source> {
    sources.iter().filter(|it| it.path.starts_with("src/") && !is_test(it))
}

/// The tokens of the item that begins at `at`, up to its body or its end.
fn signature(tokens: &[Token], at: usize) -> &[Token] {
    let length = tokens[at..].iter().position(|it| it.text == "{" || it.text == ";");
    &tokens[at..at + length.unwrap_or(0)]
}

/// What callers may implement or pass, from the code: public traits, and public functions that take
/// a function.
fn brought(sources: &[Source]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for source in library(sources) {
        let tokens = shipped(source);
        for (at, row) in tokens.windows(3).enumerate() {
            let [is_pub, what, name] = row else { unreachable!("three") };
            if is_pub.text != "pub" {
                continue;
            }
            let takes_code = || {
                let functions = ["Fn", "FnMut", "FnOnce"];
                signature(tokens, at).iter().any(|it| functions.contains(&&*it.text))
            };
            if what.text == "trait" || (what.text == "fn" && takes_code()) {
                found.insert(name.text.clone(), format!("{}:{}", source.path, name.line));
            }
        }
    }
    found
}

/// Traits that callers can't implement, by a seal; and tools for tests, which call back at once.
const HARMLESS: [&str; 4] = ["MutationError", "OnRecord", "crash", "refuse_threads"];

/// What callers bring and no row lists.
pub(crate) fn unlisted(sources: &[Source], rows: &[Row]) -> Vec<String> {
    let listed = |name: &str| rows.iter().any(|row| row.whose == name);
    let brought = brought(sources);
    assert!(brought.len() > 10, "only {brought:?} were found");
    let unlisted =
        brought.iter().filter(|(name, _)| !listed(name) && !HARMLESS.contains(&&***name));
    unlisted.map(|(name, at)| format!("{at}: `{name}` is not in docs/foreign-code.md")).collect()
}

/// The tokens of a call as the page writes it.
fn pattern(call: &str) -> Vec<String> {
    Source::new("", call).tokens.into_iter().map(|token| token.text).collect()
}

/// Calls that are made elsewhere than the row says, and files that do not make theirs.
pub(crate) fn misplaced(sources: &[Source], rows: &[Row]) -> Vec<String> {
    let mut wrong = Vec::new();
    // What the row leaves open is passed on under names that others have, too.
    for row in rows.iter().filter(|row| !row.calls.is_empty()) {
        let mut found = BTreeSet::new();
        for call in &row.calls {
            let sequence = pattern(call);
            let makes = |source: &&Source| {
                let rows = shipped(source).windows(sequence.len());
                rows.into_iter().any(|it| it.iter().map(|it| &it.text).eq(&sequence))
            };
            let files: BTreeSet<_> =
                library(sources).filter(makes).map(|it| it.path.clone()).collect();
            if files.is_empty() {
                wrong.push(format!("`{}`: nobody calls `{call}`", row.whose));
            }
            found.extend(files);
        }
        for file in found.symmetric_difference(&row.files) {
            wrong.push(format!("`{}`: {file} calls it, or the page says so: not both", row.whose));
        }
    }
    wrong
}

/// Methods of listed traits that no call of their row names.
pub(crate) fn unnamed_methods(sources: &[Source], rows: &[Row]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in library(sources) {
        let tokens = shipped(source);
        for (at, window) in tokens.windows(3).enumerate() {
            let row = rows.iter().find(|row| row.whose == window[2].text);
            let Some(row) = row.filter(|_| window[0].text == "pub" && window[1].text == "trait")
            else {
                continue;
            };
            let mut depth = 0;
            for pair in tokens[at..].windows(2) {
                match &*pair[0].text {
                    "{" => depth += 1,
                    "}" if depth == 1 => break,
                    "}" => depth -= 1,
                    "fn" if depth == 1 => {
                        let name = &pair[1].text;
                        if !row.calls.iter().any(|call| pattern(call).contains(name)) {
                            wrong.push(format!("`{}::{name}` has no call in its row", row.whose));
                        }
                    }
                    _ => {}
                }
            }
        }
    }
    wrong
}

/// Rows that name no test, and names of tests that no function bears. What a test shows, whether a
/// panic, a call back or a block, is not read here.
pub(crate) fn untested(sources: &[Source], rows: &[Row]) -> Vec<String> {
    let mut wrong = Vec::new();
    let tests: BTreeSet<&str> = sources
        .iter()
        .flat_map(|it| it.tokens.windows(2))
        .filter(|row| row[0].text == "fn")
        .map(|row| &*row[1].text)
        .collect();
    for row in rows {
        if row.tests.is_empty() {
            wrong.push(format!("`{}` has no test", row.whose));
        }
        let none = row.tests.iter().filter(|test| !tests.contains(&***test));
        wrong.extend(none.map(|test| format!("`{}`: there is no test `{test}`", row.whose)));
    }
    wrong
}

/// The one file that catches panics.
const DOOR: &str = "src/base/foreign.rs";

/// Panics that are caught beside the one door, and thread-locals that are read so that a destructor
/// of another one would panic.
pub(crate) fn other_catches(source: &Source) -> Vec<String> {
    if !source.path.starts_with("src/") || is_test(source) || source.path == DOOR {
        return Vec::new();
    }
    let words = ["catch_unwind", "with_borrow", "with_borrow_mut"];
    let found = shipped(source).iter().filter(|it| words.contains(&&*it.text));
    found.map(|it| format!("{}:{} has `{}`", source.path, it.line, it.text)).collect()
}
