//! A slot's state word: the one compare-and-swap that decides every race over a hold (Law 3).
//!
//! ```text
//!   63 .. 61   60 ......... 42   41 .................. 0
//! +----------+-----------------+------------------------+
//! |  phase   | generation (19) |  expires at, ms (42)   |
//! +----------+-----------------+------------------------+
//! ```
//!
//! Confirm, release, expiry, extend, partial steps and reuse each swap the *whole* word. That swap
//! is the linearization point of the race: one call wins, all others read the new state. The winner
//! knows that nothing about the hold has changed since it looked: neither its phase nor its expiry.
//! The generation is an ABA generation: every reuse and every partial step raises it. So the
//! reservation in the slot, its lines, and what of them was shipped, have not changed either.

use crate::base::clock::Timestamp;
use crate::base::sync::{AtomicU64, Fenced, Ordering, sequenced};

const EXPIRES_BITS: u32 = 42;
pub(crate) const GENERATION_BITS: u32 = 19;
const EXPIRES_MASK: u64 = (1 << EXPIRES_BITS) - 1;
const GENERATION_MASK: u64 = (1 << GENERATION_BITS) - 1;
const PHASE_SHIFT: u32 = EXPIRES_BITS + GENERATION_BITS;

const _: () = assert!(PHASE_SHIFT + 3 == 64, "the word is full");
const _: () = assert!(EXPIRES_MASK == Timestamp::MAX.as_millis(), "every moment fits");

/// Where a slot is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No reservation: never used, taken by a reserve that has not published yet, or put back.
    Vacant = 0,
    /// A later line of a basket, whose status is in its head.
    Line = 1,
    /// A live hold.
    Pending = 2,
    /// A live hold that one thread is ending, or changing in part, at this moment.
    Ending = 3,
    /// Final: at least one unit was sold.
    Confirmed = 4,
    /// Final: its holder gave it back.
    Released = 5,
    /// Final: given back because its time was up.
    Expired = 6,
    /// Confirmed, while one thread notes which of its sold units are shipped or cancelled. In a
    /// later slot: the head's thread keeps it from being reused meanwhile.
    Shipping = 7,
}

impl Phase {
    /// Whether the hold still has its units.
    pub(crate) fn is_live(self) -> bool {
        matches!(self, Self::Pending | Self::Ending)
    }

    /// Whether the hold is over, and nobody is changing its record.
    #[inline(always)]
    pub(crate) fn is_final(self) -> bool {
        matches!(self, Self::Confirmed | Self::Released | Self::Expired)
    }

    /// Whether a slot from the free list may be taken in this phase. Not while a thread changes its
    /// record.
    #[inline]
    pub(crate) fn is_at_rest(self) -> bool {
        self.is_final() || matches!(self, Self::Vacant | Self::Line)
    }
}

/// A snapshot of a state word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotState(u64);

impl SlotState {
    /// The state of a slot that nobody has used yet.
    pub(crate) const UNUSED: Self = Self(0);

    #[inline(always)]
    pub(crate) fn phase(self) -> Phase {
        match self.0 >> PHASE_SHIFT {
            0 => Phase::Vacant,
            1 => Phase::Line,
            2 => Phase::Pending,
            3 => Phase::Ending,
            4 => Phase::Confirmed,
            5 => Phase::Released,
            6 => Phase::Expired,
            _ => Phase::Shipping,
        }
    }

    /// The ABA generation: counts the reservations of a slot, and their partial steps. Wraps after
    /// half a million.
    pub(crate) fn generation(self) -> u32 {
        (self.0 >> EXPIRES_BITS & GENERATION_MASK) as u32
    }

    pub(crate) fn expires_at(self) -> Timestamp {
        Timestamp::from_millis(self.0 & EXPIRES_MASK)
    }

    /// Whether this is a live hold whose time is up: `now > expires_at`.
    pub(crate) fn is_overdue(self, now: Timestamp) -> bool {
        self.phase() == Phase::Pending && now > self.expires_at()
    }

    /// The same reservation in another phase.
    #[inline]
    pub(crate) fn in_phase(self, phase: Phase) -> Self {
        Self(self.0 & !(u64::MAX << PHASE_SHIFT) | (phase as u64) << PHASE_SHIFT)
    }

    /// The same reservation with another expiry.
    #[inline]
    pub(crate) fn expiring_at(self, expires_at: Timestamp) -> Self {
        Self(self.0 & !EXPIRES_MASK | expires_at.as_millis())
    }

    /// A vacant slot that a reserve has. Its expiry says so, and that it is not an unused one.
    #[inline(always)]
    pub(crate) fn taken(self) -> Self {
        self.expiring_at(Timestamp::MAX)
    }

    /// A vacant slot that was taken and put back.
    pub(crate) fn put_back(self) -> Self {
        self.expiring_at(Timestamp::from_millis(1))
    }

    /// Whether a reserve has the slot, and has not published or put it back.
    pub(crate) fn is_taken(self) -> bool {
        self.phase() == Phase::Vacant && self.expires_at() == Timestamp::MAX
    }

    /// The next generation: a new reservation, or the same one after a partial step.
    pub(crate) fn next_generation(self) -> Self {
        let step = 1 << EXPIRES_BITS;
        let raised = self.0.wrapping_add(step) & GENERATION_MASK << EXPIRES_BITS;
        Self(self.0 & !(GENERATION_MASK << EXPIRES_BITS) | raised)
    }
}

/// The atomic state word of one slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StateCell<'t>(&'t AtomicU64);

impl<'t> StateCell<'t> {
    /// The state in this word.
    #[inline(always)]
    pub(crate) fn new(word: &'t AtomicU64) -> Self {
        Self(word)
    }

    /// The state, read before a slot's fields.
    pub(crate) fn load(self) -> SlotState {
        // Acquire pairs with the Release in `publish` and `swap`: the fields of this state are
        // visible after it.
        SlotState(self.0.load(Ordering::Acquire))
    }

    /// The state, read after a slot's fields. If it equals the one before, the fields belong
    /// together: a seqlock read (Boehm, "Can Seqlocks Get Along with Programming Language Memory
    /// Models?", MSPC 2012).
    pub(crate) fn load_again(self) -> SlotState {
        // Pairs with the Release fence after `vacate`. If a field came from a later reservation,
        // this load sees that reservation's vacant word, or a later one.
        crate::base::sync::fence(Ordering::Acquire);
        // Relaxed is enough: the fence above orders it after the fields.
        SlotState(self.0.load(Ordering::Relaxed))
    }

    /// Swaps `from` for `to`. The loser gets the state that is there instead (Law 3: one winner).
    pub(crate) fn swap(self, from: SlotState, to: SlotState) -> Result<(), SlotState> {
        // AcqRel pairs with `publish` and with other swaps. Acquire: the winner sees all that the
        // publisher of the reservation wrote. Release: it passes on what it has done itself. A
        // loser reads another thread's final word, so it needs Acquire too.
        self.0
            .compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Acquire)
            .map(drop)
            .map_err(SlotState)
    }

    /// As [`swap`](Self::swap), for the thread that takes a slot off the free list. With the proof
    /// that a scan of what is due sees the new state, or is seen.
    #[inline(always)]
    pub(crate) fn swap_to_vacant(
        self,
        from: SlotState,
        to: SlotState,
    ) -> Result<Fenced, SlotState> {
        // SeqCst for the proof; it is AcqRel as well, as in `swap`.
        self.0
            .compare_exchange(from.0, to.0, Ordering::SeqCst, Ordering::Acquire)
            .map(|_| sequenced())
            .map_err(SlotState)
    }

    /// Stores `state` over a word that only this thread may change now (`Vacant`, `Ending` or
    /// `Shipping`).
    pub(crate) fn publish(self, state: SlotState) {
        // Release pairs with the Acquire in `load` and `swap`.
        self.0.store(state.0, Ordering::Release);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Phase; 8] = [
        Phase::Vacant,
        Phase::Line,
        Phase::Pending,
        Phase::Ending,
        Phase::Confirmed,
        Phase::Released,
        Phase::Expired,
        Phase::Shipping,
    ];

    proptest! {
        #[test]
        fn a_state_survives_packing(
            index in 0..8_usize, generation in 0..1_u32 << 19, at in 0..1_u64 << 42,
        ) {
            let phase = ALL[index];
            let at = Timestamp::from_millis(at);
            let state = SlotState(u64::from(generation) << EXPIRES_BITS);
            let state = state.in_phase(phase).expiring_at(at);
            let unpacked = (state.phase(), state.generation(), state.expires_at());
            prop_assert_eq!(unpacked, (phase, generation, at));
            let next = state.next_generation();
            prop_assert_ne!(next, state);
            prop_assert_eq!((next.phase(), next.expires_at()), (phase, at));
        }
    }

    #[test]
    fn a_hold_is_overdue_only_after_its_last_millisecond() {
        let at = Timestamp::from_millis(100);
        let hold = SlotState::UNUSED.in_phase(Phase::Pending).expiring_at(at);
        assert!(!hold.is_overdue(at));
        assert!(hold.is_overdue(Timestamp::from_millis(101)));
        assert!(!hold.in_phase(Phase::Ending).is_overdue(Timestamp::MAX));
    }
}
