//! The log in memory: the newest entries, up to a configured number.
//!
//! Records are in chunks. The writer fills the open chunk, and seals it when it is full. A query
//! copies the list of sealed chunks and the open chunk under a short lock. It scans them without
//! the lock.

use std::collections::{BTreeSet, VecDeque};
use std::mem;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::audit::entry::{AuditEntry, EventType};
use crate::audit::packed::{Unpacked, pack};
use crate::audit::pool::BufferPool;
use crate::audit::record::{EntryLine, PlainEntry, Record, RecordBuf, is_fact};
use crate::audit::view::{Metadata, Names, RecordView, View};
use crate::base::bytes::Cursor;
use crate::base::clock::Timestamp;
use crate::base::sync::{AtomicU64, Mutex, Ordering, lock};
use crate::idempotency::KeyHash;

/// How many entries the log keeps by default.
pub(crate) const DEFAULT_RETAINED: u64 = 1_000_000;
/// A chunk is sealed once it holds at least this many entries.
const CHUNK: usize = 1_024;

/// A chunk is sealed, too, once its packed records have so many bytes: a query copies the open one.
const CHUNK_BYTES: usize = 1 << 17;

/// The records of a chunk: plain entries as they are, and all others packed.
#[derive(Clone, Debug, Default)]
struct Records {
    /// Of each record, whether it is packed.
    order: Vec<bool>,
    plain: Vec<PlainEntry>,
    packed: Vec<u8>,
}

impl Records {
    /// Empty, with room for as much again.
    fn emptied(mut self) -> Self {
        self.order.clear();
        self.plain.clear();
        self.packed.clear();
        self
    }

    /// Empty, with room for as much as `other` has.
    fn with_room_of(mut self, other: &Self) -> Self {
        self.order.reserve_exact(other.order.len());
        self.plain.reserve_exact(other.plain.len());
        self.packed.reserve_exact(other.packed.len());
        self
    }

    /// Gives back memory that was got in advance, if it is more than an eighth.
    fn trimmed(mut self) -> Self {
        if self.packed.capacity() > self.packed.len() / 8 * 9 {
            self.packed.shrink_to_fit();
        }
        if self.plain.capacity() > self.plain.len() / 8 * 9 {
            self.plain.shrink_to_fit();
        }
        self
    }
}

/// A record of a chunk, as a reader sees it.
enum Seen<'a> {
    Plain(&'a PlainEntry),
    Unpacked(&'a Unpacked),
}

impl Unpacked {
    fn is_fact(&self, name: &str) -> bool {
        is_fact(&self.lines, name)
    }

    fn has_notes(&self) -> bool {
        self.pairs().iter().any(|(name, _)| !self.is_fact(name))
    }

    /// The number of the transfer request that the record decides on, if it does.
    fn decides_on(&self) -> Option<u64> {
        let decides = |line: &EntryLine| line.entry_type == EventType::TransferDecided.into();
        let number = |(name, _): &(&str, &str)| *name == "transferRequestId";
        let number = self.pairs().iter().find(number).filter(|_| self.lines.iter().any(decides));
        number.and_then(|(_, number)| number.parse().ok())
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
    /// The moment from which those of packed records are counted: that of the first record.
    base: Timestamp,
    records: Records,
}

impl Chunk {
    fn new(first_sequence: u64, room: Records) -> Self {
        let (earliest, latest) = (Timestamp::MAX, Timestamp::default());
        let (gone_at, base) = (latest, latest);
        Self { first_sequence, entries: 0, earliest, latest, gone_at, base, records: room }
    }

    fn push(&mut self, record: Record, pool: &BufferPool) {
        let (at, entries) = (record.at(), record.entries());
        if self.entries == 0 {
            self.base = at;
        }
        self.earliest = self.earliest.min(at);
        self.latest = self.latest.max(at);
        self.gone_at = self.gone_at.max(at);
        self.entries += entries;
        self.records.order.push(matches!(record, Record::Buffered(_)));
        match record {
            Record::Plain(entry) => self.records.plain.push(entry),
            Record::Buffered(buffer) => {
                let key = buffer.key.map(|mark| KeyHash::of(mark.key.as_bytes()));
                let RecordBuf { header, lines, draws, metadata, .. } = &*buffer;
                let record = RecordView { header, key, draws };
                pack(&mut self.records.packed, self.base, record, lines, metadata.iter());
                pool.give_back(buffer);
            }
        }
    }

    fn is_full(&self) -> bool {
        self.entries >= CHUNK as u64
            || self.records.order.len() >= CHUNK
            || self.records.packed.len() >= CHUNK_BYTES
    }

    /// The sequence number after its last entry.
    pub(crate) fn end(&self) -> u64 {
        self.first_sequence + self.entries
    }

    /// Whether an entry can be within these times, both included.
    pub(crate) fn overlaps(&self, since: Timestamp, until: Timestamp) -> bool {
        self.latest >= since && self.earliest <= until
    }

    /// Calls `each` for every record with the sequence number of its first entry, until `each`
    /// returns `Break`.
    fn visit(&self, mut each: impl FnMut(u64, Seen<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
        let mut plain = self.records.plain.iter();
        let (mut packed, mut unpacked) = (Cursor::new(&self.records.packed), Unpacked::default());
        let mut sequence = self.first_sequence;
        for is_packed in &self.records.order {
            if *is_packed {
                let read = unpacked.read(&mut packed, self.base);
                debug_assert!(read.is_some(), "what was packed can be unpacked");
                each(sequence, Seen::Unpacked(&unpacked))?;
                sequence += unpacked.lines.len() as u64;
            } else if let Some(entry) = plain.next() {
                each(sequence, Seen::Plain(entry))?;
                sequence += 1;
            }
        }
        ControlFlow::Continue(())
    }

    /// Calls `each` for every record with notes, with the sequence number of its first entry.
    fn visit_noted(&self, mut each: impl FnMut(u64, &Unpacked)) {
        let _ = self.visit(|first, seen| {
            if let Seen::Unpacked(record) = seen
                && record.has_notes()
            {
                each(first, record);
            }
            ControlFlow::Continue(())
        });
    }

    /// Erases the notes of these records, so that only their facts are left. A redacted journal
    /// keeps the same.
    fn erase_notes(&mut self, of: &BTreeSet<u64>) {
        let mut packed = Vec::with_capacity(self.records.packed.len());
        let _ = self.visit(|first, seen| {
            if let Seen::Unpacked(record) = seen {
                let erased = of.contains(&first);
                record.pack_with(&mut packed, self.base, |name| !erased || record.is_fact(name));
            }
            ControlFlow::Continue(())
        });
        // As far as this thread can see to it: nothing of what was erased stays in memory that is
        // given back. What the allocator had from earlier growth, and buffers of the pool, may have
        // some until they are used again.
        self.records.packed.fill(0);
        self.records.packed = packed;
    }

    /// Calls `each` for every entry with its sequence number, and what makes the metadata of its
    /// record, until `each` returns `Break`.
    pub(crate) fn scan(
        &self,
        mut each: impl FnMut(u64, View<'_>, &dyn Fn() -> Metadata) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        self.visit(|first, seen| match seen {
            Seen::Plain(entry) => each(first, View::Plain(entry), &Metadata::default),
            Seen::Unpacked(record) => record
                .views()
                .zip(first..)
                .try_for_each(|(view, at)| each(at, view, &|| Metadata::clone(record.metadata()))),
        })
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
    spare: Records,
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
            open: Chunk::new(1, Records::default()),
            latest_evicted: None,
            spare: Records::default(),
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
                state.open.push(record, pool);
            }
            let end = state.open.end();
            if state.open.is_full() {
                // The next chunk will be like this one.
                let room = mem::take(&mut state.spare).with_room_of(&state.open.records);
                let mut sealed = mem::replace(&mut state.open, Chunk::new(end, room));
                sealed.records = sealed.records.trimmed();
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
        debug_assert!(state.open.entries == 0 && state.sealed.is_empty());
        state.open = Chunk::new(first_sequence, Records::default());
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
            let room = chunk.records.emptied();
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
        if state.open.entries > 0 {
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
            chunk.erase_notes(of);
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
        for chunk in snapshot.chunks {
            chunk.visit_noted(|first, record| {
                let shown = record.views().zip(first..).filter(|(_, at)| *at >= snapshot.oldest);
                let metadata = record.metadata();
                let mut entries = shown.map(|(view, at)| view.to_entry(at, names, metadata));
                if entries.any(|entry| wanted(&entry)) {
                    noted.picked.insert(first);
                    noted.decisions.extend(record.decides_on());
                } else {
                    noted.told.extend(record.decides_on());
                }
            });
        }
        noted
    }

    /// The log has no entries about anything before this moment.
    pub(crate) fn opened_at(&self) -> Timestamp {
        self.opened_at
    }
}
