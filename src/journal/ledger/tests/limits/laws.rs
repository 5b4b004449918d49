//! The laws about limits, each broken.

use super::*;
use crate::base::quantity::MAX_UNITS;
use crate::journal::ledger::holds::Hold;

fn dropped(number: RuleNumber) -> DecodedRecord {
    let number = number.0.to_string();
    event(EventType::LimitDropped, Subject::None, &[("rule", &*number)])
}

fn changed(group: &str, change: &str, products: &[u32]) -> DecodedRecord {
    let facts = [("group", group), ("change", change)];
    let mut record = event(EventType::GroupChanged, Subject::None, &facts);
    record.steps.lines.clear();
    for product in products {
        let subject = Subject::Product(ProductIndex(*product));
        record.steps.line(EventType::GroupChanged, subject, 0, None);
    }
    record
}

fn sales() -> RuleDefinition {
    rule(RULE, LimitCounts::Sales)
}

#[test]
fn a_draw_that_can_not_have_been_taken_is_told_with_its_line() {
    let fine = mark(RULE, 1, 5);
    let other = AllowanceKey { rule: RuleNumber(2), subject: ANN };
    let cases: [(DrawMark, &str, u64); 7] = [
        (DrawMark { key: other, ..fine }, "a limit that was never defined", 1),
        (
            DrawMark { version: 2, ..fine },
            "a draw by a version of a limit that was never defined",
            1,
        ),
        (DrawMark { used_after: 6, ..fine }, "a draw goes beyond its limit", 1),
        (DrawMark { maximum: 4, ..fine }, "a draw goes beyond its limit", 1),
        (DrawMark { line: 0, ..fine }, "a draw of a line that takes nothing", 0),
        (DrawMark { line: 2, ..fine }, "a draw of a line that takes nothing", 2),
        (DrawMark { line: 3, ..fine }, "a draw of a line that takes nothing", 0),
    ];
    let record = |mark| {
        let mut record = drawing(&[], id(1, 1), &[mark]);
        // The first line is about no level, and the last one takes nothing.
        record.steps.line(EventType::KeyUsed, Subject::None, 0, None);
        record.steps.line(Reserved, Subject::Level(LAPTOP), 3, None);
        record.steps.line(Returned, Subject::Level(LAPTOP), 1, None);
        record
    };
    apply(&mut limited(&[sales()]), &record(fine)).expect("legal");
    for (mark, expected, line) in cases {
        let mut ledger = limited(&[sales()]);
        let first = ledger.next_sequence;
        let found = apply(&mut ledger, &record(mark));
        let expected = Broken { sequence: first + line, what: expected.to_owned() };
        assert_eq!(found, Err(expected), "{mark:?}");
    }
    let passed = DrawMark { used_after: 6, passed: true, ..fine };
    apply(&mut limited(&[sales()]), &record(passed)).expect("it had the right to");
    let mut without = record(fine);
    without.steps.header.reservation = None;
    let expected = Err("a draw without a reservation".to_owned());
    assert_eq!(what(apply(&mut limited(&[sales()]), &without)), expected);
}

#[test]
fn a_draw_belongs_to_a_hold_and_one_of_its_lines() {
    // Units that wait for a transfer belong to no hold.
    let mut request = drawing(&[(Reserved, LAPTOP, 1)], id(1, 1), &[mark(RULE, 0, 1)]);
    request.steps.note("transferRequestId", "1");
    let to = Some(SF);
    request.steps.line(EventType::TransferRequested, Subject::Level(LAPTOP), 1, to);
    let mut ledger = limited(&[sales()]);
    let expected = Err("a draw of a reservation that is not there".to_owned());
    assert_eq!(what(apply(&mut ledger, &request)), expected);

    let mut ledger = limited(&[sales()]);
    step(&mut ledger, Reserved, 1, id(1, 1), &[]);
    request.steps.lines[0].subject = Subject::Level(MOUSE);
    request.steps.lines[1].subject = Subject::Level(MOUSE);
    let expected = Err("a reservation without a line of this level".to_owned());
    assert_eq!(what(apply(&mut ledger, &request)), expected);
}

#[test]
fn no_more_is_drawn_than_one_of_the_draws_allowed() {
    // Each says that nothing was used before it. Together they can't be.
    let law = Err("more is drawn than any of the draws allowed".to_owned());
    let reserve = |ledger: &mut Ledger, slot, units, mark| {
        what(apply(ledger, &drawing(&[(Reserved, LAPTOP, units)], id(slot, 1), &[mark])))
    };
    let fine = mark(RULE, 0, 3);
    let mut ledger = limited(&[sales()]);
    assert_eq!(reserve(&mut ledger, 1, 3, fine), Ok(()));
    assert_eq!(reserve(&mut ledger, 2, 2, fine), Ok(()));
    assert_eq!(reserve(&mut ledger, 3, 1, fine), law, "six of five");

    // One that went by a greater maximum, before it was lowered, may stand before or behind.
    for order in [[5, 6], [6, 5]] {
        let mut ledger = limited(&[sales()]);
        for (slot, maximum) in (1..).zip(order) {
            assert_eq!(reserve(&mut ledger, slot, 3, DrawMark { maximum, ..fine }), Ok(()));
        }
        assert_eq!(reserve(&mut ledger, 3, 1, fine), law, "seven of six");
    }

    // One that had the right to pass excuses all, until nothing is used any more.
    let passed = DrawMark { used_after: 9, passed: true, ..fine };
    let mut ledger = limited(&[sales()]);
    assert_eq!(reserve(&mut ledger, 1, 4, passed), Ok(()));
    assert_eq!(reserve(&mut ledger, 2, 4, fine), Ok(()));
    step(&mut ledger, Returned, 4, id(1, 1), &[]);
    step(&mut ledger, Returned, 4, id(2, 1), &[]);
    assert_eq!(allowance(&ledger, RULE), AllowanceState::default());
    assert_eq!(reserve(&mut ledger, 1 << 10, 4, fine), Ok(()));
    assert_eq!(reserve(&mut ledger, 1 << 11, 2, fine), law, "six of five");
}

/// A commit that gives and takes is recorded once: only what it leaves must be legal.
#[test]
fn within_a_record_more_may_be_drawn() {
    let mut ledger = limited(&[rule(RULE, LimitCounts::Holds)]);
    step(&mut ledger, Reserved, 4, id(2, 1), &[mark(RULE, 0, 4)]);
    let steps = [(Reserved, LAPTOP, 3), (Sold, LAPTOP, 3)];
    apply(&mut ledger, &drawing(&steps, id(1, 1), &[mark(RULE, 0, 5)])).expect("legal");
    assert_eq!(used(&ledger), 4);
}

#[test]
fn a_membership_or_a_drop_may_be_stamped_before_a_draw_that_read_the_old_one() {
    let mut ledger =
        limited(&[RuleDefinition { group: Some("drop".into()), products: Vec::new(), ..sales() }]);
    apply(&mut ledger, &changed("drop", "add", &[0, 1])).expect("legal");
    apply(&mut ledger, &changed("drop", "remove", &[0])).expect("legal");
    apply(&mut ledger, &dropped(RULE)).expect("legal");
    step(&mut ledger, Reserved, 3, id(1, 1), &[mark(RULE, 0, 3)]);
    assert_eq!(used(&ledger), 3, "what was under way counts");
    step(&mut ledger, Returned, 3, id(1, 1), &[]);
    assert_eq!(used(&ledger), 0);
}

#[test]
fn a_rule_changes_nothing_but_its_maximum_and_what_it_covers() {
    let second = RuleDefinition { version: 2, maximum: 9, ..sales() };
    let covers = RuleDefinition {
        group: Some("drop".into()),
        products: vec![ProductIndex(1)],
        ..second.clone()
    };
    for change in [second.clone(), covers] {
        let mut ledger = limited(&[sales()]);
        apply(&mut ledger, &defined(&change)).expect("legal");
        let known = &ledger.limits.rules[&RULE];
        assert_eq!((&known.definition, known.dropped), (&change, false));
        let again = what(apply(&mut ledger, &defined(&change)));
        assert_eq!(again, Err("a version of a limit that does not rise".to_owned()));
    }
    let law = Err("a limit changes what it counts".to_owned());
    for change in [
        RuleDefinition { name: "other".into(), ..second.clone() },
        RuleDefinition { kind: "card".into(), ..second.clone() },
        RuleDefinition { unit: LimitUnit::Reservations, ..second.clone() },
        RuleDefinition { counts: WITHIN, ..second.clone() },
        RuleDefinition { asked: AskedAt::Sale, ..second.clone() },
    ] {
        assert_eq!(what(apply(&mut limited(&[sales()]), &defined(&change))), law, "{change:?}");
    }
}

#[test]
fn no_number_of_a_rule_is_used_again() {
    let seventh = rule(RuleNumber(7), LimitCounts::Sales);
    let refused = |ledger: &mut Ledger, record: &DecodedRecord| {
        what(apply(ledger, record)).expect_err("it breaks a law")
    };
    let mut ledger = limited(std::slice::from_ref(&seventh));
    assert_eq!(refused(&mut ledger, &defined(&sales())), "a limit is defined out of turn");
    assert_eq!(refused(&mut ledger, &dropped(RULE)), "a limit that was never defined");
    apply(&mut ledger, &dropped(RuleNumber(7))).expect("legal");
    let again = dropped(RuleNumber(7));
    assert_eq!(refused(&mut ledger, &again), "a limit is dropped a second time");
    let anew = RuleDefinition { version: 2, ..seventh.clone() };
    assert_eq!(refused(&mut ledger, &defined(&anew)), "a limit is changed that was dropped");
    let next = RuleDefinition { number: RuleNumber(8), ..seventh };
    apply(&mut ledger, &defined(&next)).expect("the same name under another number");
}

#[test]
fn limits_and_groups_are_of_products_that_there_are() {
    let law = "a limit or a group of something that is no product";
    let far = RuleDefinition { products: vec![ProductIndex(2)], ..sales() };
    assert_eq!(what(apply(&mut limited(&[]), &defined(&far))), Err(law.to_owned()));
    let added = changed("drop", "add", &[0, 2]);
    assert_eq!(what(apply(&mut limited(&[]), &added)), Err(law.to_owned()));
    let mut of_a_level = defined(&sales());
    of_a_level.steps.lines[0].subject = Subject::Level(LAPTOP);
    assert_eq!(what(apply(&mut limited(&[]), &of_a_level)), Err(law.to_owned()));
    let unknown = changed("drop", "turn", &[0]);
    let law = "a change of a group that is none";
    assert_eq!(what(apply(&mut limited(&[]), &unknown)), Err(law.to_owned()));
    let mut nameless = defined(&sales());
    nameless.steps.metadata.clear(0, 0);
    assert_eq!(what(apply(&mut limited(&[]), &nameless)), Err("a limit that can't be".to_owned()));
}

#[test]
fn a_group_has_the_products_that_were_added_and_not_taken_out() {
    let mut ledger = limited(&[]);
    let members = |ledger: &Ledger| {
        let members = ledger.limits.groups.get("drop").map(|members| members.iter().copied());
        members.map(|members| members.map(|product| product.0).collect::<Vec<_>>())
    };
    for (change, products, expected) in [
        ("add", &[1][..], Some(vec![1])),
        ("add", &[0, 1], Some(vec![0, 1])),
        ("remove", &[1], Some(vec![0])),
        ("remove", &[1, 0], None),
        ("remove", &[1], None),
    ] {
        apply(&mut ledger, &changed("drop", change, products)).expect("legal");
        assert_eq!(members(&ledger), expected, "{change} {products:?}");
    }
}

#[test]
fn the_newest_opening_says_under_which_secret_subjects_are_hashed() {
    let mut ledger = limited(&[]);
    let open = |ledger: &mut Ledger, facts: &[(&str, &str)]| {
        apply(ledger, &event(EventType::Opened, Subject::None, facts))
    };
    assert_eq!(ledger.limits.subjects, None);
    let digits = "000102030405060708090a0b0c0d0e0f";
    open(&mut ledger, &[("subjects", digits)]).expect("legal");
    assert_eq!(ledger.limits.subjects.map(|it| it.to_string()), Some(digits.to_owned()));
    open(&mut ledger, &[]).expect("legal");
    assert_eq!(ledger.limits.subjects.map(|it| it.to_string()), Some(digits.to_owned()));
    let other = "ff".repeat(16);
    open(&mut ledger, &[("subjects", &*other)]).expect("legal");
    assert_eq!(ledger.limits.subjects, Some(SubjectHash([0xff; 16])));
    for wrong in ["", "ff", "+0102030405060708090a0b0c0d0e0f0", &"g".repeat(32)] {
        let law = Err("a check value of subjects that is none".to_owned());
        assert_eq!(what(open(&mut ledger, &[("subjects", wrong)])), law, "{wrong:?}");
    }
}

#[test]
fn an_allowance_that_comes_back_names_its_rule_and_its_reservation() {
    let mut ledger = limited(&[sales()]);
    let unknown = returned(RuleNumber(2), id(1, 1));
    let law = Err("a limit that was never defined".to_owned());
    assert_eq!(what(apply(&mut ledger, &unknown)), law);
    let mut nobodys = returned(RULE, id(1, 1));
    nobodys.steps.header.reservation = None;
    let law = Err("an allowance is given back without its reservation".to_owned());
    assert_eq!(what(apply(&mut ledger, &nobodys)), law);
}

#[test]
fn a_line_draws_no_more_than_can_be() {
    let mut hold = Hold::new(id(1, 1), None, moment(100), LAPTOP, 1);
    let key = AllowanceKey { rule: RULE, subject: ANN };
    let (of_sale, for_a_time) = (false, false);
    let draw = HoldDraw { key, level: LAPTOP, drawn: MAX_UNITS, of_sale, for_a_time };
    assert_eq!(hold.add_draw(draw), Some(()));
    assert_eq!(hold.add_draw(HoldDraw { drawn: 1, ..draw }), None);
}

#[test]
fn totals_that_do_not_add_up_are_told() {
    let drawn = || {
        let mut ledger = limited(&[sales()]);
        step(&mut ledger, Reserved, 3, id(1, 1), &[mark(RULE, 0, 3)]);
        ledger
    };
    let key = AllowanceKey { rule: RULE, subject: ANN };
    let told = |ledger: &Ledger| what(ledger.check_totals()).expect_err("it does not add up");
    let mut ledger = drawn();
    ledger.limits.allowances.get_mut(&key).expect("it is used").used = 2;
    assert_eq!(told(&ledger), format!("2 used of {ANN} under limit 1, but 3 drawn"));
    let mut ledger = drawn();
    ledger.limits.allowances.get_mut(&key).expect("it is used").permanent = 1;
    assert_eq!(told(&ledger), format!("3 used of {ANN} under limit 1, but 4 drawn"));
    let mut ledger = drawn();
    ledger.limits.allowances.clear();
    assert_eq!(told(&ledger), format!("0 used of {ANN} under limit 1, but 3 drawn"));
}
