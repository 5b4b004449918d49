//! Durable calls: what they wait for, and what they return when the disk fails.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use stockade::testing::SimulatedDisk;
use stockade::{
    Applied, Builder, CallError, Durability, FlushError, Gone, IdempotencyKey, InventoryManager,
    JournalOptions, Limits, NotStarted, OperationKind, Release, ReserveError, Uncertain,
};

use crate::stalled::StalledDisk;
use crate::state::{MINUTE, check_laws, engine_on, on};

const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");

fn threaded(journal: impl Into<JournalOptions>) -> Builder {
    // No sync happens by itself.
    synced_each(60 * MINUTE, journal)
}

fn synced_each(interval: Duration, journal: impl Into<JournalOptions>) -> Builder {
    let builder = InventoryManager::builder().warehouse("SF").warehouse("NYC").warehouse("LA");
    builder
        .journal(journal.into().sync_interval(interval))
        .limits(Limits::new().max_reservations(8_192))
}

/// Opens what a power cut would leave.
fn after_a_power_cut(disk: &SimulatedDisk) -> InventoryManager {
    let image = disk.crash(disk.steps(), |_| false);
    let manager = engine_on(&image).build().expect("a sound journal");
    check_laws(&manager);
    manager
}

fn stocked(builder: Builder) -> InventoryManager {
    let manager = builder.build().expect("a new journal");
    let request = manager.request().durability(Durability::Synced);
    request.add_stock(LAPTOPS, 10_000, "SUPPLIER").expect("room");
    manager
}

#[test]
fn a_synced_call_survives_a_power_cut_and_a_buffered_one_may_not() {
    let disk = SimulatedDisk::new();
    let manager = stocked(threaded(disk.clone()));
    let synced = manager.request().durability(Durability::Synced);
    for number in 1..=20 {
        let hold = synced.clone().reserve(LAPTOPS, 1, MINUTE).expect("stock");
        let again = after_a_power_cut(&disk);
        assert_eq!(again.held(LAPTOPS).expect("known"), number, "acknowledged, and lost");
        assert!(again.reservation(hold).is_ok());
    }
    manager.sell(LAPTOPS, 5).expect("stock");
    assert_eq!(
        after_a_power_cut(&disk).sold(LAPTOPS).expect("known"),
        0,
        "nobody asked for a sync"
    );
}

#[test]
fn each_kind_of_operation_does_what_it_is_set_to_unless_the_call_says_otherwise() {
    let disk = StalledDisk::default();
    let builder = threaded(disk.clone()).durability_of(OperationKind::Sell, Durability::Synced);
    let manager = stocked(builder);
    let syncs_of = |call: &dyn Fn()| {
        let before = disk.syncs();
        call();
        disk.syncs() - before
    };
    let reserve = || manager.reserve(LAPTOPS, 1, MINUTE).expect("stock");
    assert_eq!(syncs_of(&|| _ = reserve()), 0);
    let hold = reserve();
    assert_eq!(syncs_of(&|| manager.confirm(hold).expect("pending")), 1);
    let hold = reserve();
    let buffered = manager.request().durability(Durability::Buffered);
    assert_eq!(syncs_of(&|| buffered.clone().confirm(hold).expect("pending")), 0);
    let synced = manager.request().durability(Durability::Synced);
    assert_eq!(syncs_of(&|| synced.clone().extend(reserve(), MINUTE).map(drop).expect("ok")), 1);
    assert_eq!(syncs_of(&|| manager.suspend("LA").expect("a setting")), 0);

    let all = StalledDisk::default();
    let manager = threaded(all.clone()).durability(Durability::Synced).build().expect("new");
    let before = all.syncs();
    manager.suspend("LA").expect("a setting");
    manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
    assert_eq!(all.syncs() - before, 2);
    // A refusal is no promise.
    let before = all.syncs();
    assert!(matches!(manager.reserve(LAPTOPS, 2, MINUTE), Err(ReserveError::Insufficient { .. })));
    assert_eq!(all.syncs(), before);
}

#[test]
fn a_repeat_waits_for_the_entry_of_the_first_call() {
    let disk = StalledDisk::default();
    let manager = stocked(threaded(disk.clone()));
    let key = |name: &str| IdempotencyKey::try_from(name).expect("a legal key");
    let hold = manager.reserve(LAPTOPS, 1, MINUTE).expect("stock");
    let other = manager.reserve(LAPTOPS, 1, MINUTE).expect("stock");
    manager.flush().wait().expect("on the disk");
    disk.shut();
    // The first calls: buffered, or still waiting.
    manager.confirm(hold).expect("pending");
    assert_eq!(manager.release(other), Ok(Release::Released));
    let added = manager.request().key(key("A")).add_stock(LAPTOPS, 7, "SUPPLIER");
    assert_eq!(added, Ok(()));

    let synced = || manager.request().durability(Durability::Synced);
    let told = AtomicBool::new(false);
    thread::scope(|scope| {
        let repeats = [
            scope.spawn(|| {
                assert_eq!(synced().confirm(hold), Err(Gone::Sold { units: 1 }.into()));
                told.load(Ordering::SeqCst)
            }),
            scope.spawn(|| {
                assert_eq!(synced().release(other), Ok(Release::AlreadyReleased));
                told.load(Ordering::SeqCst)
            }),
            scope.spawn(|| {
                assert_eq!(synced().key(key("A")).add_stock(LAPTOPS, 7, "SUPPLIER"), Ok(()));
                told.load(Ordering::SeqCst)
            }),
        ];
        thread::sleep(Duration::from_millis(30));
        assert!(repeats.iter().all(|repeat| !repeat.is_finished()), "told before it was durable");
        told.store(true, Ordering::SeqCst);
        disk.open();
        for repeat in repeats {
            assert!(repeat.join().expect("no panic"), "told before it was durable");
        }
    });
    assert_eq!(after_a_power_cut(&disk.disk).sold(LAPTOPS).expect("known"), 1);
}

#[test]
fn a_disk_that_fails_to_sync_leaves_the_caller_knowing_that_it_was_applied_in_memory() {
    let disk = SimulatedDisk::new();
    let manager = stocked(threaded(disk.clone()));
    let key = IdempotencyKey::try_from("order-1").expect("a legal key");
    let sell = || manager.request().key(key).durability(Durability::Synced).sell(LAPTOPS, 3);
    disk.fail_fsync(true);
    let failed = sell().expect_err("the disk fails");
    assert_eq!(failed.applied(), Applied::InMemory);
    assert!(matches!(
        &failed,
        ReserveError::Call(CallError::Uncertain(Uncertain::NotDurable { .. }))
    ));
    assert_eq!(manager.sold(LAPTOPS).expect("known"), 3);
    // Nothing else moves meanwhile, and what is refused is told to be.
    let refused = manager.sell(LAPTOPS, 1).expect_err("stopped");
    assert!(matches!(
        &refused,
        ReserveError::Call(CallError::NotStarted(NotStarted::Stopped { .. }))
    ));
    assert_eq!(refused.applied(), Applied::No);
    assert_eq!(after_a_power_cut(&disk).sold(LAPTOPS).expect("known"), 0);

    disk.fail_fsync(false);
    let sold = loop {
        match sell() {
            Ok(id) => break id,
            Err(error) => assert_eq!(error.applied(), Applied::InMemory),
        }
        thread::sleep(Duration::from_millis(1));
    };
    let again = after_a_power_cut(&disk);
    assert_eq!(again.sold(LAPTOPS).expect("known"), 3, "once, not twice");
    assert!(again.reservation(sold).is_ok());
}

#[test]
fn an_engine_whose_disk_failed_for_a_moment_never_stays_stopped() {
    let disk = SimulatedDisk::new();
    let manager = stocked(threaded(disk.clone()));
    for _ in 0..10 {
        disk.fail_fsync(true);
        let failed = manager.durably(|request| request.sell(LAPTOPS, 1)).wait();
        disk.fail_fsync(false);
        assert!(failed.is_err(), "the disk fails");
        // Long enough for all who heard of the failure to have done what they do about it.
        thread::sleep(Duration::from_millis(50));
        let deadline = Instant::now() + Duration::from_secs(5);
        while manager.sell(LAPTOPS, 1).is_err() {
            assert!(Instant::now() < deadline, "the disk is back, and the engine still stopped");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn an_engine_whose_disk_fails_while_it_writes_never_stays_stopped() {
    let disk = SimulatedDisk::new();
    let manager = &stocked(synced_each(Duration::from_millis(1), disk.clone()));
    let over = &AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // Refused while the disk fails.
                    let _ = manager.sell(LAPTOPS, 1);
                    thread::sleep(Duration::from_micros(500));
                }
            });
        }
        // A sync may fail at any moment of the writer's turns.
        for _ in 0..60 {
            disk.fail_fsync(true);
            thread::sleep(Duration::from_millis(2));
            disk.fail_fsync(false);
            // Each time, for the next failure could let it go on.
            let deadline = Instant::now() + Duration::from_secs(5);
            while manager.sell(LAPTOPS, 1).is_err() {
                let stays = Instant::now() > deadline;
                over.store(stays, Ordering::Relaxed);
                assert!(!stays, "the disk is back, and the engine still stopped");
                thread::sleep(Duration::from_millis(1));
            }
        }
        over.store(true, Ordering::Relaxed);
    });
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_future_is_woken_when_its_call_is_durable_and_dropping_it_undoes_nothing() {
    let disk = StalledDisk::default();
    let manager = stocked(threaded(disk.clone()));
    disk.shut();
    let flag = Arc::new(Flag(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&flag));
    let mut context = Context::from_waker(&waker);
    drop(manager.durably(|request| request.sell(LAPTOPS, 1)));
    let mut sale = pin!(manager.durably(|request| request.sell(LAPTOPS, 2)));
    assert_eq!(manager.sold(LAPTOPS).expect("known"), 3, "made at once");
    assert!(sale.as_mut().poll(&mut context).is_pending());
    let mut refused = pin!(manager.durably(|request| request.sell(LAPTOPS, 1 << 20)));
    assert!(
        matches!(refused.as_mut().poll(&mut context), Poll::Ready(Err(_))),
        "nothing to wait for"
    );
    thread::sleep(Duration::from_millis(10));
    assert!(!flag.0.load(Ordering::SeqCst), "woken too early");
    disk.open();
    let deadline = Instant::now() + MINUTE;
    while !flag.0.load(Ordering::SeqCst) {
        assert!(Instant::now() < deadline, "never woken");
        thread::yield_now();
    }
    assert!(matches!(sale.as_mut().poll(&mut context), Poll::Ready(Ok(_))));
    assert_eq!(after_a_power_cut(&disk.disk).sold(LAPTOPS).expect("known"), 3);
}

#[test]
fn the_writer_goes_on_while_the_disk_syncs() {
    let disk = StalledDisk::default();
    let manager = stocked(threaded(disk.clone()));
    disk.shut();
    let waiting = manager.flush();
    // Far more than the queue holds: somebody has to take them out of it.
    for _ in 0..300 {
        for _ in 0..1_000 {
            manager.add_stock(LAPTOPS, 1, "S").expect("room");
        }
    }
    disk.open();
    waiting.wait().expect("on the disk");
}

#[test]
fn what_nobody_waits_for_is_synced_by_itself_also_after_calls_that_waited() {
    let disk = SimulatedDisk::new();
    let manager = stocked(synced_each(Duration::from_millis(5), on(&disk)));
    let synced = manager.request().durability(Durability::Synced);
    (0..3).for_each(|_| _ = synced.clone().sell(LAPTOPS, 1).expect("stock"));
    manager.sell(LAPTOPS, 1).expect("stock");
    let until = Instant::now() + Duration::from_secs(20);
    while after_a_power_cut(&disk).sold(LAPTOPS).expect("known") < 4 {
        assert!(Instant::now() < until, "nobody syncs it");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_storage_that_panics_in_a_sync_leaves_nobody_waiting() {
    let disk = StalledDisk::default();
    let manager = stocked(threaded(disk.clone()));
    disk.panic_once();
    manager.sell(LAPTOPS, 1).expect("stock");
    let flush = manager.flush().wait_deadline(Instant::now() + Duration::from_secs(20));
    assert!(matches!(flush, Err(FlushError::Stopped { .. })), "{flush:?}");
    // What was not synced is written again, as after any sync that failed.
    let until = Instant::now() + Duration::from_secs(20);
    while manager.request().durability(Durability::Synced).sell(LAPTOPS, 2).is_err() {
        assert!(Instant::now() < until, "{:?}", manager.health());
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(
        after_a_power_cut(&disk.disk).sold(LAPTOPS).expect("known"),
        manager.sold(LAPTOPS).expect("known")
    );
}

#[test]
fn no_span_of_time_is_too_long_for_a_journal() {
    let disk = SimulatedDisk::new();
    let journal = on(&disk).wait_for_lock(Duration::MAX).recovery_grace(Duration::MAX);
    let manager = stocked(synced_each(Duration::MAX, journal));
    manager.sell(LAPTOPS, 1).expect("stock");
    let flush = manager.flush().wait_deadline(Instant::now() + Duration::from_secs(20));
    assert_eq!(flush, Ok(()));
    assert_eq!(after_a_power_cut(&disk).sold(LAPTOPS).expect("known"), 1);
}

#[test]
fn many_who_wait_share_one_sync() {
    const EACH: usize = 20;
    let disk = StalledDisk::default();
    let manager = stocked(threaded(disk.clone()).durability(Durability::Synced));
    disk.take(Duration::from_millis(2));
    let buy = |times: usize| {
        for _ in 0..times {
            manager.sell(LAPTOPS, 1).expect("stock");
        }
    };
    let (before, began) = (disk.syncs(), Instant::now());
    buy(EACH);
    let alone = began.elapsed();
    assert_eq!(disk.syncs() - before, EACH);

    let (before, began) = (disk.syncs(), Instant::now());
    thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| buy(EACH));
        }
    });
    let together = began.elapsed();
    let syncs = disk.syncs() - before;
    // Those that one sync has answered come back for the same next one.
    assert!(syncs < 3 * EACH, "{syncs} syncs for {} sales", 64 * EACH);
    let gain = 64.0 * alone.as_secs_f64() / together.as_secs_f64();
    // A figure for the bench; here only that they don't wait in line, however busy the machine is.
    assert!(gain > 4.0, "64 callers get {gain:.1} times what one gets");
    assert_eq!(after_a_power_cut(&disk.disk).sold(LAPTOPS).expect("known") as usize, 65 * EACH);
}

#[test]
fn a_flush_that_lay_before_the_end_is_answered_by_it() {
    let disk = StalledDisk::default();
    let manager = stocked(threaded(disk.clone()));
    manager.sell(LAPTOPS, 3).expect("stock");
    let sale = manager.durably(|request| request.sell(LAPTOPS, 4));
    assert!(manager.shutdown(MINUTE).is_clean());
    let answer = sale.wait();
    let sold = after_a_power_cut(&disk.disk).sold(LAPTOPS).expect("known");
    assert_eq!(sold, 7, "a clean end has all of it on the disk");
    assert!(answer.is_ok(), "{answer:?}");
}
