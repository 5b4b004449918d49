//! Approval policies and their names, allocation strategies, and the clock.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use stockade::testing::SimulatedDisk;
use stockade::{
    AllocationStrategy, ApprovalPolicy, ApproveBelow, Builder, Candidate, Clock, Health,
    IdempotencyKey, InventoryManager, ProposedTransfer, Timestamp, TransferRequestStatus,
};

use crate::common::{LAPTOPS, LONG, clock, counts, ms, quiet, threaded, wait_for, within};
use crate::{Later, SOON};

/// Approves all. Its name can't be had the first times.
struct Nameless(AtomicUsize);

impl ApprovalPolicy for Nameless {
    fn approves(&self, _: &ProposedTransfer) -> bool {
        true
    }

    fn name(&self) -> &str {
        let left = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |it| it.checked_sub(1));
        assert!(left.is_err(), "no name yet");
        "nameless"
    }
}

fn stocked(builder: Builder) -> InventoryManager {
    let manager = builder.build().expect("legal settings");
    manager.add_stock(LAPTOPS, 100, "SUPPLIER").expect("room");
    manager
}

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::try_from(text).expect("a legal key")
}

#[test]
fn a_policy_whose_name_panics_has_made_no_request() {
    for builder in [quiet(&clock()), quiet(&clock()).journal(SimulatedDisk::new())] {
        let manager = stocked(builder.approval_policy(Nameless(AtomicUsize::new(2))));
        let request = manager.request().key(key("one"));
        for _ in 0..2 {
            let asked = || request.request_transfer("SF", "NYC", "LAPTOP", 4);
            assert!(catch_unwind(AssertUnwindSafe(asked)).is_err(), "the caller's own policy");
            assert!(manager.transfer_requests().is_empty());
        }
        let id = request.request_transfer("SF", "NYC", "LAPTOP", 4).expect("stock");
        assert_eq!(request.request_transfer("SF", "NYC", "LAPTOP", 4), Ok(id));
        let made = manager.transfer_request(id).expect("there");
        assert_eq!(made.status, TransferRequestStatus::Approved);
        assert_eq!(made.decision.map(|it| it.by.to_string()), Some("nameless".to_owned()));
        assert_eq!(manager.available(("NYC", "LAPTOP")), Ok(4));
        let log = crate::common::log_of(&manager);
        let requests = log.iter().filter(|it| it.entry_type.name() == "TransferRequested").count();
        assert_eq!(requests, 1);
    }
}

/// Names no policy can have.
struct Named(String);

impl ApprovalPolicy for Named {
    fn approves(&self, _: &ProposedTransfer) -> bool {
        true
    }

    fn name(&self) -> &str {
        &self.0
    }
}

#[test]
fn a_policy_with_no_legal_name_makes_no_request() {
    for name in [String::new(), "x".repeat(1_000)] {
        let manager = stocked(quiet(&clock()).approval_policy(Named(name)));
        let refused = manager.request_transfer("SF", "NYC", "LAPTOP", 4).expect_err("no name");
        assert_eq!(stockade::Error::from(refused).kind(), stockade::ErrorKind::Invalid);
        assert!(manager.transfer_requests().is_empty());
        assert_eq!(manager.available(LAPTOPS), Ok(100));
    }
}

/// Asks the engine before it approves.
struct Asks(Later);

impl ApprovalPolicy for Asks {
    fn approves(&self, asked: &ProposedTransfer) -> bool {
        let Some(manager) = self.0.take() else { return false };
        let other = manager.request_transfer(&*asked.from, &*asked.to, &*asked.product, 1);
        manager.sell(LAPTOPS, 1).expect("stock");
        other.is_ok() && manager.transfer_requests().len() == 1
    }
}

#[test]
fn a_policy_may_call_the_engine() {
    let engine = Later::default();
    let manager = stocked(threaded().approval_policy(Asks(engine.clone())));
    engine.set(&manager);
    within(SOON, move || {
        let id = manager.request_transfer("SF", "NYC", "LAPTOP", 4).expect("stock");
        let made = manager.transfer_request(id).expect("there");
        assert_eq!(made.status, TransferRequestStatus::Approved);
    });
}

/// Blocks until it is let go.
struct Blocks(Mutex<Receiver<()>>);

impl ApprovalPolicy for Blocks {
    fn approves(&self, _: &ProposedTransfer) -> bool {
        self.0.lock().expect("no panic").recv().is_ok()
    }
}

impl AllocationStrategy for Blocks {
    fn order(&self, _: u32, _: &mut Vec<Candidate>) {
        let _ = self.0.lock().expect("no panic").recv();
    }
}

#[test]
fn a_policy_or_a_strategy_that_blocks_keeps_nobody_else() {
    let (release, released) = channel::<()>();
    let (let_go, gone) = channel::<()>();
    let manager = stocked(threaded().approval_policy(Blocks(Mutex::new(released))));
    let (first, second) = (manager.clone(), manager.clone());
    let asks = thread::spawn(move || first.request_transfer("SF", "NYC", "LAPTOP", 4));
    let fills =
        thread::spawn(move || second.fulfill_by("LAPTOP", 4, &Blocks(Mutex::new(gone)), LONG));
    let others = manager.clone();
    within(SOON, move || {
        others.sell(LAPTOPS, 1).expect("stock");
        others.reserve(LAPTOPS, 1, LONG).expect("stock");
        others.transfer("SF", "NYC", "LAPTOP", 1).expect("stock");
        assert!(others.transfer_requests().is_empty());
        others.flush().wait().expect("well");
    });
    drop((release, let_go));
    asks.join().expect("no panic").expect("stock");
    fills.join().expect("no panic").expect("stock");
}

/// A strategy that panics, or calls the engine.
struct Strategy<'a>(&'a dyn Fn());

impl AllocationStrategy for Strategy<'_> {
    fn order(&self, _: u32, _: &mut Vec<Candidate>) {
        (self.0)();
    }
}

#[test]
fn a_strategy_that_panics_has_taken_nothing_and_one_may_call_the_engine() {
    let manager = stocked(quiet(&clock()));
    let before = (counts(&manager, LAPTOPS), manager.stats().slots_live);
    let keyed = manager.request().key(key("one"));
    let panics = Strategy(&|| panic!("a strategy with a bug"));
    let asked = || keyed.fulfill_by("LAPTOP", 4, &panics, LONG);
    assert!(catch_unwind(AssertUnwindSafe(asked)).is_err());
    assert_eq!((counts(&manager, LAPTOPS), manager.stats().slots_live), before);
    let sells = Strategy(&|| {
        manager.sell(LAPTOPS, 1).expect("stock");
        manager.flush().wait().expect("well");
    });
    let id = keyed.fulfill_by("LAPTOP", 4, &sells, LONG).expect("the key is free");
    assert_eq!(keyed.fulfill_by("LAPTOP", 4, &sells, LONG), Ok(id));
    assert_eq!(manager.available(LAPTOPS), Ok(95));
}

/// Panics at the reading of this number from now on.
#[derive(Default)]
struct Breaks {
    in_readings: AtomicU64,
    broken: AtomicBool,
}

impl Breaks {
    /// Lets so many readings pass.
    fn after(&self, readings: u64) {
        self.in_readings.store(readings + 1, Ordering::SeqCst);
    }
}

impl Clock for Breaks {
    fn now(&self) -> Timestamp {
        let left = self.in_readings.load(Ordering::SeqCst);
        if left > 0 {
            self.in_readings.store(left - 1, Ordering::SeqCst);
            assert!(left > 1, "a clock with a bug");
        }
        assert!(!self.broken.load(Ordering::SeqCst), "a clock that is broken");
        Timestamp::from_millis(1_000)
    }
}

/// A call on an engine, and its name.
type Step = (&'static str, fn(&InventoryManager) -> Result<(), stockade::Error>);

/// Every kind of call that moves units, under a key.
const STEPS: &[Step] = &[
    ("add", |it| Ok(it.request().key(key("a")).add_stock(LAPTOPS, 5, "S")?)),
    ("sell", |it| {
        it.request().key(key("b")).sell(LAPTOPS, 5)?;
        Ok(())
    }),
    ("reserve", |it| {
        it.request().key(key("c")).reserve(LAPTOPS, 5, LONG)?;
        Ok(())
    }),
    ("fulfill", |it| {
        let request = it.request().key(key("d"));
        request.fulfill_by("LAPTOP", 5, &stockade::LargestStockFirst, LONG)?;
        Ok(())
    }),
    ("transfer", |it| Ok(it.request().key(key("e")).transfer("SF", "NYC", "LAPTOP", 5)?)),
    ("request", |it| {
        it.request().key(key("f")).request_transfer("SF", "NYC", "LAPTOP", 5)?;
        Ok(())
    }),
    ("held request", |it| {
        let request = it.request().key(key("g")).hold_units();
        request.request_transfer("SF", "NYC", "LAPTOP", 5)?;
        Ok(())
    }),
];

#[test]
fn a_clock_that_panics_leaves_a_call_undone_or_done_and_never_half() {
    let all = ApproveBelow::new(u32::MAX);
    for (name, step) in STEPS {
        // What the call does where nothing breaks.
        let sound = stocked(quiet(&clock()).approval_policy(all));
        step(&sound).expect(name);
        let after = |it: &InventoryManager| {
            let stats = it.stats();
            let held = (stats.slots_live, it.transfer_requests().len());
            let movements = crate::common::log_of(it);
            let movements = movements.iter().filter(|it| it.is_movement()).count();
            (counts(it, LAPTOPS), held, movements)
        };
        for readings in 0..12 {
            let clock = Arc::new(Breaks::default());
            let broken = threaded().clock(Arc::clone(&clock)).without_threads().seed(7);
            let manager = stocked(broken.approval_policy(all));
            let before = after(&manager);
            clock.after(readings);
            let ended = catch_unwind(AssertUnwindSafe(|| step(&manager)));
            clock.in_readings.store(0, Ordering::SeqCst);
            match ended {
                Err(_) => assert_eq!(after(&manager), before, "{name}, after {readings}"),
                Ok(done) => done.expect(name),
            }
            // A retry with the key makes it whole, and once.
            step(&manager).expect(name);
            assert_eq!(after(&manager), after(&sound), "{name}, after {readings}");
        }
    }
}

#[test]
fn a_clock_that_panics_for_a_while_keeps_no_hold_from_its_expiry() {
    struct Moves(AtomicU64, Breaks);
    impl Clock for Moves {
        fn now(&self) -> Timestamp {
            self.1.now();
            Timestamp::from_millis(self.0.load(Ordering::SeqCst))
        }
    }
    let clock = Arc::new(Moves(AtomicU64::new(1_000), Breaks::default()));
    let manager = stocked(threaded().clock(Arc::clone(&clock)));
    manager.reserve(LAPTOPS, 100, ms(500)).expect("stock");
    clock.1.broken.store(true, Ordering::SeqCst);
    thread::sleep(ms(300));
    clock.1.broken.store(false, Ordering::SeqCst);
    clock.0.store(2_000, Ordering::SeqCst);
    wait_for(SOON, "swept", || manager.available(LAPTOPS) == Ok(100));
    assert_eq!(manager.health(), Health::Ok);
}

#[test]
fn an_engine_whose_clock_is_broken_ends_all_the_same() {
    let clock = Arc::new(Breaks::default());
    let manager = stocked(threaded().clock(Arc::clone(&clock)));
    manager.flush().wait().expect("well");
    clock.broken.store(true, Ordering::SeqCst);
    within(SOON, move || {
        assert_eq!(manager.shutdown(SOON).unwritten, 0);
        drop(manager);
    });
}
