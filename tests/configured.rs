//! An engine whose settings come from a file, and the file that documents them all.

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::scratch::Scratch;
use serde_json::{Value, json};
use stockade::{
    AuditFilter, BasketLine, BuildError, CallError, Config, DefineLimitError, Durability,
    EntryType, EventType, Health, InvalidInput, InvalidText, InventoryManager, JournalConfig,
    LimitError, LimitRule, OperationKind, PlaceError, ReserveError, WarehouseSpec,
};

const FILE: &str = include_str!("../docs/config.toml");
const SHOE: (&str, &str) = ("SF", "SHOE");
const TTL: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn read(text: &str) -> Config {
    toml::from_str(text).expect("a config")
}

/// The file with every setting in force: also those that have no default.
fn whole_file() -> String {
    let setting = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    FILE.lines().map(setting).collect()
}

/// The names of all settings, with the sections that they stand in.
fn names(value: &Value) -> BTreeSet<String> {
    fn collect(value: &Value, path: &str, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                for (name, value) in map {
                    let path = format!("{path}/{name}");
                    collect(value, &path, into);
                    into.insert(path);
                }
            }
            Value::Array(list) => list.iter().for_each(|value| collect(value, path, into)),
            _ => {}
        }
    }
    let mut all = BTreeSet::new();
    collect(value, "", &mut all);
    all
}

/// All kinds of operations, as serde names them to somebody who errs.
fn kinds() -> Vec<OperationKind> {
    let error = serde_json::from_value::<OperationKind>(json!("?")).expect_err("no kind");
    let text = error.to_string();
    let words = text.split('`').skip(3).step_by(2);
    let kinds: Vec<OperationKind> =
        words.map(|word| serde_json::from_value(json!(word)).expect("a kind")).collect();
    assert!(kinds.len() >= 10, "{text}");
    kinds
}

#[test]
fn the_documented_file_says_the_defaults() {
    assert_eq!(read(FILE), Config::default());
    // What it leaves out has no default, and what it shows in its place is legal. Where a section
    // as a whole has no default, its settings have.
    let mut whole = Config::default();
    whole.warehouses = vec![WarehouseSpec::new("SF").threshold(20)];
    whole.durability_of = kinds().into_iter().map(|kind| (kind, Durability::Buffered)).collect();
    whole.limits.longest_total_hold = Some(DAY);
    whole.limits.max_keys = Some(1_000_000);
    let mut journal = JournalConfig::new("/var/lib/shop/journal");
    journal.retention.older_than = Some(7 * DAY);
    journal.retention.over_bytes = Some(20 << 30);
    whole.journal = Some(journal);
    let rule = LimitRule::new("two each", "customer", 2).group("drop");
    whole.customer_limits = vec![rule.products(["SHOE-41", "SHOE-42"])];
    assert_eq!(read(&whole_file()), whole);
}

#[test]
fn the_documented_file_has_every_setting_and_says_what_each_means() {
    let whole = read(&whole_file());
    let all = names(&serde_json::to_value(&whole).expect("JSON"));
    assert!(all.len() > 60, "{all:?}");
    let table: toml::Table = toml::from_str(&whole_file()).expect("TOML");
    assert_eq!(names(&serde_json::to_value(table).expect("JSON")), all);
    let lines: Vec<&str> = FILE.lines().collect();
    for (before, line) in lines.iter().zip(&lines[1..]) {
        let is_text = line.is_empty() || *line == "#" || line.starts_with("# ");
        assert!(is_text || before.starts_with("# "), "no comment on: {line}");
    }
}

#[test]
fn what_is_written_is_read_again() {
    let whole = read(&whole_file());
    assert_eq!(read(&toml::to_string(&whole).expect("TOML")), whole);
    let text = serde_json::to_string(&whole).expect("JSON");
    assert_eq!(serde_json::from_str::<Config>(&text).expect("JSON"), whole);
    let never = read("[journal]\ndirectory = '/srv/j'\ncheckpoint_every = 0\nfile_mode = '640'");
    let journal = never.journal.as_ref().expect("a journal");
    assert_eq!((journal.checkpoint_every, journal.file_mode), (None, 0o640));
    assert_eq!(read(&toml::to_string(&never).expect("TOML")), never);
}

#[test]
fn what_is_no_setting_is_refused_by_name() {
    for (text, named) in [
        ("sweper = true", "unknown field `sweper`"),
        ("subject_secret = '0123456789abcdef'", "unknown field `subject_secret`"),
        ("[limits]\nlongest_ttl = 5", "unknown field `longest_ttl`"),
        ("[[warehouses]]\nname = 'SF'\nroom = 5", "unknown field `room`"),
        ("[[warehouses]]\nname = 'SF'\nrecorded = true", "unknown field `recorded`"),
        ("[[warehouses]]\ncapacity = 5", "missing field `name`"),
        ("[durability_of]\nsale = 'synced'", "unknown variant `sale`"),
        ("[journal]\nsync_interval_ms = 5", "missing field `directory`"),
        ("[journal]\ndirectory = '/srv/j'\nsync = 5", "unknown field `sync`"),
        ("[journal]\ndirectory = '/srv/j'\nfile_mode = '689'", "octal digits"),
        ("[journal]\ndirectory = '/srv/j'\nretention = { older = 5 }", "unknown field `older`"),
        ("[[customer_limits]]\nname = 'two'\nmaximun = 2", "unknown field `maximun`"),
        ("backpressure = 'drop'", "unknown variant `drop`"),
    ] {
        let error = toml::from_str::<Config>(text).expect_err(text).to_string();
        assert!(error.contains(named), "{text}: {error}");
    }
}

#[test]
fn what_is_not_valid_is_refused_by_the_builder() {
    let refused = |text: &str| read(text).builder().build().map(|_| ()).expect_err(text);
    assert_eq!(refused(""), BuildError::Warehouses { warehouses: 0 });
    let shop = "warehouses = [{ name = 'SF' }]\n";
    assert!(read(shop).builder().build().is_ok());
    let setting = |text: &str| match refused(&format!("{shop}{text}")) {
        BuildError::Setting { setting, .. } => setting,
        other => panic!("{text}: {other}"),
    };
    assert_eq!(setting("[limits]\nmax_basket_lines = 0"), "max_basket_lines");
    assert_eq!(setting("[limits]\nlongest_ttl_ms = 0"), "longest_ttl");
    assert_eq!(setting("[limits]\nmax_keys = 0"), "key_retention");
    let trims = "directory = '/nowhere'\nauditor = false\nretention = { old_segments = 'remove' }";
    assert_eq!(setting(&format!("[journal]\n{trims}")), "journal_retention");
    let twice = "warehouses = [{ name = 'SF' }, { name = 'SF' }]";
    assert_eq!(refused(twice), BuildError::Twice { warehouse: "SF".into() });
}

#[test]
fn the_engine_is_the_one_that_the_file_describes() {
    let config = read(
        r#"
        backpressure = "refuse"
        index_holders = true

        [[warehouses]]
        name = "SF"
        capacity = 50
        threshold = 5

        [[warehouses]]
        name = "NYC"

        [limits]
        longest_ttl_ms = 60_000
        max_reservations = 3
        max_basket_lines = 1
        max_notes = 1
        max_keys = 77
        audit_retained = 5
        "#,
    );
    let manager = config.builder().without_threads().build().expect("an engine");
    assert!(manager.add_stock(SHOE, 51, "SUPPLIER").is_err());
    manager.add_stock(SHOE, 50, "SUPPLIER").expect("room for 50");
    manager.add_stock(("NYC", "SHOE"), 1_000, "SUPPLIER").expect("room for many");
    assert_eq!(manager.warehouse("SF").expect("there").threshold(), Some(5));
    assert_eq!(manager.warehouse("NYC").expect("there").threshold(), None);
    assert!(manager.reserve(SHOE, 1, TTL + Duration::from_millis(1)).is_err());
    manager.reserve(SHOE, 1, TTL).expect("the longest");
    let two = [BasketLine::new(SHOE, 1), BasketLine::new(("NYC", "SHOE"), 1)];
    let many = InvalidInput::TooManyLines { lines: 2, most: 1 };
    assert_eq!(manager.reserve_basket(&two, TTL), Err(many.into()));
    let noted = manager.request().note("a", "1").note("b", "2").reserve(SHOE, 1, TTL);
    let many = CallError::from(InvalidText::TooManyNotes { notes: 2, most: 1 });
    assert_eq!(noted, Err(many.into()));
    assert_eq!(manager.stats().keys_max, 77);
    for _ in 0..2 {
        manager.reserve(SHOE, 1, TTL).expect("a slot");
    }
    assert_eq!(manager.reserve(SHOE, 1, TTL), Err(ReserveError::Full { slots: 3 }));
    manager.flush().wait().expect("written");
    assert_eq!(manager.audit_log().query(&AuditFilter::new()).entries.len(), 5);
}

#[test]
fn the_journal_lies_where_the_file_says() {
    let scratch = Scratch::new("configured");
    let place = scratch.join("journal");
    let text = format!(
        "warehouses = [{{ name = 'SF' }}]\ndurability = 'synced'\n[journal]\ndirectory = '{}'\n\
         least_free_space_bytes = {}",
        place.display(),
        i64::MAX
    );
    let config = read(&text);
    let manager = config.builder().build().expect("a journal");
    manager.add_stock(SHOE, 7, "SUPPLIER").expect("room");
    // Nothing flushes it: the call returned once it was on the disk.
    let head = manager.journal_head().expect("a journal");
    assert_eq!(head.sequence, manager.audit_log().newest_sequence());
    assert!(matches!(manager.health(), Health::Degraded { .. }), "{:?}", manager.health());
    drop(manager);
    assert!(place.is_dir());
    assert_eq!(config.builder().build().expect("it again").available(SHOE), Ok(7));
}

/// How many definitions of limits the log has. Each has an entry for each product.
fn definitions(manager: &InventoryManager) -> usize {
    manager.flush().wait().expect("written");
    let all = manager.audit_log().query(&AuditFilter::new()).entries;
    let defined = EntryType::from(EventType::LimitDefined);
    let all = all.iter().filter(|entry| entry.entry_type == defined);
    all.map(|entry| entry.record).collect::<BTreeSet<_>>().len()
}

#[test]
fn limits_are_defined_once_however_often_the_service_starts() {
    let scratch = Scratch::new("configured-limits");
    let text = |maximum: u32| {
        format!(
            "warehouses = [{{ name = 'SF' }}]\n[journal]\ndirectory = '{}'\n\
             [[customer_limits]]\nname = 'drop'\nkind = 'customer'\nmaximum = 9\ngroup = 'drop'\n\
             [[customer_limits]]\nname = 'each'\nkind = 'customer'\nmaximum = 1\n\
             [[customer_limits]]\nname = 'each'\nkind = 'customer'\nmaximum = {maximum}\n\
             products = ['SOCK', 'SHOE']",
            scratch.join("journal").display()
        )
    };
    let open = |config: &Config| config.builder().subject_secret([7; 16]).build().expect("opens");
    let config = read(&text(2));
    let manager = open(&config);
    // Nothing is stocked yet. What comes before stands.
    let never = config.define_limits(&manager).expect_err("no products yet");
    assert!(matches!(never, DefineLimitError::Place(PlaceError::NeverStocked { .. })), "{never}");
    assert_eq!(manager.limits().len(), 1);
    for product in ["SHOE", "SOCK"] {
        manager.add_stock(("SF", product), 10, "SUPPLIER").expect("room");
    }
    assert_eq!(config.define_limits(&manager), Ok(1));
    assert_eq!(config.define_limits(&manager), Ok(0));
    manager.request().subject("customer", "ann").sell(SHOE, 2).expect("two");
    drop(manager);

    let manager = open(&config);
    assert_eq!(config.define_limits(&manager), Ok(0));
    assert_eq!(definitions(&manager), 2);
    let ann = || manager.request().subject("customer", "ann").sell(SHOE, 1);
    assert!(matches!(ann(), Err(ReserveError::Limit(LimitError::Reached { maximum: 2, .. }))));

    // The file has the last word, and what was drawn counts on.
    assert_eq!(read(&text(3)).define_limits(&manager), Ok(1));
    ann().expect("the third");
    assert!(matches!(ann(), Err(ReserveError::Limit(LimitError::Reached { maximum: 3, .. }))));
    assert_eq!(definitions(&manager), 3);

    let unset = read(
        "warehouses = [{ name = 'SF' }]\ncustomer_limits = [{ name = 'a', kind = 'b', maximum = 1 }]",
    );
    let manager = unset.builder().build().expect("an engine");
    assert_eq!(unset.define_limits(&manager), Err(DefineLimitError::NoSecret));
}
