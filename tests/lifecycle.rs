//! From build to shutdown: an engine begins, tells how it is, and ends, and none of it hangs.

mod common;

use std::time::Duration;

use stockade::{EventType, InventoryManager};

use common::{ledger, log_of, within};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn an_engine_of_more_warehouses_than_its_queue_has_places_is_built() {
    for threads in [true, false] {
        let log = within(SOON, move || {
            let builder = InventoryManager::builder().audit_queue(16);
            let builder = if threads { builder } else { builder.without_threads() };
            let names = (0..100).map(|number| format!("W{number}"));
            let builder = names.fold(builder, |builder, name| builder.warehouse(name));
            log_of(&builder.build().expect("legal settings"))
        });
        ledger::assert_legal(&log);
        assert_eq!(log[0].entry_type, EventType::Opened.into());
        let defined = log.iter().filter(|it| it.entry_type == EventType::WarehouseDefined.into());
        assert_eq!(defined.count(), 100);
    }
}
