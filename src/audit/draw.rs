//! What a record says of its draws on allowances, how an entry shows it, and its bytes.

use std::sync::Arc;

use crate::base::bytes::{Cursor, put_varint};
use crate::base::quantity::MAX_UNITS;
use crate::stock::allowance::key::{AllowanceKey, RuleNumber, SubjectHash};

/// A draw: a line of a record took units of an allowance, in the same commit as those of its level.
/// It says all that a replay needs, so that no replay has to know which rule covered which product
/// at that moment.
///
/// A rule that counts reservations draws 1 for all lines of a reservation together; its marks are
/// on each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DrawMark {
    pub(crate) key: AllowanceKey,
    /// The rule's version that the call went by.
    pub(crate) version: u32,
    /// That version's maximum.
    pub(crate) maximum: u32,
    /// What was used after the commit, this draw included.
    pub(crate) used_after: u32,
    /// The call had the right to pass the rule, so `used_after` may be above the maximum.
    pub(crate) passed: bool,
    /// Which line of the record draws. A record's marks lie in the order of their lines.
    pub(crate) line: u32,
}

/// The marks of line `line`, of marks that lie in the order of their lines.
pub(crate) fn of_line(draws: &[DrawMark], line: usize) -> &[DrawMark] {
    let is_before = |mark: &DrawMark| (mark.line as usize) < line;
    let draws = &draws[draws.partition_point(is_before)..];
    &draws[..draws.partition_point(|mark| mark.line as usize == line)]
}

/// A draw on the allowance of a subject, as an entry shows it: the units of this entry count under
/// a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct EntryDraw {
    /// The number of the rule. Numbers are never used again.
    pub rule: u32,
    /// The version of the rule that the call went by. It rises with each change of the rule.
    pub version: u32,
    /// What stands for the subject.
    pub subject: SubjectHash,
    /// The most that the subject may have by this version of the rule: units, or reservations.
    pub maximum: u32,
    /// What the subject had after the call, with what the call took.
    pub used_after: u32,
    /// The call had the right to pass the limit. So `used_after` may be above `maximum`.
    pub passed: bool,
}

impl EntryDraw {
    /// The allowance.
    pub(crate) fn key(&self) -> AllowanceKey {
        AllowanceKey { rule: RuleNumber(self.rule), subject: self.subject }
    }
}

impl From<&DrawMark> for EntryDraw {
    fn from(mark: &DrawMark) -> Self {
        let &DrawMark { key, version, maximum, used_after, passed, line: _ } = mark;
        let AllowanceKey { rule: RuleNumber(rule), subject } = key;
        Self { rule, version, subject, maximum, used_after, passed }
    }
}

/// The draws of line `line`, as its entry shows them. Where there are none, nothing is allocated.
pub(crate) fn shown(draws: &[DrawMark], line: usize) -> Arc<[EntryDraw]> {
    match of_line(draws, line) {
        [] => Arc::default(),
        draws => draws.iter().map(EntryDraw::from).collect(),
    }
}

/// The call had the right to pass the rule.
const PASSED: u8 = 1;
/// The subject is that of the draw before, and left out.
const SAME_SUBJECT: u8 = 1 << 1;

/// Appends encoded draws: their count, then each. Journals hold these bytes
/// (`docs/journal-format.md`).
pub(crate) fn put_draws(out: &mut Vec<u8>, draws: &[DrawMark]) {
    put_varint(out, draws.len() as u64);
    let mut before = None;
    for &DrawMark { key, version, maximum, used_after, passed, line } in draws {
        let AllowanceKey { rule: RuleNumber(rule), subject } = key;
        let numbers = [rule, version, maximum, used_after, line];
        numbers.into_iter().for_each(|number| put_varint(out, u64::from(number)));
        let is_same = before.replace(subject) == Some(subject);
        let same = if is_same { SAME_SUBJECT } else { 0 };
        out.push(same | if passed { PASSED } else { 0 });
        if !is_same {
            out.extend_from_slice(subject.as_bytes());
        }
    }
}

/// Appends to `draws` those that [`put_draws`] encoded. `None` if the bytes are no such draws; some
/// may have been added by then, but never more than there are bytes for.
pub(crate) fn read_draws(bytes: &mut Cursor<'_>, draws: &mut Vec<DrawMark>) -> Option<()> {
    let count = bytes.varint().filter(|count| *count > 0)?;
    let mut before: Option<DrawMark> = None;
    for _ in 0..count {
        let (rule, version) = (RuleNumber(bytes.varint32()?), bytes.varint32()?);
        let (maximum, used_after, line) = (bytes.varint32()?, bytes.varint32()?, bytes.varint32()?);
        let flags = bytes.byte()?;
        let subject = match flags & SAME_SUBJECT {
            0 => SubjectHash(bytes.array()?),
            _ => before?.key.subject,
        };
        let key = AllowanceKey { rule, subject };
        let passed = flags & PASSED != 0;
        let known = flags & !(PASSED | SAME_SUBJECT) == 0;
        let counts = maximum <= MAX_UNITS && used_after <= MAX_UNITS;
        if !known || !counts || before.is_some_and(|before| before.line > line) {
            return None;
        }
        let mark = DrawMark { key, version, maximum, used_after, passed, line };
        draws.push(mark);
        before = Some(mark);
    }
    Some(())
}

#[cfg(all(test, not(loom)))]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        /// Any marks, of few subjects, in the order of their lines.
        pub(crate) fn marks(most: usize)(
            marks in prop::collection::vec(
                (
                    any::<[u32; 2]>(),
                    0..3_u8,
                    [0..=MAX_UNITS, 0..=MAX_UNITS],
                    any::<bool>(),
                    0..5_u32,
                ),
                0..=most,
            ),
        ) -> Vec<DrawMark> {
            let mark = |(numbers, subject, counts, passed, line): ([u32; 2], u8, [u32; 2], _, _)| {
                let ([rule, version], [maximum, used_after]) = (numbers, counts);
                let key = AllowanceKey {
                    rule: RuleNumber(rule),
                    subject: SubjectHash([subject; 16]),
                };
                DrawMark { key, version, maximum, used_after, passed, line }
            };
            let mut marks: Vec<DrawMark> = marks.into_iter().map(mark).collect();
            marks.sort_by_key(|mark| mark.line);
            marks
        }
    }

    proptest! {
        #[test]
        fn draws_are_read_back_and_each_is_shown_by_its_own_line(draws in marks(9)) {
            let mut bytes = Vec::new();
            put_draws(&mut bytes, &draws);
            let mut read = Vec::new();
            let found = read_draws(&mut Cursor::new(&bytes), &mut read);
            prop_assert_eq!(found, (!draws.is_empty()).then_some(()));
            prop_assert_eq!(&read, &draws);
            let all = (0..5).flat_map(|line| shown(&draws, line).to_vec());
            let expected = draws.iter().map(EntryDraw::from);
            prop_assert_eq!(all.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
            for end in 0..bytes.len() {
                let cut = read_draws(&mut Cursor::new(&bytes[..end]), &mut Vec::new());
                prop_assert_eq!(cut, None, "cut at {}", end);
            }
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            let _ = read_draws(&mut Cursor::new(&bytes), &mut Vec::new());
        }
    }

    /// One draw, with the flags `flags` and the numbers `numbers`, behind one of the same line.
    fn second_of_two(numbers: [u32; 5], flags: u8) -> Option<()> {
        let mut bytes = vec![2, 1, 1, 2, 2, 3, 0];
        bytes.extend([7; 16]);
        numbers.into_iter().for_each(|number| put_varint(&mut bytes, u64::from(number)));
        bytes.push(flags);
        bytes.extend((flags & SAME_SUBJECT == 0).then_some([7; 16]).into_iter().flatten());
        read_draws(&mut Cursor::new(&bytes), &mut Vec::new())
    }

    #[test]
    fn draws_that_nobody_writes_are_refused() {
        for flags in 0..4 {
            assert_eq!(second_of_two([1, 1, 2, 2, 3], flags), Some(()), "{flags}");
        }
        assert_eq!(second_of_two([1, 1, 2, 2, 3], 4), None, "an unknown flag");
        assert_eq!(second_of_two([1, 1, 2, 2, 2], 0), None, "out of order");
        assert_eq!(second_of_two([1, 1, MAX_UNITS + 1, 2, 3], 0), None, "too high a maximum");
        assert_eq!(second_of_two([1, 1, 2, MAX_UNITS + 1, 3], 0), None, "too much used");
        let mut first_without_subject = vec![1, 1, 1, 2, 2, 3, SAME_SUBJECT];
        first_without_subject.extend([0; 16]);
        let read = |bytes: &[u8]| read_draws(&mut Cursor::new(bytes), &mut Vec::new());
        assert_eq!(read(&first_without_subject), None);
        assert_eq!(read(&[0]), None, "none at all");
        let mut many = vec![0xff, 0xff, 0xff, 0xff, 0x0f];
        many.extend([0; 60]);
        assert_eq!(read(&many), None, "more than there is room for");
    }

    #[test]
    fn entries_without_draws_share_one_empty_list() {
        assert!(Arc::ptr_eq(&shown(&[], 0), &shown(&[], 7)));
    }
}
