//! Low-stock alerts: who receives them, how often, and what is ordered then.

mod common;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use stockade::{
    BasketLine, FixedLot, InventoryManager, PurchaseOrder, Release, ReorderListener, StockAlert,
    StockAlertListener, Supplier, TopUpTo, WarehouseSpec, WeakInventoryManager,
};

use common::{LAPTOPS, LONG, clock, ms, quiet, race, single_holds, threaded, within};

const SOON: Duration = Duration::from_secs(30);
const FAR_LAPTOPS: (&str, &str) = ("NYC", "LAPTOP");

/// Sends every alert to the test.
struct Wire(Mutex<Sender<StockAlert>>);

impl StockAlertListener for Wire {
    fn on_low_stock(&self, _: &str, _: &str, _: u32) {
        unreachable!("the engine calls `on_alert`");
    }

    fn on_alert(&self, alert: &StockAlert) {
        let _ = self.0.lock().expect("no panic").send(alert.clone());
    }
}

fn wire() -> (Wire, Receiver<StockAlert>) {
    let (sender, heard) = channel();
    (Wire(Mutex::new(sender)), heard)
}

/// Warehouse, available, threshold and crossings of the alerts received so far.
fn so_far(heard: &Receiver<StockAlert>) -> Vec<(String, u32, u32, u32)> {
    let plain =
        |it: StockAlert| (it.warehouse.to_string(), it.available, it.threshold, it.crossings);
    heard.try_iter().map(plain).collect()
}

fn sf(available: u32, threshold: u32, crossings: u32) -> (String, u32, u32, u32) {
    ("SF".to_owned(), available, threshold, crossings)
}

/// An engine without threads, whose warehouse SF has a threshold of 5, and its receiver of alerts.
fn quiet_shop() -> (InventoryManager, Receiver<StockAlert>) {
    let (listener, heard) = wire();
    let manager = quiet(&clock()).listener(listener).build().expect("legal settings");
    manager.set_threshold("SF", Some(5)).expect("legal");
    (manager, heard)
}

#[test]
fn an_alert_comes_when_stock_falls_to_the_threshold_and_not_before_or_after() {
    let (manager, heard) = quiet_shop();
    manager.add_stock(LAPTOPS, 7, "SUPPLIER").expect("room");
    let mut left = Vec::new();
    for _ in 0..4 {
        single_holds(&manager, 1, LONG);
        manager.run_until_idle();
        left.push(so_far(&heard));
    }
    assert_eq!(left, [vec![], vec![sf(5, 5, 1)], vec![], vec![]]);
}

#[test]
fn everything_that_takes_units_can_cross_the_threshold() {
    let (manager, heard) = quiet_shop();
    let lines = [BasketLine::new(LAPTOPS, 2)];
    manager.open_level("SF", "LAPTOP").expect("a warehouse");
    let check = |take: &dyn Fn()| {
        let available = manager.available(LAPTOPS).expect("known");
        manager.add_stock(LAPTOPS, 6 - available, "SUPPLIER").expect("room");
        take();
        manager.run_until_idle();
        assert_eq!(so_far(&heard), [sf(4, 5, 1)]);
    };
    check(&|| _ = manager.reserve(LAPTOPS, 2, LONG).expect("stock"));
    check(&|| _ = manager.sell(LAPTOPS, 2).expect("stock"));
    check(&|| _ = manager.reserve_basket(&lines, LONG).expect("stock"));
    check(&|| manager.remove_stock(LAPTOPS, 2, "dropped").expect("stock"));
    check(&|| manager.transfer("SF", "NYC", "LAPTOP", 2).expect("stock"));
    // More than one line is a commit, which tells of each of its crossings.
    manager.add_stock(("SF", "MOUSE"), 100, "SUPPLIER").expect("room");
    let two = [lines[0], BasketLine::new(("SF", "MOUSE"), 1)];
    check(&|| _ = manager.reserve_basket(&two, LONG).expect("stock"));
    let order = ["NYC".into(), "SF".into()];
    check(&|| _ = manager.fulfill_across_warehouses("LAPTOP", 4, &order, LONG).expect("stock"));
    let available = manager.available(LAPTOPS).expect("known");
    manager.add_stock(LAPTOPS, 6 - available, "SUPPLIER").expect("room");
    let hold = manager.reserve_basket(&lines, LONG).expect("stock");
    assert_eq!(manager.release(hold), Ok(Release::Released));
    manager.run_until_idle();
    so_far(&heard);
    let retake = manager.confirm_or_retake_lines(hold, &lines).expect("stock");
    assert!(matches!(retake, stockade::ConfirmOrRetake::Retaken(_)));
    manager.run_until_idle();
    assert_eq!(so_far(&heard), [sf(4, 5, 1)]);
}

#[test]
fn an_add_that_still_leaves_too_little_alerts_again() {
    let (manager, heard) = quiet_shop();
    for (units, expected) in [(2, vec![sf(2, 5, 1)]), (3, vec![sf(5, 5, 1)]), (1, vec![])] {
        manager.add_stock(LAPTOPS, units, "SUPPLIER").expect("room");
        manager.run_until_idle();
        assert_eq!(so_far(&heard), expected);
    }
    manager.add_stock(FAR_LAPTOPS, 9, "SUPPLIER").expect("room");
    manager.transfer("NYC", "SF", "LAPTOP", 1).expect("stock");
    manager.run_until_idle();
    assert_eq!(so_far(&heard), []);
    manager.remove_stock(LAPTOPS, 5, "dropped").expect("stock");
    manager.transfer("NYC", "SF", "LAPTOP", 1).expect("stock");
    manager.run_until_idle();
    assert_eq!(so_far(&heard), [sf(3, 5, 2)], "the fall, and the arrival that did not help");
}

#[test]
fn crossings_that_nobody_heard_yet_are_one_alert_with_their_number() {
    let (manager, heard) = quiet_shop();
    manager.add_stock(LAPTOPS, 6, "SUPPLIER").expect("room");
    for _ in 0..10 {
        let hold = manager.reserve(LAPTOPS, 3, LONG).expect("stock");
        assert_eq!(manager.release(hold), Ok(Release::Released));
    }
    single_holds(&manager, 2, LONG);
    assert_eq!(manager.stats().alert_backlog, 1);
    manager.run_until_idle();
    assert_eq!(so_far(&heard), [sf(4, 5, 11)]);
    assert_eq!(manager.stats().alert_backlog, 0);
}

#[test]
fn thresholds_change_at_run_time_and_a_product_may_have_its_own() {
    let (manager, heard) = quiet_shop();
    manager.add_stock(LAPTOPS, 20, "SUPPLIER").expect("room");
    let sold_down_to = |left: u32| {
        manager.sell(LAPTOPS, manager.available(LAPTOPS).expect("known") - left).expect("stock");
        manager.run_until_idle();
        so_far(&heard)
    };
    manager.set_product_threshold(LAPTOPS, Some(15)).expect("open");
    assert_eq!(sold_down_to(15), [sf(15, 15, 1)]);
    manager.set_threshold("SF", Some(12)).expect("legal");
    assert_eq!(sold_down_to(12), [], "it has its own");
    manager.clear_product_threshold(LAPTOPS).expect("open");
    manager.set_threshold("SF", Some(10)).expect("legal");
    assert_eq!(sold_down_to(10), [sf(10, 10, 1)]);
    manager.set_product_threshold(LAPTOPS, None).expect("open");
    assert_eq!(sold_down_to(3), [], "silenced");
    manager.clear_product_threshold(LAPTOPS).expect("open");
    manager.set_threshold("SF", None).expect("legal");
    assert_eq!(sold_down_to(0), []);
    let levels = manager.stock_level(LAPTOPS).expect("open");
    assert_eq!(levels.threshold(), None);
}

#[test]
fn a_threshold_of_nothing_alerts_when_nothing_is_left() {
    let (listener, heard) = wire();
    let spec = WarehouseSpec::new("SF").threshold(0);
    let builder = InventoryManager::builder().warehouse(spec).without_threads().listener(listener);
    let manager = builder.build().expect("legal settings");
    manager.add_stock(LAPTOPS, 2, "SUPPLIER").expect("room");
    single_holds(&manager, 2, LONG);
    manager.run_until_idle();
    assert_eq!(so_far(&heard), [sf(0, 0, 1)]);
}

#[test]
fn a_listener_hears_what_it_registered_for_and_as_long() {
    let manager = threaded().without_threads().build().expect("legal settings");
    let ((all, of_all), (only, of_nyc)) = (wire(), wire());
    let all = manager.add_listener(all);
    let only = manager.add_warehouse_listener("NYC", only).expect("a warehouse");
    assert!(manager.add_warehouse_listener("MARS", wire().0).is_err());
    manager.set_threshold("SF", Some(5)).expect("legal");
    manager.set_threshold("NYC", Some(5)).expect("legal");
    let low = || {
        manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
        manager.add_stock(FAR_LAPTOPS, 1, "SUPPLIER").expect("room");
        manager.run_until_idle();
        let names = |heard| -> Vec<String> { so_far(heard).into_iter().map(|it| it.0).collect() };
        (names(&of_all), names(&of_nyc))
    };
    let both = vec!["SF".to_owned(), "NYC".to_owned()];
    assert_eq!(low(), (both.clone(), vec!["NYC".to_owned()]));
    assert_eq!(manager.remove_listener(only), Ok(true));
    assert_eq!(low(), (both, vec![]));
    let removals = [manager.remove_listener(all), manager.remove_listener(all)];
    assert_eq!(removals, [Ok(true), Ok(false)]);
    assert_eq!(low(), (vec![], vec![]));
}

/// Many threads take units of a level. Exactly one of them crosses the threshold.
#[test]
fn of_racing_threads_one_crosses() {
    let (listener, heard) = wire();
    let manager = threaded().listener(listener).build().expect("legal settings");
    manager.set_threshold("SF", Some(50)).expect("legal");
    let names: Vec<String> = (0..40).map(|number| format!("P{number}")).collect();
    for name in &names {
        manager.add_stock(("SF", &**name), 96, "SUPPLIER").expect("room");
        race(8, |_| (0..12).for_each(|_| _ = manager.sell(("SF", &**name), 1).expect("stock")));
    }
    assert!(manager.shutdown(SOON).is_clean(), "a shutdown delivers what is due");
    let mut crossings: Vec<(String, u32)> =
        heard.try_iter().map(|it| (it.product.to_string(), it.crossings)).collect();
    crossings.sort_unstable();
    let mut expected: Vec<(String, u32)> = names.into_iter().map(|name| (name, 1)).collect();
    expected.sort_unstable();
    assert_eq!(crossings, expected);
}

/// Stock moves up and down around its threshold while alerts are delivered. No crossing is lost or
/// counted twice.
#[test]
fn crossings_that_race_with_their_delivery_are_all_counted() {
    const ROUNDS: u32 = 400;
    let (listener, heard) = wire();
    let manager = threaded().listener(listener).build().expect("legal settings");
    manager.set_threshold("SF", Some(5)).expect("legal");
    for product in ["A", "B", "C", "D"] {
        manager.add_stock(("SF", product), 6, "SUPPLIER").expect("room");
    }
    // Each thread has a level of its own, so that every one of its holds crosses.
    race(4, |thread| {
        let level = ("SF", ["A", "B", "C", "D"][thread]);
        for _ in 0..ROUNDS {
            let hold = manager.reserve(level, 1, LONG).expect("stock");
            assert_eq!(manager.release(hold), Ok(Release::Released));
        }
    });
    assert!(manager.shutdown(SOON).is_clean());
    let alerts: Vec<StockAlert> = heard.try_iter().collect();
    for product in ["A", "B", "C", "D"] {
        let of_it = alerts.iter().filter(|alert| &*alert.product == product);
        assert_eq!(of_it.map(|alert| alert.crossings).sum::<u32>(), ROUNDS, "{product}");
    }
}

struct Panicking;

impl StockAlertListener for Panicking {
    fn on_low_stock(&self, warehouse: &str, product: &str, available: u32) {
        panic!("{product} in {warehouse}: only {available} left");
    }
}

#[test]
fn a_listener_that_panics_harms_nobody() {
    let (listener, heard) = wire();
    let builder = threaded().listener(Panicking).listener(listener).listener(Panicking);
    let manager = builder.build().expect("legal settings");
    manager.set_threshold("SF", Some(5)).expect("legal");
    for expected in [1, 2, 3] {
        manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
        let alert = heard.recv_timeout(SOON).expect("heard all the same");
        assert_eq!(alert.available, expected);
    }
    assert_eq!(manager.health(), stockade::Health::Ok);
    assert!(manager.shutdown(SOON).is_clean());
    assert_eq!(manager.stats().alert_panics, 6);
}

/// Blocks in its first alert until it is released.
#[derive(Default)]
struct Sleeper {
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl Sleeper {
    fn wait_until_asleep(&self) {
        let state = self.state.lock().expect("no panic");
        drop(self.changed.wait_while(state, |(asleep, _)| !*asleep).expect("no panic"));
    }

    fn wake(&self) {
        self.state.lock().expect("no panic").1 = true;
        self.changed.notify_all();
    }
}

impl StockAlertListener for Sleeper {
    fn on_low_stock(&self, _: &str, _: &str, _: u32) {
        let mut state = self.state.lock().expect("no panic");
        state.0 = true;
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |(_, awake)| !*awake).expect("no panic"));
    }
}

#[test]
fn a_listener_that_sleeps_keeps_no_buyer_and_loses_no_alert() {
    let sleeper = Arc::new(Sleeper::default());
    let (listener, heard) = wire();
    let builder = threaded().listener(Arc::clone(&sleeper)).listener(listener);
    let manager = builder.build().expect("legal settings");
    manager.set_threshold("SF", Some(5)).expect("legal");
    manager.add_stock(LAPTOPS, 6, "SUPPLIER").expect("room");
    manager.sell(LAPTOPS, 1).expect("stock");
    sleeper.wait_until_asleep();
    let flapping = manager.clone();
    within(SOON, move || {
        for _ in 0..1_000 {
            flapping.cancel_sale(LAPTOPS, 1, "again").expect("sold");
            flapping.sell(LAPTOPS, 1).expect("stock");
        }
    });
    assert_eq!(manager.stats().alert_backlog, 2, "the one in hand, and one for all that came");
    sleeper.wake();
    let first = heard.recv_timeout(SOON).expect("heard");
    let second = heard.recv_timeout(SOON).expect("heard");
    assert_eq!((first.crossings, second.crossings), (1, 1_000));
    assert!(manager.shutdown(SOON).is_clean());
}

#[test]
fn a_shutdown_leaves_a_stuck_listener_behind() {
    let sleeper = Arc::new(Sleeper::default());
    let builder = threaded().listener(Arc::clone(&sleeper));
    let manager = builder.build().expect("legal settings");
    manager.set_threshold("SF", Some(5)).expect("legal");
    manager.add_stock(LAPTOPS, 1, "SUPPLIER").expect("room");
    sleeper.wait_until_asleep();
    manager.add_stock(("SF", "MOUSE"), 1, "SUPPLIER").expect("room");
    let ending = manager.clone();
    let (left, took) = within(SOON, move || {
        let began = Instant::now();
        (ending.shutdown(ms(100)), began.elapsed())
    });
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!((left.undelivered_alerts, left.unwritten), (2, 0));
    sleeper.wake();
}

/// Adds the ordered units to the engine as soon as they are ordered.
struct Depot {
    engine: Mutex<Option<WeakInventoryManager>>,
    orders: Mutex<Vec<PurchaseOrder>>,
}

impl Depot {
    fn new() -> Arc<Self> {
        Arc::new(Self { engine: Mutex::new(None), orders: Mutex::new(Vec::new()) })
    }

    fn delivers_to(&self, manager: &InventoryManager) {
        *self.engine.lock().expect("no panic") = Some(manager.downgrade());
    }

    fn ordered(&self) -> Vec<(String, u32, u32, u32)> {
        let orders = self.orders.lock().expect("no panic");
        let plain =
            |it: &PurchaseOrder| (it.product.to_string(), it.quantity, it.available, it.threshold);
        orders.iter().map(plain).collect()
    }
}

impl Supplier for Depot {
    fn order(&self, order: &PurchaseOrder) {
        self.orders.lock().expect("no panic").push(order.clone());
        let engine = self.engine.lock().expect("no panic").clone();
        let engine = engine.and_then(|weak| weak.upgrade()).expect("the engine lives");
        let level = (&*order.warehouse, &*order.product);
        engine.add_stock(level, order.quantity, "DEPOT").expect("room");
    }
}

#[test]
fn stock_that_runs_low_is_topped_up_by_the_supplier() {
    let depot = Depot::new();
    let listener = ReorderListener::new(TopUpTo::new(50).expect("legal"), Arc::clone(&depot));
    let manager = threaded().listener(listener).build().expect("legal settings");
    depot.delivers_to(&manager);
    manager.set_threshold("SF", Some(10)).expect("legal");
    manager.add_stock(LAPTOPS, 30, "SUPPLIER").expect("room");
    manager.sell(LAPTOPS, 22).expect("stock");
    let topped_up = manager.clone();
    within(SOON, move || {
        while topped_up.available(LAPTOPS).expect("known") != 50 {
            thread::sleep(ms(1));
        }
    });
    assert_eq!(depot.ordered(), [("LAPTOP".to_owned(), 42, 8, 10)]);
}

#[test]
fn a_fixed_lot_is_ordered_until_it_is_enough() {
    let depot = Depot::new();
    let listener = ReorderListener::new(FixedLot::new(4).expect("legal"), Arc::clone(&depot));
    let manager = quiet(&clock()).listener(listener).build().expect("legal settings");
    depot.delivers_to(&manager);
    manager.set_threshold("SF", Some(10)).expect("legal");
    manager.add_stock(LAPTOPS, 11, "SUPPLIER").expect("room");
    manager.sell(LAPTOPS, 9).expect("stock");
    manager.run_until_idle();
    let order = |available| ("LAPTOP".to_owned(), 4, available, 10);
    assert_eq!(depot.ordered(), [order(2), order(6), order(10)]);
    assert_eq!(manager.available(LAPTOPS).expect("known"), 14);
}
