//! What can go wrong: one small enum for each kind of operation, and one umbrella over them all.
//!
//! Every error answers two questions besides its text: [`is_retryable`](Error::is_retryable), may
//! the same call succeed if it is made again, and [`applied`](Error::applied), has anything moved.
//! But for two kinds, [`Unrecorded`](Unavailable::Unrecorded) and
//! [`NotDurable`](Unavailable::NotDurable), an error means that nothing has.

mod approval;
mod hold;
mod journal;
mod lookup;
mod setup;
mod step;
mod stock;

use std::time::Duration;

use thiserror::Error;

pub use approval::{DecisionError, NoTransferRequest, RequestTransferError, TransferFailure};
pub use hold::{
    BasketError, ConfirmError, ExtendError, FulfilError, ReleaseError, ReserveError, RetakeError,
    ShortLine,
};
pub use journal::{JournalError, RedactError};
pub(crate) use lookup::MAX_KEY_BYTES;
pub use lookup::{FlushError, InvalidKey, InvalidReservationId, NoReservation};
pub use setup::{BuildError, SettingError, SnapshotError};
pub use step::{PartialError, SettleError};
pub use stock::{AddError, RemoveError, ShipError, TransferError};

/// The longest name of a product or a warehouse, in bytes.
pub const MAX_NAME_BYTES: usize = 255;

/// Whether a call that returned an error has changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Nothing has moved.
    No,
    /// The stock has moved in memory, but the audit log, or the disk, may not have taken the entry.
    InMemory,
}

/// Why the engine as a whole takes no call at present.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// The engine has been shut down.
    #[error("the engine is shut down")]
    Closed,
    /// The audit sink fails; what is queued is kept, and calls are taken again once it recovers.
    #[error("the audit log can't be written, so nothing may move: {reason}")]
    Stopped {
        /// What the sink reported.
        reason: String,
    },
    /// The audit writer has died; the engine has to be built anew.
    #[error("the audit writer has died, so nothing may move any more")]
    Poisoned,
    /// The audit queue is nearly full, and the caller chose not to wait.
    #[error("the audit queue is full; try again in a moment")]
    Busy,
    /// The stock has moved, and its entry is queued or written, but not known to be on the disk. Ask
    /// again with the key, or [`flush`](crate::InventoryManager::flush); without a key, a repeat of the
    /// call would move more.
    #[error("applied in memory, but not known to be on the disk: {reason}")]
    NotDurable {
        /// What stood in the way.
        reason: String,
    },
    /// The stock has moved, but the audit writer ended before it took the entry.
    #[error("applied in memory, but the audit writer ended before it took the entry")]
    Unrecorded,
}

impl Unavailable {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Stopped { .. } | Self::Busy)
    }

    /// Whether anything has moved.
    pub fn applied(&self) -> Applied {
        match self {
            Self::Unrecorded | Self::NotDurable { .. } => Applied::InMemory,
            _ => Applied::No,
        }
    }
}

/// A name that is empty or too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a name must be 1 to {MAX_NAME_BYTES} bytes, not {bytes}")]
pub struct InvalidName {
    /// The length of the name that was passed.
    pub bytes: usize,
}

/// A time to live of 0, or longer than the engine allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a time to live must be more than 0 and at most {longest:?}, not {ttl:?}")]
pub struct InvalidTtl {
    /// What was passed.
    pub ttl: Duration,
    /// The longest that the engine allows at present.
    pub longest: Duration,
}

/// A place that does not exist here, or whose name can't be one. It is told apart from a place that is
/// sold out: a product that is known and has no units is no error of this kind.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UnknownPlace {
    /// No warehouse of this name was given to the builder.
    #[error("there is no warehouse {warehouse:?}")]
    Warehouse {
        /// The name that was passed.
        warehouse: String,
    },
    /// This engine has never heard of the product, in any warehouse: most likely a typo.
    #[error("no product {product:?} was ever stocked")]
    NeverStocked {
        /// The name that was passed.
        product: String,
    },
    /// The product was stocked elsewhere, and never in this warehouse. Only for calls that need the level
    /// itself; to all others it is a level with 0 units.
    #[error("product {product:?} was never stocked in warehouse {warehouse:?}")]
    Product {
        /// The warehouse.
        warehouse: String,
        /// The product.
        product: String,
    },
    /// A handle, listener's id or cursor that another engine gave out.
    #[error("the handle is of another engine")]
    Handle,
    /// A name that can't be one.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

/// A caller's key that can't be used for this call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The key was used for another request.
    #[error("the key was used before, for a different request")]
    Conflict,
    /// The first call with the key is under way, and the engine is set to refuse rather than wait.
    #[error("a call with the same key is under way; try again in a moment")]
    InProgress,
}

impl KeyError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::InProgress)
    }
}

/// Anything that can go wrong, for callers who don't care which operation it was.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// See [`AddError`].
    #[error(transparent)]
    Add(#[from] AddError),
    /// See [`RemoveError`].
    #[error(transparent)]
    Remove(#[from] RemoveError),
    /// See [`ReserveError`].
    #[error(transparent)]
    Reserve(#[from] ReserveError),
    /// See [`BasketError`].
    #[error(transparent)]
    Basket(#[from] BasketError),
    /// See [`FulfilError`].
    #[error(transparent)]
    Fulfil(#[from] FulfilError),
    /// See [`ConfirmError`].
    #[error(transparent)]
    Confirm(#[from] ConfirmError),
    /// See [`ReleaseError`].
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// See [`ExtendError`].
    #[error(transparent)]
    Extend(#[from] ExtendError),
    /// See [`PartialError`].
    #[error(transparent)]
    Partial(#[from] PartialError),
    /// See [`SettleError`].
    #[error(transparent)]
    Settle(#[from] SettleError),
    /// See [`ShipError`].
    #[error(transparent)]
    Ship(#[from] ShipError),
    /// See [`TransferError`].
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// See [`RequestTransferError`].
    #[error(transparent)]
    RequestTransfer(#[from] RequestTransferError),
    /// See [`DecisionError`].
    #[error(transparent)]
    Decision(#[from] DecisionError),
    /// See [`NoTransferRequest`].
    #[error(transparent)]
    NoTransferRequest(#[from] NoTransferRequest),
    /// See [`RetakeError`].
    #[error(transparent)]
    Retake(#[from] RetakeError),
    /// See [`SettingError`].
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// See [`SnapshotError`].
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// See [`BuildError`].
    #[error(transparent)]
    Build(#[from] BuildError),
    /// See [`UnknownPlace`].
    #[error(transparent)]
    Place(#[from] UnknownPlace),
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// See [`FlushError`].
    #[error(transparent)]
    Flush(#[from] FlushError),
    /// See [`NoReservation`].
    #[error(transparent)]
    NoReservation(#[from] NoReservation),
    /// See [`InvalidReservationId`].
    #[error(transparent)]
    ReservationId(#[from] InvalidReservationId),
    /// See [`InvalidKey`].
    #[error(transparent)]
    RequestKey(#[from] InvalidKey),
}

/// Whether an error tells of something that an earlier call, or this one, has recorded: who relies on
/// it has to know that it is durable.
pub trait RestsOnRecord {
    /// Whether it does.
    fn rests_on_record(&self) -> bool;
}

/// Gives each enum its answers: the variants that are worth a retry by themselves, those that tell of
/// what is recorded, and those whose inner error knows.
macro_rules! answers {
    ($($error:ident { $(retry: $retry:pat,)? $(told: $told:pat,)? $(inner: $($inner:ident)|+,)? $(keys: $keys:ident,)? })+) => {$(
        impl RestsOnRecord for $error {
            fn rests_on_record(&self) -> bool {
                match self {
                    $($told => true,)?
                    $($(Self::$inner(inner) => inner.rests_on_record(),)+)?
                    #[allow(unreachable_patterns, reason = "the umbrella's variants all have an inner error")]
                    _ => false,
                }
            }
        }

        impl $error {
            /// Whether the same call may succeed if it is made again.
            pub fn is_retryable(&self) -> bool {
                match self {
                    $($retry => true,)?
                    $($(Self::$inner(inner) => inner.is_retryable(),)+)?
                    $(Self::$keys(key) => key.is_retryable(),)?
                    #[allow(unreachable_patterns, reason = "the umbrella's variants all have an inner error")]
                    _ => false,
                }
            }

            /// Whether anything has moved although the call returned an error.
            pub fn applied(&self) -> Applied {
                match self {
                    $($(Self::$inner(inner) => inner.applied(),)+)?
                    #[allow(unreachable_patterns, reason = "the umbrella's variants all have an inner error")]
                    _ => Applied::No,
                }
            }
        }
    )+};
}

answers! {
    AddError { retry: Self::Suspended { .. }, inner: Unavailable, keys: Key, }
    RemoveError { retry: Self::Suspended { .. }, inner: Unavailable, keys: Key, }
    ReserveError {
        retry: Self::Insufficient { overdue_left: true, .. } | Self::Full { .. } | Self::Suspended { .. },
        inner: Unavailable,
        keys: Key,
    }
    BasketError {
        retry: Self::Insufficient { overdue_left: true, .. } | Self::Full { .. } | Self::Suspended { .. },
        inner: Unavailable,
        keys: Key,
    }
    FulfilError { retry: Self::Full { .. }, inner: Unavailable, keys: Key, }
    ConfirmError {
        retry: Self::InProgress,
        told: Self::AlreadyConfirmed | Self::Released | Self::Expired { .. },
        inner: Unavailable, keys: Key,
    }
    ReleaseError {
        retry: Self::InProgress,
        told: Self::Confirmed,
        inner: Unavailable, keys: Key,
    }
    ExtendError {
        retry: Self::InProgress,
        told: Self::AlreadyConfirmed | Self::Released | Self::Expired { .. },
        inner: Unavailable, keys: Key,
    }
    PartialError {
        retry: Self::InProgress | Self::Full { .. },
        told: Self::AlreadyConfirmed | Self::Released | Self::Expired { .. } | Self::NotHeld { .. },
        inner: Unavailable, keys: Key,
    }
    SettleError {
        retry: Self::InProgress,
        told: Self::NotSold { .. },
        inner: Unavailable, keys: Key,
    }
    ShipError { inner: Unavailable, keys: Key, }
    TransferError { retry: Self::Suspended { .. }, inner: Unavailable, keys: Key, }
    RequestTransferError {
        retry: Self::Insufficient { overdue_left: true, .. } | Self::Suspended { .. } | Self::TooManyOpen { .. },
        inner: Unavailable,
        keys: Key,
    }
    DecisionError {
        retry: Self::InProgress | Self::Suspended { .. },
        told: Self::AlreadyApproved | Self::AlreadyRejected | Self::AlreadyFailed | Self::Failed(_),
        inner: Unavailable,
        keys: Key,
    }
    NoTransferRequest { }
    RetakeError { retry: Self::InProgress, inner: Retake | Unavailable, keys: Key, }
    SettingError { inner: Unavailable, }
    BuildError { retry: Self::Thread { .. } | Self::Journal(JournalError::Locked | JournalError::Storage { .. }), }
    SnapshotError { }
    UnknownPlace { }
    FlushError { retry: Self::Stopped { .. } | Self::TimedOut, }
    NoReservation { }
    InvalidReservationId { }
    InvalidKey { }
    Error {
        inner: Add | Remove | Reserve | Basket | Fulfil | Snapshot | Confirm | Release | Extend | Partial | Settle | Ship | Transfer | RequestTransfer | Decision | NoTransferRequest | Retake | Setting | Build | Place | Unavailable | Flush | NoReservation | ReservationId | RequestKey,
    }
}

impl RestsOnRecord for Unavailable {
    fn rests_on_record(&self) -> bool {
        false
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::quantity::InvalidQuantity;

    #[test]
    fn an_error_says_whether_it_is_worth_a_retry_and_whether_anything_moved() {
        let sold_out = ReserveError::Insufficient { needed: 2, available: 0, overdue_left: false };
        assert!(!sold_out.is_retryable());
        assert!(ReserveError::from(Unavailable::Busy).is_retryable());
        let unrecorded = Error::from(AddError::from(Unavailable::Unrecorded));
        assert_eq!(unrecorded.applied(), Applied::InMemory);
        assert!(!unrecorded.is_retryable());
        assert_eq!(Error::from(sold_out).applied(), Applied::No);
        assert!(Error::from(FlushError::TimedOut).is_retryable());
        assert!(!Error::from(NoReservation::Forgotten).is_retryable());
    }

    #[test]
    fn an_error_is_a_sentence_with_the_numbers() {
        let error = AddError::OverCapacity { needed: 5, room: 2 };
        assert_eq!(error.to_string(), "the warehouse has room for 2 more units, not 5");
        let error = Error::from(AddError::from(InvalidQuantity { units: 0 }));
        assert_eq!(error.to_string(), "a quantity must be 1 to 2147483647 units, not 0");
    }
}
