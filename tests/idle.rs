//! An engine with nothing to do: it leaves the machine alone, and once it is gone, so are its threads.
//! Read from `/proc`, which is Linux's; elsewhere these tests say nothing.

mod common;

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use common::{LAPTOPS, LONG, ms, single_holds, threaded};

/// One at a time: they look at all of the process's threads.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The engine's threads: how many there are, and how long they have been at work in all.
fn engine_threads() -> Option<(usize, Duration)> {
    let (mut count, mut worked) = (0, Duration::ZERO);
    for task in fs::read_dir("/proc/self/task").ok()?.flatten() {
        let read = |file| fs::read_to_string(task.path().join(file));
        // A thread may end between the two looks.
        if let (Ok(name), Ok(times)) = (read("comm"), read("schedstat"))
            && name.starts_with("stockade-")
        {
            count += 1;
            worked += Duration::from_nanos(times.split_whitespace().next()?.parse().ok()?);
        }
    }
    Some((count, worked))
}

/// Waits until there are so many of them; a thread gets its name as it begins to run.
fn wait_for_threads(wanted: usize) {
    let limit = Instant::now() + Duration::from_secs(30);
    while engine_threads().is_some_and(|(count, _)| count != wanted) {
        assert!(Instant::now() < limit, "{wanted} threads wanted: {:?}", engine_threads());
        thread::sleep(ms(1));
    }
}

#[test]
fn an_idle_engine_uses_less_than_half_a_percent_of_a_core() {
    let _alone = alone();
    let manager = threaded().build().expect("legal settings");
    manager.set_threshold("SF", Some(5)).expect("legal");
    manager.add_stock(LAPTOPS, 10_000, "SUPPLIER").expect("room");
    single_holds(&manager, 10_000, LONG);
    // The writer naps for a second before it sleeps.
    thread::sleep(ms(1_500));
    // The writer, the sweeper, the alert desk.
    wait_for_threads(3);
    let Some((_, before)) = engine_threads() else { return };
    let began = Instant::now();
    thread::sleep(ms(2_000));
    let (_, after) = engine_threads().expect("as before");
    let share = (after - before).as_secs_f64() / began.elapsed().as_secs_f64();
    assert!(share < 0.005, "{:.2}% of a core", share * 100.0);
    // It has not died of it.
    manager.sell(LAPTOPS, 1).expect_err("all are held");
    assert!(manager.shutdown(LONG).is_clean());
}

#[test]
fn an_engine_that_is_gone_leaves_no_thread_behind() {
    let _alone = alone();
    for ends in 0..3 {
        let manager = threaded().build().expect("legal settings");
        manager.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
        wait_for_threads(3);
        if ends > 0 {
            assert!(manager.shutdown(LONG).is_clean());
        }
        if ends < 2 {
            drop(manager);
        }
        wait_for_threads(0);
    }
}
