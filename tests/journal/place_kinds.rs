//! The journal's place beside the engine: the lock, archives and backups in the journal's own
//! directory, modes, network file systems; and a place that changes between any two steps.

use std::fs;
use std::io;
use std::path::Path;

use stockade::testing::SimulatedDisk;
use stockade::{
    BuildError, FileStorage, Health, InventoryManager, JournalError, JournalOptions, JournalReader,
    JournalRetention, PlacePart, Storage, StorageFile, redact_with_archive,
};

use crate::disks::Scratch;
use crate::pass_on::pass_on;
use crate::state::{engine_on, on};

const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");

fn build(journal: impl Into<JournalOptions>) -> Result<InventoryManager, BuildError> {
    InventoryManager::builder().warehouse("SF").journal(journal).build()
}

/// What a run on a disk whose place changes acknowledged as durable, in units.
fn acknowledged(disk: &SimulatedDisk) -> u32 {
    let Ok(manager) = engine_on(on(disk).segment_bytes(1_000)).build() else { return 0 };
    let mut acknowledged = 0;
    for units in 1..=30 {
        let _ = manager.add_stock(LAPTOPS, 1, "SUPPLIER");
        manager.run_until_idle();
        if manager.flush().wait().is_ok() {
            acknowledged = units;
        }
    }
    std::mem::forget(manager);
    acknowledged
}

fn units_in(journal: &SimulatedDisk) -> u32 {
    let manager = engine_on(journal).build().expect("a sound journal");
    manager.available(LAPTOPS).unwrap_or_default()
}

#[test]
fn nothing_is_acknowledged_that_is_not_in_the_place_that_stays() {
    let whole = SimulatedDisk::new();
    assert_eq!(acknowledged(&whole), 30);
    let segments = |disk: &SimulatedDisk| -> Vec<String> {
        let names = disk.files().into_iter().map(|(name, _)| name);
        names.filter(|name| name.ends_with(".journal")).collect()
    };
    assert!(segments(&whole).len() > 3, "segments follow one another");
    let parts = [PlacePart::Directory, PlacePart::Lock, PlacePart::File("0000000002.journal")];
    for part in parts {
        let mut refused = 0;
        // A segment can be another one only once there is one.
        let is_there = |step: &usize| match part {
            PlacePart::File(name) => {
                segments(&whole.crash(*step, |_| true)).iter().any(|it| it == name)
            }
            _ => *step > 0,
        };
        for step in (0..whole.steps()).filter(is_there) {
            let disk = SimulatedDisk::new();
            disk.replace(part, step..usize::MAX);
            let told = acknowledged(&disk);
            refused += u32::from(told < 30);
            if matches!(part, PlacePart::File(_)) && told == 30 {
                // The change came after the engine had left that segment.
                continue;
            }
            // What stays is what was there when the place changed.
            let stays = disk.crash(step, |_| false);
            let there = units_in(&stays);
            assert!(told <= there, "{part:?} at step {step}: {told} told, {there} there");
            // And no segment was begun since.
            let (before, after) = (segments(&disk.crash(step, |_| true)), segments(&disk));
            let begun: Vec<_> = after.iter().filter(|name| !before.contains(name)).collect();
            assert!(begun.is_empty(), "{part:?} at step {step}: {begun:?}");
        }
        assert!(refused > 5, "{part:?}: {refused}");
    }
}

#[test]
fn the_same_place_lets_the_engine_go_on_and_nothing_is_lost() {
    let whole = SimulatedDisk::new();
    acknowledged(&whole);
    for step in 0..whole.steps() {
        let disk = SimulatedDisk::new();
        let Ok(manager) = engine_on(on(&disk).segment_bytes(1_000)).build() else { continue };
        let from = disk.steps().max(step);
        disk.replace(PlacePart::Directory, from..from + 3);
        for _ in 0..10 {
            let _ = manager.add_stock(LAPTOPS, 1, "SUPPLIER");
            manager.run_until_idle();
            let _ = manager.flush().wait();
        }
        // Come back for good.
        disk.replace(PlacePart::Directory, usize::MAX..usize::MAX);
        while manager.flush().wait().is_err() {
            manager.run_until_idle();
        }
        let units = manager.available(LAPTOPS).unwrap_or_default();
        assert_eq!(units_in(&disk.crash(disk.steps(), |_| false)), units, "step {step}");
        std::mem::forget(manager);
    }
}

#[cfg(unix)]
#[test]
fn an_archive_or_a_backup_in_the_journals_own_directory_is_refused_by_whatever_path() {
    let scratch = Scratch::new("same-place");
    let here = scratch.join("journal");
    drop(build(&here).expect("a new journal"));
    std::os::unix::fs::symlink(&here, scratch.join("link")).expect("a link");
    let slashed = format!("{}//", here.display());
    let dotted = here.join("..").join("journal");
    let relative = {
        let here = fs::canonicalize(&here).expect("a directory");
        let depth = std::env::current_dir().expect("a directory").components().count() - 1;
        Path::new(&"../".repeat(depth)).join(here.strip_prefix("/").expect("absolute"))
    };
    let ways = [here.clone(), scratch.join("link"), slashed.into(), dotted, relative];
    let refused = |what| JournalError::SamePlace { what };
    for way in &ways {
        let retention = JournalRetention::archive(way);
        let built = build(JournalOptions::directory(&here).retention(retention)).map(|_| ());
        assert_eq!(built, Err(BuildError::Journal(refused("archive"))), "{way:?}");
        let (journal, archive) = (FileStorage::new(&here), FileStorage::new(way));
        let erased = redact_with_archive(journal, archive, |_| false);
        assert_eq!(erased.expect_err("one place"), refused("archive"), "{way:?}");
    }
    let manager = build(&here).expect("a journal");
    let inside = ways.iter().flat_map(|way| [way.clone(), way.join("a"), way.join("a/b")]);
    for target in inside {
        let copied = manager.backup(&target);
        assert_eq!(copied.expect_err("one place"), refused("backup"), "{target:?}");
    }
    assert!(!here.join("a").exists());
    manager.backup(scratch.join("apart")).expect("a directory beside it");
    // A new journal whose archive is the same directory, which does not exist yet.
    let new = scratch.join("new");
    let options = JournalOptions::directory(&new).retention(JournalRetention::archive(&new));
    assert_eq!(build(options).map(|_| ()), Err(BuildError::Journal(refused("archive"))));
    let disk = SimulatedDisk::new();
    let options = on(&disk).retention(JournalRetention::archive_on(disk.clone()));
    assert_eq!(build(options).map(|_| ()), Err(BuildError::Journal(refused("archive"))));
}

#[test]
fn the_lock_says_who_holds_it_and_that_it_is_not_to_be_removed() {
    let scratch = Scratch::new("lock-text");
    let here = scratch.join("journal");
    for opening in 1..=2 {
        let manager = build(&here).expect("a journal");
        let text = fs::read_to_string(here.join("lock")).expect("text");
        assert!(text.contains("Do not remove it"), "{text}");
        let expected = [format!("pid {}", std::process::id()), format!("opening {opening}")];
        for line in expected {
            assert!(text.lines().any(|it| it == line), "{text}");
        }
        assert!(text.lines().any(|it| it.starts_with("host ") && it.len() > 5), "{text}");
        drop(manager);
    }
    // Whatever it says, the next one can open, and the text is none of the old.
    fs::write(here.join("lock"), "x".repeat(10_000)).expect("written");
    drop(build(&here).expect("a journal"));
    assert!(!fs::read_to_string(here.join("lock")).expect("text").contains('x'));
    JournalReader::new(&here).verify(None).expect("sound");
}

#[cfg(unix)]
#[test]
fn a_lock_that_is_a_link_a_pipe_or_a_directory_is_refused_and_nothing_hangs() {
    let scratch = Scratch::new("odd-lock");
    let elsewhere = scratch.join("elsewhere");
    for kind in ["dangling link", "link", "pipe", "directory"] {
        let here = scratch.join(kind);
        fs::create_dir(&here).expect("a directory");
        let lock = here.join("lock");
        match kind {
            "pipe" => {
                let made = std::process::Command::new("mkfifo").arg(&lock).status();
                assert!(made.expect("mkfifo").success());
            }
            "directory" => fs::create_dir(&lock).expect("a directory"),
            _ => {
                if kind == "link" {
                    fs::write(&elsewhere, "a file").expect("written");
                }
                std::os::unix::fs::symlink(&elsewhere, &lock).expect("a link");
            }
        }
        let refused = build(&here).map(|_| ());
        let storage = matches!(&refused, Err(BuildError::Journal(JournalError::Storage { .. })));
        assert!(storage, "{kind}: {refused:?}");
        assert_eq!(elsewhere.exists(), kind != "dangling link", "{kind}: followed");
        assert!(!here.join("0000000001.journal").exists(), "{kind}");
    }
    assert_eq!(fs::read_to_string(&elsewhere).expect("a file"), "a file");
}

#[cfg(unix)]
#[test]
fn files_are_the_owners_alone_unless_the_options_say_otherwise() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    for (asked, file, directory) in
        [(None, 0o600, 0o700), (Some(0o640), 0o640, 0o750), (Some(0o066), 0o666, 0o777)]
    {
        let scratch = Scratch::new("modes");
        let (here, archive) = (scratch.join("deep/journal"), scratch.join("archive"));
        let options = || {
            let journal = JournalOptions::directory(&here).segment_bytes(3_000);
            // The auditor may still be at work on what was due at the end.
            let journal = journal.wait_for_lock(crate::state::MINUTE);
            let journal =
                journal.checkpoint_every(1).retention(JournalRetention::archive(&archive));
            asked.into_iter().fold(journal, JournalOptions::file_mode)
        };
        let limits = stockade::Limits::new().audit_retained(10);
        let builder = InventoryManager::builder().warehouse("SF").limits(limits);
        let manager = builder.journal(options()).build().expect("a new journal");
        let begun = std::time::Instant::now();
        while !archive.join("0000000001.journal").exists() {
            manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
            // So that the auditor keeps up.
            manager.flush().wait().expect("written");
            assert!(begun.elapsed() < crate::state::MINUTE, "nothing is archived");
        }
        manager.backup(scratch.join("backup")).expect("room");
        drop(manager);
        let mut kinds = std::collections::BTreeSet::new();
        for place in [&here, &archive, &scratch.join("backup"), &scratch.join("deep")] {
            assert_eq!(mode(place), directory, "{place:?}");
            for found in fs::read_dir(place).expect("a directory").flatten() {
                if found.path().is_file() {
                    assert_eq!(mode(&found.path()), file, "{found:?}");
                    let name = found.file_name().into_string().expect("a name");
                    kinds.insert(
                        name.trim_start_matches(|it: char| it.is_ascii_hexdigit()).to_owned(),
                    );
                }
            }
        }
        // Segments, checkpoints, the mark of the beginning, the lock.
        assert!(kinds.len() >= 4, "{kinds:?}");
        // What exists keeps its mode.
        fs::set_permissions(&here, fs::Permissions::from_mode(0o711)).expect("its owner");
        fs::set_permissions(here.join("lock"), fs::Permissions::from_mode(0o604)).expect("owner");
        drop(build(options()).expect("a journal"));
        assert_eq!((mode(&here), mode(&here.join("lock"))), (0o711, 0o604));
    }
}

/// A storage on a network file system.
struct OnNetwork(SimulatedDisk);

impl Storage for OnNetwork {
    pass_on!(0: lock list read create rename remove sync_directory);

    fn network_file_system(&self) -> Option<&'static str> {
        Some("NFS")
    }
}

#[test]
fn health_warns_of_a_network_file_system() {
    let manager = build(OnNetwork(SimulatedDisk::new())).expect("a new journal");
    let Health::Degraded { reason } = manager.health() else { panic!("{:?}", manager.health()) };
    assert!(reason.contains("network file system (NFS)"), "{reason}");
    manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("it works");
    manager.flush().wait().expect("it works");
}

#[test]
fn clones_of_a_storage_share_one_lock_wherever_its_path_leads() {
    let scratch = Scratch::new("clones");
    let (here, moved) = (scratch.join("journal"), scratch.join("moved"));
    let files = FileStorage::new(&here);
    let first = build(files.clone()).expect("a new journal");
    fs::rename(&here, &moved).expect("a rename");
    let second = build(files.clone()).map(|_| ());
    assert_eq!(second, Err(BuildError::Journal(JournalError::Locked)));
    drop(first);
    drop(build(files).expect("another journal, at the path"));
    JournalReader::new(&moved).verify(None).expect("sound");
}

/// A directory whose place is not compared.
#[derive(Clone)]
struct Unwatched(FileStorage);

impl Storage for Unwatched {
    pass_on!(0: lock list read create rename remove sync_directory);
}

/// Synced sales a second, one after another, with and without the comparison of the place.
#[test]
#[ignore = "a measurement"]
fn what_the_comparison_costs() {
    const SALES: u32 = 1_000;
    let scratch = Scratch::new("place-cost");
    let mut rates = [Vec::new(), Vec::new()];
    for round in 0..9 {
        for (watched, rates) in [true, false].into_iter().zip(&mut rates) {
            let files = FileStorage::new(scratch.join(&format!("{watched}-{round}")));
            let options = match watched {
                true => JournalOptions::storage(files),
                false => JournalOptions::storage(Unwatched(files)),
            };
            let builder = InventoryManager::builder().warehouse("SF").journal(options);
            let manager = builder.durability(stockade::Durability::Synced).build().expect("new");
            manager.add_stock(LAPTOPS, SALES, "SUPPLIER").expect("room");
            let begun = std::time::Instant::now();
            for _ in 0..SALES {
                manager.sell(LAPTOPS, 1).expect("units");
            }
            rates.push(f64::from(SALES) / begun.elapsed().as_secs_f64());
        }
    }
    for (name, rates) in ["compared", "not compared"].into_iter().zip(&mut rates) {
        rates.sort_by(f64::total_cmp);
        let [least, .., most] = rates[..] else { return };
        let text = format!(
            "{name}: {:.0} synced sales/s ({least:.0} to {most:.0})\n",
            rates[rates.len() / 2]
        );
        io::Write::write_all(&mut io::stderr(), text.as_bytes()).expect("stderr");
    }
}
