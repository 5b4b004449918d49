//! Recovery from a checkpoint gives the same state as a full replay, whatever a crash leaves of the
//! checkpoint. A changed checkpoint is detected.

use std::sync::Arc;
use std::time::Duration;

use stockade::testing::SimulatedDisk;
use stockade::{
    AuditFilter, BuildError, IdempotencyKey, InventoryManager, JournalError, JournalOptions,
    JournalReader, ManualClock, RecoveryReport, ReservationId, Timestamp,
};

use crate::crash::{Seen, check_image, look, some_step};
use crate::state::{
    MINUTE, PRODUCTS, Random, WAREHOUSES, check_laws, counts, engine_on, on, pending, seed, small,
    without_handles,
};

fn is_checkpoint(name: &str) -> bool {
    name.ends_with(".checkpoint")
}

/// The disk without its checkpoints.
fn without_checkpoints(disk: &SimulatedDisk) -> SimulatedDisk {
    SimulatedDisk::with_files(disk.files().into_iter().filter(|(name, _)| !is_checkpoint(name)))
}

fn checkpoints(disk: &SimulatedDisk) -> Vec<String> {
    disk.files().into_iter().map(|(name, _)| name).filter(|name| is_checkpoint(name)).collect()
}

/// A run with a checkpoint after each segment. Returns the states seen, and how many entries were
/// durable at each step of the disk.
fn run(disk: &SimulatedDisk, seed: u64, steps: usize, end: bool) -> (Vec<Seen>, Vec<(usize, u64)>) {
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000_000)));
    let builder = engine_on(on(disk).segment_bytes(2_000).checkpoint_every(1));
    let builder = builder.clock(Arc::clone(&clock)).seed(seed).limits(small().audit_retained(8));
    let manager = builder.build().expect("a sound journal");
    let (mut random, mut holds) = (Random::new(seed), Vec::new());
    let (mut seen, mut acknowledged) = (Vec::new(), Vec::new());
    for place in WAREHOUSES.map(|warehouse| (warehouse, PRODUCTS[0])) {
        let _ = manager.add_stock(place, 100, "SUPPLIER");
    }
    manager.set_threshold("NYC", Some(3)).expect("a setting");
    manager.set_safety_stock(("NYC", PRODUCTS[0]), 5).expect("a setting");
    for step in 0..steps {
        some_step(&manager, &mut random, &mut holds);
        if random.below(5) == 0 {
            let key = IdempotencyKey::try_from(format!("{seed}-{step}").as_str()).expect("legal");
            let _ = manager.request().key(key).reserve(("SF", PRODUCTS[0]), 1, 60 * MINUTE);
        }
        clock.advance(Duration::from_millis(3));
        manager.run_until_idle();
        if random.below(4) == 0 {
            // The auditor reads on, and writes what is due.
            assert!(manager.verify().expect("a sound journal").is_sound());
            acknowledged.push((disk.steps(), manager.audit_log().newest_sequence()));
        }
        seen.push(look(&manager));
    }
    if end {
        drop(manager)
    } else {
        std::mem::forget(manager)
    }
    (seen, acknowledged)
}

/// Everything that an engine on this disk shows.
fn shown(disk: &SimulatedDisk, ids: &[ReservationId]) -> (String, RecoveryReport) {
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(2_000_000)));
    let manager = engine_on(disk).clock(clock).limits(small().audit_retained(8)).seed(1).build();
    let manager = manager.expect("a sound journal");
    check_laws(&manager);
    let recovered = manager.recovery_report().expect("a journal").clone();
    let log = manager.audit_log().query(&AuditFilter::new().limit(usize::MAX));
    let shown = format!(
        "{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}",
        counts(&manager),
        pending(&manager),
        manager.transfer_requests(),
        manager.warehouse("NYC").map(|it| (it.threshold(), it.room_left())),
        manager.stock_level(("NYC", PRODUCTS[0])).map(|level| level.safety_stock()),
        // Also of holds that only the log knows, or nobody any more.
        ids.iter()
            .map(|id| (manager.reservation(*id).map(without_handles), manager.confirm(*id)))
            .collect::<Vec<_>>(),
        log,
    );
    (shown, recovered)
}

#[test]
fn a_recovery_with_checkpoints_equals_one_without() {
    let mut begun_with_one = 0;
    for round in 0..12 {
        let seed = seed() ^ round;
        let disk = SimulatedDisk::new();
        let mut ids = Vec::new();
        for opening in 0..3 {
            let (seen, _) = run(&disk, seed + opening, 80, round % 2 == 0);
            ids.extend(seen.into_iter().flat_map(|it| it.holds));
            ids.sort_unstable();
            ids.dedup();
            let (left, bare) = (disk.killed(), without_checkpoints(&disk));
            let verified = JournalReader::on(disk.killed()).verify(None).expect("sound");
            assert_eq!(verified.checkpoints, checkpoints(&disk).len(), "seed {seed}");
            let ((with, found), (without, all)) = (shown(&left, &ids), shown(&bare, &ids));
            assert_eq!(with, without, "seed {seed}");
            assert_eq!(all.checkpoint, None);
            assert_eq!(found.unusable_checkpoints, []);
            begun_with_one += usize::from(found.checkpoint.is_some());
            let same = |it: RecoveryReport| {
                (it.entries, it.segments, it.closed, it.pending, it.finished, it.keys)
            };
            assert_eq!(same(found), same(all), "seed {seed}");
            if round % 2 == 1 {
                // The process died, and its lock with it.
                break;
            }
        }
    }
    assert!(begun_with_one > 12, "{begun_with_one}");
}

#[test]
fn a_power_cut_at_any_moment_leaves_a_checkpoint_that_is_whole_or_none() {
    let seed = seed();
    let disk = SimulatedDisk::new();
    let (seen, acknowledged) = run(&disk, seed, 60, false);
    assert!(!checkpoints(&disk).is_empty());
    let mut unfinished = 0;
    for step in 0..=disk.steps() {
        let before = acknowledged.partition_point(|(at, _)| *at <= step);
        let known = before.checked_sub(1).map_or(0, |at| acknowledged[at].1);
        for kind in 0..3 {
            let image = disk.crash(step, |piece| kind == 1 || (kind == 2 && piece % 2 == 1));
            unfinished +=
                usize::from(image.files().iter().any(|(name, _)| name.contains(".checkpoint.")));
            let unopened = image.killed();
            check_image(&image, &seen, known, &format!("seed {seed}, step {step}, kind {kind}"));
            let found = JournalReader::on(unopened).verify(None);
            let sound = found.is_ok() || found.is_err_and(|it| it.error == JournalError::NoJournal);
            assert!(sound, "seed {seed}, step {step}, kind {kind}");
        }
    }
    assert!(unfinished > 0, "no moment within the writing of a checkpoint was looked at");
}

#[test]
fn a_damaged_checkpoint_is_damage_for_verify_and_recovery_falls_back_and_says_so() {
    let disk = SimulatedDisk::new();
    run(&disk, seed(), 100, true);
    let names = checkpoints(&disk);
    assert_eq!(names.len(), 2);
    let newest = names[1].clone();
    let (expected, sound) = shown(&disk.killed(), &[]);
    let length = disk.files().iter().find(|(name, _)| *name == newest).map_or(0, |it| it.1.len());
    for place in (0..length).step_by(7) {
        let altered =
            SimulatedDisk::with_files(disk.files().into_iter().map(|(name, mut bytes)| {
                if name == newest {
                    bytes[place] ^= 4;
                }
                (name, bytes)
            }));
        let found = JournalReader::on(altered.clone()).verify(None).expect_err("a flipped bit");
        let JournalError::Damaged { file, .. } = &found.error else { panic!("{found:?}") };
        assert_eq!(*file, newest, "byte {place}");
        let (shown, recovered) = shown(&altered, &[]);
        assert_eq!(shown, expected);
        assert_eq!(recovered.unusable_checkpoints.len(), 1, "byte {place}");
        assert!(recovered.checkpoint <= sound.checkpoint);
    }
}

#[test]
fn a_checkpoint_knows_what_was_on_the_disk() {
    let disk = SimulatedDisk::new();
    run(&disk, seed(), 100, false);
    let newest = checkpoints(&disk).pop().expect("a checkpoint");
    let open =
        |disk: SimulatedDisk| engine_on(&disk).limits(small().audit_retained(8)).build().map(drop);
    let files = disk.files();
    // Only checkpoints are left: a journal that was lost is no new one.
    let left = files.iter().filter(|(name, _)| is_checkpoint(name)).cloned();
    let found = open(SimulatedDisk::with_files(left));
    assert!(matches!(found, Err(BuildError::Journal(JournalError::Damaged { .. }))), "{found:?}");
    // The newest segments are gone with all that they knew, but for the checkpoint.
    let segments: Vec<_> = files.iter().filter(|(name, _)| name.ends_with(".journal")).collect();
    let mut left: Vec<_> = segments[..2].iter().map(|it| (*it).clone()).collect();
    left.extend(files.iter().filter(|(name, _)| *name == newest).cloned());
    let found = open(SimulatedDisk::with_files(left));
    assert!(matches!(found, Err(BuildError::Journal(JournalError::Damaged { .. }))), "{found:?}");
}

#[test]
fn with_checkpoints_switched_off_there_are_none() {
    let disk = SimulatedDisk::new();
    let builder = InventoryManager::builder().warehouse("SF").without_threads();
    let builder = builder
        .journal(JournalOptions::storage(disk.clone()).segment_bytes(500).checkpoint_every(None));
    let manager = builder.build().expect("a new journal");
    for _ in 0..100 {
        manager.add_stock(("SF", "LAPTOP"), 1, "SUPPLIER").expect("room");
        manager.run_until_idle();
    }
    assert!(manager.verify().expect("sound").is_sound());
    assert_eq!(checkpoints(&disk), [] as [String; 0]);
}

#[test]
fn a_checkpoint_of_another_journal_is_none_of_this_one() {
    let (disk, other) = (SimulatedDisk::new(), SimulatedDisk::new());
    run(&disk, seed(), 60, true);
    // Longer, so that its batches would be missing here.
    run(&other, seed() + 1, 200, true);
    let (expected, _) = shown(&disk.killed(), &[]);
    let own = disk.files().into_iter().filter(|(name, _)| !is_checkpoint(name));
    let strange = other.files().into_iter().filter(|(name, _)| is_checkpoint(name));
    let mixed = SimulatedDisk::with_files(own.chain(strange));
    let found = JournalReader::on(mixed.killed()).verify(None).expect_err("a stranger");
    let JournalError::Damaged { file, .. } = &found.error else { panic!("{found:?}") };
    assert!(is_checkpoint(file));
    let found = JournalReader::on(mixed.killed()).verify_checksums(None).expect_err("a stranger");
    assert!(matches!(found.error, JournalError::Damaged { .. }), "{found:?}");
    let (shown, recovered) = shown(&mixed, &[]);
    assert_eq!(shown, expected);
    assert_eq!(recovered.unusable_checkpoints.len(), checkpoints(&other).len());
}

#[test]
fn a_checkpoint_of_a_history_that_parted_from_this_one_is_seen() {
    let begun = SimulatedDisk::new();
    run(&begun, seed(), 20, true);
    let (disk, other) = (begun.killed(), begun.killed());
    run(&disk, seed() + 1, 200, true);
    run(&other, seed() + 2, 60, true);
    let (expected, _) = shown(&disk.killed(), &[]);
    let own = disk.files().into_iter().filter(|(name, _)| !is_checkpoint(name));
    let strange = other.files().into_iter().filter(|(name, _)| is_checkpoint(name));
    let mixed = SimulatedDisk::with_files(own.chain(strange));
    for found in [
        JournalReader::on(mixed.killed()).verify(None),
        JournalReader::on(mixed.killed()).verify_checksums(None),
    ] {
        let found = found.expect_err("another history");
        let JournalError::Damaged { file, .. } = &found.error else { panic!("{found:?}") };
        assert!(is_checkpoint(file));
    }
    let (shown, recovered) = shown(&mixed, &[]);
    assert_eq!(shown, expected);
    assert_eq!(recovered.unusable_checkpoints.len(), checkpoints(&other).len());
}

/// Runs `work`, then lets checkpoints be written until an opening begins with one.
fn open_from_a_checkpoint(
    open: impl Fn() -> InventoryManager,
    work: impl FnOnce(&InventoryManager),
) -> InventoryManager {
    let mut manager = open();
    manager.add_stock(("SF", "LAPTOP"), 100, "SUPPLIER").expect("room");
    work(&manager);
    for _ in 0..20 {
        for _ in 0..20 {
            manager.add_stock(("SF", "LAPTOP"), 1, "SUPPLIER").expect("room");
            manager.flush().wait().expect("written");
        }
        assert!(manager.verify().expect("a sound journal").is_sound());
        drop(manager);
        manager = open();
        let report = manager.recovery_report().expect("a journal");
        assert_eq!(report.unusable_checkpoints, []);
        if report.checkpoint.is_some() {
            return manager;
        }
    }
    panic!("no opening began with a checkpoint")
}

#[test]
fn a_transfer_that_failed_is_in_a_checkpoint_with_its_reason_and_its_numbers() {
    let disk = SimulatedDisk::new();
    let open = || {
        let limits = small().audit_retained(4);
        let builder = InventoryManager::builder().warehouse("SF").without_threads().limits(limits);
        let full = stockade::WarehouseSpec::new("NYC").capacity(3);
        builder.warehouse(full).journal(on(&disk).checkpoint_every(1)).build().expect("sound")
    };
    let mut before = Vec::new();
    let manager = open_from_a_checkpoint(open, |manager| {
        let ask = |units| manager.request_transfer("SF", "NYC", "LAPTOP", units).expect("a level");
        let (no_room, short, rejected) = (ask(5), ask(3), ask(1));
        manager.approve_transfer(no_room, "ada").expect_err("room for three");
        manager.remove_stock(("SF", "LAPTOP"), 98, "lost").expect("stock");
        manager.approve_transfer(short, "ada").expect_err("two are left");
        manager.reject_transfer(rejected, "bob", "no need").expect("open");
        for id in [no_room, short, rejected, ask(2)] {
            before.push(manager.transfer_request(id).expect("kept"));
        }
    });
    for request in before {
        assert_eq!(manager.transfer_request(request.id).as_ref(), Ok(&request));
    }
}

#[test]
fn a_checkpoint_knows_when_a_key_was_used() {
    let disk = SimulatedDisk::new();
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000_000)));
    let open = || {
        let limits = small().audit_retained(4).key_retention(10 * MINUTE, 1_000);
        let builder = InventoryManager::builder().warehouse("SF").without_threads();
        let builder = builder.limits(limits).clock(Arc::clone(&clock));
        builder
            .journal(on(&disk).checkpoint_every(1).keep_outcomes(Duration::ZERO))
            .build()
            .expect("sound")
    };
    let sell = |manager: &InventoryManager| {
        let key = IdempotencyKey::try_from("once").expect("a legal key");
        manager.request().key(key).sell(("SF", "LAPTOP"), 1).expect("stock")
    };
    let mut first = None;
    let manager = open_from_a_checkpoint(open, |manager| {
        first = Some(sell(manager));
        clock.advance(MINUTE);
    });
    assert_eq!(manager.recovery_report().expect("a journal").keys, 1);
    clock.advance(9 * MINUTE);
    assert_eq!(Some(sell(&manager)), first, "its last millisecond");
    drop(manager);
    clock.advance(Duration::from_millis(1));
    assert_ne!(Some(sell(&open())), first, "its time was up");
}
