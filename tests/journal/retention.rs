//! Retention: old segments are archived or removed. Whatever happens meanwhile, the journal stays
//! readable.

use std::sync::Arc;
use std::time::Duration;

use stockade::testing::SimulatedDisk;
use stockade::{
    AuditFilter, BuildError, Builder, Health, InventoryManager, JournalError, JournalOptions,
    JournalReader, JournalRetention, ManualClock, Timestamp,
};

use crate::crash::{Seen, check_built, look, some_step};
use crate::state::{PRODUCTS, Random, WAREHOUSES, counts, engine_on, on, seed, small};
use crate::watched::Watched;

pub(crate) const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");

fn segments(disk: &SimulatedDisk) -> usize {
    disk.files().iter().filter(|(name, _)| name.ends_with(".journal")).count()
}

fn bytes(disk: &SimulatedDisk) -> usize {
    let segments = disk.files().into_iter().filter(|(name, _)| name.ends_with(".journal"));
    segments.map(|(_, bytes)| bytes.len()).sum()
}

pub(crate) fn checkpoints(disk: &SimulatedDisk) -> Vec<String> {
    let names = disk.files().into_iter().map(|(name, _)| name);
    names.filter(|name| name.ends_with(".checkpoint")).collect()
}

/// The disk without files of these names.
fn without(disk: &SimulatedDisk, gone: impl Fn(&str) -> bool) -> SimulatedDisk {
    SimulatedDisk::with_files(disk.files().into_iter().filter(|(name, _)| !gone(name)))
}

fn damaged(disk: &SimulatedDisk, which: &str, place: usize) -> SimulatedDisk {
    SimulatedDisk::with_files(disk.files().into_iter().map(|(name, mut bytes)| {
        if name == which {
            bytes[place] ^= 4;
        }
        (name, bytes)
    }))
}

/// Options with short segments and a checkpoint after each.
pub(crate) fn short(journal: impl Into<JournalOptions>) -> Builder {
    let journal = journal.into().segment_bytes(1_500).checkpoint_every(1);
    engine_on(journal).limits(small().audit_retained(8))
}

/// Random steps on `manager`, and the auditor's work now and then. Returns the states seen, and how
/// many entries were durable at each step of the disk.
pub(crate) fn work(
    manager: &InventoryManager,
    disk: &SimulatedDisk,
    seed: u64,
    steps: usize,
) -> (Vec<Seen>, Vec<(usize, u64)>) {
    let (mut random, mut holds) = (Random::new(seed), Vec::new());
    let (mut seen, mut acknowledged) = (Vec::new(), Vec::new());
    for place in WAREHOUSES.map(|warehouse| (warehouse, PRODUCTS[0])) {
        let _ = manager.add_stock(place, 100, "SUPPLIER");
    }
    for _ in 0..steps {
        some_step(manager, &mut random, &mut holds);
        manager.run_until_idle();
        if random.below(4) == 0 {
            assert!(manager.verify().expect("a sound journal").is_sound());
            acknowledged.push((disk.steps(), manager.audit_log().newest_sequence()));
        }
        seen.push(look(manager));
    }
    (seen, acknowledged)
}

/// A run on `disk` whose old segments were archived to `archive`. It was closed or not.
pub(crate) fn archived(
    disk: &SimulatedDisk,
    archive: &SimulatedDisk,
    steps: usize,
    end: bool,
) -> Vec<Seen> {
    let keep = JournalRetention::archive_on(archive.clone());
    let manager = short(on(disk).retention(keep)).build().expect("sound");
    let (seen, _) = work(&manager, disk, seed(), steps);
    if end {
        drop(manager)
    } else {
        std::mem::forget(manager)
    }
    assert!(segments(archive) > 2, "only {} were archived", segments(archive));
    seen
}

pub(crate) fn verify(
    disk: &SimulatedDisk,
    archive: Option<&SimulatedDisk>,
) -> Result<stockade::VerifyReport, JournalError> {
    Ok(reader(disk, archive).verify(None)?)
}

fn reader(disk: &SimulatedDisk, archive: Option<&SimulatedDisk>) -> JournalReader {
    let reader = JournalReader::on(disk.killed());
    match archive {
        Some(archive) => reader.archive_on(archive.killed()),
        None => reader,
    }
}

#[test]
fn a_power_cut_at_any_moment_of_an_archiving_loses_nothing() {
    let seed = seed();
    let (disk, archive) = (SimulatedDisk::new(), SimulatedDisk::new());
    let (watched, moments) = Watched::all(&[disk.clone(), archive.clone()]);
    let keep = JournalRetention::archive_on(watched[1].clone());
    let journal = JournalOptions::storage(watched[0].clone()).retention(keep);
    let manager = short(journal).build().expect("a new journal");
    let (seen, acknowledged) = work(&manager, &disk, seed, 120);
    std::mem::forget(manager);
    assert!(segments(&archive) > 3, "only {} segments were archived", segments(&archive));
    assert!(!watched.iter().any(|it| it.trespassed.load(std::sync::atomic::Ordering::SeqCst)));
    let moments = moments.lock().expect("no panic").clone();
    let (mut both, mut trimmed) = (0, 0);
    for at in &moments {
        let before = acknowledged.partition_point(|(step, _)| *step <= at[0]);
        let known = before.checked_sub(1).map_or(0, |index| acknowledged[index].1);
        for kind in 0..4 {
            let context = format!("seed {seed}, moment {at:?}, kind {kind}");
            let crash = |disk: &SimulatedDisk, step, some: bool| {
                disk.crash(step, |piece| some && (kind != 2 || piece % 2 == 1))
            };
            let journal = crash(&disk, at[0], kind > 0);
            // What the other disk kept has nothing to do with it.
            let old = crash(&archive, at[1], kind > 1);
            let names = |disk: &SimulatedDisk| {
                disk.files().into_iter().map(|(name, _)| name).collect::<Vec<_>>()
            };
            both += usize::from(names(&old).iter().any(|name| names(&journal).contains(name)));
            match verify(&journal, Some(&old)) {
                Err(JournalError::NoJournal) => {}
                found => assert_eq!(found.map(|it| it.oldest), Ok(1), "{context}"),
            }
            match verify(&journal, None) {
                Err(JournalError::NoJournal) => {}
                found => trimmed += usize::from(found.expect(&context).oldest > 1),
            }
            let keep = JournalRetention::archive_on(old.killed());
            let builder = short(on(&journal).retention(keep));
            let manager = builder.build().unwrap_or_else(|error| panic!("{context}: {error}"));
            check_built(&manager, &seen, known, &context);
            // It goes on archiving.
            assert!(manager.verify().expect(&context).is_sound());
            assert_eq!(manager.health(), Health::Ok, "{context}");
        }
    }
    assert!(both > 100 && trimmed > 100, "{both} times in both places, {trimmed} times trimmed");
}

#[test]
fn an_opening_needs_no_segment_that_went_not_even_if_the_newest_checkpoint_is_damaged() {
    let (disk, archive) = (SimulatedDisk::new(), SimulatedDisk::new());
    let seen = archived(&disk, &archive, 120, true);
    let last = seen.last().expect("steps");
    let names = checkpoints(&disk);
    assert_eq!(names.len(), 2);
    for gone in [None, Some(&names[0]), Some(&names[1])] {
        let image = match gone {
            Some(name) => damaged(&disk, name, 200),
            None => disk.killed(),
        };
        let manager = short(&image).build().expect("the other one is there");
        check_built(&manager, &seen, 0, "");
        assert_eq!(counts(&manager), look_counts(last));
        let recovered = manager.recovery_report().expect("a journal");
        assert_eq!(recovered.unusable_checkpoints.len(), usize::from(gone.is_some()));
    }
    // With both damaged the archive is the last resort, and without it there is none.
    let image = damaged(&damaged(&disk, &names[0], 200), &names[1], 200);
    let refused = short(image.killed()).build().map(drop);
    assert!(matches!(refused, Err(BuildError::Journal(JournalError::Damaged { .. }))));
    let keep = JournalRetention::archive_on(archive.killed());
    let manager = short(on(&image).retention(keep)).build().expect("all is there");
    assert_eq!(counts(&manager), look_counts(last));
    assert_eq!(manager.recovery_report().expect("a journal").checkpoint, None);
}

fn look_counts(seen: &Seen) -> Vec<stockade::Counts> {
    seen.counts.clone()
}

#[test]
fn however_long_an_engine_lives_its_journal_stays_short() {
    let disk = SimulatedDisk::new();
    let archive = SimulatedDisk::new();
    for (most, keep) in [
        (7_000, JournalRetention::remove()),
        (15_000, JournalRetention::remove().over_bytes(12_000)),
        (7_000, JournalRetention::archive_on(archive.clone())),
    ] {
        let mut largest = 0;
        for run in 0..6 {
            let builder = short(on(&disk).retention(keep.clone()));
            let manager = builder.build().expect("a sound journal");
            let recovered = manager.recovery_report().expect("a journal").clone();
            let behind = recovered.entries - recovered.checkpoint.unwrap_or(0);
            assert!(behind < 300, "{behind} entries were replayed");
            work(&manager, &disk, seed() + run, 150);
            largest = largest.max(bytes(&disk));
            assert_eq!(manager.health(), Health::Ok);
        }
        assert!(largest < most, "{largest} bytes with {keep:?}");
    }
    assert!(bytes(&archive) > 30_000);
}

#[test]
fn an_audit_reaches_back_through_the_archive() {
    let (disk, archive) = (SimulatedDisk::new(), SimulatedDisk::new());
    archived(&disk, &archive, 120, false);
    let all = |archive| {
        let mut entries = Vec::new();
        let every = AuditFilter::new().limit(usize::MAX);
        let read = reader(&disk, archive).entries(&every, |entry| entries.push(entry));
        read.map(|()| entries)
    };
    let whole = all(Some(&archive)).expect("all is there");
    let sequences: Vec<u64> = whole.iter().map(|entry| entry.sequence).collect();
    assert_eq!(sequences, (1..=whole.len() as u64).collect::<Vec<_>>());
    // Without the archive, what is left of it.
    let found = verify(&disk, None).expect("it begins with a checkpoint");
    assert!(1 < found.oldest && found.begun_after >= Some(found.oldest), "{found:?}");
    let left = all(None).expect("sound");
    assert_eq!(left, whole[found.oldest as usize - 1..]);
    assert_eq!(reader(&disk, None).oldest_entry(), Ok(found.oldest));
    let with = verify(&disk, Some(&archive)).expect("sound");
    assert_eq!((with.oldest, with.begun_after, with.head), (1, None, found.head));
    let bytes = JournalReader::on(disk.killed()).verify_checksums(None).expect("sound");
    assert_eq!((bytes.oldest, bytes.head), (found.oldest, found.head));
    // Heads of what is left are known, and older ones with the archive only.
    let head = stockade::HeadHash(found.head.hash);
    assert!(reader(&disk, None).verify(Some(head)).is_ok());
    // Stock, now and then.
    let stock = |archive, until| reader(&disk, archive).stock(until);
    assert_eq!(stock(None, None), stock(Some(&archive), None));
    let early = Some(Timestamp::from_millis(1));
    assert!(matches!(stock(None, early), Err(JournalError::Trimmed { .. })));
    assert_eq!(stock(Some(&archive), early).map(|it| it.rows.len()), Ok(0));
    let page = reader(&disk, None).query(&AuditFilter::new().limit(3)).expect("sound");
    assert_eq!(page.oldest_sequence, Some(found.oldest));
}

#[test]
fn a_segment_that_is_missing_is_damage_unless_it_was_taken_away_on_purpose() {
    let (disk, archive) = (SimulatedDisk::new(), SimulatedDisk::new());
    archived(&disk, &archive, 100, true);
    assert!(verify(&disk, None).is_ok());
    let is_damaged = |image: &SimulatedDisk, archive: Option<&SimulatedDisk>, what: &str| {
        let found = verify(image, archive);
        assert!(matches!(found, Err(JournalError::Damaged { .. })), "{what}: {found:?}");
    };
    let mut names: Vec<String> = disk.files().into_iter().map(|(name, _)| name).collect();
    names.retain(|name| name.ends_with(".journal"));
    names.sort();
    // Of the newest, a copy has no witness: no later file knows of it.
    for name in &names[..names.len() - 1] {
        let image = without(&disk, |it| it == name);
        is_damaged(&image, None, name);
        let opened = short(&image).build().map(drop);
        assert!(matches!(opened, Err(BuildError::Journal(JournalError::Damaged { .. }))), "{name}");
    }
    // The mark of where it begins.
    is_damaged(&without(&disk, |it| it == "trimmed"), None, "no mark");
    for place in 0..96 {
        is_damaged(&damaged(&disk, "trimmed", place), None, "a flipped bit of the mark");
        is_damaged(&damaged(&disk, "trimmed", place), Some(&archive), "a flipped bit");
    }
    // All of the archive counts, once it is asked for.
    for (name, bytes) in archive.files().iter().filter(|(name, _)| name.ends_with(".journal")) {
        for place in [0, 60, 140, bytes.len() - 1] {
            is_damaged(&disk, Some(&damaged(&archive, name, place)), name);
        }
    }
    let found = verify(&disk, Some(&without(&archive, |name| name.starts_with("0000000002"))));
    assert_eq!(found.map(|it| it.oldest > 1), Ok(true), "what an archive lacks is not there");
}

#[test]
fn a_journal_that_nobody_trimmed_may_lack_no_segment_whatever_checkpoints_say() {
    let disk = SimulatedDisk::new();
    let manager = short(&disk).build().expect("a new journal");
    work(&manager, &disk, seed(), 80);
    drop(manager);
    assert_eq!(checkpoints(&disk).len(), 2);
    let image = without(&disk, |name| name == "0000000001.journal");
    assert!(matches!(verify(&image, None), Err(JournalError::Damaged { .. })));
    let opened = short(&image).build().map(drop);
    assert!(matches!(opened, Err(BuildError::Journal(JournalError::Damaged { .. }))));
}

#[test]
fn segments_go_when_they_are_old() {
    let disk = SimulatedDisk::new();
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000_000)));
    let hour = Duration::from_secs(3_600);
    let keep = JournalRetention::remove().older_than(hour);
    let builder = short(on(&disk).retention(keep)).clock(Arc::clone(&clock));
    let manager = builder.build().expect("a new journal");
    work(&manager, &disk, seed(), 100);
    let young = segments(&disk);
    assert!(young > 6, "{young}");
    assert_eq!(verify(&disk, None).map(|it| it.oldest), Ok(1));
    clock.advance(hour / 2);
    work(&manager, &disk, seed() + 1, 40);
    assert_eq!(verify(&disk, None).map(|it| it.oldest), Ok(1), "nothing is as old");
    let half = manager.audit_log().newest_sequence();
    clock.advance(hour / 2);
    work(&manager, &disk, seed() + 2, 40);
    let oldest = verify(&disk, None).expect("sound").oldest;
    assert!(1 < oldest && oldest < half, "{oldest}: only the first half hour's are old");
    assert_eq!(manager.health(), Health::Ok);
}

#[test]
fn an_archive_that_fails_shows_in_health_and_stops_nobody() {
    let (disk, archive) = (SimulatedDisk::new(), SimulatedDisk::new());
    let keep = JournalRetention::archive_on(archive.clone());
    let manager = short(on(&disk).retention(keep)).build().expect("a new journal");
    let faults: [(&dyn Fn(bool), &str); 3] = [
        (&|on| archive.fill(on.then_some(700)), "full"),
        (&|on| archive.fail_fsync(on), "failing to sync"),
        (&|on| archive.fail_appends(on), "failing to write"),
    ];
    for (index, (fault, what)) in faults.into_iter().enumerate() {
        let before = segments(&archive);
        fault(true);
        work(&manager, &disk, seed() + index as u64, 80);
        let Health::Degraded { reason } = manager.health() else { panic!("{what}: all is well") };
        assert!(reason.contains("archive"), "{what}: {reason}");
        assert_eq!(verify(&disk, Some(&archive)).map(|it| it.oldest), Ok(1), "{what}");
        fault(false);
        work(&manager, &disk, seed() + 7, 40);
        assert_eq!(manager.health(), Health::Ok, "{what}");
        assert!(segments(&archive) > before, "{what}");
        assert_eq!(verify(&disk, Some(&archive)).map(|it| it.oldest), Ok(1), "{what}");
        assert!(segments(&disk) < 6, "{what}");
    }
}

#[test]
fn the_archive_of_another_journal_is_left_as_it_is() {
    let (disk, archive) = (SimulatedDisk::new(), SimulatedDisk::new());
    archived(&disk, &archive, 80, true);
    let before = archive.files();
    let other = SimulatedDisk::new();
    let keep = JournalRetention::archive_on(archive.clone());
    let manager = short(on(&other).retention(keep)).build().expect("a new journal");
    work(&manager, &other, seed() + 1, 60);
    let Health::Degraded { reason } = manager.health() else { panic!("all is well") };
    assert!(reason.contains("another journal"), "{reason}");
    assert_eq!(archive.files(), before);
    assert_eq!(verify(&other, None).map(|it| it.oldest), Ok(1));
}

#[test]
fn what_trims_needs_the_checkpoints_that_it_trims_to() {
    type Change = fn(JournalOptions) -> JournalOptions;
    let build = |change: Change| {
        let journal = on(&SimulatedDisk::new()).retention(JournalRetention::remove());
        engine_on(change(journal)).build().map(drop)
    };
    assert_eq!(build(|it| it), Ok(()));
    for change in [(|it| it.auditor(false)) as Change, |it| it.checkpoint_every(None)] {
        let refused = build(change).expect_err("it could never trim");
        let BuildError::Setting { setting, .. } = refused else { panic!("{refused:?}") };
        assert_eq!(setting, "journal_retention");
    }
}
