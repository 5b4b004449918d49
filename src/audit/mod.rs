//! Floor 3, audit: everything about the record of what happened.
//!
//! Models run the queue, its gate and the writer's bell; the rooms around them have threads and locks
//! of their own and stay out of the model checker's build.
#![allow(dead_code)]

pub(crate) mod bell;
pub(crate) mod gate;
pub(crate) mod queue;

#[cfg(not(all(loom, feature = "loom")))]
pub(crate) mod entry;
#[cfg(not(all(loom, feature = "loom")))]
pub(crate) mod flush;
#[cfg(not(all(loom, feature = "loom")))]
pub(crate) mod log;
#[cfg(not(all(loom, feature = "loom")))]
pub(crate) mod memory;
#[cfg(not(all(loom, feature = "loom")))]
pub(crate) mod pool;
#[cfg(not(all(loom, feature = "loom")))]
pub(crate) mod record;
#[cfg(not(all(loom, feature = "loom")))]
pub(crate) mod recorder;
#[cfg(not(all(loom, feature = "loom")))]
pub(crate) mod sink;
#[cfg(not(all(loom, feature = "loom")))]
pub(crate) mod view;
#[cfg(not(all(loom, feature = "loom")))]
pub(crate) mod writer;

#[cfg(all(any(test, feature = "testing"), not(all(loom, feature = "loom"))))]
pub(crate) mod faulty;

#[cfg(all(test, not(all(loom, feature = "loom"))))]
mod tests;
