//! Limits per subject at their edges: where a review found bugs.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::limits::{DAY, SHOE, SOCK, TTL, on_disk, shop, shop_of, stock, used};
use stockade::testing::SimulatedDisk;
use stockade::{
    BasketLine, DefineLimitError, InvalidInput, InventoryManager, JournalOptions, LimitCounts,
    LimitRule, Limits, ManualClock, Timestamp,
};

const MS: Duration = Duration::from_millis(1);

fn open_with(disk: &SimulatedDisk, secs: u64, limits: Limits) -> Result<InventoryManager, String> {
    let clock = ManualClock::at(Timestamp::from_millis(secs * 1_000));
    let builder = on_disk(disk).warehouse("NYC").limits(limits).clock(clock);
    builder.subject_secret([7; 16]).build().map_err(|error| error.to_string())
}

fn open_at(disk: &SimulatedDisk, secs: u64) -> Result<InventoryManager, String> {
    open_with(disk, secs, Limits::new())
}

/// A window shorter than what is left of the hold's time.
#[test]
fn a_window_that_ends_before_the_holds_own_time_is_found() {
    let (manager, clock) = shop();
    let rule = LimitRule::new("one", "customer", 1).counts(LimitCounts::SalesWithin(TTL));
    manager.define_limit(rule.products(["SHOE"])).expect("a limit");
    let ann = manager.request().subject("customer", "ann");
    let hold = ann.reserve(SHOE, 1, 60 * TTL).expect("one");
    manager.confirm(hold).expect("held");
    clock.advance(TTL + MS);
    manager.run_until_idle();
    assert_eq!(used(&manager, "one", "ann"), 0);
    ann.sell(SHOE, 1).expect("the minute is over");
}

/// Two windows that end at the same moment.
#[test]
fn two_windows_that_end_together_are_both_taken_back_before_a_refusal() {
    let (manager, clock) = shop();
    for kind in ["customer", "household"] {
        let rule = LimitRule::new(kind, kind, 1).counts(LimitCounts::SalesWithin(DAY));
        manager.define_limit(rule.products(["SHOE"])).expect("a limit");
    }
    let ann = manager.request().subject("customer", "ann").subject("household", "h");
    ann.sell(SHOE, 1).expect("one");
    clock.advance(DAY + MS);
    ann.sell(SHOE, 1).expect("the day is over for both");
}

/// A step that gives the reservation's 1 back with its old line and counts on with a new one.
#[test]
fn a_reservation_counts_while_a_line_of_it_draws() {
    let disk = SimulatedDisk::new();
    let manager = open_at(&disk, 1_000).expect("a journal");
    stock(&manager);
    let rule = LimitRule::new("orders", "card", 1).reservations().asked_at_sale().group("drop");
    manager.define_limit(rule).expect("a limit");
    manager.add_to_group("drop", &["SHOE".into()]).expect("a product");
    let card = manager.request().subject("card", "c1");
    let both = [BasketLine::new(SHOE, 1), BasketLine::new(SOCK, 1)];
    let hold = card.reserve_basket(&both, TTL).expect("an order");
    manager.add_to_group("drop", &["SOCK".into()]).expect("a product");
    card.confirm_lines_and_release_rest(hold, &both[1..]).expect("held");
    assert_eq!(used(&manager, "orders", "c1"), 1, "the order stands");
    assert!(manager.verify().expect("a journal").is_sound());
}

/// The same, and what comes of it when the sale is cancelled.
#[test]
fn a_cancel_gives_back_the_reservation_that_a_later_line_drew() {
    let (manager, _) = shop();
    let rule = LimitRule::new("orders", "card", 1).reservations().asked_at_sale().group("drop");
    manager.define_limit(rule).expect("a limit");
    manager.add_to_group("drop", &["SHOE".into()]).expect("a product");
    let card = manager.request().subject("card", "c1").keep_until_shipped();
    let both = [BasketLine::new(SHOE, 1), BasketLine::new(SOCK, 1)];
    let hold = card.reserve_basket(&both, TTL).expect("an order");
    manager.add_to_group("drop", &["SOCK".into()]).expect("a product");
    card.confirm_lines_and_release_rest(hold, &both[1..]).expect("held");
    manager.cancel_sale_lines(hold, &both[1..], "returned").expect("sold");
    assert_eq!(used(&manager, "orders", "c1"), 0);
}

/// A mark of a draw that asks nothing more, above a maximum that was lowered.
#[test]
fn a_journal_opens_after_a_reservation_that_counts_already_drew_above_a_lower_maximum() {
    let disk = SimulatedDisk::new();
    let manager = open_at(&disk, 1_000).expect("a journal");
    stock(&manager);
    let rule = |most| {
        LimitRule::new("orders", "card", most).reservations().asked_at_sale().products(["SHOE"])
    };
    manager.define_limit(rule(1)).expect("a limit");
    let card = manager.request().subject("card", "c1");
    let hold = manager.reserve(SHOE, 2, TTL).expect("two");
    card.confirm_lines(hold, &[BasketLine::new(SHOE, 1)]).expect("held");
    manager.define_limit(rule(0)).expect("a lower limit");
    card.confirm(hold).expect("the order counts already");
    let sound = manager.verify().map(|it| it.is_sound());
    drop(manager);
    open_at(&disk, 1_010).expect("the journal that the engine wrote");
    assert_eq!(sound, Ok(true));
}

/// The same, with no limit changed: another order passed it between.
#[test]
fn a_journal_opens_after_a_counted_reservation_drew_and_another_order_passed_the_limit() {
    let disk = SimulatedDisk::new();
    let manager = open_at(&disk, 1_000).expect("a journal");
    stock(&manager);
    let rule = LimitRule::new("orders", "card", 1).reservations().asked_at_sale();
    manager.define_limit(rule.products(["SHOE"])).expect("a limit");
    let card = || manager.request().subject("card", "c1");
    let hold = manager.reserve(SHOE, 2, TTL).expect("two");
    card().confirm_lines(hold, &[BasketLine::new(SHOE, 1)]).expect("held");
    card().pass_limit("orders", "a friend").sell(SHOE, 1).expect("passed");
    card().confirm(hold).expect("the order counts already");
    drop(manager);
    open_at(&disk, 1_010).expect("the journal that the engine wrote");
}

/// Cards of one line: one unit cancelled gives back one.
#[test]
fn one_cancelled_unit_gives_back_one() {
    let (manager, _) = shop();
    let rule = LimitRule::new("cards", "card", 1).asked_at_sale().products(["SHOE"]);
    manager.define_limit(rule).expect("a limit");
    let one = [BasketLine::new(SHOE, 1)];
    let hold = manager.reserve(SHOE, 2, TTL).expect("two");
    let card = |card: &str| manager.request().subject("card", card).keep_until_shipped();
    card("c1").confirm_lines(hold, &one).expect("held");
    card("c2").confirm(hold).expect("held");
    manager.cancel_sale_lines(hold, &one, "returned").expect("sold");
    let left = used(&manager, "cards", "c1") + used(&manager, "cards", "c2");
    assert_eq!(left, 1, "one unit is sold still");
}

/// What dropped limits left does not shut the next opening out.
#[test]
fn a_dropped_limit_takes_no_room_after_the_next_opening() {
    let disk = SimulatedDisk::new();
    let limits = || Limits::new().max_allowances(2).retention(Duration::ZERO, 0);
    for (round, names) in [["ann", "bob"], ["cay", "dan"]].into_iter().enumerate() {
        let opened = open_with(&disk, 1_000 + 10 * round as u64, limits());
        let manager = opened.expect("an opening");
        if round == 0 {
            stock(&manager);
        }
        let rule = LimitRule::new("drop", "customer", 1).products(["SHOE"]);
        manager.define_limit(rule).expect("a limit");
        for name in names {
            manager.request().subject("customer", name).sell(SHOE, 1).expect("one each");
        }
        manager.drop_limit("drop").expect("a limit");
        // The slots of those sales go to others.
        manager.add_stock(SOCK, 2_000, "SUPPLIER").expect("room");
        for _ in 0..2_000 {
            manager.sell(SOCK, 1).expect("no limit");
        }
        manager.run_until_idle();
    }
    open_with(&disk, 1_030, limits()).expect("nobody draws under any limit");
}

/// The same, without that others take the slots of the sales: the promise is "until the next
/// opening".
#[test]
fn a_dropped_limit_takes_no_room_while_its_sales_are_known() {
    let disk = SimulatedDisk::new();
    let limits = || Limits::new().max_allowances(1);
    let manager = open_with(&disk, 1_000, limits()).expect("an opening");
    stock(&manager);
    let rule = || LimitRule::new("drop", "customer", 1).products(["SHOE"]);
    manager.define_limit(rule()).expect("a limit");
    manager.request().subject("customer", "ann").sell(SHOE, 1).expect("one each");
    manager.drop_limit("drop").expect("a limit");
    drop(manager);
    let manager = open_with(&disk, 2_000, limits()).expect("an opening");
    manager.define_limit(rule()).expect("a limit");
    manager.request().subject("customer", "bob").sell(SHOE, 1).expect("one each");
}

/// A full table of which overdue holds have all.
#[test]
fn overdue_holds_are_taken_back_before_a_full_table_refuses() {
    let (manager, clock) = shop_of(Limits::new().max_allowances(1));
    let rule = LimitRule::new("two", "customer", 2).products(["SHOE"]);
    manager.define_limit(rule).expect("a limit");
    manager.request().subject("customer", "ann").reserve(SHOE, 1, TTL).expect("one");
    clock.advance(TTL + MS);
    manager.request().subject("customer", "bob").reserve(SHOE, 1, TTL).expect("ann's is over");
}

/// Sold in part, the rest expired: it counts for a day still, and must be restored.
#[test]
fn a_sale_whose_rest_expired_counts_for_its_time_over_a_restart() {
    for whole in [true, false] {
        let disk = SimulatedDisk::new();
        let manager = open_at(&disk, 1_000).expect("a journal");
        stock(&manager);
        let rule = LimitRule::new("two", "customer", 2).counts(LimitCounts::SalesWithin(DAY));
        manager.define_limit(rule.products(["SHOE"])).expect("a limit");
        let ann = manager.request().subject("customer", "ann");
        let hold = ann.reserve(SHOE, 2, TTL).expect("two");
        let one = [BasketLine::new(SHOE, 1)];
        manager.confirm_lines(hold, &one).expect("held");
        if whole {
            manager.confirm(hold).expect("held");
        } else {
            manager.release_lines(hold, &one).expect("held");
        }
        drop(manager);
        // Fewer slots than the sale takes: "the holds live on".
        let few = Limits::new().max_reservations(1);
        let manager = open_with(&disk, 1_010, few).expect("a journal");
        assert_eq!(used(&manager, "two", "ann"), 1 + u32::from(whole));
        drop(manager);
        let few = Limits::new().max_reservations(1);
        let manager = open_with(&disk, 1_020 + DAY.as_secs(), few).expect("a journal");
        manager.run_until_idle();
        assert_eq!(used(&manager, "two", "ann"), 0, "whole: {whole}");
    }
}

/// Lines that are together more than a word can count.
#[test]
fn a_basket_above_2_31_is_refused() {
    const MOST: u32 = (1 << 31) - 1;
    let disk = SimulatedDisk::new();
    let manager = open_at(&disk, 1_000).expect("a journal");
    manager.add_stock(SHOE, MOST, "SUPPLIER").expect("room");
    manager.add_stock(("NYC", "SHOE"), 1, "SUPPLIER").expect("room");
    let rule = LimitRule::new("all", "customer", MOST).products(["SHOE"]);
    manager.define_limit(rule).expect("a limit");
    let ann = manager.request().subject("customer", "ann");
    let both = [BasketLine::new(SHOE, MOST), BasketLine::new(("NYC", "SHOE"), 1)];
    let basket = ann.reserve_basket(&both, TTL);
    drop(manager);
    open_at(&disk, 1_010).expect("the journal that the engine wrote");
    assert!(basket.is_err(), "2^31 units under a limit of 2^31-1");
}

/// The same: what it drew is never given back.
#[test]
fn what_passes_above_2_31_is_refused_or_given_back() {
    const MOST: u32 = (1 << 31) - 1;
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000_000)));
    let builder = InventoryManager::builder().warehouse("SF").warehouse("NYC").warehouse("LA");
    let builder = builder.without_threads().clock(clock).subject_secret([7; 16]);
    let manager = builder.build().expect("a shop");
    let places = [("SF", "SHOE"), ("NYC", "SHOE"), ("LA", "SHOE")];
    for place in places {
        manager.add_stock(place, MOST, "SUPPLIER").expect("room");
    }
    let rule = LimitRule::new("two", "customer", 2).products(["SHOE"]);
    manager.define_limit(rule).expect("a limit");
    let staff = manager.request().subject("customer", "ann").pass_limit("two", "wholesale");
    let all = places.map(|place| BasketLine::new(place, MOST));
    let Ok(basket) = staff.reserve_basket(&all, TTL) else { return };
    let _ = manager.release(basket).expect("held");
    assert_eq!(used(&manager, "two", "ann"), 0);
}

/// Refusals of partial confirms are counted.
#[test]
fn a_partial_confirm_that_a_limit_refuses_is_counted() {
    let (manager, _) = shop();
    let rule = LimitRule::new("cards", "card", 1).asked_at_sale().products(["SHOE"]);
    manager.define_limit(rule).expect("a limit");
    let hold = manager.reserve(SHOE, 2, TTL).expect("two");
    manager.confirm(hold).expect_err("no card");
    assert_eq!(manager.stats().refusals.limited, 1);
    manager.confirm_lines(hold, &[BasketLine::new(SHOE, 1)]).expect_err("no card");
    assert_eq!(manager.stats().refusals.limited, 2);
}

/// Subjects of the same two kinds, named the other way round: the same request.
#[test]
fn a_keyed_retry_may_name_its_subjects_in_another_order() {
    let (manager, _) = shop();
    let key = || stockade::IdempotencyKey::try_from("k").expect("a key");
    let one = manager.request().subject("customer", "ann").subject("card", "c");
    let other = manager.request().subject("card", "c").subject("customer", "ann");
    let first = one.key(key()).reserve(SHOE, 1, TTL).expect("one");
    assert_eq!(other.key(key()).reserve(SHOE, 1, TTL), Ok(first));
}

/// The same for the limits that it passes.
#[test]
fn a_keyed_retry_may_pass_its_limits_in_another_order() {
    let (manager, _) = shop();
    for name in ["a", "b"] {
        let none = LimitRule::new(name, "customer", 0).products(["SHOE"]);
        manager.define_limit(none).expect("a limit");
    }
    let ann = || manager.request().subject("customer", "ann");
    let key = || stockade::IdempotencyKey::try_from("k").expect("a key");
    let pass = |first: &str, second: &str| {
        ann().pass_limit(first, "staff").pass_limit(second, "staff").key(key()).sell(SHOE, 1)
    };
    let sold = pass("a", "b").expect("passed");
    assert_eq!(pass("b", "a"), Ok(sold));
}

/// Levels whose numbers are alike modulo 64.
#[test]
fn a_table_is_full_when_it_has_as_many_as_it_says() {
    let names: Vec<String> = (0..64).map(|it| format!("W{it}")).collect();
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000_000)));
    let mut builder = InventoryManager::builder().without_threads().clock(clock);
    for name in &names {
        builder = builder.warehouse(&**name);
    }
    let manager = builder.limits(Limits::new().max_allowances(2_000)).build().expect("a shop");
    let products: Vec<String> = (0..1_200).map(|it| format!("P{it}")).collect();
    for product in &products {
        for name in &names {
            manager.add_stock((&**name, &**product), 1, "SUPPLIER").expect("room");
        }
        manager.run_until_idle();
    }
    let rule = LimitRule::by_level("checkout", 1).products(products.clone());
    manager.define_limit(rule).expect("a limit");
    for (at, product) in products.iter().enumerate() {
        let held = manager.reserve(("W0", &**product), 1, TTL);
        assert!(held.is_ok(), "{at} of 2000 levels hold something: {held:?}");
    }
}

/// A unit of the longest basket under a limit.
#[test]
fn a_limit_takes_lines_of_the_longest_basket() {
    const LINES: usize = 65_535;
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000_000)));
    let builder = InventoryManager::builder().warehouse("SF").without_threads().clock(clock);
    let builder = builder.limits(Limits::new().max_basket_lines(LINES)).subject_secret([7; 16]);
    let manager = builder.build().expect("a shop");
    let products: Vec<String> = (0..LINES).map(|it| format!("P{it}")).collect();
    for (at, product) in products.iter().enumerate() {
        manager.add_stock(("SF", &**product), 2, "SUPPLIER").expect("room");
        if at % 1_000 == 0 {
            manager.run_until_idle();
        }
    }
    let all: Vec<_> = products.iter().map(|it| BasketLine::new(("SF", &**it), 1)).collect();
    manager.reserve_basket(&all, TTL).expect("without a limit");
    let rule = LimitRule::new("one", "customer", 1).products(["P0"]);
    manager.define_limit(rule).expect("a limit");
    let ann = manager.request().subject("customer", "ann");
    let refused =
        ann.reserve_basket(&all, TTL).expect_err("a commit has no line for the allowance");
    let (lines, most) = (LINES + 1, LINES);
    assert_eq!(refused, InvalidInput::TooManyLines { lines, most }.into());
    ann.reserve_basket(&all[..LINES - 1], TTL).expect("under one");
}

/// A confirm that loses the race for the last of a limit leaves the hold as it was.
#[test]
fn a_confirm_that_a_limit_refuses_does_not_keep_the_hold() {
    for round in 0..300 {
        let clock = ManualClock::at(Timestamp::from_millis(1_000_000));
        let builder = InventoryManager::builder().warehouse("SF").without_threads().clock(clock);
        let limits = Limits::new().max_reservations(256).audit_queue(64);
        let builder = builder.limits(limits).subject_secret([7; 16]);
        let manager = builder.build().expect("a shop");
        manager.add_stock(SHOE, 100, "SUPPLIER").expect("room");
        let holds = [0; 2].map(|_| manager.reserve(SHOE, 2, TTL).expect("two"));
        let one = [BasketLine::new(SHOE, 1)];
        manager.confirm_lines(holds[0], &one).expect("held");
        let rule = LimitRule::new("cards", "card", 2).counts(LimitCounts::SalesKept);
        manager.define_limit(rule.asked_at_sale().products(["SHOE"])).expect("a limit");
        let barrier = std::sync::Barrier::new(2);
        let [kept, _] = std::thread::scope(|scope| {
            holds
                .map(|hold| {
                    let (manager, barrier) = (&manager, &barrier);
                    scope.spawn(move || {
                        let card = manager.request().subject("card", "c1").keep_until_shipped();
                        barrier.wait();
                        card.confirm(hold)
                    })
                })
                .map(|thread| thread.join().expect("no panic"))
        });
        if kept.is_err() {
            let hold = manager.reservation(holds[0]).expect("held");
            assert!(!hold.keep_until_shipped, "round {round}: {kept:?}");
        }
    }
}

/// A kind of the engine's own.
#[test]
fn the_level_kind_is_a_word_of_the_engine() {
    let (manager, _) = shop();
    let rule = LimitRule::new("gold", "level", 2).counts(LimitCounts::Holds).products(["SHOE"]);
    let refused = manager.define_limit(rule).expect_err("not the caller's word");
    assert!(matches!(
        refused,
        DefineLimitError::OutOfBounds { setting: "the kind of subject", .. }
    ));
}

/// What was shipped stays shipped when the sale's window ends.
#[test]
fn the_end_of_a_window_forgets_nothing_that_was_shipped() {
    let disk = SimulatedDisk::new();
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000_000)));
    let journal = JournalOptions::storage(disk.clone()).least_free_space(0);
    let builder = InventoryManager::builder().warehouse("SF").warehouse("NYC").without_threads();
    let builder = builder.journal(journal).clock(Arc::clone(&clock)).subject_secret([7; 16]);
    let manager = builder.build().expect("a shop");
    stock(&manager);
    let rule = LimitRule::new("two", "customer", 2).counts(LimitCounts::SalesWithin(DAY));
    manager.define_limit(rule.products(["SHOE"])).expect("a limit");
    let buyer = |name| manager.request().subject("customer", name).keep_until_shipped();
    let ann = buyer("ann").sell(SHOE, 2).expect("two");
    buyer("bob").sell(SHOE, 2).expect("two");
    let one = [BasketLine::new(SHOE, 1)];
    manager.ship_lines(ann, &one).expect("sold");
    clock.advance(DAY + MS);
    manager.run_until_idle();
    manager.ship_lines(ann, &one).expect("the second");
    manager.ship_lines(ann, &one).expect_err("there is no third");
}
