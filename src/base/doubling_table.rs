//! A table that grows by segments of doubling length and never moves an element.
//!
//! Segment `k` has `FIRST << k` places. The first thread that needs a segment makes it, and it
//! stays. So a reference into a segment stays valid, and steady state allocates nothing.

use std::sync::OnceLock;

/// Up to `FIRST * (2^SEGMENTS - 1)` values, by number.
#[derive(Debug)]
pub(crate) struct DoublingTable<T, const FIRST: usize, const SEGMENTS: usize> {
    segments: [OnceLock<Box<[T]>>; SEGMENTS],
}

impl<T, const FIRST: usize, const SEGMENTS: usize> DoublingTable<T, FIRST, SEGMENTS> {
    /// How many values fit.
    pub(crate) const CAPACITY: usize = FIRST * ((1 << SEGMENTS) - 1);

    /// A table without segments.
    pub(crate) fn new() -> Self {
        const { assert!(FIRST.is_power_of_two() && SEGMENTS > 0) };
        Self { segments: [const { OnceLock::new() }; SEGMENTS] }
    }

    /// The value of this number, if its segment exists.
    #[inline]
    pub(crate) fn get(&self, number: usize) -> Option<&T> {
        // Nearly all are in the first segment, which is found without a logarithm.
        if number < FIRST {
            return self.segments[0].get()?.get(number);
        }
        let (shelf, place) = Self::find(number);
        self.segments.get(shelf)?.get()?.get(place)
    }

    /// Makes every segment that numbers below `count` need.
    pub(crate) fn grow(&self, count: usize, make: fn() -> T) {
        debug_assert!(count <= Self::CAPACITY);
        let Some(last) = count.checked_sub(1) else { return };
        for shelf in 0..=Self::find(last).0 {
            self.segments[shelf].get_or_init(|| (0..FIRST << shelf).map(|_| make()).collect());
        }
    }

    /// All values of the segments that exist.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.segments.iter().filter_map(OnceLock::get).flat_map(|segment| segment.iter())
    }

    fn find(number: usize) -> (usize, usize) {
        let from_first = number + FIRST;
        let shelf = (from_first.ilog2() - FIRST.ilog2()) as usize;
        (shelf, from_first - (FIRST << shelf))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_place_of_its_own() {
        let segments = DoublingTable::<std::cell::Cell<usize>, 4, 5>::new();
        assert!(segments.get(0).is_none(), "no segment yet");
        let capacity = DoublingTable::<std::cell::Cell<usize>, 4, 5>::CAPACITY;
        segments.grow(capacity, || std::cell::Cell::new(usize::MAX));
        for number in 0..capacity {
            segments.get(number).expect("it has grown").set(number);
        }
        for number in 0..capacity {
            assert_eq!(segments.get(number).expect("it has grown").get(), number);
        }
        assert!(segments.get(capacity).is_none());
        let all: Vec<usize> = segments.iter().map(std::cell::Cell::get).collect();
        assert_eq!(all, (0..capacity).collect::<Vec<_>>());
    }
}
