//! Reordering: whether to order when stock runs low, how much, and from whom.

use std::fmt;
use std::sync::Arc;

use crate::base::quantity::{InvalidQuantity, Quantity};
use crate::policy::alerts::{StockAlert, StockAlertListener};

/// Decides whether and how much to order when stock runs low.
///
/// The engine asks it once an alert, in the thread that delivers alerts. It may take its time, but
/// delays other alerts meanwhile. It is not told what was ordered before. If deliveries take long,
/// subtract open orders in the [`Supplier`].
///
/// An `Arc` of a strategy is a strategy too.
///
/// ```
/// use stockade::ReorderStrategy;
///
/// /// Orders whole pallets of 48, and only when nothing is left.
/// struct Pallets;
///
/// impl ReorderStrategy for Pallets {
///     fn should_reorder(&self, available: u32, _threshold: u32) -> bool {
///         available == 0
///     }
///     fn order_quantity(&self, _available: u32, threshold: u32) -> u32 {
///         threshold.next_multiple_of(48)
///     }
/// }
///
/// assert!(!Pallets.should_reorder(3, 50));
/// assert_eq!(Pallets.order_quantity(0, 50), 96);
/// ```
pub trait ReorderStrategy: Send + Sync + 'static {
    /// Whether to order, with `available` units left and an alert due at `threshold` or under.
    fn should_reorder(&self, available: u32, threshold: u32) -> bool;

    /// How many units to order; 0 means none. Asked only after
    /// [`should_reorder`](Self::should_reorder) returned true.
    fn order_quantity(&self, available: u32, threshold: u32) -> u32;
}

impl<S: ReorderStrategy + ?Sized> ReorderStrategy for Arc<S> {
    fn should_reorder(&self, available: u32, threshold: u32) -> bool {
        (**self).should_reorder(available, threshold)
    }

    fn order_quantity(&self, available: u32, threshold: u32) -> u32 {
        (**self).order_quantity(available, threshold)
    }
}

/// Orders up to a level, as soon as `available` is at or under the threshold.
///
/// Orders nothing if the level is reached already. That can happen with a level under the
/// threshold.
///
/// ```
/// use stockade::{ReorderStrategy, TopUpTo};
/// let strategy = TopUpTo::new(100)?;
/// assert!(strategy.should_reorder(20, 20) && !strategy.should_reorder(21, 20));
/// assert_eq!(strategy.order_quantity(20, 20), 80);
/// assert_eq!(strategy.order_quantity(100, 120), 0);
/// # Ok::<(), stockade::InvalidQuantity>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopUpTo {
    level: Quantity,
}

impl TopUpTo {
    /// Tops up to `level` units, 1 to [`MAX_UNITS`](crate::MAX_UNITS).
    ///
    /// # Errors
    /// [`InvalidQuantity`] if `level` is out of these bounds.
    pub fn new(level: u32) -> Result<Self, InvalidQuantity> {
        Ok(Self { level: Quantity::new(level)? })
    }
}

impl ReorderStrategy for TopUpTo {
    fn should_reorder(&self, available: u32, threshold: u32) -> bool {
        available <= threshold && available < self.level.get()
    }

    fn order_quantity(&self, available: u32, _threshold: u32) -> u32 {
        self.level.get().saturating_sub(available)
    }
}

/// Orders the same lot each time, as soon as `available` is at or under the threshold.
///
/// ```
/// use stockade::{FixedLot, ReorderStrategy};
/// let strategy = FixedLot::new(50)?;
/// assert!(strategy.should_reorder(0, 20) && !strategy.should_reorder(21, 20));
/// assert_eq!(strategy.order_quantity(0, 20), 50);
/// # Ok::<(), stockade::InvalidQuantity>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedLot {
    lot: Quantity,
}

impl FixedLot {
    /// Orders `lot` units a time, 1 to [`MAX_UNITS`](crate::MAX_UNITS).
    ///
    /// # Errors
    /// [`InvalidQuantity`] if `lot` is out of these bounds.
    pub fn new(lot: u32) -> Result<Self, InvalidQuantity> {
        Ok(Self { lot: Quantity::new(lot)? })
    }
}

impl ReorderStrategy for FixedLot {
    fn should_reorder(&self, available: u32, threshold: u32) -> bool {
        available <= threshold
    }

    fn order_quantity(&self, _available: u32, _threshold: u32) -> u32 {
        self.lot.get()
    }
}

/// An order that a [`ReorderListener`] gives to its supplier.
///
/// ```
/// use stockade::PurchaseOrder;
/// let order = PurchaseOrder::new("SF", "LAPTOP", 50);
/// assert_eq!((&*order.warehouse, &*order.product, order.quantity), ("SF", "LAPTOP", 50));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PurchaseOrder {
    /// The name of the warehouse that needs the units.
    pub warehouse: Arc<str>,
    /// The name of the product.
    pub product: Arc<str>,
    /// How many units to order; never 0.
    pub quantity: u32,
    /// The units that were available when the order was decided.
    pub available: u32,
    /// The threshold that was reached.
    pub threshold: u32,
}

impl PurchaseOrder {
    /// An order of `quantity` units, with none left and a threshold of 0; for tests of suppliers.
    pub fn new(
        warehouse: impl Into<Arc<str>>,
        product: impl Into<Arc<str>>,
        quantity: u32,
    ) -> Self {
        let (warehouse, product) = (warehouse.into(), product.into());
        Self { warehouse, product, quantity, available: 0, threshold: 0 }
    }
}

/// Takes purchase orders: the connection to the caller's purchasing system.
///
/// `order` runs in the thread that delivers alerts. It may wait, but delays other alerts meanwhile.
/// If an order fails, the supplier must try again, because the engine asks once an alert. A
/// supplier may add the delivery to the engine right away.
///
/// An `Arc` of a supplier is a supplier too.
///
/// ```
/// use std::sync::mpsc::{Sender, channel};
/// use stockade::{PurchaseOrder, Supplier};
///
/// /// Hands orders to a worker, so that a slow purchasing system delays no alert.
/// struct Outbox(Sender<PurchaseOrder>);
///
/// impl Supplier for Outbox {
///     fn order(&self, order: &PurchaseOrder) {
///         // A worker that is gone is the caller's own affair.
///         let _ = self.0.send(order.clone());
///     }
/// }
///
/// let (sender, orders) = channel();
/// Outbox(sender).order(&PurchaseOrder::new("SF", "LAPTOP", 50));
/// assert_eq!(orders.try_recv().unwrap().quantity, 50);
/// ```
pub trait Supplier: Send + Sync + 'static {
    /// Orders `order.quantity` units of `order.product` for `order.warehouse`.
    fn order(&self, order: &PurchaseOrder);
}

impl<P: Supplier + ?Sized> Supplier for Arc<P> {
    fn order(&self, order: &PurchaseOrder) {
        (**self).order(order);
    }
}

/// Orders more when stock runs low: asks its strategy, and gives the order to its supplier.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use stockade::{FixedLot, PurchaseOrder, ReorderListener};
/// use stockade::{StockAlert, StockAlertListener, Supplier};
///
/// #[derive(Default)]
/// struct OrderBook(Mutex<Vec<PurchaseOrder>>);
///
/// impl Supplier for OrderBook {
///     fn order(&self, order: &PurchaseOrder) {
///         self.0.lock().unwrap().push(order.clone());
///     }
/// }
///
/// let book = Arc::new(OrderBook::default());
/// let listener = ReorderListener::new(FixedLot::new(50)?, Arc::clone(&book));
/// // A registered listener is called when stock runs low:
/// listener.on_alert(&StockAlert::new("SF", "LAPTOP", 4, 5));
/// // An alert shows what is available when it is delivered; nothing is ordered if that is enough.
/// listener.on_alert(&StockAlert::new("SF", "MOUSE", 90, 5));
///
/// let orders = book.0.lock().unwrap();
/// assert_eq!(orders.len(), 1);
/// assert_eq!((&*orders[0].product, orders[0].quantity), ("LAPTOP", 50));
/// # Ok::<(), stockade::InvalidQuantity>(())
/// ```
pub struct ReorderListener<S, P> {
    strategy: S,
    supplier: P,
}

impl<S: ReorderStrategy, P: Supplier> ReorderListener<S, P> {
    /// A listener that orders from `supplier` what `strategy` decides.
    pub fn new(strategy: S, supplier: P) -> Self {
        Self { strategy, supplier }
    }
}

impl<S: ReorderStrategy, P: Supplier> StockAlertListener for ReorderListener<S, P> {
    /// Called without an alert, it knows no threshold. It assumes that `available` has just reached
    /// it.
    fn on_low_stock(&self, warehouse: &str, product: &str, available: u32) {
        self.on_alert(&StockAlert::new(warehouse, product, available, available));
    }

    fn on_alert(&self, alert: &StockAlert) {
        let StockAlert { available, threshold, .. } = *alert;
        if !self.strategy.should_reorder(available, threshold) {
            return;
        }
        let quantity = self.strategy.order_quantity(available, threshold);
        if quantity > 0 {
            self.supplier.order(&PurchaseOrder {
                warehouse: Arc::clone(&alert.warehouse),
                product: Arc::clone(&alert.product),
                quantity,
                available,
                threshold,
            });
        }
    }
}

impl<S: fmt::Debug, P> fmt::Debug for ReorderListener<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReorderListener").field("strategy", &self.strategy).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::base::quantity::MAX_UNITS;
    use std::sync::Mutex;

    #[derive(Default)]
    struct OrderBook(Mutex<Vec<PurchaseOrder>>);

    impl Supplier for OrderBook {
        fn order(&self, order: &PurchaseOrder) {
            self.0.lock().expect("no panic").push(order.clone());
        }
    }

    fn ordered<S: ReorderStrategy>(strategy: S, available: u32, threshold: u32) -> Option<u32> {
        let book = Arc::new(OrderBook::default());
        let listener = ReorderListener::new(strategy, Arc::clone(&book));
        listener.on_alert(&StockAlert::new("SF", "LAPTOP", available, threshold));
        let mut orders = book.0.lock().expect("no panic");
        let order = orders.pop();
        assert!(orders.is_empty(), "one alert, one order");
        order.map(|order| order.quantity)
    }

    #[test]
    fn strategies_refuse_impossible_quantities() {
        assert_eq!(TopUpTo::new(0), Err(InvalidQuantity { units: 0 }));
        assert_eq!(FixedLot::new(0), Err(InvalidQuantity { units: 0 }));
        let units = MAX_UNITS + 1;
        assert_eq!(TopUpTo::new(units), Err(InvalidQuantity { units }));
        assert_eq!(FixedLot::new(units), Err(InvalidQuantity { units }));
    }

    #[test]
    fn the_shipped_strategies_order_at_and_under_the_threshold() {
        let (top_up, lot) = (TopUpTo::new(100).expect("legal"), FixedLot::new(30).expect("legal"));
        for (available, threshold, topped_up, lots) in [
            (11, 10, None, None),
            (10, 10, Some(90), Some(30)),
            (0, 10, Some(100), Some(30)),
            (0, 0, Some(100), Some(30)),
            (100, 200, None, Some(30)),
            (150, 200, None, Some(30)),
        ] {
            assert_eq!(ordered(top_up, available, threshold), topped_up, "{available} {threshold}");
            assert_eq!(ordered(lot, available, threshold), lots, "{available} of {threshold}");
        }
    }

    struct Always(u32);

    impl ReorderStrategy for Always {
        fn should_reorder(&self, _: u32, _: u32) -> bool {
            true
        }
        fn order_quantity(&self, available: u32, threshold: u32) -> u32 {
            self.0 * (threshold - available)
        }
    }

    #[test]
    fn a_strategy_of_the_callers_own_decides_alone() {
        assert_eq!(ordered(Arc::new(Always(2)), 4, 10), Some(12));
        assert_eq!(ordered(Always(0), 4, 10), None, "an order of nothing is none");
    }

    #[test]
    fn an_order_says_what_it_is_for() {
        let book = Arc::new(OrderBook::default());
        let listener = ReorderListener::new(TopUpTo::new(9).expect("legal"), Arc::clone(&book));
        listener.on_alert(&StockAlert::new("SF", "LAPTOP", 4, 5));
        listener.on_low_stock("NYC", "MOUSE", 3);
        let order = |warehouse: &str, product: &str, quantity, available, threshold| {
            let (warehouse, product) = (warehouse.into(), product.into());
            PurchaseOrder { warehouse, product, quantity, available, threshold }
        };
        let expected = [order("SF", "LAPTOP", 5, 4, 5), order("NYC", "MOUSE", 6, 3, 3)];
        assert_eq!(*book.0.lock().expect("no panic"), expected);
    }
}
