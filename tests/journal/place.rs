//! The journal's place is its own: a lock, a directory or a segment that is removed or replaced
//! while an engine writes. Nothing is acknowledged as durable that is not in the journal that
//! stays.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use stockade::{
    BuildError, CallError, Durability, Health, InventoryManager, JournalError, JournalOptions,
    JournalReader, Limits, NotStarted, ReserveError, Uncertain,
};

use crate::disks::Scratch;
use crate::state::MINUTE;

const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");
/// Units in stock at first, and units that are sold before the place changes.
const UNITS: u32 = 1_000_000;
const BEFORE: u32 = 20;

fn try_open(directory: &Path) -> Result<InventoryManager, BuildError> {
    open_within(directory, Duration::ZERO)
}

fn open_within(directory: &Path, wait: Duration) -> Result<InventoryManager, BuildError> {
    let journal = JournalOptions::directory(directory).least_free_space(0).segment_bytes(20_000);
    let journal = journal.wait_for_lock(wait);
    let builder = InventoryManager::builder().warehouse("SF").journal(journal);
    let builder = builder.limits(Limits::new().max_reservations(8_192));
    builder.durability(Durability::Synced).build()
}

/// An engine on a journal with some sales, all of them acknowledged as durable.
fn trading(directory: &Path) -> InventoryManager {
    let manager = try_open(directory).expect("a sound journal");
    manager.add_stock(LAPTOPS, UNITS, "SUPPLIER").expect("room");
    for _ in 0..BEFORE {
        manager.sell(LAPTOPS, 1).expect("units");
    }
    manager
}

/// The engine's place has changed: not one more sale may be acknowledged, and the engine stops.
fn assert_stops(manager: &InventoryManager, what: &str) {
    let deadline = Instant::now() + MINUTE;
    loop {
        match manager.sell(LAPTOPS, 1) {
            Err(ReserveError::Call(CallError::NotStarted(NotStarted::Stopped { .. }))) => break,
            Err(ReserveError::Call(CallError::Uncertain(Uncertain::NotDurable { .. }))) => {}
            other => panic!("{what}: acknowledged: {other:?}"),
        }
        assert!(Instant::now() < deadline, "{what}: the engine goes on");
    }
    let Health::Stopped { reason } = manager.health() else {
        panic!("{what}: {:?}", manager.health());
    };
    assert!(reason.contains("is not the one that the engine opened"), "{what}: {reason}");
    assert!(manager.flush().wait().is_err(), "{what}: a flush");
    // However often the engine tries again.
    thread::sleep(Duration::from_millis(60));
    assert!(manager.sell(LAPTOPS, 1).is_err(), "{what}: later");
}

/// A sound journal holds at least these sales.
fn assert_holds(directory: &Path, sales: u32, what: &str) {
    let verified = JournalReader::new(directory).verify(None);
    assert!(verified.is_ok(), "{what}: {verified:?}");
    // The auditor of an engine that could not end in time gives the lock back a little later.
    let again = open_within(directory, MINUTE).expect(what);
    let sold = again.sold(LAPTOPS).expect("known");
    assert!(sold >= sales, "{what}: {sold} of {sales}");
}

fn copy_of(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a directory");
    for file in fs::read_dir(from).expect("a directory") {
        let file = file.expect("a file");
        fs::copy(file.path(), to.join(file.file_name())).expect("a copy");
    }
}

fn newest_segment(directory: &Path) -> PathBuf {
    let files = fs::read_dir(directory).expect("a directory").flatten().map(|file| file.path());
    let segments = files.filter(|path| path.extension().is_some_and(|it| it == "journal"));
    segments.max().expect("a segment")
}

/// The names and contents of all files but the lock.
fn contents(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = fs::read_dir(directory).expect("a directory").flatten().map(|file| file.path());
    let files = files.filter(|path| !path.ends_with("lock"));
    let mut all: Vec<_> = files.map(|it| (it.clone(), fs::read(&it).expect("a file"))).collect();
    all.sort();
    all
}

#[test]
fn a_lock_that_is_removed_frees_no_journal() {
    let scratch = Scratch::new("lock-removed");
    let here = scratch.join("journal");
    let manager = trading(&here);
    fs::remove_file(here.join("lock")).expect("removed");
    let second = try_open(&here).map(|_| ());
    assert_eq!(second, Err(BuildError::Journal(JournalError::Locked)));
    assert_stops(&manager, "without its lock");
    drop(manager);
    assert_holds(&here, BEFORE, "without its lock");
}

#[test]
fn a_lock_that_is_another_file_stops_the_engine() {
    let scratch = Scratch::new("lock-replaced");
    let here = scratch.join("journal");
    let manager = trading(&here);
    fs::remove_file(here.join("lock")).expect("removed");
    fs::write(here.join("lock"), "").expect("written");
    assert_stops(&manager, "with another lock");
    drop(manager);
    assert_holds(&here, BEFORE, "with another lock");
}

#[test]
fn a_directory_that_another_one_replaces_stops_the_engine() {
    type Replace = fn(&Path, &Path);
    let kinds: [(&str, Replace); 4] = [
        ("nothing", |_, _| {}),
        ("an empty one", |here, _| fs::create_dir(here).expect("a directory")),
        ("its copy", |here, moved| copy_of(moved, here)),
        ("a new journal", |here, _| drop(try_open(here).expect("a new journal"))),
    ];
    for (what, replace) in kinds {
        let scratch = Scratch::new("replaced");
        let (here, moved) = (scratch.join("journal"), scratch.join("moved"));
        let manager = trading(&here);
        fs::rename(&here, &moved).expect("a rename");
        replace(&here, &moved);
        let there = here.is_dir().then(|| contents(&here));
        assert_stops(&manager, what);
        drop(manager);
        assert_eq!(here.is_dir().then(|| contents(&here)), there, "{what}: it wrote there");
        assert_holds(&moved, BEFORE, what);
    }
}

#[test]
fn a_backup_in_the_place_of_its_journal_stops_the_engine() {
    let scratch = Scratch::new("restored");
    let (here, moved) = (scratch.join("journal"), scratch.join("moved"));
    let manager = trading(&here);
    manager.backup(scratch.join("backup")).expect("room");
    fs::rename(&here, &moved).expect("a rename");
    fs::rename(scratch.join("backup"), &here).expect("a rename");
    assert_stops(&manager, "a backup");
    let again = manager.backup(scratch.join("another"));
    assert!(matches!(again, Err(JournalError::PlaceChanged { .. })), "{again:?}");
    // Somebody goes on with the backup, beside the engine that has stopped.
    let second = try_open(&here).expect("another directory");
    second.sell(LAPTOPS, 1).expect("units");
    assert!(manager.sell(LAPTOPS, 1).is_err());
    drop((manager, second));
    assert_holds(&here, BEFORE + 1, "the backup");
    assert_holds(&moved, BEFORE, "the journal");
}

#[test]
fn a_journal_that_is_removed_and_begun_anew_is_the_second_engines_alone() {
    let scratch = Scratch::new("begun-anew");
    let here = scratch.join("journal");
    let old = trading(&here);
    fs::remove_dir_all(&here).expect("removed");
    let new = trading(&here);
    assert_stops(&old, "begun anew");
    for _ in 0..BEFORE {
        new.sell(LAPTOPS, 1).expect("units");
        assert!(old.sell(LAPTOPS, 1).is_err());
    }
    // Beyond the end of its segment, too.
    for _ in 0..300 {
        new.sell(LAPTOPS, 1).expect("units");
    }
    drop(old);
    new.sell(LAPTOPS, 1).expect("units");
    drop(new);
    assert_holds(&here, 2 * BEFORE + 301, "begun anew");
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_elsewhere_stops_the_engine_until_it_leads_back() {
    let scratch = Scratch::new("link");
    let (here, own, other) = (scratch.join("link"), scratch.join("own"), scratch.join("other"));
    fs::create_dir(&own).expect("a directory");
    std::os::unix::fs::symlink(&own, &here).expect("a link");
    let manager = trading(&here);
    copy_of(&own, &other);
    let lead_to = |target: &Path| {
        fs::remove_file(&here).expect("removed");
        std::os::unix::fs::symlink(target, &here).expect("a link");
    };
    lead_to(&other);
    let there = contents(&other);
    assert_stops(&manager, "a link");
    assert_eq!(contents(&other), there);
    lead_to(&own);
    goes_on(&manager);
    let sold = manager.sold(LAPTOPS).expect("known");
    drop(manager);
    assert_holds(&own, sold, "a link");
}

fn goes_on(manager: &InventoryManager) {
    let deadline = Instant::now() + MINUTE;
    while manager.sell(LAPTOPS, 1).is_err() {
        assert!(Instant::now() < deadline, "the engine does not go on");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_segment_that_is_removed_or_another_file_stops_the_engine() {
    type Replace = fn(&Path, &Path);
    let kinds: [(&str, Replace); 2] = [
        ("moved away", |segment, aside| fs::rename(segment, aside).expect("a rename")),
        ("a copy", |segment, aside| {
            fs::rename(segment, aside).expect("a rename");
            fs::copy(aside, segment).expect("a copy");
        }),
    ];
    for (what, replace) in kinds {
        let scratch = Scratch::new("segment");
        let here = scratch.join("journal");
        let manager = trading(&here);
        let (segment, aside) = (newest_segment(&here), scratch.join("aside"));
        replace(&segment, &aside);
        assert_stops(&manager, what);
        // The same file again.
        fs::rename(&aside, &segment).expect("a rename");
        goes_on(&manager);
        let sold = manager.sold(LAPTOPS).expect("known");
        drop(manager);
        assert_holds(&here, sold, what);
    }
}

#[test]
fn an_idle_engine_notices_by_a_flush_and_by_its_health() {
    for flushes in [true, false] {
        let scratch = Scratch::new("idle-place");
        let (here, moved) = (scratch.join("journal"), scratch.join("moved"));
        let manager = trading(&here);
        manager.flush().wait().expect("it works");
        assert_eq!(manager.health(), Health::Ok);
        fs::rename(&here, &moved).expect("a rename");
        if flushes {
            assert!(manager.flush().wait().is_err(), "nothing was written, and nothing is there");
        }
        assert!(matches!(manager.health(), Health::Stopped { .. }), "{:?}", manager.health());
        assert_stops(&manager, "idle");
        fs::rename(&moved, &here).expect("a rename");
        goes_on(&manager);
        assert_eq!(manager.health(), Health::Ok);
    }
}

/// Runs a program that needs rights of the system's administrator. Whether it succeeded.
fn run(program: &str, arguments: &[&str], on: &Path) -> bool {
    let output = Command::new(program).args(arguments).arg(on).output();
    output.is_ok_and(|output| output.status.success())
}

#[test]
fn a_volume_that_is_mounted_over_or_unmounted_stops_the_engine() {
    let scratch = Scratch::new("volume");
    let volume = scratch.join("volume");
    fs::create_dir(&volume).expect("a directory");
    let mount = || run("mount", &["-t", "tmpfs", "-o", "size=4m", "none"], &volume);
    if !mount() {
        let skipped = "skipped: this machine lets nobody mount a tmpfs\n";
        std::io::Write::write_all(&mut std::io::stderr(), skipped.as_bytes()).expect("stderr");
        return;
    }
    let here = volume.join("journal");
    let manager = trading(&here);
    // Another volume above it, and away again.
    assert!(mount());
    assert_stops(&manager, "mounted over");
    assert!(run("umount", &[], &volume));
    goes_on(&manager);
    let sold = manager.sold(LAPTOPS).expect("known");
    // The volume itself goes, while the engine still has its files open.
    assert!(run("umount", &["-l"], &volume));
    fs::create_dir(&here).expect("a directory on the volume below");
    assert_stops(&manager, "unmounted");
    assert!(contents(&here).is_empty());
    assert!(manager.sold(LAPTOPS).expect("known") >= sold, "reads are answered");
}
