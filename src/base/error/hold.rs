//! Errors of operations on holds: reserve, confirm, release, extend, retake.

use std::fmt;

use crate::base::clock::Timestamp;
use crate::base::error::call::mutation_errors;
use crate::base::error::facts::error_table;
use crate::base::error::input::input_errors;
use crate::base::error::{
    CallError, InvalidInput, InvalidName, InvalidTtl, LimitError, NoReservation, PlaceError,
};
use crate::base::quantity::InvalidQuantity;

/// How a hold ended; or that this engine never made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gone {
    /// It was confirmed: all its units were sold.
    Sold {
        /// Units that it sold, over all its lines. 0 if its lines can no longer be read, because
        /// one of its slots has been reused.
        units: u64,
    },
    /// It sold some of its units, in partial steps or at its end, and returned the others: released
    /// or expired. Whoever gives money back gives it back for those that it returned, not for those
    /// that it sold.
    PartlySold {
        /// Units that it sold, over all its lines.
        sold: u64,
        /// Units that it returned, over all its lines.
        returned: u64,
    },
    /// It was released, and sold nothing.
    Released {
        /// Units that it returned in total, with those of partial releases.
        returned: u64,
    },
    /// It expired before or during this call, and sold nothing. Its units have been returned.
    Expired {
        /// When it expired.
        at: Timestamp,
        /// Units that it returned in total, with those of partial releases.
        returned: u64,
    },
    /// It has ended, and the engine no longer stores its record, or not all of it.
    Forgotten,
    /// If this engine made it, its record was lost in a crash: [`NoReservation::Lost`].
    Lost {
        /// The opening of the journal that ended in the crash; the first one is 1.
        opening: u64,
    },
    /// This engine never made a reservation of this id.
    Unknown,
}

error_table! {
    Gone {
        Self::Sold { units } => Gone("hold_sold").on_record(),
            "the reservation is confirmed already, with {units} units";
        Self::PartlySold { sold, returned } => Gone("hold_partly_sold").on_record(),
            "the reservation is over: {sold} units were sold, {returned} came back";
        Self::Released { returned } => Gone("hold_released").on_record(),
            "the reservation was released: {returned} units came back, none was sold";
        Self::Expired { at, returned } => Gone("hold_expired").on_record(),
            "the hold expired at {at}: {returned} units came back, none was sold";
        Self::Forgotten => Gone("hold_forgotten"), "the reservation's record is no longer kept";
        Self::Lost { opening } => Gone("hold_lost"),
            "the reservation was lost in the crash that ended opening {opening} of the journal";
        Self::Unknown => NotFound("hold_unknown"), "there is no such reservation";
    }
}

impl From<NoReservation> for Gone {
    fn from(none: NoReservation) -> Self {
        match none {
            // Calls that end holds refuse before: `KeyError::Gathering`.
            NoReservation::Forgotten | NoReservation::Gathering => Self::Forgotten,
            NoReservation::Lost { opening } => Self::Lost { opening },
            NoReservation::Unknown => Self::Unknown,
        }
    }
}

/// Why `reserve` or `sell` was refused.
// A tag of its own makes it eight bytes larger. But it is cheaper to make, to tell and to drop than
// a tag that is hidden in the values of a text's capacity; and most refusals are in a hurry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u8)]
pub enum ReserveError {
    /// Fewer units are available, above the safety stock, than the call needs.
    Insufficient {
        /// Units that the call asked for.
        needed: u32,
        /// Units that were available.
        available: u32,
        /// How many of these the call had to leave there.
        safety_stock: u32,
        /// Whether overdue holds are left that this call did not expire. If so, a retry may
        /// succeed.
        overdue_left: bool,
    },
    /// All reservation slots are in use.
    Full {
        /// The configured maximum.
        slots: u32,
    },
    /// The warehouse is suspended.
    Suspended {
        /// The warehouse.
        warehouse: String,
    },
    /// The quantity, the time to live or a name is invalid.
    Input(InvalidInput),
    /// The place does not exist, or the product was never stocked in any warehouse.
    Place(PlaceError),
    /// A limit refuses it.
    Limit(LimitError),
    /// The call was not started, the key can't be used, or the record is uncertain.
    Call(CallError),
}

error_table! {
    ReserveError {
        Self::Insufficient { needed, available, safety_stock, overdue_left } =>
            Short("insufficient").retry_if(*overdue_left),
            "{needed} units needed, {}", WhatIsThere { available: *available, kept: *safety_stock };
        Self::Full { slots } => Limit("reservations_full").retry(),
            "all {slots} reservation slots are in use";
        Self::Suspended { warehouse } => Suspended("suspended").retry(),
            "warehouse {warehouse:?} is suspended";
    }
    nests { Limit(LimitError), Input(InvalidInput), Place(PlaceError), Call(CallError) }
}

/// Shows what a level had in an error's text.
struct WhatIsThere {
    available: u32,
    /// How many of these are safety stock.
    kept: u32,
}

impl fmt::Display for WhatIsThere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { available, kept } = self;
        write!(f, "{available} available")?;
        if *kept > 0 { write!(f, ", {kept} of them safety stock") } else { Ok(()) }
    }
}

/// One line takes as a basket of one line does, and fails for the same causes.
impl From<BasketError> for ReserveError {
    fn from(refusal: BasketError) -> Self {
        match refusal {
            BasketError::Insufficient { lines, overdue_left } => {
                let first = lines.first();
                Self::Insufficient {
                    needed: first.map_or(0, |line| line.needed),
                    available: first.map_or(0, |line| line.available),
                    safety_stock: first.map_or(0, |line| line.safety_stock),
                    overdue_left,
                }
            }
            BasketError::Full { slots } => Self::Full { slots },
            BasketError::Suspended { warehouse } => Self::Suspended { warehouse },
            BasketError::Limit(limit) => Self::Limit(limit),
            BasketError::Input(input) => Self::Input(input),
            BasketError::Place(place) => Self::Place(place),
            BasketError::Call(call) => Self::Call(call),
        }
    }
}

/// One line of a basket that was short.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShortLine {
    /// The warehouse.
    pub warehouse: String,
    /// The product.
    pub product: String,
    /// Units that the basket needs. Equal lines are merged.
    pub needed: u32,
    /// Units that were available.
    pub available: u32,
    /// How many of these the basket had to leave there.
    pub safety_stock: u32,
    /// Whether the product was never stocked in any warehouse of this engine. Most likely the name
    /// is misspelled.
    pub never_stocked: bool,
}

/// Shows the short lines in an error's text.
struct ShortLinesText<'a>(&'a [ShortLine]);

impl fmt::Display for ShortLinesText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of the basket's lines short", self.0.len())?;
        match self.0.first() {
            None => Ok(()),
            Some(ShortLine { product, never_stocked: true, .. }) => {
                write!(f, ", first {product:?}: never stocked in any warehouse")
            }
            Some(&ShortLine { ref product, needed, available, safety_stock, .. }) => {
                let there = WhatIsThere { available, kept: safety_stock };
                write!(f, ", first {product:?}: {needed} needed, {there}")
            }
        }
    }
}

/// Why a basket was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BasketError {
    /// At least one line is short. Nothing was taken.
    Insufficient {
        /// Every line that was short when the call checked it. Never empty.
        lines: Vec<ShortLine>,
        /// Whether overdue holds are left that this call did not expire. If so, a retry may
        /// succeed.
        overdue_left: bool,
    },
    /// All reservation slots are in use.
    Full {
        /// The configured maximum.
        slots: u32,
    },
    /// A warehouse is suspended.
    Suspended {
        /// The warehouse.
        warehouse: String,
    },
    /// The lines, a quantity, the time to live or a name are invalid.
    Input(InvalidInput),
    /// A place does not exist.
    Place(PlaceError),
    /// A limit refuses it.
    Limit(LimitError),
    /// The call was not started, the key can't be used, or the record is uncertain.
    Call(CallError),
}

error_table! {
    BasketError {
        Self::Insufficient { lines, overdue_left } =>
            Short("insufficient").retry_if(*overdue_left),
            "{}", ShortLinesText(lines);
        Self::Full { slots } => Limit("reservations_full").retry(),
            "all {slots} reservation slots are in use";
        Self::Suspended { warehouse } => Suspended("suspended").retry(),
            "warehouse {warehouse:?} is suspended";
    }
    nests { Limit(LimitError), Input(InvalidInput), Place(PlaceError), Call(CallError) }
}

/// Why a split fulfillment was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FulfillError {
    /// At one instant of the call, all warehouses of the order together had fewer units. Nothing
    /// was taken. Suspended warehouses don't count.
    Insufficient {
        /// Units that the call asked for.
        needed: u32,
        /// Units that were available in all these warehouses together, above their safety stocks.
        available: u64,
    },
    /// All reservation slots are in use.
    Full {
        /// The configured maximum.
        slots: u32,
    },
    /// The quantity, the time to live or a name is invalid.
    Input(InvalidInput),
    /// A place does not exist, or the product was never stocked in any warehouse.
    Place(PlaceError),
    /// A limit refuses it.
    Limit(LimitError),
    /// The call was not started, the key can't be used, or the record is uncertain.
    Call(CallError),
}

error_table! {
    FulfillError {
        Self::Insufficient { needed, available } => Short("insufficient"),
            "{needed} units needed, {available} available in all warehouses of the order";
        Self::Full { slots } => Limit("reservations_full").retry(),
            "all {slots} reservation slots are in use";
    }
    nests { Limit(LimitError), Input(InvalidInput), Place(PlaceError), Call(CallError) }
}

/// Why `confirm` was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfirmError {
    /// A limit counts what this sale draws, which needs new slots, and all are in use. Nothing
    /// moved, and the hold is still pending. No other confirm needs any.
    Full {
        /// The configured maximum.
        slots: u32,
    },
    /// The hold has ended, or never existed.
    Gone(Gone),
    /// The call asks to [keep the reservation](crate::Request::keep_until_shipped), and units that
    /// it sold before are no longer there: `ship` or `cancel_sale` took them without naming it.
    /// Nothing moved, and it is still pending. Without that option the call goes through.
    NotSold {
        /// Units of a line that it has sold so far, and neither shipped nor cancelled.
        needed: u32,
        /// Units of the level that are sold and still in the building, without tracked ones.
        sold: u32,
    },
    /// Another call is ending or changing the hold at this moment. Retry.
    Changing,
    /// A limit refuses it.
    Limit(Box<LimitError>),
    /// The call was not started, the key can't be used, or the record is uncertain.
    Call(CallError),
}

error_table! {
    ConfirmError {
        Self::Full { slots } => Limit("reservations_full").retry(),
            "all {slots} reservation slots are in use";
        Self::NotSold { needed, sold } => Short("not_sold").on_record(),
            "the reservation can't be kept: it sold {needed} units before, {sold} are still there";
        Self::Changing => Busy("hold_changing").retry(),
            "another call is changing the hold at this moment; try again";
    }
    nests { Gone(Gone), Limit(LimitError), Call(CallError) }
}

/// Why `release` was refused. A hold that ended without a sale is no error: see
/// [`Release`](crate::Release).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReleaseError {
    /// A confirmed reservation can't be released. Cancel its sale instead.
    Sold {
        /// Units that it sold, over all its lines. 0 if its lines can no longer be read.
        units: u64,
    },
    /// Another call is ending or changing the hold at this moment. Retry.
    Changing,
    /// The call was not started, the key can't be used, or the record is uncertain.
    Call(CallError),
}

error_table! {
    ReleaseError {
        Self::Sold { units } => Gone("hold_sold").on_record(),
            "a reservation that sold {units} units can't be released; cancel its sale instead";
        Self::Changing => Busy("hold_changing").retry(),
            "another call is changing the hold at this moment; try again";
    }
    nests { Call(CallError) }
}

/// Why `extend` was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExtendError {
    /// The hold would live longer in total than the engine allows.
    OverCap {
        /// When the hold would expire.
        asked: Timestamp,
        /// The latest expiry that the engine allows.
        latest: Timestamp,
    },
    /// The hold has ended, or never existed.
    Gone(Gone),
    /// Another call is ending or changing the hold at this moment. Retry.
    Changing,
    /// The time to live is invalid.
    Input(InvalidInput),
    /// The call was not started, the key can't be used, or the record is uncertain.
    Call(CallError),
}

error_table! {
    ExtendError {
        Self::OverCap { asked, latest } => Limit("over_longest_hold"),
            "the hold may live until {latest} at most, not until {asked}";
        Self::Changing => Busy("hold_changing").retry(),
            "another call is changing the hold at this moment; try again";
    }
    nests { Gone(Gone), Input(InvalidInput), Call(CallError) }
}

/// Why `confirm_or_retake` was refused. If the hold has ended unsold, its lines could not be taken
/// again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetakeError {
    /// At least one line is short. Nothing was taken.
    Insufficient {
        /// Every line that was short when the call checked it. Never empty.
        lines: Vec<ShortLine>,
        /// Whether overdue holds are left that this call did not expire. If so, a retry may
        /// succeed.
        overdue_left: bool,
    },
    /// All reservation slots are in use.
    Full {
        /// The configured maximum.
        slots: u32,
    },
    /// A warehouse is suspended.
    Suspended {
        /// The warehouse.
        warehouse: String,
    },
    /// The call names other lines than the hold had, as far as its record can still be read.
    OtherLines,
    /// The call asks to [keep the reservation](crate::Request::keep_until_shipped), and units that
    /// it sold before are no longer there: `ship` or `cancel_sale` took them without naming it.
    /// Nothing moved, and it is still pending. Without that option the call goes through.
    NotSold {
        /// Units of a line that it has sold so far, and neither shipped nor cancelled.
        needed: u32,
        /// Units of the level that are sold and still in the building, without tracked ones.
        sold: u32,
    },
    /// Another call is ending or changing the hold at this moment. Retry.
    Changing,
    /// This engine never made the reservation. Or neither its record nor the audit log reaches back
    /// to it, so the engine can't tell whether it sold anything.
    NoReservation(NoReservation),
    /// The lines, a quantity or a name are invalid.
    Input(InvalidInput),
    /// A place does not exist.
    Place(PlaceError),
    /// A limit refuses it.
    Limit(LimitError),
    /// The call was not started, the key can't be used, or the record is uncertain.
    Call(CallError),
}

error_table! {
    RetakeError {
        Self::Insufficient { lines, overdue_left } =>
            Short("insufficient").retry_if(*overdue_left),
            "{}", ShortLinesText(lines);
        Self::Full { slots } => Limit("reservations_full").retry(),
            "all {slots} reservation slots are in use";
        Self::Suspended { warehouse } => Suspended("suspended").retry(),
            "warehouse {warehouse:?} is suspended";
        Self::OtherLines => Conflict("other_lines"), "the lines named are not those of the hold";
        Self::NotSold { needed, sold } => Short("not_sold").on_record(),
            "the reservation can't be kept: it sold {needed} units before, {sold} are still there";
        Self::Changing => Busy("hold_changing").retry(),
            "another call is changing the hold at this moment; try again";
    }
    nests {
        NoReservation(NoReservation), Limit(LimitError), Input(InvalidInput), Place(PlaceError),
        Call(CallError),
    }
}

/// A retake takes the lines as a basket does, so it fails for the same causes.
impl From<BasketError> for RetakeError {
    fn from(refusal: BasketError) -> Self {
        match refusal {
            BasketError::Insufficient { lines, overdue_left } => {
                Self::Insufficient { lines, overdue_left }
            }
            BasketError::Full { slots } => Self::Full { slots },
            BasketError::Suspended { warehouse } => Self::Suspended { warehouse },
            BasketError::Limit(limit) => Self::Limit(limit),
            BasketError::Input(input) => Self::Input(input),
            BasketError::Place(place) => Self::Place(place),
            BasketError::Call(call) => Self::Call(call),
        }
    }
}

mutation_errors! {
    ReserveError BasketError FulfillError ConfirmError ReleaseError ExtendError RetakeError
}

input_errors! {
    ReserveError: InvalidQuantity InvalidTtl InvalidName;
    BasketError: InvalidQuantity InvalidTtl InvalidName;
    FulfillError: InvalidQuantity InvalidTtl InvalidName;
    ExtendError: InvalidTtl;
}
