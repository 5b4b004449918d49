//! The customers of a flash sale, as the command line tells of them.

use clap::value_parser;
use stockade::{InventoryManager, LimitRule, MAX_UNITS};

use crate::Failure;
use crate::customers::{Customers, KIND};
use crate::flash_sale::rate;
use crate::proof::Shelf;

/// The limit's name.
const LIMIT: &str = "flash-sale";
/// The most products that one limit names.
const MOST_PRODUCTS: u32 = 65_535;

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

    /// Who makes so many attempts.
    pub(super) fn of(&self, attempts: u64) -> Customers {
        Customers::new(self.limit.is_some(), self.bots, attempts)
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
