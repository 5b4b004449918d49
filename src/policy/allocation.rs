//! Allocation: from which warehouses a quantity is taken, and in which order.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::stock::handle::{WarehouseId, WarehouseIndex};
use crate::stock::tag::EngineTag;
use crate::stock::warehouse::Warehouse;

/// A warehouse that could serve a request, as it was a moment ago.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Candidate {
    /// The warehouse's handle.
    pub id: WarehouseId,
    /// The warehouse's name.
    pub warehouse: Arc<str>,
    /// Units of the product that were available there, above the safety stock. This is a hint: when
    /// the units are taken, there may be more or fewer.
    pub available: u32,
}

impl Candidate {
    /// A candidate, for tests of strategies: the warehouse of this number in the builder's order,
    /// of no engine. An engine refuses it.
    pub fn new(number: u16, warehouse: impl Into<Arc<str>>, available: u32) -> Self {
        let id = WarehouseId::new(WarehouseIndex(number), EngineTag::NOBODY);
        Self { id, warehouse: warehouse.into(), available }
    }

    pub(crate) fn of(warehouse: &Warehouse, available: u32) -> Self {
        Self { id: warehouse.id(), warehouse: warehouse.shared_name(), available }
    }
}

/// Decides from which warehouses a quantity is taken.
///
/// The engine asks it once a request, in the caller's thread. It gives the order in which
/// warehouses are emptied until the quantity is met. How much each of them gives is computed at the
/// instant at which the units are taken, so a strategy can never oversell. A strategy that leaves
/// warehouses out can only cause a refusal.
///
/// ```
/// use stockade::{AllocationStrategy, Candidate};
///
/// /// Serves from the west coast only.
/// struct WestCoast;
///
/// impl AllocationStrategy for WestCoast {
///     fn order(&self, _quantity: u32, candidates: &mut Vec<Candidate>) {
///         candidates.retain(|candidate| ["SF", "LA"].contains(&&*candidate.warehouse));
///     }
/// }
/// ```
pub trait AllocationStrategy {
    /// Sorts the warehouses that may serve `quantity` units by their turns, and removes those that
    /// must not serve. `candidates` come in the builder's order. An id of another engine is refused
    /// with [`PlaceError::ForeignHandle`](crate::PlaceError::ForeignHandle).
    fn order(&self, quantity: u32, candidates: &mut Vec<Candidate>);
}

impl<S: AllocationStrategy + ?Sized> AllocationStrategy for &S {
    fn order(&self, quantity: u32, candidates: &mut Vec<Candidate>) {
        (**self).order(quantity, candidates);
    }
}

impl<S: AllocationStrategy + ?Sized> AllocationStrategy for Arc<S> {
    fn order(&self, quantity: u32, candidates: &mut Vec<Candidate>) {
        (**self).order(quantity, candidates);
    }
}

/// The warehouses named, in this order, and no others.
///
/// ```
/// use stockade::{AllocationStrategy, Candidate, PriorityOrder};
/// let mut candidates = vec![
///     Candidate::new(0, "SF", 1),
///     Candidate::new(1, "NYC", 5),
///     Candidate::new(2, "LA", 9),
/// ];
/// PriorityOrder::new(["LA", "SF"]).order(3, &mut candidates);
/// let names: Vec<_> = candidates.iter().map(|it| &*it.warehouse).collect();
/// assert_eq!(names, ["LA", "SF"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriorityOrder {
    warehouses: Vec<String>,
}

impl PriorityOrder {
    /// The warehouse named first is emptied first.
    pub fn new<N: Into<String>>(warehouses: impl IntoIterator<Item = N>) -> Self {
        Self { warehouses: warehouses.into_iter().map(Into::into).collect() }
    }
}

impl AllocationStrategy for PriorityOrder {
    fn order(&self, _quantity: u32, candidates: &mut Vec<Candidate>) {
        let turn = |candidate: &Candidate| {
            self.warehouses.iter().position(|name| **name == *candidate.warehouse)
        };
        candidates.retain(|candidate| turn(candidate).is_some());
        candidates.sort_by_key(turn);
    }
}

/// As few parcels as possible. If some warehouses have the whole quantity, it takes the one of
/// those with the least stock. Otherwise it takes the fullest first.
///
/// ```
/// use stockade::{AllocationStrategy, Candidate, FewestParcels};
/// let candidates = || vec![
///     Candidate::new(0, "SF", 2),
///     Candidate::new(1, "NYC", 5),
///     Candidate::new(2, "LA", 9),
/// ];
/// let first = |quantity| {
///     let mut candidates = candidates();
///     FewestParcels.order(quantity, &mut candidates);
///     candidates[0].warehouse.to_string()
/// };
/// assert_eq!((first(4), first(8), first(12)), ("NYC".into(), "LA".into(), "LA".into()));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FewestParcels;

impl AllocationStrategy for FewestParcels {
    fn order(&self, quantity: u32, candidates: &mut Vec<Candidate>) {
        // The fullest first needs the fewest warehouses: any k warehouses hold at most as much as
        // the k fullest.
        candidates.sort_by_key(|candidate| {
            let alone = candidate.available >= quantity;
            let left = if alone { candidate.available } else { u32::MAX - candidate.available };
            (!alone, left)
        });
    }
}

/// The fullest warehouse first, so that stock stays balanced.
///
/// ```
/// use stockade::{AllocationStrategy, Candidate, LargestStockFirst};
/// let mut candidates = vec![
///     Candidate::new(0, "SF", 2),
///     Candidate::new(1, "NYC", 5),
/// ];
/// LargestStockFirst.order(1, &mut candidates);
/// assert_eq!(&*candidates[0].warehouse, "NYC");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LargestStockFirst;

impl AllocationStrategy for LargestStockFirst {
    fn order(&self, _quantity: u32, candidates: &mut Vec<Candidate>) {
        candidates.sort_by_key(|candidate| Reverse(candidate.available));
    }
}
