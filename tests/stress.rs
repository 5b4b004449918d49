//! Everything at once, by real threads on a few hot levels. Meanwhile readers look for a moment
//! that breaks a law, and afterwards the whole log is checked. Two cores show few of the
//! interleavings; the models in `loom-tests` show all of them, for smaller cases.

mod common;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use stockade::{
    AddError, AuditFilter, BasketError, BasketLine, CallError, ConfirmError, ConfirmOrRetake,
    ExtendError, Gone, Health, IdempotencyKey, InventoryManager, KeyError, Limits, NoReservation,
    Release, ReleaseError, RemoveError, ReservationId, ReservationStatus, ReserveError,
    RetakeError, ShipError, TransferError, WarehouseLevel, WarehouseSpec,
};

use common::rng::{Rng, seed};
use common::sinks::Keeper;
use common::{ledger, ms, within};

/// The duration in milliseconds; by default a second and a half.
const LENGTH: &str = "STOCKADE_STRESS_MS";
const WAREHOUSES: [&str; 2] = ["SF", "NYC"];
const PRODUCTS: [&str; 3] = ["LAPTOP", "MOUSE", "DESK"];
/// A level whose units come and go only by holds and sales, so that its units on hand never change.
const CLOSED: (&str, &str) = ("SF", "CLOSED");
const CLOSED_UNITS: u32 = 40;
const CAPACITY: u32 = 400;

struct Stage {
    manager: InventoryManager,
    seed: u64,
    stop: AtomicBool,
    /// Holds that any thread may use, the newest last.
    holds: Mutex<Vec<Held>>,
}

#[derive(Clone)]
struct Held {
    id: ReservationId,
    lines: Vec<((&'static str, &'static str), u32)>,
}

/// What one thread has moved.
#[derive(Default)]
struct Moved {
    /// Units received minus units that left.
    net: i64,
    /// Units sold, minus those shipped and cancelled.
    sold: i64,
    /// Keyed sales. Several threads may have been answered for one of them.
    keyed: HashMap<ReservationId, u32>,
    calls: u64,
}

impl Stage {
    fn running(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn show(&self, held: Held) {
        let mut holds = self.holds.lock().unwrap_or_else(PoisonError::into_inner);
        if holds.len() >= 64 {
            holds.remove(0);
        }
        holds.push(held);
    }

    fn any_hold(&self, rng: &mut Rng) -> Option<Held> {
        let holds = self.holds.lock().unwrap_or_else(PoisonError::into_inner);
        let count = holds.len() as u64;
        (count > 0).then(|| holds[rng.below(count) as usize].clone())
    }

    fn work(&self, thread: usize) -> Moved {
        let (mut rng, mut moved) = (Rng::new(self.seed, thread), Moved::default());
        while self.running() {
            match rng.below(10) {
                0..3 => self.move_goods(&mut rng, &mut moved),
                3..6 => self.make_hold(&mut rng, &mut moved),
                _ => {
                    if let Some(held) = self.any_hold(&mut rng) {
                        self.step_on(&held, &mut rng, &mut moved);
                    }
                }
            }
            moved.calls += 1;
        }
        moved
    }

    fn move_goods(&self, rng: &mut Rng, moved: &mut Moved) {
        let (manager, units) = (&self.manager, rng.units(5));
        let level = (rng.pick(&WAREHOUSES), rng.pick(&PRODUCTS));
        match rng.below(12) {
            0..4 => match manager.add_stock(level, units, "SUPPLIER") {
                Ok(()) => moved.net += i64::from(units),
                Err(AddError::OverCapacity { needed, room }) => assert!(room < needed),
                Err(error) => self.unexpected(error),
            },
            4 => match manager.remove_stock(level, units, "dropped") {
                Ok(()) => moved.net -= i64::from(units),
                Err(RemoveError::Insufficient { needed, available }) => assert!(available < needed),
                Err(error) => self.unexpected(error),
            },
            5..7 => match manager.ship(level, units) {
                Ok(()) => {
                    moved.net -= i64::from(units);
                    moved.sold -= i64::from(units);
                }
                Err(ShipError::NotSold { needed, sold, .. }) => assert!(sold < needed),
                Err(error) => self.unexpected(error),
            },
            7..9 => {
                let level = if rng.below(2) == 0 { CLOSED } else { level };
                match manager.cancel_sale(level, units, "declined") {
                    Ok(()) => moved.sold -= i64::from(units),
                    Err(ShipError::NotSold { needed, sold, .. }) => assert!(sold < needed),
                    Err(error) => self.unexpected(error),
                }
            }
            9 if rng.below(2) == 0 => drop(manager.set_threshold(level.0, Some(units))),
            // Often less than what lies inside.
            9 => {
                let capacity = CAPACITY - rng.below(u64::from(CAPACITY)) as u32;
                manager.set_capacity(level.0, capacity).expect("a legal capacity");
            }
            _ => {
                let to = WAREHOUSES[usize::from(level.0 == "SF")];
                match manager.transfer(level.0, to, level.1, units) {
                    Ok(()) => {}
                    Err(TransferError::Insufficient { needed, available }) => {
                        assert!(available < needed);
                    }
                    Err(TransferError::OverCapacity { needed, room }) => assert!(room < needed),
                    Err(error) => self.unexpected(error),
                }
            }
        }
    }

    fn make_hold(&self, rng: &mut Rng, moved: &mut Moved) {
        let (manager, units, ttl) = (&self.manager, rng.units(4), ms(rng.below(12) + 1));
        let level = match rng.below(3) {
            0 => CLOSED,
            _ => (rng.pick(&WAREHOUSES), rng.pick(&PRODUCTS)),
        };
        let lines = vec![(level, units)];
        let refused = |error| match error {
            ReserveError::Insufficient { needed, available, .. } => assert!(available < needed),
            ReserveError::Full { .. } | ReserveError::Call(CallError::Key(KeyError::Conflict)) => {}
            error => self.unexpected(error),
        };
        match rng.below(6) {
            0..3 => match manager.reserve(level, units, ttl) {
                Ok(id) => self.show(Held { id, lines }),
                Err(error) => refused(error),
            },
            3 => match manager.sell(level, units) {
                Ok(id) => {
                    moved.sold += i64::from(units);
                    self.show(Held { id, lines });
                }
                Err(error) => refused(error),
            },
            4 => {
                // Few keys, so that threads meet.
                let key = IdempotencyKey::try_from(&*format!("key {}", rng.below(500)));
                let request = manager.request().key(key.expect("a legal key"));
                match request.sell(level, units) {
                    Ok(id) => _ = moved.keyed.insert(id, units),
                    Err(error) => refused(error),
                }
            }
            _ => {
                let lines: Vec<_> =
                    PRODUCTS.iter().map(|product| ((level.0, *product), 1)).collect();
                let basket: Vec<_> =
                    lines.iter().map(|(level, units)| BasketLine::new(*level, *units)).collect();
                match manager.reserve_basket(&basket, ttl) {
                    Ok(id) => self.show(Held { id, lines }),
                    Err(BasketError::Insufficient { lines, .. }) => assert!(!lines.is_empty()),
                    Err(BasketError::Full { .. }) => {}
                    Err(error) => self.unexpected(error),
                }
            }
        }
    }

    fn step_on(&self, held: &Held, rng: &mut Rng, moved: &mut Moved) {
        let (manager, id) = (&self.manager, held.id);
        let units: i64 = held.lines.iter().map(|line| i64::from(line.1)).sum();
        match rng.below(8) {
            0..3 => match manager.confirm(id) {
                Ok(()) => moved.sold += units,
                Err(ConfirmError::Gone(Gone::Unknown) | ConfirmError::Call(_)) => {
                    self.unexpected("a hold that was made")
                }
                Err(_) => {}
            },
            3..5 => match manager.release(id) {
                Ok(Release::Unknown) => self.unexpected("a hold that was made"),
                Ok(_) | Err(ReleaseError::Sold { .. } | ReleaseError::Changing) => {}
                Err(error) => self.unexpected(error),
            },
            5 => {
                let extended = manager.extend(id, ms(rng.below(12) + 1));
                if let Err(error @ (ExtendError::Gone(Gone::Unknown) | ExtendError::Call(_))) =
                    extended
                {
                    self.unexpected(error);
                }
            }
            _ => {
                let lines: Vec<_> = held
                    .lines
                    .iter()
                    .map(|(level, units)| BasketLine::new(*level, *units))
                    .collect();
                match manager.confirm_or_retake_lines(id, &lines) {
                    Ok(ConfirmOrRetake::Confirmed) => moved.sold += units,
                    Ok(ConfirmOrRetake::Retaken(new)) => {
                        moved.sold += units;
                        assert_ne!(new, id);
                    }
                    Ok(ConfirmOrRetake::AlreadySold { units: sold }) => {
                        assert_eq!(sold, units as u64, "seed {}", self.seed);
                    }
                    Ok(_)
                    | Err(
                        RetakeError::Changing
                        | RetakeError::Insufficient { .. }
                        | RetakeError::Full { .. },
                    ) => {}
                    Err(error) => self.unexpected(error),
                }
            }
        }
    }

    fn unexpected(&self, answer: impl std::fmt::Display) {
        panic!("{answer} was not to be expected (seed {})", self.seed);
    }

    /// Looks for a moment that breaks a law. Returns how often it looked.
    fn watch(&self) -> u64 {
        let manager = &self.manager;
        let handle = manager.level(CLOSED).expect("open");
        let mut over: HashMap<ReservationId, ReservationStatus> = HashMap::new();
        let (mut looks, mut newest) = (0, 0);
        while self.running() {
            let closed = manager.counts(handle).expect("known");
            assert_eq!(closed.on_hand(), CLOSED_UNITS, "{closed:?} (seed {})", self.seed);
            for warehouse in WAREHOUSES {
                let room = manager.warehouse(warehouse).expect("known").room_left();
                assert!(room <= CAPACITY);
                for level in manager.levels(warehouse).expect("known") {
                    let counts = level.counts;
                    assert!(counts.sold <= counts.reserved, "{counts:?} (seed {})", self.seed);
                    assert!(counts.on_hand() <= CAPACITY, "{counts:?} (seed {})", self.seed);
                }
            }
            let holds = self.holds.lock().unwrap_or_else(PoisonError::into_inner).clone();
            for Held { id, lines } in holds {
                let status = match manager.reservation(id) {
                    Ok(found) => {
                        assert_eq!(found.lines.len(), lines.len(), "seed {}", self.seed);
                        found.status
                    }
                    Err(missing) => {
                        assert_eq!(missing, NoReservation::Forgotten, "seed {}", self.seed);
                        continue;
                    }
                };
                if status != ReservationStatus::Pending {
                    let first = *over.entry(id).or_insert(status);
                    assert_eq!(first, status, "a hold ended twice (seed {})", self.seed);
                } else {
                    assert!(!over.contains_key(&id), "a hold came back (seed {})", self.seed);
                }
            }
            let page = manager.audit_log().query(&AuditFilter::new().after(newest));
            for entry in page.entries {
                assert_eq!(entry.sequence, newest + 1, "seed {}", self.seed);
                newest = entry.sequence;
            }
            assert!(!matches!(manager.health(), Health::Poisoned | Health::Stopped { .. }));
            looks += 1;
        }
        looks
    }
}

fn length() -> Duration {
    let millis = std::env::var(LENGTH).map(|text| text.parse().expect("whole milliseconds"));
    ms(millis.unwrap_or(1_500))
}

/// Runs for a while, and then checks the log and the counts.
fn play(builder: stockade::Builder, workers: usize) {
    let seed = seed();
    let (sink, kept) = Keeper::new();
    let spec = |name| WarehouseSpec::new(name).capacity(CAPACITY).threshold(2);
    let builder = builder.warehouse(spec("SF")).warehouse(spec("NYC")).sink(sink);
    let manager = builder.build().expect("legal settings");
    manager.add_stock(CLOSED, CLOSED_UNITS, "SUPPLIER").expect("room");
    for product in PRODUCTS {
        for warehouse in WAREHOUSES {
            manager.add_stock((warehouse, product), 20, "SUPPLIER").expect("room");
        }
    }
    let stocked = i64::from(CLOSED_UNITS) + 120;
    let (stop, holds) = (AtomicBool::new(false), Mutex::default());
    let stage = Stage { manager, seed, stop, holds };
    let (moved, looks) = thread::scope(|scope| {
        let spawn = |thread| {
            let stage = &stage;
            scope.spawn(move || stage.work(thread))
        };
        let workers: Vec<_> = (0..workers).map(spawn).collect();
        let watchers = [(); 2].map(|()| scope.spawn(|| stage.watch()));
        thread::sleep(length());
        stage.stop.store(true, Ordering::Relaxed);
        let moved: Vec<Moved> =
            workers.into_iter().map(|it| it.join().expect("no law was broken")).collect();
        let looks: u64 = watchers.into_iter().map(|it| it.join().expect("no law was broken")).sum();
        (moved, looks)
    });
    let calls: u64 = moved.iter().map(|it| it.calls).sum();
    assert!(calls > 1_000 && looks > 10, "{calls} calls, {looks} looks: nothing was tried");

    let manager = stage.manager;
    let units = || {
        let warehouses = manager.warehouses();
        let levels = warehouses.iter().flat_map(|it| manager.levels(it.id()).expect("known"));
        levels.fold((0, 0, 0), |(on_hand, reserved, sold), WarehouseLevel { counts, .. }| {
            (
                on_hand + i64::from(counts.on_hand()),
                reserved + i64::from(counts.reserved),
                sold + i64::from(counts.sold),
            )
        })
    };
    // By the units: the count of live slots is exact only when the sweeper has nothing in hand.
    let limit = Instant::now() + Duration::from_secs(30);
    let (on_hand, sold) = loop {
        let (on_hand, reserved, sold) = units();
        if reserved == sold && manager.stats().slots_live == 0 {
            break (on_hand, sold);
        }
        let held = reserved - sold;
        assert!(Instant::now() < limit, "{held} held: {:?} (seed {seed})", manager.stats());
        thread::sleep(ms(1));
    };
    let products = PRODUCTS.iter().chain([&CLOSED.1]);
    let totals: u64 =
        products.map(|product| manager.totals(*product).expect("known").on_hand()).sum();
    assert_eq!(totals as i64, on_hand, "the products' totals (seed {seed})");
    manager.flush().wait().expect("a healthy sink");
    let net: i64 = moved.iter().map(|it| it.net).sum();
    assert_eq!(on_hand, stocked + net, "units on hand (seed {seed})");
    let keyed: HashMap<ReservationId, u32> = moved.iter().flat_map(|it| it.keyed.clone()).collect();
    let of_keys: i64 = keyed.values().map(|units| i64::from(*units)).sum();
    let of_calls: i64 = moved.iter().map(|it| it.sold).sum();
    assert_eq!(sold, of_calls + of_keys, "units sold (seed {seed})");

    let entries = kept.entries();
    let ledger = ledger::assert_legal(&entries);
    ledger.assert_ends_as(&manager);
    assert_eq!(ledger.sold() as i64, sold);
    assert!(manager.shutdown(Duration::from_secs(30)).is_clean());
}

#[test]
fn the_laws_hold_while_everything_happens_at_once() {
    within(length() + Duration::from_secs(120), || play(InventoryManager::builder(), 6));
}

/// With very few slots and no retention, ids are reused all the time. With a very short queue,
/// callers wait for it.
#[test]
fn the_laws_hold_with_few_slots_and_a_short_queue() {
    within(length() + Duration::from_secs(120), || {
        let limits = Limits::new().max_reservations(40).retention(ms(0), 0).audit_queue(16);
        play(InventoryManager::builder().limits(limits), 6);
    });
}
