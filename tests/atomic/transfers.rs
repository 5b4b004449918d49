//! Transfers: no unit is missing or doubled meanwhile, and no warehouse exceeds its capacity.

use stockade::{AddError, InventoryManager, LevelRef, TransferError, WarehouseSpec};

use crate::{HOUR, add, on_hand, under_load, under_load_until};

#[test]
fn no_snapshot_sees_a_unit_missing_or_doubled_while_transfers_go_to_and_fro() {
    let manager = InventoryManager::builder()
        .warehouse("SF")
        .warehouse("NYC")
        .build()
        .expect("a legal engine");
    add(&manager, "SF", "LAPTOP", 60);
    add(&manager, "NYC", "LAPTOP", 40);
    let levels = [LevelRef::Names("SF", "LAPTOP"), LevelRef::Names("NYC", "LAPTOP")];
    let mut split_seen = std::collections::HashSet::new();
    let work = |number: u32, round: u32| match number {
        0 => drop(manager.transfer("SF", "NYC", "LAPTOP", 1 + round % 50)),
        1 => drop(manager.transfer("NYC", "SF", "LAPTOP", 1 + round % 30)),
        _ => {
            let level = levels[(round % 2) as usize];
            if let Ok(hold) = manager.reserve(level, 1 + round % 7, HOUR) {
                manager.release(hold).map(drop).expect("pending");
            }
        }
    };
    under_load_until(3, work, || {
        let seen = manager.snapshot(&levels).expect("both are open");
        assert_eq!(seen.iter().map(on_hand).sum::<u64>(), 100, "{seen:?}");
        split_seen.insert(on_hand(&seen[0]));
        let totals = manager.totals("LAPTOP").expect("known");
        assert_eq!(totals.on_hand(), 100, "{totals:?}");
        // The load moves units while they are looked at.
        split_seen.len() > 1
    });
    assert_eq!(
        manager.totals_approximate("LAPTOP").expect("known").on_hand(),
        100,
        "nothing moves any more"
    );
}

#[test]
fn a_snapshot_over_many_products_sees_each_of_them_whole() {
    let manager = InventoryManager::builder()
        .warehouse("SF")
        .warehouse("NYC")
        .build()
        .expect("a legal engine");
    let names: Vec<String> = (0..20).map(|number| format!("P{number}")).collect();
    names.iter().for_each(|name| add(&manager, "SF", name, 10));
    // Opens the other end of each.
    names.iter().for_each(|name| manager.transfer("SF", "NYC", name.as_str(), 5).expect("enough"));
    let levels: Vec<LevelRef<'_>> = names
        .iter()
        .flat_map(|name| ["SF", "NYC"].map(|place| LevelRef::Names(place, name)))
        .collect();
    let work = |number: u32, round: u32| {
        let name = names[(round % 20) as usize].as_str();
        let (from, to) = if number == 0 { ("SF", "NYC") } else { ("NYC", "SF") };
        let _ = manager.transfer(from, to, name, 1 + round % 4);
    };
    under_load(2, work, || {
        let seen = manager.snapshot(&levels).expect("all are open");
        for (name, pair) in names.iter().zip(seen.chunks(2)) {
            assert_eq!(pair.iter().map(on_hand).sum::<u64>(), 10, "{name}: {pair:?}");
        }
    });
}

#[test]
fn no_warehouse_ever_holds_more_than_its_capacity() {
    let manager = InventoryManager::builder()
        .warehouse("SF")
        .warehouse(WarehouseSpec::new("NYC").capacity(50))
        .build()
        .expect("a legal engine");
    add(&manager, "SF", "LAPTOP", 1_000);
    add(&manager, "SF", "MOUSE", 1_000);
    add(&manager, "NYC", "LAPTOP", 20);
    add(&manager, "NYC", "MOUSE", 20);
    let places = [LevelRef::Names("NYC", "LAPTOP"), LevelRef::Names("NYC", "MOUSE")];
    let work = |number: u32, round: u32| {
        let units = 1 + round % 9;
        let full = |room: u32, needed: u32| {
            assert!(needed == units && room < units, "{units} units refused, room for {room}");
        };
        match number {
            0 => match manager.transfer("SF", "NYC", "LAPTOP", units) {
                Err(TransferError::OverCapacity { needed, room }) => full(room, needed),
                Err(TransferError::Insufficient { .. }) | Ok(()) => {}
                Err(error) => panic!("{error}"),
            },
            1 => match manager.add_stock(("NYC", "MOUSE"), units, "SUPPLIER") {
                Err(AddError::OverCapacity { needed, room }) => full(room, needed),
                Ok(()) => {}
                Err(error) => panic!("{error}"),
            },
            2 => drop(manager.transfer("NYC", "SF", "LAPTOP", units)),
            _ => drop(manager.remove_stock(("NYC", "MOUSE"), units, "lost")),
        }
    };
    let mut fullest = 0;
    under_load_until(4, work, || {
        let seen = manager.snapshot(&places).expect("both are open");
        let held: u64 = seen.iter().map(on_hand).sum();
        fullest = fullest.max(held);
        assert!(held <= 50, "{held} units in a warehouse of 50");
        // It was nearly full at times, so that some were refused for want of room.
        fullest > 40
    });
    let held: u64 = manager.snapshot(&places).expect("both are open").iter().map(on_hand).sum();
    let room = manager.warehouse("NYC").expect("there").room_left();
    assert_eq!(held + u64::from(room), 50, "nothing is under way any more");
}

#[test]
fn a_suspended_warehouse_takes_part_in_no_transfer_and_no_basket_but_shows_in_snapshots() {
    let manager = InventoryManager::builder()
        .warehouse("SF")
        .warehouse("NYC")
        .build()
        .expect("a legal engine");
    add(&manager, "SF", "LAPTOP", 5);
    add(&manager, "NYC", "LAPTOP", 5);
    let basket = |places: &[&'static str]| {
        let line = |place: &&'static str| stockade::BasketLine::new((*place, "LAPTOP"), 1);
        manager.reserve_basket(&places.iter().map(line).collect::<Vec<_>>(), HOUR)
    };
    let held = basket(&["SF", "NYC"]).expect("enough");
    manager.suspend("NYC").expect("there");
    let warehouse = "NYC".to_owned();
    let suspended = Err(TransferError::Suspended { warehouse: warehouse.clone() });
    assert_eq!(manager.transfer("SF", "NYC", "LAPTOP", 1), suspended);
    assert_eq!(manager.transfer("NYC", "SF", "LAPTOP", 1), suspended);
    let refused = basket(&["SF", "NYC"]);
    assert_eq!(refused, Err(stockade::BasketError::Suspended { warehouse }));
    assert_eq!(manager.totals("LAPTOP").expect("known").on_hand(), 10);
    let order = ["NYC".into(), "SF".into()];
    let passed_over = manager.fulfill_across_warehouses("LAPTOP", 5, &order, HOUR);
    assert!(passed_over.is_err(), "the other one has 4");
    manager.fulfill_across_warehouses("LAPTOP", 4, &order, HOUR).expect("of the other one");
    // What was held before may end.
    manager.release(held).map(drop).expect("pending");
    manager.resume("NYC").expect("there");
    manager.transfer("NYC", "SF", "LAPTOP", 5).expect("enough again");
}
