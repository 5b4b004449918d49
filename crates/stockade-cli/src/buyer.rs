//! A buyer in a flash sale: a thread that reserves single units as fast as it can. It then confirms
//! each hold, releases it, or abandons it.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Zipf};
use stockade::{
    ConfirmError, Gone, InventoryManager, LimitError, Release, ReleaseError, ReservationId,
    ReserveError,
};

use crate::Failure;
use crate::customers::{Customer, Customers, KIND};
use crate::interrupt;
use crate::proof::Shelf;

/// How many attempts make one step of the progress bar.
const ATTEMPTS_A_STEP: u64 = 4_096;

/// Significant digits of the latencies: 2 digits are exact to 1%.
const LATENCY_DIGITS: u8 = 2;

/// The highest latency that the histogram tells apart: an hour, in nanoseconds.
const LATENCY_MAX: u64 = 3_600_000_000_000;

/// What all buyers of a sale share.
#[derive(Debug)]
pub(crate) struct Sale<'a> {
    pub(crate) manager: &'a InventoryManager,
    pub(crate) shelves: &'a [Shelf],
    /// Draws the rank of a product. Rank 1 is the product with the highest demand.
    pub(crate) demand: Zipf<f64>,
    /// The fraction of the reserved units that buyers pay for.
    pub(crate) confirm_rate: f64,
    pub(crate) ttl: Duration,
    pub(crate) customers: Customers,
    pub(crate) progress: &'a ProgressBar,
    /// Set once all buyers are ready: `true` to start, `false` to end at once.
    pub(crate) doors: OnceLock<bool>,
}

/// What the engine answered to buyers.
#[derive(Debug)]
pub(crate) struct SaleTally {
    pub(crate) reserved: u64,
    pub(crate) refused: u64,
    /// The refused attempts for which the engine had no free slot. They are part of `refused`.
    pub(crate) refused_full: u64,
    /// The refused attempts of customers who had drawn all that they may. They are part of
    /// `refused`.
    pub(crate) refused_limit: u64,
    pub(crate) confirmed: u64,
    pub(crate) released: u64,
    /// Holds that were abandoned, and holds that had expired before the buyer came to end them.
    pub(crate) expired: u64,
    /// Units bought, by the index of the shelf.
    pub(crate) receipts: HashMap<u32, u64, foldhash::fast::RandomState>,
    /// Units bought, by customer, if they are told apart.
    pub(crate) bought: HashMap<Customer, u64, foldhash::fast::RandomState>,
    /// Attempts that bots made.
    pub(crate) bot_attempts: u64,
    /// The latency of each attempt that reserved a unit, in nanoseconds.
    pub(crate) reserve_ns: Histogram<u64>,
    /// The latency of each refused attempt, in nanoseconds.
    pub(crate) refuse_ns: Histogram<u64>,
}

impl SaleTally {
    pub(crate) fn new() -> Result<Self, Failure> {
        let reserve_ns = Histogram::new_with_max(LATENCY_MAX, LATENCY_DIGITS)
            .map_err(|error| Failure::run("no histogram of latencies", error))?;
        let refuse_ns = reserve_ns.clone();
        Ok(Self {
            reserved: 0,
            refused: 0,
            refused_full: 0,
            refused_limit: 0,
            confirmed: 0,
            released: 0,
            expired: 0,
            receipts: HashMap::default(),
            bought: HashMap::default(),
            bot_attempts: 0,
            reserve_ns,
            refuse_ns,
        })
    }

    /// Adds the answers of another buyer.
    pub(crate) fn add(&mut self, other: &Self) -> Result<(), Failure> {
        self.reserved += other.reserved;
        self.refused += other.refused;
        self.refused_full += other.refused_full;
        self.refused_limit += other.refused_limit;
        self.bot_attempts += other.bot_attempts;
        for (&customer, &units) in &other.bought {
            *self.bought.entry(customer).or_default() += units;
        }
        self.confirmed += other.confirmed;
        self.released += other.released;
        self.expired += other.expired;
        for (&shelf, &units) in &other.receipts {
            *self.receipts.entry(shelf).or_default() += units;
        }
        let added = self.reserve_ns.add(&other.reserve_ns);
        added
            .and_then(|()| self.refuse_ns.add(&other.refuse_ns))
            .map_err(|error| Failure::run("the latencies can't be added up", error))
    }
}

/// Makes `attempts` attempts, or fewer if a signal ends the sale. The choice of products depends
/// only on `seed`.
pub(crate) fn shop(sale: &Sale<'_>, seed: u64, attempts: u64) -> Result<SaleTally, Failure> {
    let mut tally = SaleTally::new()?;
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let clock = quanta::Clock::new();
    if !sale.doors.wait() {
        return Ok(tally);
    }
    for attempt in 1..=attempts {
        if interrupt::heard() {
            break;
        }
        // A rank is from 1 to the number of shelves. The clamp guards against rounding of the
        // float.
        let rank = sale.demand.sample(&mut rng) as usize;
        let number = rank.clamp(1, sale.shelves.len()) - 1;
        let Some(shelf) = sale.shelves.get(number) else { break };

        let customer = sale.customers.draw(&mut rng);
        tally.bot_attempts += u64::from(customer.is_some_and(Customer::is_bot));
        let before = clock.raw();
        let answer = match customer.filter(|_| sale.customers.limited) {
            None => sale.manager.reserve(shelf.level, 1, sale.ttl),
            Some(customer) => {
                let request = sale.manager.request().subject(KIND, customer.id());
                request.reserve(shelf.level, 1, sale.ttl)
            }
        };
        let took = clock.delta_as_nanos(before, clock.raw());
        let latencies = if answer.is_ok() { &mut tally.reserve_ns } else { &mut tally.refuse_ns };
        latencies.saturating_record(took);

        // Draw this for every attempt, so that a refusal does not change the rest of the list.
        let mood: f64 = rng.random();
        match answer {
            Ok(id) => {
                tally.reserved += 1;
                if end_hold(sale, id, mood, &mut tally)? {
                    *tally.receipts.entry(number as u32).or_default() += 1;
                    if let Some(customer) = customer {
                        *tally.bought.entry(customer).or_default() += 1;
                    }
                }
            }
            Err(ReserveError::Insufficient { .. }) => tally.refused += 1,
            Err(ReserveError::Full { .. }) => {
                tally.refused += 1;
                tally.refused_full += 1;
            }
            Err(ReserveError::Limit(LimitError::Reached { .. })) => {
                tally.refused += 1;
                tally.refused_limit += 1;
            }
            Err(error) => return Err(Failure::run("a reserve failed", error)),
        }
        if attempt % ATTEMPTS_A_STEP == 0 {
            sale.progress.inc(ATTEMPTS_A_STEP);
        }
    }
    sale.progress.inc(attempts % ATTEMPTS_A_STEP);
    Ok(tally)
}

/// Confirms, releases or abandons a hold. Of those who don't confirm, half release and half
/// abandon. Returns `true` if the unit was bought.
fn end_hold(
    sale: &Sale<'_>,
    id: ReservationId,
    mood: f64,
    tally: &mut SaleTally,
) -> Result<bool, Failure> {
    let walks_away_from = (1.0 + sale.confirm_rate) / 2.0;
    if mood < sale.confirm_rate {
        if confirm(sale.manager, id)? {
            tally.confirmed += 1;
            return Ok(true);
        }
        tally.expired += 1;
    } else if mood < walks_away_from && release(sale.manager, id)? {
        tally.released += 1;
    } else {
        tally.expired += 1;
    }
    Ok(false)
}

/// Returns `false` if the hold had expired.
fn confirm(manager: &InventoryManager, id: ReservationId) -> Result<bool, Failure> {
    loop {
        return match manager.confirm(id) {
            Ok(()) => Ok(true),
            // Only this buyer and the clock end this buyer's holds. So a hold that has ended has
            // expired.
            Err(ConfirmError::Gone(Gone::Expired { .. } | Gone::Forgotten)) => Ok(false),
            Err(ConfirmError::Changing) => {
                thread::yield_now();
                continue;
            }
            Err(error) => Err(Failure::run("a confirm failed", error)),
        };
    }
}

/// Returns `false` if the hold had expired.
fn release(manager: &InventoryManager, id: ReservationId) -> Result<bool, Failure> {
    loop {
        return match manager.release(id) {
            Ok(Release::Released) => Ok(true),
            Ok(Release::Expired | Release::Forgotten) => Ok(false),
            Ok(other) => Err(Failure::run("a release met a stranger's hold", format!("{other:?}"))),
            Err(ReleaseError::Changing) => {
                thread::yield_now();
                continue;
            }
            Err(error) => Err(Failure::run("a release failed", error)),
        };
    }
}
