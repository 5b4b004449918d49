//! A sink that refuses, hangs or panics (Law 5). No call hangs with it, no entry is lost or written
//! twice, and refused calls have moved nothing.

mod common;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use stockade::testing::{FaultControl, FaultySink};
use stockade::{
    Applied, AuditBatch, AuditEntry, AuditSink, Backpressure, BasketLine, EventType, FlushError,
    Health, InventoryManager, NotStarted, Release, ReservationId, SinkError, TransferError,
};

use common::rng::{Rng, seed};
use common::{
    LAPTOPS, LONG, counts, ledger, log_of, ms, single_holds, small, threaded, wait_for, within,
    written,
};

const SOON: Duration = Duration::from_secs(30);
const PRODUCTS: usize = 300;

/// Many threads that buy, some of them long baskets, and count the units that they were promised.
struct Crowd {
    manager: InventoryManager,
    products: Vec<String>,
    stop: AtomicBool,
    /// How many entries the `Ok` answers stand for.
    promised: AtomicU64,
    /// How many calls have returned, with any answer, for each thread.
    returned: Vec<AtomicU64>,
}

impl Crowd {
    fn new(manager: InventoryManager, threads: usize) -> Self {
        let products: Vec<String> = (0..PRODUCTS).map(|number| format!("P{number}")).collect();
        for product in &products {
            manager.add_stock(("SF", &**product), 1_000_000, "SUPPLIER").expect("room");
        }
        manager.flush().wait().expect("a healthy sink");
        Self {
            manager,
            products,
            stop: AtomicBool::new(false),
            promised: AtomicU64::new(0),
            returned: (0..threads).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// The work of one thread. The only allowed errors are that the engine is stopped or busy.
    fn buy(&self, number: usize, seed: u64) {
        let mut rng = Rng::new(seed, number);
        let lines = if number.is_multiple_of(8) { PRODUCTS } else { 1 + number % 3 };
        let check = |error: stockade::Error| {
            assert!(error.is_retryable(), "{error} (seed {seed})");
            assert_eq!(error.applied(), Applied::No, "{error} (seed {seed})");
        };
        while !self.stop.load(Ordering::Relaxed) {
            if number % 8 == 7 {
                self.transfer(&mut rng, check);
                self.returned[number].fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let first = rng.below((PRODUCTS - lines + 1) as u64) as usize;
            let chosen = &self.products[first..first + lines];
            let basket: Vec<_> =
                chosen.iter().map(|product| BasketLine::new(("SF", &**product), 1)).collect();
            match self.manager.reserve_basket(&basket, LONG) {
                Err(error) => check(error.into()),
                Ok(hold) => {
                    self.promised.fetch_add(lines as u64, Ordering::Relaxed);
                    if self.end(number, hold, rng.below(2) == 0, check) {
                        self.promised.fetch_add(lines as u64, Ordering::Relaxed);
                    }
                }
            }
            self.returned[number].fetch_add(1, Ordering::Relaxed);
            // Many threads, rather than much work.
            thread::sleep(ms(2));
        }
    }

    /// A transfer there, or back, or both.
    fn transfer(&self, rng: &mut Rng, check: impl Fn(stockade::Error)) {
        let product = &*self.products[rng.below(PRODUCTS as u64) as usize];
        for (from, to) in [("SF", "NYC"), ("NYC", "SF")] {
            match self.manager.transfer(from, to, product, 1) {
                Ok(()) => _ = self.promised.fetch_add(2, Ordering::Relaxed),
                Err(TransferError::Insufficient { .. }) => {}
                Err(error) => check(error.into()),
            }
        }
    }

    /// Ends a hold, and retries while the engine is stopped. Returns whether it was ended.
    fn end(
        &self,
        number: usize,
        hold: ReservationId,
        sell: bool,
        check: impl Fn(stockade::Error),
    ) -> bool {
        loop {
            let answer = if sell {
                self.manager.confirm(hold).map_err(Into::into)
            } else {
                let released = self.manager.release(hold);
                released.map(|it| assert_eq!(it, Release::Released)).map_err(Into::into)
            };
            match answer {
                Ok(()) => return true,
                Err(error) => check(error),
            }
            if self.stop.load(Ordering::Relaxed) {
                return false;
            }
            self.returned[number].fetch_add(1, Ordering::Relaxed);
            thread::sleep(ms(1));
        }
    }

    /// Waits until every thread has returned from a call, and begun another.
    fn wait_until_all_return(&self) {
        let returned = || self.returned.iter().map(|it| it.load(Ordering::Relaxed));
        let before: Vec<u64> = returned().collect();
        wait_for(SOON, "did every thread return", || {
            returned().zip(&before).all(|(now, before)| now > *before)
        });
    }

    /// Waits until no thread returns from a call any more.
    fn wait_until_none_returns(&self) {
        let returned = || self.returned.iter().map(|it| it.load(Ordering::Relaxed)).sum::<u64>();
        wait_for(SOON, "did all wait", || {
            let before = returned();
            thread::sleep(ms(100));
            returned() == before
        });
    }

    /// Everything promised is in the log and with the sink, once, and is a legal history.
    fn assert_nothing_lost(&self, control: &FaultControl) {
        let log = log_of(&self.manager);
        let stocked = self.products.len() as u64;
        let movements = log.iter().filter(|entry| entry.is_movement()).count() as u64;
        assert_eq!(movements - stocked, self.promised.load(Ordering::Relaxed));
        let counts = control.counts();
        assert_eq!((counts.accepted_entries, counts.out_of_order), (log.len() as u64, 0));
        ledger::assert_legal(&log).assert_ends_as(&self.manager);
        assert_eq!(self.manager.stats().unwritten, 0);
    }
}

#[test]
fn sixty_four_threads_outlive_a_sink_that_fails_again_and_again() {
    within(Duration::from_secs(120), || {
        let seed = seed();
        let (sink, control) = FaultySink::new();
        let builder =
            threaded().limits(small().audit_queue(256).audit_retained(1 << 23)).sink(sink);
        let crowd = Crowd::new(builder.build().expect("legal settings"), 64);
        thread::scope(|scope| {
            for thread in 0..64 {
                let crowd = &crowd;
                scope.spawn(move || crowd.buy(thread, seed));
            }
            for _ in 0..3 {
                crowd.wait_until_all_return();
                control.fail("disk full");
                wait_for(SOON, "stopped", || crowd.manager.health() != Health::Ok);
                crowd.wait_until_all_return();
                control.recover();
                wait_for(SOON, "well", || crowd.manager.health() == Health::Ok);
            }
            crowd.wait_until_all_return();
            crowd.stop.store(true, Ordering::Relaxed);
        });
        assert!(control.counts().refused_batches >= 3);
        crowd.assert_nothing_lost(&control);
        assert!(crowd.manager.shutdown(SOON).is_clean());
    });
}

#[test]
fn sixty_four_threads_wait_for_a_sink_that_hangs_and_go_on() {
    within(Duration::from_secs(120), || {
        let seed = seed();
        let (sink, control) = FaultySink::new();
        let builder = threaded().limits(small().audit_queue(64).audit_retained(1 << 23)).sink(sink);
        let crowd = Crowd::new(builder.build().expect("legal settings"), 64);
        thread::scope(|scope| {
            for thread in 0..64 {
                let crowd = &crowd;
                scope.spawn(move || crowd.buy(thread, seed));
            }
            for _ in 0..2 {
                crowd.wait_until_all_return();
                control.stall();
                control.wait_until_stalled();
                crowd.wait_until_none_returns();
                assert!(matches!(crowd.manager.health(), Health::Degraded { .. }));
                control.recover();
            }
            crowd.wait_until_all_return();
            crowd.stop.store(true, Ordering::Relaxed);
        });
        crowd.assert_nothing_lost(&control);
    });
}

#[test]
fn a_sink_that_panics_stops_the_engine_until_it_is_well_and_everyone_is_told() {
    within(Duration::from_secs(120), || {
        let (sink, control) = FaultySink::new();
        let limits = small().audit_queue(64).audit_retained(1 << 23);
        let crowd =
            Crowd::new(threaded().limits(limits).sink(sink).build().expect("legal settings"), 16);
        thread::scope(|scope| {
            for thread in 0..16 {
                let crowd = &crowd;
                scope.spawn(move || crowd.buy(thread, 7));
            }
            for _ in 0..3 {
                crowd.wait_until_all_return();
                control.panic("the disk is on fire");
                let is_told = |health| matches!(health, Health::Stopped { reason } if reason.contains("on fire"));
                wait_for(SOON, "stopped", || is_told(crowd.manager.health()));
                match crowd.manager.flush().wait() {
                    Err(FlushError::Stopped { reason }) => assert!(reason.contains("on fire")),
                    other => panic!("{other:?}"),
                }
                crowd.wait_until_all_return();
                control.recover();
                wait_for(SOON, "well", || crowd.manager.health() == Health::Ok);
            }
            crowd.wait_until_all_return();
            crowd.stop.store(true, Ordering::Relaxed);
        });
        crowd.assert_nothing_lost(&control);
        assert!(crowd.manager.shutdown(SOON).is_clean());
    });
}

#[test]
fn busy_is_said_before_anything_moves() {
    let (sink, control) = FaultySink::new();
    let builder = threaded().limits(small().audit_queue(16)).sweeper(false).sink(sink);
    let manager = builder.backpressure(Backpressure::Refuse).build().expect("legal settings");
    let add = || manager.add_stock(LAPTOPS, 1, "SUPPLIER");
    manager.add_stock(LAPTOPS, 100, "SUPPLIER").expect("room");
    let hold = manager.reserve(LAPTOPS, 2, LONG).expect("stock");
    let sale = manager.sell(LAPTOPS, 1).expect("stock");
    manager.flush().wait().expect("a healthy sink");
    control.stall();
    add().expect("room in the queue");
    control.wait_until_stalled();
    while add().is_ok() {}

    let busy = |answer: Result<(), stockade::Error>| {
        let error = answer.expect_err("busy");
        assert!(error.to_string() == NotStarted::Busy.to_string(), "{error}");
        assert!(error.is_retryable() && error.applied() == Applied::No);
    };
    let line = [BasketLine::new(LAPTOPS, 1)];
    let (before, stats) = (counts(&manager, LAPTOPS), manager.stats());
    busy(add().map_err(Into::into));
    busy(manager.remove_stock(LAPTOPS, 1, "x").map_err(Into::into));
    busy(manager.reserve(LAPTOPS, 1, LONG).map(drop).map_err(Into::into));
    busy(manager.sell(LAPTOPS, 1).map(drop).map_err(Into::into));
    busy(manager.reserve_basket(&line, LONG).map(drop).map_err(Into::into));
    busy(manager.confirm(hold).map_err(Into::into));
    busy(manager.release(hold).map(drop).map_err(Into::into));
    busy(manager.extend(hold, LONG).map(drop).map_err(Into::into));
    busy(manager.ship(LAPTOPS, 1).map_err(Into::into));
    busy(manager.cancel_sale(LAPTOPS, 1, "x").map_err(Into::into));
    busy(manager.transfer("SF", "NYC", "LAPTOP", 1).map_err(Into::into));
    busy(manager.confirm_or_retake_lines(sale, &line).map(drop).map_err(Into::into));
    busy(manager.open_level("SF", "NEW").map(drop).map_err(Into::into));
    busy(manager.suspend("SF").map_err(Into::into));
    busy(manager.set_threshold("SF", Some(1)).map_err(Into::into));
    busy(manager.set_product_threshold(LAPTOPS, Some(1)).map_err(Into::into));
    busy(manager.set_safety_stock(LAPTOPS, 1).map_err(Into::into));
    busy(manager.set_longest_ttl(LONG).map_err(Into::into));
    assert_eq!(counts(&manager, LAPTOPS), before);
    let after = manager.stats();
    assert_eq!((after.unwritten, after.slots_live), (stats.unwritten, stats.slots_live));
    assert_eq!(after.queue_refusals, stats.queue_refusals + 18);
    assert_eq!((after.products, after.levels), (1, 1));
    assert_eq!(after.refusals.unavailable, 3, "reserve, sell, basket");

    control.recover();
    wait_for(SOON, "room", || manager.confirm(hold).is_ok());
    ledger::assert_legal(&log_of(&manager)).assert_ends_as(&manager);
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_flush_is_a_future_that_any_executor_can_poll() {
    let (sink, control) = FaultySink::new();
    let manager = threaded().sink(sink).build().expect("legal settings");
    manager.flush().wait().expect("a healthy sink");
    control.stall();
    manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
    control.wait_until_stalled();

    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut context = Context::from_waker(&waker);
    let (mut flush, forgotten) = (manager.flush(), manager.flush());
    for _ in 0..3 {
        assert_eq!(Pin::new(&mut flush).poll(&mut context), Poll::Pending);
    }
    drop(forgotten);
    assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
    control.recover();
    wait_for(SOON, "woken", || wakes.0.load(Ordering::SeqCst) == 1);
    assert_eq!(Pin::new(&mut flush).poll(&mut context), Poll::Ready(Ok(())));
    // Opened, two warehouses, product, level, and the units.
    assert_eq!((control.counts().accepted_entries, manager.audit_log().len()), (6, 6));

    control.fail("disk full");
    manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("not known yet");
    let mut flush = manager.flush();
    wait_for(SOON, "told", || Pin::new(&mut flush).poll(&mut context).is_ready());
    let Poll::Ready(Err(FlushError::Stopped { reason })) = Pin::new(&mut flush).poll(&mut context)
    else {
        panic!("the sink refuses");
    };
    assert_eq!(&*reason, "disk full");
}

#[test]
fn a_flush_waits_no_longer_than_it_is_told_to() {
    let (sink, control) = FaultySink::new();
    let manager = threaded().sink(sink).build().expect("legal settings");
    control.stall();
    manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
    control.wait_until_stalled();
    let deadline = Instant::now() + ms(20);
    assert_eq!(manager.flush().wait_deadline(deadline), Err(FlushError::TimedOut));
    assert!(Instant::now() >= deadline);
    control.recover();
    assert_eq!(manager.flush().wait_deadline(Instant::now() + SOON), Ok(()));
}

#[test]
fn what_a_flush_covers_is_with_the_sink_and_in_the_log() {
    let (sink, control) = FaultySink::new();
    let manager = threaded().sink(sink).build().expect("legal settings");
    manager.add_stock(LAPTOPS, 100_000, "SUPPLIER").expect("room");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let hold = single_holds(&manager, 1, LONG)[0];
                    manager.flush().wait().expect("a healthy sink");
                    let filter = stockade::AuditFilter::new().reservation(hold);
                    assert_eq!(manager.audit_log().query(&filter).entries.len(), 1);
                    assert!(control.counts().accepted_entries >= 7);
                }
            });
        }
    });
}

#[test]
fn a_stopped_engine_says_why_until_it_goes_on() {
    let (sink, control) = FaultySink::new();
    let manager = threaded().sink(sink).build().expect("legal settings");
    manager.add_stock(LAPTOPS, 5, "SUPPLIER").expect("room");
    manager.flush().wait().expect("a healthy sink");
    assert_eq!(manager.health(), Health::Ok);
    control.fail("disk full");
    manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("not known yet");
    wait_for(SOON, "stopped", || manager.health() != Health::Ok);
    let Health::Stopped { reason } = manager.health() else { panic!("{:?}", manager.health()) };
    assert!(reason.contains("disk full"), "{reason}");
    let stopped = NotStarted::Stopped { reason: "disk full".into() };
    assert_eq!(manager.sell(LAPTOPS, 1), Err(stopped.clone().into()));
    assert_eq!(manager.suspend("SF"), Err(stopped.clone().into()));
    assert!(stopped.is_retryable());
    // Reading goes on; what was applied shows, and is not in the log yet.
    assert_eq!((manager.available(LAPTOPS).expect("known"), manager.stats().unwritten), (6, 1));
    let left = manager.shutdown(ms(50));
    assert!(left.unwritten >= 1 && !left.is_clean(), "{left:?}");
}

/// Refuses its first batches, and records what it received.
struct Stubborn {
    refusals: usize,
    given: Arc<Mutex<Vec<Vec<AuditEntry>>>>,
}

impl AuditSink for Stubborn {
    fn append(&mut self, batch: &AuditBatch<'_>) -> Result<(), SinkError> {
        let entries: Vec<_> = batch.entries().collect();
        assert_eq!(entries.len(), batch.len());
        assert_eq!(entries[0].sequence, batch.first_sequence());
        self.given.lock().expect("no panic").push(entries);
        match self.refusals.checked_sub(1) {
            Some(left) => {
                self.refusals = left;
                Err(SinkError::new("not now"))
            }
            None => Ok(()),
        }
    }
}

#[test]
fn a_refused_batch_is_handed_over_again_just_as_it_was() {
    let given = Arc::new(Mutex::new(Vec::new()));
    let sink = Stubborn { refusals: 4, given: Arc::clone(&given) };
    let manager = threaded().sink(sink).build().expect("legal settings");
    wait_for(SOON, "well", || manager.flush().wait().is_ok());
    manager.add_stock(LAPTOPS, 5, "SUPPLIER").expect("room");
    manager.flush().wait().expect("a healthy sink");
    let given = given.lock().expect("no panic");
    assert!(given.len() > 5);
    for again in &given[1..5] {
        assert_eq!(*again, given[0]);
    }
    assert_eq!(given[0][0].entry_type, EventType::Opened.into());
    let accepted: Vec<AuditEntry> = given[4..].concat();
    assert_eq!(accepted, written(&manager));
}
