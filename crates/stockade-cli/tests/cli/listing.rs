//! `stockade audit log`: compares the journal with the engine's log in memory, filter by filter.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Map, Value, json};
use stockade::{
    AdjustmentType, AuditEntry, AuditFilter, EntryDraw, InventoryManager, JournalReader, LimitRule,
    Timestamp,
};

use super::random::{OPENING, PRODUCTS, Shop, WAREHOUSES, owner};
use super::{folder, run, stockade, text};

/// A journal of two openings, and the second engine, whose log has all of it.
fn shop(name: &str) -> (String, Shop) {
    let folder = folder(name);
    let mut first = Shop::open(&folder, 3);
    (0..150).for_each(|_| first.step());
    drop(first);
    let mut shop = Shop::open(&folder, 4);
    for _ in 0..300 {
        shop.step();
        shop.clock.advance(Duration::from_millis(1));
    }
    shop.flush();
    (folder, shop)
}

fn draw(draw: &EntryDraw) -> Value {
    json!({
        "rule": draw.rule,
        "version": draw.version,
        "subject": draw.subject.to_string(),
        "maximum": draw.maximum,
        "used_after": draw.used_after,
        "passed": draw.passed,
    })
}

fn row(entry: &AuditEntry) -> Value {
    let pairs = entry.metadata().iter();
    let metadata: Map<String, Value> =
        pairs.map(|(name, value)| (name.clone(), value.clone().into())).collect();
    let millis = i64::try_from(entry.at.as_millis()).expect("a moment");
    json!({
        "sequence": entry.sequence,
        "at": format!("{:.3}", jiff::Timestamp::from_millisecond(millis).expect("a moment")),
        "at_ms": entry.at.as_millis(),
        "type": entry.entry_type.name(),
        "warehouse": entry.warehouse.as_deref(),
        "product": entry.product.as_deref(),
        "other_warehouse": entry.other_warehouse.as_deref(),
        "quantity": entry.quantity,
        "reservation": entry.reservation.map(|id| id.to_string()),
        "owner": entry.owner.map(|owner| owner.to_string()),
        "expires_at_ms": entry.expires_at.map(Timestamp::as_millis),
        "retaken_from": entry.retaken_from.map(|id| id.to_string()),
        "metadata": metadata,
        "record": entry.record,
        "key": entry.key.map(|key| key.to_string()),
        "limits": entry.limits.iter().map(draw).collect::<Vec<Value>>(),
    })
}

fn listed(args: &[&str]) -> Vec<Value> {
    let output = run(&[&["audit", "log"], args, &["--format", "jsonl"]].concat());
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    let lines = text(&output.stdout);
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn every_filter_gives_what_the_log_in_memory_gives() {
    let (folder, shop) = shop("log-filters");
    let all = shop.manager.audit_log().query(&AuditFilter::new().limit(usize::MAX)).entries;
    let of_hold = |entry: &&AuditEntry| entry.reservation.is_some();
    let hold = all.iter().rfind(of_hold).and_then(|entry| entry.reservation).expect("a hold");
    let (since, until) = (OPENING + 50, OPENING + 200);
    let (since_text, until_text) = ("2023-11-14T22:13:20.050Z", "2023-11-14T22:13:20.200+00:00");
    let filter = AuditFilter::new;
    let (hold_text, owner_text) = (hold.to_string(), owner(1).to_string());
    let (since_millis, until_millis) = (since.to_string(), until.to_string());
    let cases: Vec<(Vec<&str>, AuditFilter)> = vec![
        (vec![], filter()),
        (vec!["--product", PRODUCTS[1]], filter().product(PRODUCTS[1])),
        (vec!["--product", "nothing"], filter().product("nothing")),
        (vec!["--warehouse", WAREHOUSES[2]], filter().warehouse(WAREHOUSES[2])),
        (vec!["--reservation", &hold_text], filter().reservation(hold)),
        (vec!["--owner", &owner_text], filter().owner(owner(1))),
        (vec!["--type", "Sold"], filter().entry_type(AdjustmentType::Sold)),
        (
            vec!["--type", "sold", "--type", "TransferredOut"],
            filter().entry_type(AdjustmentType::Sold).entry_type(AdjustmentType::TransferredOut),
        ),
        (vec!["--since", since_text], filter().since(Timestamp::from_millis(since))),
        (vec!["--until", until_text], filter().until(Timestamp::from_millis(until))),
        (
            vec![
                "--since",
                &since_millis,
                "--until",
                &until_millis,
                "--warehouse",
                "SF",
                "--product",
                "LAPTOP",
                "--type",
                "Received",
            ],
            filter()
                .since(Timestamp::from_millis(since))
                .until(Timestamp::from_millis(until))
                .warehouse("SF")
                .product("LAPTOP")
                .entry_type(AdjustmentType::Received),
        ),
    ];
    for (args, filter) in cases {
        let page = shop.manager.audit_log().query(&filter.limit(usize::MAX));
        let rows: Vec<Value> = page.entries.iter().map(row).collect();
        assert!(!rows.is_empty() || args.contains(&"nothing"), "{args:?} asks for nothing");
        assert_eq!(listed(&[&[&*folder], &*args].concat()), rows, "{args:?}");
    }
}

#[test]
fn a_page_of_the_journal_is_a_page_of_the_log() {
    let (folder, shop) = shop("log-pages");
    let mut journal = JournalReader::new(&folder);
    let mut filter = AuditFilter::new().product(PRODUCTS[0]).limit(7);
    let mut pages = 0;
    loop {
        let page = journal.query(&filter).expect("a sound journal");
        assert_eq!(page, shop.manager.audit_log().query(&filter));
        pages += 1;
        let Some(next) = page.next else { break };
        filter = filter.after(next);
    }
    assert!(pages > 3, "{pages} pages");
    assert_eq!(listed(&[&folder, "--limit", "5"]).len(), 5);
    assert_eq!(listed(&[&folder, "--limit", "0"]).len(), 0);
}

#[test]
fn csv_says_the_same_and_the_table_is_for_people() {
    let (folder, shop) = shop("log-formats");
    let all = shop.manager.audit_log().query(&AuditFilter::new().limit(usize::MAX)).entries;
    let output = run(&["audit", "log", &folder, "--format", "csv"]);
    let mut reader = csv::Reader::from_reader(&*output.stdout);
    let names: Vec<String> =
        reader.headers().expect("a first row").iter().map(str::to_owned).collect();
    let mut rows = 0;
    for (record, entry) in reader.records().zip(&all) {
        let (record, expected) = (record.expect("CSV"), row(entry));
        for (name, field) in names.iter().zip(record.iter()) {
            let value = match &expected[name] {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                Value::Object(pairs) if pairs.is_empty() => String::new(),
                Value::Array(draws) if draws.is_empty() => String::new(),
                Value::Object(pairs) => {
                    let found: Value = serde_json::from_str(field).expect("JSON");
                    assert_eq!(found, Value::Object(pairs.clone()));
                    continue;
                }
                other => other.to_string(),
            };
            assert_eq!(field, value, "{name} of entry {}", entry.sequence);
        }
        rows += 1;
    }
    assert_eq!((rows, names.len()), (all.len(), 16));
    let table = text(&run(&["audit", "log", &folder]).stdout);
    assert_eq!(table.lines().count(), all.len() + 1);
    for word in ["quantity", "TransferredIn", "fromWarehouse=", "reservationId=", "tab\\there"] {
        assert!(table.contains(word), "no {word:?} in the table");
    }
}

#[test]
fn an_entry_says_what_it_counts_under_limits() {
    let folder = folder("log-limits");
    let manager = InventoryManager::builder().warehouse("SF").subject_secret([7; 16]);
    let manager = manager.journal(&*folder).build().expect("a new journal");
    manager.add_stock(("SF", "SHOE"), 9, "SUPPLIER").expect("room");
    let rule = LimitRule::new("two each", "customer", 2).products(["SHOE"]);
    manager.define_limit(rule).expect("a limit");
    let ann = manager.request().subject("customer", "ann");
    ann.sell(("SF", "SHOE"), 2).expect("two");
    ann.pass_limit("two each", "a gift").sell(("SF", "SHOE"), 1).expect("passed");
    manager.flush().wait().expect("written");
    let log = manager.audit_log().query(&AuditFilter::new().limit(usize::MAX)).entries;
    drop(manager);
    let reserved = ["--type", "Reserved"];
    let rows = listed(&[&[&*folder], &reserved[..]].concat());
    let expected: Vec<Value> =
        log.iter().filter(|it| it.entry_type == AdjustmentType::Reserved.into()).map(row).collect();
    assert_eq!(rows, expected);
    let told = |row: &Value| {
        let draw = &row["limits"][0];
        (draw["used_after"].clone(), draw["maximum"].clone(), draw["passed"].clone())
    };
    let told: Vec<_> = rows.iter().map(told).collect();
    assert_eq!(told, [(2.into(), 2.into(), false.into()), (3.into(), 2.into(), true.into())]);

    let output = run(&[&["audit", "log", &folder], &reserved[..], &["--format", "csv"]].concat());
    let mut reader = csv::Reader::from_reader(&*output.stdout);
    for (record, row) in reader.records().zip(&rows) {
        let record = record.expect("CSV");
        let cell = record.get(record.len() - 1).expect("the last column");
        assert_eq!(serde_json::from_str::<Value>(cell).expect("JSON"), row["limits"]);
    }
    let table = text(&run(&[&["audit", "log", &folder], &reserved[..]].concat()).stdout);
    let subject = rows[0]["limits"][0]["subject"].as_str().expect("a hash");
    for told in [format!(" limit=0:{subject} 2/2"), format!(" limit=0:{subject} 3/2 passed")] {
        assert!(table.contains(&told), "{table}");
    }
    assert!(!table.contains("ann"), "an id is in the log");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let (folder, _shop) = shop("log-pipe");
    for format in ["table", "jsonl", "csv"] {
        let mut command = stockade(&["audit", "log", &folder, "--format", format]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the program can be started");
        let mut first = String::new();
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe"));
        lines.read_line(&mut first).expect("a line");
        drop(lines);
        let output = child.wait_with_output().expect("it ends");
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
        assert!(!first.is_empty());
    }
}

#[test]
fn the_newest_entries_are_listed_in_either_order() {
    let (folder, shop) = shop("log-newest");
    let all = listed(&[&folder]);
    let newest = |count: usize| all[all.len() - count..].to_vec();
    let reversed = |mut rows: Vec<Value>| {
        rows.reverse();
        rows
    };
    assert_eq!(listed(&[&folder, "--tail", "7"]), newest(7));
    assert_eq!(listed(&[&folder, "--tail", "0"]), newest(0));
    assert_eq!(listed(&[&folder, "--tail", "999999"]), all);
    assert_eq!(listed(&[&folder, "--newest-first"]), reversed(all.clone()));
    assert_eq!(listed(&[&folder, "--newest-first", "--limit", "7"]), reversed(newest(7)));
    assert_eq!(listed(&[&folder, "--newest-first", "--tail", "7"]), reversed(newest(7)));
    let sold: Vec<Value> = all.iter().filter(|row| row["type"] == "Sold").cloned().collect();
    assert_eq!(listed(&[&folder, "--type", "Sold", "--tail", "2"]), sold[sold.len() - 2..]);
    for format in ["table", "csv"] {
        let lines = |args: &[&str]| {
            let output = run(&[&["audit", "log", &folder, "--format", format], args].concat());
            text(&output.stdout).lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let (plain, mut newest) = (lines(&[]), lines(&["--newest-first"]));
        newest[1..].reverse();
        assert_eq!(plain, newest, "the first row names the columns in either order");
    }
    drop(shop);
}

#[test]
fn a_listing_follows_the_engine_that_writes() {
    let folder = folder("log-follow");
    let mut shop = Shop::open(&folder, 5);
    (0..50).for_each(|_| shop.step());
    shop.flush();
    let args = ["audit", "log", &folder, "--follow", "--tail", "3", "--format", "jsonl"];
    let child = stockade(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("the program can be started");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut next = || -> u64 {
        let line = lines.next().expect("a line").expect("text");
        let row: Value = serde_json::from_str(&line).expect("JSON");
        row["sequence"].as_u64().expect("a number")
    };
    let there = shop.manager.audit_log().newest_sequence();
    let mut expected = there - 2;
    for _ in 0..3 {
        assert_eq!(next(), expected);
        expected += 1;
    }
    for _ in 0..3 {
        (0..20).for_each(|_| shop.step());
        shop.flush();
        let newest = shop.manager.audit_log().newest_sequence();
        while expected <= newest {
            assert_eq!(next(), expected);
            expected += 1;
        }
    }
    let signalled =
        std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(signalled.expect("kill is there").success());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    for other in ["--newest-first", "--limit=3"] {
        let refused = run(&["audit", "log", &folder, "--follow", other]);
        assert_eq!(refused.status.code(), Some(2), "{other}");
    }
}

/// Names that do something in a terminal or in a spreadsheet.
const EVIL: [&str; 7] = [
    "=HYPERLINK(\"http://x\")",
    "+1",
    "-1",
    "@SUM(A1)",
    "'quoted",
    "evil\u{202e}gpj.exe\u{200b}\u{feff}",
    "line\u{2028}99 2026-01-01 Sold\u{9b}31m",
];

fn evil(name: &str) -> String {
    let folder = folder(name);
    let journal = stockade::JournalOptions::directory(&folder);
    let builder = stockade::InventoryManager::builder().warehouse("=cmd|' /C calc'!A0");
    let manager = builder.journal(journal).without_threads().build().expect("a new journal");
    for product in EVIL {
        let request = manager.request().note("=note\u{202e}", product);
        request.add_stock(("=cmd|' /C calc'!A0", product), 1, "SUPPLIER").expect("room");
    }
    manager.flush().wait().expect("written");
    let _ = manager.shutdown(Duration::from_secs(5));
    folder
}

#[test]
fn a_cell_of_csv_is_no_formula_and_says_what_it_was() {
    let folder = evil("log-formulas");
    let output = run(&["audit", "log", &folder, "--format", "csv", "--type", "Received"]);
    let mut reader = csv::Reader::from_reader(&*output.stdout);
    let mut products = Vec::new();
    for record in reader.records() {
        let record = record.expect("CSV");
        for field in &record {
            assert!(!field.starts_with(['=', '+', '-', '@', '\t', '\r']), "{field:?}");
        }
        products.push(record[5].strip_prefix('\'').unwrap_or(&record[5]).to_owned());
    }
    assert_eq!(products, EVIL);
    // JSON has no cells, and is given as it is.
    let rows = listed(&[&folder, "--type", "Received"]);
    let products: Vec<&str> = rows.iter().filter_map(|row| row["product"].as_str()).collect();
    assert_eq!(products, EVIL);
    assert_eq!(rows[5]["metadata"]["=note\u{202e}"], EVIL[5]);
}

#[test]
fn no_name_steers_a_terminal_or_forges_a_row() {
    let folder = evil("log-letters");
    let formats =
        ["table", "jsonl", "csv"].map(|it| ["audit", "log", &folder, "--format", it].to_vec());
    let stock = ["audit", "stock", &folder];
    for args in [
        &formats[0],
        &formats[1],
        &formats[2],
        &stock.to_vec(),
        &[&stock[..], &["--json"]].concat(),
    ] {
        let shown = text(&run(args).stdout);
        // CSV is for programs, and is quoted; only what it has as JSON is made safe there.
        let steers = |it: char| {
            it != '\n' && it.is_control() || "\u{202e}\u{200b}\u{2028}\u{feff}".contains(it)
        };
        if args.last() != Some(&"csv") {
            assert!(!shown.contains(steers), "{args:?}: {shown:?}");
        }
        let escaped = if args.contains(&"jsonl") || args.contains(&"--json") {
            "\\u202e"
        } else {
            "\\u{202e}"
        };
        assert!(args.last() == Some(&"csv") || shown.contains(escaped), "{args:?}: {shown}");
    }
}

#[test]
fn the_two_ends_of_a_transfer_and_the_calls_of_a_key_are_told_in_every_format() {
    let folder = folder("log-records");
    let journal = stockade::JournalOptions::directory(&folder);
    let builder = stockade::InventoryManager::builder().warehouse("SF").warehouse("NYC");
    let manager = builder.journal(journal).without_threads().build().expect("a new journal");
    manager.add_stock(("SF", "LAPTOP"), 9, "SUPPLIER").expect("room");
    manager.transfer("SF", "NYC", "LAPTOP", 2).expect("stock");
    let key = stockade::IdempotencyKey::try_from("delivery-7").expect("a legal key");
    manager.request().key(key).transfer("SF", "NYC", "LAPTOP", 3).expect("stock");
    manager.flush().wait().expect("written");
    drop(manager);

    let moved = ["--type", "TransferredOut", "--type", "TransferredIn"];
    let rows = listed(&[&[&*folder], &moved[..]].concat());
    let told = |row: &Value| (row["sequence"].as_u64(), row["record"].as_u64());
    let [out, into, keyed_out, keyed_into] = &rows[..] else { panic!("{rows:?}") };
    for (out, into) in [(out, into), (keyed_out, keyed_into)] {
        assert_eq!(told(out).0, told(out).1);
        assert_eq!(told(out).1, told(into).1);
        assert_eq!(told(into).0, told(out).0.map(|first| first + 1));
    }
    let hash = key.hashed().to_string();
    assert_eq!((&out["key"], &into["key"]), (&Value::Null, &Value::Null));
    assert_eq!(
        (keyed_out["key"].as_str(), keyed_into["key"].as_str()),
        (Some(&*hash), Some(&*hash))
    );

    let output = run(&[&["audit", "log", &folder], &moved[..], &["--format", "csv"]].concat());
    let mut reader = csv::Reader::from_reader(&*output.stdout);
    let names = reader.headers().expect("names").clone();
    let place = |name| names.iter().position(|it| it == name).expect("a column");
    let (record, cell) = (place("record"), place("key"));
    for (found, row) in reader.records().zip(&rows) {
        let found = found.expect("CSV");
        assert_eq!(found[record], row["record"].to_string());
        assert_eq!(&found[cell], row["key"].as_str().unwrap_or_default());
    }

    let table = text(&run(&[&["audit", "log", &folder], &moved[..]].concat()).stdout);
    let lines: Vec<&str> = table.lines().skip(1).collect();
    let record = |row: &Value| format!(" record={}", row["record"]);
    assert!(!lines[0].contains(" record=") && lines[1].contains(&record(into)), "{table}");
    assert!(!lines[2].contains(" record=") && lines[3].contains(&record(keyed_into)), "{table}");
    let keyed = lines.iter().map(|line| line.contains(&format!(" key={hash}")));
    assert_eq!(keyed.collect::<Vec<_>>(), [false, false, true, true], "{table}");
}

/// A journal of a version that let a call give a note twice, or under the name of what the call
/// itself writes: `customer` is noted twice in the first delivery, `source` in the last.
fn noted_twice(name: &str) -> String {
    let folder = folder(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    let old = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/note-twice");
    for file in ["0000000001.journal", "synced"] {
        let to = std::path::Path::new(&folder).join(file);
        std::fs::copy(old.join(file), to).expect("a file");
    }
    folder
}

#[test]
fn a_name_that_an_older_entry_has_twice_stands_once_in_json_with_all_its_values() {
    let folder = noted_twice("log-twice");
    let rows = listed(&[&folder, "--type", "Received"]);
    let noted: Vec<&Value> = rows.iter().map(|row| &row["metadata"]).collect();
    let told = |noted: &Value| {
        let mut told: Vec<&str> =
            noted.as_array().into_iter().flatten().flat_map(Value::as_str).collect();
        told.sort_unstable();
        told.join(", ")
    };
    assert_eq!(told(&noted[0]["customer"]), "M. Curie, P. Curie");
    assert_eq!((&noted[0]["order"], &noted[0]["source"]), (&json!("7"), &json!("MINE")));
    assert_eq!(noted[1], &json!({ "customer": "M. Curie", "source": "MINE" }));
    assert_eq!(told(&noted[2]["source"]), "MINE, mine");
    let output = run(&["audit", "log", &folder, "--type", "Received", "--format", "jsonl"]);
    for line in text(&output.stdout).lines() {
        assert!(line.matches("\"customer\"").count() <= 1, "{line}");
        assert!(line.matches("\"source\"").count() == 1, "{line}");
    }
    let table = text(&run(&["audit", "log", &folder, "--type", "Received"]).stdout);
    assert!(table.contains("customer=M. Curie") && table.contains("customer=P. Curie"), "{table}");
}

#[test]
fn a_redaction_finds_each_value_of_a_name_that_an_older_entry_has_twice() {
    let folder = noted_twice("redact-twice");
    let redact = |note: &str| {
        let result = super::result_of(&["audit", "redact", &folder, "--note", note]);
        super::count(&result, "records")
    };
    assert_eq!(redact("customer=P. Curie"), 1, "by the second value");
    let log = text(&run(&["audit", "log", &folder]).stdout);
    assert_eq!(log.matches("Curie").count(), 1, "{log}");
    assert_eq!(redact("customer=M. Curie"), 1, "the other delivery");
    assert_eq!(redact("source=mine"), 1);
    let mut journal = JournalReader::new(&folder);
    let mut left = 0;
    let read = journal.entries_while(&AuditFilter::new().limit(usize::MAX), |entry| {
        let noted = entry.metadata().iter();
        left += noted.filter(|(_, value)| value.contains("Curie")).count();
        std::ops::ControlFlow::Continue(())
    });
    assert_eq!((read.is_ok(), left), (true, 0));
}
