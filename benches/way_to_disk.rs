//! What a caller that waits for the disk waits for, step by step, beside a bare write and sync of
//! the same bytes.
//!
//! ```text
//! cargo bench --bench way_to_disk              # about a minute
//! cargo bench --bench way_to_disk -- --quick
//! ```
//!
//! The engine writes through a storage that notes the time around each of its calls. Calls and bare
//! syncs alternate, on the same disk, each after a pause, so that the engine is idle. A step is
//!
//! - *to the writer*: from the call until its record is about to be appended. The caller wakes the
//!   writer, which takes the record off the queue and encodes it;
//! - *write*: the append;
//! - *to the sync*: until the sync begins;
//! - *sync*: the disk's part;
//! - *look and mark*: the place is compared, and the sync mark is written;
//! - *to the caller*: until the call returns.
#![allow(clippy::print_stdout, reason = "a bench speaks")]

mod common;

use std::any::Any;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use stockade::{
    Durability, FileStorage, InventoryManager, JournalOptions, PlacePart, Storage, StorageFile,
    StorageIdentity,
};

use common::Scale;
use common::median::median;
use common::programs::Folder;
use common::table::table;

/// Steps of a call, as the table names them.
const STEPS: [&str; 6] =
    ["to the writer", "write", "to the sync", "sync", "look and mark", "to the caller"];

/// How long the engine rests before a call: it naps, or it sleeps.
const PAUSES: [(&str, Duration); 3] = [
    ("at once", Duration::ZERO),
    ("after 2 ms", Duration::from_millis(2)),
    ("after 1.2 s", Duration::from_millis(1_200)),
];

fn main() {
    let scale = Scale::asked();
    println!("One caller that waits, in microseconds: medians (and the range of the middle half).");
    for (name, pause) in PAUSES {
        let times = match pause {
            Duration::ZERO => scale.pick(5, 300, 1_500),
            pause if pause < Duration::from_secs(1) => scale.pick(3, 300, 1_500),
            _ => scale.pick(1, 8, 30),
        };
        one_caller(name, pause, times);
    }
    println!("\nMany callers that wait at each call, in sales a second.");
    for callers in [1, 8, 32] {
        many_callers(callers, scale.pick(3, 200, 1_000));
    }
}

/// When the storage was called.
#[derive(Default)]
struct Stamps(Mutex<Vec<(Instant, Instant, &'static str, usize)>>);

impl Stamps {
    fn around<R>(&self, what: &'static str, bytes: usize, call: impl FnOnce() -> R) -> R {
        let began = Instant::now();
        let result = call();
        let ended = Instant::now();
        self.lock().push((began, ended, what, bytes));
        result
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Instant, Instant, &'static str, usize)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A directory that notes when it is written to.
struct Stamped {
    files: FileStorage,
    stamps: Arc<Stamps>,
}

struct StampedFile {
    file: Arc<dyn StorageFile>,
    is_segment: bool,
    stamps: Arc<Stamps>,
}

impl StorageFile for StampedFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let what = if self.is_segment { "append" } else { "mark" };
        self.stamps.around(what, bytes.len(), || self.file.append(bytes))
    }

    fn sync(&self) -> io::Result<()> {
        self.stamps.around("sync", 0, || self.file.sync())
    }

    fn identity(&self) -> Option<StorageIdentity> {
        self.file.identity()
    }
}

impl Storage for Stamped {
    fn lock(&self) -> io::Result<Box<dyn Any + Send + Sync>> {
        self.files.lock()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.files.list()
    }

    fn read(&self, name: &str, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        self.files.read(name, offset, length)
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        self.files.length(name)
    }

    fn next_data(&self, name: &str, offset: u64) -> io::Result<u64> {
        self.files.next_data(name, offset)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let (file, stamps) = (self.files.create(name)?, Arc::clone(&self.stamps));
        Ok(Arc::new(StampedFile { file, is_segment: name.contains(".journal"), stamps }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.files.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files.remove(name)
    }

    fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        self.files.truncate(name, length)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.files.sync_directory()
    }

    fn free_space(&self) -> Option<u64> {
        self.files.free_space()
    }

    fn identity(&self, part: PlacePart<'_>) -> io::Result<Option<StorageIdentity>> {
        self.files.identity(part)
    }

    fn path(&self) -> Option<&Path> {
        self.files.path()
    }
}

/// An engine whose sales wait for the disk.
fn open(folder: &Path, stamps: &Arc<Stamps>) -> InventoryManager {
    let files = FileStorage::new(folder.join("journal"));
    let storage = Stamped { files, stamps: Arc::clone(stamps) };
    let journal = JournalOptions::storage(storage);
    let builder = InventoryManager::builder().warehouse("SF").journal(journal);
    let manager = builder.durability(Durability::Synced).build().expect("a new journal");
    manager.add_stock(("SF", "LAPTOP"), 1 << 30, "SUPPLIER").expect("room");
    manager
}

fn one_caller(name: &str, pause: Duration, times: usize) {
    let folder = Folder::new(None).expect("a disk");
    let stamps = Arc::new(Stamps::default());
    let manager = open(folder.path(), &stamps);
    let mut bare = File::create(folder.path().join("bare")).expect("room");
    let mut steps: [Vec<f64>; STEPS.len()] = Default::default();
    let (mut whole, mut alone, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let micros = |span: Duration| span.as_secs_f64() * 1e6;
    for _ in 0..times {
        thread::sleep(pause);
        stamps.lock().clear();
        let began = Instant::now();
        manager.sell(("SF", "LAPTOP"), 1).expect("in stock");
        let ended = Instant::now();
        let seen = std::mem::take(&mut *stamps.lock());
        let find = |what: &str| seen.iter().find(|stamp| stamp.2 == what);
        let (append, sync) = (find("append").expect("a record"), find("sync").expect("a sync"));
        let marked = find("mark").map_or(sync.1, |mark| mark.1);
        let moments = [began, append.0, append.1, sync.0, sync.1, marked, ended];
        for (step, pair) in steps.iter_mut().zip(moments.windows(2)) {
            step.push(micros(pair[1].saturating_duration_since(pair[0])));
        }
        whole.push(micros(ended - began));
        let bytes = vec![7; append.3];
        thread::sleep(pause);
        let began = Instant::now();
        bare.write_all(&bytes).expect("room");
        bare.sync_data().expect("a disk");
        alone.push(micros(began.elapsed()));
        ratios.push(whole[whole.len() - 1] / alone[alone.len() - 1]);
    }
    let mut rows = table(1, &["", "us", "middle half"]);
    let mut add = |name: &str, values: &[f64]| {
        let [low, high] = middle_half(values);
        rows.add_row([
            name.to_owned(),
            format!("{:.1}", median(values)),
            format!("{low:.1} to {high:.1}"),
        ]);
    };
    STEPS.iter().zip(&steps).for_each(|(name, step)| add(name, step));
    add("the call", &whole);
    add("bare write and sync", &alone);
    println!("\n{name}: {times} calls\n{rows}");
    let [low, high] = middle_half(&ratios);
    println!(
        "{:.2} times as long as the bare one by medians; pairs of neighbours: {low:.2} to {high:.2}",
        median(&whole) / median(&alone)
    );
}

/// The quarter below which, and above which, a quarter of the values lie.
fn middle_half(values: &[f64]) -> [f64; 2] {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    [values[values.len() / 4], values[values.len() - 1 - values.len() / 4]]
}

/// As many sales as callers that wait can make.
fn many_callers(callers: usize, each: u32) {
    let folder = Folder::new(None).expect("a disk");
    let stamps = Arc::new(Stamps::default());
    let manager = open(folder.path(), &stamps);
    stamps.lock().clear();
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..callers {
            scope.spawn(|| (0..each).for_each(|_| _ = manager.sell(("SF", "LAPTOP"), 1)));
        }
    });
    let span = began.elapsed();
    let sales = callers as f64 * f64::from(each);
    let seen = std::mem::take(&mut *stamps.lock());
    let syncs: Vec<_> = seen.iter().filter(|stamp| stamp.2 == "sync").collect();
    let in_syncs: Duration = syncs.iter().map(|stamp| stamp.1 - stamp.0).sum();
    println!(
        "{callers:>3} callers: {:.0} a second, {:.1} to a sync, {:.0}% of the time in syncs of {:.0} us",
        sales / span.as_secs_f64(),
        sales / syncs.len() as f64,
        100.0 * in_syncs.as_secs_f64() / span.as_secs_f64(),
        in_syncs.as_secs_f64() * 1e6 / syncs.len() as f64,
    );
}
