//! Errors of transfers that wait for approval.

use crate::base::error::call::mutation_errors;
use crate::base::error::facts::error_table;
use crate::base::error::input::input_errors;
use crate::base::error::{CallError, InvalidInput, InvalidName, PlaceError};
use crate::base::quantity::InvalidQuantity;

/// Why `request_transfer` was refused. Nothing has moved then, and no request was made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestTransferError {
    /// From and to are the same warehouse.
    SameWarehouse,
    /// The units were to be held until the decision, and fewer are available.
    Insufficient {
        /// Units that were to be held.
        needed: u32,
        /// Units that were available.
        available: u32,
        /// Whether overdue holds are left that the call did not get to: a retry may succeed.
        overdue_left: bool,
    },
    /// The units were to be held until the decision, and the source is suspended.
    Suspended {
        /// The warehouse.
        warehouse: String,
    },
    /// As many requests wait for a decision as the engine is set to keep.
    TooManyOpen {
        /// The configured maximum.
        most: usize,
    },
    /// The quantity or a name can't be one.
    Input(InvalidInput),
    /// A place does not exist, or the product was never stocked at the source.
    Place(PlaceError),
    /// The call was not begun, or its record is uncertain.
    Call(CallError),
}

error_table! {
    RequestTransferError {
        Self::SameWarehouse => Invalid("same_warehouse"),
            "a transfer needs two different warehouses";
        Self::Insufficient { needed, available, overdue_left } =>
            Short("insufficient").retry_if(*overdue_left),
            "{needed} units needed, {available} available";
        Self::Suspended { warehouse } => Suspended("suspended").retry(),
            "warehouse {warehouse:?} is suspended";
        Self::TooManyOpen { most } => Limit("too_many_transfers_open").retry(),
            "{most} transfers wait for a decision, and there may be no more";
    }
    nests { Input(InvalidInput), Place(PlaceError), Call(CallError) }
}

/// What stood in the way of a transfer when it was approved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferFailure {
    /// Fewer units were available at the source.
    Insufficient {
        /// Units that were to be moved.
        needed: u32,
        /// Units that were available.
        available: u32,
    },
    /// The destination had not enough room left.
    OverCapacity {
        /// Units that were to come in.
        needed: u32,
        /// Units that the destination could still hold.
        room: u32,
    },
}

// The record of a decision bears these texts as its reason.
error_table! {
    TransferFailure {
        Self::Insufficient { needed, available } => Short("transfer_short").on_record(),
            "{needed} units needed, {available} available";
        Self::OverCapacity { needed, room } => NoRoom("transfer_no_room").on_record(),
            "the destination has room for {room} more units, not {needed}";
    }
}

/// Why a transfer request can't be decided: it is not open, or was not at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotOpen {
    /// It was approved before.
    Approved,
    /// It was rejected before.
    Rejected,
    /// It was approved before, and failed.
    Failed,
    /// Another call is deciding on it at this very moment.
    Deciding,
    /// It was decided, and its record is no longer kept.
    Forgotten,
    /// This engine never made such a request.
    Unknown,
}

error_table! {
    NotOpen {
        Self::Approved => Gone("transfer_approved").on_record(),
            "the transfer was approved before";
        Self::Rejected => Gone("transfer_rejected").on_record(),
            "the transfer was rejected before";
        Self::Failed => Gone("transfer_failed").on_record(),
            "the transfer was approved before, and failed";
        Self::Deciding => Busy("transfer_deciding").retry(),
            "another call is deciding on the transfer at this moment; try again";
        Self::Forgotten => Gone("transfer_forgotten"),
            "the transfer was decided, and its record is no longer kept";
        Self::Unknown => NotFound("transfer_unknown"), "there is no such transfer request";
    }
}

/// Why there is no such transfer request to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoTransferRequest {
    /// It was decided, and its record is no longer kept.
    Forgotten,
    /// This engine never made such a request.
    Unknown,
}

error_table! {
    NoTransferRequest {
        Self::Forgotten => Gone("transfer_forgotten"),
            "the transfer was decided, and its record is no longer kept";
        Self::Unknown => NotFound("transfer_unknown"), "there is no such transfer request";
    }
}

impl From<NoTransferRequest> for NotOpen {
    fn from(none: NoTransferRequest) -> Self {
        match none {
            NoTransferRequest::Forgotten => Self::Forgotten,
            NoTransferRequest::Unknown => Self::Unknown,
        }
    }
}

/// Why `approve` did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApproveError {
    /// It was approved, but could not be made any more. The request has failed and stays so; units
    /// that it held are available again.
    Failed(TransferFailure),
    /// The request is not open.
    NotOpen(NotOpen),
    /// A warehouse is suspended. The request stays open.
    Suspended {
        /// The warehouse.
        warehouse: String,
    },
    /// No more names can be defined. The request stays open.
    TooManyNames,
    /// The name of who decides can't be one.
    Input(InvalidInput),
    /// The call was not begun, and the request stays open; or its record is uncertain.
    Call(CallError),
}

error_table! {
    ApproveError {
        Self::Suspended { warehouse } => Suspended("suspended").retry(),
            "warehouse {warehouse:?} is suspended";
        Self::TooManyNames => Limit("too_many_names"),
            "the engine holds as many products or stock levels as it can";
    }
    nests {
        Failed(TransferFailure), NotOpen(NotOpen), Input(InvalidInput), Call(CallError),
    }
}

/// Why `reject` did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RejectError {
    /// The request is not open.
    NotOpen(NotOpen),
    /// The name of who decides can't be one.
    Input(InvalidInput),
    /// The call was not begun, and the request stays open; or its record is uncertain.
    Call(CallError),
}

error_table! {
    RejectError {}
    nests { NotOpen(NotOpen), Input(InvalidInput), Call(CallError) }
}

mutation_errors! { RequestTransferError ApproveError RejectError }

input_errors! {
    RequestTransferError: InvalidQuantity InvalidName;
    ApproveError: InvalidName;
    RejectError: InvalidName;
}
