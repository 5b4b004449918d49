//! The log in memory: the newest entries, up to a configured number.
//!
//! Records are in chunks. The writer fills the open chunk, and seals it when it is full. A query
//! copies the list of sealed chunks and the open chunk under a short lock. It scans them without
//! the lock.

use std::collections::{BTreeSet, VecDeque};
use std::mem;
use std::sync::Arc;

use crate::audit::entry::{AuditEntry, EventType};
use crate::audit::pool::BufferPool;
use crate::audit::record::{EntryLine, Header, PlainEntry, Record, is_fact};
use crate::audit::view::{Metadata, Names, RecordView, View};
use crate::base::clock::Timestamp;
use crate::base::sync::{AtomicU64, Mutex, Ordering, lock};
use crate::idempotency::KeyHash;

/// How many entries the log keeps by default.
pub(crate) const DEFAULT_RETAINED: u64 = 1_000_000;
/// A chunk is sealed once it holds at least this many entries.
const CHUNK: usize = 1_024;

/// A written record.
#[derive(Clone, Debug)]
enum Stored {
    Plain(PlainEntry),
    Buffered(Arc<StoredRecord>),
}

const _: () = assert!(size_of::<Stored>() == 56);

/// The contents of a record that was in a buffer. The buffer itself went back to the pool.
#[derive(Debug)]
struct StoredRecord {
    header: Header,
    lines: Box<[EntryLine]>,
    key: Option<KeyHash>,
    metadata: Metadata,
}

impl StoredRecord {
    /// A copy without notes. A redacted journal keeps the same: the facts.
    fn without_notes(&self) -> Self {
        let facts = self.metadata.iter().filter(|(name, _)| is_fact(&self.lines, name));
        let (header, key) = (self.header, self.key);
        Self { header, lines: self.lines.clone(), key, metadata: facts.cloned().collect() }
    }

    fn views(&self) -> impl Iterator<Item = View<'_>> {
        RecordView { header: &self.header, key: self.key }.entries(&self.lines)
    }

    fn has_notes(&self) -> bool {
        self.metadata.iter().any(|(name, _)| !is_fact(&self.lines, name))
    }

    /// The number of the transfer request that the record decides on, if it does.
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
            Record::Plain(entry) => Self::Plain(entry),
            Record::Buffered(mut buffer) => {
                let kept = StoredRecord {
                    header: buffer.header,
                    lines: buffer.lines.as_slice().into(),
                    key: buffer.key.map(|mark| KeyHash::of(mark.key.as_bytes())),
                    metadata: buffer.metadata.drain(..).collect(),
                };
                pool.give_back(buffer);
                Self::Buffered(Arc::new(kept))
            }
        }
    }
}

/// Consecutive records of the log.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    first_sequence: u64,
    entries: u64,
    /// Bounds of the records' times, which can differ a little from the order of the log.
    earliest: Timestamp,
    latest: Timestamp,
    /// What the log says of its records' times once it has dropped them: `latest`, but of records
    /// that an earlier run dated by a clock ahead no more than the time of the opening.
    gone_at: Timestamp,
    records: Vec<Stored>,
}

impl Chunk {
    fn new(first_sequence: u64, room: Vec<Stored>) -> Self {
        let (earliest, latest) = (Timestamp::MAX, Timestamp::default());
        Self { first_sequence, entries: 0, earliest, latest, gone_at: latest, records: room }
    }

    fn push(&mut self, record: Stored) {
        let (at, entries) = match &record {
            Stored::Plain(entry) => (entry.at(), 1),
            Stored::Buffered(kept) => (kept.header.at, kept.lines.len() as u64),
        };
        self.earliest = self.earliest.min(at);
        self.latest = self.latest.max(at);
        self.gone_at = self.gone_at.max(at);
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

    /// Whether an entry can be within these times, both included.
    pub(crate) fn overlaps(&self, since: Timestamp, until: Timestamp) -> bool {
        self.latest >= since && self.earliest <= until
    }

    /// The records with notes, each with the sequence number of its first entry.
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

    /// Calls `each` for every entry with its sequence number, until `each` returns `Break`.
    pub(crate) fn scan(
        &self,
        mut each: impl FnMut(u64, View<'_>, &Metadata) -> std::ops::ControlFlow<()>,
    ) -> std::ops::ControlFlow<()> {
        let none = Metadata::default();
        let mut sequence = self.first_sequence;
        for record in &self.records {
            match record {
                Stored::Plain(entry) => {
                    each(sequence, View::Plain(entry), &none)?;
                    sequence += 1;
                }
                Stored::Buffered(kept) => {
                    for view in kept.views() {
                        each(sequence, view, &kept.metadata)?;
                        sequence += 1;
                    }
                }
            }
        }
        std::ops::ControlFlow::Continue(())
    }
}

/// The log in memory. The audit writer appends, and any thread reads.
#[derive(Debug)]
pub(crate) struct MemoryLog {
    retained: u64,
    opened_at: Timestamp,
    state: Mutex<LogState>,
    /// The sequence number of the newest written entry. Relaxed suffices: it is only a figure, and
    /// the lock hands over the entries.
    written: AtomicU64,
    /// The sequence number at which this log began. Relaxed suffices: it is set before another
    /// thread has the log.
    began_at: AtomicU64,
}

#[derive(Debug)]
struct LogState {
    sealed: VecDeque<Arc<Chunk>>,
    open: Chunk,
    /// The latest time of any entry that was dropped, or that an earlier run wrote.
    latest_evicted: Option<Timestamp>,
    /// The memory of a dropped chunk, for the next one.
    spare: Vec<Stored>,
}

/// The result of [`MemoryLog::pick`]: records with notes, and the transfer requests they decide on.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    /// The sequence number of the first entry of each picked record.
    pub(crate) picked: BTreeSet<u64>,
    /// The transfer requests that picked records decide on.
    pub(crate) decisions: BTreeSet<u64>,
    /// The transfer requests that records which were not picked decide on.
    pub(crate) told: BTreeSet<u64>,
}

/// The log as it was at one moment.
#[derive(Debug)]
pub(crate) struct LogSnapshot {
    pub(crate) chunks: Vec<Arc<Chunk>>,
    /// The sequence number of the oldest entry that is shown. Equals `next` if none is.
    pub(crate) oldest: u64,
    /// The sequence number of the next entry.
    pub(crate) next: u64,
    /// The latest time of any entry that is not in the log any more. All entries about a hold that
    /// was created after it are still there.
    pub(crate) latest_evicted: Option<Timestamp>,
}

impl MemoryLog {
    /// An empty log that keeps the newest `retained` entries. It has no entries about anything
    /// before `opened_at`.
    pub(crate) fn new(retained: u64, opened_at: Timestamp) -> Self {
        let state = LogState {
            sealed: VecDeque::new(),
            open: Chunk::new(1, Vec::new()),
            latest_evicted: None,
            spare: Vec::new(),
        };
        let (written, began_at) = (AtomicU64::new(0), AtomicU64::new(1));
        Self { retained, opened_at, state: Mutex::new(state), written, began_at }
    }

    /// Appends all of `records`, and gives their buffers back to the pool. Only the writer calls
    /// this. It holds the lock for one chunk at a time, so that readers get in between.
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
            let evicted = self.evict(&mut state, end);
            drop(state);
            self.recycle(evicted);
        }
    }

    /// Begins at this sequence number: an earlier run wrote the entries before, and
    /// `latest_evicted` is the latest time of any of them. Call it before anything is appended.
    pub(crate) fn resume(&self, first_sequence: u64, latest_evicted: Option<Timestamp>) {
        let mut state = lock(&self.state);
        debug_assert!(state.open.records.is_empty() && state.sealed.is_empty());
        state.open = Chunk::new(first_sequence, Vec::new());
        state.latest_evicted = latest_evicted;
        self.began_at.store(first_sequence, Ordering::Relaxed);
        self.written.store(first_sequence - 1, Ordering::Relaxed);
    }

    /// Notes that nothing appended so far happened later than `latest`, whatever clock dated it.
    /// Call it before another thread has the log.
    pub(crate) fn settle(&self, latest: Timestamp) {
        let mut state = lock(&self.state);
        state.latest_evicted = state.latest_evicted.map(|evicted| evicted.min(latest));
        state.open.gone_at = state.open.gone_at.min(latest);
        for chunk in &mut state.sealed {
            let chunk = Arc::make_mut(chunk);
            chunk.gone_at = chunk.gone_at.min(latest);
        }
    }

    /// Takes out the chunks with no entry that is still shown.
    fn evict(&self, state: &mut LogState, end: u64) -> Vec<Arc<Chunk>> {
        let oldest = self.oldest(end);
        let mut evicted = Vec::new();
        while state.sealed.front().is_some_and(|chunk| chunk.end() <= oldest)
            && let Some(chunk) = state.sealed.pop_front()
        {
            state.latest_evicted = state.latest_evicted.max(Some(chunk.gone_at));
            evicted.push(chunk);
        }
        evicted
    }

    /// Clears chunks outside the lock, and keeps the memory of one that no query holds.
    fn recycle(&self, evicted: Vec<Arc<Chunk>>) {
        for chunk in evicted.into_iter().filter_map(Arc::into_inner) {
            let mut room = chunk.records;
            room.clear();
            lock(&self.state).spare = room;
        }
    }

    /// The sequence number of the oldest entry that is shown when `end` is the next one.
    fn oldest(&self, end: u64) -> u64 {
        end.saturating_sub(self.retained).max(self.began_at.load(Ordering::Relaxed))
    }

    /// How many entries are shown.
    pub(crate) fn len(&self) -> u64 {
        self.written() + 1 - self.oldest(self.written() + 1)
    }

    /// How many entries are older than those that are shown.
    pub(crate) fn left(&self) -> u64 {
        self.oldest(self.written() + 1) - 1
    }

    /// The sequence number of the newest written entry. Earlier runs count as well.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// The log at this moment, from the chunk that holds entry `from`. Under the lock, which the
    /// writer needs too, it clones one `Arc` for each chunk of about 1,024 entries, and copies the
    /// open chunk.
    pub(crate) fn snapshot(&self, from: u64) -> LogSnapshot {
        let state = lock(&self.state);
        let first = state.sealed.partition_point(|chunk| chunk.end() <= from);
        let mut chunks: Vec<_> = state.sealed.range(first..).cloned().collect();
        if !state.open.records.is_empty() {
            chunks.push(Arc::new(state.open.clone()));
        }
        let next = state.open.end();
        LogSnapshot {
            chunks,
            oldest: self.oldest(next),
            next,
            latest_evicted: state.latest_evicted,
        }
    }

    /// Erases the notes of records. `of` has the sequence numbers of their first entries. It holds
    /// the lock for one chunk at a time, so that the writer gets in between.
    pub(crate) fn erase_notes(&self, of: &BTreeSet<u64>) {
        let mut from = 0;
        while let Some(&first) = of.range(from..).next() {
            let mut state = lock(&self.state);
            let place = state.sealed.partition_point(|chunk| chunk.end() <= first);
            let chunk = match state.sealed.get_mut(place) {
                // A query that still reads this chunk keeps its own copy.
                Some(sealed) => Arc::make_mut(sealed),
                None => &mut state.open,
            };
            for (_, kept) in chunk.noted().filter(|(first, _)| of.contains(first)) {
                *kept = Arc::new(kept.without_notes());
            }
            from = chunk.end().max(first + 1);
        }
    }

    /// Picks each record with notes of which `wanted` accepts at least one shown entry. Also
    /// returns the numbers of the transfer requests that these records, and the records not picked,
    /// decide on.
    pub(crate) fn pick(
        &self,
        names: &dyn Names,
        wanted: &mut dyn FnMut(&AuditEntry) -> bool,
    ) -> Noted {
        let snapshot = self.snapshot(0);
        let mut noted = Noted::default();
        for mut chunk in snapshot.chunks {
            for (first, kept) in Arc::make_mut(&mut chunk).noted() {
                let mut entries =
                    kept.views().zip(first..).filter(|(_, at)| *at >= snapshot.oldest);
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

    /// The log has no entries about anything before this moment.
    pub(crate) fn opened_at(&self) -> Timestamp {
        self.opened_at
    }
}
