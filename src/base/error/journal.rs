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
    /// The journal's directory, its lock or its segment is gone, or another one stands in its
    /// place; or its segment was cut. The engine has stopped, and goes on only if the same one is
    /// back.
    PlaceChanged {
        /// What changed: `"directory"`, `"lock"`, `"segment"`; `"newest segment"` if another engine
        /// has begun one in this journal.
        what: &'static str,
        /// Where it is expected.
        path: String,
    },
    /// The archive or the backup lies in the journal's own directory, perhaps by another path.
    SamePlace {
        /// Which of them: `"archive"` or `"backup"`.
        what: &'static str,
    },
    /// The position belongs to another history: a crash took its tail, or the journal was restored
    /// from a backup that was older. The reader must undo what it derived from entries after `to`,
    /// or start again from the beginning; see `InventoryManager::undone_since`.
    Rewound {
        /// The sequence number of the last entry that both histories share, as far as the position
        /// tells: what the journal's next opening found on the disk. If both histories were opened
        /// several times since they parted, an older position of the reader tells better.
        to: u64,
    },
    /// The operating system gave no thread to read the journal in. Calls that may block, and so
    /// need no thread, work on.
    NoFollower {
        /// What the system reported.
        reason: String,
    },
    /// The position names no lineage, and the journal's options require one.
    NoLineage {
        /// The sequence number of the position.
        sequence: u64,
    },
    /// The text is not a name of a consumer: it takes 1 to 64 lowercase ASCII letters, digits and,
    /// between them, dots.
    InvalidConsumer {
        /// The text.
        name: String,
    },
    /// This thread already copies or rewrites the journal's files: the call was made in the
    /// predicate of a redaction, or by the storage of a backup. It would wait for itself.
    InHand,
    /// The engine has ended, so it writes its journal's files no more. Another one may have them.
    Ended,
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
    /// The journal has limits by subject, and the builder gave no secret, or another one than the
    /// journal was written with. Under another one nobody would have drawn anything.
    OtherSecret,
    /// The journal holds more products, levels or slots of reservations than this engine takes.
    /// An engine can always open what an engine of the same settings has written.
    TooMany {
        /// What there is too much of, in the plural: `"products"`, for example.
        what: &'static str,
        /// How many the journal needs.
        needed: u64,
        /// How many this engine takes.
        most: u64,
        /// The method of [`Limits`](crate::Limits) that helps, if it is given `needed` or more.
        setting: Option<&'static str>,
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
        Self::PlaceChanged { what, path } => Unavailable("place_changed").retry(),
            "the journal's {what} at {path:?} is not the one that the engine opened: it was \
             removed, moved, replaced or cut";
        Self::SamePlace { what } => Invalid("same_place"),
            "the {what} lies in the journal's own directory: give it one of its own";
        Self::Rewound { to } => Gone("journal_rewound"),
            "the journal was cut back, by a crash or an older backup: entries after {to} are not \
             those that were seen";
        Self::NoFollower { reason } => Unavailable("no_follower_thread").retry(),
            "no thread to follow the journal in: {reason}";
        Self::NoLineage { sequence } => Invalid("position_without_lineage"),
            "the position of entry {sequence} names no lineage, which the journal requires";
        Self::InvalidConsumer { name } => Invalid("invalid_consumer"),
            "{name:?} is not a name of a consumer: it takes 1 to 64 lowercase letters, digits and \
             dots between them";
        Self::InHand => Invalid("journal_in_hand"),
            "this thread copies or rewrites the journal's files already, in a call around this one";
        Self::Ended => Unavailable("journal_ended"), "the engine has ended";
        Self::NoJournal => NotFound("no_journal"), "there is no journal";
        Self::OtherHead { expected, entries } => Damaged("other_head"),
            "the journal, of {entries} entries, never had the hash {expected}";
        Self::MissingWarehouse { warehouse } => Invalid("missing_warehouse"),
            "the journal has stock of warehouse {warehouse:?}, which the builder was not given";
        Self::OtherSecret => Conflict("other_subject_secret"),
            "the journal has limits by subject, and was written with another subject secret";
        Self::TooMany { what, needed, most, setting } => Limit("journal_too_large"),
            "the journal needs {needed} {what}, and this engine takes {most}{}",
            Remedy { setting: *setting, needed: *needed };
    }
}

/// Names the setting that helps, if there is one.
struct Remedy {
    setting: Option<&'static str>,
    needed: u64,
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(setting) = self.setting else { return Ok(()) };
        write!(f, ": build it with {setting} of at least {}", self.needed)
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
