//! Records of the outcome files, and their bytes.
//!
//! ```text
//!  | kind, 1 | journal time, 6 | clock, as a difference from it | what the kind needs |
//! ```

use crate::audit::record::ShortBytes;
use crate::base::bytes::{Cursor, put_difference, put_varint};
use crate::base::clock::Timestamp;
use crate::journal::format::decode::allowance;
use crate::journal::format::encode::put_allowance;
use crate::journal::ledger::holds::{Hold, HoldLine, Standing};
use crate::journal::outcomes::mark::OutcomeKind;
use crate::reservation::id::{Owner, ReservationId};
use crate::stock::allowance::key::AllowanceKey;
use crate::stock::handle::LevelIndex;

/// Bytes of the journal time in a record.
const TIME: usize = 6;

/// A moment of *journal time*, in milliseconds. It grows while the journal lives and never goes
/// back, whatever the clock did; whoever feeds the files says how. All lifetimes of outcomes are
/// spans of it. At most 2^48 - 1; later moments become that one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct JournalTime(u64);

impl JournalTime {
    const MAX: u64 = (1 << (8 * TIME)) - 1;

    pub(crate) fn from_millis(millis: u64) -> Self {
        Self(millis.min(Self::MAX))
    }

    pub(crate) fn as_millis(self) -> u64 {
        self.0
    }
}

/// A record from the files, with the journal time at which it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept<T> {
    pub(crate) time: JournalTime,
    pub(crate) value: T,
}

/// The answer of an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptAnswer {
    /// When the key's call was made, by the engine's clock.
    pub(crate) at: Timestamp,
    /// The fingerprint of the request. The same key with another fingerprint is a conflict.
    pub(crate) fingerprint: u128,
    /// The answer, as the engine packs it.
    pub(crate) answer: ShortBytes<32>,
}

/// How a reservation ended, and what a retake of it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReservationOutcome {
    /// When it ended, by the engine's clock.
    pub(crate) ended_at: Timestamp,
    /// How its last units went. Never [`Standing::Live`].
    pub(crate) standing: Standing,
    /// Which opening of the journal recorded this.
    pub(crate) opening: u64,
    pub(crate) owner: Option<Owner>,
    /// The reservation whose lines it took again.
    pub(crate) retaken_from: Option<ReservationId>,
    /// Its record was to be kept until all that it sold is shipped or cancelled.
    pub(crate) keep: bool,
    /// All its lines.
    pub(crate) lines: Vec<EndedLine>,
    /// If it sold nothing: the allowances on which it had drawn.
    pub(crate) draws_given_back: Vec<AllowanceKey>,
}

/// One line of a reservation that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndedLine {
    pub(crate) level: LevelIndex,
    /// Units sold, over all steps.
    pub(crate) sold: u32,
    /// Units given back by partial steps before the end. The buyer had taken them out.
    pub(crate) taken_out: u32,
    /// Units that the end gave back: a retake takes these.
    pub(crate) left: u32,
    /// Sold units that were shipped since, or whose sale was cancelled, by a call that names the
    /// reservation.
    pub(crate) settled: u32,
}

impl ReservationOutcome {
    /// The outcome of a hold that has ended; `None` if it is live.
    pub(crate) fn of(hold: &Hold, opening: u64) -> Option<Self> {
        let line = |line: &HoldLine| EndedLine {
            level: line.level,
            sold: line.sold,
            taken_out: line.taken_out,
            left: line.left(),
            settled: line.settled,
        };
        (!hold.is_live()).then(|| Self {
            ended_at: hold.ended_at,
            standing: hold.standing,
            opening,
            owner: hold.owner,
            retaken_from: hold.retaken_from(),
            keep: hold.keep,
            lines: hold.lines().map(line).collect(),
            draws_given_back: hold.draws_given_back().to_vec(),
        })
    }
}

/// The reservation that took an ended one's lines again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RetakenAs {
    /// When, by the engine's clock.
    pub(crate) at: Timestamp,
    pub(crate) id: ReservationId,
}

/// What can lie in the files: each kind of [`OutcomeKind`].
pub(crate) trait OutcomeRecord: Sized {
    const KIND: OutcomeKind;

    /// The moment by the engine's clock.
    fn at(&self) -> Timestamp;

    fn put(&self, out: &mut Vec<u8>);

    /// Reads what [`put`](Self::put) wrote. `None` if the bytes are anything else.
    fn read(from: &mut Cursor<'_>, at: Timestamp) -> Option<Self>;
}

/// Appends a record's bytes.
pub(super) fn put_record<T: OutcomeRecord>(out: &mut Vec<u8>, time: JournalTime, record: &T) {
    out.push(T::KIND as u8);
    out.extend_from_slice(&time.0.to_le_bytes()[..TIME]);
    put_difference(out, record.at().as_millis(), time.0);
    record.put(out);
}

/// The journal time of a record with these bytes.
pub(super) fn time_of(bytes: &[u8]) -> Option<JournalTime> {
    let time: [u8; TIME] = bytes.get(1..=TIME)?.try_into().ok()?;
    let mut whole = [0; 8];
    whole[..TIME].copy_from_slice(&time);
    Some(JournalTime(u64::from_le_bytes(whole)))
}

/// The record of these bytes; `None` if they are anything else, or more.
pub(super) fn read_record<T: OutcomeRecord>(bytes: &[u8]) -> Option<Kept<T>> {
    let time = time_of(bytes)?;
    let mut from = Cursor::new(bytes);
    let kind = from.byte()?;
    from.take(TIME)?;
    let at = Timestamp::from_millis(from.difference(time.0)?);
    let value = T::read(&mut from, at)?;
    (kind == T::KIND as u8 && from.is_empty()).then_some(Kept { time, value })
}

impl OutcomeRecord for KeptAnswer {
    const KIND: OutcomeKind = OutcomeKind::Answer;

    fn at(&self) -> Timestamp {
        self.at
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.fingerprint.to_le_bytes());
        out.extend_from_slice(self.answer.as_bytes());
    }

    fn read(from: &mut Cursor<'_>, at: Timestamp) -> Option<Self> {
        let fingerprint = from.u128()?;
        let answer = ShortBytes::new(from.take(from.len())?)?;
        Some(Self { at, fingerprint, answer })
    }
}

/// The flags in the first byte of an outcome. Its two lowest bits hold the [`Standing`].
mod has {
    pub(super) const OWNER: u8 = 1 << 2;
    pub(super) const RETAKEN_FROM: u8 = 1 << 3;
    pub(super) const KEEP: u8 = 1 << 4;
    /// Each line tells what was taken out of it before the end.
    pub(super) const TAKEN_OUT: u8 = 1 << 5;
    /// The allowances on which it had drawn stand behind the lines.
    pub(super) const DRAWS_GIVEN_BACK: u8 = 1 << 6;
    pub(super) const ALL: u8 = 0b111_1111;
}

/// In the order of the numbers that files store. Never reorder.
const ENDS: [Standing; 3] = [Standing::Confirmed, Standing::Released, Standing::Expired];

impl OutcomeRecord for ReservationOutcome {
    const KIND: OutcomeKind = OutcomeKind::Reservation;

    fn at(&self) -> Timestamp {
        self.ended_at
    }

    fn put(&self, out: &mut Vec<u8>) {
        let flag = |is_there, bit| if is_there { bit } else { 0 };
        let taken_out = self.lines.iter().any(|line| line.taken_out > 0);
        out.push(
            self.standing as u8
                | flag(self.owner.is_some(), has::OWNER)
                | flag(self.retaken_from.is_some(), has::RETAKEN_FROM)
                | flag(self.keep, has::KEEP)
                | flag(taken_out, has::TAKEN_OUT)
                | flag(!self.draws_given_back.is_empty(), has::DRAWS_GIVEN_BACK),
        );
        put_varint(out, self.opening);
        out.extend(self.owner.iter().flat_map(|Owner(bytes)| bytes));
        self.retaken_from.iter().for_each(|id| out.extend_from_slice(id.as_uuid().as_bytes()));
        put_varint(out, self.lines.len() as u64);
        for line in &self.lines {
            let counts = [line.level.0, line.sold, line.left, line.settled, line.taken_out];
            let counts = &counts[..4 + usize::from(taken_out)];
            counts.iter().for_each(|count| put_varint(out, u64::from(*count)));
        }
        if !self.draws_given_back.is_empty() {
            put_varint(out, self.draws_given_back.len() as u64);
            self.draws_given_back.iter().for_each(|key| put_allowance(out, key));
        }
    }

    fn read(from: &mut Cursor<'_>, ended_at: Timestamp) -> Option<Self> {
        let flags = from.byte()?;
        let standing = *ENDS.iter().find(|end| **end as u8 == flags & 3)?;
        let opening = from.varint()?;
        let is_there = |bit: u8| flags & bit != 0;
        let owner = is_there(has::OWNER).then(|| from.array().map(Owner));
        let owner = transposed(owner)?;
        let retaken_from = transposed(is_there(has::RETAKEN_FROM).then(|| read_id(from)))?;
        let mut lines = Vec::new();
        for _ in 0..from.varint()? {
            let level = LevelIndex(from.varint32()?);
            let (sold, left, settled) = (from.varint32()?, from.varint32()?, from.varint32()?);
            let taken_out = if is_there(has::TAKEN_OUT) { from.varint32()? } else { 0 };
            lines.push(EndedLine { level, sold, taken_out, left, settled });
        }
        let mut draws_given_back = Vec::new();
        if is_there(has::DRAWS_GIVEN_BACK) {
            for _ in 0..from.varint()? {
                draws_given_back.push(allowance(from)?);
            }
        }
        (flags & !has::ALL == 0).then_some(())?;
        let keep = is_there(has::KEEP);
        Some(Self {
            ended_at,
            standing,
            opening,
            owner,
            retaken_from,
            keep,
            lines,
            draws_given_back,
        })
    }
}

impl OutcomeRecord for RetakenAs {
    const KIND: OutcomeKind = OutcomeKind::Retake;

    fn at(&self) -> Timestamp {
        self.at
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.id.as_uuid().as_bytes());
    }

    fn read(from: &mut Cursor<'_>, at: Timestamp) -> Option<Self> {
        Some(Self { at, id: read_id(from)? })
    }
}

fn read_id(from: &mut Cursor<'_>) -> Option<ReservationId> {
    ReservationId::from_uuid(uuid::Uuid::from_bytes(from.array()?))
}

/// `None` if what should be there is not.
fn transposed<T>(part: Option<Option<T>>) -> Option<Option<T>> {
    part.map_or(Some(None), |part| part.map(Some))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::stock::allowance::key::{RuleNumber, SubjectHash};
    use proptest::prelude::*;

    fn id(random: u64) -> ReservationId {
        ReservationId::new(Timestamp::from_millis(1_700_000_000_000), 5, random)
    }

    fn outcome(lines: u32) -> ReservationOutcome {
        let line = |level| EndedLine {
            level: LevelIndex(level),
            sold: 3,
            taken_out: 2 * level,
            left: u32::MAX,
            settled: 1,
        };
        ReservationOutcome {
            ended_at: Timestamp::from_millis(9),
            standing: Standing::Expired,
            opening: 300,
            owner: Some(Owner([7; 16])),
            retaken_from: Some(id(1)),
            keep: lines.is_multiple_of(2),
            lines: (0..lines).map(line).collect(),
            draws_given_back: (0..lines).map(|rule| key(RuleNumber(rule))).collect(),
        }
    }

    fn key(rule: RuleNumber) -> AllowanceKey {
        AllowanceKey { rule, subject: SubjectHash([9; 16]) }
    }

    fn is_read_back<T: OutcomeRecord + Clone + PartialEq + std::fmt::Debug>(value: &T) -> usize {
        let time = JournalTime::from_millis(1_700_000_000_000);
        let mut bytes = Vec::new();
        put_record(&mut bytes, time, value);
        assert_eq!(read_record::<T>(&bytes), Some(Kept { time, value: value.clone() }));
        bytes.len()
    }

    #[test]
    fn every_kind_is_read_back_and_is_compact() {
        let at = Timestamp::from_millis(1_700_000_000_000);
        let answer = ShortBytes::new(&[1; 17]).expect("short");
        let size = is_read_back(&KeptAnswer { at, fingerprint: u128::MAX, answer });
        assert_eq!(size, 41, "57 with its mark");
        is_read_back(&RetakenAs { at, id: id(3) });
        for lines in [0, 1, 255] {
            is_read_back(&outcome(lines));
        }
        let plain =
            ReservationOutcome { ended_at: at, owner: None, retaken_from: None, ..outcome(0) };
        let lines = vec![EndedLine { left: 0, ..outcome(1).lines[0] }];
        assert!(is_read_back(&ReservationOutcome { lines, ..plain }) <= 16);
    }

    #[test]
    fn another_kind_or_more_or_fewer_bytes_make_no_record() {
        let mut bytes = Vec::new();
        put_record(&mut bytes, JournalTime::default(), &outcome(2));
        assert_eq!(read_record::<RetakenAs>(&bytes), None);
        for cut in 0..bytes.len() {
            assert_eq!(read_record::<ReservationOutcome>(&bytes[..cut]), None);
        }
        bytes.push(0);
        assert_eq!(read_record::<ReservationOutcome>(&bytes), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>, kind in 1_u8..4) {
            let bytes = [&[kind][..], &bytes].concat();
            let _ = read_record::<KeptAnswer>(&bytes);
            let _ = read_record::<ReservationOutcome>(&bytes);
            let _ = read_record::<RetakenAs>(&bytes);
        }
    }
}
