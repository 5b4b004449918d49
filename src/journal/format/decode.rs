//! From bytes to records: whatever the bytes are, the answer is a record or "these are none".

use crate::audit::entry::{EntryType, EventType};
use crate::audit::record::{
    EntryLine, KeyMark, PlainEntry, Record, RecordBuf, ShortBytes, Subject,
};
use crate::base::clock::Timestamp;
use crate::journal::format::bytes::Cursor;
use crate::journal::format::encode::{EXPIRED, KEEP, LONG, about, has};
use crate::journal::format::notes::{BLOCK_HEAD, ERASED, PRESENT, read_pairs, salted_hash};
use crate::reservation::id::{Owner, ReservationId};
use crate::stock::handle::{LevelIndex, ProductIndex, WarehouseIndex};

/// Bytes that are no record, although their checksum says that they were written like this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRecord {
    /// What can't be.
    pub(crate) what: &'static str,
}

/// A record, where it was decoded to.
#[derive(Debug)]
pub(crate) enum Decoded<'a> {
    Plain(PlainEntry),
    Record(&'a DecodedRecord),
}

/// A long record, in room that is used again for the next one.
#[derive(Debug, Default)]
pub(crate) struct DecodedRecord {
    pub(crate) steps: RecordBuf,
    /// Where the level lies that this record opens.
    pub(crate) place: Option<(WarehouseIndex, ProductIndex)>,
    /// Its notes were erased.
    pub(crate) erased: bool,
}

impl Decoded<'_> {
    pub(crate) fn entries(&self) -> u64 {
        match self {
            Self::Plain(_) => 1,
            Self::Record(long) => long.steps.lines.len() as u64,
        }
    }

    pub(crate) fn at(&self) -> Timestamp {
        match self {
            Self::Plain(step) => step.at(),
            Self::Record(long) => long.steps.header.at,
        }
    }

    /// The record as the queue knows it.
    pub(crate) fn to_record(&self) -> Record {
        match self {
            Self::Plain(step) => Record::Plain(*step),
            Self::Record(DecodedRecord { steps, .. }) => Record::Buffered(Box::new(RecordBuf {
                header: steps.header,
                lines: steps.lines.clone(),
                metadata: steps.metadata.clone(),
                key: steps.key,
                expired: steps.expired,
                keep: steps.keep,
            })),
        }
    }
}

/// Reads the records of one batch, in order.
#[derive(Debug)]
pub(crate) struct Decoder<'a> {
    records: Cursor<'a>,
    notes: Cursor<'a>,
    base: u64,
    long: DecodedRecord,
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
    /// The two parts of a batch's body, and the time that its header bears.
    pub(crate) fn new(records: &'a [u8], notes: &'a [u8], base: Timestamp) -> Self {
        Self {
            records: Cursor::new(records),
            notes: Cursor::new(notes),
            base: base.as_millis(),
            long: DecodedRecord::default(),
        }
    }

    /// How many bytes of notes belong to records that are still to come.
    pub(crate) fn notes_left(&self) -> usize {
        self.notes.len()
    }

    /// The next record; `Ok(None)` where both parts have come to their end.
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
            if first & !(LONG | EXPIRED | KEEP) != 0 {
                return Err(NoRecord { what: "a record of an unknown kind" });
            }
            self.long()?;
            self.long.steps.expired = first & EXPIRED != 0;
            self.long.steps.keep = first & KEEP != 0;
            Ok(Some(Decoded::Record(&self.long)))
        } else {
            self.step(first).map(|step| Some(Decoded::Plain(step)))
        }
    }

    #[inline]
    fn step(&mut self, first: u8) -> DecodeResult<PlainEntry> {
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
        let mut step = PlainEntry::new(entry_type, at, level, quantity);
        if flags & has::RESERVATION != 0 {
            step = step.reservation(reservation(records)?);
        }
        if flags & has::OWNER != 0 {
            step = step.owner(Some(Owner(records.array().or_no(SHORT)?)));
        }
        if flags & has::EXPIRY != 0 {
            step = step.expires_at(moment(records, at.as_millis())?);
        }
        if first & EXPIRED != 0 {
            if code != EntryType::from(crate::audit::entry::AdjustmentType::Returned).code() {
                return Err(NoRecord { what: "an expiry that gives nothing back" });
            }
            step = step.expired();
        }
        Ok(step)
    }

    fn long(&mut self) -> DecodeResult<()> {
        let Self { records, notes, base, long } = self;
        long.steps.clear();
        (long.place, long.erased) = (None, false);
        let flags = records.byte().or_no(SHORT)?;
        let header = &mut long.steps.header;
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
            long.steps.key = Some(key(records)?);
        }
        if flags & has::FACTS != 0 {
            let text = records.counted().or_no(SHORT)?;
            read_pairs(text, &mut long.steps.metadata).or_no("facts that are no pairs of text")?;
        }
        if flags & has::NOTES != 0 {
            long.erased = block(records, notes, &mut long.steps.metadata)?;
        }
        let count = records.varint().or_no(SHORT)?;
        // Each line takes two bytes at least, so that no count can ask for more room than its bytes.
        if count == 0 || count > records.len() as u64 {
            return Err(NoRecord { what: "a record with a number of lines that can't be" });
        }
        for _ in 0..count {
            let line = line(records, flags & has::OTHERS != 0)?;
            if line.entry_type == EventType::LevelOpened.into() {
                let warehouse = warehouse(records.varint().or_no(SHORT)?)?;
                long.place = Some((warehouse, ProductIndex(records.varint32().or_no(SHORT)?)));
            }
            long.steps.lines.push(line);
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

pub(crate) fn key(records: &mut Cursor<'_>) -> DecodeResult<KeyMark> {
    let key = ShortBytes::new(records.counted().or_no(SHORT)?).or_no("a key that is too long")?;
    let fingerprint = records.u128().or_no(SHORT)?;
    let answer =
        ShortBytes::new(records.counted().or_no(SHORT)?).or_no("an answer that is too long")?;
    Ok(KeyMark { key, fingerprint, answer })
}

/// Reads one block of notes; `true` if it was erased.
fn block(
    records: &mut Cursor<'_>,
    notes: &mut Cursor<'_>,
    pairs: &mut Vec<(String, String)>,
) -> DecodeResult<bool> {
    const MISSING: &str = "notes that are not there";
    let length = usize::try_from(records.varint().or_no(SHORT)?).ok().or_no(MISSING)?;
    let hash: [u8; 32] = records.array().or_no(SHORT)?;
    let block = notes.take(length.checked_add(BLOCK_HEAD).or_no(MISSING)?).or_no(MISSING)?;
    let (state, block) = block.split_first().or_no(MISSING)?;
    let (salt, text) = block.split_at(BLOCK_HEAD - 1);
    match *state {
        PRESENT if salted_hash(salt, text) == hash => {
            read_pairs(text, pairs).or_no("notes that are no pairs of text")?;
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
