//! The causes that all mutations share: not started, a key that can't be used, uncertain.

use std::fmt;
use std::sync::Arc;

use crate::base::error::facts::error_table;

/// What a sink or a disk reported. One machine word, so that the errors of hot calls stay small.
#[derive(Clone, PartialEq, Eq)]
pub struct Reason(Arc<Text>);

#[derive(PartialEq, Eq)]
struct Text(Box<str>);

impl Reason {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0.0
    }
}

impl From<&str> for Reason {
    fn from(text: &str) -> Self {
        Self(Arc::new(Text(text.into())))
    }
}

impl std::ops::Deref for Reason {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// The engine did not start the call: nothing moved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotStarted {
    /// The engine has been shut down.
    Closed,
    /// The audit sink or the disk fails. The engine keeps what is queued, and takes calls again
    /// once the sink recovers.
    Stopped {
        /// What the sink or the disk reported.
        reason: Reason,
    },
    /// The audit writer has died. Build a new engine.
    Poisoned,
    /// The audit queue is nearly full, and the engine is set to refuse instead of wait. Or the
    /// maximum number of multi-word CAS operations (transfers, baskets) is under way.
    Busy,
}

error_table! {
    NotStarted {
        Self::Closed => Unavailable("closed"), "the engine is shut down";
        Self::Stopped { reason } => Unavailable("stopped").retry(),
            "the audit log can't be written, so nothing may move: {reason}";
        Self::Poisoned => Unavailable("poisoned"),
            "the audit writer has died, so nothing may move any more";
        Self::Busy => Busy("busy").retry(), "the engine is busy; try again in a moment";
    }
}

/// The idempotency key can't be used for this call: nothing moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// The key was used for a different request.
    Conflict,
    /// The first call with the key is under way, and the engine is set to refuse instead of wait.
    InProgress,
    /// Only the disk knows whether the key was used before, or how the reservation ended that the
    /// call names, and the call may not read it ([`KeyLookup::MemoryOnly`](crate::KeyLookup)).
    Undecided,
    /// The outcome files, where older answers lie, are being made anew or can't be read at present.
    /// So nobody knows whether the key was used before, or how the reservation ended that the call
    /// names. A call without a key gets this, too, if its reservation's record is gone.
    Gathering,
    /// Too many answers wait for their outcome file, and memory takes no more of them. The auditor
    /// is behind, or the disk fails.
    Behind,
    /// As many keys are stored as the engine has room for
    /// ([`Limits::key_retention`](crate::Limits::key_retention)), and the time of none is up. A
    /// call without a key is not refused.
    Full {
        /// The configured maximum.
        keys: usize,
    },
}

error_table! {
    KeyError {
        Self::Conflict => Conflict("key_conflict"),
            "the key was used before, for a different request";
        Self::InProgress => Busy("key_in_progress").retry(),
            "a call with the same key is under way; try again in a moment";
        Self::Undecided => Busy("key_undecided").retry(),
            "only the disk knows what an earlier call was answered, and this one may not read it";
        Self::Gathering => Busy("keys_gathering").retry(),
            "it is not known yet what an earlier call was answered: older answers are gathered";
        Self::Behind => Busy("keys_behind").retry(),
            "too many answers of keys wait to be written to outcome files; try again in a moment";
        Self::Full { keys } => Limit("keys_full").retry(),
            "all {keys} places for idempotency keys are taken, by keys whose time is not up";
    }
}

/// The call's text does not fit into its audit record: nothing moved. Text is what the caller
/// notes, and the source or the reason that the call takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidText {
    /// More notes than [`Limits::notes`](crate::Limits::notes) allows.
    TooManyNotes {
        /// How many the call has.
        notes: u32,
        /// The configured maximum.
        most: u32,
    },
    /// More bytes of text than [`Limits::notes`](crate::Limits::notes) allows.
    TooLong {
        /// How many bytes the call has: its notes' names and values, its source or reason.
        bytes: u32,
        /// The configured maximum.
        most: u32,
    },
    /// Two notes have the same name. A reader of the entry could take either for the note of this
    /// name.
    NameTwice {
        /// The first of the two, counted from 0.
        first: u32,
        /// The second one.
        second: u32,
    },
    /// A note has a name under which the call itself can write something: its source or reason, a
    /// fact of a transfer request, or `keep` in a call on a reservation.
    NameTaken {
        /// The note, counted from 0.
        note: u32,
    },
}

error_table! {
    InvalidText {
        Self::TooManyNotes { notes, most } => Invalid("too_many_notes"),
            "a call may have {most} notes, not {notes}";
        Self::TooLong { bytes, most } => Invalid("text_too_long"),
            "a call may have {most} bytes of text, not {bytes}";
        Self::NameTwice { first, second } => Invalid("note_name_twice"),
            "notes {first} and {second} have the same name";
        Self::NameTaken { note } => Invalid("note_name_taken"),
            "the call itself writes something under the name of note {note}";
    }
}

/// The call was applied in memory. Whether its record survives a crash is open.
///
/// Retry with the same idempotency key, or [`flush`](crate::InventoryManager::flush). A retry
/// without a key would move the units a second time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Uncertain {
    /// The entry is queued or written, but not known to be on the disk.
    NotDurable {
        /// Why the flush failed.
        reason: Reason,
    },
    /// The audit writer ended before it took the entry.
    Unrecorded,
}

error_table! {
    Uncertain {
        Self::NotDurable { reason } => Uncertain("not_durable"),
            "applied in memory, but not known to be on the disk: {reason}";
        Self::Unrecorded => Uncertain("unrecorded"),
            "applied in memory, but the audit writer ended before it took the entry";
    }
}

/// The causes that all mutations with an idempotency key share.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// The engine did not start the call: nothing moved.
    NotStarted(NotStarted),
    /// The idempotency key can't be used: nothing moved.
    Key(KeyError),
    /// The notes, or other text, are too many or too long: nothing moved.
    Text(InvalidText),
    /// Applied in memory. Whether the record survives a crash is open.
    Uncertain(Uncertain),
}

error_table! {
    CallError {}
    nests {
        NotStarted(NotStarted), Key(KeyError), Text(InvalidText), Uncertain(Uncertain),
    }
}

/// The seal of [`MutationError`]: only this crate can name the trait, so only it can implement it.
pub(crate) mod sealed {
    /// Says whether an error relies on a record.
    pub trait OnRecord {
        /// Whether the error reports something that this call or an earlier one has recorded. A
        /// caller who asked for durability then waits until that record is on the disk.
        fn rests_on_record(&self) -> bool;
    }
}

/// An error of an operation that changes something. Sealed. [`durably`] takes only these errors.
///
/// [`durably`]: crate::InventoryManager::durably
pub trait MutationError: std::error::Error + From<Uncertain> + sealed::OnRecord {}

/// Implements [`MutationError`] for an error, and turns the shared causes into its `Call` variant.
macro_rules! mutation_errors {
    ($($error:ident)+) => {$(
        impl $crate::base::error::call::sealed::OnRecord for $error {
            fn rests_on_record(&self) -> bool {
                self.facts().on_record
            }
        }

        impl $crate::base::error::MutationError for $error {}

        impl From<$crate::base::error::NotStarted> for $error {
            fn from(cause: $crate::base::error::NotStarted) -> Self {
                Self::Call(cause.into())
            }
        }

        impl From<$crate::base::error::KeyError> for $error {
            fn from(cause: $crate::base::error::KeyError) -> Self {
                Self::Call(cause.into())
            }
        }

        impl From<$crate::base::error::InvalidText> for $error {
            fn from(cause: $crate::base::error::InvalidText) -> Self {
                Self::Call(cause.into())
            }
        }

        impl From<$crate::base::error::Uncertain> for $error {
            fn from(cause: $crate::base::error::Uncertain) -> Self {
                Self::Call(cause.into())
            }
        }
    )+};
}

pub(crate) use mutation_errors;
