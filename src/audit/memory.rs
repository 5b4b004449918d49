//! The log in memory: the newest entries, as many as the caller asked for.
//!
//! Records lie in chunks. The writer fills the open one and seals it when it is full; a query copies
//! the list of sealed chunks and the open one under a short lock, and scans without it.

use std::collections::{BTreeSet, VecDeque};
use std::mem;
use std::sync::Arc;

use crate::audit::entry::{AuditEntry, EventType};
use crate::audit::pool::BufferPool;
use crate::audit::record::{EntryLine, Header, PlainEntry, Record, is_fact};
use crate::audit::view::{Metadata, Names, View};
use crate::base::clock::Timestamp;
use crate::base::sync::{AtomicU64, Mutex, Ordering, lock};

/// How many entries the log keeps unless the caller says otherwise.
pub(crate) const DEFAULT_RETAINED: u64 = 1_000_000;
/// A chunk is sealed once it holds this many entries.
const CHUNK: usize = 1_024;

/// A record that was written.
#[derive(Clone, Debug)]
enum Stored {
    Plain(PlainEntry),
    Buffered(Arc<StoredRecord>),
}

const _: () = assert!(size_of::<Stored>() == 56);

/// What is kept of a longer record; its buffer went back to the pool.
#[derive(Debug)]
struct StoredRecord {
    header: Header,
    lines: Box<[EntryLine]>,
    metadata: Metadata,
}

impl StoredRecord {
    /// Without the caller's notes: what a journal keeps of it, too.
    fn without_notes(&self) -> Self {
        let facts = self.metadata.iter().filter(|(name, _)| is_fact(&self.lines, name));
        Self { header: self.header, lines: self.lines.clone(), metadata: facts.cloned().collect() }
    }

    fn has_notes(&self) -> bool {
        self.metadata.iter().any(|(name, _)| !is_fact(&self.lines, name))
    }

    /// The number of the request that it decides on, if it decides on one.
    fn decides_on(&self) -> Option<u64> {
        let decides = |line: &EntryLine| line.entry_type == EventType::TransferDecided.into();
        let number = |(name, _): &&(String, String)| name == "transferRequestId";
        let number = self.metadata.iter().find(number).filter(|_| self.lines.iter().any(decides));
        number.and_then(|(_, number)| number.parse().ok())
    }
}

impl Stored {
    fn new(record: Record, pool: &BufferPool) -> Self {
        match record {
            Record::Plain(step) => Self::Plain(step),
            Record::Buffered(mut steps) => {
                let kept = StoredRecord {
                    header: steps.header,
                    lines: steps.lines.as_slice().into(),
                    metadata: steps.metadata.drain(..).collect(),
                };
                pool.give_back(steps);
                Self::Buffered(Arc::new(kept))
            }
        }
    }
}

/// Consecutive records.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    first_sequence: u64,
    entries: u64,
    /// Bounds of the records' times, which can differ a little from the order of the log.
    earliest: Timestamp,
    latest: Timestamp,
    records: Vec<Stored>,
}

impl Chunk {
    fn new(first_sequence: u64, room: Vec<Stored>) -> Self {
        let (earliest, latest) = (Timestamp::MAX, Timestamp::default());
        Self { first_sequence, entries: 0, earliest, latest, records: room }
    }

    fn push(&mut self, record: Stored) {
        let (at, entries) = match &record {
            Stored::Plain(step) => (step.at(), 1),
            Stored::Buffered(kept) => (kept.header.at, kept.lines.len() as u64),
        };
        self.earliest = self.earliest.min(at);
        self.latest = self.latest.max(at);
        self.entries += entries;
        self.records.push(record);
    }

    fn is_full(&self) -> bool {
        self.entries >= CHUNK as u64 || self.records.len() >= CHUNK
    }

    /// The sequence number after its last entry.
    pub(crate) fn end(&self) -> u64 {
        self.first_sequence + self.entries
    }

    /// Whether any entry can lie in these bounds of time, both included.
    pub(crate) fn overlaps(&self, since: Timestamp, until: Timestamp) -> bool {
        self.latest >= since && self.earliest <= until
    }

    /// Its records with notes, each with its first entry's number.
    fn noted(&mut self) -> impl Iterator<Item = (u64, &mut Arc<StoredRecord>)> {
        let mut next = self.first_sequence;
        let records = self.records.iter_mut().map(move |record| {
            let first = next;
            match record {
                Stored::Plain(_) => {
                    next += 1;
                    None
                }
                Stored::Buffered(kept) => {
                    next += kept.lines.len() as u64;
                    Some((first, kept))
                }
            }
        });
        records.flatten().filter(|(_, kept)| kept.has_notes())
    }

    /// Its entries with their sequence numbers, until `each` says to stop.
    pub(crate) fn scan(
        &self,
        mut each: impl FnMut(u64, View<'_>, &Metadata) -> std::ops::ControlFlow<()>,
    ) -> std::ops::ControlFlow<()> {
        let none = Metadata::default();
        let mut sequence = self.first_sequence;
        for record in &self.records {
            match record {
                Stored::Plain(step) => {
                    each(sequence, View::Plain(step), &none)?;
                    sequence += 1;
                }
                Stored::Buffered(kept) => {
                    for line in &kept.lines {
                        each(sequence, View::Line(&kept.header, line), &kept.metadata)?;
                        sequence += 1;
                    }
                }
            }
        }
        std::ops::ControlFlow::Continue(())
    }
}

/// The log.
#[derive(Debug)]
pub(crate) struct MemoryLog {
    retained: u64,
    opened_at: Timestamp,
    state: Mutex<LogState>,
    /// Entries written so far. Relaxed suffices: it is a figure, and the lock hands over the rest.
    written: AtomicU64,
    /// The first entry that this log was ever given. Relaxed: set before anyone else has the log.
    began_at: AtomicU64,
}

#[derive(Debug)]
struct LogState {
    sealed: VecDeque<Arc<Chunk>>,
    open: Chunk,
    /// The latest time of any entry whose chunk is gone.
    latest_gone: Option<Timestamp>,
    /// Room of a chunk that is gone, for the next one.
    spare: Vec<Stored>,
}

/// Records with notes, sorted by whether they were picked.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    /// The first entry of each that was.
    pub(crate) picked: BTreeSet<u64>,
    /// The transfer requests that those decide on.
    pub(crate) decisions: BTreeSet<u64>,
    /// The requests that others decide on.
    pub(crate) told: BTreeSet<u64>,
}

/// The log as it was at one moment.
#[derive(Debug)]
pub(crate) struct LogSnapshot {
    pub(crate) chunks: Vec<Arc<Chunk>>,
    /// The oldest entry that is still shown; may be the one to come.
    pub(crate) oldest: u64,
    /// The sequence number of the next entry.
    pub(crate) next: u64,
    /// Every entry about things that came to be after this moment is in the chunks.
    pub(crate) complete_after: Option<Timestamp>,
}

impl MemoryLog {
    /// An empty log that keeps the newest `retained` entries, for an engine opened at `opened_at`.
    pub(crate) fn new(retained: u64, opened_at: Timestamp) -> Self {
        let state = LogState {
            sealed: VecDeque::new(),
            open: Chunk::new(1, Vec::new()),
            latest_gone: None,
            spare: Vec::new(),
        };
        let (written, began_at) = (AtomicU64::new(0), AtomicU64::new(1));
        Self { retained, opened_at, state: Mutex::new(state), written, began_at }
    }

    /// Appends all of `records`, and gives their buffers back. For the writer alone. The lock is held
    /// for one chunk at a time.
    pub(crate) fn append(&self, records: &mut Vec<Record>, pool: &BufferPool) {
        let mut records = records.drain(..);
        while !records.as_slice().is_empty() {
            let mut state = lock(&self.state);
            while !state.open.is_full()
                && let Some(record) = records.next()
            {
                state.open.push(Stored::new(record, pool));
            }
            let end = state.open.end();
            if state.open.is_full() {
                let mut room = mem::take(&mut state.spare);
                room.reserve_exact(CHUNK);
                let sealed = mem::replace(&mut state.open, Chunk::new(end, room));
                state.sealed.push_back(Arc::new(sealed));
            }
            self.written.store(end - 1, Ordering::Relaxed);
            let gone = self.forget(&mut state, end);
            drop(state);
            self.recycle(gone);
        }
    }

    /// Begins at this entry: those before were written by an earlier run, and the latest of them bears
    /// this time. Before anything is appended.
    pub(crate) fn resume(&self, first_sequence: u64, latest_gone: Option<Timestamp>) {
        let mut state = lock(&self.state);
        debug_assert!(state.open.records.is_empty() && state.sealed.is_empty());
        state.open = Chunk::new(first_sequence, Vec::new());
        state.latest_gone = latest_gone;
        self.began_at.store(first_sequence, Ordering::Relaxed);
        self.written.store(first_sequence - 1, Ordering::Relaxed);
    }

    /// Takes out the chunks of which nothing is shown any more.
    fn forget(&self, state: &mut LogState, end: u64) -> Vec<Arc<Chunk>> {
        let oldest = self.oldest(end);
        let mut gone = Vec::new();
        while state.sealed.front().is_some_and(|chunk| chunk.end() <= oldest)
            && let Some(chunk) = state.sealed.pop_front()
        {
            state.latest_gone = state.latest_gone.max(Some(chunk.latest));
            gone.push(chunk);
        }
        gone
    }

    /// Clears chunks outside the lock, and keeps the room of one that no query holds.
    fn recycle(&self, gone: Vec<Arc<Chunk>>) {
        for chunk in gone.into_iter().filter_map(Arc::into_inner) {
            let mut room = chunk.records;
            room.clear();
            lock(&self.state).spare = room;
        }
    }

    /// The oldest entry shown when `end` is the next.
    fn oldest(&self, end: u64) -> u64 {
        end.saturating_sub(self.retained).max(self.began_at.load(Ordering::Relaxed))
    }

    /// How many entries are shown.
    pub(crate) fn len(&self) -> u64 {
        self.written() + 1 - self.oldest(self.written() + 1)
    }

    /// How many entries were written before those that are shown.
    pub(crate) fn left(&self) -> u64 {
        self.oldest(self.written() + 1) - 1
    }

    /// How many entries were ever written.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// The log at this moment, from the chunk that holds entry `from`. Copies one counter for each
    /// 1,024 entries, and the open chunk, under the lock that the writer takes.
    pub(crate) fn snapshot(&self, from: u64) -> LogSnapshot {
        let state = lock(&self.state);
        let first = state.sealed.partition_point(|chunk| chunk.end() <= from);
        let mut chunks: Vec<_> = state.sealed.range(first..).cloned().collect();
        if !state.open.records.is_empty() {
            chunks.push(Arc::new(state.open.clone()));
        }
        let next = state.open.end();
        LogSnapshot { chunks, oldest: self.oldest(next), next, complete_after: state.latest_gone }
    }

    /// Erases the notes of records, which it is told by their first entries. The writer waits for a
    /// chunk at a time.
    pub(crate) fn erase_notes(&self, of: &BTreeSet<u64>) {
        let mut from = 0;
        while let Some(&first) = of.range(from..).next() {
            let mut state = lock(&self.state);
            let place = state.sealed.partition_point(|chunk| chunk.end() <= first);
            let chunk = match state.sealed.get_mut(place) {
                // A query that looks at it has its own.
                Some(sealed) => Arc::make_mut(sealed),
                None => &mut state.open,
            };
            for (_, kept) in chunk.noted().filter(|(first, _)| of.contains(first)) {
                *kept = Arc::new(kept.without_notes());
            }
            from = chunk.end().max(first + 1);
        }
    }

    /// The first entries of the records with notes of which `wanted` picks an entry; and, of the
    /// requests that those decide on and of the others that any record here does, the numbers.
    pub(crate) fn pick(
        &self,
        names: &dyn Names,
        wanted: &mut dyn FnMut(&AuditEntry) -> bool,
    ) -> Noted {
        let snapshot = self.snapshot(0);
        let mut noted = Noted::default();
        for mut chunk in snapshot.chunks {
            for (first, kept) in Arc::make_mut(&mut chunk).noted() {
                let views = kept.lines.iter().map(|line| View::Line(&kept.header, line));
                let mut entries = views.zip(first..).filter(|(_, at)| *at >= snapshot.oldest);
                if entries.any(|(view, at)| wanted(&view.to_entry(at, names, &kept.metadata))) {
                    noted.picked.insert(first);
                    noted.decisions.extend(kept.decides_on());
                } else {
                    noted.told.extend(kept.decides_on());
                }
            }
        }
        noted
    }

    /// When the engine was opened: the log knows nothing of what was before.
    pub(crate) fn opened_at(&self) -> Timestamp {
        self.opened_at
    }
}
