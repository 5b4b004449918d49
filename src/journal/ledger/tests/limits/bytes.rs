//! Bytes of limits that no ledger writes.

use super::*;
use crate::base::bytes::put_varint;

/// A hold; places of allowances, levels, and units; rules and subjects of what was given back.
type DrawsOfHold = (ReservationId, Vec<[u32; 3]>, Vec<(u32, u8)>);

/// Bytes of limits, part by part. As it begins, they are sound.
#[derive(Clone)]
struct LimitBytes {
    /// The byte before the check value.
    subjects: u8,
    /// First byte, number, and products.
    rules: Vec<(u8, u32, Vec<u32>)>,
    millis: u64,
    groups: Vec<(&'static str, Vec<u32>)>,
    /// Rule, subject, used, permanent, and greatest maximum.
    allowances: Vec<(u32, u8, [u32; 3])>,
    draws: Vec<DrawsOfHold>,
}

/// Two reservations of a laptop and a mouse. Each draws one of each, under a rule of its own; and a
/// unit is used for good. Another one had drawn under both, and was released.
fn sound() -> LimitBytes {
    LimitBytes {
        subjects: 1,
        rules: vec![(0x10, 1, vec![0, 1]), (0x3a, 2, vec![])],
        millis: 60_000,
        groups: vec![("first", vec![0]), ("second", vec![0, 1])],
        allowances: vec![(1, 7, [3, 1, 3]), (2, 8, [2, 0, 2])],
        draws: vec![
            (id(1, 1), vec![[0, 0, 1], [0, 1, 1]], vec![]),
            (id(2, 1), vec![[1, 0, 1], [1, 1, 1]], vec![]),
            (id(4, 1), vec![], vec![(1, 7), (2, 8)]),
        ],
    }
}

impl LimitBytes {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(self.subjects);
        out.extend([9; 16]);
        let number = |out: &mut Vec<u8>, number: u32| put_varint(out, u64::from(number));
        let numbers = |out: &mut Vec<u8>, numbers: &[u32]| {
            put_varint(out, numbers.len() as u64);
            numbers.iter().for_each(|it| number(out, *it));
        };
        put_varint(out, self.rules.len() as u64);
        for (flags, rule, products) in &self.rules {
            out.push(*flags);
            number(out, *rule);
            // Version, name, kind of subject, maximum.
            out.extend([1, 1, b'n', 1, b'k', 3]);
            if flags & 0x30 == 0x30 {
                put_varint(out, self.millis);
            }
            if flags & 8 != 0 {
                out.extend([1, b'g']);
            }
            numbers(out, products);
        }
        put_varint(out, self.groups.len() as u64);
        for (name, products) in &self.groups {
            put_varint(out, name.len() as u64);
            out.extend_from_slice(name.as_bytes());
            numbers(out, products);
        }
        put_varint(out, self.allowances.len() as u64);
        for (rule, subject, [used, permanent, ceiling]) in &self.allowances {
            number(out, *rule);
            out.extend([*subject; 16]);
            [*used, *permanent, ceiling << 1].into_iter().for_each(|it| number(out, it));
        }
        put_varint(out, self.draws.len() as u64);
        for (id, draws, given_back) in &self.draws {
            out.extend(id.to_halves().into_iter().flat_map(u64::to_le_bytes));
            put_varint(out, draws.len() as u64);
            for [place, level, units] in draws {
                [*place, *level, units << 1].into_iter().for_each(|it| number(out, it));
            }
            put_varint(out, given_back.len() as u64);
            for (rule, subject) in given_back {
                number(out, *rule);
                out.extend([*subject; 16]);
            }
        }
    }

    fn read(&self) -> Result<Ledger, &'static str> {
        let mut ledger = limited(&[]);
        ledger.limits.subjects = Some(ANN);
        for slot in [1, 2, 3, 4, 5] {
            let steps = [(Reserved, LAPTOP, 1), (Reserved, MOUSE, 1)];
            let steps = &steps[..if slot > 2 { 1 } else { 2 }];
            apply(&mut ledger, &drawing(steps, id(slot, 1), &[])).expect("legal");
        }
        step(&mut ledger, Returned, 1, id(4, 1), &[]);
        step(&mut ledger, Sold, 1, id(5, 1), &[]);
        let mut bytes = ledger.to_bytes(10);
        // Without its own check value and four counts of nothing.
        bytes.truncate(bytes.len() - 21);
        self.put(&mut bytes);
        let read = Ledger::from_bytes(&bytes, 10);
        if let Ok(ledger) = &read {
            assert_eq!(ledger.to_bytes(10), bytes);
        }
        read.map_err(|none| none.what)
    }
}

#[test]
fn bytes_of_limits_that_no_ledger_writes_are_refused() {
    let ledger = sound().read().expect("sound");
    assert_eq!(ledger.limits.rules[&RuleNumber(2)].definition.counts, WITHIN);
    type PartTwist = fn(&mut LimitBytes);
    const UNSORTED: &str = "limits out of order";
    const NO_LIMIT: &str = "a limit that can't be";
    const NO_ALLOWANCE: &str = "an allowance that can't be";
    const NO_DRAW: &str = "a draw that can't be";
    const UNDEFINED: &str = "a limit of a product that was never defined";
    const TOO_MUCH: &str = "a ledger that promises too much";
    let twists: [(PartTwist, &str); 35] = [
        (|it| it.subjects = 2, "a check value of an unknown kind"),
        (|it| it.rules.swap(0, 1), UNSORTED),
        (|it| it.rules[1].1 = 1, UNSORTED),
        (|it| it.rules[0].0 |= 0x40, NO_LIMIT),
        (|it| it.rules[0].0 |= 0x80, NO_LIMIT),
        (|it| it.millis = 0, NO_LIMIT),
        (|it| it.millis = u64::MAX, NO_LIMIT),
        (|it| it.rules[0].2 = vec![1, 0], UNSORTED),
        (|it| it.rules[0].2 = vec![1, 1], UNSORTED),
        (|it| it.rules[0].2 = vec![2], UNDEFINED),
        (|it| it.groups.swap(0, 1), UNSORTED),
        (|it| it.groups[1].0 = "first", UNSORTED),
        (|it| it.groups[0].1.clear(), UNSORTED),
        (|it| it.groups[0].1 = vec![2], UNDEFINED),
        (|it| it.allowances.swap(0, 1), UNSORTED),
        (|it| it.allowances[1] = it.allowances[0], UNSORTED),
        (|it| it.allowances[1].0 = 3, NO_ALLOWANCE),
        (|it| it.allowances.push((2, 9, [0, 0, 2])), NO_ALLOWANCE),
        (|it| it.allowances.push((2, 9, [1, 2, 2])), NO_ALLOWANCE),
        (|it| it.allowances[0].2 = [3, 1, 2], NO_ALLOWANCE),
        (|it| it.allowances[0].2 = [3, 2, 3], TOO_MUCH),
        (|it| it.draws.swap(0, 1), UNSORTED),
        (|it| it.draws[1].0 = id(3, 1), NO_DRAW),
        (|it| it.draws[1].0 = id(6, 1), "draws of a hold that is not there"),
        (|it| it.draws[1].0 = id(2, 2), "draws of a hold that is not there"),
        (|it| it.draws[1].1.swap(0, 1), UNSORTED),
        (|it| it.draws[1].1[1] = it.draws[1].1[0], UNSORTED),
        (|it| it.draws[1].1[0][0] = 2, NO_DRAW),
        (|it| it.draws[1].1[0][2] = 0, NO_DRAW),
        (|it| it.draws[1].1.clear(), NO_DRAW),
        (|it| it.draws[2].0 = id(5, 1), NO_DRAW),
        (|it| it.draws[2].2.swap(0, 1), UNSORTED),
        (|it| it.draws[2].2[1] = it.draws[2].2[0], UNSORTED),
        (|it| it.draws[2].2[1].0 = 3, NO_DRAW),
        (|it| it.draws[2].2.clear(), NO_DRAW),
    ];
    for (number, (twist, expected)) in twists.into_iter().enumerate() {
        let mut parts = sound();
        twist(&mut parts);
        assert_eq!(parts.read().map(drop), Err(expected), "twist {number}");
    }
}

/// A slot that comes twice would have its draws twice.
#[test]
fn draws_of_one_hold_in_two_parts_are_refused() {
    let mut parts = sound();
    let second = parts.draws[0].1.split_off(1);
    parts.draws.insert(1, (parts.draws[0].0, second, vec![]));
    assert_eq!(parts.read().map(drop), Err("limits out of order"));
}
