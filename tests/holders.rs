//! Who has which live holds, with the index of holders and without: what both show is the same.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::limits::{SHOE, SOCK, TTL, on_disk};
use stockade::testing::SimulatedDisk;
use stockade::{
    BasketLine, FewestParcels, InventoryManager, LimitRule, ManualClock, Owner, Release,
    ReleaseError, ReservationId, Timestamp,
};

const MUG: (&str, &str) = ("SF", "MUG");
const ANN: Owner = Owner([1; 16]);
const BOB: Owner = Owner([2; 16]);

fn shop_on(disk: &SimulatedDisk, index: bool, clock: &Arc<ManualClock>) -> InventoryManager {
    let builder = on_disk(disk).warehouse("NYC").subject_secret([7; 16]).index_holders(index);
    builder.clock(Arc::clone(clock)).build().expect("a shop")
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_millis(1_000_000_000)))
}

fn shop(index: bool) -> (InventoryManager, Arc<ManualClock>) {
    let clock = clock();
    let manager = shop_on(&SimulatedDisk::new(), index, &clock);
    stock(&manager);
    (manager, clock)
}

fn stock(manager: &InventoryManager) {
    for place in [SHOE, SOCK, MUG, ("NYC", "SHOE")] {
        manager.add_stock(place, 1_000, "SUPPLIER").expect("room");
    }
    // A customer's draw is not the first of its hold.
    manager.define_limit(LimitRule::by_level("cap", 900).products(["SHOE"])).expect("a limit");
    let each = LimitRule::new("each", "customer", 100).products(["SHOE"]);
    manager.define_limit(each).expect("a limit");
    let card = LimitRule::new("card", "card", 100).products(["MUG"]).asked_at_sale();
    manager.define_limit(card).expect("a limit");
}

fn ids_of(manager: &InventoryManager, owner: Owner) -> Vec<ReservationId> {
    manager.holds_of(owner).iter().map(|found| found.id).collect()
}

fn ids_for(manager: &InventoryManager, kind: &str, id: &str) -> Vec<ReservationId> {
    manager.holds_of_subject(kind, id).iter().map(|found| found.id).collect()
}

/// Every kind of hold, with an owner, and for a subject where a limit covers it.
fn one_of_each(manager: &InventoryManager, owner: Owner, who: &str) -> Vec<ReservationId> {
    let request = manager.request().owner(owner);
    let of_subject = manager.request().subject("customer", who).owner(owner);
    let lines = [BasketLine::new(SHOE, 1), BasketLine::new(SOCK, 2)];
    vec![
        request.reserve(SOCK, 1, TTL).expect("stock"),
        of_subject.reserve(SHOE, 1, TTL).expect("stock"),
        of_subject.reserve_basket(&lines, TTL).expect("stock"),
        request.reserve_basket(&[lines[1]], TTL).expect("stock"),
        request.fulfill_by("SOCK", 1, &FewestParcels, TTL).expect("stock"),
    ]
}

#[test]
fn holds_are_found_by_their_owner_and_their_subject_until_they_are_over() {
    for index in [true, false] {
        let (manager, clock) = shop(index);
        let of_ann = one_of_each(&manager, ANN, "ann");
        let of_bob = one_of_each(&manager, BOB, "bob");
        manager.reserve(SOCK, 1, TTL).expect("nobody's");
        manager.request().owner(ANN).sell(SOCK, 1).expect("a sale is no hold");
        assert_eq!((ids_of(&manager, ANN), ids_of(&manager, BOB)), (of_ann.clone(), of_bob));
        assert_eq!(ids_for(&manager, "customer", "ann"), of_ann[1..3]);
        assert_eq!(ids_for(&manager, "household", "ann"), []);
        // Ten owners and four subjects: a level that a limit counts by is nobody.
        assert_eq!(manager.stats().holders_indexed, if index { 14 } else { 0 });
        // A sale whose record is kept is no hold any more.
        let kept = manager.request().owner(ANN).keep_until_shipped();
        manager.confirm(kept.reserve(SOCK, 1, TTL).expect("stock")).expect("held");
        let found = &manager.holds_of(ANN)[2];
        assert_eq!((found.owner, found.lines.len()), (Some(ANN), 2));
        // A step that leaves something of it; one that sells the rest; a release; and time.
        manager.release_lines(of_ann[2], &[BasketLine::new(SHOE, 1)]).expect("held");
        assert_eq!(ids_for(&manager, "customer", "ann"), of_ann[1..3]);
        manager.confirm_lines(of_ann[2], &[BasketLine::new(SOCK, 1)]).expect("held");
        assert_eq!(ids_of(&manager, ANN), of_ann);
        manager.confirm_lines(of_ann[2], &[BasketLine::new(SOCK, 1)]).expect("held");
        assert_eq!(manager.release(of_ann[0]), Ok(Release::Released));
        manager.confirm(of_ann[3]).expect("held");
        assert_eq!(ids_of(&manager, ANN), [of_ann[1], of_ann[4]]);
        assert_eq!(ids_for(&manager, "customer", "ann"), [of_ann[1]]);
        clock.advance(2 * TTL);
        manager.run_until_idle();
        assert_eq!((ids_of(&manager, ANN), ids_of(&manager, BOB)), (vec![], vec![]));
        assert_eq!(ids_for(&manager, "customer", "ann"), []);
        assert_eq!(manager.stats().holders_indexed, 0, "{index}");
    }
}

/// The card is known only at the sale of a part: the hold goes on, and is the card's too.
#[test]
fn a_subject_that_comes_with_the_sale_of_a_part_has_the_rest_of_the_hold() {
    for index in [true, false] {
        let (manager, _) = shop(index);
        let lines = [BasketLine::new(MUG, 3)];
        let hold = manager.reserve_basket(&lines, TTL).expect("stock");
        assert_eq!(ids_for(&manager, "card", "c1"), []);
        let card = manager.request().subject("card", "c1");
        card.confirm_lines(hold, &[BasketLine::new(MUG, 1)]).expect("held");
        assert_eq!(ids_for(&manager, "card", "c1"), [hold]);
        card.confirm(hold).expect("held");
        assert_eq!(ids_for(&manager, "card", "c1"), []);
        assert_eq!(manager.stats().holders_indexed, 0);
    }
}

#[test]
fn an_opening_finds_the_holds_of_the_run_before() {
    for (before, after) in [(true, true), (false, true), (true, false)] {
        let (disk, clock) = (SimulatedDisk::new(), clock());
        let manager = shop_on(&disk, before, &clock);
        stock(&manager);
        let of_ann = one_of_each(&manager, ANN, "ann");
        let _ = manager.release(of_ann[0]).expect("held");
        manager.flush().wait().expect("written");
        let killed = disk.killed();
        drop(manager);
        for disk in [killed, disk] {
            let again = shop_on(&disk, after, &clock);
            assert_eq!(ids_of(&again, ANN), of_ann[1..]);
            assert_eq!(ids_for(&again, "customer", "ann"), of_ann[1..3]);
            let done = again.release_holds_of(ANN, "a new day").expect("healthy");
            assert_eq!(done.released, of_ann[1..]);
            assert_eq!(again.stats().holders_indexed, 0);
        }
    }
}

#[test]
fn all_holds_of_an_owner_are_released_in_one_call_and_their_records_say_why() {
    for index in [true, false] {
        let (manager, clock) = shop(index);
        let of_bot = one_of_each(&manager, BOB, "bot");
        let of_ann = one_of_each(&manager, ANN, "ann");
        // Sold in part: what is left of it comes back.
        manager.confirm_lines(of_bot[2], &[BasketLine::new(SOCK, 1)]).expect("held");
        let done = manager.release_holds_of(BOB, "a bot").expect("healthy");
        assert_eq!((done.released, done.failed), (of_bot.clone(), vec![]));
        assert_eq!((ids_of(&manager, BOB), ids_of(&manager, ANN)), (vec![], of_ann.clone()));
        assert_eq!(manager.usage("each", "bot").expect("a limit").used, 0);
        assert_eq!(manager.usage("each", "ann").expect("a limit").used, 2);
        let again = manager.release_holds_of(BOB, "a bot").expect("healthy");
        assert_eq!((again.released, again.failed), (vec![], vec![]));
        // Overdue, and nobody has taken it back yet: that is not this call's doing.
        clock.advance(2 * TTL);
        let late = manager.release_holds_of(ANN, "too late").expect("healthy");
        assert_eq!((late.released, late.failed), (vec![], vec![]));
        manager.run_until_idle();
        let reason = ("reason".to_owned(), "a bot".to_owned());
        let told: BTreeSet<_> = common::log_of(&manager)
            .into_iter()
            .filter(|entry| entry.metadata().contains(&reason))
            .filter_map(|entry| entry.reservation)
            .collect();
        assert_eq!(told, of_bot.into_iter().collect());
    }
}

/// Its time was up: the call finds that, and takes it back as anybody would.
#[test]
fn an_overdue_hold_is_not_released_by_the_call_also_if_it_was_sold_in_part() {
    for index in [true, false] {
        let (manager, clock) = shop(index);
        let ann = manager.request().owner(ANN);
        ann.reserve(SOCK, 3, TTL).expect("stock");
        let part = ann.reserve(SOCK, 3, TTL).expect("stock");
        manager.confirm_lines(part, &[BasketLine::new(SOCK, 1)]).expect("held");
        clock.advance(2 * TTL);
        let late = manager.release_holds_of(ANN, "too late").expect("healthy");
        assert_eq!((late.released, late.failed), (vec![], vec![]));
        assert_eq!(manager.held(SOCK).expect("a level"), 0);
    }
}

#[test]
fn a_reason_that_is_too_long_releases_nothing() {
    let (manager, _) = shop(true);
    let of_ann = one_of_each(&manager, ANN, "ann");
    let refused = manager.release_holds_of(ANN, &"x".repeat(1 << 20)).expect_err("too long");
    assert!(matches!(refused, ReleaseError::Call(_)), "{refused}");
    assert_eq!(ids_of(&manager, ANN), of_ann);
}
