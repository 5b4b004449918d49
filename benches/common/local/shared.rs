//! Shared by both peers in this process: products and holds, their checks, ids and time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng};
use stockade::{Clock, SystemClock};

use super::trail::{Entry, Kind};

/// The hasher of both peers' maps: the fastest one in common use.
pub(super) type Hasher = foldhash::fast::RandomState;

/// How many finished holds the engine retains. Peers that do its whole job retain as many.
pub(super) const KEPT: usize = 65_536;

const MAX_UNITS: u32 = i32::MAX as u32;
const LONGEST_TTL: Duration = Duration::from_secs(24 * 3_600);

/// A product in a warehouse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Product {
    pub(super) warehouse: u16,
    pub(super) number: u32,
}

impl Product {
    /// This product in the only warehouse.
    pub(super) fn new(index: usize) -> Self {
        Self { warehouse: 0, number: index as u32 }
    }
}

/// State that all products of a warehouse share.
#[derive(Debug, Default)]
pub(super) struct Warehouse {
    suspended: AtomicBool,
}

impl Warehouse {
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        !self.suspended.load(Ordering::Relaxed)
    }
}

/// The counts of one product.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Level {
    available: u32,
    reserved: u32,
    sold: u32,
    threshold: u32,
}

impl Level {
    pub(super) fn of(units: u32) -> Self {
        Self { available: units, ..Self::default() }
    }

    /// Checks, and takes.
    #[inline]
    pub(super) fn hold(&mut self, quantity: u32) -> bool {
        if self.available < quantity {
            return false;
        }
        let before = self.available;
        self.available -= quantity;
        self.reserved += quantity;
        if self.threshold > 0 && before > self.threshold && self.available <= self.threshold {
            alert();
        }
        true
    }

    /// Sells the units of a confirmed hold, and gives back those of any other ended hold.
    #[inline]
    pub(super) fn end(&mut self, quantity: u32, status: Status) {
        if status == Status::Confirmed {
            self.sold += quantity;
        } else {
            self.available += quantity;
            self.reserved -= quantity;
        }
    }
}

#[cold]
fn alert() {
    panic!("no product of a benchmark has a threshold");
}

/// The status of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Pending,
    Confirmed,
    Released,
    Expired,
}

impl Status {
    /// The trail's entry type for a hold with this end.
    #[inline]
    pub(super) fn recorded(self) -> Kind {
        if self == Self::Confirmed { Kind::Sold } else { Kind::Returned }
    }
}

/// Why a hold cannot be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// There is no hold with this id, or it was forgotten.
    Unknown,
    /// It has ended, in this way.
    Over(Status),
}

/// The record of a hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hold {
    pub(super) product: Product,
    pub(super) quantity: u32,
    pub(super) expires_at: u64,
    created_at: u64,
    owner: Option<[u8; 8]>,
    status: Status,
}

impl Hold {
    /// A new pending hold. If it is a customer's, it draws on their limit.
    #[inline]
    pub(super) fn new(
        customer: Option<u64>,
        product: Product,
        quantity: u32,
        now: u64,
        ttl: Duration,
    ) -> Self {
        let expires_at = now + ttl.as_millis() as u64;
        let owner = customer.map(u64::to_le_bytes);
        let (created_at, status) = (now, Status::Pending);
        Self { product, quantity, expires_at, created_at, owner, status }
    }

    /// The customer on whose limit it draws.
    #[inline]
    pub(super) fn customer(&self) -> Option<u64> {
        self.owner.map(u64::from_le_bytes)
    }

    /// Ends it as asked, or as overdue, and returns its new status. An error if it had ended
    /// before.
    #[inline]
    pub(super) fn end(&mut self, asked: Status, now: u64) -> Result<Status, Refused> {
        match self.status {
            Status::Pending if now > self.expires_at => self.status = Status::Expired,
            Status::Pending => self.status = asked,
            over => return Err(Refused::Over(over)),
        }
        Ok(self.status)
    }

    #[inline]
    pub(super) fn is_pending(&self) -> bool {
        self.status == Status::Pending
    }

    #[inline]
    pub(super) fn entry(&self, kind: Kind, id: u128, at: u64) -> Entry {
        debug_assert!(self.created_at <= at, "nothing happens before it begins");
        Entry {
            kind,
            warehouse: self.product.warehouse,
            product: self.product.number,
            quantity: self.quantity,
            at,
            hold: [(id >> 64) as u64, id as u64],
            owner: self.owner,
            expires_at: self.expires_at,
        }
    }
}

/// The request of the caller, validated.
#[inline]
pub(super) fn check(quantity: u32, ttl: Duration) {
    assert!((1..=MAX_UNITS).contains(&quantity), "a legal quantity");
    assert!(!ttl.is_zero() && ttl <= LONGEST_TTL, "a legal time to live");
}

/// A thread's clock and source of ids: the same clock and the same generator as the engine's.
pub(super) struct Stamp {
    clock: SystemClock,
    random: StdRng,
    /// Drawn ahead, so that a refused reserve draws nothing.
    bits: u64,
}

impl Stamp {
    pub(super) fn new() -> Self {
        let mut random = StdRng::try_from_rng(&mut SysRng).expect("a system with randomness");
        let bits = random.next_u64();
        Self { clock: SystemClock::new(), random, bits }
    }

    /// Milliseconds since 1970.
    #[inline]
    pub(super) fn now(&self) -> u64 {
        self.clock.now().as_millis()
    }

    /// A UUID that sorts by its creation time and cannot be guessed. It stays the same until it is
    /// used.
    #[inline]
    pub(super) fn id(&self, now: u64) -> u128 {
        let high = now << 16 | 8 << 12 | self.bits >> 52;
        let low = 0b10 << 62 | self.bits & ((1 << 62) - 1);
        u128::from(high) << 64 | u128::from(low)
    }

    /// Draws the next id.
    #[inline]
    pub(super) fn use_id(&mut self) {
        self.bits = self.random.next_u64();
    }
}
