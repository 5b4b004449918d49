//! Errors of operations that move units into, out of and between warehouses.

use std::sync::Arc;

use crate::base::error::call::mutation_errors;
use crate::base::error::facts::error_table;
use crate::base::error::input::input_errors;
use crate::base::error::{CallError, InvalidInput, InvalidName, PlaceError};
use crate::base::quantity::InvalidQuantity;

/// Why `add_stock` was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddError {
    /// The warehouse has too little room left.
    OverCapacity {
        /// Units that the call was to bring in.
        needed: u32,
        /// Units that the warehouse can still take.
        room: u32,
    },
    /// The warehouse is suspended.
    Suspended {
        /// The warehouse.
        warehouse: String,
    },
    /// The engine holds as many products or stock levels as it can.
    TooManyNames,
    /// The quantity or a name is invalid.
    Input(InvalidInput),
    /// The place does not exist.
    Place(PlaceError),
    /// The call was not started, the key can't be used, or the record is uncertain.
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
    /// Fewer units are available than the call needs.
    Insufficient {
        /// Units that the call was to remove.
        needed: u32,
        /// Units that are available.
        available: u32,
    },
    /// The warehouse is suspended.
    Suspended {
        /// The warehouse.
        warehouse: String,
    },
    /// The quantity or a name is invalid.
    Input(InvalidInput),
    /// The place does not exist, or the product was never stocked in any warehouse.
    Place(PlaceError),
    /// The call was not started, the key can't be used, or the record is uncertain.
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
        /// Units that the call was to ship, or whose sale it was to cancel.
        needed: u32,
        /// Units that are sold and still in the building, and that the call may take.
        sold: u32,
        /// Further units that are sold and still in the building. They belong to reservations that
        /// are [kept until they are shipped](crate::Request::keep_until_shipped). Only calls that
        /// name the reservation take them.
        tracked: u32,
    },
    /// A limit covers the product and gives back what a cancelled sale drew, so the call has to say
    /// whose sale it is: [`ship_lines`](crate::InventoryManager::ship_lines),
    /// [`cancel_sale_lines`](crate::InventoryManager::cancel_sale_lines).
    NeedsReservation {
        /// The limit's name.
        limit: Arc<str>,
    },
    /// The quantity or a name is invalid.
    Input(InvalidInput),
    /// The place does not exist, or the product was never stocked in any warehouse.
    Place(PlaceError),
    /// The call was not started, the key can't be used, or the record is uncertain.
    Call(CallError),
}

error_table! {
    ShipError {
        Self::NotSold { needed, sold, tracked } => Short("not_sold"),
            "{needed} units needed, {sold} sold and still in the building, \
             beside {tracked} of reservations that are kept until they are shipped";
        Self::NeedsReservation { limit } => Invalid("needs_reservation"),
            "limit {limit:?} covers the product: the call has to name the reservation";
    }
    nests { Input(InvalidInput), Place(PlaceError), Call(CallError) }
}

/// Why `transfer` was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferError {
    /// Source and destination are the same warehouse.
    SameWarehouse,
    /// Fewer units are available at the source.
    Insufficient {
        /// Units that the call was to move.
        needed: u32,
        /// Units that are available.
        available: u32,
    },
    /// The destination has too little room left.
    OverCapacity {
        /// Units that the call was to bring in.
        needed: u32,
        /// Units that the destination can still take.
        room: u32,
    },
    /// A warehouse is suspended.
    Suspended {
        /// The warehouse.
        warehouse: String,
    },
    /// The engine holds as many products or stock levels as it can.
    TooManyNames,
    /// The quantity or a name is invalid.
    Input(InvalidInput),
    /// A place does not exist, or the product was never stocked in any warehouse.
    Place(PlaceError),
    /// The call was not started, the key can't be used, or the record is uncertain.
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
