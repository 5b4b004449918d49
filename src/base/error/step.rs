//! Errors of calls on the lines of a reservation: steps on part of a hold, and units it has sold.

use crate::base::error::call::mutation_errors;
use crate::base::error::facts::error_table;
use crate::base::error::input::input_errors;
use crate::base::error::{CallError, Gone, InvalidInput, InvalidName, NoReservation, PlaceError};
use crate::base::quantity::InvalidQuantity;

/// Why a partial confirm or a partial release was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PartialError {
    /// The reservation holds fewer units of a line than the step names; nothing has moved.
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
    /// The step needs slots of its own, and as many are in use as the engine is set to have. Confirm
    /// and release of the whole reservation need none.
    Full {
        /// The configured maximum.
        slots: u32,
    },
    /// The hold is over, or never was.
    Gone(Gone),
    /// Another call is ending or changing the hold at this very moment.
    Changing,
    /// The lines, a quantity or a name can't be one.
    Input(InvalidInput),
    /// A place does not exist.
    Place(PlaceError),
    /// The call was not begun, or its record is uncertain.
    Call(CallError),
}

error_table! {
    PartialError {
        Self::NotHeld { warehouse, product, needed, held } => Short("not_held").on_record(),
            "{needed} units of {product:?} in {warehouse:?} needed, {held} held by the reservation";
        Self::Full { slots } => Limit("reservations_full").retry(),
            "all {slots} reservation slots are in use";
        Self::Changing => Busy("hold_changing").retry(),
            "another call is changing the hold at this moment; try again";
    }
    nests { Gone(Gone), Input(InvalidInput), Place(PlaceError), Call(CallError) }
}

/// Why `ship_lines` or `cancel_sale_lines` was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SoldLinesError {
    /// The reservation has fewer units of a line that it sold and that were neither shipped nor
    /// cancelled; or, where units left by level instead of by reservation, the level has. Nothing has
    /// moved.
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
    /// Another call is ending or changing the reservation at this very moment.
    Changing,
    /// There is no record of the reservation. That of one that was made to
    /// [`keep_until_shipped`](crate::Request::keep_until_shipped) is kept until all that it sold is
    /// shipped or cancelled.
    NoReservation(NoReservation),
    /// The lines, a quantity or a name can't be one.
    Input(InvalidInput),
    /// A place does not exist.
    Place(PlaceError),
    /// The call was not begun, or its record is uncertain.
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
