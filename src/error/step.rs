//! Errors of steps on part of a reservation.

use thiserror::Error;

use crate::clock::Timestamp;
use crate::error::{KeyError, Unavailable, UnknownPlace};
use crate::quantity::InvalidQuantity;

/// Why a partial confirm or a partial release was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PartialError {
    /// The reservation holds fewer units of a line than the step names; nothing has moved.
    #[error(
        "{needed} units of {product:?} in {warehouse:?} needed, {held} held by the reservation"
    )]
    NotHeld {
        /// The warehouse.
        warehouse: String,
        /// The product.
        product: String,
        /// Units that the step names, equal lines merged.
        needed: u32,
        /// Units that the reservation holds; 0 if it has no such line.
        held: u32,
    },
    /// A step has at least one line.
    #[error("a step on part of a reservation needs at least one line")]
    Empty,
    /// The step needs slots of its own, and as many are in use as the engine is set to have. Confirm
    /// and release of the whole reservation need none.
    #[error("all {slots} reservation slots are in use")]
    Full {
        /// The configured maximum.
        slots: u32,
    },
    /// The hold's time was up; what it still held has been given back.
    #[error("the hold expired at {expired_at}")]
    Expired {
        /// Its last moment.
        expired_at: Timestamp,
    },
    /// All of the reservation is confirmed already.
    #[error("the reservation is confirmed already")]
    AlreadyConfirmed,
    /// What the reservation still held was released before.
    #[error("the reservation was released")]
    Released,
    /// Another call is ending or changing the hold at this very moment.
    #[error("another call is ending or changing the hold at this moment; try again")]
    InProgress,
    /// The reservation ended, and its record is no longer kept.
    #[error("the reservation's record is no longer kept")]
    Forgotten,
    /// This engine never made such a reservation.
    #[error("there is no such reservation")]
    Unknown,
    /// A quantity can't be one.
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

/// Why `ship_lines` or `cancel_sale_lines` was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SettleError {
    /// The reservation has fewer units of a line that it sold and that were neither shipped nor
    /// cancelled; or, where units left by level instead of by reservation, the level has. Nothing has
    /// moved.
    #[error("{needed} units of {product:?} in {warehouse:?} needed, {sold} sold and still there")]
    NotSold {
        /// The warehouse.
        warehouse: String,
        /// The product.
        product: String,
        /// Units that the call names, equal lines merged.
        needed: u32,
        /// Units that are left to ship or to cancel.
        sold: u32,
    },
    /// The call has at least one line.
    #[error("units are shipped or cancelled by at least one line")]
    Empty,
    /// Another call is ending or changing the reservation at this very moment.
    #[error("another call is changing the reservation at this moment; try again")]
    InProgress,
    /// The reservation's record is no longer kept. One that was made to
    /// [`keep_until_shipped`](crate::Request::keep_until_shipped) is forgotten only when all that it
    /// sold is shipped or cancelled.
    #[error("the reservation's record is no longer kept")]
    Forgotten,
    /// This engine never made such a reservation.
    #[error("there is no such reservation")]
    Unknown,
    /// A quantity can't be one.
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
