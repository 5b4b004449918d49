//! A peer with `DashMap` entry locks: the next step of a service whose single mutex is too slow.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_queue::ArrayQueue;
use dashmap::DashMap;

use super::drawn::SharedDrawn;
use super::due::{Due, Expires, spawn_sweeper};
use super::shared::{Hasher, Hold, KEPT, Level, Product, Refused, Stamp, Status, Warehouse, check};
use super::trail::{Kind, Trail};
use super::{Job, Whole};
use crate::common::customers::Customers;
use crate::common::ledger::{About, Ledger, Session, TTL, Writer};

/// How many parts the deadline index has, so that threads rarely meet in one.
const PARTS: usize = 64;

/// The peer, with a limit per customer or without. The kinds are apart so that those without pay
/// nothing for the others.
pub(crate) struct DashMapPeer<const LIMITED: bool = false> {
    shared: Arc<Maps<LIMITED>>,
}

struct Maps<const LIMITED: bool> {
    warehouses: Vec<Warehouse>,
    levels: DashMap<Product, Level, Hasher>,
    holds: DashMap<u128, Hold, Hasher>,
    drawn: SharedDrawn,
    due: [DueShard; PARTS],
    /// No hold falls due before this time, except one that is being made at this moment.
    next_due: AtomicU64,
    /// The finished holds that are retained.
    finished: ArrayQueue<u128>,
    trail: Trail,
    job: Job,
}

/// On its own cache line.
#[derive(Default)]
#[repr(align(64))]
struct DueShard(Mutex<DuePart>);

/// With few stale entries, because there are many of it.
type DuePart = Due<u128, 256>;

impl DueShard {
    #[inline]
    fn lock(&self) -> MutexGuard<'_, DuePart> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DashMapPeer {
    /// Opens the peer with these units of each product.
    pub(crate) fn open(units: &[u32], job: Job) -> Self {
        Self::with(0, units, job)
    }
}

impl DashMapPeer<true> {
    /// The same, and each customer may have `maximum` of all products together.
    pub(crate) fn open_limited(maximum: u32, units: &[u32], job: Job) -> Self {
        Self::with(maximum, units, job)
    }
}

impl<const LIMITED: bool> DashMapPeer<LIMITED> {
    fn with(maximum: u32, units: &[u32], job: Job) -> Self {
        let levels: DashMap<Product, Level, Hasher> = DashMap::default();
        for (index, units) in units.iter().enumerate() {
            levels.insert(Product::new(index), Level::of(*units));
        }
        let shared = Arc::new(Maps {
            warehouses: vec![Warehouse::default()],
            levels,
            holds: DashMap::default(),
            drawn: SharedDrawn::new(maximum),
            due: std::array::from_fn(|_| DueShard::default()),
            next_due: AtomicU64::new(u64::MAX),
            finished: ArrayQueue::new(KEPT),
            trail: Trail::open(),
            job,
        });
        if job == Job::Whole {
            spawn_sweeper(&shared);
        }
        Self { shared }
    }
}

impl<const LIMITED: bool> Maps<LIMITED> {
    #[inline]
    fn part(&self, id: u128) -> MutexGuard<'_, DuePart> {
        self.due[id as usize % PARTS].lock()
    }

    /// The thread that changes the status has the hold to itself. It queues the entry before it
    /// gives the units back.
    #[inline]
    fn end(&self, id: u128, asked: Status, now: u64) -> Result<Status, Refused> {
        let (hold, status) = match self.job {
            Job::Whole => {
                let mut hold = self.holds.get_mut(&id).ok_or(Refused::Unknown)?;
                let status = hold.end(asked, now)?;
                (*hold, status)
            }
            Job::Lean => {
                let (_, mut hold) = self.holds.remove(&id).ok_or(Refused::Unknown)?;
                let status = hold.end(asked, now)?;
                (hold, status)
            }
        };
        self.trail.push(hold.entry(status.recorded(), id, now));
        let mut level = self.levels.get_mut(&hold.product).expect("a known product");
        level.end(hold.quantity, status);
        drop(level);
        if LIMITED && status != Status::Confirmed {
            self.drawn.give_back(&hold);
        }
        if self.job == Job::Whole
            && let Some(oldest) = self.finished.force_push(id)
        {
            self.holds.remove(&oldest);
        }
        Ok(status)
    }

    fn is_live(&self, id: u128) -> bool {
        self.holds.get(&id).is_some_and(|hold| hold.is_pending())
    }

    #[inline]
    fn add_due(&self, expires_at: u64, id: u128) {
        self.part(id).add(expires_at, id, |id| self.is_live(id));
        if self.next_due.load(Ordering::Relaxed) > expires_at {
            self.next_due.fetch_min(expires_at, Ordering::AcqRel);
        }
    }

    /// Expires overdue holds.
    #[cold]
    fn expire(&self, now: u64) {
        self.next_due.store(u64::MAX, Ordering::Release);
        for part in &self.due {
            loop {
                let overdue = part.lock().overdue(now, |id| self.is_live(id));
                let Some(id) = overdue else { break };
                // Another thread may have ended it meanwhile.
                _ = self.end(id, Status::Expired, now);
            }
            if let Some(next) = part.lock().next() {
                self.next_due.fetch_min(next, Ordering::AcqRel);
            }
        }
    }
}

impl<const LIMITED: bool> Expires for Maps<LIMITED> {
    fn sweep(&self, now: u64) {
        if now > self.next_due.load(Ordering::Acquire) {
            self.expire(now);
        }
    }
}

impl<const LIMITED: bool> Ledger for DashMapPeer<LIMITED> {
    type Session = DashMapSession<LIMITED>;

    fn about(&self) -> About {
        self.shared.job.about("dashmap")
    }

    fn product(&self, index: usize) -> Product {
        Product::new(index)
    }

    fn session(&self) -> DashMapSession<LIMITED> {
        DashMapSession { shared: Arc::clone(&self.shared), stamp: Stamp::new(), customers: None }
    }

    fn writer(&self) -> Option<Writer> {
        self.shared.trail.writer()
    }
}

impl<const LIMITED: bool> Whole for DashMapPeer<LIMITED> {
    fn sweep(&self, now: u64) {
        Expires::sweep(&*self.shared, now);
    }

    fn try_confirm(&self, id: u128) -> Result<Status, Refused> {
        let now = Stamp::new().now();
        self.shared.end(id, Status::Confirmed, now)
    }
}

/// A handle to the peer.
pub(crate) struct DashMapSession<const LIMITED: bool> {
    shared: Arc<Maps<LIMITED>>,
    stamp: Stamp,
    customers: Option<Customers>,
}

impl<const LIMITED: bool> DashMapSession<LIMITED> {
    /// Ends a hold, and checks that it ended as asked.
    #[inline]
    fn end(&mut self, id: u128, asked: Status) {
        self.shared.trail.admit();
        let ended = self.shared.end(id, asked, self.stamp.now());
        assert_eq!(ended, Ok(asked), "a live hold");
    }

    /// Takes the units, and draws on the customer's limit. Queues the entry under the level's lock,
    /// so that a later spender is logged later.
    #[inline]
    fn take(&mut self, hold: &Hold, id: u128, now: u64) -> bool {
        let take = || {
            let mut level = self.shared.levels.get_mut(&hold.product).expect("a known product");
            let taken = level.hold(hold.quantity);
            if taken {
                self.shared.trail.push(hold.entry(Kind::Reserved, id, now));
            }
            taken
        };
        if LIMITED { self.shared.drawn.draw(hold, take) } else { take() }
    }
}

impl<const LIMITED: bool> Session for DashMapSession<LIMITED> {
    type Product = Product;
    type Hold = u128;

    fn serve(&mut self, customers: Customers) {
        self.customers = Some(customers);
    }

    #[inline]
    fn reserve(&mut self, product: Product) -> Option<u128> {
        let quantity = 1;
        check(quantity, TTL);
        self.shared.trail.admit();
        let warehouse = &self.shared.warehouses[usize::from(product.warehouse)];
        assert!(warehouse.is_open(), "an open warehouse");
        let now = self.stamp.now();
        let id = self.stamp.id(now);
        let customer = if LIMITED { self.customers.as_mut().map(Customers::next) } else { None };
        let hold = Hold::new(customer, product, quantity, now, TTL);
        if !self.take(&hold, id, now) {
            // Overdue holds must not prevent a sale.
            if now <= self.shared.next_due.load(Ordering::Acquire) {
                return None;
            }
            self.shared.expire(now);
            if !self.take(&hold, id, now) {
                return None;
            }
        }
        self.shared.holds.insert(id, hold);
        if self.shared.job == Job::Whole {
            self.shared.add_due(hold.expires_at, id);
        }
        self.stamp.use_id();
        Some(id)
    }

    #[inline]
    fn confirm(&mut self, id: u128) {
        self.end(id, Status::Confirmed);
    }

    #[inline]
    fn release(&mut self, id: u128) {
        self.end(id, Status::Released);
    }
}
