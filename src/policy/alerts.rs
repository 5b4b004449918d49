//! Low-stock alerts: what an alert says, and which listeners hear it.

use std::sync::{Arc, PoisonError, RwLock};

use crate::base::sync::{AtomicU64, Ordering};
use crate::stock::handle::WarehouseIndex;
use crate::stock::tag::{EngineTag, Tagged};

/// A low-stock alert: a product has become short in a warehouse.
///
/// An alert is raised when `available` crosses the threshold downwards, and when stock is added
/// that still leaves it at or under the threshold. A level has at most one undelivered alert. While
/// its listeners are slow, that alert counts further crossings and shows the newest `available`. So
/// stock that moves up and down around its threshold costs bounded memory, and no crossing is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StockAlert {
    /// The name of the warehouse.
    pub warehouse: Arc<str>,
    /// The name of the product.
    pub product: Arc<str>,
    /// The units available when the alert was delivered, not when it was raised. By then this may
    /// be above the threshold again.
    pub available: u32,
    /// The threshold of this product in this warehouse.
    pub threshold: u32,
    /// How many times an alert was raised for this level since the last one that was delivered; at
    /// least 1. Above 65,535 it counts no further.
    pub crossings: u32,
}

impl StockAlert {
    /// An alert of one crossing, as the engine delivers it; for tests of listeners.
    ///
    /// ```
    /// use stockade::StockAlert;
    /// let alert = StockAlert::new("SF", "LAPTOP", 4, 5);
    /// assert_eq!((alert.available, alert.threshold, alert.crossings), (4, 5, 1));
    /// ```
    pub fn new(
        warehouse: impl Into<Arc<str>>,
        product: impl Into<Arc<str>>,
        available: u32,
        threshold: u32,
    ) -> Self {
        let (warehouse, product) = (warehouse.into(), product.into());
        Self { warehouse, product, available, threshold, crossings: 1 }
    }
}

/// Hears when stock runs low.
///
/// Listeners run one after another in a thread of the engine's own, never in a buyer's thread, and
/// no lock is held meanwhile. So a listener may call the engine, and may take its time. A slow
/// listener delays the alerts of others, but loses none (see [`StockAlert`]); after five seconds it
/// shows in [`health`](crate::InventoryManager::health). If one panics, the
/// panic is caught and counted, and the others still get the alert. (Not if the program is built
/// with `panic = "abort"`.)
///
/// An `Arc` of a listener is a listener too.
///
/// ```
/// use std::sync::Mutex;
/// use stockade::{StockAlert, StockAlertListener};
///
/// #[derive(Default)]
/// struct Shortages(Mutex<Vec<String>>);
///
/// impl StockAlertListener for Shortages {
///     fn on_low_stock(&self, warehouse: &str, product: &str, available: u32) {
///         let line = format!("{product} in {warehouse}: {available} left");
///         self.0.lock().unwrap().push(line);
///     }
/// }
///
/// let shortages = Shortages::default();
/// shortages.on_alert(&StockAlert::new("SF", "LAPTOP", 4, 5));
/// assert_eq!(*shortages.0.lock().unwrap(), ["LAPTOP in SF: 4 left"]);
/// ```
pub trait StockAlertListener: Send + Sync + 'static {
    /// `product` has become short in `warehouse`: `available` units are left.
    fn on_low_stock(&self, warehouse: &str, product: &str, available: u32);

    /// The same, with all that is known. The engine calls only this method. Its default calls
    /// [`on_low_stock`](Self::on_low_stock).
    fn on_alert(&self, alert: &StockAlert) {
        self.on_low_stock(&alert.warehouse, &alert.product, alert.available);
    }
}

impl<L: StockAlertListener + ?Sized> StockAlertListener for Arc<L> {
    fn on_low_stock(&self, warehouse: &str, product: &str, available: u32) {
        (**self).on_low_stock(warehouse, product, available);
    }

    fn on_alert(&self, alert: &StockAlert) {
        (**self).on_alert(alert);
    }
}

/// The registration of one listener. Use it to remove the listener. Only the engine that gave it
/// knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(Tagged<u64>);

/// Which alerts a listener hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Everywhere,
    Warehouse(WarehouseIndex),
}

/// The registered listeners, for all warehouses or for one.
pub(crate) struct Listeners {
    engine: EngineTag,
    registered: RwLock<Vec<Registration>>,
    next: AtomicU64,
}

#[derive(Clone)]
struct Registration {
    id: ListenerId,
    scope: Scope,
    listener: Arc<dyn StockAlertListener>,
}

impl Listeners {
    /// No listeners yet. `engine` is the tag that the ids bear.
    pub(crate) fn new(engine: EngineTag) -> Self {
        Self { engine, registered: RwLock::default(), next: AtomicU64::new(0) }
    }

    /// Registers a listener. It hears every alert that is delivered from now on, even if it was
    /// raised before.
    pub(crate) fn add(&self, scope: Scope, listener: Arc<dyn StockAlertListener>) -> ListenerId {
        // Relaxed: it only has to be a number that no other registration has.
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = ListenerId(Tagged::new(number, self.engine));
        let mut registered = self.registered.write().unwrap_or_else(PoisonError::into_inner);
        registered.push(Registration { id, scope, listener });
        id
    }

    /// Removes a registration; false if it was removed before, `None` if it is another engine's.
    /// An alert that is being delivered at this moment may still reach the listener.
    pub(crate) fn remove(&self, id: ListenerId) -> Option<bool> {
        id.0.of(self.engine)?;
        let mut registered = self.registered.write().unwrap_or_else(PoisonError::into_inner);
        let Some(position) = registered.iter().position(|one| one.id == id) else {
            return Some(false);
        };
        let removed = registered.remove(position);
        // Dropping the registration may drop the listener, whose destructor must not find the lock
        // held.
        drop(registered);
        drop(removed);
        Some(true)
    }

    /// The listeners that hear an alert of `warehouse`, in the order of registration.
    pub(crate) fn of(&self, warehouse: WarehouseIndex) -> Vec<Arc<dyn StockAlertListener>> {
        let registered = self.registered.read().unwrap_or_else(PoisonError::into_inner);
        let hears = |one: &&Registration| match one.scope {
            Scope::Everywhere => true,
            Scope::Warehouse(only) => only == warehouse,
        };
        registered.iter().filter(hears).map(|one| Arc::clone(&one.listener)).collect()
    }
}

impl std::fmt::Debug for Listeners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listeners").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::{Mutex, Weak};

    #[derive(Default)]
    struct Heard(Mutex<Vec<(String, String, u32)>>);

    impl StockAlertListener for Heard {
        fn on_low_stock(&self, warehouse: &str, product: &str, available: u32) {
            self.0.lock().expect("no panic").push((warehouse.into(), product.into(), available));
        }
    }

    #[test]
    fn a_plain_listener_hears_the_three_values() {
        let heard = Arc::new(Heard::default());
        let listener: Arc<dyn StockAlertListener> = Arc::new(Arc::clone(&heard));
        listener.on_alert(&StockAlert::new("SF", "LAPTOP", 4, 5));
        assert_eq!(*heard.0.lock().expect("no panic"), [("SF".into(), "LAPTOP".into(), 4)]);
    }

    #[test]
    fn a_listener_hears_its_own_warehouse_or_all() {
        let (sf, nyc) = (WarehouseIndex(0), WarehouseIndex(1));
        let listeners = Listeners::new(EngineTag::NOBODY);
        let all = listeners.add(Scope::Everywhere, Arc::new(Heard::default()));
        let only = listeners.add(Scope::Warehouse(nyc), Arc::new(Heard::default()));
        assert_eq!((listeners.of(sf).len(), listeners.of(nyc).len()), (1, 2));

        assert_eq!(listeners.remove(all), Some(true));
        assert_eq!((listeners.of(sf).len(), listeners.of(nyc).len()), (0, 1));
        assert_eq!(listeners.remove(all), Some(false), "taken back before");
        assert_eq!(listeners.remove(only), Some(true));
        assert!(listeners.of(nyc).is_empty());
    }

    /// Asks for the listeners when it is dropped.
    struct Parting(Weak<Listeners>);

    impl StockAlertListener for Parting {
        fn on_low_stock(&self, _: &str, _: &str, _: u32) {}
    }

    impl Drop for Parting {
        fn drop(&mut self) {
            let listeners = self.0.upgrade().expect("still there");
            assert!(listeners.registered.try_read().is_ok(), "the lock is held");
        }
    }

    #[test]
    fn a_listener_is_dropped_outside_the_lock() {
        let listeners = Arc::new(Listeners::new(EngineTag::NOBODY));
        let parting = Arc::new(Parting(Arc::downgrade(&listeners)));
        let id = listeners.add(Scope::Everywhere, parting);
        assert_eq!(listeners.remove(id), Some(true));
    }
}
