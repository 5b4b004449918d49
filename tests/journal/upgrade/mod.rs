//! Upgrade: journals of older code, with a keyed call of every operation. Today's code opens them,
//! resumes them, and gives each retry its first answer.
//!
//! `tests/data/golden-9b3bb2f/README.md` says what they contain, and how to make another set.

mod calls;
mod files;
mod given;
mod shown;
mod told;
mod words;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use stockade::{
    IdempotencyKey, InventoryManager, JournalReader, ManualClock, ReservationId, Timestamp,
};

use crate::disks::Scratch;
use calls::{Call, LATER_CALLS, LATER_WORDS, ROWS, Row, WORDS};
use files::{CLOSED, Expected, KILLED};
use given::{FEW, FORGOTTEN, Given, LAPTOPS, LOST, Stage, engine, journal_in};
use told::{KINDS, LATER_KINDS, OUTCOMES, Refused, Told};

/// Every golden set.
const SETS: [&str; 4] = [
    "tests/data/golden-9b3bb2f",
    "tests/data/golden-69a866b",
    "tests/data/golden-1d4a1f0",
    "tests/data/golden-1061deb",
];

/// The folder of a new set. Today's journals are written to it, if it does not exist yet.
const FOLDER: &str = "STOCKADE_GOLDEN";

const ALL: u64 = 1_000_000;

/// The rows that a set has: all, but in the older sets.
fn rows(expected: &Expected) -> Vec<&'static Row> {
    let has = |row: &&Row| expected.answers.iter().any(|(name, _)| name == row.name);
    ROWS.iter().filter(has).collect()
}

/// How many holds of these rows were retaken. Each is a key of its own.
fn retaken(rows: &[&Row]) -> usize {
    let is_retaken = |row: &&&Row| {
        let (call, case) = row.name.split_once(": ").unwrap_or_default();
        let is_late = case.starts_with("late") || case.starts_with("retaken before");
        ["retake", "whole"].contains(&call) && is_late
    };
    rows.iter().filter(is_retaken).count()
}

fn call<'a>(row: &'a Row, manager: &'a InventoryManager, given: &'a Given) -> Call<'a> {
    let arguments = Cell::new(0);
    Call { row, key: row.key(), manager, given, note: "again", changed: None, arguments }
}

/// Writes a golden set.
fn write(folder: &Path) {
    fs::create_dir_all(folder).expect("a folder");
    let (closed, killed) = (folder.join(CLOSED), folder.join(KILLED));
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_700_000_000_000)));
    let mut expected = Expected::default();

    let lost = lose_a_hold(&folder.join("before"), &closed, &clock);
    // A minute later, and half of it back: what is written is ahead of the clock.
    clock.advance(Duration::from_secs(60));
    drop(engine(&clock, FEW).journal(journal_in(&closed)).build().expect("a sound journal"));
    let back = Timestamp::from_millis(clock_of(&clock) - 30_000);
    let clock = Arc::new(ManualClock::at(back));
    let opened = engine(&clock, FEW).journal(journal_in(&closed)).build();
    let manager = opened.expect("a sound journal");
    let mut stage = Stage { manager: &manager, clock: &clock, given: Given::default() };
    stage.given.holds.insert(LOST.to_owned(), lost);
    stage.open();
    for row in ROWS {
        stage.before(row.name);
        let answer = Call { note: "first", ..call(row, &manager, &stage.given) }.run();
        let answer = answer.unwrap_or_else(|refused| panic!("{}: {refused:?}", row.name));
        expected.answers.push((row.name.to_owned(), answer));
        manager.run_until_idle();
        // The auditor reads on, and writes a checkpoint where one is due.
        assert!(manager.verify().expect("a sound journal").is_sound());
    }
    stage.close();
    expected.given = stage.given;
    expected.state = shown::state(&manager, &ids(&expected), &rows(&expected));
    expected.clock = clock_of(&clock);
    manager.flush().wait().expect("a healthy disk");
    files::copy(&closed, &killed);
    drop(manager);
    files::kill(&killed, &closed);
    let verified = JournalReader::new(&closed).verify(None).expect("a sound journal");
    expected.head = verified.head.to_string();
    fs::remove_file(closed.join("lock")).expect("a lock that nobody holds");

    // The log that a reader finds who keeps all of it.
    let read = folder.join("read");
    files::copy(&closed, &read);
    let manager = engine(&clock, ALL).journal(journal_in(&read)).build().expect("a sound journal");
    expected.log = shown::log(&manager);
    // But for what this opening adds.
    let end = expected.log.iter().rposition(|entry| entry.contains(" Closed at ")).expect("an end");
    expected.log.truncate(end);
    let ids = ids(&expected);
    expected.log.retain(|entry| !is_filler(entry, &ids));
    drop(manager);
    fs::remove_dir_all(&read).expect("a folder");
    expected.write(folder);
}

/// Makes a hold in a journal, and copies what is on the disk without it.
fn lose_a_hold(before: &Path, copy: &Path, clock: &Arc<ManualClock>) -> ReservationId {
    let manager = engine(clock, FEW).journal(journal_in(before)).build().expect("a new journal");
    manager.add_stock(LAPTOPS, 2, "SUPPLIER").expect("room");
    manager.flush().wait().expect("a healthy disk");
    files::copy(before, copy);
    clock.advance(Duration::from_secs(1));
    let hold = manager.reserve(LAPTOPS, 2, Duration::from_secs(60)).expect("stock");
    drop(manager);
    fs::remove_dir_all(before).expect("a folder");
    hold
}

/// Whether an entry belongs to a hold that only let time pass.
fn is_filler(entry: &str, ids: &[ReservationId]) -> bool {
    let of_a_hold = entry.contains(" Reserved at ") || entry.contains(" Returned at ");
    let known = |id: &ReservationId| entry.contains(&id.to_string());
    of_a_hold && entry.contains(" reservation ") && !ids.iter().any(known)
}

fn clock_of(clock: &ManualClock) -> u64 {
    stockade::Clock::now(clock).as_millis()
}

/// All reservations that were returned to a caller, except the dropped one.
fn ids(expected: &Expected) -> Vec<ReservationId> {
    let told = expected
        .answers
        .iter()
        .filter_map(|(_, answer)| answer.rsplit_once(' ').and_then(|(_, last)| last.parse().ok()));
    let holds = expected.given.holds.iter().filter(|(row, _)| *row != FORGOTTEN);
    let mut ids: Vec<ReservationId> = holds.map(|(_, id)| *id).chain(told).collect();
    ids.sort();
    ids.dedup();
    ids
}

/// Repeats every call of a golden set. Then repeats each with every single argument changed.
fn repeat(manager: &InventoryManager, expected: &Expected, context: &str) {
    manager.flush().wait().expect("a healthy disk");
    let rows = rows(expected);
    let before = shown::state(manager, &ids(expected), &rows);
    let newest = manager.audit_log().newest_sequence();
    for row in &rows {
        let context = format!("{context}, {}", row.name);
        let first = call(row, manager, &expected.given);
        assert_eq!(first.run(), Ok(expected.answer(row.name).to_owned()), "{context}");
        assert!(first.arguments.get() > 0, "{context}: it has arguments");
        for changed in 0..first.arguments.get() {
            let changed = Some(changed);
            let answer = Call { changed, ..call(row, manager, &expected.given) }.run();
            assert_conflict(&answer, &format!("{context}, with argument {changed:?} changed"));
        }
        for other in rows.iter().filter(|other| other.word != row.word) {
            let answer = Call { key: row.key(), ..call(other, manager, &expected.given) }.run();
            assert_conflict(&answer, &format!("{context}, and then {}", other.name));
        }
    }
    let after = shown::state(manager, &ids(expected), &rows);
    assert_eq!(after, before, "{context}: something moved");
    manager.flush().wait().expect("a healthy disk");
    assert_eq!(manager.audit_log().newest_sequence(), newest, "{context}: something was recorded");
}

#[track_caller]
fn assert_conflict(answer: &Told, context: &str) {
    assert!(answer.as_ref().is_err_and(Refused::is_conflict), "{context}: {answer:?}");
}

/// Makes new calls under new keys. They are repeated later like all others.
fn go_on(
    manager: &InventoryManager,
    expected: &Expected,
) -> Vec<(&'static Row, IdempotencyKey, String)> {
    let is_for_no_hold = |row: &&'static Row| {
        let words = ["add", "remove", "reserve", "sell", "basket", "fulfil", "transfer", "ship"];
        words.contains(&row.word) || row.word == "request-transfer"
    };
    let mut fresh = Vec::new();
    for (number, row) in rows(expected).into_iter().filter(is_for_no_hold).enumerate() {
        let key = IdempotencyKey::try_from(&*format!("fresh {number}")).expect("a legal key");
        let answer = Call { key, ..call(row, manager, &expected.given) }.run();
        let answer = answer.unwrap_or_else(|refused| panic!("{}, anew: {refused:?}", row.name));
        let first = expected.answer(row.name);
        assert!(answer == "done" || answer != first, "{}: the first call's answer", row.name);
        fresh.push((row, key, answer));
    }
    fresh
}

/// Checks that today's code takes over one of a set's journals.
fn examine(folder: &Path, journal: &str, retained: u64, scratch: &Path) {
    let context = format!("{}/{journal}, {retained} entries in memory", folder.display());
    let expected = Expected::read(folder);
    let directory = scratch.join(format!("{journal}-{retained}"));
    files::copy(&folder.join(journal), &directory);
    if journal == CLOSED {
        let head = expected.head.parse().expect("a hash");
        let verified = JournalReader::new(&directory).verify(Some(head));
        assert!(verified.is_ok_and(|it| it.closed), "{context}");
    }
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(expected.clock)));
    let open = || {
        engine(&clock, retained).journal(journal_in(&directory)).build().expect("a sound journal")
    };

    let manager = open();
    let report = manager.recovery_report().expect("a journal").clone();
    assert_eq!(report.closed, journal == CLOSED, "{context}");
    assert_eq!(report.torn.is_some(), journal == KILLED, "{context}");
    assert_eq!(report.checkpoint.is_some(), retained == FEW, "{context}");
    assert_eq!(report.unusable_checkpoints, [], "{context}");
    let rows = rows(&expected);
    assert_eq!(report.keys, rows.len() + retaken(&rows), "{context}");
    assert_eq!(shown::state(&manager, &ids(&expected), &rows), expected.state, "{context}");
    if retained == ALL {
        let log: BTreeSet<String> = shown::log(&manager).into_iter().collect();
        for entry in &expected.log {
            assert!(log.contains(entry), "{context}: the log lacks {entry}");
        }
    }
    repeat(&manager, &expected, &context);

    let fresh = go_on(&manager, &expected);
    let found = manager.verify().expect("a sound journal");
    assert!(found.is_sound() && found.under_way == 0, "{context}: {found:?}");
    drop(manager);

    clock.advance(Duration::from_secs(1));
    let manager = open();
    assert!(manager.recovery_report().expect("a journal").closed, "{context}");
    let context = format!("{context}, once more");
    repeat(&manager, &expected, &context);
    for (row, key, answer) in fresh {
        let again = Call { key, ..call(row, &manager, &expected.given) }.run();
        assert_eq!(again, Ok(answer), "{context}: {} under {key}", row.name);
    }
    let found = manager.verify().expect("a sound journal");
    assert!(found.is_sound() && found.under_way == 0, "{context}: {found:?}");
    drop(manager);
    let verified = JournalReader::new(&directory).verify(None).expect("a sound journal");
    assert!(verified.closed, "{context}: {verified:?}");
    assert_eq!(verified.erased, 1, "{context}");
}

/// The closed journal replayed in full, the same from its checkpoint, and the killed one.
fn examine_all(folder: &Path, scratch: &Path) {
    examine(folder, CLOSED, ALL, scratch);
    examine(folder, CLOSED, FEW, scratch);
    examine(folder, KILLED, ALL, scratch);
}

#[test]
fn every_operations_retry_over_an_upgrade_gets_its_first_answer() {
    for set in SETS {
        let scratch = Scratch::new("upgrade");
        examine_all(Path::new(set), &scratch.join(""));
    }
}

#[test]
fn every_operations_retry_over_a_restart_gets_its_first_answer() {
    let scratch = Scratch::new("restart");
    let folder = std::env::var_os(FOLDER).map_or_else(|| scratch.join("set"), PathBuf::from);
    assert!(!folder.exists(), "{folder:?} is there, and a golden set is never written again");
    write(&folder);
    let newest = SETS.last().expect("a golden set");
    let (told, expected) = (Expected::read(&folder).log, Expected::read(Path::new(newest)).log);
    assert_eq!(words_of(&told), words_of(&expected), "today's code calls it otherwise");
    examine_all(&folder, &scratch.join(""));
}

/// Entries without what depends on the machine: how many holds only let time pass, and so the
/// sequence numbers, times and ids.
fn words_of(log: &[String]) -> Vec<String> {
    let words = |entry: &String| {
        // A retake takes the owner and the wish to keep the record along. The libraries that wrote
        // the older sets dropped both.
        let is_retake = entry.contains(" from ");
        let mut words = entry.split(' ').skip(1);
        let mut kept = Vec::new();
        while let Some(word) = words.next() {
            match word {
                "at" | "reservation" | "expires" | "from" => drop(words.next()),
                "owner" if is_retake => drop(words.next()),
                "keep=\"until-shipped\"" | "noted" if is_retake => {}
                word if word.starts_with("decidedAt=") => kept.push("decidedAt"),
                // A fact of later versions.
                "tracked=\"1\"" => {}
                word => kept.push(word),
            }
        }
        let text = kept.join(" ");
        // Why a transfer failed is an error's text, which may be worded anew.
        match text.split_once(" outcome=\"failed\" reason=") {
            Some((before, _)) => before.to_owned(),
            None => text,
        }
    };
    log.iter().map(words).collect()
}

/// Where the source has the words of fingerprints.
fn words_of_the_source(text: &str) -> BTreeSet<&str> {
    let mut words = BTreeSet::new();
    for maker in ["it.named(\"", "basket_shape(it, \""] {
        let found = text.split(maker).skip(1);
        words.extend(found.filter_map(|rest| rest.split('"').next()));
    }
    words
}

fn source(folder: &Path) -> String {
    let mut text = String::new();
    for file in fs::read_dir(folder).expect("a folder").flatten() {
        let path = file.path();
        if path.is_dir() {
            text += &source(&path);
        } else {
            text += &fs::read_to_string(path).expect("a source file");
        }
    }
    text
}

/// The methods of requests that take `&self`: they do something, and no other method of the
/// engine takes a key. Options take `self`.
fn calls_of_requests(text: &str) -> BTreeSet<String> {
    let makers = [
        "\nimpl Request<'_> {",
        "\nimpl TransferRequestBuilder<'_> {",
        "_for_holds! {\n",
        "_for_sales! {\n",
    ];
    let blocks = makers.iter().flat_map(|maker| text.split(maker).skip(1));
    let mut calls = BTreeSet::new();
    for block in blocks.filter_map(|rest| rest.split("\n}").next()) {
        for method in block.split("    pub fn ").skip(1) {
            let (name, rest) = method.split_once(['<', '(']).expect("a name");
            if rest.split(')').next().is_some_and(|arguments| arguments.contains("&self")) {
                calls.insert(name.to_owned());
            }
        }
    }
    calls
}

#[test]
fn every_call_that_takes_a_key_has_a_row() {
    let calls = calls_of_requests(&source(Path::new("src/engine")));
    assert!(calls.len() >= 22, "this test finds the calls no more: {calls:?}");
    let table = fs::read_to_string("tests/journal/upgrade/calls.rs").expect("the table");
    let without: Vec<_> =
        calls.iter().filter(|call| !table.contains(&format!(".{call}("))).collect();
    assert_eq!(without, LATER_CALLS, "calls without a row here");
}

#[test]
fn the_table_has_every_operation_and_every_answer() {
    let mut names = BTreeSet::new();
    let mut words = BTreeSet::new();
    for row in ROWS {
        assert!(names.insert(row.name), "{:?} is there twice", row.name);
        words.insert(row.word);
    }
    assert_eq!(words, BTreeSet::from(WORDS), "a word without a row, or a row of another word");

    let text = source(Path::new("src"));
    let used = words_of_the_source(&text);
    // Less only the three words that a step on lines chooses between.
    assert_eq!(
        used.len(),
        WORDS.len() + LATER_WORDS.len() - 3,
        "this test finds the words no more: {used:?}"
    );
    let words = &words | &BTreeSet::from(LATER_WORDS);
    let new: Vec<_> = used.difference(&words).collect();
    assert!(new.is_empty(), "an operation without a row here: {new:?}");
    for word in WORDS.iter().chain(&LATER_WORDS) {
        assert!(text.contains(&format!("\"{word}\"")), "no operation is called {word:?} any more");
    }

    for set in SETS {
        let expected = Expected::read(Path::new(set));
        let has = |wanted: &str| {
            expected.answers.iter().any(|(_, answer)| {
                answer == wanted
                    || answer.strip_prefix(wanted).is_some_and(|it| it.starts_with(' '))
            })
        };
        let later: &[&str] = if set == SETS[0] { &[] } else { &LATER_KINDS };
        for wanted in KINDS.iter().chain(&OUTCOMES).chain(later) {
            assert!(has(wanted), "{set}: no call was answered {wanted:?}");
        }
    }
}
