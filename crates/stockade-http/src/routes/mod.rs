//! The routes, by what they are about.

mod audit;
mod body;
mod events;
mod holds;
mod limits;
mod operate;
mod stock;
mod transfers;

use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::{Json, Router};
use stockade::InventoryManager;
use tower_http::timeout::TimeoutLayer;
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Described;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::tokens::Role;
use crate::auth::{Auth, Gate, guard, refuse_forged};
use crate::options::HttpOptions;
use crate::problem::{Details, Problem};
use crate::shop::{Closing, Shop};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Stockade",
        description = "An inventory engine over HTTP. Quantities are units. Times are milliseconds since \
                   1970. A refusal is application/problem+json with a stable `code`. Send \
                   `Idempotency-Key` with whatever you may send again. Every request but GET bears \
                   `Content-Type: application/json`, also without a body."
    ),
    components(schemas(Details))
)]
struct Document;

/// The router of a manager, as [`router_with`] makes it, with the default options.
pub fn router(manager: InventoryManager, auth: Auth) -> Router {
    router_with(manager, auth, HttpOptions::default())
}

/// The router of a manager. It keeps the engine alive as long as it lives.
pub fn router_with(manager: InventoryManager, auth: Auth, options: HttpOptions) -> Router {
    router_that_closes(manager, auth, options, Closing::default())
}

pub(crate) fn router_that_closes(
    manager: InventoryManager,
    auth: Auth,
    options: HttpOptions,
    closing: Closing,
) -> Router {
    let shop = Shop::new(manager, &options, closing);
    let (routes, document) = described(&auth).split_for_parts();
    let document = routes_of_document(document, &auth);
    let timeout =
        TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, options.longest_request);
    routes
        .merge(document)
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "no_such_path", "no such path"))
        .method_not_allowed_fallback(async || {
            let detail = "this path does not take this method";
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
        })
        .layer(DefaultBodyLimit::max(options.body_bytes))
        .layer(from_fn_with_state(auth, refuse_forged))
        .layer(timeout)
        .with_state(shop)
}

/// The OpenAPI document of the routes.
pub fn openapi() -> Described {
    with_security(described(&Auth::loopback_only()).split_for_parts().1)
}

fn routes_of_document(mut document: Described, auth: &Auth) -> Router<Shop> {
    if auth.is_open() {
        without_security(&mut document);
    } else {
        document = with_security(document);
    }
    Router::new().route("/openapi.json", axum::routing::get(async move || Json(document.clone())))
}

/// The document of a service that asks for no tokens.
fn without_security(document: &mut Described) {
    for item in document.paths.paths.values_mut() {
        let (get, put) = (&mut item.get, &mut item.put);
        for operation in [get, put, &mut item.post, &mut item.delete].into_iter().flatten() {
            operation.security = None;
        }
    }
}

fn with_security(mut document: Described) -> Described {
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("token", SecurityScheme::Http(bearer));
    document
}

fn described(auth: &Auth) -> OpenApiRouter<Shop> {
    let gate = |needed| from_fn_with_state(Gate { auth: auth.clone(), needed }, guard);
    let read = OpenApiRouter::new()
        .routes(routes!(stock::counts))
        .routes(routes!(stock::warehouses))
        .routes(routes!(stock::levels))
        .routes(routes!(stock::totals))
        .routes(routes!(holds::look))
        .routes(routes!(transfers::list))
        .routes(routes!(transfers::look))
        .routes(routes!(limits::list))
        .routes(routes!(audit::page))
        .routes(routes!(events::stream))
        .route_layer(gate(Role::Read));
    let sell = OpenApiRouter::new()
        .routes(routes!(stock::add))
        .routes(routes!(stock::remove))
        .routes(routes!(stock::ship))
        .routes(routes!(stock::cancel_sale))
        .routes(routes!(holds::hold))
        .routes(routes!(holds::sell))
        .routes(routes!(holds::confirm))
        .routes(routes!(holds::release))
        .routes(routes!(holds::extend))
        .routes(routes!(holds::ship))
        .routes(routes!(holds::cancel_sale))
        .routes(routes!(transfers::transfer))
        .routes(routes!(transfers::request))
        .route_layer(gate(Role::Sell));
    let operate = OpenApiRouter::new()
        .routes(routes!(transfers::approve))
        .routes(routes!(transfers::reject))
        .routes(routes!(limits::define))
        .routes(routes!(limits::drop_one))
        .routes(routes!(limits::usage))
        .routes(routes!(holds::of_owner))
        .routes(routes!(holds::of_subject))
        .routes(routes!(operate::snapshot))
        .routes(routes!(operate::verify))
        .routes(routes!(operate::redact))
        .route_layer(gate(Role::Operate));
    let figures = OpenApiRouter::new()
        .routes(routes!(operate::stats))
        .routes(routes!(operate::metrics))
        .route_layer(gate(Role::Metrics));
    let open =
        OpenApiRouter::new().routes(routes!(operate::health)).routes(routes!(operate::ready));
    let all = OpenApiRouter::with_openapi(Document::openapi());
    all.merge(read).merge(sell).merge(operate).merge(figures).merge(open)
}
