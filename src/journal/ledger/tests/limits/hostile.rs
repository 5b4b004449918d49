//! Records that no engine writes.

use proptest::prelude::*;

use super::checkpoint::{Deed, copy, deeds, record_of, with_everything};
use super::*;

/// What is otherwise in a record than in one of an engine's.
#[derive(Clone, Debug)]
struct Twist {
    /// In place of the line at this place, or behind the last one.
    line: Option<(usize, EntryLine)>,
    /// In place of the draw at this place, or one more.
    mark: Option<(usize, DrawMark)>,
    hold: Option<ReservationId>,
}

prop_compose! {
    fn lines()(
        // No transfers: what they hold, only the totals in the end tell.
        entry_type in prop_oneof![
            6 => prop::sample::select(AdjustmentType::ALL).prop_map(EntryType::from),
            1 => Just(EventType::KeyUsed.into()),
            1 => Just(EventType::AllowanceReturned.into()),
        ],
        level in 0..3_u32,
        quantity in 0..4_u32,
    ) -> EntryLine {
        let (subject, other) = (Subject::Level(LevelIndex(level)), Some(SF));
        EntryLine { entry_type, subject, quantity, other }
    }
}

prop_compose! {
    fn any_mark()(
        numbers in [1..8_u32, 0..2, 0..7, 0..7, 0..3],
        passed in prop::bool::weighted(0.9),
        subject in 1..3_u8,
    ) -> DrawMark {
        let [rule, version, maximum, used_after, line] = numbers;
        let key = AllowanceKey { rule: RuleNumber(rule), subject: SubjectHash([subject; 16]) };
        DrawMark { key, version, maximum, used_after, passed, line }
    }
}

prop_compose! {
    fn twists()(
        line in prop::option::weighted(0.3, (0..3_usize, lines())),
        mark in prop::option::weighted(0.5, (0..3_usize, any_mark())),
        hold in prop::option::weighted(0.1, (1..4_u32, 1..3_u64)),
    ) -> Twist {
        Twist { line, mark, hold: hold.map(|(slot, born)| id(slot, born)) }
    }
}

fn twisted(deed: &Deed, twist: &Twist, ledger: &Ledger) -> DecodedRecord {
    let mut record = record_of(deed, ledger);
    let RecordBuf { header, lines, draws, .. } = &mut record.steps;
    match twist.line.map(|(at, line)| (lines.get_mut(at), line)) {
        Some((Some(place), line)) => *place = line,
        Some((None, line)) => lines.push(line),
        None => {}
    }
    match twist.mark.map(|(at, mark)| (draws.get_mut(at), mark)) {
        Some((Some(place), mark)) => *place = mark,
        Some((None, mark)) => draws.push(mark),
        None => {}
    }
    // The decoder refuses any other order.
    draws.sort_by_key(|mark| mark.line);
    header.reservation = twist.hold.or(header.reservation);
    record
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// They are refused, or the draws add up, and a checkpoint of the ledger can be read.
    #[test]
    fn no_record_makes_the_ledger_panic_or_leaves_draws_that_do_not_add_up(
        records in prop::collection::vec((deeds(), twists()), 0..40),
    ) {
        let mut ledger = with_everything();
        for (deed, twist) in &records {
            let record = twisted(deed, twist, &ledger);
            if apply(&mut copy(&ledger), &record).is_ok() {
                apply(&mut ledger, &record).expect("as the copy did");
                prop_assert_eq!(ledger.check_allowances(), Ok(()));
            }
        }
    }
}
