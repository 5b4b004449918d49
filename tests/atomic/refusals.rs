//! Refusals are true: the named line was really short, and no call is refused without a reason.

use stockade::{BasketError, BasketLine, InventoryManager, ShortLine, TransferError};

use crate::{HOUR, add, under_load, under_load_until};

#[test]
fn a_refused_basket_names_a_line_that_was_short_and_never_one_that_had_enough() {
    let manager = InventoryManager::builder().warehouse("SF").build().expect("a legal engine");
    // Of most there are never fewer than 10; of the last one, at times fewer than 5. The basket is
    // long, so that many are refused after a first look that found enough.
    let plenty: Vec<String> = (0..100).map(|number| format!("PLENTY {number}")).collect();
    plenty.iter().for_each(|name| add(&manager, "SF", name, 20));
    add(&manager, "SF", "SCARCE", 8);
    let hold_and_release = |product: &str, units| {
        if let Ok(hold) = manager.reserve(("SF", product), units, HOUR) {
            manager.release(hold).map(drop).expect("pending");
        }
    };
    let work = |number: u32, round: u32| match number {
        0 => hold_and_release("SCARCE", 4),
        _ => hold_and_release(&plenty[round as usize % plenty.len()], 10),
    };
    let enough = plenty.iter().map(|name| BasketLine::new(("SF", name.as_str()), 10));
    let lines: Vec<_> = enough.chain([BasketLine::new(("SF", "SCARCE"), 5)]).collect();
    let (mut taken, mut refused) = (0, 0);
    under_load_until(2, work, || {
        match manager.reserve_basket(&lines, HOUR) {
            Ok(basket) => {
                taken += 1;
                manager.release(basket).map(drop).expect("pending");
            }
            Err(BasketError::Insufficient { lines, .. }) => {
                refused += 1;
                let line = |line: &ShortLine| (line.product.clone(), line.needed, line.available);
                let named: Vec<_> = lines.iter().map(line).collect();
                // It never has another count under 5.
                assert_eq!(named, [("SCARCE".to_owned(), 5, 4)]);
            }
            Err(error) => panic!("{error}"),
        }
        taken > 0 && refused > 0
    });
}

#[test]
fn a_basket_that_must_fail_costs_no_other_buyer_a_unit() {
    let manager = InventoryManager::builder().warehouse("SF").build().expect("a legal engine");
    add(&manager, "SF", "LAPTOP", 3);
    add(&manager, "SF", "MOUSE", 1);
    let lines = [BasketLine::new(("SF", "LAPTOP"), 3), BasketLine::new(("SF", "MOUSE"), 2)];
    let theirs = [BasketLine::new(("SF", "LAPTOP"), 3), BasketLine::new(("SF", "MOUSE"), 1)];
    // The first two threads never get anything, so that the last one must always be served.
    let work = |number: u32, _| match number {
        0 => assert!(manager.reserve_basket(&lines, HOUR).is_err()),
        _ => assert!(manager.remove_stock(("SF", "LAPTOP"), 4, "lost").is_err()),
    };
    under_load(2, work, || {
        let hold = manager.reserve(("SF", "LAPTOP"), 3, HOUR).expect("nobody else takes any");
        manager.release(hold).map(drop).expect("pending");
        let basket = manager.reserve_basket(&theirs, HOUR).expect("nobody else takes any");
        manager.release(basket).map(drop).expect("pending");
    });
}

#[test]
fn a_refused_transfer_tells_a_count_that_was_short() {
    let manager = InventoryManager::builder()
        .warehouse("SF")
        .warehouse("NYC")
        .build()
        .expect("a legal engine");
    add(&manager, "SF", "LAPTOP", 8);
    let work = |_, _| {
        if let Ok(hold) = manager.reserve(("SF", "LAPTOP"), 4, HOUR) {
            manager.release(hold).map(drop).expect("pending");
        }
    };
    let (mut moved, mut refused) = (0, 0);
    under_load_until(1, work, || {
        match manager.transfer("SF", "NYC", "LAPTOP", 5) {
            Ok(()) => {
                moved += 1;
                manager.transfer("NYC", "SF", "LAPTOP", 5).expect("all are there");
            }
            Err(error) => {
                refused += 1;
                assert_eq!(error, TransferError::Insufficient { needed: 5, available: 4 });
            }
        }
        moved > 0 && refused > 0
    });
}
