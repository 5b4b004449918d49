//! Between the terms of the engine and those of the model.

use stockade::{
    BasketError, ConfirmError, DefineLimitError, ExtendError, FulfillError, LimitError,
    PartialError, ReserveError, RetakeError, ShipError, ShortLine, SoldLinesError,
};

use super::model::{Denied, Subject};
use super::plan::{Kind, LEVELS, NAMES, PRODUCTS};

pub(super) fn name_of(level: usize) -> (&'static str, &'static str) {
    let (warehouse, product) = LEVELS[level];
    (warehouse, PRODUCTS[product])
}

pub(super) fn level_named(warehouse: &str, product: &str) -> usize {
    let found = (0..LEVELS.len()).find(|level| name_of(*level) == (warehouse, product));
    found.expect("one of the levels")
}

/// A customer's id, or a card's.
pub(super) fn id_of(id: u8) -> [u8; 3] {
    [b'i', b'd', b'0' + id]
}

pub(super) fn who_named(kind: Kind, id: u8) -> Subject {
    if kind == Kind::Customer { Subject::Customer(id) } else { Subject::Card(id) }
}

fn limit_named(name: &str) -> usize {
    NAMES.iter().position(|known| *known == name).expect("one of the names")
}

fn limit_denied(error: &LimitError) -> Denied {
    match error {
        LimitError::Reached { limit, maximum, used, asked, overdue_left } => {
            assert!(!overdue_left, "there are few holds, so all overdue ones are taken back");
            let (maximum, used, asked) = (*maximum, *used, *asked);
            Denied::Reached { limit: limit_named(limit), maximum, used, asked }
        }
        LimitError::NoSubject { limit, .. } => Denied::NoSubject { limit: limit_named(limit) },
        LimitError::Unknown { limit } => Denied::UnknownLimit { limit: limit_named(limit) },
        LimitError::ByLevel { limit } => Denied::ByLevel { limit: limit_named(limit) },
        other => panic!("{other}: that was not to be expected"),
    }
}

fn short(lines: Vec<ShortLine>, overdue_left: bool) -> Denied {
    assert!(!overdue_left, "there are few holds, so all overdue ones are taken back");
    let plain = |it: ShortLine| (level_named(&it.warehouse, &it.product), it.needed, it.available);
    Denied::Short(lines.into_iter().map(plain).collect())
}

/// Translates an error of the engine.
pub(super) trait Plain<T> {
    fn plain(self) -> Result<T, Denied>;
}

macro_rules! plain {
    ($($error:ident: $($pattern:pat => $denied:expr),+;)+) => {$(
        impl<T> Plain<T> for Result<T, $error> {
            fn plain(self) -> Result<T, Denied> {
                self.map_err(|error| match error {
                    $($pattern => $denied,)+
                    other => panic!("{other}: that was not to be expected"),
                })
            }
        }
    )+};
}

plain! {
    BasketError: BasketError::Insufficient { lines, overdue_left } => short(lines, overdue_left),
        BasketError::Limit(limit) => limit_denied(&limit);
    FulfillError:
        FulfillError::Insufficient { needed, available } => Denied::ShortSum(needed, available),
        FulfillError::Limit(limit) => limit_denied(&limit);
    ConfirmError: ConfirmError::Gone(_) => Denied::Gone,
        ConfirmError::NotSold { needed, sold } => Denied::NotSold(needed, sold),
        ConfirmError::Limit(limit) => limit_denied(&limit);
    ExtendError: ExtendError::Gone(_) => Denied::Gone;
    PartialError: PartialError::Gone(_) => Denied::Gone,
        PartialError::NotSold { needed, sold } => Denied::NotSold(needed, sold),
        PartialError::NotHeld { needed, held, .. } => Denied::NotHeld(needed, held),
        PartialError::Limit(limit) => limit_denied(&limit);
    SoldLinesError: SoldLinesError::NotSold { needed, sold, .. } => Denied::NotSold(needed, sold);
    RetakeError: RetakeError::NotSold { needed, sold } => Denied::NotSold(needed, sold),
        RetakeError::Insufficient { lines, overdue_left } => short(lines, overdue_left),
        RetakeError::Limit(limit) => limit_denied(&limit);
    ShipError: ShipError::NotSold { needed, sold, .. } => Denied::NotSold(needed, sold),
        ShipError::NeedsReservation { limit } => {
            Denied::NeedsReservation { limit: limit_named(&limit) }
        };
    DefineLimitError: DefineLimitError::Redefined { .. } => Denied::Redefined,
        DefineLimitError::OutOfBounds { .. } => Denied::OutOfBounds,
        DefineLimitError::Unknown { limit } => {
            Denied::UnknownLimit { limit: limit_named(&limit) }
        };
}

/// The same, of a call that names one level.
pub(super) trait PlainOf<T> {
    fn plain_of(self, level: usize) -> Result<T, Denied>;
}

impl<T> PlainOf<T> for Result<T, ReserveError> {
    fn plain_of(self, level: usize) -> Result<T, Denied> {
        self.map_err(|error| match error {
            ReserveError::Insufficient { needed, available, .. } => {
                Denied::Short(vec![(level, needed, available)])
            }
            ReserveError::Limit(limit) => limit_denied(&limit),
            other => panic!("{other}: that was not to be expected"),
        })
    }
}
