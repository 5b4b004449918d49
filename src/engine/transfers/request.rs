//! Transfer requests: making them, and listing the open ones.

use crate::audit::entry::{AdjustmentType, EventType};
use crate::audit::record_builder::RecordBuilder;
use crate::base::error::{NoTransferRequest, PlaceError, RequestTransferError};
use crate::base::quantity::Quantity;
use crate::engine::call::Call;
use crate::engine::durability::OperationKind;
use crate::engine::place::{OwnProduct, ProductRef, WarehouseRef, check_name};
use crate::engine::request::{Request, TransferRequestBuilder};
use crate::engine::request_shape::RequestShape;
use crate::engine::transfer_request::{
    TransferRequest, TransferRequestId, TransferRequestStatus as Status,
};
use crate::engine::transfers::book::{
    FiledRequest, RequestedMove, TooManyOpen, UnpublishedRequest,
};
use crate::engine::{Engine, InventoryManager};
use crate::policy::approval::ProposedTransfer;
use crate::stock::level::StockLevel;

/// # Transfers that wait for approval
///
/// These calls lock the list of requests for the time of a look-up; no other operation takes that
/// lock. Open requests live as long as the engine, or with a journal, as long as the journal.
impl InventoryManager {
    /// Requests a transfer. It moves nothing until it is [approved](Self::approve_transfer).
    ///
    /// If the engine's [`ApprovalPolicy`](crate::ApprovalPolicy) approves the request, the transfer
    /// is made at once, and the request's status says whether it succeeded. If it cannot be made at
    /// that moment (a suspended warehouse, a full queue), the request stays pending. With
    /// [`hold_units`](crate::Request::hold_units) the units are held until the decision.
    ///
    /// # Errors
    /// [`RequestTransferError::TooManyOpen`] if the limit of open requests is reached. See
    /// [`RequestTransferError`] for the rest. No request was made, unless the error is uncertain.
    ///
    /// ```
    /// use stockade::TransferRequestStatus;
    /// # let builder = stockade::InventoryManager::builder();
    /// # let manager = builder.warehouse("SF").warehouse("NYC").build()?;
    /// manager.add_stock(("SF", "LAPTOP"), 10, "SUPPLIER")?;
    /// let request = manager.request_transfer("SF", "NYC", "LAPTOP", 4)?;
    /// assert_eq!(manager.available(("NYC", "LAPTOP"))?, 0);
    /// manager.approve_transfer(request, "mira")?;
    /// assert_eq!(manager.available(("NYC", "LAPTOP"))?, 4);
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
        self.call().request_transfer(TransferArguments { from, to, product, quantity, held: false })
    }

    /// The open transfer requests, the oldest first.
    pub fn transfer_requests(&self) -> Vec<TransferRequest> {
        let open = self.engine.approvals.open();
        // A request that was decided since then no longer belongs in this list.
        let views = open.iter().filter_map(|filed| self.engine.transfer_request_view(filed));
        views.filter(|view| view.status == Status::PendingApproval).collect()
    }

    /// A transfer request: an open one, or one of the newest 1,000 decided ones.
    ///
    /// # Errors
    /// [`NoTransferRequest`] says whether the record was dropped or the request never existed.
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
    /// With a key, the look-up [may read the disk](Self::key).
    pub fn request_transfer<'w>(
        &self,
        from: impl Into<WarehouseRef<'w>>,
        to: impl Into<WarehouseRef<'w>>,
        product: impl Into<ProductRef<'w>>,
        quantity: u32,
    ) -> Result<TransferRequestId, RequestTransferError> {
        let (from, to, product) = (from.into(), to.into(), product.into());
        self.call().request_transfer(TransferArguments { from, to, product, quantity, held: false })
    }
}

impl TransferRequestBuilder<'_> {
    /// As [`InventoryManager::request_transfer`], with this request's options. The units are held
    /// until the decision. With a key, the look-up [may read the disk](Self::key).
    pub fn request_transfer<'w>(
        &self,
        from: impl Into<WarehouseRef<'w>>,
        to: impl Into<WarehouseRef<'w>>,
        product: impl Into<ProductRef<'w>>,
        quantity: u32,
    ) -> Result<TransferRequestId, RequestTransferError> {
        let (from, to, product) = (from.into(), to.into(), product.into());
        self.call().request_transfer(TransferArguments { from, to, product, quantity, held: true })
    }
}

/// The arguments of a transfer request.
#[derive(Clone, Copy)]
struct TransferArguments<'w> {
    from: WarehouseRef<'w>,
    to: WarehouseRef<'w>,
    product: ProductRef<'w>,
    quantity: u32,
    /// Whether to hold the units until the decision.
    held: bool,
}

impl Call<'_> {
    fn request_transfer(
        self,
        arguments: TransferArguments<'_>,
    ) -> Result<TransferRequestId, RequestTransferError> {
        let engine = self.engine;
        let TransferArguments { from, to, product, quantity, held } = arguments;
        let qty = Quantity::new(quantity)?;
        let (source, from) = engine.own_warehouse(from)?;
        let (target, to) = engine.own_warehouse(to)?;
        if source.index() == target.index() {
            return Err(RequestTransferError::SameWarehouse);
        }
        product.check_name()?;
        let product = engine.own_product(product)?;
        let shape = |it: &mut RequestShape| {
            it.named("request-transfer").warehouse(from).warehouse(to);
            it.product(product).units(qty).count(usize::from(held));
        };
        self.keyed(OperationKind::Transfer, shape, |call| {
            engine.admit()?;
            if held {
                engine
                    .check_open(source)
                    .map_err(|warehouse| RequestTransferError::Suspended { warehouse })?;
            }
            let handle = engine.level_in(source.index(), product)?.ok_or_else(|| {
                let warehouse = source.name().to_owned();
                PlaceError::NotStockedHere { warehouse, product: engine.name_of(product) }
            })?;
            let (level, _) = engine.level_and_warehouse(handle)?;
            let (_, name) = engine.names_of(handle);
            // This calls the user's code, the policy and the clock, so it runs before anything is
            // taken or recorded. If it panics, nothing has happened, and the key is free.
            let proposed =
                ProposedTransfer::new(source.shared_name(), target.shared_name(), name, quantity);
            let policy = &engine.approvals.policy;
            let approver = policy.approves(&proposed).then(|| policy.name().to_owned());
            if let Some(name) = &approver {
                check_name(name)?;
            }
            let asked = RequestedMove {
                from: handle,
                source: source.index(),
                target: target.index(),
                qty,
                held,
                at: call.timed().now(),
            };
            let filing = engine
                .approvals
                .file(asked)
                .map_err(|TooManyOpen { most }| RequestTransferError::TooManyOpen { most })?;
            let id = call.record_request(filing, &asked, level)?;
            if let Some(name) = approver {
                engine.approve_by_policy(id, &name, asked.at)?;
            }
            Ok(id)
        })
    }

    /// Takes the units to hold, queues the request's record, and then publishes its number, in this
    /// order (Law 2).
    fn record_request(
        self,
        filing: UnpublishedRequest<'_>,
        asked: &RequestedMove,
        level: &StockLevel,
    ) -> Result<TransferRequestId, RequestTransferError> {
        let engine = self.engine;
        let &RequestedMove { from, qty, held, at, .. } = asked;
        let record = engine
            .request_record(asked, AdjustmentType::Reserved, EventType::TransferRequested)
            .at(at)
            .text("transferRequestId", &filing.id().to_string())
            .of_call(self, filing.id());
        if held {
            let change = engine
                .with_overdue_taken_back(at, level, qty, || level.hold(qty, 0, engine))
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
    /// The record of a step of a request: the movement, if it holds units, and then the event.
    pub(in crate::engine) fn request_record(
        &self,
        asked: &RequestedMove,
        movement: AdjustmentType,
        event: EventType,
    ) -> RecordBuilder<'_> {
        let &RequestedMove { from, target, qty, held, .. } = asked;
        let record = if held {
            self.recorder.movement(movement, from, qty)
        } else {
            self.recorder.event(event)
        };
        record.and_event(event, from, qty, target)
    }

    /// A product's name for an error message; `?` if the index is unknown.
    fn name_of(&self, product: OwnProduct<'_>) -> String {
        match product {
            OwnProduct::Name(name) => name.to_owned(),
            OwnProduct::Index(id) => {
                self.catalog.product_name(id).as_deref().unwrap_or("?").to_owned()
            }
        }
    }

    fn transfer_request_view(&self, filed: &FiledRequest) -> Option<TransferRequest> {
        let (status, decision) = filed.status()?;
        let &RequestedMove { from, target, qty, held, at, .. } = &filed.asked;
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
