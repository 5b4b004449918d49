//! Errors of what moves units in, out and between warehouses.

use crate::base::error::call::mutation_errors;
use crate::base::error::facts::error_table;
use crate::base::error::input::input_errors;
use crate::base::error::{CallError, InvalidInput, InvalidName, PlaceError};
use crate::base::quantity::InvalidQuantity;

/// Why `add_stock` was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddError {
    /// The warehouse has not enough room left.
    OverCapacity {
        /// Units that were to come in.
        needed: u32,
        /// Units that the warehouse can still hold.
        room: u32,
    },
    /// The warehouse is suspended.
    Suspended {
        /// The warehouse.
        warehouse: String,
    },
    /// No more names can be defined.
    TooManyNames,
    /// The quantity or a name can't be one.
    Input(InvalidInput),
    /// The place does not exist.
    Place(PlaceError),
    /// The call was not begun, or its record is uncertain.
    Call(CallError),
}

error_table! {
    AddError {
        Self::OverCapacity { needed, room } => NoRoom("over_capacity"),
            "the warehouse has room for {room} more units, not {needed}";
        Self::Suspended { warehouse } => Suspended("suspended").retry(),
            "warehouse {warehouse:?} is suspended";
        Self::TooManyNames => Limit("too_many_names"),
            "the engine holds as many products or stock levels as it can";
    }
    nests { Input(InvalidInput), Place(PlaceError), Call(CallError) }
}

/// Why `remove_stock` was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemoveError {
    /// Fewer units are available.
    Insufficient {
        /// Units that were to go.
        needed: u32,
        /// Units that are available.
        available: u32,
    },
    /// The warehouse is suspended.
    Suspended {
        /// The warehouse.
        warehouse: String,
    },
    /// The quantity or a name can't be one.
    Input(InvalidInput),
    /// The place does not exist, or the product was never stocked anywhere.
    Place(PlaceError),
    /// The call was not begun, or its record is uncertain.
    Call(CallError),
}

error_table! {
    RemoveError {
        Self::Insufficient { needed, available } => Short("insufficient"),
            "{needed} units needed, {available} available";
        Self::Suspended { warehouse } => Suspended("suspended").retry(),
            "warehouse {warehouse:?} is suspended";
    }
    nests { Input(InvalidInput), Place(PlaceError), Call(CallError) }
}

/// Why `ship` or `cancel_sale` was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShipError {
    /// Fewer units are sold and still in the building.
    NotSold {
        /// Units that were to be shipped or whose sale was to be cancelled.
        needed: u32,
        /// Units that are sold and still in the building.
        sold: u32,
    },
    /// The quantity or a name can't be one.
    Input(InvalidInput),
    /// The place does not exist, or the product was never stocked anywhere.
    Place(PlaceError),
    /// The call was not begun, or its record is uncertain.
    Call(CallError),
}

error_table! {
    ShipError {
        Self::NotSold { needed, sold } => Short("not_sold"),
            "{needed} units needed, {sold} sold and still in the building";
    }
    nests { Input(InvalidInput), Place(PlaceError), Call(CallError) }
}

/// Why `transfer` was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferError {
    /// From and to are the same warehouse.
    SameWarehouse,
    /// Fewer units are available at the source.
    Insufficient {
        /// Units that were to be moved.
        needed: u32,
        /// Units that are available.
        available: u32,
    },
    /// The destination has not enough room left.
    OverCapacity {
        /// Units that were to come in.
        needed: u32,
        /// Units that the destination can still hold.
        room: u32,
    },
    /// A warehouse is suspended.
    Suspended {
        /// The warehouse.
        warehouse: String,
    },
    /// No more names can be defined.
    TooManyNames,
    /// The quantity or a name can't be one.
    Input(InvalidInput),
    /// A place does not exist, or the product was never stocked anywhere.
    Place(PlaceError),
    /// The call was not begun, or its record is uncertain.
    Call(CallError),
}

error_table! {
    TransferError {
        Self::SameWarehouse => Invalid("same_warehouse"),
            "a transfer needs two different warehouses";
        Self::Insufficient { needed, available } => Short("insufficient"),
            "{needed} units needed, {available} available";
        Self::OverCapacity { needed, room } => NoRoom("over_capacity"),
            "the destination has room for {room} more units, not {needed}";
        Self::Suspended { warehouse } => Suspended("suspended").retry(),
            "warehouse {warehouse:?} is suspended";
        Self::TooManyNames => Limit("too_many_names"),
            "the engine holds as many products or stock levels as it can";
    }
    nests { Input(InvalidInput), Place(PlaceError), Call(CallError) }
}

mutation_errors! { AddError RemoveError ShipError TransferError }

input_errors! {
    AddError: InvalidQuantity InvalidName;
    RemoveError: InvalidQuantity InvalidName;
    ShipError: InvalidQuantity InvalidName;
    TransferError: InvalidQuantity InvalidName;
}
