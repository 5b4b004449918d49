//! The durability of a call: what must have happened to its record before it returns.

use crate::audit::record::{FACTS_OF_TRANSFERS, KEEP_NOTE};

/// What has happened to a call's record when the call returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Durability {
    /// The record is queued. It is written within milliseconds, and it is on the disk within the
    /// journal's `JournalOptions::sync_interval`. A killed process can lose the last milliseconds,
    /// a power cut the last interval. What is lost is always the newest part.
    #[default]
    Buffered,
    /// The record is on the disk; without a journal, the sink has it. Calls that wait at the same
    /// time share one sync of the disk (group commit).
    Synced,
}

/// The kinds of operations. Each can have its own durability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum OperationKind {
    /// `add_stock`.
    Add,
    /// `remove_stock`.
    Remove,
    /// `reserve`, baskets, split fulfillment.
    Reserve,
    /// `confirm`, `sell`, `confirm_lines`, `confirm_lines_and_release_rest`, `confirm_or_retake`.
    Sell,
    /// `release`, `release_lines`.
    Release,
    /// `extend`.
    Extend,
    /// `ship`, `ship_lines`.
    Ship,
    /// `cancel_sale`, `cancel_sale_lines`.
    CancelSale,
    /// `transfer`; transfer requests and the decisions on them.
    Transfer,
    /// Changes of thresholds and times to live; suspending and resuming a warehouse.
    Setting,
}

impl OperationKind {
    const COUNT: usize = Self::Setting as usize + 1;

    /// The names under which such an operation can write something into its record. A decision on a
    /// transfer request writes its `reason` as well. A retake reads in the entries of a reservation
    /// whether it was to be kept: so no call on one has a note of this name.
    pub(super) fn own_names(self) -> &'static [&'static str] {
        match self {
            Self::Add => &["source"],
            Self::Remove => &["reason"],
            Self::CancelSale => &["reason", KEEP_NOTE],
            Self::Reserve | Self::Sell | Self::Release | Self::Extend | Self::Ship => &[KEEP_NOTE],
            Self::Transfer => &OF_TRANSFERS,
            Self::Setting => &[],
        }
    }
}

/// The facts of transfer requests, and who decided on one.
const OF_TRANSFERS: [&str; 6] = {
    let [id, outcome, at, available, room] = FACTS_OF_TRANSFERS;
    [id, outcome, at, available, room, "decidedBy"]
};

/// The durability of each kind of operation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Durabilities([Durability; OperationKind::COUNT]);

impl Durabilities {
    pub(super) fn all(durability: Durability) -> Self {
        Self([durability; OperationKind::COUNT])
    }

    pub(super) fn set(&mut self, kind: OperationKind, durability: Durability) {
        self.0[kind as usize] = durability;
    }

    #[inline]
    pub(super) fn of(&self, kind: OperationKind) -> Durability {
        self.0[kind as usize]
    }
}

impl super::Builder {
    /// Sets the durability of all operations. It replaces earlier calls of
    /// [`durability_of`](Self::durability_of). Default: [`Durability::Buffered`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durabilities = Durabilities::all(durability);
        self
    }

    /// Sets the durability of one kind of operation. A single call can override it by
    /// [`Request::durability`](crate::Request::durability).
    ///
    /// ```
    /// use stockade::{Durability, InventoryManager, OperationKind};
    /// // Holds may be lost with the power, sales may not.
    /// let manager = InventoryManager::builder()
    ///     .warehouse("SF")
    ///     .durability_of(OperationKind::Sell, Durability::Synced)
    ///     .build()?;
    /// # Ok::<(), stockade::BuildError>(())
    /// ```
    pub fn durability_of(mut self, kind: OperationKind, durability: Durability) -> Self {
        self.durabilities.set(kind, durability);
        self
    }
}
