//! Floor 2, reservations: who holds what, until when.

pub(crate) mod id;
