//! What both peers in this process have in common: a hold's record, its checks, its id and its time.

use std::time::Duration;

use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng};
use stockade::{Clock, SystemClock};

use super::trail::{Entry, Kind};

/// The hasher of both peers' maps: the fastest that is in common use.
pub(super) type Hasher = foldhash::fast::RandomState;

const MAX_UNITS: u32 = i32::MAX as u32;
const LONGEST_TTL: Duration = Duration::from_secs(24 * 3_600);

/// The counts of one product.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Level {
    pub(super) available: u32,
    pub(super) reserved: u32,
    pub(super) sold: u32,
    pub(super) threshold: u32,
    pub(super) suspended: bool,
}

impl Level {
    pub(super) fn of(units: u32) -> Self {
        Self { available: units, ..Self::default() }
    }

    /// Checks, and takes.
    #[inline]
    pub(super) fn hold(&mut self, quantity: u32) -> bool {
        if self.suspended || self.available < quantity {
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

    #[inline]
    pub(super) fn give_back(&mut self, quantity: u32) {
        self.available += quantity;
        self.reserved -= quantity;
    }
}

#[cold]
fn alert() {
    panic!("no product of a benchmark has a threshold");
}

/// How far a hold has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Pending,
    Confirmed,
    Released,
}

/// The record of a hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hold {
    pub(super) product: u32,
    pub(super) quantity: u32,
    pub(super) created_at: u64,
    pub(super) expires_at: u64,
    pub(super) owner: Option<[u8; 8]>,
    pub(super) status: Status,
}

impl Hold {
    pub(super) fn entry(&self, kind: Kind, id: u128, at: u64) -> Entry {
        Entry {
            kind,
            product: self.product,
            quantity: self.quantity,
            at,
            hold: [(id >> 64) as u64, id as u64],
            owner: self.owner,
            expires_at: self.expires_at,
        }
    }

    /// Whether it can end now.
    #[inline]
    pub(super) fn is_live(&self, now: u64) -> bool {
        self.status == Status::Pending && now <= self.expires_at
    }
}

/// What the caller asks for, checked.
#[inline]
pub(super) fn check(quantity: u32, ttl: Duration) {
    assert!((1..=MAX_UNITS).contains(&quantity), "a legal quantity");
    assert!(!ttl.is_zero() && ttl <= LONGEST_TTL, "a legal time to live");
}

/// A thread's clock and its source of ids: the same clock and the same generator as the engine's.
pub(super) struct Stamp {
    clock: SystemClock,
    random: StdRng,
}

impl Stamp {
    pub(super) fn new() -> Self {
        let random = StdRng::try_from_rng(&mut SysRng).expect("a system with randomness");
        Self { clock: SystemClock::new(), random }
    }

    /// Milliseconds since the epoch.
    #[inline]
    pub(super) fn now(&self) -> u64 {
        self.clock.now().as_millis()
    }

    /// A UUID that sorts by its birth and can't be guessed.
    #[inline]
    pub(super) fn id(&mut self, now: u64) -> u128 {
        let random = self.random.next_u64();
        let high = now << 16 | 8 << 12 | random >> 52;
        let low = 0b10 << 62 | random & ((1 << 62) - 1);
        u128::from(high) << 64 | u128::from(low)
    }
}
