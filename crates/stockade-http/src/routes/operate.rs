//! Looking after the service: health, figures, proofs, erasure.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stockade::{Error, Health, LevelRef, Stats};
use utoipa::ToSchema;

use crate::problem::{Problem, Refusal};
use crate::routes::body::Body;
use crate::shop::Shop;

/// The process answers.
#[utoipa::path(get, path = "/health", tag = "health", responses((status = 200, body = Object)))]
pub(crate) async fn health() -> Json<Value> {
    Json(json!({ "status": "alive" }))
}

/// Whether the engine takes calls: 200 if it does, 503 if not. Only the state is told here; the
/// reason is in the service's log.
#[utoipa::path(get, path = "/ready", tag = "health",
    responses((status = 200, body = Object), (status = 503, body = Object)))]
pub(crate) async fn ready(State(shop): State<Shop>) -> Result<(StatusCode, Json<Value>), Problem> {
    // It asks the operating system about the journal's disk.
    let (status, state) = match shop.apart(|manager| manager.health()).await? {
        Health::Ok => (StatusCode::OK, "ok"),
        Health::Degraded { .. } => (StatusCode::OK, "degraded"),
        Health::Stopped { .. } => (StatusCode::SERVICE_UNAVAILABLE, "stopped"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "poisoned"),
    };
    Ok((status, Json(json!({ "status": state }))))
}

/// Figures of the engine.
#[utoipa::path(get, path = "/v1/stats", tag = "health", security(("token" = [])),
    responses((status = 200, body = Object), Refusal))]
pub(crate) async fn stats(State(shop): State<Shop>) -> Json<Stats> {
    Json(shop.manager.stats())
}

/// All figures of the process, as Prometheus reads them.
#[utoipa::path(get, path = "/metrics", tag = "health", security(("token" = [])),
    responses((status = 200, content_type = "text/plain", body = String), Refusal))]
pub(crate) async fn metrics(State(shop): State<Shop>) -> Result<impl IntoResponse, Problem> {
    let Some(handle) = shop.metrics.clone() else {
        let detail = "this service was started without a recorder";
        return Err(Problem::new(StatusCode::NOT_FOUND, "no_metrics", detail));
    };
    // It asks about the journal's disk.
    let text = shop.apart(move |manager| {
        manager.publish_metrics();
        handle.run_upkeep();
        handle.render()
    });
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(CONTENT_TYPE, kind)], text.await?))
}

/// Which levels.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Levels {
    /// Pairs of a warehouse and a product.
    levels: Vec<(String, String)>,
}

/// A level of a snapshot.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SnapshotRow {
    available: u32,
    reserved: u32,
}

/// Several levels at one instant, in the order asked. One such read is made at a time.
#[utoipa::path(post, path = "/v1/snapshot", tag = "operate", security(("token" = [])), request_body = Levels,
    responses((status = 200, body = Vec<SnapshotRow>), Refusal))]
pub(crate) async fn snapshot(
    State(shop): State<Shop>,
    Body(body): Body<Levels>,
) -> Result<Json<Vec<SnapshotRow>>, Problem> {
    let taken = shop.alone(move |manager| {
        let levels = body
            .levels
            .iter()
            .map(|(warehouse, product)| LevelRef::from((&**warehouse, &**product)));
        manager.snapshot(&levels.collect::<Vec<_>>())
    });
    let rows = taken
        .await?
        .map_err(Error::from)?
        .into_iter()
        .map(|level| SnapshotRow { available: level.available, reserved: level.reserved });
    Ok(Json(rows.collect()))
}

/// What a comparison of the engine with its journal found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Verified {
    sound: bool,
    /// Levels with the same counts in both.
    equal: usize,
    /// Levels that changed at every look.
    under_way: usize,
    /// Levels that differ.
    broken: usize,
    /// Customers' draws that differ.
    broken_allowances: usize,
    /// The hash of the journal up to there.
    head: String,
}

/// Compares the engine with its journal, under load. One such read is made at a time.
#[utoipa::path(post, path = "/v1/verify", tag = "operate", security(("token" = [])),
    responses((status = 200, body = Verified), Refusal))]
pub(crate) async fn verify(State(shop): State<Shop>) -> Result<Json<Verified>, Problem> {
    let report = shop.alone(|manager| manager.verify()).await?.map_err(Error::from)?;
    Ok(Json(Verified {
        sound: report.is_sound(),
        equal: report.equal,
        under_way: report.under_way,
        broken: report.broken.len(),
        broken_allowances: report.broken_allowances.len(),
        head: report.head.to_string(),
    }))
}

/// Whose notes are erased.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Redaction {
    /// The name of a note.
    note: String,
    /// Its value, whole.
    value: String,
}

/// What was erased.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RedactedBody {
    /// Records whose notes were erased.
    records: u64,
    /// Segments of the journal that were rewritten for it.
    segments: usize,
}

/// Erases all notes of the entries that have this note, from memory and from the journal. One such
/// call is made at a time.
#[utoipa::path(post, path = "/v1/redact", tag = "operate", security(("token" = [])), request_body = Redaction,
    responses((status = 200, body = RedactedBody), Refusal))]
pub(crate) async fn redact(
    State(shop): State<Shop>,
    Body(body): Body<Redaction>,
) -> Result<Json<RedactedBody>, Problem> {
    let work = shop.alone(move |manager| {
        manager.redact(|entry| {
            entry.metadata().iter().any(|(name, value)| *name == body.note && *value == body.value)
        })
    });
    let done = work.await?.map_err(Error::from)?;
    Ok(Json(RedactedBody { records: done.records, segments: done.segments }))
}
