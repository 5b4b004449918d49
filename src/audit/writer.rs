//! The audit writer: the one thread that takes records off the queue, numbers their entries, and
//! stores them in the journal, the user's sink and the log in memory, in this order.
//!
//! It drains all there is, then naps, so that it does not chase the producers through the queue's
//! cache lines; naps grow while nothing comes and end in a real sleep.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{io, mem};

use crate::audit::durable_sink::{DurableSink, WriteOutcome};
use crate::audit::flush::FlushTicket;
use crate::audit::record::{QueueItem, Record, RecordBuf};
use crate::audit::recorder::{Recorder, RecorderSettings};
use crate::audit::sink::{AuditBatch, AuditSink};
use crate::audit::view::Names;
use crate::base::error::FlushError;
use crate::base::foreign;
use crate::base::sync::Ordering;
use crate::base::threads;
use crate::stock::mcas::recorder::CommitName;

const SHORTEST_NAP: Duration = Duration::from_micros(50);
const LONGEST_NAP: Duration = Duration::from_millis(2);
/// After this long without work, the writer parks until it is woken.
const IDLE_BEFORE_PARK: Duration = Duration::from_secs(1);
const FIRST_RETRY: Duration = Duration::from_millis(10);
const LAST_RETRY: Duration = Duration::from_secs(1);
/// How long a dropped writer thread may take to write what is queued.
const DROP_DEADLINE: Duration = Duration::from_millis(500);

/// The result of one turn of the writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// There was nothing to do.
    Idle,
    /// Everything that was queued is written.
    Wrote,
    /// The sink or the journal refuses. The writer keeps the records.
    Failing,
    /// The writer has ended, or died.
    Over,
}

/// The consumer of the audit queue.
pub(crate) struct Writer {
    recorder: Arc<Recorder>,
    journal: Option<Box<dyn DurableSink>>,
    sink: Option<Box<dyn AuditSink>>,
    /// The batch that the journal and the sink are to take. It stays the same until both have taken
    /// it.
    batch: Vec<Record>,
    /// The journal has taken the batch over, but the sink has not.
    batch_in_journal: bool,
    /// Records that were drained while the batch was stuck, in order.
    backlog: VecDeque<Record>,
    /// Records that were sent ahead of their multi-word CAS, by the slot of its descriptor. Only
    /// the newest of each slot can still be written.
    ahead: HashMap<u32, (u64, Box<RecordBuf>)>,
    next_sequence: u64,
    failing: bool,
    over: bool,
    /// The writer runs on a thread of its own, and the journal syncs on another one.
    threaded: bool,
}

/// The flushes that a turn will answer. If the turn panics, nobody else would.
struct TakenTickets(Vec<Arc<FlushTicket>>);

impl Drop for TakenTickets {
    fn drop(&mut self) {
        if thread::panicking() {
            let poisoned = FlushError::Poisoned { reason: "the audit writer panicked".into() };
            self.0.iter().for_each(|ticket| ticket.complete(Err(poisoned.clone())));
        }
    }
}

/// Why a batch was not delivered: what the journal or the sink said.
struct Undelivered(String);

impl Recorder {
    /// A recorder and its writer. The caller either spawns the writer or drives it by
    /// [`turn`](Writer::turn).
    pub(crate) fn open(settings: RecorderSettings, names: Arc<dyn Names>) -> (Arc<Self>, Writer) {
        let recorder = Arc::new(Self::new(&settings, names));
        let writer = Writer::new(Arc::clone(&recorder), settings.sink);
        (recorder, writer)
    }
}

impl Writer {
    fn new(recorder: Arc<Recorder>, sink: Option<Box<dyn AuditSink>>) -> Self {
        Self {
            recorder,
            journal: None,
            sink,
            batch: Vec::new(),
            batch_in_journal: false,
            backlog: VecDeque::new(),
            ahead: HashMap::new(),
            next_sequence: 1,
            failing: false,
            over: false,
            threaded: false,
        }
    }

    /// Makes the writer write a journal as well. Entries are numbered from where the journal goes
    /// on. Call it before the first turn.
    pub(crate) fn attach(&mut self, journal: Box<dyn DurableSink>) {
        self.next_sequence = journal.next_sequence();
        self.journal = Some(journal);
    }

    /// Drains the queue once and writes everything. A failing sink or journal is tried again only
    /// if `retry`.
    pub(crate) fn turn(&mut self, retry: bool) -> Turn {
        if self.over {
            return Turn::Over;
        }
        let recorder = Arc::clone(&self.recorder);
        // All tickets are told before the first future's waker is called.
        let _aside = foreign::put_aside();
        // Taken before the drain: see `Tickets`.
        let taken = TakenTickets(recorder.tickets.take());
        let tickets = &taken.0;
        let drained = self.drain(&recorder);
        // The disk may have failed since, in the thread that syncs.
        self.failing |= self.journal.as_ref().is_some_and(|journal| journal.has_failed());
        let retried = self.failing && retry;
        if !self.failing || retry {
            match self.deliver_all() {
                Ok(()) => {}
                Err(Undelivered(reason)) => {
                    self.failing = true;
                    recorder.gate().stop(&reason);
                }
            }
        }
        let outcome = match recorder.gate().failure() {
            Some(shut) if self.failing => Err(FlushError::from(shut)),
            _ => Ok(()),
        };
        self.answer(tickets, outcome);
        match () {
            () if self.failing => Turn::Failing,
            () if drained > 0 || retried => Turn::Wrote,
            () => Turn::Idle,
        }
    }

    /// Completes the flushes. With a journal, they complete once all that is written is on the
    /// disk.
    fn answer(&self, tickets: &[Arc<FlushTicket>], outcome: Result<(), FlushError>) {
        match &self.journal {
            Some(journal) if outcome.is_ok() => {
                journal.when_durable(tickets);
                if !self.threaded && !tickets.is_empty() {
                    // The tickets say whether it failed: a failure completes them as well.
                    let _ = journal.sync_now();
                }
            }
            _ => tickets.iter().for_each(|ticket| ticket.complete(outcome.clone())),
        }
    }

    /// Takes what is in the queue, into the batch. While the batch is stuck, the records go into
    /// the backlog behind it. Law 5: a failed sink keeps what is queued, and operations under way
    /// never wait for it.
    fn drain(&mut self, recorder: &Recorder) -> u64 {
        let drained =
            recorder.queue.drain(|words, buffer| match self.due(QueueItem::new(words, buffer)) {
                Some(record) if self.failing => self.backlog.push_back(record),
                Some(record) => self.batch.push(record),
                None => {}
            });
        if drained > 0 {
            self.publish_held();
        }
        drained
    }

    /// The record that is to be written at the place of `queued` in the order, if any.
    #[inline]
    fn due(&mut self, queued: QueueItem) -> Option<Record> {
        match queued {
            QueueItem::Plain(entry) => Some(Record::Plain(entry)),
            QueueItem::Buffered(buffer) => Some(Record::Buffered(buffer)),
            QueueItem::Ahead(name, buffer) => {
                self.keep_ahead(name, buffer);
                None
            }
            QueueItem::Committed(name) => self.record_of(name),
        }
    }

    fn keep_ahead(&mut self, CommitName { slot, sequence }: CommitName, buffer: Box<RecordBuf>) {
        // A record that is still here belongs to an operation that was refused: a descriptor is
        // reused only after its operation has ended, and the end of a decided one is queued before.
        if let Some((_, refused)) = self.ahead.insert(slot, (sequence, buffer)) {
            self.recorder.pool.give_back(refused);
        }
    }

    /// The record that was sent ahead for this commit, if it is not written yet.
    fn record_of(&mut self, CommitName { slot, sequence }: CommitName) -> Option<Record> {
        // A repeat finds nothing, or the record of a later operation on the same descriptor.
        self.ahead.get(&slot).is_some_and(|(awaited, _)| *awaited == sequence).then_some(())?;
        self.ahead.remove(&slot).map(|(_, buffer)| Record::Buffered(buffer))
    }

    /// Delivers the batch, then the backlog in batches of at most the queue's capacity.
    fn deliver_all(&mut self) -> Result<(), Undelivered> {
        if self.journal.as_ref().is_some_and(|journal| journal.has_failed()) {
            self.write_journal()?;
        }
        loop {
            if self.batch.is_empty() {
                let part = self.backlog.len().min(self.recorder.queue.capacity());
                self.batch.extend(self.backlog.drain(..part));
            }
            if self.batch.is_empty() {
                break;
            }
            self.deliver()?;
        }
        if let Some(journal) = &mut self.journal {
            journal.rotate_if_asked().map_err(refused_by_journal)?;
        }
        if mem::take(&mut self.failing) {
            self.backlog = VecDeque::new();
            self.recorder.gate().resume();
        }
        Ok(())
    }

    /// Numbers the batch's entries and passes the batch to the journal, to the sink, and last to
    /// the log in memory.
    fn deliver(&mut self) -> Result<(), Undelivered> {
        let entries = self.batch.iter().map(Record::entries).sum::<u64>();
        if let Some(journal) = &mut self.journal
            && !mem::replace(&mut self.batch_in_journal, true)
        {
            journal.take(&self.batch, &*self.recorder.names);
        }
        self.write_journal()?;
        if let Some(sink) = &mut self.sink
            && entries > 0
        {
            let names = &*self.recorder.names;
            let batch = AuditBatch::new(self.next_sequence, entries, &self.batch, names);
            // The text and the drop of its error are the sink's code, too.
            let append = || sink.append(&batch).map_err(|error| error.to_string());
            let (watch, signal) = (&self.recorder.sink_watch, self.recorder.queue.wake_signal());
            foreign::call(|| watch.over(|| signal.in_sink(append)))
                // A sink that panicked is asked again, as after an error: it knows by the number
                // of the first entry what it has taken.
                .unwrap_or_else(|said| Err(format!("the sink panicked: {said}")))
                .map_err(Undelivered)?;
        }
        self.recorder.memory.append(&mut self.batch, &self.recorder.pool);
        self.batch_in_journal = false;
        self.next_sequence += entries;
        self.publish_held();
        Ok(())
    }

    fn write_journal(&mut self) -> Result<(), Undelivered> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        let outcome = journal.write().map_err(refused_by_journal)?;
        // A sync may have failed and stopped the engine after this turn's check.
        self.failing |= outcome == WriteOutcome::StartedOver;
        Ok(())
    }

    fn publish_held(&self) {
        let held = (self.batch.len() + self.backlog.len()) as u64;
        self.recorder.held.store(held, Ordering::Relaxed);
    }

    /// Ends after a panic: nothing can be written any more. All waiting and later callers are told.
    fn die(&mut self, reason: &str) {
        self.recorder.gate().poison(reason);
        self.leave();
        self.recorder.ended(FlushError::Poisoned { reason: reason.into() });
    }

    /// Takes the last items. Operations that queue later get
    /// [`WriterGone`](crate::audit::wake_signal::WriterGone).
    fn leave(&mut self) {
        self.over = true;
        let recorder = Arc::clone(&self.recorder);
        // They go into the backlog, because the batch may be stuck.
        recorder.queue.leave(|words, buffer| {
            let record = self.due(QueueItem::new(words, buffer));
            self.backlog.extend(record);
        });
        self.publish_held();
    }

    /// Ends the writer: takes the last items, and tries once more to write everything.
    pub(crate) fn end(&mut self) {
        if self.over {
            return;
        }
        let recorder = Arc::clone(&self.recorder);
        let _aside = foreign::put_aside();
        recorder.gate().close();
        let tickets = recorder.tickets.take();
        self.leave();
        let delivered = self.deliver_all().and_then(|()| match &mut self.journal {
            Some(journal) => journal.close().map_err(refused_by_journal),
            None => Ok(()),
        });
        // The drop releases the journal's lock, closed or not, so that another engine may open it.
        self.journal = None;
        let outcome = match delivered {
            Ok(()) => Ok(()),
            Err(Undelivered(reason)) => {
                recorder.gate().stop(&reason);
                Err(FlushError::Stopped { reason: reason.into() })
            }
        };
        tickets.iter().for_each(|ticket| ticket.complete(outcome.clone()));
        recorder.ended(FlushError::Closed);
    }

    /// Starts the writer's thread, and the journal's.
    ///
    /// # Errors
    /// The operating system refuses to start a thread.
    pub(crate) fn spawn(mut self) -> io::Result<WriterThread> {
        self.threaded = true;
        if let Some(journal) = &self.journal {
            journal.spawn()?;
        }
        let recorder = Arc::clone(&self.recorder);
        let thread = threads::spawn("stockade-audit", move || self.run())?;
        Ok(WriterThread { recorder, thread: Some(thread) })
    }

    fn run(mut self) {
        let recorder = Arc::clone(&self.recorder);
        let queue = &recorder.queue;
        queue.wake_signal().answer();
        let mut rest = Rest::new();
        loop {
            let ending = queue.is_ending();
            let turn = self.turn(rest.may_retry());
            if turn == Turn::Over {
                return;
            }
            if ending && self.may_end(turn) {
                return self.end();
            }
            match rest.after(turn, recorder.deadline()) {
                Some(span) => queue.wake_signal().nap(span, || {
                    let told = queue.is_ending() && turn != Turn::Failing;
                    told || queue.half_full() || recorder.tickets.any()
                }),
                None => queue
                    .wake_signal()
                    .park(|| !queue.is_empty() || recorder.tickets.any() || queue.is_ending()),
            }
        }
    }

    fn may_end(&self, turn: Turn) -> bool {
        let late = self.recorder.deadline().is_none_or(|deadline| Instant::now() >= deadline);
        late || (turn != Turn::Failing && self.recorder.queue.is_empty())
    }
}

impl Drop for Writer {
    /// However the writer ends, no caller is left waiting for it.
    fn drop(&mut self) {
        if self.over {
            return;
        }
        if thread::panicking() { self.die("the audit writer panicked") } else { self.end() }
    }
}

/// How long to sleep.
struct Rest {
    nap: Duration,
    idle_since: Option<Instant>,
    retry_after: Duration,
    retry_at: Option<Instant>,
}

impl Rest {
    fn new() -> Self {
        Self { nap: SHORTEST_NAP, idle_since: None, retry_after: FIRST_RETRY, retry_at: None }
    }

    fn may_retry(&self) -> bool {
        self.retry_at.is_none_or(|at| Instant::now() >= at)
    }

    /// How long to nap after `turn`; `None` for a sleep without end.
    fn after(&mut self, turn: Turn, deadline: Option<Instant>) -> Option<Duration> {
        let now = Instant::now();
        match turn {
            Turn::Failing => {
                let at = match self.retry_at {
                    Some(at) if now < at => at,
                    Some(_) => {
                        self.retry_after = (self.retry_after * 2).min(LAST_RETRY);
                        now + self.retry_after
                    }
                    None => now + self.retry_after,
                };
                self.retry_at = Some(at);
                let until = deadline.map_or(at, |deadline| at.min(deadline));
                Some(until.saturating_duration_since(now).clamp(SHORTEST_NAP, LONGEST_NAP))
            }
            Turn::Idle => {
                let since = *self.idle_since.get_or_insert(now);
                self.nap = (self.nap * 2).min(LONGEST_NAP);
                (now.saturating_duration_since(since) < IDLE_BEFORE_PARK).then_some(self.nap)
            }
            Turn::Wrote | Turn::Over => {
                *self = Self::new();
                Some(self.nap)
            }
        }
    }
}

fn refused_by_journal(error: io::Error) -> Undelivered {
    Undelivered(format!("the journal can't be written: {error}"))
}

/// The handle to the writer's thread.
pub(crate) struct WriterThread {
    recorder: Arc<Recorder>,
    thread: Option<JoinHandle<()>>,
}

impl WriterThread {
    /// Ends the writer once everything is written, or at `deadline`. Returns how many operations'
    /// records stayed unwritten. Shut the gate first. A writer that is stuck in the sink is left
    /// behind, so this never blocks much longer than until `deadline`.
    pub(crate) fn end(&mut self, deadline: Instant) -> u64 {
        if let Some(thread) = self.thread.take() {
            self.recorder.end_by(deadline);
            // If a sink drops the engine, this runs on the writer's own thread, which must not join
            // itself.
            let own = thread.thread().id() == thread::current().id();
            if !own {
                if self.recorder.wait_for_end(deadline) {
                    // The join could only report a panic, which the gate reports too.
                    let _ = thread.join();
                } else {
                    self.recorder.queue.abandon();
                }
            }
        }
        self.recorder.unwritten()
    }
}

impl Drop for WriterThread {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.recorder.gate().close();
            self.end(Instant::now() + DROP_DEADLINE);
        }
    }
}
