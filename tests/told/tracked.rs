//! Units of a reservation that is kept until it is shipped: no call by level takes them.

use stockade::{ConfirmOrRetake, InventoryManager, Release, Request, ReservationId, ShipError};

use crate::common::scratch::Scratch;
use crate::common::{LONG, clock, quiet};
use crate::{NYC, SF, line, shop};

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
const SALES: [(&str, Sale); 7] = [
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
        let retaken = request.confirm_or_retake(hold, &[line(SF, 3)]).expect("stock");
        match retaken {
            ConfirmOrRetake::Retaken(id) => id,
            other => panic!("{other:?}"),
        }
    }),
];

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

#[test]
fn a_restart_knows_whose_units_they_are() {
    for (name, sale) in SALES {
        for shipped in [false, true] {
            let directory = Scratch::new("tracked");
            let open = || quiet(&clock()).journal(directory.join("journal"));
            let manager = shop(open());
            manager.sell(SF, 2).expect("stock");
            let kept = sale(&manager);
            if shipped {
                manager.ship_lines(kept, &[line(SF, 1)]).expect("its own");
            }
            drop(manager);
            let manager = open().build().expect("a sound journal");
            assert!(manager.verify().expect("a sound journal").is_sound(), "{name}");
            only(&manager, 2);
            manager.ship(SF, 2).expect("those that nobody keeps");
            only(&manager, 0);
            manager.ship_lines(kept, &[line(SF, 3 - u32::from(shipped))]).expect("its own");
            assert_eq!(manager.sold(SF), Ok(0), "{name}");
        }
    }
}
