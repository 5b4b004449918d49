//! Transfers between warehouses, at once or with approval.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use stockade::{Error, OperationKind, Request, TransferRequestId};
use utoipa::ToSchema;

use crate::call::{CallOptions, Notes};
use crate::problem::{Problem, Refusal};
use crate::routes::body::{Body, DONE, Done};
use crate::shop::Shop;

/// Units that are to go to another warehouse.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTransfer {
    from: String,
    to: String,
    product: String,
    #[schema(minimum = 1, maximum = 2147483647)]
    quantity: u32,
    /// Of a request: whether its units are held until somebody decides.
    #[serde(default)]
    hold_units: bool,
    /// Notes for the audit log.
    #[serde(default)]
    notes: Notes,
}

/// The number of a transfer request, as text.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Requested {
    #[schema(value_type = String)]
    id: TransferRequestId,
}

/// Moves available units to another warehouse, at one instant.
#[utoipa::path(post, path = "/v1/transfers", tag = "transfers", security(("token" = [])),
    params(("Idempotency-Key" = Option<String>, Header)), request_body = NewTransfer,
    responses((status = 200, body = Done), Refusal))]
pub(crate) async fn transfer(
    State(shop): State<Shop>,
    options: CallOptions,
    Body(body): Body<NewTransfer>,
) -> Result<Json<Done>, Problem> {
    if body.hold_units {
        return Err(Problem::invalid("invalid_body", "hold_units is for /v1/transfer-requests"));
    }
    let operation = |request: Request<'_>| {
        request.transfer(&*body.from, &*body.to, &*body.product, body.quantity)
    };
    shop.call(options.about(OperationKind::Transfer, None, &body.notes), operation).await?;
    Ok(DONE)
}

/// Asks for a transfer that somebody else approves.
#[utoipa::path(post, path = "/v1/transfer-requests", tag = "transfers", security(("token" = [])),
    params(("Idempotency-Key" = Option<String>, Header)), request_body = NewTransfer,
    responses((status = 201, body = Requested), Refusal))]
pub(crate) async fn request(
    State(shop): State<Shop>,
    options: CallOptions,
    Body(body): Body<NewTransfer>,
) -> Result<(StatusCode, Json<Requested>), Problem> {
    let operation = |request: Request<'_>| {
        let (from, to, product) = (&*body.from, &*body.to, &*body.product);
        match body.hold_units {
            true => request.hold_units().request_transfer(from, to, product, body.quantity),
            false => request.request_transfer(from, to, product, body.quantity),
        }
    };
    let id =
        shop.call(options.about(OperationKind::Transfer, None, &body.notes), operation).await?;
    Ok((StatusCode::CREATED, Json(Requested { id })))
}

/// The transfer requests that wait for a decision, the oldest first.
#[utoipa::path(get, path = "/v1/transfer-requests", tag = "transfers", security(("token" = [])),
    responses((status = 200, body = Vec<Object>), Refusal))]
pub(crate) async fn list(State(shop): State<Shop>) -> Json<Vec<stockade::TransferRequest>> {
    Json(shop.manager.transfer_requests())
}

fn number(text: &str) -> Result<TransferRequestId, Problem> {
    let number: Option<u64> = text.parse().ok();
    let wrong = || Problem::invalid("invalid_transfer_request", "a transfer request is a number");
    number.map(TransferRequestId::from).ok_or_else(wrong)
}

/// A transfer request, or what became of it.
#[utoipa::path(get, path = "/v1/transfer-requests/{id}", tag = "transfers", security(("token" = [])),
    params(("id" = String, Path)),
    responses((status = 200, body = Object), Refusal))]
pub(crate) async fn look(
    State(shop): State<Shop>,
    Path(id): Path<String>,
) -> Result<Json<stockade::TransferRequest>, Problem> {
    let found = shop.manager.transfer_request(number(&id)?).map_err(Error::from)?;
    Ok(Json(found))
}

/// Who decides, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Decision {
    /// Who decides, for the audit log.
    who: String,
    /// Why. A rejection needs it; an approval has none.
    reason: Option<String>,
    /// Notes for the audit log.
    #[serde(default)]
    notes: Notes,
}

/// Approves a transfer request: the units move now.
#[utoipa::path(post, path = "/v1/transfer-requests/{id}/approve", tag = "transfers", security(("token" = [])),
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)), request_body = Decision,
    responses((status = 200, body = Done), Refusal))]
pub(crate) async fn approve(
    State(shop): State<Shop>,
    Path(id): Path<String>,
    options: CallOptions,
    Body(body): Body<Decision>,
) -> Result<Json<Done>, Problem> {
    let id = number(&id)?;
    if body.reason.is_some() {
        return Err(Problem::invalid("invalid_body", "an approval has no reason; add a note"));
    }
    let operation = |request: Request<'_>| request.approve_transfer(id, &body.who);
    shop.call(options.about(OperationKind::Transfer, None, &body.notes), operation).await?;
    Ok(DONE)
}

/// Rejects a transfer request.
#[utoipa::path(post, path = "/v1/transfer-requests/{id}/reject", tag = "transfers", security(("token" = [])),
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)), request_body = Decision,
    responses((status = 200, body = Done), Refusal))]
pub(crate) async fn reject(
    State(shop): State<Shop>,
    Path(id): Path<String>,
    options: CallOptions,
    Body(body): Body<Decision>,
) -> Result<Json<Done>, Problem> {
    let id = number(&id)?;
    let Some(reason) = &body.reason else {
        return Err(Problem::invalid("invalid_body", "a rejection needs a reason"));
    };
    let operation = |request: Request<'_>| request.reject_transfer(id, &body.who, reason);
    shop.call(options.about(OperationKind::Transfer, None, &body.notes), operation).await?;
    Ok(DONE)
}
