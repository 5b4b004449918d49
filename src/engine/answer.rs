//! Answers of operations, and how they are stored with an idempotency key.

use crate::base::clock::Timestamp;
use crate::base::error::{Gone, NoReservation, ReleaseError, TransferFailure};
use crate::engine::transfer_request::TransferRequestId;
use crate::reservation::id::ReservationId;
use crate::reservation::view::ReservationStatus;

/// What a release did. In each case the hold holds no units afterwards, and a repeat of the call
/// moves none. In `Released`, `AlreadyReleased` and `Expired` the reservation has sold nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[must_use = "says whether this call released anything"]
#[non_exhaustive]
pub enum Release {
    /// The hold was pending. Its units are available again.
    Released,
    /// The hold was released before. Nothing moved.
    AlreadyReleased,
    /// The hold's time was up, before or at this call. Its units are available again.
    Expired,
    /// The reservation sold units in partial steps, and they stay sold: to undo that, cancel their
    /// sale. What it held besides is available again, by this call or since earlier.
    PartlySold {
        /// Units that it sold, over all its lines.
        sold: u64,
        /// Units that it returned, over all its lines, in this call and before.
        returned: u64,
    },
    /// The hold has ended, and its record is no longer kept. Nothing moved.
    Forgotten,
    /// If this engine made it, its record was lost in a crash, and its units are available again:
    /// [`NoReservation::Lost`](crate::NoReservation::Lost). Nothing moved.
    Lost {
        /// The opening of the journal that ended in the crash; the first one is 1.
        opening: u64,
    },
    /// This engine never made such a reservation. Nothing moved.
    Unknown,
}

impl Release {
    /// What a release says of a hold that is over and sold something; `None` if it sold nothing, or
    /// nobody knows. `sold_last`: its last units were sold. Then a release comes too late.
    pub(super) fn of_sold(gone: Gone, sold_last: bool) -> Option<Result<Self, ReleaseError>> {
        match gone {
            Gone::Sold { units } => Some(Err(ReleaseError::Sold { units })),
            Gone::PartlySold { sold, .. } if sold_last => {
                Some(Err(ReleaseError::Sold { units: sold }))
            }
            Gone::PartlySold { sold, returned } => Some(Ok(Self::PartlySold { sold, returned })),
            _ => None,
        }
    }
}

impl From<NoReservation> for Release {
    fn from(none: NoReservation) -> Self {
        match none {
            // Calls that end holds refuse before: `KeyError::Gathering`.
            NoReservation::Forgotten | NoReservation::Gathering => Self::Forgotten,
            NoReservation::Lost { opening } => Self::Lost { opening },
            NoReservation::Unknown => Self::Unknown,
        }
    }
}

impl Release {
    /// Those without figures, in the order of the numbers that journals store. Never reorder.
    const ALL: [Self; 5] =
        [Self::Released, Self::AlreadyReleased, Self::Expired, Self::Forgotten, Self::Unknown];

    /// The tag and the number that journals store.
    fn to_tagged(self) -> (u8, u128) {
        match self {
            Self::Released => (2, 0),
            Self::AlreadyReleased => (2, 1),
            Self::Expired => (2, 2),
            Self::Forgotten => (2, 3),
            Self::Unknown => (2, 4),
            Self::PartlySold { sold, returned } => (12, pack64(sold, returned)),
            Self::Lost { opening } => (14, u128::from(opening)),
        }
    }
}

/// What `confirm_or_retake` found and did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[must_use = "holds the id of a new reservation"]
#[non_exhaustive]
pub enum ConfirmOrRetake {
    /// The hold was pending, and is now confirmed.
    Confirmed,
    /// The hold had ended without a sale. Its lines were taken again and sold, under this new id.
    Retaken(ReservationId),
    /// An earlier call took the lines again, under this id. Nothing moved.
    AlreadyRetaken(ReservationId),
    /// The reservation had sold all its units before. Nothing moved.
    AlreadySold {
        /// The units sold, over all lines of the reservation.
        units: u64,
    },
    /// The reservation had sold some of its units and returned the others: partial steps, a
    /// release, an expiry. Nothing moved. The payment covers the units sold, if it is for these
    /// alone.
    PartlySold {
        /// The units sold, over all lines of the reservation.
        sold: u64,
        /// The units returned, over all lines of the reservation.
        returned: u64,
    },
}

impl ConfirmOrRetake {
    /// The tag and the number that journals store.
    fn to_tagged(self) -> (u8, u128) {
        match self {
            Self::Confirmed => (4, 0),
            Self::Retaken(id) => (5, id.as_uuid().as_u128()),
            Self::AlreadyRetaken(id) => (6, id.as_uuid().as_u128()),
            Self::AlreadySold { units } => (7, u128::from(units)),
            Self::PartlySold { sold, returned } => (13, pack64(sold, returned)),
        }
    }
}

/// The answer that is stored with an idempotency key: what a retry of its call would get.
/// [`InventoryManager::answer_of`](crate::InventoryManager::answer_of) looks it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[must_use = "holds what the first call did"]
#[non_exhaustive]
pub enum KeyAnswer {
    /// A call with the key is under way.
    InProgress,
    /// The call did what it was asked, and returned nothing else: `add_stock`, `remove_stock`,
    /// `ship`, `cancel_sale`, `transfer`, `confirm`, the calls on sold lines, a rejected request,
    /// or an approved one that was made.
    Done,
    /// A reservation was made: held or sold at once.
    Reserved(ReservationId),
    /// What a `release` did.
    Released(Release),
    /// When an extended hold expires.
    Extended(Timestamp),
    /// What `confirm_or_retake` or `confirm_or_retake_lines` did.
    ConfirmedOrRetaken(ConfirmOrRetake),
    /// A transfer was requested.
    TransferRequested(TransferRequestId),
    /// A transfer was approved and could not be made.
    TransferFailed(TransferFailure),
    /// The status in which a step on some lines left the reservation.
    Stepped(ReservationStatus),
}

impl From<Answer> for KeyAnswer {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Done => Self::Done,
            Answer::Reservation(id) => Self::Reserved(id),
            Answer::Release(outcome) => Self::Released(outcome),
            Answer::ExpiresAt(moment) => Self::Extended(moment),
            Answer::Late(outcome) => Self::ConfirmedOrRetaken(outcome),
            Answer::TransferRequest(id) => Self::TransferRequested(id),
            Answer::TransferFailed(failure) => Self::TransferFailed(failure),
            Answer::Status(status) => Self::Stepped(status),
        }
    }
}

/// The answer of an operation, as it is stored with its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    Reservation(ReservationId),
    Release(Release),
    ExpiresAt(Timestamp),
    /// What `confirm_or_retake` found and did.
    Late(ConfirmOrRetake),
    TransferRequest(TransferRequestId),
    /// An approved transfer could not be made, and its request has failed.
    TransferFailed(TransferFailure),
    /// The status in which a partial step left the hold.
    Status(ReservationStatus),
}

/// An answer in an audit record, and in the map of keys: a tag, then a number of 16 bytes,
/// little-endian.
pub(crate) type AnswerBytes = [u8; 17];

impl Answer {
    /// The bytes of the answer. Persisted: no tag or number may change.
    pub(super) fn to_bytes(self) -> AnswerBytes {
        let (tag, number): (u8, u128) = match self {
            Self::Done => (0, 0),
            Self::Reservation(id) => (1, id.as_uuid().as_u128()),
            Self::Release(outcome) => outcome.to_tagged(),
            Self::ExpiresAt(moment) => (3, u128::from(moment.as_millis())),
            Self::Late(outcome) => outcome.to_tagged(),
            Self::TransferRequest(id) => (8, u128::from(id.as_u64())),
            Self::TransferFailed(TransferFailure::Insufficient { needed, available }) => {
                (9, pack(needed, available))
            }
            Self::TransferFailed(TransferFailure::OverCapacity { needed, room }) => {
                (10, pack(needed, room))
            }
            Self::Status(status) => (11, status as u128),
        };
        let mut bytes = [tag; 17];
        bytes[1..].copy_from_slice(&number.to_le_bytes());
        bytes
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
            4 => Self::Late(ConfirmOrRetake::Confirmed),
            5 => Self::Late(ConfirmOrRetake::Retaken(id()?)),
            6 => Self::Late(ConfirmOrRetake::AlreadyRetaken(id()?)),
            7 => {
                let units = u64::try_from(number).ok()?;
                Self::Late(ConfirmOrRetake::AlreadySold { units })
            }
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
            12 => {
                let (sold, returned) = unpack64(number);
                Self::Release(Release::PartlySold { sold, returned })
            }
            13 => {
                let (sold, returned) = unpack64(number);
                Self::Late(ConfirmOrRetake::PartlySold { sold, returned })
            }
            14 => Self::Release(Release::Lost { opening: u64::try_from(number).ok()? }),
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

/// Unpacks what [`pack64`] packed.
fn unpack64(both: u128) -> (u64, u64) {
    (both as u64, (both >> 64) as u64)
}

fn pack64(low: u64, high: u64) -> u128 {
    u128::from(low) | u128::from(high) << 64
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
    ConfirmOrRetake: Late,
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Journals hold these bytes. A call may be answered by one engine and retried on a later one.
    #[test]
    fn the_bytes_of_answers_stay_for_ever() {
        let id = ReservationId::new(Timestamp::from_millis(3), 4, 5);
        let whole = id.as_uuid().as_u128();
        let pair = 5 | 6 << 32;
        let (needed, available, room) = (5, 6, 6);
        let answers: [(Answer, u8, u128); 19] = [
            (().into(), 0, 0),
            (id.into(), 1, whole),
            (Release::Released.into(), 2, 0),
            (Release::AlreadyReleased.into(), 2, 1),
            (Release::Expired.into(), 2, 2),
            (Release::Forgotten.into(), 2, 3),
            (Release::Unknown.into(), 2, 4),
            (Timestamp::from_millis(7).into(), 3, 7),
            (ConfirmOrRetake::Confirmed.into(), 4, 0),
            (ConfirmOrRetake::Retaken(id).into(), 5, whole),
            (ConfirmOrRetake::AlreadyRetaken(id).into(), 6, whole),
            (ConfirmOrRetake::AlreadySold { units: 8 }.into(), 7, 8),
            (TransferRequestId::from(9).into(), 8, 9),
            (Err(TransferFailure::Insufficient { needed, available }).into(), 9, pair),
            (Err(TransferFailure::OverCapacity { needed, room }).into(), 10, pair),
            (ReservationStatus::Pending.into(), 11, 0),
            (ReservationStatus::Confirmed.into(), 11, 1),
            (ReservationStatus::Released.into(), 11, 2),
            (ReservationStatus::Expired.into(), 11, 3),
        ];
        for (answer, tag, number) in answers {
            let bytes = answer.to_bytes();
            assert_eq!(bytes[..], [&[tag][..], &number.to_le_bytes()].concat(), "{answer:?}");
            assert_eq!(Answer::from_bytes(&bytes), Some(answer));
        }
    }

    /// Answers that came after the newest golden set. Journals hold their bytes.
    #[test]
    fn the_bytes_of_later_answers_stay_for_ever() {
        let (sold, returned) = (0x0102, 0x0304);
        let number = |low: u16, high: u16| {
            let mut bytes = [0; 16];
            bytes[..2].copy_from_slice(&low.to_le_bytes());
            bytes[8..10].copy_from_slice(&high.to_le_bytes());
            bytes
        };
        let later = [
            (Release::PartlySold { sold, returned }.into(), 12, number(0x0102, 0x0304)),
            (ConfirmOrRetake::PartlySold { sold, returned }.into(), 13, number(0x0102, 0x0304)),
            (Release::Lost { opening: 0x0506 }.into(), 14, number(0x0506, 0)),
        ];
        for (answer, tag, number) in later {
            let answer: Answer = answer;
            let bytes = answer.to_bytes();
            assert_eq!(bytes[..], [&[tag][..], &number].concat());
            assert_eq!(Answer::from_bytes(&bytes), Some(answer));
        }
        assert_eq!(Answer::from_bytes(&[&[15_u8][..], &[0; 16]].concat()), None);
    }
}
