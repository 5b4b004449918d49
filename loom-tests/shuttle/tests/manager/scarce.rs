//! What is given is as scarce as can be: one thread gives a unit, a hold or a name, and another one
//! takes it as soon as it shows. So an operation that gives before its entry is queued (Law 2) is
//! found by the bookkeeper: whoever took stands in the log before whoever gave.
//!
//! Each place of the engine that gives has a scene of its own. A taker finds holds and transfer
//! requests by listing them, because an id that shows too early is one that nobody was told yet.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use shuttle::thread;
use shuttle_tests::explore;
use stockade::{
    AuditFilter, BasketLine, InventoryManager, Limits, ManualClock, ReservationId, Timestamp,
    TransferRequestId, WarehouseSpec,
};

use crate::ledger;

const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");
const MICE: (&str, &str) = ("SF", "MOUSE");
const HOUR: Duration = Duration::from_secs(3_600);
const ROOM: u32 = 3;

/// Seeds, and schedules for each.
const PROGRAMS: u64 = 40;
const SCHEDULES: usize = 50;

fn engine(seed: u64) -> InventoryManager {
    InventoryManager::builder()
        .warehouse(WarehouseSpec::new("SF").capacity(ROOM))
        .warehouse("NYC")
        .clock(Arc::new(ManualClock::at(Timestamp::from_millis(1_000))))
        .seed(seed)
        .without_threads()
        .limits(Limits::new().max_reservations(32).audit_queue(64))
        .build()
        .expect("a legal engine")
}

/// One thread gives what another one takes, under many schedules; then the log is read.
fn scene<P: Copy + Send + Sync + 'static>(
    name: &str,
    prepare: fn(&InventoryManager) -> P,
    give: fn(&InventoryManager, P),
    take: fn(&InventoryManager, P),
) {
    explore(name, PROGRAMS, SCHEDULES, |seed| {
        move || {
            let manager = engine(seed);
            let prepared = prepare(&manager);
            thread::scope(|scope| {
                scope.spawn(|| give(&manager, prepared));
                scope.spawn(|| take(&manager, prepared));
            });
            manager.flush().wait().expect("a healthy log");
            let log = manager.audit_log().query(&AuditFilter::new().limit(usize::MAX)).entries;
            ledger::assert_legal(&log).assert_ends_as(&manager);
        }
    });
}

#[track_caller]
fn done<T, E: Debug>(answer: Result<T, E>) {
    assert!(answer.is_ok(), "{:?}", answer.err());
}

fn add(manager: &InventoryManager, level: (&str, &str), units: u32) {
    manager.add_stock(level, units, "SUPPLIER").expect("room");
}

fn one(level: (&'static str, &'static str)) -> [BasketLine<'static>; 1] {
    [BasketLine::new(level, 1)]
}

fn both() -> [BasketLine<'static>; 2] {
    [BasketLine::new(LAPTOPS, 1), BasketLine::new(MICE, 1)]
}

/// The only laptop, held.
fn held(manager: &InventoryManager) -> ReservationId {
    add(manager, LAPTOPS, 1);
    manager.reserve(LAPTOPS, 1, HOUR).expect("stock")
}

/// The only laptop and the only mouse, held in one basket.
fn basket_held(manager: &InventoryManager) -> ReservationId {
    add(manager, LAPTOPS, 1);
    add(manager, MICE, 1);
    manager.reserve_basket(&both(), HOUR).expect("stock")
}

/// The only laptop, sold, in a warehouse that is full.
fn sold(manager: &InventoryManager) -> ReservationId {
    add(manager, LAPTOPS, 1);
    add(manager, MICE, ROOM - 1);
    manager.sell(LAPTOPS, 1).expect("stock")
}

/// A laptop to take, and another one that was sold to somebody.
fn one_sold_to_another(manager: &InventoryManager) {
    add(manager, LAPTOPS, 2);
    manager.sell(LAPTOPS, 1).expect("stock");
}

/// A request that holds the only laptop.
fn requested(manager: &InventoryManager) -> TransferRequestId {
    add(manager, LAPTOPS, 1);
    manager.request().hold_units().request_transfer("SF", "NYC", "LAPTOP", 1).expect("stock")
}

fn reserve<P>(manager: &InventoryManager, _: P) {
    let _ = manager.reserve(LAPTOPS, 1, HOUR);
}

fn reserve_there<P>(manager: &InventoryManager, _: P) {
    let _ = manager.reserve(("NYC", "LAPTOP"), 1, HOUR);
}

fn ship<P>(manager: &InventoryManager, _: P) {
    let _ = manager.ship(LAPTOPS, 1);
}

fn fill<P>(manager: &InventoryManager, _: P) {
    let _ = manager.add_stock(("SF", "DESK"), 1, "SUPPLIER");
}

fn live(manager: &InventoryManager) -> Vec<ReservationId> {
    let page = manager.reservations(LAPTOPS, None, usize::MAX).expect("open");
    page.reservations.iter().map(|found| found.id).collect()
}

fn confirm_what_shows<P>(manager: &InventoryManager, _: P) {
    for id in live(manager) {
        let _ = manager.confirm(id);
    }
}

#[test]
fn a_released_unit_is_reserved_after_its_return() {
    scene(
        "a_released_unit_is_reserved_after_its_return",
        held,
        |manager, id| done(manager.release(id)),
        reserve,
    );
}

#[test]
fn a_confirmed_unit_is_shipped_after_its_sale() {
    scene(
        "a_confirmed_unit_is_shipped_after_its_sale",
        held,
        |manager, id| manager.confirm(id).expect("pending"),
        ship,
    );
}

#[test]
fn a_unit_of_a_confirmed_basket_is_shipped_after_its_sale() {
    scene(
        "a_unit_of_a_confirmed_basket_is_shipped_after_its_sale",
        basket_held,
        |manager, id| manager.confirm(id).expect("pending"),
        ship,
    );
}

#[test]
fn a_unit_of_a_released_basket_is_reserved_after_its_return() {
    scene(
        "a_unit_of_a_released_basket_is_reserved_after_its_return",
        basket_held,
        |manager, id| done(manager.release(id)),
        reserve,
    );
}

#[test]
fn a_unit_that_a_step_sells_is_shipped_after_its_sale() {
    scene(
        "a_unit_that_a_step_sells_is_shipped_after_its_sale",
        basket_held,
        |manager, id| done(manager.confirm_lines(id, &one(LAPTOPS))),
        ship,
    );
}

#[test]
fn a_unit_that_a_step_gives_back_is_reserved_after_its_return() {
    scene(
        "a_unit_that_a_step_gives_back_is_reserved_after_its_return",
        basket_held,
        |manager, id| done(manager.release_lines(id, &one(LAPTOPS))),
        reserve,
    );
}

/// The level has a sold unit of another reservation, which must not be shipped for this one.
#[test]
fn what_a_step_sold_shows_in_its_hold_after_its_sale() {
    scene(
        "what_a_step_sold_shows_in_its_hold_after_its_sale",
        |manager| {
            one_sold_to_another(manager);
            add(manager, MICE, 1);
            manager.reserve_basket(&both(), HOUR).expect("stock")
        },
        |manager, id| done(manager.confirm_lines(id, &one(LAPTOPS))),
        |manager, id| {
            let _ = manager.ship_lines(id, &one(LAPTOPS));
        },
    );
}

#[test]
fn room_that_a_shipment_leaves_is_taken_after_it() {
    scene(
        "room_that_a_shipment_leaves_is_taken_after_it",
        sold,
        |manager, _| manager.ship(LAPTOPS, 1).expect("sold"),
        fill,
    );
}

#[test]
fn room_that_a_shipment_by_reservation_leaves_is_taken_after_it() {
    scene(
        "room_that_a_shipment_by_reservation_leaves_is_taken_after_it",
        sold,
        |manager, id| manager.ship_lines(id, &one(LAPTOPS)).expect("sold"),
        fill,
    );
}

#[test]
fn a_unit_whose_sale_is_cancelled_is_reserved_after_it() {
    scene(
        "a_unit_whose_sale_is_cancelled_is_reserved_after_it",
        sold,
        |manager, _| manager.cancel_sale(LAPTOPS, 1, "declined").expect("sold"),
        reserve,
    );
}

#[test]
fn a_unit_whose_sale_is_cancelled_by_reservation_is_reserved_after_it() {
    scene(
        "a_unit_whose_sale_is_cancelled_by_reservation_is_reserved_after_it",
        sold,
        |manager, id| manager.cancel_sale_lines(id, &one(LAPTOPS), "declined").expect("sold"),
        reserve,
    );
}

#[test]
fn a_received_unit_is_reserved_after_its_arrival() {
    scene(
        "a_received_unit_is_reserved_after_its_arrival",
        |manager| done(manager.open_level("SF", "LAPTOP")),
        |manager, ()| add(manager, LAPTOPS, 1),
        reserve,
    );
}

#[test]
fn room_of_a_removed_unit_is_taken_after_its_removal() {
    scene(
        "room_of_a_removed_unit_is_taken_after_its_removal",
        |manager| add(manager, LAPTOPS, ROOM),
        |manager, ()| manager.remove_stock(LAPTOPS, 1, "dropped").expect("stock"),
        fill,
    );
}

#[test]
fn a_unit_sold_at_once_is_shipped_after_its_sale() {
    scene(
        "a_unit_sold_at_once_is_shipped_after_its_sale",
        |manager| add(manager, LAPTOPS, 1),
        |manager, ()| done(manager.sell(LAPTOPS, 1)),
        ship,
    );
}

#[test]
fn a_unit_taken_again_is_shipped_after_its_sale() {
    scene(
        "a_unit_taken_again_is_shipped_after_its_sale",
        |manager| {
            let id = held(manager);
            done(manager.release(id));
            id
        },
        |manager, id| done(manager.confirm_or_retake(id, &one(LAPTOPS))),
        ship,
    );
}

#[test]
fn a_hold_that_shows_was_made_before_it_ends() {
    scene(
        "a_hold_that_shows_was_made_before_it_ends",
        |manager| add(manager, LAPTOPS, 1),
        |manager, ()| done(manager.reserve(LAPTOPS, 1, HOUR)),
        confirm_what_shows,
    );
}

#[test]
fn a_basket_that_shows_was_made_before_it_ends() {
    scene(
        "a_basket_that_shows_was_made_before_it_ends",
        |manager| {
            add(manager, LAPTOPS, 1);
            add(manager, MICE, 1);
        },
        |manager, ()| done(manager.reserve_basket(&both(), HOUR)),
        confirm_what_shows,
    );
}

#[test]
fn a_split_fulfilment_that_shows_was_made_before_it_ends() {
    scene(
        "a_split_fulfilment_that_shows_was_made_before_it_ends",
        |manager| {
            add(manager, LAPTOPS, 1);
            add(manager, ("NYC", "LAPTOP"), 1);
        },
        |manager, ()| {
            let order = ["SF".into(), "NYC".into()];
            done(manager.fulfill_across_warehouses("LAPTOP", 2, &order, HOUR));
        },
        confirm_what_shows,
    );
}

#[test]
fn a_transferred_unit_is_reserved_after_its_transfer() {
    scene(
        "a_transferred_unit_is_reserved_after_its_transfer",
        |manager| {
            add(manager, LAPTOPS, 1);
            manager.open_level("NYC", "LAPTOP").expect("a new level");
        },
        |manager, ()| manager.transfer("SF", "NYC", "LAPTOP", 1).expect("stock"),
        reserve_there,
    );
}

#[test]
fn a_transfer_request_that_shows_was_made_before_its_decision() {
    scene(
        "a_transfer_request_that_shows_was_made_before_its_decision",
        |manager| add(manager, LAPTOPS, 1),
        |manager, ()| done(manager.request_transfer("SF", "NYC", "LAPTOP", 1)),
        |manager, ()| {
            for request in manager.transfer_requests() {
                manager.reject_transfer(request.id, "Grace", "no need").expect("nobody else");
            }
        },
    );
}

#[test]
fn a_unit_of_a_rejected_request_is_reserved_after_the_decision() {
    scene(
        "a_unit_of_a_rejected_request_is_reserved_after_the_decision",
        requested,
        |manager, id| manager.reject_transfer(id, "Grace", "no need").expect("open"),
        reserve,
    );
}

#[test]
fn a_unit_of_an_approved_request_is_reserved_after_its_transfer() {
    scene(
        "a_unit_of_an_approved_request_is_reserved_after_its_transfer",
        |manager| {
            done(manager.open_level("NYC", "LAPTOP"));
            requested(manager)
        },
        |manager, id| manager.approve_transfer(id, "Ada").expect("open"),
        reserve_there,
    );
}

/// The level and its product: whoever finds them is logged after their definition.
#[test]
fn a_level_is_used_after_it_was_opened() {
    scene(
        "a_level_is_used_after_it_was_opened",
        |_| (),
        |manager, ()| done(manager.open_level("SF", "LAPTOP")),
        |manager, ()| add(manager, LAPTOPS, 1),
    );
}

#[test]
fn room_of_a_raised_capacity_is_taken_after_the_change() {
    scene(
        "room_of_a_raised_capacity_is_taken_after_the_change",
        |manager| add(manager, LAPTOPS, ROOM),
        |manager, ()| manager.set_capacity("SF", ROOM + 1).expect("a warehouse"),
        fill,
    );
}
