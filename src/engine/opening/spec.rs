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
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
#[must_use]
pub struct WarehouseSpec {
    pub(in crate::engine) name: String,
    #[cfg_attr(feature = "serde", serde(default = "largest"))]
    pub(in crate::engine) capacity: u32,
    #[cfg_attr(feature = "serde", serde(default))]
    pub(in crate::engine) threshold: Option<u32>,
    /// Already in the journal with the same capacity and threshold: write no `WarehouseDefined`.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(in crate::engine) recorded: bool,
    /// What the journal says is in force; overrides `capacity` and `threshold`.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(in crate::engine) standing: Option<StandingSettings>,
}

/// Where no capacity is given, the warehouse has that of [`WarehouseSpec::new`].
#[cfg(feature = "serde")]
fn largest() -> u32 {
    WarehouseSpec::new("").capacity
}

/// Settings of a warehouse that were changed at run time, or else are the builder's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct StandingSettings {
    pub(in crate::engine) capacity: u32,
    pub(in crate::engine) threshold: Option<u32>,
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

    /// Sets how many units the warehouse can hold, 1 to [`MAX_UNITS`] (the default). May be less
    /// than what a journal's warehouse holds: see
    /// [`set_capacity`](crate::InventoryManager::set_capacity).
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

impl WarehouseSpec {
    /// What is in force: what the journal says, or else the builder's.
    pub(in crate::engine) fn in_force(&self) -> StandingSettings {
        let Self { capacity, threshold, .. } = *self;
        self.standing.unwrap_or(StandingSettings { capacity, threshold })
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
