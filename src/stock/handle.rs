//! Small copyable handles: what a name is resolved to, once, so that the hot path hashes nothing.

/// A warehouse of one manager, by its position in the order in which the builder got them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WarehouseIndex(pub(crate) u16);

/// A product of one manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProductIndex(pub(crate) u32);

/// A stock level of one manager: one product in one warehouse.
///
/// Four bytes, `Copy`, valid as long as its manager lives. A handle of one manager means nothing to
/// another: there it names some other level, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LevelIndex(pub(crate) u32);

impl WarehouseIndex {
    /// The position of the warehouse in the order in which the builder got them.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl ProductIndex {
    /// Products are numbered from 0 in the order in which they were first stocked.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl LevelIndex {
    /// Levels are numbered from 0 in the order in which they were opened.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}
