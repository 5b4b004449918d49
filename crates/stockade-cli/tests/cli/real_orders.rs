//! `stockade replay` on real orders, compared with a second implementation of the same rules: one
//! thread, plain maps, and nothing of the engine.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::{assert_counts, count, result_of, skipped};

/// The orders of the Online Retail data. The file is not part of this repository.
fn real_orders() -> Option<PathBuf> {
    let path = std::env::var_os("STOCKADE_ORDERS").map_or_else(
        || {
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../../../shared/data/online_retail_sample.csv")
        },
        PathBuf::from,
    );
    path.is_file().then_some(path)
}

/// The fields of a line. A comma ends a field, unless it is between quotes.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            _ => fields.last_mut().expect("there is always one").push(letter),
        }
    }
    fields
}

/// The expected result of a replay, by the name of each field.
fn expected(book: &str, stock: i64) -> HashMap<&'static str, i64> {
    let mut order = Vec::new();
    let mut invoices: HashMap<String, Vec<(String, String)>> = HashMap::new();
    let mut shelves: HashMap<String, i64> = HashMap::new();
    let mut sum: HashMap<&'static str, i64> = HashMap::new();
    for line in book.lines().skip(1) {
        let [invoice, code, _, quantity, ..] = &fields(line)[..] else { panic!("{line}") };
        *sum.entry("lines").or_default() += 1;
        let lines = invoices.entry(invoice.clone()).or_insert_with(|| {
            order.push(invoice.clone());
            Vec::new()
        });
        if code.starts_with(|first: char| first.is_ascii_digit()) {
            shelves.insert(code.clone(), stock);
            lines.push((code.clone(), quantity.clone()));
        } else {
            *sum.entry("charges_skipped").or_default() += 1;
        }
    }
    sum.insert("invoices", order.len() as i64);
    sum.insert("products", shelves.len() as i64);
    let mut entries = if stock > 0 { shelves.len() as i64 } else { 0 };
    for invoice in order {
        let is_return = invoice.starts_with('C');
        let mut basket: HashMap<&str, i64> = HashMap::new();
        let mut negative = Vec::new();
        for (code, quantity) in &invoices[&invoice] {
            match quantity.parse().unwrap_or(0) {
                0 => *sum.entry("lines_rejected").or_default() += 1,
                1.. if is_return => *sum.entry("lines_rejected").or_default() += 1,
                units @ 1.. => *basket.entry(code).or_default() += units,
                units => negative.push((code, -units)),
            }
        }
        let fits = basket.iter().all(|(code, units)| shelves[*code] >= *units);
        if fits && !basket.is_empty() {
            *sum.entry("baskets_reserved").or_default() += 1;
            for (code, units) in basket {
                *shelves.get_mut(code).expect("a known product") -= units;
                *sum.entry("units_sold").or_default() += units;
                entries += 2;
            }
        } else if !fits {
            *sum.entry("baskets_refused").or_default() += 1;
        }
        for (code, units) in negative {
            let shelf = shelves.get_mut(code).expect("a known product");
            if is_return {
                *shelf += units;
                *sum.entry("units_returned").or_default() += units;
                entries += 1;
            } else if *shelf >= units {
                *shelf -= units;
                *sum.entry("units_written_off").or_default() += units;
                entries += 1;
            } else {
                *sum.entry("write_offs_refused").or_default() += 1;
            }
        }
    }
    sum.insert("available", shelves.values().sum());
    sum.insert("reserved", sum.get("units_sold").copied().unwrap_or(0));
    sum.insert("audit_entries", entries);
    sum
}

const FIELDS: [&str; 14] = [
    "lines",
    "invoices",
    "products",
    "charges_skipped",
    "lines_rejected",
    "baskets_reserved",
    "baskets_refused",
    "units_sold",
    "units_returned",
    "units_written_off",
    "write_offs_refused",
    "available",
    "reserved",
    "audit_entries",
];

#[test]
fn real_orders_come_to_what_plain_maps_come_to() {
    let Some(path) = real_orders() else {
        return skipped("there is no order file here; STOCKADE_ORDERS can name one");
    };
    let book = std::fs::read_to_string(&path).expect("a file in UTF-8");
    let path = path.to_str().expect("a path in UTF-8");
    for stock in [0, 1, 10, 100, 1_000, 100_000] {
        let result = result_of(&["replay", path, "--stock", &stock.to_string()]);
        let expected = expected(&book, stock);
        let expected = FIELDS.map(|field| {
            let units = expected.get(field).copied().unwrap_or(0);
            (field, u64::try_from(units).expect("no negative count"))
        });
        assert_counts(&result, &expected);
        assert_eq!(result["conserved"], true);
    }
}

#[test]
fn real_orders_are_accounted_for_with_any_number_of_threads() {
    let Some(path) = real_orders() else {
        return skipped("there is no order file here; STOCKADE_ORDERS can name one");
    };
    let path = path.to_str().expect("a path in UTF-8");
    let alone = result_of(&["replay", path]);
    for threads in ["2", "4", "16"] {
        let result = result_of(&["replay", path, "--threads", threads]);
        assert_eq!(result["conserved"], true, "{result:#}");
        let of_the_file = [
            "lines",
            "invoices",
            "products",
            "charges_skipped",
            "lines_rejected",
            "units_returned",
        ];
        assert_counts(&result, &of_the_file.map(|field| (field, count(&alone, field))));
    }
}
