//! What bounds the sales of a level, in one word: its safety stock, and whether its product is
//! under a limit. A reserve reads both by one load.

use crate::base::quantity::MAX_UNITS;
use crate::base::sync::{AtomicU32, Ordering};

/// Set where a rule covers the level's product. The other bits are the safety stock.
const LIMITED: u32 = 1 << 31;

const _: () = assert!(MAX_UNITS & LIMITED == 0, "every safety stock leaves it alone");

/// What bounds the sales of a level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LevelBounds {
    /// So many of the available units are kept back.
    pub(crate) safety_stock: u32,
    /// Whether a rule covers the level's product.
    pub(crate) limited: bool,
}

/// The word that holds them.
///
/// Relaxed in all: settings, which hand over nothing. A call reads them once, and decides by what
/// it has read.
#[derive(Debug)]
pub(super) struct BoundsWord(AtomicU32);

impl BoundsWord {
    /// Nothing is kept back, and no rule covers the product.
    pub(super) fn none() -> Self {
        Self(AtomicU32::new(0))
    }

    #[inline]
    pub(super) fn get(&self) -> LevelBounds {
        let word = self.0.load(Ordering::Relaxed);
        LevelBounds { safety_stock: word & !LIMITED, limited: word & LIMITED != 0 }
    }

    pub(super) fn set_safety_stock(&self, units: u32) {
        debug_assert!(units <= MAX_UNITS, "a count that can be");
        self.change(|word| word & LIMITED | units);
    }

    pub(super) fn set_limited(&self, limited: bool) {
        self.change(|word| if limited { word | LIMITED } else { word & !LIMITED });
    }

    /// Neither setting undoes the other.
    fn change(&self, next: impl Fn(u32) -> u32) {
        let mut word = self.0.load(Ordering::Relaxed);
        while let Err(now) =
            self.0.compare_exchange(word, next(word), Ordering::Relaxed, Ordering::Relaxed)
        {
            word = now;
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_safety_stock_and_a_limit_leave_each_other_alone() {
        let word = BoundsWord::none();
        let bounds = |safety_stock, limited| LevelBounds { safety_stock, limited };
        assert_eq!(word.get(), bounds(0, false));
        word.set_limited(true);
        word.set_safety_stock(MAX_UNITS);
        assert_eq!(word.get(), bounds(MAX_UNITS, true));
        word.set_safety_stock(7);
        assert_eq!(word.get(), bounds(7, true));
        word.set_limited(false);
        assert_eq!(word.get(), bounds(7, false));
    }
}
