//! How a caller waits for another thread.

use std::time::Duration;

use crate::base::sync::{MODELLED, nap, spin_loop, yield_now};

/// How long a waiting caller sleeps between two looks at the queue, at first and at most. It grows,
/// because a thousand callers that look every 50 us leave the writer no time to run.
const FIRST_NAP: Duration = Duration::from_micros(50);
const LONGEST_NAP: Duration = Duration::from_millis(8);

/// As long at most where others wait behind the one who waits.
const LONGEST_BRIEF_NAP: Duration = Duration::from_micros(200);

/// Waiting for another thread: first spin, then let others run, then nap.
pub(super) struct Patience {
    rounds: u32,
    longest_nap: Duration,
}

impl Patience {
    const SPINNING: u32 = 6;
    const YIELDING: u32 = 16;

    pub(super) fn new() -> Self {
        Self { rounds: 0, longest_nap: LONGEST_NAP }
    }

    /// For one whom others wait for: who holds a ticket, or waits for a ticket to be published.
    pub(super) fn brief() -> Self {
        Self { longest_nap: LONGEST_BRIEF_NAP, ..Self::new() }
    }

    /// Whether it has not waited yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.rounds == 0
    }

    /// Waits a little, and each time a little longer.
    pub(super) fn wait(&mut self) {
        self.rounds = self.rounds.saturating_add(1);
        if MODELLED || self.rounds > Self::SPINNING {
            match self.rounds.checked_sub(Self::YIELDING) {
                Some(naps) if naps > 0 => {
                    nap((FIRST_NAP * (1 << naps.min(8))).min(self.longest_nap))
                }
                _ => yield_now(),
            }
        } else {
            (0..1 << self.rounds).for_each(|_| spin_loop());
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn patience_neither_spins_nor_sleeps_for_ever() {
        const NAPS: u32 = 8;
        let mut patience = Patience::new();
        assert!(patience.is_fresh());
        let begun = Instant::now();
        (0..Patience::YIELDING + NAPS).for_each(|_| patience.wait());
        assert!(!patience.is_fresh());
        assert!(begun.elapsed() >= FIRST_NAP * NAPS, "it naps in the end");
        patience.rounds = u32::MAX;
        patience.wait();
        assert!(!patience.is_fresh());
    }
}
