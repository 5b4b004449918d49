//! Errors of holds: making them, ending them, taking them again.

use thiserror::Error;

use crate::clock::Timestamp;
use crate::error::{InvalidTtl, KeyError, Unavailable, UnknownPlace};
use crate::quantity::InvalidQuantity;

/// Why `reserve` or `sell` was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReserveError {
    /// Fewer units are available.
    #[error("{needed} units needed, {available} available")]
    Insufficient {
        /// Units that were asked for.
        needed: u32,
        /// Units that were available.
        available: u32,
        /// Whether overdue holds are left that the call did not get to: a retry may succeed.
        overdue_left: bool,
    },
    /// As many reservations live as the engine is set to hold.
    #[error("all {slots} reservation slots are in use")]
    Full {
        /// The configured maximum.
        slots: u32,
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
    /// The time to live can't be one.
    #[error(transparent)]
    Ttl(#[from] InvalidTtl),
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

/// One line of a basket that was short.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShortLine {
    /// The warehouse.
    pub warehouse: String,
    /// The product.
    pub product: String,
    /// Units that the basket needs of it, equal lines merged.
    pub needed: u32,
    /// Units that were available.
    pub available: u32,
    /// This engine has never heard of the product, in any warehouse: most likely a typo.
    pub never_stocked: bool,
}

/// Why a basket was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BasketError {
    /// At least one line is short; nothing was taken.
    #[error("{} of the basket's lines short, first {:?}: {} needed, {} available",
        .lines.len(), first_short(.lines).product, first_short(.lines).needed, first_short(.lines).available)]
    Insufficient {
        /// Every line that was short when it was looked at; never empty.
        lines: Vec<ShortLine>,
        /// Whether overdue holds are left that the call did not get to: a retry may succeed.
        overdue_left: bool,
    },
    /// A basket has at least one line.
    #[error("a basket needs at least one line")]
    Empty,
    /// More lines than the engine is set to take.
    #[error("a basket may have {most} lines, not {lines}")]
    TooManyLines {
        /// Distinct lines of the basket.
        lines: usize,
        /// The configured maximum.
        most: usize,
    },
    /// As many reservations live as the engine is set to hold.
    #[error("all {slots} reservation slots are in use")]
    Full {
        /// The configured maximum.
        slots: u32,
    },
    /// A warehouse is suspended.
    #[error("warehouse {warehouse:?} is suspended")]
    Suspended {
        /// The warehouse.
        warehouse: String,
    },
    /// A quantity can't be one; also when equal lines add up to too much.
    #[error(transparent)]
    Quantity(#[from] InvalidQuantity),
    /// The time to live can't be one.
    #[error(transparent)]
    Ttl(#[from] InvalidTtl),
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

fn first_short(lines: &[ShortLine]) -> ShortLine {
    lines.first().cloned().unwrap_or(ShortLine {
        warehouse: String::new(),
        product: String::new(),
        needed: 0,
        available: 0,
        never_stocked: false,
    })
}

/// Why `confirm` was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfirmError {
    /// The hold's time was up; its units have been given back.
    #[error("the hold expired at {expired_at}")]
    Expired {
        /// Its last moment.
        expired_at: Timestamp,
    },
    /// The reservation is confirmed already.
    #[error("the reservation is confirmed already")]
    AlreadyConfirmed,
    /// The reservation was released before.
    #[error("the reservation was released")]
    Released,
    /// Another call is ending or changing the hold at this very moment.
    #[error("another call is ending the hold at this moment; try again")]
    InProgress,
    /// The reservation ended, and its record is no longer kept.
    #[error("the reservation's record is no longer kept")]
    Forgotten,
    /// This engine never made such a reservation.
    #[error("there is no such reservation")]
    Unknown,
    /// The caller's key can't be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The engine takes no calls.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why `release` was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// A confirmed reservation can't be released; its sale can be cancelled.
    #[error("a confirmed reservation can't be released; cancel its sale instead")]
    Confirmed,
    /// Another call is ending or changing the hold at this very moment.
    #[error("another call is ending the hold at this moment; try again")]
    InProgress,
    /// The caller's key can't be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The engine takes no calls.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why `extend` was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ExtendError {
    /// The hold would live longer than the engine allows in all.
    #[error("the hold may live until {latest} at most, not until {asked}")]
    OverCap {
        /// When it would expire.
        asked: Timestamp,
        /// The latest moment that the engine allows.
        latest: Timestamp,
    },
    /// The hold's time was up.
    #[error("the hold expired at {expired_at}")]
    Expired {
        /// Its last moment.
        expired_at: Timestamp,
    },
    /// The reservation is confirmed already.
    #[error("the reservation is confirmed already")]
    AlreadyConfirmed,
    /// The reservation was released before.
    #[error("the reservation was released")]
    Released,
    /// Another call is ending or changing the hold at this very moment.
    #[error("another call is ending the hold at this moment; try again")]
    InProgress,
    /// The reservation ended, and its record is no longer kept.
    #[error("the reservation's record is no longer kept")]
    Forgotten,
    /// This engine never made such a reservation.
    #[error("there is no such reservation")]
    Unknown,
    /// The time to live can't be one.
    #[error(transparent)]
    Ttl(#[from] InvalidTtl),
    /// The caller's key can't be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The engine takes no calls.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why `confirm_or_retake` was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RetakeError {
    /// The hold ended unsold, and its lines can't be taken again.
    #[error(transparent)]
    Retake(#[from] BasketError),
    /// The lines named are not those of the hold, as far as its record can still be read.
    #[error("the lines named are not those of the hold")]
    OtherLines,
    /// Another call is ending or changing the hold at this very moment.
    #[error("another call is ending the hold at this moment; try again")]
    InProgress,
    /// Neither a record nor the audit log reaches back to it, so that nobody can say whether it
    /// sold anything; nothing moved.
    #[error("neither a record nor the audit log reaches back to the reservation")]
    Forgotten,
    /// This engine never made such a reservation.
    #[error("there is no such reservation")]
    Unknown,
    /// The caller's key can't be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The engine takes no calls.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why a split fulfilment was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FulfilError {
    /// All warehouses of the order together had fewer units at one instant of the call; nothing was
    /// taken. Suspended warehouses don't count.
    #[error("{needed} units needed, {available} available in all warehouses of the order")]
    Insufficient {
        /// Units that were asked for.
        needed: u32,
        /// Units that were available in all.
        available: u64,
    },
    /// As many reservations live as the engine is set to hold.
    #[error("all {slots} reservation slots are in use")]
    Full {
        /// The configured maximum.
        slots: u32,
    },
    /// The quantity can't be one.
    #[error(transparent)]
    Quantity(#[from] InvalidQuantity),
    /// The time to live can't be one.
    #[error(transparent)]
    Ttl(#[from] InvalidTtl),
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
