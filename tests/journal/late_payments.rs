//! Payments that come after the hold's record has left memory: what they take again is what the
//! hold had at its end, as the journal knows it.

use std::sync::Arc;
use std::time::Duration;

use stockade::testing::SimulatedDisk;
use stockade::{
    BasketLine, ConfirmOrRetake, IdempotencyKey, InventoryManager, JournalOptions, LimitRule,
    Limits, ManualClock, Owner, Release, ReleaseError, ReservationId, RetakeError, Timestamp,
};

use crate::state::MINUTE;

const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");
const MICE: (&str, &str) = ("SF", "MOUSE");
const PADS: (&str, &str) = ("SF", "PAD");
const OWNER: Owner = Owner([7; 16]);

fn open(disk: &SimulatedDisk, clock: &Arc<ManualClock>) -> InventoryManager {
    let limits = Limits::new()
        .key_retention(MINUTE, 8)
        .retention(Duration::from_millis(1), 8)
        .audit_retained(8)
        .max_reservations(64);
    let journal = JournalOptions::storage(disk.clone()).segment_bytes(2_000).checkpoint_every(3);
    let builder = InventoryManager::builder().warehouse("SF").clock(Arc::clone(clock));
    let builder = builder.subject_secret([7; 16]);
    builder.limits(limits).journal(journal).without_threads().build().expect("a sound journal")
}

fn stocked() -> (SimulatedDisk, Arc<ManualClock>, InventoryManager) {
    let disk = SimulatedDisk::new();
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000_000_000)));
    let manager = open(&disk, &clock);
    for level in [LAPTOPS, MICE, PADS] {
        manager.add_stock(level, 100, "SUPPLIER").expect("room");
    }
    (disk, clock, manager)
}

fn basket() -> [BasketLine<'static>; 2] {
    [BasketLine::new(LAPTOPS, 2), BasketLine::new(MICE, 3)]
}

/// Trades until neither the slots nor the log in memory has anything of what was before.
fn trade(manager: &InventoryManager) {
    others(manager, 400);
}

fn others(manager: &InventoryManager, count: u32) {
    for number in 0..count {
        let hold = manager.reserve(PADS, 1, MINUTE).expect("stock");
        assert_eq!(manager.release(hold), Ok(Release::Released));
        if number % 20 == 19 {
            assert!(manager.verify().expect("sound").is_sound());
        }
    }
}

fn retaken(answer: Result<ConfirmOrRetake, RetakeError>) -> ReservationId {
    match answer {
        Ok(ConfirmOrRetake::Retaken(new)) => new,
        other => panic!("{other:?}"),
    }
}

fn sold(manager: &InventoryManager) -> [u32; 2] {
    [LAPTOPS, MICE].map(|level| manager.sold(level).expect("known"))
}

/// How the hold ended.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ended {
    Released,
    Expired,
}

fn end(manager: &InventoryManager, clock: &ManualClock, hold: ReservationId, how: Ended) {
    match how {
        Ended::Released => assert_eq!(manager.release(hold), Ok(Release::Released)),
        Ended::Expired => {
            clock.advance(2 * MINUTE);
            manager.run_until_idle();
        }
    }
}

#[test]
fn a_release_after_the_last_units_were_sold_comes_too_late_with_a_record_and_without() {
    let (_disk, _clock, manager) = stocked();
    let hold = manager.reserve_basket(&basket(), MINUTE).expect("stock");
    manager.release_lines(hold, &[BasketLine::new(MICE, 3)]).expect("held");
    manager.confirm(hold).expect("the laptops");
    let late = Err(ReleaseError::Sold { units: 2 });
    assert_eq!(manager.release(hold), late);
    trade(&manager);
    assert_eq!(manager.release(hold), late);
}

#[test]
fn what_the_buyer_had_taken_out_is_not_sold_by_a_payment_that_comes_late() {
    for how in [Ended::Released, Ended::Expired] {
        for (taken_out, expected) in [
            ([Some((LAPTOPS, 2)), None], [0, 3]),
            ([Some((MICE, 3)), None], [2, 0]),
            ([Some((LAPTOPS, 1)), None], [1, 3]),
            ([Some((MICE, 1)), Some((MICE, 1))], [2, 1]),
            ([Some((LAPTOPS, 1)), Some((MICE, 2))], [1, 1]),
        ] {
            for reopened in 0..5 {
                let (disk, clock, mut manager) = stocked();
                let hold = manager.reserve_basket(&basket(), MINUTE).expect("stock");
                for (level, units) in taken_out.into_iter().flatten() {
                    let line = [BasketLine::new(level, units)];
                    manager.release_lines(hold, &line).expect("held");
                }
                if reopened == 1 {
                    drop(manager);
                    manager = open(&disk, &clock);
                }
                end(&manager, &clock, hold, how);
                manager.flush().wait().expect("written");
                // Paid at once after the restart, or when memory has nothing of it any more.
                match reopened {
                    2 => manager = open(&disk.killed(), &clock),
                    3 => {
                        drop(manager);
                        manager = open(&disk, &clock);
                    }
                    4 => {
                        others(&manager, 20);
                        manager = open(&disk.killed(), &clock);
                    }
                    _ => trade(&manager),
                }
                let _ = retaken(manager.confirm_or_retake(hold));
                assert_eq!(sold(&manager), expected, "{how:?} {taken_out:?} {reopened}");
            }
        }
    }
}

/// The webhook has the id and nothing else.
#[test]
fn a_payment_that_comes_late_draws_for_the_subjects_of_the_hold() {
    for how in [Ended::Released, Ended::Expired] {
        for reopened in 0..4 {
            let (disk, clock, mut manager) = stocked();
            let rule = LimitRule::new("five", "customer", 5).products(["LAPTOP", "MOUSE"]);
            manager.define_limit(rule).expect("a limit");
            let used = |manager: &InventoryManager| manager.usage("five", "ann").expect("it").used;
            let ann = manager.request().subject("customer", "ann");
            let hold = ann.reserve_basket(&basket(), MINUTE).expect("five");
            end(&manager, &clock, hold, how);
            assert_eq!(used(&manager), 0);
            manager.flush().wait().expect("written");
            if reopened > 0 {
                manager = open(&disk.killed(), &clock);
            }
            if reopened > 1 {
                trade(&manager);
            }
            if reopened > 2 {
                drop(manager);
                manager = open(&disk, &clock);
            }
            let context = format!("{how:?} {reopened}");
            // Meanwhile she has bought one: all five would be one too many.
            let ann = manager.request().subject("customer", "ann").keep_until_shipped();
            let other = ann.sell(MICE, 1).expect("one");
            let refused = manager.confirm_or_retake(hold).expect_err(&context);
            assert_eq!(refused.code(), "limit_reached", "{context}");
            let cancelled = [BasketLine::new(MICE, 1)];
            manager.cancel_sale_lines(other, &cancelled, "returned").expect("sold");
            let _ = retaken(manager.confirm_or_retake(hold));
            assert_eq!((sold(&manager), used(&manager)), ([2, 3], 5), "{context}");
        }
    }
}

#[test]
fn who_was_to_be_kept_until_shipped_is_kept_when_taken_again_late() {
    for how in [Ended::Released, Ended::Expired] {
        let (_disk, clock, manager) = stocked();
        let request = manager.request().owner(OWNER).keep_until_shipped();
        let hold = request.reserve_basket(&basket(), MINUTE).expect("stock");
        end(&manager, &clock, hold, how);
        trade(&manager);
        let new = retaken(manager.confirm_or_retake(hold));
        let found = manager.reservation(new).expect("kept");
        assert!(found.keep_until_shipped, "{how:?}");
        assert_eq!((found.owner, found.retaken_from), (Some(OWNER), Some(hold)));
        trade(&manager);
        assert_eq!(manager.ship_lines(new, &basket()), Ok(()));
    }
}

/// The last step is its end.
#[test]
fn a_basket_that_was_emptied_line_by_line_is_taken_again_as_it_was_before_the_last_step() {
    for forgotten in [false, true] {
        let (_disk, _clock, manager) = stocked();
        let hold = manager.reserve_basket(&basket(), MINUTE).expect("stock");
        for line in basket() {
            let _ = manager.release_lines(hold, &[line]).expect("held");
        }
        if forgotten {
            trade(&manager);
        }
        let _ = retaken(manager.confirm_or_retake(hold));
        assert_eq!(sold(&manager), [0, 3], "{forgotten}");
    }
}

/// A call under a key that finds the hold over writes a record that names it and moves nothing.
#[test]
fn a_keyed_call_on_a_hold_that_is_over_hides_nothing_of_its_end() {
    let (disk, clock, mut manager) = stocked();
    let hold = manager.request().owner(OWNER).reserve_basket(&basket(), MINUTE).expect("stock");
    manager.release_lines(hold, &[BasketLine::new(MICE, 1)]).expect("held");
    end(&manager, &clock, hold, Ended::Released);
    for round in 0..3 {
        trade(&manager);
        let key = IdempotencyKey::try_from(format!("again-{round}").as_str()).expect("short");
        let again = manager.request().key(key).release(hold);
        assert_eq!(again, Ok(Release::AlreadyReleased), "{round}");
        drop(manager);
        manager = open(&disk, &clock);
    }
    trade(&manager);
    let found = manager.reservation(hold).expect("known");
    assert_eq!((found.units_given_back(), found.owner), (5, Some(OWNER)));
    let _ = retaken(manager.confirm_or_retake(hold));
    assert_eq!(sold(&manager), [2, 2]);
}
