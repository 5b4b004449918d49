//! Transfers with approval: a request, a decision, a list.

use std::sync::Arc;

use crate::audit::entry::{AdjustmentType, EventType};
use crate::audit::record_builder::RecordBuilder;
use crate::clock::Timestamp;
use crate::engine::answer::Answer;
use crate::engine::call::{Call, RequestOptions, RequestShape};
use crate::engine::durability::OperationKind;
use crate::engine::place::{LevelRef, ProductRef, WarehouseRef};
use crate::engine::request::{Request, TransferRequestBuilder};
use crate::engine::transfer_request::{
    TransferDecision, TransferRequest, TransferRequestId, TransferRequestStatus as Status,
};
use crate::engine::transfers::book::{Asked, Claim, Filed, Filing, TooManyOpen};
use crate::engine::transfers::transfer::Route;
use crate::engine::{Engine, InventoryManager};
use crate::error::{
    Applied, DecisionError, NoTransferRequest, RequestTransferError, TransferFailure, Unavailable,
    UnknownPlace,
};
use crate::policy::approval::ProposedTransfer;
use crate::quantity::Quantity;
use crate::stock::level::StockLevel;

/// # Transfers that wait for approval
///
/// These calls take a lock around the open requests for the time of a look-up; no other operation
/// does. Open requests live as long as the engine, or as its journal.
impl InventoryManager {
    /// Asks for a transfer, which moves nothing until it is [approved](Self::approve_transfer).
    ///
    /// Where the engine's [`ApprovalPolicy`](crate::ApprovalPolicy) approves it, it is applied at once;
    /// the request's status says how that went. One that can't be applied at that moment (a suspended
    /// warehouse, a full queue) stays pending. With [`hold_units`](crate::Request::hold_units) the units
    /// are held from the request to the decision.
    ///
    /// # Errors
    /// [`RequestTransferError::TooManyOpen`] if as many requests wait as the engine is set to keep; see
    /// [`RequestTransferError`] for the rest. Nothing has moved then, and no request was made.
    ///
    /// ```
    /// use stockade::TransferRequestStatus;
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").warehouse("NYC").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// let request = manager.request_transfer("SF", "NYC", "LAPTOP", 4)?;
    /// assert_eq!(manager.available(("NYC", "LAPTOP")), 0);
    /// manager.approve_transfer(request, "mira")?;
    /// assert_eq!(manager.available(("NYC", "LAPTOP")), 4);
    /// assert_eq!(manager.transfer_request(request)?.status, TransferRequestStatus::Approved);
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn request_transfer<'w>(
        &self,
        from: impl Into<WarehouseRef<'w>>,
        to: impl Into<WarehouseRef<'w>>,
        product: impl Into<ProductRef<'w>>,
        quantity: u32,
    ) -> Result<TransferRequestId, RequestTransferError> {
        let (from, to, product) = (from.into(), to.into(), product.into());
        self.call().request_transfer(Asking { from, to, product, quantity, held: false })
    }

    /// Approves a requested transfer in the name of `who`, and makes it, as
    /// [`transfer`](Self::transfer) would at this moment.
    ///
    /// # Errors
    /// [`DecisionError::Failed`] if stock or room is short by now: the request has failed then, and
    /// stays so. [`DecisionError::InProgress`] while another call decides; see [`DecisionError`] for
    /// the rest.
    ///
    /// ```
    /// use stockade::{DecisionError, TransferFailure};
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").warehouse("NYC").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// let request = manager.request_transfer("SF", "NYC", "LAPTOP", 4)?;
    /// manager.sell(("SF", "LAPTOP"), 9)?;
    /// let short = TransferFailure::Insufficient { needed: 4, available: 1 };
    /// assert_eq!(manager.approve_transfer(request, "mira"), Err(DecisionError::Failed(short)));
    /// assert_eq!(manager.approve_transfer(request, "mira"), Err(DecisionError::AlreadyFailed));
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn approve_transfer(&self, id: TransferRequestId, who: &str) -> Result<(), DecisionError> {
        self.call().approve_transfer(id, who)
    }

    /// Turns a requested transfer down, in the name of `who` and for a `reason`. Units that it held
    /// are available again.
    ///
    /// # Errors
    /// [`DecisionError::InProgress`] while another call decides; see [`DecisionError`] for the rest.
    ///
    /// ```
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").warehouse("NYC").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// let request = manager.request().hold_units().request_transfer("SF", "NYC", "LAPTOP", 4)?;
    /// assert_eq!(manager.available(("SF", "LAPTOP")), 6);
    /// manager.reject_transfer(request, "mira", "NYC is closing")?;
    /// assert_eq!(manager.available(("SF", "LAPTOP")), 10);
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn reject_transfer(
        &self,
        id: TransferRequestId,
        who: &str,
        reason: &str,
    ) -> Result<(), DecisionError> {
        self.call().reject_transfer(id, who, reason)
    }

    /// The transfers that wait for a decision, the oldest request first.
    pub fn transfer_requests(&self) -> Vec<TransferRequest> {
        let open = self.engine.approvals.open();
        // Whatever was decided since is no longer for this list.
        let views = open.iter().filter_map(|filed| self.engine.transfer_request_view(filed));
        views.filter(|view| view.status == Status::PendingApproval).collect()
    }

    /// A transfer request: an open one, or one of the newest 1,000 that were decided.
    ///
    /// # Errors
    /// [`NoTransferRequest`] tells one whose record is no longer kept from one that never was.
    pub fn transfer_request(
        &self,
        id: TransferRequestId,
    ) -> Result<TransferRequest, NoTransferRequest> {
        let filed = self.engine.approvals.find(id)?;
        self.engine.transfer_request_view(&filed).ok_or(NoTransferRequest::Unknown)
    }
}

impl Request<'_> {
    /// As [`InventoryManager::request_transfer`], with this request's options.
    pub fn request_transfer<'w>(
        &self,
        from: impl Into<WarehouseRef<'w>>,
        to: impl Into<WarehouseRef<'w>>,
        product: impl Into<ProductRef<'w>>,
        quantity: u32,
    ) -> Result<TransferRequestId, RequestTransferError> {
        let (from, to, product) = (from.into(), to.into(), product.into());
        self.call().request_transfer(Asking { from, to, product, quantity, held: false })
    }

    /// As [`InventoryManager::approve_transfer`], with this request's options.
    pub fn approve_transfer(&self, id: TransferRequestId, who: &str) -> Result<(), DecisionError> {
        self.call().approve_transfer(id, who)
    }

    /// As [`InventoryManager::reject_transfer`], with this request's options.
    pub fn reject_transfer(
        &self,
        id: TransferRequestId,
        who: &str,
        reason: &str,
    ) -> Result<(), DecisionError> {
        self.call().reject_transfer(id, who, reason)
    }
}

impl TransferRequestBuilder<'_> {
    /// As [`InventoryManager::request_transfer`], with this request's options; and the units are held
    /// until the decision.
    pub fn request_transfer<'w>(
        &self,
        from: impl Into<WarehouseRef<'w>>,
        to: impl Into<WarehouseRef<'w>>,
        product: impl Into<ProductRef<'w>>,
        quantity: u32,
    ) -> Result<TransferRequestId, RequestTransferError> {
        let (from, to, product) = (from.into(), to.into(), product.into());
        self.call().request_transfer(Asking { from, to, product, quantity, held: true })
    }
}

/// What a caller asks to be transferred.
#[derive(Clone, Copy)]
struct Asking<'w> {
    from: WarehouseRef<'w>,
    to: WarehouseRef<'w>,
    product: ProductRef<'w>,
    quantity: u32,
    /// Its units are to be held until the decision.
    held: bool,
}

/// A decision on its way into the record.
struct Verdict<'a> {
    id: TransferRequestId,
    status: Status,
    by: &'a str,
    at: Timestamp,
    reason: Option<&'a str>,
}

impl Call<'_> {
    fn request_transfer(
        self,
        asking: Asking<'_>,
    ) -> Result<TransferRequestId, RequestTransferError> {
        let engine = self.engine;
        let Asking { from, to, product, quantity, held } = asking;
        let qty = Quantity::new(quantity)?;
        let (source, target) = (engine.warehouse(from)?, engine.warehouse(to)?);
        if source.id() == target.id() {
            return Err(RequestTransferError::SameWarehouse);
        }
        if let ProductRef::Name(name) = product {
            engine.check_name(name).map_err(UnknownPlace::from)?;
        }
        let shape = || {
            let shape = RequestShape::new("request-transfer").warehouse(from).warehouse(to);
            shape.product(product).units(qty).count(usize::from(held))
        };
        self.keyed(OperationKind::Transfer, shape, |call| {
            engine.admit()?;
            if held {
                engine
                    .check_open(source)
                    .map_err(|warehouse| RequestTransferError::Suspended { warehouse })?;
            }
            let handle = engine.level_in(source.id(), product)?.ok_or_else(|| {
                let warehouse = source.name().to_owned();
                UnknownPlace::Product { warehouse, product: engine.name_of(product) }
            })?;
            let (level, _) = engine.level_and_warehouse(handle)?;
            let (_, name) = engine.names_of(handle);
            // The caller's own code: asked before anything is taken.
            let proposed =
                ProposedTransfer::new(source.shared_name(), target.shared_name(), name, quantity);
            let approved = engine.approvals.policy.approves(&proposed);
            let asked = Asked {
                from: handle,
                source: source.id(),
                target: target.id(),
                qty,
                held,
                at: engine.now(),
            };
            let filing = engine
                .approvals
                .file(asked)
                .map_err(|TooManyOpen { most }| RequestTransferError::TooManyOpen { most })?;
            let id = call.record_request(filing, &asked, level)?;
            if approved {
                engine.approve_by_policy(id)?;
            }
            Ok(id)
        })
    }

    /// Takes what is to be held, queues the request's record, and gives its number out: in this order
    /// (Law 2).
    fn record_request(
        self,
        filing: Filing<'_>,
        asked: &Asked,
        level: &StockLevel,
    ) -> Result<TransferRequestId, RequestTransferError> {
        let engine = self.engine;
        let &Asked { from, qty, held, at, .. } = asked;
        let record = engine
            .request_record(asked, AdjustmentType::Reserved, EventType::TransferRequested)
            .at(at)
            .text("transferRequestId", &filing.id().to_string())
            .of_call(self, filing.id());
        if held {
            let change = engine
                .with_overdue_taken_back(at, level, qty, || level.hold(qty, engine))
                .map_err(|short| RequestTransferError::Insufficient {
                    needed: qty.get(),
                    available: short.available,
                    overdue_left: short.overdue_left,
                })?;
            if level.crosses(change) {
                engine.raise_alert(from, level);
            }
        }
        let recorded = record.queue();
        let id = filing.publish();
        recorded?;
        Ok(id)
    }
}

impl Engine {
    /// The record of a step on a request: what moves if it holds units, and the event.
    fn request_record(
        &self,
        asked: &Asked,
        movement: AdjustmentType,
        event: EventType,
    ) -> RecordBuilder<'_> {
        let &Asked { from, target, qty, held, .. } = asked;
        let record = if held {
            self.recorder.movement(movement, from, qty)
        } else {
            self.recorder.event(event)
        };
        record.and_event(event, from, qty, target)
    }

    /// Applies a request that the policy approves. Whether that went well is its status' to say: the
    /// request is made either way.
    fn approve_by_policy(&self, id: TransferRequestId) -> Result<(), Unavailable> {
        let applied = self
            .admit()
            .map_err(DecisionError::from)
            .and_then(|()| self.approvals.claim(id))
            .and_then(|claim| {
                let call = Call::new(self, RequestOptions::DEFAULT);
                call.apply(claim, self.approvals.policy.name())
            });
        match applied {
            Err(DecisionError::Unavailable(Unavailable::Unrecorded)) => {
                Err(Unavailable::Unrecorded)
            }
            _ => Ok(()),
        }
    }
}

impl Call<'_> {
    fn approve_transfer(self, id: TransferRequestId, who: &str) -> Result<(), DecisionError> {
        self.engine.check_name(who)?;
        let shape = || RequestShape::new("approve").text(&id.to_string()).text(who);
        let made = self.keyed(OperationKind::Transfer, shape, |call| {
            call.engine.admit()?;
            call.apply(call.engine.approvals.claim(id)?, who)
        })?;
        made.map_err(DecisionError::Failed)
    }

    /// Makes the transfer that `claim` is about, if it can be made now; a request whose transfer can't be
    /// made has failed.
    fn apply(
        self,
        claim: Claim<'_>,
        who: &str,
    ) -> Result<Result<(), TransferFailure>, DecisionError> {
        let engine = self.engine;
        let &Asked { from, source, target, qty, held, .. } = claim.asked();
        let (level, _) = engine.level_and_warehouse(from)?;
        let (source_place, target_place) =
            (engine.warehouse(source.into())?, engine.warehouse(target.into())?);
        for warehouse in [source_place, target_place] {
            engine
                .check_open(warehouse)
                .map_err(|warehouse| DecisionError::Suspended { warehouse })?;
        }
        let verdict = Verdict {
            id: claim.id(),
            status: Status::Approved,
            by: who,
            at: engine.now(),
            reason: None,
        };
        let looked = engine.look_before_moving(level, target_place, qty, held);
        let moved = looked.map_err(DecisionError::from).and_then(|()| {
            let (_, product) = engine.names_of(from);
            let to = engine.resolve_or_open(LevelRef::Names(target_place.name(), &product))?;
            let route = Route { from, to, source, target, qty, held };
            let moved = engine.move_units(&route, verdict.at, |record| {
                let record = record.and_event(EventType::TransferDecided, from, qty, target);
                verdict.note_in(record).of_call(self, Ok(()))
            });
            Ok(moved?)
        });
        let failure = match moved {
            Err(DecisionError::Failed(failure)) => failure,
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
    ) -> Result<(), DecisionError> {
        self.engine.check_name(who)?;
        let shape = || RequestShape::new("reject").text(&id.to_string()).text(who).text(reason);
        self.keyed(OperationKind::Transfer, shape, |call| {
            let engine = call.engine;
            engine.admit()?;
            let claim = engine.approvals.claim(id)?;
            let status = Status::Rejected;
            let verdict = Verdict { id, status, by: who, at: engine.now(), reason: Some(reason) };
            Ok(call.turn_down(claim, &verdict, None)?)
        })
    }

    /// Records a decision by which nothing is transferred, and gives back what was held. `failure`: what
    /// stood in the way of one that was approved.
    fn turn_down(
        self,
        claim: Claim<'_>,
        verdict: &Verdict<'_>,
        failure: Option<TransferFailure>,
    ) -> Result<(), Unavailable> {
        let engine = self.engine;
        let &Asked { from, qty, held, .. } = claim.asked();
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

impl Engine {
    /// A product's name for an error: nobody has to know it.
    fn name_of(&self, product: ProductRef<'_>) -> String {
        match product {
            ProductRef::Name(name) => name.to_owned(),
            ProductRef::Id(id) => {
                self.catalog.product_name(id).as_deref().unwrap_or("?").to_owned()
            }
        }
    }

    fn transfer_request_view(&self, filed: &Filed) -> Option<TransferRequest> {
        let (status, decision) = filed.status()?;
        let &Asked { from, target, qty, held, at, .. } = &filed.asked;
        let (source, product) = self.names_of(from);
        Some(TransferRequest {
            id: filed.id,
            status,
            from: source,
            to: self.catalog.warehouse(target)?.shared_name(),
            product,
            quantity: qty.get(),
            holds_units: held,
            requested_at: at,
            decision: decision.cloned(),
        })
    }
}

impl Verdict<'_> {
    /// Adds who decided, when and how to the decision's record.
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
