//! Units of a reservation that is kept until it is shipped: no call by level takes them.

use std::thread;

use stockade::{
    ConfirmError, ConfirmOrRetake, InventoryManager, PartialError, Release, Request, ReservationId,
    ReservationStatus, RetakeError, ShipError,
};

use crate::common::scratch::Scratch;
use crate::common::{LONG, clock, quiet, written};
use crate::{NYC, SF, journalled, line, shop};

/// Ships and cancels by level, and expects that only so many units go.
fn only(manager: &InventoryManager, free: u32) {
    let refused = |answer: Result<(), ShipError>| {
        let Err(ShipError::NotSold { needed, sold, .. }) = answer else { panic!("{answer:?}") };
        assert_eq!((needed, sold), (free + 1, free));
    };
    refused(manager.ship(SF, free + 1));
    refused(manager.cancel_sale(SF, free + 1, "mistake"));
}

/// Sells three laptops to a reservation that is kept.
type Sale = fn(&InventoryManager) -> ReservationId;

fn sold(request: Request<'_>) -> ReservationId {
    request.keep_until_shipped().sell(SF, 3).expect("stock")
}

/// Every way to sell units to a kept reservation.
const SALES: [(&str, Sale); 14] = [
    ("sell", |manager| sold(manager.request())),
    ("reserve and confirm", |manager| {
        let hold = manager.request().keep_until_shipped().reserve(SF, 3, LONG).expect("stock");
        manager.confirm(hold).expect("pending");
        hold
    }),
    ("a basket", |manager| {
        let lines = [line(SF, 3), line(NYC, 1)];
        let request = manager.request().keep_until_shipped();
        let hold = request.reserve_basket(&lines, LONG).expect("stock");
        manager.confirm(hold).expect("pending");
        hold
    }),
    ("a split fulfilment", |manager| {
        let request = manager.request().keep_until_shipped();
        let order = ["SF".into()];
        let hold = request.fulfill_across_warehouses("LAPTOP", 3, &order, LONG).expect("stock");
        manager.confirm(hold).expect("pending");
        hold
    }),
    ("partial steps", |manager| {
        let hold = manager.request().keep_until_shipped().reserve(SF, 4, LONG).expect("stock");
        manager.confirm_lines(hold, &[line(SF, 2)]).expect("pending");
        manager.confirm_lines_and_release_rest(hold, &[line(SF, 1)]).expect("pending");
        hold
    }),
    ("a part, and the rest confirmed", |manager| {
        let hold = manager.request().keep_until_shipped().reserve(SF, 3, LONG).expect("stock");
        manager.confirm_lines(hold, &[line(SF, 2)]).expect("pending");
        manager.confirm(hold).expect("pending");
        hold
    }),
    ("a retake", |manager| {
        let hold = manager.reserve(SF, 3, LONG).expect("stock");
        assert_eq!(manager.release(hold), Ok(Release::Released));
        let request = manager.request().keep_until_shipped();
        let retaken = request.confirm_or_retake_lines(hold, &[line(SF, 3)]).expect("stock");
        match retaken {
            ConfirmOrRetake::Retaken(id) => id,
            other => panic!("{other:?}"),
        }
    }),
    ("asked for at the confirm", |manager| {
        let hold = manager.reserve(SF, 3, LONG).expect("stock");
        keeping(manager).confirm(hold).expect("pending");
        hold
    }),
    ("a basket, asked for at the confirm", |manager| {
        let hold = manager.reserve_basket(&[line(SF, 3), line(NYC, 1)], LONG).expect("stock");
        keeping(manager).confirm(hold).expect("pending");
        hold
    }),
    ("a part before, asked for at the confirm of the rest", |manager| {
        let hold = part_sold(manager);
        keeping(manager).confirm(hold).expect("pending");
        hold
    }),
    ("a part before, asked for at a part in between, the rest released", |manager| {
        let hold = part_sold(manager);
        keeping(manager).confirm_lines(hold, &[line(SF, 1)]).expect("pending");
        assert!(matches!(manager.release(hold), Ok(Release::PartlySold { sold: 3, .. })));
        hold
    }),
    ("a part before, asked for at the last part", |manager| {
        let hold = part_sold(manager);
        manager.release_lines(hold, &[line(NYC, 1)]).expect("pending");
        let last = keeping(manager).confirm_lines(hold, &[line(SF, 1)]);
        assert_eq!(last, Ok(ReservationStatus::Confirmed));
        hold
    }),
    ("a part before, asked for at the end that returns the rest", |manager| {
        let hold = part_sold(manager);
        let keeping = keeping(manager);
        keeping.confirm_lines_and_release_rest(hold, &[line(SF, 1)]).expect("pending");
        hold
    }),
    ("a part before, asked for when a late payment comes in time", |manager| {
        let hold = part_sold(manager);
        let paid = keeping(manager).confirm_or_retake(hold);
        assert_eq!(paid, Ok(ConfirmOrRetake::Confirmed));
        hold
    }),
];

fn keeping(manager: &InventoryManager) -> stockade::SaleRequest<'_> {
    manager.request().keep_until_shipped()
}

/// A hold of three laptops, of which it has sold two, and one elsewhere. Nobody asked to keep it.
fn part_sold(manager: &InventoryManager) -> ReservationId {
    let hold = manager.reserve_basket(&[line(SF, 3), line(NYC, 1)], LONG).expect("stock");
    manager.confirm_lines(hold, &[line(SF, 2)]).expect("pending");
    assert_eq!(manager.counts(SF).map(|counts| counts.tracked), Ok(0));
    hold
}

#[test]
fn units_of_a_kept_reservation_are_neither_shipped_nor_cancelled_by_level() {
    for (name, sale) in SALES {
        let manager = shop(quiet(&clock()));
        manager.sell(SF, 2).expect("stock");
        let kept = sale(&manager);
        assert_eq!(manager.sold(SF), Ok(5), "{name}");
        only(&manager, 2);
        manager.ship(SF, 1).expect("one of those that nobody keeps");
        only(&manager, 1);
        manager.ship_lines(kept, &[line(SF, 1)]).expect("its own");
        manager.cancel_sale(SF, 1, "mistake").expect("the other one");
        only(&manager, 0);
        manager.cancel_sale_lines(kept, &[line(SF, 2)], "returned").expect("its own");
        assert_eq!((manager.sold(SF), manager.reserved(SF)), (Ok(0), Ok(0)), "{name}");
    }
}

/// Every confirm that can ask to keep the hold.
type Ask = fn(&InventoryManager, ReservationId) -> Result<(), (u32, u32)>;
const ASKS: [(&str, Ask); 5] = [
    ("confirm", |manager, hold| match keeping(manager).confirm(hold) {
        Err(ConfirmError::NotSold { needed, sold }) => Err((needed, sold)),
        other => panic!("{other:?}"),
    }),
    ("confirm_lines", |manager, hold| partly(keeping(manager).confirm_lines(hold, &[line(SF, 1)]))),
    ("confirm_lines of all that is held", |manager, hold| {
        partly(keeping(manager).confirm_lines(hold, &[line(SF, 1), line(NYC, 1)]))
    }),
    ("confirm_lines_and_release_rest", |manager, hold| {
        partly(keeping(manager).confirm_lines_and_release_rest(hold, &[line(SF, 1)]))
    }),
    ("confirm_or_retake", |manager, hold| match keeping(manager).confirm_or_retake(hold) {
        Err(RetakeError::NotSold { needed, sold }) => Err((needed, sold)),
        other => panic!("{other:?}"),
    }),
];

fn partly(answer: Result<ReservationStatus, PartialError>) -> Result<(), (u32, u32)> {
    match answer {
        Err(PartialError::NotSold { needed, sold }) => Err((needed, sold)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_hold_whose_sold_units_left_by_level_is_not_kept_and_stays_as_it_was() {
    for (name, ask) in ASKS {
        let manager = shop(quiet(&clock()));
        let hold = part_sold(&manager);
        manager.ship(SF, 1).expect("nobody keeps it");
        let state = || {
            let counts = (manager.counts(SF), manager.counts(NYC));
            let slots = manager.stats().slots_live;
            (counts, slots, manager.reservation(hold), manager.audit_log().newest_sequence())
        };
        let before = state();
        assert_eq!(ask(&manager, hold), Err((2, 1)), "{name}");
        assert_eq!(state(), before, "{name}");
        assert!(!manager.reservation(hold).expect("a record").keep_until_shipped);
        // The unit that is left can still leave by level, and the hold be confirmed.
        manager.ship(SF, 1).expect("nobody keeps it");
        manager.confirm(hold).expect("pending");
        assert_eq!(manager.sold(SF), Ok(1), "{name}");
    }
}

#[test]
fn a_hold_that_is_not_kept_because_of_one_line_leaves_its_other_lines_to_all() {
    let manager = shop(quiet(&clock()));
    let hold = manager.reserve_basket(&[line(SF, 3), line(NYC, 3)], LONG).expect("stock");
    manager.confirm_lines(hold, &[line(SF, 2), line(NYC, 2)]).expect("pending");
    manager.ship(NYC, 1).expect("nobody keeps it");
    let refused = keeping(&manager).confirm(hold);
    assert_eq!(refused, Err(ConfirmError::NotSold { needed: 2, sold: 1 }));
    manager.ship(SF, 2).expect("they are nobody's");
    manager.ship(NYC, 1).expect("it is nobody's");
}

#[test]
fn what_a_hold_shipped_before_it_is_kept_does_not_count() {
    let manager = shop(quiet(&clock()));
    let hold = part_sold(&manager);
    manager.ship_lines(hold, &[line(SF, 1)]).expect("sold");
    keeping(&manager).confirm(hold).expect("one unit is unsettled, and it is there");
    assert_eq!(manager.counts(SF).map(|it| (it.sold, it.tracked)), Ok((2, 2)));
    manager.ship_lines(hold, &[line(SF, 2)]).expect("its own");
}

#[test]
fn a_restart_between_the_part_and_the_confirm_that_keeps_changes_nothing() {
    let directory = Scratch::new("tracked-between");
    let manager = shop(journalled(&directory));
    manager.sell(SF, 2).expect("stock");
    let hold = part_sold(&manager);
    drop(manager);
    let manager = journalled(&directory).build().expect("a sound journal");
    keeping(&manager).confirm(hold).expect("pending");
    only(&manager, 2);
    drop(manager);
    let manager = journalled(&directory).build().expect("a sound journal");
    assert!(manager.verify().expect("a sound journal").is_sound());
    assert_eq!(manager.counts(SF).map(|it| (it.sold, it.tracked)), Ok((5, 3)));
    only(&manager, 2);
    manager.ship_lines(hold, &[line(SF, 3)]).expect("its own");
}

#[test]
fn ships_by_level_race_with_the_confirm_that_keeps_and_every_order_is_legal() {
    let directory = Scratch::new("tracked-race");
    let manager = shop(journalled(&directory));
    let (mut kept, mut refused) = (0, 0);
    for _ in 0..200 {
        manager.sell(SF, 1).expect("stock");
        let hold = manager.reserve(SF, 3, LONG).expect("stock");
        manager.confirm_lines(hold, &[line(SF, 2)]).expect("pending");
        let shipped = thread::scope(|scope| {
            let ships = [1, 2].map(|units| {
                let manager = &manager;
                scope.spawn(move || if manager.ship(SF, units).is_ok() { units } else { 0 })
            });
            match keeping(&manager).confirm(hold) {
                Ok(()) => kept += 1,
                Err(ConfirmError::NotSold { needed: 2, sold }) if sold < 2 => refused += 1,
                other => panic!("{other:?}"),
            }
            ships.into_iter().map(|ship| ship.join().expect("no panic")).sum::<u32>()
        });
        let counts = manager.counts(SF).expect("known");
        if manager.reservation(hold).expect("a record").keep_until_shipped {
            assert_eq!((counts.tracked, counts.sold), (3, 4 - shipped));
            manager.ship_lines(hold, &[line(SF, 3)]).expect("its own, whoever ships");
        } else {
            assert_eq!((counts.tracked, counts.sold), (0, 3 - shipped));
            manager.confirm(hold).expect("pending");
        }
        let left = manager.sold(SF).expect("known");
        if left > 0 {
            manager.ship(SF, left).expect("nobody keeps them");
        }
        let gone = 10 - manager.counts(SF).map(|it| it.on_hand()).expect("known");
        manager.add_stock(SF, gone, "SUPPLIER").expect("room");
    }
    assert!(manager.verify().expect("a sound journal").is_sound());
    assert_eq!((written(&manager).is_empty(), kept + refused), (false, 200));
    drop(manager);
    let manager = journalled(&directory).build().expect("every prefix is legal");
    assert_eq!(manager.counts(SF).map(|it| (it.sold, it.tracked)), Ok((0, 0)));
}

#[test]
fn a_restart_knows_whose_units_they_are() {
    for (name, sale) in SALES {
        for shipped in [false, true] {
            let directory = Scratch::new("tracked");
            let manager = shop(journalled(&directory));
            manager.sell(SF, 2).expect("stock");
            let kept = sale(&manager);
            if shipped {
                manager.ship_lines(kept, &[line(SF, 1)]).expect("its own");
            }
            drop(manager);
            let manager = journalled(&directory).build().expect("a sound journal");
            assert!(manager.verify().expect("a sound journal").is_sound(), "{name}");
            only(&manager, 2);
            manager.ship(SF, 2).expect("those that nobody keeps");
            only(&manager, 0);
            manager.ship_lines(kept, &[line(SF, 3 - u32::from(shipped))]).expect("its own");
            assert_eq!(manager.sold(SF), Ok(0), "{name}");
        }
    }
}
