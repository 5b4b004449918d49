//! Errors of calls on lines of a reservation: partial steps, and shipping or cancelling sold units.

use crate::base::error::call::mutation_errors;
use crate::base::error::facts::error_table;
use crate::base::error::input::input_errors;
use crate::base::error::{
    CallError, Gone, InvalidInput, InvalidName, LimitError, NoReservation, PlaceError,
};
use crate::base::quantity::InvalidQuantity;

/// Why a partial confirm or a partial release was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PartialError {
    /// The reservation holds fewer units of a line than the partial step names. Nothing moved.
    NotHeld {
        /// The warehouse.
        warehouse: String,
        /// The product.
        product: String,
        /// Units that the partial step names. Equal lines are merged.
        needed: u32,
        /// Units that the reservation holds; 0 if it has no such line.
        held: u32,
    },
    /// The call asks to [keep the reservation](crate::Request::keep_until_shipped), and units that
    /// it sold before are no longer there: `ship` or `cancel_sale` took them without naming it.
    /// Nothing moved, and it is still pending. Without that option the call goes through.
    NotSold {
        /// Units of a line that it has sold so far, and neither shipped nor cancelled.
        needed: u32,
        /// Units of the level that are sold and still in the building, without tracked ones.
        sold: u32,
    },
    /// The partial step needs new slots, and all slots are in use. Confirm and release of the whole
    /// reservation need none.
    Full {
        /// The configured maximum.
        slots: u32,
    },
    /// The hold has ended, or never existed.
    Gone(Gone),
    /// Another call is ending or changing the hold at this moment. Retry.
    Changing,
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
    PartialError {
        Self::NotHeld { warehouse, product, needed, held } => Short("not_held").on_record(),
            "{needed} units of {product:?} in {warehouse:?} needed, {held} held by the reservation";
        Self::NotSold { needed, sold } => Short("not_sold").on_record(),
            "the reservation can't be kept: it sold {needed} units before, {sold} are still there";
        Self::Full { slots } => Limit("reservations_full").retry(),
            "all {slots} reservation slots are in use";
        Self::Changing => Busy("hold_changing").retry(),
            "another call is changing the hold at this moment; try again";
    }
    nests {
        Gone(Gone), Limit(LimitError), Input(InvalidInput), Place(PlaceError), Call(CallError),
    }
}

/// Why `ship_lines` or `cancel_sale_lines` was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SoldLinesError {
    /// The reservation has fewer units of a line that are sold and still in the building, neither
    /// shipped nor cancelled. Or the level has fewer, because `ship` or `cancel_sale` took sold
    /// units of the level without naming a reservation. Nothing moved.
    NotSold {
        /// The warehouse.
        warehouse: String,
        /// The product.
        product: String,
        /// Units that the call names. Equal lines are merged.
        needed: u32,
        /// Units that are left to ship or to cancel.
        sold: u32,
    },
    /// Another call is ending or changing the reservation at this moment. Retry.
    Changing,
    /// The engine has no record of the reservation. To store the record until all sold units are
    /// shipped or cancelled, reserve with
    /// [`keep_until_shipped`](crate::Request::keep_until_shipped).
    NoReservation(NoReservation),
    /// The lines, a quantity or a name are invalid.
    Input(InvalidInput),
    /// A place does not exist.
    Place(PlaceError),
    /// The call was not started, the key can't be used, or the record is uncertain.
    Call(CallError),
}

error_table! {
    SoldLinesError {
        Self::NotSold { warehouse, product, needed, sold } => Short("not_sold").on_record(),
            "{needed} units of {product:?} in {warehouse:?} needed, {sold} sold and still there";
        Self::Changing => Busy("hold_changing").retry(),
            "another call is changing the reservation at this moment; try again";
    }
    nests {
        NoReservation(NoReservation), Input(InvalidInput), Place(PlaceError), Call(CallError),
    }
}

mutation_errors! { PartialError SoldLinesError }

input_errors! {
    PartialError: InvalidQuantity InvalidName;
    SoldLinesError: InvalidQuantity InvalidName;
}
