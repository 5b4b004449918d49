//! Real directories that fail: removed, emptied, full.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use stockade::{
    CallError, Durability, Health, InventoryManager, JournalOptions, Limits, NotStarted,
    ReserveError, Uncertain,
};

use crate::state::MINUTE;

const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");

/// A directory that belongs to this test. It is removed when the test ends.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("stockade-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a temporary directory");
        Self(path)
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn journal(&self) -> PathBuf {
        self.join("journal")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn open(directory: &Path) -> InventoryManager {
    let journal = JournalOptions::directory(directory).least_free_space(0).segment_bytes(20_000);
    let builder = InventoryManager::builder().warehouse("SF").journal(journal);
    let builder = builder.limits(Limits::new().max_reservations(8_192));
    builder.durability(Durability::Synced).build().expect("a sound journal")
}

/// Sells laptops one by one until the engine notices that the disk fails. Returns how many were
/// sold.
fn sell_until_stopped(manager: &InventoryManager) -> u32 {
    let deadline = Instant::now() + MINUTE;
    while Instant::now() < deadline {
        match manager.sell(LAPTOPS, 1) {
            Err(ReserveError::Call(CallError::NotStarted(NotStarted::Stopped { .. }))) => {
                assert!(matches!(manager.health(), Health::Stopped { .. }));
                return manager.sold(LAPTOPS).expect("known");
            }
            Ok(_) | Err(ReserveError::Call(CallError::Uncertain(Uncertain::NotDurable { .. }))) => {
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the engine goes on");
}

fn sell_again(manager: &InventoryManager) {
    let deadline = Instant::now() + MINUTE;
    while manager.sell(LAPTOPS, 1).is_err() {
        assert!(Instant::now() < deadline, "the engine does not go on");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_directory_that_comes_back_is_gone_on_with() {
    let scratch = Scratch::new("moved");
    let (here, there) = (scratch.journal(), scratch.0.join("elsewhere"));
    let manager = open(&here);
    manager.add_stock(LAPTOPS, 1_000_000, "SUPPLIER").expect("room");
    fs::rename(&here, &there).expect("a rename");
    let sold = sell_until_stopped(&manager);
    assert_eq!(manager.sold(LAPTOPS).expect("known"), sold, "reads are answered");
    // An empty one in its place is none to go on in.
    fs::create_dir(&here).expect("a directory");
    thread::sleep(Duration::from_millis(60));
    assert!(manager.sell(LAPTOPS, 1).is_err());
    fs::remove_dir_all(&here).expect("removed");
    fs::rename(&there, &here).expect("a rename");
    sell_again(&manager);
    let sold = manager.sold(LAPTOPS).expect("known");
    drop(manager);
    assert_eq!(open(&here).sold(LAPTOPS).expect("known"), sold);
}

#[test]
fn a_directory_that_is_removed_stops_the_engine_and_holds_nobody_up() {
    let scratch = Scratch::new("removed");
    let manager = open(&scratch.journal());
    manager.add_stock(LAPTOPS, 1_000_000, "SUPPLIER").expect("room");
    fs::remove_dir_all(scratch.journal()).expect("removed");
    sell_until_stopped(&manager);
    assert!(manager.flush().wait().is_err());
    assert!(!manager.shutdown(Duration::from_millis(100)).is_clean());
}

/// A file system of one mebibyte, if this machine allows it.
struct SmallDisk(Scratch);

impl SmallDisk {
    fn new(name: &str) -> Option<Self> {
        let scratch = Scratch::new(name);
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "none"]).arg(&scratch.0);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then(|| Self(scratch))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0.0).output();
    }
}

#[test]
fn a_full_disk_stops_the_engine_until_there_is_room_and_nothing_is_lost() {
    let Some(disk) = SmallDisk::new("full") else {
        let skipped = "skipped: this machine lets nobody mount a tmpfs\n";
        std::io::Write::write_all(&mut std::io::stderr(), skipped.as_bytes()).expect("stderr");
        return;
    };
    let directory = disk.0.journal();
    let ballast = disk.0.0.join("ballast");
    fs::write(&ballast, vec![1; 900 << 10]).expect("it fits");
    let manager = open(&directory);
    manager.add_stock(LAPTOPS, 1_000_000, "SUPPLIER").expect("room");
    sell_until_stopped(&manager);
    thread::sleep(Duration::from_millis(200));
    let unfinished = || {
        let left = fs::read_dir(&directory).expect("a directory").flatten();
        left.filter(|it| it.file_name().to_string_lossy().ends_with(".new")).count()
    };
    // An attempt may be under way at this moment; what it leaves behind would stay.
    let until = Instant::now() + Duration::from_secs(10);
    while unfinished() > 0 {
        assert!(Instant::now() < until, "attempts that came to nothing fill the disk further");
        thread::sleep(Duration::from_millis(1));
    }
    fs::remove_file(&ballast).expect("removed");
    sell_again(&manager);
    let sold = manager.sold(LAPTOPS).expect("known");
    drop(manager);
    assert_eq!(open(&directory).sold(LAPTOPS).expect("known"), sold);
}

#[test]
fn health_warns_before_the_disk_is_full() {
    let disk = stockade::testing::SimulatedDisk::new();
    let journal = JournalOptions::storage(disk.clone()).least_free_space(1_000);
    let builder = InventoryManager::builder().warehouse("SF").journal(journal);
    let manager = builder.build().expect("a new journal");
    assert_eq!(manager.health(), Health::Ok);
    disk.fill(Some(900));
    assert!(matches!(manager.health(), Health::Degraded { .. }));
}
