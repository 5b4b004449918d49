//! Keys, transfer requests and baskets.

use stockade::{
    BasketLine, ConfirmOrRetake, IdempotencyKey, InventoryManager, KeyError, Release,
    RequestTransferError, TransferRequestStatus, WhenFull,
};

use crate::{ENDS, HOUR, LAPTOPS, Shop, tiny};

fn key(number: usize) -> IdempotencyKey {
    // The longest key.
    IdempotencyKey::try_from(&*format!("{number:064}")).expect("a legal key")
}

/// Sells under key `number`, or asks for the answer again.
fn sell(manager: &InventoryManager, number: usize) -> stockade::ReservationId {
    manager.request().key(key(number)).sell(LAPTOPS, 1).expect("stock")
}

#[test]
fn keys() {
    for end in ENDS {
        let mut shop = Shop::new();
        let limits = tiny().key_retention(HOUR, 4).when_full(WhenFull::DropOldest);
        let first = shop.stocked(limits.clone());
        let sales: Vec<_> = (0..6).map(|number| sell(&first, number)).collect();
        shop.end(first, end);
        let again = shop.open(limits);
        assert_eq!(again.stats().keys, 4, "{end:?}");
        for (number, sale) in sales.iter().enumerate().skip(2) {
            assert_eq!(sell(&again, number), *sale, "{end:?}: key {number}");
        }
        let other = again.request().key(key(5)).sell(LAPTOPS, 2);
        assert_eq!(other, Err(KeyError::Conflict.into()));
    }
}

#[test]
fn older_retakes_drop_no_newer_key() {
    for end in ENDS {
        let mut shop = Shop::new();
        let limits = tiny().key_retention(HOUR, 4).when_full(WhenFull::DropOldest);
        let first = shop.stocked(limits.clone());
        for _ in 0..4 {
            let hold = first.reserve(LAPTOPS, 1, HOUR).expect("stock");
            assert_eq!(first.release(hold), Ok(Release::Released));
            let anew = first.confirm_or_retake_lines(hold, &[BasketLine::new(LAPTOPS, 1)]);
            assert!(matches!(anew, Ok(ConfirmOrRetake::Retaken(_))), "{anew:?}");
        }
        shop.clock.advance(std::time::Duration::from_millis(1));
        let sales: Vec<_> = (0..4).map(|number| sell(&first, number)).collect();
        let sold = first.sold(LAPTOPS);
        shop.end(first, end);
        let again = shop.open(limits);
        for (number, sale) in sales.iter().enumerate() {
            assert_eq!(sell(&again, number), *sale, "{end:?}: key {number}");
        }
        assert_eq!(again.sold(LAPTOPS), sold, "nothing is sold twice");
    }
}

#[test]
fn open_transfer_requests() {
    for end in ENDS {
        let mut shop = Shop::new();
        let limits = tiny().max_transfer_requests(3);
        let first = shop.stocked(limits.clone());
        let ask = |manager: &InventoryManager| manager.request_transfer("SF", "NYC", "LAPTOP", 1);
        let filed: Vec<_> = (0..3).map(|_| ask(&first).expect("room for a request")).collect();
        let full = Err(RequestTransferError::TooManyOpen { most: 3 });
        assert_eq!(ask(&first), full);
        shop.end(first, end);

        let again = shop.open(limits.clone());
        assert_eq!(ask(&again), full, "{end:?}");
        again.reject_transfer(filed[0], "ALICE", "no need").expect("open");
        ask(&again).expect("room for a request");
        assert_eq!(ask(&again), full, "{end:?}");
        shop.end(again, end);

        // With a lower limit all requests stay open, and no more are taken.
        let again = shop.open(limits.max_transfer_requests(1));
        assert_eq!(again.transfer_requests().len(), 3, "{end:?}");
        let full = Err(RequestTransferError::TooManyOpen { most: 1 });
        assert_eq!(ask(&again), full, "{end:?}");
        again.approve_transfer(filed[1], "ALICE").expect("open");
    }
}

#[test]
fn decided_transfer_requests() {
    let mut shop = Shop::new();
    let first = shop.stocked(tiny());
    let decide = |_| {
        let request = first.request_transfer("SF", "NYC", "LAPTOP", 1).expect("room");
        first.reject_transfer(request, "ALICE", "no need").expect("open");
        request
    };
    let decided: Vec<_> = (0..1_001).map(decide).collect();
    let known = |manager: &InventoryManager| {
        let status = |id| manager.transfer_request(id).map(|request| request.status);
        (status(decided[0]), status(decided[1]))
    };
    let before = known(&first);
    assert_eq!(before.1, Ok(TransferRequestStatus::Rejected));
    assert!(before.0.is_err(), "the oldest of 1,001 is forgotten");
    shop.end(first, crate::End::Closed);
    assert_eq!(known(&shop.open(tiny())), before);
}

/// As many lines as a setting allows: their levels and their warehouse's room are more cells than
/// one commit has.
#[test]
fn the_longest_basket_is_sold_shipped_and_opened_again() {
    const LINES: usize = 65_535;
    let mut shop = Shop::new();
    let count = LINES as u32 + 1;
    let limits = tiny().max_reservations(count).max_basket_lines(LINES);
    let limits = limits.shrink([4, count, count, 16]);
    let first = shop.stocked(limits.clone());
    let names: Vec<String> = (1..LINES).map(|product| format!("P{product}")).collect();
    let places = names.iter().map(|name| ("SF", &**name)).chain([LAPTOPS]);
    let lines: Vec<_> = places.map(|place| BasketLine::new(place, 1)).collect();
    for line in &lines {
        first.request().add_stock(line.level, 2, "SUPPLIER").expect("room");
    }
    let basket = first.reserve_basket(&lines, HOUR).expect("stock");
    let kept = first.reserve_basket(&lines[..1], HOUR).expect("stock");
    shop.end(first, crate::End::Closed);
    let again = shop.open(limits);
    again.confirm(basket).expect("pending");
    let room = |manager: &InventoryManager| manager.counts(LAPTOPS).expect("a level").on_hand();
    let before = room(&again);
    again.ship_lines(basket, &lines).expect("sold");
    assert_eq!((room(&again), again.sold(LAPTOPS)), (before - 1, Ok(0)));
    again.confirm(kept).expect("pending");
}

#[test]
fn lines_of_a_basket() {
    for end in ENDS {
        let mut shop = Shop::new();
        let first = shop.stocked(tiny().max_basket_lines(4));
        let names = ["A", "B", "C", "D", "E"];
        for product in names {
            first.add_stock(("SF", product), 5, "SUPPLIER").expect("room");
        }
        let lines = names.map(|product| BasketLine::new(("SF", product), 1));
        let basket = first.reserve_basket(&lines[..4], HOUR).expect("four lines");
        let refusal = first.reserve_basket(&lines, HOUR);
        assert!(refusal.is_err());
        shop.end(first, end);
        let again = shop.open(tiny().max_basket_lines(4));
        assert_eq!(again.reserve_basket(&lines, HOUR), refusal, "{end:?}");
        shop.end(again, end);
        let again = shop.open(tiny().max_basket_lines(2));
        again.confirm(basket).expect("a basket of an earlier limit");
        again.ship(("SF", "A"), 1).expect("sold");
    }
}
