//! Listeners, reorder strategies and suppliers: on a thread of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};

use stockade::{
    Durability, FixedLot, Health, PurchaseOrder, ReorderListener, ReorderStrategy, StockAlert,
    StockAlertListener, Supplier, WarehouseSpec,
};

use crate::common::{LAPTOPS, threaded, wait_for, within};
use crate::{SOON, is_degraded};

/// A listener, a strategy and a supplier that run a function.
struct Runs<F>(F);

impl<F: Fn() + Send + Sync + 'static> StockAlertListener for Runs<F> {
    fn on_low_stock(&self, _: &str, _: &str, _: u32) {
        (self.0)();
    }
}

impl<F: Fn() + Send + Sync + 'static> ReorderStrategy for Runs<F> {
    fn should_reorder(&self, _: u32, _: u32) -> bool {
        (self.0)();
        true
    }

    fn order_quantity(&self, _: u32, _: u32) -> u32 {
        1
    }
}

impl<F: Fn() + Send + Sync + 'static> Supplier for Runs<F> {
    fn order(&self, _: &PurchaseOrder) {
        (self.0)();
    }
}

/// A listener that counts.
#[derive(Clone, Default)]
struct Counts(Arc<AtomicUsize>);

impl StockAlertListener for Counts {
    fn on_alert(&self, _: &StockAlert) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn on_low_stock(&self, _: &str, _: &str, _: u32) {}
}

fn short(builder: stockade::Builder) -> stockade::InventoryManager {
    let builder = builder.warehouse(WarehouseSpec::new("LA").threshold(5));
    let manager = builder.build().expect("legal settings");
    manager.add_stock(("LA", "LAPTOP"), 10, "SUPPLIER").expect("room");
    manager.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
    manager.sell(("LA", "LAPTOP"), 7).expect("stock");
    manager
}

#[test]
fn what_hears_of_alerts_may_panic() {
    let panics = || Runs(|| panic!("a bug"));
    let lot = || FixedLot::new(1).expect("legal");
    let counts = Counts::default();
    let builder = threaded()
        .listener(panics())
        .listener(ReorderListener::new(panics(), Runs(|| ())))
        .listener(ReorderListener::new(lot(), panics()))
        .listener(counts.clone());
    let manager = short(builder);
    wait_for(SOON, "heard", || counts.0.load(Ordering::SeqCst) == 1);
    assert_eq!(manager.stats().alert_panics, 3);
    assert_eq!(manager.health(), Health::Ok);
}

#[test]
fn what_hears_of_alerts_may_block_and_shows_in_health() {
    fn blocks(released: Receiver<()>) -> Runs<impl Fn() + Send + Sync + 'static> {
        let released = Mutex::new(released);
        Runs(move || {
            let _ = released.lock().unwrap_or_else(PoisonError::into_inner).recv();
        })
    }
    let (release, released) = channel();
    let manager = short(threaded().listener(blocks(released)));
    let buyers = manager.clone();
    within(SOON, move || {
        let request = buyers.request().durability(Durability::Synced);
        request.sell(("LA", "LAPTOP"), 1).expect("buyers go on");
    });
    wait_for(SOON, "degraded", || is_degraded(&manager, "listener"));
    drop(release);
    wait_for(SOON, "well again", || manager.health() == Health::Ok);
}

#[test]
fn what_hears_of_alerts_may_call_the_engine() {
    let (tell, told) = channel();
    let manager = short(threaded());
    let engine = manager.downgrade();
    let supplies = Runs(move || {
        let Some(manager) = engine.upgrade() else { return };
        let request = manager.request().durability(Durability::Synced);
        let _ = tell.send(request.add_stock(("LA", "LAPTOP"), 50, "SUPPLIER"));
    });
    let lot = FixedLot::new(1).expect("legal");
    manager.add_listener(ReorderListener::new(lot, supplies));
    manager.add_stock(("LA", "LAPTOP"), 1, "SUPPLIER").expect("room");
    told.recv_timeout(SOON).expect("ordered").expect("room");
    assert!(manager.available(("LA", "LAPTOP")).is_ok_and(|it| it >= 50));
}
