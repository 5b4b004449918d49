//! The transfers that wait for approval, and the newest of those that were decided.
//!
//! A request is *filed* under a number that nobody hears of before its event is queued (Law 2),
//! then *pending*, then decided once: whoever swaps `Pending` for `Deciding` is the only one who
//! decides, and everybody else is told so. A decision that can't be carried out at the moment (a
//! suspended warehouse, a queue that is full) puts the request back to pending.
//!
//! Requests are rare, so a lock around a map is all they need. It is held for a look-up, never
//! while units move or while a record is queued; no other operation takes it.
//!
//! # What the record holds, and how requests are rebuilt from it
//!
//! The metadata of all entries below bear the request's number as `transferRequestId`.
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
//! A decision bears `outcome`, `decidedBy`, `decidedAt` (milliseconds) and, where there is one,
//! `reason`; one that failed, how many units were `available` or for how many there was `room`.
//! Every entry means to the counts what it means everywhere else, so that a replay needs no rule of
//! its own for transfers that were approved: a hold is given back and its units leave, in one
//! record. The open requests are those that were requested and not decided; one holds units if its
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

/// What a request asks for; never changes.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Asked {
    pub(in crate::engine) from: LevelIndex,
    pub(in crate::engine) source: WarehouseIndex,
    pub(in crate::engine) target: WarehouseIndex,
    pub(in crate::engine) qty: Quantity,
    pub(in crate::engine) held: bool,
    pub(in crate::engine) at: Timestamp,
}

/// A request with its state.
#[derive(Debug)]
pub(in crate::engine) struct Filed {
    pub(in crate::engine) id: TransferRequestId,
    pub(in crate::engine) asked: Asked,
    state: AtomicU32,
    decision: OnceLock<TransferDecision>,
}

/// The states of a request, as its atomic holds them.
const FILING: u32 = 0;
const PENDING: u32 = 1;
const DECIDING: u32 = 2;
const APPROVED: u32 = 3;
const REJECTED: u32 = 4;
const FAILED: u32 = 5;

impl Filed {
    /// Its status and, if it is final, how it came about; `None` while nobody may know of it. A
    /// decision under way shows only when it is through.
    pub(in crate::engine) fn status(&self) -> Option<(Status, Option<&TransferDecision>)> {
        // Acquire pairs with the Release of whoever filed or decided: its decision is readable.
        let status = match self.state.load(Ordering::Acquire) {
            FILING => return None,
            PENDING | DECIDING => return Some((Status::PendingApproval, None)),
            APPROVED => Status::Approved,
            REJECTED => Status::Rejected,
            _ => Status::Failed,
        };
        Some((status, self.decision.get()))
    }

    /// The same, which is final, without who decided and why.
    fn without_texts(&self) -> Self {
        // Acquire pairs with the Release in `decide`; a final state stays.
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

/// All requests that are open, and the newest of those that were decided.
pub(in crate::engine) struct Approvals {
    pub(in crate::engine) policy: Box<dyn ApprovalPolicy>,
    most_open: usize,
    book: Mutex<RequestBook>,
}

#[derive(Debug, Default)]
struct RequestBook {
    requests: BTreeMap<TransferRequestId, Arc<Filed>>,
    /// Those of them that are decided, the oldest decision first.
    decided: VecDeque<TransferRequestId>,
    /// Those whose decision was recorded and is not final yet, and whose texts are erased already.
    erased: BTreeSet<TransferRequestId>,
    /// The greatest number that was ever filed.
    newest: u64,
}

/// As many requests wait for a decision as there may be.
#[derive(Debug)]
pub(in crate::engine) struct TooManyOpen {
    pub(in crate::engine) most: usize,
}

impl Approvals {
    pub(in crate::engine) fn new(policy: Box<dyn ApprovalPolicy>, most_open: usize) -> Self {
        Self { policy, most_open, book: Mutex::new(RequestBook::default()) }
    }

    /// Files a request under a new number, which nobody can find before it is
    /// [published](Filing::publish).
    pub(in crate::engine) fn file(&self, asked: Asked) -> Result<Filing<'_>, TooManyOpen> {
        let mut book = self.book();
        if book.requests.len() - book.decided.len() >= self.most_open {
            return Err(TooManyOpen { most: self.most_open });
        }
        book.newest += 1;
        let id = TransferRequestId(book.newest);
        let state = AtomicU32::new(FILING);
        let filed = Arc::new(Filed { id, asked, state, decision: OnceLock::new() });
        book.requests.insert(id, Arc::clone(&filed));
        Ok(Filing { approvals: self, filed })
    }

    /// The request of this number.
    pub(in crate::engine) fn find(
        &self,
        id: TransferRequestId,
    ) -> Result<Arc<Filed>, NoTransferRequest> {
        let book = self.book();
        match book.requests.get(&id) {
            Some(filed) if filed.status().is_some() => Ok(Arc::clone(filed)),
            None if (1..=book.newest).contains(&id.0) => Err(NoTransferRequest::Forgotten),
            _ => Err(NoTransferRequest::Unknown),
        }
    }

    /// The open requests, the oldest first.
    pub(in crate::engine) fn open(&self) -> Vec<Arc<Filed>> {
        self.book().requests.values().filter(|filed| filed.is_open()).map(Arc::clone).collect()
    }

    /// The right to decide on a request: of all who ask, one gets it.
    pub(in crate::engine) fn claim(
        &self,
        id: TransferRequestId,
    ) -> Result<DecisionClaim<'_>, NotOpen> {
        let filed = self.find(id)?;
        // Acquire: the winner knows the whole request; the others, the decision that was before
        // them.
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

    /// Puts back a request of an earlier run; those that were decided in the order of their
    /// decisions.
    pub(in crate::engine) fn restore(
        &self,
        id: TransferRequestId,
        asked: Asked,
        decision: Option<(Status, TransferDecision)>,
    ) {
        let state = AtomicU32::new(PENDING);
        let filed = Arc::new(Filed { id, asked, state, decision: OnceLock::new() });
        self.book().requests.insert(id, filed);
        if let Some((status, decision)) = decision
            && let Ok(claim) = self.claim(id)
        {
            claim.decide(status, decision);
        }
    }

    /// The numbers of those that were decided.
    pub(in crate::engine) fn decided(&self) -> BTreeSet<u64> {
        self.book().decided.iter().map(|id| id.0).collect()
    }

    /// Erases who decided on these requests, and why; also where the decision is on its way.
    pub(in crate::engine) fn erase_texts(&self, of: &BTreeSet<u64>) {
        let mut book = self.book();
        let RequestBook { requests, erased, .. } = &mut *book;
        for id in of.iter().copied().map(TransferRequestId) {
            let Some(filed) = requests.get_mut(&id) else { continue };
            match filed.status() {
                // Whoever looks at the old one has it from before.
                Some((_, Some(_))) => *filed = Arc::new(filed.without_texts()),
                _ => drop(erased.insert(id)),
            }
        }
    }

    /// The next request gets a number greater than this.
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

/// A request that nobody knows of yet. Dropped unpublished, it never was.
#[must_use = "a request that is not published is forgotten"]
#[derive(Debug)]
pub(in crate::engine) struct Filing<'a> {
    approvals: &'a Approvals,
    filed: Arc<Filed>,
}

impl Filing<'_> {
    pub(in crate::engine) fn id(&self) -> TransferRequestId {
        self.filed.id
    }

    /// Lets the request be found. Law 2: its event is queued.
    pub(in crate::engine) fn publish(self) -> TransferRequestId {
        // Release pairs with the Acquire of whoever finds it.
        self.filed.state.store(PENDING, Ordering::Release);
        self.id()
    }
}

impl Drop for Filing<'_> {
    fn drop(&mut self) {
        if self.filed.status().is_none() {
            self.approvals.book().requests.remove(&self.filed.id);
        }
    }
}

/// The right to decide on a request. Dropped undecided, the request is pending again.
#[must_use = "a request that is not decided stays pending"]
#[derive(Debug)]
pub(in crate::engine) struct DecisionClaim<'a> {
    approvals: &'a Approvals,
    filed: Arc<Filed>,
}

impl DecisionClaim<'_> {
    pub(in crate::engine) fn id(&self) -> TransferRequestId {
        self.filed.id
    }

    pub(in crate::engine) fn asked(&self) -> &Asked {
        &self.filed.asked
    }

    /// Makes the decision final. Law 2: its record is queued, and what it gives is given.
    pub(in crate::engine) fn decide(self, status: Status, mut decision: TransferDecision) {
        // Under the lock, so that the open ones are always those that are not in `decided`, and
        // texts that are to be erased never show.
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
        // Release pairs with the Acquire in `Filed::status`.
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
        // Only the holder of the claim leaves this state; it may have done so by deciding.
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

    fn asked() -> Asked {
        Asked {
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
        // A decision that came to nothing leaves it open.
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
