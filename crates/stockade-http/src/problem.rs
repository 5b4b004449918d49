//! Refusals as problem details (RFC 9457), with the library's stable codes and its numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::{Map, Value, json};
use stockade::{
    AddError, BasketError, ConfirmError, Error, ErrorKind, FulfillError, Gone, LimitError,
    PartialError, RemoveError, ReserveError, RetakeError, ShipError, SoldLinesError, TransferError,
};
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use crate::status::status_of;

/// Why a request was refused, or failed: `application/problem+json`.
#[derive(Clone, Debug)]
pub(crate) struct Problem(Box<Details>);

/// A refusal: one sentence, a stable code, and the numbers.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Details {
    /// `urn:stockade:` and the code.
    #[serde(rename = "type")]
    kind_uri: String,
    /// The code in words.
    title: String,
    /// The status, as in the answer's head.
    status: u16,
    /// One sentence for people, with the numbers.
    detail: String,
    /// The name of the error for programs. No code is ever renamed or given another meaning.
    code: String,
    /// Whether the same request may succeed if it is sent again. With a status of 500, only with
    /// the same `Idempotency-Key`.
    retryable: bool,
    /// Whether the operation was applied in memory, and only its record is uncertain.
    applied: bool,
    /// The error's numbers: `needed`, `available`, `room`, `maximum`, `used`, `lines` and others.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    figures: Map<String, Value>,
    #[serde(skip)]
    retry_after: Option<Duration>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self(Box::new(Details {
            kind_uri: format!("urn:stockade:{code}"),
            title: code.replace('_', " "),
            status: status.as_u16(),
            detail: detail.into(),
            code: code.to_owned(),
            retryable: false,
            applied: false,
            figures: Map::new(),
            retry_after: None,
        }))
    }

    pub(crate) fn invalid(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// Somebody else does what is done one at a time.
    pub(crate) fn busy(code: &str, detail: impl Into<String>) -> Self {
        let mut problem = Self::new(StatusCode::TOO_MANY_REQUESTS, code, detail);
        problem.0.retryable = true;
        problem.0.retry_after = Some(Duration::from_secs(1));
        problem
    }

    /// A task of the service has died.
    pub(crate) fn internal() -> Self {
        let detail = "the service failed; whether the request was applied is not known";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }
}

/// Any answer that is a problem, in the OpenAPI document.
pub(crate) struct Refusal;

impl IntoResponses for Refusal {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let content = Content::new(Some(Ref::from_schema_name("Problem")));
        let response = ResponseBuilder::new()
            .description("The request was refused, or failed.")
            .content("application/problem+json", content);
        [("default".to_owned(), response.build().into())].into()
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let (status, retry_after) = status_of(error.kind(), error.code());
        let mut problem = Self::new(status, error.code(), error.to_string());
        problem.0.retryable = error.is_retryable();
        problem.0.applied = error.kind() == ErrorKind::Uncertain;
        problem.0.retry_after = retry_after;
        if let Value::Object(figures) = figures_of(&error) {
            problem.0.figures = figures;
        }
        problem
    }
}

/// The numbers that a client acts on.
fn figures_of(error: &Error) -> Value {
    match error {
        Error::Reserve(ReserveError::Insufficient { needed, available, overdue_left, .. }) => {
            json!({ "needed": needed, "available": available, "overdue_left": overdue_left })
        }
        Error::Basket(BasketError::Insufficient { lines, overdue_left }) => {
            let short = lines.iter().map(|line| {
                json!({
                    "warehouse": line.warehouse, "product": line.product,
                    "needed": line.needed, "available": line.available,
                    "never_stocked": line.never_stocked,
                })
            });
            json!({ "lines": short.collect::<Vec<_>>(), "overdue_left": overdue_left })
        }
        Error::Fulfill(FulfillError::Insufficient { needed, available, .. }) => {
            json!({ "needed": needed, "available": available })
        }
        Error::Remove(RemoveError::Insufficient { needed, available })
        | Error::Transfer(TransferError::Insufficient { needed, available }) => {
            json!({ "needed": needed, "available": available })
        }
        Error::Add(AddError::OverCapacity { needed, room })
        | Error::Transfer(TransferError::OverCapacity { needed, room }) => {
            json!({ "needed": needed, "room": room })
        }
        Error::Ship(ShipError::NotSold { needed, sold, tracked }) => {
            json!({ "needed": needed, "sold": sold, "tracked": tracked })
        }
        Error::SoldLines(SoldLinesError::NotSold { warehouse, product, needed, sold }) => json!({
            "warehouse": warehouse, "product": product, "needed": needed, "sold": sold,
        }),
        Error::Partial(PartialError::NotHeld { warehouse, product, needed, held }) => json!({
            "warehouse": warehouse, "product": product, "needed": needed, "held": held,
        }),
        Error::Reserve(ReserveError::Limit(limit))
        | Error::Basket(BasketError::Limit(limit))
        | Error::Fulfill(FulfillError::Limit(limit))
        | Error::Retake(RetakeError::Limit(limit))
        | Error::Limit(limit) => figures_of_limit(limit),
        Error::Confirm(ConfirmError::Limit(limit)) => figures_of_limit(limit),
        Error::Confirm(ConfirmError::Gone(gone))
        | Error::Partial(PartialError::Gone(gone))
        | Error::Gone(gone) => figures_of_gone(gone),
        _ => Value::Null,
    }
}

fn figures_of_limit(limit: &LimitError) -> Value {
    match limit {
        LimitError::Reached { limit, maximum, used, asked, overdue_left } => json!({
            "limit": limit, "maximum": maximum, "used": used, "asked": asked,
            "overdue_left": overdue_left,
        }),
        LimitError::NoSubject { limit, kind } => json!({ "limit": limit, "kind": kind }),
        _ => Value::Null,
    }
}

fn figures_of_gone(gone: &Gone) -> Value {
    match gone {
        Gone::Sold { units } => json!({ "sold": units }),
        Gone::PartlySold { sold, returned } => json!({ "sold": sold, "returned": returned }),
        Gone::Released { returned } => json!({ "returned": returned }),
        Gone::Expired { at, returned } => json!({ "expired_at": at, "returned": returned }),
        _ => Value::Null,
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> axum::response::Response {
        let status =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(after) = self.0.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs()));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        // 400 for what is no JSON, 413 for too much of it, 415, 422 for other fields than asked
        // for.
        let code = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => "body_too_large",
            _ => "invalid_body",
        };
        let status = match rejection.status() {
            StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
            status => status,
        };
        Self::new(status, code, rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::invalid("invalid_query", rejection.body_text())
    }
}
