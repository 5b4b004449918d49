//! Errors of limits: of a call that a limit refuses, and of the definition of one.

use std::sync::Arc;

use crate::base::error::call::mutation_errors;
use crate::base::error::facts::error_table;
use crate::base::error::input::input_errors;
use crate::base::error::{CallError, InvalidInput, InvalidName, PlaceError};

/// A limit refuses a call. Nothing moved. It names no subject: whoever made the call knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitError {
    /// The call would bring what the subject has drawn above the limit's maximum.
    Reached {
        /// The limit's name.
        limit: Arc<str>,
        /// Its maximum, in what it counts: units, or reservations.
        maximum: u32,
        /// What the subject had drawn at one instant of this call.
        used: u32,
        /// What the call was to draw.
        asked: u32,
        /// Whether overdue holds are left that this call did not expire. If so, a retry may
        /// succeed.
        overdue_left: bool,
    },
    /// A limit covers a product of the call, and the call does not say whom it is for: see
    /// [`Request::subject`](crate::Request::subject).
    NoSubject {
        /// The limit's name.
        limit: Arc<str>,
        /// The kind of subject that it counts by.
        kind: Arc<str>,
    },
    /// The engine counts for as many subjects as it can.
    Full {
        /// The configured maximum: [`Limits::max_allowances`](crate::Limits::max_allowances).
        most: u32,
    },
    /// The call passes a limit that the engine does not have.
    Unknown {
        /// The name that was passed.
        limit: Arc<str>,
    },
    /// A limit that counts by stock level covers the product, and a split fulfilment knows only
    /// afterwards how much each level gives. Reserve a basket instead.
    ByLevel {
        /// The limit's name.
        limit: Arc<str>,
    },
}

error_table! {
    LimitError {
        Self::Reached { limit, maximum, used, asked, overdue_left } =>
            Limit("limit_reached").retry_if(*overdue_left),
            "limit {limit:?} is {maximum}: {used} used, {asked} more asked";
        Self::NoSubject { limit, kind } => Invalid("limit_without_subject"),
            "limit {limit:?} covers the product, and the call names no {kind}";
        Self::Full { most } => Limit("allowances_full").retry(),
            "the engine counts for {most} subjects already, and can count for no more";
        Self::Unknown { limit } => NotFound("unknown_limit"), "there is no limit {limit:?}";
        Self::ByLevel { limit } => Invalid("limit_by_level"),
            "limit {limit:?} counts by stock level: a split fulfilment can't heed it";
    }
}

/// Why a limit or a group was not defined, changed or dropped. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DefineLimitError {
    /// A limit of this name counts something else. Drop that one first, or choose another name.
    Redefined {
        /// The limit's name.
        limit: Arc<str>,
    },
    /// There is no limit of this name.
    Unknown {
        /// The name that was passed.
        limit: Arc<str>,
    },
    /// The limit counts by subjects, and the engine has no secret to hash them with: give the
    /// builder one ([`Builder::subject_secret`](crate::Builder::subject_secret)).
    NoSecret,
    /// The maximum, or the time for which sales count, is out of bounds.
    OutOfBounds {
        /// What is.
        setting: &'static str,
        /// The values that it takes.
        expected: &'static str,
    },
    /// The engine has defined as many limits as it can number.
    TooMany {
        /// How many that is.
        most: u32,
    },
    /// A name is invalid, or the call covers too many products.
    Input(InvalidInput),
    /// A product was never stocked.
    Place(PlaceError),
    /// The call was not started, or the record is uncertain.
    Call(CallError),
}

error_table! {
    DefineLimitError {
        Self::Redefined { limit } => Conflict("limit_redefined"),
            "limit {limit:?} counts something else: drop it first";
        Self::Unknown { limit } => NotFound("unknown_limit"), "there is no limit {limit:?}";
        Self::NoSecret => Invalid("no_subject_secret"),
            "a limit by subject needs a secret: Builder::subject_secret";
        Self::OutOfBounds { setting, expected } => Invalid("limit_out_of_bounds"),
            "{setting} must be {expected}";
        Self::TooMany { most } => Limit("too_many_limits"),
            "{most} limits were defined, which is all that can be numbered";
    }
    nests { Input(InvalidInput), Place(PlaceError), Call(CallError) }
}

mutation_errors! { DefineLimitError }

input_errors! {
    DefineLimitError: InvalidName;
}
