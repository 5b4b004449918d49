//! Limits in checkpoints.

use proptest::prelude::*;

use super::*;

const BEA: SubjectHash = SubjectHash([2; 16]);

/// Rules of every kind, with a second version of one, and one that was dropped.
fn rules() -> Vec<RuleDefinition> {
    let mut rules: Vec<RuleDefinition> =
        (1..).zip(ALL).map(|(number, counts)| rule(RuleNumber(number), counts)).collect();
    rules[0].group = Some("drop".into());
    rules[0].products.clear();
    rules[3].products.push(ProductIndex(1));
    let by_number = RuleDefinition {
        unit: LimitUnit::Reservations,
        asked: AskedAt::Sale,
        ..rule(RuleNumber(5), LimitCounts::Sales)
    };
    rules.push(by_number);
    let held = rule(RuleNumber(6), LimitCounts::Holds);
    rules.push(RuleDefinition { unit: LimitUnit::Reservations, ..held });
    rules
}

pub(super) fn with_everything() -> Ledger {
    let mut ledger = limited(&rules());
    let opened = [("subjects", "000102030405060708090a0b0c0d0e0f")];
    let another = [("subjects", "ff0102030405060708090a0b0c0d0e0f")];
    let facts = [("group", "drop"), ("change", "add")];
    let member = Subject::Product(ProductIndex(1));
    for record in [
        event(EventType::Opened, Subject::None, &opened),
        event(EventType::GroupChanged, member, &facts),
        event(EventType::LimitDropped, Subject::None, &[("rule", "2")]),
        // What was dropped before has its subjects under the secret before.
        event(EventType::Opened, Subject::None, &another),
        defined(&RuleDefinition { version: 2, maximum: 7, ..rules()[3].clone() }),
    ] {
        apply(&mut ledger, &record).expect("legal");
    }
    ledger
}

pub(super) fn copy(ledger: &Ledger) -> Ledger {
    let bytes = ledger.to_bytes(10);
    let copy = Ledger::from_bytes(&bytes, 10).expect("a ledger");
    assert_eq!(copy.to_bytes(10), bytes);
    copy
}

/// Something that a caller does with a hold. It may be refused.
#[derive(Clone, Debug)]
pub(super) struct Deed {
    movement: AdjustmentType,
    slot: u32,
    level: LevelIndex,
    units: u32,
    /// Rules and subjects of the draws.
    draws: Vec<(u32, bool)>,
    /// The time is over for this rule, instead of the movement.
    over: Option<u32>,
}

prop_compose! {
    pub(super) fn deeds()(
        movement in prop::sample::select(
            vec![Reserved, Reserved, Sold, Returned, SaleCancelled, Shipped],
        ),
        slot in 1..4_u32,
        level in 0..2_u32,
        units in 1..4_u32,
        draws in prop::collection::btree_set((1..7_u32, any::<bool>()), 0..4),
        over in prop::option::weighted(0.1, 1..7_u32),
    ) -> Deed {
        let draws = draws.into_iter().collect();
        Deed { movement, slot, level: LevelIndex(level), units, draws, over }
    }
}

/// The record of a deed. A reserve takes the slot's next reservation, and units of both levels.
pub(super) fn record_of(deed: &Deed, ledger: &Ledger) -> DecodedRecord {
    let Deed { movement, slot, level, units, ref draws, over } = *deed;
    let newest = ledger.holds.at(id(slot, 1)).map(|hold| hold.id);
    let hold = match newest {
        Some(newest) if movement == Reserved => next_of(newest),
        Some(newest) => newest,
        None => id(slot, 1),
    };
    if let Some(rule) = over {
        return returned(RuleNumber(rule), hold);
    }
    let steps = match movement {
        Reserved => vec![(Reserved, LAPTOP, units), (Reserved, MOUSE, 1)],
        other => vec![(other, level, units)],
    };
    let takes = matches!(movement, Reserved | Sold);
    let lines = (0..steps.len() as u32).filter(|_| takes);
    let marks: Vec<DrawMark> = lines
        .flat_map(|line| draws.iter().map(move |draw| (line, *draw)))
        .map(|(line, (rule, is_bea))| {
            let subject = if is_bea { BEA } else { ANN };
            let key = AllowanceKey { rule: RuleNumber(rule), subject };
            DrawMark { key, maximum: 9, ..mark(RULE, line, 4) }
        })
        .collect();
    drawing(&steps, hold, &marks)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// A checkpoint at any place changes nothing of what comes after, and every state adds up.
    #[test]
    fn a_ledger_goes_on_from_a_checkpoint_as_if_it_had_read_everything(
        deeds in prop::collection::vec(deeds(), 0..60),
        at in 0..60_usize,
    ) {
        let (mut whole, mut from_checkpoint) = (with_everything(), None);
        for (number, deed) in deeds.iter().enumerate() {
            if number == at {
                from_checkpoint = Some(copy(&whole));
            }
            let record = record_of(deed, &whole);
            // A ledger that refuses may be half changed.
            if apply(&mut copy(&whole), &record).is_err() {
                continue;
            }
            apply(&mut whole, &record).expect("as the copy did");
            prop_assert_eq!(whole.check_totals(), Ok(()));
            if let Some(ledger) = &mut from_checkpoint {
                apply(ledger, &record).expect("as the copy did");
            }
        }
        if let Some(ledger) = from_checkpoint {
            prop_assert_eq!(ledger.to_bytes(10), whole.to_bytes(10));
        }
    }
}

/// A ledger in which every kind of rule has been drawn on, and something is used for good.
fn full() -> Ledger {
    let mut ledger = with_everything();
    for (slot, born, rules) in [(1, 1, &[1, 2, 4][..]), (1, 2, &[3, 6]), (2, 1, &[4]), (3, 1, &[])]
    {
        let marks: Vec<DrawMark> = (0..2)
            .flat_map(|line| rules.iter().map(move |rule| (line, RuleNumber(*rule))))
            .map(|(line, rule)| mark(rule, line, 4))
            .collect();
        let steps = [(Reserved, LAPTOP, 1), (Reserved, MOUSE, 1)];
        apply(&mut ledger, &drawing(&steps, id(slot, born), &marks)).expect("legal");
        if (slot, born) == (1, 1) {
            let all = [(Sold, LAPTOP, 1), (Sold, MOUSE, 1)];
            apply(&mut ledger, &drawing(&all, id(1, 1), &[])).expect("legal");
            apply(&mut ledger, &returned(RuleNumber(4), id(1, 1))).expect("legal");
        }
    }
    step(&mut ledger, Sold, 1, id(3, 1), &[mark(RuleNumber(5), 0, 1)]);
    // One that has given all back remembers on what it had drawn.
    step(&mut ledger, Reserved, 1, id(4, 1), &[mark(RULE, 0, 4)]);
    step(&mut ledger, Returned, 1, id(4, 1), &[]);
    step(&mut ledger, Sold, 1, id(2, 1), &[]);
    ledger
}

#[test]
fn limits_are_read_back_from_a_checkpoint() {
    let ledger = full();
    let again = copy(&ledger);
    assert_eq!(again.limits.rules, ledger.limits.rules);
    let told_apart = ledger.limits.rules.values().filter(|rule| rule.of_another_secret);
    assert_eq!(told_apart.map(|rule| rule.definition.number).collect::<Vec<_>>(), [RuleNumber(2)]);
    assert_eq!(again.limits.groups, ledger.limits.groups);
    assert_eq!(again.limits.allowances, ledger.limits.allowances);
    assert_eq!(again.limits.subjects, ledger.limits.subjects);
    assert!(ledger.holds.all().all(|hold| again.holds.at(hold.id) == Some(hold)));
    assert_eq!(ledger.holds.all().filter(|hold| hold.has_draws()).count(), 3);
    let remembered: Vec<_> = ledger.holds.all().flat_map(|hold| hold.draws_given_back()).collect();
    assert_eq!(remembered, [&mark(RULE, 0, 4).key]);
    assert!(ledger.limits.allowances.values().any(|allowance| allowance.permanent == 2));
}

#[test]
fn a_ledger_without_limits_has_the_bytes_that_it_always_had() {
    let mut ledger = limited(&[]);
    step(&mut ledger, Reserved, 3, id(1, 1), &[]);
    let plain = ledger.to_bytes(10);
    ledger.limits.subjects = Some(ANN);
    let limited = ledger.to_bytes(10);
    // A bit of the clock's byte; then the check value, and three counts of nothing and one more.
    assert_eq!(limited.len(), plain.len() + 1 + 16 + 4);
    let differing = plain.iter().zip(&limited).filter(|(one, other)| one != other).count();
    assert_eq!(differing, 1);
}

#[test]
fn no_bytes_of_limits_make_the_reader_panic_or_leave_a_ledger_that_does_not_add_up() {
    let bytes = full().to_bytes(10);
    let begin = limited(&[]).to_bytes(10).len().min(bytes.len());
    for place in 0..bytes.len() {
        assert!(Ledger::from_bytes(&bytes[..place], 10).is_err(), "cut at {place}");
    }
    // Of the parts before, other tests change each bit.
    for place in begin / 2..bytes.len() {
        for byte in (0..8).map(|bit| bytes[place] ^ 1 << bit).chain([0, 0xff]) {
            let mut changed = bytes.clone();
            changed[place] = byte;
            if let Ok(ledger) = Ledger::from_bytes(&changed, 10) {
                ledger.check_totals().expect("else it was refused");
                assert!(ledger.limits.allowances.values().all(|it| it.used >= it.permanent));
            }
        }
    }
}

#[test]
fn a_state_that_says_it_has_limits_and_has_none_is_refused() {
    let mut ledger = limited(&[]);
    ledger.limits.subjects = Some(ANN);
    let mut bytes = ledger.to_bytes(10);
    let end = bytes.len();
    assert_eq!(bytes[end - 21..end - 20], [1], "it has a check value");
    bytes.drain(end - 20..end - 4);
    bytes[end - 21] = 0;
    let refused = Ledger::from_bytes(&bytes, 10).expect_err("no limits");
    assert_eq!(refused.what, "limits that are none");
}
