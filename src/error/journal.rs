//! Errors of the journal: what the disk said, and what its bytes say.

use thiserror::Error;

/// Why a journal can't be opened, read or written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The storage refused.
    #[error("could not {action} {file:?}: {reason}")]
    Storage {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file, or the directory, it was tried on.
        file: String,
        /// What the storage said.
        reason: String,
    },
    /// Another process, or another engine of this one, has the journal open for writing.
    #[error("the journal is open elsewhere")]
    Locked,
    /// Bytes that were recorded as durable can't be read as what they were: nothing is overwritten.
    #[error("the journal is damaged: {what}, in {file:?} at byte {offset}")]
    Damaged {
        /// The file.
        file: String,
        /// Where in it.
        offset: u64,
        /// What was found.
        what: String,
    },
    /// There is no journal: the directory does not exist, or no segment lies in it. For who only
    /// reads; an engine begins a new one.
    #[error("there is no journal")]
    Missing,
    /// The journal never had this head: it was cut off before it, or another one was put in its place.
    #[error("the journal never had the head {expected}")]
    UnknownHead {
        /// The hash that was expected, in hexadecimal digits.
        expected: String,
    },
    /// The journal was written by a later version of this library.
    #[error("{file:?} has format version {found}, and this library reads up to {newest}")]
    Version {
        /// The file.
        file: String,
        /// Its version.
        found: u16,
        /// The newest that is understood.
        newest: u16,
    },
    /// The bytes are sound, but what they say can't have happened.
    #[error("entry {sequence} breaks a law: {what}")]
    BrokenLaw {
        /// The entry's sequence number.
        sequence: u64,
        /// What can't be.
        what: String,
    },
    /// The journal knows a warehouse that the builder was not given.
    #[error("the journal has stock of warehouse {warehouse:?}, which the builder was not given")]
    MissingWarehouse {
        /// Its name.
        warehouse: String,
    },
    /// The builder gave a warehouse less room than what lies in it.
    #[error("warehouse {warehouse:?} holds {on_hand} units, more than its new capacity {capacity}")]
    CapacityBelowStock {
        /// The warehouse.
        warehouse: String,
        /// What the builder gave it.
        capacity: u32,
        /// What the journal says lies in it.
        on_hand: u64,
    },
    /// More products, levels or reservations than an engine can hold.
    #[error("the journal holds more {what} than an engine can")]
    TooMany {
        /// Of what.
        what: &'static str,
    },
}

impl JournalError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Locked | Self::Storage { .. })
    }
}
