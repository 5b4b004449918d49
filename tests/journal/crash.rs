//! Power cuts at every moment, with every kind of loss.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stockade::testing::SimulatedDisk;
use stockade::{
    BasketLine, BuildError, Builder, Counts, InventoryManager, ManualClock, ReservationId,
    Timestamp,
};

use crate::state::{
    MINUTE, PRODUCTS, Random, WAREHOUSES, check_laws, counts, engine_on, on, pending, seed,
};

/// What an engine showed when its log ended at this entry.
pub(crate) struct Seen {
    entries: u64,
    pub(crate) counts: Vec<Counts>,
    pub(crate) holds: Vec<ReservationId>,
}

/// One random step of a buyer, a clerk or a driver. Its result does not matter.
pub(crate) fn some_step(
    manager: &InventoryManager,
    random: &mut Random,
    holds: &mut Vec<ReservationId>,
) {
    let warehouse = WAREHOUSES[random.below(WAREHOUSES.len())];
    let product = PRODUCTS[random.below(PRODUCTS.len())];
    let (place, units) = ((warehouse, product), 1 + random.below(5) as u32);
    let one = |holds: &mut Vec<ReservationId>, random: &mut Random| {
        (!holds.is_empty()).then(|| holds.swap_remove(random.below(holds.len())))
    };
    match random.below(12) {
        0 | 1 => drop(manager.add_stock(place, units * 3, "SUPPLIER")),
        2 => drop(manager.remove_stock(place, units, "dropped")),
        3..=5 => holds.extend(manager.reserve(place, units, 60 * MINUTE)),
        6 => {
            let other = WAREHOUSES[random.below(WAREHOUSES.len())];
            let lines = [BasketLine::new(place, 1), BasketLine::new((other, PRODUCTS[0]), units)];
            holds.extend(manager.reserve_basket(&lines, 60 * MINUTE));
        }
        7 | 8 => drop(one(holds, random).map(|id| manager.confirm(id))),
        9 => drop(one(holds, random).map(|id| manager.release(id))),
        10 => drop(manager.ship(place, 1)),
        _ => {
            let target = WAREHOUSES[random.below(WAREHOUSES.len())];
            drop(manager.transfer(warehouse, target, product, 1));
        }
    }
}

pub(crate) fn look(manager: &InventoryManager) -> Seen {
    let holds = pending(manager).iter().map(|it| it.id).collect();
    Seen { entries: manager.audit_log().newest_sequence(), counts: counts(manager), holds }
}

/// Opens a disk as a crash left it. The state must be one that the engine was in, and not older
/// than what it had acknowledged as durable.
pub(crate) fn check_image(image: &SimulatedDisk, seen: &[Seen], acknowledged: u64, context: &str) {
    let manager = engine_on(image).build().unwrap_or_else(|error| panic!("{context}: {error}"));
    check_built(&manager, seen, acknowledged, context);
}

/// Compares an engine that was built after a crash with what was seen before.
pub(crate) fn check_built(
    manager: &InventoryManager,
    seen: &[Seen],
    acknowledged: u64,
    context: &str,
) {
    let entries = manager.recovery_report().map_or(0, |it| it.entries);
    assert!(entries >= acknowledged, "{context}: {entries} of {acknowledged} acknowledged");
    check_laws(manager);
    // The last state that all of the entries found had been written for.
    let at = seen.partition_point(|it| it.entries <= entries);
    let Some(last) = at.checked_sub(1).map(|at| &seen[at]) else { return };
    assert_eq!(counts(manager), last.counts, "{context}: {entries} entries");
    let holds: Vec<ReservationId> = pending(manager).iter().map(|it| it.id).collect();
    assert_eq!(holds, last.holds, "{context}");
}

/// Runs some steps with a flush now and then. Returns the states seen, and how many entries were
/// acknowledged at which moments of the disk.
fn scripted(disk: &SimulatedDisk, seed: u64, steps: usize) -> (Vec<Seen>, Vec<(usize, u64)>) {
    scripted_on(engine_on(on(disk).segment_bytes(3_000)), disk, seed, steps, 6)
}

/// As [`scripted`], on a given engine, with a flush every few steps.
fn scripted_on(
    builder: Builder,
    disk: &SimulatedDisk,
    seed: u64,
    steps: usize,
    flushes: usize,
) -> (Vec<Seen>, Vec<(usize, u64)>) {
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000_000)));
    let builder = builder.clock(Arc::clone(&clock)).seed(seed);
    let manager = builder.build().expect("a new journal");
    let (mut random, mut holds) = (Random::new(seed), Vec::new());
    let (mut seen, mut acknowledged) = (Vec::new(), Vec::new());
    for place in WAREHOUSES.map(|warehouse| (warehouse, PRODUCTS[0])) {
        manager.add_stock(place, 100, "SUPPLIER").expect("room");
    }
    for step in 0..steps {
        some_step(&manager, &mut random, &mut holds);
        clock.advance(Duration::from_millis(3));
        if random.below(3) == 0 {
            manager.run_until_idle();
        }
        if random.below(flushes) == 0 || step + 1 == steps {
            manager.flush().wait().expect("written");
            acknowledged.push((disk.steps(), manager.audit_log().newest_sequence()));
        }
        manager.run_until_idle();
        seen.push(look(&manager));
    }
    // Not closed: the process dies. Its lock dies with it.
    std::mem::forget(manager);
    (seen, acknowledged)
}

fn acknowledged_at(acknowledged: &[(usize, u64)], step: usize) -> u64 {
    let before = acknowledged.partition_point(|(at, _)| *at <= step);
    before.checked_sub(1).map_or(0, |at| acknowledged[at].1)
}

#[test]
fn whatever_a_power_cut_leaves_is_a_state_that_was_and_nothing_acknowledged_is_lost() {
    let seed = seed();
    let disk = SimulatedDisk::new();
    let (seen, acknowledged) = scripted(&disk, seed, 160);
    let mut images = 0;
    for step in 0..=disk.steps() {
        let known = acknowledged_at(&acknowledged, step);
        let mut random = Random::new(seed ^ step as u64);
        let mut check = |what: &str, survives: &mut dyn FnMut(usize) -> bool| {
            let image = disk.crash(step, survives);
            check_image(&image, &seen, known, &format!("seed {seed}, step {step}, {what}"));
            images += 1;
        };
        check("nothing survives", &mut |_| false);
        check("all survives", &mut |_| true);
        check("every other piece survives", &mut |piece| piece % 2 == 1);
        check("all but the first piece survive", &mut |piece| piece != 0);
        for _ in 0..4 {
            check("some survive", &mut |_| random.below(2) == 0);
        }
    }
    assert!(images > 1_000, "only {images} images");
}

#[test]
fn a_power_cut_may_take_the_beginnings_of_segments_and_leave_those_of_later_ones() {
    for seed in seed()..seed() + 8 {
        let disk = SimulatedDisk::new();
        // Several segments long is what is written between two syncs.
        let builder = engine_on(on(&disk).segment_bytes(300));
        let (seen, acknowledged) = scripted_on(builder, &disk, seed, 60, 30);
        let mut random = Random::new(seed);
        for step in (0..=disk.steps()).step_by(2) {
            let known = acknowledged_at(&acknowledged, step);
            for most in [2, 4, 8] {
                let image = disk.crash(step, |_| random.below(most) != 0);
                let context = format!("seed {seed}, step {step}, all but one of {most} survive");
                check_image(&image, &seen, known, &context);
            }
        }
    }
}

#[test]
fn a_power_cut_in_the_midst_of_an_orderly_end_is_a_power_cut_and_no_damage() {
    for seed in seed()..seed() + 8 {
        let disk = SimulatedDisk::new();
        let manager = engine_on(on(&disk).segment_bytes(2_000)).build().expect("a new journal");
        manager.add_stock(("SF", "LAPTOP"), 100, "SUPPLIER").expect("room");
        manager.flush().wait().expect("written");
        let (first, known) = (disk.steps(), manager.audit_log().newest_sequence());
        for _ in 0..10 {
            manager
                .request()
                .note("customer", "M. Curie")
                .sell(("SF", "LAPTOP"), 1)
                .expect("stock");
            manager.run_until_idle();
        }
        drop(manager);
        let mut random = Random::new(seed);
        for step in first..=disk.steps() {
            for most in [2, 2, 4, 4, 8] {
                let image = disk.crash(step, |_| random.below(most) != 0);
                let context = format!("seed {seed}, step {step}, all but one of {most} survive");
                check_image(&image, &[], known, &context);
            }
        }
    }
}

#[test]
fn a_crash_during_recovery_loses_nothing_that_was_there_before_it() {
    let seed = seed();
    let disk = SimulatedDisk::new();
    let (seen, acknowledged) = scripted(&disk, seed, 40);
    let mut random = Random::new(seed);
    for _ in 0..20 {
        let step = random.below(disk.steps() + 1);
        let known = acknowledged_at(&acknowledged, step);
        let first = disk.crash(step, |_| random.below(4) != 0);
        let begun = first.steps();
        let manager = engine_on(&first).build().expect("a sound journal");
        // What was there when the process came up again stays there, if only that process dies.
        let found = manager.recovery_report().map_or(0, |it| it.entries);
        std::mem::forget(manager);
        for second in begun..=first.steps() {
            let context = format!("seed {seed}, {step} then {second}");
            let image = first.crash(second, |_| random.below(2) == 0);
            check_image(&image, &seen, known.max(found), &context);
        }
    }
}

#[test]
fn a_killed_process_loses_nothing_that_was_written() {
    let seed = seed();
    let disk = SimulatedDisk::new();
    let (seen, _) = scripted(&disk, seed, 60);
    let newest = seen.last().map_or(0, |it| it.entries);
    check_image(&disk.killed(), &seen, newest, &format!("seed {seed}"));
}

/// Many threads work on a real clock, until each has done this much. Returns what was acknowledged
/// as durable to each thread, and when.
fn crowd(disk: &SimulatedDisk, seed: u64, steps: usize) -> Vec<(usize, ReservationId)> {
    let journal = on(disk).segment_bytes(60_000).sync_interval(Duration::from_millis(2));
    let builder = InventoryManager::builder().journal(journal);
    let builder = WAREHOUSES.iter().fold(builder, |builder, name| builder.warehouse(*name));
    let manager = builder.build().expect("a new journal");
    for (warehouse, product) in WAREHOUSES.iter().flat_map(|w| PRODUCTS.map(|p| (*w, p))) {
        manager.add_stock((warehouse, product), 200, "SUPPLIER").expect("room");
    }
    let acknowledged = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (manager, acknowledged) = (&manager, &acknowledged);
            scope.spawn(move || {
                let mut random = Random::new(seed ^ thread);
                let mut holds = Vec::new();
                for step in 0..steps {
                    some_step(manager, &mut random, &mut holds);
                    if step % 16 == 0
                        && let Ok(id) = manager.reserve(("SF", "DESK"), 1, 60 * MINUTE)
                    {
                        manager.flush().wait().expect("on the disk");
                        let now = disk.steps();
                        acknowledged.lock().expect("no panic").push((now, id));
                    }
                }
            });
        }
    });
    manager.flush().wait().expect("on the disk");
    assert!(manager.verify().expect("a sound journal").is_sound());
    std::mem::forget(manager);
    acknowledged.into_inner().expect("no panic")
}

/// The ends of the batches in a segment's bytes, beginning with the end of its header.
pub(crate) fn boundaries(bytes: &[u8]) -> Vec<usize> {
    let number = |at: usize| {
        let field = bytes.get(at..at + 4)?;
        Some(u32::from_le_bytes(field.try_into().ok()?) as usize)
    };
    let mut ends = vec![136];
    while let Some(at) = ends.last().copied().filter(|at| *at < bytes.len())
        && let (Some(records), Some(notes)) = (number(at + 4), number(at + 8))
    {
        ends.push(at + 104 + records + notes);
    }
    ends
}

#[test]
fn every_prefix_of_a_real_journal_is_a_legal_state() {
    let seed = seed();
    let disk = SimulatedDisk::new();
    crowd(&disk, seed, 600);
    let mut files = disk.killed().files();
    files.retain(|(name, _)| name.ends_with(".journal"));
    assert!(files.len() > 1, "one segment only");
    let mut random = Random::new(seed);
    let mut cuts = 0;
    for last in 0..files.len() {
        let bytes = &files[last].1;
        let mut ends = boundaries(bytes);
        ends.extend((0..40).map(|_| random.below(bytes.len())));
        for end in ends {
            let whole = files[..last].iter().cloned();
            let cut = (files[last].0.clone(), bytes[..end.min(bytes.len())].to_vec());
            let image = SimulatedDisk::with_files(whole.chain([cut]));
            match engine_on(&image).build() {
                Ok(manager) => check_laws(&manager),
                // Headers say what was durable before the cut, and the cut may lie before that.
                Err(BuildError::Journal(error)) => {
                    panic!("seed {seed}, {end} bytes of segment {last}: {error}")
                }
                Err(error) => panic!("{error}"),
            }
            cuts += 1;
        }
    }
    assert!(cuts > 100, "only {cuts} cuts");
}

#[test]
fn no_reservation_that_was_reported_durable_is_missing_after_a_power_cut_under_load() {
    let seed = seed();
    let disk = SimulatedDisk::new();
    let acknowledged = crowd(&disk, seed, 300);
    assert!(!acknowledged.is_empty());
    let mut random = Random::new(seed);
    for _ in 0..60 {
        let step = random.below(disk.steps() + 1);
        let image = disk.crash(step, |_| random.below(2) == 0);
        let manager = engine_on(&image).build().unwrap_or_else(|it| panic!("seed {seed}: {it}"));
        check_laws(&manager);
        for (at, id) in acknowledged.iter().filter(|(at, _)| *at <= step) {
            let found = manager.reservation(*id);
            assert!(found.is_ok(), "seed {seed}, step {step}: {id} of {at} is missing");
        }
    }
}

#[test]
fn a_lying_disk_is_found_out_or_goes_back_in_time_but_never_makes_units() {
    let seed = seed();
    let disk = SimulatedDisk::new();
    disk.lie(true);
    let (seen, _) = scripted(&disk, seed, 40);
    let mut random = Random::new(seed);
    for step in 0..=disk.steps() {
        let image = disk.crash(step, |_| random.below(2) == 0);
        // What such a disk loses may have been recorded as durable; that is damage, and told.
        if let Ok(manager) = engine_on(&image).build() {
            check_laws(&manager);
            let entries = manager.recovery_report().map_or(0, |it| it.entries);
            let at = seen.partition_point(|it| it.entries <= entries);
            if let Some(last) = at.checked_sub(1) {
                assert_eq!(counts(&manager), seen[last].counts, "seed {seed}, step {step}");
            }
        }
    }
}

#[test]
fn a_disk_that_fails_stops_the_engine_and_one_that_comes_back_loses_nothing() {
    let disk = SimulatedDisk::new();
    let journal = on(&disk).sync_interval(Duration::from_millis(1));
    let builder = InventoryManager::builder().journal(journal).warehouse("SF");
    let manager = builder.build().expect("a new journal");
    manager.add_stock(("SF", "LAPTOP"), 100_000, "SUPPLIER").expect("room");
    let faults: [(&dyn Fn(bool), &str); 3] = [
        (&|on| disk.fail_fsync(on), "failed syncs"),
        (&|on| disk.fail_appends(on), "failed appends"),
        (&|on| disk.fill(on.then_some(50)), "a full disk"),
    ];
    let mut sold = 0;
    for (fault, what) in faults {
        fault(true);
        let stopped = AtomicBool::new(false);
        for _ in 0..2_000 {
            match manager.sell(("SF", "LAPTOP"), 1) {
                Ok(_) => sold += 1,
                Err(_) => {
                    stopped.store(true, Ordering::Relaxed);
                    break;
                }
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        assert!(stopped.into_inner(), "{what}: the engine goes on");
        assert!(manager.flush().wait().is_err(), "{what}: a flush says that all is well");
        assert_eq!(
            manager.sold(("SF", "LAPTOP")).expect("known"),
            sold,
            "{what}: reads are answered"
        );
        fault(false);
        let deadline = std::time::Instant::now() + MINUTE;
        while manager.sell(("SF", "LAPTOP"), 1).is_err() {
            assert!(std::time::Instant::now() < deadline, "{what}: the engine does not go on");
            std::thread::sleep(Duration::from_millis(1));
        }
        sold += 1;
        manager.flush().wait().expect("the disk is back");
        // Nothing lost, nothing twice; and what was synced before the failure can't be relied on.
        let image = disk.crash(disk.steps(), |_| false);
        let again = InventoryManager::builder().journal(image).warehouse("SF");
        let again = again.without_threads().build().unwrap_or_else(|it| panic!("{what}: {it}"));
        assert_eq!(again.sold(("SF", "LAPTOP")).expect("known"), sold, "{what}");
    }
}
