//! Approval: which transfers need a person's approval before units move.

use std::fmt;
use std::sync::Arc;

/// A transfer that a caller requests.
///
/// ```
/// use stockade::ProposedTransfer;
/// let asked = ProposedTransfer::new("SF", "NYC", "LAPTOP", 40);
/// assert_eq!((&*asked.from, &*asked.to, asked.quantity), ("SF", "NYC", 40));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProposedTransfer {
    /// The warehouse that gives the units.
    pub from: Arc<str>,
    /// The warehouse that gets them.
    pub to: Arc<str>,
    /// The product.
    pub product: Arc<str>,
    /// How many units.
    pub quantity: u32,
}

impl ProposedTransfer {
    /// A proposal, for tests of policies.
    pub fn new(
        from: impl Into<Arc<str>>,
        to: impl Into<Arc<str>>,
        product: impl Into<Arc<str>>,
        quantity: u32,
    ) -> Self {
        Self { from: from.into(), to: to.into(), product: product.into(), quantity }
    }
}

/// Decides which requested transfers need nobody's approval.
///
/// The engine asks it once a request, in the caller's thread and before anything is taken or
/// recorded: if it panics, nothing has happened. It may call the engine. A
/// transfer that it approves is applied at once. Any other waits for
/// [`approve_transfer`](crate::InventoryManager::approve_transfer) or
/// [`reject_transfer`](crate::InventoryManager::reject_transfer). A plain
/// [`transfer`](crate::InventoryManager::transfer) never asks it.
///
/// An `Arc` of a policy is a policy too.
///
/// ```
/// use stockade::{ApprovalPolicy, ProposedTransfer};
///
/// /// Transfers within the coast need no approval.
/// struct OnTheCoast;
///
/// impl ApprovalPolicy for OnTheCoast {
///     fn approves(&self, transfer: &ProposedTransfer) -> bool {
///         [&transfer.from, &transfer.to].iter().all(|name| ["SF", "LA"].contains(&&***name))
///     }
/// }
///
/// assert!(OnTheCoast.approves(&ProposedTransfer::new("SF", "LA", "LAPTOP", 500)));
/// assert!(!OnTheCoast.approves(&ProposedTransfer::new("SF", "NYC", "LAPTOP", 1)));
/// ```
pub trait ApprovalPolicy: Send + Sync + 'static {
    /// Whether `transfer` may be made without anyone's approval.
    fn approves(&self, transfer: &ProposedTransfer) -> bool;

    /// The name that the audit log gives as the one who decided, if this policy approves. It is
    /// asked right after [`approves`](Self::approves), and is as long as names of products are: a
    /// request under another one is refused.
    fn name(&self) -> &str {
        "policy"
    }
}

impl<P: ApprovalPolicy + ?Sized> ApprovalPolicy for Arc<P> {
    fn approves(&self, transfer: &ProposedTransfer) -> bool {
        (**self).approves(transfer)
    }

    fn name(&self) -> &str {
        (**self).name()
    }
}

/// Approves transfers of fewer units than a threshold. Transfers of the threshold or more wait for
/// a decision.
///
/// ```
/// use stockade::{ApprovalPolicy, ApproveBelow, ProposedTransfer};
/// let policy = ApproveBelow::new(100);
/// assert!(policy.approves(&ProposedTransfer::new("SF", "NYC", "LAPTOP", 99)));
/// assert!(!policy.approves(&ProposedTransfer::new("SF", "NYC", "LAPTOP", 100)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApproveBelow {
    threshold: u32,
}

impl ApproveBelow {
    /// Approves transfers of fewer than `threshold` units.
    pub fn new(threshold: u32) -> Self {
        Self { threshold }
    }
}

impl ApprovalPolicy for ApproveBelow {
    fn approves(&self, transfer: &ProposedTransfer) -> bool {
        transfer.quantity < self.threshold
    }
}

/// Approves nothing: every requested transfer waits for a decision. The default.
///
/// ```
/// use stockade::{ApprovalPolicy, ManualApproval, ProposedTransfer};
/// assert!(!ManualApproval.approves(&ProposedTransfer::new("SF", "NYC", "LAPTOP", 1)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ManualApproval;

impl ApprovalPolicy for ManualApproval {
    fn approves(&self, _: &ProposedTransfer) -> bool {
        false
    }
}

impl fmt::Debug for dyn ApprovalPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApprovalPolicy({})", self.name())
    }
}
