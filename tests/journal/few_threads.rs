//! A machine that grants too few threads: an engine says so and can be built again, and a journal
//! is read all the same.

use std::time::Duration;

use stockade::testing::{SimulatedDisk, refuse_threads};
use stockade::{
    AuditFilter, BuildError, InventoryManager, JournalReader, JournalRetention, redact,
};

use crate::environment::{journal, limits, options};

/// What is read of a journal, as text.
fn read(disk: &SimulatedDisk) -> String {
    let reader = || JournalReader::on(disk.clone());
    let mut entries = 0;
    let listed = reader().entries(&AuditFilter::new(), |_| entries += 1);
    let read = (
        reader().verify(None),
        reader().verify_checksums(None),
        reader().stock(None),
        (listed, entries),
        redact(&disk.killed(), |entry| entry.note("customer").is_some()),
    );
    format!("{read:?}")
}

#[test]
fn a_journal_is_read_all_the_same_by_as_many_threads_as_there_are() {
    for keep in [JournalRetention::keep_all(), JournalRetention::remove()] {
        let disk = journal(&keep);
        let (expected, asked) = refuse_threads(0..0, || read(&disk));
        assert!(asked >= 4, "only {asked} threads were asked for");
        for refused in (0..asked).map(|one| one..one + 1).chain(std::iter::once(0..usize::MAX)) {
            let (found, _) = refuse_threads(refused.clone(), || read(&disk));
            assert_eq!(found, expected, "without threads {refused:?}");
        }
    }
}

/// A journal whose windows are hashed by several threads.
#[test]
fn long_journals_are_hashed_by_as_many_threads_as_there_are() {
    let disk = SimulatedDisk::new();
    let manager = limits(crate::state::engine_on(&disk)).build().expect("a new journal");
    for _ in 0..4 {
        let note = "a note".repeat(200_000);
        manager.request().note("n", &note).add_stock(("SF", "DESK"), 1, "SUPPLIER").expect("room");
        manager.flush().wait().expect("written");
    }
    drop(manager);
    let verify = || JournalReader::on(disk.clone()).verify_checksums(None);
    let (expected, asked) = refuse_threads(0..0, verify);
    // A machine of one core needs no pool.
    assert!(asked > 0 || std::thread::available_parallelism().is_ok_and(|it| it.get() == 1));
    let (found, _) = refuse_threads(0..usize::MAX, verify);
    assert_eq!(found, expected);
    assert!(found.is_ok());
}

#[test]
fn an_engine_without_a_thread_is_none_and_its_journal_can_be_opened_at_once() {
    for refused in 0.. {
        let disk = journal(&JournalRetention::keep_all());
        let build = || {
            // What was built is gone when `build` returns, and so is its lock.
            let journal = options(disk.clone()).wait_for_lock(Duration::ZERO);
            let builder = InventoryManager::builder().journal(journal);
            let builder = ["SF", "NYC", "LA"].iter().fold(builder, |it, name| it.warehouse(*name));
            limits(builder).build()
        };
        let (built, asked) = refuse_threads(refused..refused + 1, build);
        match built {
            Err(error) => {
                assert!(matches!(error, BuildError::Thread { .. }), "{refused}: {error:?}");
                assert!(error.is_retryable(), "{refused}: {error:?}");
                assert_eq!(error.code(), "no_thread");
            }
            Ok(manager) => {
                let _ = manager.shutdown(Duration::from_secs(5));
            }
        }
        let again = build().unwrap_or_else(|error| panic!("after {refused}: {error:?}"));
        again.add_stock(("SF", "LAPTOP"), 1, "SUPPLIER").expect("room");
        again.flush().wait().expect("written");
        let _ = again.shutdown(Duration::from_secs(5));
        assert!(JournalReader::on(disk.clone()).verify(None).is_ok(), "after {refused}");
        if asked <= refused {
            assert!(refused >= 6, "only {refused} threads were asked for");
            return;
        }
    }
}
