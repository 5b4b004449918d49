//! All that a call stamps, and every time that it counts from, is one reading of the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use stockade::testing::SimulatedDisk;
use stockade::{
    AuditEntry, AuditFilter, BasketLine, Clock, IdempotencyKey, InventoryManager, Timestamp,
};

use crate::shop::{
    LAPTOPS, MICE, MINUTE, RIGHT, SECOND, at, builder, builder_on, clock, forgetful,
};

/// A clock that moves on by ten milliseconds whenever somebody reads it.
struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        at(self.0.fetch_add(10, Ordering::SeqCst))
    }
}

/// The entries that `call` adds.
fn entries_of(shop: &InventoryManager, call: impl FnOnce()) -> Vec<AuditEntry> {
    shop.run_until_idle();
    let before = shop.audit_log().newest_sequence();
    call();
    shop.flush().wait().expect("a disk");
    shop.audit_log().query(&AuditFilter::new().after(before)).entries
}

fn moment_of(entries: &[AuditEntry]) -> Timestamp {
    let first = entries.first().expect("an entry").at;
    assert!(entries.iter().all(|entry| entry.at == first), "{entries:?}");
    first
}

#[test]
fn a_call_stamps_everything_with_one_moment() {
    let disk = SimulatedDisk::new();
    let ticking = Ticking(AtomicU64::new(RIGHT));
    let shop = builder(&disk, &clock(0)).clock(ticking).build().expect("a journal");
    let key = |word: &str| IdempotencyKey::try_from(word).expect("a key");
    // It defines a product and a level.
    let entries = entries_of(&shop, || shop.add_stock(LAPTOPS, 100, "SUPPLIER").expect("room"));
    assert_eq!(entries.len(), 3);
    moment_of(&entries);
    let keyed = || shop.request().key(key("add")).add_stock(MICE, 100, "SUPPLIER").expect("room");
    moment_of(&entries_of(&shop, keyed));
    moment_of(&entries_of(&shop, || shop.transfer("SF", "NYC", "LAPTOP", 5).expect("stock")));

    let lines = [BasketLine::new(LAPTOPS, 1), BasketLine::new(MICE, 1)];
    let warehouses = ["SF".into(), "NYC".into()];
    for way in 0..8 {
        let mut made = None;
        let entries = entries_of(&shop, || {
            let request = shop.request().note("way", way.to_string());
            let keyed = shop.request().key(key(&way.to_string()));
            made = Some(match way {
                0 => shop.reserve(LAPTOPS, 1, MINUTE).expect("stock"),
                1 => request.reserve(LAPTOPS, 1, MINUTE).expect("stock"),
                2 => keyed.reserve(LAPTOPS, 1, MINUTE).expect("stock"),
                3 => shop.reserve_basket(&lines, MINUTE).expect("stock"),
                4 => keyed.reserve_basket(&lines, MINUTE).expect("stock"),
                5 => keyed
                    .fulfill_across_warehouses("LAPTOP", 2, &warehouses, MINUTE)
                    .expect("stock"),
                6 => shop.sell(LAPTOPS, 1).expect("stock"),
                _ => keyed.sell(LAPTOPS, 1).expect("stock"),
            });
        });
        let (moment, id) = (moment_of(&entries), made.expect("made"));
        assert_eq!(id.created_at(), moment, "way {way}");
        let lives = if way < 6 { 60 * SECOND } else { 0 };
        let expires_at = at(moment.as_millis() + lives);
        assert_eq!(shop.reservation(id).expect("made").expires_at, expires_at, "way {way}");
        assert!(entries.iter().all(|entry| entry.expires_at == Some(expires_at)), "way {way}");
    }
    let hold = shop.reserve(LAPTOPS, 1, MINUTE).expect("stock");
    let mut until = None;
    let extend = || until = shop.extend(hold, MINUTE).ok();
    let moment = moment_of(&entries_of(&shop, extend));
    assert_eq!(until, Some(at(moment.as_millis() + 60 * SECOND)));
}

#[test]
fn a_key_is_as_old_as_its_record() {
    let disk = SimulatedDisk::new();
    let ticking = Arc::new(Ticking(AtomicU64::new(RIGHT)));
    let shop = builder_on(forgetful(&disk), &clock(0))
        .clock(Arc::clone(&ticking))
        .build()
        .expect("a journal");
    let key = IdempotencyKey::try_from("order-7").expect("a key");
    let add = || shop.request().key(key).add_stock(LAPTOPS, 100, "SUPPLIER").expect("room");
    let moment = moment_of(&entries_of(&shop, add)).as_millis();
    let copy = disk.killed();
    // In the engine that stored it, and in the next one, the key's hour ends at one moment.
    for (now, expected) in [(moment + 3_600 * SECOND, 100), (moment + 3_600 * SECOND + 1, 200)] {
        let next =
            builder_on(forgetful(&copy.killed()), &clock(now)).build().expect("a sound journal");
        next.request().key(key).add_stock(LAPTOPS, 100, "SUPPLIER").expect("room");
        assert_eq!(next.available(LAPTOPS), Ok(expected));
        ticking.0.store(now, Ordering::SeqCst);
        add();
        assert_eq!(shop.available(LAPTOPS), Ok(expected));
    }
}
