//! Limits: when draws are taken and given back, and what is used then.

use super::*;
use crate::audit::draw::DrawMark;
use crate::journal::ledger::holds::HoldDraw;
use crate::journal::ledger::limits::AllowanceState;
use crate::stock::allowance::key::{AllowanceKey, RuleNumber, SubjectHash};
use crate::stock::allowance::rule::{AskedAt, LimitCounts, LimitUnit, RuleDefinition};
use AdjustmentType::{Reserved, Returned, SaleCancelled, Shipped, Sold};
use std::time::Duration;

mod bytes;
mod checkpoint;
mod hostile;
mod laws;

const MOUSE: LevelIndex = LevelIndex(1);
const RULE: RuleNumber = RuleNumber(1);
const ANN: SubjectHash = SubjectHash([1; 16]);
const WITHIN: LimitCounts = LimitCounts::SalesWithin(Duration::from_secs(60));
const ALL: [LimitCounts; 4] =
    [LimitCounts::Holds, LimitCounts::Sales, LimitCounts::SalesKept, WITHIN];

/// A rule of up to five units, which covers laptops.
fn rule(number: RuleNumber, counts: LimitCounts) -> RuleDefinition {
    RuleDefinition {
        number,
        version: 1,
        name: format!("limit {}", number.0).into(),
        kind: "customer".into(),
        maximum: 5,
        unit: LimitUnit::Units,
        counts,
        asked: AskedAt::Hold,
        group: None,
        products: vec![ProductIndex(0)],
    }
}

fn defined(rule: &RuleDefinition) -> DecodedRecord {
    let facts = rule.facts();
    let facts: Vec<_> = facts.iter().map(|(name, value)| (*name, &**value)).collect();
    let mut record = event(EventType::LimitDefined, Subject::None, &facts);
    if !rule.products.is_empty() {
        record.steps.lines.clear();
    }
    for product in &rule.products {
        record.steps.line(EventType::LimitDefined, Subject::Product(*product), 0, None);
    }
    record
}

fn apply(ledger: &mut Ledger, record: &DecodedRecord) -> Result<(), Broken> {
    ledger.apply(&Decoded::Record(record))
}

/// A ledger with ten laptops and ten mice, and these rules.
fn limited(rules: &[RuleDefinition]) -> Ledger {
    let mut ledger = ledger();
    let mouse =
        event(EventType::ProductDefined, Subject::Product(ProductIndex(1)), &[("name", "MOUSE")]);
    let mut opened = event(EventType::LevelOpened, Subject::Level(MOUSE), &[]);
    opened.place = Some((SF, ProductIndex(1)));
    let mut received = DecodedRecord::default();
    received.steps.line(AdjustmentType::Received, Subject::Level(MOUSE), 10, None);
    for record in [mouse, opened, received] {
        apply(&mut ledger, &record).expect("legal");
    }
    rules.iter().for_each(|rule| apply(&mut ledger, &defined(rule)).expect("a rule"));
    ledger
}

/// A draw of this line, by a maximum of five.
fn mark(rule: RuleNumber, line: u32, used_after: u32) -> DrawMark {
    let key = AllowanceKey { rule, subject: ANN };
    DrawMark { key, version: 1, maximum: 5, used_after, passed: false, line }
}

/// A record of these movements under a reservation, with these draws.
fn drawing(
    steps: &[(AdjustmentType, LevelIndex, u32)],
    hold: ReservationId,
    draws: &[DrawMark],
) -> DecodedRecord {
    let mut record = long(&[], Some(hold));
    for (movement, level, units) in steps {
        record.steps.line(*movement, Subject::Level(*level), *units, None);
    }
    record.steps.draws.extend_from_slice(draws);
    record
}

/// Applies a record of one movement of laptops.
fn step(
    ledger: &mut Ledger,
    movement: AdjustmentType,
    units: u32,
    hold: ReservationId,
    draws: &[DrawMark],
) {
    apply(ledger, &drawing(&[(movement, LAPTOP, units)], hold, draws)).expect("legal");
    ledger.check_totals().expect("it adds up");
}

fn returned(rule: RuleNumber, hold: ReservationId) -> DecodedRecord {
    let number = rule.0.to_string();
    let facts = [("rule", &*number)];
    let mut record = event(EventType::AllowanceReturned, Subject::Level(LAPTOP), &facts);
    record.steps.header.reservation = Some(hold);
    record
}

fn allowance(ledger: &Ledger, rule: RuleNumber) -> AllowanceState {
    let key = AllowanceKey { rule, subject: ANN };
    ledger.limits.allowances.get(&key).copied().unwrap_or_default()
}

fn used(ledger: &Ledger) -> u32 {
    allowance(ledger, RULE).used
}

fn draws(ledger: &Ledger, hold: ReservationId) -> &[HoldDraw] {
    ledger.holds.at(hold).map_or(&[], |hold| hold.draws())
}

/// Every row of the table of lifetimes.
#[test]
fn a_draw_is_given_back_when_its_rule_says_so() {
    let hold = id(1, 1);
    type Row = (&'static [AdjustmentType], [u32; 4]);
    // What is used in the end, where holds count, sales, sales for good, sales for a time.
    let table: [Row; 5] = [
        (&[], [3, 3, 3, 3]),
        (&[Returned], [0, 0, 0, 0]),
        (&[Sold], [0, 3, 3, 3]),
        (&[Sold, SaleCancelled], [0, 0, 3, 0]),
        (&[Sold, Shipped], [0, 3, 3, 3]),
    ];
    for (movements, expected) in table {
        for (counts, expected) in ALL.into_iter().zip(expected) {
            for is_plain in [false, true] {
                let mut ledger = limited(&[rule(RULE, counts)]);
                step(&mut ledger, Reserved, 3, hold, &[mark(RULE, 0, 3)]);
                for movement in movements {
                    match is_plain {
                        true => take(&mut ledger, *movement, 3, Some(hold)).expect("legal"),
                        false => step(&mut ledger, *movement, 3, hold, &[]),
                    }
                }
                assert_eq!(used(&ledger), expected, "{counts:?} {movements:?} {is_plain}");
                let drawn: u32 = draws(&ledger, hold).iter().map(|draw| draw.drawn).sum();
                assert_eq!(drawn, expected, "{counts:?} {movements:?} {is_plain}");
            }
        }
    }
}

#[test]
fn an_expiry_gives_back_and_so_does_the_end_of_the_time() {
    let hold = id(1, 1);
    for counts in ALL {
        let mut ledger = limited(&[rule(RULE, counts)]);
        step(&mut ledger, Reserved, 3, hold, &[mark(RULE, 0, 3)]);
        let expired = PlainEntry::new(Returned, moment(101), LAPTOP, 3).reservation(hold).expired();
        ledger.apply(&Decoded::Plain(expired)).expect("legal");
        assert_eq!((used(&ledger), draws(&ledger, hold)), (0, &[][..]), "{counts:?}");

        let mut ledger = limited(&[rule(RULE, counts), rule(RuleNumber(2), counts)]);
        let marks = [mark(RULE, 0, 3), mark(RuleNumber(2), 0, 3)];
        step(&mut ledger, Reserved, 3, hold, &marks);
        step(&mut ledger, Sold, 3, hold, &[]);
        let other = allowance(&ledger, RuleNumber(2));
        apply(&mut ledger, &returned(RULE, hold)).expect("legal");
        ledger.check_totals().expect("it adds up");
        assert_eq!(used(&ledger), 0, "{counts:?}");
        assert_eq!(allowance(&ledger, RuleNumber(2)), other, "{counts:?}: another rule");
        // A cancel gives nothing back a second time.
        step(&mut ledger, SaleCancelled, 3, hold, &[]);
        assert_eq!(used(&ledger), 0, "{counts:?}");
    }
}

#[test]
fn a_sale_in_one_record_draws_what_it_sells() {
    for (counts, expected) in ALL.into_iter().zip([0, 3, 3, 3]) {
        let mut ledger = limited(&[rule(RULE, counts)]);
        let steps = [(Reserved, LAPTOP, 3), (Sold, LAPTOP, 3)];
        apply(&mut ledger, &drawing(&steps, id(1, 1), &[mark(RULE, 0, 3)])).expect("legal");
        ledger.check_totals().expect("it adds up");
        assert_eq!(used(&ledger), expected, "{counts:?}");
    }
}

#[test]
fn partial_steps_give_back_what_they_end() {
    let hold = id(1, 1);
    let steps = [(Sold, 2), (Returned, 1), (Sold, 1), (SaleCancelled, 2), (Returned, 1)];
    let expected = [
        (LimitCounts::Holds, [3, 2, 1, 1, 0]),
        (LimitCounts::Sales, [5, 4, 4, 2, 1]),
        (LimitCounts::SalesKept, [5, 4, 4, 4, 3]),
        (WITHIN, [5, 4, 4, 2, 1]),
    ];
    for (counts, expected) in expected {
        let mut ledger = limited(&[rule(RULE, counts)]);
        step(&mut ledger, Reserved, 5, hold, &[mark(RULE, 0, 5)]);
        let found = steps.map(|(movement, units)| {
            step(&mut ledger, movement, units, hold, &[]);
            used(&ledger)
        });
        assert_eq!(found, expected, "{counts:?}");
    }
}

#[test]
fn a_subject_that_is_first_named_at_a_sale_draws_what_is_sold_and_nothing_else() {
    let (hold, of_card) =
        (id(1, 1), RuleDefinition { asked: AskedAt::Sale, ..rule(RULE, LimitCounts::Sales) });
    let mut ledger = limited(&[of_card]);
    step(&mut ledger, Reserved, 5, hold, &[]);
    step(&mut ledger, Sold, 1, hold, &[mark(RULE, 0, 1)]);
    assert_eq!(used(&ledger), 1);
    step(&mut ledger, Sold, 2, hold, &[mark(RULE, 0, 3)]);
    assert_eq!((used(&ledger), draws(&ledger, hold).len()), (3, 1));
    // What comes back had never been drawn.
    step(&mut ledger, Returned, 2, hold, &[]);
    assert_eq!(used(&ledger), 3);
    step(&mut ledger, SaleCancelled, 2, hold, &[]);
    assert_eq!(used(&ledger), 1);
}

#[test]
fn a_subject_that_is_named_again_at_the_sale_draws_on_top_of_what_it_drew_before() {
    let hold = id(1, 1);
    let mut ledger = limited(&[rule(RULE, LimitCounts::Sales)]);
    step(&mut ledger, Reserved, 3, hold, &[mark(RULE, 0, 3)]);
    step(&mut ledger, Sold, 1, hold, &[mark(RULE, 0, 4)]);
    assert_eq!((used(&ledger), draws(&ledger, hold).len()), (4, 1));
    step(&mut ledger, Returned, 2, hold, &[]);
    assert_eq!(used(&ledger), 2, "what was held had been drawn");
}

#[test]
fn a_cancel_gives_back_no_more_than_was_drawn() {
    let (hold, other) = (id(1, 1), id(2, 1));
    let mut ledger = limited(&[rule(RULE, LimitCounts::Sales)]);
    step(&mut ledger, Reserved, 3, hold, &[]);
    // A unit that was sold before the rule was defined.
    step(&mut ledger, Sold, 1, hold, &[]);
    step(&mut ledger, Sold, 2, hold, &[mark(RULE, 0, 2)]);
    step(&mut ledger, Reserved, 1, other, &[mark(RULE, 0, 3)]);
    step(&mut ledger, SaleCancelled, 3, hold, &[]);
    assert_eq!((used(&ledger), draws(&ledger, hold)), (1, &[][..]));
}

#[test]
fn a_reservation_counts_once_whatever_its_lines_have() {
    let hold = id(1, 1);
    for (counts, of_both, of_one) in
        [(LimitCounts::Holds, 1, 0), (LimitCounts::Sales, 1, 1), (WITHIN, 1, 1)]
    {
        let by_number = RuleDefinition { unit: LimitUnit::Reservations, ..rule(RULE, counts) };
        let mut ledger = limited(&[by_number]);
        let steps = [(Reserved, LAPTOP, 3), (Reserved, MOUSE, 2)];
        let marks = [mark(RULE, 0, 1), mark(RULE, 1, 1)];
        apply(&mut ledger, &drawing(&steps, hold, &marks)).expect("legal");
        assert_eq!(used(&ledger), 1, "{counts:?}");
        step(&mut ledger, Returned, 2, hold, &[]);
        apply(&mut ledger, &drawing(&[(Returned, MOUSE, 2)], hold, &[])).expect("legal");
        ledger.check_totals().expect("it adds up");
        assert_eq!(used(&ledger), of_both, "{counts:?}: a laptop is left");
        step(&mut ledger, Sold, 1, hold, &[]);
        assert_eq!(used(&ledger), of_one, "{counts:?}");
        step(&mut ledger, SaleCancelled, 1, hold, &[]);
        assert_eq!(used(&ledger), 0, "{counts:?}: nothing is left");
        // A second reservation counts once more, until the first gives its 1 back.
        let all = [(Reserved, LAPTOP, 1), (Reserved, MOUSE, 1)];
        apply(&mut ledger, &drawing(&all, id(2, 1), &marks)).expect("legal");
        apply(&mut ledger, &drawing(&all, id(3, 1), &marks)).expect("legal");
        assert_eq!(used(&ledger), 2, "{counts:?}");
        let back = [(Returned, LAPTOP, 1), (Returned, MOUSE, 1)];
        apply(&mut ledger, &drawing(&back, id(2, 1), &[])).expect("legal");
        ledger.check_totals().expect("it adds up");
        assert_eq!(used(&ledger), 1, "{counts:?}");
    }
}

#[test]
fn the_slot_of_a_sale_that_counts_for_a_time_is_kept_until_the_time_is_over() {
    let (hold, next) = (id(1, 1), id(1, 2));
    let reserve =
        |ledger: &mut Ledger| what(apply(ledger, &drawing(&[(Reserved, LAPTOP, 1)], next, &[])));
    let sold = || {
        let mut ledger = limited(&[rule(RULE, WITHIN)]);
        step(&mut ledger, Reserved, 3, hold, &[mark(RULE, 0, 3)]);
        take(&mut ledger, Sold, 3, Some(hold)).expect("held");
        let kept = ledger.holds.at(hold).expect("it is there");
        assert!(kept.occupies() && !kept.is_live());
        assert_eq!(kept.ended_at, moment(5), "from here on the time runs");
        ledger
    };
    let law = "a slot is taken whose sale still counts under a limit";
    assert_eq!(reserve(&mut sold()), Err(law.to_owned()));
    for end in [returned(RULE, hold), drawing(&[(SaleCancelled, LAPTOP, 3)], hold, &[])] {
        let mut ledger = sold();
        apply(&mut ledger, &end).expect("legal");
        assert!(!ledger.holds.at(hold).expect("it is there").occupies());
        assert_eq!((reserve(&mut ledger), used(&ledger)), (Ok(()), 0));
    }
}

#[test]
fn what_a_reservation_still_draws_when_its_slot_is_taken_is_used_for_good() {
    for unit in [LimitUnit::Units, LimitUnit::Reservations] {
        let expected = if unit == LimitUnit::Units { 5 } else { 1 };
        let mut ledger = limited(&[RuleDefinition { unit, ..rule(RULE, LimitCounts::Sales) }]);
        let (hold, next) = (id(1, 1), id(1, 2));
        let steps =
            [(Reserved, LAPTOP, 3), (Reserved, MOUSE, 2), (Sold, LAPTOP, 3), (Sold, MOUSE, 2)];
        let marks = [0, 1].map(|line| mark(RULE, line, expected));
        apply(&mut ledger, &drawing(&steps, hold, &marks)).expect("legal");
        assert_eq!(allowance(&ledger, RULE).permanent, 0);
        step(&mut ledger, Reserved, 1, next, &[]);
        let AllowanceState { used, permanent, .. } = allowance(&ledger, RULE);
        assert_eq!((used, permanent), (expected, expected), "{unit:?}");
        // Nobody knows any more what the first one drew.
        step(&mut ledger, SaleCancelled, 3, hold, &[]);
        apply(&mut ledger, &returned(RULE, hold)).expect("legal");
        assert_eq!(allowance(&ledger, RULE).used, expected, "{unit:?}");
        // What comes on top can be given back.
        step(&mut ledger, Returned, 1, next, &[]);
        let mut more = mark(RULE, 0, expected + 1);
        more.maximum = 6;
        step(&mut ledger, Reserved, 1, next_of(next), &[more]);
        assert_eq!(allowance(&ledger, RULE).used, expected + 1, "{unit:?}");
        step(&mut ledger, Returned, 1, next_of(next), &[]);
        assert_eq!(allowance(&ledger, RULE).used, expected, "{unit:?}");
    }
}

fn next_of(hold: ReservationId) -> ReservationId {
    id(hold.slot(), hold.created_at().as_millis() + 1)
}
