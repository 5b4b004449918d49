//! Limits per customer.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use stockade::{Error, LimitRule, LimitUsage};
use utoipa::ToSchema;

use crate::problem::{Problem, Refusal};
use crate::routes::body::{Body, DONE, Done};
use crate::shop::Shop;

/// The limits in force.
#[utoipa::path(get, path = "/v1/limits", tag = "limits", security(("token" = [])),
    responses((status = 200, body = Vec<Object>), Refusal))]
pub(crate) async fn list(State(shop): State<Shop>) -> Json<Vec<LimitRule>> {
    Json(shop.manager.limits())
}

/// Defines a limit: `name`, `kind` (or `by_level`), `maximum`, and what `docs/limits.md` lists. A
/// limit of the same name that counts the same gets the new maximum.
#[utoipa::path(put, path = "/v1/limits", tag = "limits", security(("token" = [])), request_body = Object,
    responses((status = 200, body = Done), Refusal))]
pub(crate) async fn define(
    State(shop): State<Shop>,
    Body(rule): Body<LimitRule>,
) -> Result<Json<Done>, Problem> {
    // It is a setting, and may wait for the disk if the engine is set so.
    shop.apart(move |manager| manager.define_limit(rule)).await?.map_err(Error::from)?;
    Ok(DONE)
}

/// Drops a limit.
#[utoipa::path(delete, path = "/v1/limits/{name}", tag = "limits", security(("token" = [])),
    params(("name" = String, Path)),
    responses((status = 200, body = Done), Refusal))]
pub(crate) async fn drop_one(
    State(shop): State<Shop>,
    Path(name): Path<String>,
) -> Result<Json<Done>, Problem> {
    shop.apart(move |manager| manager.drop_limit(&name)).await?.map_err(Error::from)?;
    Ok(DONE)
}

/// What a customer has drawn under a limit.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsageBody {
    used: u32,
    maximum: u32,
    /// What may still be drawn.
    left: u32,
    /// `units` or `reservations`.
    #[schema(value_type = String)]
    unit: stockade::LimitUnit,
}

impl From<LimitUsage> for UsageBody {
    fn from(usage: LimitUsage) -> Self {
        let LimitUsage { used, maximum, unit, .. } = usage;
        Self { used, maximum, left: usage.left(), unit }
    }
}

/// What a subject has drawn under a limit.
#[utoipa::path(get, path = "/v1/limits/{name}/usage/{subject}", tag = "customers", security(("token" = [])),
    params(("name" = String, Path), ("subject" = String, Path)),
    responses((status = 200, body = UsageBody), Refusal))]
pub(crate) async fn usage(
    State(shop): State<Shop>,
    Path((name, subject)): Path<(String, String)>,
) -> Result<Json<UsageBody>, Problem> {
    Ok(Json(shop.manager.usage(&name, subject).map_err(Error::from)?.into()))
}
