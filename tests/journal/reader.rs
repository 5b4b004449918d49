//! Reads a journal without an engine, and beside a running one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stockade::testing::SimulatedDisk;
use stockade::{
    AdjustmentType, AuditFilter, HeadHash, InventoryManager, JournalError, JournalReader,
    ManualClock, Timestamp,
};

use crate::state::{MINUTE, PRODUCTS, Random, WAREHOUSES, engine_on, on, seed};

/// A day in a shop. The clock advances by a second with each step.
fn day(disk: &SimulatedDisk, steps: usize) -> InventoryManager {
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000_000)));
    let builder = engine_on(on(disk).segment_bytes(3_000)).clock(Arc::clone(&clock));
    let manager = builder.build().expect("a new journal");
    let mut random = Random::new(seed());
    for step in 0..steps {
        let place = (WAREHOUSES[random.below(3)], PRODUCTS[random.below(4)]);
        match random.below(5) {
            0 | 1 => drop(manager.add_stock(place, 9, "SUPPLIER")),
            2 => drop(manager.request().note("order", "A-1").sell(place, 2)),
            3 => drop(manager.reserve(place, 1, 600 * MINUTE)),
            _ => drop(manager.transfer(WAREHOUSES[0], place.0, place.1, 1)),
        }
        clock.advance(Duration::from_secs(1));
        if step % 10 == 0 {
            manager.flush().wait().expect("written");
        }
    }
    manager.flush().wait().expect("written");
    manager
}

fn stock(manager: &InventoryManager) -> Vec<(String, String, u32, u32, u32)> {
    let mut rows = Vec::new();
    for place in WAREHOUSES.iter().flat_map(|w| PRODUCTS.iter().map(move |p| (*w, *p))) {
        if let Ok(level) = manager.level(place) {
            let counts = manager.counts(level).expect("known");
            let (warehouse, product) = (place.0.to_owned(), place.1.to_owned());
            let row = (warehouse, product, counts.available, counts.reserved, counts.sold);
            rows.push((level, row));
        }
    }
    rows.sort_by_key(|(level, _)| *level);
    rows.into_iter().map(|(_, row)| row).collect()
}

fn rows(stock: stockade::JournalStock) -> Vec<(String, String, u32, u32, u32)> {
    let row = |row: stockade::StockRow| {
        (row.warehouse.to_string(), row.product.to_string(), row.available, row.reserved, row.sold)
    };
    stock.rows.into_iter().map(row).collect()
}

#[test]
fn the_stock_of_a_journal_is_its_engines() {
    let disk = SimulatedDisk::new();
    let manager = day(&disk, 200);
    let mut reader = JournalReader::on(disk.clone());
    let found = reader.stock(None).expect("sound");
    assert_eq!(found.sequence, manager.audit_log().newest_sequence());
    assert_eq!(rows(found), stock(&manager));
}

#[test]
fn the_stock_of_an_earlier_time_is_what_it_was_then() {
    let disk = SimulatedDisk::new();
    let mut seen = Vec::new();
    for steps in [0, 30, 77] {
        let disk = SimulatedDisk::new();
        let manager = day(&disk, steps);
        seen.push((1_000_000 + 1_000 * steps as u64, stock(&manager)));
    }
    let manager = day(&disk, 120);
    drop(manager);
    let mut reader = JournalReader::on(disk);
    for (at, then) in seen {
        let until = Timestamp::from_millis(at - 1);
        assert_eq!(rows(reader.stock(Some(until)).expect("sound")), then, "at {at}");
    }
}

#[test]
fn the_entries_of_a_journal_are_those_of_the_log() {
    let disk = SimulatedDisk::new();
    let manager = day(&disk, 200);
    let mut reader = JournalReader::on(disk.clone());
    let filters = [
        AuditFilter::new().limit(usize::MAX),
        AuditFilter::new().limit(7),
        AuditFilter::new().product("LAPTOP").after(40).limit(20),
        AuditFilter::new().warehouse("NYC").entry_type(AdjustmentType::Sold).limit(usize::MAX),
        AuditFilter::new().since(Timestamp::from_millis(1_050_000)).limit(usize::MAX),
        AuditFilter::new().product("NO SUCH THING").limit(usize::MAX),
    ];
    for filter in filters {
        let mut read = Vec::new();
        reader.entries(&filter, |entry| read.push(entry)).expect("sound");
        assert!(read == manager.audit_log().query(&filter).entries, "{filter:?}");
    }
}

#[test]
fn the_head_of_an_empty_journal_is_that_of_no_other() {
    let disk = SimulatedDisk::new();
    let manager = engine_on(&disk).build().expect("a new journal");
    let head = manager.journal_head().expect("a journal");
    assert_eq!((head.sequence, head.hash), (0, [0; 32]));
    let mut reader = JournalReader::on(disk.clone());
    let empty = reader.verify(Some(HeadHash(head.hash)));
    assert_eq!(empty.expect("sound").expected_at, Some(0));
    manager.flush().wait().expect("written");
    let refused = reader.verify(Some(HeadHash(head.hash))).expect_err("it holds of any journal");
    assert!(matches!(refused.error, JournalError::OtherHead { .. }), "{refused}");
}

#[test]
fn a_verification_says_what_it_found() {
    let disk = SimulatedDisk::new();
    let manager = day(&disk, 60);
    let noted = HeadHash(manager.journal_head().expect("a journal").hash);
    manager.add_stock(("SF", "LAPTOP"), 1, "SUPPLIER").expect("room");
    manager.flush().wait().expect("written");
    let head = manager.journal_head().expect("a journal");
    assert_eq!(head.sequence, manager.audit_log().newest_sequence());
    let mut reader = JournalReader::on(disk.killed());
    let open = reader.verify(None).expect("sound");
    assert_eq!((open.closed, open.head, &open.torn), (false, head, &None));
    assert!(open.segments > 1 && open.batches > 1, "{open:?}");
    drop(manager);

    let mut reader = JournalReader::on(disk.clone());
    let closed = reader.verify(Some(noted)).expect("it was the head once");
    assert!(closed.closed && closed.entries > head.sequence);
    reader.verify(Some(HeadHash(head.hash))).expect("so was this");
    for other in [[7; 32], [0; 32]] {
        let refused = reader.verify(Some(HeadHash(other))).expect_err("never");
        assert!(matches!(refused.error, JournalError::OtherHead { .. }), "{refused}");
    }
    // Reading writes nothing.
    assert_eq!(
        disk.steps(),
        JournalReader::on(disk.clone()).verify(None).map_or(0, |_| disk.steps())
    );
}

#[test]
fn where_there_is_no_journal_nothing_passes_for_sound() {
    let mut reader = JournalReader::on(SimulatedDisk::new());
    let verified = reader.verify(None).map_err(JournalError::from);
    assert_eq!(verified, Err(JournalError::NoJournal));
    assert_eq!(reader.stock(None), Err(JournalError::NoJournal));
}

#[test]
fn a_torn_tail_is_told_and_is_no_error() {
    let disk = SimulatedDisk::new();
    let manager = day(&disk, 60);
    manager
        .sell(("SF", "LAPTOP"), 1)
        .or_else(|_| manager.sell(("NYC", "LAPTOP"), 1))
        .expect("stock");
    manager.run_until_idle();
    let mut files = disk.files();
    let newest = files.iter_mut().rfind(|(name, _)| name.ends_with(".journal")).expect("one");
    newest.1.pop();
    let verified = JournalReader::on(SimulatedDisk::with_files(files)).verify(None).expect("sound");
    assert!(verified.torn.is_some() && !verified.closed, "{verified:?}");
}

#[test]
fn a_journal_can_be_read_while_it_is_written() {
    let disk = SimulatedDisk::new();
    let journal = on(&disk).segment_bytes(50_000).sync_interval(Duration::from_millis(1));
    let builder = InventoryManager::builder().warehouse("SF").journal(journal);
    let manager = builder.build().expect("a new journal");
    manager.add_stock(("SF", "LAPTOP"), 1 << 30, "SUPPLIER").expect("room");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let hold = manager.reserve(("SF", "LAPTOP"), 1, MINUTE).expect("stock");
                manager.confirm(hold).expect("pending");
                std::thread::yield_now();
            }
        });
        let mut before = 0;
        for _ in 0..30 {
            let verified = JournalReader::on(disk.clone()).verify(None).expect("sound");
            assert!(verified.entries >= before);
            before = verified.entries;
        }
        done.store(true, Ordering::Relaxed);
    });
}
