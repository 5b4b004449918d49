//! Errors of the journal: what the disk said, and what its bytes say.

use std::fmt;

use crate::base::error::FlushError;
use crate::base::error::facts::{Facts, error_answers, error_table};

/// Why a journal can't be opened, read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JournalError {
    /// The storage refused.
    Storage {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file, or the directory, it was tried on.
        file: String,
        /// What the storage said.
        reason: String,
    },
    /// Another process, or another engine of this one, has the journal open for writing.
    Locked,
    /// Bytes that were recorded as durable can't be read as what they were: nothing is overwritten.
    Damaged {
        /// The file.
        file: String,
        /// Where in it.
        offset: u64,
        /// What was found.
        what: String,
    },
    /// The journal was written by a later version of this library.
    Version {
        /// The file.
        file: String,
        /// Its version.
        found: u16,
        /// The newest that is understood.
        newest: u16,
    },
    /// The bytes are sound, but what they say can't have happened.
    BrokenLaw {
        /// The entry's sequence number.
        sequence: u64,
        /// What can't be.
        what: String,
    },
    /// What was asked for is older than the oldest entry that is kept.
    Trimmed {
        /// The oldest entry that is kept.
        oldest: u64,
    },
    /// The directory that is to be the journal's archive holds segments of another one.
    OtherJournal {
        /// The segment that is in the way.
        file: String,
    },
    /// The position lies in a tail that a crash has taken since: what was made of entries beyond `to` is
    /// to be undone, or its owner to begin anew.
    Rewound {
        /// The last entry that is still what it was.
        to: u64,
    },
    /// There is no journal: the engine was built without one, the directory does not exist, or no segment
    /// lies in it.
    NoJournal,
    /// The hash that was noted earlier is nowhere in the journal's chain: it was cut off before, or
    /// rewritten.
    OtherHead {
        /// What was noted.
        expected: String,
        /// How many entries there are.
        entries: u64,
    },
    /// The journal knows a warehouse that the builder was not given.
    MissingWarehouse {
        /// Its name.
        warehouse: String,
    },
    /// The builder gave a warehouse less room than what lies in it.
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
    TooMany {
        /// Of what.
        what: &'static str,
    },
}

error_table! {
    JournalError {
        Self::Storage { action, file, reason } => Unavailable("storage_failed").retry(),
            "could not {action} {file:?}: {reason}";
        Self::Locked => Busy("journal_locked").retry(), "the journal is open elsewhere";
        Self::Damaged { file, offset, what } => Damaged("journal_damaged"),
            "the journal is damaged: {what}, in {file:?} at byte {offset}";
        Self::Version { file, found, newest } => Invalid("journal_version"),
            "{file:?} has format version {found}, and this library reads up to {newest}";
        Self::BrokenLaw { sequence, what } => Damaged("broken_law"),
            "entry {sequence} breaks a law: {what}";
        Self::Trimmed { oldest } => Gone("journal_trimmed"),
            "the journal's oldest entry is {oldest}, and an older one was asked for: it was \
             archived or removed";
        Self::OtherJournal { file } => Conflict("other_journal"),
            "the archive holds {file:?} of another journal: give each its own directory";
        Self::Rewound { to } => Gone("journal_rewound"),
            "the journal was cut back by a crash: entries after {to} are not those that were seen";
        Self::NoJournal => NotFound("no_journal"), "there is no journal";
        Self::OtherHead { expected, entries } => Damaged("other_head"),
            "the journal, of {entries} entries, never had the hash {expected}";
        Self::MissingWarehouse { warehouse } => Invalid("missing_warehouse"),
            "the journal has stock of warehouse {warehouse:?}, which the builder was not given";
        Self::CapacityBelowStock { warehouse, capacity, on_hand } =>
            Invalid("capacity_below_stock"),
            "warehouse {warehouse:?} holds {on_hand} units, more than its new capacity {capacity}";
        Self::TooMany { what } => Limit("journal_too_large"),
            "the journal holds more {what} than an engine can";
    }
}

/// Why notes could not be erased, or not all of them. Whatever was erased stays erased, and the journal is
/// sound: make the call again, or, where the engine has ended, call the function
/// `redact`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedactError {
    /// The engine has stopped, ended or died: what was done before the call is not all written, so that it
    /// can't be erased either.
    Unwritten(FlushError),
    /// The journal's files could not be read or written.
    Journal(JournalError),
}

impl RedactError {
    pub(crate) fn facts(&self) -> Facts {
        match self {
            Self::Unwritten(error) => error.facts(),
            Self::Journal(error) => error.facts(),
        }
    }
}

error_answers!(RedactError);

impl fmt::Display for RedactError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cause: &dyn fmt::Display = match self {
            Self::Unwritten(error) => error,
            Self::Journal(error) => error,
        };
        write!(f, "not all notes were erased: {cause}")
    }
}

impl std::error::Error for RedactError {}

impl From<FlushError> for RedactError {
    fn from(error: FlushError) -> Self {
        Self::Unwritten(error)
    }
}

impl From<JournalError> for RedactError {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}
