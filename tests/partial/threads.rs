//! Partial steps that race with each other, with ends, with shipments and with readers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use stockade::{
    AdjustmentType, AuditFilter, EntryType, Gone, InventoryManager, Limits, NoReservation,
    PartialError, ReservationId, SoldLinesError,
};

use crate::{LAPTOP, MOUSE, line};

const ROUNDS: u32 = 100;
const UNITS: u32 = 60;

fn shop() -> InventoryManager {
    let manager = InventoryManager::builder()
        .warehouse("SF")
        .limits(Limits::new().max_reservations(64))
        .build();
    let manager = manager.expect("a shop");
    for level in [LAPTOP, MOUSE] {
        manager.add_stock(level, 1_000_000, "SUPPLIER").expect("room");
    }
    manager
}

/// Reads the basket again and again. Its two lines must be equal each time, because every step
/// moves as many units of one as of the other.
fn watch(manager: &InventoryManager, id: ReservationId, over: &AtomicBool) {
    while !over.load(Ordering::Acquire) {
        match manager.reservation(id) {
            Ok(found) => {
                let parts = |at: usize| {
                    let line = &found.lines[at];
                    (line.quantity, line.held, line.sold, line.settled)
                };
                assert_eq!(found.lines.len(), 2);
                assert_eq!(parts(0), parts(1), "a step is seen in half");
                assert_eq!(parts(0).0, UNITS);
            }
            Err(gone) => assert_eq!(gone, NoReservation::Forgotten),
        }
    }
}

#[test]
fn steps_that_race_sell_and_give_back_each_unit_once() {
    /// Ends the watcher even if a thread of the test panics. Otherwise the panic would never be
    /// reported.
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Release);
        }
    }

    let manager = shop();
    let both = |units| [line(LAPTOP, units), line(MOUSE, units)];
    for round in 0..ROUNDS {
        let request = manager.request().keep_until_shipped();
        let id = request.reserve_basket(&both(UNITS), Duration::from_secs(600)).expect("stock");
        let (sold, given_back, shipped) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
        let over = AtomicBool::new(false);
        // Steps until nothing is held; retries while another call is at it.
        let steps = |confirm: bool, units: u32, count: &AtomicU32| loop {
            let done = if confirm {
                manager.confirm_lines(id, &both(units))
            } else {
                manager.release_lines(id, &both(units))
            };
            match done {
                Ok(_) => count.fetch_add(units, Ordering::Relaxed),
                Err(PartialError::Changing) => continue,
                Err(PartialError::NotHeld { .. }) => return,
                Err(PartialError::Gone(gone)) if gone != Gone::Unknown => return,
                Err(other) => panic!("{other}"),
            };
        };
        thread::scope(|scope| {
            let _over = Over(&over);
            scope.spawn(|| watch(&manager, id, &over));
            let workers = [
                scope.spawn(|| steps(true, 1, &sold)),
                scope.spawn(|| steps(true, 3, &sold)),
                scope.spawn(|| steps(false, 2, &given_back)),
                scope.spawn(|| {
                    for _ in 0..20 {
                        match manager.ship_lines(id, &both(1)) {
                            Ok(()) => drop(shipped.fetch_add(1, Ordering::Relaxed)),
                            Err(SoldLinesError::NotSold { .. } | SoldLinesError::Changing) => {}
                            Err(SoldLinesError::NoReservation(NoReservation::Forgotten)) => return,
                            Err(other) => panic!("{other}"),
                        }
                    }
                }),
            ];
            // Others use the slots that steps discard.
            for _ in 0..20 {
                let other = manager.sell(LAPTOP, 1).expect("stock");
                manager.ship_lines(other, &[line(LAPTOP, 1)]).or_else(forgotten).expect("sold");
            }
            for worker in workers {
                worker.join().expect("the thread ends");
            }
        });
        let (sold, given_back) = (sold.into_inner(), given_back.into_inner());
        let shipped = shipped.into_inner();
        if let Ok(found) = manager.reservation(id) {
            let line = &found.lines[0];
            assert_eq!((line.sold, line.settled), (sold, shipped), "round {round}");
            assert_eq!(line.quantity - line.held - line.sold, given_back);
            if line.held > 0 {
                let rest = line.held;
                manager.release_lines(id, &both(rest)).expect("held");
            }
        }
        assert!(sold + given_back <= UNITS && shipped <= sold);
        if sold > shipped {
            manager.cancel_sale_lines(id, &both(sold - shipped), "the end").expect("sold");
        }
        assert_eq!(manager.counts(MOUSE).expect("known").reserved, 0, "round {round}");
    }
    assert_eq!(manager.stats().slots_live, 0);
    assert_log_is_legal(&manager);
}

/// Replays the log entry by entry: no unit is spent before it was given (Law 2), no hold sells or
/// returns more than it took, and the end matches the engine.
fn assert_log_is_legal(manager: &InventoryManager) {
    use AdjustmentType::{Received, Reserved, Returned, SaleCancelled, Shipped, Sold};
    manager.flush().wait().expect("a healthy log");
    let entries = manager.audit_log().query(&AuditFilter::new().limit(usize::MAX)).entries;
    let mut levels: HashMap<Arc<str>, (u32, u32, u32)> = HashMap::new();
    let mut held: HashMap<(ReservationId, Arc<str>), u32> = HashMap::new();
    for entry in entries.iter().filter(|entry| entry.is_movement()) {
        let product = entry.product.clone().expect("a product");
        let units = entry.quantity;
        let spend = |from: &mut u32| {
            *from = from.checked_sub(units).unwrap_or_else(|| panic!("spent too early: {entry:?}"));
        };
        let (available, reserved, sold) = levels.entry(product.clone()).or_default();
        let of = |id: Option<ReservationId>| (id.expect("a reservation"), product.clone());
        let EntryType::Movement(movement) = entry.entry_type else { continue };
        match movement {
            Received => *available += units,
            Reserved => {
                spend(available);
                *reserved += units;
                *held.entry(of(entry.reservation)).or_default() += units;
            }
            Sold => {
                spend(held.entry(of(entry.reservation)).or_default());
                *sold += units;
            }
            Returned => {
                spend(held.entry(of(entry.reservation)).or_default());
                spend(reserved);
                *available += units;
            }
            Shipped | SaleCancelled => {
                spend(sold);
                spend(reserved);
                *available += if movement == Shipped { 0 } else { units };
            }
            other => panic!("nobody makes {other}"),
        }
        assert!(sold <= reserved, "{entry:?}");
    }
    for (_, product) in [LAPTOP, MOUSE] {
        let counts = manager.counts(("SF", product)).expect("known");
        assert_eq!(levels[product], (counts.available, counts.reserved, counts.sold));
    }
}

fn forgotten(error: SoldLinesError) -> Result<(), SoldLinesError> {
    if error == SoldLinesError::NoReservation(NoReservation::Forgotten) {
        Ok(())
    } else {
        Err(error)
    }
}
