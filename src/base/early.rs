//! What leaves before its time, for want of room: how much, and until when somebody may miss it.

use crate::base::clock::Timestamp;
use crate::base::sync::{AtomicU64, Ordering};

/// Counts what left before its time. Relaxed throughout: figures for reports.
#[derive(Debug)]
pub(crate) struct LeftEarly {
    count: AtomicU64,
    /// From when the newest of them was kept, plus one, in milliseconds; 0 if there was none.
    newest: AtomicU64,
}

impl LeftEarly {
    pub(crate) fn new() -> Self {
        Self { count: AtomicU64::new(0), newest: AtomicU64::new(0) }
    }

    /// Notes that so many have left, which were kept from `at` on, or from before.
    pub(crate) fn note(&self, count: u64, at: Timestamp) {
        if count == 0 {
            return;
        }
        self.count.fetch_add(count, Ordering::Relaxed);
        self.newest.fetch_max(at.as_millis().saturating_add(1), Ordering::Relaxed);
    }

    /// How many have left.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// From when the newest of them was kept.
    pub(crate) fn newest(&self) -> Option<Timestamp> {
        self.newest.load(Ordering::Relaxed).checked_sub(1).map(Timestamp::from_millis)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_newest_counts_whatever_the_order() {
        let (left, at) = (LeftEarly::new(), Timestamp::from_millis);
        assert_eq!((left.count(), left.newest()), (0, None));
        left.note(0, at(5));
        assert_eq!(left.newest(), None, "none has left");
        left.note(2, at(0));
        assert_eq!((left.count(), left.newest()), (2, Some(at(0))));
        left.note(1, at(9));
        left.note(3, at(4));
        assert_eq!((left.count(), left.newest()), (6, Some(at(9))));
    }
}
