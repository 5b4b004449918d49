//! Who buys in a flash sale: people, who come a few times, and bots, who come as often as they can.

use clap::value_parser;
use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;
use stockade::{InventoryManager, LimitRule, MAX_UNITS};

use crate::Failure;
use crate::flash_sale::rate;
use crate::proof::Shelf;

/// The limit's name, and the kind of its subjects.
const LIMIT: &str = "flash-sale";
const KIND: &str = "customer";
/// The most products that one limit names.
const MOST_PRODUCTS: u32 = 65_535;
/// Accounts that bots have.
const BOTS: u64 = 10;
/// Attempts that a person makes, on average.
const ATTEMPTS_OF_A_PERSON: u64 = 4;

/// Who buys, and how much each may.
#[derive(Debug, clap::Args)]
pub(super) struct CustomerArgs {
    /// Units that each customer may hold and buy in all; without it, as many as there are
    #[arg(long, allow_negative_numbers = true, value_name = "N", value_parser = value_parser!(u32).range(1..=i64::from(MAX_UNITS)))]
    pub(super) limit: Option<u32>,
    /// The fraction of the attempts that ten bots make, 0 to 1; people make the others, some four
    /// each
    #[arg(long, allow_negative_numbers = true, value_name = "RATE", default_value_t = 0.0, value_parser = rate)]
    pub(super) bots: f64,
}

impl CustomerArgs {
    pub(super) fn check(&self, products: u32) -> Result<(), Failure> {
        if self.limit.is_some() && products > MOST_PRODUCTS {
            let text = format!("--limit takes at most {MOST_PRODUCTS} products, not {products}");
            return Err(Failure::Call(text));
        }
        Ok(())
    }

    /// Whether anybody asks who buys.
    pub(super) fn are_told_apart(&self) -> bool {
        self.limit.is_some() || self.bots > 0.0
    }

    /// Defines the limit over all products, or drops that of an earlier sale in the journal.
    pub(super) fn limit(
        &self,
        manager: &InventoryManager,
        shelves: &[Shelf],
    ) -> Result<(), Failure> {
        let failed = |error| Failure::run("the limit can't be set", error);
        match self.limit {
            Some(maximum) => {
                let products = shelves.iter().take(MOST_PRODUCTS as usize).map(|it| &*it.product);
                let limit = LimitRule::new(LIMIT, KIND, maximum).products(products);
                manager.define_limit(limit).map_err(failed)
            }
            None if manager.limits().is_empty() => Ok(()),
            None => manager.drop_limit(LIMIT).map_err(failed),
        }
    }
}

/// Draws who makes an attempt.
#[derive(Debug)]
pub(crate) struct Customers {
    /// Whether there is a limit, so that a call has to say who buys.
    pub(crate) limited: bool,
    /// Whether receipts say who has bought.
    told_apart: bool,
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

    pub(crate) const KIND: &str = KIND;
}

impl Customers {
    pub(super) fn of(args: &CustomerArgs, attempts: u64) -> Self {
        let of_people = (attempts as f64 * (1.0 - args.bots)) as u64;
        Self {
            limited: args.limit.is_some(),
            told_apart: args.are_told_apart(),
            bots: args.bots,
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
