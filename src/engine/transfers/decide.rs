//! Transfer requests: the decision.

use std::sync::Arc;

use crate::audit::entry::{AdjustmentType, EventType};
use crate::audit::record_builder::RecordBuilder;
use crate::base::clock::Timestamp;
use crate::base::error::{
    Applied, ApproveError, CallError, NotOpen, RejectError, TransferFailure, Uncertain,
};
use crate::engine::answer::Answer;
use crate::engine::call::Call;
use crate::engine::durability::OperationKind;
use crate::engine::place::{OwnLevel, check_name};
use crate::engine::request::Request;
use crate::engine::request_shape::RequestShape;
use crate::engine::transfer_request::{
    TransferDecision, TransferRequestId, TransferRequestStatus as Status,
};
use crate::engine::transfers::book::{DecisionClaim, RequestedMove};
use crate::engine::transfers::transfer::Route;
use crate::engine::{Engine, InventoryManager};

/// # Decisions on transfers
impl InventoryManager {
    /// Approves a transfer request in the name of `who`, and makes the transfer, as
    /// [`transfer`](Self::transfer) would at this moment.
    ///
    /// # Errors
    /// [`ApproveError::Failed`] if stock or room is short at this moment; then the request has
    /// failed, and stays so. [`NotOpen::Deciding`](crate::NotOpen::Deciding) while another call
    /// decides. See [`ApproveError`] for the rest.
    ///
    /// ```
    /// use stockade::{ApproveError, NotOpen, TransferFailure};
    /// # let builder = stockade::InventoryManager::builder();
    /// # let manager = builder.warehouse("SF").warehouse("NYC").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// let request = manager.request_transfer("SF", "NYC", "LAPTOP", 4)?;
    /// manager.sell(("SF", "LAPTOP"), 9)?;
    /// let short = TransferFailure::Insufficient { needed: 4, available: 1 };
    /// assert_eq!(manager.approve_transfer(request, "mira"), Err(ApproveError::Failed(short)));
    /// assert_eq!(manager.approve_transfer(request, "mira"), Err(NotOpen::Failed.into()));
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn approve_transfer(&self, id: TransferRequestId, who: &str) -> Result<(), ApproveError> {
        self.call().approve_transfer(id, who)
    }

    /// Rejects a transfer request in the name of `who`, for a `reason`. Units that it held become
    /// available again.
    ///
    /// # Errors
    /// [`NotOpen::Deciding`](crate::NotOpen::Deciding) while another call decides. See
    /// [`RejectError`] for the rest.
    ///
    /// ```
    /// # let builder = stockade::InventoryManager::builder();
    /// # let manager = builder.warehouse("SF").warehouse("NYC").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// let request = manager.request().hold_units().request_transfer("SF", "NYC", "LAPTOP", 4)?;
    /// assert_eq!(manager.available(("SF", "LAPTOP"))?, 6);
    /// manager.reject_transfer(request, "mira", "NYC is closing")?;
    /// assert_eq!(manager.available(("SF", "LAPTOP"))?, 10);
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn reject_transfer(
        &self,
        id: TransferRequestId,
        who: &str,
        reason: &str,
    ) -> Result<(), RejectError> {
        self.call().reject_transfer(id, who, reason)
    }
}

impl Request<'_> {
    /// As [`InventoryManager::approve_transfer`], with this request's options.
    /// With a key, the look-up [may read the disk](Self::key).
    pub fn approve_transfer(&self, id: TransferRequestId, who: &str) -> Result<(), ApproveError> {
        self.call().approve_transfer(id, who)
    }

    /// As [`InventoryManager::reject_transfer`], with this request's options.
    /// With a key, the look-up [may read the disk](Self::key).
    pub fn reject_transfer(
        &self,
        id: TransferRequestId,
        who: &str,
        reason: &str,
    ) -> Result<(), RejectError> {
        self.call().reject_transfer(id, who, reason)
    }
}

/// A decision that is about to be recorded.
struct Verdict<'a> {
    id: TransferRequestId,
    status: Status,
    by: &'a str,
    at: Timestamp,
    reason: Option<&'a str>,
}

impl Engine {
    /// Applies a request that the policy of this `name` approves, at the moment at which it was
    /// made. Neither the policy nor the clock is asked again: the request is recorded. The
    /// request's status tells whether the transfer succeeded; the request itself exists in any
    /// case. So only an uncertain outcome is an error.
    pub(in crate::engine) fn approve_by_policy(
        &self,
        id: TransferRequestId,
        name: &str,
        now: Timestamp,
    ) -> Result<(), Uncertain> {
        let applied = self
            .admit()
            .map_err(ApproveError::from)
            .and_then(|()| Ok(self.approvals.claim(id)?))
            .and_then(|claim| Call::of_engine(self, now).apply(claim, name));
        match applied {
            Err(ApproveError::Call(CallError::Uncertain(cause))) => Err(cause),
            _ => Ok(()),
        }
    }
}

impl Call<'_> {
    fn approve_transfer(self, id: TransferRequestId, who: &str) -> Result<(), ApproveError> {
        check_name(who)?;
        let shape =
            |it: &mut RequestShape| it.named("approve").text(&id.to_string()).text(who).end();
        self.check_note_names(&["reason"])?;
        let made = self.keyed(OperationKind::Transfer, shape, |call| {
            call.engine.admit()?;
            call.apply(call.engine.approvals.claim(id)?, who)
        })?;
        made.map_err(ApproveError::Failed)
    }

    /// Makes the transfer of a claimed request. The inner error means that stock or room was short:
    /// then the request has failed, and that is recorded.
    fn apply(
        self,
        claim: DecisionClaim<'_>,
        who: &str,
    ) -> Result<Result<(), TransferFailure>, ApproveError> {
        let engine = self.engine;
        let &RequestedMove { from, source, target, qty, held, .. } = claim.asked();
        let level = engine.catalog.level(from);
        let places = engine.catalog.warehouse(source).zip(engine.catalog.warehouse(target));
        // All three were found when the request was made, and they live as long as the engine.
        let (Some(level), Some((source_place, target_place))) = (level, places) else {
            return Err(NotOpen::Unknown.into());
        };
        for warehouse in [source_place, target_place] {
            engine
                .check_open(warehouse)
                .map_err(|warehouse| ApproveError::Suspended { warehouse })?;
        }
        let at = self.timed().now();
        let verdict =
            Verdict { id: claim.id(), status: Status::Approved, by: who, at, reason: None };
        let looked = engine.look_before_moving(level, target_place, (qty, held), at);
        let moved = looked.map_err(ApproveError::from).and_then(|()| {
            let (_, product) = engine.names_of(from);
            let to = OwnLevel::Names(target_place.name(), &product);
            let to = engine.resolve_or_open(to, verdict.at)?;
            let route = Route { from, to, source, target, qty, held };
            let moved = engine.move_units(&route, verdict.at, |record| {
                let record = record.and_event(EventType::TransferDecided, from, qty, target);
                verdict.note_in(record).of_call(self, Ok(()))
            });
            Ok(moved?)
        });
        let failure = match moved {
            Err(ApproveError::Failed(failure)) => failure,
            Err(error) if error.applied() == Applied::No => return Err(error),
            moved => {
                claim.decide(Status::Approved, verdict.decision(None));
                return moved.map(Ok);
            }
        };
        let reason = failure.to_string();
        let verdict = Verdict { status: Status::Failed, reason: Some(&reason), ..verdict };
        self.turn_down(claim, &verdict, Some(failure))?;
        Ok(Err(failure))
    }

    fn reject_transfer(
        self,
        id: TransferRequestId,
        who: &str,
        reason: &str,
    ) -> Result<(), RejectError> {
        check_name(who)?;
        self.check_text(reason)?;
        self.check_note_names(&["reason"])?;
        let shape = |it: &mut RequestShape| {
            it.named("reject").text(&id.to_string()).text(who).text(reason).end()
        };
        self.keyed(OperationKind::Transfer, shape, |call| {
            let engine = call.engine;
            engine.admit()?;
            let claim = engine.approvals.claim(id)?;
            let status = Status::Rejected;
            let at = call.timed().now();
            let verdict = Verdict { id, status, by: who, at, reason: Some(reason) };
            Ok(call.turn_down(claim, &verdict, None)?)
        })
    }

    /// Records a decision that moves nothing between warehouses, and gives back the held units.
    /// `failure` says why an approved request failed; `None` for a rejected one.
    fn turn_down(
        self,
        claim: DecisionClaim<'_>,
        verdict: &Verdict<'_>,
        failure: Option<TransferFailure>,
    ) -> Result<(), Uncertain> {
        let engine = self.engine;
        let &RequestedMove { from, qty, held, .. } = claim.asked();
        let record = engine.request_record(
            claim.asked(),
            AdjustmentType::Returned,
            EventType::TransferDecided,
        );
        let record = verdict.note_in(record.at(verdict.at));
        let record = match failure {
            Some(TransferFailure::Insufficient { available, .. }) => {
                record.text("available", &available.to_string())
            }
            Some(TransferFailure::OverCapacity { room, .. }) => {
                record.text("room", &room.to_string())
            }
            None => record,
        };
        let answer = failure.map_or(Answer::Done, Answer::TransferFailed);
        // Law 2: queued before the credit shows.
        let recorded = record.of_call(self, answer).queue();
        if held && let Some(level) = engine.catalog.level(from) {
            level.give_back(qty, engine);
        }
        claim.decide(verdict.status, verdict.decision(failure));
        recorded
    }
}

impl Verdict<'_> {
    /// Adds to the decision's record who decided, when, and what.
    fn note_in<'d>(&self, record: RecordBuilder<'d>) -> RecordBuilder<'d> {
        let record = record
            .text("transferRequestId", &self.id.to_string())
            .text("outcome", self.status.name())
            .text("decidedBy", self.by)
            .text("decidedAt", &self.at.as_millis().to_string());
        match self.reason {
            Some(reason) => record.text("reason", reason),
            None => record,
        }
    }

    fn decision(&self, failure: Option<TransferFailure>) -> TransferDecision {
        TransferDecision {
            by: self.by.into(),
            at: self.at,
            reason: self.reason.map(Arc::from),
            failure,
        }
    }
}
