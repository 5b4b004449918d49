//! Floor 2, reservations: who holds what, and until when.

pub(crate) mod chain;
pub(crate) mod deadlines;
pub(crate) mod free_list;
pub(crate) mod holders;
pub(crate) mod id;
pub(crate) mod line;
pub(crate) mod slot;
pub(crate) mod slots;
pub(crate) mod state;
pub(crate) mod steps;
pub(crate) mod view;
