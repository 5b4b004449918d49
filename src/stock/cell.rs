//! One atomic stock word, and the one compare-and-swap loop that changes it (Law 1).

use crate::stock::word::{Delta, Word};
use crate::sync::{AtomicU64, Ordering};

/// A stock word that many threads read and change: a level's counts, or a warehouse's room.
#[derive(Debug)]
pub(crate) struct Cell {
    word: AtomicU64,
}

/// What a successful swap replaced, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) before: Word,
    pub(crate) after: Word,
}

impl Cell {
    /// A cell that starts with `word`.
    pub(crate) fn new(word: Word) -> Self {
        Self { word: AtomicU64::new(word.bits()) }
    }

    /// Both counts at one instant. Never waits.
    pub(crate) fn read(&self) -> Word {
        // Acquire pairs with the Release half of the swap in `apply`: whoever sees units given
        // back also sees that the giver has queued its audit entry (Law 2).
        counts(self.word.load(Ordering::Acquire))
    }

    /// Applies `delta` if it fits, and says what the swap replaced; otherwise changes nothing and
    /// returns the word that was short. Lock-free: a failed swap means that another one succeeded.
    pub(crate) fn apply(&self, delta: Delta) -> Result<Change, Word> {
        let mut before = self.read();
        loop {
            let Some(after) = before.apply(delta) else {
                return Err(before);
            };
            #[cfg(planted = "cell_swapped_blindly")]
            {
                self.word.store(after.bits(), Ordering::Release);
                return Ok(Change { before, after });
            }
            // AcqRel: Release hands on what this thread did before it gave (the queued entry);
            // Acquire, here and where the swap fails, takes over what earlier givers did before.
            match self.word.compare_exchange_weak(
                before.bits(),
                after.bits(),
                if cfg!(planted = "cell_swap_relaxed") {
                    Ordering::Relaxed
                } else {
                    Ordering::AcqRel
                },
                Ordering::Acquire,
            ) {
                Ok(_) => return Ok(Change { before, after }),
                Err(now) => before = counts(now),
            }
        }
    }
}

/// The counts behind what a cell holds.
fn counts(bits: u64) -> Word {
    Word::from_bits(bits).unwrap_or_default()
}
