//! What a shop calls, beside the bare pair: a reserve with an idempotency key, an owner and a note,
//! and a confirm with a key of its own.
//!
//! ```text
//! cargo bench --bench real_pair                      # time, memory and disk, by turns
//! cargo bench --bench real_pair -- what=real pairs=200000    # so many pairs and nothing else
//! ```
//!
//! The second form is for callgrind: run it twice with different numbers of pairs, and take the
//! difference. `what=plain` runs the bare pair, `journal=1` writes a buffered journal.
#![allow(clippy::print_stdout, reason = "a bench speaks")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use stockade::{IdempotencyKey, InventoryManager, LevelHandle, Limits, Owner};

use common::Scale;
use common::arguments::{number, text};
use common::machine::{thread_cpu_time, used_memory};
use common::median::median;

const HOLD: Duration = Duration::from_secs(3_600);
const PRODUCTS: u32 = 100;

/// What a pair is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pair {
    /// By handle, without options.
    Plain,
    /// With the options of a shop.
    Real,
}

/// An engine and its levels. The journal's directory is removed with it.
struct Shop {
    manager: Option<InventoryManager>,
    levels: Vec<LevelHandle>,
    directory: Option<PathBuf>,
    sold: u64,
}

impl Shop {
    /// An engine in memory, or with a buffered journal in a directory of this name.
    fn open(journal: Option<&str>) -> Self {
        let directory = journal.map(|name| {
            PathBuf::from("/var/tmp").join(format!("stockade-{name}-{}", std::process::id()))
        });
        let limits = Limits::new().audit_retained(4_000_000).key_retention(HOLD, 4_000_000);
        let mut builder = InventoryManager::builder().warehouse("SF").limits(limits);
        if let Some(directory) = &directory {
            builder = builder.journal(directory);
        }
        let manager = builder.build().expect("legal settings and a new journal");
        let level = |product: u32| {
            let name = format!("PRODUCT-{product}");
            let place = ("SF", &*name);
            manager.add_stock(place, stockade::MAX_UNITS / PRODUCTS, "SUPPLIER").expect("room");
            manager.level(place).expect("open")
        };
        let levels = (0..PRODUCTS).map(level).collect();
        Self { manager: Some(manager), levels, directory, sold: 0 }
    }

    fn manager(&self) -> &InventoryManager {
        self.manager.as_ref().expect("open")
    }

    /// Makes so many pairs, and waits until all are recorded: the span, and the buyer's processor
    /// time.
    fn sell(&mut self, pair: Pair, pairs: u64) -> (Duration, Duration) {
        let (began, cpu) = (Instant::now(), thread_cpu_time());
        for _ in 0..pairs {
            self.sold += 1;
            match pair {
                Pair::Plain => self.plain(),
                Pair::Real => self.real(),
            }
        }
        let cpu = thread_cpu_time() - cpu;
        self.manager().flush().wait().expect("a healthy log");
        (began.elapsed(), cpu)
    }

    fn level(&self) -> LevelHandle {
        self.levels[self.sold as usize % self.levels.len()]
    }

    fn plain(&self) {
        let hold = self.manager().reserve(self.level(), 1, HOLD).expect("stock");
        self.manager().confirm(hold).expect("pending");
    }

    /// Keys of 16 bytes, as a UUID is; the note is a cart's number.
    fn real(&self) {
        let number = self.sold;
        let cart = decimal(number);
        let cart = std::str::from_utf8(&cart).expect("digits");
        let owner = Owner(u128::from(number % 10_007).to_le_bytes());
        let request = self.manager().request().key(key(number, b'r')).note("cart", cart);
        let hold = request.owner(owner).reserve(self.level(), 1, HOLD).expect("stock");
        let request = self.manager().request().key(key(number, b'c'));
        request.confirm(hold).expect("pending");
    }

    /// Bytes of all segments.
    fn segments(&self) -> u64 {
        let Some(directory) = &self.directory else { return 0 };
        let bytes = |path: &Path| fs::metadata(path).map_or(0, |it| it.len());
        let files = fs::read_dir(directory).expect("the journal's directory");
        let paths = files.map(|entry| entry.expect("readable").path());
        paths
            .filter(|path| path.extension().is_some_and(|it| it == "journal"))
            .map(|path| bytes(&path))
            .sum()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        drop(self.manager.take());
        if let Some(directory) = &self.directory {
            // A directory that cannot be removed changes no figure.
            let _ = fs::remove_dir_all(directory);
        }
    }
}

/// A key of 16 bytes that no other call has.
fn key(number: u64, step: u8) -> IdempotencyKey {
    let mut bytes = [step; 16];
    bytes[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    IdempotencyKey::try_from(&bytes[..]).expect("a legal key")
}

/// Ten digits, without an allocation: the bench must not pay for it.
fn decimal(mut number: u64) -> [u8; 10] {
    let mut digits = [b'0'; 10];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    digits
}

fn main() {
    let journal = (number("journal", 0) == 1).then_some("callgrind");
    let pairs = number("pairs", 0);
    match &*text("memory") {
        "plain" => return memory_of(Pair::Plain, pairs),
        "real" => return memory_of(Pair::Real, pairs),
        _ => {}
    }
    match &*text("what") {
        "plain" => alone(Pair::Plain, pairs, journal),
        "real" => alone(Pair::Real, pairs, journal),
        _ => {
            let scale = Scale::asked();
            time(scale, None);
            time(scale, Some("time"));
            memory(scale);
            disk(scale);
        }
    }
}

/// So many pairs and no end: what dropping an engine takes grows with its log, and is no part of a
/// pair.
fn alone(pair: Pair, pairs: u64, journal: Option<&str>) {
    let mut shop = Shop::open(journal);
    shop.sell(pair, pairs);
    match journal {
        Some(_) => drop(shop),
        None => std::mem::forget(shop),
    }
}

/// Both pairs by turns, each on an engine of its own: the medians of a pair's time and of a buyer's
/// processor time, and the median of the ratios of neighbours.
fn time(scale: Scale, journal: Option<&str>) {
    let (turns, pairs) = (scale.pick(1, 9, 25), scale.pick(100, 50_000, 50_000));
    let of = |kind: &str| journal.map(|name| format!("{name}-{kind}"));
    let mut plain = Shop::open(of("plain").as_deref());
    let mut real = Shop::open(of("real").as_deref());
    let nanos = |span: Duration| span.as_nanos() as f64 / pairs as f64;
    plain.sell(Pair::Plain, 2 * pairs);
    real.sell(Pair::Real, 2 * pairs);
    let mut columns: [Vec<f64>; 6] = Default::default();
    for _ in 0..turns {
        let (span, cpu) = plain.sell(Pair::Plain, pairs);
        let (real_span, real_cpu) = real.sell(Pair::Real, pairs);
        let figures = [nanos(span), nanos(cpu), nanos(real_span), nanos(real_cpu)];
        let ratios = [figures[2] / figures[0], figures[3] / figures[1]];
        let row = figures.into_iter().chain(ratios);
        columns.iter_mut().zip(row).for_each(|(column, figure)| column.push(figure));
    }
    let [span, cpu, real_span, real_cpu, ratio, cpu_ratio] = columns.map(|column| median(&column));
    let title = if journal.is_some() { "buffered journal" } else { "in memory" };
    println!(
        "{title}: plain {span:.0} ns (buyer {cpu:.0}), real {real_span:.0} ns (buyer \
         {real_cpu:.0}), ratio {ratio:.2} (buyer {cpu_ratio:.2})"
    );
}

/// Bytes of memory for each pair while the log and the keys keep it. Each kind has a process of its
/// own, because memory that was used before would be used again.
fn memory(scale: Scale) {
    let pairs = scale.pick(1_000, 200_000, 400_000).to_string();
    let this = std::env::current_exe().expect("this program");
    for pair in ["plain", "real"] {
        let arguments = [format!("memory={pair}"), format!("pairs={pairs}")];
        let status = std::process::Command::new(&this).args(arguments).status();
        assert!(status.is_ok_and(|it| it.success()), "the child measures");
    }
}

fn memory_of(pair: Pair, pairs: u64) {
    let mut shop = Shop::open(None);
    // What is made once is made now: slots, queue, pool, magazines.
    shop.sell(Pair::Plain, 100_000.min(pairs));
    let before = used_memory();
    shop.sell(pair, pairs);
    let grown = used_memory().saturating_sub(before) as f64 / pairs as f64;
    println!("memory: {pair:?} {grown:.0} bytes a pair");
}

/// Bytes of segments for each pair.
fn disk(scale: Scale) {
    let pairs = scale.pick(1_000, 100_000, 200_000);
    for pair in [Pair::Plain, Pair::Real] {
        let mut shop = Shop::open(Some("disk"));
        shop.sell(pair, pairs / 10);
        let before = shop.segments();
        shop.sell(pair, pairs);
        let grown = (shop.segments() - before) as f64 / pairs as f64;
        println!("disk: {pair:?} {grown:.1} bytes a pair");
    }
}
