//! The options of a request: what a caller adds to an operation.

use std::sync::Arc;

use crate::audit::pairs::Pairs;
use crate::engine::durability::Durability;
#[cfg(feature = "journal")]
use crate::engine::prefetched::Prefetched;
use crate::idempotency::IdempotencyKey;
use crate::policy::subject::{KindTag, NamedSubject};
use crate::reservation::id::Owner;
use crate::stock::allowance::key::SubjectHash;
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
    /// Whom the call is for, as limits count it.
    pub(crate) subjects: Subjects,
    /// The limits that the call may pass: their names, sorted.
    pub(crate) passed: Vec<Arc<str>>,
    /// Whether look-ups of the key, and of the reservation that the call names, may read the disk.
    pub(crate) lookup: KeyLookup,
    /// What was read for the request's calls before.
    #[cfg(feature = "journal")]
    pub(crate) prefetched: Option<Arc<Prefetched>>,
}

/// The subjects that a call names. Nearly all calls name one at most, which takes no list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subjects {
    first: Option<NamedSubject>,
    more: Vec<NamedSubject>,
}

impl Subjects {
    const NONE: Self = Self { first: None, more: Vec::new() };

    /// Adds a subject. The last of its kind counts.
    #[inline]
    pub(crate) fn name(&mut self, mut subject: NamedSubject) {
        match &mut self.first {
            None => self.first = Some(subject),
            Some(first) if first.kind == subject.kind => *first = subject,
            // In the order of their kinds: the request is the same in whichever they were named.
            Some(first) => {
                if subject.kind < first.kind {
                    std::mem::swap(first, &mut subject);
                }
                match self.more.binary_search_by_key(&subject.kind, |known| known.kind) {
                    Ok(at) => self.more[at] = subject,
                    Err(at) => self.more.insert(at, subject),
                }
            }
        }
    }

    /// The subject of this kind.
    #[inline]
    pub(crate) fn of(&self, kind: KindTag) -> Option<SubjectHash> {
        self.iter().find(|known| known.kind == kind).map(|known| known.hash)
    }

    #[inline]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &NamedSubject> {
        self.first.iter().chain(&self.more)
    }
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
    subjects: Subjects::NONE,
    passed: Vec::new(),
    lookup: KeyLookup::ReadDisk,
    #[cfg(feature = "journal")]
    prefetched: None,
};

impl RequestOptions {
    /// Lets the call pass the limit of this name. In the order of the names: the request is the
    /// same in whichever they were passed.
    pub(super) fn pass(&mut self, limit: &str) {
        if let Err(at) = self.passed.binary_search_by(|passed| (**passed).cmp(limit)) {
            self.passed.insert(at, limit.into());
        }
    }

    /// Whether the call may pass the limit of this name.
    pub(super) fn passes(&self, limit: &str) -> bool {
        self.passed.iter().any(|passed| **passed == *limit)
    }

    /// No options: what most callers add.
    pub(super) const DEFAULT: &'static Self = &NO_OPTIONS;
}
