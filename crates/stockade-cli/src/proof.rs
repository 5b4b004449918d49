//! The final check: whether every unit is accounted for, once a run has ended and nothing moves.
//!
//! It compares two witnesses, product by product: the engine's live counts, and the sums of its
//! audit log. Each command adds a third one: the answers that its callers got.

use std::fmt::Display;

use stockade::{InventoryManager, LevelHandle};

use crate::Failure;
use crate::books::Books;

/// How many broken laws a report names. Further ones are only counted.
const NAMED: usize = 10;

/// A product and its stock level.
#[derive(Clone, Debug)]
pub(crate) struct Shelf {
    pub(crate) product: String,
    pub(crate) level: LevelHandle,
    /// Units on hand at the start of the run: its own stock, on top of what the journal had.
    pub(crate) on_hand: u32,
    /// Units sold there before this run.
    pub(crate) sold: u32,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// None of its holds is left.
    Settled,
    /// It did not wait for its last holds to expire.
    Cut,
}

/// The counts of all shelves, summed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stock {
    pub(crate) available: u64,
    pub(crate) reserved: u64,
    pub(crate) sold: u64,
}

/// The broken laws that were found.
#[derive(Debug, Default)]
pub(crate) struct Broken {
    named: Vec<String>,
    unnamed: u64,
}

impl Broken {
    /// Adds a broken law, unless `holds`.
    pub(crate) fn unless(&mut self, holds: bool, law: impl FnOnce() -> String) {
        match holds {
            true => {}
            false if self.named.len() < NAMED => self.named.push(law()),
            false => self.unnamed += 1,
        }
    }

    /// Adds a broken law, unless both numbers are equal.
    pub(crate) fn unless_equal(
        &mut self,
        what: impl Display,
        found: impl Into<i128>,
        expected: impl Into<i128>,
    ) {
        let (found, expected) = (found.into(), expected.into());
        self.unless(found == expected, || format!("{what}: {found}, but expected {expected}"));
    }

    /// A sentence for each of the first broken laws; empty if no law was broken.
    pub(crate) fn into_sentences(mut self) -> Vec<String> {
        if self.unnamed > 0 {
            self.named.push(format!("and {} more", self.unnamed));
        }
        self.named
    }
}

/// Stocks a product for a run, on top of the units that are there.
pub(crate) fn fill_shelf(
    manager: &InventoryManager,
    place: (&str, &str),
    stock: u32,
    source: &str,
) -> Result<Shelf, Failure> {
    let (warehouse, product) = place;
    let level = manager
        .open_level(warehouse, product)
        .map_err(|error| Failure::run(format!("product {product} can't be opened"), error))?;
    if stock > 0 {
        manager
            .add_stock(level, stock, source)
            .map_err(|error| Failure::run(format!("product {product} can't be stocked"), error))?;
    }
    let counts = manager.counts(level).expect("known");
    Ok(Shelf { product: product.to_owned(), level, on_hand: counts.on_hand(), sold: counts.sold })
}

/// Compares the live counts of every shelf with the books, and sums the shelves up. `history` is
/// the books at the start of the run: holds from then may still be pending.
pub(crate) fn take_stock(
    (manager, shelves): (&InventoryManager, &[Shelf]),
    (history, books): (&Books, &Books),
    end: End,
    broken: &mut Broken,
) -> Stock {
    let mut stock = Stock::default();
    for Shelf { product, level, .. } in shelves {
        let counts = manager.counts(*level).expect("known");
        let account = books.account(product);
        let (available, reserved, sold) =
            (u64::from(counts.available), u64::from(counts.reserved), u64::from(counts.sold));
        let mut check = |what: &str, found: u64, expected: i128| {
            broken.unless_equal(format_args!("{product}, {what}"), found, expected);
        };
        check(
            "units on hand against those the log received and wrote off",
            available + reserved,
            account.on_hand(),
        );
        check(
            "reserved units against those the log has spoken for",
            reserved,
            account.spoken_for(),
        );
        check("sold units against those the log sold", sold, account.sold.into());
        let still_held =
            (i128::from(reserved) - i128::from(sold)).min(history.account(product).held());
        if end == End::Settled {
            check(
                "reserved units against sold ones, as no hold is left",
                reserved,
                i128::from(sold) + still_held.max(0),
            );
        }
        check("units of movements that nobody asked for", account.foreign, 0);
        stock.available += available;
        stock.reserved += reserved;
        stock.sold += sold;
    }
    // The log must have no units on any other shelf.
    let all = books.total();
    let on_hand = i128::from(stock.available) + i128::from(stock.reserved);
    broken.unless_equal("all products, units on hand", on_hand, all.on_hand());
    broken.unless_equal("all products, reserved units", stock.reserved, all.spoken_for());
    broken.unless_equal("all products, sold units", stock.sold, all.sold);
    broken.unless_equal("gaps in the log's sequence numbers", books.gaps, 0_u64);
    stock
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_law_that_holds_leaves_no_sentence() {
        let mut broken = Broken::default();
        broken.unless_equal("units", 3_u64, 3_u64);
        assert!(broken.into_sentences().is_empty());
    }

    #[test]
    fn the_first_broken_laws_are_named_and_the_others_counted() {
        let mut broken = Broken::default();
        (0..12_u64).for_each(|units| broken.unless_equal("units", units, 99_u64));
        let sentences = broken.into_sentences();
        assert_eq!(sentences.first().map(String::as_str), Some("units: 0, but expected 99"));
        assert_eq!(sentences.last().map(String::as_str), Some("and 2 more"));
        assert_eq!(sentences.len(), 11);
    }
}
