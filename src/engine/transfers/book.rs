//! The open transfer requests, and the newest of the decided ones.
//!
//! A request is first *filed* under a number. Nobody learns this number before the request's event
//! is queued (Law 2). Then it is *pending*. Then it is decided, once: the thread that swaps
//! `PENDING` for `DECIDING` is the only one that decides, and all others get an error. If the
//! decision cannot be carried out at that moment (a suspended warehouse, a full queue), the request
//! becomes pending again.
//!
//! Requests are rare, so a lock around a map is enough. It is held for a look-up, and never while
//! units move or a record is queued. No other operation takes it.
//!
//! # What the record holds, and how requests are rebuilt from it
//!
//! The metadata of all these entries have the request's number as `transferRequestId`.
//!
//! | record | entries |
//! | --- | --- |
//! | a request | `TransferRequested`: level and quantity, the destination as the other warehouse |
//! | one that holds its units | `Reserved`, without a reservation's id, then `TransferRequested` |
//! | approved | `TransferredOut`, `TransferredIn`, `TransferDecided` |
//! | approved, units held | `Returned`, `TransferredOut`, `TransferredIn`, `TransferDecided` |
//! | rejected or failed | `TransferDecided` |
//! | rejected or failed, units held | `Returned`, `TransferDecided` |
//!
//! A decision has `outcome`, `decidedBy`, `decidedAt` (milliseconds) and, if there is one,
//! `reason`. The decision of a failed request also has the units that were `available`, or the
//! `room` that there was, in units. Each entry changes the counts as it does everywhere else. So a
//! replay needs no extra rule for approved transfers: the hold is given back and its units leave,
//! in one record. A request is open if it was requested and not decided. It holds units if its
//! record has a `Reserved` entry.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::audit::record::DECIDED_KEPT;
use crate::base::clock::Timestamp;
use crate::base::error::{NoTransferRequest, NotOpen};
use crate::base::quantity::Quantity;
use crate::base::sync::{AtomicU32, Mutex, MutexGuard, Ordering, lock};
use crate::engine::transfer_request::{
    TransferDecision, TransferRequestId, TransferRequestStatus as Status,
};
use crate::policy::approval::ApprovalPolicy;
use crate::stock::handle::{LevelIndex, WarehouseIndex};

/// What a request asks for. It never changes.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct RequestedMove {
    pub(in crate::engine) from: LevelIndex,
    pub(in crate::engine) source: WarehouseIndex,
    pub(in crate::engine) target: WarehouseIndex,
    pub(in crate::engine) qty: Quantity,
    pub(in crate::engine) held: bool,
    pub(in crate::engine) at: Timestamp,
}

/// A request and its state.
#[derive(Debug)]
pub(in crate::engine) struct FiledRequest {
    pub(in crate::engine) id: TransferRequestId,
    pub(in crate::engine) asked: RequestedMove,
    state: AtomicU32,
    decision: OnceLock<TransferDecision>,
}

/// The states of a request, as stored in its atomic.
const FILING: u32 = 0;
const PENDING: u32 = 1;
const DECIDING: u32 = 2;
const APPROVED: u32 = 3;
const REJECTED: u32 = 4;
const FAILED: u32 = 5;

impl FiledRequest {
    /// The status, with the decision if the status is final. `None` while the request is still
    /// being filed. A decision in progress shows as pending.
    pub(in crate::engine) fn status(&self) -> Option<(Status, Option<&TransferDecision>)> {
        // Acquire pairs with the Release in `publish` and in `decide`: the decision is readable if
        // the state is final.
        let status = match self.state.load(Ordering::Acquire) {
            FILING => return None,
            PENDING | DECIDING => return Some((Status::PendingApproval, None)),
            APPROVED => Status::Approved,
            REJECTED => Status::Rejected,
            _ => Status::Failed,
        };
        Some((status, self.decision.get()))
    }

    /// A copy without the texts of the decision. Call it only if the state is final.
    fn without_texts(&self) -> Self {
        // Acquire pairs with the Release in `decide`. A final state never changes.
        let state = AtomicU32::new(self.state.load(Ordering::Acquire));
        let decision = self.decision.get().map(without_texts);
        let decision = decision.map_or_else(OnceLock::new, OnceLock::from);
        Self { id: self.id, asked: self.asked, state, decision }
    }

    fn is_open(&self) -> bool {
        matches!(self.status(), Some((Status::PendingApproval, _)))
    }
}

fn without_texts(decision: &TransferDecision) -> TransferDecision {
    TransferDecision { by: "".into(), reason: None, ..decision.clone() }
}

/// The approval policy, all open requests, and the newest of the decided ones.
pub(in crate::engine) struct Approvals {
    pub(in crate::engine) policy: Box<dyn ApprovalPolicy>,
    most_open: usize,
    book: Mutex<RequestBook>,
}

#[derive(Debug, Default)]
struct RequestBook {
    requests: BTreeMap<TransferRequestId, Arc<FiledRequest>>,
    /// The decided requests of the map, the oldest decision first.
    decided: VecDeque<TransferRequestId>,
    /// Requests whose decision is recorded but not final yet, and whose texts must be erased.
    erased: BTreeSet<TransferRequestId>,
    /// The highest number that was ever filed.
    newest: u64,
}

/// The refusal of a new request: as many are open as the limit allows.
#[derive(Debug)]
pub(in crate::engine) struct TooManyOpen {
    pub(in crate::engine) most: usize,
}

impl Approvals {
    pub(in crate::engine) fn new(policy: Box<dyn ApprovalPolicy>, most_open: usize) -> Self {
        Self { policy, most_open, book: Mutex::new(RequestBook::default()) }
    }

    /// Files a request under a new number. Nobody can find it before it is
    /// [published](UnpublishedRequest::publish).
    pub(in crate::engine) fn file(
        &self,
        asked: RequestedMove,
    ) -> Result<UnpublishedRequest<'_>, TooManyOpen> {
        let mut book = self.book();
        if book.requests.len() - book.decided.len() >= self.most_open {
            return Err(TooManyOpen { most: self.most_open });
        }
        book.newest += 1;
        let id = TransferRequestId(book.newest);
        let state = AtomicU32::new(FILING);
        let filed = Arc::new(FiledRequest { id, asked, state, decision: OnceLock::new() });
        book.requests.insert(id, Arc::clone(&filed));
        Ok(UnpublishedRequest { approvals: self, filed })
    }

    /// The request with this number.
    pub(in crate::engine) fn find(
        &self,
        id: TransferRequestId,
    ) -> Result<Arc<FiledRequest>, NoTransferRequest> {
        let book = self.book();
        match book.requests.get(&id) {
            Some(filed) if filed.status().is_some() => Ok(Arc::clone(filed)),
            None if (1..=book.newest).contains(&id.0) => Err(NoTransferRequest::Forgotten),
            _ => Err(NoTransferRequest::Unknown),
        }
    }

    /// The open requests, ordered by number.
    pub(in crate::engine) fn open(&self) -> Vec<Arc<FiledRequest>> {
        self.book().requests.values().filter(|filed| filed.is_open()).map(Arc::clone).collect()
    }

    /// Claims the right to decide on a request. Of all threads that ask, one gets it.
    pub(in crate::engine) fn claim(
        &self,
        id: TransferRequestId,
    ) -> Result<DecisionClaim<'_>, NotOpen> {
        let filed = self.find(id)?;
        // Acquire pairs with the Release in `publish`, in `decide` and in the drop of a claim: the
        // winner sees the whole request, and a loser sees the decision that came first.
        let claimed =
            filed.state.compare_exchange(PENDING, DECIDING, Ordering::AcqRel, Ordering::Acquire);
        match claimed {
            Ok(_) => Ok(DecisionClaim { approvals: self, filed }),
            Err(APPROVED) => Err(NotOpen::Approved),
            Err(REJECTED) => Err(NotOpen::Rejected),
            Err(FAILED) => Err(NotOpen::Failed),
            Err(_) => Err(NotOpen::Deciding),
        }
    }

    /// Restores a request of an earlier run. Call it for the decided ones in the order of their
    /// decisions.
    pub(in crate::engine) fn restore(
        &self,
        id: TransferRequestId,
        asked: RequestedMove,
        decision: Option<(Status, TransferDecision)>,
    ) {
        let state = AtomicU32::new(PENDING);
        let filed = Arc::new(FiledRequest { id, asked, state, decision: OnceLock::new() });
        self.book().requests.insert(id, filed);
        if let Some((status, decision)) = decision
            && let Ok(claim) = self.claim(id)
        {
            claim.decide(status, decision);
        }
    }

    /// The numbers of the decided requests.
    pub(in crate::engine) fn decided(&self) -> BTreeSet<u64> {
        self.book().decided.iter().map(|id| id.0).collect()
    }

    /// Erases who decided on these requests, and why. If a decision is still in progress, its texts
    /// are erased when it becomes final.
    pub(in crate::engine) fn erase_texts(&self, of: &BTreeSet<u64>) {
        let mut book = self.book();
        let RequestBook { requests, erased, .. } = &mut *book;
        for id in of.iter().copied().map(TransferRequestId) {
            let Some(filed) = requests.get_mut(&id) else { continue };
            match filed.status() {
                // A thread that still reads the old one found it before the erasure.
                Some((_, Some(_))) => *filed = Arc::new(filed.without_texts()),
                _ => drop(erased.insert(id)),
            }
        }
    }

    /// Sets the number after which new requests are numbered.
    pub(in crate::engine) fn begin_after(&self, newest: u64) {
        self.book().newest = newest;
    }

    fn book(&self) -> MutexGuard<'_, RequestBook> {
        lock(&self.book)
    }
}

impl fmt::Debug for Approvals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Approvals").field("open", &self.open().len()).finish_non_exhaustive()
    }
}

/// A request that is filed and not yet published. Dropping it removes the request.
#[must_use = "a request that is not published is forgotten"]
#[derive(Debug)]
pub(in crate::engine) struct UnpublishedRequest<'a> {
    approvals: &'a Approvals,
    filed: Arc<FiledRequest>,
}

impl UnpublishedRequest<'_> {
    pub(in crate::engine) fn id(&self) -> TransferRequestId {
        self.filed.id
    }

    /// Publishes the request. Law 2: its event must be queued before.
    pub(in crate::engine) fn publish(self) -> TransferRequestId {
        // Release pairs with the Acquire in `FiledRequest::status` and in `claim`.
        self.filed.state.store(PENDING, Ordering::Release);
        self.id()
    }
}

impl Drop for UnpublishedRequest<'_> {
    fn drop(&mut self) {
        if self.filed.status().is_none() {
            self.approvals.book().requests.remove(&self.filed.id);
        }
    }
}

/// The right to decide on a request. If it is dropped without a decision, the request is pending
/// again.
#[must_use = "a request that is not decided stays pending"]
#[derive(Debug)]
pub(in crate::engine) struct DecisionClaim<'a> {
    approvals: &'a Approvals,
    filed: Arc<FiledRequest>,
}

impl DecisionClaim<'_> {
    pub(in crate::engine) fn id(&self) -> TransferRequestId {
        self.filed.id
    }

    pub(in crate::engine) fn asked(&self) -> &RequestedMove {
        &self.filed.asked
    }

    /// Makes the decision final. Law 2: its record must be queued before, and its units moved.
    pub(in crate::engine) fn decide(self, status: Status, mut decision: TransferDecision) {
        // Under the lock, so that the open requests are exactly those that are not in `decided`,
        // and texts that must be erased never show.
        let mut book = self.approvals.book();
        if book.erased.remove(&self.filed.id) {
            decision = without_texts(&decision);
        }
        let noted = self.filed.decision.set(decision);
        debug_assert!(noted.is_ok(), "a request is decided once");
        let state = match status {
            Status::Approved => APPROVED,
            Status::Rejected => REJECTED,
            Status::Failed | Status::PendingApproval => FAILED,
        };
        // Release pairs with the Acquire in `FiledRequest::status`.
        self.filed.state.store(state, Ordering::Release);
        book.decided.push_back(self.filed.id);
        if book.decided.len() > DECIDED_KEPT
            && let Some(oldest) = book.decided.pop_front()
        {
            book.requests.remove(&oldest);
        }
    }
}

impl Drop for DecisionClaim<'_> {
    fn drop(&mut self) {
        // Only the owner of the claim leaves `DECIDING`. If it has decided, this swap fails and
        // changes nothing. Release pairs with the Acquire in `claim`.
        let _ = self.filed.state.compare_exchange(
            DECIDING,
            PENDING,
            Ordering::Release,
            Ordering::Relaxed,
        );
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::policy::approval::ManualApproval;

    fn asked() -> RequestedMove {
        RequestedMove {
            from: LevelIndex(0),
            source: WarehouseIndex(0),
            target: WarehouseIndex(1),
            qty: Quantity::new(1).expect("a legal quantity"),
            held: false,
            at: Timestamp::default(),
        }
    }

    fn decision() -> TransferDecision {
        TransferDecision { by: "mira".into(), at: Timestamp::MAX, reason: None, failure: None }
    }

    fn approvals(most_open: usize) -> Approvals {
        Approvals::new(Box::new(ManualApproval), most_open)
    }

    #[test]
    fn nobody_finds_a_request_before_it_is_published() {
        let approvals = approvals(9);
        let filing = approvals.file(asked()).expect("room");
        let id = filing.id();
        assert_eq!(approvals.find(id).err(), Some(NoTransferRequest::Unknown));
        assert_eq!(approvals.claim(id).err(), Some(NotOpen::Unknown));
        assert!(approvals.open().is_empty());
        assert_eq!(filing.publish(), id);
        assert!(approvals.find(id).is_ok());
        assert_eq!(approvals.open().len(), 1);
    }

    #[test]
    fn a_request_that_is_refused_after_all_leaves_its_place_to_another() {
        let approvals = approvals(1);
        drop(approvals.file(asked()).expect("room"));
        let id = approvals.file(asked()).expect("room again").publish();
        assert!(approvals.file(asked()).is_err_and(|full| full.most == 1));
        assert_eq!(approvals.open().len(), 1);
        approvals.claim(id).expect("pending").decide(Status::Rejected, decision());
        assert!(approvals.file(asked()).is_ok());
    }

    #[test]
    fn while_one_decides_all_others_hear_in_progress_and_see_the_request_pending() {
        let approvals = approvals(9);
        let id = approvals.file(asked()).expect("room").publish();
        let claim = approvals.claim(id).expect("pending");
        assert_eq!(approvals.claim(id).err(), Some(NotOpen::Deciding));
        let found = approvals.find(id).expect("there");
        assert_eq!(found.status(), Some((Status::PendingApproval, None)));
        // A claim that ends without a decision leaves the request open.
        drop(claim);
        approvals.claim(id).expect("pending again").decide(Status::Approved, decision());
        assert_eq!(approvals.claim(id).err(), Some(NotOpen::Approved));
        assert_eq!(found.status(), Some((Status::Approved, Some(&decision()))));
    }

    #[test]
    fn the_newest_decided_requests_are_remembered_and_the_open_ones_never_forgotten() {
        let approvals = approvals(9);
        let open = approvals.file(asked()).expect("room").publish();
        let decided: Vec<_> = (0..=DECIDED_KEPT)
            .map(|_| {
                let id = approvals.file(asked()).expect("room").publish();
                approvals.claim(id).expect("pending").decide(Status::Failed, decision());
                id
            })
            .collect();
        assert_eq!(approvals.find(decided[0]).err(), Some(NoTransferRequest::Forgotten));
        assert_eq!(approvals.claim(decided[0]).err(), Some(NotOpen::Forgotten));
        assert_eq!(approvals.claim(decided[1]).err(), Some(NotOpen::Failed));
        assert!(approvals.claim(open).is_ok());
        let later = TransferRequestId(decided[DECIDED_KEPT].0 + 1);
        for never in [TransferRequestId(0), later] {
            assert_eq!(approvals.find(never).err(), Some(NoTransferRequest::Unknown));
        }
    }
}
