//! Errors of building an engine and changing its settings.

use crate::base::error::call::sealed::OnRecord;
use crate::base::error::facts::error_table;
use crate::base::error::{
    InvalidName, JournalError, MutationError, NotStarted, PlaceError, Uncertain,
};
use crate::base::quantity::MAX_UNITS;

/// Why a setting can't be changed, or a level can't be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingError {
    /// The threshold is [`MAX_UNITS`] or more.
    Threshold {
        /// The value that was passed.
        units: u32,
    },
    /// The capacity is 0, or more than [`MAX_UNITS`] units.
    Capacity {
        /// The value that was passed.
        units: u32,
    },
    /// The safety stock is more than [`MAX_UNITS`] units.
    SafetyStock {
        /// The value that was passed.
        units: u32,
    },
    /// The longest time to live is 0.
    LongestTtl,
    /// The engine holds as many products or stock levels as it can.
    TooManyNames,
    /// The name is invalid.
    Name(InvalidName),
    /// The place does not exist.
    Place(PlaceError),
    /// The call was not started: nothing changed.
    NotStarted(NotStarted),
    /// The change was made in memory. Whether its record survives a crash is open.
    Uncertain(Uncertain),
}

error_table! {
    SettingError {
        Self::Threshold { units } => Invalid("invalid_threshold"),
            "a threshold must be less than {MAX_UNITS} units, not {units}";
        Self::Capacity { units } => Invalid("invalid_capacity"),
            "a capacity must be 1 to {MAX_UNITS} units, not {units}";
        Self::SafetyStock { units } => Invalid("invalid_safety_stock"),
            "a safety stock must be at most {MAX_UNITS} units, not {units}";
        Self::LongestTtl => Invalid("invalid_longest_ttl"),
            "the longest time to live must be more than 0";
        Self::TooManyNames => Limit("too_many_names"),
            "the engine holds as many products or stock levels as it can";
    }
    nests {
        Name(InvalidName), Place(PlaceError), NotStarted(NotStarted), Uncertain(Uncertain),
    }
}

impl OnRecord for SettingError {
    fn rests_on_record(&self) -> bool {
        self.facts().on_record
    }
}

impl MutationError for SettingError {}

/// Why a snapshot of several levels can't be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotError {
    /// More levels than one snapshot covers.
    TooManyLevels {
        /// How many levels the call names.
        levels: usize,
        /// How many are possible.
        most: usize,
    },
    /// A place does not exist.
    Place(PlaceError),
}

error_table! {
    SnapshotError {
        Self::TooManyLevels { levels, most } => Invalid("too_many_levels"),
            "a snapshot covers at most {most} levels, not {levels}";
    }
    nests { Place(PlaceError) }
}

/// Why an engine can't be built.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// The builder was given no warehouse, or more than 65,535.
    Warehouses {
        /// How many were given.
        warehouses: usize,
    },
    /// Two warehouses have the same name.
    Twice {
        /// The name.
        warehouse: String,
    },
    /// A warehouse's name is invalid.
    Name(InvalidName),
    /// A warehouse's capacity is 0, or more than [`MAX_UNITS`] units.
    Capacity {
        /// The warehouse.
        warehouse: String,
        /// The capacity that was given, in units.
        units: u32,
    },
    /// A setting lies outside its bounds.
    Setting {
        /// The builder's method.
        setting: &'static str,
        /// The values that the method takes.
        expected: &'static str,
    },
    /// The journal can't be opened.
    Journal(JournalError),
    /// The operating system refused to start a thread.
    Thread {
        /// What the system reported.
        reason: String,
    },
}

error_table! {
    BuildError {
        Self::Warehouses { warehouses } => Invalid("invalid_warehouse_count"),
            "an engine needs 1 to 65535 warehouses, not {warehouses}";
        Self::Twice { warehouse } => Invalid("duplicate_warehouse"),
            "warehouse {warehouse:?} was given twice";
        Self::Capacity { warehouse, units } => Invalid("invalid_capacity"),
            "the capacity of warehouse {warehouse:?} must be 1 to {MAX_UNITS} units, not {units}";
        Self::Setting { setting, expected } => Invalid("invalid_setting"),
            "{setting} must be {expected}";
        Self::Thread { reason } => Unavailable("no_thread").retry(),
            "a background thread could not be started: {reason}";
    }
    nests { Name(InvalidName), Journal(JournalError) }
}
