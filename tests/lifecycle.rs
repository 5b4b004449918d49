//! Lifecycle: an engine is built, reports its health, and shuts down. No step of it hangs.

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use stockade::testing::{FaultControl, FaultySink};
use stockade::{
    AddError, Applied, BasketLine, CallError, ConfirmError, EventType, FlushError, Health,
    IdempotencyKey, InventoryManager, Limits, NotStarted, Release, ReserveError, SettingError,
    StockAlertListener, Uncertain,
};

use common::clocks::Gate;
use common::sinks::Keeper;
use common::{
    LAPTOPS, LONG, clock, counts, ledger, log_of, ms, quiet, single_holds, small, threaded,
    wait_for, within, written,
};

/// Longer than any step should take, even on a busy machine.
const SOON: Duration = Duration::from_secs(30);

#[test]
fn an_engine_of_more_warehouses_than_its_queue_has_places_is_built() {
    for threads in [true, false] {
        let log = within(SOON, move || {
            let builder = InventoryManager::builder().limits(Limits::new().audit_queue(16));
            let builder = if threads { builder } else { builder.without_threads() };
            let names = (0..100).map(|number| format!("W{number}"));
            let builder = names.fold(builder, |builder, name| builder.warehouse(name));
            log_of(&builder.build().expect("legal settings"))
        });
        ledger::assert_legal(&log);
        assert_eq!(log[0].entry_type, EventType::Opened.into());
        let defined = log.iter().filter(|it| it.entry_type == EventType::WarehouseDefined.into());
        assert_eq!(defined.count(), 100);
    }
}

#[test]
fn the_same_seed_gives_the_same_ids() {
    let ids = |seed| {
        let manager = quiet(&clock()).seed(seed).build().expect("legal settings");
        manager.add_stock(LAPTOPS, 5, "SUPPLIER").expect("room");
        single_holds(&manager, 5, LONG)
    };
    assert_eq!(ids(1), ids(1));
    assert_ne!(ids(1), ids(2));
}

#[test]
fn after_a_shutdown_nothing_moves_and_everything_can_be_read() {
    let manager = threaded().build().expect("legal settings");
    manager.add_stock(LAPTOPS, 5, "SUPPLIER").expect("room");
    let hold = manager.reserve(LAPTOPS, 2, LONG).expect("stock");
    assert!(manager.shutdown(SOON).is_clean());

    let closed = NotStarted::Closed;
    assert_eq!(manager.add_stock(LAPTOPS, 1, "x"), Err(AddError::from(closed.clone())));
    assert_eq!(manager.reserve(LAPTOPS, 1, LONG), Err(ReserveError::from(closed.clone())));
    assert_eq!(manager.confirm(hold), Err(ConfirmError::from(closed.clone())));
    assert_eq!(manager.suspend("SF"), Err(SettingError::NotStarted(closed.clone())));
    let basket = manager.reserve_basket(&[BasketLine::new(LAPTOPS, 1)], LONG);
    assert!(basket.is_err_and(|error| !error.is_retryable() && error.applied() == Applied::No));
    assert_eq!(manager.flush().wait(), Err(FlushError::Closed));

    assert_eq!(counts(&manager, LAPTOPS), (3, 2, 0));
    assert_eq!(manager.reservation(hold).map(|it| it.id), Ok(hold));
    assert_eq!(manager.health(), Health::Stopped { reason: closed.to_string() });
    assert_eq!(manager.stats().refusals.unavailable, 2, "the reserve and the basket");
    let log = written(&manager);
    assert_eq!(log.last().map(|entry| entry.entry_type), Some(EventType::Closed.into()));
    ledger::assert_legal(&log).assert_ends_as(&manager);

    assert!(manager.shutdown(Duration::ZERO).is_clean(), "the second finds the work done");
    assert_eq!(written(&manager).len(), log.len());
}

#[test]
fn a_shutdown_may_wait_for_ever() {
    let manager = threaded().build().expect("legal settings");
    assert!(manager.shutdown(Duration::MAX).is_clean());
}

#[test]
fn a_quiet_engine_shuts_down_too() {
    let manager = quiet(&clock()).build().expect("legal settings");
    manager.add_stock(LAPTOPS, 5, "SUPPLIER").expect("room");
    assert!(manager.shutdown(ms(100)).is_clean());
    ledger::assert_legal(&written(&manager)).assert_ends_as(&manager);
}

/// A call answered with `Ok` during a shutdown is in the sink. The sink has a legal history, and it
/// ends at the live counts unless a call was uncertain.
#[test]
fn a_shutdown_under_fire_loses_nothing_that_was_promised() {
    for round in 0..8 {
        let (sink, kept) = Keeper::new();
        let manager =
            threaded().limits(small().audit_queue(64)).sink(sink).build().expect("legal settings");
        for level in [LAPTOPS, ("SF", "MOUSE"), ("NYC", "LAPTOP")] {
            manager.add_stock(level, 1_000_000, "SUPPLIER").expect("room");
        }
        let fire = Fire { manager, promised: AtomicU64::new(0), unsure: AtomicU64::new(0) };
        let left = thread::scope(|scope| {
            for thread in 0..6 {
                let fire = &fire;
                scope.spawn(move || while fire.goes_on(thread) {});
            }
            while fire.promised.load(Ordering::Relaxed) < 200 * (round + 1) {
                thread::yield_now();
            }
            fire.manager.shutdown(SOON)
        });
        let entries = kept.entries();
        let movements = entries.iter().filter(|entry| entry.is_movement()).count() as u64;
        let written = movements - 3;
        let (promised, unsure) = (fire.promised.into_inner(), fire.unsure.into_inner());
        assert!(
            (promised..=promised + unsure).contains(&written),
            "{promised} answers, {unsure} unsure, {written} entries"
        );
        let ledger = ledger::assert_legal(&entries);
        if unsure == 0 {
            ledger.assert_ends_as(&fire.manager);
        }
        assert!(left.is_clean(), "{left:?}");
    }
}

/// Threads that use an engine while it shuts down.
struct Fire {
    manager: InventoryManager,
    /// How many entries the `Ok` answers stand for.
    promised: AtomicU64,
    /// Entries of calls that were applied, but whose record may be lost.
    unsure: AtomicU64,
}

impl Fire {
    /// One round of a thread. Returns `false` once the engine accepts no calls.
    fn goes_on(&self, thread: usize) -> bool {
        let manager = &self.manager;
        let lines = [BasketLine::new(LAPTOPS, 1), BasketLine::new(("SF", "MOUSE"), 1)];
        match thread % 3 {
            0 => match self.count(1, manager.reserve(LAPTOPS, 1, LONG)) {
                Some(hold) => self.count(1, manager.confirm(hold)).is_some(),
                None => false,
            },
            1 => match self.count(2, manager.reserve_basket(&lines, LONG)) {
                Some(hold) => self.count(2, manager.release(hold)).is_some(),
                None => false,
            },
            _ => {
                self.count(2, manager.transfer("SF", "NYC", "LAPTOP", 1)).is_some()
                    && self.count(2, manager.transfer("NYC", "SF", "LAPTOP", 1)).is_some()
            }
        }
    }

    fn count<T, E: Into<stockade::Error>>(&self, entries: u64, answer: Result<T, E>) -> Option<T> {
        let counter = match &answer {
            Ok(_) => &self.promised,
            Err(_) => &self.unsure,
        };
        let answer = answer.map_err(Into::into);
        if let Err(error) = &answer
            && error.applied() != Applied::InMemory
        {
            assert_eq!(error.to_string(), NotStarted::Closed.to_string());
            return None;
        }
        counter.fetch_add(entries, Ordering::Relaxed);
        answer.ok()
    }
}

#[test]
fn the_last_clone_that_is_dropped_has_everything_written() {
    let (sink, kept) = Keeper::new();
    let manager = threaded().sink(sink).build().expect("legal settings");
    manager.add_stock(LAPTOPS, 400, "SUPPLIER").expect("room");
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let manager = manager.clone();
            thread::spawn(move || single_holds(&manager, 100, LONG).len())
        })
        .collect();
    drop(manager);
    for thread in threads {
        assert_eq!(thread.join().expect("no panic"), 100);
    }
    // The last thread's clone is gone, and with it the engine.
    let entries = kept.entries();
    assert_eq!(ledger::assert_legal(&entries).holds(), 400);
    assert_eq!(entries.last().map(|it| it.entry_type), Some(EventType::Closed.into()));
}

#[test]
fn a_weak_handle_does_not_keep_an_engine_alive() {
    let manager = threaded().build().expect("legal settings");
    let weak = manager.downgrade();
    let again = weak.upgrade().expect("it lives");
    drop(manager);
    assert_eq!(again.health(), Health::Ok);
    drop(again);
    assert!(weak.upgrade().is_none());
}

/// Drops the manager that it was given when it gets its first alert.
struct LastToGo(Mutex<Option<InventoryManager>>, Sender<()>);

impl StockAlertListener for LastToGo {
    fn on_low_stock(&self, _: &str, _: &str, _: u32) {
        drop(self.0.lock().expect("no panic").take());
        let _ = self.1.send(());
    }
}

#[test]
fn a_listener_may_drop_the_last_handle() {
    let (sender, gone) = channel();
    let manager = threaded().build().expect("legal settings");
    let weak = manager.downgrade();
    manager.set_threshold("SF", Some(5)).expect("legal");
    manager.add_listener(LastToGo(Mutex::new(Some(manager.clone())), sender));
    manager.add_stock(LAPTOPS, 6, "SUPPLIER").expect("room");
    manager.reserve(LAPTOPS, 1, LONG).expect("stock");
    drop(manager);
    gone.recv_timeout(SOON).expect("the drop in the listener hangs");
    assert!(weak.upgrade().is_none());
}

/// Begins more calls than the queue has room for. The engine admits all of them before the first
/// one reads the time and continues. The sink is stuck.
fn clog(
    manager: &InventoryManager,
    clock: &Arc<Gate>,
    product: impl Fn(usize) -> String,
) -> Vec<JoinHandle<Result<(), AddError>>> {
    const CALLS: usize = 64;
    clock.shut();
    let add = |number| {
        let (manager, product) = (manager.clone(), product(number));
        thread::spawn(move || manager.add_stock(("SF", &*product), 1, "SUPPLIER"))
    };
    let threads = (0..CALLS).map(add).collect();
    clock.open_for(CALLS);
    wait_for(SOON, "a full queue", || manager.stats().queue_waits > 0);
    threads
}

/// An engine with a short queue, whose sink is stuck with a batch.
fn stuck() -> (InventoryManager, Arc<Gate>, FaultControl) {
    let (sink, control) = FaultySink::new();
    let clock = Arc::new(Gate::default());
    let builder = threaded()
        .limits(small().audit_queue(16))
        .sweeper(false)
        .sink(sink)
        .clock(Arc::clone(&clock));
    let manager = builder.build().expect("legal settings");
    manager.open_level("SF", "LAPTOP").expect("a warehouse");
    manager.flush().wait().expect("a healthy sink");
    control.stall();
    manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
    control.wait_until_stalled();
    (manager, clock, control)
}

#[test]
fn a_shutdown_with_a_stuck_sink_and_a_full_queue_keeps_its_deadline() {
    let (manager, clock, control) = stuck();
    let threads = clog(&manager, &clock, |_| "LAPTOP".to_owned());
    let ending = manager.clone();
    let (left, took) = within(SOON, move || {
        let began = Instant::now();
        (ending.shutdown(ms(200)), began.elapsed())
    });
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(left.unwritten >= 16 && !left.is_clean(), "{left:?}");
    // Nobody is left behind with the sink either.
    let answers = within(SOON, move || {
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
    });
    let unrecorded = AddError::Call(CallError::Uncertain(Uncertain::Unrecorded));
    assert!(answers.contains(&Err(unrecorded)), "{answers:?}");
    // What lay in the queue is written once the sink comes back, and is a legal history.
    control.recover();
    wait_for(SOON, "all written", || manager.stats().unwritten == 0);
    ledger::assert_legal(&written(&manager));
}

/// A name is defined under a lock, and its events wait for the queue.
#[test]
fn stats_are_told_while_a_name_waits_for_the_queue() {
    let (manager, clock, control) = stuck();
    let asking = manager.clone();
    let (threads, stats) = within(SOON, move || {
        let threads = clog(&asking, &clock, |number| format!("P{number}"));
        (threads, asking.stats())
    });
    assert_eq!(stats.queue_depth, stats.queue_capacity);
    assert!((2..64).contains(&stats.products), "{stats:?}");
    control.recover();
    for thread in threads {
        assert_eq!(thread.join().expect("no panic"), Ok(()));
    }
    assert_eq!(manager.stats().products, 65);
    ledger::assert_legal(&log_of(&manager)).assert_ends_as(&manager);
}

#[test]
fn dropping_an_engine_with_a_stuck_sink_does_not_hang() {
    let (sink, control) = FaultySink::new();
    let manager = threaded().sink(sink).build().expect("legal settings");
    manager.flush().wait().expect("a healthy sink");
    control.stall();
    manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
    control.wait_until_stalled();
    let took = within(SOON, move || {
        let began = Instant::now();
        drop(manager);
        began.elapsed()
    });
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(control.counts().accepted_entries, 3, "written before it stalled");
}

#[test]
fn stats_show_what_there_is() {
    let clock = clock();
    let builder = quiet(&clock).limits(small().max_reservations(8).audit_queue(1_024));
    let manager = builder.build().expect("legal settings");
    manager.add_stock(LAPTOPS, 7, "SUPPLIER").expect("room");
    let holds = single_holds(&manager, 5, ms(100));
    manager.confirm(holds[0]).expect("pending");
    assert_eq!(manager.release(holds[1]), Ok(Release::Released));
    let key = IdempotencyKey::try_from("once").expect("a legal key");
    manager.request().key(key).sell(LAPTOPS, 1).expect("stock");

    let stats = manager.stats();
    assert_eq!((stats.products, stats.levels, stats.keys), (1, 1, 1));
    assert_eq!((stats.slots_live, stats.slots_max), (3, 8));
    assert_eq!(stats.slots_retained + stats.slots_free, 5);
    // Opened, two warehouses, product, level, Received, 5 reserved, sold, returned, a sale in one.
    assert_eq!((stats.queue_depth, stats.queue_capacity, stats.unwritten), (14, 1_024, 14));
    assert_eq!((stats.audit_kept, stats.queue_waits, stats.queue_refusals), (0, 0, 0));
    assert_eq!((stats.sweeper_lag, stats.alert_backlog), (Duration::ZERO, 0));

    assert!(manager.reserve(LAPTOPS, 4, LONG).is_err());
    assert!(manager.reserve_basket(&[BasketLine::new(LAPTOPS, 4)], LONG).is_err());
    manager.suspend("SF").expect("a warehouse");
    assert!(manager.sell(LAPTOPS, 1).is_err());
    assert!(manager.reserve_basket(&[BasketLine::new(LAPTOPS, 1)], LONG).is_err());
    manager.resume("SF").expect("a warehouse");
    manager.add_stock(LAPTOPS, 50, "SUPPLIER").expect("room");
    single_holds(&manager, 5, ms(100));
    assert!(manager.reserve(LAPTOPS, 1, LONG).is_err());
    let refusals = manager.stats().refusals;
    let refused = (refusals.insufficient, refusals.suspended, refusals.full, refusals.unavailable);
    assert_eq!(refused, (2, 2, 1, 0));

    clock.advance(ms(150));
    assert_eq!(manager.stats().sweeper_lag, ms(50));
    manager.run_until_idle();
    let stats = manager.stats();
    assert_eq!((stats.sweeper_lag, stats.slots_live), (Duration::ZERO, 0));
    assert_eq!((stats.queue_depth, stats.unwritten), (0, 0));
    assert_eq!(stats.audit_kept, log_of(&manager).len() as u64);
}

#[test]
fn a_reserve_is_refused_in_each_warehouse_that_is_suspended_and_in_no_other() {
    let manager = quiet(&clock()).build().expect("legal settings");
    let places = ["SF", "NYC"].map(|warehouse| (warehouse, "LAPTOP"));
    let handles = places.map(|place| manager.open_level(place.0, place.1).expect("a legal name"));
    places.iter().for_each(|place| manager.add_stock(*place, 20, "SUPPLIER").expect("room"));
    let mut expected = [false; 2];
    for (warehouse, suspended) in
        [(0, true), (1, true), (0, false), (0, true), (1, false), (0, false)]
    {
        let name = places[warehouse].0;
        if suspended { manager.suspend(name) } else { manager.resume(name) }.expect("there");
        expected[warehouse] = suspended;
        for ((place, handle), suspended) in places.into_iter().zip(handles).zip(expected) {
            let by_name = manager.reserve(place, 1, LONG);
            for reserved in [by_name, manager.reserve(handle, 1, LONG)] {
                let refused = ReserveError::Suspended { warehouse: place.0.to_owned() };
                assert_eq!(reserved.err(), suspended.then_some(refused), "{place:?}");
            }
        }
    }
}

#[test]
fn refusals_are_counted_whichever_thread_made_them() {
    let manager = quiet(&clock()).build().expect("legal settings");
    manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
    let refused = |manager: &InventoryManager| {
        for _ in 0..100 {
            manager.reserve(LAPTOPS, 2, LONG).expect_err("one is there");
        }
    };
    for threads in [1, 40, 1, 20] {
        thread::scope(|scope| {
            (0..threads).for_each(|_| _ = scope.spawn(|| refused(&manager)));
        });
    }
    refused(&manager);
    assert_eq!(manager.stats().refusals.insufficient, 63 * 100);
}

#[test]
fn a_sweeper_that_is_kept_from_its_work_is_told() {
    let (sink, control) = FaultySink::new();
    let clock = clock();
    let builder = threaded().limits(small().audit_queue(16)).sink(sink).clock(Arc::clone(&clock));
    let manager = builder.build().expect("legal settings");
    manager.add_stock(LAPTOPS, 20, "SUPPLIER").expect("room");
    single_holds(&manager, 1, ms(10));
    manager.flush().wait().expect("a healthy sink");
    control.stall();
    manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
    control.wait_until_stalled();
    // The sweeper leaves the second half of the queue to buyers.
    (0..8).for_each(|_| manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room"));
    assert_eq!(manager.health(), Health::Ok);
    clock.advance(Duration::from_secs(10));
    thread::sleep(ms(50));
    let Health::Degraded { reason } = manager.health() else { panic!("{:?}", manager.health()) };
    assert!(reason.contains("sweeper"), "{reason}");
    assert_eq!(manager.held(LAPTOPS).expect("known"), 1);
    control.recover();
    within(SOON, move || {
        while manager.health() != Health::Ok || manager.held(LAPTOPS).expect("known") > 0 {
            thread::sleep(ms(1));
        }
    });
}
