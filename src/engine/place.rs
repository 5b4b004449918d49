//! The two ways to name a place: by names, or by a handle that was resolved before.
//!
//! In this file a handle becomes an index. A caller passes a [`LevelRef`], a [`WarehouseRef`] or a
//! [`ProductRef`]. `own` turns it into an [`OwnLevel`], an [`OwnWarehouse`] or an [`OwnProduct`],
//! or refuses it. Operations and fingerprints take only these, so a handle of another engine cannot
//! get past this file.

use crate::base::error::{InvalidName, MAX_NAME_BYTES, PlaceError};
use crate::base::quantity::{InvalidQuantity, Quantity};
use crate::stock::handle::{
    LevelHandle, LevelIndex, ProductId, ProductIndex, WarehouseId, WarehouseIndex,
};
use crate::stock::tag::EngineTag;

/// A stock level, named by its warehouse and product, or by its handle.
///
/// ```
/// use stockade::LevelRef;
/// let by_names: LevelRef<'_> = ("SF", "LAPTOP").into();
/// # let _ = by_names;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LevelRef<'a> {
    /// The names of the warehouse and the product. A call hashes both.
    Names(&'a str, &'a str),
    /// A handle that was resolved before. A call hashes nothing.
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

/// A warehouse, named by its name or by its handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarehouseRef<'a> {
    /// The name. A call hashes it.
    Name(&'a str),
    /// A handle that was resolved before. A call hashes nothing.
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

/// A product, named by its name or by its handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProductRef<'a> {
    /// The name. A call hashes it.
    Name(&'a str),
    /// A handle that was resolved before. A call hashes nothing.
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

/// One line of a basket: a number of units of one stock level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BasketLine<'a> {
    /// The product, and the warehouse that gives it.
    pub level: LevelRef<'a>,
    /// The number of units, from 1 to [`MAX_UNITS`](crate::MAX_UNITS).
    pub quantity: u32,
}

impl<'a> BasketLine<'a> {
    /// Makes a line of `quantity` units of `level`. Checks nothing: the operation that gets the
    /// line does.
    pub fn new(level: impl Into<LevelRef<'a>>, quantity: u32) -> Self {
        Self { level: level.into(), quantity }
    }
}

/// A level as the caller named it. If it was a handle, it is one of this engine.
#[derive(Clone, Copy, Debug)]
pub(super) enum OwnLevel<'a> {
    Names(&'a str, &'a str),
    Index(LevelIndex),
}

/// A warehouse as the caller named it. If it was a handle, it is one of this engine.
#[derive(Clone, Copy, Debug)]
pub(super) enum OwnWarehouse<'a> {
    Name(&'a str),
    Index(WarehouseIndex),
}

/// A product as the caller named it. If it was a handle, it is one of this engine.
#[derive(Clone, Copy, Debug)]
pub(super) enum OwnProduct<'a> {
    Name(&'a str),
    Index(ProductIndex),
}

/// Refuses an empty name, and one longer than [`MAX_NAME_BYTES`].
pub(super) fn check_name(name: &str) -> Result<(), InvalidName> {
    let bytes = name.len();
    if (1..=MAX_NAME_BYTES).contains(&bytes) { Ok(()) } else { Err(InvalidName { bytes }) }
}

// A function, not a value: a value would be made and dropped by calls that do not need it.
#[cold]
pub(super) fn foreign() -> PlaceError {
    PlaceError::ForeignHandle
}

impl<'a> LevelRef<'a> {
    /// Refuses names that are not valid.
    #[inline]
    pub(super) fn check_names(self) -> Result<(), InvalidName> {
        if let Self::Names(warehouse, product) = self {
            check_name(warehouse)?;
            check_name(product)?;
        }
        Ok(())
    }

    /// The level for the engine with this tag. Refuses a handle of another engine.
    #[inline]
    pub(super) fn own(self, engine: EngineTag) -> Result<OwnLevel<'a>, PlaceError> {
        match self {
            Self::Handle(handle) => handle.of(engine).map(OwnLevel::Index).ok_or_else(foreign),
            Self::Names(warehouse, product) => Ok(OwnLevel::Names(warehouse, product)),
        }
    }
}

impl<'a> WarehouseRef<'a> {
    /// The warehouse for the engine with this tag. Refuses a handle of another engine.
    pub(super) fn own(self, engine: EngineTag) -> Result<OwnWarehouse<'a>, PlaceError> {
        match self {
            Self::Id(id) => id.of(engine).map(OwnWarehouse::Index).ok_or_else(foreign),
            Self::Name(name) => Ok(OwnWarehouse::Name(name)),
        }
    }
}

impl<'a> ProductRef<'a> {
    /// Refuses a name that is not valid.
    pub(super) fn check_name(self) -> Result<(), InvalidName> {
        match self {
            Self::Name(name) => check_name(name),
            Self::Id(_) => Ok(()),
        }
    }

    /// The product for the engine with this tag. Refuses a handle of another engine.
    pub(super) fn own(self, engine: EngineTag) -> Result<OwnProduct<'a>, PlaceError> {
        match self {
            Self::Id(id) => id.of(engine).map(OwnProduct::Index).ok_or_else(foreign),
            Self::Name(name) => Ok(OwnProduct::Name(name)),
        }
    }
}

/// Checked lines of a basket: their names and quantities are valid, their handles are this
/// engine's.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnLines<'a> {
    lines: &'a [BasketLine<'a>],
    engine: EngineTag,
}

impl<'a> OwnLines<'a> {
    pub(super) fn check<E>(lines: &'a [BasketLine<'a>], engine: EngineTag) -> Result<Self, E>
    where
        E: From<InvalidQuantity> + From<InvalidName> + From<PlaceError>,
    {
        for line in lines {
            Quantity::new(line.quantity)?;
            line.level.check_names()?;
            line.level.own(engine)?;
        }
        Ok(Self { lines, engine })
    }

    pub(super) fn len(self) -> usize {
        self.lines.len()
    }

    /// The level and the quantity of each line, in the caller's order.
    pub(super) fn iter(self) -> impl Iterator<Item = (OwnLevel<'a>, u32)> {
        // `check` has called `own` on every line, so this never skips one.
        let own =
            move |line: &BasketLine<'a>| Some((line.level.own(self.engine).ok()?, line.quantity));
        self.lines.iter().filter_map(own)
    }
}

/// Sorts lines by level, and merges lines of the same level. A sum that overflows saturates: so
/// many units are more than any level has, and more than a line may ask for.
///
/// Returns how many there are then: the first ones. What lies behind them means nothing.
#[inline]
pub(super) fn merge_equal_levels(lines: &mut [(LevelIndex, u32)]) -> usize {
    lines.sort_unstable();
    if lines.is_sorted_by(|one, next| one.0 < next.0) {
        // Nearly every basket names each level once.
        return lines.len();
    }
    let mut merged = 0;
    for next in 0..lines.len() {
        let (level, units) = lines[next];
        match lines[..merged].last_mut() {
            Some(last) if last.0 == level => last.1 = last.1.saturating_add(units),
            _ => {
                lines[merged] = (level, units);
                merged += 1;
            }
        }
    }
    merged
}
