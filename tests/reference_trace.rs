//! The reference trace, value by value: the answers that every implementation of this model must
//! give.

use std::sync::Arc;
use std::time::Duration;

use stockade::{
    AdjustmentType, AuditEntry, AuditFilter, InventoryManager, ManualClock, Release, ReleaseError,
    Timestamp,
};

#[track_caller]
fn assert_counts(manager: &InventoryManager, warehouse: &str, available: u32, reserved: u32) {
    let counts = manager.counts((warehouse, "LAPTOP")).expect("known");
    assert_eq!((counts.available, counts.reserved), (available, reserved));
}

#[test]
fn the_reference_trace() -> Result<(), Box<dyn std::error::Error>> {
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000)));
    let manager = InventoryManager::builder()
        .warehouse("SF")
        .warehouse("NYC")
        .clock(Arc::clone(&clock))
        .build()?;
    let laptops = ("SF", "LAPTOP");

    manager.add_stock(laptops, 10, "SUPPLIER")?;
    assert_counts(&manager, "SF", 10, 0);

    let first = manager.reserve(laptops, 3, Duration::from_millis(60_000))?;
    assert_eq!(manager.reservation(first)?.expires_at, Timestamp::from_millis(61_000));
    assert_counts(&manager, "SF", 7, 3);

    clock.set(Timestamp::from_millis(1_001));
    manager.confirm(first)?;
    assert_counts(&manager, "SF", 7, 3);
    assert_eq!(manager.sold(laptops).expect("known"), 3);

    assert_eq!(manager.release(first), Err(ReleaseError::Sold { units: 3 }));
    assert_counts(&manager, "SF", 7, 3);

    let second = manager.reserve(laptops, 2, Duration::from_millis(30_000))?;
    assert_counts(&manager, "SF", 5, 5);
    clock.set(Timestamp::from_millis(1_002));
    assert_eq!(manager.release(second), Ok(Release::Released));
    assert_eq!(manager.release(second), Ok(Release::AlreadyReleased));
    assert_counts(&manager, "SF", 7, 3);

    clock.set(Timestamp::from_millis(1_003));
    manager.transfer("SF", "NYC", "LAPTOP", 4)?;
    assert_counts(&manager, "SF", 3, 3);
    assert_counts(&manager, "NYC", 4, 0);

    manager.flush().wait()?;
    let movements: Vec<AuditEntry> = manager
        .audit_log()
        .query(&AuditFilter::new())
        .entries
        .into_iter()
        .filter(AuditEntry::is_movement)
        .collect();
    let seen: Vec<_> = movements
        .iter()
        .map(|entry| (entry.entry_type, entry.quantity, entry.at.as_millis(), entry.reservation))
        .collect();
    use AdjustmentType::*;
    let expected = [
        (Received.into(), 10, 1_000, None),
        (Reserved.into(), 3, 1_000, Some(first)),
        (Sold.into(), 3, 1_001, Some(first)),
        (Reserved.into(), 2, 1_001, Some(second)),
        (Returned.into(), 2, 1_002, Some(second)),
        (TransferredOut.into(), 4, 1_003, None),
        (TransferredIn.into(), 4, 1_003, None),
    ];
    assert_eq!(seen, expected);
    assert_eq!(movements[0].note("source"), Some("SUPPLIER"));

    let view = movements[6].metadata_view();
    let of = |name| view.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_ref());
    assert_eq!((of("fromWarehouse"), of("toWarehouse")), (Some("SF"), Some("NYC")));
    Ok(())
}
