//! A place in the table of allowances: one allowance, or none while its number is free.

use crate::base::sync::{AtomicU32, AtomicU64, MODELLED, Ordering};
use crate::stock::allowance::key::{AllowanceKey, RuleNumber, SubjectHash};
use crate::stock::allowance::word::unused;
use crate::stock::cell::Cell;

/// No place: the end of a chain.
pub(super) const NO_PLACE: u32 = u32::MAX;

/// In place of a count of pins while the number is free.
const FREE: u32 = u32::MAX;

/// One allowance.
///
/// Only the word is changed without a lock. All else is written under the lock of the place's
/// shard. It is read under it too, but for the key, which whoever has a pin or a draw may read at
/// any time: it stays until the allowance is retired.
#[derive(Debug)]
pub(super) struct AllowancePlace {
    word: Cell,
    subject: [AtomicU64; 2],
    rule: AtomicU32,
    /// How many callers keep the allowance, or [`FREE`].
    pins: AtomicU32,
    /// The next place of the same bucket, or of the free ones.
    next: AtomicU32,
}

const _: () = assert!(
    MODELLED || size_of::<AllowancePlace>() == 40,
    "with the index, at most 64 bytes an allowance"
);

// Relaxed in all of these: the shard's lock orders them. Whoever reads a key without the lock has
// got the number of the place from somebody who pinned the allowance under it.
impl AllowancePlace {
    /// A number that is free.
    pub(super) fn free() -> Self {
        Self {
            word: Cell::new(unused()),
            subject: [const { 0 }; 2].map(AtomicU64::new),
            rule: AtomicU32::new(0),
            pins: AtomicU32::new(FREE),
            next: AtomicU32::new(NO_PLACE),
        }
    }

    /// What is used, for a commit that covers the allowance.
    pub(super) fn word(&self) -> &Cell {
        &self.word
    }

    pub(super) fn key(&self) -> AllowanceKey {
        let halves = self.subject.each_ref().map(|half| half.load(Ordering::Relaxed));
        AllowanceKey {
            rule: RuleNumber(self.rule.load(Ordering::Relaxed)),
            subject: SubjectHash::from_halves(halves),
        }
    }

    /// Makes it an allowance that nobody has pinned. Its word says that nothing is used: no number
    /// becomes free before.
    pub(super) fn open(&self, key: AllowanceKey) {
        for (half, value) in self.subject.iter().zip(key.subject.to_halves()) {
            half.store(value, Ordering::Relaxed);
        }
        self.rule.store(key.rule.0, Ordering::Relaxed);
        self.pins.store(0, Ordering::Relaxed);
    }

    pub(super) fn close(&self) {
        self.pins.store(FREE, Ordering::Relaxed);
    }

    pub(super) fn pin(&self) {
        let pins = self.pins.load(Ordering::Relaxed);
        debug_assert!(pins != FREE, "only what is in the index is pinned");
        self.pins.store(pins + 1, Ordering::Relaxed);
    }

    pub(super) fn unpin(&self) {
        let pins = self.pins.load(Ordering::Relaxed);
        debug_assert!(pins != FREE && pins != 0, "a pin is taken off once");
        self.pins.store(pins.saturating_sub(1), Ordering::Relaxed);
    }

    /// Whether it is an allowance, and nobody has pinned it.
    pub(super) fn is_unpinned(&self) -> bool {
        self.pins.load(Ordering::Relaxed) == 0
    }

    pub(super) fn next(&self) -> u32 {
        self.next.load(Ordering::Relaxed)
    }

    pub(super) fn set_next(&self, next: u32) {
        self.next.store(next, Ordering::Relaxed);
    }
}
