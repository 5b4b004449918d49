//! Shipping and cancelling by reservation, and reservations that are kept until then.

use std::time::Duration;

use stockade::{
    AdjustmentType, AuditFilter, BasketLine, Gone, IdempotencyKey, InvalidInput, InventoryManager,
    Limits, NoReservation, Release, ReleaseError, Reservation, ReservationId, ReservationStatus,
    SoldLinesError,
};

use crate::{CABLE, LAPTOP, MOUSE, TTL, basket, counts, line, parts, shop, shop_with};

/// Sold units of a line, and how many of them are shipped or cancelled.
fn settled(found: &Reservation, level: (&str, &str)) -> (u32, u32) {
    let line = found.lines.iter().find(|line| (&*line.warehouse, &*line.product) == level);
    line.map(|line| (line.sold, line.settled)).expect("the line is there")
}

fn laptops(units: u32) -> [BasketLine<'static>; 1] {
    [line(LAPTOP, units)]
}

fn not_sold((warehouse, product): (&str, &str), needed: u32, sold: u32) -> SoldLinesError {
    SoldLinesError::NotSold { warehouse: warehouse.into(), product: product.into(), needed, sold }
}

#[test]
fn several_lines_are_shipped_in_one_step() {
    let (manager, _) = shop();
    let id = basket(&manager);
    manager.confirm(id).expect("pending");
    manager.ship_lines(id, &[line(LAPTOP, 2), line(CABLE, 5)]).expect("sold");
    assert_eq!(counts(&manager, LAPTOP), (7, 1, 1));
    assert_eq!(counts(&manager, MOUSE), (6, 4, 4));
    assert_eq!(counts(&manager, CABLE), (5, 0, 0));
    let found = manager.reservation(id).expect("a record");
    assert_eq!(found.status, ReservationStatus::Confirmed);
    assert_eq!(settled(&found, LAPTOP), (3, 2));
    assert_eq!(settled(&found, MOUSE), (4, 0));
    assert_eq!(settled(&found, CABLE), (5, 5));
    // The units have left: there is room for others.
    let room = |name| manager.warehouse(name).expect("a warehouse").room_left();
    let before = room("SF");
    manager.ship_lines(id, &[line(LAPTOP, 1), line(MOUSE, 4)]).expect("sold");
    assert_eq!(room("SF"), before + 5);
}

#[test]
fn no_unit_is_settled_twice_though_the_level_has_more() {
    let (manager, _) = shop();
    let id = manager.sell(LAPTOP, 3).expect("stock");
    let other = manager.sell(LAPTOP, 5).expect("stock");
    manager.ship_lines(id, &laptops(2)).expect("sold");
    assert_eq!(manager.ship_lines(id, &laptops(2)), Err(not_sold(LAPTOP, 2, 1)));
    manager.cancel_sale_lines(id, &laptops(1), "returned").expect("sold");
    assert_eq!(manager.cancel_sale_lines(id, &laptops(1), "again"), Err(not_sold(LAPTOP, 1, 0)));
    assert_eq!(counts(&manager, LAPTOP), (3, 5, 5));
    manager.ship_lines(other, &laptops(5)).expect("sold");
    assert_eq!(counts(&manager, LAPTOP), (3, 0, 0));
}

#[test]
fn a_refused_call_moves_nothing_of_any_line() {
    let (manager, _) = shop();
    let id = basket(&manager);
    manager.confirm(id).expect("pending");
    let refused = manager.ship_lines(id, &[line(LAPTOP, 1), line(MOUSE, 5)]);
    assert_eq!(refused, Err(not_sold(MOUSE, 5, 4)));
    assert_eq!(manager.ship_lines(id, &[]), Err(SoldLinesError::Input(InvalidInput::Empty)));
    assert!(matches!(
        manager.ship_lines(id, &laptops(0)),
        Err(SoldLinesError::Input(InvalidInput::Quantity(_)))
    ));
    // Units that left by level are gone for whoever counts on the reservation.
    manager.ship(MOUSE, 2).expect("sold");
    let refused = manager.ship_lines(id, &[line(LAPTOP, 1), line(MOUSE, 4)]);
    assert_eq!(refused, Err(not_sold(MOUSE, 4, 2)));
    assert_eq!(counts(&manager, LAPTOP), (7, 3, 3));
    assert_eq!(settled(&manager.reservation(id).expect("a record"), LAPTOP), (3, 0));
    manager.ship_lines(id, &laptops(3)).expect("sold");
}

#[test]
fn what_a_partial_step_sold_is_shipped_while_the_rest_is_held() {
    let (manager, clock) = shop();
    let id = basket(&manager);
    assert_eq!(manager.ship_lines(id, &laptops(1)), Err(not_sold(LAPTOP, 1, 0)));
    manager.confirm_lines(id, &laptops(2)).expect("held");
    manager.ship_lines(id, &laptops(1)).expect("sold");
    assert_eq!(manager.ship_lines(id, &laptops(2)), Err(not_sold(LAPTOP, 2, 1)));
    let found = manager.reservation(id).expect("a record");
    assert_eq!((found.status, parts(&found, LAPTOP)), (ReservationStatus::Pending, (3, 1, 2)));
    assert_eq!(settled(&found, LAPTOP), (2, 1));
    // A later step keeps what was settled.
    manager.release_lines(id, &[line(MOUSE, 1)]).expect("held");
    assert_eq!(settled(&manager.reservation(id).expect("a record"), LAPTOP), (2, 1));
    // So does the end; and after it, only what was sold is left to ship.
    clock.advance(TTL + Duration::from_millis(1));
    assert_eq!(manager.ship_lines(id, &laptops(2)), Err(not_sold(LAPTOP, 2, 1)));
    assert_eq!(manager.ship_lines(id, &[line(MOUSE, 1)]), Err(not_sold(MOUSE, 1, 0)));
    manager.ship_lines(id, &laptops(1)).expect("sold");
    assert_eq!(counts(&manager, LAPTOP), (8, 0, 0));
    assert_eq!(counts(&manager, MOUSE), (10, 0, 0));
}

#[test]
fn a_released_reservation_has_nothing_to_ship() {
    let (manager, _) = shop();
    let id = basket(&manager);
    assert_eq!(manager.release(id), Ok(Release::Released));
    assert_eq!(manager.ship_lines(id, &laptops(1)), Err(not_sold(LAPTOP, 1, 0)));
}

#[test]
fn one_record_carries_all_lines_and_the_reason() {
    let (manager, _) = shop();
    let id = basket(&manager);
    manager.confirm(id).expect("pending");
    let request = manager.request().note("clerk", "7");
    request.cancel_sale_lines(id, &[line(LAPTOP, 1), line(MOUSE, 2)], "declined").expect("sold");
    manager.run_until_idle();
    let filter = AuditFilter::new().reservation(id).entry_type(AdjustmentType::SaleCancelled);
    let entries = manager.audit_log().query(&filter).entries;
    let seen: Vec<_> =
        entries.iter().map(|entry| (entry.product.as_deref(), entry.quantity)).collect();
    assert_eq!(seen, [(Some("LAPTOP"), 1), (Some("MOUSE"), 2)]);
    for entry in &entries {
        assert_eq!((entry.note("reason"), entry.note("clerk")), (Some("declined"), Some("7")));
    }
}

#[test]
fn a_retried_shipment_ships_once() {
    let (manager, _) = shop();
    let id = manager.sell(LAPTOP, 3).expect("stock");
    let key = IdempotencyKey::try_from("parcel-1").expect("a key");
    for _ in 0..2 {
        manager.request().key(key).ship_lines(id, &laptops(2)).expect("sold");
    }
    assert_eq!(counts(&manager, LAPTOP), (7, 1, 1));
}

/// Uses every free slot once.
fn use_all_slots(manager: &InventoryManager) {
    for _ in 0..32 {
        let id = manager.reserve(MOUSE, 1, TTL).expect("a slot that comes round");
        assert_eq!(manager.release(id), Ok(Release::Released));
    }
}

fn crowded() -> InventoryManager {
    shop_with(|builder| {
        builder.limits(Limits::new().max_reservations(8).retention(Duration::ZERO, 0))
    })
    .0
}

#[test]
fn a_record_that_has_gone_ships_nothing() {
    let manager = crowded();
    let id = manager.sell(LAPTOP, 3).expect("stock");
    use_all_slots(&manager);
    assert_eq!(manager.reservation(id), Err(NoReservation::Forgotten));
    assert_eq!(
        manager.ship_lines(id, &laptops(1)),
        Err(SoldLinesError::NoReservation(NoReservation::Forgotten))
    );
    assert_eq!(counts(&manager, LAPTOP), (7, 3, 3));
}

#[test]
fn what_was_sold_answers_so_until_its_record_has_gone_and_never_anything_else() {
    let manager = crowded();
    let id = manager.reserve_basket(&[line(LAPTOP, 3), line(CABLE, 1)], TTL).expect("stock");
    manager.confirm(id).expect("pending");
    let answers: Vec<_> = (0..32)
        .map(|_| {
            let hold = manager.reserve(MOUSE, 1, TTL).expect("a slot that comes round");
            assert_eq!(manager.release(hold), Ok(Release::Released));
            (manager.confirm(id), manager.release(id))
        })
        .collect();
    let gone = answers.partition_point(|(confirmed, _)| *confirmed != Err(Gone::Forgotten.into()));
    let sold = (Err(Gone::Sold { units: 4 }.into()), Err(ReleaseError::Sold { units: 4 }));
    let forgotten = (Err(Gone::Forgotten.into()), Ok(Release::Forgotten));
    assert!((1..32).contains(&gone), "{answers:?}");
    assert!(answers[..gone].iter().all(|answer| *answer == sold), "{answers:?}");
    assert!(answers[gone..].iter().all(|answer| *answer == forgotten), "{answers:?}");
}

/// Makes a reservation that is kept until shipped, and confirms it.
type Sale = fn(&InventoryManager) -> ReservationId;

#[test]
fn a_kept_reservation_stays_readable_until_all_is_settled() {
    let sell: Sale =
        |manager| manager.request().keep_until_shipped().sell(LAPTOP, 3).expect("stock");
    let reserve: Sale = |manager| {
        let id = manager.request().keep_until_shipped().reserve(LAPTOP, 3, TTL).expect("stock");
        manager.confirm(id).expect("pending");
        id
    };
    let basket: Sale = |manager| {
        let lines = [line(LAPTOP, 3), line(CABLE, 1)];
        let request = manager.request().keep_until_shipped();
        let id = request.reserve_basket(&lines, TTL).expect("stock");
        manager.confirm_lines_and_release_rest(id, &laptops(3)).expect("held");
        id
    };
    let fulfilment: Sale = |manager| {
        let order = ["SF".into(), "NYC".into()];
        let request = manager.request().keep_until_shipped();
        let id = request.fulfill_across_warehouses("LAPTOP", 3, &order, TTL).expect("stock");
        manager.confirm(id).expect("pending");
        id
    };
    for sale in [sell, reserve, basket, fulfilment] {
        let manager = crowded();
        let id = sale(&manager);
        let slots = manager.stats().slots_live;
        assert!(slots >= 1, "a live slot is counted");
        for unit in 0..3 {
            use_all_slots(&manager);
            let found = manager.reservation(id).expect("it is kept");
            assert!(found.keep_until_shipped);
            assert_eq!(
                (found.status, settled(&found, LAPTOP).1),
                (ReservationStatus::Confirmed, unit)
            );
            assert_eq!(manager.stats().slots_live, slots);
            if unit == 1 {
                manager.cancel_sale_lines(id, &laptops(1), "declined").expect("sold");
            } else {
                manager.ship_lines(id, &laptops(1)).expect("sold");
            }
        }
        assert_eq!(manager.stats().slots_live, 0);
        use_all_slots(&manager);
        assert_eq!(manager.reservation(id), Err(NoReservation::Forgotten));
    }
}

#[test]
fn a_reservation_that_is_to_be_kept_and_sold_nothing_retires_at_its_end() {
    let manager = crowded();
    let request = manager.request().keep_until_shipped();
    let released = request.reserve(LAPTOP, 1, TTL).expect("stock");
    assert_eq!(manager.release(released), Ok(Release::Released));
    // What it sold is shipped before its end.
    let shipped = request.reserve(LAPTOP, 2, TTL).expect("stock");
    manager.confirm_lines(shipped, &laptops(1)).expect("held");
    manager.ship_lines(shipped, &laptops(1)).expect("sold");
    let partly = Release::PartlySold { sold: 1, returned: 1 };
    assert_eq!(manager.release(shipped), Ok(partly));
    // Also where a step ends it.
    let shipped = request.reserve(LAPTOP, 2, TTL).expect("stock");
    manager.confirm_lines(shipped, &laptops(1)).expect("held");
    manager.ship_lines(shipped, &laptops(1)).expect("sold");
    manager.release_lines(shipped, &laptops(1)).expect("held");
    assert_eq!(manager.stats().slots_live, 0);
}

#[test]
fn to_be_kept_is_a_part_of_the_request_and_of_the_record() {
    let (manager, _) = shop();
    let key = IdempotencyKey::try_from("cart-1").expect("a key");
    let request = manager.request().key(key);
    let id = request.clone().keep_until_shipped().reserve(LAPTOP, 1, TTL).expect("stock");
    assert!(request.clone().reserve(LAPTOP, 1, TTL).is_err(), "another request");
    assert_eq!(request.keep_until_shipped().reserve(LAPTOP, 1, TTL), Ok(id));
    manager.run_until_idle();
    let entries = manager.audit_log().query(&AuditFilter::new().reservation(id)).entries;
    assert_eq!(entries[0].note("keep"), Some("until-shipped"));
}

/// A basket's slots are reused one by one. A step that finds some of them gone lets go of those
/// that it had taken, wherever it stopped.
#[test]
fn a_step_on_a_record_that_is_partly_gone_keeps_no_slot() {
    const SLOTS: u32 = 8;
    let limits = || Limits::new().max_reservations(SLOTS).retention(Duration::ZERO, 0);
    let mut gone = 0;
    for others in 0..=SLOTS as usize {
        let (manager, _) = shop_with(|builder| builder.limits(limits()));
        let hold = || manager.reserve(LAPTOP, 1, TTL).ok();
        let id = basket(&manager);
        manager.confirm(id).expect("pending");
        let holds: Vec<_> = (0..others).map_while(|_| hold()).collect();
        for _ in 0..2 {
            gone += usize::from(manager.ship_lines(id, &[line(CABLE, 1)]).is_err());
        }
        for hold in holds {
            assert_eq!(manager.release(hold), Ok(Release::Released));
        }
        let room = (0..).map_while(|_| manager.reserve(MOUSE, 1, TTL).ok()).count();
        let room = room + (0..).map_while(|_| hold()).count();
        assert_eq!(room, SLOTS as usize, "beside {others} others");
    }
    assert!(gone > 0, "a record left");
}

/// Each later slot of a basket bears the basket's name. So a record whose slots went to other
/// baskets, one by one, is told as it was or not at all.
#[test]
fn a_record_that_is_partly_gone_never_shows_a_strangers_line() {
    let (mut whole, mut gone) = (0, 0);
    let lines = [line(LAPTOP, 1), line(MOUSE, 1), line(CABLE, 1)];
    for (before, width) in (0..8).flat_map(|before| (1..=3).map(move |width| (before, width))) {
        let limits = Limits::new().max_reservations(10).retention(Duration::ZERO, 0);
        let (manager, _) = shop_with(|builder| builder.limits(limits));
        let pass = |lines: &[BasketLine<'_>], look: &mut dyn FnMut()| {
            let id = manager.reserve_basket(lines, TTL).expect("slots");
            look();
            assert_eq!(manager.release(id), Ok(Release::Released));
        };
        (0..before).for_each(|_| pass(&lines[..1], &mut || ()));
        let id = basket(&manager);
        manager.confirm(id).expect("pending");
        let told = manager.reservation(id).expect("a record").lines;
        for others in 0..12 {
            pass(&lines[3 - width..], &mut || match manager.reservation(id) {
                Ok(found) => {
                    assert_eq!(found.lines, told, "{before} before, {others} of {width} lines");
                    whole += 1;
                }
                Err(none) => {
                    assert_eq!(none, NoReservation::Forgotten);
                    gone += 1;
                }
            });
        }
    }
    assert!(whole > 0 && gone > 0, "{whole} whole, {gone} gone");
}
