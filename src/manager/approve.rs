//! Transfers with approval: a request, a decision, a list.

use std::sync::Arc;

use crate::audit::entry::{AdjustmentType, EventType};
use crate::clock::Timestamp;
use crate::error::{
    Applied, ApproveError, CallError, NoTransferRequest, NotOpen, PlaceError, RejectError,
    RequestTransferError, TransferFailure, Uncertain,
};
use crate::manager::InventoryManager;
use crate::manager::answer::{Answer, KeyUse};
use crate::manager::approvals::{Asked, Claim, Filed, Filing, TooManyOpen};
use crate::manager::details::Details;
use crate::manager::durability::OperationKind;
use crate::manager::engine::Engine;
use crate::manager::keyed::RequestShape;
use crate::manager::place::{LevelRef, ProductRef, WarehouseRef};
use crate::manager::recorder::Draft;
use crate::manager::request::Request;
use crate::manager::transfer::Route;
use crate::manager::transfer_request::{
    TransferDecision, TransferRequest, TransferRequestId, TransferRequestStatus as Status,
};
use crate::policy::approval::ProposedTransfer;
use crate::quantity::Quantity;
use crate::stock::level::StockLevel;

/// # Transfers that wait for approval
///
/// These calls take a lock around the open requests for the time of a look-up; no other operation
/// does. Open requests live as long as the engine, or as its journal.
impl InventoryManager {
    /// Asks for a transfer, which moves nothing until it is [approved](Self::approve).
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
    /// manager.approve(request, "mira")?;
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
        self.request().request_transfer(from, to, product, quantity)
    }

    /// Approves a requested transfer in the name of `who`, and makes it, as
    /// [`transfer`](Self::transfer) would at this moment.
    ///
    /// # Errors
    /// [`ApproveError::Failed`] if stock or room is short by now: the request has failed then, and
    /// stays so. [`NotOpen::Deciding`] while another call decides; see [`ApproveError`] for the rest.
    ///
    /// ```
    /// use stockade::{ApproveError, NotOpen, TransferFailure};
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").warehouse("NYC").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// let request = manager.request_transfer("SF", "NYC", "LAPTOP", 4)?;
    /// manager.sell(("SF", "LAPTOP"), 9)?;
    /// let short = TransferFailure::Insufficient { needed: 4, available: 1 };
    /// assert_eq!(manager.approve(request, "mira"), Err(ApproveError::Failed(short)));
    /// assert_eq!(manager.approve(request, "mira"), Err(NotOpen::Failed.into()));
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn approve(&self, id: TransferRequestId, who: &str) -> Result<(), ApproveError> {
        self.request().approve(id, who)
    }

    /// Turns a requested transfer down, in the name of `who` and for a `reason`. Units that it held
    /// are available again.
    ///
    /// # Errors
    /// [`NotOpen::Deciding`] while another call decides; see [`RejectError`] for the rest.
    ///
    /// ```
    /// # let manager = stockade::InventoryManager::builder().warehouse("SF").warehouse("NYC").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// let request = manager.request().hold_units().request_transfer("SF", "NYC", "LAPTOP", 4)?;
    /// assert_eq!(manager.available(("SF", "LAPTOP")), 6);
    /// manager.reject(request, "mira", "NYC is closing")?;
    /// assert_eq!(manager.available(("SF", "LAPTOP")), 10);
    /// # Ok::<(), stockade::Error>(())
    /// ```
    pub fn reject(
        &self,
        id: TransferRequestId,
        who: &str,
        reason: &str,
    ) -> Result<(), RejectError> {
        self.request().reject(id, who, reason)
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
    /// Holds the units of a transfer request from now until the decision: they are reserved at the
    /// source, so that an approval fails only for want of room. Other operations don't heed it.
    pub fn hold_units(mut self) -> Self {
        self.details.hold_units = true;
        self
    }

    /// As [`InventoryManager::request_transfer`](crate::InventoryManager::request_transfer), with this
    /// request's details.
    pub fn request_transfer<'w>(
        &self,
        from: impl Into<WarehouseRef<'w>>,
        to: impl Into<WarehouseRef<'w>>,
        product: impl Into<ProductRef<'w>>,
        quantity: u32,
    ) -> Result<TransferRequestId, RequestTransferError> {
        let (from, to, product) = (from.into(), to.into(), product.into());
        self.engine.request_transfer(&self.details, from, to, product, quantity)
    }

    /// As [`InventoryManager::approve`](crate::InventoryManager::approve), with this request's details.
    pub fn approve(&self, id: TransferRequestId, who: &str) -> Result<(), ApproveError> {
        self.engine.approve(&self.details, id, who)
    }

    /// As [`InventoryManager::reject`](crate::InventoryManager::reject), with this request's details.
    pub fn reject(
        &self,
        id: TransferRequestId,
        who: &str,
        reason: &str,
    ) -> Result<(), RejectError> {
        self.engine.reject(&self.details, id, who, reason)
    }
}

/// A decision on its way into the record.
struct Verdict<'a> {
    id: TransferRequestId,
    status: Status,
    by: &'a str,
    at: Timestamp,
    reason: Option<&'a str>,
}

impl Engine {
    fn request_transfer(
        &self,
        details: &Details,
        from: WarehouseRef<'_>,
        to: WarehouseRef<'_>,
        product: ProductRef<'_>,
        quantity: u32,
    ) -> Result<TransferRequestId, RequestTransferError> {
        let qty = Quantity::new(quantity)?;
        let (source, target) = (self.warehouse(from)?, self.warehouse(to)?);
        if source.id() == target.id() {
            return Err(RequestTransferError::SameWarehouse);
        }
        if let ProductRef::Name(name) = product {
            self.check_name(name)?;
        }
        let held = details.hold_units;
        let shape = || {
            let shape = RequestShape::new("request-transfer").warehouse(from).warehouse(to);
            shape.product(product).units(qty).count(usize::from(held))
        };
        self.keyed(OperationKind::Transfer, details, shape, |key| {
            self.admit()?;
            if held {
                self.check_open(source)
                    .map_err(|warehouse| RequestTransferError::Suspended { warehouse })?;
            }
            let handle = self.level_in(source.id(), product)?.ok_or_else(|| {
                let warehouse = source.name().to_owned();
                PlaceError::NotStockedHere { warehouse, product: self.name_of(product) }
            })?;
            let (level, _) = self.level_and_warehouse(handle)?;
            let (_, name) = self.names_of(handle);
            // The caller's own code: asked before anything is taken.
            let proposed =
                ProposedTransfer::new(source.shared_name(), target.shared_name(), name, quantity);
            let approved = self.approvals.policy.approves(&proposed);
            let asked = Asked {
                from: handle,
                source: source.id(),
                target: target.id(),
                qty,
                held,
                at: self.now(),
            };
            let filing = self
                .approvals
                .file(asked)
                .map_err(|TooManyOpen { most }| RequestTransferError::TooManyOpen { most })?;
            let id = self.record_request(details, key, filing, &asked, level)?;
            if approved {
                self.approve_by_policy(id)?;
            }
            Ok(id)
        })
    }

    /// Takes what is to be held, queues the request's record, and gives its number out: in this order
    /// (Law 2).
    fn record_request(
        &self,
        details: &Details,
        key: Option<KeyUse<'_>>,
        filing: Filing<'_>,
        asked: &Asked,
        level: &StockLevel,
    ) -> Result<TransferRequestId, RequestTransferError> {
        let &Asked { from, qty, held, at, .. } = asked;
        let draft = self
            .request_draft(asked, AdjustmentType::Reserved, EventType::TransferRequested)
            .at(at)
            .text("transferRequestId", &filing.id().to_string())
            .details(details)
            .key(key, filing.id());
        if held {
            let change = self
                .with_overdue_taken_back(at, level, qty, || level.hold(qty, self))
                .map_err(|short| RequestTransferError::Insufficient {
                    needed: qty.get(),
                    available: short.available,
                    overdue_left: short.overdue_left,
                })?;
            if level.crosses(change) {
                self.raise_alert(from, level);
            }
        }
        let recorded = draft.queue();
        let id = filing.publish();
        recorded?;
        Ok(id)
    }

    /// The record of a step on a request: what moves if it holds units, and the event.
    fn request_draft(
        &self,
        asked: &Asked,
        movement: AdjustmentType,
        event: EventType,
    ) -> Draft<'_> {
        let &Asked { from, target, qty, held, .. } = asked;
        let draft = if held {
            self.recorder.movement(movement, from, qty)
        } else {
            self.recorder.event(event)
        };
        draft.and_event(event, from, qty, target)
    }

    /// Applies a request that the policy approves. Whether that went well is its status' to say: the
    /// request is made either way.
    fn approve_by_policy(&self, id: TransferRequestId) -> Result<(), Uncertain> {
        let applied = self
            .admit()
            .map_err(ApproveError::from)
            .and_then(|()| Ok(self.approvals.claim(id)?))
            .and_then(|claim| {
                self.apply(&Details::default(), None, claim, self.approvals.policy.name())
            });
        match applied {
            Err(ApproveError::Call(CallError::Uncertain(cause))) => Err(cause),
            _ => Ok(()),
        }
    }

    fn approve(
        &self,
        details: &Details,
        id: TransferRequestId,
        who: &str,
    ) -> Result<(), ApproveError> {
        self.check_name(who)?;
        let shape = || RequestShape::new("approve").text(&id.to_string()).text(who);
        let made = self.keyed(OperationKind::Transfer, details, shape, |key| {
            self.admit()?;
            self.apply(details, key, self.approvals.claim(id)?, who)
        })?;
        made.map_err(ApproveError::Failed)
    }

    /// Makes the transfer that `claim` is about, if it can be made now; a request whose transfer can't be
    /// made has failed.
    fn apply(
        &self,
        details: &Details,
        key: Option<KeyUse<'_>>,
        claim: Claim<'_>,
        who: &str,
    ) -> Result<Result<(), TransferFailure>, ApproveError> {
        let &Asked { from, source, target, qty, held, .. } = claim.asked();
        let level = self.catalog.level(from);
        let places = self.catalog.warehouse(source).zip(self.catalog.warehouse(target));
        // They were looked up when the request was made, and last as long as the engine.
        let (Some(level), Some((source_place, target_place))) = (level, places) else {
            return Err(NotOpen::Unknown.into());
        };
        for warehouse in [source_place, target_place] {
            self.check_open(warehouse)
                .map_err(|warehouse| ApproveError::Suspended { warehouse })?;
        }
        let verdict = Verdict {
            id: claim.id(),
            status: Status::Approved,
            by: who,
            at: self.now(),
            reason: None,
        };
        let looked = self.look_before_moving(level, target_place, qty, held);
        let moved = looked.map_err(ApproveError::from).and_then(|()| {
            let (_, product) = self.names_of(from);
            let to = self.resolve_or_open(LevelRef::Names(target_place.name(), &product))?;
            let route = Route { from, to, source, target, qty, held };
            let moved = self.move_units(&route, verdict.at, |draft| {
                let draft = draft.and_event(EventType::TransferDecided, from, qty, target);
                verdict.note_in(draft).details(details).key(key, Ok(()))
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
        let answer = Err(failure);
        self.turn_down(details, key, claim, &verdict, answer.into(), Some(failure))?;
        Ok(answer)
    }

    fn reject(
        &self,
        details: &Details,
        id: TransferRequestId,
        who: &str,
        reason: &str,
    ) -> Result<(), RejectError> {
        self.check_name(who)?;
        let shape = || RequestShape::new("reject").text(&id.to_string()).text(who).text(reason);
        self.keyed(OperationKind::Transfer, details, shape, |key| {
            self.admit()?;
            let claim = self.approvals.claim(id)?;
            let status = Status::Rejected;
            let verdict = Verdict { id, status, by: who, at: self.now(), reason: Some(reason) };
            Ok(self.turn_down(details, key, claim, &verdict, ().into(), None)?)
        })
    }

    /// Records a decision by which nothing is transferred, and gives back what was held.
    fn turn_down(
        &self,
        details: &Details,
        key: Option<KeyUse<'_>>,
        claim: Claim<'_>,
        verdict: &Verdict<'_>,
        answer: Answer,
        failure: Option<TransferFailure>,
    ) -> Result<(), Uncertain> {
        let &Asked { from, qty, held, .. } = claim.asked();
        let draft =
            self.request_draft(claim.asked(), AdjustmentType::Returned, EventType::TransferDecided);
        let draft = verdict.note_in(draft.at(verdict.at));
        let draft = match failure {
            Some(TransferFailure::Insufficient { available, .. }) => {
                draft.text("available", &available.to_string())
            }
            Some(TransferFailure::OverCapacity { room, .. }) => {
                draft.text("room", &room.to_string())
            }
            None => draft,
        };
        let draft = draft.details(details).key(key, answer);
        // Law 2: queued before the credit shows.
        let recorded = draft.queue();
        if held && let Some(level) = self.catalog.level(from) {
            level.give_back(qty, self);
        }
        claim.decide(verdict.status, verdict.decision(failure));
        recorded
    }

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
    fn note_in<'d>(&self, draft: Draft<'d>) -> Draft<'d> {
        let draft = draft
            .text("transferRequestId", &self.id.to_string())
            .text("outcome", self.status.name())
            .text("decidedBy", self.by)
            .text("decidedAt", &self.at.as_millis().to_string());
        match self.reason {
            Some(reason) => draft.text("reason", reason),
            None => draft,
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
