//! Whether free slots are on the move between queues, and so in none of them.
//!
//! A reserve says "full" only after it looked through all places where a free slot can lie. A thread
//! that carries some from one to another at that moment could hide them from it, or bring them to
//! where it has looked. So each move is marked before its first slot leaves a queue, and ended after
//! the last one lies in another; a look counts only if no move was under way, or came, meanwhile.
//!
//! ```text
//!  63                       16 15          0
//! +---------------------------+-------------+
//! |       moves that ended    |  under way  |
//! +---------------------------+-------------+
//! ```
//!
//! Taking a slot for a hold and retiring one are no moves, and pay nothing for this.

use crate::sync::{AtomicU64, CachePadded, Ordering, fence};

const UNDER_WAY: u64 = 1;
const ENDED: u64 = 1 << 16;
const UNDER_WAY_MASK: u64 = ENDED - 1;

/// How many moves there were, and are.
#[derive(Debug)]
pub(crate) struct InFlightRefills(CachePadded<AtomicU64>);

/// A move that is under way; ends when it is dropped.
#[derive(Debug)]
#[must_use = "a move lasts until its slots lie in a queue again"]
pub(crate) struct RefillGuard<'a>(&'a InFlightRefills);

/// What stood there before a look.
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
        // Pairs with the fence in `came_since`: whoever finds a queue empty because of this move
        // sees that it is under way, or was.
        #[cfg(not(any(planted = "move_without_fence", planted = "front_put_unordered")))]
        fence(Ordering::SeqCst);
        RefillGuard(self)
    }

    /// To be called before a look.
    pub(crate) fn before(&self) -> RefillVersion {
        #[cfg(planted = "look_relaxed")]
        let word = self.0.load(Ordering::Relaxed);
        // Acquire pairs with the Release at a move's end: what it moved lies there for the look.
        #[cfg(not(planted = "look_relaxed"))]
        let word = self.0.load(Ordering::Acquire);
        RefillVersion(word)
    }

    /// Whether free slots may have been hidden from a look by a move.
    pub(crate) fn came_since(&self, before: RefillVersion) -> bool {
        // Pairs with the fence in `begin`.
        #[cfg(not(planted = "look_without_fence"))]
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
        let moves = InFlightRefills::new();
        let before = moves.before();
        assert!(!moves.came_since(before));
        drop(moves.begin());
        assert!(moves.came_since(before), "it came and went");
        assert!(!moves.came_since(moves.before()));
        let first = moves.begin();
        assert!(moves.came_since(moves.before()), "it is under way");
        let second = moves.begin();
        drop(first);
        assert!(moves.came_since(moves.before()), "another is");
        drop(second);
        assert!(!moves.came_since(moves.before()));
    }
}
