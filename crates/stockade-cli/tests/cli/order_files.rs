//! `stockade replay` on order files as spreadsheets and other systems write them: read as they were
//! meant, or refused in words. Nothing is lost in silence.

use serde_json::{Value, json};

use super::{assert_counts, count, file, folder, orders, result_of, run, text};

/// One basket of two lines, and one of one line, with 100 units of each product.
const PLAIN: &str =
    "InvoiceNo,StockCode,Description,Quantity\n1,10001,a,2\n1,10002,b,3\n2,10001,c,4\n";

fn assert_is_plain(name: &str, content: impl AsRef<[u8]>, flags: &[&str]) {
    let path = file(name, content);
    let result = result_of(&[&["replay", &path], flags].concat());
    assert_counts(
        &result,
        &[
            ("lines", 3),
            ("invoices", 2),
            ("products", 2),
            ("lines_rejected", 0),
            ("baskets_reserved", 2),
            ("units_sold", 9),
            ("available", 191),
        ],
    );
}

fn utf_16(text: &str, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(order).collect()
}

#[test]
fn files_of_spreadsheets_are_read_as_they_were_meant() {
    assert_is_plain("plain.csv", PLAIN, &[]);
    assert_is_plain("semicolon.csv", PLAIN.replace(',', ";"), &[]);
    assert_is_plain("tab.tsv", PLAIN.replace(',', "\t"), &[]);
    assert_is_plain("said.csv", format!("sep=;\r\n{}", PLAIN.replace(',', ";")), &[]);
    assert_is_plain("returns.csv", PLAIN.replace('\n', "\r"), &[]);
    assert_is_plain("lower.csv", PLAIN.to_lowercase(), &[]);
    assert_is_plain("mark.csv", format!("\u{feff}{PLAIN}"), &[]);
    let quoted = PLAIN.replacen("InvoiceNo", "\"InvoiceNo\"", 1).replace('\n', "\r\n");
    assert_is_plain("quoted.csv", format!("\u{feff}{quoted}"), &[]);
    let marked = format!("\u{feff}{PLAIN}");
    assert_is_plain("little.csv", utf_16(&marked, u16::to_le_bytes), &[]);
    assert_is_plain("big.csv", utf_16(&marked, u16::to_be_bytes), &[]);
    assert_is_plain("unmarked.csv", utf_16(PLAIN, u16::to_le_bytes), &[]);
    let second = PLAIN.replace("InvoiceNo", "Invoice").replace("Description", "Customer ID");
    assert_is_plain("second.csv", second, &[]);
}

#[test]
fn flags_say_what_a_file_does_not_tell() {
    let renamed = PLAIN.replace("InvoiceNo", "Order").replace("StockCode", "SKU");
    assert_is_plain("renamed-columns.csv", &renamed, &["--columns", "Order,SKU,Quantity"]);
    assert_is_plain("bars.csv", PLAIN.replace(',', "|"), &["--delimiter", "bar"]);
    let accents = PLAIN.replace("10002", "10002\u{e9}").replace("\u{e9}", "#");
    let latin: Vec<u8> =
        accents.bytes().map(|byte| if byte == b'#' { 0xe9 } else { byte }).collect();
    assert_is_plain("latin.csv", &latin, &["--encoding", "windows-1252"]);
    let refused = run(&["replay", &file("latin-not-said.csv", &latin)]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("line 3: expected a StockCode in UTF-8"));
    let letters = PLAIN.replace("10001", "ABC-1").replace("10002", "SKU-2");
    assert_is_plain("letters.csv", letters, &["--all-codes"]);
}

#[test]
fn a_file_of_which_nothing_is_replayed_is_refused_and_nothing_is_moved() {
    let header = "InvoiceNo,StockCode,Description,Quantity\n";
    let journal = folder("nothing-replayed");
    for (name, rows, expected) in [
        (
            "all-rejected.csv",
            "1,10001,a,\"1,000\"\n1,10002,b,6.0\n1,10003,c, 7\n1,10004,d,(5)\n",
            "none of 4 lines can be replayed: 4 rejected; line 2: the quantity \
             \"1,000\" is no whole number; line 3: the quantity \"6.0\" is no whole number; line 4: \
             the quantity \" 7\" is no whole number; line 5: the quantity \"(5)\" is no whole number",
        ),
        (
            "markers.csv",
            "1,10001,a,'-5\n1,'00123,b,5\n1,=\"00123\",c,5\n",
            "line 3: a spreadsheet's text marker stands before the stock code \"'00123\"; line 4:",
        ),
        ("charges.csv", "1,ABC-1,a,2\n2,SKU-2,b,3\n", "0 rejected; 2 skipped as charges"),
    ] {
        let path = file(name, format!("{header}{rows}"));
        let output = run(&["replay", &path, "--journal", &journal]);
        let told = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(2), ""));
        assert!(told.starts_with(&format!("stockade: {path}: none of ")), "{told}");
        assert!(told.contains(expected) && told.lines().count() == 1, "{told}");
        assert!(!std::path::Path::new(&journal).exists(), "a journal was begun");
    }
}

#[test]
fn rejected_lines_are_named_in_both_formats_and_refused_if_the_caller_is_strict() {
    let result = result_of(&["replay", &orders()]);
    let rejected = result["rejected"].as_array().expect("a list");
    assert_eq!(rejected.len() as u64, count(&result, "lines_rejected"));
    assert_eq!(
        rejected[1],
        json!({
            "line": 16,
            "invoice": "1006",
            "code": "10005",
            "quantity": "0",
            "why": "the quantity is 0"
        })
    );
    let summary = text(&run(&["replay", &orders()]).stdout);
    let named = "Rejected, and not replayed:\n  - line 12: the quantity \"2\" is positive, and \
                 invoice \"C1004\" a return\n  - line 16: the quantity \"0\" is 0\n";
    assert!(summary.contains(named), "{summary}");
    let strict = run(&["replay", &orders(), "--strict"]);
    assert_eq!((strict.status.code(), text(&strict.stdout).as_str()), (Some(2), ""));
    assert!(text(&strict.stderr).contains("5 of 37 lines are rejected; line 12: "));
    let plain = run(&["replay", &file("strict.csv", PLAIN), "--strict"]);
    assert_eq!(plain.status.code(), Some(0));
}

#[test]
fn names_that_differ_only_by_case_or_spaces_are_told() {
    let rows = "1,10001,a,2\n1,10001 ,b,3\n2,10001a,c,1\n2,10001A,d,1\nc3,7,e,1\nC3,7,f,-1\n";
    let path = file("similar.csv", format!("InvoiceNo,StockCode,Description,Quantity\n{rows}"));
    let result = result_of(&["replay", &path]);
    assert_counts(&result, &[("products", 5), ("lines_rejected", 0)]);
    assert_eq!(result["similar_codes"], json!([["10001", "10001 "], ["10001A", "10001a"]]));
    assert_eq!(result["similar_invoices"], json!([["C3", "c3"]]));
    let summary = text(&run(&["replay", &path]).stdout);
    let expected = "Stock codes that differ only by case or spaces, and are taken for different \
                    ones:\n  - \"10001\", \"10001 \"\n  - \"10001A\", \"10001a\"\n";
    assert!(summary.contains(expected), "{summary}");
}

#[test]
fn each_movement_bears_its_invoices_number() {
    let journal = folder("invoice-notes");
    let stock = ["--stock", "10", "--journal", &journal];
    result_of(&[&["replay", &orders()], &stock[..]].concat());
    let listed = run(&["audit", "log", &journal, "--format", "jsonl"]);
    let listed = text(&listed.stdout);
    let rows: Vec<Value> =
        listed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |wanted: &dyn Fn(&Value) -> bool| -> Vec<(String, String, u64)> {
        let rows = rows.iter().filter(|row| wanted(&row["metadata"]["invoice"]));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        rows.map(|row| (text(&row["type"]), text(&row["product"]), count(row, "quantity")))
            .collect()
    };
    let entry = |kind: &str, product: &str, units| (kind.to_owned(), product.to_owned(), units);
    assert_eq!(
        of(&|invoice| invoice == "1005"),
        [entry("Reserved", "10003", 4), entry("Sold", "10003", 4), entry("Damaged", "10003", 2)]
    );
    assert_eq!(of(&|invoice| invoice == "C1004"), [entry("Received", "10001", 3)]);
    // Only the opening stock, and what defines the products, belongs to no invoice.
    let others = of(&|invoice| invoice.is_null());
    assert!(
        others.iter().all(|(kind, _, units)| kind == "Received" && *units == 10 || *units == 0)
    );
}
