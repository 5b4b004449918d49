//! Limits per subject over restarts: what is restored, what an opening refuses, what `verify`
//! finds.

use std::time::Duration;

use stockade::testing::SimulatedDisk;
use stockade::{
    AuditEntry, AuditFilter, BasketLine, Builder, EventType, InventoryManager, JournalError,
    JournalOptions, LimitCounts, LimitRule, ManualClock, Timestamp,
};

const TTL: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
const SHOE: (&str, &str) = ("SF", "SHOE");
const SOCK: (&str, &str) = ("SF", "SOCK");

fn builder(disk: &SimulatedDisk) -> Builder {
    InventoryManager::builder().warehouse("SF").without_threads().journal(
        JournalOptions::storage(disk.clone()).least_free_space(0).recovery_grace(Duration::ZERO),
    )
}

fn open_at(disk: &SimulatedDisk, secs: u64) -> InventoryManager {
    let clock = ManualClock::at(Timestamp::from_millis(secs * 1_000));
    builder(disk).clock(clock).subject_secret([7; 16]).build().expect("a journal")
}

fn log_of(manager: &InventoryManager) -> Vec<AuditEntry> {
    manager.flush().wait().expect("a healthy log");
    manager.audit_log().query(&AuditFilter::new().limit(usize::MAX)).entries
}

fn used(manager: &InventoryManager, limit: &str, who: &str) -> u32 {
    manager.usage(limit, who).expect("a limit").used
}

/// A shop with limits of all kinds, and what three customers have drawn under them.
fn sell_some(manager: &InventoryManager) {
    for place in [SHOE, SOCK] {
        manager.add_stock(place, 100, "SUPPLIER").expect("room");
    }
    let all = ["SHOE", "SOCK"];
    let new = |name: &str, most| LimitRule::new(name, "customer", most);
    manager.define_limit(new("sales", 4).group("drop")).expect("a limit");
    manager.add_to_group("drop", &["SHOE".into(), "SOCK".into()]).expect("products");
    let day = new("a day", 9).counts(LimitCounts::SalesWithin(DAY)).products(all);
    manager.define_limit(day).expect("a limit");
    let orders = new("orders", 4).counts(LimitCounts::SalesKept).reservations();
    manager.define_limit(orders.products(all)).expect("a limit");
    manager.define_limit(LimitRule::by_level("checkout", 9).products(["SHOE"])).expect("a limit");
    let cards = LimitRule::new("cards", "card", 3).asked_at_sale().products(["SOCK"]);
    manager.define_limit(cards).expect("a limit");

    let of = |who: &str| manager.request().subject("customer", who).subject("card", who);
    let both = [BasketLine::new(SHOE, 1), BasketLine::new(SOCK, 2)];
    // Ann holds a basket, of which a part is sold. Bob has bought, and cancelled one. Cay's hold
    // has ended.
    let basket = of("ann").reserve_basket(&both, TTL).expect("three");
    of("ann").confirm_lines(basket, &both[1..]).expect("held");
    let bought = of("bob").keep_until_shipped().sell(SHOE, 3).expect("three");
    manager.cancel_sale_lines(bought, &[BasketLine::new(SHOE, 1)], "one less").expect("sold");
    let hold = manager.request().subject("customer", "cay").reserve(SHOE, 2, TTL).expect("two");
    let _ = manager.release(hold).expect("held");
}

fn drawn(manager: &InventoryManager) -> Vec<u32> {
    let all = |who| ["sales", "a day", "orders", "cards"].map(|limit| used(manager, limit, who));
    let checkout = manager.usage_of_level("checkout", SHOE).expect("a limit").used;
    ["ann", "bob", "cay"].into_iter().flat_map(all).chain([checkout]).collect()
}

#[test]
fn an_opening_restores_limits_and_what_is_drawn_under_them() {
    let disk = SimulatedDisk::new();
    let manager = open_at(&disk, 1_000);
    sell_some(&manager);
    let expected = [3, 3, 1, 2, 2, 2, 1, 0, 0, 0, 0, 0, 1];
    assert_eq!(drawn(&manager), expected);
    assert!(manager.verify().expect("a journal").is_sound());
    manager.set_limit_maximum("a day", 11).expect("a limit");
    let limits = manager.limits();
    drop(manager);

    let manager = open_at(&disk, 1_010);
    assert_eq!(drawn(&manager), expected);
    assert_eq!(manager.limits(), limits);
    let ann = manager.request().subject("customer", "ann").subject("card", "ann");
    assert!(ann.sell(SHOE, 2).is_err() && ann.sell(SHOE, 1).is_ok());
    manager.sell(SHOE, 1).expect_err("the group binds it still");
    assert!(manager.verify().expect("a journal").is_sound());
    drop(manager);

    // Ann's hold is overdue, and after a day no sale counts for it.
    let manager = open_at(&disk, 1_100);
    manager.run_until_idle();
    assert_eq!(drawn(&manager), [3, 3, 2, 2, 2, 2, 1, 0, 0, 0, 0, 0, 0]);
    drop(manager);
    let manager = open_at(&disk, 1_100 + DAY.as_secs() + 1);
    manager.run_until_idle();
    assert_eq!(drawn(&manager), [3, 0, 2, 2, 2, 0, 1, 0, 0, 0, 0, 0, 0]);
    let returned = log_of(&manager);
    let of_type = |entry: &&AuditEntry| entry.entry_type == EventType::AllowanceReturned.into();
    assert_eq!(returned.iter().filter(of_type).count(), 3);
    assert!(manager.verify().expect("a journal").is_sound());
}

#[test]
fn entries_say_what_was_drawn_by_whose_hash_and_under_which_version() {
    let disk = SimulatedDisk::new();
    let manager = open_at(&disk, 1_000);
    sell_some(&manager);
    let again = LimitRule::new("sales", "customer", 7).group("drop");
    manager.define_limit(again).expect("the same limit");
    let ann = manager.request().subject("customer", "ann").subject("card", "ann");
    ann.pass_limit("orders", "a friend").sell(SHOE, 2).expect("passed");
    let entries = log_of(&manager);
    let last = entries.iter().rfind(|entry| !entry.limits.is_empty()).expect("draws");
    let said: Vec<_> =
        last.limits.iter().map(|it| (it.version, it.maximum, it.used_after)).collect();
    assert_eq!(said, [(2, 7, 5), (1, 9, 5), (1, 4, 2)]);
    assert_eq!(last.limits.iter().map(|it| it.passed).collect::<Vec<_>>(), [false, false, true]);
    let most = manager.most_used("sales", 1).expect("a limit");
    assert_eq!(most, [(last.limits[0].subject, 5)]);
    // No raw id is in the journal.
    drop(manager);
    for (name, bytes) in disk.files() {
        for id in ["ann", "bob", "cay"] {
            let found = bytes.windows(3).any(|it| it == id.as_bytes());
            assert!(!found, "{id} stands in {name}");
        }
    }
}

#[test]
fn another_secret_or_none_is_refused_while_a_limit_needs_it() {
    let disk = SimulatedDisk::new();
    let manager = open_at(&disk, 1_000);
    sell_some(&manager);
    drop(manager);
    for other in [builder(&disk), builder(&disk).subject_secret([8; 16])] {
        let refused = other.build().expect_err("another secret");
        assert_eq!(refused, JournalError::OtherSecret.into());
    }
    let manager = open_at(&disk, 1_001);
    for limit in ["sales", "a day", "orders", "cards"] {
        manager.drop_limit(limit).expect("a limit");
    }
    drop(manager);
    let manager = builder(&disk).build().expect("no limit by subject is in force");
    assert_eq!(manager.limits().len(), 1);
    assert!(manager.verify().expect("a journal").is_sound());
}

#[test]
fn what_a_dropped_limit_drew_is_given_back_after_a_restart_too() {
    let disk = SimulatedDisk::new();
    let manager = open_at(&disk, 1_000);
    sell_some(&manager);
    let hold = manager.request().subject("customer", "cay").reserve(SHOE, 2, TTL).expect("two");
    manager.drop_limit("sales").expect("a limit");
    drop(manager);
    let manager = open_at(&disk, 1_001);
    let _ = manager.release(hold).expect("held");
    let new = LimitRule::new("sales", "customer", 2).products(["SHOE"]);
    manager.define_limit(new).expect("a new limit");
    assert_eq!(used(&manager, "sales", "bob"), 0);
    drop(manager);
    let manager = open_at(&disk, 1_002);
    assert_eq!((used(&manager, "sales", "bob"), manager.limits().len()), (0, 5));
    assert!(manager.verify().expect("a journal").is_sound());
}

#[test]
fn an_order_that_counts_already_may_draw_for_one_more_line_though_the_limit_was_lowered() {
    let disk = SimulatedDisk::new();
    let manager = open_at(&disk, 1_000);
    for place in [SHOE, SOCK] {
        manager.add_stock(place, 100, "SUPPLIER").expect("room");
    }
    let orders = |most| {
        let limit = LimitRule::new("orders", "card", most).asked_at_sale().reservations();
        limit.products(["SHOE", "SOCK"])
    };
    manager.define_limit(orders(1)).expect("a limit");
    let both = [BasketLine::new(SHOE, 1), BasketLine::new(SOCK, 1)];
    let basket = manager.reserve_basket(&both, TTL).expect("nobody asks yet");
    let card = manager.request().subject("card", "c1");
    card.clone().confirm_lines(basket, &both[..1]).expect("one order");
    manager.define_limit(orders(0)).expect("the same limit");
    card.clone().confirm_lines(basket, &both[1..]).expect("the same order");
    assert!(card.sell(SHOE, 1).is_err());
    assert!(manager.verify().expect("a legal journal").is_sound());
    drop(manager);
    assert_eq!(used(&open_at(&disk, 1_001), "orders", "c1"), 1);
}
