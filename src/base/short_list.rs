//! A list that is nearly always short. Its first items lie in place, so that it allocates nothing.

use std::ops::{Deref, DerefMut};

/// So many lines of a basket or a hold take no list on the heap. Most baskets are short.
pub(crate) const SHORT: usize = 8;

/// A list of items. Up to `N` of them lie in place, more of them in a vector.
#[derive(Debug)]
pub(crate) struct ShortList<T, const N: usize>(Items<T, N>);

#[derive(Debug)]
enum Items<T, const N: usize> {
    /// The first `len` places are the list. The others hold any item, so that no place is ever
    /// without one.
    Few { items: [T; N], len: usize },
    /// More than `N`; or none yet, in a vector that has allocated nothing.
    Many(Vec<T>),
}

impl<T: Copy, const N: usize> ShortList<T, N> {
    /// An empty list, with `any` item in its places.
    #[inline]
    pub(crate) fn holding(any: T) -> Self {
        Self(Items::Few { items: [any; N], len: 0 })
    }

    /// An empty list that gets its places with its first item: for where no item is at hand.
    #[inline]
    pub(crate) fn new() -> Self {
        const { assert!(N > 0) };
        Self(Items::Many(Vec::new()))
    }

    /// Adds an item at the end. Allocates once there are more than `N`.
    #[inline]
    pub(crate) fn push(&mut self, item: T) {
        match &mut self.0 {
            Items::Few { items, len } if *len < N => {
                items[*len] = item;
                *len += 1;
            }
            Items::Many(none) if none.capacity() == 0 => {
                self.0 = Items::Few { items: [item; N], len: 1 };
            }
            _ => self.push_far(item),
        }
    }

    #[cold]
    #[inline(never)]
    fn push_far(&mut self, item: T) {
        match &mut self.0 {
            Items::Many(list) => list.push(item),
            Items::Few { items, .. } => {
                let mut list = Vec::with_capacity(2 * N);
                list.extend_from_slice(items);
                list.push(item);
                self.0 = Items::Many(list);
            }
        }
    }
}

impl<T, const N: usize> Deref for ShortList<T, N> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match &self.0 {
            Items::Few { items, len } => &items[..*len],
            Items::Many(list) => list,
        }
    }
}

impl<T, const N: usize> DerefMut for ShortList<T, N> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        match &mut self.0 {
            Items::Few { items, len } => &mut items[..*len],
            Items::Many(list) => list,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_what_was_pushed_whether_it_is_short_or_long() {
        for mut list in [ShortList::<u32, 4>::new(), ShortList::holding(9)] {
            assert!(list.is_empty());
            for length in 1..=20 {
                list.push(length);
                assert!(list.iter().copied().eq(1..=length), "{list:?}");
            }
        }
    }

    #[test]
    fn a_short_list_is_changed_in_place() {
        let mut list = ShortList::<u32, 4>::new();
        [3, 1, 2].into_iter().for_each(|item| list.push(item));
        list.sort_unstable();
        assert_eq!(*list, [1, 2, 3]);
    }
}
