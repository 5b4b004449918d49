//! Floor 2, reservations: who holds what, until when.

pub(crate) mod chain;
pub(crate) mod expiry;
pub(crate) mod id;
pub(crate) mod line;
pub(crate) mod magazine;
pub(crate) mod magazines;
pub(crate) mod moves;
mod ready;
pub(crate) mod slot;
pub(crate) mod slots;
pub(crate) mod state;
pub(crate) mod steps;
pub(crate) mod view;

// A map with locks of its own, which the model checker can't see into.
#[cfg(not(all(loom, feature = "loom")))]
pub(crate) mod keys;
