//! Errors outside the operations: ids, keys, look-ups, and waiting for the audit log.
//!
//! Types only: the loom models compile this file without the rest of the folder. Their tables are
//! in `lookup_table.rs`.

use std::sync::Arc;

/// The longest idempotency key, in bytes.
pub(crate) const MAX_KEY_BYTES: usize = 64;

/// A text or UUID that is not a reservation id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidReservationId;

/// A text that is no [`Owner`](crate::Owner).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidOwner;

/// An idempotency key that is empty or longer than 64 bytes.
///
/// ```
/// use stockade::{InvalidKey, IdempotencyKey};
/// let error = IdempotencyKey::try_from("").unwrap_err();
/// assert_eq!(error, InvalidKey { len: 0 });
/// assert_eq!(error.to_string(), "an idempotency key must be 1 to 64 bytes, not 0");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidKey {
    /// The length that was passed, in bytes.
    pub len: usize,
}

/// The engine has no record of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoReservation {
    /// It has ended, and the engine no longer stores its record.
    Forgotten,
    /// If this engine made it, its record was lost in a crash, before it was on the disk: its units
    /// are available again. The id's time lies between the last entry that an opening of the
    /// journal saved and the next opening, and the id names that opening. No entry has such an id.
    /// Whoever can make up ids can make one up that looks so.
    Lost {
        /// The opening of the journal that ended in the crash; the first one is 1. If four or more
        /// openings saved no entry at all, it may be another one: too low by a multiple of 4.
        opening: u64,
    },
    /// Its record is gone, and nobody knows at present how it ended: the outcome files, which say
    /// so, are being made anew or can't be read. A later look-up may find it. For a look-up by key:
    /// nobody knows at present what the key was answered.
    Gathering,
    /// This engine never made such a reservation. For a look-up by key: no call with the key was
    /// answered, or the key is no longer stored.
    Unknown,
}

/// Why a flush can't confirm that everything was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlushError {
    /// The sink or the disk refuses entries. The engine keeps them and retries. Flush again later.
    Stopped {
        /// What the sink or the disk reported.
        reason: Arc<str>,
    },
    /// The engine was shut down, and its audit writer has ended.
    Closed,
    /// The audit writer died, of a bug of the engine's own. Entries that were not yet written stay
    /// unwritten.
    Poisoned {
        /// The panic's message.
        reason: Arc<str>,
    },
    /// The deadline passed first. Nothing is undone, and the writer goes on.
    TimedOut,
    /// The engine's own sink has asked, from within `append`: the writer would wait for itself.
    InSink,
}
