//! A peer with a mutex around plain maps: what most services begin with.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::drawn::Drawn;
use super::due::{Expires, spawn_sweeper};
use super::holds::HoldMap;
use super::shared::{Hasher, Hold, Level, Product, Refused, Stamp, Status, Warehouse, check};
use super::trail::{Kind, Trail};
use super::{Job, Whole};
use crate::common::customers::Customers;
use crate::common::ledger::{About, Ledger, Session, TTL, Writer};

/// The peer, with a limit per customer or without. The kinds are apart so that those without pay
/// nothing for the others.
pub(crate) struct MutexPeer<const LIMITED: bool = false> {
    shared: Arc<Locked<LIMITED>>,
}

struct Locked<const LIMITED: bool> {
    state: Mutex<State>,
    trail: Trail,
    job: Job,
}

struct State {
    warehouses: Vec<Warehouse>,
    levels: HashMap<Product, Level, Hasher>,
    holds: HoldMap,
    drawn: Drawn,
}

impl State {
    /// Takes what a hold needs, of the stock and of its customer's limit, or nothing.
    #[inline]
    fn take<const LIMITED: bool>(&mut self, hold: &Hold) -> bool {
        let Self { levels, drawn, .. } = self;
        let mut take =
            || levels.get_mut(&hold.product).expect("a known product").hold(hold.quantity);
        if LIMITED { drawn.draw(hold, take) } else { take() }
    }
}

impl MutexPeer {
    /// Opens the peer with these units of each product.
    pub(crate) fn open(units: &[u32], job: Job) -> Self {
        Self::with(0, units, job)
    }
}

impl MutexPeer<true> {
    /// The same, and each customer may have `maximum` of all products together.
    pub(crate) fn open_limited(maximum: u32, units: &[u32], job: Job) -> Self {
        Self::with(maximum, units, job)
    }
}

impl<const LIMITED: bool> MutexPeer<LIMITED> {
    fn with(maximum: u32, units: &[u32], job: Job) -> Self {
        let levels = units.iter().enumerate();
        let state = State {
            warehouses: vec![Warehouse::default()],
            levels: levels.map(|(index, units)| (Product::new(index), Level::of(*units))).collect(),
            holds: HoldMap::new(job),
            drawn: Drawn::new(maximum),
        };
        let shared = Arc::new(Locked { state: Mutex::new(state), trail: Trail::open(), job });
        if job == Job::Whole {
            spawn_sweeper(&shared);
        }
        Self { shared }
    }
}

impl<const LIMITED: bool> Locked<LIMITED> {
    #[inline]
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Expires overdue holds. Returns whether there were any.
    fn expire(&self, state: &mut State, now: u64) -> bool {
        let mut found = false;
        while let Some(id) = state.holds.overdue(now) {
            let ended = self.end(state, id, Status::Expired, now);
            debug_assert!(ended.is_ok(), "what is to fall due is pending");
            found = true;
        }
        found
    }

    /// Ends a hold as asked, or as overdue. Returns how it ended.
    #[inline]
    fn end(&self, state: &mut State, id: u128, asked: Status, now: u64) -> Result<Status, Refused> {
        let (hold, status) = state.holds.end(id, asked, now)?;
        self.trail.push(hold.entry(status.recorded(), id, now));
        let level = state.levels.get_mut(&hold.product).expect("a known product");
        level.end(hold.quantity, status);
        if LIMITED && status != Status::Confirmed {
            state.drawn.give_back(&hold);
        }
        Ok(status)
    }
}

impl<const LIMITED: bool> Expires for Locked<LIMITED> {
    fn sweep(&self, now: u64) {
        self.expire(&mut self.lock(), now);
    }
}

impl<const LIMITED: bool> Ledger for MutexPeer<LIMITED> {
    type Session = MutexSession<LIMITED>;

    fn about(&self) -> About {
        self.shared.job.about("mutex")
    }

    fn product(&self, index: usize) -> Product {
        Product::new(index)
    }

    fn session(&self) -> MutexSession<LIMITED> {
        MutexSession { shared: Arc::clone(&self.shared), stamp: Stamp::new(), customers: None }
    }

    fn writer(&self) -> Option<Writer> {
        self.shared.trail.writer()
    }
}

impl<const LIMITED: bool> Whole for MutexPeer<LIMITED> {
    fn sweep(&self, now: u64) {
        Expires::sweep(&*self.shared, now);
    }

    fn try_confirm(&self, id: u128) -> Result<Status, Refused> {
        let now = Stamp::new().now();
        self.shared.end(&mut self.shared.lock(), id, Status::Confirmed, now)
    }
}

/// A handle to the peer.
pub(crate) struct MutexSession<const LIMITED: bool> {
    shared: Arc<Locked<LIMITED>>,
    stamp: Stamp,
    customers: Option<Customers>,
}

impl<const LIMITED: bool> MutexSession<LIMITED> {
    /// Ends a hold, and checks that it ended as asked.
    #[inline]
    fn end(&mut self, id: u128, asked: Status) {
        self.shared.trail.admit();
        let now = self.stamp.now();
        let ended = self.shared.end(&mut self.shared.lock(), id, asked, now);
        assert_eq!(ended, Ok(asked), "a live hold");
    }
}

impl<const LIMITED: bool> Session for MutexSession<LIMITED> {
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
        let now = self.stamp.now();
        let id = self.stamp.id(now);
        let customer = if LIMITED { self.customers.as_mut().map(Customers::next) } else { None };
        let hold = Hold::new(customer, product, quantity, now, TTL);
        let mut state = self.shared.lock();
        assert!(state.warehouses[usize::from(product.warehouse)].is_open(), "an open warehouse");
        if !state.take::<LIMITED>(&hold) {
            // Overdue holds must not prevent a sale.
            let found = self.shared.expire(&mut state, now);
            if !found || !state.take::<LIMITED>(&hold) {
                return None;
            }
        }
        self.shared.trail.push(hold.entry(Kind::Reserved, id, now));
        state.holds.add(id, hold);
        drop(state);
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
