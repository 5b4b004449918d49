//! A ledger that does nothing. It shows the latency of the machine and the measuring loop alone.

use super::ledger::{About, Durability, Ledger, Session};

/// Its name in rows.
pub(crate) const NOTHING: &str = "nothing";

pub(crate) struct Nothing;

impl Ledger for Nothing {
    type Session = Self;

    fn about(&self) -> About {
        About {
            engine: NOTHING,
            setup: String::new(),
            durability: Durability::InMemory,
            guarantees: "none: its calls return at once. What its callers wait, they wait for the machine",
        }
    }

    fn product(&self, index: usize) -> usize {
        index
    }

    fn session(&self) -> Self {
        Self
    }
}

impl Session for Nothing {
    type Product = usize;
    type Hold = usize;

    fn reserve(&mut self, product: usize) -> Option<usize> {
        Some(std::hint::black_box(product))
    }

    fn confirm(&mut self, hold: usize) {
        std::hint::black_box(hold);
    }

    fn release(&mut self, hold: usize) {
        std::hint::black_box(hold);
    }
}
