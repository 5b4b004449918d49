//! Floor 3, audit: everything about the record of what happened.
#![allow(dead_code)]

pub(crate) mod bell;
pub(crate) mod gate;
pub(crate) mod queue;

#[cfg(not(all(loom, feature = "loom")))]
pub(crate) mod entry;
#[cfg(not(all(loom, feature = "loom")))]
pub(crate) mod flush;
#[cfg(not(all(loom, feature = "loom")))]
pub(crate) mod pool;
#[cfg(not(all(loom, feature = "loom")))]
pub(crate) mod record;
