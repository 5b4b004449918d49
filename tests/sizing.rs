//! The page on sizes: its table follows from its constants, and the constants from what an engine
//! writes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use stockade::testing::SimulatedDisk;
use stockade::{Builder, IdempotencyKey, InventoryManager, JournalOptions, Limits};

const PAGE: &str = include_str!("../docs/sizing.md");
const SHOES: (&str, &str) = ("SF", "SHOES");

/// The cells of the rows of the table whose head begins with this cell.
fn rows(first: &str) -> Vec<Vec<&'static str>> {
    let lines = PAGE.lines().skip_while(|line| !line.starts_with(&format!("| {first} |")));
    let rows = lines.skip(2).take_while(|line| line.starts_with('|'));
    let rows: Vec<_> =
        rows.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect();
    assert!(!rows.is_empty(), "no table {first:?}");
    rows
}

fn constants() -> BTreeMap<&'static str, f64> {
    let number = |text: &str| text.replace(',', "").parse().expect("a number");
    rows("constant").iter().map(|row| (row[0], number(row[1]))).collect()
}

/// Two significant digits, and a unit: how the page writes amounts.
fn amount(value: f64, units: &[(&str, f64)]) -> String {
    let (unit, size) = units.iter().rev().find(|(_, size)| value >= *size).unwrap_or(&units[0]);
    let value = value / size;
    let step = 10_f64.powf(value.log10().floor() - 1.0);
    let digits = usize::from(value < 10.0);
    let text = format!("{:.digits$}", (value / step).round() * step);
    format!("{text} {unit}").trim_end().to_owned()
}

const BYTES: [(&str, f64); 4] = [("KB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12)];
const COUNTS: [(&str, f64); 3] = [("thousand", 1e3), ("million", 1e6), ("billion", 1e9)];

fn amounts(seconds: f64, rate: f64) -> [String; 3] {
    let constants = constants();
    let pairs = seconds * rate;
    let kept = pairs * constants["entries of a pair"] * constants["longest stay"];
    let disk = pairs * constants["bytes on the disk of a pair"] * constants["longest stay"];
    let memory = kept * constants["bytes of memory of an entry"];
    [amount(kept, &COUNTS), amount(disk, &BYTES), amount(memory, &BYTES)]
}

#[test]
fn the_table_follows_from_the_constants() {
    let late = [("1 hour", 3_600.0), ("1 day", 86_400.0), ("7 days", 604_800.0)];
    let rates = [100.0, 1_000.0, 10_000.0, 33_000.0];
    let mut rows = rows("late by").into_iter();
    for (name, seconds) in late {
        for rate in rates {
            let row = rows.next().expect("a row");
            let expected = amounts(seconds, rate);
            let thousands = (rate / 1e3) as u32;
            let rate = if thousands > 0 { format!("{thousands},000") } else { rate.to_string() };
            let head = [name.to_owned(), rate];
            assert_eq!(row, head.iter().chain(&expected).collect::<Vec<_>>());
        }
    }
    assert_eq!(rows.next(), None);
}

/// Memory has so few keys and records that almost all answers come from the files.
fn builder(journal: JournalOptions) -> Builder {
    let limits = Limits::new().key_retention(Duration::ZERO, 1).retention(Duration::ZERO, 16);
    InventoryManager::builder().warehouse("SF").limits(limits).journal(journal)
}

fn key(name: &str, number: u32) -> IdempotencyKey {
    IdempotencyKey::try_from(format!("{name}-{number:08}").as_str()).expect("short")
}

/// A pair as the page counts them.
fn pair(manager: &InventoryManager, number: u32) {
    let hold = manager.request().key(key("order", number));
    let hold = hold.reserve(SHOES, 1, Duration::from_secs(60)).expect("stock");
    manager.request().key(key("payment", number)).confirm(hold).expect("pending");
}

#[test]
fn the_constants_are_what_an_engine_writes() {
    const PAIRS: u32 = 16_000;
    let disk = SimulatedDisk::new();
    let journal = JournalOptions::storage(disk.clone()).segment_bytes(1 << 20);
    let manager = builder(journal).without_threads().build().expect("legal settings");
    manager.add_stock(SHOES, PAIRS, "SUPPLIER").expect("room");
    (0..PAIRS).for_each(|number| pair(&manager, number));
    assert!(manager.verify().expect("sound").is_sound());
    let files = disk.files();
    let lengths = files.iter().filter(|(name, _)| name.ends_with(".outcomes"));
    let bytes: usize = lengths.map(|(_, bytes)| bytes.len()).sum();
    let outcomes = manager.stats().outcomes;
    assert!(outcomes.entries > 20_000, "{outcomes:?}");
    let constants = constants();
    assert_eq!(constants["entries of a pair"], 3.0);
    let a_pair = 3.0 * bytes as f64 / outcomes.entries as f64;
    let an_entry = outcomes.memory as f64 / outcomes.entries as f64;
    // Short files have more of what each file has once. In longer ones it is nothing.
    let near = |found: f64, said: f64| found > said * 0.94 && found < said * 1.06;
    assert!(near(a_pair, constants["bytes on the disk of a pair"]), "{a_pair} bytes a pair");
    assert!(near(an_entry, constants["bytes of memory of an entry"]), "{an_entry} bytes an entry");
}

/// Bytes of the files of this kind.
fn bytes_of(directory: &Path, kind: &str) -> u64 {
    let files = std::fs::read_dir(directory).expect("a directory").flatten();
    let files = files.filter(|it| it.path().extension().is_some_and(|own| own == kind));
    files.map(|it| it.metadata().expect("a file").len()).sum()
}

/// Median and 99th of so many look-ups of keys of this name, and how many had an answer.
fn look_ups(manager: &InventoryManager, name: &str, pairs: u32) -> (Duration, Duration, usize) {
    const LOOKS: u32 = 20_000;
    let looks = (0..LOOKS).map(|look| {
        // Spread over all numbers, in no order: both are far from each other's multiples.
        let number = (u64::from(look) * 2_654_435_761 % u64::from(pairs)) as u32;
        let (key, began) = (key(name, number), Instant::now());
        let is_there = manager.answer_of(&key).expect("files at hand").is_some();
        (began.elapsed(), is_there)
    });
    let (mut spans, known): (Vec<_>, Vec<_>) = looks.unzip();
    spans.sort_unstable();
    let known = known.into_iter().filter(|known| *known).count();
    (spans[spans.len() / 2], spans[spans.len() * 99 / 100], known)
}

/// Run it by hand, in release. `STOCKADE_MEASURE_IN` names the directory, and
/// `STOCKADE_MEASURE_PAIRS` is how many pairs: 400 bytes of disk for each.
#[test]
#[ignore = "a measurement: takes minutes, in release"]
fn a_journal_of_millions_is_measured() {
    let pairs = std::env::var("STOCKADE_MEASURE_PAIRS");
    let pairs: u32 = pairs.map_or(1_500_000, |it| it.parse().expect("a number of pairs"));
    let place = std::env::var_os("STOCKADE_MEASURE_IN").map(std::path::PathBuf::from);
    let place = place.unwrap_or_else(std::env::temp_dir);
    let directory = place.join(format!("stockade-sizing-{}", std::process::id()));
    let open = || builder(JournalOptions::directory(&directory)).build().expect("a new journal");
    let manager = open();
    manager.add_stock(SHOES, pairs, "SUPPLIER").expect("room");
    let began = Instant::now();
    std::thread::scope(|scope| {
        for first in 0..2 {
            let numbers = (first..pairs).step_by(2);
            scope.spawn(|| numbers.for_each(|number| pair(&manager, number)));
        }
    });
    let (traded, waited) = (began.elapsed(), manager.stats().outcomes.waiting);
    assert!(manager.verify().expect("sound").is_sound());
    assert!(manager.shutdown(Duration::from_secs(60)).is_clean());
    drop(manager);
    let [segments, files] = ["journal", "outcomes"].map(|kind| bytes_of(&directory, kind));
    let began = Instant::now();
    let manager = open();
    let (opened, stats) = (began.elapsed(), manager.stats().outcomes);
    let older = look_ups(&manager, "order", pairs);
    let fresh = look_ups(&manager, "fresh", pairs);
    drop(manager);
    std::fs::remove_dir_all(&directory).expect("a directory");
    let figures = format!(
        "{pairs} pairs in {traded:?}, {waited} answers waited; segments {segments} bytes, outcome \
         files {files}; opened in {opened:?}; {stats:?}; median, 99th and how many were known: \
         {older:?}; of new keys {fresh:?}\n",
    );
    std::fs::write(place.join("sizing-figures.txt"), figures).expect("room");
    assert_eq!((older.2, fresh.2), (20_000, 0));
}
