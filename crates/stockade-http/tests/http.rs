//! The router as clients meet it, without a socket.

mod common;

use std::time::Duration;

use common::{Client, journal_folder};
use serde_json::{Value, json};
use stockade::{Backpressure, InventoryManager, JournalOptions};
use stockade_http::{Auth, HttpOptions, NewToken, Role, Tokens, Waits, openapi, router_with};

fn shop() -> InventoryManager {
    let builder = InventoryManager::builder().warehouse("SF").warehouse("NYC");
    let builder = builder.backpressure(Backpressure::Refuse).subject_secret([7; 16]);
    builder.build().expect("a shop")
}

fn client(manager: &InventoryManager) -> Client {
    Client::new(router_with(manager.clone(), Auth::loopback_only(), HttpOptions::default()))
}

async fn stocked() -> (InventoryManager, Client) {
    let manager = shop();
    let client = client(&manager);
    let added =
        client.post("/v1/stock/SF/SHOE/add", json!({ "quantity": 10, "source": "S" })).await;
    assert_eq!(added.status, 200, "{added:?}");
    (manager, client)
}

fn hold_of(quantity: u32) -> Value {
    json!({
        "lines": [{ "warehouse": "SF", "product": "SHOE", "quantity": quantity }],
        "ttl_ms": 60_000,
    })
}

#[tokio::test]
async fn the_life_of_a_sale() {
    let (manager, client) = stocked().await;
    let made = client.post("/v1/holds", hold_of(3)).await;
    assert_eq!(made.status, 201, "{made:?}");
    let hold = format!("/v1/holds/{}", made.text("id"));
    let seen = client.get(&hold).await;
    assert_eq!((seen.text("status"), seen.body["lines"][0]["held"].as_u64()), ("pending", Some(3)));
    assert_eq!(
        client.post(&format!("{hold}/extend"), json!({ "ttl_ms": 90_000 })).await.status,
        200
    );
    let sold = client.post(&format!("{hold}/confirm"), json!({})).await;
    assert_eq!((sold.status, sold.text("status")), (200, "confirmed"));
    let lines = json!([{ "warehouse": "SF", "product": "SHOE", "quantity": 1 }]);
    let cancelled = json!({ "lines": lines, "reason": "broken" });
    assert_eq!(client.post(&format!("{hold}/cancel-sale"), cancelled).await.status, 200);
    assert_eq!(client.post(&format!("{hold}/ship"), json!({ "lines": lines })).await.status, 200);
    let counts = client.get("/v1/stock/SF/SHOE").await;
    let expected = json!({ "available": 8, "reserved": 1, "sold": 1, "held": 0, "on_hand": 9 });
    assert_eq!(counts.body, expected);
    manager.flush().wait().expect("a log");
    let log = client.get("/v1/audit?newest=true&limit=2").await;
    assert_eq!(log.body["entries"][0]["entry_type"], "Shipped");
    assert_eq!(log.body["entries"][1]["entry_type"], "SaleCancelled");
    let next = log.body["next"].as_u64().expect("there are more");
    let page = client.get(&format!("/v1/audit?newest=true&limit=500&after={next}")).await;
    assert_eq!(page.body["entries"][0]["sequence"].as_u64(), Some(next - 1));
    assert_eq!(page.body["next"], Value::Null);
}

#[tokio::test]
async fn a_basket_is_all_or_nothing_and_a_released_hold_gives_all_back() {
    let (_, client) = stocked().await;
    let line = |product: &str, quantity: u32| json!({ "warehouse": "SF", "product": product, "quantity": quantity });
    let basket = json!({ "lines": [line("SHOE", 2), line("SOCK", 1)], "ttl_ms": 1_000 });
    let short = client.post("/v1/holds", basket.clone()).await;
    assert_eq!((short.status, short.text("code")), (409, "insufficient"), "{short:?}");
    let added = client.post("/v1/stock/SF/SOCK/add", json!({ "quantity": 1, "source": "S" }));
    assert_eq!(added.await.status, 200);
    let made = client.post("/v1/holds", basket).await;
    assert_eq!(made.status, 201);
    let release = format!("/v1/holds/{}/release", made.text("id"));
    assert_eq!(client.post(&release, json!({})).await.body["outcome"], "released");
    assert_eq!(client.post(&release, json!({})).await.body["outcome"], "already_released");
    let none = client.post("/v1/holds", json!({ "lines": [], "ttl_ms": 1_000 })).await;
    assert_eq!((none.status, none.text("code")), (422, "no_lines"));
}

#[tokio::test]
async fn a_refusal_says_its_code_and_its_numbers() {
    let (_, client) = stocked().await;
    let short = client.post("/v1/holds", hold_of(11)).await;
    assert_eq!((short.status, short.text("code")), (409, "insufficient"));
    assert_eq!(short.header("content-type"), "application/problem+json");
    assert_eq!(short.body["figures"]["needed"], 11);
    assert_eq!(short.body["figures"]["available"], 10);
    assert_eq!(short.text("type"), "urn:stockade:insufficient");
    let cases = [
        ("/v1/stock/SF/SHO", 404, "never_stocked"),
        ("/v1/stock/LA/SHOE", 404, "unknown_warehouse"),
        ("/v1/holds/nonsense", 422, "invalid_reservation_id"),
        ("/v1/nowhere", 404, "no_such_path"),
        ("/v1/audit?limit=0", 400, "invalid_query"),
        ("/v1/audit?after=9223372036854775808", 400, "invalid_query"),
        ("/v1/events?after=9223372036854775808", 400, "invalid_query"),
        ("/v1/audit?colour=red", 400, "invalid_query"),
        ("/v1/sales", 405, "method_not_allowed"),
    ];
    for (path, status, code) in cases {
        let refused = client.get(path).await;
        assert_eq!((refused.status, refused.text("code")), (status, code), "{path}");
    }
    let zero = client.post("/v1/holds", hold_of(0)).await;
    assert_eq!((zero.status, zero.text("code")), (422, "invalid_quantity"));
    let unknown = client.post("/v1/holds", json!({ "lines": [], "ttl_ms": 1, "colour": 1 })).await;
    assert_eq!((unknown.status, unknown.text("code")), (400, "invalid_body"));
}

#[tokio::test]
async fn a_key_answers_a_retry_and_belongs_to_its_caller() {
    let manager = shop();
    let made = ["a", "b"].map(|name| NewToken::random(name, Role::Sell).expect("a generator"));
    let tokens: Tokens = made.each_ref().map(|it| it.line()).join("\n").parse().expect("tokens");
    let auth = Auth::tokens(tokens);
    let service = Client::new(router_with(manager.clone(), auth, HttpOptions::default()));
    let [a, b] =
        made.each_ref().map(|it| service.with("authorization", &format!("Bearer {}", it.secret())));
    let add = json!({ "quantity": 10, "source": "S" });
    assert_eq!(a.post("/v1/stock/SF/SHOE/add", add).await.status, 200);
    let key = "k".repeat(255);
    let (a, b) = (a.with("idempotency-key", &key), b.with("idempotency-key", &key));
    let first = a.post("/v1/holds", hold_of(2)).await;
    let again = a.post("/v1/holds", hold_of(2)).await;
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.text("id"), again.text("id"));
    let other = a.post("/v1/holds", hold_of(1)).await;
    assert_eq!((other.status, other.text("code")), (422, "key_conflict"));
    let of_b = b.post("/v1/holds", hold_of(2)).await;
    assert_eq!(of_b.status, 201);
    assert_ne!(first.text("id"), of_b.text("id"));
    assert_eq!(manager.available(("SF", "SHOE")), Ok(6));
    for wrong in ["", &"k".repeat(256)] {
        let refused = service.with("authorization", &format!("Bearer {}", made[0].secret()));
        let refused = refused.with("idempotency-key", wrong).post("/v1/holds", hold_of(1)).await;
        assert_eq!((refused.status, refused.text("code")), (422, "invalid_key"), "{wrong:?}");
    }
}

#[tokio::test]
async fn a_token_may_do_what_its_role_says_and_no_more() {
    let manager = shop();
    manager.add_stock(("SF", "SHOE"), 10, "S").expect("room");
    let made = Role::ALL.map(|role| NewToken::random(role.name(), role).expect("a generator"));
    let tokens: Tokens = made.each_ref().map(|it| it.line()).join("\n").parse().expect("tokens");
    let auth = Auth::tokens(tokens);
    let service = Client::new(router_with(manager, auth.clone(), HttpOptions::default()));
    let bearer = |secret: &str| service.with("authorization", &format!("Bearer {secret}"));
    let [read, sell, operate, metrics] = made.each_ref().map(|it| bearer(it.secret()));
    let statuses = async |client: &Client| {
        [
            client.get("/v1/stock/SF/SHOE").await.status,
            client.post("/v1/holds", hold_of(1)).await.status,
            client.post("/v1/snapshot", json!({ "levels": [["SF", "SHOE"]] })).await.status,
            client.get("/v1/stats").await.status,
            client.get("/health").await.status,
        ]
    };
    assert_eq!(statuses(&read).await, [200, 403, 403, 403, 200]);
    assert_eq!(statuses(&sell).await, [200, 201, 403, 403, 200]);
    assert_eq!(statuses(&operate).await, [200, 201, 200, 200, 200]);
    assert_eq!(statuses(&metrics).await, [403, 403, 403, 200, 200]);
    assert_eq!(statuses(&service).await, [401, 401, 401, 401, 200]);
    assert_eq!(statuses(&bearer("stk_00")).await, [401, 401, 401, 401, 200]);
    assert_eq!(service.get("/v1/stats").await.header("www-authenticate"), "Bearer");
    // In an address a token would stand in logs.
    let in_address = format!("/v1/stats?token={}", made[2].secret());
    assert_eq!(service.get(&in_address).await.status, 401);
    let mut passing = hold_of(1);
    passing["buyer"] = json!({ "pass_safety_stock": "the boss" });
    assert_eq!(sell.post("/v1/holds", passing.clone()).await.status, 403);
    assert_eq!(operate.post("/v1/holds", passing).await.status, 201);
    auth.replace(Tokens::default());
    assert_eq!(statuses(&operate).await, [401, 401, 401, 401, 200]);
}

#[tokio::test]
async fn without_tokens_no_page_in_a_browser_can_call() {
    let (manager, client) = stocked().await;
    let rebound = client.with("host", "evil.example");
    assert_eq!(rebound.get("/v1/stock/SF/SHOE").await.text("code"), "foreign_origin");
    let forged = client.with("origin", "http://evil.example");
    assert_eq!(forged.post("/v1/holds", hold_of(1)).await.status, 403);
    for kind in ["text/plain", "application/x-www-form-urlencoded", ""] {
        let form = client.with("content-type", kind).post("/v1/holds", hold_of(1)).await;
        assert_eq!((form.status, form.text("code")), (415, "not_json"), "{kind}");
    }
    assert_eq!(manager.available(("SF", "SHOE")), Ok(10));
}

#[tokio::test]
async fn a_body_that_is_too_large_or_broken_is_refused() {
    let (manager, client) = stocked().await;
    let mut large = hold_of(1);
    large["notes"] = json!({ "n": "x".repeat(300 << 10) });
    assert_eq!(client.post("/v1/holds", large).await.status, 413);
    for broken in ["{", "[]", "{\"lines\": 3}", "null", "\u{0}"] {
        let refused = client.send("POST", "/v1/holds", broken.to_owned()).await;
        assert_eq!((refused.status, refused.text("code")), (400, "invalid_body"), "{broken}");
    }
    assert_eq!(manager.available(("SF", "SHOE")), Ok(10));
}

#[tokio::test]
async fn limits_and_transfers_with_approval() {
    let (manager, client) = stocked().await;
    let rule =
        json!({ "name": "two each", "kind": "customer", "maximum": 2, "products": ["SHOE"] });
    assert_eq!(client.send("PUT", "/v1/limits", rule.to_string()).await.status, 200);
    let mut ann = hold_of(2);
    ann["buyer"] = json!({ "subjects": { "customer": "ann" } });
    assert_eq!(client.post("/v1/holds", ann.clone()).await.status, 201);
    let refused = client.post("/v1/holds", ann).await;
    assert_eq!((refused.status, refused.text("code")), (409, "limit_reached"));
    assert_eq!(refused.body["figures"]["maximum"], 2);
    let usage = client.get("/v1/limits/two%20each/usage/ann").await;
    assert_eq!((usage.body["used"].as_u64(), usage.body["left"].as_u64()), (Some(2), Some(0)));
    let holds = client.get("/v1/subjects/customer/ann/holds").await;
    assert_eq!(holds.body.as_array().map(Vec::len), Some(1));
    assert_eq!(client.send("DELETE", "/v1/limits/two%20each", String::new()).await.status, 200);

    let wanted = json!({ "from": "SF", "to": "NYC", "product": "SHOE", "quantity": 3 });
    let asked = client.post("/v1/transfer-requests", wanted.clone()).await;
    assert_eq!(asked.status, 201, "{asked:?}");
    let request = format!("/v1/transfer-requests/{}", asked.text("id"));
    assert_eq!(client.get(&request).await.body["status"], "pending_approval");
    let approve = format!("{request}/approve");
    assert_eq!(client.post(&approve, json!({ "who": "mira" })).await.status, 200);
    let again = client.post(&approve, json!({ "who": "mira" })).await;
    assert_eq!((again.status, again.text("code")), (409, "transfer_approved"));
    assert_eq!(manager.available(("NYC", "SHOE")), Ok(3));
    assert_eq!(client.post("/v1/transfers", wanted).await.status, 200);
    assert_eq!(client.get("/v1/products/SHOE/totals").await.body["on_hand"], 10);
}

#[tokio::test]
async fn a_synced_answer_is_awaited_and_a_late_payment_is_right() {
    let folder = journal_folder("http-synced");
    let build = || {
        // A hold that ran out while nobody could pay would get some more time otherwise.
        let journal = JournalOptions::directory(&folder).recovery_grace(Duration::ZERO);
        let builder = InventoryManager::builder().warehouse("SF").journal(journal);
        builder.backpressure(Backpressure::Refuse).build().expect("a journal")
    };
    let manager = build();
    let mut options = HttpOptions::default();
    options.waits = Waits::All;
    let client = Client::new(router_with(manager.clone(), Auth::loopback_only(), options.clone()));
    let add = json!({ "quantity": 10, "source": "S" });
    assert_eq!(client.post("/v1/stock/SF/SHOE/add", add).await.status, 200);
    let mut short = hold_of(2);
    short["ttl_ms"] = json!(1);
    let made = client.with("idempotency-key", "cart-1").post("/v1/holds", short.clone()).await;
    let confirm = format!("/v1/holds/{}/confirm", made.text("id"));
    tokio::time::sleep(Duration::from_millis(20)).await;
    drop(client);
    let _ = manager.shutdown(Duration::from_secs(5));
    drop(manager);
    // Another process, later.
    let manager = build();
    let client = Client::new(router_with(manager.clone(), Auth::loopback_only(), options));
    let again = client.with("idempotency-key", "cart-1").post("/v1/holds", short).await;
    assert_eq!(again.text("id"), made.text("id"), "the key outlives the process");
    let late = client.post(&confirm, json!({})).await;
    assert_eq!((late.status, late.text("code")), (410, "hold_expired"), "{late:?}");
    let retaken = client.with("idempotency-key", "pay-1");
    let retaken = retaken.post(&confirm, json!({ "or_retake": true })).await;
    assert_eq!(retaken.status, 200, "{retaken:?}");
    assert_ne!(retaken.text("retaken"), made.text("id"));
    let verified = client.post("/v1/verify", json!({})).await;
    assert_eq!(
        (verified.status, verified.body["sound"].as_bool()),
        (200, Some(true)),
        "{verified:?}"
    );
    drop((client, manager));
    std::fs::remove_dir_all(folder).expect("the journal's folder");
}

#[tokio::test]
async fn events_come_in_order_and_resume_by_position() {
    let (manager, client) = stocked().await;
    for _ in 0..3 {
        manager.sell(("SF", "SHOE"), 1).expect("stock");
    }
    manager.flush().wait().expect("a log");
    let first = client.events("/v1/events?after=0", None, 4).await;
    let ids: Vec<u64> = first.iter().map(|event| event.id).collect();
    assert_eq!(ids, [1, 2, 3, 4]);
    let resumed = client.events("/v1/events", Some(3), 2).await;
    assert_eq!(resumed.iter().map(|event| event.id).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(resumed[0].data["sequence"], 4);
    // Entries that are written while the stream is open.
    let selling = manager.clone();
    let newest = manager.audit_log().newest_sequence();
    let sale = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_millis(100));
        selling.sell(("SF", "SHOE"), 1).map(drop)
    });
    let live = client.events("/v1/events", None, 1).await;
    sale.await.expect("a thread").expect("stock");
    assert_eq!(live[0].id, newest + 1);
}

#[test]
fn the_document_names_every_path_and_its_problems() {
    let document = serde_json::to_value(openapi()).expect("JSON");
    let paths = document["paths"].as_object().expect("paths");
    assert!(paths.len() >= 30, "{}", paths.len());
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().expect("methods") {
            let open = ["/health", "/ready"].contains(&path.as_str());
            assert_eq!(operation["security"].is_array(), !open, "{method} {path}");
            assert_eq!(operation["responses"]["default"].is_object(), !open, "{method} {path}");
        }
    }
    assert!(document["components"]["schemas"]["Problem"].is_object());
    assert!(document["components"]["securitySchemes"]["token"].is_object());
}
