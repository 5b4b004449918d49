//! The decoder of records. Whatever the bytes are, it returns a record or an error; it never
//! panics.

use crate::audit::draw::read_draws;
use crate::audit::entry::{AdjustmentType, EntryType, EventType};
use crate::audit::pairs::Pairs;
use crate::audit::record::{
    EntryLine, KeyMark, PlainEntry, Record, RecordBuf, ShortBytes, Subject,
};
use crate::base::bytes::Cursor;
use crate::base::clock::Timestamp;
use crate::journal::format::encode::{DRAWS, EXPIRED, KEEP, LONG, SHORT_ANSWER, USUAL, about, has};
use crate::journal::format::notes::{BLOCK_HEAD, ERASED, PRESENT, read_pairs, salted_hash};
use crate::journal::format::usual::{usual_fingerprint, whole_answer};
use crate::reservation::id::{Owner, ReservationId};
use crate::stock::allowance::key::{AllowanceKey, RuleNumber, SubjectHash};
use crate::stock::handle::{LevelIndex, ProductIndex, WarehouseIndex};

/// Why bytes do not decode to a record, although their checksum says that they were written so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRecord {
    /// What is wrong with them.
    pub(crate) what: &'static str,
}

/// A decoded record.
#[derive(Debug)]
pub(crate) enum Decoded<'a> {
    Plain(PlainEntry),
    Record(&'a DecodedRecord),
}

/// A decoded record of several lines, or with more than a plain entry can hold. Its buffers are
/// reused for the next one.
#[derive(Debug, Default)]
pub(crate) struct DecodedRecord {
    pub(crate) steps: RecordBuf,
    /// The place of the level that this record opens.
    pub(crate) place: Option<(WarehouseIndex, ProductIndex)>,
    /// Whether its notes were erased by a redaction.
    pub(crate) erased: bool,
}

impl Decoded<'_> {
    pub(crate) fn entries(&self) -> u64 {
        match self {
            Self::Plain(_) => 1,
            Self::Record(record) => record.steps.lines.len() as u64,
        }
    }

    pub(crate) fn at(&self) -> Timestamp {
        match self {
            Self::Plain(entry) => entry.at(),
            Self::Record(record) => record.steps.header.at,
        }
    }

    /// The record in the form in which callers queue it.
    pub(crate) fn to_record(&self) -> Record {
        match self {
            Self::Plain(entry) => Record::Plain(*entry),
            Self::Record(DecodedRecord { steps, .. }) => Record::Buffered(Box::new(RecordBuf {
                header: steps.header,
                lines: steps.lines.clone(),
                draws: steps.draws.clone(),
                metadata: steps.metadata.clone(),
                key: steps.key,
                expired: steps.expired,
                keep: steps.keep,
            })),
        }
    }
}

impl DecodedRecord {
    /// The units that came back, each level once.
    pub(crate) fn given_back(&self) -> impl Iterator<Item = (LevelIndex, u32)> {
        let returned = EntryType::Movement(AdjustmentType::Returned);
        self.steps.lines.iter().filter_map(move |line| match line.subject {
            Subject::Level(level) if line.entry_type == returned => Some((level, line.quantity)),
            _ => None,
        })
    }
}

/// Decodes the records of one batch, in order.
#[derive(Debug)]
pub(crate) struct Decoder<'a> {
    records: Cursor<'a>,
    notes: Cursor<'a>,
    base: u64,
    buffered: DecodedRecord,
}

pub(crate) type DecodeResult<T> = Result<T, NoRecord>;

pub(crate) trait OrNoRecord<T> {
    fn or_no(self, what: &'static str) -> DecodeResult<T>;
}

impl<T> OrNoRecord<T> for Option<T> {
    #[inline]
    fn or_no(self, what: &'static str) -> DecodeResult<T> {
        self.ok_or(NoRecord { what })
    }
}

pub(crate) const SHORT: &str = "a record ends early";

impl<'a> Decoder<'a> {
    /// A decoder of the two parts of a body. `base` is the base time in the batch header.
    pub(crate) fn new(records: &'a [u8], notes: &'a [u8], base: Timestamp) -> Self {
        Self {
            records: Cursor::new(records),
            notes: Cursor::new(notes),
            base: base.as_millis(),
            buffered: DecodedRecord::default(),
        }
    }

    /// How many bytes of records are not decoded yet.
    pub(crate) fn records_left(&self) -> usize {
        self.records.len()
    }

    /// How many bytes of notes belong to records that are not decoded yet.
    pub(crate) fn notes_left(&self) -> usize {
        self.notes.len()
    }

    /// The next record; `Ok(None)` once both parts are read to their end.
    #[inline]
    pub(crate) fn next(&mut self) -> DecodeResult<Option<Decoded<'_>>> {
        let Some(first) = self.records.byte() else {
            return if self.notes.is_empty() {
                Ok(None)
            } else {
                Err(NoRecord { what: "notes that belong to no record" })
            };
        };
        if first & LONG != 0 {
            if first & !(LONG | EXPIRED | KEEP | SHORT_ANSWER | USUAL | DRAWS) != 0 {
                return Err(NoRecord { what: "a record of an unknown kind" });
            }
            self.buffered(first)?;
            self.buffered.steps.expired = first & EXPIRED != 0;
            self.buffered.steps.keep = first & KEEP != 0;
            Ok(Some(Decoded::Record(&self.buffered)))
        } else {
            self.plain(first).map(|entry| Some(Decoded::Plain(entry)))
        }
    }

    #[inline]
    fn plain(&mut self, first: u8) -> DecodeResult<PlainEntry> {
        let records = &mut self.records;
        let code = first & !EXPIRED;
        let entry_type = EntryType::from_code(code).or_no("an entry of an unknown type")?;
        let flags = records.byte().or_no(SHORT)?;
        if flags & !(has::RESERVATION | has::OWNER | has::EXPIRY) != 0 {
            return Err(NoRecord { what: "a short record with more than it can have" });
        }
        let at = moment(records, self.base)?;
        let level = LevelIndex(records.varint32().or_no(SHORT)?);
        let quantity = records.varint32().or_no(SHORT)?;
        let mut entry = PlainEntry::new(entry_type, at, level, quantity);
        if flags & has::RESERVATION != 0 {
            entry = entry.reservation(reservation(records)?);
        }
        if flags & has::OWNER != 0 {
            entry = entry.owner(Some(Owner(records.array().or_no(SHORT)?)));
        }
        if flags & has::EXPIRY != 0 {
            entry = entry.expires_at(moment(records, at.as_millis())?);
        }
        if first & EXPIRED != 0 {
            if code != EntryType::from(crate::audit::entry::AdjustmentType::Returned).code() {
                return Err(NoRecord { what: "an expiry that gives nothing back" });
            }
            entry = entry.expired();
        }
        Ok(entry)
    }

    fn buffered(&mut self, first: u8) -> DecodeResult<()> {
        let Self { records, notes, base, buffered } = self;
        buffered.steps.clear();
        (buffered.place, buffered.erased) = (None, false);
        let flags = records.byte().or_no(SHORT)?;
        let header = &mut buffered.steps.header;
        header.at = moment(records, *base)?;
        if flags & has::RESERVATION != 0 {
            header.reservation = Some(reservation(records)?);
        }
        if flags & has::OWNER != 0 {
            header.owner = Some(Owner(records.array().or_no(SHORT)?));
        }
        if flags & has::EXPIRY != 0 {
            header.expires_at = Some(moment(records, header.at.as_millis())?);
        }
        if flags & has::RETAKEN_FROM != 0 {
            header.retaken_from = Some(reservation(records)?);
        }
        if flags & has::KEY != 0 {
            buffered.steps.key = Some(key_of(&buffered.steps, first, records)?);
        }
        if flags & has::FACTS != 0 {
            let text = records.counted().or_no(SHORT)?;
            read_pairs(text, &mut buffered.steps.metadata)
                .or_no("facts that are no pairs of text")?;
        }
        if flags & has::NOTES != 0 {
            buffered.erased = notes_block(records, notes, &mut buffered.steps.metadata)?;
        }
        let count = records.varint().or_no(SHORT)?;
        // Each line takes at least two bytes. So a count above the bytes left is a lie, and is
        // refused before it costs memory or time.
        if count == 0 || count > records.len() as u64 {
            return Err(NoRecord { what: "a record with a number of lines that can't be" });
        }
        for _ in 0..count {
            let line = line(records, flags & has::OTHERS != 0)?;
            if line.entry_type == EventType::LevelOpened.into() {
                let warehouse = warehouse(records.varint().or_no(SHORT)?)?;
                buffered.place = Some((warehouse, ProductIndex(records.varint32().or_no(SHORT)?)));
            }
            buffered.steps.lines.push(line);
        }
        if first & DRAWS != 0 {
            read_draws(records, &mut buffered.steps.draws).or_no("draws that can't be")?;
        }
        if first & USUAL != 0 {
            let usual = usual_fingerprint(&buffered.steps).or_no("a usual call that is none")?;
            let key = buffered.steps.key.as_mut().or_no("a usual call without a key")?;
            key.fingerprint = usual;
        }
        Ok(())
    }
}

#[inline]
pub(crate) fn moment(records: &mut Cursor<'_>, base: u64) -> DecodeResult<Timestamp> {
    let millis = records.difference(base).or_no(SHORT)?;
    if millis > Timestamp::MAX.as_millis() {
        return Err(NoRecord { what: "a moment that lies too far off" });
    }
    Ok(Timestamp::from_millis(millis))
}

#[inline]
pub(crate) fn reservation(records: &mut Cursor<'_>) -> DecodeResult<ReservationId> {
    let halves = [records.u64().or_no(SHORT)?, records.u64().or_no(SHORT)?];
    let id = ReservationId::from_halves(halves);
    ReservationId::from_uuid(id.as_uuid()).or_no("an id that no engine makes")
}

/// What [`put_allowance`](super::encode::put_allowance) wrote.
pub(crate) fn allowance(bytes: &mut Cursor<'_>) -> Option<AllowanceKey> {
    let rule = RuleNumber(bytes.varint32()?);
    Some(AllowanceKey { rule, subject: SubjectHash(bytes.array()?) })
}

/// A key in its whole form.
pub(crate) fn key(records: &mut Cursor<'_>) -> DecodeResult<KeyMark> {
    key_of(&RecordBuf::default(), 0, records)
}

/// The key of a record of which the first byte and the header are read. A usual fingerprint is set
/// once the lines are read.
fn key_of(record: &RecordBuf, first: u8, records: &mut Cursor<'_>) -> DecodeResult<KeyMark> {
    const NONE: &str = "an answer that is none";
    let key = ShortBytes::new(records.counted().or_no(SHORT)?).or_no("a key that is too long")?;
    let fingerprint = if first & USUAL != 0 { 0 } else { records.u128().or_no(SHORT)? };
    let answer = records.counted().or_no(SHORT)?;
    let answer = if first & SHORT_ANSWER != 0 {
        whole_answer(answer, record).or_no(NONE)?
    } else {
        ShortBytes::new(answer).or_no("an answer that is too long")?
    };
    Ok(KeyMark { key, fingerprint, answer })
}

/// Reads one block of notes. Returns whether it was erased.
fn notes_block(
    records: &mut Cursor<'_>,
    notes: &mut Cursor<'_>,
    pairs: &mut Pairs,
) -> DecodeResult<bool> {
    const MISSING: &str = "notes that are not there";
    let length = usize::try_from(records.varint().or_no(SHORT)?).ok().or_no(MISSING)?;
    let hash: [u8; 32] = records.array().or_no(SHORT)?;
    let block = notes.take(length.checked_add(BLOCK_HEAD).or_no(MISSING)?).or_no(MISSING)?;
    let (state, block) = block.split_first().or_no(MISSING)?;
    match *state {
        PRESENT if salted_hash(block) == hash => {
            read_pairs(&block[BLOCK_HEAD - 1..], pairs).or_no("notes that are no pairs of text")?;
            Ok(false)
        }
        PRESENT => Err(NoRecord { what: "notes that are not those that were written" }),
        ERASED if block.iter().all(|byte| *byte == 0) => Ok(true),
        ERASED => Err(NoRecord { what: "erased notes that are still there" }),
        _ => Err(NoRecord { what: "notes in no known state" }),
    }
}

pub(crate) fn warehouse(number: u64) -> DecodeResult<WarehouseIndex> {
    u16::try_from(number).ok().map(WarehouseIndex).or_no("a warehouse of an impossible number")
}

fn line(records: &mut Cursor<'_>, others: bool) -> DecodeResult<EntryLine> {
    let first = records.byte().or_no(SHORT)?;
    let code = first & ((1 << about::SHIFT) - 1);
    let entry_type = EntryType::from_code(code).or_no("an entry of an unknown type")?;
    let subject = match first >> about::SHIFT {
        about::WAREHOUSE => Subject::Warehouse(warehouse(records.varint().or_no(SHORT)?)?),
        about::PRODUCT => Subject::Product(ProductIndex(records.varint32().or_no(SHORT)?)),
        about::LEVEL => Subject::Level(LevelIndex(records.varint32().or_no(SHORT)?)),
        _ => Subject::None,
    };
    let quantity = records.varint32().or_no(SHORT)?;
    let other = match if others { records.varint().or_no(SHORT)? } else { 0 } {
        0 => None,
        number => Some(warehouse(number - 1)?),
    };
    Ok(EntryLine { entry_type, subject, quantity, other })
}
