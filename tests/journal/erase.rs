//! Redaction by a running engine: notes are erased, and nothing else changes.

use std::sync::atomic::Ordering;
use std::time::Duration;

use stockade::testing::SimulatedDisk;
use stockade::{
    AuditEntry, AuditFilter, FlushError, HeadHash, Health, InventoryManager, JournalError,
    JournalOptions, JournalPosition, JournalReader, JournalRetention, Limits, RedactError, Storage,
};

use crate::redact::{give_up_a_note, hers, holds};
use crate::state::{MINUTE, check_laws, counts, engine_on, on, pending, small};
use crate::watched::Watched;

const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");

/// A sale to a customer, and a transfer that the same person decides on.
fn sell_and_decide(manager: &InventoryManager, customer: &str) {
    manager.request().note("customer", customer).sell(LAPTOPS, 1).expect("stock");
    let id = manager.request_transfer("SF", "NYC", "LAPTOP", 1).expect("pending");
    manager.reject_transfer(id, customer, "no room").expect("pending");
    manager.flush().wait().expect("on the disk");
    assert!(manager.verify().expect("sound").is_sound());
}

/// Sales and decisions of two people, in many segments.
pub(crate) fn work(manager: &InventoryManager, rounds: usize) {
    let _ = manager.add_stock(LAPTOPS, 1_000, "SUPPLIER");
    for customer in ["M. Curie", "L. Meitner"].repeat(rounds) {
        sell_and_decide(manager, customer);
    }
}

fn entries(manager: &InventoryManager) -> Vec<AuditEntry> {
    manager.audit_log().query(&AuditFilter::new().limit(usize::MAX)).entries
}

/// Whether any query of an engine shows the person's name.
fn shows(manager: &InventoryManager) -> bool {
    let requests = (1..1_000).map_while(|id| manager.transfer_request(id.into()).ok());
    let decisions = requests.filter_map(|request| request.decision);
    let text = format!("{:?} {:?}", entries(manager), decisions.collect::<Vec<_>>());
    text.contains("M. Curie")
}

fn reader(disk: &SimulatedDisk, archive: Option<&SimulatedDisk>) -> JournalReader {
    let reader = JournalReader::on(disk.clone());
    match archive {
        Some(archive) => reader.archive_on(archive.clone()),
        None => reader,
    }
}

#[test]
fn what_a_running_engine_erases_is_gone_and_all_else_is_as_it_was() {
    let disk = SimulatedDisk::new();
    let open = |disk: &SimulatedDisk| {
        let builder = engine_on(on(disk).segment_bytes(900).checkpoint_every(1))
            .limits(small().audit_retained(60));
        builder.build().expect("sound")
    };
    let manager = open(&disk);
    work(&manager, 8);
    // A tail that is given up bears such notes, and so does what was never finished.
    give_up_a_note(&manager, &disk);
    let left = disk.create("0000000003.journal.new").expect("a file");
    left.append(b"M. Curie").and_then(|()| left.sync()).expect("room");
    // So do batches that nobody has asked the disk for yet.
    manager.request().note("customer", "M. Curie").sell(LAPTOPS, 1).expect("stock");
    manager.run_until_idle();
    assert!(holds(&disk, "M. Curie") && shows(&manager));
    let before = (counts(&manager), pending(&manager), manager.audit_log().newest_sequence());

    let redacted = manager.redact(hers).expect("sound");
    assert_eq!(redacted.records, 18);
    assert!(!holds(&disk, "M. Curie") && !shows(&manager), "it is still there");
    assert!(holds(&disk, "L. Meitner") && holds(&disk, "SUPPLIER"));
    let after = (counts(&manager), pending(&manager), manager.audit_log().newest_sequence());
    assert_eq!(after, before);
    let head = manager.journal_head().expect("a journal");
    assert_eq!(head.sequence, before.2, "nothing was recorded for it");
    let found = reader(&disk, None).verify(Some(HeadHash(head.hash))).expect("sound");
    assert_eq!((found.head, found.erased, found.given_up), (head, 18, 0));
    // Others' decisions stay.
    let decision = manager.transfer_request(2.into()).expect("decided").decision.expect("decided");
    assert_eq!((&*decision.by, decision.reason.as_deref()), ("L. Meitner", Some("no room")));
    // Again: there is nothing left to do, not even a new segment.
    let files = disk.files().len();
    let again = manager.redact(hers).map(|it| (it.records, it.segments));
    assert_eq!((again, disk.files().len()), (Ok((0, 0)), files));

    // The engine goes on, with checkpoints that say what the segments do.
    let shown = entries(&manager);
    work(&manager, 4);
    assert!(shows(&manager), "what came after the call");
    assert_eq!(manager.health(), Health::Ok);
    assert!(reader(&disk, None).verify(None).expect("sound").checkpoints > 0);
    assert_eq!(manager.redact(hers).map(|it| it.records), Ok(8));
    // It is on the disk, not only in a cache; and what comes back is what was shown.
    std::mem::forget(manager);
    let image = disk.crash(disk.steps(), |_| false);
    let again = open(&image);
    check_laws(&again);
    assert!(!shows(&again) && !holds(&image, "M. Curie"));
    let pairs = |entry: &AuditEntry| {
        let mut pairs = entry.metadata().to_vec();
        pairs.sort();
        (entry.sequence, pairs)
    };
    let oldest = again.audit_log().evicted();
    let common = shown.iter().filter(|entry| entry.sequence > oldest).map(pairs);
    assert!(common.eq(entries(&again).iter().map(pairs).take_while(|it| it.0 <= before.2)));
}

/// An engine on watched disks, whose old segments are trimmed.
fn short(storage: impl Storage, keep: JournalRetention) -> InventoryManager {
    let journal = JournalOptions::storage(storage).segment_bytes(900).checkpoint_every(1);
    let builder = engine_on(journal.retention(keep)).limits(small().audit_retained(8));
    builder.build().unwrap_or_else(|error| panic!("{error}"))
}

/// Checks that nothing of the person is left, and that the engine, its journal and its archive
/// agree.
fn check_gone(
    manager: &InventoryManager,
    disk: &SimulatedDisk,
    archive: Option<&SimulatedDisk>,
    context: &str,
) {
    assert!(!holds(disk, "M. Curie") && !shows(manager), "{context}");
    if let Some(archive) = archive {
        assert!(!holds(archive, "M. Curie"), "{context}: in the archive");
        let found = reader(disk, Some(archive)).verify(None);
        let found = found.unwrap_or_else(|error| panic!("{context}: {error}"));
        assert_eq!(found.oldest, 1, "{context}");
    }
    let found = reader(disk, None).verify(None);
    assert!(found.is_ok(), "{context}: {found:?}");
    assert!(manager.verify().expect(context).is_sound(), "{context}");
}

#[test]
fn what_a_running_engine_erases_is_gone_from_its_archive_and_its_checkpoints() {
    let (disk, archive) = (SimulatedDisk::new(), SimulatedDisk::new());
    let keep = JournalRetention::archive_on(archive.clone());
    let manager = short(disk.clone(), keep.clone());
    work(&manager, 15);
    assert!(holds(&disk, "M. Curie") && holds(&archive, "M. Curie"));
    let head = manager.journal_head().expect("a journal").hash;
    let redacted = manager.redact(hers).expect("sound");
    assert_eq!(redacted.records, 30);
    check_gone(&manager, &disk, Some(&archive), "at once");
    assert!(holds(&archive, "L. Meitner") && holds(&disk, "L. Meitner"));
    let found = reader(&disk, Some(&archive)).verify(Some(HeadHash(head))).expect("sound");
    assert_eq!(found.erased, 30);
    // What comes after is checkpointed and archived with the others, and brings nothing back.
    (0..10).for_each(|_| sell_and_decide(&manager, "L. Meitner"));
    check_gone(&manager, &disk, Some(&archive), "later");
    let found = reader(&disk, Some(&archive)).verify(None).expect("sound");
    assert_eq!((found.erased, found.oldest), (30, 1));
    assert_eq!(manager.health(), Health::Ok);
    drop(manager);
    // An engine that no longer knows of the archive can't say that all is gone.
    let manager = short(disk.clone(), JournalRetention::keep_all());
    let refused = manager.redact(hers).expect_err("the archive would keep it");
    let RedactError::Journal(JournalError::Trimmed { .. }) = refused else { panic!("{refused}") };
    drop(manager);
    // Nor does it touch what another journal has archived.
    let other = SimulatedDisk::new();
    let manager = short(other.clone(), JournalRetention::keep_all());
    work(&manager, 15);
    drop(manager);
    let (manager, before) = (short(other, keep), archive.files());
    let refused = manager.redact(hers).expect_err("another journal's");
    let RedactError::Journal(JournalError::OtherJournal { .. }) = refused else {
        panic!("{refused}")
    };
    assert_eq!(archive.files(), before);
}

#[test]
fn of_a_decision_whose_segments_were_removed_no_engine_keeps_who_made_it() {
    let disk = SimulatedDisk::new();
    let manager = short(disk.clone(), JournalRetention::remove());
    work(&manager, 15);
    assert!(reader(&disk, None).oldest_entry().expect("sound") > 1);
    manager.redact(hers).expect("sound");
    check_gone(&manager, &disk, None, "at once");
    work(&manager, 5);
    manager.redact(hers).expect("sound");
    check_gone(&manager, &disk, None, "later");
    assert_eq!(manager.health(), Health::Ok);
    drop(manager);
    check_gone(&short(disk.clone(), JournalRetention::remove()), &disk, None, "again");
}

#[test]
fn a_power_cut_at_any_moment_leaves_a_sound_journal_that_another_call_finishes() {
    let (disk, archive) = (SimulatedDisk::new(), SimulatedDisk::new());
    let (watched, moments) = Watched::all(&[disk.clone(), archive.clone()]);
    let keep = JournalRetention::archive_on(watched[1].clone());
    let manager = short(watched[0].clone(), keep);
    work(&manager, 10);
    manager.request().note("customer", "M. Curie").sell(LAPTOPS, 1).expect("stock");
    disk.fail_appends(true);
    manager.run_until_idle();
    disk.fail_appends(false);
    manager.run_until_idle();
    manager.request().note("customer", "M. Curie").sell(LAPTOPS, 1).expect("stock");
    manager.flush().wait().expect("on the disk");
    let acknowledged = manager.audit_log().newest_sequence();
    let begun = moments.lock().expect("no panic").len();
    assert_eq!(manager.redact(hers).map(|it| it.records), Ok(22));
    // Its memory is of no use to those that come after.
    std::mem::forget(manager);
    assert!(!watched.iter().any(|it| it.trespassed.load(Ordering::SeqCst)));
    let moments = moments.lock().expect("no panic").split_off(begun);
    let mut half_done = 0;
    for (at, kind) in moments.iter().flat_map(|at| (0..4).map(move |kind| (at, kind))) {
        let context = format!("{at:?}, {kind}");
        let crash = |disk: &SimulatedDisk, step: usize, some: bool| {
            disk.crash(step, |piece| some && (kind != 2 || piece % 2 == 1))
        };
        let journal = crash(&disk, at[0], kind > 0);
        let old = crash(&archive, at[1], kind > 1);
        for archive in [None, Some(&old)] {
            let found = reader(&journal, archive).verify(None);
            let found = found.unwrap_or_else(|error| panic!("{context}: {error}"));
            assert!(found.entries >= acknowledged, "{context}");
            half_done += usize::from((1..22).contains(&found.erased));
        }
        let manager = short(journal.clone(), JournalRetention::archive_on(old.clone()));
        assert_eq!(manager.sold(LAPTOPS).expect("known"), 22, "{context}");
        let found = manager.redact(hers);
        assert!(found.is_ok(), "{context}: {found:?}");
        check_gone(&manager, &journal, Some(&old), &context);
        // A checkpoint of what it remembers says what the segments do.
        work(&manager, 1);
        manager.redact(hers).expect(&context);
        check_gone(&manager, &journal, Some(&old), &context);
    }
    assert!(half_done > 20, "only {half_done} images were in the midst of it");
}

#[test]
fn no_file_is_replaced_that_is_still_to_be_synced() {
    let name = format!("stockade-erase-{}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    let builder = InventoryManager::builder().warehouse("SF").warehouse("NYC");
    let journal = JournalOptions::directory(&directory).sync_interval(Duration::from_secs(3_600));
    let manager = builder.journal(journal.least_free_space(0)).build().expect("a new journal");
    for _ in 0..5 {
        work(&manager, 2);
        assert_eq!(manager.redact(hers).map(|it| it.records), Ok(4));
        work(&manager, 1);
        manager.flush().wait().expect("the disk is as it was");
        assert_eq!(manager.redact(hers).map(|it| it.records), Ok(2));
        assert_eq!(manager.health(), Health::Ok);
    }
    drop(manager);
    let found = JournalReader::new(&directory).verify(None).expect("sound");
    assert_eq!((found.erased, found.closed, found.given_up), (30, true, 0));
    std::fs::remove_dir_all(&directory).expect("a directory");
}

#[test]
fn a_subscriber_hears_nothing_any_more_of_what_it_had_read_ahead() {
    let disk = SimulatedDisk::new();
    let manager = engine_on(on(&disk).segment_bytes(3_000)).build().expect("a new journal");
    work(&manager, 20);
    let mut entries = manager.subscribe(JournalPosition::default()).expect("all is there");
    let mut last = 0;
    for _ in 0..20 {
        last = entries.try_next().expect("sound").expect("an entry").sequence;
    }
    manager.redact(hers).expect("sound");
    work(&manager, 1);
    let newest = manager.audit_log().newest_sequence();
    while let Some(entry) = entries.try_next().expect("sound") {
        assert_eq!(entry.sequence, last + 1);
        last = entry.sequence;
        assert!(!hers(&entry) || last > newest - 10, "{entry:?}");
    }
    assert_eq!(last, newest);
}

#[test]
fn without_a_journal_notes_are_erased_in_memory() {
    let builder = InventoryManager::builder().warehouse("SF").warehouse("NYC").without_threads();
    let manager = builder.limits(Limits::new().audit_retained(2_000)).build().expect("an engine");
    manager.add_stock(LAPTOPS, 1_000, "SUPPLIER").expect("room");
    let sell = |customer| {
        manager.request().note("customer", customer).sell(LAPTOPS, 1).expect("stock");
        let id = manager.request_transfer("SF", "NYC", "LAPTOP", 1).expect("pending");
        manager.reject_transfer(id, customer, "no room").expect("pending");
    };
    ["M. Curie", "L. Meitner"].repeat(10).into_iter().for_each(sell);
    manager.flush().wait().expect("written");
    let (before, shown) = (counts_of(&manager), entries(&manager));
    let query = std::thread::scope(|scope| scope.spawn(|| entries(&manager)).join());
    assert_eq!(query.expect("no panic"), shown);
    let redacted = manager.redact(hers).expect("it runs");
    assert_eq!((redacted.records, redacted.segments), (20, 0));
    assert!(!shows(&manager));
    let bare = |entry: &AuditEntry| (entry.sequence, entry.entry_type, entry.quantity, entry.at);
    assert!(entries(&manager).iter().map(bare).eq(shown.iter().map(bare)));
    let meitner = |entry: &&AuditEntry| entry.note("customer") == Some("L. Meitner");
    assert_eq!(entries(&manager).iter().filter(meitner).count(), 20);
    let by = |id: u64| manager.transfer_request(id.into()).expect("decided").decision;
    let texts = |id| by(id).map(|it| (it.by.to_string(), it.reason.is_some()));
    assert_eq!(texts(1), Some((String::new(), false)));
    assert_eq!(texts(2), Some(("L. Meitner".to_owned(), true)));
    assert_eq!(counts_of(&manager), before);
    assert_eq!(manager.redact(hers).map(|it| it.records), Ok(0));
    // A decision of which the log tells no more.
    sell("M. Curie");
    for _ in 0..3_000 {
        manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
    }
    manager.redact(hers).expect("it runs");
    assert!(!shows(&manager));
}

fn counts_of(manager: &InventoryManager) -> stockade::Counts {
    manager.counts(LAPTOPS).expect("known")
}

#[test]
fn an_engine_that_can_not_erase_says_why() {
    let disk = SimulatedDisk::new();
    let manager = engine_on(&disk).build().expect("a new journal");
    work(&manager, 2);
    disk.fail_fsync(true);
    manager.request().note("customer", "M. Curie").sell(LAPTOPS, 1).expect("stock");
    let refused = manager.redact(hers).expect_err("the disk fails");
    assert!(matches!(refused, RedactError::Unwritten(FlushError::Stopped { .. })), "{refused:?}");
    assert!(refused.is_retryable());
    disk.fail_fsync(false);
    manager.run_until_idle();
    // A disk that fails while files are written anew.
    let refused = manager.redact(|entry| {
        disk.fail_appends(true);
        hers(entry)
    });
    let refused = refused.expect_err("the disk fails");
    assert!(matches!(refused, RedactError::Journal(JournalError::Storage { .. })), "{refused:?}");
    assert!(refused.is_retryable() && shows(&manager));
    disk.fail_appends(false);
    assert_eq!(manager.redact(hers).map(|it| it.records), Ok(5));
    assert!(!shows(&manager) && !holds(&disk, "M. Curie"));
    sell_and_decide(&manager, "M. Curie");
    assert!(manager.shutdown(MINUTE).is_clean());
    let refused = manager.redact(hers).expect_err("it has ended");
    assert_eq!(refused, RedactError::Unwritten(FlushError::Closed));
    assert!(!refused.is_retryable());
    let memory = InventoryManager::builder().warehouse("SF").build().expect("an engine");
    assert!(memory.shutdown(MINUTE).is_clean());
    let refused = memory.redact(hers).expect_err("it has ended");
    assert_eq!(refused, RedactError::Unwritten(FlushError::Closed));
}

#[test]
fn an_engine_that_ends_meanwhile_leaves_the_journal_to_nobody_before_it_is_let_go() {
    let disk = SimulatedDisk::new();
    let storage = Watched::one(&disk);
    let builder = InventoryManager::builder().warehouse("SF").warehouse("NYC");
    let builder = builder.journal(JournalOptions::storage(storage.clone()).segment_bytes(900));
    let manager = builder.build().expect("a new journal");
    work(&manager, 10);
    let refused = std::thread::scope(|scope| {
        let (mut ended, manager) = (false, &manager);
        manager.redact(|entry| {
            if !std::mem::replace(&mut ended, true) {
                scope.spawn(|| manager.shutdown(MINUTE));
                while !matches!(manager.health(), Health::Stopped { .. }) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                // The writer is through, and whoever waits for the lock would have it now.
                std::thread::sleep(Duration::from_millis(100));
                assert!(storage.is_locked());
            }
            hers(entry)
        })
    });
    assert_eq!(refused, Err(RedactError::Unwritten(FlushError::Closed)));
    assert!(!storage.is_locked());
    assert!(!storage.trespassed.load(Ordering::SeqCst));
    assert!(stockade::redact(&disk, hers).expect("sound").records > 0);
    assert!(!holds(&disk, "M. Curie"));
}
