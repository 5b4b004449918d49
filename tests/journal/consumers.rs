//! Named consumers: retention waits for them, up to a bound, and never forgets where they are.

use std::time::Duration;

use stockade::testing::SimulatedDisk;
use stockade::{
    Health, InventoryManager, JournalError, JournalOptions, JournalPosition, JournalReader,
    JournalRetention,
};

use crate::retention::{LAPTOPS, short, work};
use crate::state::{MINUTE, on, seed};

const LONG: Duration = Duration::from_secs(1 << 30);

/// An engine that removes old segments, and waits for consumers up to `bytes` and `age`.
fn removing(disk: &SimulatedDisk, bytes: u64, age: Duration) -> InventoryManager {
    let keep = JournalRetention::remove().max_consumer_lag(bytes, age);
    short(on(disk).retention(keep)).build().expect("sound")
}

fn oldest(disk: &SimulatedDisk) -> u64 {
    JournalReader::on(disk.clone()).oldest_entry().expect("sound")
}

/// Writes segments, with checkpoints that let the old ones go.
fn write_on(manager: &InventoryManager, disk: &SimulatedDisk, steps: usize) {
    work(manager, disk, seed(), steps);
    manager.flush().wait().expect("written");
    assert!(manager.verify().expect("sound").is_sound());
}

#[test]
fn retention_waits_for_a_consumer_until_it_has_acknowledged() {
    let disk = SimulatedDisk::new();
    let manager = removing(&disk, u64::MAX, LONG);
    let billing = manager.consumer("billing").expect("room");
    let mut entries = billing.subscribe().expect("all is there");
    write_on(&manager, &disk, 100);
    assert_eq!(oldest(&disk), 1);
    let status = &manager.consumers().expect("sound")[0];
    assert_eq!((status.name.as_str(), status.position.sequence), ("billing", 0));
    assert_eq!(status.entries_behind, manager.journal_head().expect("a head").sequence);
    assert!(status.bytes_behind > 10_000 && !status.is_left_behind, "{status:?}");

    let mut sequence = 0;
    while let Some(entry) = entries.try_next().expect("sound") {
        sequence += 1;
        assert_eq!(entry.sequence, sequence);
    }
    billing.acknowledge(entries.position()).expect("on the disk");
    let status = manager.consumers().expect("sound").remove(0);
    assert_eq!((status.entries_behind, status.time_behind), (0, Duration::ZERO));
    write_on(&manager, &disk, 100);
    assert!((2..=sequence).contains(&oldest(&disk)), "{} of {sequence}", oldest(&disk));
    // Its own entry is kept: it tells whether the position is still one of this history.
    let mut entries = billing.subscribe().expect("it waited");
    assert_eq!(entries.try_next().expect("sound").map(|it| it.sequence), Some(sequence + 1));
    assert_eq!(manager.health(), Health::Ok);

    manager.remove_consumer("billing").expect("removed");
    manager.remove_consumer("billing").expect("no harm");
    assert_eq!(billing.position(), Err(JournalError::NoJournal));
    write_on(&manager, &disk, 100);
    assert!(oldest(&disk) > sequence + 1);
}

/// How many bytes the segments have.
fn length(disk: &SimulatedDisk) -> usize {
    let segments = disk.files().into_iter().filter(|(name, _)| name.ends_with(".journal"));
    segments.map(|(_, bytes)| bytes.len()).sum()
}

/// The consumer `dead` was left behind, and nobody else. It begins anew, and all is well.
fn check_left_behind(manager: &InventoryManager, disk: &SimulatedDisk) {
    let Health::Degraded { reason } = manager.health() else { panic!("it is left behind") };
    assert!(reason.contains("\"dead\"") && !reason.contains("live"), "{reason}");
    let dead = manager.consumer("dead").expect("there");
    let trimmed = dead.subscribe().map(drop);
    assert_eq!(trimmed, Err(JournalError::Trimmed { oldest: oldest(disk) }));
    let consumers = manager.consumers().expect("sound");
    assert!(consumers.iter().all(|it| it.is_left_behind == (it.name == "dead")));
    let from = JournalPosition::new(oldest(disk) - 1, 0);
    dead.acknowledge(from).expect("on the disk");
    assert_eq!(manager.health(), Health::Ok);
}

#[test]
fn a_dead_consumer_fills_no_disk_and_is_told_that_it_was_left_behind() {
    let disk = SimulatedDisk::new();
    let manager = removing(&disk, 20_000, LONG);
    manager.consumer("dead").expect("room");
    let live = manager.consumer("live").expect("room");
    let mut waited = false;
    for _ in 0..60 {
        write_on(&manager, &disk, 6);
        waited |= length(&disk) > 15_000 && oldest(&disk) == 1;
        let mut entries = live.subscribe().expect("it is not behind by much");
        while entries.try_next().expect("sound").is_some() {}
        live.acknowledge(entries.position()).expect("on the disk");
    }
    assert!(waited, "nobody waited for it while it was within its bound");
    assert!(length(&disk) < 30_000, "{} bytes", length(&disk));
    check_left_behind(&manager, &disk);
}

#[test]
fn a_dead_consumer_is_left_behind_by_time_too() {
    let disk = SimulatedDisk::new();
    let manager = removing(&disk, u64::MAX, Duration::ZERO);
    manager.consumer("dead").expect("room");
    write_on(&manager, &disk, 100);
    check_left_behind(&manager, &disk);
}

/// The power goes at every step of the disk.
#[test]
fn a_position_is_stored_whole_whenever_the_power_goes() {
    let disk = SimulatedDisk::new();
    let manager = removing(&disk, u64::MAX, LONG);
    let billing = manager.consumer("billing").expect("room");
    let mut entries = billing.subscribe().expect("all is there");
    let mut stored = vec![(disk.steps(), 0)];
    for _ in 0..12 {
        manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
        manager.flush().wait().expect("written");
        while entries.try_next().expect("sound").is_some() {}
        billing.acknowledge(entries.position()).expect("on the disk");
        stored.push((disk.steps(), entries.position().sequence));
    }
    for step in stored[0].0..=disk.steps() {
        let known = stored.iter().rfind(|(at, _)| *at <= step).expect("the first").1;
        let next = stored.iter().find(|(at, _)| *at > step).map_or(known, |it| it.1);
        for survives in [false, true] {
            let image = disk.crash(step, |_| survives);
            let again = removing(&image, u64::MAX, LONG);
            let billing = again.consumer("billing").expect("sound");
            let position = billing.position().expect("there").sequence;
            assert!([known, next].contains(&position), "{position} at step {step}");
            let mut entries = billing.subscribe().expect("it was on the disk");
            while entries.try_next().expect("sound").is_some() {}
            billing.acknowledge(entries.position()).expect("no leftover is in the way");
        }
    }
}

#[test]
fn backups_and_readers_know_the_files_of_consumers() {
    let (disk, copy) = (SimulatedDisk::new(), SimulatedDisk::new());
    let manager = removing(&disk, u64::MAX, LONG);
    let billing = manager.consumer("billing.eu").expect("room");
    write_on(&manager, &disk, 40);
    let mut entries = billing.subscribe().expect("all is there");
    for _ in 0..7 {
        entries.try_next().expect("sound");
    }
    billing.acknowledge(entries.position()).expect("on the disk");
    let head = manager.backup_to(&copy).expect("a copy");
    assert_eq!(JournalReader::on(copy.clone()).verify(None).expect("sound").head, head);
    let restored = removing(&copy, u64::MAX, LONG);
    let position = restored.consumer("billing.eu").expect("sound").position();
    assert_eq!(position, Ok(entries.position()));
}

#[test]
fn what_is_no_position_or_no_name_is_not_stored() {
    let disk = SimulatedDisk::new();
    let manager = removing(&disk, u64::MAX, LONG);
    manager.flush().wait().expect("written");
    for name in ["", "Billing", "a b", "../lock", "a.", "lock\0"] {
        let refused = manager.consumer(name).map(drop);
        assert_eq!(refused, Err(JournalError::InvalidConsumer { name: name.to_owned() }));
    }
    let billing = manager.consumer("billing").expect("room");
    for lost in ["900@1", "2@1.0000000000000000", "2@7"] {
        let lost: JournalPosition = lost.parse().expect("a position");
        if lost.lineage.is_some() {
            // Taken at its word here, and refused where it would skip something.
            billing.acknowledge(lost).expect("on the disk");
            assert!(matches!(billing.subscribe(), Err(JournalError::Rewound { .. })));
            continue;
        }
        assert!(matches!(billing.acknowledge(lost), Err(JournalError::Rewound { .. })), "{lost}");
    }
    // An entry that is not on the disk yet: it comes to the disk first.
    manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
    manager.run_until_idle();
    let entries = manager.subscribe(JournalPosition::default()).expect("all is there");
    let mut entries = entries.including_buffered();
    while entries.try_next().expect("sound").is_some() {}
    billing.acknowledge(entries.position()).expect("on the disk");
    let image = disk.crash(disk.steps(), |_| false);
    let again = removing(&image, u64::MAX, LONG);
    assert!(again.consumer("billing").expect("sound").subscribe().is_ok());

    // The engine has ended: its files may be another one's.
    assert!(manager.shutdown(MINUTE).is_clean());
    assert_eq!(billing.acknowledge(entries.position()), Err(JournalError::Ended));
    assert_eq!(manager.consumer("late").map(drop), Err(JournalError::Ended));
    drop(manager);
    assert_eq!(billing.position(), Err(JournalError::Ended));
}

/// An archive loses nothing, so it waits for nobody.
#[test]
fn an_archive_goes_on_and_the_consumer_reads_from_it() {
    let (disk, archive) = (SimulatedDisk::new(), SimulatedDisk::new());
    let keep = JournalRetention::archive_on(archive);
    let options: JournalOptions = on(&disk).retention(keep);
    let manager = short(options).build().expect("a new journal");
    let slow = manager.consumer("slow").expect("room");
    write_on(&manager, &disk, 100);
    assert!(oldest(&disk) > 1);
    let mut entries = slow.subscribe().expect("the archive has them");
    assert_eq!(entries.try_next().expect("sound").map(|it| it.sequence), Some(1));
    assert_eq!(manager.health(), Health::Ok);
    assert!(!manager.consumers().expect("sound")[0].is_left_behind);
}
