//! Floor 2, reservations: who holds what, until when.

pub(crate) mod expiry;
pub(crate) mod id;
pub(crate) mod keys;
pub(crate) mod magazines;
pub(crate) mod slot;
pub(crate) mod slots;
pub(crate) mod state;
pub(crate) mod view;
