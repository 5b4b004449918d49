//! What can go wrong beside the operations: ids, keys, look-ups, and waiting for the audit log.
//!
//! The types only, since the models compile this file alone; `lookup_told.rs` says what they tell.

use std::sync::Arc;

/// The longest key that a caller may bring, in bytes.
pub(crate) const MAX_KEY_BYTES: usize = 64;

/// A text or UUID that is no reservation id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidReservationId;

/// A key that is empty or longer than 64 bytes.
///
/// ```
/// use stockade::{InvalidKey, IdempotencyKey};
/// let error = IdempotencyKey::try_from("").unwrap_err();
/// assert_eq!(error, InvalidKey { len: 0 });
/// assert_eq!(error.to_string(), "a request key must be 1 to 64 bytes, not 0");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidKey {
    /// The length that was passed, in bytes.
    pub len: usize,
}

/// There is no record of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoReservation {
    /// It ended, and its record is no longer kept.
    Forgotten,
    /// This engine never made such a reservation, or knows no such key.
    Unknown,
}

/// Why a flush can't say that everything was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlushError {
    /// The sink refuses entries. They are kept and the sink is retried: flush again later.
    Stopped {
        /// What the sink said.
        reason: Arc<str>,
    },
    /// The engine was shut down, and its writer has ended.
    Closed,
    /// The sink panicked: what was not written before will not be.
    Poisoned {
        /// What the panic said.
        reason: Arc<str>,
    },
    /// The deadline passed first. Nothing is undone: writing goes on.
    TimedOut,
}
