//! What the journal calls: a storage of the caller's, a predicate, a listener of the recovery.

use std::io;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use stockade::testing::SimulatedDisk;
use stockade::{
    AuditFilter, BuildError, Durability, Health, InventoryManager, JournalError, JournalOptions,
    JournalReader, JournalRetention, RedactError, Storage, StorageFile, WeakInventoryManager,
};

use crate::common::{LAPTOPS, ledger, log_of, small, threaded, wait_for, within};
use crate::pass_on::pass_on;
use crate::{SOON, Unspeakable, is_degraded};

/// What a [`Wild`] disk does next, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Append,
    Sync,
    Create,
    Unspeakable,
}

type Once = Box<dyn FnOnce() + Send>;

/// A disk with bugs.
#[derive(Clone)]
struct Wild {
    disk: SimulatedDisk,
    fault: Arc<Mutex<Option<Fault>>>,
    held: Arc<(Mutex<bool>, Condvar)>,
    on_create: Arc<Mutex<Option<Once>>>,
}

impl Wild {
    fn new() -> Self {
        let disk = SimulatedDisk::new();
        Self { disk, fault: Arc::default(), held: Arc::default(), on_create: Arc::default() }
    }

    fn set(&self, fault: Fault) {
        *self.fault.lock().expect("no panic") = Some(fault);
    }

    fn meets(&self, fault: Fault) -> bool {
        let mut planned = self.fault.lock().expect("no panic");
        planned.take_if(|it| *it == fault).is_some()
    }

    fn hold(&self, held: bool) {
        *self.held.0.lock().expect("no panic") = held;
        self.held.1.notify_all();
    }
}

struct WildFile(Wild, Arc<dyn StorageFile>);

impl StorageFile for WildFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        assert!(!self.0.meets(Fault::Append), "a storage with a bug");
        self.1.append(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        assert!(!self.0.meets(Fault::Sync), "a storage with a bug");
        if self.0.meets(Fault::Unspeakable) {
            return Err(io::Error::other(Unspeakable));
        }
        let held = self.0.held.0.lock().expect("no panic");
        drop(self.0.held.1.wait_while(held, |held| *held).expect("no panic"));
        self.1.sync()
    }
}

impl Storage for Wild {
    pass_on!(disk: lock list read length rename remove truncate sync_directory);

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        assert!(!self.meets(Fault::Create), "a storage with a bug");
        let call = self.on_create.lock().expect("no panic").take();
        call.into_iter().for_each(|call| call());
        Ok(Arc::new(WildFile(self.clone(), self.disk.create(name)?)))
    }
}

fn on(disk: &Wild) -> InventoryManager {
    let journal = JournalOptions::storage(disk.clone());
    let manager = threaded().journal(journal).build().expect("a journal");
    manager.add_stock(LAPTOPS, 1_000, "SUPPLIER").expect("room");
    manager.flush().wait().expect("a healthy disk");
    manager
}

#[test]
fn a_storage_that_panics_once_stops_the_engine_for_a_moment() {
    for fault in [Fault::Append, Fault::Sync, Fault::Unspeakable] {
        let disk = Wild::new();
        let manager = on(&disk);
        disk.set(fault);
        let buyers = manager.clone();
        within(SOON, move || {
            let sold = buyers.request().durability(Durability::Synced).sell(LAPTOPS, 1);
            if let Err(error) = sold {
                assert_ne!(stockade::Error::from(error).code(), "poisoned", "{fault:?}");
            }
        });
        wait_for(SOON, "well again", || manager.health() == Health::Ok);
        manager.request().durability(Durability::Synced).sell(LAPTOPS, 1).expect("well");
        let log = log_of(&manager);
        ledger::assert_legal(&log).assert_ends_as(&manager);
        assert!(manager.verify().expect("sound").is_sound(), "{fault:?}");
        let counts = crate::common::counts(&manager, LAPTOPS);
        assert!(manager.shutdown(SOON).is_clean());
        drop(manager);
        let again = threaded().journal(JournalOptions::storage(disk.disk.clone())).build();
        assert_eq!(crate::common::counts(&again.expect("a journal"), LAPTOPS), counts);
    }
}

#[test]
fn a_storage_whose_sync_blocks_keeps_no_buyer_and_shows_in_health() {
    let disk = Wild::new();
    let manager = on(&disk);
    disk.hold(true);
    manager.sell(LAPTOPS, 1).expect("stock");
    let _flush = manager.flush();
    wait_for(SOON, "degraded", || is_degraded(&manager, "storage"));
    let buyers = manager.clone();
    within(SOON, move || buyers.sell(LAPTOPS, 1).map(drop).expect("buyers go on"));
    disk.hold(false);
    wait_for(SOON, "well again", || manager.health() == Health::Ok);
}

#[test]
fn an_archive_that_panics_once_ends_no_auditor() {
    for fault in [Fault::Create, Fault::Append, Fault::Sync, Fault::Unspeakable] {
        let (disk, archive) = (SimulatedDisk::new(), Wild::new());
        archive.set(fault);
        let retention = JournalRetention::archive_on(archive.clone());
        let journal = JournalOptions::storage(disk).segment_bytes(2_000).retention(retention);
        let limits = small().audit_retained(10);
        let manager = threaded().limits(limits).journal(journal.checkpoint_every(1)).build();
        let manager = manager.expect("a new journal");
        let archived = || archive.disk.files().iter().any(|(name, _)| name.ends_with(".journal"));
        wait_for(SOON, "archived, and well", || {
            manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
            manager.flush().wait().expect("a healthy disk");
            archive.fault.lock().expect("no panic").is_none()
                && archived()
                && manager.health() == Health::Ok
        });
        assert!(manager.verify().expect("sound").is_sound(), "{fault:?}");
        assert!(manager.shutdown(SOON).is_clean());
    }
}

#[test]
fn a_backup_to_a_storage_that_panics_or_calls_back_is_an_error() {
    let disk = Wild::new();
    let manager = on(&disk);
    let copy = Wild::new();
    copy.set(Fault::Create);
    let failed = manager.backup_to(&copy);
    assert!(matches!(failed, Err(JournalError::Storage { .. })), "{failed:?}");

    let copy = Wild::new();
    let (tell, told) = channel();
    let engine = manager.clone();
    *copy.on_create.lock().expect("no panic") = Some(Box::new(move || {
        let _ = tell.send((
            engine.backup_to(&SimulatedDisk::new()).expect_err("one at a time").code(),
            engine.redact(|_| true).expect_err("one at a time").code(),
        ));
    }));
    let buyers = manager.clone();
    within(SOON, move || buyers.backup_to(&copy).map(drop).expect("an empty storage"));
    assert_eq!(told.recv_timeout(SOON), Ok(("journal_in_hand", "journal_in_hand")));
    manager.backup_to(&SimulatedDisk::new()).expect("an empty storage");
}

#[test]
fn a_predicate_that_calls_redact_or_backup_gets_an_error_and_hangs_nobody() {
    let disk = SimulatedDisk::new();
    let manager = threaded().journal(&disk).build().expect("a journal");
    manager.request().note("who", "M. Curie").add_stock(LAPTOPS, 9, "SUPPLIER").expect("room");
    let again = manager.clone();
    let (redacted, codes) = within(SOON, move || {
        let mut codes = Vec::new();
        let redacted = again.redact(|entry| {
            if codes.is_empty() {
                let nested: Result<_, RedactError> = again.redact(|_| true);
                codes.push(nested.expect_err("one at a time").code());
                let copied = again.backup_to(&SimulatedDisk::new());
                codes.push(copied.expect_err("one at a time").code());
                again.sell(LAPTOPS, 1).expect("other calls go on");
                again.flush().wait().expect("well");
                again.verify().expect("sound");
            }
            entry.note("who").is_some()
        });
        (redacted, codes)
    });
    assert_eq!(codes, ["journal_in_hand"; 2]);
    assert_eq!(redacted.expect("sound").records, 1);
    manager.backup_to(&SimulatedDisk::new()).expect("an empty storage");
}

#[test]
fn without_a_journal_a_predicate_may_redact() {
    let manager = threaded().build().expect("legal settings");
    manager.request().note("who", "M. Curie").add_stock(LAPTOPS, 9, "SUPPLIER").expect("room");
    within(SOON, move || {
        let redacted = manager.redact(|_| manager.redact(|_| true).expect("well").records < 9);
        assert_eq!(redacted.expect("well").records, 1);
    });
}

#[test]
fn a_predicate_that_panics_has_erased_nothing_and_locks_nothing() {
    let manager = threaded().journal(SimulatedDisk::new()).build().expect("a journal");
    manager.request().note("who", "M. Curie").add_stock(LAPTOPS, 9, "SUPPLIER").expect("room");
    let panics = || manager.redact(|_| panic!("a predicate with a bug"));
    assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
    let log = log_of(&manager);
    assert!(log.iter().any(|entry| entry.note("who").is_some()));
    let again = manager.clone();
    within(SOON, move || {
        assert_eq!(again.redact(|it| it.note("who").is_some()).expect("sound").records, 1);
        again.backup_to(&SimulatedDisk::new()).expect("an empty storage");
    });
}

#[test]
fn a_predicate_that_blocks_keeps_no_call_that_moves_stock() {
    let manager = threaded().journal(SimulatedDisk::new()).build().expect("a journal");
    manager.request().note("who", "M. Curie").add_stock(LAPTOPS, 9, "SUPPLIER").expect("room");
    let (release, released) = channel::<()>();
    let (begin, begun) = channel();
    let again = manager.clone();
    let redacts = thread::spawn(move || {
        again.redact(|_| {
            let _ = begin.send(());
            let _ = released.recv();
            false
        })
    });
    begun.recv_timeout(SOON).expect("asked");
    let buyers = manager.clone();
    within(SOON, move || {
        buyers.request().durability(Durability::Synced).sell(LAPTOPS, 1).expect("stock");
        assert_eq!(buyers.health(), Health::Ok);
    });
    drop(release);
    redacts.join().expect("no panic").expect("sound");
}

#[test]
fn a_listener_of_the_recovery_that_panics_leaves_the_journal_free() {
    let disk = SimulatedDisk::new();
    drop(threaded().journal(&disk).build().expect("a new journal"));
    let told = Arc::new(AtomicUsize::new(0));
    let panics = JournalOptions::from(&disk).recovery_progress(|_| panic!("a listener"));
    let builder = threaded().journal(panics);
    assert!(catch_unwind(AssertUnwindSafe(|| builder.build())).is_err());

    let (inside, heard) = (disk.clone(), Arc::clone(&told));
    let opens = JournalOptions::from(&disk).recovery_progress(move |_| {
        let second = threaded().journal(&inside).build();
        assert!(matches!(second, Err(BuildError::Journal(JournalError::Locked))));
        heard.fetch_add(1, Ordering::SeqCst);
    });
    let manager = within(SOON, move || threaded().journal(opens).build().expect("free"));
    assert!(told.load(Ordering::SeqCst) > 0);
    assert_eq!(manager.health(), Health::Ok);
}

#[test]
fn a_storage_may_read_the_engine() {
    let disk = Wild::new();
    let manager = on(&disk);
    let (engine, (tell, told)) = (manager.downgrade(), channel());
    let read = AtomicBool::new(false);
    let reads = move |engine: &WeakInventoryManager| {
        let Some(manager) = engine.upgrade() else { return };
        if !read.swap(true, Ordering::SeqCst) {
            let _ = tell.send((manager.available(LAPTOPS), manager.stats().unwritten));
        }
    };
    *disk.on_create.lock().expect("no panic") = Some(Box::new(move || reads(&engine)));
    // A redaction begins a new segment, and so the writer creates a file.
    within(SOON, move || manager.redact(|_| false).map(drop).expect("sound"));
    assert_eq!(told.recv_timeout(SOON).expect("created").0, Ok(1_000));
}

#[test]
fn a_function_that_a_reader_calls_may_panic_and_may_open_the_journal() {
    let disk = SimulatedDisk::new();
    let manager = threaded().journal(&disk).build().expect("a new journal");
    for _ in 0..10 {
        manager.add_stock(LAPTOPS, 9, "SUPPLIER").expect("room");
        manager.flush().wait().expect("well");
    }
    drop(manager);
    let filter = AuditFilter::new().limit(usize::MAX);
    let read = || JournalReader::on(disk.clone()).entries(&filter, |_| panic!("a bug"));
    assert!(catch_unwind(AssertUnwindSafe(read)).is_err());
    let mut opened = false;
    let read = JournalReader::on(disk.clone()).entries_while(&filter, |_| {
        opened = threaded().journal(&disk).build().is_ok();
        ControlFlow::Break(())
    });
    assert!(read.is_ok() && opened);

    let mut files = disk.files();
    let segment = files.iter_mut().find(|(name, _)| name.ends_with(".journal"));
    let bytes = &mut segment.expect("a segment").1;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let damaged = SimulatedDisk::with_files(files);
    let salvage = |seen: &mut dyn FnMut()| {
        JournalReader::on(damaged.clone()).salvage_on(SimulatedDisk::new(), |_| seen())
    };
    let panics = || salvage(&mut || panic!("a bug"));
    assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
    let mut lost = 0;
    salvage(&mut || lost += 1).expect("sound before the damage");
    assert!(lost > 0);
}
