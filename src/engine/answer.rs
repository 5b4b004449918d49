//! Answers of operations, and how they are stored with an idempotency key.

use crate::base::clock::Timestamp;
use crate::base::error::TransferFailure;
use crate::engine::transfer_request::TransferRequestId;
use crate::reservation::id::ReservationId;
use crate::reservation::view::ReservationStatus;

/// What a release did. In each case the hold holds no units afterwards. The call moved units only
/// if it is `Released`, or `Expired` and this call found the hold overdue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "says whether this call released anything"]
#[non_exhaustive]
pub enum Release {
    /// The hold was pending. Its units are available again.
    Released,
    /// The hold was released before. Nothing moved.
    AlreadyReleased,
    /// The hold's time was up, before or at this call. Its units are available again.
    Expired,
    /// The hold has ended, and its record is no longer kept. Nothing moved.
    Forgotten,
    /// This engine never made such a reservation. Nothing moved.
    Unknown,
}

impl Release {
    /// In the order of the numbers that journals store. Never reorder.
    const ALL: [Self; 5] =
        [Self::Released, Self::AlreadyReleased, Self::Expired, Self::Forgotten, Self::Unknown];
}

/// What `confirm_or_retake` found and did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "holds the id of a new reservation"]
#[non_exhaustive]
pub enum ConfirmOrRetake {
    /// The hold was pending, and is now confirmed.
    Confirmed,
    /// The hold had ended without a sale. Its lines were taken again and sold, under this new id.
    Retaken(ReservationId),
    /// An earlier call took the lines again, under this id. Nothing moved.
    AlreadyRetaken(ReservationId),
    /// The reservation had sold units before. Nothing moved.
    AlreadySold {
        /// The units sold, over all lines of the reservation.
        units: u64,
    },
}

/// The answer of an operation, as it is stored with its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    Reservation(ReservationId),
    Release(Release),
    ExpiresAt(Timestamp),
    /// `confirm_or_retake` found the hold pending, and confirmed it.
    ConfirmedInTime,
    /// The hold was over. This call sold its lines again, under this id.
    Retaken(ReservationId),
    /// The hold was over, and an earlier call had sold its lines again, under this id.
    RetakenBefore(ReservationId),
    /// The hold had sold this many units before this request.
    SoldBefore(u64),
    TransferRequest(TransferRequestId),
    /// An approved transfer could not be made, and its request has failed.
    TransferFailed(TransferFailure),
    /// The status in which a partial step left the hold.
    Status(ReservationStatus),
}

impl Answer {
    /// The bytes of the answer in an audit record: a tag, then a number of 16 bytes, little-endian.
    /// Persisted: no tag or number may change.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let (tag, number): (u8, u128) = match self {
            Self::Done => (0, 0),
            Self::Reservation(id) => (1, id.as_uuid().as_u128()),
            Self::Release(outcome) => (2, outcome as u128),
            Self::ExpiresAt(moment) => (3, u128::from(moment.as_millis())),
            Self::ConfirmedInTime => (4, 0),
            Self::Retaken(id) => (5, id.as_uuid().as_u128()),
            Self::RetakenBefore(id) => (6, id.as_uuid().as_u128()),
            Self::SoldBefore(units) => (7, u128::from(units)),
            Self::TransferRequest(id) => (8, u128::from(id.as_u64())),
            Self::TransferFailed(TransferFailure::Insufficient { needed, available }) => {
                (9, pack(needed, available))
            }
            Self::TransferFailed(TransferFailure::OverCapacity { needed, room }) => {
                (10, pack(needed, room))
            }
            Self::Status(status) => (11, status as u128),
        };
        [&[tag][..], &number.to_le_bytes()].concat()
    }

    /// The answer of these bytes; `None` if no answer has them.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (tag, number) = bytes.split_first()?;
        let number = u128::from_le_bytes(number.try_into().ok()?);
        let id = || ReservationId::from_uuid(uuid::Uuid::from_u128(number));
        Some(match tag {
            0 => Self::Done,
            1 => Self::Reservation(id()?),
            2 => Self::Release(*Release::ALL.get(usize::try_from(number).ok()?)?),
            3 => Self::ExpiresAt(Timestamp::from_millis(u64::try_from(number).ok()?)),
            4 => Self::ConfirmedInTime,
            5 => Self::Retaken(id()?),
            6 => Self::RetakenBefore(id()?),
            7 => Self::SoldBefore(u64::try_from(number).ok()?),
            8 => Self::TransferRequest(u64::try_from(number).ok()?.into()),
            9 => {
                let (needed, available) = unpack(number);
                Self::TransferFailed(TransferFailure::Insufficient { needed, available })
            }
            10 => {
                let (needed, room) = unpack(number);
                Self::TransferFailed(TransferFailure::OverCapacity { needed, room })
            }
            11 => Self::Status(*STATUSES.get(usize::try_from(number).ok()?)?),
            _ => return None,
        })
    }
}

/// In the order of the numbers that journals store. Never reorder.
const STATUSES: [ReservationStatus; 4] = [
    ReservationStatus::Pending,
    ReservationStatus::Confirmed,
    ReservationStatus::Released,
    ReservationStatus::Expired,
];

/// Unpacks what [`pack`] packed.
fn unpack(both: u128) -> (u32, u32) {
    (both as u32, (both >> 32) as u32)
}

fn pack(low: u32, high: u32) -> u128 {
    u128::from(low) | u128::from(high) << 32
}

/// The answer of an operation that can run under an idempotency key. It is stored with the key, and
/// every retry gets it.
pub(super) trait StoredAnswer: Copy + Into<Answer> {
    /// The stored answer for a retry; `None` if it is the answer of another kind of operation.
    fn again(answer: Answer) -> Option<Self>;
}

/// Implements [`StoredAnswer`] for answers that are one variant of [`Answer`].
macro_rules! stored_answers {
    ($($answer:ty: $variant:ident),* $(,)?) => {$(
        impl From<$answer> for Answer {
            #[inline]
            fn from(answer: $answer) -> Self {
                Self::$variant(answer)
            }
        }

        impl StoredAnswer for $answer {
            fn again(answer: Answer) -> Option<Self> {
                match answer {
                    Answer::$variant(answer) => Some(answer),
                    _ => None,
                }
            }
        }
    )*};
}

stored_answers! {
    ReservationId: Reservation,
    Release: Release,
    Timestamp: ExpiresAt,
    TransferRequestId: TransferRequest,
    ReservationStatus: Status,
}

impl From<()> for Answer {
    #[inline]
    fn from((): ()) -> Self {
        Self::Done
    }
}

impl StoredAnswer for () {
    fn again(answer: Answer) -> Option<Self> {
        (answer == Answer::Done).then_some(())
    }
}

impl From<ConfirmOrRetake> for Answer {
    fn from(outcome: ConfirmOrRetake) -> Self {
        match outcome {
            ConfirmOrRetake::Confirmed => Self::ConfirmedInTime,
            ConfirmOrRetake::Retaken(id) => Self::Retaken(id),
            ConfirmOrRetake::AlreadyRetaken(id) => Self::RetakenBefore(id),
            ConfirmOrRetake::AlreadySold { units } => Self::SoldBefore(units),
        }
    }
}

impl StoredAnswer for ConfirmOrRetake {
    fn again(answer: Answer) -> Option<Self> {
        Some(match answer {
            Answer::ConfirmedInTime => Self::Confirmed,
            Answer::Retaken(id) => Self::Retaken(id),
            Answer::RetakenBefore(id) => Self::AlreadyRetaken(id),
            Answer::SoldBefore(units) => Self::AlreadySold { units },
            _ => return None,
        })
    }
}

/// The answer of an approval: whether the transfer could be made.
impl From<Result<(), TransferFailure>> for Answer {
    fn from(made: Result<(), TransferFailure>) -> Self {
        made.map_or_else(Self::TransferFailed, Self::from)
    }
}

impl StoredAnswer for Result<(), TransferFailure> {
    fn again(answer: Answer) -> Option<Self> {
        match answer {
            Answer::Done => Some(Ok(())),
            Answer::TransferFailed(failure) => Some(Err(failure)),
            _ => None,
        }
    }
}
