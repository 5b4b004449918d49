//! Limits per subject: what calls draw, when it is given back, and what is refused.

mod common;

use std::time::Duration;

use common::limits::{DAY, SHOE, SOCK, TTL, shop, two_each, used};
use common::log_of;
use stockade::{
    BasketLine, ConfirmError, ConfirmOrRetake, DefineLimitError, FewestParcels, InventoryManager,
    LimitCounts, LimitError, LimitRule, ReserveError, ShipError,
};

fn lines(units: &[((&'static str, &'static str), u32)]) -> Vec<BasketLine<'static>> {
    units.iter().map(|(level, units)| BasketLine::new(*level, *units)).collect()
}

#[test]
fn each_kind_of_count_gives_back_what_its_row_of_the_table_says() {
    // After a release, an expiry, a confirm, a cancelled sale, a shipment; and a day later.
    let rows = [
        (LimitCounts::Holds, [0, 0, 0, 0, 0, 0]),
        (LimitCounts::Sales, [0, 0, 2, 1, 1, 1]),
        (LimitCounts::SalesKept, [0, 0, 2, 2, 2, 2]),
        (LimitCounts::SalesWithin(DAY), [0, 0, 2, 1, 1, 0]),
    ];
    for (counts, expected) in rows {
        let (manager, clock) = shop();
        manager.define_limit(two_each(counts)).expect("a limit");
        let ann = || manager.request().subject("customer", "ann").keep_until_shipped();
        let mut seen = Vec::new();

        let hold = ann().reserve(SHOE, 2, TTL).expect("both");
        assert_eq!(used(&manager, "two each", "ann"), 2, "{counts:?}");
        let _ = manager.release(hold).expect("a hold");
        seen.push(used(&manager, "two each", "ann"));

        ann().reserve(SOCK, 2, TTL).expect("both");
        clock.advance(TTL + Duration::from_secs(1));
        manager.run_until_idle();
        seen.push(used(&manager, "two each", "ann"));

        let sold = ann().reserve(SHOE, 2, TTL).expect("both");
        manager.confirm(sold).expect("a hold");
        seen.push(used(&manager, "two each", "ann"));
        manager.cancel_sale_lines(sold, &lines(&[(SHOE, 1)]), "too small").expect("sold");
        seen.push(used(&manager, "two each", "ann"));
        manager.ship_lines(sold, &lines(&[(SHOE, 1)])).expect("sold");
        seen.push(used(&manager, "two each", "ann"));
        clock.advance(DAY + Duration::from_secs(1));
        manager.run_until_idle();
        seen.push(used(&manager, "two each", "ann"));
        assert_eq!(seen, expected, "{counts:?}");
    }
}

#[test]
fn a_call_without_a_subject_is_refused_and_one_for_another_product_is_not_asked() {
    let (manager, _) = shop();
    manager.add_stock(("SF", "HAT"), 10, "SUPPLIER").expect("room");
    manager.define_limit(two_each(LimitCounts::Sales)).expect("a limit");
    let missing = |refused: Result<_, ReserveError>| {
        matches!(refused, Err(ReserveError::Limit(LimitError::NoSubject { limit, kind }))
            if &*limit == "two each" && &*kind == "customer")
    };
    assert!(missing(manager.reserve(SHOE, 1, TTL)));
    assert!(missing(manager.sell(SHOE, 1)));
    assert!(missing(manager.request().subject("household", "h").sell(SOCK, 1)));
    manager.sell(("SF", "HAT"), 5).expect("no limit");
    assert_eq!(manager.available(SHOE), Ok(100));
    assert_eq!(manager.stats().refusals.limited, 3);
}

#[test]
fn a_refusal_says_what_is_used_and_moves_nothing() {
    let (manager, _) = shop();
    manager.define_limit(two_each(LimitCounts::Sales)).expect("a limit");
    let ann = manager.request().subject("customer", "ann");
    ann.sell(SHOE, 1).expect("one");
    let refused = ann.sell(SOCK, 2);
    let Err(ReserveError::Limit(LimitError::Reached { maximum, used: was, asked, .. })) = refused
    else {
        panic!("{refused:?}")
    };
    assert_eq!((maximum, was, asked), (2, 1, 2));
    assert_eq!((manager.available(SOCK), used(&manager, "two each", "ann")), (Ok(100), 1));
    manager.request().subject("customer", "bob").sell(SOCK, 2).expect("his own limit");
}

#[test]
fn lines_of_a_basket_draw_together_and_reservations_count_as_one() {
    let (manager, _) = shop();
    manager.define_limit(two_each(LimitCounts::Sales)).expect("a limit");
    let orders = LimitRule::new("one order", "household", 1).reservations();
    manager.define_limit(orders.products(["SHOE", "SOCK"])).expect("a limit");
    let buyer = |who: &str| manager.request().subject("customer", who).subject("household", "h");
    let both = lines(&[(SHOE, 1), (SOCK, 1)]);
    let three = lines(&[(SHOE, 1), (SOCK, 2)]);
    assert!(buyer("ann").reserve_basket(&three, TTL).is_err());
    let basket = buyer("ann").reserve_basket(&both, TTL).expect("two in all");
    assert_eq!(manager.usage("one order", "h").map(|it| it.used), Ok(1));
    assert!(buyer("bob").reserve(SHOE, 1, TTL).is_err(), "one household");
    // A part of it comes back: the order counts on.
    manager.release_lines(basket, &lines(&[(SOCK, 1)])).expect("held");
    assert_eq!(
        (used(&manager, "two each", "ann"), manager.usage("one order", "h").map(|it| it.used)),
        (1, Ok(1))
    );
    manager.release_lines(basket, &lines(&[(SHOE, 1)])).expect("held");
    assert_eq!(
        (used(&manager, "two each", "ann"), manager.usage("one order", "h").map(|it| it.used)),
        (0, Ok(0))
    );
}

#[test]
fn partial_steps_give_back_line_by_line() {
    let (manager, clock) = shop();
    manager.define_limit(two_each(LimitCounts::Holds)).expect("a limit");
    let ann = manager.request().subject("customer", "ann");
    let basket = ann.reserve_basket(&lines(&[(SHOE, 1), (SOCK, 1)]), TTL).expect("two");
    assert!(ann.reserve(SHOE, 1, TTL).is_err());
    manager.confirm_lines(basket, &lines(&[(SHOE, 1)])).expect("held");
    assert_eq!(used(&manager, "two each", "ann"), 1, "what is sold is held no more");
    ann.reserve(SHOE, 1, TTL).expect("one is free");
    clock.advance(TTL + Duration::from_secs(1));
    manager.run_until_idle();
    assert_eq!(used(&manager, "two each", "ann"), 0);

    let (manager, _) = shop();
    manager.define_limit(two_each(LimitCounts::Sales)).expect("a limit");
    let ann = manager.request().subject("customer", "ann").keep_until_shipped();
    let hold = ann.reserve(SHOE, 2, TTL).expect("two");
    let status = manager.confirm_lines_and_release_rest(hold, &lines(&[(SHOE, 1)]));
    status.expect("held");
    assert_eq!(used(&manager, "two each", "ann"), 1);
    manager.cancel_sale_lines(hold, &lines(&[(SHOE, 1)]), "returned").expect("sold");
    assert_eq!(used(&manager, "two each", "ann"), 0);
}

#[test]
fn own_overdue_holds_are_taken_back_before_a_refusal() {
    let (manager, clock) = shop();
    manager.define_limit(two_each(LimitCounts::Sales)).expect("a limit");
    let ann = manager.request().subject("customer", "ann");
    ann.reserve(SHOE, 2, TTL).expect("two");
    assert!(ann.reserve(SHOE, 1, TTL).is_err());
    clock.advance(TTL + Duration::from_secs(1));
    ann.reserve(SOCK, 2, TTL).expect("hers came back");
    assert_eq!((manager.available(SHOE), used(&manager, "two each", "ann")), (Ok(100), 2));
}

#[test]
fn a_split_fulfilment_draws_for_all_its_parts() {
    let (manager, _) = shop();
    let limit = LimitRule::new("two each", "customer", 120).products(["SHOE"]);
    manager.define_limit(limit).expect("a limit");
    let ann = manager.request().subject("customer", "ann");
    let hold = ann.fulfill_by("SHOE", 110, &FewestParcels, TTL).expect("enough");
    assert_eq!(manager.reservation(hold).map(|it| it.lines.len()), Ok(2));
    assert_eq!(used(&manager, "two each", "ann"), 110);
    assert!(ann.fulfill_by("SHOE", 11, &FewestParcels, TTL).is_err());
    let _ = manager.release(hold).expect("held");
    assert_eq!(used(&manager, "two each", "ann"), 0);
    let again = ann.fulfill_by("SHOE", 120, &FewestParcels, TTL).expect("enough");
    manager.confirm(again).expect("held");
    assert_eq!(used(&manager, "two each", "ann"), 120);
}

#[test]
fn a_subject_that_is_known_only_at_the_sale_is_asked_then() {
    let (manager, _) = shop();
    let limit = LimitRule::new("two each", "card", 2).products(["SHOE"]).asked_at_sale();
    manager.define_limit(limit).expect("a limit");
    let hold = manager.reserve(SHOE, 2, TTL).expect("nobody asks yet");
    let refused = manager.confirm(hold);
    assert!(
        matches!(&refused, Err(ConfirmError::Limit(it)) if it.code() == "limit_without_subject")
    );
    manager.request().subject("card", "c1").confirm(hold).expect("two a card");
    assert_eq!(used(&manager, "two each", "c1"), 2);

    let hold = manager.reserve(SHOE, 2, TTL).expect("nobody asks yet");
    let refused = manager.request().subject("card", "c1").confirm(hold);
    assert!(matches!(&refused, Err(ConfirmError::Limit(it)) if it.code() == "limit_reached"));
    assert_eq!(manager.reservation(hold).map(|it| it.units_held()), Ok(2));
    // A part with one card, the rest with another.
    let one = lines(&[(SHOE, 1)]);
    manager.request().subject("card", "c2").confirm_lines(hold, &one).expect("held");
    manager.request().subject("card", "c3").confirm(hold).expect("held");
    assert_eq!(["c1", "c2", "c3"].map(|card| used(&manager, "two each", card)), [2, 1, 1]);
    let refused = manager.sell(SHOE, 1);
    assert!(matches!(refused, Err(ReserveError::Limit(LimitError::NoSubject { .. }))));

    // A hold that comes back in part was never in the draw of what it sold.
    let hold = manager.reserve(SHOE, 3, TTL).expect("nobody asks yet");
    manager.request().subject("card", "c4").confirm_lines(hold, &one).expect("held");
    manager.release_lines(hold, &one).expect("held");
    assert_eq!(used(&manager, "two each", "c4"), 1);
    let refused = manager.request().subject("card", "c1").confirm(hold);
    assert!(refused.is_err() && used(&manager, "two each", "c1") == 2);
    manager.request().subject("card", "c4").confirm(hold).expect("the second");
    assert_eq!(used(&manager, "two each", "c4"), 2);
}

#[test]
fn a_retake_draws_again_for_the_subjects_of_the_hold() {
    let (manager, clock) = shop();
    manager.define_limit(two_each(LimitCounts::Sales)).expect("a limit");
    let ann = manager.request().subject("customer", "ann");
    let hold = ann.reserve(SHOE, 2, TTL).expect("two");
    clock.advance(TTL + Duration::from_secs(1));
    manager.run_until_idle();
    assert_eq!(used(&manager, "two each", "ann"), 0);
    // Meanwhile she has bought one: the late payment would be one too many.
    let other = ann.keep_until_shipped().sell(SOCK, 1).expect("one");
    let refused = manager.confirm_or_retake(hold).expect_err("three");
    assert_eq!(refused.code(), "limit_reached");
    manager.cancel_sale_lines(other, &lines(&[(SOCK, 1)]), "returned").expect("sold");
    assert!(matches!(manager.confirm_or_retake(hold), Ok(ConfirmOrRetake::Retaken(_))));
    assert_eq!(used(&manager, "two each", "ann"), 2);
}

#[test]
fn a_call_may_pass_a_limit_with_a_reason_and_draws_all_the_same() {
    let (manager, _) = shop();
    manager.define_limit(two_each(LimitCounts::Sales)).expect("a limit");
    let ann = || manager.request().subject("customer", "ann");
    ann().sell(SHOE, 2).expect("two");
    ann().pass_limit("two each", "first pair was broken").sell(SHOE, 3).expect("passed");
    assert_eq!(used(&manager, "two each", "ann"), 5);
    // Staff that knows no customer.
    manager.request().pass_limit("two each", "a gift").sell(SHOE, 1).expect("passed");
    assert_eq!(used(&manager, "two each", "ann"), 5);
    let unknown = manager.request().pass_limit("two eech", "a slip").sell(SHOE, 1);
    assert!(matches!(unknown, Err(ReserveError::Limit(LimitError::Unknown { .. }))));
    let entry = log_of(&manager).pop().expect("an entry");
    assert_eq!(entry.note("passedLimit.two each"), Some("a gift"));
    // What gives always fits.
    let hold = ann().pass_limit("two each", "more").reserve(SOCK, 1, TTL).expect("passed");
    let _ = manager.release(hold).expect("held");
    assert_eq!(used(&manager, "two each", "ann"), 5);
}

#[test]
fn a_cap_by_level_bounds_what_is_held_of_each() {
    let (manager, _) = shop();
    manager
        .define_limit(LimitRule::by_level("in checkout", 3).products(["SHOE"]))
        .expect("a limit");
    let hold = manager.reserve(SHOE, 3, TTL).expect("three");
    assert!(manager.reserve(SHOE, 1, TTL).is_err());
    manager.reserve(("NYC", "SHOE"), 3, TTL).expect("a level of its own");
    manager.confirm(hold).expect("held");
    assert_eq!(manager.usage_of_level("in checkout", SHOE).map(|it| it.used), Ok(0));
    manager.sell(SHOE, 9).expect("a sale holds nothing");
    let refused = manager.fulfill_by("SHOE", 1, &FewestParcels, TTL).expect_err("not by level");
    assert_eq!(refused.code(), "limit_by_level");
}

#[test]
fn calls_by_level_are_refused_where_a_sale_would_have_to_give_back() {
    let (manager, _) = shop();
    manager.sell(SHOE, 2).expect("two");
    manager.define_limit(two_each(LimitCounts::SalesKept)).expect("a limit");
    manager.ship(SHOE, 1).expect("it gives nothing back");
    manager.drop_limit("two each").expect("a limit");
    manager.define_limit(two_each(LimitCounts::Sales)).expect("a limit");
    let refused = manager.ship(SHOE, 1);
    assert!(
        matches!(&refused, Err(ShipError::NeedsReservation { limit }) if &**limit == "two each")
    );
    assert!(manager.cancel_sale(SHOE, 1, "no").is_err());
}

#[test]
fn a_sale_counts_for_its_time_and_then_no_more() {
    let (manager, clock) = shop();
    manager.define_limit(two_each(LimitCounts::SalesWithin(DAY))).expect("a limit");
    let week = LimitRule::new("a week", "customer", 3).counts(LimitCounts::SalesWithin(7 * DAY));
    manager.define_limit(week.products(["SHOE"])).expect("a limit");
    let ann = manager.request().subject("customer", "ann");
    let week_used = || manager.usage("a week", "ann").expect("a limit").used;
    let hold = ann.reserve(SHOE, 2, TTL).expect("two");
    clock.advance(Duration::from_secs(30));
    manager.confirm(hold).expect("held");
    ann.sell(SOCK, 1).expect_err("three");
    clock.advance(DAY);
    assert_eq!(used(&manager, "two each", "ann"), 2, "to the last millisecond");
    clock.advance(Duration::from_millis(1));
    ann.sell(SHOE, 1).expect("the day is over");
    assert_eq!((used(&manager, "two each", "ann"), week_used()), (1, 3));
    ann.sell(SHOE, 1).expect_err("four a week");
    clock.advance(7 * DAY + Duration::from_millis(1));
    manager.run_until_idle();
    assert_eq!((used(&manager, "two each", "ann"), week_used()), (0, 0));
    assert_eq!(manager.stats().slots_live, 0, "nothing keeps a slot any more");
}

#[test]
fn definitions_are_checked() {
    let plain = InventoryManager::builder().warehouse("SF").build().expect("a shop");
    plain.add_stock(SHOE, 1, "SUPPLIER").expect("room");
    let limit = LimitRule::new("two each", "customer", 2).products(["SHOE"]);
    assert_eq!(plain.define_limit(limit), Err(DefineLimitError::NoSecret));
    plain.define_limit(LimitRule::by_level("cap", 2).products(["SHOE"])).expect("needs none");
    let (manager, _) = shop();
    let refused = |limit: LimitRule| manager.define_limit(limit).expect_err("refused").code();
    let new = |name: &str| LimitRule::new(name, "customer", 2);
    assert_eq!(refused(new("")), "invalid_name");
    assert_eq!(refused(LimitRule::new("x", "", 2)), "limit_out_of_bounds");
    assert_eq!(refused(LimitRule::new("x", "customer", u32::MAX)), "limit_out_of_bounds");
    let short = LimitCounts::SalesWithin(Duration::from_micros(10));
    assert_eq!(refused(new("x").counts(short)), "limit_out_of_bounds");
    assert_eq!(refused(new("x").counts(LimitCounts::Holds).asked_at_sale()), "limit_out_of_bounds");
    assert_eq!(refused(new("x").products(["NO SUCH"])), "never_stocked");
    assert_eq!(manager.limits(), []);
}

#[test]
fn what_was_shipped_stays_shipped_when_a_sale_counts_no_more() {
    let (manager, clock) = shop();
    manager.define_limit(two_each(LimitCounts::SalesWithin(DAY))).expect("a limit");
    let ann = manager.request().subject("customer", "ann").keep_until_shipped();
    let basket = lines(&[(SHOE, 1), (SOCK, 1)]);
    let order = ann.reserve_basket(&basket, TTL).expect("two");
    manager.confirm(order).expect("held");
    manager.ship_lines(order, &basket[..1]).expect("sold");
    clock.advance(DAY + Duration::from_millis(1));
    manager.run_until_idle();
    let settled: Vec<u32> =
        manager.reservation(order).expect("kept").lines.iter().map(|line| line.settled).collect();
    assert_eq!((used(&manager, "two each", "ann"), settled), (0, vec![1, 0]));
    assert!(manager.ship_lines(order, &basket[..1]).is_err(), "no unit is shipped twice");
    manager.cancel_sale_lines(order, &basket[1..], "returned").expect("sold");
    assert_eq!(manager.available(SOCK), Ok(100));
}

#[test]
fn a_sale_that_counts_for_less_time_than_its_hold_had_left_is_over_in_time() {
    let (manager, clock) = shop();
    let short = Duration::from_secs(5);
    manager.define_limit(two_each(LimitCounts::SalesWithin(short))).expect("a limit");
    let ann = manager.request().subject("customer", "ann");
    let whole = ann.reserve(SHOE, 1, TTL).expect("one");
    let parts = ann.reserve_basket(&lines(&[(SOCK, 1)]), TTL).expect("another");
    manager.confirm(whole).expect("held");
    manager.confirm_lines(parts, &lines(&[(SOCK, 1)])).expect("held");
    clock.advance(short + Duration::from_millis(1));
    ann.sell(SHOE, 2).expect("the time is over");
}

#[test]
fn a_reservation_counts_on_while_a_step_moves_its_draw_from_one_line_to_another() {
    let (manager, _) = shop();
    let limit = LimitRule::new("one order", "card", 1).reservations().asked_at_sale();
    manager.define_limit(limit.clone().products(["SHOE"])).expect("a limit");
    let card = manager.request().subject("card", "c1").keep_until_shipped();
    let basket = lines(&[(SHOE, 1), (SOCK, 1)]);
    let order = card.clone().reserve_basket(&basket, TTL).expect("an order");
    // The sock is covered only now. So it draws when it is sold, as the shoe comes back.
    manager.define_limit(limit.products(["SHOE", "SOCK"])).expect("the same limit");
    card.clone().confirm_lines_and_release_rest(order, &basket[1..]).expect("held");
    let orders = || manager.usage("one order", "c1").expect("a limit").used;
    assert_eq!(orders(), 1);
    assert!(card.sell(SOCK, 1).is_err());
    manager.cancel_sale_lines(order, &basket[1..], "returned").expect("sold");
    assert_eq!(orders(), 0);
}

#[test]
fn a_sale_that_is_due_under_two_limits_is_given_back_under_both_before_a_refusal() {
    let (manager, clock) = shop();
    let within = |name: &str, days: u32| {
        let limit = LimitRule::new(name, "customer", 1).products(["SHOE"]);
        manager.define_limit(limit.counts(LimitCounts::SalesWithin(days * DAY))).expect("a limit");
    };
    within("a day", 1);
    within("two days", 2);
    let ann = manager.request().subject("customer", "ann");
    ann.sell(SHOE, 1).expect("one");
    clock.advance(2 * DAY + Duration::from_millis(1));
    ann.sell(SHOE, 1).expect("the time is over under both");
}

#[test]
fn a_sale_that_is_cancelled_unit_by_unit_gives_back_each_unit_once() {
    let (manager, _) = shop();
    let limit = LimitRule::new("two each", "customer", 4).products(["SHOE", "SOCK"]);
    manager.define_limit(limit).expect("a limit");
    let ann = manager.request().subject("customer", "ann").keep_until_shipped();
    let order = ann.reserve_basket(&lines(&[(SHOE, 3), (SOCK, 1)]), TTL).expect("four");
    // Two of them are sold in a step on a part, and cancelled one by one while the rest is held.
    manager.confirm_lines(order, &lines(&[(SHOE, 2)])).expect("held");
    let one = lines(&[(SHOE, 1)]);
    let mut seen = vec![used(&manager, "two each", "ann")];
    for _ in 0..2 {
        manager.cancel_sale_lines(order, &one, "returned").expect("sold");
        seen.push(used(&manager, "two each", "ann"));
    }
    manager.confirm(order).expect("held");
    manager.cancel_sale_lines(order, &one, "returned").expect("sold");
    seen.push(used(&manager, "two each", "ann"));
    manager.cancel_sale_lines(order, &lines(&[(SOCK, 1)]), "returned").expect("sold");
    seen.push(used(&manager, "two each", "ann"));
    assert_eq!(seen, [4, 3, 2, 1, 0]);
}
