//! Stock levels and warehouses.

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use stockade::{Error, OperationKind};
use utoipa::ToSchema;

use crate::call::{CallOptions, Notes};
use crate::problem::{Problem, Refusal};
use crate::routes::body::{Body, DONE, Done, LevelCounts};
use crate::shop::Shop;

/// The counts of one product in one warehouse.
#[utoipa::path(get, path = "/v1/stock/{warehouse}/{product}", tag = "stock", security(("token" = [])),
    params(("warehouse" = String, Path), ("product" = String, Path)),
    responses((status = 200, body = LevelCounts), Refusal))]
pub(crate) async fn counts(
    State(shop): State<Shop>,
    Path((warehouse, product)): Path<(String, String)>,
) -> Result<Json<LevelCounts>, Problem> {
    let counts = shop.manager.counts((&*warehouse, &*product)).map_err(Error::from)?;
    Ok(Json(counts.into()))
}

/// A warehouse.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WarehouseBody {
    name: String,
    /// The most units that it takes.
    capacity: u32,
    /// How many more units it takes now.
    room: u32,
    suspended: bool,
}

/// The warehouses.
#[utoipa::path(get, path = "/v1/warehouses", tag = "stock", security(("token" = [])),
    responses((status = 200, body = Vec<WarehouseBody>), Refusal))]
pub(crate) async fn warehouses(State(shop): State<Shop>) -> Json<Vec<WarehouseBody>> {
    let all = shop.manager.warehouses().iter().map(|warehouse| WarehouseBody {
        name: warehouse.name().to_string(),
        capacity: warehouse.capacity(),
        room: warehouse.room_left(),
        suspended: warehouse.is_suspended(),
    });
    Json(all.collect())
}

/// A product in a list of a warehouse's levels.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProductCounts {
    product: String,
    counts: LevelCounts,
}

/// All levels of a warehouse. One such read is made at a time.
#[utoipa::path(get, path = "/v1/warehouses/{warehouse}/levels", tag = "stock", security(("token" = [])),
    params(("warehouse" = String, Path)),
    responses((status = 200, body = Vec<ProductCounts>), Refusal))]
pub(crate) async fn levels(
    State(shop): State<Shop>,
    Path(warehouse): Path<String>,
) -> Result<Json<Vec<ProductCounts>>, Problem> {
    let found = shop.alone(move |manager| manager.levels(&*warehouse)).await?;
    let levels = found.map_err(Error::from)?.into_iter().map(|level| ProductCounts {
        product: level.product.to_string(),
        counts: level.counts.into(),
    });
    Ok(Json(levels.collect()))
}

/// A product's units, summed over all warehouses.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TotalsBody {
    available: u64,
    reserved: u64,
    on_hand: u64,
}

/// A product's units over all warehouses, summed level by level: units that move meanwhile may be
/// missed or counted twice.
#[utoipa::path(get, path = "/v1/products/{product}/totals", tag = "stock", security(("token" = [])),
    params(("product" = String, Path)),
    responses((status = 200, body = TotalsBody), Refusal))]
pub(crate) async fn totals(
    State(shop): State<Shop>,
    Path(product): Path<String>,
) -> Result<Json<TotalsBody>, Problem> {
    let totals = shop.manager.totals_approximate(&*product).map_err(Error::from)?;
    let (available, reserved, on_hand) = (totals.available, totals.reserved, totals.on_hand());
    Ok(Json(TotalsBody { available, reserved, on_hand }))
}

/// Units that come in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Received {
    #[schema(minimum = 1, maximum = 2147483647)]
    quantity: u32,
    /// Where they come from, for the audit log.
    source: String,
    #[serde(default)]
    notes: Notes,
}

/// Units that leave, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Removed {
    #[schema(minimum = 1, maximum = 2147483647)]
    quantity: u32,
    /// Why, for the audit log.
    reason: String,
    #[serde(default)]
    notes: Notes,
}

/// Units.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Units {
    #[schema(minimum = 1, maximum = 2147483647)]
    quantity: u32,
    #[serde(default)]
    notes: Notes,
}

type Place = Path<(String, String)>;

/// Brings units in, up to the warehouse's capacity. A product that is new is defined.
#[utoipa::path(post, path = "/v1/stock/{warehouse}/{product}/add", tag = "stock", security(("token" = [])),
    params(("warehouse" = String, Path), ("product" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = Received,
    responses((status = 200, body = Done), Refusal))]
pub(crate) async fn add(
    State(shop): State<Shop>,
    Path((warehouse, product)): Place,
    options: CallOptions,
    Body(body): Body<Received>,
) -> Result<Json<Done>, Problem> {
    let place = (&*warehouse, &*product);
    let operation =
        |request: stockade::Request<'_>| request.add_stock(place, body.quantity, &body.source);
    shop.call(options.about(OperationKind::Add, None, &body.notes), operation).await?;
    Ok(DONE)
}

/// Writes available units off.
#[utoipa::path(post, path = "/v1/stock/{warehouse}/{product}/remove", tag = "stock", security(("token" = [])),
    params(("warehouse" = String, Path), ("product" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = Removed,
    responses((status = 200, body = Done), Refusal))]
pub(crate) async fn remove(
    State(shop): State<Shop>,
    Path((warehouse, product)): Place,
    options: CallOptions,
    Body(body): Body<Removed>,
) -> Result<Json<Done>, Problem> {
    let place = (&*warehouse, &*product);
    let operation =
        |request: stockade::Request<'_>| request.remove_stock(place, body.quantity, &body.reason);
    shop.call(options.about(OperationKind::Remove, None, &body.notes), operation).await?;
    Ok(DONE)
}

/// Sold units leave the building.
#[utoipa::path(post, path = "/v1/stock/{warehouse}/{product}/ship", tag = "stock", security(("token" = [])),
    params(("warehouse" = String, Path), ("product" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = Units,
    responses((status = 200, body = Done), Refusal))]
pub(crate) async fn ship(
    State(shop): State<Shop>,
    Path((warehouse, product)): Place,
    options: CallOptions,
    Body(body): Body<Units>,
) -> Result<Json<Done>, Problem> {
    let place = (&*warehouse, &*product);
    let operation = |request: stockade::Request<'_>| request.ship(place, body.quantity);
    shop.call(options.about(OperationKind::Ship, None, &body.notes), operation).await?;
    Ok(DONE)
}

/// Sold units become available again.
#[utoipa::path(post, path = "/v1/stock/{warehouse}/{product}/cancel-sale", tag = "stock", security(("token" = [])),
    params(("warehouse" = String, Path), ("product" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = Removed,
    responses((status = 200, body = Done), Refusal))]
pub(crate) async fn cancel_sale(
    State(shop): State<Shop>,
    Path((warehouse, product)): Place,
    options: CallOptions,
    Body(body): Body<Removed>,
) -> Result<Json<Done>, Problem> {
    let place = (&*warehouse, &*product);
    let operation =
        |request: stockade::Request<'_>| request.cancel_sale(place, body.quantity, &body.reason);
    shop.call(options.about(OperationKind::CancelSale, None, &body.notes), operation).await?;
    Ok(DONE)
}
