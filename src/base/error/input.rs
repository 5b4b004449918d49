//! What a caller can get wrong whatever the engine's state: input, and places.

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
    /// What was passed.
    pub ttl: Duration,
    /// The longest that the engine allows at present.
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

/// Input that can't be right, whatever the engine's state: nothing moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidInput {
    /// A quantity of 0 or of too many units; also when equal lines add up to too many.
    Quantity(InvalidQuantity),
    /// A time to live of 0, or one that is too long.
    Ttl(InvalidTtl),
    /// A name of a product, a warehouse or a person that is empty or too long.
    Name(InvalidName),
    /// A call that takes lines needs at least one.
    Empty,
    /// More lines than the engine is set to take.
    TooManyLines {
        /// Distinct lines that were passed.
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

/// A place that this engine does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlaceError {
    /// No warehouse of this name was given to the builder.
    UnknownWarehouse {
        /// The name that was passed.
        warehouse: String,
    },
    /// This engine has never heard of the product, in any warehouse: a typing error, most likely. One
    /// that only lies elsewhere is short here, with 0 units available.
    NeverStocked {
        /// The product.
        product: String,
    },
    /// The call needs a stock level that exists, and the product, which others have had, was never
    /// stocked in this warehouse.
    NotStockedHere {
        /// The warehouse.
        warehouse: String,
        /// The product.
        product: String,
    },
    /// The handle of the level, product or warehouse is not one of this engine's.
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

/// Lets an error take what it checks of its input under its `Input`.
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
