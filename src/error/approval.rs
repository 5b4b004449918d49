//! Errors of transfers that wait for approval.

use thiserror::Error;

use crate::error::{InvalidName, KeyError, TransferError, Unavailable, UnknownPlace};
use crate::quantity::InvalidQuantity;

/// Why `request_transfer` was refused. Nothing has moved then, and no request was made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestTransferError {
    /// From and to are the same warehouse.
    #[error("a transfer needs two different warehouses")]
    SameWarehouse,
    /// The units were to be held until the decision, and fewer are available.
    #[error("{needed} units needed, {available} available")]
    Insufficient {
        /// Units that were to be held.
        needed: u32,
        /// Units that were available.
        available: u32,
        /// Whether overdue holds are left that the call did not get to: a retry may succeed.
        overdue_left: bool,
    },
    /// The units were to be held until the decision, and the source is suspended.
    #[error("warehouse {warehouse:?} is suspended")]
    Suspended {
        /// The warehouse.
        warehouse: String,
    },
    /// As many requests wait for a decision as the engine is set to keep.
    #[error("{most} transfers wait for a decision, and there may be no more")]
    TooManyOpen {
        /// The configured maximum.
        most: usize,
    },
    /// The quantity can't be one.
    #[error(transparent)]
    Quantity(#[from] InvalidQuantity),
    /// A place does not exist.
    #[error(transparent)]
    Place(#[from] UnknownPlace),
    /// The caller's key can't be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The engine takes no calls.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// What stood in the way of a transfer when it was approved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TransferFailure {
    /// Fewer units were available at the source.
    #[error("{needed} units needed, {available} available")]
    Insufficient {
        /// Units that were to be moved.
        needed: u32,
        /// Units that were available.
        available: u32,
    },
    /// The destination had not enough room left.
    #[error("the destination has room for {room} more units, not {needed}")]
    OverCapacity {
        /// Units that were to come in.
        needed: u32,
        /// Units that the destination could still hold.
        room: u32,
    },
}

/// Why `approve` or `reject` did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecisionError {
    /// It was approved, but could not be made any more. The request has failed and stays so; units
    /// that it held are available again.
    #[error("the transfer was approved, but failed: {0}")]
    Failed(TransferFailure),
    /// It was approved before.
    #[error("the transfer was approved before")]
    AlreadyApproved,
    /// It was rejected before.
    #[error("the transfer was rejected before")]
    AlreadyRejected,
    /// It was approved before, and failed.
    #[error("the transfer was approved before, and failed")]
    AlreadyFailed,
    /// Another call is deciding on it at this very moment.
    #[error("another call is deciding on the transfer at this moment; try again")]
    InProgress,
    /// A warehouse is suspended. The request stays open.
    #[error("warehouse {warehouse:?} is suspended")]
    Suspended {
        /// The warehouse.
        warehouse: String,
    },
    /// The request was decided, and its record is no longer kept.
    #[error("the transfer was decided, and its record is no longer kept")]
    Forgotten,
    /// This engine never made such a request.
    #[error("there is no such transfer request")]
    Unknown,
    /// The name of who decides can't be one.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The destination can't be opened for the product. The request stays open.
    #[error(transparent)]
    Place(#[from] UnknownPlace),
    /// No more names can be defined. The request stays open.
    #[error("the engine holds as many products or stock levels as it can")]
    TooManyNames,
    /// The caller's key can't be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The engine takes no calls. The request stays open, unless the error says that it was applied.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why there is no such transfer request to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NoTransferRequest {
    /// It was decided, and its record is no longer kept.
    #[error("the transfer was decided, and its record is no longer kept")]
    Forgotten,
    /// This engine never made such a request.
    #[error("there is no such transfer request")]
    Unknown,
}

impl From<NoTransferRequest> for DecisionError {
    fn from(none: NoTransferRequest) -> Self {
        match none {
            NoTransferRequest::Forgotten => Self::Forgotten,
            NoTransferRequest::Unknown => Self::Unknown,
        }
    }
}

/// A transfer's refusal, in the words of a decision. Only want of stock or room decides the request.
impl From<TransferError> for DecisionError {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::Suspended { warehouse } => Self::Suspended { warehouse },
            TransferError::Insufficient { needed, available } => {
                Self::Failed(TransferFailure::Insufficient { needed, available })
            }
            TransferError::OverCapacity { needed, room } => {
                Self::Failed(TransferFailure::OverCapacity { needed, room })
            }
            TransferError::Place(place) => Self::Place(place),
            TransferError::TooManyNames => Self::TooManyNames,
            TransferError::Key(key) => Self::Key(key),
            TransferError::Unavailable(unavailable) => Self::Unavailable(unavailable),
            // Refused when the request was made.
            TransferError::SameWarehouse | TransferError::Quantity(_) => {
                Self::Place(UnknownPlace::Handle)
            }
        }
    }
}
