//! The program `stockade`, run as its users run it: arguments in; exit code, stdout and stderr out.

mod archive;
mod beside;
mod continued;
mod crash;
mod customers;
#[cfg(unix)]
mod environment;
mod flash_sale;
mod listing;
mod misuse;
mod order_files;
mod power;
mod random;
mod real_orders;
mod redact;
mod replay;
mod salvage;
#[cfg(unix)]
mod serve;
mod stock;
#[cfg(unix)]
mod terminal;
mod verify;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The program with these arguments.
fn stockade(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stockade"));
    command.args(args);
    command
}

fn run(args: &[&str]) -> Output {
    stockade(args).output().expect("the program can be started")
}

/// Runs with `--json`, and returns the one object on stdout.
fn result_of(args: &[&str]) -> Value {
    let output = stockade(args).arg("--json").output().expect("the program can be started");
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {told}");
    assert_eq!(told, "", "nothing is said beside the result");
    let result: Value = serde_json::from_slice(&output.stdout).expect("one JSON object on stdout");
    assert!(result.is_object());
    result
}

/// A count in a result.
fn count(result: &Value, field: &str) -> u64 {
    result[field].as_u64().unwrap_or_else(|| panic!("no count {field:?} in {result:#}"))
}

/// Asserts all these counts.
fn assert_counts(result: &Value, expected: &[(&str, u64)]) {
    for &(field, units) in expected {
        assert_eq!(count(result, field), units, "{field} in {result:#}");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}

/// The hand-made order book.
fn orders() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/orders.csv");
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// Writes a file for one test.
fn file(name: &str, content: impl AsRef<[u8]>) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, content).expect("the test's own file can be written");
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// An empty folder for a test's journal.
fn folder(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("journals").join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder for tests");
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// The files of a journal, by name.
fn files(folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a file").path()).collect();
    // Whoever takes the lock signs it. It is no part of the journal.
    paths.retain(|path| !path.ends_with("lock"));
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).expect("a file"))).collect()
}

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}
