//! Small copyable handles: what a name is resolved to, once, so that the hot path hashes nothing.
//!
//! Two types for each thing. The *index* is what the engine itself, its fingerprints, its journal
//! and its checkpoints use. The *handle* is what its users hold: the index with the engine's tag,
//! so that a handle of another engine is refused instead of naming something else here.

use std::fmt;

use crate::stock::tag::{EngineTag, Tagged};

/// A warehouse, by its position in the order in which the builder got them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WarehouseIndex(pub(crate) u16);

/// A product, by the order in which products were defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ProductIndex(pub(crate) u32);

/// A stock level, by the order in which levels were opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LevelIndex(pub(crate) u32);

/// An allowance, by its place in the table of allowances. Once it is retired, the place is another
/// allowance's; `allowance/table.rs` says who may rely on it, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AllowanceIndex(pub(crate) u32);

impl WarehouseIndex {
    /// For a look-up in a table.
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl ProductIndex {
    /// For a look-up in a table.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

impl LevelIndex {
    /// For a look-up in a table.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

impl AllowanceIndex {
    /// For a look-up in a table.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A warehouse of one engine.
///
/// `Copy`, and valid as long as its engine lives. Every other engine refuses it with
/// [`PlaceError::ForeignHandle`](crate::PlaceError::ForeignHandle), including
/// a later engine on the same journal: ask there again, by name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WarehouseId(Tagged<WarehouseIndex>);

/// A product of one engine. Every other engine refuses it, as with [`WarehouseId`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProductId(Tagged<ProductIndex>);

/// A stock level of one engine: one product in one warehouse.
///
/// Eight bytes, `Copy`, and valid as long as its engine lives. Every other engine refuses it, as
/// with [`WarehouseId`].
///
/// ```
/// use stockade::{InventoryManager, ReserveError, PlaceError};
/// use std::time::Duration;
/// let shop = || InventoryManager::builder().warehouse("SF").build();
/// let (one, other) = (shop()?, shop()?);
/// let laptops = one.open_level("SF", "LAPTOP")?;
/// other.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
/// let refused = other.reserve(laptops, 1, Duration::from_secs(60));
/// assert_eq!(refused, Err(ReserveError::Place(PlaceError::ForeignHandle)));
/// # Ok::<(), stockade::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LevelHandle(Tagged<LevelIndex>);

/// What every handle can do.
macro_rules! tagged {
    ($($handle:ident $index:ident)+) => {$(
        impl $handle {
            pub(crate) fn new(index: $index, tag: EngineTag) -> Self {
                Self(Tagged::new(index, tag))
            }

            /// The index, for the engine with this tag; `None` if it is another engine's handle.
            #[inline]
            pub(crate) fn of(self, engine: EngineTag) -> Option<$index> {
                self.0.of(engine)
            }
        }

        impl fmt::Debug for $handle {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.show(stringify!($handle), self.index(), f)
            }
        }
    )+};
}

tagged! { WarehouseId WarehouseIndex  ProductId ProductIndex  LevelHandle LevelIndex }

impl WarehouseId {
    /// The position of the warehouse in the order in which the builder got them.
    pub fn index(self) -> usize {
        self.0.value().index()
    }
}

impl ProductId {
    /// Products are numbered from 0 in the order in which they were first stocked.
    pub fn index(self) -> usize {
        self.0.value().index()
    }
}

impl LevelHandle {
    /// Levels are numbered from 0 in the order in which they were opened.
    pub fn index(self) -> usize {
        self.0.value().index()
    }
}

const _: () = assert!(size_of::<LevelHandle>() == 8 && size_of::<WarehouseId>() == 8);
