//! Hostile journals: every reader reads the bytes or returns a typed error, and all readers agree.
//! Both fuzz targets end here.

use std::sync::Arc;
use std::time::Duration;

use stockade::testing::SimulatedDisk;
use stockade::{
    AuditFilter, BuildError, InventoryManager, JournalError, JournalPosition, JournalReader,
    JournalStock, Limits, ManualClock, Timestamp, VerifyReport, redact,
};

use super::seal::{File, files_of, seal};
use super::story;

/// Fuzz target: files from arbitrary bytes, with valid checksums where the input asks for them.
pub(crate) fn bytes(input: &[u8]) {
    let mut files = files_of(input);
    seal(&mut files);
    check(&files);
}

/// Fuzz target: a journal that a grammar generates.
pub(crate) fn story(input: &[u8]) {
    let mut files = story::journal(input);
    seal(&mut files);
    check(&files);
}

fn disk_of(files: &[File]) -> SimulatedDisk {
    SimulatedDisk::with_files(files.iter().map(|file| (file.name(), file.bytes.clone())))
}

fn check(files: &[File]) {
    let disk = disk_of(files);
    let verified = read(&disk);
    erase(&disk_of(files), &verified);
    open(&disk, &verified);
}

/// Reads the journal in every way that needs no engine.
fn read(disk: &SimulatedDisk) -> Result<VerifyReport, JournalError> {
    let mut reader = JournalReader::on(disk.clone());
    let verified = reader.verify(None).map_err(JournalError::from);
    let checksums = reader.verify_checksums(None);
    let stock = reader.stock(None);
    let early = reader.stock(Some(Timestamp::from_millis(story::NOW)));
    let mut count = 0;
    let entries = reader.entries(&AuditFilter::new().limit(usize::MAX), |_| count += 1);
    match &verified {
        Ok(found) => {
            let checksums = checksums.expect("a sound journal has sound checksums");
            assert_eq!((checksums.head, checksums.closed), (found.head, found.closed));
            assert!(stock.is_ok() && early.is_ok() && entries.is_ok(), "readers disagree");
            assert_eq!(count, found.entries);
            reader.verify(Some(stockade::HeadHash(found.head.hash))).expect("its own head");
        }
        Err(error) => {
            assert!(!matches!(error, JournalError::OtherHead { .. } | JournalError::Locked));
            assert!(stock.is_err() && entries.is_err(), "{error}, for some");
        }
    }
    verified
}

/// Erases all notes.
fn erase(disk: &SimulatedDisk, verified: &Result<VerifyReport, JournalError>) {
    let before = disk.files();
    match (redact(disk, |_| true), verified) {
        (Ok(_), Ok(found)) => {
            let after = JournalReader::on(disk.clone()).verify(None).expect("it was sound");
            assert_eq!((after.head, after.closed), (found.head, found.closed));
        }
        // An empty directory is none that can be verified, and has nothing to erase.
        (Ok(redacted), Err(JournalError::NoJournal)) => assert_eq!(redacted.records, 0),
        (Err(_), Ok(found)) => assert!(found.torn.is_some(), "a sound journal is refused"),
        (Err(_), Err(_)) => assert_eq!(disk.files(), before, "a damaged journal was changed"),
        (Ok(_), Err(error)) => panic!("erased from what is not sound: {error}"),
    }
}

fn engine_on(disk: &SimulatedDisk) -> Result<(InventoryManager, Arc<ManualClock>), BuildError> {
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(story::NOW + 30_000)));
    let builder = InventoryManager::builder().journal(disk.clone()).without_threads();
    let builder = builder.warehouse("SF").warehouse("NYC").warehouse("LA");
    let builder = builder
        .limits(Limits::new().max_reservations(1_024).audit_queue(64))
        .clock(Arc::clone(&clock));
    Ok((builder.build()?, clock))
}

fn open(disk: &SimulatedDisk, verified: &Result<VerifyReport, JournalError>) {
    let before = disk.files();
    let stock = JournalReader::on(disk.clone()).stock(None);
    let (manager, clock) = match (engine_on(disk), verified) {
        (Ok(engine), Ok(_) | Err(JournalError::NoJournal)) => engine,
        (Ok(_), Err(error)) => panic!("opened what is not sound: {error}"),
        (Err(error), _) => {
            let is_refusal = matches!(
                &error,
                BuildError::Journal(
                    JournalError::MissingWarehouse { .. } | JournalError::TooMany { .. }
                )
            );
            match verified {
                Ok(found) => assert!(is_refusal, "{error}: {found:?}"),
                Err(unsound) => assert_eq!(error, BuildError::Journal(unsound.clone())),
            }
            assert_eq!(disk.files(), before, "a refused journal was written to");
            return;
        }
    };
    if let Ok(stock) = &stock {
        compare(&manager, stock);
    }
    follow(&manager);
    work(&manager, &clock, stock.ok());
    drop(manager);
    let found = JournalReader::on(disk.clone()).verify(None).expect("an engine wrote it");
    assert!(found.closed && found.torn.is_none());
    let stock = JournalReader::on(disk.clone()).stock(None).expect("sound");
    let (again, _) = engine_on(disk).expect("an engine wrote it");
    compare(&again, &stock);
}

/// The engine has what the journal adds up to, and no unit is promised twice.
fn compare(manager: &InventoryManager, stock: &JournalStock) {
    for row in &stock.rows {
        let place = (&*row.warehouse, &*row.product);
        let live = manager.counts(place).expect("known");
        let counts = (live.available, live.reserved, live.sold);
        assert_eq!((row.available, row.reserved, row.sold), counts, "{place:?}");
        let page = manager.reservations(place, None, usize::MAX).expect("a level");
        let lines = page.reservations.iter().flat_map(|it| &it.lines);
        let own = lines.filter(|it| (&*it.warehouse, &*it.product) == place);
        let by_holds: u64 = own.map(|line| u64::from(line.held)).sum();
        let requests = manager.transfer_requests();
        let own = requests.iter().filter(|it| (&*it.from, &*it.product) == place && it.holds_units);
        let by_requests: u64 = own.map(|it| u64::from(it.quantity)).sum();
        assert_eq!(u64::from(live.held()), by_holds + by_requests, "held in {place:?}");
    }
    let sound = manager.verify().expect("it was read a moment ago");
    assert!(sound.is_sound(), "{sound:?}");
}

/// A subscription returns every entry, in order.
fn follow(manager: &InventoryManager) {
    let mut subscription = manager.subscribe(JournalPosition::default()).expect("a beginning");
    let mut newest = 0;
    while let Some(entry) = subscription.try_next().expect("it was read a moment ago") {
        assert_eq!(entry.sequence, newest + 1);
        newest = entry.sequence;
    }
    assert_eq!(newest, manager.journal_head().expect("a journal").sequence);
}

/// Resumes the journal: makes and ends a hold in every level, and expires every overdue hold.
fn work(manager: &InventoryManager, clock: &ManualClock, stock: Option<JournalStock>) {
    const MINUTE: Duration = Duration::from_secs(60);
    for row in stock.into_iter().flat_map(|stock| stock.rows) {
        let place = (&*row.warehouse, &*row.product);
        drop(manager.add_stock(place, 2, "SUPPLIER"));
        if let Ok(id) = manager.reserve(place, 1, MINUTE) {
            manager.confirm(id).expect("it was made a moment ago");
        }
        for reservation in manager.reservations(place, None, 8).expect("a level").reservations {
            drop(manager.confirm(reservation.id));
        }
        drop(manager.ship(place, 1));
        drop(manager.request_transfer("SF", "LA", &*row.product, 1));
        drop(manager.transfer("SF", "NYC", &*row.product, 1));
    }
    for request in manager.transfer_requests() {
        drop(manager.approve_transfer(request.id, "CLERK"));
    }
    clock.advance(24 * 60 * MINUTE);
    manager.run_until_idle();
    manager.flush().wait().expect("a healthy disk");
    assert!(manager.verify().expect("sound").is_sound());
}
