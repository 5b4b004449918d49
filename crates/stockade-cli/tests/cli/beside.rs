//! Reads a journal beside the engine that writes it.

use std::any::Any;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use stockade::testing::SimulatedDisk;
use stockade::{
    AuditFilter, InventoryManager, JournalOptions, JournalReader, Limits, Storage, StorageFile,
};

use super::{folder, random, run, text};

/// Ends the work, even if a test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn the_program_reads_while_an_engine_writes_and_finds_nothing_wrong() {
    let folder = folder("beside");
    let builder = random::builder(random::journal(&folder).sync_interval(Duration::from_millis(1)));
    let manager = builder.build().expect("a new journal");
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _over = Over(&over);
        let writing = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                manager.add_stock(("SF", "LAPTOP"), 3, "SUPPLIER").expect("room");
                manager.sell(("SF", "LAPTOP"), 3).expect("stock");
                manager.ship(("SF", "LAPTOP"), 3).expect("sold");
                thread::sleep(Duration::from_micros(500));
            }
        });
        let mut entries = 0;
        for round in 0..6 {
            for command in ["verify", "stock", "log"] {
                let output = run(&["audit", command, &folder, "--json"]);
                let told = text(&output.stderr);
                assert_eq!((output.status.code(), &*told), (Some(0), ""), "{command} {round}");
            }
            let found = JournalReader::new(&folder).verify(None).expect("sound").head.sequence;
            assert!(found >= entries, "{found} entries after {entries}");
            entries = found;
        }
        over.store(true, Ordering::Relaxed);
        writing.join().expect("no panic");
        assert!(entries > 100, "{entries} entries");
    });
    manager.flush().wait().expect("written");
    let found = JournalReader::new(&folder).verify(None).expect("sound");
    assert_eq!(Some(found.head), manager.journal_head());
}

/// A disk on which the engine does some more work after each read of a file, and is always about to
/// create the next segment: its file exists, and is still empty.
struct Busy {
    disk: SimulatedDisk,
    work: Arc<Mutex<Box<dyn FnMut() + Send>>>,
}

impl Busy {
    fn look(&self, name: &str, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        match self.disk.read(name, offset, length) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && name.ends_with(".journal") => {
                Ok(Vec::new())
            }
            bytes => bytes,
        }
    }
}

impl Storage for Busy {
    fn lock(&self) -> io::Result<Box<dyn Any + Send + Sync>> {
        panic!("a reader takes no lock")
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = self.disk.list()?;
        let numbers = names.iter().filter_map(|name| name.strip_suffix(".journal")?.parse().ok());
        let newest: u64 = numbers.max().unwrap_or(0);
        names.push(format!("{:010}.journal", newest + 1));
        Ok(names)
    }

    fn read(&self, name: &str, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        let bytes = self.look(name, offset, length);
        (self.work.lock().expect("no panic"))();
        bytes
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        self.look(name, 0, u64::MAX).map(|bytes| bytes.len() as u64)
    }

    fn create(&self, _: &str) -> io::Result<Arc<dyn StorageFile>> {
        panic!("a reader writes nothing")
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        panic!("a reader writes nothing")
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        panic!("a reader writes nothing")
    }

    fn sync_directory(&self) -> io::Result<()> {
        panic!("a reader writes nothing")
    }
}

#[test]
fn what_is_written_during_a_reading_does_not_confuse_it() {
    let disk = SimulatedDisk::new();
    let journal = JournalOptions::storage(disk.clone()).segment_bytes(700);
    let builder = InventoryManager::builder().warehouse("SF").journal(journal);
    let manager = builder.without_threads().build().expect("a new journal");
    // A limit for each reading. Otherwise the journal would grow faster than it is read.
    let left = Arc::new(AtomicUsize::new(0));
    let work = {
        let (manager, left) = (manager.clone(), Arc::clone(&left));
        move || {
            if left.load(Ordering::Relaxed) == 0 {
                return;
            }
            left.fetch_sub(1, Ordering::Relaxed);
            for _ in 0..3 {
                manager.add_stock(("SF", "LAPTOP"), 2, "SUPPLIER").expect("room");
                manager.sell(("SF", "LAPTOP"), 1).expect("stock");
                // Another batch, which knows that the one before is durable; now and then another
                // segment.
                manager.flush().wait().expect("written");
            }
        }
    };
    let work: Arc<Mutex<Box<dyn FnMut() + Send>>> = Arc::new(Mutex::new(Box::new(work)));
    let busy = || {
        left.store(30, Ordering::Relaxed);
        Busy { disk: disk.clone(), work: Arc::clone(&work) }
    };
    for round in 0..5 {
        let before = manager.audit_log().newest_sequence();
        let found = JournalReader::on(busy()).verify(None);
        let found = found.unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert!(found.head.sequence >= before, "{} of {before}", found.head.sequence);
        let stock = JournalReader::on(busy()).stock(None).expect("a sound journal");
        assert!(stock.sequence > before);
        let filter = AuditFilter::new().limit(usize::MAX);
        let page = JournalReader::on(busy()).query(&filter).expect("a sound journal");
        assert!(page.entries.len() as u64 > before);
    }
}

#[test]
fn a_journal_is_free_once_its_engine_is_gone_whatever_processes_are_just_being_started() {
    let folder = folder("free-at-once");
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _over = Over(&over);
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    run(&["--version"]);
                }
            });
        }
        for round in 0..100 {
            let builder = random::builder(random::journal(&folder))
                .limits(Limits::new().max_reservations(64))
                .without_threads();
            let opened = builder.build();
            assert!(opened.is_ok(), "round {round}: {opened:?}");
        }
    });
}
