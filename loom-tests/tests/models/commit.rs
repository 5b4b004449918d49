//! Models of Law 4: operations over several cells are all or nothing, at one instant.
//!
//!

use loom::thread;
use loom_tests::{model, model_bounded};
use std::sync::Arc;

use crate::stock::mcas::testbed::{Move, ROOM, Testbed, When};

const HOLD: Move = (-1, 1);

/// A site for two threads.
fn site(start: &[(u32, u32)]) -> (Arc<Testbed>, Arc<Testbed>) {
    let bed = Arc::new(Testbed::new(start));
    (Arc::clone(&bed), bed)
}

/// A transfer of `units` from one cell to another, without a record: fewer steps to interleave.
fn transfer(bed: &Testbed, from: usize, to: usize, units: i32) -> bool {
    bed.commit(&[(from, (-units, 0)), (to, (units, 0))], When::Never).is_ok()
}

/// A transfer with its record, which is queued before it shows.
fn recorded_transfer(bed: &Testbed, from: usize, to: usize, units: i32) -> bool {
    bed.commit(&[(from, (-units, 0)), (to, (units, 0))], When::BeforeShown).is_ok()
}

#[test]
fn transfer_against_reserve_at_its_source() {
    model("transfer_against_reserve_at_its_source", || {
        let (bed, other) = site(&[(2, 0), (0, 0)]);
        let buyer = thread::spawn(move || other.apply(0, HOLD));
        let moved = transfer(&bed, 0, 1, 2);
        let bought = buyer.join().unwrap();
        assert!(moved != bought, "one of them gets its units, and only one");
        let expected = if moved { [(0, 0), (2, 0)] } else { [(1, 1), (0, 0)] };
        assert_eq!([bed.read(0), bed.read(1)], expected);
        assert!(bed.is_clean());
    });
}

#[test]
fn transfer_against_reserve_at_its_target() {
    model("transfer_against_reserve_at_its_target", || {
        let (bed, other) = site(&[(2, 0), (1, 0)]);
        let buyer = thread::spawn(move || other.apply(1, (-2, 2)));
        assert!(transfer(&bed, 0, 1, 2), "nobody else wants its units");
        let expected = if buyer.join().unwrap() { (1, 2) } else { (3, 0) };
        assert_eq!([bed.read(0), bed.read(1)], [(0, 0), expected]);
        assert!(bed.is_clean());
    });
}

#[test]
fn opposite_transfers_both_succeed() {
    model("opposite_transfers_both_succeed", || {
        let (bed, other) = site(&[(1, 0), (1, 0)]);
        let back = thread::spawn(move || assert!(transfer(&other, 1, 0, 1)));
        assert!(transfer(&bed, 0, 1, 1));
        back.join().unwrap();
        assert_eq!([bed.read(0), bed.read(1)], [(1, 0), (1, 0)]);
        assert!(bed.is_clean());
    });
}

#[test]
fn a_basket_that_must_fail_costs_no_buyer_his_unit() {
    model("a_basket_that_must_fail_costs_no_buyer_his_unit", || {
        let (bed, other) = site(&[(1, 0), (0, 0)]);
        let buyer = thread::spawn(move || assert!(other.apply(0, HOLD), "the unit was there"));
        let refused = bed.commit(&[(0, HOLD), (1, HOLD)], When::AfterDone);
        buyer.join().unwrap();
        assert_eq!(refused.expect_err("cell 1 was always empty").available, 0);
        assert_eq!([bed.read(0), bed.read(1)], [(0, 1), (0, 0)]);
        assert!(bed.is_clean());
        assert_eq!(bed.shown(), 0);
    });
}

#[test]
fn one_of_two_baskets_over_the_same_cells_gets_both() {
    model("one_of_two_baskets_over_the_same_cells_gets_both", || {
        let (bed, other) = site(&[(1, 0), (1, 0)]);
        let rival =
            thread::spawn(move || other.commit(&[(1, HOLD), (0, HOLD)], When::AfterDone).is_ok());
        let won = bed.commit(&[(0, HOLD), (1, HOLD)], When::AfterDone).is_ok();
        assert!(won != rival.join().unwrap(), "exactly one");
        assert_eq!([bed.read(0), bed.read(1)], [(0, 1), (0, 1)]);
        assert!(bed.is_clean());
        assert_eq!(bed.shown(), 1);
    });
}

#[test]
fn one_of_two_baskets_that_overlap_gets_all_its_lines() {
    model("one_of_two_baskets_that_overlap_gets_all_its_lines", || {
        let (bed, other) = site(&[(1, 0), (1, 0), (1, 0)]);
        let rival = thread::spawn(move || {
            other.commit(&[(2, HOLD), (1, HOLD), (0, HOLD)], When::AfterDone).is_ok()
        });
        let won = bed.commit(&[(1, HOLD), (2, HOLD)], When::AfterDone).is_ok();
        assert!(won != rival.join().unwrap(), "exactly one");
        let first = if won { (1, 0) } else { (0, 1) };
        assert_eq!([bed.read(0), bed.read(1), bed.read(2)], [first, (0, 1), (0, 1)]);
        assert!(bed.is_clean());
    });
}

#[test]
fn a_refusal_names_what_was_really_there() {
    model("a_refusal_names_what_was_really_there", || {
        let (bed, other) = site(&[(5, 0), (1, 0)]);
        let buyer = thread::spawn(move || {
            assert!(other.apply(1, HOLD));
            assert!(other.apply(0, HOLD));
        });
        let refused = bed.commit(&[(0, HOLD), (1, (-2, 2))], When::AfterDone).unwrap_err();
        assert_eq!(refused.cell, Some(1));
        assert!(refused.available <= 1);
        buyer.join().unwrap();
        assert_eq!([bed.read(0), bed.read(1)], [(4, 1), (0, 1)]);
        assert!(bed.is_clean());
    });
}

#[test]
fn two_buyers_finish_what_a_sleeping_owner_began() {
    // One preemption: two helpers have more interleavings at two than a run can wait for.
    model_bounded("two_buyers_finish_what_a_sleeping_owner_began", 1, || {
        let (bed, other) = site(&[(3, 0), (1, 0)]);
        let moves = [(0, (-1, 0)), (1, (1, 0))];
        bed.stop_half_way(&moves, When::BeforeShown, 1).sleep_for_ever();
        let buyer = thread::spawn(move || assert!(other.take(0, 1)));
        assert!(bed.take(0, 1), "there is enough for all");
        buyer.join().unwrap();
        assert_eq!([bed.read(0), bed.read(1)], [(0, 0), (2, 0)]);
        assert_eq!(bed.check_journal().len(), 3);
        assert_eq!(bed.shown(), 1);
        assert!(bed.is_clean());
    });
}

#[test]
fn an_owner_wakes_up_while_a_buyer_finishes_its_work() {
    model("an_owner_wakes_up_while_a_buyer_finishes_its_work", || {
        let (bed, other) = site(&[(3, 0), (0, 0)]);
        let half = bed.stop_half_way(&[(0, (-1, 0)), (1, (1, 0))], When::Never, 1);
        let buyer = thread::spawn(move || assert!(other.apply(0, HOLD)));
        assert_eq!(half.wake(), Ok(vec![(3, 0), (0, 0)]));
        buyer.join().unwrap();
        assert_eq!([bed.read(0), bed.read(1)], [(1, 1), (1, 0)]);
        assert!(bed.is_clean());
    });
}

/// All its marks are in, and another brings its operation to the end between the owner's look at a
/// line and its look at the status: it must take its marks off the later lines too.
#[test]
fn an_owner_leaves_no_mark_behind_where_it_is_overtaken() {
    model("an_owner_leaves_no_mark_behind_where_it_is_overtaken", || {
        let (bed, other) = site(&[(3, 0), (0, 0)]);
        let half = bed.stop_half_way(&[(0, (-1, 0)), (1, (1, 0))], When::Never, 2);
        let buyer = thread::spawn(move || assert!(other.apply(0, HOLD)));
        assert_eq!(half.wake(), Ok(vec![(3, 0), (0, 0)]));
        buyer.join().unwrap();
        assert!(bed.is_clean());
        assert_eq!([bed.read(0), bed.read(1)], [(1, 1), (1, 0)]);
    });
}

#[test]
fn a_record_is_queued_before_what_it_gives_can_be_spent() {
    model("a_record_is_queued_before_what_it_gives_can_be_spent", || {
        let (bed, other) = site(&[(1, 0), (0, 0)]);
        // The buyer may only buy what the transfer brings.
        let buyer = thread::spawn(move || other.take(1, 1));
        assert!(recorded_transfer(&bed, 0, 1, 1));
        let bought = buyer.join().unwrap();
        let written = bed.check_journal();
        assert_eq!(written.len(), 1 + usize::from(bought));
        assert!(written[0].name.is_some());
        assert_eq!(bed.shown(), 1);
    });
}

#[test]
fn a_helper_queues_the_record_and_it_is_written_once() {
    model("a_helper_queues_the_record_and_it_is_written_once", || {
        let (bed, other) = site(&[(1, 0), (1, 0)]);
        // This buyer always has to get past the transfer.
        let buyer = thread::spawn(move || assert!(other.take(1, 1)));
        assert!(recorded_transfer(&bed, 0, 1, 1));
        buyer.join().unwrap();
        assert_eq!(bed.check_journal().len(), 2);
        assert_eq!(bed.shown(), 1);
    });
}

#[test]
fn a_commit_that_only_gives_is_queued_before_its_units_can_be_spent() {
    model("a_commit_that_only_gives_is_queued_before_its_units_can_be_spent", || {
        let (bed, other) = site(&[(0, 1), (0, 1)]);
        let buyer = thread::spawn(move || other.take(1, 1));
        let given = bed.commit(&[(0, (1, -1)), (1, (1, -1))], When::BeforeStart);
        assert_eq!(given, Ok(vec![(0, 1), (0, 1)]));
        buyer.join().unwrap();
        bed.check_journal();
    });
}

#[test]
fn a_late_mark_on_a_word_that_came_back_changes_nothing() {
    model("a_late_mark_on_a_word_that_came_back_changes_nothing", || {
        let (bed, other) = site(&[(2, 0), (2, 0)]);
        // The helper looks at cell 1 and falls asleep. The transfer is decided without it, and then
        // the word of cell 1 comes back to what the helper has seen.
        let helper = thread::spawn(move || assert!(other.apply(0, HOLD)));
        assert!(transfer(&bed, 0, 1, 1));
        assert!(bed.apply(1, (-1, 0)));
        helper.join().unwrap();
        assert_eq!([bed.read(0), bed.read(1)], [(0, 1), (2, 0)]);
        assert!(bed.is_clean());
    });
}

#[test]
fn a_late_mark_means_nothing_to_a_buyer_who_meets_it() {
    model("a_late_mark_means_nothing_to_a_buyer_who_meets_it", || {
        let (bed, other) = site(&[(2, 0), (2, 0)]);
        let half = bed.stop_half_way(&[(0, (-1, 0)), (1, (1, 0))], When::Never, 1);
        let sleeper = half.helper_asleep_before(1);
        assert!(half.wake().is_ok());
        assert!(bed.apply(1, (-1, 0)), "the word comes back to what it was");
        let buyer = thread::spawn(move || assert!(other.apply(1, HOLD)));
        sleeper.mark();
        sleeper.finish();
        buyer.join().unwrap();
        assert_eq!([bed.read(0), bed.read(1)], [(1, 0), (1, 1)]);
        assert!(bed.is_clean());
    });
}

#[test]
fn a_snapshot_never_sees_units_missing() {
    model("a_snapshot_never_sees_units_missing", || {
        let (bed, other) = site(&[(2, 0), (1, 0)]);
        let looker = thread::spawn(move || {
            let seen = other.snapshot(&[0, 1]);
            assert!(seen == [(2, 0), (1, 0)] || seen == [(0, 0), (3, 0)], "{seen:?}");
        });
        assert!(transfer(&bed, 0, 1, 2));
        looker.join().unwrap();
        assert_eq!([bed.read(0), bed.read(1)], [(0, 0), (3, 0)]);
        assert!(bed.is_clean());
    });
}

#[test]
fn what_shows_in_one_cell_shows_in_all() {
    model("what_shows_in_one_cell_shows_in_all", || {
        let (bed, other) = site(&[(1, 0), (0, 0)]);
        let reader = thread::spawn(move || {
            if other.read(1) == (1, 0) {
                assert_eq!(other.read(0), (0, 0), "it is in both cells or in none");
            }
            if other.read(0) == (0, 0) {
                assert_eq!(other.read(1), (1, 0), "it is in both cells or in none");
            }
        });
        assert!(transfer(&bed, 0, 1, 1));
        reader.join().unwrap();
    });
}

#[test]
fn a_reader_of_a_helpers_mark_sees_what_all_see() {
    model("a_reader_of_a_helpers_mark_sees_what_all_see", || {
        let (bed, other) = site(&[(2, 0), (0, 0)]);
        bed.stop_half_way(&[(0, (-1, 0)), (1, (1, 0))], When::Never, 1).sleep_for_ever();
        let helper = thread::spawn(move || assert!(other.apply(0, HOLD)));
        if bed.read(1) == (1, 0) {
            let seen = bed.read(0);
            assert!(seen == (1, 0) || seen == (0, 1), "{seen:?}");
        }
        helper.join().unwrap();
        assert_eq!([bed.read(0), bed.read(1)], [(0, 1), (1, 0)]);
    });
}

#[test]
fn split_fulfilment_against_a_reserve() {
    model("split_fulfilment_against_a_reserve", || {
        let (bed, other) = site(&[(2, 0), (2, 0)]);
        let buyer = thread::spawn(move || other.apply(1, HOLD));
        // Cell 1 first, then cell 0: the fill takes 3 of the 4 units, and the buyer another one.
        assert!(bed.fill(&[1, 0], 3, When::Never).is_ok(), "the sum was never short");
        let expected = if buyer.join().unwrap() { (0, 2) } else { (1, 1) };
        assert_eq!([bed.read(0), bed.read(1)], [expected, (0, 2)]);
        assert!(bed.is_clean());
    });
}

#[test]
fn split_fulfilment_is_refused_only_when_the_sum_is_short() {
    // One preemption, for the same reason.
    model_bounded("split_fulfilment_is_refused_only_when_the_sum_is_short", 1, || {
        let (bed, other) = site(&[(1, 0), (0, 0)]);
        // A unit comes to one cell before another leaves the other.
        let mover = thread::spawn(move || {
            assert!(other.apply(1, (1, 0)));
            other.apply(0, (-1, 0))
        });
        assert!(bed.fill(&[0, 1], 1, When::Never).is_ok(), "the sum was never short");
        let taken = mover.join().unwrap();
        let (first, second) = (bed.read(0), bed.read(1));
        let units = u32::from(!taken);
        assert_eq!((first.0 + second.0, first.1 + second.1), (units, 1));
        assert!(bed.is_clean());
    });
}

/// Whoever drives the basket, the owner or the buyer who meets it, leaves the floor.
#[test]
fn a_basket_and_a_buyer_together_leave_the_floor() {
    model("a_basket_and_a_buyer_together_leave_the_floor", || {
        let bed = Arc::new(Testbed::new(&[(1, 0), (2, 0)]).with_floors(&[0, 1]));
        let other = Arc::clone(&bed);
        let buyer = thread::spawn(move || other.apply(1, HOLD));
        let basket = bed.commit(&[(0, HOLD), (1, HOLD)], When::Never).is_ok();
        let bought = buyer.join().unwrap();
        assert!(basket != bought, "one of them gets the unit above the floor, and only one");
        let expected = if basket { (0, 1) } else { (1, 0) };
        assert_eq!([bed.read(0), bed.read(1)], [expected, (1, 1)]);
        assert!(bed.is_clean());
    });
}

/// The owner sleeps, and a buyer who meets the mark brings the basket to its end.
#[test]
fn a_helper_leaves_the_floor_of_the_basket() {
    model("a_helper_leaves_the_floor_of_the_basket", || {
        let bed = Arc::new(Testbed::new(&[(2, 0), (1, 0)]).with_floors(&[0, 1]));
        let other = Arc::clone(&bed);
        bed.stop_half_way(&[(0, HOLD), (1, HOLD)], When::Never, 1).sleep_for_ever();
        let buyer = thread::spawn(move || other.apply(0, (-2, 2)));
        assert_eq!(bed.read(1), (1, 0), "the unit is kept at every moment");
        assert!(buyer.join().unwrap(), "the basket was refused, and there are two units");
        assert_eq!([bed.read(0), bed.read(1)], [(0, 2), (1, 0)]);
    });
}

#[test]
fn split_fulfilment_takes_no_level_under_its_floor() {
    // One preemption: a refusal after two marks has many steps.
    model_bounded("split_fulfilment_takes_no_level_under_its_floor", 1, || {
        let bed = Arc::new(Testbed::new(&[(2, 0), (2, 0)]).with_floors(&[1, 1]));
        let other = Arc::clone(&bed);
        let buyer = thread::spawn(move || other.apply(0, HOLD));
        let filled = bed.fill(&[0, 1], 2, When::Never);
        let bought = buyer.join().unwrap();
        let expected = if bought {
            assert_eq!(filled.map_err(|short| short.available), Err(1));
            (2, 0)
        } else {
            assert!(filled.is_ok());
            (1, 1)
        };
        assert_eq!([bed.read(0), bed.read(1)], [(1, 1), expected]);
    });
}

#[test]
fn slots_are_used_again_under_a_reader() {
    model("slots_are_used_again_under_a_reader", || {
        let (bed, other) = site(&[(2, 0), (0, 0), (5, 0)]);
        // The second commit takes the slot of the first, with another cell in it.
        let reader = thread::spawn(move || {
            let seen = other.read(0);
            assert!(seen == (2, 0) || seen == (1, 0), "{seen:?}");
        });
        assert!(transfer(&bed, 0, 1, 1));
        assert!(bed.commit(&[(2, (-3, 3))], When::Never).is_ok());
        reader.join().unwrap();
        assert_eq!([bed.read(0), bed.read(1), bed.read(2)], [(1, 0), (1, 0), (2, 3)]);
    });
}

#[test]
fn slots_are_used_again_under_a_helper() {
    model("slots_are_used_again_under_a_helper", || {
        let (bed, other) = site(&[(3, 0), (1, 0)]);
        let half = bed.stop_half_way(&[(0, (-1, 0))], When::Never, 1);
        let buyer = thread::spawn(move || assert!(other.apply(0, HOLD)));
        assert!(half.wake().is_ok());
        assert!(bed.commit(&[(1, HOLD)], When::Never).is_ok());
        buyer.join().unwrap();
        assert_eq!([bed.read(0), bed.read(1)], [(1, 1), (0, 1)]);
        assert!(bed.is_clean());
    });
}

#[test]
fn a_helpers_slot_is_used_again_under_a_reader() {
    model("a_helpers_slot_is_used_again_under_a_reader", || {
        let (bed, other) = site(&[(5, 0), (0, 0), (5, 0)]);
        let moves = [(0, (-1, 0)), (1, (1, 0))];
        let half = bed.stop_half_way(&moves, When::Never, 1);
        let reader = thread::spawn(move || {
            let seen = other.read(1);
            assert!(seen == (0, 0) || seen == (1, 0), "{seen:?}");
        });
        // Helps with a slot of its own, which marks cell 1; then the slots of both are used again.
        assert!(bed.apply(0, HOLD));
        assert!(half.wake().is_ok());
        assert!(bed.commit(&[(2, HOLD)], When::Never).is_ok());
        reader.join().unwrap();
        assert_eq!([bed.read(0), bed.read(1), bed.read(2)], [(3, 1), (1, 0), (4, 1)]);
    });
}

#[test]
fn room_that_a_commit_gives_is_taken_by_nobody_while_its_warehouse_is_over() {
    model("room_that_a_commit_gives_is_taken_by_nobody_while_its_warehouse_is_over", || {
        // The rooms of two warehouses. The first is over, and stays so: 1 leaves, and its capacity
        // is lowered by 1 meanwhile.
        let (bed, other) = site(&[(0, 1), (1, 0)]);
        let house = thread::spawn(move || {
            other.take_room_by_force(0, 1);
            other.apply(0, (-1, ROOM))
        });
        let moved = bed.commit(&[(0, (1, ROOM)), (1, (-1, ROOM))], When::Never);
        assert!(moved.is_ok(), "nobody else takes the room of the second");
        assert!(!house.join().unwrap(), "there was room at no time");
        assert_eq!([bed.read(0), bed.read(1)], [(0, 1), (0, 0)]);
        assert!(bed.is_clean());
    });
}
