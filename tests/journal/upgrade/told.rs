//! The answers of calls, as text that does not depend on any name of a type or a variant.

use std::fmt::Debug;

use stockade::{
    ApproveError, ConfirmOrRetake, Release, ReservationId, ReservationStatus, Timestamp,
    TransferFailure, TransferRequestId,
};

/// A call's answer or refusal, as such text.
pub(crate) type Told = Result<String, Refused>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) String);

impl Refused {
    /// The key was used for another request.
    pub(crate) fn is_conflict(&self) -> bool {
        self.0.contains("Conflict")
    }
}

/// An answer as such text.
pub(crate) trait Tell {
    fn tell(self) -> String;
}

impl Tell for () {
    fn tell(self) -> String {
        "done".to_owned()
    }
}

impl Tell for ReservationId {
    fn tell(self) -> String {
        format!("reservation {self}")
    }
}

impl Tell for Release {
    fn tell(self) -> String {
        let outcome = match self {
            Self::Released => "released",
            Self::AlreadyReleased => "released before",
            Self::Expired => "expired",
            Self::Forgotten => "forgotten",
            Self::Unknown => "unknown",
            Self::PartlySold { sold, returned } => {
                return format!("release-partly-sold {sold} {returned}");
            }
            Self::Lost { opening } => return format!("release-lost {opening}"),
            _ => "new",
        };
        format!("release {outcome}")
    }
}

impl Tell for Timestamp {
    fn tell(self) -> String {
        format!("expires-at {}", self.as_millis())
    }
}

impl Tell for ConfirmOrRetake {
    fn tell(self) -> String {
        match self {
            Self::Confirmed => "confirmed-in-time".to_owned(),
            Self::Retaken(id) => format!("retaken {id}"),
            Self::AlreadyRetaken(id) => format!("retaken-before {id}"),
            Self::AlreadySold { units } => format!("sold-before {units}"),
            Self::PartlySold { sold, returned } => format!("partly-sold {sold} {returned}"),
            _ => "new".to_owned(),
        }
    }
}

impl Tell for TransferRequestId {
    fn tell(self) -> String {
        format!("transfer-request {self}")
    }
}

impl Tell for ReservationStatus {
    fn tell(self) -> String {
        let status = match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Released => "released",
            Self::Expired => "expired",
        };
        format!("status {status}")
    }
}

pub(crate) fn told<T: Tell, E: Debug>(answer: Result<T, E>) -> Told {
    answer.map(Tell::tell).map_err(|error| Refused(format!("{error:?}")))
}

/// A failed transfer is an answer too, and is stored under the key.
pub(crate) fn told_approval(answer: Result<(), ApproveError>) -> Told {
    match answer {
        Err(ApproveError::Failed(TransferFailure::Insufficient { needed, available })) => {
            Ok(format!("failed-insufficient {needed} of {available}"))
        }
        Err(ApproveError::Failed(TransferFailure::OverCapacity { needed, room })) => {
            Ok(format!("failed-over-capacity {needed} into {room}"))
        }
        answer => told(answer),
    }
}

/// Every kind of answer, in the order of their tags.
pub(crate) const KINDS: [&str; 12] = [
    "done",
    "reservation",
    "release",
    "expires-at",
    "confirmed-in-time",
    "retaken",
    "retaken-before",
    "sold-before",
    "transfer-request",
    "failed-insufficient",
    "failed-over-capacity",
    "status",
];

/// Kinds of answers that the first golden set lacks, in the order of their tags.
pub(crate) const LATER_KINDS: [&str; 3] = ["release-partly-sold", "partly-sold", "release-lost"];

/// Answers of the two kinds that contain a number of their own. A partial step never leaves a hold
/// expired.
pub(crate) const OUTCOMES: [&str; 8] = [
    "release released",
    "release released before",
    "release expired",
    "release forgotten",
    "release unknown",
    "status pending",
    "status confirmed",
    "status released",
];
