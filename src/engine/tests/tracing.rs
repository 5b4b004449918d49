//! Tests of what an engine writes to its service's log, through the `tracing` crate.

use std::sync::{Arc, Mutex};

use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::base::quantity::Quantity;
use crate::engine::{Builder, InventoryManager};
use crate::journal::storage::simulated::SimulatedDisk;

const MINUTE: Duration = Duration::from_secs(60);

/// A subscriber that calls this for each event of the library's.
struct OnEvent<F>(F);

struct Message<'a>(&'a mut String);

impl Visit for Message<'_> {
    fn record_debug(&mut self, _: &Field, value: &dyn std::fmt::Debug) {
        *self.0 += &format!("{value:?}");
    }
}

impl<F: Fn(&Event<'_>) + Send + Sync + 'static> Subscriber for OnEvent<F> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("stockade")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        (self.0)(event);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The events that this thread logs while it runs `work`.
fn logged(work: impl FnOnce()) -> Vec<(Level, String)> {
    let told = Arc::<Mutex<Vec<_>>>::default();
    let heard = Arc::clone(&told);
    let capture = OnEvent(move |event: &Event<'_>| {
        let mut text = String::new();
        event.record(&mut Message(&mut text));
        heard.lock().expect("no panic").push((*event.metadata().level(), text));
    });
    tracing::subscriber::with_default(capture, work);
    std::mem::take(&mut *told.lock().expect("no panic"))
}

fn engine_on(disk: &SimulatedDisk) -> Builder {
    let builder = InventoryManager::builder().warehouse("SF").without_threads();
    builder.journal(disk.clone())
}

fn stocked(disk: &SimulatedDisk) -> InventoryManager {
    let manager = engine_on(disk).build().expect("a journal");
    manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER").expect("room");
    manager.flush().wait().expect("written");
    manager
}

#[test]
fn an_engine_that_is_well_tells_nothing() {
    let told = logged(|| {
        let manager = stocked(&SimulatedDisk::new());
        let hold = manager.reserve(("SF", "LAPTOP"), 1, MINUTE).expect("stock");
        manager.confirm(hold).expect("pending");
        assert!(manager.verify().expect("sound").is_sound());
    });
    assert_eq!(told, []);
}

#[test]
fn a_broken_law_is_told_once_with_the_entry_that_broke_it() {
    let manager = stocked(&SimulatedDisk::new());
    // Units without a record, and then a reservation that takes some of them.
    let laptops = manager.stock_level(("SF", "LAPTOP")).expect("a level");
    laptops.receive(Quantity::new(3).expect("legal"), &*manager.engine);
    manager.reserve(("SF", "LAPTOP"), 13, MINUTE).expect("stock");
    let told = logged(|| {
        for _ in 0..2 {
            manager.verify().expect_err("a broken law");
        }
    });
    let [(Level::ERROR, broken)] = &told[..] else { panic!("{told:?}") };
    let entry = manager.audit_log().newest_sequence();
    assert!(broken.contains(&format!("entry {entry} breaks a law")), "{broken}");
}

#[test]
fn a_disk_that_fails_is_told_once_and_so_is_its_return() {
    let disk = SimulatedDisk::new();
    let manager = stocked(&disk);
    let told = logged(|| {
        disk.fill(Some(0));
        manager.sell(("SF", "LAPTOP"), 1).expect("stock");
        for _ in 0..5 {
            manager.run_until_idle();
        }
        disk.fill(None);
        manager.run_until_idle();
        manager.sell(("SF", "LAPTOP"), 1).expect("a disk with room");
    });
    let [(Level::ERROR, stopped), (Level::INFO, again)] = &told[..] else { panic!("{told:?}") };
    assert!(stopped.starts_with("nothing may move: "), "{stopped}");
    assert!(again.contains("may move"), "{again}");
}

#[test]
fn a_torn_tail_that_is_cut_is_told() {
    let disk = SimulatedDisk::new();
    let manager = stocked(&disk);
    manager.sell(("SF", "LAPTOP"), 1).expect("stock");
    manager.run_until_idle();
    let mut files = disk.files();
    let newest = files.iter_mut().rfind(|(name, _)| name.ends_with(".journal"));
    let (name, bytes) = newest.expect("a segment");
    bytes.pop();
    let name = name.clone();
    let torn = SimulatedDisk::with_files(files);
    let told = logged(|| drop(engine_on(&torn).build().expect("a torn tail is no damage")));
    let [(Level::WARN, cut)] = &told[..] else { panic!("{told:?}") };
    assert!(cut.contains("a torn tail is cut") && cut.contains(&name), "{cut}");
}

/// Lets a subscriber hear of `work` that calls the engine for each event, and panics then.
fn called_back(manager: &InventoryManager, work: impl FnOnce(InventoryManager) + Send + 'static) {
    let (heard, manager) = (Arc::new(Mutex::new(0)), manager.clone());
    let (engine, count) = (manager.clone(), Arc::clone(&heard));
    let calls_back = OnEvent(move |_: &Event<'_>| {
        assert!(engine.journal_head().is_some());
        let (_, _, _) = (engine.health(), engine.verify(), engine.flush().wait());
        let _ = engine.redact(|_| false);
        *count.lock().expect("no panic") += 1;
        panic!("a subscriber with a bug");
    });
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        tracing::subscriber::with_default(calls_back, || work(manager));
        let _ = done.send(());
    });
    ended.recv_timeout(MINUTE / 2).expect("it hangs, or the panic went on");
    assert!(*heard.lock().expect("no panic") > 0);
}

#[test]
fn a_subscriber_is_called_under_no_lock_and_may_panic() {
    let disk = SimulatedDisk::new();
    let manager = stocked(&disk);
    // A write that fails, in the writer.
    called_back(&manager, {
        let disk = disk.clone();
        move |manager| {
            disk.fill(Some(0));
            manager.sell(("SF", "LAPTOP"), 1).expect("stock");
            manager.flush().wait().expect_err("a full disk");
            disk.fill(None);
            manager.run_until_idle();
        }
    });
    // A sync that fails, and a broken law, which the auditor finds.
    called_back(&manager, move |manager| {
        disk.fail_fsync(true);
        manager.sell(("SF", "LAPTOP"), 1).expect("stock");
        manager.flush().wait().expect_err("a broken disk");
        disk.fail_fsync(false);
        manager.run_until_idle();
        manager.flush().wait().expect("well again");
        let laptops = manager.stock_level(("SF", "LAPTOP")).expect("a level");
        laptops.receive(Quantity::new(90).expect("legal"), &*manager.engine);
        manager.reserve(("SF", "LAPTOP"), 80, MINUTE).expect("stock");
        manager.verify().expect_err("a broken law");
    });
}
