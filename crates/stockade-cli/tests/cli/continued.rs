//! `flash-sale` and `replay` resume an existing journal.

use serde_json::Value;

use super::{assert_counts, count, files, folder, orders, result_of, run, text};

fn sale(folder: &str, args: &[&str]) -> Value {
    let sale = ["flash-sale", "--journal", folder, "--attempts", "3000", "--products", "4"];
    let result = result_of(&[&sale, args].concat());
    assert_eq!(result["conserved"], true, "{result:#}");
    assert_counts(&result, &[("oversold_units", 0), ("law_breaks", 0)]);
    let reserved = count(&result, "reserved");
    // The entries of this run: one for the stock of each product, and two for each hold.
    assert_eq!(count(&result, "audit_entries"), count(&result, "products") + 2 * reserved);
    assert_eq!(count(&result, "units_sold"), count(&result, "confirmed"));
    result
}

/// Units of the whole journal: available, and reserved.
fn stock(folder: &str) -> (u64, u64) {
    let output = run(&["audit", "stock", folder, "--json"]);
    let rows: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let sum = |field| rows.as_array().expect("rows").iter().map(|row| count(row, field)).sum();
    (sum("available"), sum("reserved"))
}

fn verify(folder: &str, head: &Value) {
    let head = head.as_str().expect("a hash");
    let output = run(&["audit", "verify", folder, "--expect-head", head]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
}

#[test]
fn a_sale_goes_on_where_the_last_one_ended() {
    let folder = folder("continued-sales");
    let (mut sold, mut stocked, mut entries) = (0, 0, 0);
    for (run, args) in
        [&["--stock", "50"][..], &["--stock", "90", "--durability", "synced"], &["--stock", "7"]]
            .iter()
            .enumerate()
    {
        let result = sale(&folder, args);
        let found = &result["journal"]["found"];
        assert_counts(found, &[("entries", entries), ("openings", run as u64), ("pending", 0)]);
        assert_counts(found, &[("available", stocked - sold), ("reserved", sold), ("sold", sold)]);
        sold += count(&result, "units_sold");
        stocked += count(&result, "units_stocked");
        assert_eq!(stock(&folder), (stocked - sold, sold));
        verify(&folder, &result["journal"]["head"]);
        // The entry of the journal's closing follows the entries that the run counts.
        entries = count(&result["journal"], "entries");
        let output = run_log(&folder);
        assert_eq!(output.lines().count() as u64, entries);
    }
}

fn run_log(folder: &str) -> String {
    text(&run(&["audit", "log", folder, "--format", "jsonl"]).stdout)
}

#[test]
fn a_replay_and_a_sale_may_share_a_journal() {
    let folder = folder("continued-both");
    let replay = |threads: &str| {
        let args = ["replay", &orders(), "--stock", "10", "--journal", &folder];
        let result = result_of(&[&args[..], &["--threads", threads]].concat());
        assert_eq!(result["conserved"], true, "{result:#}");
        assert_counts(&result, &[("oversold_units", 0)]);
        result
    };
    let first = replay("1");
    assert_counts(&first, &[("units_sold", 43), ("available", 21), ("reserved", 43)]);
    assert_counts(&first, &[("audit_entries", 28)]);
    let rush = sale(&folder, &["--stock", "20"]);
    assert_counts(&rush["journal"]["found"], &[("available", 21), ("sold", 43)]);
    let again = replay("2");
    let there = stock(&folder);
    assert_eq!(there, (count(&again, "available"), count(&again, "reserved")));
    let sold = [&first, &rush, &again].map(|run| count(run, "units_sold"));
    assert_eq!(there.1, sold.iter().sum::<u64>());
    verify(&folder, &again["journal"]["head"]);
}

#[test]
fn the_summary_shows_what_was_found() {
    let folder = folder("continued-summary");
    sale(&folder, &["--stock", "5"]);
    let args = ["flash-sale", "--journal", &folder, "--attempts", "500", "--ttl-ms", "1"];
    let summary = text(&run(&args).stdout);
    for words in ["journal entries", "of 1 opening, closed", "Conserved: "] {
        assert!(summary.contains(words), "no {words:?} in {summary}");
    }
}

#[test]
fn a_journal_that_no_run_made_is_refused_and_left_alone() {
    let folder = folder("continued-stranger");
    let builder = stockade::InventoryManager::builder().warehouse("SF").journal(&folder);
    let manager = builder.build().expect("a new journal");
    manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER").expect("room");
    drop(manager);
    let before = files(&folder);
    let output = run(&["flash-sale", "--journal", &folder]);
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    assert!(told.contains("has stock of warehouse \"SF\"") && told.lines().count() == 1, "{told}");
    assert_eq!(files(&folder), before);
}

#[test]
fn more_units_than_a_warehouse_holds_are_refused_whenever_they_came() {
    let folder = folder("continued-full");
    sale(&folder, &["--stock", "100"]);
    let args = ["flash-sale", "--journal", &folder, "--products", "1", "--stock", "2147483647"];
    let output = run(&args);
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    assert!(told.contains("on top of the 400 in the journal"), "{told}");
}

#[test]
fn a_journal_in_use_and_a_damaged_one_are_told() {
    let folder = folder("continued-locked");
    sale(&folder, &["--stock", "5"]);
    let builder = stockade::InventoryManager::builder().warehouse("MAIN").journal(&folder);
    let manager = builder.build().expect("a sound journal");
    let output = run(&["flash-sale", "--journal", &folder]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("the journal is open elsewhere"));
    drop(manager);
    let is_segment = |path: &std::path::Path| path.extension().is_some_and(|it| it == "journal");
    let segment = files(&folder).into_iter().find(|(path, _)| is_segment(path));
    let (path, mut bytes) = segment.expect("a segment");
    bytes[200] ^= 1;
    std::fs::write(path, bytes).expect("a file");
    let output = run(&["replay", &orders(), "--journal", &folder]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("the journal is damaged"), "{}", text(&output.stderr));
}
