//! Errors of what moves units in, out and between warehouses.

use thiserror::Error;

use crate::error::{KeyError, Unavailable, UnknownPlace};
use crate::quantity::InvalidQuantity;

/// Why `add_stock` was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddError {
    /// The warehouse has not enough room left.
    #[error("the warehouse has room for {room} more units, not {needed}")]
    OverCapacity {
        /// Units that were to come in.
        needed: u32,
        /// Units that the warehouse can still hold.
        room: u32,
    },
    /// The warehouse is suspended.
    #[error("warehouse {warehouse:?} is suspended")]
    Suspended {
        /// The warehouse.
        warehouse: String,
    },
    /// The quantity can't be one.
    #[error(transparent)]
    Quantity(#[from] InvalidQuantity),
    /// The place does not exist.
    #[error(transparent)]
    Place(#[from] UnknownPlace),
    /// No more names can be defined.
    #[error("the engine holds as many products or stock levels as it can")]
    TooManyNames,
    /// The caller's key can't be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The engine takes no calls.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why `remove_stock` was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// Fewer units are available.
    #[error("{needed} units needed, {available} available")]
    Insufficient {
        /// Units that were to go.
        needed: u32,
        /// Units that are available.
        available: u32,
    },
    /// The warehouse is suspended.
    #[error("warehouse {warehouse:?} is suspended")]
    Suspended {
        /// The warehouse.
        warehouse: String,
    },
    /// The quantity can't be one.
    #[error(transparent)]
    Quantity(#[from] InvalidQuantity),
    /// The place does not exist.
    #[error(transparent)]
    Place(#[from] UnknownPlace),
    /// The caller's key can't be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The engine takes no calls.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why `ship` or `cancel_sale` was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ShipError {
    /// Fewer units are sold and still in the building.
    #[error("{needed} units needed, {sold} sold and still in the building")]
    NotSold {
        /// Units that were to be shipped or whose sale was to be cancelled.
        needed: u32,
        /// Units that are sold and still in the building.
        sold: u32,
    },
    /// The quantity can't be one.
    #[error(transparent)]
    Quantity(#[from] InvalidQuantity),
    /// The place does not exist.
    #[error(transparent)]
    Place(#[from] UnknownPlace),
    /// The caller's key can't be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The engine takes no calls.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why `transfer` was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TransferError {
    /// From and to are the same warehouse.
    #[error("a transfer needs two different warehouses")]
    SameWarehouse,
    /// Fewer units are available at the source.
    #[error("{needed} units needed, {available} available")]
    Insufficient {
        /// Units that were to be moved.
        needed: u32,
        /// Units that are available.
        available: u32,
    },
    /// The destination has not enough room left.
    #[error("the destination has room for {room} more units, not {needed}")]
    OverCapacity {
        /// Units that were to come in.
        needed: u32,
        /// Units that the destination can still hold.
        room: u32,
    },
    /// A warehouse is suspended.
    #[error("warehouse {warehouse:?} is suspended")]
    Suspended {
        /// The warehouse.
        warehouse: String,
    },
    /// The quantity can't be one.
    #[error(transparent)]
    Quantity(#[from] InvalidQuantity),
    /// The place does not exist.
    #[error(transparent)]
    Place(#[from] UnknownPlace),
    /// No more names can be defined.
    #[error("the engine holds as many products or stock levels as it can")]
    TooManyNames,
    /// The caller's key can't be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The engine takes no calls.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}
