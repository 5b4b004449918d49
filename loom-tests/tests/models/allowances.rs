//! Models of allowances: a draw is bounded as a level's floor bounds a sale, nothing that is drawn
//! is lost while numbers are used again, and nothing idle stays.

use loom::thread;
use loom_tests::{model, model_bounded};
use std::sync::Arc;

use crate::stock::allowance::key::AllowanceKey;
use crate::stock::allowance::testbed::{LimitedBed, key_of};

/// A subject under a rule, another under the same rule, and the first under another rule.
fn keys() -> [AllowanceKey; 3] {
    [key_of(1, 1), key_of(1, 2), key_of(2, 1)]
}

/// A site for two threads.
fn site(bed: LimitedBed) -> (Arc<LimitedBed>, Arc<LimitedBed>) {
    let bed = Arc::new(bed);
    (Arc::clone(&bed), bed)
}

/// One subject's allowance is made, drawn of, given back and retired, while another's is made: on
/// the same number, or on the next.
#[test]
fn two_subjects_of_one_number_keep_their_draws_apart() {
    model("two_subjects_of_one_number_keep_their_draws_apart", || {
        let [ann, bob, _] = keys();
        let (bed, other) = site(LimitedBed::new(2, &[]));
        let thread = thread::spawn(move || {
            assert!(other.draw((ann, 1)), "nothing of it was used");
            other.give_one(ann);
        });
        assert!(bed.draw((bob, 1)), "nothing of it was used");
        assert_eq!(bed.used([bob]), [1]);
        thread.join().unwrap();
        assert_eq!((bed.used([ann, bob]), bed.table.len()), ([0, 1], 1));
        assert_eq!(bed.table.find(ann), None);
        bed.give_one(bob);
        assert_eq!((bed.used([ann, bob]), bed.table.len()), ([0, 0], 0));
    });
}

/// The same by commits that take stock as well, so that a mark may stand in the way.
#[test]
fn two_subjects_who_buy_the_same_product_keep_their_draws_apart() {
    model("two_subjects_who_buy_the_same_product_keep_their_draws_apart", || {
        let [ann, bob, _] = keys();
        let (bed, other) = site(LimitedBed::new(2, &[2]));
        assert_eq!(bed.take(&[(ann, 1)], &[0]), Ok(()));
        let thread = thread::spawn(move || other.give(&[ann], &[0]));
        assert_eq!(bed.take(&[(bob, 1)], &[0]), Ok(()));
        thread.join().unwrap();
        assert_eq!((bed.used([ann, bob]), bed.table.len()), ([0, 1], 1));
        assert_eq!(bed.level(0), (1, 1));
        assert!(bed.is_clean());
    });
}

#[test]
fn of_two_takers_under_a_maximum_of_one_one_gets_it() {
    // One preemption: two commits have many steps.
    model_bounded("of_two_takers_under_a_maximum_of_one_one_gets_it", 1, || {
        let [ann, ..] = keys();
        let (bed, other) = site(LimitedBed::new(2, &[2]));
        let rival = thread::spawn(move || other.take(&[(ann, 1)], &[0]));
        let answers = [bed.take(&[(ann, 1)], &[0]), rival.join().unwrap()];
        assert!(answers.contains(&Ok(())), "{answers:?}");
        assert!(answers.contains(&Err(Some((ann, 1)))), "the refusal is true: {answers:?}");
        assert_eq!((bed.used([ann]), bed.level(0), bed.table.len()), ([1], (1, 1), 1));
        assert!(bed.is_clean());
    });
}

/// The owner sleeps, and a buyer who meets the mark in the first allowance brings the commit to its
/// end. The maximum of the second travels in its line.
#[test]
fn a_helper_leaves_the_maximum_of_a_commit() {
    model("a_helper_leaves_the_maximum_of_a_commit", || {
        let [ann, _, household] = keys();
        let bed = LimitedBed::new(2, &[3]).with_used(&[(ann, 1), (household, 1)]);
        let (bed, other) = site(bed);
        bed.stop_half_way(&[(ann, 2), (household, 1)], &[0], 1).sleep_for_ever();
        let buyer = thread::spawn(move || other.draw((ann, 2)));
        assert_eq!(bed.used([household]), [1], "one is the most at every moment");
        assert!(buyer.join().unwrap(), "the commit was refused, and there is one left");
        assert_eq!((bed.used([ann, household]), bed.level(0)), ([2, 1], (3, 0)));
    });
}

/// Whoever drives the commit, its owner or the buyer who meets it, and whatever maximum the buyer's
/// own call goes by.
#[test]
fn a_commit_and_its_helper_together_leave_the_maximum() {
    // One preemption: a refusal after a mark has many steps.
    model_bounded("a_commit_and_its_helper_together_leave_the_maximum", 1, || {
        let [ann, _, household] = keys();
        let (bed, other) = site(LimitedBed::new(2, &[]).with_used(&[(ann, 1), (household, 1)]));
        let buyer = thread::spawn(move || assert!(other.draw((ann, 9)), "there is no bound"));
        let refused = bed.take(&[(ann, 9), (household, 1)], &[]);
        assert_eq!(refused, Err(Some((household, 1))));
        buyer.join().unwrap();
        assert_eq!(bed.used([ann, household]), [2, 1]);
        assert!(bed.is_clean());
    });
}

/// One gives back all that is used and looks whether the allowance is idle, while another has found
/// it and is about to draw.
#[test]
fn an_allowance_is_not_retired_between_a_pin_and_its_draw() {
    model("an_allowance_is_not_retired_between_a_pin_and_its_draw", || {
        let [ann, bob, _] = keys();
        let (bed, other) = site(LimitedBed::new(2, &[]).with_used(&[(ann, 1)]));
        let taker = thread::spawn(move || assert!(other.draw((ann, 2))));
        bed.give_one(ann);
        assert!(bed.draw((bob, 1)), "nothing of it was used");
        taker.join().unwrap();
        assert_eq!((bed.used([ann, bob]), bed.table.len()), ([1, 1], 2));
    });
}

/// The look falls on the mark of a gift that is under way.
#[test]
fn an_allowance_is_not_retired_while_some_of_it_is_given_back() {
    model("an_allowance_is_not_retired_while_some_of_it_is_given_back", || {
        let [ann, ..] = keys();
        let (bed, other) = site(LimitedBed::new(2, &[]).with_used(&[(ann, 3)]));
        let giver = thread::spawn(move || other.give(&[ann], &[]));
        bed.give_one(ann);
        giver.join().unwrap();
        assert_eq!((bed.used([ann]), bed.table.len()), ([1], 1));
        assert!(bed.is_clean());
    });
}

/// A maximum may be lower by now than what is used: what is given back always fits.
#[test]
fn a_gift_fits_beside_a_draw_under_the_maximum() {
    model("a_gift_fits_beside_a_draw_under_the_maximum", || {
        let [ann, ..] = keys();
        let (bed, other) = site(LimitedBed::new(2, &[2]).with_used(&[(ann, 2)]));
        let taker = thread::spawn(move || other.take(&[(ann, 1)], &[0]));
        bed.give_one(ann);
        bed.give_one(ann);
        let took = taker.join().unwrap();
        let refused = |used| took == Err(Some((ann, used)));
        assert!(took.is_ok() || refused(2) || refused(1), "{took:?}");
        let units = u32::from(took.is_ok());
        assert_eq!((bed.used([ann]), bed.table.len()), ([units], units));
        assert_eq!(bed.level(0), (2 - units, units));
        assert!(bed.is_clean());
    });
}

/// The owner of a gift has its answer while the mark of a helper is still in the second allowance.
#[test]
fn no_idle_allowance_stays_behind_a_helpers_mark() {
    // One preemption: the thread that helps is the one that goes on after the other's start.
    model_bounded("no_idle_allowance_stays_behind_a_helpers_mark", 1, || {
        let [ann, _, household] = keys();
        let bed = LimitedBed::new(2, &[]).with_used(&[(ann, 1), (household, 1)]);
        // Never freed: a commit that has begun can be moved to another thread only so.
        let bed: &'static LimitedBed = Box::leak(Box::new(bed));
        let half = bed.stop_half_way_giving(&[ann, household], 1);
        let giver = thread::spawn(move || assert_eq!(half.wake(), Ok(())));
        assert!(bed.draw((ann, 2)));
        giver.join().unwrap();
        assert_eq!((bed.used([ann, household]), bed.table.len()), ([1, 0], 1));
        assert!(bed.is_clean());
    });
}

/// A helper of the one subject's commit sleeps until the number is another subject's.
#[test]
fn a_late_mark_means_nothing_to_the_next_subject_of_a_number() {
    model("a_late_mark_means_nothing_to_the_next_subject_of_a_number", || {
        let [ann, bob, _] = keys();
        let (bed, other) = site(LimitedBed::new(1, &[2]));
        let half = bed.stop_half_way(&[(ann, 1)], &[0], 0);
        let sleeper = half.helper_asleep_before(0);
        assert_eq!(half.wake(), Ok(()));
        bed.give_one(ann);
        assert_eq!(bed.table.len(), 0);
        let buyer = thread::spawn(move || {
            assert!(other.draw((bob, 1)), "nothing of it was used");
            assert_eq!(other.used([bob]), [1]);
            other.give_one(bob);
        });
        sleeper.mark();
        sleeper.finish();
        buyer.join().unwrap();
        assert_eq!((bed.used([ann, bob]), bed.table.len()), ([0, 0], 0));
        assert!(bed.is_clean());
    });
}

/// As above, where the commit of the first subject was refused, so that its line has no winner yet.
#[test]
fn a_late_mark_of_a_refused_commit_means_nothing_to_the_next_subject() {
    model("a_late_mark_of_a_refused_commit_means_nothing_to_the_next_subject", || {
        let [ann, bob, household] = keys();
        let (bed, other) = site(LimitedBed::new(2, &[]).with_used(&[(household, 1)]));
        let half = bed.stop_half_way(&[(household, 1), (ann, 1)], &[], 0);
        let sleeper = half.helper_asleep_before(1);
        assert_eq!(half.wake(), Err(Some((household, 1))));
        assert_eq!(bed.table.len(), 1, "the second is retired");
        let buyer = thread::spawn(move || {
            assert!(other.draw((bob, 1)), "nothing of it was used");
            assert_eq!(other.used([bob]), [1]);
        });
        sleeper.mark();
        sleeper.finish();
        buyer.join().unwrap();
        assert_eq!((bed.used([ann, bob, household]), bed.table.len()), ([0, 1, 1], 2));
        assert!(bed.is_clean());
    });
}

#[test]
fn a_look_never_takes_what_another_subject_has_used() {
    model("a_look_never_takes_what_another_subject_has_used", || {
        let [ann, bob, _] = keys();
        let (bed, other) = site(LimitedBed::new(1, &[]).with_used(&[(ann, 1)]));
        let looker = thread::spawn(move || {
            let used = other.used([ann]);
            assert!(used == [1] || used == [0], "{used:?}");
        });
        bed.give_one(ann);
        assert!(bed.draw((bob, 2)) && bed.draw((bob, 2)));
        looker.join().unwrap();
        assert_eq!((bed.used([ann, bob]), bed.table.len()), ([0, 2], 1));
    });
}
