//! The control word of a descriptor: how many drivers, which status, and which use of the slot.
//!
//! ```text
//!   63 ............... 19   18 ........ 3      2       1 ... 0
//! +-----------------------+--------------+--------+----------+
//! |  sequence (45 bits)   |   drivers    | helped |  status  |
//! +-----------------------+--------------+--------+----------+
//! ```
//!
//! All fields are in one word. So joining, refusing, deciding and showing are one compare-and-swap
//! each, and each of them sees all others. Nobody can join a final operation, and nobody can decide
//! without seeing a thread that has just joined.
//!
//! ```text
//!              begin             refuse
//!   (free) -----------> Undecided -----> Refused ---.
//!      ^                 |     |                     |  last driver leaves:
//!      |          decide |     | decide              |  sequence + 1, no drivers
//!      |                 v     v                     |
//!      |           Decided ---> Done ----------------+
//!      '---------------------------------------------'
//! ```

use super::mark::SEQUENCE_BITS;
use crate::base::sync::{AtomicU64, Ordering};

const STATUS_MASK: u64 = 0b11;
const HELPED_BIT: u64 = 1 << 2;
const DRIVERS_SHIFT: u32 = 3;
const DRIVERS_BITS: u32 = 16;
const DRIVERS_MASK: u64 = (1 << DRIVERS_BITS) - 1;
const ONE_DRIVER: u64 = 1 << DRIVERS_SHIFT;
const SEQUENCE_SHIFT: u32 = DRIVERS_SHIFT + DRIVERS_BITS;
/// A slot with this sequence has had all its uses.
const LAST_SEQUENCE: u64 = (1 << SEQUENCE_BITS) - 1;

const _: () = assert!(SEQUENCE_SHIFT + SEQUENCE_BITS == u64::BITS, "the fields fill the word");
const _: () = assert!(STATUS_MASK & HELPED_BIT == 0 && HELPED_BIT < ONE_DRIVER, "and lie apart");

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Drivers are putting marks in. It may still fail.
    Undecided,
    /// All marks are in, and it cannot fail any more. Nobody sees it yet: its record is queued
    /// first.
    Decided,
    /// Visible in all its cells. Final.
    Done,
    /// A word was short: visible in none of its cells. Final.
    Refused,
}

impl Status {
    /// Whether the operation has ended.
    pub(super) fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Refused)
    }

    fn bits(self) -> u64 {
        match self {
            Self::Undecided => 0,
            Self::Decided => 1,
            Self::Done => 2,
            Self::Refused => 3,
        }
    }
}

/// A snapshot of a control word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Control(u64);

impl Control {
    /// A free slot: no drivers.
    fn free(sequence: u64) -> Self {
        Self(sequence << SEQUENCE_SHIFT)
    }

    /// An operation that has just begun and that nobody has joined.
    pub(super) fn untouched(sequence: u64) -> Self {
        Self(Self::free(sequence).0 | ONE_DRIVER)
    }

    /// Which use of the slot this is: its ABA generation.
    pub(super) fn sequence(self) -> u64 {
        self.0 >> SEQUENCE_SHIFT
    }

    /// How far the operation is.
    pub(super) fn status(self) -> Status {
        match self.0 & STATUS_MASK {
            0 => Status::Undecided,
            1 => Status::Decided,
            2 => Status::Done,
            _ => Status::Refused,
        }
    }

    /// Whether a thread joined while the operation was undecided. If none did, the owner's marks
    /// are the only ones.
    pub(super) fn is_helped(self) -> bool {
        self.0 & HELPED_BIT != 0
    }

    /// How many threads drive the operation: its owner, while it is there, and helpers.
    pub(super) fn drivers(self) -> u64 {
        self.0 >> DRIVERS_SHIFT & DRIVERS_MASK
    }

    fn with_status(self, status: Status) -> Self {
        Self(self.0 & !STATUS_MASK | status.bits())
    }

    fn joined(self) -> Option<Self> {
        let open = !self.status().is_final() && (1..DRIVERS_MASK).contains(&self.drivers());
        let helped = if self.status() == Status::Undecided { HELPED_BIT } else { 0 };
        open.then(|| Self((self.0 | helped) + ONE_DRIVER))
    }
}

/// The control word itself. Only its transitions write it.
#[derive(Debug)]
pub(super) struct ControlWord(AtomicU64);

impl ControlWord {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(Control::free(1).0))
    }

    /// The current word.
    ///
    /// Acquire pairs with the Release half of every transition. Whoever sees a status sees the
    /// winners, the refusal and the queued record behind it. Whoever sees that the sequence has
    /// moved on sees that the marks of the old use are gone from their cells.
    pub(super) fn load(&self) -> Control {
        Control(self.0.load(Ordering::Acquire))
    }

    /// Takes a free slot. The sequence returned names this use of it.
    pub(super) fn try_begin(&self) -> Option<u64> {
        let seen = self.load();
        let sequence = seen.sequence();
        if seen != Control::free(sequence) || sequence == LAST_SEQUENCE {
            return None;
        }
        self.swap(seen, Control::untouched(sequence)).then_some(sequence)
    }

    /// Joins the drivers of use `sequence`, and returns how far the operation is. Refused once the
    /// operation is final, because its drivers may all be gone.
    pub(super) fn try_join(&self, sequence: u64) -> Option<Control> {
        // Acquire on refusal too: the caller reads its cell again and must find it changed.
        let mut seen = self.load();
        while seen.sequence() == sequence {
            let joined = seen.joined()?;
            if self.swap(seen, joined) {
                return Some(joined);
            }
            seen = self.load();
        }
        None
    }

    /// Moves the status from `from` to `to`, whoever has joined meanwhile. True for the one thread
    /// whose swap did it; false if the operation is no longer at `from`. Only for drivers.
    pub(super) fn advance(&self, from: Status, to: Status) -> bool {
        let mut seen = self.load();
        while seen.status() == from {
            if self.swap(seen, seen.with_status(to)) {
                return true;
            }
            seen = self.load();
        }
        false
    }

    /// Moves the status from [`Undecided`](Status::Undecided) to `to`, provided that nobody has
    /// ever joined.
    pub(super) fn decide_untouched(&self, sequence: u64, to: Status) -> bool {
        let untouched = Control::untouched(sequence);
        self.swap(untouched, untouched.with_status(to))
    }

    /// Removes one driver, unless it is the last. For the last it changes nothing and returns
    /// `false`. Then the caller is alone with the descriptor, because nobody can join a final
    /// operation.
    pub(super) fn leave_unless_last(&self) -> bool {
        let mut seen = self.load();
        debug_assert!(seen.status().is_final(), "nobody leaves an operation that is under way");
        while seen.drivers() > 1 {
            if self.swap(seen, Control(seen.0 - ONE_DRIVER)) {
                return true;
            }
            seen = self.load();
        }
        false
    }

    /// Gives the slot back. Only for the last driver, or for a helper's slot.
    pub(super) fn retire(&self, sequence: u64) {
        // Release pairs with the Acquire of `load`. Whoever sees the new sequence sees that all
        // marks of the old one are gone, and whoever takes the slot sees that nobody needs its
        // notes. A plain store cannot overwrite another thread's swap, because only the last driver
        // is left.
        self.0.store(Control::free(sequence + 1).0, Ordering::Release);
    }

    fn swap(&self, from: Control, to: Control) -> bool {
        // Release publishes what the transition rests on: winners, refusal, queued record, marks
        // taken off. Acquire orders what follows after what others published. Both pair with
        // `load`.
        self.0.compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_control_word_goes_through_one_life_and_starts_the_next() {
        let control = ControlWord::new();
        let sequence = control.try_begin().expect("a new slot is free");
        assert_eq!(control.try_begin(), None, "it is taken");
        assert!(control.load() == Control::untouched(sequence));
        assert!(control.try_join(sequence).is_some_and(Control::is_helped));
        assert!(!control.decide_untouched(sequence, Status::Done), "somebody has joined");
        assert!(control.advance(Status::Undecided, Status::Done));
        assert!(!control.advance(Status::Undecided, Status::Refused), "it is decided");
        assert!(control.try_join(sequence).is_none(), "it is final");
        assert!(control.leave_unless_last());
        assert!(!control.leave_unless_last(), "this one is the last");
        control.retire(sequence);
        assert_eq!(control.try_begin(), Some(sequence + 1));
        assert!(control.try_join(sequence).is_none(), "a stranger's operation");
    }

    #[test]
    fn who_joins_after_the_decision_does_not_set_the_helped_bit() {
        let control = ControlWord::new();
        let sequence = control.try_begin().expect("a new slot is free");
        assert!(control.decide_untouched(sequence, Status::Decided));
        let joined = control.try_join(sequence).expect("it is not final yet");
        assert_eq!((joined.is_helped(), joined.drivers()), (false, 2));
    }

    #[test]
    fn a_slot_without_drivers_cannot_be_joined() {
        let control = ControlWord::new();
        assert!(control.try_join(1).is_none());
    }

    #[test]
    fn a_slot_that_has_had_all_its_uses_is_laid_aside() {
        let control = ControlWord::new();
        control.retire(LAST_SEQUENCE - 1);
        assert_eq!(control.try_begin(), None);
    }
}
