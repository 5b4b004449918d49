//! Errors in a call's arguments: invalid input, and places that the engine does not know.

use std::time::Duration;

use crate::base::error::facts::error_table;
use crate::base::quantity::{InvalidQuantity, MAX_UNITS};

/// The longest name of a product or a warehouse, in bytes.
pub const MAX_NAME_BYTES: usize = 255;

/// A name that is empty or too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidName {
    /// The length of the name that was passed, in bytes.
    pub bytes: usize,
}

error_table! {
    InvalidName {
        Self { bytes } => Invalid("invalid_name"),
            "a name must be 1 to {MAX_NAME_BYTES} bytes, not {bytes}";
    }
}

/// A time to live of 0, or longer than the engine allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidTtl {
    /// The value that was passed.
    pub ttl: Duration,
    /// The longest time to live that the engine allows at present.
    pub longest: Duration,
}

error_table! {
    InvalidTtl {
        Self { ttl, longest } => Invalid("invalid_ttl"),
            "a time to live must be more than 0 and at most {longest:?}, not {ttl:?}";
    }
}

error_table! {
    InvalidQuantity {
        Self { units } => Invalid("invalid_quantity"),
            "a quantity must be 1 to {MAX_UNITS} units, not {units}";
    }
}

/// The input is wrong in any state of the engine. Nothing moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidInput {
    /// A quantity of 0 or of too many units. Equal lines count together.
    Quantity(InvalidQuantity),
    /// A time to live of 0, or one that is too long.
    Ttl(InvalidTtl),
    /// A name of a product, a warehouse or a person that is empty or too long.
    Name(InvalidName),
    /// The call takes lines and was given none.
    Empty,
    /// More distinct lines than the configured maximum.
    TooManyLines {
        /// The number of distinct lines that were passed.
        lines: usize,
        /// The configured maximum.
        most: usize,
    },
}

error_table! {
    InvalidInput {
        Self::Empty => Invalid("no_lines"), "the call needs at least one line";
        Self::TooManyLines { lines, most } => Invalid("too_many_lines"),
            "a basket may have {most} lines, not {lines}";
    }
    nests { Quantity(InvalidQuantity), Ttl(InvalidTtl), Name(InvalidName) }
}

/// The call names a place that this engine does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlaceError {
    /// The builder was given no warehouse of this name.
    UnknownWarehouse {
        /// The name that was passed.
        warehouse: String,
    },
    /// The product was never stocked in any warehouse of this engine. Most likely the name is
    /// misspelled. A product that is stocked only in other warehouses is no such error: the call is
    /// short here, with 0 units available.
    NeverStocked {
        /// The product.
        product: String,
    },
    /// The call needs an existing stock level. The product was stocked in other warehouses, but
    /// never in this one.
    NotStockedHere {
        /// The warehouse.
        warehouse: String,
        /// The product.
        product: String,
    },
    /// The handle of the level, product or warehouse was made by another engine.
    ForeignHandle,
}

error_table! {
    PlaceError {
        Self::UnknownWarehouse { warehouse } => NotFound("unknown_warehouse"),
            "there is no warehouse {warehouse:?}";
        Self::NeverStocked { product } => NotFound("never_stocked"),
            "product {product:?} was never stocked in any warehouse";
        Self::NotStockedHere { warehouse, product } => NotFound("not_stocked_here"),
            "product {product:?} was never stocked in warehouse {warehouse:?}";
        Self::ForeignHandle => Invalid("foreign_handle"),
            "the handle is not one of this engine's";
    }
}

/// Turns the errors of input checks into the `Input` variant of an operation's error.
macro_rules! input_errors {
    ($($error:ident: $($cause:ident)+;)+) => {$($(
        impl From<$cause> for $error {
            fn from(cause: $cause) -> Self {
                Self::Input(cause.into())
            }
        }
    )+)+};
}

pub(crate) use input_errors;
