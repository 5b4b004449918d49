//! A program: an engine, its stock, and some threads with calls to make.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shuttle::thread;
use stockade::{
    AuditFilter, Backpressure, InventoryManager, Limits, ManualClock, ReservationId,
    ReservationStatus, Timestamp, TransferRequestId, WarehouseSpec,
};

use crate::ledger;
use crate::rng::Rng;

pub(crate) type Level = (&'static str, &'static str);

pub(crate) const WAREHOUSES: [&str; 2] = ["SF", "NYC"];
pub(crate) const PRODUCTS: [&str; 2] = ["LAPTOP", "MOUSE"];
/// Units of this one move between levels and between counts, and never in or out.
pub(crate) const CLOSED: &str = "DESK";
pub(crate) const CLOSED_UNITS: u32 = 6;
const UNITS: u32 = 4;
pub(crate) const CAPACITY: u32 = 18;

/// How large the engine is, and how many calls there are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scene {
    Roomy,
    Tight,
    Brief,
}

/// An engine, and what its callers know.
pub(crate) struct Stage {
    pub(crate) manager: InventoryManager,
    pub(crate) clock: Arc<ManualClock>,
    seed: u64,
    scene: Scene,
    known: Mutex<Known>,
}

/// What callers tell one another.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) holds: Vec<Hold>,
    pub(crate) requests: Vec<TransferRequestId>,
    /// What a key was answered, by its number.
    pub(crate) keyed: [Option<ReservationId>; 2],
    /// Approvals and rejections that were told so.
    pub(crate) decided: Vec<TransferRequestId>,
}

#[derive(Clone)]
pub(crate) struct Hold {
    pub(crate) id: ReservationId,
    pub(crate) lines: Vec<(Level, u32)>,
}

impl Stage {
    pub(crate) fn set(seed: u64, scene: Scene) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000)));
        let mut builder = InventoryManager::builder()
            .clock(Arc::clone(&clock))
            .seed(seed)
            .without_threads()
            .limits(Limits::new().max_reservations(64).audit_queue(256));
        if scene == Scene::Tight {
            let backpressure =
                if seed.is_multiple_of(2) { Backpressure::Wait } else { Backpressure::Refuse };
            builder = builder
                .limits(
                    Limits::new().max_reservations(6).retention(Duration::ZERO, 0).audit_queue(16),
                )
                .backpressure(backpressure);
        }
        for name in WAREHOUSES {
            builder = builder.warehouse(WarehouseSpec::new(name).capacity(CAPACITY).threshold(2));
        }
        let manager = builder.build().expect("a legal engine");
        let add = |level, units| manager.add_stock(level, units, "SUPPLIER").expect("room");
        for warehouse in WAREHOUSES {
            PRODUCTS.iter().for_each(|product| add((warehouse, *product), UNITS));
            add((warehouse, CLOSED), CLOSED_UNITS / 2);
        }
        let stage = Self { manager, clock, seed, scene, known: Mutex::default() };
        let mut rng = Rng::new(seed, 99);
        for _ in 0..2 {
            stage.hold(&mut rng);
        }
        stage
    }

    /// No atomic is touched while this is held.
    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn any_hold(&self, rng: &mut Rng) -> Option<Hold> {
        let known = self.known();
        (!known.holds.is_empty()).then(|| rng.pick_ref(&known.holds).clone())
    }

    /// Lets the threads make their calls, then looks at what is left.
    pub(crate) fn play(self) {
        let mut rng = Rng::new(self.seed, 98);
        let (threads, calls) = match self.scene {
            Scene::Brief => (2, 1 + rng.below(2)),
            _ => (2 + rng.below(2) as usize, 2 + rng.below(4)),
        };
        let watches = rng.below(2) == 0;
        thread::scope(|scope| {
            for thread in 0..threads {
                let (stage, mut rng) = (&self, Rng::new(self.seed, thread));
                scope.spawn(move || (0..calls).for_each(|_| stage.call(&mut rng)));
            }
            if watches {
                scope.spawn(|| self.watch(calls));
            }
        });
        self.end();
    }

    /// The books, with holds left over; and again once all of them have fallen due.
    fn end(&self) {
        let manager = &self.manager;
        manager.run_until_idle();
        self.do_the_books();
        self.assert_decided_once();
        self.clock.advance(Duration::from_secs(100_000));
        manager.run_until_idle();
        for id in manager.transfer_requests().iter().map(|request| request.id) {
            manager.reject_transfer(id, "the end", "no answer").expect("nobody else decides");
        }
        self.do_the_books();
        for warehouse in WAREHOUSES {
            for level in manager.levels(warehouse).expect("known") {
                assert_eq!(level.counts.held(), 0, "held by nobody: {level:?}");
            }
        }
        assert_eq!(self.closed_on_hand(), CLOSED_UNITS);
        let holds = self.known().holds.clone();
        for Hold { id, .. } in holds {
            let found = manager.reservation(id);
            assert!(!found.is_ok_and(|found| found.status == ReservationStatus::Pending));
        }
    }

    fn do_the_books(&self) {
        self.manager.flush().wait().expect("a healthy log");
        let log = self.manager.audit_log().query(&AuditFilter::new().limit(usize::MAX)).entries;
        ledger::assert_legal(&log).assert_ends_as(&self.manager);
    }

    fn assert_decided_once(&self) {
        let mut decided = self.known().decided.clone();
        let told = decided.len();
        decided.sort_unstable();
        decided.dedup();
        assert_eq!(decided.len(), told, "a transfer was decided twice");
    }
}
