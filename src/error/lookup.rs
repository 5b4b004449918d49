//! What can go wrong beside the operations: ids, keys, look-ups, and waiting for the audit log.

use std::sync::Arc;

/// The longest key that a caller may bring, in bytes.
pub(crate) const MAX_KEY_BYTES: usize = 64;

/// A text or UUID that is no reservation id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a reservation id: expected a UUID of version 8")]
pub struct InvalidReservationId;

/// A key that is empty or longer than 64 bytes.
///
/// ```
/// use stockade::{InvalidKey, IdempotencyKey};
/// let error = IdempotencyKey::try_from("").unwrap_err();
/// assert_eq!(error, InvalidKey { len: 0 });
/// assert_eq!(error.to_string(), "a request key must be 1 to 64 bytes, not 0");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a request key must be 1 to {MAX_KEY_BYTES} bytes, not {len}")]
pub struct InvalidKey {
    /// The length that was passed, in bytes.
    pub len: usize,
}

/// There is no record of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoReservation {
    /// It ended, and its record is no longer kept.
    #[error("the reservation's record is no longer kept")]
    Forgotten,
    /// This engine never made such a reservation, or knows no such key.
    #[error("there is no such reservation")]
    Unknown,
}

/// Why a flush can't say that everything was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FlushError {
    /// The sink refuses entries. They are kept and the sink is retried: flush again later.
    #[error("the audit sink refuses entries, which are kept: {reason}")]
    Stopped {
        /// What the sink said.
        reason: Arc<str>,
    },
    /// The engine was shut down, and its writer has ended.
    #[error("the engine has been shut down")]
    Closed,
    /// The sink panicked: what was not written before will not be.
    #[error("the audit writer died: {reason}")]
    Poisoned {
        /// What the panic said.
        reason: Arc<str>,
    },
    /// The deadline passed first. Nothing is undone: writing goes on.
    #[error("the deadline passed before everything was written")]
    TimedOut,
}
