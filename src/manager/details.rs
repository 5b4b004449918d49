//! What a caller added to an operation.

use crate::idempotency::IdempotencyKey;
use crate::manager::durability::Durability;
use crate::reservation::id::Owner;

/// What a caller added.
#[derive(Clone, Debug, Default)]
pub(crate) struct Details {
    pub(crate) key: Option<IdempotencyKey>,
    pub(crate) owner: Option<Owner>,
    /// A new reservation keeps its slots until all that it sold is shipped or cancelled.
    pub(crate) keep_until_shipped: bool,
    pub(crate) notes: Vec<(String, String)>,
    /// `None`: as the engine does for this kind of operation.
    pub(crate) durability: Option<Durability>,
    /// A transfer request holds its units until it is decided.
    pub(crate) hold_units: bool,
}

impl Details {
    /// Whether the record of a movement says more than its one entry does.
    #[inline]
    pub(super) fn lengthen(&self) -> bool {
        !self.notes.is_empty()
    }

    /// Whether the record of a new hold does.
    #[inline]
    pub(super) fn lengthen_hold(&self) -> bool {
        self.lengthen() || self.keep_until_shipped
    }
}

/// What most callers add. In one place, because making and dropping it would cost every call some
/// instructions.
pub(crate) static NO_DETAILS: Details = Details {
    key: None,
    owner: None,
    keep_until_shipped: false,
    notes: Vec::new(),
    durability: None,
    hold_units: false,
};
