//! Errors of the journal: what the storage reported, and what is wrong in the bytes.

use std::fmt;

use crate::base::error::FlushError;
use crate::base::error::facts::{Facts, error_answers, error_table};

/// Why a journal can't be opened, read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JournalError {
    /// The storage reported an error.
    Storage {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or directory that it was tried on.
        file: String,
        /// What the storage reported.
        reason: String,
    },
    /// Another process, or another engine in this process, has the journal open for writing.
    Locked,
    /// Bytes that were recorded as durable can't be read back as what was written. Nothing is
    /// overwritten. Restore a backup, or make a new journal of what is sound with
    /// `JournalReader::salvage` (in the program, `audit salvage`).
    Damaged {
        /// The file.
        file: String,
        /// The position in the file, in bytes.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// The journal was written by a later version of this library.
    Version {
        /// The file.
        file: String,
        /// The format version of the file.
        found: u16,
        /// The newest version that this library reads.
        newest: u16,
    },
    /// The checksums match, but the entries break a law: such a history is impossible.
    /// `JournalReader::salvage` makes a new journal of what comes before.
    BrokenLaw {
        /// The entry's sequence number.
        sequence: u64,
        /// Which law it breaks.
        what: String,
    },
    /// The call asked for entries that are older than the oldest one the journal keeps.
    Trimmed {
        /// The sequence number of the oldest entry that the journal keeps.
        oldest: u64,
    },
    /// The archive directory holds segments of another journal.
    OtherJournal {
        /// The segment of the other journal.
        file: String,
    },
    /// The position lies in a tail that was lost in a crash. The reader must undo what it derived
    /// from entries after `to`, or start again from the beginning.
    Rewound {
        /// The sequence number of the last entry that is unchanged.
        to: u64,
    },
    /// There is no journal: the engine was built without one, the directory does not exist, or it
    /// holds no segment.
    NoJournal,
    /// The expected hash is not in the journal's hash chain: the journal was cut before that entry,
    /// or rewritten.
    OtherHead {
        /// The hash that the caller noted earlier, in hexadecimal.
        expected: String,
        /// How many entries the journal has.
        entries: u64,
    },
    /// The journal holds a warehouse that was not given to the builder.
    MissingWarehouse {
        /// Its name.
        warehouse: String,
    },
    /// The builder gave a warehouse a capacity below the units on hand.
    CapacityBelowStock {
        /// The warehouse.
        warehouse: String,
        /// The capacity that the builder gave it, in units.
        capacity: u32,
        /// Units on hand in the warehouse, as the journal says.
        on_hand: u64,
    },
    /// The journal holds more products, levels or reservations than the engine can. Every engine
    /// takes over as many reservations as fit the default limit. For more, build it with the
    /// [`max_reservations`](crate::Limits::max_reservations) of the engine that wrote the journal.
    TooMany {
        /// What there is too much of, in the plural: `"products"`, for example.
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

/// Why notes could not be erased, or not all of them. Notes that were erased stay erased, and the
/// journal stays sound. Make the call again; if the engine has ended, call the function `redact`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedactError {
    /// The engine has stopped, ended or died. Earlier entries are not all written, so they can't be
    /// erased yet.
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
