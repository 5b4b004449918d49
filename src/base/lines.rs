//! A table of cache lines that grows by segments and never moves a line.
//!
//! ```text
//!   line       0 ........ 131,071   131,072 ....................................
//!   segments   32 of 256 KB each    64 MB each; the first one's first lines unused
//! ```
//!
//! It is made for many lines that are met at random: in segments of 64 MB, a system that has huge
//! pages (2 MB) can use them. Then a line that is far from all others costs a miss of the cache,
//! and seldom one of the page table's besides. A segment is memory that the allocator promises to
//! be zero, and a line begins as zeros. So adding a segment touches none of its pages: each comes
//! from the system when a line in it is first used. The small segments come first, so that an
//! engine with few holds asks the system for little.
//!
//! The usual allocator takes pages that are zero already, without writing them, only for what need
//! not be aligned to more than 16 bytes. So a segment is an array of words with room for one line
//! more, and its first line is the first that begins on a cache line.

use crate::base::sync::AtomicU64;

/// The words of one line.
pub(crate) const WORDS: usize = 8;

/// A cache line of atomics. All are zero until somebody writes one.
pub(crate) type Line = [AtomicU64; WORDS];

#[cfg(any(all(loom, feature = "loom"), all(shuttle, feature = "shuttle")))]
pub(crate) use modelled::ModelLines as Lines;
#[cfg(not(any(all(loom, feature = "loom"), all(shuttle, feature = "shuttle"))))]
pub(crate) use native::Lines;

#[cfg(not(any(all(loom, feature = "loom"), all(shuttle, feature = "shuttle"))))]
mod native {
    use std::alloc::{Layout, handle_alloc_error};
    use std::sync::OnceLock;

    use bytemuck::allocation::try_zeroed_box;

    use super::{AtomicU64, Line, WORDS};

    /// The lines of a small segment: 256 KB.
    pub(super) const SMALL: usize = 1 << 12;
    /// The lines of a big segment: 64 MB. All but its ends, which share a huge page with what lies
    /// beside it, is whole huge pages, wherever it begins.
    pub(super) const BIG: usize = 1 << 20;
    /// The lines in small segments. Those that a usual engine's finished records take are among
    /// them.
    pub(super) const FEW: usize = 1 << 17;

    const SMALL_WORDS: usize = (SMALL + 1) * WORDS;
    const BIG_WORDS: usize = (BIG + 1) * WORDS;

    /// A table of up to a fixed number of lines. It makes a segment when a line of it is first
    /// asked for.
    ///
    /// A look-up is two loads. Only adding a segment may wait for another thread that adds it.
    #[derive(Debug)]
    pub(crate) struct Lines {
        small: Box<[LineSegment<SMALL_WORDS>]>,
        /// By number, from line 0 on: the lines of the first that are among the few stay unused.
        big: Box<[LineSegment<BIG_WORDS>]>,
        capacity: usize,
    }

    /// Lines, once they are needed.
    #[derive(Debug)]
    struct LineSegment<const N: usize>(OnceLock<Box<[AtomicU64; N]>>);

    impl Lines {
        /// An empty table of at most `capacity` lines, rounded up to whole small segments.
        pub(crate) fn new(capacity: usize) -> Self {
            let small = capacity.min(FEW).div_ceil(SMALL);
            let big = if capacity > FEW { capacity.div_ceil(BIG) } else { 0 };
            Self {
                small: (0..small).map(|_| LineSegment::new()).collect(),
                big: (0..big).map(|_| LineSegment::new()).collect(),
                capacity: capacity.next_multiple_of(SMALL),
            }
        }

        /// The most lines there can be.
        pub(crate) fn capacity(&self) -> usize {
            self.capacity
        }

        /// The line, if its segment exists.
        #[inline(always)]
        pub(crate) fn get(&self, index: usize) -> Option<&Line> {
            if index < FEW {
                self.small.get(index / SMALL)?.line(index % SMALL)
            } else {
                self.big.get(index / BIG)?.line(index % BIG)
            }
        }

        /// The line; makes its segment if need be. `None` beyond the capacity.
        pub(crate) fn ensure(&self, index: usize) -> Option<&Line> {
            if index >= self.capacity {
                return None;
            }
            if index < FEW {
                self.small.get(index / SMALL)?.make();
            } else {
                self.big.get(index / BIG)?.make();
            }
            self.get(index)
        }
    }

    impl<const N: usize> LineSegment<N> {
        fn new() -> Self {
            Self(OnceLock::new())
        }

        #[inline(always)]
        fn line(&self, place: usize) -> Option<&Line> {
            let words = self.0.get()?;
            // Words before the first that begins on a cache line.
            let before = words.as_ptr().addr().wrapping_neg() / size_of::<u64>() % WORDS;
            words[before + place * WORDS..].first_chunk()
        }

        fn make(&self) {
            let layout = Layout::new::<[AtomicU64; N]>();
            self.0.get_or_init(|| try_zeroed_box().unwrap_or_else(|()| handle_alloc_error(layout)));
        }
    }
}

/// What the model checkers see: their atomics are no plain words, and small tables grow soon.
#[cfg(any(all(loom, feature = "loom"), all(shuttle, feature = "shuttle")))]
mod modelled {
    use super::{AtomicU64, Line};
    use crate::base::table::{SEGMENT, Table};

    #[derive(Debug)]
    pub(crate) struct ModelLines {
        lines: Table<Line>,
        capacity: usize,
    }

    impl ModelLines {
        pub(crate) fn new(capacity: usize) -> Self {
            let lines = Table::new(capacity, || std::array::from_fn(|_| AtomicU64::new(0)));
            Self { lines, capacity: capacity.next_multiple_of(SEGMENT) }
        }

        pub(crate) fn capacity(&self) -> usize {
            self.capacity
        }

        pub(crate) fn get(&self, index: usize) -> Option<&Line> {
            self.lines.get(index)
        }

        pub(crate) fn ensure(&self, index: usize) -> Option<&Line> {
            self.lines.ensure(index)
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::native::{BIG, FEW, SMALL};
    use super::*;
    use crate::base::sync::Ordering;

    #[test]
    fn each_number_has_a_cache_line_of_its_own_that_begins_as_zeros() {
        let lines = Lines::new(BIG + FEW);
        let numbers = [0, 1, SMALL - 1, SMALL, FEW - 1, FEW, FEW + 1, BIG - 1, BIG, BIG + FEW - 1];
        for number in numbers {
            let line = lines.ensure(number).expect("within the capacity");
            assert_eq!(line.as_ptr().addr() % size_of::<Line>(), 0, "line {number}");
            for word in line {
                assert_eq!(word.swap(number as u64 + 1, Ordering::Relaxed), 0, "line {number}");
            }
        }
        for number in numbers {
            let line = lines.get(number).expect("it is there");
            assert!(line.iter().all(|word| word.load(Ordering::Relaxed) == number as u64 + 1));
        }
    }

    #[test]
    fn a_segment_appears_with_its_first_line_and_none_beyond_the_capacity() {
        let lines = Lines::new(SMALL + 1);
        assert_eq!(lines.capacity(), 2 * SMALL);
        assert!(lines.get(SMALL).is_none() && lines.ensure(SMALL).is_some());
        assert!(lines.get(2 * SMALL - 1).is_some() && lines.get(0).is_none());
        for beyond in [2 * SMALL, FEW, BIG, usize::MAX] {
            assert!(lines.get(beyond).is_none() && lines.ensure(beyond).is_none());
        }
        let lines = Lines::new(FEW + 1);
        assert_eq!(lines.capacity(), FEW + SMALL);
        assert!(lines.ensure(FEW + SMALL - 1).is_some() && lines.ensure(FEW + SMALL).is_none());
    }
}
