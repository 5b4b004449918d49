//! One error type over all errors of the crate, for callers that handle them all alike.
//!
//! It stands above all floors, because it names every folder that has an error type.

use crate::audit::entry::UnknownEntryType;
use crate::audit::sink::SinkError;
use crate::base::error::call::sealed::OnRecord;
use crate::base::error::{
    AddError, ApproveError, BasketError, BuildError, CallError, ConfirmError, DefineLimitError,
    ExtendError, FlushError, FulfillError, Gone, InvalidInput, InvalidKey, InvalidName,
    InvalidOwner, InvalidReservationId, InvalidText, InvalidTtl, JournalError, KeyError,
    LimitError, MutationError, NoReservation, NoTransferRequest, NotOpen, NotStarted, PartialError,
    PlaceError, RedactError, RejectError, ReleaseError, RemoveError, RequestTransferError,
    ReserveError, RetakeError, SettingError, ShipError, SnapshotError, SoldLinesError,
    TransferError, TransferFailure, Uncertain, error_table,
};
use crate::base::quantity::InvalidQuantity;
#[cfg(feature = "journal")]
use crate::journal::format::head::InvalidHash;
#[cfg(feature = "journal")]
use crate::journal::format::position::InvalidPosition;
#[cfg(feature = "journal")]
use crate::journal::offline::VerifyError;

/// Any error of the crate. Every error type turns into it by `?`. Rare and large errors are boxed,
/// so that a result stays small.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// See [`AddError`].
    Add(AddError),
    /// See [`RemoveError`].
    Remove(RemoveError),
    /// See [`ShipError`].
    Ship(ShipError),
    /// See [`TransferError`].
    Transfer(TransferError),
    /// See [`ReserveError`].
    Reserve(ReserveError),
    /// See [`BasketError`].
    Basket(BasketError),
    /// See [`FulfillError`].
    Fulfill(FulfillError),
    /// See [`ConfirmError`].
    Confirm(ConfirmError),
    /// See [`ReleaseError`].
    Release(ReleaseError),
    /// See [`ExtendError`].
    Extend(ExtendError),
    /// See [`RetakeError`].
    Retake(RetakeError),
    /// See [`PartialError`].
    Partial(PartialError),
    /// See [`SoldLinesError`].
    SoldLines(SoldLinesError),
    /// See [`RequestTransferError`].
    RequestTransfer(RequestTransferError),
    /// See [`ApproveError`].
    Approve(ApproveError),
    /// See [`RejectError`].
    Reject(RejectError),
    /// See [`SettingError`].
    Setting(SettingError),
    /// See [`LimitError`].
    Limit(LimitError),
    /// See [`DefineLimitError`].
    DefineLimit(DefineLimitError),
    /// See [`BuildError`].
    Build(BuildError),
    /// See [`SnapshotError`].
    Snapshot(SnapshotError),
    /// See [`CallError`]; also from [`NotStarted`], [`KeyError`], [`InvalidText`] and
    /// [`Uncertain`].
    Call(CallError),
    /// See [`Gone`].
    Gone(Gone),
    /// See [`InvalidInput`]; also from [`InvalidQuantity`], [`InvalidTtl`] and [`InvalidName`].
    Input(InvalidInput),
    /// See [`PlaceError`].
    Place(PlaceError),
    /// See [`NoReservation`].
    NoReservation(NoReservation),
    /// See [`NoTransferRequest`].
    NoTransferRequest(NoTransferRequest),
    /// See [`NotOpen`].
    NotOpen(NotOpen),
    /// See [`TransferFailure`].
    TransferFailure(TransferFailure),
    /// See [`FlushError`].
    Flush(FlushError),
    /// See [`SinkError`].
    Sink(SinkError),
    /// See [`JournalError`].
    Journal(Box<JournalError>),
    /// See [`VerifyError`].
    #[cfg(feature = "journal")]
    Verify(Box<VerifyError>),
    /// See [`RedactError`].
    Redact(Box<RedactError>),
    /// See [`InvalidReservationId`].
    ReservationId(InvalidReservationId),
    /// See [`InvalidOwner`].
    Owner(InvalidOwner),
    /// See [`InvalidKey`].
    IdempotencyKey(InvalidKey),
    /// See [`InvalidHash`].
    #[cfg(feature = "journal")]
    Hash(InvalidHash),
    /// See [`InvalidPosition`].
    #[cfg(feature = "journal")]
    Position(InvalidPosition),
    /// See [`UnknownEntryType`].
    EntryType(UnknownEntryType),
}

error_table! {
    Error {}
    nests {
        Add(AddError), Remove(RemoveError), Ship(ShipError), Transfer(TransferError),
        Reserve(ReserveError), Basket(BasketError), Fulfill(FulfillError), Confirm(ConfirmError),
        Release(ReleaseError), Extend(ExtendError), Retake(RetakeError), Partial(PartialError),
        SoldLines(SoldLinesError), RequestTransfer(RequestTransferError), Approve(ApproveError),
        Reject(RejectError), Setting(SettingError), Limit(LimitError),
        DefineLimit(DefineLimitError), Build(BuildError), Snapshot(SnapshotError),
        Call(CallError), Gone(Gone), Input(InvalidInput), Place(PlaceError),
        NoReservation(NoReservation), NoTransferRequest(NoTransferRequest), NotOpen(NotOpen),
        TransferFailure(TransferFailure), Flush(FlushError), Sink(SinkError),
        Journal(JournalError), Redact(RedactError),
        ReservationId(InvalidReservationId), Owner(InvalidOwner), IdempotencyKey(InvalidKey),
        EntryType(UnknownEntryType),
        #[cfg(feature = "journal")]
        Verify(VerifyError),
        #[cfg(feature = "journal")]
        Hash(InvalidHash),
        #[cfg(feature = "journal")]
        Position(InvalidPosition),
    }
}

impl OnRecord for Error {
    fn rests_on_record(&self) -> bool {
        self.facts().on_record
    }
}

impl MutationError for Error {}

/// Turns a part of a shared cause into that cause, and the cause into the umbrella error.
macro_rules! through {
    ($($part:ident: $variant:ident;)+) => {$(
        impl From<$part> for Error {
            fn from(part: $part) -> Self {
                Self::$variant(part.into())
            }
        }
    )+};
}

through! {
    NotStarted: Call;
    KeyError: Call;
    InvalidText: Call;
    Uncertain: Call;
    InvalidQuantity: Input;
    InvalidTtl: Input;
    InvalidName: Input;
}

// Bounds the size of hot calls' results: each return copies the whole result.
const _: () = {
    use crate::engine::Release;
    use crate::reservation::id::ReservationId;

    assert!(size_of::<Result<ReservationId, ReserveError>>() <= 56);
    assert!(size_of::<Result<(), ConfirmError>>() <= 32);
    assert!(size_of::<Result<Release, ReleaseError>>() <= 32);
    assert!(size_of::<Result<(), ExtendError>>() <= 40);
    assert!(size_of::<Result<(), AddError>>() <= 48);
    assert!(size_of::<Result<(), ShipError>>() <= 48);
    assert!(size_of::<Result<(), TransferError>>() <= 48);
    assert!(size_of::<Result<ReservationId, BasketError>>() <= 48);
    assert!(size_of::<Result<ReservationId, FulfillError>>() <= 48);
    assert!(size_of::<Result<(), PartialError>>() <= 56);
    assert!(size_of::<Result<(), SoldLinesError>>() <= 56);
    assert!(size_of::<Result<(), RetakeError>>() <= 48);
    assert!(size_of::<Result<(), ApproveError>>() <= 48);
    assert!(size_of::<Error>() <= 64);
};

// The tests check every error type, so they need the journal's as well.
#[cfg(all(test, feature = "journal", not(loom)))]
mod tests;
