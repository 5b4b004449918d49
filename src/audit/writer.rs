//! The audit writer: the one consumer of the audit queue. It takes records off the queue, numbers
//! their entries, and stores them in the journal, the user's sink and the log in memory, in this
//! order.
//!
//! It works in turns. Its thread makes most of them; see [`writer_thread`](super::writer_thread). A
//! caller that waits for the disk may make one; see [`writer_seat`](super::writer_seat).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::{io, mem, thread};

use crate::audit::durable_sink::{DurableSink, SharedSync, WriteOutcome};
use crate::audit::flush::FlushTicket;
use crate::audit::queue_item::QueueItem;
use crate::audit::record::{Record, RecordBuf};
use crate::audit::recorder::{POOLED, Recorder, RecorderSettings};
use crate::audit::ring::Wants;
use crate::audit::sink::{AuditBatch, AuditSink};
use crate::audit::view::Names;
use crate::base::error::FlushError;
use crate::base::foreign;
use crate::base::sync::Ordering;
use crate::stock::mcas::recorder::CommitName;

/// So many records in buffers are taken from the queue and written at a time.
const MOST_BUFFERS: usize = POOLED;

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
    /// The writer has a thread of its own, and the journal syncs on another one.
    threaded: bool,
}

/// Who makes a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TurnOf {
    /// The writer's thread, or whoever drives a writer without one.
    Writer,
    /// A caller that syncs the journal as soon as the turn is over.
    Leader,
}

/// The flushes that a turn will answer. If the turn panics, nobody else would.
struct TakenTickets {
    tickets: Vec<Arc<FlushTicket>>,
    /// A caller may make a turn while it unwinds from a panic of its own.
    unwinding: bool,
}

impl TakenTickets {
    fn new(tickets: Vec<Arc<FlushTicket>>) -> Self {
        Self { tickets, unwinding: thread::panicking() }
    }
}

impl Drop for TakenTickets {
    fn drop(&mut self) {
        if thread::panicking() && !self.unwinding {
            let poisoned = FlushError::Poisoned { reason: PANICKED.into() };
            self.tickets.iter().for_each(|ticket| ticket.complete(Err(poisoned.clone())));
        }
    }
}

/// Why an engine is poisoned.
const PANICKED: &str = "the audit writer panicked";

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
        self.turn_of(TurnOf::Writer, retry)
    }

    /// The turn of a caller that leads its group: it takes the group's tickets too, and leaves the
    /// sync that answers them to the caller. A failing journal is not tried again.
    pub(super) fn turn_of_leader(&mut self) -> Turn {
        self.turn_of(TurnOf::Leader, false)
    }

    fn turn_of(&mut self, whose: TurnOf, retry: bool) -> Turn {
        if self.over {
            return Turn::Over;
        }
        let recorder = Arc::clone(&self.recorder);
        // All tickets are told before the first future's waker is called.
        let _aside = foreign::put_aside();
        // Taken before the drain: see `Tickets`.
        let taken = TakenTickets::new(match whose {
            TurnOf::Writer => recorder.tickets.take(),
            TurnOf::Leader => recorder.tickets.take_group(),
        });
        // What was pushed before the tickets were taken, part by part: so a long queue takes no
        // more buffers than the pool has.
        let mut waiting = recorder.queue.untaken();
        let (mut drained, mut retried, mut refused) = (false, false, false);
        loop {
            let part = self.drain(&recorder, waiting);
            drained |= part > 0;
            waiting -= part;
            // The disk may have failed since, in the thread that syncs.
            self.failing |= self.journal.as_ref().is_some_and(|journal| journal.has_failed());
            if !refused && (!self.failing || retry) {
                retried |= self.failing;
                if let Err(Undelivered(reason)) = self.deliver_all() {
                    (self.failing, refused) = (true, true);
                    recorder.gate().stop(&reason);
                }
            }
            // Only if another reader was quicker could there be nothing where some should wait.
            if waiting == 0 || part == 0 {
                break;
            }
        }
        let outcome = match recorder.gate().failure() {
            Some(shut) if self.failing => Err(FlushError::from(shut)),
            _ => Ok(()),
        };
        self.answer(&taken.tickets, outcome, whose);
        match () {
            () if self.failing => Turn::Failing,
            () if drained || retried => Turn::Wrote,
            () => Turn::Idle,
        }
    }

    /// Completes the flushes. With a journal, they complete once all that is written is on the
    /// disk.
    fn answer(&self, tickets: &[Arc<FlushTicket>], outcome: Result<(), FlushError>, whose: TurnOf) {
        match &self.journal {
            Some(journal) if outcome.is_ok() && whose == TurnOf::Leader => {
                journal.when_synced(tickets);
            }
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

    /// Takes what is in the queue, of at most so many tickets and [`MOST_BUFFERS`], into the batch.
    /// Says of how many tickets. While the batch is stuck, the records go into
    /// the backlog behind it. Law 5: a failed sink keeps what is queued, and operations under way
    /// never wait for it.
    fn drain(&mut self, recorder: &Recorder, most: u64) -> u64 {
        let mut buffers = 0;
        let through = recorder.queue.drain(most, |words, found| {
            let record = match QueueItem::new(words, found, &recorder.pool) {
                QueueItem::Plain(entry) if !self.failing => {
                    self.batch.push(Record::Plain(entry));
                    return Wants::More;
                }
                other => self.due(other),
            };
            buffers += usize::from(matches!(record, Some(Record::Buffered(_))));
            match record {
                Some(record) if self.failing => self.backlog.push_back(record),
                Some(record) => self.batch.push(record),
                None => {}
            }
            if buffers < MOST_BUFFERS { Wants::More } else { Wants::NoMore }
        });
        if through > 0 {
            self.publish_held();
        }
        through
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
        // It takes up to 7 % of the writer's instructions, so that only who asks for it pays.
        #[cfg(feature = "metrics")]
        self.recorder.tally.count(&self.batch);
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
    pub(super) fn die(&mut self) {
        if !self.over {
            self.recorder.gate().poison(PANICKED);
            self.leave();
            self.recorder.ended(FlushError::Poisoned { reason: PANICKED.into() });
        }
    }

    /// Takes the last items. Operations that queue later get
    /// [`WriterGone`](crate::audit::wake_signal::WriterGone).
    fn leave(&mut self) {
        self.over = true;
        let recorder = Arc::clone(&self.recorder);
        // They go into the backlog, because the batch may be stuck.
        recorder.queue.leave(|words, found| {
            let record = self.due(QueueItem::new(words, found, &recorder.pool));
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
        let tickets = recorder.tickets.take_group();
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

    /// Prepares the writer for a thread of its own, and starts that of the journal.
    ///
    /// # Errors
    /// The operating system refuses to start a thread.
    pub(super) fn start(&mut self) -> io::Result<()> {
        self.threaded = true;
        self.journal.as_ref().map_or(Ok(()), |journal| journal.spawn())
    }

    /// What a caller needs to sync the journal itself. `None` if nobody may: there is no journal,
    /// or the user's sink is to be called on the writer's own thread.
    pub(super) fn sync_for_leaders(&self) -> Option<Arc<dyn SharedSync>> {
        let journal = self.journal.as_ref().filter(|_| self.sink.is_none())?;
        Some(journal.shared_sync())
    }

    pub(super) fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }
}

impl Drop for Writer {
    /// However the writer ends, no caller is left waiting for it.
    fn drop(&mut self) {
        if self.over {
            return;
        }
        if thread::panicking() { self.die() } else { self.end() }
    }
}

fn refused_by_journal(error: io::Error) -> Undelivered {
    Undelivered(format!("the journal can't be written: {error}"))
}
