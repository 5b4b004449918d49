//! Stories: journals that a grammar generates. Every record can be decoded, but may say what cannot
//! be. Each input byte chooses between usual and hostile values: quantities out of bounds, very
//! high slots, extreme times, levels that were never opened, keys with answers of other calls.

use super::seal::{File, JOINED, LEVEL_OPENED, SEALED};

/// The time of the stories, in milliseconds.
pub(crate) const NOW: u64 = 1_000_000;
const QUANTITIES: [u64; 12] =
    [1, 2, 3, 5, 10, 0, 7, 100, (1 << 31) - 1, 1 << 31, u32::MAX as u64, 1 << 40];
const LEVELS: [u64; 8] = [0, 1, 2, 0, 1, 3, 4, u32::MAX as u64];
const SLOTS: [u32; 12] =
    [0, 1, 2, 3, 4, 5, 300, 70_000, (1 << 20) - 2, (1 << 31) - 1, 1 << 24, u32::MAX];
const TIMES: [u64; 8] =
    [NOW, NOW + 1, NOW + 60_000, NOW + (1 << 30), 0, 1, (1 << 42) - 1, u64::MAX];
const NAMES: [&str; 17] = [
    "name",
    "capacity",
    "threshold",
    "setting",
    "value",
    "transferRequestId",
    "outcome",
    "decidedAt",
    "available",
    "room",
    "longest_ttl_ms",
    "reason",
    "decidedBy",
    "customer",
    "",
    "source",
    "inside",
];
const VALUES: [&str; 21] = [
    "1",
    "2",
    "0",
    "SF",
    "NYC",
    "LAPTOP",
    "approved",
    "rejected",
    "failed",
    "none",
    "true",
    "longest_ttl_ms",
    "threshold",
    "suspended",
    "4294967295",
    "2147483648",
    "18446744073709551615",
    "-1",
    "",
    "PHONE",
    "capacity",
];

/// The input, read as one choice at a time. Past its end there are only zeros.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn next(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn of<T: Copy>(&mut self, among: &[T]) -> T {
        among[usize::from(self.next()) % among.len()]
    }
}

/// The journal that is being written.
struct Book {
    files: Vec<File>,
    records: Vec<u8>,
    notes: Vec<u8>,
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn difference(out: &mut Vec<u8>, value: u64, base: u64) {
    let difference = value.wrapping_sub(base).cast_signed();
    varint(out, (difference << 1 ^ difference >> 63).cast_unsigned());
}

fn text(out: &mut Vec<u8>, text: &[u8]) {
    varint(out, text.len() as u64);
    out.extend_from_slice(text);
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, pairs.len() as u64);
    for (name, value) in pairs {
        text(&mut out, name.as_bytes());
        text(&mut out, value.as_bytes());
    }
    out
}

/// An id of version 8 with this slot.
fn id(born: u64, slot: u32, random: u64) -> [u8; 16] {
    let slot = u64::from(slot);
    let high = born << 16 | 8 << 12 | slot >> 20;
    let low = 1 << 63 | (slot & 0xf_ffff) << 42 | random & ((1 << 42) - 1);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&high.to_le_bytes());
    bytes[8..].copy_from_slice(&low.to_le_bytes());
    bytes
}

/// One of a few ids, so that later records refer to earlier ones.
fn some_id(choices: &mut Choices<'_>) -> [u8; 16] {
    let choice = choices.next();
    let slot = SLOTS[usize::from(choice & 15) % SLOTS.len()];
    let born = if choice & 64 == 0 { NOW } else { (1 << 48) - 1 };
    id(born, slot, u64::from(choice >> 4 & 3))
}

impl Book {
    fn event(&mut self, number: u8, about: u8, of: u64, facts: &[(&str, &str)]) {
        let out = &mut self.records;
        out.extend([64, 32]);
        difference(out, NOW, NOW);
        text(out, &pairs(facts));
        out.extend([1, number | about << 6]);
        if about != 0 {
            varint(out, of);
        }
        varint(out, 0);
    }

    /// A usual beginning of a journal: two warehouses, two products, three levels, and stock in
    /// each.
    fn begin(&mut self, choices: &mut Choices<'_>) {
        let capacity = choices.of(&["2147483647", "100", "2147483648", "1"]);
        self.event(32, 0, 0, &[("longest_ttl_ms", "86400000")]);
        for (number, name) in (0..).zip(["SF", "NYC"]) {
            let facts = [("name", name), ("capacity", capacity), ("threshold", "none")];
            self.event(33, 1, number, &facts);
        }
        for (number, name) in (0..).zip(["LAPTOP", "PHONE"]) {
            self.event(34, 2, number, &[("name", name)]);
        }
        for (number, place) in (0..).zip([[0, 0], [1, 0], [0, 1]]) {
            self.event(LEVEL_OPENED, 3, number, &[("x", "y")]);
            place.iter().for_each(|part| varint(&mut self.records, *part));
            let units = choices.of(&QUANTITIES);
            self.records.extend([0, 0, 0]);
            varint(&mut self.records, number);
            varint(&mut self.records, units);
        }
    }

    fn short(&mut self, choices: &mut Choices<'_>) {
        let kind = choices.next();
        // Mostly movements.
        let number = if kind & 64 == 0 { kind % 9 } else { kind % 42 };
        let expired = if number == 3 { kind & 128 } else { 0 };
        let has = choices.next();
        let has = if has & 8 == 0 { has & 7 | 5 } else { has & 7 };
        let at = if has & 16 == 0 { NOW } else { choices.of(&TIMES) };
        let out = &mut self.records;
        out.extend([number | expired, has & 7]);
        difference(out, at, NOW);
        varint(out, choices.of(&LEVELS));
        varint(out, choices.of(&QUANTITIES));
        if has & 1 != 0 {
            out.extend(some_id(choices));
        }
        if has & 2 != 0 {
            out.extend([choices.next(); 16]);
        }
        if has & 4 != 0 {
            difference(out, choices.of(&TIMES), at);
        }
    }

    fn long(&mut self, choices: &mut Choices<'_>) {
        let (first, has) = (choices.next(), choices.next());
        self.records.extend([64 | first & 129, has]);
        difference(&mut self.records, NOW, NOW);
        if has & 1 != 0 {
            self.records.extend(some_id(choices));
        }
        if has & 2 != 0 {
            self.records.extend([choices.next(); 16]);
        }
        if has & 4 != 0 {
            difference(&mut self.records, choices.of(&TIMES), NOW);
        }
        if has & 8 != 0 {
            self.records.extend(some_id(choices));
        }
        if has & 16 != 0 {
            text(&mut self.records, &[choices.next(); 70][..usize::from(choices.next()) % 70]);
            self.records.extend([choices.next(); 16]);
            let answer = [&[choices.next() % 13][..], &[choices.next(); 16]].concat();
            text(&mut self.records, &answer);
        }
        let some_pairs = |choices: &mut Choices<'_>| {
            let count = usize::from(choices.next()) % 5;
            let some: Vec<_> =
                (0..count).map(|_| (choices.of(&NAMES), choices.of(&VALUES))).collect();
            pairs(&some)
        };
        if has & 32 != 0 {
            let facts = some_pairs(choices);
            text(&mut self.records, &facts);
        }
        if has & 64 != 0 {
            let noted = some_pairs(choices);
            varint(&mut self.records, noted.len() as u64);
            // The hash is set right with all the others.
            self.records.extend([0; 32]);
            let erased = choices.next() == 255;
            self.notes.push(u8::from(erased));
            self.notes.extend([if erased { 0 } else { 9 }; 16]);
            self.notes.extend(if erased { vec![0; noted.len()] } else { noted });
        }
        let lines = 1 + choices.next() % 4;
        self.records.push(lines);
        for _ in 0..lines {
            self.line(choices, has & 128 != 0);
        }
    }

    fn line(&mut self, choices: &mut Choices<'_>, others: bool) {
        let kind = choices.next();
        let number = if kind & 32 == 0 { kind % 9 } else { 32 + kind % 10 };
        // Mostly about a level.
        let about = if kind & 64 == 0 { 3 } else { choices.next() & 3 };
        let out = &mut self.records;
        out.push(number | about << 6);
        if about != 0 {
            varint(out, choices.of(&LEVELS));
        }
        varint(out, choices.of(&QUANTITIES));
        if others {
            varint(out, choices.of(&[0, 1, 2, 3, 65_535, 65_536, 65_537]));
        }
        if number == LEVEL_OPENED {
            varint(out, choices.of(&[0, 1, 2, 65_535]));
            varint(out, choices.of(&LEVELS));
        }
    }

    /// Adds the batch to the newest file. Its header is sealed later.
    fn end_batch(&mut self, closed: bool) {
        let Some(file) = self.files.last_mut() else { return };
        let mut header = [0; 104];
        header[4..8].copy_from_slice(&(self.records.len() as u32).to_le_bytes());
        header[8..12].copy_from_slice(&(self.notes.len() as u32).to_le_bytes());
        header[20] = u8::from(closed);
        header[48..56].copy_from_slice(&NOW.to_le_bytes());
        file.bytes.extend(header);
        file.bytes.append(&mut self.records);
        file.bytes.append(&mut self.notes);
    }

    fn begin_file(&mut self) {
        let number = self.files.len() as u8 + 1;
        let mut bytes = vec![0; 136];
        bytes[24] = 1;
        self.files.push(File { number, how: SEALED | JOINED, bytes });
    }
}

/// The journal that these choices generate, before it is sealed.
pub(crate) fn journal(input: &[u8]) -> Vec<File> {
    let mut choices = Choices(input);
    let mut book = Book { files: Vec::new(), records: Vec::new(), notes: Vec::new() };
    book.begin_file();
    book.begin(&mut choices);
    while !choices.0.is_empty() && book.files.len() < 8 {
        match choices.next() % 32 {
            0 => book.end_batch(false),
            1 => {
                book.end_batch(false);
                book.begin_file();
            }
            2..=12 => book.long(&mut choices),
            _ => book.short(&mut choices),
        }
    }
    book.end_batch(false);
    if input.len().is_multiple_of(2) {
        book.end_batch(true);
        // Something behind it, so that the mark is written there.
        book.files.iter_mut().last().into_iter().for_each(|file| file.bytes.push(0));
    }
    book.files
}
