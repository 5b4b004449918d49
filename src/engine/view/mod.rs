//! Views of the engine from outside: its reservations, its counts, its figures and its health.

pub(super) mod filed;
pub(super) mod holders;
#[cfg(feature = "metrics")]
pub(super) mod metrics;
pub(super) mod outcome;
mod overdue;
pub(super) mod queries;
pub(super) mod reservation;
pub(super) mod snapshot;
pub(super) mod stats;
#[cfg(feature = "journal")]
pub(super) mod verify;
