//! An engine refuses what another engine returned: handles, listener ids and cursors, on every
//! path.
//!
//! The table below lists every public operation that takes one of these. A test reads the
//! signatures in `src`, and finds those that the table lacks.

mod common;

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::fmt::Display;
use std::fs;
use std::path::Path;

use stockade::{
    AllocationStrategy, BasketLine, Candidate, FewestParcels, IdempotencyKey, InventoryManager,
    LevelHandle, ListenerId, Owner, PlaceError, ProductId, Request, ReservationCursor,
    ReservationId, StockAlertListener, WarehouseId,
};

use common::{LAPTOPS, LONG, clock, counts, log_of, quiet, small};

/// An engine with the warehouses SF and NYC and ten laptops in each. Three in SF are held, one is
/// sold.
struct Shop {
    manager: InventoryManager,
    hold: ReservationId,
    sale: ReservationId,
}

/// What an engine returns. Two shops return the same indexes.
struct Given {
    level: LevelHandle,
    warehouse: WarehouseId,
    other_warehouse: WarehouseId,
    product: ProductId,
    listener: ListenerId,
    cursor: ReservationCursor,
}

struct Deaf;

impl StockAlertListener for Deaf {
    fn on_low_stock(&self, _: &str, _: &str, _: u32) {}
}

impl Shop {
    fn new() -> Self {
        let manager = quiet(&clock()).build().expect("legal settings");
        manager.add_stock(LAPTOPS, 10, "SUPPLIER").expect("room");
        manager.add_stock(("NYC", "LAPTOP"), 10, "SUPPLIER").expect("room");
        let hold = manager.reserve(LAPTOPS, 2, LONG).expect("stock");
        manager.reserve(LAPTOPS, 1, LONG).expect("stock");
        let sale = manager.sell(LAPTOPS, 1).expect("stock");
        Self { manager, hold, sale }
    }

    fn give(&self) -> Given {
        let manager = &self.manager;
        let page = manager.reservations(LAPTOPS, None, 1).expect("a level");
        Given {
            level: manager.level(LAPTOPS).expect("a level"),
            warehouse: manager.warehouse("SF").expect("a warehouse").id(),
            other_warehouse: manager.warehouse("NYC").expect("a warehouse").id(),
            product: manager.product("LAPTOP").expect("a product"),
            listener: manager.add_listener(Deaf),
            cursor: page.next.expect("another page"),
        }
    }

    /// Everything that a refused call might have changed.
    fn seen(&self) -> impl PartialEq + std::fmt::Debug {
        let stats = self.manager.stats();
        let far = counts(&self.manager, ("NYC", "LAPTOP"));
        let stock = (counts(&self.manager, LAPTOPS), far);
        let sizes = (stats.products, stats.levels, stats.keys, stats.slots_live);
        (stock, sizes, log_of(&self.manager).len(), self.manager.transfer_requests().len())
    }
}

/// Returns the warehouses of another engine, in their order.
struct Abroad(Vec<WarehouseId>);

impl AllocationStrategy for Abroad {
    fn order(&self, _: u32, candidates: &mut Vec<Candidate>) {
        candidates.iter_mut().zip(&self.0).for_each(|(candidate, id)| candidate.id = *id);
    }
}

/// A call, by its name in the library, with its error message, if it returned one.
type Refusal = (&'static str, Option<String>);

fn refused<T, E: Display>(name: &'static str, answer: Result<T, E>) -> Refusal {
    (name, answer.err().map(|error| error.to_string()))
}

/// Every call of a request that takes a handle, with a foreign one.
fn requests<'r>(shop: &Shop, it: &Given, request: &dyn Fn() -> Request<'r>) -> Vec<Refusal> {
    let (level, product) = (it.level, it.product);
    let (from, to) = (it.warehouse, it.other_warehouse);
    let lines = [BasketLine::new(LAPTOPS, 1), BasketLine::new(level, 1)];
    let abroad = Abroad(vec![from, to]);
    let hold = || request().owner(Owner([1; 16]));
    let keep = || request().keep_until_shipped();
    vec![
        refused("Request::add_stock", request().add_stock(level, 1, "x")),
        refused("Request::remove_stock", request().remove_stock(level, 1, "x")),
        refused("Request::ship", request().ship(level, 1)),
        refused("Request::cancel_sale", request().cancel_sale(level, 1, "x")),
        refused("Request::reserve", request().reserve(level, 1, LONG)),
        refused("Request::sell", request().sell(level, 1)),
        refused("Request::reserve_basket", request().reserve_basket(&lines, LONG)),
        refused("Request::confirm_lines", request().confirm_lines(shop.hold, &lines)),
        refused("Request::release_lines", request().release_lines(shop.hold, &lines)),
        refused(
            "Request::confirm_lines_and_release_rest",
            request().confirm_lines_and_release_rest(shop.hold, &lines),
        ),
        refused("Request::ship_lines", request().ship_lines(shop.sale, &lines)),
        refused("Request::cancel_sale_lines", request().cancel_sale_lines(shop.sale, &lines, "x")),
        refused(
            "Request::confirm_or_retake_lines",
            request().confirm_or_retake_lines(shop.hold, &lines),
        ),
        refused("Request::transfer", request().transfer(from, "NYC", "LAPTOP", 1)),
        refused("Request::transfer", request().transfer("SF", to, "LAPTOP", 1)),
        refused("Request::transfer", request().transfer("SF", "NYC", product, 1)),
        refused("Request::request_transfer", request().request_transfer(from, "NYC", "LAPTOP", 1)),
        refused("Request::request_transfer", request().request_transfer("SF", to, "LAPTOP", 1)),
        refused("Request::request_transfer", request().request_transfer("SF", "NYC", product, 1)),
        refused("Request::fulfill_by", request().fulfill_by(product, 1, &FewestParcels, LONG)),
        refused("Request::fulfill_by", request().fulfill_by("LAPTOP", 1, &abroad, LONG)),
        refused(
            "Request::fulfill_across_warehouses",
            request().fulfill_across_warehouses(product, 1, &["SF".into()], LONG),
        ),
        refused(
            "Request::fulfill_across_warehouses",
            request().fulfill_across_warehouses("LAPTOP", 1, &["SF".into(), from.into()], LONG),
        ),
        refused("HoldRequest::reserve", hold().reserve(level, 1, LONG)),
        refused("HoldRequest::sell", hold().sell(level, 1)),
        refused("HoldRequest::reserve_basket", hold().reserve_basket(&lines, LONG)),
        refused(
            "HoldRequest::confirm_or_retake_lines",
            hold().confirm_or_retake_lines(shop.hold, &lines),
        ),
        refused("HoldRequest::fulfill_by", hold().fulfill_by(product, 1, &FewestParcels, LONG)),
        refused(
            "HoldRequest::fulfill_across_warehouses",
            hold().fulfill_across_warehouses("LAPTOP", 1, &[from.into()], LONG),
        ),
        refused("SaleRequest::reserve", keep().reserve(level, 1, LONG)),
        refused("SaleRequest::sell", keep().sell(level, 1)),
        refused("SaleRequest::reserve_basket", keep().reserve_basket(&lines, LONG)),
        refused("SaleRequest::confirm_lines", keep().confirm_lines(shop.hold, &lines)),
        refused(
            "SaleRequest::confirm_lines_and_release_rest",
            keep().confirm_lines_and_release_rest(shop.hold, &lines),
        ),
        refused(
            "SaleRequest::confirm_or_retake_lines",
            keep().confirm_or_retake_lines(shop.hold, &lines),
        ),
        refused("SaleRequest::fulfill_by", keep().fulfill_by(product, 1, &FewestParcels, LONG)),
        refused(
            "SaleRequest::fulfill_across_warehouses",
            keep().fulfill_across_warehouses("LAPTOP", 1, &[from.into()], LONG),
        ),
        refused(
            "TransferRequestBuilder::request_transfer",
            request().hold_units().request_transfer(from, "NYC", "LAPTOP", 1),
        ),
    ]
}

/// Every operation of a manager that takes a handle, a listener id or a cursor, with a foreign one.
fn operations(shop: &Shop, it: &Given) -> Vec<Refusal> {
    let manager = &shop.manager;
    let (level, product) = (it.level, it.product);
    let (from, to) = (it.warehouse, it.other_warehouse);
    let lines = [BasketLine::new(LAPTOPS, 1), BasketLine::new(level, 1)];
    vec![
        refused("InventoryManager::add_stock", manager.add_stock(level, 1, "x")),
        refused("InventoryManager::remove_stock", manager.remove_stock(level, 1, "x")),
        refused("InventoryManager::ship", manager.ship(level, 1)),
        refused("InventoryManager::cancel_sale", manager.cancel_sale(level, 1, "x")),
        refused("InventoryManager::reserve", manager.reserve(level, 1, LONG)),
        refused("InventoryManager::sell", manager.sell(level, 1)),
        refused("InventoryManager::reserve_basket", manager.reserve_basket(&lines, LONG)),
        refused("InventoryManager::confirm_lines", manager.confirm_lines(shop.hold, &lines)),
        refused("InventoryManager::release_lines", manager.release_lines(shop.hold, &lines)),
        refused(
            "InventoryManager::confirm_lines_and_release_rest",
            manager.confirm_lines_and_release_rest(shop.hold, &lines),
        ),
        refused("InventoryManager::ship_lines", manager.ship_lines(shop.sale, &lines)),
        refused(
            "InventoryManager::cancel_sale_lines",
            manager.cancel_sale_lines(shop.sale, &lines, "x"),
        ),
        refused(
            "InventoryManager::confirm_or_retake_lines",
            manager.confirm_or_retake_lines(shop.hold, &lines),
        ),
        refused("InventoryManager::transfer", manager.transfer(from, to, product, 1)),
        refused(
            "InventoryManager::request_transfer",
            manager.request_transfer(from, to, product, 1),
        ),
        refused(
            "InventoryManager::fulfill_by",
            manager.fulfill_by(product, 1, &FewestParcels, LONG),
        ),
        refused(
            "InventoryManager::fulfill_across_warehouses",
            manager.fulfill_across_warehouses("LAPTOP", 1, &[from.into()], LONG),
        ),
        refused("InventoryManager::suspend", manager.suspend(from)),
        refused("InventoryManager::resume", manager.resume(from)),
        refused("InventoryManager::set_capacity", manager.set_capacity(from, 1)),
        refused("InventoryManager::set_threshold", manager.set_threshold(from, Some(1))),
        refused(
            "InventoryManager::set_product_threshold",
            manager.set_product_threshold(level, Some(1)),
        ),
        refused("InventoryManager::add_to_group", manager.add_to_group("g", &[product.into()])),
        refused(
            "InventoryManager::remove_from_group",
            manager.remove_from_group("g", &[product.into()]),
        ),
        refused("InventoryManager::usage_of_level", manager.usage_of_level("cap", level)),
        refused("InventoryManager::set_safety_stock", manager.set_safety_stock(level, 1)),
        refused(
            "InventoryManager::clear_product_threshold",
            manager.clear_product_threshold(level),
        ),
        refused(
            "InventoryManager::add_warehouse_listener",
            manager.add_warehouse_listener(from, Deaf),
        ),
        refused("InventoryManager::remove_listener", manager.remove_listener(it.listener)),
        refused("InventoryManager::level", manager.level(level)),
        refused("InventoryManager::stock_level", manager.stock_level(level)),
        refused("InventoryManager::product_name", manager.product_name(product)),
        refused("InventoryManager::warehouse", manager.warehouse(from)),
        refused("InventoryManager::counts", manager.counts(level)),
        refused("InventoryManager::available", manager.available(level)),
        refused("InventoryManager::available_with_overdue", manager.available_with_overdue(level)),
        refused("InventoryManager::reserved", manager.reserved(level)),
        refused("InventoryManager::sold", manager.sold(level)),
        refused("InventoryManager::held", manager.held(level)),
        refused("InventoryManager::levels", manager.levels(from)),
        refused("InventoryManager::reservations", manager.reservations(level, None, 1)),
        refused(
            "InventoryManager::reservations",
            manager.reservations(LAPTOPS, Some(it.cursor), 1),
        ),
        refused("InventoryManager::snapshot", manager.snapshot(&[LAPTOPS.into(), level.into()])),
        refused("InventoryManager::totals", manager.totals(product)),
        refused("InventoryManager::totals_approximate", manager.totals_approximate(product)),
    ]
}

/// The calls that were not refused as foreign, with what they answered instead.
fn let_through(table: Vec<Refusal>) -> Vec<Refusal> {
    let foreign = PlaceError::ForeignHandle.to_string();
    table.into_iter().filter(|(_, said)| said.as_ref() != Some(&foreign)).collect()
}

#[test]
fn what_another_engine_gave_out_is_refused_everywhere_and_nothing_changes() {
    let (ours, theirs) = (Shop::new(), Shop::new());
    let given = theirs.give();
    let own = ours.give();
    assert_eq!(given.level.index(), own.level.index(), "else it would be refused for its number");
    let before = ours.seen();
    assert_eq!(let_through(operations(&ours, &given)), []);
    assert_eq!(let_through(requests(&ours, &given, &|| ours.manager.request())), []);
    assert_eq!(ours.seen(), before);
    // And it still means what it meant.
    assert_eq!(theirs.manager.remove_listener(given.listener), Ok(true));
    assert_eq!(theirs.manager.available(given.level), Ok(6));
    assert!(theirs.manager.reservations(LAPTOPS, Some(given.cursor), 1).is_ok());
    assert_eq!(ours.manager.remove_listener(own.listener), Ok(true), "not the one of this number");
}

/// A key used with the own handle of the same index has an answer. This call must not get it.
#[test]
fn a_foreign_handle_is_refused_before_its_key_is_looked_up() {
    let (ours, theirs) = (Shop::new(), Shop::new());
    let (own, given) = (ours.give(), theirs.give());
    type Call<'c> = &'c dyn Fn(&Given, IdempotencyKey) -> Result<(), String>;
    let calls: [Call<'_>; 4] = [
        &|it, key| {
            let call = ours.manager.request().key(key).reserve(it.level, 1, LONG);
            call.map(drop).map_err(|error| error.to_string())
        },
        &|it, key| {
            let lines = [BasketLine::new(it.level, 1)];
            let call = ours.manager.request().key(key).release_lines(ours.hold, &lines);
            call.map(drop).map_err(|error| error.to_string())
        },
        &|it, key| {
            let (from, to) = (it.warehouse, it.other_warehouse);
            let call = ours.manager.request().key(key).transfer(from, to, it.product, 1);
            call.map_err(|error| error.to_string())
        },
        &|it, key| {
            let call = ours.manager.request().key(key);
            let call = call.fulfill_by(it.product, 1, &FewestParcels, LONG);
            call.map(drop).map_err(|error| error.to_string())
        },
    ];
    for (number, call) in calls.iter().enumerate() {
        let key = IdempotencyKey::try_from(&*format!("order-17/{number}")).expect("a key");
        assert_eq!(call(&own, key), Ok(()));
        assert_eq!(call(&given, key), Err(PlaceError::ForeignHandle.to_string()), "call {number}");
        assert_eq!(call(&own, key), Ok(()), "the first answer");
    }
}

#[test]
fn a_candidate_that_was_made_by_hand_is_no_warehouse_of_any_engine() {
    struct ByHand;
    impl AllocationStrategy for ByHand {
        fn order(&self, _: u32, candidates: &mut Vec<Candidate>) {
            *candidates = vec![Candidate::new(0, "SF", 10)];
        }
    }
    let shop = Shop::new();
    let answer = shop.manager.fulfill_by("LAPTOP", 1, &ByHand, LONG);
    assert_eq!(let_through(vec![refused("fulfill_by", answer)]), []);
}

/// The public methods in `src` that take a handle, a listener id or a cursor, as `Type::name`.
fn takers(folder: &Path) -> BTreeSet<String> {
    const TAKEN: [&str; 9] = [
        "LevelRef<",
        "WarehouseRef<",
        "ProductRef<",
        "BasketLine<",
        ": LevelHandle",
        ": WarehouseId",
        ": ProductId",
        ": ListenerId",
        "ReservationCursor>",
    ];
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.append(&mut takers(&path));
            continue;
        }
        let text = fs::read_to_string(&path).expect("a text");
        let mut owners: Vec<String> = Vec::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(rest) = line.strip_prefix("impl") {
                let rest = rest.trim_start_matches(|c| c != ' ').trim_start();
                let owner = rest.split(['<', ' ']).next().unwrap_or_default();
                owners = vec![owner.to_owned()];
            }
            // Written once for all.
            if line.starts_with("on_requests_for_holds!") {
                owners = ["Request", "HoldRequest", "SaleRequest"].map(String::from).to_vec();
            }
            if line.starts_with("on_requests_for_sales!") {
                owners = ["Request", "SaleRequest"].map(String::from).to_vec();
            }
            let Some(rest) = line.strip_prefix("    pub fn ") else { continue };
            let mut signature = rest.to_owned();
            while !signature.contains('{') {
                signature.push_str(lines.next().expect("a body"));
            }
            let name = rest.split(['<', '(']).next().unwrap_or_default();
            let parameters = signature.split(" -> ").next().unwrap_or_default();
            if TAKEN.iter().any(|taken| parameters.contains(taken)) {
                found.extend(owners.iter().map(|owner| format!("{owner}::{name}")));
            }
        }
    }
    found
}

#[test]
fn the_table_has_every_public_method_that_takes_what_an_engine_gave_out() {
    let mut takers = takers(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    // A basket's line is only a note of the place; the call that gets it refuses it.
    assert!(takers.remove("BasketLine::new"), "{takers:?}");
    // Told which engine they are for, they take nothing from outside.
    let outside = [
        "InventoryManager::",
        "Request::",
        "HoldRequest::",
        "SaleRequest::",
        "TransferRequestBuilder::",
    ];
    takers.retain(|name| outside.iter().any(|owner| name.starts_with(owner)));
    assert!(takers.len() > 50, "only {takers:?}");
    let (ours, theirs) = (Shop::new(), Shop::new());
    let mut table = operations(&ours, &theirs.give());
    table.extend(requests(&ours, &theirs.give(), &|| ours.manager.request()));
    let table: BTreeSet<String> = table.into_iter().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(takers, table);
}

#[test]
fn of_many_engines_no_two_that_live_or_lived_lately_have_handles_in_common() {
    const LIVE: usize = 20;
    let build = || {
        let builder = InventoryManager::builder().warehouse("SF").without_threads();
        let builder =
            builder.limits(small().max_reservations(64).audit_queue(64).audit_retained(1));
        let manager = builder.build().expect("a small engine");
        let level = manager.open_level("SF", "LAPTOP").expect("a warehouse");
        (manager, level)
    };
    let mut seen = HashSet::new();
    let mut live: VecDeque<(InventoryManager, LevelHandle)> = VecDeque::new();
    for number in 0..1_000 {
        let (manager, level) = build();
        assert_eq!(level.index(), 0);
        assert!(seen.insert(level), "engine {number} has the handle of one before");
        for (other, theirs) in &live {
            assert_eq!(manager.available(*theirs), Err(PlaceError::ForeignHandle));
            assert_eq!(other.available(level), Err(PlaceError::ForeignHandle));
        }
        live.push_back((manager, level));
        // The oldest of them goes now and then, and one that lives long stays.
        if live.len() > LIVE {
            live.remove(1);
        }
    }
}
