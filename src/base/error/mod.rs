//! Errors: one small enum for each kind of operation, and the causes that they share.
//!
//! An operation's error holds only what can happen in that operation. It nests the shared causes:
//! [`CallError`] (not started, a key that can't be used, or uncertain), [`Gone`] (how a hold
//! ended), [`InvalidInput`] and [`PlaceError`]. Each error answers five questions: its text, its
//! [`code`](CallError::code), its [`kind`](CallError::kind), whether a retry may succeed, and
//! whether anything has moved. Only [`Uncertain`] answers yes to the last one. `crate::umbrella`
//! has one type over all errors.

mod approval;
pub(crate) mod call;
mod facts;
mod hold;
mod input;
mod journal;
mod limit;
mod lookup;
mod lookup_table;
mod setup;
mod step;
mod stock;

pub use approval::{
    ApproveError, NoTransferRequest, NotOpen, RejectError, RequestTransferError, TransferFailure,
};
pub use call::{CallError, InvalidText, KeyError, MutationError, NotStarted, Reason, Uncertain};
pub use facts::{Applied, ErrorKind};
pub(crate) use facts::{Facts, error_answers, error_table};
pub use hold::{
    BasketError, ConfirmError, ExtendError, FulfillError, Gone, ReleaseError, ReserveError,
    RetakeError, ShortLine,
};
pub use input::{InvalidInput, InvalidName, InvalidTtl, MAX_NAME_BYTES, PlaceError};
pub use journal::{JournalError, RedactError};
pub use limit::{DefineLimitError, LimitError};
pub(crate) use lookup::MAX_KEY_BYTES;
pub use lookup::{FlushError, InvalidKey, InvalidOwner, InvalidReservationId, NoReservation};
pub use setup::{BuildError, SettingError, SnapshotError};
pub use step::{PartialError, SoldLinesError};
pub use stock::{AddError, RemoveError, ShipError, TransferError};
