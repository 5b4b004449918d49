//! An engine's threads. When idle, they hardly use the machine; the auditor runs at low priority;
//! and when the engine ends, they end. Read from Linux's `/proc`; on other systems these tests
//! check nothing.

mod common;

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use stockade::Builder;

#[cfg(feature = "journal")]
use common::scratch::Scratch;
use common::{LAPTOPS, LONG, ms, single_holds, threaded, wait_for, within};

/// Runs one test at a time, because each looks at all threads of the process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The engine's threads: how many there are, and how often they have gone to sleep in total.
fn engine_threads() -> Option<(usize, u64)> {
    let (mut count, mut sleeps) = (0, 0);
    for task in fs::read_dir("/proc/self/task").ok()?.flatten() {
        let read = |file| fs::read_to_string(task.path().join(file));
        // A thread may end between the two looks.
        if let (Ok(name), Ok(status)) = (read("comm"), read("status"))
            && name.starts_with("stockade-")
        {
            let slept =
                |line: &str| line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse().ok();
            count += 1;
            sleeps += status.lines().find_map(slept).unwrap_or(0);
        }
    }
    Some((count, sleeps))
}

/// How long the engine's threads have worked, in ticks of ten milliseconds each.
fn ticks_worked() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let stats = tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
    let worked = |stat: String| {
        // The name may hold blanks; it ends with the last parenthesis.
        let (name, rest) = stat.rsplit_once(')')?;
        let of_user_and_system = rest.split_whitespace().skip(11).take(2);
        name.contains("(stockade-")
            .then(|| of_user_and_system.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>())
    };
    stats.filter_map(worked).sum()
}

/// Waits until there are `wanted` of them. A thread gets its name when it begins to run.
fn wait_for_threads(wanted: usize) {
    let limit = Instant::now() + Duration::from_secs(30);
    while engine_threads().is_some_and(|(count, _)| count != wanted) {
        assert!(Instant::now() < limit, "{wanted} threads wanted: {:?}", engine_threads());
        thread::sleep(ms(1));
    }
}

/// How often an idle engine's threads wake in a second. It is counted, not timed: the cost of a
/// wake-up depends on the machine, and the report measures it.
fn wakes_a_second(builder: Builder, threads: usize) -> Option<f64> {
    let manager = builder.build().expect("legal settings");
    manager.set_threshold("SF", Some(5)).expect("legal");
    manager.add_stock(LAPTOPS, 10_000, "SUPPLIER").expect("room");
    single_holds(&manager, 10_000, LONG);
    // The writer naps for a second before it sleeps.
    thread::sleep(ms(1_500));
    wait_for_threads(threads);
    let (_, before) = engine_threads()?;
    let (began, worked) = (Instant::now(), ticks_worked());
    thread::sleep(ms(2_000));
    let (_, after) = engine_threads()?;
    // Who spins does not wake, but works.
    let worked = ticks_worked() - worked;
    assert!(worked < 10, "{worked} ticks of work in two idle seconds");
    let rate = (after - before) as f64 / began.elapsed().as_secs_f64();
    // It has not died of it.
    manager.sell(LAPTOPS, 1).expect_err("all are held");
    assert!(manager.shutdown(LONG).is_clean());
    Some(rate)
}

#[test]
fn an_idle_engine_wakes_only_its_sweeper_and_seldom() {
    let _alone = alone();
    // The writer, the sweeper, the alert dispatcher.
    let Some(rate) = wakes_a_second(threaded(), 3) else { return };
    assert!((1.0..30.0).contains(&rate), "{rate} times a second");
}

#[cfg(feature = "journal")]
#[test]
fn an_idle_engine_with_a_journal_wakes_as_seldom() {
    let _alone = alone();
    let scratch = Scratch::new("idle");
    // The one that syncs and the auditor too.
    let Some(rate) = wakes_a_second(threaded().journal(scratch.join("journal")), 6) else { return };
    assert!((1.0..30.0).contains(&rate), "{rate} times a second");
}

/// The writer naps for a second, and then sleeps until somebody wakes it.
#[test]
fn a_writer_that_sleeps_hears_of_a_hold_and_of_a_flush() {
    let _alone = alone();
    let manager = threaded().sweeper(false).build().expect("legal settings");
    manager.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
    let soon = Duration::from_secs(30);
    for plain in [true, false] {
        thread::sleep(ms(1_500));
        let newest = manager.audit_log().newest_sequence();
        if plain {
            single_holds(&manager, 1, LONG);
        } else {
            manager.request().note("by", "ada").reserve(LAPTOPS, 1, LONG).map(drop).expect("stock");
        }
        wait_for(soon, "a written entry", || manager.audit_log().newest_sequence() > newest);
    }
    thread::sleep(ms(1_500));
    within(soon, move || manager.flush().wait().expect("a healthy log"));
}

#[cfg(feature = "journal")]
#[test]
fn the_auditor_stands_back_for_all_other_threads() {
    let _alone = alone();
    let scratch = Scratch::new("auditor");
    let manager = threaded().journal(scratch.join("journal")).build().expect("a new journal");
    wait_for_threads(6);
    let niceness = |name: &str| {
        let stat = fs::read_dir("/proc/self/task").ok()?.flatten().find_map(|task| {
            let stat = fs::read_to_string(task.path().join("stat")).ok()?;
            stat.contains(name).then_some(stat)
        })?;
        // After the name, which is in brackets; the first field there is the third of all.
        stat.rsplit_once(") ")?.1.split(' ').nth(16)?.parse::<i32>().ok()
    };
    let limit = Instant::now() + Duration::from_secs(10);
    // It steps back once it has begun to run. Nothing is nicer than 19.
    while let (Some(auditor), Some(writer)) =
        (niceness("(stockade-audito)"), niceness("(stockade-audit)"))
        && auditor != (writer + 10).min(19)
    {
        assert!(Instant::now() < limit, "a niceness of {auditor}, and {writer} of the writer");
        thread::sleep(ms(1));
    }
    drop(manager);
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
