//! The order of the log, as a thread sees it: its own movements stand in the order in which it
//! made them, whatever kind each is and whoever moves beside it.

mod common;

use std::fmt::Debug;

use common::{LAPTOPS, LONG, MICE, log_of, race, threaded};
use stockade::{AdjustmentType, AuditEntry, BasketLine, EntryType, Error, InventoryManager, Owner};

const THREADS: u8 = 3;
const ROUNDS: usize = 400;

/// What a thread has done, in order: the first entry of each call's record.
type Made = Vec<AdjustmentType>;

/// Calls of every shape that an entry takes on its way: plain, in a buffer for a note or two lines,
/// and sent ahead of a commit over several cells.
fn trade(manager: &InventoryManager, owner: Owner) -> Result<Made, Error> {
    use AdjustmentType::{Reserved, Returned, Sold};
    let mut made = Made::new();
    let mine = || manager.request().owner(owner);
    let lines = [BasketLine::new(LAPTOPS, 1), BasketLine::new(MICE, 1)];
    for _ in 0..ROUNDS {
        let plain = mine().reserve(LAPTOPS, 1, LONG)?;
        let noted = mine().note("from", "the shop").reserve(MICE, 1, LONG)?;
        manager.confirm(plain)?;
        let basket = mine().reserve_basket(&lines, LONG)?;
        manager.request().note("why", "a change of mind").release(noted).map(drop)?;
        manager.release(basket).map(drop)?;
        mine().sell(MICE, 1)?;
        made.extend([Reserved, Reserved, Sold, Reserved, Returned, Returned, Reserved]);
    }
    Ok(made)
}

/// The movements of this owner's reservations, a record each.
fn of_owner(log: &[AuditEntry], owner: Owner) -> Made {
    let own = log.iter().filter(|entry| entry.owner == Some(owner));
    let first = own.filter(|entry| entry.record == entry.sequence);
    first
        .filter_map(|entry| match entry.entry_type {
            EntryType::Movement(movement) => Some(movement),
            _ => None,
        })
        .collect()
}

#[track_caller]
fn well<T, E: Debug>(answer: Result<T, E>) -> T {
    answer.expect("there is stock")
}

#[test]
fn a_thread_finds_its_own_movements_in_the_order_in_which_it_made_them() {
    let manager = well(threaded().build());
    well(manager.add_stock(LAPTOPS, 100_000, "SUPPLIER"));
    well(manager.add_stock(MICE, 100_000, "SUPPLIER"));
    let made = race(usize::from(THREADS), |thread| {
        well(trade(&manager, Owner([u8::try_from(thread).unwrap_or(THREADS); 16])))
    });
    let log = log_of(&manager);
    for (owner, made) in (0..THREADS).zip(made) {
        let found = of_owner(&log, Owner([owner; 16]));
        let differs = made.iter().zip(&found).position(|(made, found)| made != found);
        assert_eq!((found.len(), differs), (made.len(), None), "thread {owner}");
    }
}
