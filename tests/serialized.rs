//! What serde writes of the library's types, and what it reads back. These texts are part of the
//! library's interface: a service hands them to its own clients.

use std::fmt::Debug;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use stockade::{
    AdjustmentType, AskedAt, AuditFilter, Backpressure, BasketLine, ConfirmOrRetake, Durability,
    EntryType, Error, ErrorKind, EventType, IdempotencyKey, InventoryManager, KeyAnswer,
    LimitCounts, LimitRule, LimitUnit, MAX_UNITS, ManualClock, OperationKind, Owner, Release,
    ReservationId, ReservationStatus, ReserveError, Timestamp, TransferRequestId, WarehouseSpec,
};

const TTL: Duration = Duration::from_secs(60);
const SHOE: (&str, &str) = ("SF", "SHOE");
const OWNER: Owner = Owner([0x11; 16]);

fn shop() -> InventoryManager {
    let builder = InventoryManager::builder().warehouse("SF").warehouse("NYC").without_threads();
    let clock = ManualClock::at(Timestamp::from_millis(1_000));
    let manager = builder.clock(clock).seed(7).subject_secret([7; 16]).build().expect("a shop");
    manager.add_stock(SHOE, 10, "SUPPLIER").expect("room");
    manager
}

fn written(value: impl Serialize) -> Value {
    serde_json::to_value(value).expect("JSON")
}

#[track_caller]
fn is_both_ways<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T, text: &Value) {
    assert_eq!(&written(&value), text);
    assert_eq!(serde_json::from_value::<T>(text.clone()).expect("as it was written"), value);
}

#[test]
fn ids_owners_and_times_are_read_as_they_are_written() {
    let manager = shop();
    let hold = manager.reserve(SHOE, 1, TTL).expect("stock");
    is_both_ways(hold, &json!(hold.to_string()));
    is_both_ways(OWNER, &json!("11111111-1111-1111-1111-111111111111"));
    assert_eq!(OWNER.to_string().parse(), Ok(OWNER));
    is_both_ways(TransferRequestId::from(17), &json!("17"));
    is_both_ways(Timestamp::from_millis(1_700_000_000_123), &json!(1_700_000_000_123_u64));
    is_both_ways(EntryType::from(AdjustmentType::Sold), &json!("Sold"));
    is_both_ways(EntryType::from(EventType::LimitDefined), &json!("LimitDefined"));
    for wrong in [json!("no id"), json!(17), json!("11111111-1111-1111-1111-111111111111")] {
        assert!(serde_json::from_value::<ReservationId>(wrong.clone()).is_err(), "{wrong}");
    }
    assert!(serde_json::from_value::<Owner>(json!("nobody")).is_err());
    assert!(serde_json::from_value::<Timestamp>(json!(u64::MAX)).is_err());
    assert!(serde_json::from_value::<EntryType>(json!("Stolen")).is_err());
}

#[test]
fn answers_and_settings_are_read_as_they_are_written() {
    is_both_ways(ReservationStatus::Pending, &json!("pending"));
    is_both_ways(Release::AlreadyReleased, &json!("already_released"));
    let partly = Release::PartlySold { sold: 1, returned: 2 };
    is_both_ways(partly, &json!({ "partly_sold": { "sold": 1, "returned": 2 } }));
    is_both_ways(ConfirmOrRetake::Confirmed, &json!("confirmed"));
    is_both_ways(Durability::Synced, &json!("synced"));
    is_both_ways(OperationKind::CancelSale, &json!("cancel_sale"));
    is_both_ways(Backpressure::Refuse, &json!("refuse"));
    let warehouse = json!({ "name": "SF", "capacity": MAX_UNITS, "threshold": null });
    is_both_ways(WarehouseSpec::new("SF"), &warehouse);
    let warehouse = json!({ "name": "SF", "capacity": 50, "threshold": 5 });
    is_both_ways(WarehouseSpec::new("SF").capacity(50).threshold(5), &warehouse);
    let short: WarehouseSpec = serde_json::from_value(json!({ "name": "SF" })).expect("a name");
    assert_eq!(short, WarehouseSpec::new("SF"));
    let manager = shop();
    manager.request().keep_until_shipped().sell(SHOE, 1).expect("stock");
    manager.sell(SHOE, 1).expect("stock");
    let id = manager.reserve(SHOE, 4, TTL).expect("stock");
    let counts = manager.counts(SHOE).expect("a level");
    is_both_ways(counts, &json!({ "available": 4, "reserved": 6, "sold": 2, "tracked": 1 }));
    is_both_ways(ConfirmOrRetake::Retaken(id), &json!({ "retaken": id.to_string() }));
    assert_eq!(written(KeyAnswer::InProgress), json!("in_progress"));
    assert_eq!(written(KeyAnswer::Reserved(id)), json!({ "reserved": id.to_string() }));
    assert_eq!(written(KeyAnswer::Released(partly))["released"], written(partly));
}

#[test]
fn a_limit_needs_no_more_than_its_name_its_kind_and_its_maximum() {
    let day = Duration::from_secs(86_400);
    let whole = LimitRule::new("one a day", "household", 1)
        .counts(LimitCounts::SalesWithin(day))
        .reservations()
        .asked_at_sale()
        .group("drop")
        .products(["SHOE"]);
    let text = json!({
        "name": "one a day",
        "kind": "household",
        "by_level": false,
        "maximum": 1,
        "unit": "reservations",
        "counts": { "sales_within": 86_400_000 },
        "asked": "sale",
        "group": "drop",
        "products": ["SHOE"],
    });
    is_both_ways(whole, &text);
    let short = json!({ "name": "two each", "kind": "customer", "maximum": 2 });
    let read: LimitRule = serde_json::from_value(short).expect("a limit");
    assert_eq!(read, LimitRule::new("two each", "customer", 2));
    assert_eq!((read.unit, read.asked), (LimitUnit::Units, AskedAt::Hold));
    let by_level = json!({ "name": "cap", "by_level": true, "maximum": 9, "counts": "holds" });
    let read: LimitRule = serde_json::from_value(by_level).expect("a limit");
    assert_eq!(read, LimitRule::by_level("cap", 9));
    let misspelled = json!({ "name": "two", "kind": "customer", "maximum": 2, "product": ["X"] });
    assert!(serde_json::from_value::<LimitRule>(misspelled).is_err());
}

#[test]
fn a_reservation_shows_its_lines_by_name() {
    let manager = shop();
    manager.add_stock(("SF", "SOCK"), 5, "SUPPLIER").expect("room");
    let lines = [BasketLine::new(SHOE, 2), BasketLine::new(("SF", "SOCK"), 1)];
    let hold = manager.request().owner(OWNER).reserve_basket(&lines, TTL).expect("stock");
    let line = |product, quantity| {
        json!({
            "warehouse": "SF", "product": product, "quantity": quantity, "held": quantity,
            "sold": 0, "settled": 0,
        })
    };
    let expected = json!({
        "id": hold.to_string(),
        "status": "pending",
        "lines": [line("SHOE", 2), line("SOCK", 1)],
        "owner": OWNER.to_string(),
        "created_at": 1_000,
        "expires_at": 61_000,
        "retaken_from": null,
        "keep_until_shipped": false,
    });
    assert_eq!(written(manager.reservation(hold).expect("live")), expected);
    let level = &written(manager.levels("SF").expect("a warehouse"))[0];
    let counts = json!({ "available": 8, "reserved": 2, "sold": 0, "tracked": 0 });
    assert_eq!(level, &json!({ "product": "SHOE", "counts": counts }));
    let both = manager.snapshot(&[SHOE.into()]).expect("levels");
    assert_eq!(written(both), json!([{ "available": 8, "reserved": 2 }]));
    let totals = manager.totals_approximate("SHOE").expect("a product");
    is_both_ways(totals, &json!({ "available": 8, "reserved": 2 }));
}

#[test]
fn an_entry_shows_its_notes_as_a_map_and_what_it_counts_under_limits() {
    let manager = shop();
    let rule = LimitRule::new("two each", "customer", 2).products(["SHOE"]);
    manager.define_limit(rule).expect("a limit");
    let key = IdempotencyKey::try_from("order-17/reserve").expect("a key");
    let request = manager.request().key(key).note("order", "A-17").subject("customer", "ann");
    let hold = request.owner(OWNER).reserve(SHOE, 2, TTL).expect("stock");
    manager.flush().wait().expect("written");
    let log = manager.audit_log().query(&AuditFilter::new().reservation(hold)).entries;
    let found = written(&log[0]);
    let subject = found["limits"][0]["subject"].clone();
    assert_eq!(subject.as_str().map(str::len), Some(32));
    let expected = json!({
        "sequence": log[0].sequence,
        "entry_type": "Reserved",
        "at": 1_000,
        "warehouse": "SF",
        "product": "SHOE",
        "other_warehouse": null,
        "quantity": 2,
        "reservation": hold.to_string(),
        "owner": OWNER.to_string(),
        "expires_at": 61_000,
        "retaken_from": null,
        "record": log[0].sequence,
        "key": key.hashed().to_string(),
        "limits": [{
            "rule": 0, "version": 1, "subject": subject, "maximum": 2, "used_after": 2,
            "passed": false,
        }],
        "metadata": { "order": "A-17" },
    });
    assert_eq!(found, expected);
}

#[test]
fn an_error_says_what_programs_and_people_need_to_know() {
    let manager = shop();
    let refused = manager.reserve(SHOE, 11, TTL).expect_err("too many");
    let expected = json!({
        "code": "insufficient",
        "kind": "short",
        "message": refused.to_string(),
        "retryable": refused.is_retryable(),
        "applied": "no",
    });
    assert!(matches!(refused, ReserveError::Insufficient { .. }));
    assert_eq!(refused.kind(), ErrorKind::Short);
    assert_eq!(written(&refused), expected);
    // It stays itself in the one error over all.
    assert_eq!(written(Error::from(refused)), expected);
}

#[test]
fn figures_are_written_with_their_units() {
    let manager = shop();
    let stats = written(manager.stats());
    for (name, is_there) in [("sweeper_lag_ms", true), ("oldest_key_ms", false)] {
        let value = stats.get(name).unwrap_or_else(|| panic!("no {name} in {stats}"));
        assert_eq!(value.is_u64(), is_there, "{name}");
    }
    assert_eq!(stats["refusals"]["insufficient"], 0);
    assert_eq!(stats["outcomes"]["oldest_ms"], 0);
    assert_eq!(written(manager.health()), json!("ok"));
}
