//! The law of tracked units.

use super::*;

/// Makes a reservation that is kept, of four sold units.
fn sell_kept(ledger: &mut Ledger, hold: ReservationId) {
    use AdjustmentType::{Reserved, Sold};
    let mut record = DecodedRecord::default();
    let header = &mut record.steps.header;
    (header.reservation, header.expires_at) = (Some(hold), Some(moment(100)));
    for movement in [Reserved, Sold] {
        record.steps.line(movement, Subject::Level(LAPTOP), 4, None);
    }
    record.steps.keep = true;
    ledger.apply(&Decoded::Record(&record)).expect("legal");
}

fn opening(ledger: &mut Ledger, facts: &[(&str, &str)]) {
    let opened = event(EventType::Opened, Subject::None, facts);
    ledger.apply(&Decoded::Record(&opened)).expect("legal");
}

const TRACKED: &[(&str, &str)] = &[("tracked", "1")];

#[test]
fn no_ship_or_cancel_by_level_takes_units_of_a_kept_reservation() {
    use AdjustmentType::{Reserved, SaleCancelled, Shipped, Sold};
    for movement in [Shipped, SaleCancelled] {
        for through_a_checkpoint in [false, true] {
            let mut ledger = ledger();
            opening(&mut ledger, TRACKED);
            let (kept, other) = (id(1, 1), id(2, 1));
            sell_kept(&mut ledger, kept);
            take(&mut ledger, Reserved, 2, Some(other)).expect("stock");
            take(&mut ledger, Sold, 2, Some(other)).expect("held");
            take(&mut ledger, movement, 1, None).expect("one that nobody keeps");
            take(&mut ledger, Shipped, 1, Some(kept)).expect("its own");
            if through_a_checkpoint {
                let bytes = ledger.to_bytes(10);
                ledger = Ledger::from_bytes(&bytes, 10).expect("sound");
                assert_eq!(ledger.to_bytes(10), bytes);
            }
            assert_eq!((ledger.levels[0].sold, ledger.levels[0].tracked), (4, 3));
            let stolen = take(&mut ledger, movement, 2, None);
            let law = "it takes sold units of a reservation that is kept until it is shipped";
            assert_eq!(what(stolen), Err(law.to_owned()), "{movement:?}");
        }
    }
}

#[test]
fn what_an_older_engine_shipped_by_level_is_legal_and_settled_at_the_next_opening() {
    use AdjustmentType::{Shipped, Sold};
    for through_a_checkpoint in [false, true] {
        let mut ledger = ledger();
        opening(&mut ledger, &[]);
        let (first, second) = (id(1, 1), id(2, 2));
        sell_kept(&mut ledger, first);
        sell_kept(&mut ledger, second);
        // Six of eight: it knew no better.
        take(&mut ledger, Shipped, 6, None).expect("legal then");
        if through_a_checkpoint {
            ledger = Ledger::from_bytes(&ledger.to_bytes(10), 10).expect("sound");
        }
        assert_eq!((ledger.levels[0].sold, ledger.levels[0].tracked), (2, 8));
        opening(&mut ledger, TRACKED);
        assert_eq!((ledger.levels[0].sold, ledger.levels[0].tracked), (2, 2));
        ledger.check_totals().expect("it adds up");
        // The oldest reservation has lost all of its units, the other one two.
        let settled: Vec<u32> =
            ledger.holds.all().flat_map(|hold| hold.lines()).map(|line| line.settled).collect();
        assert_eq!(settled, [4, 2]);
        assert!(take(&mut ledger, Shipped, 1, None).is_err());
        let sold = take(&mut ledger, Sold, 1, Some(first));
        assert!(sold.is_err(), "all of it was sold");
    }
}

#[test]
fn a_reservation_that_is_kept_later_tracks_what_it_sold_before() {
    use AdjustmentType::{Reserved, Shipped, Sold};
    for left in [2, 3] {
        let mut ledger = ledger();
        opening(&mut ledger, TRACKED);
        let (late, other) = (id(1, 1), id(2, 1));
        take(&mut ledger, Reserved, 4, Some(late)).expect("stock");
        take(&mut ledger, Sold, 3, Some(late)).expect("held");
        take(&mut ledger, Shipped, 1, Some(late)).expect("sold");
        take(&mut ledger, Reserved, 2, Some(other)).expect("stock");
        take(&mut ledger, Sold, 2, Some(other)).expect("held");
        take(&mut ledger, Shipped, left, None).expect("nobody keeps them");
        let mut record = DecodedRecord::default();
        record.steps.header.reservation = Some(late);
        record.steps.line(Sold, Subject::Level(LAPTOP), 1, None);
        record.steps.keep = true;
        let applied = what(ledger.apply(&Decoded::Record(&record)));
        if left == 2 {
            assert_eq!(applied, Ok(()));
            assert_eq!((ledger.levels[0].sold, ledger.levels[0].tracked), (3, 3));
            take(&mut ledger, Shipped, 2, Some(late)).expect("its own");
            ledger.check_totals().expect("it adds up");
            assert!(take(&mut ledger, Shipped, 1, None).is_err());
        } else {
            let law = "it keeps a reservation whose sold units have left by level";
            assert_eq!(applied, Err(law.to_owned()));
        }
    }
}

#[test]
fn an_engine_from_before_the_law_may_go_on_between_two_that_know_it() {
    let mut ledger = ledger();
    opening(&mut ledger, TRACKED);
    sell_kept(&mut ledger, id(1, 1));
    opening(&mut ledger, &[]);
    take(&mut ledger, AdjustmentType::Shipped, 3, None).expect("legal then");
    opening(&mut ledger, TRACKED);
    assert_eq!((ledger.levels[0].sold, ledger.levels[0].tracked), (1, 1));
    assert!(take(&mut ledger, AdjustmentType::Shipped, 1, None).is_err());
}
