//! Limits per customer, and the customers who come.

/// Steps through a caller's customers so that neighbours lie far apart. It is a prime, so every
/// customer comes once before one comes again.
const STRIDE: u64 = 2_654_435_761;

/// A limit: each customer may have so many units of all products together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) maximum: u32,
    /// How many customers there are, for all callers together. Each caller serves as many of its
    /// own.
    pub(crate) customers: u64,
}

impl Limit {
    /// The customers of each of so many callers.
    pub(crate) fn customers_each(self, callers: usize) -> u64 {
        self.customers / callers as u64
    }

    /// Those of the caller with this number.
    pub(crate) fn customers_of(self, caller: usize, callers: usize) -> Customers {
        let count = self.customers_each(callers);
        assert!(count > 0, "a customer for each caller");
        Customers { first: caller as u64 * count, count, step: STRIDE % count, place: 0 }
    }
}

/// The customers of one caller, in an endless turn.
#[derive(Clone, Debug)]
pub(crate) struct Customers {
    first: u64,
    count: u64,
    step: u64,
    place: u64,
}

impl Customers {
    /// The customer who comes next.
    #[inline]
    pub(crate) fn next(&mut self) -> u64 {
        self.place += self.step;
        if self.place >= self.count {
            self.place -= self.count;
        }
        self.first + self.place
    }
}
