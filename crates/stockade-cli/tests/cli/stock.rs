//! `stockade audit stock`: compares the journal alone with the engine's own counts.

use std::time::Duration;

use serde_json::{Value, json};
use stockade::{Counts, InventoryManager, JournalReader, ManualClock, Timestamp};

use super::random::{OPENING, Shop};
use super::{folder, run, text};

fn rows(args: &[&str]) -> Value {
    let output = run(&[&["audit", "stock"], args, &["--json"]].concat());
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn expected(counts: &[(&str, &str, Counts)]) -> Value {
    let row = |(warehouse, product, counts): &(&str, &str, Counts)| {
        let Counts { available, reserved, sold, .. } = counts;
        json!({
            "warehouse": warehouse,
            "product": product,
            "available": available,
            "reserved": reserved,
            "sold": sold,
        })
    };
    counts.iter().map(row).collect()
}

#[test]
fn it_is_what_the_engine_says_for_every_random_run() {
    for seed in 0..8 {
        let folder = folder(&format!("stock-{seed}"));
        // The second opening resumes the journal of the first.
        for opening in 0..2 {
            let mut shop = Shop::open(&folder, seed ^ opening << 32);
            (0..200).for_each(|_| shop.step());
            shop.flush();
            assert_eq!(rows(&[&folder]), expected(&shop.counts()), "seed {seed}, live");
            let counts = shop.counts();
            drop(shop);
            assert_eq!(rows(&[&folder]), expected(&counts), "seed {seed}, closed");
        }
    }
}

#[test]
fn at_any_moment_it_is_what_the_engine_said_then() {
    let folder = folder("stock-at");
    let mut shop = Shop::open(&folder, 5);
    let mut seen = Vec::new();
    for millis in 0..150 {
        // Some milliseconds see nothing, some see much.
        (0..shop.below(4)).for_each(|_| shop.step());
        seen.push((OPENING + millis, shop.counts()));
        shop.clock.set(Timestamp::from_millis(OPENING + millis + 1));
    }
    shop.flush();
    let mut journal = JournalReader::new(&folder);
    for (moment, counts) in &seen {
        let stock = journal.stock(Some(Timestamp::from_millis(*moment))).expect("a sound journal");
        assert!(stock.newest_at.as_millis() <= *moment);
        let mut found: Vec<_> = stock
            .rows
            .iter()
            .map(|row| (&*row.warehouse, &*row.product, [row.available, row.reserved, row.sold]))
            .collect();
        found.sort_unstable_by_key(|(warehouse, product, _)| (*warehouse, *product));
        let counts: Vec<_> = counts
            .iter()
            .map(|(w, p, counts)| (*w, *p, [counts.available, counts.reserved, counts.sold]))
            .collect();
        assert_eq!(found, counts, "at {moment}");
    }
    // Both spellings; what lies between two milliseconds counts as the first.
    for (moment, counts) in seen.iter().step_by(37) {
        assert_eq!(rows(&[&folder, "--at", &moment.to_string()]), expected(counts));
        let nanos = i128::from(*moment) * 1_000_000 + 999_999;
        let written = jiff::Timestamp::from_nanosecond(nanos).expect("a moment").to_string();
        assert_eq!(rows(&[&folder, "--at", &written]), expected(counts), "{written}");
    }
    assert_eq!(rows(&[&folder, "--at", &(OPENING - 1).to_string()]), json!([]));
}

#[test]
fn the_table_is_for_people_and_names_can_not_steer_their_terminal() {
    let folder = folder("stock-table");
    let mut shop = Shop::open(&folder, 1);
    (0..100).for_each(|_| shop.step());
    shop.flush();
    let output = run(&["audit", "stock", &folder]);
    let table = text(&output.stdout);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    for line in ["warehouse", "DESK, oak", "tab\\there", "As of entry"] {
        assert!(table.contains(line), "no {line:?} in {table}");
    }
    let before = run(&["audit", "stock", &folder, "--at", "5"]);
    assert!(text(&before.stdout).contains("Before the first entry."));
}

#[test]
fn entries_that_were_dated_ahead_count_as_of_the_opening_that_found_them_so() {
    let folder = folder("stock-ahead");
    let session = |millis: u64, units: u32| {
        let clock = ManualClock::at(Timestamp::from_millis(millis));
        let builder = InventoryManager::builder().warehouse("SF").journal(&folder).clock(clock);
        let shop = builder.build().expect("a journal");
        shop.add_stock(("SF", "LAPTOP"), units, "SUPPLIER").expect("room");
        assert!(shop.shutdown(Duration::from_secs(60)).is_clean());
    };
    session(OPENING + 3_600_000, 10);
    session(OPENING, 5);
    let at = OPENING.to_string();
    let output = run(&["audit", "stock", &folder, "--at", &at, "--json"]);
    let rows: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((output.status.code(), &rows[0]["available"]), (Some(0), &json!(15)));
    let told = text(&output.stderr);
    assert!(told.contains(" entries bear times up to ") && told.lines().count() == 1, "{told}");
}
