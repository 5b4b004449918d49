//! Entries of the audit log and alerts, as server-sent events.
//!
//! A stream has no buffer of its own: it reads the next entries from the log when its reader has
//! taken those before. A reader that is so slow that the log has dropped what comes next is told
//! where it was, and the stream ends.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::rejection::QueryRejection;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use serde::{Deserialize, Serialize};
use serde_json::json;
use stockade::{AuditFilter, InventoryManager, StockAlert, StockAlertListener};
use tokio::sync::broadcast::{Receiver, Sender, channel, error::TryRecvError};
use tokio::time::timeout;
use utoipa::{IntoParams, ToSchema};

use crate::problem::{Problem, Refusal};
use crate::routes::body::sequence;
use crate::shop::Shop;

/// How often a stream looks for new entries while there are none.
const IDLE: Duration = Duration::from_millis(50);
/// How many entries are read at a time.
const AT_A_TIME: usize = 128;
/// How many alerts wait for a stream that is slow. It is told how many it has missed.
const ALERTS: usize = 1_024;

/// Where a stream begins.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct From {
    /// After the entry with this sequence number. `Last-Event-ID` goes before it. Default: now.
    after: Option<u64>,
}

/// An event, for the OpenAPI document.
#[derive(ToSchema)]
#[expect(dead_code, reason = "axum writes events; this says what they look like")]
struct EventBody {
    /// `entry`, `alert`, `alerts_missed` or `evicted`.
    event: String,
    /// JSON. An entry is as in a page of the audit log.
    data: String,
    /// Of an entry: its sequence number.
    id: Option<String>,
}

/// Entries of the audit log as they are written, and alerts of low stock: `text/event-stream`. An
/// event of an entry is `entry`, and its id is the sequence number: a browser sends it as
/// `Last-Event-ID` when it comes back, and nothing is missing. Others are `alert`,
/// `alerts_missed`, and `evicted`, after which the stream ends: the log no longer has what comes
/// next. An entry that is written may not be on the disk yet.
#[utoipa::path(get, path = "/v1/events", tag = "audit", security(("token" = [])), params(From),
    responses((status = 200, content_type = "text/event-stream", body = EventBody), Refusal))]
pub(crate) async fn stream(
    State(shop): State<Shop>,
    headers: HeaderMap,
    from: Result<axum::extract::Query<From>, QueryRejection>,
) -> Result<impl IntoResponse, Problem> {
    let axum::extract::Query(from) = from?;
    let resumed = match headers.get("last-event-id").map(|value| value.to_str()) {
        None => sequence(from.after)?,
        Some(text) => {
            let number = text.ok().and_then(|text| text.parse().ok());
            let detail = "Last-Event-ID is a sequence number";
            Some(number.ok_or_else(|| Problem::invalid("invalid_header", detail))?)
        }
    };
    let permit = Arc::clone(&shop.streams).try_acquire_owned().map_err(|_| {
        Problem::busy("too_many_streams", "as many streams are open as the service allows")
    })?;
    let manager = shop.manager;
    let after = resumed.unwrap_or_else(|| manager.audit_log().newest_sequence());
    let alerts = AlertsOfStream::of(&manager);
    let closing = shop.closing;
    let events = async_stream::stream! {
        let _permit = permit;
        let mut alerts = alerts;
        let mut after = after;
        let mut closed = pin!(closing.closed());
        loop {
            for event in alerts.waiting() {
                yield Ok::<_, Infallible>(event);
            }
            let page = manager.audit_log().query(&AuditFilter::new().after(after).limit(AT_A_TIME));
            if page.left > after {
                yield Ok(told("evicted", &json!({ "after": after, "oldest": page.left + 1 })));
                return;
            }
            let idle = page.entries.is_empty();
            for entry in page.entries {
                after = entry.sequence;
                yield Ok(told("entry", &entry).id(after.to_string()));
            }
            if idle && timeout(IDLE, closed.as_mut()).await.is_ok() {
                return;
            }
        }
    };
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

fn told(what: &str, data: &impl Serialize) -> Event {
    Event::default().event(what).data(serde_json::to_string(data).unwrap_or_default())
}

/// A listener that lives as long as its stream.
struct AlertsOfStream {
    manager: InventoryManager,
    listener: stockade::ListenerId,
    receiver: Receiver<StockAlert>,
}

struct Sending(Sender<StockAlert>);

impl StockAlertListener for Sending {
    // `on_alert` says all that this does, and more.
    fn on_low_stock(&self, _: &str, _: &str, _: u32) {}

    fn on_alert(&self, alert: &StockAlert) {
        // An error says that nobody listens any more.
        let _ = self.0.send(alert.clone());
    }
}

impl AlertsOfStream {
    fn of(manager: &InventoryManager) -> Self {
        let (sender, receiver) = channel(ALERTS);
        let listener = manager.add_listener(Sending(sender));
        Self { manager: manager.clone(), listener, receiver }
    }

    fn waiting(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            match self.receiver.try_recv() {
                Ok(alert) => events.push(told(
                    "alert",
                    &json!({
                        "warehouse": alert.warehouse, "product": alert.product,
                        "available": alert.available, "threshold": alert.threshold,
                        "crossings": alert.crossings,
                    }),
                )),
                Err(TryRecvError::Lagged(missed)) => {
                    events.push(told("alerts_missed", &json!({ "missed": missed })));
                }
                Err(TryRecvError::Empty | TryRecvError::Closed) => return events,
            }
        }
    }
}

impl Drop for AlertsOfStream {
    fn drop(&mut self) {
        // It is this engine's, and nobody else removes it.
        let _ = self.manager.remove_listener(self.listener);
    }
}
