//! Payments that come late under limits: for whom they draw, also after restarts.

mod common;

use common::limits::{SHOE, SOCK, TTL, on_disk, stock, used};
use stockade::testing::SimulatedDisk;
use stockade::{
    BasketLine, ConfirmOrRetake, InventoryManager, LimitError, LimitRule, ManualClock, RetakeError,
    Timestamp,
};

fn open_with(disk: &SimulatedDisk, secs: u64, secret: u8) -> InventoryManager {
    let clock = ManualClock::at(Timestamp::from_millis(secs * 1_000));
    on_disk(disk).clock(clock).subject_secret([secret; 16]).build().expect("a journal")
}

fn open_at(disk: &SimulatedDisk, secs: u64) -> InventoryManager {
    open_with(disk, secs, 7)
}

/// The webhook of a late payment has the id and nothing else, also after a restart.
#[test]
fn a_retake_after_a_restart_draws_for_the_subjects_of_the_hold() {
    for by_units in [true, false] {
        let disk = SimulatedDisk::new();
        let manager = open_at(&disk, 1_000);
        stock(&manager);
        let rule = LimitRule::new("two", "customer", 2).products(["SHOE", "SOCK"]);
        let rule = if by_units { rule } else { rule.reservations() };
        manager.define_limit(rule).expect("a limit");
        let card = LimitRule::new("card", "card", 9).products(["SOCK"]).asked_at_sale();
        manager.define_limit(card).expect("a limit");
        let ann = manager.request().subject("customer", "ann").subject("card", "c1");
        let lines = [BasketLine::new(SHOE, 1), BasketLine::new(SOCK, 1)];
        let hold = ann.reserve_basket(&lines, TTL).expect("two");
        let _ = manager.release(hold).expect("held");
        assert_eq!(used(&manager, "two", "ann"), 0);
        drop(manager);
        // The second opening reads what the first has written of it.
        drop(open_at(&disk, 1_010));
        let manager = open_at(&disk, 1_020);
        let paid = manager.confirm_or_retake(hold);
        assert!(matches!(paid, Ok(ConfirmOrRetake::Retaken(_))), "{paid:?}");
        assert_eq!(used(&manager, "two", "ann"), if by_units { 2 } else { 1 });
        assert_eq!(used(&manager, "card", "c1"), 1);
        assert!(manager.verify().expect("sound").is_sound());
    }
}

/// What a partial step gave back says for whom the hold was, too: also after a restart.
#[test]
fn a_restart_forgets_no_subject_of_what_a_part_gave_back() {
    for restarts in [false, true] {
        let disk = SimulatedDisk::new();
        let mut manager = open_at(&disk, 1_000);
        stock(&manager);
        let rule = LimitRule::new("two", "customer", 2);
        manager.define_limit(rule.clone().products(["SHOE"])).expect("a limit");
        let ann = manager.request().subject("customer", "ann");
        let lines = [BasketLine::new(SHOE, 1), BasketLine::new(SOCK, 1)];
        let hold = ann.reserve_basket(&lines, 60 * TTL).expect("two");
        manager.release_lines(hold, &lines[..1]).expect("held");
        let reopen = |manager: InventoryManager, secs| {
            if !restarts {
                return manager;
            }
            drop(manager);
            open_at(&disk, secs)
        };
        manager = reopen(manager, 1_010);
        let held = manager.holds_of_subject("customer", "ann");
        assert_eq!(held.iter().map(|found| found.id).collect::<Vec<_>>(), [hold], "{restarts}");
        manager.define_limit(rule.products(["SHOE", "SOCK"])).expect("a limit");
        let _ = manager.release(hold).expect("held");
        manager = reopen(manager, 1_020);
        let paid = manager.confirm_or_retake(hold);
        assert!(matches!(paid, Ok(ConfirmOrRetake::Retaken(_))), "{restarts}: {paid:?}");
        assert_eq!(used(&manager, "two", "ann"), 1);
        assert!(manager.verify().expect("sound").is_sound());
    }
}

/// All limits by subject were dropped, and the secret is another one: what was drawn under the old
/// one is nobody's.
#[test]
fn a_late_payment_draws_for_no_hash_of_another_secret() {
    let disk = SimulatedDisk::new();
    let open = |secs, secret| open_with(&disk, secs, secret);
    let manager = open(1_000, 7);
    stock(&manager);
    let rule = || LimitRule::new("two", "customer", 2).products(["SHOE"]);
    manager.define_limit(rule()).expect("a limit");
    let hold = manager.request().subject("customer", "ann").reserve(SHOE, 2, TTL).expect("two");
    let _ = manager.release(hold).expect("held");
    manager.drop_limit("two").expect("a limit");
    drop(manager);
    // The second opening under the new secret reads what the first has written of the change.
    drop(open(1_010, 8));
    let manager = open(1_020, 8);
    manager.define_limit(rule()).expect("a limit");
    let ann = manager.request().subject("customer", "ann");
    ann.sell(SHOE, 2).expect("the first two");
    let unnamed = manager.confirm_or_retake(hold);
    assert!(
        matches!(unnamed, Err(RetakeError::Limit(LimitError::NoSubject { .. }))),
        "{unnamed:?}"
    );
    assert!(ann.confirm_or_retake(hold).is_err(), "four of two");
}
