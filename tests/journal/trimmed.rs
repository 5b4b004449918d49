//! Readers of a journal whose old segments are trimmed: subscriptions, backups, offline readers,
//! and the next engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stockade::testing::SimulatedDisk;
use stockade::{
    AuditFilter, BasketLine, Health, IdempotencyKey, InventoryManager, JournalError,
    JournalPosition, JournalReader, JournalRetention, Limits, ManualClock, NoReservation,
    RetakeError, Timestamp, WhenFull,
};

use crate::retention::{LAPTOPS, archived, checkpoints, short, verify, work};
use crate::state::{MINUTE, counts, on, pending, seed, small};

#[test]
fn who_is_too_far_behind_hears_so_unless_the_archive_reaches_back() {
    let (disk, archive) = (SimulatedDisk::new(), SimulatedDisk::new());
    archived(&disk, &archive, 100, true);
    let (bare, whole) = (disk.killed(), disk.killed());
    let old = archive.killed();
    let keep = JournalRetention::archive_on(old.clone());
    let manager = short(on(&whole).retention(keep)).build().expect("sound");
    let mut entries = manager.subscribe(JournalPosition::default()).expect("all is there");
    let mut sequence = 0;
    while let Some(entry) = entries.try_next().expect("sound") {
        sequence += 1;
        assert_eq!(entry.sequence, sequence);
        if sequence == 20 {
            // Segments are archived while it reads.
            work(&manager, &whole, seed() + 3, 40);
        }
    }
    assert_eq!(sequence, manager.journal_head().expect("a journal").sequence);

    let manager = short(&bare).build().expect("sound");
    let Err(JournalError::Trimmed { oldest }) = manager.subscribe(JournalPosition::default())
    else {
        panic!("the first entries are gone")
    };
    assert!(oldest > 1);
    let opening = manager.recovery_report().expect("a journal").openings + 1;
    let from = |sequence| manager.subscribe(JournalPosition::new(sequence, opening));
    let first = from(oldest - 1).expect("kept").try_next().expect("sound").expect("an entry");
    assert_eq!(first.sequence, oldest);
    let behind = from(oldest - 2).map(drop);
    assert_eq!(behind, Err(JournalError::Trimmed { oldest }));
}

#[test]
fn a_subscriber_whose_entries_go_while_it_reads_hears_so() {
    let disk = SimulatedDisk::new();
    let keep = JournalRetention::remove();
    let manager = short(on(&disk).retention(keep)).build().expect("a new journal");
    manager.flush().wait().expect("written");
    let mut entries = manager.subscribe(JournalPosition::default()).expect("all is there");
    assert_eq!(entries.try_next().expect("sound").expect("an entry").sequence, 1);
    work(&manager, &disk, seed(), 100);
    let behind = loop {
        match entries.try_next() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it has missed nothing"),
            Err(error) => break error,
        }
    };
    let oldest = JournalReader::on(disk).oldest_entry().expect("sound");
    assert_eq!(behind, JournalError::Trimmed { oldest });
}

#[test]
fn a_position_of_an_earlier_opening_is_not_taken_for_one_of_what_is_left() {
    let disk = SimulatedDisk::new();
    let manager = short(&disk).build().expect("a new journal");
    work(&manager, &disk, seed(), 10);
    manager.flush().wait().expect("written");
    let seen = manager.journal_head().expect("a journal").sequence;
    drop(manager);
    // Another opening writes on, and only its later segments are kept.
    let keep = JournalRetention::remove();
    let manager = short(on(&disk).retention(keep)).build().expect("sound");
    work(&manager, &disk, seed() + 1, 100);
    let oldest = JournalReader::on(disk.clone()).oldest_entry().expect("sound");
    assert!(oldest > seen);
    for sequence in [seen, oldest - 1, oldest + 5] {
        let position = JournalPosition::new(sequence, 1);
        let found = manager.subscribe(position).map(drop);
        assert_eq!(found, Err(JournalError::Trimmed { oldest }), "{sequence}");
    }
}

#[test]
fn a_backup_of_a_trimmed_journal_can_be_opened_and_verified() {
    let (disk, copy) = (SimulatedDisk::new(), SimulatedDisk::new());
    let keep = JournalRetention::remove();
    let manager = short(on(&disk).retention(keep)).build().expect("a new journal");
    work(&manager, &disk, seed(), 120);
    manager.flush().wait().expect("written");
    let head = manager.backup_to(&copy).expect("room");
    let found = verify(&copy, None).expect("sound");
    assert_eq!((found.head, found.oldest > 1), (head, true));
    let again = short(&copy).build().expect("a sound journal");
    assert_eq!((counts(&again), pending(&again)), (counts(&manager), pending(&manager)));
}

#[test]
fn backups_and_readers_beside_an_engine_that_trims_miss_nothing() {
    let disk = SimulatedDisk::new();
    let journal = on(&disk).sync_interval(Duration::from_millis(1)).segment_bytes(4_000);
    let journal = journal.checkpoint_every(1).retention(JournalRetention::remove());
    let builder = InventoryManager::builder().warehouse("SF").journal(journal);
    let builder = builder.limits(Limits::new().audit_retained(8));
    let manager = builder.build().expect("new");
    let limit = std::time::Instant::now() + Duration::from_secs(120);
    let (over, mut begun) = (AtomicBool::new(false), Vec::new());
    /// Ends the thread, even if a reader panics.
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    std::thread::scope(|scope| {
        let ending = Over(&over);
        scope.spawn(|| {
            for round in 1.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
                manager.flush().wait().expect("written");
                // This makes the auditor's turn come, which trims; its own thread may have to wait.
                if round % 30 == 0 {
                    assert!(manager.verify().expect("sound").is_sound());
                }
            }
        });
        // Until it was read and copied at a number of states, each trimmed further than the last.
        while begun.len() < 4 {
            assert!(std::time::Instant::now() < limit, "trimmed no further than {begun:?}");
            let copy = SimulatedDisk::new();
            manager.backup_to(&copy).expect("a consistent copy");
            let found = JournalReader::on(copy).verify(None).expect("sound");
            if begun.last() != Some(&found.oldest) {
                begun.push(found.oldest);
            }
            let mut journal = JournalReader::on(disk.clone());
            journal.verify(None).expect("sound");
            journal.stock(None).expect("sound");
            let mut last = 0;
            let every = AuditFilter::new().limit(usize::MAX);
            match journal.entries(&every, |entry| {
                assert!(last == 0 || entry.sequence == last + 1);
                last = entry.sequence;
            }) {
                Ok(()) | Err(JournalError::Trimmed { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        drop(ending);
    });
    assert!(begun.is_sorted(), "{begun:?}");
    assert_eq!(manager.health(), Health::Ok);
}

#[test]
fn a_hold_of_which_only_segments_that_are_gone_tell_is_not_taken_for_one_that_never_sold() {
    let disk = SimulatedDisk::new();
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000_000)));
    let open = |retained| {
        let limits = small().audit_retained(retained).retention(Duration::ZERO, 1);
        // Without outcome files, which would still tell of it.
        let journal = on(&disk).retention(JournalRetention::remove()).keep_outcomes(Duration::ZERO);
        let builder = short(journal);
        let builder = builder.clock(Arc::clone(&clock)).limits(limits.max_reservations(32));
        builder.build().expect("sound")
    };
    let manager = open(8);
    manager.add_stock(LAPTOPS, 1_000, "SUPPLIER").expect("room");
    let hold = manager.reserve(LAPTOPS, 1, MINUTE).expect("stock");
    manager.confirm(hold).expect("pending");
    for _ in 0..300 {
        clock.advance(Duration::from_millis(10));
        let other = manager.reserve(LAPTOPS, 1, MINUTE).expect("stock");
        manager.confirm(other).expect("pending");
        assert!(manager.verify().expect("sound").is_sound());
    }
    let lines = [BasketLine::new(LAPTOPS, 1)];
    drop(manager);
    // All entries that are left fit into the log of this one: what is gone went with the segments.
    let manager = open(1_000_000);
    assert!(manager.recovery_report().expect("a journal").checkpoint.is_some());
    assert_eq!(
        manager.confirm_or_retake_lines(hold, &lines),
        Err(RetakeError::NoReservation(NoReservation::Forgotten))
    );
    assert_eq!(manager.sold(LAPTOPS).expect("known"), 301, "it was sold a second time");
}

#[test]
fn a_checkpoint_that_remembers_more_keys_than_what_is_left_knows_is_no_damage() {
    let disk = SimulatedDisk::new();
    let open = |keys, keep| {
        let limits = small()
            .audit_retained(8)
            .key_retention(60 * MINUTE, keys)
            .when_full(WhenFull::DropOldest);
        short(on(&disk).retention(keep)).limits(limits).build().expect("a sound journal")
    };
    let add = |manager: &InventoryManager, from: u64, to: u64| {
        for number in from..to {
            let key = IdempotencyKey::try_from(format!("key-{number}").as_str()).expect("legal");
            manager.request().key(key).add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
            manager.flush().wait().expect("written");
        }
    };
    // One checkpoint with few keys, and another one with more than have come since.
    let manager = open(2, JournalRetention::keep_all());
    add(&manager, 0, 60);
    assert!(manager.verify().expect("sound").is_sound());
    drop(manager);
    assert_eq!(checkpoints(&disk).len(), 1);
    let manager = open(1_000, JournalRetention::remove());
    assert_eq!(manager.recovery_report().expect("a journal").keys, 60);
    add(&manager, 60, 90);
    assert!(manager.verify().expect("sound").is_sound());
    add(&manager, 90, 110);
    assert!(manager.verify().expect("sound").is_sound());
    let found = verify(&disk, None).expect("sound");
    assert!(found.oldest > 1 && found.checkpoints == 2, "{found:?}");
}
