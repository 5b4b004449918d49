//! Seals hostile journals: turns arbitrary bytes into files with valid checksums, hashes and
//! counts. Without them, every mutation would fail at the first check, and decoder and ledger would
//! never see it.
//!
//! Written from `docs/journal-format.md` alone, so it also tests that page.

use std::ops::Range;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

const SEGMENT: usize = 136;
const BATCH: usize = 104;
const MARK: usize = 32;
/// The number of the only entry type with a longer line.
pub(crate) const LEVEL_OPENED: u8 = 32 + 3;

/// Fix checksums and hashes, and what they cover: magic, version, counts.
pub(crate) const SEALED: u8 = 1;
/// Also fix what joins batches and segments: numbers, sequence numbers, and the links to the files
/// before.
pub(crate) const JOINED: u8 = 2;

/// A file of a journal, and how much of it to fix.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) number: u8,
    pub(crate) how: u8,
    pub(crate) bytes: Vec<u8>,
}

impl File {
    pub(crate) fn name(&self) -> String {
        format!("{:010}.journal", self.number)
    }
}

/// Splits an input into files. Each is a number, how to seal it, a length of four bytes, and that
/// many bytes; the last file gets all remaining bytes.
pub(crate) fn files_of(mut input: &[u8]) -> Vec<File> {
    let mut files: Vec<File> = Vec::new();
    while let Some((&[number, how, a, b, c, d], rest)) = input.split_first_chunk::<6>() {
        let length = (u32::from_le_bytes([a, b, c, d]) as usize).min(rest.len());
        files.push(File { number, how, bytes: rest[..length].to_vec() });
        input = &rest[length..];
    }
    files.sort_by_key(|file| file.number);
    files.dedup_by_key(|file| file.number);
    files
}

/// The input that [`files_of`] splits into these files.
pub(crate) fn input_of(files: &[File]) -> Vec<u8> {
    let mut input = Vec::new();
    for file in files {
        input.extend([file.number, file.how]);
        input.extend((file.bytes.len() as u32).to_le_bytes());
        input.extend(&file.bytes);
    }
    input
}

/// The end of the hash chain so far.
#[derive(Clone, Copy, Default)]
struct End {
    batch: u64,
    sequence: u64,
    hash: [u8; 32],
    segment: u64,
    length: u64,
}

/// Fixes in each file what the file asks for.
pub(crate) fn seal(files: &mut [File]) {
    let mut end = End::default();
    for file in files.iter_mut().filter(|file| file.how & SEALED != 0) {
        let joined = file.how & JOINED != 0;
        let number = u64::from(file.number);
        file.bytes.resize(file.bytes.len().max(SEGMENT), 0);
        seal_header(&mut file.bytes, number, joined.then_some(end));
        let mut at = SEGMENT;
        while file.bytes.len() - at >= BATCH {
            let closed;
            (at, closed) = seal_batch(&mut file.bytes, at, number, &mut end, joined);
            if closed {
                seal_mark(&mut file.bytes, at, number, &end.hash);
                at = file.bytes.len();
                break;
            }
        }
        (end.segment, end.length) = (number, at as u64);
    }
}

fn number_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn half_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}

fn seal_header(bytes: &mut [u8], number: u64, base: Option<End>) {
    put(bytes, 0, b"STKJRNL\n");
    put(bytes, 8, &1_u16.to_le_bytes());
    put(bytes, 10, &(SEGMENT as u16).to_le_bytes());
    put(bytes, 12, &[0; 4]);
    put(bytes, 16, &number.to_le_bytes());
    put(bytes, 32, &7_u128.to_le_bytes());
    if let Some(base) = base {
        put(bytes, 48, &base.batch.to_le_bytes());
        put(bytes, 56, &base.sequence.to_le_bytes());
        put(bytes, 64, &base.hash);
        put(bytes, 96, &base.segment.to_le_bytes());
        put(bytes, 104, &base.length.to_le_bytes());
        let durable = number_at(bytes, 112).min(base.batch);
        put(bytes, 112, &durable.to_le_bytes());
    }
    let sum = xxh3_64(&bytes[..SEGMENT - 8]);
    put(bytes, SEGMENT - 8, &sum.to_le_bytes());
}

/// Returns where the next batch begins, and whether this one closes the journal.
fn seal_batch(
    bytes: &mut [u8],
    at: usize,
    segment: u64,
    end: &mut End,
    joined: bool,
) -> (usize, bool) {
    let (header, body) = bytes[at..].split_at_mut(BATCH);
    let records_length = (half_at(header, 4) as usize).min(body.len());
    let notes_length = (half_at(header, 8) as usize).min(body.len() - records_length);
    let body = &mut body[..records_length + notes_length];
    let (records, notes) = body.split_at_mut(records_length);
    if let Some((records, entries)) = seal_notes(records, notes) {
        put(header, 12, &entries.to_le_bytes());
        put(header, 16, &records.to_le_bytes());
    }
    let closed = header[20] & 1 != 0 && records.is_empty();
    put(header, 0, b"SKB\x01");
    put(header, 4, &(records_length as u32).to_le_bytes());
    put(header, 8, &(notes_length as u32).to_le_bytes());
    put(header, 20, &[u8::from(closed), 0, 0, 0]);
    if joined {
        put(header, 24, &end.batch.wrapping_add(1).to_le_bytes());
        put(header, 32, &end.sequence.wrapping_add(1).to_le_bytes());
        let durable = number_at(header, 40).min(end.batch);
        put(header, 40, &durable.to_le_bytes());
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(&end.hash);
    for field in [24..32, 32..40, 12..16, 16..20, 48..56] {
        hasher.update(&header[field]);
    }
    hasher.update(&[u8::from(closed)]);
    hasher.update(blake3::hash(records).as_bytes());
    let hash = *hasher.finalize().as_bytes();
    put(header, 56, &xxh3_64(body).to_le_bytes());
    put(header, 64, &hash);
    let sum = xxh3_64_with_seed(&header[..BATCH - 8], segment);
    put(header, BATCH - 8, &sum.to_le_bytes());
    end.batch = number_at(header, 24);
    end.sequence = number_at(header, 32).wrapping_add(half_at(header, 12).into()).wrapping_sub(1);
    end.hash = hash;
    (at + BATCH + records_length + notes_length, closed)
}

/// Fixes the padding and the close mark behind a closing batch, if any bytes follow it.
fn seal_mark(bytes: &mut Vec<u8>, at: usize, segment: u64, hash: &[u8; 32]) {
    if bytes.len() == at {
        return;
    }
    let into = at % 512;
    let padding = if into + MARK <= 512 { 0 } else { 512 - into };
    bytes.truncate(at);
    bytes.resize(at + padding, 0);
    let mark = [b"STKCLOSE", &hash[..16]].concat();
    let sum = xxh3_64_with_seed(&mark, segment);
    bytes.extend(mark);
    bytes.extend(sum.to_le_bytes());
}

/// Writes the hashes of the notes into the records. Returns how many records and entries there are,
/// if they can be read.
fn seal_notes(records: &mut [u8], notes: &[u8]) -> Option<(u32, u32)> {
    let mut hashes: Vec<(usize, [u8; 32])> = Vec::new();
    let mut walk = Walk { bytes: records, at: 0 };
    let (mut count, mut entries, mut notes_at) = (0_u32, 0_u32, 0_usize);
    while walk.at < walk.bytes.len() {
        let (lines, text) = walk.record()?;
        count += 1;
        entries = entries.checked_add(u32::try_from(lines).ok()?)?;
        if let Some((hash_at, length)) = text {
            let block = notes.get(notes_at..notes_at.checked_add(17)?.checked_add(length)?)?;
            notes_at += block.len();
            if block[0] == 0 {
                hashes.push((hash_at, *blake3::hash(&block[1..]).as_bytes()));
            }
        }
    }
    for (at, hash) in hashes {
        put(records, at, &hash);
    }
    Some((count, entries))
}

/// Skips over records without decoding them.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Walk<'_> {
    fn skip(&mut self, count: usize) -> Option<Range<usize>> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len())?;
        let skipped = self.at..end;
        self.at = end;
        Some(skipped)
    }

    fn byte(&mut self) -> Option<u8> {
        self.skip(1).map(|at| self.bytes[at.start])
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for place in 0..10 {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn counted(&mut self) -> Option<()> {
        let length = usize::try_from(self.varint()?).ok()?;
        self.skip(length).map(drop)
    }

    /// The number of entries in the next record, and the position of its notes' hash with the
    /// notes' length.
    fn record(&mut self) -> Option<(u64, Option<(usize, usize)>)> {
        let is_long = self.byte()? & 64 != 0;
        let flags = self.byte()?;
        let has = |bit: u8| flags & bit != 0;
        self.varint()?;
        if !is_long {
            self.varint()?;
            self.varint()?;
        }
        self.skip(16 * usize::from(has(1)))?;
        self.skip(16 * usize::from(has(2)))?;
        if has(4) {
            self.varint()?;
        }
        if !is_long {
            return Some((1, None));
        }
        self.skip(16 * usize::from(has(8)))?;
        if has(16) {
            self.counted()?;
            self.skip(16)?;
            self.counted()?;
        }
        if has(32) {
            self.counted()?;
        }
        let mut text = None;
        if has(64) {
            let length = usize::try_from(self.varint()?).ok()?;
            text = Some((self.skip(32)?.start, length));
        }
        let lines = self.varint()?;
        for _ in 0..lines {
            let first = self.byte()?;
            if first >> 6 != 0 {
                self.varint()?;
            }
            self.varint()?;
            if has(128) {
                self.varint()?;
            }
            if first & 63 == LEVEL_OPENED {
                self.varint()?;
                self.varint()?;
            }
        }
        Some((lines, text))
    }
}
