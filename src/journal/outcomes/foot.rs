//! The name of a run's file, and its last page, the *foot*: which segments the run covers, and
//! where its parts lie. It comes last because a run is written in one go, and its size is known
//! only at the end.

use crate::base::bytes::Cursor;
use crate::base::error::JournalError;
use crate::journal::format::segment::{Point, UNFINISHED};
use crate::journal::layout::{damaged, failed};
use crate::journal::outcomes::page::{self, PAGE, PAYLOAD};
use crate::journal::outcomes::record::JournalTime;
use crate::journal::storage::Storage;

const MAGIC: [u8; 8] = *b"STKOUTCM";
/// The format version that this library writes, and the only one that it reads. A file of another
/// version is made anew from the segments.
const VERSION: u16 = 2;
const EXTENSION: &str = ".outcomes";
/// The seed of the foot's checksum. The file's own stamp stands in the foot.
const FOOT_SEED: u64 = u64::from_le_bytes(MAGIC);

/// The segments that a run covers, from the first to the one in which `end` lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SegmentRange {
    /// The number of the first segment.
    pub(crate) first: u64,
    /// The point that the first segment continues from.
    pub(crate) base: Point,
    /// The end of the last segment: the point that the next one continues from.
    pub(crate) end: Point,
}

/// Whether two points are one place of the chain. How a segment's file names its end may differ.
pub(crate) fn is_same_place(one: &Point, other: &Point) -> bool {
    (one.batch, one.sequence, one.hash) == (other.batch, other.sequence, other.hash)
}

impl SegmentRange {
    /// The file name of the run that covers these segments.
    pub(super) fn name(&self) -> String {
        format!("{:010}.{:010}{EXTENSION}", self.first, self.end.segment)
    }
}

/// Whether this is the name of a finished run.
pub(crate) fn is_run(name: &str) -> bool {
    let numbers = name.strip_suffix(EXTENSION).and_then(|numbers| numbers.split_once('.'));
    numbers.is_some_and(|(first, last)| {
        let (first, last) = (first.parse::<u64>(), last.parse::<u64>());
        first.is_ok_and(|first| {
            last.is_ok_and(|last| {
                let end = Point { segment: last, ..Point::START };
                first <= last
                    && SegmentRange { first, end, ..SegmentRange::default() }.name() == name
            })
        })
    })
}

/// The name of a run that is still being written. It bears the number of the opening, so it never
/// collides with one that another process writes after it has taken over.
pub(super) fn unfinished(name: &str, opening: u64) -> String {
    format!("{name}.{opening}{UNFINISHED}")
}

/// Whether this is the name of an unfinished run.
pub(super) fn is_unfinished(name: &str) -> bool {
    let name = name.strip_suffix(UNFINISHED).and_then(|name| name.rsplit_once('.'));
    name.is_some_and(|(name, _)| is_run(name))
}

/// What a run says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RunFoot {
    pub(crate) journal: u128,
    /// The number of the opening that wrote it.
    pub(crate) opening: u64,
    /// Counts the written runs of a journal. The greatest one's `since` holds.
    pub(crate) serial: u64,
    /// How often its records have been merged.
    pub(crate) level: u8,
    pub(crate) range: SegmentRange,
    /// Where the oldest run began when this one was written. What is older has had its time.
    pub(crate) since: Point,
    pub(crate) entries: u64,
    /// The journal times of the oldest and the newest record.
    pub(crate) oldest: JournalTime,
    pub(crate) newest: JournalTime,
    /// How many pages of records, and how many parts.
    pub(crate) record_pages: u32,
    pub(crate) parts: u32,
    /// The page at which the index begins.
    pub(crate) index_at: u64,
}

impl RunFoot {
    /// A number that only this file has. All its pages but the foot are sealed with it.
    pub(super) fn stamp(&self) -> u64 {
        let numbers = [self.opening, self.serial, self.range.first, self.range.end.segment];
        let mut bytes = self.journal.to_le_bytes().to_vec();
        numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
        bytes.extend_from_slice(&self.range.end.hash);
        xxhash_rust::xxh3::xxh3_64(&bytes)
    }

    /// The foot as a page.
    pub(super) fn to_page(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(PAYLOAD);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&(PAGE as u16).to_le_bytes());
        out.extend_from_slice(&[self.level, 0, 0, 0]);
        out.extend_from_slice(&self.journal.to_le_bytes());
        let range = self.range;
        [self.opening, self.serial, range.first].iter().for_each(|it| put(&mut out, *it));
        [range.base, range.end, self.since].iter().for_each(|it| put_point(&mut out, it));
        let (oldest, newest) = (self.oldest.as_millis(), self.newest.as_millis());
        [self.entries, oldest, newest].iter().for_each(|it| put(&mut out, *it));
        out.extend_from_slice(&self.record_pages.to_le_bytes());
        out.extend_from_slice(&self.parts.to_le_bytes());
        put(&mut out, self.index_at);
        let mut page = Vec::with_capacity(PAGE);
        page::seal(&mut page, &out, FOOT_SEED);
        page
    }

    fn from_payload(payload: &[u8]) -> Option<Self> {
        let from = &mut Cursor::new(payload);
        let (magic, version, size) = (from.array()?, from.u16()?, from.u16()?);
        let [level, ..] = from.array::<4>()?;
        let known = magic == MAGIC && version == VERSION && usize::from(size) == PAGE;
        let foot = Self {
            level,
            journal: from.u128()?,
            opening: from.u64()?,
            serial: from.u64()?,
            range: SegmentRange {
                first: from.u64()?,
                base: read_point(from)?,
                end: read_point(from)?,
            },
            since: read_point(from)?,
            entries: from.u64()?,
            oldest: JournalTime::from_millis(from.u64()?),
            newest: JournalTime::from_millis(from.u64()?),
            record_pages: from.u32()?,
            parts: from.u32()?,
            index_at: from.u64()?,
        };
        known.then_some(foot)
    }

    /// Reads the foot of a finished run, and the number of its page.
    ///
    /// # Errors
    /// [`JournalError::Damaged`]; [`JournalError::Storage`].
    pub(super) fn read(storage: &dyn Storage, name: &str) -> Result<(Self, u64), JournalError> {
        let wrong = |offset, what: &str| damaged(name, offset, what.to_owned());
        let length = storage.length(name).map_err(|error| failed("read", name, &error))?;
        let last = (length / PAGE as u64).checked_sub(1);
        let last = last.filter(|_| length.is_multiple_of(PAGE as u64));
        let last = last.ok_or_else(|| wrong(length, "a file that ends within a page"))?;
        let offset = last * PAGE as u64;
        let bytes = storage.read(name, offset, PAGE as u64);
        let bytes = bytes.map_err(|error| failed("read", name, &error))?;
        let foot = page::unseal(&bytes, FOOT_SEED).and_then(Self::from_payload);
        let foot = foot.ok_or_else(|| wrong(offset, "an unreadable foot of an outcome file"))?;
        if foot.range.name() != name {
            return Err(wrong(offset, "an outcome file of other segments"));
        }
        Ok((foot, last))
    }
}

fn put(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_point(out: &mut Vec<u8>, point: &Point) {
    put(out, point.batch);
    put(out, point.sequence);
    out.extend_from_slice(&point.hash);
    put(out, point.segment);
    put(out, point.length);
}

fn read_point(from: &mut Cursor<'_>) -> Option<Point> {
    Some(Point {
        batch: from.u64()?,
        sequence: from.u64()?,
        hash: from.array()?,
        segment: from.u64()?,
        length: from.u64()?,
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::journal::storage::simulated::SimulatedDisk;

    fn point(number: u64) -> Point {
        Point { batch: number, sequence: 3, hash: [4; 32], segment: number, length: 6 }
    }

    #[test]
    fn a_foot_is_read_back_and_no_flipped_bit_goes_unseen() {
        let foot = RunFoot {
            journal: 1,
            opening: 2,
            serial: 3,
            level: 4,
            range: SegmentRange { first: 5, base: point(4), end: point(6) },
            since: point(7),
            entries: 8,
            oldest: JournalTime::from_millis(9),
            newest: JournalTime::from_millis(10),
            record_pages: 11,
            parts: 12,
            index_at: 13,
        };
        let (name, page) = (foot.range.name(), foot.to_page());
        let read = |name: &str, bytes: &[u8]| {
            let disk = SimulatedDisk::with_files([(name.to_owned(), bytes.to_vec())]);
            RunFoot::read(&disk, name)
        };
        assert_eq!(read(&name, &page), Ok((foot, 0)));
        for bit in 0..PAGE * 8 {
            let mut flipped = page.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&name, &flipped).is_err(), "bit {bit}");
        }
        assert!(read(&name, &page[..PAGE - 1]).is_err() && read(&name, &[]).is_err());
        assert!(read("0000000005.0000000007.outcomes", &page).is_err(), "another one's name");
        assert_ne!(foot.stamp(), RunFoot { serial: 4, ..foot }.stamp());
    }

    #[test]
    fn a_file_has_one_name() {
        let range = SegmentRange { first: 5, base: point(4), end: point(6) };
        assert!(is_run(&range.name()) && is_unfinished(&unfinished(&range.name(), 3)));
        for other in ["5.6.outcomes", "0000000006.0000000005.outcomes", "0000000005.outcomes", "x"]
        {
            assert!(!is_run(other) && !is_unfinished(other), "{other}");
        }
        assert!(!is_run(&unfinished(&range.name(), 3)) && !is_unfinished("0000000005.journal.new"));
    }
}
