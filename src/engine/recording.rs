//! How a call puts its one record into the audit queue.

use crate::audit::draw::DrawMark;
use crate::audit::entry::EventType;
use crate::audit::flush::Flush;
use crate::audit::gate::Shut;
use crate::audit::queue::NotAdmitted;
use crate::audit::record::{PlainEntry, Subject};
use crate::audit::record_builder::RecordBuilder;
use crate::audit::recorder::Recorder;
use crate::audit::short_record::{Extras, KeyParts};
use crate::audit::wake_signal::WriterGone;
use crate::audit::writer::Turn;
use crate::audit::writer_seat::WriterSeat;
use crate::base::clock::Timestamp;
use crate::base::error::{FlushError, NotStarted, Reason, Uncertain};
use crate::engine::Engine;
use crate::engine::allowances::plan::DrawPlan;
use crate::engine::answer::Answer;
use crate::engine::call::{Call, KeyedCall};
use crate::reservation::id::ReservationId;

impl Engine {
    /// Admits an operation, if the engine takes calls and the queue has room. Call it before
    /// anything moves (Law 5). May wait for room, if the engine is set to wait.
    #[inline(always)]
    pub(super) fn admit(&self) -> Result<(), NotStarted> {
        let at_once = self.recorder.gate().is_open() && self.recorder.is_admitted();
        if at_once { Ok(()) } else { self.look_and_admit() }
    }

    #[cold]
    #[inline(never)]
    fn look_and_admit(&self) -> Result<(), NotStarted> {
        if !self.writer_has_thread {
            self.make_room();
        }
        self.recorder.admit().map_err(refused)
    }

    /// Writes what is queued once the queue is half full. A writer with a thread does this by
    /// itself.
    fn make_room(&self) {
        if self.recorder.half_full() {
            self.write_now();
        }
    }

    /// Checks only the gate: for calls that may be refused before they queue anything. Never waits.
    #[inline]
    pub(super) fn check_gate(&self) -> Result<(), NotStarted> {
        self.recorder.gate().check().map_err(shut)
    }

    /// Queues the operation's one entry, with what its record has beyond it. It cannot fail for
    /// lack of room once the call is admitted. An error means that the writer has ended; what the
    /// call did stays done.
    #[inline(always)]
    pub(super) fn queue(
        &self,
        entry: PlainEntry,
        record: impl LongerRecord,
    ) -> Result<(), WriterGone> {
        record.queue_or(entry, &self.recorder)
    }

    /// Whether the record of a commit will be written. Ask after a commit that may have met an
    /// ended writer.
    pub(super) fn check_writer(&self) -> Result<(), Uncertain> {
        if self.recorder.is_writer_gone() { Err(Uncertain::Unrecorded) } else { Ok(()) }
    }

    /// The writer without a thread, unless this thread has it already: it is in its sink.
    fn driven_writer(&self) -> Option<&WriterSeat> {
        let is_in_sink = || self.recorder.queue.wake_signal().is_in_own_sink();
        (!self.writer_has_thread && !is_in_sink()).then_some(&*self.writer)
    }

    /// Runs a writer without a thread until it has written what is queued; `true` if there was
    /// something to write. Does nothing if the writer has a thread.
    pub(super) fn write_now(&self) -> bool {
        let Some(writer) = self.driven_writer() else { return false };
        let turn = writer.take().turn(true);
        turn == Turn::Wrote
    }

    /// Ends a writer without a thread. A thread's writer is ended by the handle of the thread.
    pub(super) fn end_driven_writer(&self) {
        if let Some(writer) = self.driven_writer() {
            writer.take().end();
        }
    }

    /// Waits until everything queued so far is written, and on the disk if there is a journal. The
    /// calling thread may do the writing and the sync.
    pub(super) fn wait_until_written(&self) -> Result<(), FlushError> {
        if self.writer.may_be_led() {
            self.writer.wait_until_durable()
        } else {
            self.flush().wait()
        }
    }

    /// Returns a handle that resolves once everything queued so far is written. Never waits.
    pub(super) fn flush(&self) -> Flush {
        let flush = self.recorder.flush();
        self.write_now();
        flush
    }
}

/// What the record of an operation has beyond its one plain entry. Made before anything moves, so
/// that queueing it allocates nothing.
pub(super) enum Beyond<'a> {
    /// Nothing.
    Nothing,
    /// A key, or a few notes.
    Extras(Extras),
    /// More: this record is written in place of the entry.
    Record(RecordBuilder<'a>),
}

/// What a call gives to be queued in place of its one plain entry, or beside it.
pub(super) trait LongerRecord {
    /// Queues it, with the entry or instead of it.
    fn queue_or(self, entry: PlainEntry, recorder: &Recorder) -> Result<(), WriterGone>;
}

impl LongerRecord for Beyond<'_> {
    #[inline(always)]
    fn queue_or(self, entry: PlainEntry, recorder: &Recorder) -> Result<(), WriterGone> {
        match self {
            Self::Nothing => recorder.record(entry),
            Self::Extras(ref extras) => recorder.record_short(entry, extras),
            Self::Record(record) => record.queue_while_written(),
        }
    }
}

/// The one record of an operation, ready to be queued.
pub(super) trait QueuedRecord {
    /// Queues it. An error means that the writer has ended.
    fn queue_while_written(self) -> Result<(), WriterGone>;
}

impl QueuedRecord for RecordBuilder<'_> {
    #[inline(always)]
    fn queue_while_written(self) -> Result<(), WriterGone> {
        RecordBuilder::queue_while_written(self)
    }
}

/// One plain entry, and what its record has beyond it.
pub(super) struct EntryRecord<'a, R> {
    pub(super) entry: PlainEntry,
    pub(super) beyond: R,
    pub(super) recorder: &'a Recorder,
}

impl<R: LongerRecord> QueuedRecord for EntryRecord<'_, R> {
    #[inline(always)]
    fn queue_while_written(self) -> Result<(), WriterGone> {
        self.beyond.queue_or(self.entry, self.recorder)
    }
}

/// Of a call that never makes one.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlainOnly;

impl LongerRecord for PlainOnly {
    #[inline(always)]
    fn queue_or(self, entry: PlainEntry, recorder: &Recorder) -> Result<(), WriterGone> {
        recorder.record(entry)
    }
}

/// The queue's refusal as the caller's error.
#[cold]
fn refused(refusal: NotAdmitted) -> NotStarted {
    match refusal {
        NotAdmitted::Busy => NotStarted::Busy,
        NotAdmitted::Shut(cause) => shut(cause),
    }
}

/// The gate's refusal as the caller's error.
#[cold]
fn shut(cause: Shut) -> NotStarted {
    match cause {
        Shut::Closed => NotStarted::Closed,
        Shut::Stopped { reason } => NotStarted::Stopped { reason: Reason::from(&*reason) },
        Shut::Poisoned { .. } => NotStarted::Poisoned,
    }
}

/// What a call adds to its record.
impl RecordBuilder<'_> {
    /// Adds the caller's notes. Adds the key with the answer, in the same record as the movements,
    /// so that a recovery gets both or neither.
    pub(super) fn of_call(self, call: Call<'_>, answer: impl Into<Answer>) -> Self {
        self.notes(call).keyed(call, answer)
    }

    /// Same as `of_call`, for a new hold: it also notes whether the hold keeps its record until
    /// shipped.
    #[inline(always)]
    pub(super) fn of_hold(self, call: Call<'_>, answer: impl Into<Answer>) -> Self {
        if call.hold_needs_record_buffer() { self.marked(call, answer.into()) } else { self }
    }

    #[cold]
    #[inline(never)]
    fn marked(self, call: Call<'_>, answer: Answer) -> Self {
        let record = self.notes(call);
        let record = if call.keeps_until_shipped() { record.kept_until_shipped() } else { record };
        record.keyed(call, answer)
    }

    /// Notes what the draws of a commit left used.
    pub(super) fn note_used_after(&mut self, plan: &DrawPlan<'_>) {
        plan.used_after().enumerate().for_each(|(at, used)| self.set_used_after(at, used));
    }

    /// Adds a new hold, made when the call takes effect: its id, its expiry and its owner.
    #[inline]
    pub(super) fn new_hold(self, call: Call<'_>, id: ReservationId, expires_at: Timestamp) -> Self {
        self.at(call.now()).reservation(id, expires_at).owner(call.owner())
    }

    #[inline]
    fn notes(self, call: Call<'_>) -> Self {
        if call.options().notes.is_empty() { self } else { self.texts(&call.options().notes) }
    }

    fn keyed(self, call: Call<'_>, answer: impl Into<Answer>) -> Self {
        match call.key {
            None => self,
            Some(keyed) => {
                let answer = answer.into().to_bytes();
                self.key_mark(keyed.key.as_bytes(), keyed.fingerprint, &answer)
            }
        }
    }
}

impl<'a> Call<'a> {
    /// What the record of a movement has beyond `entry`: the caller's notes, and the key with the
    /// answer. They are in the same record as the movement, so that a recovery gets both or
    /// neither.
    #[inline(always)]
    pub(super) fn beyond(
        self,
        engine: &'a Engine,
        entry: PlainEntry,
        answer: Answer,
    ) -> Beyond<'a> {
        if self.needs_record_buffer() {
            return self.beyond_the_entry(engine, entry, answer);
        }
        Beyond::Nothing
    }

    #[inline(never)]
    fn beyond_the_entry(self, engine: &'a Engine, entry: PlainEntry, answer: Answer) -> Beyond<'a> {
        // An expiry has a note of its own.
        match if entry.is_expiry() { None } else { self.extras(answer, &[]) } {
            Some(extras) => Beyond::Extras(extras),
            None => Beyond::Record(engine.recorder.record_from(entry).of_call(self, answer)),
        }
    }

    /// Whether [`extras`](Self::extras) with so many draws are some.
    #[inline]
    pub(super) fn fits_in_words(self, draws: usize) -> bool {
        let key = self.key.map_or(0, |it| it.key.as_bytes().len());
        Extras::fits(key, &self.options().notes, draws) && self.engine.recorder.queue.make_rows()
    }

    /// What a short record has besides its entry; `None` if there are no rows, or it is too much
    /// for one.
    #[inline(always)]
    pub(super) fn extras(self, answer: Answer, draws: &[DrawMark]) -> Option<Extras> {
        if !self.engine.recorder.queue.make_rows() {
            return None;
        }
        let answer = answer.to_bytes();
        let key = self.key.map(|KeyedCall { key, fingerprint }| KeyParts {
            key: key.as_bytes(),
            fingerprint: *fingerprint,
            answer: &answer,
        });
        Extras::new(key, &self.options().notes, draws)
    }
}

impl Call<'_> {
    /// Records the use of a key by a call that moved nothing. Without a key it does nothing.
    pub(super) fn record_key_use(self, answer: impl Into<Answer>) -> Result<(), Uncertain> {
        if self.key.is_none() {
            return Ok(());
        }
        let record = self.engine.recorder.event(EventType::KeyUsed).about(Subject::None);
        record.at(self.timed().now()).keyed(self, answer).queue()
    }
}
