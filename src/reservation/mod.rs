//! Floor 2, reservations: who holds what, until when.

pub(crate) mod id;
#[allow(dead_code, reason = "the manager, which is built next, claims keys")]
pub(crate) mod keys;
