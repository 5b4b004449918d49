mod crash;
mod damage;
mod look_ups;
mod measured;
mod model;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::audit::record::{KeyMark, ShortBytes};
use crate::base::clock::Timestamp;
use crate::base::error::JournalError;
use crate::base::sync::lock;
use crate::journal::format::segment::{Point, SegmentHeader, name_of};
use crate::journal::layout::{Layout, PathSegment};
use crate::journal::ledger::holds::Standing;
use crate::journal::outcomes::builder::OutcomesBuilder;
use crate::journal::outcomes::foot::SegmentRange;
use crate::journal::outcomes::record::{
    EndedLine, JournalTime, Kept, KeptAnswer, ReservationOutcome, RetakenAs,
};
use crate::journal::outcomes::run::DiskUse;
use crate::journal::outcomes::store::{OutcomeLimits, OutcomeLookup, Outcomes};
use crate::journal::storage::pass_on::pass_on;
use crate::journal::storage::simulated::SimulatedDisk;
use crate::journal::storage::{Storage, StorageFile};
use crate::reservation::id::{Owner, ReservationId};
use crate::stock::handle::LevelIndex;

/// The journal's number.
const JOURNAL: u128 = 7;
/// How long records are kept, in these tests.
const KEEP: u64 = 1_000;

/// The end of segment `number`, from 1 on.
fn point(number: u64) -> Point {
    match number {
        0 => Point::START,
        _ => Point {
            batch: 10 * number,
            sequence: 100 * number,
            hash: [number as u8; 32],
            segment: number,
            length: 500,
        },
    }
}

fn range(number: u64) -> SegmentRange {
    SegmentRange { first: number, base: point(number - 1), end: point(number) }
}

/// A journal of this many finished segments, and one that is being written.
fn layout(finished: u64) -> Layout {
    let path = (1..=finished + 1).map(|number| {
        let base = point(number - 1);
        let header = SegmentHeader { number, journal: JOURNAL, base, ..SegmentHeader::default() };
        PathSegment { name: name_of(number), header, limit: u64::MAX }
    });
    Layout { path: path.collect(), newest: finished + 1, ..Layout::default() }
}

fn limits(memory: usize) -> OutcomeLimits {
    OutcomeLimits { keep: Duration::from_millis(KEEP), memory }
}

fn open_with(storage: Arc<dyn Storage>, finished: u64, memory: usize) -> Outcomes {
    Outcomes::open(storage, &layout(finished), (JOURNAL, 1), limits(memory))
        .expect("a working disk")
}

fn open(disk: &SimulatedDisk, finished: u64) -> Outcomes {
    open_with(Arc::new(disk.clone()), finished, usize::MAX)
}

fn time(millis: u64) -> JournalTime {
    JournalTime::from_millis(millis)
}

fn id(name: u64) -> ReservationId {
    ReservationId::new(Timestamp::from_millis(1_000_000 + name), name as u32, name)
}

fn key_of(name: u64) -> KeyMark {
    answer(name, 0)
}

/// The key of this name, with an answer that tells `value`.
fn answer(name: u64, value: u64) -> KeyMark {
    let answer = [&[1][..], &u128::from(value).to_le_bytes()].concat();
    KeyMark {
        key: ShortBytes::new(format!("buyer-{name}@example.com").as_bytes()).expect("short"),
        fingerprint: u128::from(name) << 64,
        answer: ShortBytes::new(&answer).expect("short"),
    }
}

fn kept_answer(name: u64, value: u64, millis: u64) -> Kept<KeptAnswer> {
    let KeyMark { fingerprint, answer, .. } = answer(name, value);
    let at = Timestamp::from_millis(millis);
    Kept { time: time(millis), value: KeptAnswer { at, fingerprint, answer } }
}

/// An outcome with `value` lines, some of them with an owner.
fn outcome(name: u64, value: u64, millis: u64) -> ReservationOutcome {
    let line = |level| EndedLine {
        level: LevelIndex(level as u32),
        sold: name as u32,
        taken_out: value as u32 % 2,
        left: value as u32,
        settled: 0,
    };
    ReservationOutcome {
        ended_at: Timestamp::from_millis(millis),
        standing: [Standing::Confirmed, Standing::Released, Standing::Expired][value as usize % 3],
        opening: value,
        owner: value.is_multiple_of(2).then_some(Owner([name as u8; 16])),
        retaken_from: value.is_multiple_of(5).then(|| id(value)),
        keep: value.is_multiple_of(3),
        lines: (0..=value).map(line).collect(),
        draws_given_back: Vec::new(),
    }
}

/// Adds one record of each kind.
fn add_each(builder: &mut OutcomesBuilder, name: u64, value: u64, millis: u64) {
    let at = Timestamp::from_millis(millis);
    builder.answered(time(millis), &answer(name, value), at);
    builder.ended(time(millis), id(name), &outcome(name, value, millis));
    builder.retaken(time(millis), id(name), &RetakenAs { at, id: id(value) });
}

/// What the look-ups of all three kinds find, if they agree; else what the first found.
fn found(outcomes: &Outcomes, name: u64) -> OutcomeLookup<(u64, u64)> {
    let key = key_of(name);
    let answer = outcomes.answer_of(outcomes.mark_of(key.key.as_bytes()), 0, DiskUse::MayRead);
    let outcome = outcomes.outcome_of(id(name), DiskUse::MayRead).expect("a working disk");
    let retake = outcomes.retake_of(id(name), 0, DiskUse::MayRead).expect("a working disk");
    match answer.expect("a working disk") {
        OutcomeLookup::Found(kept) => {
            let bytes = kept.value.answer.as_bytes();
            let value = u64::from_le_bytes(bytes[1..9].try_into().expect("eight bytes"));
            let millis = kept.time.as_millis();
            assert_eq!(kept, kept_answer(name, value, millis));
            let value_then = self::outcome(name, value, millis);
            let then = OutcomeLookup::Found(Kept { time: time(millis), value: value_then });
            assert_eq!(outcome, then);
            let by = RetakenAs { at: Timestamp::from_millis(millis), id: id(value) };
            let then = OutcomeLookup::Found(Kept { time: time(millis), value: by });
            assert_eq!(retake, then);
            OutcomeLookup::Found(Kept { time: time(millis), value: (name, value) })
        }
        OutcomeLookup::Absent => {
            assert_eq!((outcome, retake), (OutcomeLookup::Absent, OutcomeLookup::Absent));
            OutcomeLookup::Absent
        }
        // The other kinds may be found before the gap is met.
        OutcomeLookup::Incomplete => OutcomeLookup::Incomplete,
        OutcomeLookup::NeedsDisk => OutcomeLookup::NeedsDisk,
    }
}

fn found_value(name: u64, value: u64, millis: u64) -> OutcomeLookup<(u64, u64)> {
    OutcomeLookup::Found(Kept { time: time(millis), value: (name, value) })
}

/// Installs segment `number`, with one name: its own number.
fn install(outcomes: &Outcomes, number: u64, millis: u64) -> Result<(), JournalError> {
    let mut builder = outcomes.builder();
    add_each(&mut builder, number, number % 7, millis);
    outcomes.install(range(number), &builder, time(millis))
}

/// Called before a file is created.
type CreateHook = Box<dyn FnMut() + Send>;

/// A disk that counts reads, fails them on command, and tells when a file is created.
#[derive(Default)]
struct WatchedDisk {
    disk: SimulatedDisk,
    reads: Mutex<Vec<u64>>,
    fails: Mutex<bool>,
    on_create: Mutex<Option<CreateHook>>,
}

impl WatchedDisk {
    /// How many bytes each read since the last call returned.
    fn take_reads(&self) -> Vec<u64> {
        std::mem::take(&mut *lock(&self.reads))
    }
}

impl Storage for WatchedDisk {
    pass_on!(disk: lock list rename remove sync_directory);

    fn read(&self, name: &str, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        if *lock(&self.fails) {
            return Err(io::Error::other("the disk fails"));
        }
        let bytes = self.disk.read(name, offset, length)?;
        lock(&self.reads).push(bytes.len() as u64);
        Ok(bytes)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        // A hook that creates files itself is not called for these.
        if let Ok(mut hook) = self.on_create.try_lock()
            && let Some(hook) = &mut *hook
        {
            hook();
        }
        self.disk.create(name)
    }
}
