//! The library's dependencies, by the output of `cargo tree`; and a check that no test is left out.
//!
//! `cargo metadata` reports features of one member that another member enables; `cargo tree` does
//! not.

use std::collections::BTreeSet;
use std::process::Command;

/// The accepted licences of dependencies. An expression `A OR B` needs one of these.
const LICENCES: &[&str] = &["MIT", "Apache-2.0", "BSL-1.0", "Unicode-3.0", "Zlib"];

/// Crates that may be there in two versions, each with the reason.
const TWICE: &[(&str, &str)] = &[];

/// The most crates to compile for the smallest set of features, this crate included.
const MOST_CRATES: usize = 25;

/// A normal or a build dependency of the library.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Crate {
    name: String,
    version: String,
    licence: String,
}

/// The library's tree with these arguments, each crate once.
fn tree(arguments: &[&str]) -> BTreeSet<Crate> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--package", "stockade", "--edges", "normal,build"])
        .args(["--prefix", "none", "--no-dedupe", "--format", "{p}|{l}"])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("names in UTF-8");
    let crates = text.lines().filter(|line| !line.is_empty()).map(|line| {
        let (package, licence) = line.split_once('|').expect("a package, and its licence");
        let mut words = package.split(' ').map(String::from);
        let (name, version) = (words.next().expect("a name"), words.next().expect("a version"));
        Crate { name, version, licence: licence.into() }
    });
    crates.collect()
}

/// Every crate that some user of the library compiles, on any system.
fn everything() -> BTreeSet<Crate> {
    let all = tree(&["--features", "metrics,serde,testing,tracing", "--target", "all"]);
    assert!(all.len() > 10, "{all:?}");
    all
}

/// `(A OR B) AND C`: each part needs a licence of the list. `WITH` only adds a permission.
fn is_allowed(expression: &str) -> bool {
    let part = |part: &str| {
        let licences = part.split(" OR ").flat_map(|one| one.split('/'));
        let names = licences.map(|one| one.trim().split(" WITH ").next().unwrap_or_default());
        names.into_iter().any(|name| LICENCES.contains(&name))
    };
    expression.replace(['(', ')'], "").split(" AND ").all(part)
}

#[test]
fn every_dependency_has_a_licence_that_users_can_live_with() {
    assert!(is_allowed("(MIT OR GPL-3.0) AND Unicode-3.0") && !is_allowed("MIT AND GPL-3.0"));
    assert!(!is_allowed(""), "no licence is no permission");
    let all = everything();
    let refused: Vec<_> = all.iter().filter(|one| !is_allowed(&one.licence)).collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn no_crate_is_there_twice() {
    let all: Vec<_> = everything().into_iter().collect();
    let twice = all.windows(2).filter(|pair| pair[0].name == pair[1].name).map(|pair| &pair[1]);
    let excepted = |one: &&Crate| TWICE.iter().any(|(name, _)| *name == one.name);
    let twice: Vec<_> = twice.filter(|one| !excepted(one)).collect();
    assert!(twice.is_empty(), "{twice:#?}");
}

#[test]
fn the_smallest_library_needs_few_crates() {
    let crates = tree(&["--no-default-features"]);
    let names: Vec<_> = crates.iter().map(|one| &*one.name).collect();
    let count = names.len();
    assert!(count <= MOST_CRATES, "{count} crates, over {MOST_CRATES}: {}", names.join(" "));
}

/// Cargo silently leaves out each test whose `required-features` are off.
#[test]
fn no_test_is_left_out() {
    let built = if cfg!(feature = "testing") { "all" } else { "few" };
    assert_eq!(built, "all", "tests were built: they need `cargo test --features testing`");
}
