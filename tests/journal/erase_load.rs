//! Redaction under load.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use stockade::testing::SimulatedDisk;
use stockade::{
    AuditFilter, Health, InventoryManager, JournalOptions, JournalPosition, JournalReader,
    JournalRetention, Limits, Storage, StorageFile,
};

use crate::erase::work;
use crate::pass_on::pass_on;
use crate::redact::holds;
use crate::state::MINUTE;

const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");

/// Ends all other threads, even after a panic.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A buyer, who writes the name of these orders' owner into notes, until told to stop.
fn buy(manager: &InventoryManager, customers: &AtomicUsize, end: &AtomicBool) -> (usize, Duration) {
    let (mut bought, mut slowest) = (0, Duration::ZERO);
    while !end.load(Ordering::SeqCst) {
        let customer = format!("customer-{}-", customers.load(Ordering::SeqCst));
        let began = Instant::now();
        let request = manager.request().note("customer", customer.as_str());
        let hold = request.clone().reserve(LAPTOPS, 1, MINUTE).expect("stock");
        let _ = request.release(hold).expect("pending");
        let id = request.request_transfer("SF", "NYC", "LAPTOP", 1).expect("pending");
        manager.reject_transfer(id, &customer, "no room").expect("pending");
        slowest = slowest.max(began.elapsed());
        bought += 1;
        std::thread::sleep(Duration::from_millis(3));
    }
    (bought, slowest)
}

#[test]
fn under_load_each_call_erases_all_that_was_noted_before_it_and_harms_nobody() {
    let (disk, archive) = (SimulatedDisk::new(), SimulatedDisk::new());
    let builder = InventoryManager::builder().warehouse("SF").warehouse("NYC");
    let journal = JournalOptions::storage(disk.clone()).sync_interval(Duration::from_millis(1));
    let journal = journal.segment_bytes(20_000).checkpoint_every(1);
    let journal = journal.retention(JournalRetention::archive_on(archive.clone()));
    let limits = Limits::new().audit_retained(500).max_transfer_requests(1_000);
    let manager = builder.journal(journal).limits(limits).build().expect("a new journal");
    manager.add_stock(LAPTOPS, 1_000, "SUPPLIER").expect("room");
    let (customers, end) = (AtomicUsize::new(0), AtomicBool::new(false));
    let rounds = 12;
    std::thread::scope(|scope| {
        let buyers: Vec<_> =
            (0..3).map(|_| scope.spawn(|| buy(&manager, &customers, &end))).collect();
        let follower = scope.spawn(|| {
            let _ended = End(&end);
            let mut entries = manager.subscribe(JournalPosition::default()).expect("all is there");
            let mut last = 0;
            while !end.load(Ordering::SeqCst) {
                let deadline = Instant::now() + Duration::from_millis(20);
                while let Some(entry) = entries.wait_deadline(deadline).expect("sound") {
                    assert_eq!(entry.sequence, last + 1);
                    last = entry.sequence;
                }
            }
            last
        });
        let looker = scope.spawn(|| {
            let _ended = End(&end);
            let mut looks = 0;
            while !end.load(Ordering::SeqCst) {
                let mut journal = JournalReader::on(disk.clone()).archive_on(archive.clone());
                journal.verify(None).expect("sound beside it");
                let copy = SimulatedDisk::new();
                manager.backup_to(&copy).expect("a consistent copy");
                JournalReader::on(copy).verify(None).expect("sound");
                assert!(manager.verify().expect("sound").is_sound());
                looks += 1;
            }
            looks
        });
        let ended = End(&end);
        for round in 0..rounds {
            std::thread::sleep(Duration::from_millis(150));
            // From now on, nobody notes the former one; a call that has begun may still do so.
            let former = format!("customer-{round}-");
            customers.store(round + 1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(50));
            let is_former = |entry: &stockade::AuditEntry| {
                entry.metadata().iter().any(|(_, value)| *value == former)
            };
            let erased = manager.redact(is_former).expect("sound");
            assert!(erased.records > 0, "round {round}");
            let every = AuditFilter::new().limit(usize::MAX);
            let log = manager.audit_log().query(&every).entries;
            assert!(!log.iter().any(is_former), "round {round}: in the log");
            assert!(!holds(&disk, &former), "round {round}: in the journal");
            assert!(!holds(&archive, &former), "round {round}: in the archive");
        }
        drop(ended);
        for buyer in buyers {
            let (bought, slowest) = buyer.join().expect("no panic");
            assert!(bought > 100, "only {bought}");
            assert!(slowest < Duration::from_secs(5), "{slowest:?}");
        }
        assert!(follower.join().expect("no panic") > 0);
        assert!(looker.join().expect("no panic") > 2);
    });
    assert_eq!(manager.health(), Health::Ok);
    assert!(manager.shutdown(MINUTE).is_clean());
    for round in 0..rounds {
        // Nor does anything that was written later bring it back.
        let former = format!("customer-{round}-");
        assert!(!holds(&disk, &former) && !holds(&archive, &former), "round {round}");
    }
    let image = disk.crash(disk.steps(), |_| false);
    let old = archive.crash(archive.steps(), |_| false);
    let found = JournalReader::on(image).archive_on(old).verify(None).expect("sound");
    assert_eq!((found.oldest, found.closed), (1, true));
}

thread_local! {
    /// Makes this thread's reads small.
    static SIPS: Cell<bool> = const { Cell::new(false) };
    static PAUSED: Cell<bool> = const { Cell::new(false) };
}

/// A disk from which some threads read a file in many pieces.
#[derive(Clone, Default)]
struct Sipped(SimulatedDisk, Arc<AtomicBool>);

impl Sipped {
    /// In the middle of a file, lets others change it, if they are allowed to.
    fn pause(&self) {
        let deadline = Instant::now() + Duration::from_millis(300);
        while !self.1.load(Ordering::SeqCst) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Storage for Sipped {
    pass_on!(0: lock list create rename remove sync_directory);

    fn read(&self, name: &str, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        if !SIPS.get() {
            return self.0.read(name, offset, length);
        }
        if offset > 600 && !PAUSED.replace(true) {
            self.pause();
        }
        self.0.read(name, offset, length.min(300))
    }
}

#[test]
fn a_backup_beside_it_is_a_sound_copy() {
    let disk = Sipped::default();
    let builder = InventoryManager::builder().warehouse("SF").warehouse("NYC").without_threads();
    let builder = builder.journal(JournalOptions::storage(disk.clone()).segment_bytes(6_000));
    let manager = builder.build().expect("a new journal");
    work(&manager, 20);
    let copy = SimulatedDisk::new();
    std::thread::scope(|scope| {
        let backup = scope.spawn(|| {
            SIPS.set(true);
            manager.backup_to(&copy)
        });
        // It is in the midst of the first file.
        while copy.files().iter().all(|(_, bytes)| bytes.len() < 600) {
            std::thread::sleep(Duration::from_micros(100));
        }
        let redacted = manager.redact(|_| true).expect("sound");
        assert!(redacted.records >= 80, "{redacted:?}");
        disk.1.store(true, Ordering::SeqCst);
        let head = backup.join().expect("no panic").expect("a consistent copy");
        let found = JournalReader::on(copy.clone()).verify(None).expect("sound");
        assert_eq!(found.head, head);
    });
    assert!(!holds(&disk.0, "M. Curie"));
}
