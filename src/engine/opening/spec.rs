//! The builder's description of a warehouse.

use crate::base::quantity::MAX_UNITS;

/// A warehouse for the builder: its name, its capacity and its reorder threshold.
///
/// ```
/// use stockade::{InventoryManager, WarehouseSpec};
/// let manager = InventoryManager::builder()
///     .warehouse(WarehouseSpec::new("SF").capacity(50_000).threshold(20))
///     .warehouse("NYC")
///     .build()?;
/// # Ok::<(), stockade::BuildError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct WarehouseSpec {
    pub(in crate::engine) name: String,
    pub(in crate::engine) capacity: u32,
    pub(in crate::engine) threshold: Option<u32>,
    /// Already in the journal with the same capacity and threshold: write no `WarehouseDefined`.
    pub(in crate::engine) recorded: bool,
    /// Run-time threshold recovered from the journal; overrides `threshold`.
    pub(in crate::engine) standing: Option<Option<u32>>,
}

impl WarehouseSpec {
    /// A warehouse with the largest capacity and no reorder threshold.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            capacity: MAX_UNITS,
            threshold: None,
            recorded: false,
            standing: None,
        }
    }

    /// Sets how many units the warehouse can hold, 1 to [`MAX_UNITS`] (the default).
    pub fn capacity(mut self, units: u32) -> Self {
        self.capacity = units;
        self
    }

    /// Sets the reorder threshold, in available units, less than [`MAX_UNITS`]. When a product's
    /// available units fall to the threshold or below, an alert is raised.
    pub fn threshold(mut self, units: u32) -> Self {
        self.threshold = Some(units);
        self
    }
}

impl From<&str> for WarehouseSpec {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<String> for WarehouseSpec {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}
