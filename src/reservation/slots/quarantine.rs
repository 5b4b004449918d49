//! The quarantine: slots whose former reservation's id lies ahead of the clock, because it began
//! under a clock that was wrong.
//!
//! A new hold in such a slot would have to bear that time in its id, or the older id would look
//! newer. So new holds get other slots while there are any. The former reservation stays readable
//! meanwhile.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::base::clock::Timestamp;
use crate::base::sync::{AtomicUsize, Mutex, Ordering, lock};
use crate::reservation::chain::SlotNumber;

/// Slots in quarantine. Only a wrong clock puts any here, so all else pays for one look.
#[derive(Debug)]
pub(super) struct Quarantine {
    /// The slot that the clock reaches first is on top.
    slots: Mutex<BinaryHeap<Reverse<(Timestamp, SlotNumber)>>>,
    count: AtomicUsize,
}

impl Quarantine {
    pub(super) fn new() -> Self {
        Self { slots: Mutex::new(BinaryHeap::new()), count: AtomicUsize::new(0) }
    }

    /// Keeps a slot until the clock has reached `since`. Only the thread that has the slot off the
    /// free list may call it.
    pub(super) fn put(&self, slot: SlotNumber, since: Timestamp) {
        let mut slots = lock(&self.slots);
        slots.push(Reverse((since, slot)));
        // Relaxed: a hint. A look that misses the slot finds it the next time.
        self.count.store(slots.len(), Ordering::Relaxed);
    }

    /// Takes the slot that the clock reaches first, if it has at `now`.
    pub(super) fn take(&self, now: Timestamp) -> Option<SlotNumber> {
        if self.len() == 0 {
            return None;
        }
        let mut slots = lock(&self.slots);
        let Reverse((since, slot)) = *slots.peek()?;
        if since > now {
            return None;
        }
        slots.pop();
        self.count.store(slots.len(), Ordering::Relaxed);
        Some(slot)
    }

    /// How many slots are kept.
    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn slots_leave_in_the_order_of_their_times_and_are_counted_until_then() {
        let moment = Timestamp::from_millis;
        let quarantine = Quarantine::new();
        assert_eq!((quarantine.take(moment(9)), quarantine.len()), (None, 0));
        for (slot, at) in [(1, 7), (2, 5), (3, 6)] {
            quarantine.put(slot, moment(at));
        }
        assert_eq!((quarantine.take(moment(4)), quarantine.len()), (None, 3));
        assert_eq!((quarantine.take(moment(5)), quarantine.len()), (Some(2), 2));
        assert_eq!((quarantine.take(moment(5)), quarantine.len()), (None, 2));
        assert_eq!((quarantine.take(moment(9)), quarantine.len()), (Some(3), 1));
        assert_eq!((quarantine.take(moment(9)), quarantine.len()), (Some(1), 0));
    }
}
