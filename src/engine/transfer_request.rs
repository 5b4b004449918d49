//! A transfer that waits for approval, as callers see it.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;
use std::sync::Arc;

use crate::base::clock::Timestamp;
use crate::base::error::TransferFailure;

/// The number of a transfer request: 1 for an engine's first one, and rising.
///
/// A durable number, not a handle: it may be kept in a database, it lies in the journal, and it names the
/// same request in every engine that is opened on that journal. For the same reason it does not say whose
/// it is: request 3 of another engine is request 3 here, if there is one. A service with several engines
/// keeps the engine's name beside it.
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

impl FromStr for TransferRequestId {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// Where a transfer request stands. It moves once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferRequestStatus {
    /// Nobody has decided yet.
    PendingApproval,
    /// It was approved, and its units have moved.
    Approved,
    /// It was turned down.
    Rejected,
    /// It was approved, but stock or room was short by then: nothing has moved.
    Failed,
}

impl TransferRequestStatus {
    /// As the audit log spells it, in the pair `outcome` of a decision's metadata.
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

/// A transfer that waits for approval, or waited. It moves no units before it is approved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransferRequest {
    /// Its number.
    pub id: TransferRequestId,
    /// Where it stands.
    pub status: TransferRequestStatus,
    /// The warehouse that is to give the units.
    pub from: Arc<str>,
    /// The warehouse that is to get them.
    pub to: Arc<str>,
    /// The product.
    pub product: Arc<str>,
    /// How many units.
    pub quantity: u32,
    /// Whether the units are held at the source until the decision.
    pub holds_units: bool,
    /// When it was made.
    pub requested_at: Timestamp,
    /// Who decided on it and when; `None` while nobody has.
    pub decision: Option<TransferDecision>,
}

/// How a transfer request was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransferDecision {
    /// Who decided; empty if that was erased, with the notes of its record.
    pub by: Arc<str>,
    /// When.
    pub at: Timestamp,
    /// Why it was rejected, or what stood in the way of an approved one, in words.
    pub reason: Option<Arc<str>>,
    /// What stood in the way of one that was approved and failed.
    pub failure: Option<TransferFailure>,
}
