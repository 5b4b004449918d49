//! The auditor thread: reads stock levels while buyers change them, and counts broken laws.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use stockade::{Counts, InventoryManager};

use crate::proof::Shelf;

/// How many times the auditor reads a level before it yields the core.
const LOOKS_A_TURN: u64 = 1_024;

/// How long it yields. It should look often, but not keep the machine busy.
const PAUSE: Duration = Duration::from_micros(100);

/// What the auditor saw.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// How many times a level was read.
    pub(crate) looks: u64,
    /// How many of these reads showed a broken law.
    pub(crate) law_breaks: u64,
    /// The first broken law, in words.
    pub(crate) first: Option<String>,
}

/// Reads all shelves again and again until `over` is set, and once more after that.
///
/// During a sale nothing is received and nothing is shipped. So the units on hand of each shelf are
/// the same at every instant.
pub(crate) fn watch(manager: &InventoryManager, shelves: &[Shelf], over: &AtomicBool) -> Findings {
    let mut findings = Findings::default();
    let mut last_sold: Vec<u32> = shelves.iter().map(|shelf| shelf.sold).collect();
    loop {
        // Read the flag before the round, so that the last round sees the final state.
        let last_round = over.load(Ordering::Acquire);
        for (shelf, last_sold) in shelves.iter().zip(&mut last_sold) {
            let counts = manager.counts(shelf.level).expect("known");
            findings.looks += 1;
            if let Some(law) = broken_law(counts, shelf.on_hand, *last_sold) {
                findings.law_breaks += 1;
                findings.first.get_or_insert_with(|| format!("{}: {law}", shelf.product));
            }
            *last_sold = counts.sold;
            if findings.looks.is_multiple_of(LOOKS_A_TURN) {
                thread::sleep(PAUSE);
            }
        }
        if last_round {
            return findings;
        }
    }
}

/// The first law that these counts break. It sums by hand, because wrong counts may overflow.
fn broken_law(counts: Counts, stocked: u32, last_sold: u32) -> Option<String> {
    let Counts { available, reserved, sold, .. } = counts;
    if u64::from(available) + u64::from(reserved) != u64::from(stocked) {
        Some(format!("{available} available and {reserved} reserved of {stocked} units"))
    } else if sold > reserved {
        Some(format!("{sold} units sold, but only {reserved} reserved"))
    } else if sold < last_sold {
        Some(format!("{sold} units sold, after {last_sold}"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn law(available: u32, reserved: u32, sold: u32) -> Option<String> {
        let mut counts = Counts::default();
        (counts.available, counts.reserved, counts.sold) = (available, reserved, sold);
        broken_law(counts, 10, 2)
    }

    #[test]
    fn counts_that_keep_the_laws_are_let_pass() {
        assert_eq!(law(7, 3, 2), None);
        assert_eq!(law(0, 10, 10), None);
    }

    #[test]
    fn a_unit_too_many_or_too_few_is_noticed() {
        assert_eq!(law(7, 4, 2).as_deref(), Some("7 available and 4 reserved of 10 units"));
        assert!(law(6, 3, 2).is_some());
        assert!(law(u32::MAX, u32::MAX, 2).is_some());
    }

    #[test]
    fn a_sale_of_what_was_not_reserved_is_noticed() {
        assert_eq!(law(7, 3, 4).as_deref(), Some("4 units sold, but only 3 reserved"));
    }

    #[test]
    fn a_sale_that_is_undone_is_noticed() {
        assert_eq!(law(7, 3, 1).as_deref(), Some("1 units sold, after 2"));
    }
}
