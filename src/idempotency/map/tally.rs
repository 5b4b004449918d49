//! A count that many threads change and few read: each part of the map has taken some of it ahead,
//! so that most changes touch no memory that other parts' calls touch.

use crate::base::sync::{AtomicUsize, Ordering};

/// What a part has taken of a count and not used yet. Changed under the part's lock alone.
#[derive(Debug)]
pub(super) struct Ahead(AtomicUsize);

impl Ahead {
    pub(super) fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    // Relaxed: the lock of the part orders all changes, and other readers want a figure.
    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, ahead: usize) {
        self.0.store(ahead, Ordering::Relaxed);
    }
}

/// Of a bound of so many or more, a part takes several at a time: so few that what all parts have
/// taken ahead is a small part of it.
const MANY: usize = 1 << 16;
/// Most that is taken at a time.
const MOST_AHEAD: usize = 32;

/// A count with a bound. What it has at most is what is used and what the parts have
/// [`Ahead`].
#[derive(Debug)]
pub(super) struct Tally {
    taken: AtomicUsize,
    /// How many a part takes at a time.
    step: usize,
}

impl Tally {
    /// A count of 0, for a bound of so many.
    pub(super) fn new(bound: usize) -> Self {
        Self { taken: AtomicUsize::new(0), step: (bound / MANY).clamp(1, MOST_AHEAD) }
    }

    /// The count, and what parts have ahead.
    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Counts one more, whatever the bound.
    #[inline]
    pub(super) fn count_up(&self, own: &Ahead) {
        match own.get() {
            0 => {
                // Relaxed, here and below: the count alone decides, and no other memory hangs on
                // it.
                self.taken.fetch_add(self.step, Ordering::Relaxed);
                own.set(self.step - 1);
            }
            ahead => own.set(ahead - 1),
        }
    }

    /// Counts one more, if that is within the bound. `false` may rest on what parts have ahead.
    #[inline]
    pub(super) fn count_up_to(&self, bound: usize, own: &Ahead) -> bool {
        match own.get() {
            0 => self.take_ahead(bound, own),
            ahead => {
                own.set(ahead - 1);
                true
            }
        }
    }

    fn take_ahead(&self, bound: usize, own: &Ahead) -> bool {
        // Near the bound, one is taken at a time.
        for step in [self.step, 1] {
            if self.taken.fetch_add(step, Ordering::Relaxed).saturating_add(step) <= bound {
                own.set(step - 1);
                return true;
            }
            self.taken.fetch_sub(step, Ordering::Relaxed);
        }
        false
    }

    /// Counts one less.
    #[inline]
    pub(super) fn count_down(&self, own: &Ahead) {
        let mut ahead = own.get() + 1;
        // Of steps of one, nothing is kept.
        if ahead >= 2 * self.step - 1 {
            self.give_back(self.step);
            ahead -= self.step;
        }
        own.set(ahead);
    }

    /// Takes back what a part has ahead, and says how many that was.
    pub(super) fn collect(&self, own: &Ahead) -> usize {
        let ahead = own.get();
        if ahead > 0 {
            self.give_back(ahead);
            own.set(0);
        }
        ahead
    }

    fn give_back(&self, count: usize) {
        let before = self.taken.fetch_sub(count, Ordering::Relaxed);
        debug_assert!(before >= count, "a key was dropped twice");
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_small_bound_is_kept_to_the_last_one() {
        let (tally, parts) = (Tally::new(3), [Ahead::new(), Ahead::new()]);
        assert!((0..3).all(|it| tally.count_up_to(3, &parts[it % 2])));
        assert!(parts.iter().all(|own| !tally.count_up_to(3, own) && own.get() == 0));
        tally.count_down(&parts[1]);
        assert_eq!((tally.taken(), parts[1].get()), (2, 0));
        tally.count_up(&parts[0]);
        tally.count_up(&parts[0]);
        assert_eq!(tally.taken(), 4, "a bound that others keep");
    }

    #[test]
    fn a_large_bound_is_reached_once_the_parts_give_back_what_they_have_ahead() {
        let bound = 4 * MANY;
        let (tally, parts) = (Tally::new(bound), [(); 3].map(|()| Ahead::new()));
        let mut used = 0;
        let mut fill = || {
            while let Some(own) = parts.iter().find(|own| tally.count_up_to(bound, own)) {
                used += 1;
                let ahead: usize = parts.iter().map(Ahead::get).sum();
                assert!(own.get() < 8 && tally.taken() == used + ahead && tally.taken() <= bound);
            }
            used
        };
        assert_eq!(fill(), bound);
        for _ in 0..100 {
            tally.count_down(&parts[1]);
            assert!(parts[1].get() < 8);
        }
        assert!(tally.count_up_to(bound, &parts[1]));
        assert_eq!(tally.collect(&parts[1]), 3);
        assert_eq!((tally.collect(&parts[1]), tally.taken()), (0, bound - 99));
    }
}
