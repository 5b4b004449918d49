//! Tests of the checker: each rule fails for made-up source that breaks it.

use super::floors::{circles, missing_rooms, upward_names};
use super::rules::*;
use super::source::{Named, Source};

fn house(files: &[(&str, &str)]) -> Vec<Source> {
    files.iter().map(|(path, text)| Source::new(path, text)).collect()
}

fn named(path: &str, line: usize) -> Named {
    Named { segments: path.split("::").map(String::from).collect(), line }
}

fn paths(module: &[&str], text: &str) -> Vec<Named> {
    Source::new("src/made_up.rs", text).paths(module)
}

fn upward(path: &str, text: &str) -> usize {
    upward_names(&house(&[(path, text)])).len()
}

#[test]
fn paths_are_read_out_of_imports_and_code() {
    let text = "use crate::a::{self, b::{C as D, e}, f::*};\npub(crate) use crate::g;\n\
                fn h() -> crate::i::J { crate::k::<L>() }";
    let expected = ["a", "a::b::C", "a::b::e", "a::f", "g", "i::J", "k"];
    let lines = [1, 1, 1, 1, 2, 3, 3];
    let expected: Vec<_> = expected.iter().zip(lines).map(|(path, l)| named(path, l)).collect();
    assert_eq!(paths(&[], text), expected);
}

#[test]
fn relative_paths_are_read_from_where_they_stand() {
    let text =
        "use super::x;\nuse self::y::Z;\nmod inner {\nuse super::super::w;\n}\nuse super::v;";
    let expected = [named("a::x", 1), named("a::b::y::Z", 2), named("a::w", 4), named("a::v", 6)];
    assert_eq!(paths(&["a", "b"], text), expected);
}

#[test]
fn comments_strings_and_characters_are_no_code() {
    let text = "// crate::a\n/* crate::b /* crate::c */ crate::d */\n//! crate::e\n\
                const F: &str = \"\\\" crate::g\";\nconst H: &[u8] = br#\" \" crate::i\"#;\n\
                const J: (char, char) = ('\"', '\\'');\nfn k<'l>() { crate::m(); }";
    assert_eq!(paths(&[], text), [named("m", 7)]);
}

#[test]
fn a_file_may_name_its_own_floor_and_those_below() {
    assert_eq!(
        upward("src/audit/queue.rs", "use crate::audit::bell; use crate::base::sync::fence;"),
        0
    );
    assert_eq!(upward("src/base/sync/native.rs", "use crate::base::table::Table;"), 0);
    assert_eq!(upward("src/lib.rs", "pub use crate::engine::Manager;"), 0);
}

#[test]
fn a_file_may_not_name_a_floor_above() {
    assert_eq!(upward("src/stock/cell.rs", "use crate::{base::sync, reservation::id::Id};"), 1);
    assert_eq!(upward("src/stock/cell.rs", "fn f() { crate::engine::g(); }"), 1);
    assert_eq!(upward("src/stock/cell.rs", "use super::super::policy::alerts;"), 1);
    assert_eq!(upward("src/base/clock.rs", "mod tests { use super::super::super::audit; }"), 1);
    assert_eq!(upward("src/base/error/mod.rs", "use crate::stock::word::Word;"), 1);
}

#[test]
fn a_file_may_not_name_the_front_door() {
    assert_eq!(upward("src/stock/cell.rs", "use crate::ReservationId;"), 1);
    assert_eq!(upward("src/stock/cell.rs", "use crate::*;"), 1);
    assert_eq!(upward("src/stock/cell.rs", "use crate as stockade;"), 1);
}

#[test]
fn a_file_must_stand_on_a_floor_and_a_floor_must_have_its_rooms() {
    assert_eq!(upward("src/attic.rs", ""), 1);
    let rooms = missing_rooms(&house(&[("src/stock/mod.rs", ""), ("src/base/clock.rs", "")]));
    let lists = |room: &str| rooms.iter().any(|text| text.contains(&format!("lists {room},")));
    assert!(lists("audit") && !lists("stock") && !lists("base"), "{rooms:?}");
}

#[test]
fn a_circle_of_files_is_found() {
    let two = [
        ("src/stock/cell.rs", "use crate::stock::word::Word;"),
        ("src/stock/word.rs", "use crate::stock::level::A;"),
        ("src/stock/level.rs", "use super::cell;"),
    ];
    assert_eq!(circles(&house(&two)), ["in src/stock: cell -> word -> level -> cell"]);
    assert_eq!(circles(&house(&two[..2])), [""; 0]);
    let ground = [
        ("src/base/clock.rs", "use crate::base::sync;"),
        ("src/base/sync/mod.rs", "use crate::base::clock::A;"),
    ];
    assert_eq!(circles(&house(&ground)), ["in src/base: clock -> sync -> clock"]);
}

#[test]
fn a_circle_through_a_folder_is_found_whichever_of_its_files_it_takes() {
    let house = house(&[
        ("src/reservation/slots/mod.rs", ""),
        ("src/reservation/slots/restore.rs", "use crate::reservation::state::SlotState;"),
        ("src/reservation/state.rs", "use crate::reservation::slots::Slots;"),
    ]);
    assert_eq!(circles(&house), ["in src/reservation: slots -> state -> slots"]);
}

#[test]
fn a_folder_and_what_lies_in_it_may_name_each_other() {
    let house = house(&[
        ("src/audit/mod.rs", "use self::hold::A;"),
        ("src/audit/hold.rs", "use crate::audit::B; use super::C;"),
        ("src/audit/stock.rs", "use crate::audit::hold::A; use crate::stock::word;"),
        ("src/stock/word.rs", "use crate::audit::D;"),
    ]);
    // But `stock` above knows `audit` below, and `audit` names `stock`.
    assert_eq!(circles(&house), ["in src: audit -> stock -> audit"]);
}

#[test]
fn programs_are_crates_of_their_own() {
    let house = house(&[
        ("crates/shop/src/main.rs", "use crate::replay::run; use stockade::Clock;"),
        ("crates/shop/src/replay.rs", "use crate::flash_sale::A; use crate::Options;"),
        ("crates/shop/src/flash_sale.rs", "use crate::replay::B;"),
        ("crates/shop/src/clock.rs", "use std::sync::atomic::AtomicBool;"),
    ]);
    assert_eq!(upward_names(&house), [""; 0]);
    assert_eq!(circles(&house), ["in crates/shop/src: flash_sale -> replay -> flash_sale"]);
    assert!(house.iter().all(|source| other_doors(source).is_empty()));
}

#[test]
fn the_door_is_the_only_one() {
    let wrong = [
        "use std::sync::atomic::AtomicU64;",
        "use std::sync::{Arc, atomic::{self, AtomicU64}};",
        "fn f() { core::sync::atomic::fence(g) }",
        "use loom::sync::Mutex;",
        "use crossbeam::queue::ArrayQueue;",
        "use crossbeam as c;",
        "extern crate loom;",
        "use crossbeam_utils::CachePadded;",
    ];
    for text in wrong {
        assert_eq!(other_doors(&Source::new("src/stock/cell.rs", text)).len(), 1, "{text}");
        assert_eq!(other_doors(&Source::new("src/base/sync/native.rs", text)), [""; 0]);
    }
    let fine = "//! `std::sync::atomic`\n#[cfg(loom)]\nuse std::sync::Mutex;\nuse crate::base::sync::fence;";
    assert_eq!(other_doors(&Source::new("src/stock/cell.rs", fine)), [""; 0]);
}

#[test]
fn threads_that_are_started_elsewhere_are_found() {
    let wrong = [
        "fn f() { thread::spawn(g) }",
        "fn f() { std::thread::Builder::new() }",
        "fn f() { thread::scope(|scope| scope.spawn(g)) }",
        "use rayon::prelude::*;",
        "fn f() { rayon_core::join(g, h) }",
    ];
    for text in wrong {
        assert_eq!(other_threads(&Source::new("src/stock/cell.rs", text)).len(), 1, "{text}");
        assert_eq!(other_threads(&Source::new("src/base/threads.rs", text)), [""; 0]);
        let test = format!("mod tests {{\n{text}\n}}");
        assert_eq!(other_threads(&Source::new("src/stock/cell.rs", &test)), [""; 0]);
    }
}

#[test]
fn unsafe_code_is_found_and_its_mention_is_none() {
    let wrong = Source::new("src/a.rs", "// unsafe\nfn f() { unsafe { g() } }");
    assert_eq!(unsafe_code(&wrong), ["src/a.rs:2 holds unsafe code"]);
    let fine = "//! No `unsafe` here.\n#![forbid(unsafe_code)]\nconst A: &str = \"unsafe\";";
    assert_eq!(unsafe_code(&Source::new("src/a.rs", fine)), [""; 0]);
    assert!(forbids_unsafe("[workspace.lints.rust]\na = \"warn\"\nunsafe_code = \"forbid\"\n"));
    assert!(!forbids_unsafe("[workspace.lints.rust]\nunsafe_code = \"deny\"\n"));
    assert!(!forbids_unsafe("[workspace.lints.rust]\n[other]\nunsafe_code = \"forbid\"\n"));
    assert!(takes_lints("[package]\n\n[lints]\nworkspace = true\n"));
    assert!(!takes_lints("[package]\n[lints]\n[other]\nworkspace = true\n"));
    assert!(!takes_lints("[dependencies.a]\nworkspace = true\n"));
}

#[test]
fn files_from_elsewhere_are_found() {
    let path = Source::new("src/a.rs", "#[path = \"../b.rs\"]\nmod b;");
    assert_eq!(hidden_files(&path).len(), 1);
    assert_eq!(hidden_files(&Source::new("src/a.rs", "include!(\"b.rs\");")).len(), 1);
    let fine = "#![doc = include_str!(\"../README.md\")]\nfn f(path: &str) {}";
    assert_eq!(hidden_files(&Source::new("src/a.rs", fine)), [""; 0]);
}

#[test]
fn a_comment_of_101_columns_is_too_wide() {
    let comment = |columns: usize| format!("    /// {}\n", "é".repeat(columns - 8));
    assert_eq!(wide_comments(&Source::new("src/a.rs", &comment(100))), [""; 0]);
    let wide = wide_comments(&Source::new("src/a.rs", &format!("\n{}", comment(101))));
    assert_eq!(wide, ["src/a.rs:2 is over 100 columns"]);
}

#[test]
fn a_file_of_501_lines_is_too_long() {
    assert_eq!(too_long(&Source::new("src/a.rs", &"\n".repeat(500))), None);
    assert!(too_long(&Source::new("src/a.rs", &"\n".repeat(501))).is_some());
}

#[test]
fn a_file_introduces_itself() {
    assert_eq!(unintroduced(&Source::new("src/a.rs", "//! What it is for.\n")), None);
    assert!(unintroduced(&Source::new("src/a.rs", "use std::fmt;\n//! Late.\n")).is_some());
    assert!(unintroduced(&Source::new("tests/tests.rs", "use super::*;\n")).is_some());
    assert_eq!(unintroduced(&Source::new("src/a/tests.rs", "use super::*;\n")), None);
}

#[test]
fn a_type_name_that_is_used_twice_is_found() {
    let house = house(&[
        ("src/a.rs", "pub(crate) struct Slot<'a>(&'a u8);\n// struct Line\nenum Kind { Line }"),
        ("src/b/mod.rs", "mod tests { trait Slot {} }\nstruct Line;"),
        ("crates/shop/src/main.rs", "struct Line;"),
        ("src/engine/no_journal.rs", "struct Line;"),
        ("src/journal/storage/directory_elsewhere.rs", "struct Line;"),
    ]);
    assert_eq!(names_used_twice(&house), ["Slot names 2 types: src/a.rs:1, src/b/mod.rs:1"]);
}

#[test]
fn an_error_outside_the_umbrella_is_found() {
    let umbrella = "error_table! { Error {} nests { A(InA), B(InB) } }\nthrough! { C: A; D: A; }";
    let room = "error_table! {\n    InA {}\n}\nimpl std::error::Error for InB {}\n\
                impl Error for C {}\nimpl Error for D {}";
    let in_it = [("src/umbrella/mod.rs", umbrella), ("src/base/error/a.rs", room)];
    assert_eq!(errors_outside(&house(&in_it)), Vec::<String>::new());
    for outside in ["error_table! { E { } }", "impl std::error::Error for E {}"] {
        let found = house(&[("src/umbrella/mod.rs", umbrella), ("src/audit/e.rs", outside)]);
        assert_eq!(errors_outside(&found).len(), 1, "{outside}");
    }
    let program = house(&[("crates/shop/src/main.rs", "impl Error for Failure {}")]);
    assert_eq!(errors_outside(&program), Vec::<String>::new());
}
