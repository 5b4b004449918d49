use super::*;

const HEADER: &str = "InvoiceNo,StockCode,Description,Quantity";

fn parse(text: impl AsRef<[u8]>) -> Result<Orders, String> {
    parse_as(text, &OrderFormat::default())
}

fn parse_as(text: impl AsRef<[u8]>, format: &OrderFormat) -> Result<Orders, String> {
    let parsed = Orders::parse(Path::new("o.csv"), text.as_ref(), format);
    parsed.map_err(|failure| failure.to_string())
}

fn rows(rows: &[u8]) -> Result<Orders, String> {
    parse([HEADER.as_bytes(), b"\n", rows].concat())
}

fn basket(orders: &Orders, invoice: usize) -> Vec<(&str, u64)> {
    let Some(Invoice::Sale { basket, .. }) = orders.invoices.get(invoice) else {
        return vec![];
    };
    basket.iter().map(|line| (orders.products[line.product].as_str(), line.units)).collect()
}

#[test]
fn a_whole_number_is_an_optional_sign_and_digits() {
    let numbers = ["7", "+7", "-7", "007", "0", "-0"].map(|text| whole_number(text.as_bytes()));
    assert_eq!(numbers, [Some(7), Some(7), Some(-7), Some(7), Some(0), Some(0)]);
    for text in ["", "+", "-", "--1", "+-1", " 7", "7 ", "7.0", "1e3", "1,000", "\u{667}", "x"] {
        assert_eq!(whole_number(text.as_bytes()), None, "{text:?}");
    }
    assert_eq!(whole_number(b"99999999999999999999"), Some(i64::MAX));
    assert_eq!(whole_number(b"-99999999999999999999"), Some(i64::MIN));
    assert_eq!(whole_number(b"7\xff"), None);
}

#[test]
fn an_invoice_is_put_together_from_wherever_its_rows_stand() {
    let orders = rows(b"2,1A,,4\n1,1B,,1\n2,1A,,5\n2,1B,,1\n").expect("a good file");
    assert_eq!(orders.products, ["1A", "1B"]);
    assert_eq!(basket(&orders, 0), [("1A", 9), ("1B", 1)]);
    assert_eq!(basket(&orders, 1), [("1B", 1)]);
    assert_eq!(orders.longest_basket(), 2);
}

#[test]
fn a_sum_beyond_all_bounds_stays_beyond_them() {
    let orders = rows(b"1,1A,,9999999999999999999\n1,1A,,9999999999999999999\n1,1A,,1\n");
    assert_eq!(basket(&orders.expect("a good file"), 0), [("1A", u64::MAX)]);
}

#[test]
fn bytes_that_are_no_text_do_no_harm_where_nobody_reads_them() {
    let orders = rows(b"1\xff,1A,caf\xe9,4\n").expect("a good file");
    assert_eq!(basket(&orders, 0), [("1A", 4)]);
    let refused = rows(b"1,1A,,4\n1,1\xe9,,4\n");
    let told = refused.expect_err("a code that is no text");
    assert!(told.starts_with("o.csv, line 3: expected a StockCode in UTF-8"), "{told}");
}

#[test]
fn a_fault_names_the_line_whatever_stands_before_it() {
    let expected = "expected 4 fields, as in the first row, found 3".to_owned();
    for (before, line) in [
        ("1,1A,,1\n", 3),
        ("1,1A,,1\r\n1,1A,,1\r\n", 4),
        ("\n\r\n1,1A,,1\n\n", 6),
        ("1,1A,\"two\nlines\",1\n", 4),
    ] {
        for after in ["", "\n", "\r\n", "\n1,1A,,1\n"] {
            let text = format!("{before}1,1A,1{after}");
            let fault = rows(text.as_bytes());
            assert_eq!(fault, Err(format!("o.csv, line {line}: {expected}")), "{text:?}");
        }
    }
}

#[test]
fn files_of_other_systems_are_read_alike() {
    let plain = rows(b"1,1A,,4\n").expect("a good file");
    assert_eq!(parse(format!("{HEADER}\r\n1,1A,,4\r\n")), Ok(plain.clone()));
    assert_eq!(parse(format!("\u{feff}{HEADER}\n1,1A,,4")), Ok(plain.clone()));
    assert_eq!(parse("Quantity,Country,StockCode,InvoiceNo\n4,\"a, b\",1A,1\n"), Ok(plain));
    assert_eq!(rows(b""), Ok(Orders::default()));
}

#[test]
fn a_quote_that_is_never_closed_is_named_by_the_line_it_begins_on() {
    let fault = Err("o.csv, line 3: a quoted field in this row is never closed".to_owned());
    assert_eq!(rows(b"1,1A,,1\n1,1A,\"x,1\n1,1A,,1\n"), fault);
    assert_eq!(rows(b"1,1A,,1\n1,1A,x,\"1\n1,1A,,1\n"), fault);
    assert_eq!(rows(b"1,1A,,1\n1,1A,x,\"1"), fault);
}

#[test]
fn a_nul_byte_does_not_pass_for_the_end_of_the_file() {
    let fault = "o.csv, line 3: expected text, found a NUL byte".to_owned();
    assert_eq!(rows(b"1,1A,,1\n\0\n1,1A,,1\n"), Err(fault.clone()));
    assert_eq!(rows(b"1,1A,,1\n\0"), Err(fault));
}

#[test]
fn columns_that_are_missing_or_doubled_are_named() {
    let expected = "o.csv, line 1: expected the columns InvoiceNo, StockCode and Quantity";
    assert_eq!(parse(""), Err(format!("{expected}, found nothing")));
    for (header, line, missing) in [
        ("InvoiceNo,StockCode,Qty\n", 1, "Quantity"),
        ("\nInvoiceNo:StockCode:Quantity\n", 2, "InvoiceNo"),
    ] {
        let told = parse(header).expect_err("a column that is missing");
        let expected = expected.replace("line 1", &format!("line {line}"));
        assert!(told.starts_with(&format!("{expected}, but there is no {missing}")), "{told}");
    }
    let doubled = parse("InvoiceNo,StockCode,Quantity,Quantity\n");
    assert_eq!(
        doubled,
        Err("o.csv, line 1: expected one column Quantity, found several".to_owned())
    );
    // A name in another case, or of the other data set, is no second column beside the exact one.
    let beside = parse("invoice,InvoiceNo,StockCode,Quantity,quantity\nx,1,1A,4,9\n");
    assert_eq!(basket(&beside.expect("a good file"), 0), [("1A", 4)]);
    let doubled = parse("invoice,invoice no,INVOICENO,StockCode,Quantity\n");
    let several = "o.csv, line 1: expected one column InvoiceNo, found several";
    assert_eq!(doubled, Err(several.to_owned()));
}

#[test]
fn columns_go_by_the_names_of_both_data_sets_in_any_case() {
    let plain = rows(b"1,1A,,4\n").expect("a good file");
    for header in [
        "Invoice,StockCode,Description,Quantity",
        "invoiceno,stockcode,description,quantity",
        " Invoice No ,stock_code,x,QUANTITY",
    ] {
        assert_eq!(parse(format!("{header}\n1,1A,,4\n")), Ok(plain.clone()), "{header}");
    }
    let columns = Some("Order, SKU ,Qty".parse().expect("three names"));
    let format = OrderFormat { columns, ..OrderFormat::default() };
    assert_eq!(parse_as("Qty,SKU,Order,Quantity\n4,1A,1,9\n", &format), Ok(plain));
    for text in ["", "a,b", "a,b,c,d", "a,,c"] {
        assert!(text.parse::<columns::ColumnNames>().is_err(), "{text}");
    }
}

#[test]
fn separators_and_line_ends_are_found_out() {
    let plain = rows(b"1,1A,,4\n2,1B,,5\n").expect("a good file");
    let text = format!("{HEADER}\n1,1A,,4\n2,1B,,5\n");
    for separator in [";", "\t", "|"] {
        for end in ["\n", "\r\n", "\r"] {
            for before in ["", "\u{feff}", "\n", "sep=,\n"] {
                let text = format!("{before}{text}").replace(',', separator).replace('\n', end);
                assert_eq!(parse(&text), Ok(plain.clone()), "{text:?}");
            }
        }
    }
    // The line `sep=` counts as a line, and a quoted break is none.
    let told = parse("sep=;\n\"InvoiceNo\";StockCode;Quantity\n1;\"1\nA\";1\n1;1A\n");
    let expected = "o.csv, line 5: expected 3 fields, as in the first row, found 2";
    assert_eq!(told, Err(expected.to_owned()));
}

#[test]
fn utf_16_is_utf_8_with_other_bytes() {
    let text = format!("{HEADER}\n1,1A,caf\u{e9} \u{1f600},4\n2,1\u{e9},,5\n");
    let plain = parse(&text).expect("a good file");
    let units: Vec<u16> = text.encode_utf16().collect();
    let bytes = |order: fn(u16) -> [u8; 2], mark: bool| -> Vec<u8> {
        let units = mark.then_some(0xfeff).into_iter().chain(units.iter().copied());
        units.flat_map(order).collect()
    };
    for mark in [true, false] {
        assert_eq!(parse(bytes(u16::to_le_bytes, mark)), Ok(plain.clone()), "{mark}");
        assert_eq!(parse(bytes(u16::to_be_bytes, mark)), Ok(plain.clone()), "{mark}");
    }
    // Half of a pair is no text, and a code must be text.
    let broken = "InvoiceNo,StockCode,Quantity\n1,1#,4\n".encode_utf16();
    let broken = broken.map(|unit| if unit == u16::from(b'#') { 0xd83d } else { unit });
    let told = parse(broken.flat_map(u16::to_le_bytes).collect::<Vec<_>>()).expect_err("no text");
    assert!(told.starts_with("o.csv, line 2: expected a StockCode"), "{told}");
    assert!(parse(b"\xff\xfe\0\0I\0\0\0").expect_err("four bytes each").contains("UTF-32"));
}

#[test]
fn a_rejected_line_is_kept_with_its_reason() {
    let orders = rows(b"1,1A,,\"1,000\"\n1,1A,,0\nC2,1A,,5\n3,'1A,,5\n3,=\"1A\",,5\n1,1A,,1\n");
    let orders = orders.expect("a good file");
    let told: Vec<String> = orders.rejected.iter().map(Rejected::to_string).collect();
    assert_eq!(
        told,
        [
            "line 2: the quantity \"1,000\" is no whole number",
            "line 3: the quantity \"0\" is 0",
            "line 4: the quantity \"5\" is positive, and invoice \"C2\" a return",
            "line 5: a spreadsheet's text marker stands before the stock code \"'1A\"",
            "line 6: a spreadsheet's text marker stands before the stock code \"=\"1A\"\"",
        ]
    );
    assert_eq!((orders.lines, orders.lines_rejected, orders.charges_skipped), (6, 5, 0));
    assert_eq!(orders.check(Path::new("o.csv"), false).map_err(|it| it.to_string()), Ok(()));
    let strict = orders.check(Path::new("o.csv"), true).expect_err("it has rejected lines");
    assert!(strict.to_string().starts_with("o.csv: 5 of 6 lines are rejected; line 2: "));
}

#[test]
fn a_code_behind_a_space_is_no_charge() {
    for space in [" ", "\t", "\u{a0}", "\u{200b}", "\u{feff} "] {
        let orders = rows(format!("1,{space}1A,,2\n1,{space}POST,,1\n").as_bytes());
        let orders = orders.expect("a good file");
        assert_eq!((orders.lines_rejected, orders.charges_skipped), (1, 1), "{space:?}");
        assert!(orders.rejected[0].to_string().contains("line 2: a space stands before"));
    }
}

#[test]
fn a_file_that_is_no_text_is_named() {
    for (begin, found) in [(&b"PK\x03\x04.."[..], ".xlsx"), (b"\x1f\x8b\x08", "gzip")] {
        let told = parse(begin).expect_err("no text");
        assert!(told.starts_with("o.csv: expected a CSV file, found") && told.contains(found));
    }
}

#[test]
fn rejected_lines_beyond_all_bounds_are_counted() {
    let orders = rows("1,1A,,x\n".repeat(KEPT + 5).as_bytes()).expect("a good file");
    assert_eq!((orders.lines_rejected, orders.rejected.len()), (KEPT as u64 + 5, KEPT));
    let told = orders.check(Path::new("o.csv"), false).expect_err("nothing is left");
    assert!(told.to_string().ends_with("; and 995 more"), "{told}");
}

#[test]
fn codes_that_a_reader_takes_for_one_are_told() {
    let orders =
        rows(b"1,1A,,1\n1,1a,,1\n1,2B ,,1\n1,2B,,1\n1, 2B,,1\n1,3C,,1\nx1,POST,,1\nX1,post,,1\n");
    let orders = orders.expect("a good file");
    let told = |groups: &[Similar]| groups.iter().map(Similar::to_string).collect::<Vec<_>>();
    let codes = [r#""1A", "1a""#, r#""2B", "2B ""#, r#""POST", "post""#];
    assert_eq!(told(&orders.similar_codes), codes);
    assert_eq!(told(&orders.similar_invoices), [r#""X1", "x1""#]);
}

#[test]
fn codes_without_a_digit_are_goods_if_the_caller_says_so() {
    let format = OrderFormat { all_codes: true, ..OrderFormat::default() };
    let text = format!("{HEADER}\n1,ABC-1,,2\n1,,,3\n1,5A,,4\n");
    let orders = parse_as(text, &format).expect("a good file");
    assert_eq!(basket(&orders, 0), [("ABC-1", 2), ("5A", 4)]);
    assert_eq!(orders.rejected[0].to_string(), "line 3: there is no stock code");
    assert_eq!((orders.charges_skipped, orders.lines_rejected), (0, 1));
}
