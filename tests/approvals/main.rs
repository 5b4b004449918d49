//! Transfer requests: asking, deciding, what moves, and what the log says.

mod decisions;
mod races;
mod record;
mod requests;

use std::sync::Arc;
use std::time::Duration;

use stockade::{
    AuditEntry, AuditFilter, Builder, EventType, InventoryManager, ManualClock, Timestamp,
    TransferRequestId, TransferRequestStatus, WarehouseSpec,
};

const MINUTE: Duration = Duration::from_secs(60);
const SF: (&str, &str) = ("SF", "LAPTOP");
const NYC: (&str, &str) = ("NYC", "LAPTOP");

fn builder() -> Builder {
    InventoryManager::builder()
        .warehouse("SF")
        .warehouse(WarehouseSpec::new("NYC").capacity(50))
        .clock(Arc::new(ManualClock::at(Timestamp::from_millis(1_000))))
}

fn stocked(builder: Builder) -> InventoryManager {
    let manager = builder.build().expect("a legal engine");
    manager.add_stock(SF, 100, "SUPPLIER").expect("room");
    manager
}

fn ask(manager: &InventoryManager, units: u32) -> TransferRequestId {
    manager.request_transfer("SF", "NYC", "LAPTOP", units).expect("a legal request")
}

fn ask_held(manager: &InventoryManager, units: u32) -> TransferRequestId {
    let request = manager.request().hold_units();
    request.request_transfer("SF", "NYC", "LAPTOP", units).expect("a legal request")
}

fn status(manager: &InventoryManager, id: TransferRequestId) -> TransferRequestStatus {
    manager.transfer_request(id).expect("kept").status
}

#[track_caller]
fn assert_counts(manager: &InventoryManager, sf: (u32, u32), nyc: (u32, u32)) {
    let counts = |place| {
        let counts = manager.counts(place).expect("known");
        (counts.available, counts.reserved)
    };
    assert_eq!((counts(SF), counts(NYC)), (sf, nyc));
}

/// The entries that `run` logs, except the opening of a level.
fn recorded(manager: &InventoryManager, run: impl FnOnce()) -> Vec<AuditEntry> {
    manager.flush().wait().expect("written");
    let after = manager.audit_log().newest_sequence();
    run();
    manager.flush().wait().expect("written");
    manager
        .audit_log()
        .query(&AuditFilter::new().after(after).without(EventType::LevelOpened))
        .entries
}

fn shape(entries: &[AuditEntry]) -> Vec<(&'static str, &str, u32)> {
    let shape = |entry: &AuditEntry| {
        let warehouse = entry.warehouse.as_deref().unwrap_or("-");
        (entry.entry_type.name(), if warehouse == "SF" { "SF" } else { "NYC" }, entry.quantity)
    };
    entries.iter().map(shape).collect()
}
