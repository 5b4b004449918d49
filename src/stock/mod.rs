//! Floor 1, stock: the lock-free ground floor. Counts live here, and nothing else may change them.

pub(crate) mod announce;
pub(crate) mod cell;
pub(crate) mod commit;
pub(crate) mod handle;
pub(crate) mod level;
pub(crate) mod sold;
pub(crate) mod tag;
pub(crate) mod warehouse;
pub(crate) mod word;

#[cfg(not(all(loom, feature = "loom")))]
pub(crate) mod catalog;
