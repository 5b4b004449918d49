//! The engine seen from outside: what it holds, and how it is.

pub(super) mod reservation;
pub(super) mod snapshot;
pub(super) mod stats;
