//! Holds, baskets and sales.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use stockade::{
    BasketError, ConfirmOrRetake, Error, HoldRequest, OperationKind, Owner, Release, Request,
    ReservationId, ReservationStatus, SaleRequest, Timestamp,
};
use utoipa::ToSchema;

use crate::auth::tokens::Role;
use crate::call::{CallOptions, Notes};
use crate::problem::{Problem, Refusal};
use crate::routes::body::{Body, Line, Lines, Made, ReservationBody, basket, millis, parsed};
use crate::shop::Shop;

/// For whom a hold or a sale is, and what it may do.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Buyer {
    /// A UUID of the caller's: the buyer.
    owner: Option<String>,
    /// Whom limits count: an id for each kind, `{"customer": "ann"}`.
    #[serde(default)]
    subjects: BTreeMap<String, String>,
    /// Limits that the call may pass, and why. Needs the role `operate`.
    #[serde(default)]
    pass_limits: BTreeMap<String, String>,
    /// Why the call may take units that are kept back. Needs the role `operate`.
    pass_safety_stock: Option<String>,
    /// Whether the record stays readable until all is shipped.
    #[serde(default)]
    keep_until_shipped: bool,
}

impl Buyer {
    /// Whether the caller may ask for all this. Returns the owner, who is read from text.
    fn checked(&self, options: &CallOptions) -> Result<Option<Owner>, Problem> {
        let passes = !self.pass_limits.is_empty() || self.pass_safety_stock.is_some();
        if passes && !options.caller.role.includes(Role::Operate) {
            let detail = "to pass a limit or the safety stock needs the role operate";
            return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
        }
        self.owner.as_deref().map(parsed).transpose()
    }

    /// Adds all this to a request that was checked.
    fn of<'a>(&self, request: Request<'a>, owner: Option<Owner>) -> HoldRequest<'a> {
        let mut hold = HoldRequest::from(request);
        if let Some(owner) = owner {
            hold = hold.owner(owner);
        }
        for (kind, id) in &self.subjects {
            hold = hold.subject(kind, id);
        }
        for (limit, reason) in &self.pass_limits {
            hold = hold.pass_limit(limit, reason);
        }
        if let Some(reason) = &self.pass_safety_stock {
            hold = hold.pass_safety_stock(reason);
        }
        if self.keep_until_shipped { hold.keep_until_shipped() } else { hold }
    }
}

/// Units to hold.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewHold {
    /// One line, or a basket: all of it or nothing.
    lines: Vec<Line>,
    /// How long the units are held, in milliseconds.
    #[schema(minimum = 1)]
    ttl_ms: u64,
    #[serde(default)]
    buyer: Buyer,
    /// Notes for the audit log.
    #[serde(default)]
    notes: Notes,
}

/// Holds units for a time.
#[utoipa::path(post, path = "/v1/holds", tag = "holds", security(("token" = [])),
    params(("Idempotency-Key" = Option<String>, Header)), request_body = NewHold,
    responses((status = 201, body = Made), Refusal))]
pub(crate) async fn hold(
    State(shop): State<Shop>,
    options: CallOptions,
    Body(body): Body<NewHold>,
) -> Result<(StatusCode, Json<Made>), Problem> {
    let ttl = millis(body.ttl_ms);
    let owner = body.buyer.checked(&options)?;
    let id = match &*body.lines {
        [line] => {
            let place = (&*line.warehouse, &*line.product);
            let operation = |request: Request<'_>| {
                body.buyer.of(request, owner).reserve(place, line.quantity, ttl)
            };
            shop.call(options.about(OperationKind::Reserve, None, &body.notes), operation).await?
        }
        lines => {
            let lines = basket(lines);
            let operation = |request: Request<'_>| -> Result<ReservationId, BasketError> {
                body.buyer.of(request, owner).reserve_basket(&lines, ttl)
            };
            shop.call(options.about(OperationKind::Reserve, None, &body.notes), operation).await?
        }
    };
    Ok((StatusCode::CREATED, Json(Made { id })))
}

/// Units to sell at once.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSale {
    line: Line,
    #[serde(default)]
    buyer: Buyer,
    /// Notes for the audit log.
    #[serde(default)]
    notes: Notes,
}

/// Holds and sells units in one call.
#[utoipa::path(post, path = "/v1/sales", tag = "holds", security(("token" = [])),
    params(("Idempotency-Key" = Option<String>, Header)), request_body = NewSale,
    responses((status = 201, body = Made), Refusal))]
pub(crate) async fn sell(
    State(shop): State<Shop>,
    options: CallOptions,
    Body(body): Body<NewSale>,
) -> Result<(StatusCode, Json<Made>), Problem> {
    let owner = body.buyer.checked(&options)?;
    let place = (&*body.line.warehouse, &*body.line.product);
    let operation =
        |request: Request<'_>| body.buyer.of(request, owner).sell(place, body.line.quantity);
    let id = shop.call(options.about(OperationKind::Sell, None, &body.notes), operation).await?;
    Ok((StatusCode::CREATED, Json(Made { id })))
}

/// A hold, or what became of it. One that ended long ago is `hold_forgotten`: ask the audit log.
#[utoipa::path(get, path = "/v1/holds/{id}", tag = "holds", security(("token" = [])),
    params(("id" = String, Path)),
    responses((status = 200, body = ReservationBody), Refusal))]
pub(crate) async fn look(
    State(shop): State<Shop>,
    Path(id): Path<String>,
) -> Result<Json<ReservationBody>, Problem> {
    let id = parsed::<ReservationId>(&id)?;
    // What memory no longer has may be read from the disk.
    let found = shop.apart(move |manager| manager.reservation(id)).await?;
    Ok(Json(found.map_err(Error::from)?.into()))
}

/// How a hold is sold.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Confirmation {
    /// If the hold has ended unsold, sell the same lines anew, once: for a payment that comes late.
    #[serde(default)]
    or_retake: bool,
    /// Sell these lines only. The hold keeps the rest.
    #[serde(default)]
    lines: Vec<Line>,
    /// With `lines`: give the rest back.
    #[serde(default)]
    release_rest: bool,
    /// Whom limits that are asked at the sale count.
    #[serde(default)]
    subjects: BTreeMap<String, String>,
    /// Notes for the audit log.
    #[serde(default)]
    notes: Notes,
}

/// What became of a hold that was to be sold.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Confirmed {
    /// `confirmed`; or `pending`, if only some lines were.
    #[schema(value_type = String)]
    status: ReservationStatus,
    /// The new reservation that sold the lines of one that had ended.
    #[schema(value_type = Option<String>, format = "uuid")]
    retaken: Option<ReservationId>,
}

/// Sells a hold. Send it with an `Idempotency-Key`.
#[utoipa::path(post, path = "/v1/holds/{id}/confirm", tag = "holds", security(("token" = [])),
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)), request_body = Confirmation,
    responses((status = 200, body = Confirmed), Refusal))]
pub(crate) async fn confirm(
    State(shop): State<Shop>,
    Path(id): Path<String>,
    options: CallOptions,
    Body(body): Body<Confirmation>,
) -> Result<Json<Confirmed>, Problem> {
    let id = parsed::<ReservationId>(&id)?;
    if body.release_rest && body.lines.is_empty() {
        return Err(Problem::invalid("invalid_body", "release_rest needs lines"));
    }
    let subjects = &body.subjects;
    let (kind, notes) = (OperationKind::Sell, &body.notes);
    let lines = basket(&body.lines);
    let confirmed = ReservationStatus::Confirmed;
    let (status, retaken) = match (body.or_retake, &*lines) {
        (false, []) => {
            shop.call(options.about(kind, Some(id), notes), |it: Request<'_>| {
                sale_of(it, subjects).confirm(id)
            })
            .await?;
            (confirmed, None)
        }
        (false, lines) => {
            let partly = |it: Request<'_>| match body.release_rest {
                true => sale_of(it, subjects).confirm_lines_and_release_rest(id, lines),
                false => sale_of(it, subjects).confirm_lines(id, lines),
            };
            (shop.call(options.about(kind, Some(id), notes), partly).await?, None)
        }
        (true, []) => {
            let done = shop.call(options.about(kind, Some(id), notes), |it: Request<'_>| {
                sale_of(it, subjects).confirm_or_retake(id)
            });
            (confirmed, retaken_by(done.await?))
        }
        (true, _) if body.release_rest => {
            let detail = "a retake sells all lines of the hold: it has no rest";
            return Err(Problem::invalid("invalid_body", detail));
        }
        (true, lines) => {
            let retake = |it: Request<'_>| sale_of(it, subjects).confirm_or_retake_lines(id, lines);
            (confirmed, retaken_by(shop.call(options.about(kind, Some(id), notes), retake).await?))
        }
    };
    Ok(Json(Confirmed { status, retaken }))
}

fn sale_of<'a>(request: Request<'a>, subjects: &BTreeMap<String, String>) -> SaleRequest<'a> {
    let named = subjects.iter();
    named.fold(SaleRequest::from(request), |sale, (kind, id)| sale.subject(kind, id))
}

fn retaken_by(done: ConfirmOrRetake) -> Option<ReservationId> {
    match done {
        ConfirmOrRetake::Retaken(id) => Some(id),
        _ => None,
    }
}

/// How a hold is given back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReleaseBody {
    /// Give these lines back only.
    #[serde(default)]
    lines: Vec<Line>,
    /// Notes for the audit log.
    #[serde(default)]
    notes: Notes,
}

/// What became of a hold that was to be given back.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Released {
    /// `released`, `already_released`, `expired` and others: a repeat is no error. With figures, a
    /// map of one entry: `{"partly_sold": {"sold": 1, "returned": 2}}`.
    #[schema(value_type = Object)]
    outcome: Option<Release>,
    /// With `lines`: the hold's status now.
    #[schema(value_type = Option<String>)]
    status: Option<ReservationStatus>,
}

/// Gives a hold back.
#[utoipa::path(post, path = "/v1/holds/{id}/release", tag = "holds", security(("token" = [])),
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)), request_body = ReleaseBody,
    responses((status = 200, body = Released), Refusal))]
pub(crate) async fn release(
    State(shop): State<Shop>,
    Path(id): Path<String>,
    options: CallOptions,
    Body(body): Body<ReleaseBody>,
) -> Result<Json<Released>, Problem> {
    let id = parsed::<ReservationId>(&id)?;
    let (kind, notes) = (OperationKind::Release, &body.notes);
    let lines = basket(&body.lines);
    let (outcome, status) = if lines.is_empty() {
        let done =
            shop.call(options.about(kind, Some(id), notes), |it: Request<'_>| it.release(id));
        (Some(done.await?), None)
    } else {
        let partly = |it: Request<'_>| it.release_lines(id, &lines);
        (None, Some(shop.call(options.about(kind, Some(id), notes), partly).await?))
    };
    Ok(Json(Released { outcome, status }))
}

/// A longer time.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Extension {
    /// How long the hold is to live from now, in milliseconds.
    #[schema(minimum = 1)]
    ttl_ms: u64,
    /// Notes for the audit log.
    #[serde(default)]
    notes: Notes,
}

/// When a hold ends now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Extended {
    #[schema(value_type = u64)]
    expires_at: Timestamp,
}

/// Prolongs a hold.
#[utoipa::path(post, path = "/v1/holds/{id}/extend", tag = "holds", security(("token" = [])),
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)), request_body = Extension,
    responses((status = 200, body = Extended), Refusal))]
pub(crate) async fn extend(
    State(shop): State<Shop>,
    Path(id): Path<String>,
    options: CallOptions,
    Body(body): Body<Extension>,
) -> Result<Json<Extended>, Problem> {
    let id = parsed::<ReservationId>(&id)?;
    let operation = |request: Request<'_>| request.extend(id, millis(body.ttl_ms));
    let call = shop.call(options.about(OperationKind::Extend, Some(id), &body.notes), operation);
    Ok(Json(Extended { expires_at: call.await? }))
}

/// Lines that the reservation sold leave the building.
#[utoipa::path(post, path = "/v1/holds/{id}/ship", tag = "holds", security(("token" = [])),
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)), request_body = Lines,
    responses((status = 200, body = crate::routes::body::Done), Refusal))]
pub(crate) async fn ship(
    State(shop): State<Shop>,
    Path(id): Path<String>,
    options: CallOptions,
    Body(body): Body<Lines>,
) -> Result<Json<crate::routes::body::Done>, Problem> {
    let (id, lines) = (parsed::<ReservationId>(&id)?, basket(&body.lines));
    let operation = |request: Request<'_>| request.ship_lines(id, &lines);
    shop.call(options.about(OperationKind::Ship, Some(id), &body.notes), operation).await?;
    Ok(crate::routes::body::DONE)
}

/// Sold lines that become available again, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CancelledLines {
    lines: Vec<Line>,
    /// Why, for the audit log.
    reason: String,
    /// Notes for the audit log.
    #[serde(default)]
    notes: Notes,
}

/// Lines that the reservation sold become available again.
#[utoipa::path(post, path = "/v1/holds/{id}/cancel-sale", tag = "holds", security(("token" = [])),
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)), request_body = CancelledLines,
    responses((status = 200, body = crate::routes::body::Done), Refusal))]
pub(crate) async fn cancel_sale(
    State(shop): State<Shop>,
    Path(id): Path<String>,
    options: CallOptions,
    Body(body): Body<CancelledLines>,
) -> Result<Json<crate::routes::body::Done>, Problem> {
    let (id, lines) = (parsed::<ReservationId>(&id)?, basket(&body.lines));
    let operation = |request: Request<'_>| request.cancel_sale_lines(id, &lines, &body.reason);
    shop.call(options.about(OperationKind::CancelSale, Some(id), &body.notes), operation).await?;
    Ok(crate::routes::body::DONE)
}

fn listed(holds: Vec<stockade::Reservation>) -> Json<Vec<ReservationBody>> {
    Json(holds.into_iter().map(ReservationBody::from).collect())
}

/// The live holds of an owner. One such read is made at a time.
#[utoipa::path(get, path = "/v1/owners/{owner}/holds", tag = "customers", security(("token" = [])),
    params(("owner" = String, Path)),
    responses((status = 200, body = Vec<ReservationBody>), Refusal))]
pub(crate) async fn of_owner(
    State(shop): State<Shop>,
    Path(owner): Path<String>,
) -> Result<Json<Vec<ReservationBody>>, Problem> {
    let owner = parsed::<Owner>(&owner)?;
    shop.alone(move |manager| manager.holds_of(owner)).await.map(listed)
}

/// The live holds of a subject of limits. One such read is made at a time.
#[utoipa::path(get, path = "/v1/subjects/{kind}/{id}/holds", tag = "customers", security(("token" = [])),
    params(("kind" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = Vec<ReservationBody>), Refusal))]
pub(crate) async fn of_subject(
    State(shop): State<Shop>,
    Path((kind, id)): Path<(String, String)>,
) -> Result<Json<Vec<ReservationBody>>, Problem> {
    shop.alone(move |manager| manager.holds_of_subject(&kind, id)).await.map(listed)
}
