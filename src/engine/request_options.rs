//! The options of a request: what a caller adds to an operation.

#[cfg(feature = "journal")]
use std::sync::Arc;

use crate::audit::pairs::Pairs;
use crate::engine::durability::Durability;
use crate::engine::limit_options::LimitOptions;
#[cfg(feature = "journal")]
use crate::engine::prefetched::Prefetched;
use crate::idempotency::IdempotencyKey;
use crate::reservation::id::Owner;
use crate::stock::bounds::LevelBounds;
use crate::stock::level::StockLevel;

/// Request options: what a caller adds to an operation.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestOptions {
    pub(crate) key: Option<IdempotencyKey>,
    pub(crate) notes: Pairs,
    /// `None`: the engine's setting for this kind of operation.
    pub(crate) durability: Option<Durability>,
    /// The buyer of a new reservation.
    pub(crate) owner: Option<Owner>,
    /// Whether a new reservation keeps its slots until all units that it sold are shipped, or their
    /// sale is cancelled.
    pub(crate) keep_until_shipped: bool,
    /// Whether it takes units of the safety stock, too.
    pub(crate) safety_stock: SafetyStock,
    /// Whom the call is for, as limits count it, and which limits it may pass.
    pub(crate) limits: LimitOptions,
    /// Whether look-ups of the key, and of the reservation that the call names, may read the disk.
    pub(crate) lookup: KeyLookup,
    /// What was read for the request's calls before.
    #[cfg(feature = "journal")]
    pub(crate) prefetched: Option<Arc<Prefetched>>,
}

/// What a call that takes units does with the safety stock of their levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SafetyStock {
    /// It leaves it there.
    #[default]
    Keep,
    /// It may take it.
    Pass,
}

impl SafetyStock {
    /// How many units such a call has to leave available in a level with these bounds.
    #[inline(always)]
    pub(super) fn floor_in(self, bounds: LevelBounds) -> u32 {
        match self {
            Self::Keep => bounds.safety_stock,
            Self::Pass => 0,
        }
    }

    /// The same for a level as it is now.
    #[inline(always)]
    pub(super) fn floor_of(self, level: &StockLevel) -> u32 {
        self.floor_in(level.bounds())
    }
}

/// Whether the look-up of an idempotency key, and of a reservation whose record is gone, may read
/// the disk; see [`Request::key_lookup`](crate::Request::key_lookup).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KeyLookup {
    /// It reads a page, and waits for it, where memory does not know the answer: for a key whose
    /// answer has left memory, and for about one new key in ten thousand. For a reservation whose
    /// record is gone it reads, too, and may wait until the newest entries are on the disk and
    /// audited.
    #[default]
    ReadDisk,
    /// It never reads. Where neither memory nor a prefetch knows the answer, the call is refused
    /// ([`KeyError::Undecided`](crate::KeyError::Undecided)).
    MemoryOnly,
}

/// The target of [`RequestOptions::DEFAULT`]. A static, because a reference to a constant would
/// refer to a copy, which every call would make and drop.
static NO_OPTIONS: RequestOptions = RequestOptions {
    key: None,
    notes: Pairs::new(),
    durability: None,
    owner: None,
    keep_until_shipped: false,
    safety_stock: SafetyStock::Keep,
    limits: LimitOptions::NONE,
    lookup: KeyLookup::ReadDisk,
    #[cfg(feature = "journal")]
    prefetched: None,
};

impl RequestOptions {
    /// No options: what most callers add.
    pub(super) const DEFAULT: &'static Self = &NO_OPTIONS;
}
