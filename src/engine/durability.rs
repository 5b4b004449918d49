//! What is to be done about an operation's audit entry before its call returns.

/// What a call has done about its audit entry when it returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The entry is queued: it is written within milliseconds, and on the disk within the journal's
    /// `JournalOptions::sync_interval`. A killed process can lose the last
    /// milliseconds, a power cut the last interval; what is lost is always the newest.
    #[default]
    Buffered,
    /// The entry is on the disk; without a journal: with the sink. Calls that wait at the same time
    /// share one sync of the disk.
    Synced,
}

/// The kinds of operations, for each of which the durability may be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperationKind {
    /// `add_stock`.
    Add,
    /// `remove_stock`.
    Remove,
    /// `reserve`, baskets, fulfilment across warehouses.
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
    /// `transfer`, and requests for transfers with their decisions.
    Transfer,
    /// Thresholds, times to live, suspending and resuming.
    Setting,
}

impl OperationKind {
    const COUNT: usize = Self::Setting as usize + 1;
}

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
    /// What all operations do about their audit entries before they return; those that
    /// [`durability_of`](Self::durability_of) was called for before, too. Default:
    /// [`Durability::Buffered`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durabilities = Durabilities::all(durability);
        self
    }

    /// What one kind of operation does. A single call can do otherwise: [`Request::durability`](crate::Request::durability).
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
