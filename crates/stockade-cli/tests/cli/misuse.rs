//! Invalid arguments and files are reported in one line, with exit code 2. The help explains each
//! flag.

use std::process::Stdio;

use super::{file, orders, run, stockade, text};

/// Runs with invalid arguments, and returns the one line of the error.
fn complaint(args: &[&str]) -> String {
    for json in [&[][..], &["--json"]] {
        let output = run(&[args, json].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", text(&output.stderr));
        assert_eq!(text(&output.stdout), "", "{args:?}");
    }
    let told = text(&run(args).stderr);
    assert_eq!(told.lines().count(), 1, "{args:?}: {told}");
    told.strip_prefix("stockade: ").expect("the program names itself").trim_end().to_owned()
}

fn assert_complains(args: &[&str], expected: &str) {
    let told = complaint(args);
    assert!(told.contains(expected), "{args:?} says {told:?}, not {expected:?}");
}

#[test]
fn a_bad_flag_is_named_with_what_was_expected() {
    for (args, expected) in [
        (&["sell"][..], "unrecognized subcommand 'sell'"),
        (&["reply"], "unrecognized subcommand 'reply'; did you mean 'replay'?"),
        (&["audit", "verfy", "j"], "unrecognized subcommand 'verfy'; did you mean 'verify'?"),
        (&["audit", "lgo", "j"], "unrecognized subcommand 'lgo'; did you mean 'log'?"),
        (&["adit", "log", "j"], "unrecognized subcommand 'adit'; did you mean 'audit'?"),
        (&["flash-sale", "--buyer", "3"], "'--buyer' found; did you mean '--buyers'?"),
        (&["audit", "log", "j", "--format", "tabel"], "did you mean 'table'?"),
        (&["replay"], "required arguments were not provided: <FILE>"),
        (&["replay", "a.csv", "b.csv"], "unexpected argument 'b.csv'"),
        (
            &["replay", "a.csv", "--threads", "0"],
            "invalid value '0' for '--threads <T>': 0 is not in 1..=1024",
        ),
        (&["replay", "a.csv", "--stock", "-1"], "invalid value '-1' for '--stock <N>'"),
        (&["replay", "a.csv", "--stock", "2147483648"], "2147483648 is not in 0..=2147483647"),
        (&["flash-sale", "--frobnicate"], "unexpected argument '--frobnicate'"),
        (&["flash-sale", "--buyers"], "a value is required for '--buyers <N>'"),
        (&["flash-sale", "--buyers", "0"], "0 is not in 1..=1024"),
        (&["flash-sale", "--buyers", "1025"], "1025 is not in 1..=1024"),
        (&["flash-sale", "--buyers", "many"], "invalid value 'many' for '--buyers <N>'"),
        (&["flash-sale", "--products", "0"], "0 is not in 1..=16777216"),
        (&["flash-sale", "--stock", "0"], "0 is not in 1..=2147483647"),
        (&["flash-sale", "--attempts", "0"], "invalid value '0' for '--attempts <N>'"),
        (&["flash-sale", "--zipf", "-0.5"], "'--zipf <S>': expected a number from 0 to 10"),
        (&["flash-sale", "--zipf", "NaN"], "'--zipf <S>': expected a number from 0 to 10"),
        (
            &["flash-sale", "--confirm-rate", "1.1"],
            "'--confirm-rate <RATE>': expected a number from 0 to 1",
        ),
        (&["flash-sale", "--ttl-ms", "0"], "0 is not in 1..=3600000"),
        (
            &["flash-sale", "--durability", "synced"],
            "required arguments were not provided: --journal",
        ),
        (
            &["replay", "a.csv", "--journal", "j", "--durability", "maybe"],
            "'maybe' for '--durability <HOW>'",
        ),
        (&["audit", "verify"], "required arguments were not provided: <DIR>"),
        (
            &["audit", "verify", "j", "--expect-head", "12"],
            "not a hash: expected 64 hexadecimal digits",
        ),
        (&["audit", "log", "j", "--type", "Stolen"], "expected one of Received, Reserved, Sold"),
        (&["audit", "log", "j", "--reservation", "5"], "'5' for '--reservation <ID>'"),
        (&["audit", "log", "j", "--owner", "me"], "'--owner <ID>': not an owner: expected a UUID"),
        (&["audit", "log", "j", "--since", "noon"], "'--since <TIME>': expected RFC 3339"),
        (&["audit", "log", "j", "--until", "-5"], "'--until <TIME>': expected RFC 3339"),
        (&["audit", "stock", "j", "--at", "2026-11-24T10:00:00"], "without an offset or a Z"),
        (&["flash-sale", "--seed", "-1"], "invalid value '-1' for '--seed <N>'"),
    ] {
        assert_complains(args, expected);
    }
}

#[test]
fn more_units_than_a_warehouse_holds_are_refused_at_the_door() {
    assert_complains(
        &["flash-sale", "--products", "100000", "--stock", "100000"],
        "make 10000000000 units, but a warehouse holds at most 2147483647",
    );
    assert_complains(
        &["replay", &orders(), "--stock", "2147483647"],
        "6 products make 12884901882 units, but a warehouse holds at most 2147483647",
    );
}

#[test]
fn a_bad_file_is_named_with_the_line_and_what_was_expected() {
    let header = "InvoiceNo,StockCode,Description,Quantity\n";
    for (name, content, expected) in [
        (
            "nothing.csv",
            String::new(),
            ", line 1: expected the columns InvoiceNo, StockCode and Quantity, found nothing",
        ),
        (
            "renamed.csv",
            "Bill,StockCode,Quantity\n1,1A,1\n".to_owned(),
            ", line 1: expected the columns InvoiceNo, StockCode and Quantity, but there is no InvoiceNo",
        ),
        (
            "colons.csv",
            "InvoiceNo:StockCode:Quantity\n".to_owned(),
            ", line 1: expected the columns",
        ),
        (
            "twice.csv",
            "InvoiceNo,StockCode,Quantity,StockCode\n".to_owned(),
            ", line 1: expected one column StockCode, found several",
        ),
        (
            "short.csv",
            format!("{header}1,1A,ok,1\n1,1A\n"),
            ", line 3: expected 4 fields, as in the first row, found 2",
        ),
        (
            "short_crlf.csv",
            format!("{header}1,1A,ok,1\n1,1A\n").replace('\n', "\r\n"),
            ", line 3: expected 4 fields, as in the first row, found 2",
        ),
        (
            "comma.csv",
            format!("{header}1,1A,\"two\nlines\",1\n1,1A,not, quoted,1\n"),
            ", line 4: expected 4 fields, as in the first row, found 5",
        ),
        (
            "quote.csv",
            format!("{header}1,1A,\"never closed,1\n1,1A,x,1\n"),
            ", line 2: a quoted field in this row is never closed",
        ),
        (
            "long.csv",
            format!("{header}1,{},x,1\n", "9".repeat(256)),
            ", line 2: expected a StockCode of at most 255 bytes, found 256",
        ),
    ] {
        let path = file(name, content);
        let told = complaint(&["replay", &path]);
        assert!(told.starts_with(&format!("{path}{expected}")), "{told:?} is not {expected:?}");
    }
}

#[test]
fn a_file_that_can_not_be_read_is_named() {
    let path = file("gone.csv", "");
    std::fs::remove_file(&path).expect("it was just made");
    assert_complains(&["replay", &path], &format!("{path}: can't be read: "));
    let folder = env!("CARGO_TARGET_TMPDIR");
    assert_complains(&["replay", folder], &format!("{folder}: can't be read: "));
}

#[test]
fn where_there_is_no_journal_nothing_is_shown_and_nothing_is_made() {
    let folder = format!("{}/no-journal", env!("CARGO_TARGET_TMPDIR"));
    for command in ["verify", "log", "stock"] {
        assert_complains(&["audit", command, &folder], &format!("{folder}: there is no journal"));
    }
    assert!(!std::path::Path::new(&folder).exists());
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    assert_complains(&["audit", "verify", file], &format!("{file}: there is no journal"));
    assert_complains(&["audit", "log", &folder, "--format", "csv", "--json"], "exclude each other");
}

#[test]
fn help_explains_every_flag() {
    for (command, flags) in [
        (
            &["flash-sale"][..],
            &[
                "--buyers",
                "--products",
                "--stock",
                "--attempts",
                "--zipf",
                "--confirm-rate",
                "--ttl-ms",
                "--seed",
                "--journal",
                "--durability",
                "--json",
            ][..],
        ),
        (&["replay"], &["<FILE>", "--stock", "--threads", "--journal", "--durability", "--json"]),
        (&["audit"], &["verify", "log", "stock", "redact", "Exit code: 0"]),
        (&["audit", "redact"], &["<DIR>", "--reservation", "--owner", "--note", "--json"]),
        (&["audit", "verify"], &["<DIR>", "--expect-head", "--checksums", "--json"]),
        (
            &["audit", "log"],
            &[
                "<DIR>",
                "--product",
                "--warehouse",
                "--reservation",
                "--owner",
                "--type",
                "--since",
                "--until",
                "--limit",
                "--format",
                "--json",
            ],
        ),
        (&["audit", "stock"], &["<DIR>", "--at", "--json"]),
        (&[], &["flash-sale", "replay", "audit", "--json", "Exit code: 0"]),
    ] {
        let output = run(&[command, &["--help"]].concat());
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
        let help = text(&output.stdout);
        for flag in flags {
            let explained = help.split(flag).skip(1).any(|rest| {
                let explanation = rest.split("\n\n").next().unwrap_or_default();
                explanation.split_whitespace().count() >= 3
            });
            assert!(explained, "{flag} is not explained in {help}");
        }
    }
}

#[test]
fn a_bare_call_is_answered_with_the_help() {
    for (args, expected) in [
        (&[][..], &["flash-sale", "replay", "audit", "completions", "man"][..]),
        (&["audit"], &["verify", "log", "stock", "redact", "salvage"]),
    ] {
        let output = run(args);
        let told = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(2), ""));
        let usage = [&["Usage: stockade"], args].concat().join(" ");
        assert!(told.contains(&usage), "{told}");
        let listed = |command: &&str| told.lines().any(|it| it.trim().starts_with(*command));
        assert!(expected.iter().all(listed), "{told}");
    }
}

#[test]
fn shells_and_man_are_told_of_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell]);
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
        let script = text(&output.stdout);
        for word in ["flash-sale", "replay", "salvage", "expect-head"] {
            assert!(script.contains(word), "no {word} for {shell}");
        }
    }
    let output = run(&["man"]);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    let page = text(&output.stdout);
    for word in [".TH stockade 1", ".SH SYNOPSIS", "flash\\-sale", "Exit code"] {
        assert!(page.contains(word), "no {word} in {page}");
    }
    let folder = super::folder("man");
    assert_eq!(run(&["man", "--to", &folder]).status.code(), Some(0));
    let pages = super::files(&folder);
    let named =
        |name: &str| pages.iter().any(|(path, page)| path.ends_with(name) && !page.is_empty());
    for page in ["stockade.1", "stockade-replay.1", "stockade-audit-log.1"] {
        assert!(named(page), "no {page}");
    }
}

#[test]
fn a_message_steers_no_terminal_and_forges_no_line() {
    for path in ["a\u{1b}[2Jb\nstockade: all is well\u{202e}\u{9b}", "two  spaces\u{2028}"] {
        let journal = format!("{}/{path}", env!("CARGO_TARGET_TMPDIR"));
        for args in [
            &["replay", path][..],
            &["audit", "verify", &journal],
            &["audit", "log", &journal],
            &["audit", path],
            &["flash-sale", path],
            &["audit", "log", "j", "--archive", path],
        ] {
            let told = complaint(args);
            let steers = |it: char| it.is_control() || "\u{202e}\u{2028}".contains(it);
            assert!(!told.contains(steers), "{told:?}");
            assert!(told.contains("\\u{202e}") || told.contains("two  spaces\\u{2028}"), "{told}");
        }
    }
}

#[test]
fn the_version_is_that_of_the_library() {
    let output = run(&["--version"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout), concat!("stockade ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn a_reader_that_goes_away_is_no_reason_to_panic() {
    for args in [&["replay", &orders()][..], &["replay", &orders(), "--json"], &["--help"]] {
        let mut command = stockade(args);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the program can be started");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    }
}

#[cfg(unix)]
#[test]
fn a_command_that_is_no_text_is_named_like_any_other() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    for (args, expected) in [
        (&[&b"sal\xff"[..]][..], "unrecognized subcommand 'sal\u{fffd}'"),
        (&[b"audi\xff", b"log"], "unrecognized subcommand 'audi\u{fffd}'; did you mean 'audit'?"),
        (&[b"audit", b"lo\xff"], "unrecognized subcommand 'lo\u{fffd}'; did you mean 'log'?"),
        // A command behind the wrong one says nothing about what was meant.
        (&[b"lo\xff", b"audit"], "unrecognized subcommand 'lo\u{fffd}'"),
        (&[b"audit", b"lgo", b"j\xff"], "unrecognized subcommand 'lgo'; did you mean 'log'?"),
    ] {
        let mut command = stockade(&[]);
        let output = command.args(args.iter().map(|it| OsStr::from_bytes(it))).output();
        let output = output.expect("the program can be started");
        let told = text(&output.stderr);
        assert_eq!((output.status.code(), told), (Some(2), format!("stockade: {expected}\n")));
        assert_eq!(text(&output.stdout), "");
    }
}
