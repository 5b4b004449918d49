//! Errors of the journal: what the disk said, and what its bytes say.

use thiserror::Error;

use crate::error::FlushError;

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
    /// What was asked for is older than the oldest entry that is kept.
    #[error(
        "the journal's oldest entry is {oldest}, and an older one was asked for: it was archived or \
         removed"
    )]
    Trimmed {
        /// The oldest entry that is kept.
        oldest: u64,
    },
    /// The directory that is to be the journal's archive holds segments of another one.
    #[error("the archive holds {file:?} of another journal: give each its own directory")]
    OtherJournal {
        /// The segment that is in the way.
        file: String,
    },
    /// The position lies in a tail that a crash has taken since: what was made of entries beyond `to` is
    /// to be undone, or its owner to begin anew.
    #[error("the journal was cut back by a crash: entries after {to} are not those that were seen")]
    Rewound {
        /// The last entry that is still what it was.
        to: u64,
    },
    /// There is no journal: the engine was built without one, the directory does not exist, or no segment
    /// lies in it.
    #[error("there is no journal")]
    NoJournal,
    /// The hash that was noted earlier is nowhere in the journal's chain: it was cut off before, or
    /// rewritten.
    #[error("the journal, of {entries} entries, never had the hash {expected}")]
    OtherHead {
        /// What was noted.
        expected: String,
        /// How many entries there are.
        entries: u64,
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
    /// More products, levels or reservations than an engine can hold. Of reservations, every engine takes
    /// over as many as one has by default; beyond, give it the
    /// [`max_reservations`](crate::Limits::max_reservations) that it had.
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

/// Why notes could not be erased, or not all of them. Whatever was erased stays erased, and the journal is
/// sound: make the call again, or, where the engine has ended, call the function
/// `redact`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RedactError {
    /// The engine has stopped, ended or died: what was done before the call is not all written, so that it
    /// can't be erased either.
    #[error("not all notes were erased: {0}")]
    Unwritten(#[from] FlushError),
    /// The journal's files could not be read or written.
    #[error("not all notes were erased: {0}")]
    Journal(#[from] JournalError),
}

impl RedactError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unwritten(error) => error.is_retryable(),
            Self::Journal(error) => error.is_retryable(),
        }
    }
}
