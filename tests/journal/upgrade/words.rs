//! Persisted words as callers see them: names and numbers that never change, and the list of them.

use std::fs;

use stockade::{AdjustmentType, EntryType, EventType, TransferRequestStatus};

use super::calls::{LATER_WORDS, WORDS};

const LIST: &str = "docs/persisted-words.md";

const MOVEMENTS: [&str; 9] = [
    "Received",
    "Reserved",
    "Sold",
    "Returned",
    "Damaged",
    "TransferredOut",
    "TransferredIn",
    "SaleCancelled",
    "Shipped",
];

const EVENTS: [&str; 16] = [
    "Opened",
    "WarehouseDefined",
    "ProductDefined",
    "LevelOpened",
    "SettingChanged",
    "Extended",
    "KeyUsed",
    "TransferRequested",
    "TransferDecided",
    "Closed",
    "ClockStepped",
    "ClockApart",
    "LimitDefined",
    "LimitDropped",
    "GroupChanged",
    "AllowanceReturned",
];

/// In journals, the numbers of events begin here; those of movements begin at 0.
const FIRST_EVENT: usize = 32;

/// The rows of the tables below a heading of the list. The first row of each table is its own
/// heading.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(LIST).expect("the list");
    let section = text.split("\n## ").find(|section| section.starts_with(heading));
    let lines = section.unwrap_or_else(|| panic!("{LIST} has no {heading:?}")).lines();
    let rows = lines.filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    let cells =
        |row: &str| row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
    rows.map(cells).collect()
}

/// A name keeps its number. The number is its place in the enum, and journals hold it.
#[test]
fn types_of_entries_keep_their_names_and_numbers() {
    let listed = rows("Types of entries");
    let movements = AdjustmentType::ALL.iter().map(|it| (*it as usize, EntryType::from(*it)));
    let events = EventType::ALL.iter().map(|it| (FIRST_EVENT + *it as usize, EntryType::from(*it)));
    let known: Vec<(usize, EntryType)> = movements.chain(events).collect();
    let expected = MOVEMENTS.iter().enumerate();
    let expected =
        expected.chain(EVENTS.iter().enumerate().map(|(at, name)| (FIRST_EVENT + at, name)));
    let expected: Vec<(usize, &str)> = expected.map(|(number, name)| (number, *name)).collect();
    assert_eq!(known.iter().map(|(number, it)| (*number, it.name())).collect::<Vec<_>>(), expected);
    for (number, it) in known {
        assert_eq!(it.to_string(), it.name());
        assert_eq!(it.name().parse(), Ok(it));
        let row = [number.to_string(), format!("`{}`", it.name())];
        assert!(listed.iter().any(|listed| **listed == row), "{LIST} lacks {row:?}");
    }
    assert_eq!(listed.len(), expected.len() + 2, "{LIST} has more types of entries than there are");
}

#[test]
fn outcomes_of_transfer_requests_keep_their_words() {
    use TransferRequestStatus::{Approved, Failed, PendingApproval, Rejected};
    let named = [
        (PendingApproval, "pending approval"),
        (Approved, "approved"),
        (Rejected, "rejected"),
        (Failed, "failed"),
    ];
    let text = fs::read_to_string(LIST).expect("the list");
    for (status, word) in named {
        assert_eq!((status.name(), &*status.to_string()), (word, word));
        assert!(text.contains(&format!("`{word}`")), "{LIST} lacks {word:?}");
    }
}

#[test]
fn the_list_has_every_word_of_an_operation() {
    let listed = rows("Words of operations");
    let mut listed: Vec<&str> = listed
        .iter()
        .filter(|row| row.len() == 4 && row[0] != "word")
        .map(|row| row[0].trim_matches('`'))
        .collect();
    listed.sort_unstable();
    let mut known = [&WORDS[..], &LATER_WORDS].concat();
    known.sort_unstable();
    assert_eq!(listed, known);
}

/// Every tag, with the text that `tests/journal/upgrade/told.rs` has for the answer.
#[test]
fn the_list_has_every_kind_of_answer() {
    let listed = rows("Answers");
    let tags: Vec<&str> = listed.iter().skip(1).map(|row| &*row[0]).collect();
    let expected: Vec<String> = (0..super::told::KINDS.len() + super::told::LATER_KINDS.len())
        .map(|tag| tag.to_string())
        .collect();
    assert_eq!(tags, expected);
}
