//! A table that grows by segments and never moves an element. `lines.rs` has the one for slots.

use std::sync::OnceLock;

use crate::base::sync::MODELLED;

/// Elements of one segment: 4,096, so that adding one takes some tens of microseconds at most.
pub(crate) const SEGMENT: usize = if MODELLED { 4 } else { 4_096 };

/// A table of up to a fixed number of elements. It makes a segment when an element of it is first
/// asked for.
///
/// A look-up is two loads. Only adding a segment may wait for another thread: if two add the same
/// one, the second waits while the first fills it.
#[derive(Debug)]
pub(crate) struct Table<T> {
    // Arrays, not slices: an index below their length needs no bounds check.
    segments: Box<[OnceLock<Box<[T; SEGMENT]>>]>,
    make: fn() -> T,
}

impl<T> Table<T> {
    /// An empty table of at most `capacity` elements, rounded up to whole segments.
    pub(crate) fn new(capacity: usize, make: fn() -> T) -> Self {
        let segments = (0..capacity.div_ceil(SEGMENT)).map(|_| OnceLock::new()).collect();
        let table = Self { segments, make };
        // Loom wants every atomic made before the threads that share it.
        #[cfg(all(loom, feature = "loom"))]
        (0..table.segments.len()).for_each(|segment| _ = table.ensure(segment * SEGMENT));
        table
    }

    /// The element, if its segment exists.
    #[inline(always)]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        self.segments.get(index / SEGMENT)?.get().map(|segment| &segment[index % SEGMENT])
    }

    /// The element; makes its segment if need be. `None` beyond the capacity.
    #[inline(always)]
    pub(crate) fn ensure(&self, index: usize) -> Option<&T> {
        let segment = self.segments.get(index / SEGMENT)?;
        let segment = match segment.get() {
            Some(segment) => segment,
            None => self.fill(segment),
        };
        Some(&segment[index % SEGMENT])
    }

    /// How many bytes its segments take.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        let filled = self.segments.iter().filter(|segment| segment.get().is_some()).count();
        size_of_val(&*self.segments) + filled * size_of::<[T; SEGMENT]>()
    }

    #[cold]
    #[inline(never)]
    fn fill<'t>(&self, segment: &'t OnceLock<Box<[T; SEGMENT]>>) -> &'t [T; SEGMENT] {
        segment.get_or_init(|| {
            let elements: Box<[T]> = (0..SEGMENT).map(|_| (self.make)()).collect();
            // Exactly `SEGMENT` elements were made.
            elements.try_into().unwrap_or_else(|_| unreachable!("a segment has a fixed length"))
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn elements_appear_a_segment_at_a_time() {
        let table = Table::new(SEGMENT + 1, || 7);
        assert_eq!(table.get(SEGMENT), None);
        assert_eq!(table.ensure(SEGMENT), Some(&7));
        assert_eq!(table.get(2 * SEGMENT - 1), Some(&7));
        assert_eq!(table.get(0), None);
        assert_eq!(table.ensure(2 * SEGMENT), None);
    }
}
