//! A transfer request, as callers see it.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;
use std::sync::Arc;

use crate::base::clock::Timestamp;
use crate::base::error::TransferFailure;

/// The number of a transfer request. The first one of an engine is 1; later ones are higher.
///
/// It is a durable number, not a handle. It lies in the journal, callers may store it, and it names
/// the same request in every engine that is opened on that journal. So it does not say which engine
/// it belongs to: request 3 of another engine is request 3 here, if there is one. A service with
/// several engines should store the engine's name beside it.
///
/// ```
/// use stockade::TransferRequestId;
/// let id: TransferRequestId = "17".parse()?;
/// assert_eq!((id.as_u64(), id.to_string()), (17, "17".to_owned()));
/// # Ok::<(), std::num::ParseIntError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransferRequestId(pub(super) u64);

impl TransferRequestId {
    /// The number.
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

impl From<u64> for TransferRequestId {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for TransferRequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(feature = "serde")]
crate::base::serialize::as_text!(TransferRequestId);

impl FromStr for TransferRequestId {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// The status of a transfer request. It changes at most once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum TransferRequestStatus {
    /// Nobody has decided yet.
    PendingApproval,
    /// It was approved, and its units have moved.
    Approved,
    /// It was rejected.
    Rejected,
    /// It was approved, but stock or room was short at that moment. Nothing has moved.
    Failed,
}

impl TransferRequestStatus {
    /// The word that the audit log uses, in the pair `outcome` of a decision's metadata.
    pub fn name(self) -> &'static str {
        match self {
            Self::PendingApproval => "pending approval",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for TransferRequestStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A request for a transfer that needs approval. It moves no units before it is approved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TransferRequest {
    /// Its number.
    pub id: TransferRequestId,
    /// Its status.
    pub status: TransferRequestStatus,
    /// The warehouse that gives the units.
    pub from: Arc<str>,
    /// The warehouse that receives the units.
    pub to: Arc<str>,
    /// The product.
    pub product: Arc<str>,
    /// How many units.
    pub quantity: u32,
    /// Whether the units are held at the source until the decision.
    pub holds_units: bool,
    /// When the request was made.
    pub requested_at: Timestamp,
    /// Who decided and when; `None` while nobody has.
    pub decision: Option<TransferDecision>,
}

/// How a transfer request was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TransferDecision {
    /// Who decided; empty if the text was erased with the notes of its record.
    pub by: Arc<str>,
    /// When it was decided.
    pub at: Timestamp,
    /// Why it was rejected, or why an approved one failed, in words.
    pub reason: Option<Arc<str>>,
    /// Why an approved one failed.
    pub failure: Option<TransferFailure>,
}
