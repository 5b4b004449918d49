//! A warehouse with more inside than its capacity: it opens, lets units out, and takes none in.

use stockade::testing::SimulatedDisk;
use stockade::{
    AddError, BasketLine, InventoryManager, JournalReader, TransferError, WarehouseSpec,
};

use crate::state::{MINUTE, small};

const PLACE: (&str, &str) = ("SF", "LAPTOP");

/// SF with this capacity, and NYC, on this disk.
fn open(disk: &SimulatedDisk, capacity: u32) -> InventoryManager {
    let builder = InventoryManager::builder().journal(disk.clone()).without_threads();
    let builder = builder.limits(small()).warehouse(WarehouseSpec::new("SF").capacity(capacity));
    builder.warehouse("NYC").build().unwrap_or_else(|error| panic!("{capacity}: {error}"))
}

fn room(manager: &InventoryManager) -> u32 {
    manager.warehouse("SF").expect("a warehouse").room_left()
}

fn check_sound(disk: &SimulatedDisk) {
    JournalReader::on(disk.clone()).verify(None).expect("a sound journal");
}

#[test]
fn a_capacity_below_what_is_inside_opens_with_room_for_nothing() {
    let disk = SimulatedDisk::new();
    let first = open(&disk, 20);
    first.add_stock(PLACE, 10, "SUPPLIER").expect("room");
    first.add_stock(("NYC", "LAPTOP"), 5, "SUPPLIER").expect("room");
    let sold = first.sell(PLACE, 3).expect("stock");
    let held = first.reserve(PLACE, 2, MINUTE).expect("stock");
    drop(first);

    let again = open(&disk, 8);
    assert_eq!((room(&again), again.warehouse("SF").expect("there").capacity()), (0, 8));
    let full = AddError::OverCapacity { needed: 1, room: 0 };
    assert_eq!(again.add_stock(PLACE, 1, "SUPPLIER"), Err(full.clone()));
    assert_eq!(
        again.transfer("NYC", "SF", "LAPTOP", 1),
        Err(TransferError::OverCapacity { needed: 1, room: 0 })
    );
    // Whatever stays inside goes on as ever.
    again.confirm(held).expect("pending");
    let basket = [BasketLine::new(PLACE, 1), BasketLine::new(("NYC", "LAPTOP"), 1)];
    let basket = again.reserve_basket(&basket, MINUTE).expect("stock");
    assert_eq!(again.release(basket), Ok(stockade::Release::Released));
    // 10 inside: three ways out, and the first two units make no room.
    again.ship(PLACE, 1).expect("sold");
    assert_eq!(room(&again), 0);
    assert_eq!(again.add_stock(PLACE, 1, "SUPPLIER"), Err(full.clone()));
    again.transfer("SF", "NYC", "LAPTOP", 1).expect("stock");
    assert_eq!(room(&again), 0, "8 of 8");
    assert_eq!(again.add_stock(PLACE, 1, "SUPPLIER"), Err(full));
    again.remove_stock(PLACE, 1, "dropped").expect("stock");
    assert_eq!(room(&again), 1);
    again.add_stock(PLACE, 1, "SUPPLIER").expect("room for one");
    again.ship_lines(sold, &[BasketLine::new(PLACE, 2)]).expect("sold");
    assert_eq!(room(&again), 2);
    drop(again);
    check_sound(&disk);

    let third = open(&disk, 8);
    assert_eq!((room(&third), third.counts(PLACE).expect("known").on_hand()), (2, 6));
    drop(third);
    assert_eq!(room(&open(&disk, 20)), 14);
    check_sound(&disk);
}

#[test]
fn one_step_out_fills_what_is_over_and_makes_room_of_the_rest() {
    for leave in [1, 2, 3, 10] {
        let disk = SimulatedDisk::new();
        let first = open(&disk, 10);
        first.add_stock(PLACE, 10, "SUPPLIER").expect("room");
        drop(first);
        let again = open(&disk, 8);
        again.remove_stock(PLACE, leave, "dropped").expect("stock");
        assert_eq!(room(&again), leave.saturating_sub(2), "{leave} of 10 left, 8 fit");
    }
}
