//! Pages of the audit log.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::QueryRejection;
use serde::{Deserialize, Serialize};
use stockade::{AuditEntry, AuditFilter, EntryType, InventoryManager, Owner, ReservationId};
use utoipa::{IntoParams, ToSchema};

use crate::problem::{Problem, Refusal};
use crate::routes::body::{parsed, sequence};
use crate::shop::Shop;

const DEFAULT_PAGE: usize = 100;
const LONGEST_PAGE: usize = 1_000;
/// How many entries the newest-first page looks through at a time.
const STRIDE: u64 = 8_192;

/// Which entries.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    product: Option<String>,
    warehouse: Option<String>,
    reservation: Option<String>,
    owner: Option<String>,
    /// A type of entry, such as `Sold`.
    #[serde(rename = "type")]
    entry_type: Option<String>,
    /// Only entries with a greater sequence number; with `newest`, with a smaller one. Give `next`
    /// of the page before.
    after: Option<u64>,
    /// At most so many: 1 to 1,000. Default: 100.
    limit: Option<usize>,
    /// The newest first.
    #[serde(default)]
    newest: bool,
}

/// A page of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page {
    /// Each has `sequence`, `entry_type`, `at`, `warehouse`, `product`, `quantity`, `reservation`,
    /// `owner`, `metadata` and others.
    #[schema(value_type = Vec<Object>)]
    entries: Vec<AuditEntry>,
    /// For `after` of the next page; `null` after the last one.
    next: Option<u64>,
    /// How many older entries memory no longer has. They are in the journal.
    evicted: u64,
}

impl Wanted {
    fn filter(&self) -> Result<AuditFilter, Problem> {
        let mut filter = AuditFilter::new();
        if let Some(product) = &self.product {
            filter = filter.product(product);
        }
        if let Some(warehouse) = &self.warehouse {
            filter = filter.warehouse(warehouse);
        }
        if let Some(id) = &self.reservation {
            filter = filter.reservation(parsed::<ReservationId>(id)?);
        }
        if let Some(owner) = &self.owner {
            filter = filter.owner(parsed::<Owner>(owner)?);
        }
        if let Some(name) = &self.entry_type {
            filter = filter.entry_type(parsed::<EntryType>(name)?);
        }
        Ok(filter)
    }

    fn limit(&self) -> Result<usize, Problem> {
        let limit = self.limit.unwrap_or(DEFAULT_PAGE);
        let wrong = || format!("limit is 1 to {LONGEST_PAGE}");
        let fits = (1..=LONGEST_PAGE).contains(&limit);
        if fits { Ok(limit) } else { Err(Problem::invalid("invalid_query", wrong())) }
    }
}

/// Entries of the audit log that memory has: a million, as the engine is set. One such read is made
/// at a time.
#[utoipa::path(get, path = "/v1/audit", tag = "audit", security(("token" = [])), params(Wanted),
    responses((status = 200, body = Page), Refusal))]
pub(crate) async fn page(
    State(shop): State<Shop>,
    wanted: Result<axum::extract::Query<Wanted>, QueryRejection>,
) -> Result<Json<Page>, Problem> {
    let axum::extract::Query(wanted) = wanted?;
    let (filter, limit, after) = (wanted.filter()?, wanted.limit()?, sequence(wanted.after)?);
    let read = move |manager: &InventoryManager| match wanted.newest {
        true => newest_first(manager, &filter, after, limit),
        false => oldest_first(manager, filter.after(after.unwrap_or(0)), limit),
    };
    shop.alone(read).await.map(Json)
}

fn oldest_first(manager: &InventoryManager, filter: AuditFilter, limit: usize) -> Page {
    let page = manager.audit_log().query(&filter.limit(limit));
    Page { entries: page.entries, next: page.next, evicted: page.left }
}

/// Looks through the log from its end, stride by stride.
fn newest_first(
    manager: &InventoryManager,
    filter: &AuditFilter,
    before: Option<u64>,
    limit: usize,
) -> Page {
    let log = manager.audit_log();
    let mut end = before.unwrap_or(u64::MAX).min(log.newest_sequence() + 1);
    let mut entries = Vec::new();
    let oldest = log.evicted() + 1;
    while end > oldest && entries.len() <= limit {
        let begin = end.saturating_sub(STRIDE).max(oldest);
        let stride = filter.clone().after(begin - 1).limit(STRIDE as usize);
        let found = log.query(&stride).entries;
        entries.extend(found.into_iter().rev().filter(|entry| entry.sequence < end));
        end = begin;
    }
    let more = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().filter(|_| more).map(|entry| entry.sequence);
    Page { entries, next, evicted: log.evicted() }
}
