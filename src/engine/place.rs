//! The two ways to say where: by names, or by a handle that was resolved before.

use crate::stock::handle::{LevelHandle, ProductId, WarehouseId};

/// A stock level, by the names of its warehouse and product or by its handle.
///
/// ```
/// use stockade::LevelRef;
/// let by_names: LevelRef<'_> = ("SF", "LAPTOP").into();
/// # let _ = by_names;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LevelRef<'a> {
    /// Warehouse and product: costs a hash of each.
    Names(&'a str, &'a str),
    /// Resolved before: costs no hashing.
    Handle(LevelHandle),
}

impl<'a> From<(&'a str, &'a str)> for LevelRef<'a> {
    fn from((warehouse, product): (&'a str, &'a str)) -> Self {
        Self::Names(warehouse, product)
    }
}

impl From<LevelHandle> for LevelRef<'_> {
    fn from(handle: LevelHandle) -> Self {
        Self::Handle(handle)
    }
}

/// A warehouse, by name or by its handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarehouseRef<'a> {
    /// Costs a hash of the name.
    Name(&'a str),
    /// Resolved before.
    Id(WarehouseId),
}

impl<'a> From<&'a str> for WarehouseRef<'a> {
    fn from(name: &'a str) -> Self {
        Self::Name(name)
    }
}

impl From<WarehouseId> for WarehouseRef<'_> {
    fn from(id: WarehouseId) -> Self {
        Self::Id(id)
    }
}

/// A product, by name or by its handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProductRef<'a> {
    /// Costs a hash of the name.
    Name(&'a str),
    /// Resolved before.
    Id(ProductId),
}

impl<'a> From<&'a str> for ProductRef<'a> {
    fn from(name: &'a str) -> Self {
        Self::Name(name)
    }
}

impl From<ProductId> for ProductRef<'_> {
    fn from(id: ProductId) -> Self {
        Self::Id(id)
    }
}

/// One line of a basket: so many units of a stock level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BasketLine<'a> {
    /// What is wanted, and from where.
    pub level: LevelRef<'a>,
    /// How many units.
    pub quantity: u32,
}

impl<'a> BasketLine<'a> {
    /// `quantity` units of `level`.
    pub fn new(level: impl Into<LevelRef<'a>>, quantity: u32) -> Self {
        Self { level: level.into(), quantity }
    }
}

/// Sorts lines by level, and makes one of those with equal levels. A sum saturates: so many units are
/// more than any line has, or may ask for.
pub(super) fn merge_equal_levels(lines: &mut Vec<(LevelHandle, u32)>) {
    lines.sort_unstable();
    lines.dedup_by(|next, kept| {
        let equal = next.0 == kept.0;
        if equal {
            kept.1 = kept.1.saturating_add(next.1);
        }
        equal
    });
}
