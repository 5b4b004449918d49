//! The sold counter: how many of a level's reserved units are sold and still in the building.
//!
//! ```text
//!   63 ............. 31   30 ............. 0
//! +--------------------+---------------------+
//! |  changes (33 bits) |   sold (31 bits)    |
//! +--------------------+---------------------+
//! ```
//!
//! It is beside the stock word, not in it, because three counts do not fit into 64 bits. A reader
//! gets both at one instant by a seqlock read (Boehm, MSPC 2012): read the counter, the word, and
//! the counter again, until the count of changes is the same. A writer waits for no reader. Sold
//! units are added after they were reserved, and taken off before they leave. So `sold <= reserved`
//! at every such instant.
//!
//! A level has two such counters. One counts the *tracked* units: those that were sold to
//! reservations which are kept until they are shipped. The other counts all others. So a call that
//! ships by level, and knows no reservation, can't take a unit that a kept one still has to ship.

use crate::base::quantity::Quantity;
use crate::base::sync::{AtomicU64, Ordering, fence};
use crate::stock::word::Word;

const SOLD_BITS: u32 = 31;
const SOLD_MASK: u64 = (1 << SOLD_BITS) - 1;
const ONE_CHANGE: u64 = 1 << SOLD_BITS;

/// Sold units of one level: the tracked ones, or all others.
#[derive(Debug)]
pub(crate) struct Sold(AtomicU64);

impl Sold {
    pub(crate) fn new(units: u32) -> Self {
        Self(AtomicU64::new(u64::from(units)))
    }

    /// Adds sold units of a hold. The caller has queued the sale (Law 2).
    pub(crate) fn add(&self, qty: Quantity) {
        // Release pairs with the Acquire in `take` and `read_both`: whoever sees units sold sees
        // the reserve that moved them to `reserved` before. No overflow: sold <= reserved <= 2^31 -
        // 1.
        self.0.fetch_add(ONE_CHANGE + u64::from(qty.get()), Ordering::AcqRel);
    }

    /// Takes sold units, to ship them or to cancel their sale. `Err` holds how many there are.
    pub(crate) fn take(&self, qty: Quantity) -> Result<(), u32> {
        let mut before = self.0.load(Ordering::Acquire);
        loop {
            let sold = (before & SOLD_MASK) as u32;
            let Some(left) = sold.checked_sub(qty.get()) else { return Err(sold) };
            let after = (before & !SOLD_MASK).wrapping_add(ONE_CHANGE) | u64::from(left);
            // AcqRel pairs with `add` and with `read_both`.
            match self.0.compare_exchange_weak(before, after, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(()),
                Err(now) => before = now,
            }
        }
    }

    /// The sold units alone.
    pub(crate) fn get(&self) -> u32 {
        (self.0.load(Ordering::Acquire) & SOLD_MASK) as u32
    }

    /// The units of two counters and the word that `read` reads, all at one instant.
    pub(crate) fn read_both(&self, other: &Self, read: impl Fn() -> Word) -> (u32, u32, Word) {
        let both = || (self.0.load(Ordering::Acquire), other.0.load(Ordering::Acquire));
        loop {
            let (before, word) = (both(), read());
            // Orders the second read of the counters after the word. Pairs with the AcqRel swaps of
            // word and counters: if the word shows units gone, the `take` before it is visible.
            fence(Ordering::Acquire);
            let after = both();
            if before == after {
                let units = |bits| (bits & SOLD_MASK) as u32;
                return (units(before.0), units(before.1), word);
            }
            crate::base::sync::spin_loop();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn qty(units: u32) -> Quantity {
        Quantity::new(units).expect("a legal quantity")
    }

    #[test]
    fn no_more_is_taken_than_was_sold() {
        let sold = Sold::new(0);
        sold.add(qty(5));
        assert_eq!(sold.take(qty(6)), Err(5));
        assert_eq!(sold.take(qty(5)), Ok(()));
        assert_eq!(sold.get(), 0);
    }

    #[test]
    fn the_change_counter_wraps_without_touching_the_units() {
        let sold = Sold(AtomicU64::new(!SOLD_MASK | 1));
        sold.add(qty(2));
        assert_eq!(sold.get(), 3);
        assert_eq!(sold.take(qty(1)), Ok(()));
        assert_eq!(sold.get(), 2);
    }
}
