//! Products, levels and warehouses.

use stockade::{
    AddError, ApproveError, BuildError, JournalError, MAX_NAME_BYTES, SettingError, TransferError,
    TransferRequestStatus,
};

use crate::{ENDS, LAPTOPS, Shop, tiny};

const THIRD: (&str, &str) = ("SF", "PHONE");

fn too_many(what: &'static str, needed: u64, most: u64) -> Option<BuildError> {
    Some(JournalError::TooMany { what, needed, most, setting: None }.into())
}

#[test]
fn products() {
    for end in ENDS {
        let mut shop = Shop::new();
        let limits = |products| tiny().shrink([2, products, 32, 16]);
        let first = shop.stocked(limits(3));
        first.add_stock(THIRD, 1, "SUPPLIER").expect("room for a third product");
        assert_eq!(first.add_stock(("SF", "FOURTH"), 1, "SUPPLIER"), Err(AddError::TooManyNames));
        shop.end(first, end);

        let again = shop.open(limits(3));
        assert_eq!(again.stats().products, 3, "{end:?}");
        assert_eq!(again.add_stock(("SF", "FOURTH"), 1, "SUPPLIER"), Err(AddError::TooManyNames));
        again.add_stock(("NYC", "PHONE"), 1, "SUPPLIER").expect("a known product");
        shop.end(again, end);

        let refusal = shop.builder(limits(2)).build().err();
        assert_eq!(refusal, too_many("products", 3, 2), "{end:?}");
        let again = shop.open(limits(4));
        again.add_stock(("SF", "FOURTH"), 1, "SUPPLIER").expect("room for a fourth product");
    }
}

#[test]
fn levels() {
    for end in ENDS {
        let mut shop = Shop::new();
        let limits = |levels| tiny().shrink([2, 8, levels, 16]);
        let first = shop.stocked(limits(4));
        first.add_stock(THIRD, 1, "SUPPLIER").expect("room for a third level");
        first.add_stock(("NYC", "PHONE"), 1, "SUPPLIER").expect("room for a fourth level");
        let full = Err(AddError::TooManyNames);
        assert_eq!(first.add_stock(("NYC", "LAPTOP"), 1, "SUPPLIER"), full);
        assert_eq!(first.add_stock(("SF", "NEW"), 1, "SUPPLIER"), full);
        assert_eq!(first.stats().products, 3, "a refused call defines no product");
        shop.end(first, end);

        let again = shop.open(limits(4));
        assert_eq!(again.stats().levels, 4, "{end:?}");
        assert_eq!(again.add_stock(("NYC", "LAPTOP"), 1, "SUPPLIER"), full, "{end:?}");
        again.add_stock(LAPTOPS, 1, "SUPPLIER").expect("a known level");
        shop.end(again, end);

        let refusal = shop.builder(limits(3)).build().err();
        assert_eq!(refusal, too_many("stock levels", 4, 3), "{end:?}");
        let again = shop.open(limits(5));
        again.add_stock(("NYC", "LAPTOP"), 1, "SUPPLIER").expect("room for a fifth level");
    }
}

#[test]
fn warehouses() {
    for end in ENDS {
        let mut shop = Shop::new();
        let limits = |warehouses| tiny().shrink([warehouses, 8, 32, 16]);
        let first = shop.stocked(limits(2));
        shop.end(first, end);
        let third = |most| shop.builder(limits(most)).warehouse("LA").build();
        assert_eq!(third(2).err(), Some(BuildError::Warehouses { warehouses: 3 }), "{end:?}");
        let again = third(3).expect("room for a third warehouse");
        again.add_stock(("LA", "LAPTOP"), 1, "SUPPLIER").expect("a warehouse");
    }
}

#[test]
fn the_longest_names() {
    for end in ENDS {
        let mut shop = Shop::new();
        let (warehouse, product) = ("W".repeat(MAX_NAME_BYTES), "P".repeat(MAX_NAME_BYTES));
        let first = shop.builder(tiny()).warehouse(&*warehouse).build().expect("a legal name");
        first.add_stock((&*warehouse, &*product), 5, "SUPPLIER").expect("a legal name");
        first.add_stock(("NYC", "LAST"), 5, "SUPPLIER").expect("room");
        let longer = "P".repeat(MAX_NAME_BYTES + 1);
        let refusal = first.add_stock((&*warehouse, &*longer), 5, "SUPPLIER");
        assert!(refusal.is_err());
        shop.end(first, end);
        let again = shop.builder(tiny()).warehouse(&*warehouse).build().expect("a known name");
        assert_eq!(again.available((&*warehouse, &*product)), Ok(5), "{end:?}");
        assert_eq!(again.add_stock((&*warehouse, &*longer), 5, "SUPPLIER"), refusal, "{end:?}");
    }
}

/// Whatever would open a level is refused where there is none left, and moves nothing.
#[test]
fn a_level_too_many_is_refused_to_every_call_that_would_open_one() {
    let shop = Shop::new();
    let manager = shop.stocked(tiny().shrink([2, 8, 2, 16]));
    let full = manager.open_level("NYC", "LAPTOP").map(drop);
    assert_eq!(full, Err(SettingError::TooManyNames));
    let moved = manager.transfer("SF", "NYC", "LAPTOP", 1);
    assert_eq!(moved, Err(TransferError::TooManyNames));
    for held in [false, true] {
        let request = manager.request();
        let id = if held {
            request.hold_units().request_transfer("SF", "NYC", "LAPTOP", 1)
        } else {
            request.request_transfer("SF", "NYC", "LAPTOP", 1)
        };
        let id = id.expect("it opens nothing");
        assert_eq!(manager.approve_transfer(id, "ada"), Err(ApproveError::TooManyNames));
        let status = manager.transfer_request(id).map(|it| it.status);
        assert_eq!(status, Ok(TransferRequestStatus::PendingApproval), "it can still be decided");
        manager.reject_transfer(id, "ada", "no room for names").expect("open");
    }
    let counts = manager.counts(LAPTOPS).expect("open");
    assert_eq!((counts.available, counts.reserved, manager.stats().levels), (10_000, 0, 2));
}
