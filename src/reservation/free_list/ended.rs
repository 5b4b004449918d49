//! The ended slots of a shard: a bounded queue, first in first out, that is filled one slot at a
//! time and emptied a magazine at a time.
//!
//! ```text
//!   63 .......... 33    32     31 .......... 0
//! +----------------+--------+------------------+
//! |    lap (31)    |  full  |    slot (32)     |   the word of a place
//! +----------------+--------+------------------+
//! ```
//!
//! Positions count up for ever; a position's place is its remainder by the number of places. The
//! word of a place says for which lap around the queue it is free, or of which lap the slot in it
//! is. So a push is one swap, of the place, and one swap of the head takes many slots.
//!
//! How far the queue is filled is a hint. All positions before the hint are taken; a few behind it
//! may be, and who pushes looks at them one by one.

use crate::base::sync::{AtomicU64, Backoff, CachePadded, Ordering};
use crate::reservation::chain::SlotNumber;
use crate::reservation::free_list::magazine::MAGAZINE;

/// Ended slots that a shard keeps before it hands a magazine of them to the depot.
pub(super) const PLACES: usize = 4 * MAGAZINE;

const FULL: u64 = 1 << u32::BITS;
const LAP_SHIFT: u32 = u32::BITS + 1;
/// The lap above this is `free`'s.
const LAP: u64 = 1 << LAP_SHIFT;

/// Slots whose hold is over, oldest first.
#[derive(Debug)]
pub(super) struct EndedSlots {
    places: Box<[AtomicU64; PLACES]>,
    /// A hint; see above.
    filled_to: AtomicU64,
    /// The first position that was not taken out.
    head: CachePadded<AtomicU64>,
}

/// The word of this position's place while it is free for it.
fn free_at(position: u64) -> u64 {
    // Laps wrap after two thousand million.
    (position / PLACES as u64).wrapping_mul(LAP)
}

fn full_at(position: u64, slot: SlotNumber) -> u64 {
    free_at(position) | FULL | u64::from(slot)
}

/// The slot in a word, if it is the one of this position.
fn slot_at(position: u64, word: u64) -> Option<SlotNumber> {
    let slot = word as SlotNumber;
    (word == full_at(position, slot)).then_some(slot)
}

impl EndedSlots {
    pub(super) fn new() -> Self {
        Self {
            places: Box::new(std::array::from_fn(|_| AtomicU64::new(free_at(0)))),
            filled_to: AtomicU64::new(0),
            head: CachePadded::new(AtomicU64::new(0)),
        }
    }

    fn place(&self, position: u64) -> &AtomicU64 {
        &self.places[(position % PLACES as u64) as usize]
    }

    /// Adds a slot behind all others; `false` if there is no room.
    #[inline(always)]
    pub(super) fn push(&self, slot: SlotNumber) -> bool {
        // Acquire pairs with the Release below: who has the hint sees the places before it taken,
        // and this one no older than the lap before.
        let position = self.filled_to.load(Ordering::Acquire);
        // Acquire pairs with the Release in `pop`, which freed the place.
        let is_free = self.place(position).load(Ordering::Acquire) == free_at(position);
        is_free && self.fill(position, slot) || self.push_from(position, slot)
    }

    /// Puts the slot into a place that was seen free. `false` if another thread was first.
    #[inline(always)]
    fn fill(&self, position: u64, slot: SlotNumber) -> bool {
        let (free, full) = (free_at(position), full_at(position, slot));
        // Release pairs with the Acquire in `pop`: who takes the slot sees its end.
        let (done, missed) = (Ordering::Release, Ordering::Relaxed);
        let filled = self.place(position).compare_exchange(free, full, done, missed).is_ok();
        if filled {
            self.filled_to.store(position + 1, Ordering::Release);
        }
        filled
    }

    /// As [`push`](Self::push), where the first look found no free place.
    #[inline(never)]
    fn push_from(&self, mut position: u64, slot: SlotNumber) -> bool {
        let backoff = Backoff::new();
        loop {
            let free = free_at(position);
            // Acquire as in `push`.
            let word = self.place(position).load(Ordering::Acquire);
            if word == free {
                if self.fill(position, slot) {
                    return true;
                }
            } else if word & !u64::from(u32::MAX) == free.wrapping_sub(LAP) | FULL {
                // The slot of the lap before.
                if !self.is_taken_out(position - PLACES as u64) {
                    return false;
                }
                backoff.snooze();
            } else {
                position = self.next_after(position);
            }
        }
    }

    /// A position behind a taken one from which on to look.
    #[cold]
    #[inline(never)]
    fn next_after(&self, position: u64) -> u64 {
        // A thread that stood still may have brought back an old hint. All before the head is
        // taken.
        (position + 1).max(self.head.load(Ordering::Acquire))
    }

    /// Whether a thread has taken this position's slot, and is about to free its place.
    #[cold]
    #[inline(never)]
    fn is_taken_out(&self, position: u64) -> bool {
        position < self.head.load(Ordering::Acquire)
    }

    /// Takes the oldest slots, as many as there are and there is room for. Returns how many.
    pub(super) fn pop(&self, room: &mut [SlotNumber]) -> usize {
        loop {
            // Acquire pairs with the Release of the swap below: the places before it are seen as
            // they were then, or later.
            let head = self.head.load(Ordering::Acquire);
            let mut count = 0;
            for (slot, position) in room.iter_mut().zip(head..) {
                // Acquire pairs with the Release in `push`.
                let word = self.place(position).load(Ordering::Acquire);
                let Some(found) = slot_at(position, word) else { break };
                *slot = found;
                count += 1;
            }
            let end = head + count as u64;
            // A swap also where there is nothing: a head that has moved on says why.
            let (done, missed) = (Ordering::AcqRel, Ordering::Relaxed);
            if self.head.compare_exchange(head, end, done, missed).is_ok() {
                for position in head..end {
                    let next_lap = free_at(position + PLACES as u64);
                    self.place(position).store(next_lap, Ordering::Release);
                }
                return count;
            }
        }
    }

    /// The oldest slot.
    pub(super) fn pop_one(&self) -> Option<SlotNumber> {
        let mut room = [0];
        (self.pop(&mut room) == 1).then_some(room[0])
    }

    /// How many there are; exact while nothing moves.
    pub(super) fn len(&self) -> usize {
        let head = self.head.load(Ordering::Acquire);
        let taken = |position: u64| {
            slot_at(position, self.place(position).load(Ordering::Acquire)).is_some()
        };
        // All before the hint are.
        let hint = self.filled_to.load(Ordering::Acquire).clamp(head, head + PLACES as u64);
        let behind = (hint..head + PLACES as u64).take_while(|position| taken(*position)).count();
        (hint - head) as usize + behind
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn filled(slots: std::ops::Range<u32>) -> EndedSlots {
        let ended = EndedSlots::new();
        assert!(slots.into_iter().all(|slot| ended.push(slot)));
        ended
    }

    fn pop(ended: &EndedSlots, most: usize) -> Vec<SlotNumber> {
        let mut room = vec![0; most];
        let count = ended.pop(&mut room);
        room.truncate(count);
        room
    }

    #[test]
    fn slots_come_out_in_the_order_in_which_they_came_lap_after_lap() {
        let ended = EndedSlots::new();
        let (mut next, mut oldest) = (0, 0);
        for round in 0..1_000 {
            while ended.push(next) {
                next += 1;
            }
            assert_eq!((ended.len(), next - oldest), (PLACES, PLACES as u32));
            let most = round % PLACES + 1;
            let popped = pop(&ended, most);
            let expected: Vec<_> = (oldest..oldest + most as u32).collect();
            assert_eq!(popped, expected);
            oldest += most as u32;
        }
    }

    #[test]
    fn laps_wrap() {
        let ended = EndedSlots::new();
        let start = (1_u64 << 31) * PLACES as u64 - 2;
        for position in start..start + PLACES as u64 {
            ended.place(position).store(free_at(position), Ordering::Relaxed);
        }
        ended.filled_to.store(start, Ordering::Relaxed);
        ended.head.store(start, Ordering::Relaxed);
        for round in 0..10 {
            assert!((0..PLACES as u32).all(|slot| ended.push(slot)));
            assert!(!ended.push(7), "round {round}");
            assert_eq!(pop(&ended, PLACES), (0..PLACES as u32).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_empty_queue_gives_nothing_and_a_full_one_takes_nothing() {
        let ended = filled(0..PLACES as u32);
        assert!(!ended.push(7));
        assert_eq!(ended.pop_one(), Some(0));
        assert!(ended.push(7));
        assert!(!ended.push(8));
        assert_eq!(pop(&ended, 2 * PLACES).len(), PLACES);
        assert_eq!((ended.pop_one(), ended.len()), (None, 0));
        assert!(ended.is_empty());
    }

    #[test]
    fn an_old_hint_costs_a_look_at_the_head_and_loses_nothing() {
        let ended = EndedSlots::new();
        for slot in 0..100 * PLACES as u32 {
            assert!(ended.push(slot));
            assert_eq!(ended.pop_one(), Some(slot));
        }
        ended.filled_to.store(3, Ordering::Relaxed);
        assert!(ended.push(1) && ended.push(2));
        assert_eq!(ended.filled_to.load(Ordering::Relaxed), 100 * PLACES as u64 + 2);
        assert_eq!(pop(&ended, PLACES), [1, 2]);
    }

    #[test]
    fn threads_that_push_and_pop_lose_no_slot_and_double_none() {
        const EACH: u32 = 50_000;
        let ended = EndedSlots::new();
        let seen = std::sync::Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for pusher in 0..2 {
                let (ended, seen) = (&ended, &seen);
                scope.spawn(move || {
                    for slot in pusher * EACH..(pusher + 1) * EACH {
                        while !ended.push(slot) {
                            let popped = pop(ended, MAGAZINE);
                            seen.lock().expect("no panic").extend(popped);
                        }
                    }
                });
            }
        });
        let mut seen = seen.into_inner().expect("no panic");
        seen.extend(pop(&ended, PLACES));
        seen.sort_unstable();
        assert_eq!(seen, (0..2 * EACH).collect::<Vec<_>>());
    }
}
