use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::key::{AllowanceKey, RuleNumber, SubjectHash};
use super::table::{Allowances, AllowancesFull};
use super::testbed::{LimitedBed, key_of};
use super::word::{NO_MAXIMUM, draw, give, used_in};
use crate::base::quantity::{MAX_UNITS, Quantity};
use crate::stock::cell::{CellId, NoMarks};
use crate::stock::handle::AllowanceIndex;
use crate::stock::mcas::DescriptorPool;
use crate::stock::word::Word;

fn table_of(most: u32) -> Allowances {
    Allowances::new(most, &Arc::new(DescriptorPool::new()))
}

fn key(rule: u32, subject: u64) -> AllowanceKey {
    AllowanceKey { rule: RuleNumber(rule), subject: SubjectHash::from_halves([subject, 7]) }
}

fn qty(units: u32) -> Quantity {
    Quantity::new(units).expect("a legal quantity")
}

/// As a call does: pins, draws, takes the pin off. `None` if the maximum stands in the way.
fn take(
    table: &Allowances,
    key: AllowanceKey,
    units: u32,
    maximum: u32,
) -> Result<Option<AllowanceIndex>, AllowancesFull> {
    let index = table.pin(key)?;
    let cell = table.cell(index).expect("it is pinned");
    let drawn = cell.apply(CellId::allowance(index), draw(qty(units), maximum), &NoMarks);
    table.unpin(index);
    Ok(drawn.is_ok().then_some(index))
}

/// As a call does that gives back what it has drawn.
fn give_back(table: &Allowances, key: AllowanceKey, units: u32) {
    let index = table.find(key).expect("what is drawn keeps it");
    let cell = table.cell(index).expect("what is drawn keeps it");
    cell.apply(CellId::allowance(index), give(qty(units)), &NoMarks).expect("a gift always fits");
    table.retire_if_idle(index);
}

#[test]
fn an_allowance_lives_while_somebody_has_drawn_of_it() {
    let (table, ann) = (table_of(16), key(1, 11));
    assert_eq!((table.used(ann), table.find(ann), table.len()), (0, None, 0));
    let index = take(&table, ann, 2, 3).expect("there is room").expect("it fits");
    assert_eq!((table.used(ann), table.used_at(index), table.len()), (2, 2, 1));
    assert_eq!((table.find(ann), table.key(index)), (Some(index), Some(ann)));
    assert_eq!(take(&table, ann, 2, 3), Ok(None), "three are the most");
    assert_eq!(take(&table, ann, 1, 3), Ok(Some(index)));
    give_back(&table, ann, 2);
    assert_eq!((table.used(ann), table.len()), (1, 1));
    give_back(&table, ann, 1);
    assert_eq!((table.used(ann), table.find(ann), table.len()), (0, None, 0));
}

#[test]
fn a_refused_draw_leaves_no_allowance_behind() {
    let table = table_of(16);
    assert_eq!(take(&table, key(1, 11), 2, 1), Ok(None));
    assert_eq!(table.len(), 0);
}

#[test]
fn one_subject_has_an_allowance_of_its_own_under_each_rule() {
    let table = table_of(16);
    for rule in 1..=3 {
        take(&table, key(rule, 11), rule, 9).expect("there is room").expect("it fits");
    }
    assert_eq!([1, 2, 3].map(|rule| table.used(key(rule, 11))), [1, 2, 3]);
    assert_eq!(table.used(key(1, 12)), 0);
}

#[test]
fn a_pinned_allowance_is_not_retired() {
    let (table, ann) = (table_of(16), key(1, 11));
    let index = table.pin(ann).expect("there is room");
    assert_eq!(table.pin(ann), Ok(index));
    table.unpin(index);
    table.retire_if_idle(index);
    assert_eq!((table.find(ann), table.len()), (Some(index), 1));
    table.unpin(index);
    assert_eq!((table.find(ann), table.len()), (None, 0));
}

/// Whoever looks late finds the number free, or another allowance's.
#[test]
fn a_number_that_is_free_is_not_retired_again() {
    let table = table_of(1);
    let ann = table.pin(key_of(1, 1)).expect("there is room");
    table.unpin(ann);
    table.retire_if_idle(ann);
    table.retire_if_idle(ann);
    assert_eq!(table.len(), 0);
    // The same shard, so the same number.
    let bob = take(&table, key_of(1, 2), 1, 1).expect("there is room");
    assert_eq!(bob, Some(ann));
    table.retire_if_idle(ann);
    assert_eq!((table.used(key_of(1, 2)), table.len()), (1, 1));
    assert_eq!(table.pin(key_of(1, 1)), Err(AllowancesFull { most: 1 }));
}

#[test]
fn a_full_table_refuses_new_allowances_and_no_other_call() {
    let table = table_of(3);
    let full = AllowancesFull { most: 3 };
    for subject in 0..3 {
        take(&table, key(1, subject), 1, 9).expect("there is room").expect("it fits");
    }
    assert_eq!(take(&table, key(1, 3), 1, 9), Err(full));
    assert_eq!(table.restore(key(1, 3), qty(1), &NoMarks), Err(full));
    assert!(take(&table, key(1, 2), 1, 9).is_ok_and(|drawn| drawn.is_some()));
    give_back(&table, key(1, 0), 1);
    assert!(take(&table, key(1, 3), 1, 9).is_ok_and(|drawn| drawn.is_some()));
    assert_eq!((table.used(key(1, 0)), table.len()), (0, 3));
}

#[test]
fn what_an_earlier_run_has_drawn_adds_up() {
    let (table, ann) = (table_of(16), key(1, 11));
    let index = table.restore(ann, qty(2), &NoMarks).expect("there is room");
    assert_eq!(table.restore(ann, qty(3), &NoMarks), Ok(index));
    assert_eq!((table.used(ann), table.len()), (5, 1));
    let beyond = table.restore(ann, qty(MAX_UNITS), &NoMarks);
    assert_eq!((beyond.is_err(), table.used(ann)), (true, 5));
}

#[test]
fn a_call_that_passes_the_rule_draws_above_the_maximum() {
    let (table, ann) = (table_of(16), key(1, 11));
    for maximum in [1, NO_MAXIMUM, NO_MAXIMUM] {
        take(&table, ann, 1, maximum).expect("there is room").expect("it fits");
    }
    assert_eq!((table.used(ann), take(&table, ann, 1, 1)), (3, Ok(None)));
}

#[test]
fn an_allowance_takes_at_most_64_bytes_with_its_index() {
    const MANY: u32 = 200_000;
    let table = table_of(1 << 20);
    assert!(table.bytes() < 20_000, "without limits, next to nothing: {}", table.bytes());
    let subject = |number: u32| u64::from(number).wrapping_mul(0x2545_F491_4F6C_DD1D);
    for number in 0..MANY {
        take(&table, key(1, subject(number)), 1, 1).expect("there is room").expect("it fits");
    }
    let bytes = table.bytes() as f64 / f64::from(MANY);
    assert!(bytes <= 64.0, "{bytes}");
    let longest = table.longest_chain();
    assert!(longest <= 12, "chains are short: {longest}");
    for number in 0..MANY {
        give_back(&table, key(1, subject(number)), 1);
    }
    assert_eq!(table.len(), 0);
    // Its numbers are used again.
    let before = table.bytes();
    for number in 0..MANY {
        take(&table, key(2, subject(number)), 1, 1).expect("there is room").expect("it fits");
    }
    assert_eq!(table.bytes(), before);
}

#[derive(Clone, Copy, Debug)]
enum TableStep {
    Pin,
    Unpin,
    Draw { units: u32, maximum: u32 },
    Give { units: u32 },
    Restore { units: u32 },
    LateLook,
}

fn step() -> impl Strategy<Value = TableStep> {
    prop_oneof![
        1 => Just(TableStep::Pin),
        1 => Just(TableStep::Unpin),
        4 => (1..4_u32, 0..6_u32).prop_map(|(units, maximum)| TableStep::Draw { units, maximum }),
        3 => (1..6_u32).prop_map(|units| TableStep::Give { units }),
        1 => (1..3_u32).prop_map(|units| TableStep::Restore { units }),
        1 => Just(TableStep::LateLook),
    ]
}

/// What a plain map says of one key.
#[derive(Clone, Copy, Debug, Default)]
struct Expected {
    used: u32,
    pins: u32,
    index: Option<AllowanceIndex>,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Few keys of few shards, so that numbers are used again, chains form, and the table is full
    /// now and then.
    #[test]
    fn the_table_does_what_a_plain_map_does(
        steps in prop::collection::vec((1..4_u32, 0..24_u64, step()), 1..600),
    ) {
        const MOST: u32 = 20;
        let table = table_of(MOST);
        let mut expected: HashMap<AllowanceKey, Expected> = HashMap::new();
        let mut seen = Vec::new();
        for (rule, subject, step) in steps {
            // Two shards of the 64.
            let key = key(rule, subject / 2 * 64 + subject % 2);
            let live = expected.values().filter(|it| it.used + it.pins > 0).count();
            let entry = expected.entry(key).or_default();
            let fits = entry.used + entry.pins > 0 || live < MOST as usize;
            match step {
                TableStep::Pin => {
                    let pinned = table.pin(key);
                    prop_assert_eq!(pinned.is_ok(), fits);
                    if let Ok(index) = pinned {
                        entry.pins += 1;
                        entry.index = Some(index);
                    }
                }
                TableStep::Unpin => {
                    if let Some(index) = entry.index.filter(|_| entry.pins > 0) {
                        table.unpin(index);
                        entry.pins -= 1;
                    }
                }
                TableStep::Draw { units, maximum } => match take(&table, key, units, maximum) {
                    Ok(drawn) => {
                        prop_assert!(fits);
                        prop_assert_eq!(drawn.is_some(), entry.used + units <= maximum);
                        if drawn.is_some() {
                            (entry.used, entry.index) = (entry.used + units, drawn);
                        }
                    }
                    Err(full) => {
                        prop_assert!(!fits);
                        prop_assert_eq!(full, AllowancesFull { most: MOST });
                    }
                },
                TableStep::Give { units } => {
                    let units = units.min(entry.used);
                    if units > 0 {
                        give_back(&table, key, units);
                        entry.used -= units;
                    }
                }
                TableStep::Restore { units } => {
                    let restored = table.restore(key, qty(units), &NoMarks);
                    prop_assert_eq!(restored.is_ok(), fits);
                    if let Ok(index) = restored {
                        (entry.used, entry.index) = (entry.used + units, Some(index));
                    }
                }
                TableStep::LateLook => {
                    if let Some(index) = seen.get(subject as usize % seen.len().max(1)) {
                        table.retire_if_idle(*index);
                    }
                }
            }
            let Expected { used, pins, index } = *entry;
            seen.extend(index);
            let lives = used + pins > 0;
            prop_assert_eq!(table.used(key), used);
            prop_assert_eq!(table.find(key), index.filter(|_| lives));
            if let Some(index) = index.filter(|_| lives) {
                prop_assert_eq!((table.used_at(index), table.key(index)), (used, Some(key)));
            }
            let live = expected.values().filter(|it| it.used + it.pins > 0);
            prop_assert_eq!(table.len() as usize, live.count());
        }
        let mut told = HashMap::new();
        table.each(|key, used| assert_eq!(told.insert(key, used), None, "told once"));
        let used = expected.into_iter().map(|(key, it)| (key, it.used));
        prop_assert_eq!(told, used.filter(|(_, used)| *used > 0).collect::<HashMap<_, _>>());
    }
}

/// A helper of the draw falls asleep before its swap, and wakes up when all is given back.
#[test]
fn a_late_mark_keeps_no_idle_allowance() {
    let bed = LimitedBed::new(16, &[2]);
    let (ann, bob) = (key_of(1, 1), key_of(1, 2));
    let half = bed.stop_half_way(&[(ann, 1)], &[0], 0);
    let sleeper = half.helper_asleep_before(0);
    assert_eq!(half.wake(), Ok(()));
    let index = bed.table.find(ann).expect("a draw keeps it");
    let cell = bed.table.cell(index).expect("a draw keeps it");
    cell.apply(CellId::allowance(index), give(qty(1)), &bed).expect("a gift always fits");
    assert!(sleeper.mark(), "the word is again what it was");
    assert!(!bed.is_clean());
    bed.table.retire_if_idle(index);
    assert_eq!((bed.table.len(), bed.is_clean()), (0, true));
    assert!(bed.draw((bob, 1)), "nothing of it was used");
    assert_eq!(bed.table.find(bob), Some(index), "the same number");
    sleeper.finish();
    assert_eq!((bed.used([ann, bob]), bed.is_clean()), ([0, 1], true));
}

#[test]
fn a_refused_commit_draws_of_none_of_its_allowances() {
    let bed = LimitedBed::new(16, &[1, 0]);
    let [first, second] = [key_of(1, 1), key_of(2, 1)];
    assert_eq!(bed.take(&[(first, 1), (second, 0)], &[0]), Err(Some((second, 0))));
    assert_eq!(bed.take(&[(first, 1)], &[0, 1]), Err(None), "the second level is empty");
    assert_eq!((bed.used([first, second]), bed.level(0), bed.table.len()), ([0, 0], (1, 0), 0));
    assert_eq!(bed.take(&[(first, 1), (second, 1)], &[0]), Ok(()));
    assert_eq!(bed.take(&[(first, 1)], &[0]), Err(Some((first, 1))), "asked before the level");
    bed.give(&[second, first], &[0]);
    assert_eq!((bed.used([first, second]), bed.level(0), bed.table.len()), ([0, 0], (1, 0), 0));
}

/// Threads that draw, give and are refused, on few numbers.
#[test]
fn beside_other_threads_nothing_is_lost_and_nothing_stays() {
    const ROUNDS: u64 = 3_000;
    let table = table_of(64);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let table = &table;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let key = key_of(1, (round + thread) % 5);
                    if let Ok(Some(index)) = take(table, key, 1, 2) {
                        let used = table.used_at(index);
                        assert!((1..=2).contains(&used), "{used}");
                        assert_eq!(table.find(key), Some(index));
                        give_back(table, key, 1);
                    }
                }
            });
        }
    });
    assert_eq!(table.len(), 0);
    table.each(|key, used| panic!("{key:?} has {used} used"));
    let word = table.cell(AllowanceIndex(0)).map(|cell| cell.look());
    assert_eq!(word.and_then(Word::from_bits).map(used_in), Some(0));
}
