//! Who may call what.

pub(crate) mod tokens;

use std::sync::{Arc, PoisonError, RwLock};

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::auth::tokens::{Caller, Role, Tokens};
use crate::origin::is_from_this_machine;
use crate::problem::Problem;

/// How a service knows its callers. A clone is a handle on the same tokens.
#[derive(Clone, Debug)]
pub struct Auth(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Loopback,
    Tokens(Arc<RwLock<Arc<Tokens>>>),
}

impl Auth {
    /// Everybody on this machine may do everything, without a token. Only for a server that is
    /// bound to a loopback address: [`serve`](crate::serve) refuses another one.
    ///
    /// A web page that somebody on this machine looks at must not be such a caller. So `Host` must
    /// be a loopback name (else a name that an attacker owns could lead here), and `Origin` absent
    /// or the same.
    pub fn loopback_only() -> Self {
        Self(Kind::Loopback)
    }

    /// Only who has one of these tokens may call. `/health`, `/ready` and `/openapi.json` need
    /// none.
    pub fn tokens(tokens: Tokens) -> Self {
        Self(Kind::Tokens(Arc::new(RwLock::new(Arc::new(tokens)))))
    }

    /// Replaces the tokens, from the next request on. Does nothing where none are asked for.
    pub fn replace(&self, tokens: Tokens) {
        if let Kind::Tokens(known) = &self.0 {
            *known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tokens);
        }
    }

    /// Whether callers without a token are let in.
    pub fn is_open(&self) -> bool {
        matches!(self.0, Kind::Loopback)
    }

    /// How many tokens there are; `None` where none are asked for.
    pub fn known(&self) -> Option<usize> {
        match &self.0 {
            Kind::Loopback => None,
            Kind::Tokens(known) => Some(known.read().unwrap_or_else(PoisonError::into_inner).len()),
        }
    }

    fn caller(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        let known = match &self.0 {
            Kind::Loopback => return Ok(Caller { name: "".into(), role: Role::Operate }),
            Kind::Tokens(known) => {
                Arc::clone(&known.read().unwrap_or_else(PoisonError::into_inner))
            }
        };
        let sent = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = sent.and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        token.and_then(|token| known.caller_of(token)).ok_or_else(|| {
            let detail = "send a token: Authorization: Bearer TOKEN";
            Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
        })
    }
}

/// What a group of routes asks of its callers.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    pub(crate) auth: Auth,
    pub(crate) needed: Role,
}

/// Lets a request in, or answers it.
pub(crate) async fn guard(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let caller = match gate.auth.caller(request.headers()) {
        Ok(caller) => caller,
        Err(problem) => return problem.into_response(),
    };
    if !caller.role.includes(gate.needed) {
        let detail = format!("this needs the role {}; the token has {}", gate.needed, caller.role);
        return Problem::new(StatusCode::FORBIDDEN, "forbidden", detail).into_response();
    }
    // What a page in a browser could send without asking.
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    if changes && !is_json(request.headers()) {
        let detail = "send Content-Type: application/json, also with an empty body";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Problem::new(status, "not_json", detail).into_response();
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// Refuses what a page of another origin sends in the name of somebody who looks at it.
pub(crate) async fn refuse_forged(
    State(auth): State<Auth>,
    request: Request,
    next: Next,
) -> Response {
    if auth.is_open() && !is_from_this_machine(request.headers(), request.uri()) {
        let detail = "without tokens, Host must be a loopback name, and Origin absent or the same";
        return Problem::new(StatusCode::FORBIDDEN, "foreign_origin", detail).into_response();
    }
    next.run(request).await
}

/// A form can't send this type, and a script of another origin must ask before it does.
fn is_json(headers: &HeaderMap) -> bool {
    let sent = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    sent.is_some_and(|sent| {
        let kind = sent.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/json")
    })
}
