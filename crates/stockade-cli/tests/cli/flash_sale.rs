//! `stockade flash-sale`: the sums that must hold, whichever thread wins each race.

use serde_json::Value;

use super::{assert_counts, count, result_of, run, text};

fn sale(args: &[&str]) -> Value {
    let result = result_of(&[&["flash-sale"], args].concat());
    let [reserved, refused] = ["reserved", "refused"].map(|field| count(&result, field));
    assert_eq!(reserved + refused, count(&result, "attempts"), "{result:#}");
    let [confirmed, released, expired] =
        ["confirmed", "released", "expired"].map(|field| count(&result, field));
    assert_eq!(confirmed + released + expired, reserved, "{result:#}");
    // One entry for the stock of each product. For each hold, one that makes it and one that ends
    // it.
    assert_eq!(count(&result, "audit_entries"), count(&result, "products") + 2 * reserved);
    let expected = [("units_sold", confirmed), ("oversold_units", 0), ("law_breaks", 0)];
    assert_counts(&result, &expected);
    assert!(confirmed <= count(&result, "units_stocked"));
    assert!(count(&result, "law_checks") > 0, "the auditor has looked");
    assert_eq!(result["conserved"], true, "{result:#}");
    result
}

#[test]
fn however_many_buyers_there_are_every_unit_is_accounted_for() {
    for buyers in ["1", "2", "8", "64"] {
        let result = sale(&[
            "--buyers",
            buyers,
            "--products",
            "5",
            "--stock",
            "300",
            "--attempts",
            "20000",
            "--ttl-ms",
            "3",
            "--zipf",
            "1.1",
            "--seed",
            "7",
        ]);
        assert_counts(&result, &[("attempts", 20_000), ("units_stocked", 1_500)]);
        assert_eq!(result["buyers"].to_string(), buyers);
    }
}

#[test]
fn what_everybody_pays_for_is_sold_out_and_not_one_unit_further() {
    for buyers in ["1", "2", "8", "64"] {
        let result = sale(&[
            "--buyers",
            buyers,
            "--products",
            "1",
            "--stock",
            "1000",
            "--attempts",
            "10007",
            "--confirm-rate",
            "1",
            "--ttl-ms",
            "60000",
        ]);
        let expected =
            [("reserved", 1_000), ("refused", 9_007), ("confirmed", 1_000), ("units_sold", 1_000)];
        assert_counts(&result, &expected);
    }
}

#[test]
fn what_nobody_pays_for_is_all_there_in_the_end() {
    let result = sale(&[
        "--buyers",
        "4",
        "--products",
        "3",
        "--stock",
        "50",
        "--attempts",
        "5000",
        "--confirm-rate",
        "0",
        "--ttl-ms",
        "2",
    ]);
    assert_counts(&result, &[("confirmed", 0), ("units_sold", 0)]);
    assert!(count(&result, "released") > 0 && count(&result, "expired") > 0);
}

#[test]
fn a_lone_buyer_with_the_same_seed_buys_the_same() {
    let counts = |seed: &str| {
        let result = sale(&[
            "--buyers",
            "1",
            "--products",
            "20",
            "--stock",
            "40",
            "--attempts",
            "2000",
            "--ttl-ms",
            "1000",
            "--seed",
            seed,
        ]);
        ["reserved", "confirmed", "released", "expired"].map(|field| count(&result, field))
    };
    let bought = counts("3");
    assert_eq!(counts("3"), bought);
    assert_ne!(counts("4"), bought);
}

#[test]
fn every_attempt_is_timed() {
    let result = sale(&["--buyers", "2", "--attempts", "3000", "--ttl-ms", "1"]);
    let latencies = ["p50", "p99", "p999", "max"].map(|field| count(&result["reserve_ns"], field));
    assert!(latencies.is_sorted() && latencies[3] > 0, "{latencies:?}");
    let [seconds, rate] =
        ["seconds", "attempts_per_second"].map(|field| result[field].as_f64().expect("a number"));
    assert!(seconds > 0.0 && rate > 0.0);
    // Except for rounding, one follows from the other.
    assert!((rate * seconds / 3_000.0 - 1.0).abs() < 0.05, "{rate} a second for {seconds} s");
}

#[test]
fn refusals_are_timed_apart_from_reserves() {
    let only = ["--products", "1", "--stock", "1", "--confirm-rate", "1", "--ttl-ms", "60000"];
    let result = sale(&[&only[..], &["--attempts", "5000"]].concat());
    assert_counts(&result, &[("reserved", 1), ("refused", 4_999)]);
    let of = |field: &str| ["p50", "p99", "p999", "max"].map(|at| count(&result[field], at));
    // The one reserve is all of its quantiles.
    let [p50, p99, p999, max] = of("reserve_ns");
    assert!(p50 == p99 && p99 == p999 && p999 == max, "{result:#}");
    assert!(of("refuse_ns").is_sorted());
    let all = sale(&["--attempts", "10", "--stock", "1000", "--buyers", "1"]);
    assert_counts(&all, &[("reserved", 10)]);
    assert!(all["refuse_ns"].is_null() && !all["reserve_ns"].is_null(), "{all:#}");
    let summary = text(&run(&[&["flash-sale", "--attempts", "99"], &only[..]].concat()).stdout);
    assert!(summary.contains("a reserve took") && summary.contains("a refusal took"), "{summary}");
}

#[test]
fn more_buyers_than_attempts_leave_some_with_nothing_to_do() {
    let result = sale(&["--buyers", "64", "--attempts", "3", "--ttl-ms", "1"]);
    assert_counts(&result, &[("attempts", 3), ("reserved", 3)]);
}

#[test]
fn the_summary_is_for_people() {
    let output = run(&["flash-sale", "--attempts", "1000", "--buyers", "2", "--ttl-ms", "1"]);
    let (summary, told) = (text(&output.stdout), text(&output.stderr));
    assert_eq!((output.status.code(), told.as_str()), (Some(0), ""));
    for line in ["2 buyers", "oversold units", "p99.9", "Conserved: "] {
        assert!(summary.contains(line), "no {line:?} in {summary}");
    }
}
