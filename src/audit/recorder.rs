//! The recorder: what the floors above call to have something written.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crate::audit::flush::Flush;
use crate::audit::gate::Gate;
use crate::audit::log::AuditLog;
use crate::audit::memory::{DEFAULT_RETAINED, MemoryLog};
use crate::audit::pool::BufferPool;
use crate::audit::queue::{AuditQueue, Backpressure, DEFAULT_CAPACITY, NotAdmitted, Waits};
use crate::audit::queue_item::QueueItem;
use crate::audit::record::{ITEM_WORDS, PlainEntry, RecordBuf};
use crate::audit::ring::Beside;
use crate::audit::short_record::{Extras, ROW_WORDS};
use crate::audit::sink::AuditSink;
#[cfg(feature = "metrics")]
use crate::audit::tally::EntryTally;
use crate::audit::tickets::Tickets;
use crate::audit::view::Names;
use crate::audit::wake_signal::WriterGone;
use crate::base::clock::Timestamp;
use crate::base::error::FlushError;
use crate::base::foreign::Watch;
use crate::base::sync::{AtomicU64, Condvar, Mutex, MutexGuard, Ordering, lock};
use crate::base::wake::Wakers;
use crate::stock::mcas::recorder::CommitName;

/// How many record buffers the pool keeps.
pub(super) const POOLED: usize = 8_192;
/// How long past its deadline an ending waits for a writer that is on its way out.
const GRACE: Duration = Duration::from_millis(20);

/// How to record.
pub(crate) struct RecorderSettings {
    /// Places in the queue.
    pub(crate) capacity: usize,
    pub(crate) backpressure: Backpressure,
    /// Entries that the log in memory keeps.
    pub(crate) retained: u64,
    /// The user's own sink, asked before the log in memory.
    pub(crate) sink: Option<Box<dyn AuditSink>>,
    /// The engine's birth.
    pub(crate) opened_at: Timestamp,
    /// Who wakes futures.
    pub(crate) wakers: Arc<Wakers>,
}

impl Default for RecorderSettings {
    fn default() -> Self {
        Self {
            capacity: DEFAULT_CAPACITY,
            backpressure: Backpressure::default(),
            retained: DEFAULT_RETAINED,
            sink: None,
            opened_at: Timestamp::default(),
            wakers: Wakers::new(true),
        }
    }
}

/// The callers' side of the audit; the writer is the other.
pub(crate) struct Recorder {
    pub(crate) queue: AuditQueue<Box<RecordBuf>, ITEM_WORDS, ROW_WORDS>,
    pub(crate) pool: BufferPool,
    pub(crate) tickets: Tickets,
    pub(crate) memory: Arc<MemoryLog>,
    pub(crate) names: Arc<dyn Names>,
    /// What the writer has written.
    #[cfg(feature = "metrics")]
    pub(crate) tally: EntryTally,
    /// Records that the writer took from the queue and the sink has not taken yet. Relaxed: a
    /// figure.
    pub(crate) held: AtomicU64,
    /// Who wakes futures: of flushes, and of the journal.
    pub(crate) wakers: Arc<Wakers>,
    /// Over the calls of the user's sink.
    pub(crate) sink_watch: Watch,
    ending: Ending,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("unwritten", &self.unwritten()).finish_non_exhaustive()
    }
}

/// How the writer is told when to give up, and tells that it ended.
#[derive(Default)]
struct Ending {
    state: Mutex<EndState>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default)]
struct EndState {
    deadline: Option<Instant>,
    ended: bool,
}

impl Recorder {
    /// A recorder without its writer: see [`open`](Self::open), beside the writer.
    pub(super) fn new(settings: &RecorderSettings, names: Arc<dyn Names>) -> Self {
        Self {
            queue: AuditQueue::new(settings.capacity, settings.backpressure),
            pool: BufferPool::new(POOLED),
            tickets: Tickets::new(&settings.wakers),
            memory: Arc::new(MemoryLog::new(settings.retained, settings.opened_at)),
            names,
            #[cfg(feature = "metrics")]
            tally: EntryTally::new(),
            held: AtomicU64::new(0),
            wakers: Arc::clone(&settings.wakers),
            sink_watch: Watch::default(),
            ending: Ending::default(),
        }
    }

    /// Whether an operation that found the gate open may begin without a look at the queue.
    #[inline(always)]
    pub(crate) fn is_admitted(&self) -> bool {
        self.queue.is_admitted()
    }

    /// Whether an operation may begin; see [`AuditQueue::admit`].
    pub(crate) fn admit(&self) -> Result<(), NotAdmitted> {
        self.queue.admit()
    }

    /// An empty record buffer, to be obtained before anything moves.
    pub(crate) fn buffer(&self) -> Box<RecordBuf> {
        self.pool.take()
    }

    /// Takes back the buffer of an operation that was refused after all.
    pub(crate) fn give_back(&self, buffer: Box<RecordBuf>) {
        self.pool.give_back(buffer);
    }

    /// Queues the one entry of an operation; see [`AuditQueue::push`].
    #[inline(always)]
    pub(crate) fn record(&self, entry: PlainEntry) -> Result<(), WriterGone> {
        self.queue.push(entry.to_words(), Beside::Nothing)
    }

    /// Queues the one entry of an operation with what else its record has; see
    /// [`AuditQueue::push`]. Before it begins, the operation makes [rows](AuditQueue::make_rows).
    pub(crate) fn record_short(
        &self,
        entry: PlainEntry,
        extras: &Extras,
    ) -> Result<(), WriterGone> {
        self.queue.push(entry.to_words(), Beside::Words(extras.words()))
    }

    /// Queues the one record of an operation; see [`AuditQueue::push`].
    pub(crate) fn record_all(&self, buffer: Box<RecordBuf>) -> Result<(), WriterGone> {
        debug_assert!(!buffer.lines.is_empty(), "a record without entries says nothing");
        self.queue.push(QueueItem::UNNAMED, Beside::Other(buffer))
    }

    /// Sends the record of a commit ahead, before it touches anything. If it is refused, its record
    /// is never written.
    pub(crate) fn send_ahead(
        &self,
        name: CommitName,
        buffer: Box<RecordBuf>,
    ) -> Result<(), WriterGone> {
        debug_assert!(!buffer.lines.is_empty(), "a record without entries says nothing");
        self.queue.push(QueueItem::named(name), Beside::Other(buffer))
    }

    /// Has the record that was sent ahead written here, unless it was before.
    pub(crate) fn committed(&self, name: CommitName) -> Result<(), WriterGone> {
        self.queue.push(QueueItem::named(name), Beside::Nothing)
    }

    /// Whether the writer has ended, so that nothing that is queued now will be written.
    pub(crate) fn is_writer_gone(&self) -> bool {
        self.queue.wake_signal().is_gone()
    }

    /// As [`record_all`](Self::record_all), but waits until `deadline` at most.
    pub(crate) fn record_all_by(
        &self,
        buffer: Box<RecordBuf>,
        deadline: Instant,
    ) -> Result<(), WriterGone> {
        self.queue.push_by(QueueItem::UNNAMED, Beside::Other(buffer), deadline)
    }

    /// Whether the sweeper must hold back.
    pub(crate) fn half_full(&self) -> bool {
        self.queue.half_full()
    }

    /// Asks to hear when all that was queued before is written. Never waits; what it returns may.
    pub(crate) fn flush(&self) -> Flush {
        if self.queue.wake_signal().is_in_own_sink() {
            return Tickets::refuse(FlushError::InSink);
        }
        if let Some(shut) = self.queue.gate().failure() {
            return Tickets::refuse(shut.into());
        }
        let flush = self.tickets.issue();
        self.queue.wake_signal().wake();
        flush
    }

    /// Whether the engine takes mutations, and why not.
    pub(crate) fn gate(&self) -> &Gate {
        self.queue.gate()
    }

    /// A handle to what was written.
    pub(crate) fn log(&self) -> AuditLog {
        AuditLog::new(Arc::clone(&self.memory), Arc::clone(&self.names))
    }

    /// How often callers felt the queue's bounds.
    pub(crate) fn waits(&self) -> Waits {
        self.queue.waits()
    }

    /// Operations whose record is not yet written: queued, or waiting for a place in the queue.
    pub(crate) fn unwritten(&self) -> u64 {
        self.held.load(Ordering::Relaxed) + self.queue.untaken()
    }

    /// Tells the writer to end once all is written, or at `deadline`.
    pub(crate) fn end_by(&self, deadline: Instant) {
        self.ending_state().deadline = Some(deadline);
        self.queue.end();
    }

    /// Waits until the writer has ended, or a moment past `deadline`; says whether it has.
    pub(crate) fn wait_for_end(&self, deadline: Instant) -> bool {
        let give_up = deadline + GRACE;
        let mut state = self.ending_state();
        while !state.ended {
            let left = give_up.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.ending.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// When the writer shall give up, if it shall end at all.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.ending_state().deadline
    }

    /// The writer has ended, and will write nothing more.
    pub(crate) fn ended(&self, reason: FlushError) {
        self.tickets.end(reason);
        self.ending_state().ended = true;
        self.ending.changed.notify_all();
    }

    fn ending_state(&self) -> MutexGuard<'_, EndState> {
        lock(&self.ending.state)
    }
}
