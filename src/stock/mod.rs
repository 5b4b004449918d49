//! Floor 1, stock: the lock-free ground floor. Counts live here, and nothing else may change them.

#[allow(dead_code, reason = "the floors above are to call it")]
pub(crate) mod announce;
#[allow(dead_code, reason = "the floors above are to call it")]
pub(crate) mod cell;
#[allow(dead_code, unused_imports, reason = "the floors above are to call it")]
pub(crate) mod commit;
pub(crate) mod handle;
#[allow(dead_code, reason = "the floors above are to call it")]
pub(crate) mod word;
