//! Floor 1, stock: the lock-free ground floor. Counts live here, and nothing else may change them.

pub(crate) mod cell;
pub(crate) mod handle;
pub(crate) mod word;
