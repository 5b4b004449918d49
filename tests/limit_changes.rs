//! Limits that change while customers buy: what was drawn stays, and the next call goes by what
//! stands then.

mod common;

use std::time::Duration;

use common::limits::{DAY, SHOE, SOCK, TTL, shop, two_each, used};
use common::log_of;
use stockade::{DefineLimitError, InventoryManager, LimitCounts, LimitRule};

#[test]
fn a_maximum_changes_and_nothing_else_of_its_limit() {
    let (manager, _) = shop();
    let all = two_each(LimitCounts::SalesWithin(DAY)).reservations().group("drop");
    manager.define_limit(all).expect("a limit");
    let ann = manager.request().subject("customer", "ann");
    ann.sell(SHOE, 7).expect("one order");
    let before = manager.limits();
    manager.set_limit_maximum("two each", 0).expect("a limit");
    assert!(ann.sell(SHOE, 1).is_err());
    manager.set_limit_maximum("two each", 3).expect("a limit");
    assert_eq!(manager.usage("two each", "ann").map(|it| (it.used, it.maximum)), Ok((1, 3)));
    ann.sell(SOCK, 1).expect("the second order");
    ann.sell(SHOE, 1).expect("the third");
    assert!(ann.sell(SHOE, 1).is_err());
    manager.set_limit_maximum("two each", 2).expect("a limit");
    assert_eq!(manager.limits(), before);
    let unknown = manager.set_limit_maximum("no such", 1);
    assert!(matches!(unknown, Err(DefineLimitError::Unknown { .. })), "{unknown:?}");
    let above = manager.set_limit_maximum("two each", u32::MAX);
    assert!(matches!(above, Err(DefineLimitError::OutOfBounds { .. })), "{above:?}");
    assert_eq!(manager.limits(), before);
    let told = log_of(&manager).into_iter().filter_map(|it| it.note("maximum").map(str::to_owned));
    let mut told: Vec<String> = told.collect();
    // Each stands in an entry for each product.
    told.dedup();
    assert_eq!(told, ["2", "0", "3", "2"]);
}

#[test]
fn limits_change_and_take_nothing_back() {
    let (manager, _) = shop();
    manager.define_limit(two_each(LimitCounts::Sales)).expect("a limit");
    let ann = manager.request().subject("customer", "ann");
    let hold = ann.reserve(SHOE, 2, TTL).expect("two");
    // Lowered below what is used: nothing is taken back, and the next is refused.
    let lowered = LimitRule::new("two each", "customer", 1).products(["SHOE", "SOCK"]);
    manager.define_limit(lowered.clone()).expect("the same limit");
    assert_eq!(manager.usage("two each", "ann").map(|it| (it.used, it.maximum)), Ok((2, 1)));
    assert!(ann.reserve(SOCK, 1, TTL).is_err());
    let _ = manager.release(hold).expect("what gives always fits");
    assert_eq!(used(&manager, "two each", "ann"), 0);
    // Taken out of what the limit covers: its draws are given back all the same.
    let hold = ann.reserve(SHOE, 1, TTL).expect("one");
    let narrow = LimitRule::new("two each", "customer", 1).products(["SOCK"]);
    manager.define_limit(narrow).expect("the same limit");
    manager.sell(SHOE, 1).expect("nobody asks");
    assert_eq!(used(&manager, "two each", "ann"), 1);
    let _ = manager.release(hold).expect("held");
    assert_eq!(used(&manager, "two each", "ann"), 0);
    // Another kind of count is another limit.
    let other = LimitRule::new("two each", "customer", 1).counts(LimitCounts::Holds);
    assert!(matches!(manager.define_limit(other.clone()), Err(DefineLimitError::Redefined { .. })));
    ann.sell(SOCK, 1).expect("one");
    manager.drop_limit("two each").expect("a limit");
    manager.sell(SOCK, 5).expect("nobody asks");
    manager.define_limit(other.products(["SOCK"])).expect("a new limit");
    assert_eq!(used(&manager, "two each", "ann"), 0, "it begins to count at 0");
    assert_eq!(manager.limits().len(), 1);
    assert!(matches!(manager.drop_limit("no such"), Err(DefineLimitError::Unknown { .. })));
}

#[test]
fn groups_bind_what_is_put_into_them_for_as_long_as_it_is_there() {
    let (manager, _) = shop();
    manager.define_limit(LimitRule::new("two each", "customer", 2).group("drop")).expect("a limit");
    manager.sell(SHOE, 1).expect("nobody asks");
    manager.add_to_group("drop", &["SHOE".into()]).expect("a product");
    assert!(manager.sell(SHOE, 1).is_err());
    // A level that opens later is bound as well.
    manager.add_stock(("NYC", "SOCK"), 5, "SUPPLIER").expect("room");
    manager.add_to_group("drop", &["SOCK".into()]).expect("a product");
    assert!(manager.sell(("NYC", "SOCK"), 1).is_err());
    let ann = manager.request().subject("customer", "ann");
    ann.sell(SHOE, 1).expect("one");
    ann.sell(SOCK, 1).expect("the second");
    assert!(ann.sell(("NYC", "SOCK"), 1).is_err(), "over all warehouses");
    assert_eq!(ann.room_for("SOCK"), Ok(Some(0)));
    manager.remove_from_group("drop", &["SHOE".into()]).expect("a product");
    manager.sell(SHOE, 1).expect("nobody asks");
    assert_eq!((used(&manager, "two each", "ann"), ann.room_for("SHOE")), (2, Ok(None)));
    assert!(manager.add_to_group("drop", &["NO SUCH".into()]).is_err());
}

/// Fields that contradict each other.
#[test]
fn a_rule_that_is_changed_by_its_fields_is_checked_as_any_other() {
    let manager = InventoryManager::builder().warehouse("SF").build().expect("no secret");
    manager.add_stock(SHOE, 9, "SUPPLIER").expect("room");
    let held = LimitRule::new("each", "customer", 2).counts(LimitCounts::Holds);
    let mut rule = held.products(["SHOE"]);
    rule.by_level = true;
    let refused = manager.define_limit(rule).expect_err("by level, or by customer?");
    let of_kind = DefineLimitError::OutOfBounds {
        setting: "the kind of subject",
        expected: "\"level\", where a limit is by level",
    };
    assert_eq!(refused, of_kind);
    let mut rule = LimitRule::by_level("cap", 2).products(["SHOE"]);
    rule.by_level = false;
    assert!(manager.define_limit(rule).is_err());
    assert_eq!(manager.limits(), []);

    // Whole milliseconds, as a journal has them.
    let (manager, _) = shop();
    let within = |micros| LimitCounts::SalesWithin(Duration::from_micros(micros));
    let mut rule = two_each(within(1_000));
    rule.counts = within(1_500);
    manager.define_limit(rule.clone()).expect("a limit");
    manager.define_limit(two_each(within(1_500))).expect("the same limit");
    manager.define_limit(rule).expect("the same limit");
    assert_eq!(manager.limits()[0].counts, within(1_000));
}
