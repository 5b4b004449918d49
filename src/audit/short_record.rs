//! Short records: one entry, with a key, a few notes or a few draws, that go through the queue in
//! words. So the record of what a shop calls takes no buffer, no lock and no memory of the
//! allocator on its way.
//!
//! The entry lies in its place of the queue as a plain one does, and these words in the place's
//! row:
//!
//! ```text
//!   word 0   lengths: of the key, the answer and the text; how many notes; the answer's first
//!            byte; how many draws
//!   word 1   where the name and the value of each note end in the text, a byte each
//!   2, 3     the fingerprint
//!   4, 5     the answer, from its second byte on
//!   6 ...    the key, then the text: names and values, one after the other
//!   then     four words for each draw: the subject in two; the rule, and from bit 32 on the
//!            version; the maximum, at bit 31 whether the call passed it, and from bit 32 on what
//!            was used after
//! ```

use crate::audit::draw::DrawMark;
use crate::audit::pairs::Pairs;
use crate::audit::record::{KeyMark, PlainEntry, RecordBuf, ShortBytes, Subject};
use crate::audit::ring::Row;
use crate::base::quantity::MAX_UNITS;
use crate::stock::allowance::key::{AllowanceKey, RuleNumber, SubjectHash};

/// How many words a row has.
pub(crate) const ROW_WORDS: usize = 16;
/// Those before the key and the text.
const FIXED: usize = 6;
/// Most bytes of key and text.
const TEXT: usize = (ROW_WORDS - FIXED) * 8;
/// Most bytes of an answer.
const ANSWER: usize = 17;
/// Words of a draw.
const DRAW: usize = 4;
/// In the last word of a draw: the call had the right to pass the rule.
const PASSED: u64 = 1 << 31;
/// Where the second number of a word begins that has two.
const UPPER: u32 = 32;

const _: () = assert!((MAX_UNITS as u64) < PASSED, "the flag lies above every maximum");

/// What a short record has besides its entry.
#[derive(Debug)]
pub(crate) struct Extras {
    words: [u64; ROW_WORDS],
    used: usize,
}

/// A key with the fingerprint of its request, and the answer's bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyParts<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) fingerprint: u128,
    pub(crate) answer: &'a [u8; ANSWER],
}

impl Extras {
    /// Whether a row holds so much: the bytes of a key, notes, and so many draws.
    #[inline]
    pub(crate) fn fits(key: usize, notes: &Pairs, draws: usize) -> bool {
        let text = notes.few().map(|(_, text)| key + text.len());
        text.is_some_and(|bytes| {
            bytes <= TEXT && FIXED + bytes.div_ceil(8) + draws * DRAW <= ROW_WORDS
        })
    }

    /// These; `None` if they are too long for a row.
    #[inline(always)]
    pub(crate) fn new(
        key: Option<KeyParts<'_>>,
        notes: &Pairs,
        draws: &[DrawMark],
    ) -> Option<Self> {
        let name = key.map_or(&[][..], |it| it.key);
        let (notes, text) = notes.few()?;
        let mut bytes = [0; TEXT];
        bytes.get_mut(..name.len())?.copy_from_slice(name);
        let used = name.len() + text.len();
        bytes.get_mut(name.len()..used)?.copy_from_slice(text.as_bytes());
        let mut words = [0; ROW_WORDS];
        let first_draw = FIXED + used.div_ceil(8);
        let used = first_draw + draws.len() * DRAW;
        // All lengths are below that of `bytes`, and so few draws fit that a byte says how many.
        let mut lengths = [name.len() as u8, 0, text.len() as u8, notes.len() as u8, 0, 0, 0, 0];
        lengths[5] = draws.len() as u8;
        if let Some(KeyParts { fingerprint, answer: [tag, answer @ ..], .. }) = key {
            (lengths[1], lengths[4]) = (ANSWER as u8, *tag);
            [words[2], words[3]] = halves(fingerprint);
            [words[4], words[5]] = halves(u128::from_le_bytes(*answer));
        }
        words[0] = u64::from_le_bytes(lengths);
        let ends = notes.iter().flatten().rev();
        words[1] = ends.fold(0, |ends, end| ends << 8 | u64::from(*end));
        let (all, _) = bytes.as_chunks::<8>();
        words[FIXED..].iter_mut().zip(all).for_each(|(word, it)| *word = u64::from_le_bytes(*it));
        let (places, _) = words.get_mut(first_draw..used)?.as_chunks_mut::<DRAW>();
        places.iter_mut().zip(draws).for_each(|(place, mark)| *place = words_of(mark));
        Some(Self { words, used })
    }

    /// The words of the row.
    #[inline]
    pub(crate) fn words(&self) -> &[u64] {
        &self.words[..self.used]
    }

    /// Adds the extras of a row to a record.
    fn add_to(row: &Row<ROW_WORDS>, record: &mut RecordBuf) {
        let [key, answer, text, notes, tag, draws, ..] = row.word(0).to_le_bytes().map(usize::from);
        let mut bytes = [0; TEXT];
        let used = (key + text).min(TEXT);
        let (all, _) = bytes.as_chunks_mut::<8>();
        let words = FIXED..FIXED + used.div_ceil(8);
        all.iter_mut().zip(words).for_each(|(it, word)| *it = row.word(word).to_le_bytes());
        let (key, text) = bytes[..used].split_at(key.min(used));
        if answer > 0 {
            let mut answer = [tag as u8; ANSWER];
            answer[1..9].copy_from_slice(&row.word(4).to_le_bytes());
            answer[9..].copy_from_slice(&row.word(5).to_le_bytes());
            let fingerprint = u128::from(row.word(3)) << 64 | u128::from(row.word(2));
            let parts = ShortBytes::new(key).zip(ShortBytes::new(&answer));
            record.key = parts.map(|(key, answer)| KeyMark { key, fingerprint, answer });
        }
        if notes > 0 {
            // It was text when it was pushed.
            let text = std::str::from_utf8(text).unwrap_or_default();
            let ends = row.word(1).to_le_bytes().map(u32::from);
            let (ends, _) = ends.as_chunks::<2>();
            record.metadata.set_few(text, ends, notes);
        }
        let first_draw = FIXED + used.div_ceil(8);
        let places = (first_draw..=ROW_WORDS - DRAW).step_by(DRAW).take(draws);
        record.draws.extend(places.map(|at| mark_of([0, 1, 2, 3].map(|word| row.word(at + word)))));
    }
}

/// The words of a draw.
fn words_of(mark: &DrawMark) -> [u64; DRAW] {
    let AllowanceKey { rule: RuleNumber(rule), subject } = mark.key;
    let [first, second] = subject.to_halves();
    let passed = if mark.passed { PASSED } else { 0 };
    debug_assert!(mark.maximum <= MAX_UNITS && mark.line == 0, "a short record has one line");
    [
        first,
        second,
        u64::from(rule) | u64::from(mark.version) << UPPER,
        u64::from(mark.maximum) | passed | u64::from(mark.used_after) << UPPER,
    ]
}

/// The draw of these words.
fn mark_of([first, second, rule, counts]: [u64; DRAW]) -> DrawMark {
    let subject = SubjectHash::from_halves([first, second]);
    DrawMark {
        // The lower half of 64 bits fits, and so does the upper one.
        key: AllowanceKey { rule: RuleNumber(rule as u32), subject },
        version: (rule >> UPPER) as u32,
        maximum: (counts & (PASSED - 1)) as u32,
        used_after: (counts >> UPPER) as u32,
        passed: counts & PASSED != 0,
        line: 0,
    }
}

fn halves(number: u128) -> [u64; 2] {
    [number as u64, (number >> 64) as u64]
}

impl RecordBuf {
    /// Fills an empty buffer with an entry, and what its row has.
    pub(crate) fn fill(&mut self, entry: &PlainEntry, row: &Row<ROW_WORDS>) {
        self.header = entry.header();
        self.line(entry.entry_type(), Subject::Level(entry.level()), entry.quantity(), None);
        debug_assert!(!entry.is_expiry(), "an expiry has a note of its own");
        Extras::add_to(row, self);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::audit::draw::tests::marks;
    use crate::audit::entry::AdjustmentType;
    use crate::audit::pairs::FEW;
    use crate::audit::ring::{Beside, FoundBeside, Ring, Wants};
    use crate::base::clock::Timestamp;
    use crate::reservation::id::{Owner, ReservationId};
    use crate::stock::handle::LevelIndex;
    use proptest::prelude::*;

    fn entry() -> PlainEntry {
        let (at, expiry) = (Timestamp::from_millis(7), Timestamp::from_millis(99));
        PlainEntry::new(AdjustmentType::Reserved, at, LevelIndex(3), 9)
            .reservation(ReservationId::from_halves([1, 2]))
            .owner(Some(Owner([5; 16])))
            .expires_at(expiry)
    }

    fn through_a_row(extras: &Extras) -> RecordBuf {
        let ring = Ring::<(), 1, ROW_WORDS>::new(1);
        let _ = ring.publish(ring.ticket(), [0], Beside::Words(extras.words()));
        let mut record = RecordBuf::default();
        ring.drain(1, |_, found| {
            let FoundBeside::Words(row) = found else { panic!("a row was pushed") };
            record.fill(&entry(), row);
            Wants::More
        });
        record
    }

    proptest! {
        #[test]
        fn what_went_into_a_row_comes_out_of_it(
            key in prop::option::of(prop::collection::vec(any::<u8>(), 1..65)),
            fingerprint: u128,
            answer: [u8; ANSWER],
            notes in prop::collection::vec((".{0,9}", ".{0,20}"), 0..6),
            draws in marks(3),
        ) {
            let of_the_line = |mark| DrawMark { line: 0, ..mark };
            let draws: Vec<DrawMark> = draws.into_iter().map(of_the_line).collect();
            let mut pairs = Pairs::new();
            notes.iter().for_each(|(name, value)| pairs.push(name, value));
            let parts = key.as_ref().map(|key| KeyParts { key, fingerprint, answer: &answer });
            let length = key.as_ref().map_or(0, Vec::len) + pairs.bytes();
            let extras = Extras::new(parts, &pairs, &draws);
            let words = length.div_ceil(8) + draws.len() * DRAW;
            let fits = length <= TEXT && words <= ROW_WORDS - FIXED && notes.len() <= FEW;
            prop_assert_eq!(extras.is_some(), fits);
            let key_bytes = key.as_ref().map_or(0, Vec::len);
            prop_assert_eq!(Extras::fits(key_bytes, &pairs, draws.len()), fits);
            if let Some(extras) = extras {
                let record = through_a_row(&extras);
                let mark = key.map(|key| KeyMark {
                    key: ShortBytes::new(&key).expect("short"),
                    fingerprint,
                    answer: ShortBytes::new(&answer).expect("short"),
                });
                prop_assert_eq!(record.key, mark);
                prop_assert_eq!(record.metadata, pairs);
                prop_assert_eq!(record.draws, draws);
            }
        }
    }

    #[test]
    fn a_record_of_a_row_has_all_that_its_entry_has() {
        let mut pairs = Pairs::new();
        pairs.push("order", "17");
        let record = through_a_row(&Extras::new(None, &pairs, &[]).expect("short"));
        assert_eq!(record.header, entry().header());
        let line = (record.lines[0].entry_type, record.lines[0].quantity, record.lines.len());
        assert_eq!(line, (AdjustmentType::Reserved.into(), 9, 1));
        assert_eq!((record.key, record.expired, record.keep), (None, false, false));
    }
}
