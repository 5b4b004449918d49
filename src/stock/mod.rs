//! Floor 1, stock: the lock-free counts. Only this floor changes them.

pub(crate) mod allowance;
pub(crate) mod bounds;
pub(crate) mod cell;
pub(crate) mod handle;
pub(crate) mod level;
pub(crate) mod mcas;
pub(crate) mod places;
pub(crate) mod sold;
pub(crate) mod tag;
pub(crate) mod warehouse;
pub(crate) mod word;

#[cfg(not(all(loom, feature = "loom")))]
pub(crate) mod catalog;
