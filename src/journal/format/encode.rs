//! The encoder of records. `docs/journal-format.md` draws their bytes, and `decode` reads them.

use rand::Rng;
use rand::rngs::StdRng;

use crate::audit::draw::put_draws;
use crate::audit::entry::EventType;
use crate::audit::pairs::put_pairs;
use crate::audit::record::{EntryLine, KeyMark, PlainEntry, Record, RecordBuf, Subject, is_fact};
use crate::audit::view::Names;
use crate::base::bytes::{put_difference, put_varint};
use crate::base::clock::Timestamp;
use crate::journal::format::notes::{PRESENT, SALT, salted_hash};
use crate::journal::format::usual::{short_answer, usual_fingerprint};
use crate::stock::allowance::key::AllowanceKey;

/// Flag in a record's first byte: a buffered record, not a plain entry. A plain entry has its type
/// in the six low bits instead.
pub(crate) const LONG: u8 = 1 << 6;
/// Flag in a record's first byte: the units were returned because the hold expired.
pub(crate) const EXPIRED: u8 = 1 << 7;

/// Flag in a buffered record's first byte: the reservation keeps its record until all the units it
/// sold are shipped.
pub(crate) const KEEP: u8 = 1;
/// Flag in a buffered record's first byte: the key's answer is in its short form.
pub(crate) const SHORT_ANSWER: u8 = 1 << 1;
/// Flag in a buffered record's first byte: the key's fingerprint is the usual one, and left out.
pub(crate) const USUAL: u8 = 1 << 2;
/// Flag in a buffered record's first byte: draws on allowances follow the lines.
pub(crate) const DRAWS: u8 = 1 << 3;

/// Flags in a record's second byte: which optional fields follow.
pub(crate) mod has {
    pub(crate) const RESERVATION: u8 = 1;
    pub(crate) const OWNER: u8 = 1 << 1;
    pub(crate) const EXPIRY: u8 = 1 << 2;
    pub(crate) const RETAKEN_FROM: u8 = 1 << 3;
    pub(crate) const KEY: u8 = 1 << 4;
    pub(crate) const FACTS: u8 = 1 << 5;
    pub(crate) const NOTES: u8 = 1 << 6;
    pub(crate) const OTHERS: u8 = 1 << 7;
}

/// The two top bits of a line's first byte: the subject of the line.
pub(crate) mod about {
    pub(crate) const NOTHING: u8 = 0;
    pub(crate) const WAREHOUSE: u8 = 1;
    pub(crate) const PRODUCT: u8 = 2;
    pub(crate) const LEVEL: u8 = 3;
    pub(crate) const SHIFT: u32 = 6;
}

/// The body of the batch under construction: its two parts, and the counts for its header.
pub(crate) struct Encoder {
    pub(crate) records: Vec<u8>,
    pub(crate) notes: Vec<u8>,
    pub(crate) record_count: u32,
    pub(crate) entry_count: u32,
    /// The base time, that of the first record. Times are encoded as differences from it.
    pub(crate) base: Timestamp,
    /// The generator of salts. The writer has one of its own, so that a salt costs no system call.
    salts: StdRng,
    /// A buffer for encoded pairs, whose length comes before them.
    text: Vec<u8>,
}

impl Encoder {
    pub(crate) fn new(salts: StdRng) -> Self {
        Self {
            records: Vec::new(),
            notes: Vec::new(),
            record_count: 0,
            entry_count: 0,
            base: Timestamp::default(),
            salts,
            text: Vec::new(),
        }
    }

    /// Clears the body for the next batch. Keeps the buffers.
    pub(crate) fn clear(&mut self) {
        self.records.clear();
        self.notes.clear();
        (self.record_count, self.entry_count) = (0, 0);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.record_count == 0
    }

    /// Bytes of the body so far.
    pub(crate) fn len(&self) -> usize {
        self.records.len() + self.notes.len()
    }

    /// Appends a record. `names` resolves the place of a level, which the record of the level's
    /// opening must name.
    pub(crate) fn put(&mut self, record: &Record, names: &dyn Names) {
        if self.record_count == 0 {
            self.base = record.at();
        }
        self.record_count += 1;
        self.entry_count += record.entries() as u32;
        match record {
            Record::Plain(entry) => self.put_plain(entry),
            Record::Buffered(record) => self.put_buffered(record, names),
        }
    }

    fn put_plain(&mut self, entry: &PlainEntry) {
        let out = &mut self.records;
        let (reservation, owner, expiry) =
            (entry.get_reservation(), entry.get_owner(), entry.get_expires_at());
        out.push(entry.code() | if entry.is_expiry() { EXPIRED } else { 0 });
        out.push(
            flag(reservation.is_some(), has::RESERVATION)
                | flag(owner.is_some(), has::OWNER)
                | flag(expiry.is_some(), has::EXPIRY),
        );
        put_difference(out, entry.at().as_millis(), self.base.as_millis());
        put_varint(out, u64::from(entry.level().0));
        put_varint(out, u64::from(entry.quantity()));
        if let Some(id) = reservation {
            put_halves(out, id.to_halves());
        }
        if let Some(owner) = owner {
            out.extend_from_slice(&owner.0);
        }
        if let Some(expiry) = expiry {
            put_difference(out, expiry.as_millis(), entry.at().as_millis());
        }
    }

    fn put_buffered(&mut self, record: &RecordBuf, names: &dyn Names) {
        let header = &record.header;
        let is_fact = |(name, _): &(&str, &str)| is_fact(&record.lines, name);
        let facts = record.metadata.iter().filter(is_fact).count();
        let notes = record.metadata.len() - facts;
        let others = record.lines.iter().any(|line| line.other.is_some());
        let answer = record.key.as_ref().and_then(|it| short_answer(it.answer.as_bytes(), record));
        let fingerprint = record.key.as_ref().map(|key| key.fingerprint);
        let is_usual = fingerprint.is_some() && fingerprint == usual_fingerprint(record);
        self.records.push(
            LONG | flag(record.expired, EXPIRED)
                | flag(record.keep, KEEP)
                | flag(answer.is_some(), SHORT_ANSWER)
                | flag(is_usual, USUAL)
                | flag(!record.draws.is_empty(), DRAWS),
        );
        self.records.push(
            flag(header.reservation.is_some(), has::RESERVATION)
                | flag(header.owner.is_some(), has::OWNER)
                | flag(header.expires_at.is_some(), has::EXPIRY)
                | flag(header.retaken_from.is_some(), has::RETAKEN_FROM)
                | flag(record.key.is_some(), has::KEY)
                | flag(facts > 0, has::FACTS)
                | flag(notes > 0, has::NOTES)
                | flag(others, has::OTHERS),
        );
        let out = &mut self.records;
        put_difference(out, header.at.as_millis(), self.base.as_millis());
        if let Some(id) = header.reservation {
            put_halves(out, id.to_halves());
        }
        if let Some(owner) = header.owner {
            out.extend_from_slice(&owner.0);
        }
        if let Some(expiry) = header.expires_at {
            put_difference(out, expiry.as_millis(), header.at.as_millis());
        }
        if let Some(id) = header.retaken_from {
            put_halves(out, id.to_halves());
        }
        if let Some(key) = &record.key {
            put_text(out, key.key.as_bytes());
            if !is_usual {
                out.extend_from_slice(&key.fingerprint.to_le_bytes());
            }
            put_text(out, answer.unwrap_or(key.answer.as_bytes()));
        }
        if facts > 0 {
            self.put_facts(facts, record.metadata.iter().filter(is_fact));
        }
        if notes > 0 {
            self.put_notes(notes, record.metadata.iter().filter(|pair| !is_fact(pair)));
        }
        let out = &mut self.records;
        put_varint(out, record.lines.len() as u64);
        record.lines.iter().for_each(|line| put_line(out, line, others, names));
        if !record.draws.is_empty() {
            put_draws(out, &record.draws);
        }
    }

    fn put_facts<'p>(&mut self, count: usize, pairs: impl Iterator<Item = (&'p str, &'p str)>) {
        self.text.clear();
        put_pairs(&mut self.text, count, pairs);
        put_varint(&mut self.records, self.text.len() as u64);
        self.records.extend_from_slice(&self.text);
    }

    fn put_notes<'p>(&mut self, count: usize, pairs: impl Iterator<Item = (&'p str, &'p str)>) {
        self.text.clear();
        put_pairs(&mut self.text, count, pairs);
        put_varint(&mut self.records, self.text.len() as u64);
        let mut salt = [0; SALT];
        self.salts.fill_bytes(&mut salt);
        self.notes.push(PRESENT);
        let block = self.notes.len();
        self.notes.extend_from_slice(&salt);
        self.notes.extend_from_slice(&self.text);
        self.records.extend_from_slice(&salted_hash(&self.notes[block..]));
    }
}

fn flag(is_there: bool, bit: u8) -> u8 {
    if is_there { bit } else { 0 }
}

pub(crate) fn put_halves(out: &mut Vec<u8>, [high, low]: [u64; 2]) {
    out.extend_from_slice(&high.to_le_bytes());
    out.extend_from_slice(&low.to_le_bytes());
}

/// Appends the name of an allowance: 17 bytes, but of rules with high numbers.
pub(crate) fn put_allowance(out: &mut Vec<u8>, AllowanceKey { rule, subject }: &AllowanceKey) {
    put_varint(out, u64::from(rule.0));
    out.extend_from_slice(subject.as_bytes());
}

/// Appends a key in its whole form, which needs no record.
pub(crate) fn put_key(out: &mut Vec<u8>, key: &KeyMark) {
    put_text(out, key.key.as_bytes());
    out.extend_from_slice(&key.fingerprint.to_le_bytes());
    put_text(out, key.answer.as_bytes());
}

fn put_text(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_line(out: &mut Vec<u8>, line: &EntryLine, others: bool, names: &dyn Names) {
    let (kind, number) = match line.subject {
        Subject::None => (about::NOTHING, None),
        Subject::Warehouse(id) => (about::WAREHOUSE, Some(u32::from(id.0))),
        Subject::Product(id) => (about::PRODUCT, Some(id.0)),
        Subject::Level(handle) => (about::LEVEL, Some(handle.0)),
    };
    out.push(line.entry_type.code() | kind << about::SHIFT);
    if let Some(number) = number {
        put_varint(out, u64::from(number));
    }
    put_varint(out, u64::from(line.quantity));
    if others {
        put_varint(out, line.other.map_or(0, |other| u64::from(other.0) + 1));
    }
    if line.entry_type == EventType::LevelOpened.into() {
        // The record is queued once the level is in the catalog, so its place can be looked up
        // here.
        let place = match line.subject {
            Subject::Level(handle) => names.level(handle),
            _ => None,
        };
        debug_assert!(place.is_some(), "a level that opens has a place");
        let (warehouse, product) = place.map_or((0, 0), |(w, p)| (w.0, p.0));
        put_varint(out, u64::from(warehouse));
        put_varint(out, u64::from(product));
    }
}
