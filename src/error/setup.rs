//! Errors of building an engine and changing its settings.

use thiserror::Error;

use crate::error::{InvalidName, JournalError, Unavailable, UnknownPlace};
use crate::quantity::MAX_UNITS;

/// Why a setting can't be changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SettingError {
    /// A threshold is less than [`MAX_UNITS`].
    #[error("a threshold must be less than {MAX_UNITS} units, not {units}")]
    Threshold {
        /// What was passed.
        units: u32,
    },
    /// A longest time to live of 0.
    #[error("the longest time to live must be more than 0")]
    LongestTtl,
    /// The place does not exist.
    #[error(transparent)]
    Place(#[from] UnknownPlace),
    /// No more names can be defined.
    #[error("the engine holds as many products or stock levels as it can")]
    TooManyNames,
    /// The engine takes no calls.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why several levels can't be looked at together.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// More levels than one commit covers.
    #[error("a snapshot covers at most {most} levels, not {levels}")]
    TooManyLevels {
        /// How many were named.
        levels: usize,
        /// How many are possible.
        most: usize,
    },
    /// A place does not exist.
    #[error(transparent)]
    Place(#[from] UnknownPlace),
}

/// Why an engine can't be built.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// At least one warehouse is needed, and at most 65,535 are possible.
    #[error("an engine needs 1 to 65535 warehouses, not {warehouses}")]
    Warehouses {
        /// How many were given.
        warehouses: usize,
    },
    /// Two warehouses have the same name.
    #[error("warehouse {warehouse:?} was given twice")]
    Twice {
        /// The name.
        warehouse: String,
    },
    /// A warehouse's name can't be one.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// A warehouse's capacity, which lies between 1 and [`MAX_UNITS`].
    #[error("the capacity of warehouse {warehouse:?} must be 1 to {MAX_UNITS} units, not {units}")]
    Capacity {
        /// The warehouse.
        warehouse: String,
        /// What was given.
        units: u32,
    },
    /// A setting lies outside its bounds.
    #[error("{setting} must be {expected}")]
    Setting {
        /// The builder's method.
        setting: &'static str,
        /// What it takes.
        expected: &'static str,
    },
    /// The journal can't be opened.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The operating system gave no thread.
    #[error("a background thread could not be started: {reason}")]
    Thread {
        /// What the system said.
        reason: String,
    },
}
