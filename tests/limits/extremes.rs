//! Units, times and settings at their bounds.

use std::time::Duration;

use stockade::{
    AddError, Backpressure, JournalOptions, Limits, MAX_UNITS, ReservationStatus, Timestamp,
    WarehouseSpec,
};

use crate::{ENDS, HOUR, LAPTOPS, Shop, tiny};

#[test]
fn as_many_units_as_a_warehouse_holds() {
    for end in ENDS {
        let mut shop = Shop::new();
        let first = shop.open(tiny());
        first.add_stock(("NYC", "LAST"), 1, "SUPPLIER").expect("room");
        first.add_stock(LAPTOPS, MAX_UNITS, "SUPPLIER").expect("room");
        let full = Err(AddError::OverCapacity { needed: 1, room: 0 });
        assert_eq!(first.add_stock(LAPTOPS, 1, "SUPPLIER"), full);
        let sold = first.sell(LAPTOPS, MAX_UNITS - 1).expect("stock");
        let held = first.reserve(LAPTOPS, 1, HOUR).expect("stock");
        first.set_threshold("SF", Some(MAX_UNITS - 1)).expect("a legal threshold");
        let counts = first.counts(LAPTOPS);
        shop.end(first, end);

        let again = shop.open(tiny());
        assert_eq!(again.counts(LAPTOPS), counts, "{end:?}");
        assert_eq!(again.add_stock(LAPTOPS, 1, "SUPPLIER"), full, "{end:?}");
        again.confirm(held).expect("pending");
        again.ship(LAPTOPS, MAX_UNITS).expect("sold");
        again.add_stock(LAPTOPS, MAX_UNITS, "SUPPLIER").expect("room");
        let record = again.reservation(sold).expect("retained");
        assert_eq!(
            (record.status, record.lines[0].sold),
            (ReservationStatus::Confirmed, MAX_UNITS - 1)
        );
    }
}

#[test]
fn a_warehouse_filled_to_its_own_capacity() {
    for end in ENDS {
        let mut shop = Shop::new();
        let open = |shop: &Shop| {
            let spec = WarehouseSpec::new("LA").capacity(10);
            shop.builder(tiny()).warehouse(spec).build().expect("a sound journal")
        };
        let first = open(&shop);
        first.add_stock(("NYC", "LAST"), 1, "SUPPLIER").expect("room");
        first.add_stock(("LA", "LAPTOP"), 10, "SUPPLIER").expect("room");
        shop.end(first, end);
        let again = open(&shop);
        let full = Err(AddError::OverCapacity { needed: 1, room: 0 });
        assert_eq!(again.add_stock(("LA", "LAPTOP"), 1, "SUPPLIER"), full, "{end:?}");
        again.remove_stock(("LA", "LAPTOP"), 1, "dropped").expect("stock");
        again.add_stock(("LA", "LAPTOP"), 1, "SUPPLIER").expect("room");
    }
}

#[test]
fn the_longest_times() {
    for end in ENDS {
        let mut shop = Shop::new();
        let limits = || tiny().longest_ttl(Duration::MAX).longest_total_hold(Duration::MAX);
        let first = shop.stocked(limits());
        let hold = first.reserve(LAPTOPS, 1, Duration::MAX).expect("stock");
        let expires_at = first.reservation(hold).expect("pending").expires_at;
        assert_eq!(expires_at, Timestamp::MAX);
        shop.end(first, end);
        let again = shop.open(limits());
        assert_eq!(again.reservation(hold).map(|it| it.expires_at), Ok(expires_at), "{end:?}");
        assert!(again.reserve(LAPTOPS, 1, Duration::MAX).is_ok(), "{end:?}");
        again.confirm(hold).expect("pending");
    }
}

#[test]
fn every_journal_that_options_allow() {
    for segment_bytes in [0, 1, u64::MAX] {
        for checkpoint_every in [Some(0), Some(1), Some(u64::MAX), None] {
            for span in [Duration::ZERO, Duration::MAX] {
                let mut shop = Shop::new();
                let open = |shop: &Shop| {
                    let journal = JournalOptions::storage(shop.disk.clone())
                        .segment_bytes(segment_bytes)
                        .checkpoint_every(checkpoint_every)
                        .sync_interval(span)
                        .recovery_grace(span)
                        .least_free_space(u64::MAX);
                    shop.builder(tiny()).journal(journal).build().expect("a sound journal")
                };
                for end in ENDS {
                    let manager = open(&shop);
                    manager.add_stock(("NYC", "LAST"), 1, "SUPPLIER").expect("room");
                    manager.add_stock(LAPTOPS, 2, "SUPPLIER").expect("room");
                    manager.reserve(LAPTOPS, 1, Duration::from_millis(1)).expect("stock");
                    shop.end(manager, end);
                    shop.clock.advance(HOUR);
                }
                assert_eq!(open(&shop).counts(LAPTOPS).map(|it| it.on_hand()), Ok(6));
            }
        }
    }
}

#[test]
fn every_engine_that_limits_allow() {
    let most = Limits::new()
        .max_basket_lines(65_535)
        .notes(65_535, 1 << 24)
        .retention(Duration::MAX, usize::MAX)
        .key_retention(Duration::MAX, usize::MAX)
        .audit_retained(u64::MAX)
        .overdue_limit(usize::MAX)
        .max_transfer_requests(usize::MAX)
        .longest_ttl(Duration::MAX);
    let least = Limits::new()
        .max_reservations(1)
        .max_basket_lines(1)
        .notes(0, 20)
        .retention(Duration::ZERO, 0)
        .key_retention(Duration::ZERO, 1)
        .audit_queue(16)
        .audit_retained(0)
        .overdue_limit(1)
        .max_transfer_requests(1);
    for (before, after) in [(&most, &least), (&least, &most), (&most, &most), (&least, &least)] {
        for end in ENDS {
            let mut shop = Shop::new();
            let open = |shop: &Shop, limits: &Limits| {
                let builder = shop.builder(limits.clone()).backpressure(Backpressure::Refuse);
                builder.build().expect("a sound journal")
            };
            let first = open(&shop, before);
            first.add_stock(("NYC", "LAST"), 1, "SUPPLIER").expect("room");
            first.add_stock(LAPTOPS, 5, "SUPPLIER").expect("room");
            let hold = first.reserve(LAPTOPS, 1, HOUR).expect("stock");
            first.request_transfer("SF", "NYC", "LAPTOP", 1).expect("room");
            shop.end(first, end);
            let again = open(&shop, after);
            again.confirm(hold).expect("pending");
            assert!(again.reserve(LAPTOPS, 1, HOUR).is_ok(), "{end:?}");
            shop.end(again, end);
            assert_eq!(open(&shop, before).sold(LAPTOPS), Ok(1), "{end:?}");
        }
    }
}
