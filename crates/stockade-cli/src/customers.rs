//! Who buys in a flash sale: people, who come a few times, and bots, who come as often as they can.

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;

/// The kind of subject that a customer is.
pub(crate) const KIND: &str = "customer";
/// Accounts that bots have.
const BOTS: u64 = 10;
/// Attempts that a person makes, on average.
const ATTEMPTS_OF_A_PERSON: u64 = 4;

/// Draws who makes an attempt.
#[derive(Debug)]
pub(crate) struct Customers {
    /// Whether there is a limit, so that a call has to say who buys.
    pub(crate) limited: bool,
    /// Whether anybody asks who buys, so that receipts say it.
    pub(crate) told_apart: bool,
    bots: f64,
    people: u64,
}

/// A customer, by number: the first ten are bots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Customer(u64);

impl Customer {
    pub(crate) fn is_bot(self) -> bool {
        self.0 < BOTS
    }

    /// The customer's id.
    pub(crate) fn id(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl Customers {
    /// Those of a sale of so many attempts, of which bots make the fraction `bots`.
    pub(crate) fn new(limited: bool, bots: f64, attempts: u64) -> Self {
        let of_people = (attempts as f64 * (1.0 - bots)) as u64;
        Self {
            limited,
            told_apart: limited || bots > 0.0,
            bots,
            people: (of_people / ATTEMPTS_OF_A_PERSON).max(1),
        }
    }

    /// Who makes the next attempt; `None` if nobody asks.
    pub(crate) fn draw(&self, rng: &mut Xoshiro256PlusPlus) -> Option<Customer> {
        if !self.told_apart {
            return None;
        }
        let is_bot = rng.random::<f64>() < self.bots;
        Some(Customer(if is_bot {
            rng.random_range(0..BOTS)
        } else {
            BOTS + rng.random_range(0..self.people)
        }))
    }
}
