//! A refused call gives its slots back. Two threads want the last units at the same moment, where
//! there are slots enough for both: so none is refused for want of a slot, and afterwards as many
//! holds can be made as slots are left.

use std::sync::Arc;
use std::time::Duration;

use shuttle::thread;
use shuttle_tests::explore;
use stockade::{
    BasketLine, InventoryManager, Limits, ManualClock, ReservationId, ReserveError, Timestamp,
};

const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");
const MICE: (&str, &str) = ("SF", "MOUSE");
const DESKS: (&str, &str) = ("SF", "DESK");
const HOUR: Duration = Duration::from_secs(3_600);

/// Two threads make the same call on an engine with so many slots, of which `used` are taken when
/// one of the calls was refused; then the rest is filled.
fn contest(
    name: &str,
    (slots, used): (u32, u32),
    prepare: fn(&InventoryManager) -> Option<ReservationId>,
    call: fn(&InventoryManager, Option<ReservationId>) -> Result<(), String>,
) {
    explore(name, 40, 50, |seed| {
        move || {
            let limits = Limits::new().max_reservations(slots).retention(Duration::ZERO, 0);
            let manager = InventoryManager::builder()
                .warehouse("SF")
                .warehouse("NYC")
                .clock(Arc::new(ManualClock::at(Timestamp::from_millis(1_000))))
                .seed(seed)
                .without_threads()
                .limits(limits.audit_queue(64))
                .build()
                .expect("a legal engine");
            for (level, units) in [(LAPTOPS, 1), (MICE, 1), (("NYC", "LAPTOP"), 1), (DESKS, 100)] {
                manager.add_stock(level, units, "SUPPLIER").expect("room");
            }
            let prepared = prepare(&manager);
            let (first, second) = thread::scope(|scope| {
                let first = scope.spawn(|| call(&manager, prepared));
                let second = scope.spawn(|| call(&manager, prepared));
                (first.join().expect("no panic"), second.join().expect("no panic"))
            });
            assert!(first.is_ok() != second.is_ok(), "one gets it: {first:?}, {second:?}");
            let mut made = 0;
            let refused = loop {
                match manager.reserve(DESKS, 1, HOUR) {
                    Ok(_) => made += 1,
                    Err(refused) => break refused,
                }
            };
            assert_eq!(refused, ReserveError::Full { slots });
            assert_eq!(made, slots - used, "slots were lost");
        }
    });
}

/// The refusal, if it is one for want of units.
fn short<T>(answer: Result<T, impl std::fmt::Debug>) -> Result<(), String> {
    answer.map(drop).map_err(|error| {
        let text = format!("{error:?}");
        assert!(text.starts_with("Insufficient"), "{text}");
        text
    })
}

#[test]
fn a_refused_reserve_gives_its_slot_back() {
    contest(
        "a_refused_reserve_gives_its_slot_back",
        (3, 1),
        |_| None,
        |manager, _| short(manager.reserve(LAPTOPS, 1, HOUR)),
    );
}

#[test]
fn a_refused_sale_gives_its_slot_back() {
    contest(
        "a_refused_sale_gives_its_slot_back",
        (3, 1),
        |_| None,
        |manager, _| {
            // Kept until it is shipped, so that its slot is not taken by the holds to come.
            short(manager.request().keep_until_shipped().sell(LAPTOPS, 1))
        },
    );
}

#[test]
fn a_refused_basket_gives_its_slots_back() {
    contest(
        "a_refused_basket_gives_its_slots_back",
        (5, 2),
        |_| None,
        |manager, _| {
            let lines = [BasketLine::new(LAPTOPS, 1), BasketLine::new(MICE, 1)];
            short(manager.reserve_basket(&lines, HOUR))
        },
    );
}

#[test]
fn a_refused_split_fulfilment_gives_its_slots_back() {
    contest(
        "a_refused_split_fulfilment_gives_its_slots_back",
        (5, 2),
        |_| None,
        |manager, _| {
            let order = ["SF".into(), "NYC".into()];
            short(manager.fulfill_across_warehouses("LAPTOP", 2, &order, HOUR))
        },
    );
}

/// Of two steps on one hold, the later one looks again, and finds the unit sold. The first one has
/// put new lines into two slots behind the first, and its old second slot is free again.
#[test]
fn a_step_that_comes_too_late_gives_its_slots_back() {
    contest(
        "a_step_that_comes_too_late_gives_its_slots_back",
        (7, 3),
        |manager| {
            let lines = [BasketLine::new(LAPTOPS, 1), BasketLine::new(MICE, 1)];
            Some(manager.reserve_basket(&lines, HOUR).expect("stock"))
        },
        |manager, id| {
            let line = [BasketLine::new(LAPTOPS, 1)];
            let answer = manager.confirm_lines(id.expect("made"), &line);
            answer.map(drop).map_err(|error| {
                let text = format!("{error:?}");
                assert!(text.starts_with("NotHeld") || text == "Changing", "{text}");
                text
            })
        },
    );
}

/// A call that meets an unfinished step is told so, and it happens.
#[test]
fn an_extension_in_the_middle_of_an_end_is_told_that_the_hold_changes() {
    use std::sync::atomic::{AtomicBool, Ordering};
    static SEEN: AtomicBool = AtomicBool::new(false);
    let name = "an_extension_in_the_middle_of_an_end_is_told_that_the_hold_changes";
    explore(name, 40, 50, |seed| {
        move || {
            let manager = InventoryManager::builder()
                .warehouse("SF")
                .clock(Arc::new(ManualClock::at(Timestamp::from_millis(1_000))))
                .seed(seed)
                .without_threads()
                .limits(Limits::new().max_reservations(8).audit_queue(64))
                .build()
                .expect("a legal engine");
            manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
            let id = manager.reserve(LAPTOPS, 1, HOUR).expect("stock");
            thread::scope(|scope| {
                scope.spawn(|| manager.confirm(id).expect("pending"));
                scope.spawn(|| match manager.extend(id, 2 * HOUR) {
                    Ok(_) | Err(stockade::ExtendError::Gone(_)) => {}
                    Err(stockade::ExtendError::Changing) => SEEN.store(true, Ordering::Relaxed),
                    Err(other) => panic!("{other}"),
                });
            });
        }
    });
    assert!(SEEN.load(Ordering::Relaxed), "no extension ever met an end under way");
}
