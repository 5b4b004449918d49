//! Floor 2, reservations: who holds what, until when.

pub(crate) mod id;
#[allow(dead_code, unused_imports, reason = "the manager, which is built next, claims keys")]
pub(crate) mod keys;
