//! What callers pass, and where they call from: conversions, and destructors of thread-locals.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;
use std::{cell::RefCell, env, thread};

use stockade::testing::SimulatedDisk;
use stockade::{Durability, IdempotencyKey, InventoryManager, LevelRef};

use crate::common::{LAPTOPS, clock, counts, quiet, threaded};

/// What a thread does in the destructor of its thread-local.
struct AtTheEnd(Option<Box<dyn FnOnce()>>);

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(|call| call());
    }
}

thread_local! {
    static AT_THE_END: RefCell<AtTheEnd> = const { RefCell::new(AtTheEnd(None)) };
}

/// Every kind of call, out of a destructor that runs after those of the engine's thread-locals.
fn call_in_a_destructor(manager: InventoryManager, warm: bool) {
    thread::spawn(move || {
        let inside = manager.clone();
        let calls = Box::new(move || {
            let hour = Duration::from_secs(3_600);
            let id = inside.reserve(LAPTOPS, 1, hour).expect("stock");
            inside.confirm(id).expect("there");
            // More ids than a thread has random words for.
            for _ in 0..100 {
                let id = inside.reserve(LAPTOPS, 1, hour).expect("stock");
                let _ = inside.release(id).expect("there");
            }
            let key = IdempotencyKey::try_from("one").expect("legal");
            inside.request().key(key).sell(LAPTOPS, 1).expect("stock");
            inside.transfer("SF", "NYC", "LAPTOP", 1).expect("stock");
            let synced = inside.request().durability(Durability::Synced);
            synced.sell(LAPTOPS, 1).expect("stock");
            inside.flush().wait().expect("well");
            inside.redact(|_| false).expect("well");
            assert_eq!(inside.available(LAPTOPS), Ok(6));
        });
        // Thread-locals die in the order in which they were made, or in the other one.
        if warm {
            manager.reserve(LAPTOPS, 1, Duration::ZERO).ok();
        }
        AT_THE_END.with_borrow_mut(|it| it.0 = Some(calls));
        if !warm {
            let id = manager.reserve(LAPTOPS, 1, Duration::from_secs(60)).expect("stock");
            let _ = manager.release(id).expect("there");
        }
    })
    .join()
    .expect("no panic");
}

/// A panic in such a destructor ends the process, so this runs in a process of its own.
#[test]
fn calls_in_the_destructor_of_a_thread_local_work() {
    const CHILD: &str = "STOCKADE_TEST_DESTRUCTORS";
    if env::var_os(CHILD).is_some() {
        for warm in [false, true] {
            for journal in [false, true] {
                let builder = threaded();
                let builder = if journal { builder.journal(SimulatedDisk::new()) } else { builder };
                let manager = builder.build().expect("legal settings");
                manager.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
                call_in_a_destructor(manager, warm);
            }
        }
        return;
    }
    let mut child = Command::new(env::current_exe().expect("this test"));
    child.args(["--exact", "callers::calls_in_the_destructor_of_a_thread_local_work"]);
    let ended = child.env(CHILD, "1").output().expect("this test");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

/// A name that can't be had.
struct NoName;

impl From<NoName> for LevelRef<'static> {
    fn from(_: NoName) -> Self {
        panic!("a conversion with a bug")
    }
}

impl AsRef<str> for NoName {
    fn as_ref(&self) -> &str {
        panic!("a conversion with a bug")
    }
}

#[test]
fn a_conversion_that_panics_has_moved_nothing() {
    let manager = quiet(&clock()).build().expect("legal settings");
    manager.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
    let before = counts(&manager, LAPTOPS);
    let key = || IdempotencyKey::try_from("one").expect("legal");
    let sells = || manager.request().key(key()).sell(NoName, 1).map(drop);
    assert!(catch_unwind(AssertUnwindSafe(sells)).is_err());
    let notes = || drop(manager.request().note(NoName, "x"));
    assert!(catch_unwind(AssertUnwindSafe(notes)).is_err());
    assert_eq!(counts(&manager, LAPTOPS), before);
    manager.request().key(key()).sell(LAPTOPS, 1).expect("the key is free");
}

/// The engine does nothing of its own around the caller's operation.
#[test]
fn an_operation_of_durably_that_panics_or_calls_back_moves_what_it_moved() {
    let manager = threaded().build().expect("legal settings");
    manager.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
    let panics = || {
        let operation =
            |request: stockade::Request<'_>| request.sell(LAPTOPS, 1).map(|_| panic!("a bug"));
        drop(manager.durably::<(), _>(operation));
    };
    assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
    assert_eq!(manager.available(LAPTOPS), Ok(9));
    let nested = manager.durably(|request| {
        manager.flush().wait().expect("well");
        manager.durably(|inner| inner.sell(LAPTOPS, 1)).wait().expect("stock");
        request.sell(LAPTOPS, 1)
    });
    nested.wait().expect("stock");
    assert_eq!(manager.available(LAPTOPS), Ok(7));
}

/// A conversion that calls the engine, and one that takes its time, find no lock.
#[test]
fn a_conversion_may_call_the_engine() {
    static ENGINE: Mutex<Option<InventoryManager>> = Mutex::new(None);
    struct Asks;
    impl From<Asks> for LevelRef<'static> {
        fn from(_: Asks) -> Self {
            let engine = ENGINE.lock().expect("no panic").take().expect("set");
            engine.sell(LAPTOPS, 1).expect("stock");
            engine.flush().wait().expect("well");
            LAPTOPS.into()
        }
    }
    let manager = threaded().build().expect("legal settings");
    manager.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
    *ENGINE.lock().expect("no panic") = Some(manager.clone());
    manager.sell(Asks, 1).expect("stock");
    assert_eq!(manager.available(LAPTOPS), Ok(8));
}
