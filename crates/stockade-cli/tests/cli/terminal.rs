//! The program in a terminal: colours, widths, progress, and the signals that end it.
//!
//! The terminal is one of `script`, from util-linux. Where there is none, the tests say so.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use stockade::{InventoryManager, JournalOptions, Owner};

use super::{count, folder, orders, result_of, run, skipped, stockade, text};

/// What a terminal of so many columns shows of the program; `None` if there is no terminal.
fn shown(columns: u16, set: &str, args: &[&str]) -> Option<String> {
    let quoted: Vec<String> = args.iter().map(|it| format!("'{it}'")).collect();
    let program = env!("CARGO_BIN_EXE_stockade");
    let command = format!(
        "stty cols {columns} rows 40; env TERM=xterm {set} '{program}' {}",
        quoted.join(" ")
    );
    let mut script = Command::new("script");
    script.args(["-qec", &command, "/dev/null"]).stdin(Stdio::null());
    for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS"] {
        script.env_remove(variable);
    }
    match script.output() {
        Ok(output) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Err(_) => {
            skipped("there is no `script` here to make a terminal");
            None
        }
    }
}

/// A journal with names and notes of every width.
fn journal(name: &str) -> String {
    let folder = folder(name);
    let journal = JournalOptions::directory(&folder);
    let builder = InventoryManager::builder().warehouse("SF").journal(journal);
    let manager = builder.without_threads().build().expect("a new journal");
    let names = ["LAPTOP", "a product with a name of more than thirty letters", "\u{6f22}\u{5b57}"];
    for product in names {
        let request = manager.request().note("order", "PO-2026-0000000000000000042");
        request.add_stock(("SF", product), 10, "SUPPLIER").expect("room");
        let request = manager.request().owner(Owner::from(uuid::Uuid::from_u128(7)));
        request.reserve(("SF", product), 1, Duration::from_secs(3_600)).expect("stock");
    }
    manager.flush().wait().expect("written");
    let _ = manager.shutdown(Duration::from_secs(5));
    folder
}

/// Whether there is a sequence that sets a colour: a number, and then an m.
fn is_coloured(shown: &str) -> bool {
    shown.split("\u{1b}[").skip(1).any(|it| {
        it.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == ';')
            .starts_with('m')
    })
}

fn plain(shown: &str) -> String {
    console::strip_ansi_codes(shown).into_owned()
}

#[test]
fn the_log_is_as_wide_as_the_terminal_and_loses_nothing() {
    let journal = journal("terminal-log");
    let piped = text(&run(&["audit", "log", &journal]).stdout);
    for columns in [40, 80, 200] {
        let Some(shown) = shown(columns, "NO_COLOR=1", &["audit", "log", &journal]) else { return };
        for line in shown.lines() {
            let width = console::measure_text_width(line.trim_end());
            assert!(width <= columns.into(), "{width} of {columns}: {line:?}");
        }
        // Line breaks apart, all words are there.
        let letters = |text: &str| text.split_whitespace().collect::<String>();
        assert_eq!(letters(&shown), letters(&piped), "{columns}");
    }
    let Some(wide) = shown(200, "NO_COLOR=1", &["audit", "log", &journal]) else { return };
    let Some(narrow) = shown(80, "NO_COLOR=1", &["audit", "log", &journal]) else { return };
    assert!(wide.lines().count() < narrow.lines().count(), "{wide}");
}

#[test]
fn a_terminal_gets_colours_unless_no_color_is_set() {
    let journal = journal("terminal-colours");
    for args in [&["audit", "verify", &journal][..], &["audit", "log", &journal], &["--help"]] {
        let Some(coloured) = shown(80, "", args) else { return };
        assert!(is_coloured(&coloured), "{args:?}: {coloured}");
        for set in ["NO_COLOR=1", "NO_COLOR=1 CLICOLOR_FORCE=1", "TERM=dumb", "TERM=dumb CI=true"] {
            let without = shown(80, set, args).expect("a terminal");
            assert!(!is_coloured(&without), "{args:?} with {set}: {without:?}");
        }
        let piped = stockade(args).env_remove("CLICOLOR_FORCE").output().expect("it starts");
        assert!(!text(&piped.stdout).contains('\u{1b}'), "{args:?} in a pipe");
    }
    let Some(told) = shown(80, "", &["audit", "verify", "/nowhere"]) else { return };
    assert!(is_coloured(&told) && plain(&told).starts_with("stockade: /nowhere"), "{told}");
}

#[test]
fn a_result_fits_a_terminal_of_eighty_columns() {
    let journal = journal("terminal-results");
    for args in [
        &["replay", &orders()][..],
        &["flash-sale", "--attempts", "1000", "--ttl-ms", "1"],
        &["audit", "stock", &journal],
        &["audit", "verify", &journal],
        &["--help"],
        &["replay", "--help"],
    ] {
        let Some(shown) = shown(80, "NO_COLOR=1", args) else { return };
        // What a progress bar drew is erased before the result.
        let shown = plain(shown.rsplit("\u{1b}[2K").next().unwrap_or_default());
        // A path is as long as it is.
        let fixed = |line: &&str| !line.contains(&journal) && !line.contains(&orders());
        for line in shown.lines().filter(fixed) {
            let width = console::measure_text_width(line.trim_end());
            assert!(width <= 80, "{args:?}: {width} columns: {line:?}");
        }
    }
}

#[test]
fn a_run_shows_its_progress() {
    let args = ["flash-sale", "--attempts", "300000", "--buyers", "2", "--ttl-ms", "1"];
    let Some(shown) = shown(80, "", &args) else { return };
    assert!(shown.contains("/300,000 attempts"), "{shown}");
}

/// Runs the program on a journal, signals it once it sells, and returns its result.
fn interrupted(args: &[&str], name: &str, signals: &[&str]) -> (Option<i32>, String) {
    let folder = folder(name);
    let mut command = stockade(&[args, &["--journal", &folder, "--json"]].concat());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("the program can be started");
    let sells = ["audit", "log", &folder, "--type", "Sold", "--limit", "1", "--json"];
    while run(&sells).stdout.is_empty() {
        assert!(child.try_wait().expect("a child").is_none(), "the program has ended");
        std::thread::sleep(Duration::from_millis(50));
    }
    for signal in signals {
        let id = child.id().to_string();
        let sent = Command::new("kill").args([*signal, &*id]).status().expect("kill is there");
        assert!(sent.success(), "the program had ended already");
        std::thread::sleep(Duration::from_millis(200));
    }
    let mut said = String::new();
    let mut out = child.stdout.take().expect("a pipe");
    out.read_to_string(&mut said).expect("text");
    (child.wait().expect("it ends").code(), said)
}

/// A sale that lasts for days, and holds that live for an hour. One buyer leaves the machine to
/// other tests.
const ENDLESS: [&str; 7] =
    ["flash-sale", "--attempts", "4000000000000", "--ttl-ms", "3600000", "--buyers", "1"];

#[test]
fn a_signal_ends_a_sale_with_its_result() {
    for signal in ["-INT", "-TERM"] {
        let name = format!("interrupted-sale{signal}");
        let (code, said) = interrupted(&ENDLESS, &name, &[signal]);
        let result: Value = serde_json::from_str(&said).expect("a result");
        assert_eq!((code, &result["conserved"]), (Some(0), &true.into()), "{result:#}");
        assert_eq!(result["interrupted"], true);
        let attempts = count(&result, "attempts");
        assert!(attempts > 0 && attempts < 4_000_000_000_000, "{attempts}");
        assert!(count(&result, "pending") > 0, "{result:#}");
        let ended = ["confirmed", "released", "expired"].map(|field| count(&result, field));
        assert_eq!(ended.iter().sum::<u64>(), count(&result, "reserved"));
        // The journal was closed, and the next sale goes on with it.
        let folder = result["journal"]["directory"].as_str().expect("a path").to_owned();
        let verified = result_of(&["audit", "verify", &folder]);
        assert_eq!((&verified["sound"], &verified["closed"]), (&true.into(), &true.into()));
        let small = ["flash-sale", "--attempts", "100", "--ttl-ms", "1", "--journal", &folder];
        assert_eq!(result_of(&small)["conserved"], true);
    }
}

#[test]
fn a_second_signal_ends_the_program_at_once() {
    let (code, said) = interrupted(&ENDLESS, "interrupted-twice", &["-INT", "-INT"]);
    assert_eq!((code, said.as_str()), (Some(130), ""));
}

#[test]
fn a_signal_ends_a_replay_with_its_result() {
    let mut book = "InvoiceNo,StockCode,Quantity\n".to_owned();
    (0..100_000).for_each(|number| book.push_str(&format!("{number},1A,1\n")));
    let path = super::file("long.csv", book);
    let args = ["replay", &path, "--durability", "synced", "--stock", "1000000"];
    let (code, said) = interrupted(&args, "interrupted-replay", &["-INT"]);
    let result: Value = serde_json::from_str(&said).expect("a result");
    assert_eq!((code, &result["conserved"]), (Some(0), &true.into()), "{result:#}");
    assert_eq!(result["interrupted"], true);
    assert!(count(&result, "invoices_replayed") < count(&result, "invoices"));
}
