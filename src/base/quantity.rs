//! Quantities: the one place that says which numbers of units are legal.

use std::fmt;
use std::num::NonZeroU32;

/// The most units in one count, one quantity or one capacity: 2^31 - 1.
///
/// A stock word holds each of its two counts in 31 bits. A warehouse never holds more than its
/// capacity, and no capacity is larger than this. So no count can overflow.
pub const MAX_UNITS: u32 = (1 << 31) - 1;

/// A number of units that an operation may move: 1 to [`MAX_UNITS`].
///
/// Callers pass plain `u32`. Every operation parses it once, at its start, so the code behind it
/// never meets a zero or an overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Quantity(NonZeroU32);

impl Quantity {
    /// Parses a caller's number.
    pub(crate) fn new(units: u32) -> Result<Self, InvalidQuantity> {
        match NonZeroU32::new(units) {
            Some(nonzero) if units <= MAX_UNITS => Ok(Self(nonzero)),
            _ => Err(InvalidQuantity { units }),
        }
    }

    /// The number of units.
    pub(crate) fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A quantity of 0, or of more than [`MAX_UNITS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidQuantity {
    /// The number that was passed.
    pub units: u32,
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_one_to_max_units() {
        assert_eq!(Quantity::new(0), Err(InvalidQuantity { units: 0 }));
        assert_eq!(Quantity::new(1).map(Quantity::get), Ok(1));
        assert_eq!(Quantity::new(MAX_UNITS).map(Quantity::get), Ok(MAX_UNITS));
        assert_eq!(Quantity::new(MAX_UNITS + 1), Err(InvalidQuantity { units: 1 << 31 }));
    }
}
