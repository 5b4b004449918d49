//! Errors of transfers that wait for approval.

use crate::base::error::call::mutation_errors;
use crate::base::error::facts::error_table;
use crate::base::error::input::input_errors;
use crate::base::error::{CallError, InvalidInput, InvalidName, PlaceError};
use crate::base::quantity::InvalidQuantity;

/// Why `request_transfer` was refused. Unless [`Uncertain`](crate::Uncertain) says otherwise,
/// nothing has moved and no request was made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestTransferError {
    /// Source and destination are the same warehouse.
    SameWarehouse,
    /// The request was to hold the units until the decision, but fewer are available.
    Insufficient {
        /// Units that the request was to hold.
        needed: u32,
        /// Units that were available.
        available: u32,
        /// Whether overdue holds are left that this call did not expire. If so, a retry may
        /// succeed.
        overdue_left: bool,
    },
    /// The request was to hold the units until the decision, but the source is suspended.
    Suspended {
        /// The warehouse.
        warehouse: String,
    },
    /// The number of open requests has reached the configured maximum.
    TooManyOpen {
        /// The configured maximum.
        most: usize,
    },
    /// The quantity or a name is invalid.
    Input(InvalidInput),
    /// A place does not exist, or the product was never stocked at the source.
    Place(PlaceError),
    /// The call was not started, the key can't be used, or the record is uncertain.
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

/// Why a transfer failed when it was approved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferFailure {
    /// Fewer units were available at the source.
    Insufficient {
        /// Units that the call was to move.
        needed: u32,
        /// Units that were available.
        available: u32,
    },
    /// The destination had too little room left.
    OverCapacity {
        /// Units that the call was to bring in.
        needed: u32,
        /// Units that the destination could still take.
        room: u32,
    },
}

// The engine stores these texts as the reason in the record of a failed decision.
error_table! {
    TransferFailure {
        Self::Insufficient { needed, available } => Short("transfer_short").on_record(),
            "{needed} units needed, {available} available";
        Self::OverCapacity { needed, room } => NoRoom("transfer_no_room").on_record(),
            "the destination has room for {room} more units, not {needed}";
    }
}

/// Why a transfer request can't be decided: it is not open, or another call is deciding on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotOpen {
    /// It was approved earlier.
    Approved,
    /// It was rejected earlier.
    Rejected,
    /// It was approved earlier, and the transfer failed.
    Failed,
    /// Another call is deciding on it at this moment. Retry.
    Deciding,
    /// It was decided, and the engine no longer stores its record.
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

/// Why a transfer request can't be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoTransferRequest {
    /// It was decided, and the engine no longer stores its record.
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

/// Why `approve_transfer` was refused or failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApproveError {
    /// The request was approved, but the transfer was no longer possible. The request has failed
    /// for good. Units that it held are available again.
    Failed(TransferFailure),
    /// The request is not open.
    NotOpen(NotOpen),
    /// A warehouse is suspended. The request stays open.
    Suspended {
        /// The warehouse.
        warehouse: String,
    },
    /// The engine holds as many products or stock levels as it can. The request stays open.
    TooManyNames,
    /// The name of the person who decides is invalid.
    Input(InvalidInput),
    /// The call was not started or the key can't be used, and the request stays open; or the record
    /// is uncertain.
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

/// Why `reject_transfer` was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RejectError {
    /// The request is not open.
    NotOpen(NotOpen),
    /// The name of the person who decides is invalid.
    Input(InvalidInput),
    /// The call was not started or the key can't be used, and the request stays open; or the record
    /// is uncertain.
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
