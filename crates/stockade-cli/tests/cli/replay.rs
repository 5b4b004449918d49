//! `stockade replay` on order books whose every number can be computed by hand.

use super::{assert_counts, count, file, orders, result_of, run, text};

/// Every rule at once. With 10 units of each product, invoice by invoice:
///
/// | invoice | 10001 | 10002A | 10003 | 10004 | 10005 | 10006 | entries |
/// | ------- | ----- | ------ | ----- | ----- | ----- | ----- | ------- |
/// | opening            | 10 | 10 | 10 | 10 | 10 | 10 | 6 |
/// | 1001 sold 6 + 5    |  4 |  5 |    |    |    |    | 4 |
/// | 1002 sold 4 + 1    |  0 |  4 |    |    |    |    | 4 |
/// | 1003 refused       |    |    |    |    |    |    |   |
/// | C1004 returned 3   |  3 |    |    |    |    |    | 1 |
/// | 1005 sold 4, off 2, off 11 refused | | | 4 | |  |  | 3 |
/// | 1006, 1007         |    |    |    |    |    |    |   |
/// | 1008 off 3, off 1 refused | 0 | |  |    |    |    | 1 |
/// | 1009 refused       |    |    |    |    |    |    |   |
/// | 1010 sold 10, off 1 refused | | | |  0 |    |    | 2 |
/// | C1011 returned 5 + 4 |  |    |    |  4 |    | 15 | 2 |
/// | 1012 sold 12       |    |    |    |    |    |  3 | 2 |
/// | 1013, 1014 refused |    |    |    |    |    |    |   |
/// | C1015 refused      |    |    |    |    |    |    |   |
/// | 1016 off 3         |    |  1 |    |    |    |    | 1 |
/// | c1017 sold 1       |    |    |  3 |    |    |    | 2 |
#[test]
fn every_rule_gives_the_numbers_computed_by_hand() {
    let result = result_of(&["replay", &orders(), "--stock", "10"]);
    assert_counts(
        &result,
        &[
            ("lines", 37),
            ("invoices", 17),
            ("products", 6),
            // Two POST, a D and an M.
            ("charges_skipped", 4),
            // Positive on a return, 0, 2.5, abc, and a 2 behind a space.
            ("lines_rejected", 5),
            ("baskets_reserved", 6),
            ("baskets_refused", 4),
            ("units_sold", 11 + 5 + 4 + 10 + 12 + 1),
            ("units_returned", 3 + 5 + 4),
            ("returns_refused", 1),
            ("units_written_off", 2 + 3 + 3),
            ("write_offs_refused", 3),
            ("available", 1 + 3 + 4 + 10 + 3),
            ("reserved", 43),
            ("audit_entries", 28),
        ],
    );
    assert_eq!(result["conserved"], true);
    assert_eq!(result["broken_laws"], serde_json::json!([]));
    assert!(result["seconds"].as_f64().expect("a number") > 0.0);
}

#[test]
fn plenty_of_stock_refuses_only_what_no_warehouse_can_hold() {
    let result = result_of(&["replay", &orders(), "--stock", "1000"]);
    assert_counts(
        &result,
        &[
            ("baskets_reserved", 8),
            ("baskets_refused", 2),
            ("units_sold", 43 + 6 + 11),
            ("units_written_off", 2 + 11 + 3 + 1 + 1 + 3),
            ("write_offs_refused", 0),
            ("returns_refused", 1),
            ("available", 6_000 + 12 - 21 - 60),
        ],
    );
}

#[test]
fn a_hundred_units_of_each_product_are_the_default() {
    assert_eq!(result_of(&["replay", &orders()])["stock"], 100);
}

#[test]
fn empty_shelves_sell_only_what_was_returned() {
    // 3 of 10001 and 4 of 10004 come back; 1008 writes the 3 off, nothing else fits.
    let result = result_of(&["replay", &orders(), "--stock", "0"]);
    assert_counts(
        &result,
        &[
            ("baskets_reserved", 0),
            ("baskets_refused", 10),
            ("units_returned", 12),
            ("units_written_off", 3),
            ("available", 9),
            ("reserved", 0),
            ("audit_entries", 3 + 1),
        ],
    );
}

#[test]
fn with_one_thread_the_result_is_a_function_of_the_file() {
    let once = || {
        let mut result = result_of(&["replay", &orders(), "--stock", "10"]);
        result["seconds"] = 0.into();
        result
    };
    assert_eq!(once(), once());
}

#[test]
fn with_more_threads_every_unit_is_still_accounted_for() {
    for threads in ["2", "8", "64"] {
        let result = result_of(&["replay", &orders(), "--stock", "10", "--threads", threads]);
        assert_eq!(result["conserved"], true, "{result:#}");
        assert_counts(&result, &[("lines", 37), ("units_returned", 12)]);
        let baskets = count(&result, "baskets_reserved") + count(&result, "baskets_refused");
        assert_eq!(baskets, 10);
        let in_stock = count(&result, "available") + count(&result, "reserved");
        assert_eq!(in_stock, 60 + 12 - count(&result, "units_written_off"));
    }
}

#[test]
fn columns_may_stand_in_any_order_and_bytes_nobody_reads_may_be_anything() {
    let book =
        b"Quantity,Description,StockCode,InvoiceNo\r\n3,caf\xe9 au lait \xff,7A,1\r\n\r\n4,,7A,2";
    let result = result_of(&["replay", &file("latin1.csv", book), "--stock", "5"]);
    let expected =
        [("lines", 2), ("baskets_reserved", 1), ("baskets_refused", 1), ("available", 2)];
    assert_counts(&result, &expected);
}

#[test]
fn a_book_without_orders_is_a_book() {
    let result = result_of(&["replay", &file("empty.csv", "InvoiceNo,StockCode,Quantity\n")]);
    assert_counts(&result, &[("lines", 0), ("invoices", 0), ("products", 0), ("available", 0)]);
    assert_eq!(result["conserved"], true);
}

#[test]
fn the_summary_is_for_people() {
    let output = run(&["replay", &orders(), "--stock", "10"]);
    let (summary, told) = (text(&output.stdout), text(&output.stderr));
    assert_eq!((output.status.code(), told.as_str()), (Some(0), ""));
    for line in ["baskets reserved", "units sold", "Conserved: "] {
        assert!(summary.contains(line), "no {line:?} in {summary}");
    }
}
