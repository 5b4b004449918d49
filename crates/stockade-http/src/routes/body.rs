//! What bodies are made of, and what answers share.

use std::time::Duration;

use axum::extract::{FromRequest, Request};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stockade::{BasketLine, Counts, Error, Reservation, ReservationId, Timestamp};
use utoipa::ToSchema;

use crate::call::Notes;
use crate::problem::Problem;

/// A JSON body. An empty one is `{}`.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = axum::body::Bytes::from_request(request, state).await.map_err(|rejection| {
            Problem::new(rejection.status(), "body_too_large_or_broken", rejection.body_text())
        })?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        axum::Json::from_bytes(text).map(|axum::Json(body)| Self(body)).map_err(Problem::from)
    }
}

/// Units of a product in a warehouse.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    pub(crate) warehouse: String,
    pub(crate) product: String,
    #[schema(minimum = 1, maximum = 2147483647)]
    pub(crate) quantity: u32,
}

pub(crate) fn basket(lines: &[Line]) -> Vec<BasketLine<'_>> {
    lines
        .iter()
        .map(|line| BasketLine::new((&*line.warehouse, &*line.product), line.quantity))
        .collect()
}

/// Lines of a step on a reservation.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lines {
    pub(crate) lines: Vec<Line>,
    /// Notes for the audit log.
    #[serde(default)]
    pub(crate) notes: Notes,
}

/// The counts of a level, in units, at one instant.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct LevelCounts {
    /// Units that anyone may reserve.
    available: u32,
    /// Units that are spoken for: held, or sold and still in the building.
    reserved: u32,
    /// Units that are sold and still in the building.
    sold: u32,
    /// Units that are held.
    held: u32,
    /// Units in the building: available and reserved.
    on_hand: u64,
}

impl From<Counts> for LevelCounts {
    fn from(counts: Counts) -> Self {
        Self {
            available: counts.available,
            reserved: counts.reserved,
            sold: counts.sold,
            held: counts.held(),
            on_hand: u64::from(counts.available) + u64::from(counts.reserved),
        }
    }
}

/// The id of a new reservation.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Made {
    /// A UUID.
    #[schema(value_type = String, format = "uuid")]
    pub(crate) id: ReservationId,
}

/// A hold, or what became of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ReservationBody {
    #[schema(value_type = String, format = "uuid")]
    id: ReservationId,
    /// `pending`, `confirmed`, `released` or `expired`.
    #[schema(value_type = String)]
    status: stockade::ReservationStatus,
    lines: Vec<ReservationLineBody>,
    /// A UUID that the caller gave.
    #[schema(value_type = Option<String>, format = "uuid")]
    owner: Option<stockade::Owner>,
    #[schema(value_type = u64)]
    created_at: Timestamp,
    /// The last millisecond of the hold.
    #[schema(value_type = u64)]
    expires_at: Timestamp,
    /// The reservation that this one retook.
    #[schema(value_type = Option<String>, format = "uuid")]
    retaken_from: Option<ReservationId>,
    keep_until_shipped: bool,
}

/// One line of a reservation, in units.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ReservationLineBody {
    warehouse: String,
    product: String,
    /// What the line took at first.
    quantity: u32,
    /// Of these, held at present.
    held: u32,
    /// Of these, sold. What is neither was given back.
    sold: u32,
    /// Sold units that were shipped, or whose sale was cancelled, by this reservation.
    settled: u32,
}

impl From<Reservation> for ReservationBody {
    fn from(it: Reservation) -> Self {
        let lines = it.lines.iter().map(|line| ReservationLineBody {
            warehouse: line.warehouse.to_string(),
            product: line.product.to_string(),
            quantity: line.quantity,
            held: line.held,
            sold: line.sold,
            settled: line.settled,
        });
        Self {
            id: it.id,
            status: it.status,
            lines: lines.collect(),
            owner: it.owner,
            created_at: it.created_at,
            expires_at: it.expires_at,
            retaken_from: it.retaken_from,
            keep_until_shipped: it.keep_until_shipped,
        }
    }
}

/// The request was applied.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct Done {
    done: bool,
}

pub(crate) const DONE: axum::Json<Done> = axum::Json(Done { done: true });

pub(crate) fn millis(ttl_ms: u64) -> Duration {
    Duration::from_millis(ttl_ms)
}

/// A part of a path or query that is an id, an owner or another thing written as text.
pub(crate) fn parsed<T>(text: &str) -> Result<T, Problem>
where
    T: std::str::FromStr,
    Error: From<T::Err>,
{
    text.parse().map_err(|error| Error::from(error).into())
}

/// A sequence number of a query. The greatest is what a signed number of 64 bits holds, as the
/// OpenAPI document says.
pub(crate) fn sequence(asked: Option<u64>) -> Result<Option<u64>, Problem> {
    match asked {
        Some(number) if i64::try_from(number).is_err() => {
            Err(Problem::invalid("invalid_query", "after is no sequence number"))
        }
        asked => Ok(asked),
    }
}
