//! In-flight refills: whether free slots are on the move between queues, and so in none of them.
//!
//! A reserve says "full" only after it looked through all places where a free slot can lie. A
//! thread that carries some from one to another at that moment could hide them from it, or bring
//! them to where it has looked. So each such refill is counted before its first slot leaves a
//! queue, and ended after the last one lies in another; a look counts only if no refill was under
//! way, or came, meanwhile.
//!
//! ```text
//!  63                       16 15          0
//! +---------------------------+-------------+
//! |     refills that ended    |  under way  |
//! +---------------------------+-------------+
//! ```
//!
//! Taking a slot for a hold and retiring one are no refills, and pay nothing for this.

use crate::base::sync::{AtomicU64, CachePadded, Ordering, fence};

const UNDER_WAY: u64 = 1;
const ENDED: u64 = 1 << 16;
const UNDER_WAY_MASK: u64 = ENDED - 1;

/// How many refills there were, and are.
#[derive(Debug)]
pub(crate) struct InFlightRefills(CachePadded<AtomicU64>);

/// A refill that is under way; ends when it is dropped.
#[derive(Debug)]
#[must_use = "a refill lasts until its slots lie in a queue again"]
pub(crate) struct RefillGuard<'a>(&'a InFlightRefills);

/// The word before a look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RefillVersion(u64);

impl InFlightRefills {
    pub(crate) fn new() -> Self {
        Self(CachePadded::new(AtomicU64::new(0)))
    }

    /// To be called before the first slot leaves its queue.
    pub(crate) fn begin(&self) -> RefillGuard<'_> {
        // Relaxed: the fence orders it.
        self.0.fetch_add(UNDER_WAY, Ordering::Relaxed);
        // Pairs with the fence in `came_since`: whoever finds a queue empty because of this refill
        // sees that it is under way, or was.
        fence(Ordering::SeqCst);
        RefillGuard(self)
    }

    /// To be called before a look.
    pub(crate) fn before(&self) -> RefillVersion {
        // Acquire pairs with the Release at a refill's end: what it moved lies there for the look.
        let word = self.0.load(Ordering::Acquire);
        RefillVersion(word)
    }

    /// Whether free slots may have been hidden from a look by a refill.
    pub(crate) fn came_since(&self, before: RefillVersion) -> bool {
        // Pairs with the fence in `begin`.
        fence(Ordering::SeqCst);
        before.0 & UNDER_WAY_MASK != 0 || self.0.load(Ordering::Relaxed) != before.0
    }
}

impl Drop for RefillGuard<'_> {
    fn drop(&mut self) {
        // Release pairs with the Acquire in `before`.
        self.0.0.fetch_add(ENDED - UNDER_WAY, Ordering::Release);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_look_counts_if_nothing_moved_meanwhile() {
        let refills = InFlightRefills::new();
        let before = refills.before();
        assert!(!refills.came_since(before));
        drop(refills.begin());
        assert!(refills.came_since(before), "it came and went");
        assert!(!refills.came_since(refills.before()));
        let first = refills.begin();
        assert!(refills.came_since(refills.before()), "it is under way");
        let second = refills.begin();
        drop(first);
        assert!(refills.came_since(refills.before()), "another is");
        drop(second);
        assert!(!refills.came_since(refills.before()));
    }
}
