//! From an operation to its one record in the audit queue.

use std::sync::Arc;
use std::time::Instant;

use crate::audit::bell::WriterGone;
use crate::audit::entry::{AdjustmentType, EntryType, EventType};
use crate::audit::flush::Flush;
use crate::audit::gate::{Gate, Shut};
use crate::audit::log::AuditLog;
use crate::audit::queue::{NotAdmitted, Waits};
use crate::audit::record::{Header, KeyMark, Short, Step, Steps, Subject};
use crate::audit::recorder::Recorder as AuditRecorder;
use crate::audit::writer::{Turn, Writer};
use crate::clock::Timestamp;
use crate::error::Unavailable;
use crate::manager::answer::{Answer, KeyUse};
use crate::manager::details::Details;
use crate::quantity::Quantity;
use crate::reservation::id::{Owner, ReservationId};
use crate::stock::announce::CommitName;
use crate::stock::handle::{LevelHandle, WarehouseId};
use crate::sync::{Mutex, lock};

/// The manager's side of the audit queue.
pub(super) struct Recorder {
    audit: Arc<AuditRecorder>,
    /// The writer, where no thread of its own runs it: in users' own tests.
    driven: Option<Mutex<Writer>>,
}

impl Recorder {
    /// A recorder whose writer runs in a thread of its own.
    pub(super) fn threaded(audit: Arc<AuditRecorder>) -> Self {
        Self { audit, driven: None }
    }

    /// A recorder whose writer runs when it is told to.
    #[cfg(feature = "testing")]
    pub(super) fn driven(audit: Arc<AuditRecorder>, writer: Writer) -> Self {
        Self { audit, driven: Some(Mutex::new(writer)) }
    }

    /// Whether an operation may begin: the engine is healthy and not closed, and the queue has room.
    /// May wait for room, if the engine is set to.
    #[inline]
    pub(super) fn admit(&self) -> Result<(), Unavailable> {
        if self.driven.is_some() && self.audit.half_full() {
            self.write_now();
        }
        self.audit.admit().map_err(|refusal| match refusal {
            NotAdmitted::Busy => Unavailable::Busy,
            NotAdmitted::Shut(shut) => unavailable(shut),
        })
    }

    /// As [`admit`](Self::admit), for calls that queue nothing. Never waits.
    #[inline]
    pub(super) fn check(&self) -> Result<(), Unavailable> {
        self.audit.gate().check().map_err(unavailable)
    }

    /// A record whose first line moves `qty` units of `level`.
    #[inline]
    pub(super) fn movement(
        &self,
        movement: AdjustmentType,
        level: LevelHandle,
        qty: Quantity,
    ) -> Draft<'_> {
        self.movement_of(movement).line(level, qty.get())
    }

    /// A record of a movement whose lines are still to come.
    #[inline]
    pub(super) fn movement_of(&self, movement: AdjustmentType) -> Draft<'_> {
        Draft::new(&self.audit, movement.into())
    }

    /// A record of an event.
    pub(super) fn event(&self, event: EventType) -> Draft<'_> {
        Draft::new(&self.audit, event.into())
    }

    /// Has the record that was sent ahead of a commit written. An ended writer is no error here: the
    /// commit goes on, and its caller asks [`check_writer`](Self::check_writer).
    pub(super) fn committed(&self, name: CommitName) {
        let _ = self.audit.committed(name);
    }

    /// After a commit that may have met an ended writer: whether its record will be written.
    pub(super) fn check_writer(&self) -> Result<(), Unavailable> {
        if self.audit.is_writer_gone() { Err(Unavailable::Unrecorded) } else { Ok(()) }
    }

    /// Has the writer write what is queued, where the caller drives it; `true` if there was anything.
    pub(super) fn write_now(&self) -> bool {
        self.driven.as_ref().is_some_and(|writer| lock(writer).turn(true) == Turn::Wrote)
    }

    /// Ends a writer that the caller drives; one in a thread is ended by its thread's handle.
    pub(super) fn end_driven(&self) {
        if let Some(writer) = &self.driven {
            lock(writer).end();
        }
    }

    /// Asks to hear when everything that was queued is written.
    pub(super) fn flush(&self) -> Flush {
        let flush = self.audit.flush();
        self.write_now();
        flush
    }

    pub(super) fn gate(&self) -> &Gate {
        self.audit.gate()
    }

    pub(super) fn is_half_full(&self) -> bool {
        self.audit.half_full()
    }

    pub(super) fn queue_depth(&self) -> usize {
        self.audit.queue.len()
    }

    pub(super) fn queue_capacity(&self) -> usize {
        self.audit.queue.capacity()
    }

    pub(super) fn waits(&self) -> Waits {
        self.audit.waits()
    }

    pub(super) fn unwritten(&self) -> u64 {
        self.audit.unwritten()
    }

    pub(super) fn log(&self) -> AuditLog {
        self.audit.log()
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("unwritten", &self.unwritten()).finish_non_exhaustive()
    }
}

/// The gate's answer, as callers hear it.
#[cold]
fn unavailable(shut: Shut) -> Unavailable {
    match shut {
        Shut::Closed => Unavailable::Closed,
        Shut::Stopped { reason } => Unavailable::Stopped { reason: reason.as_ref().to_owned() },
        Shut::Poisoned { .. } => Unavailable::Poisoned,
    }
}

/// An operation's record, made before anything moves, so that queueing it can't fail.
///
/// One line without metadata stays a packed step; anything longer is written into a pooled buffer,
/// which goes back to the pool if the operation is refused after all.
///
/// No function that is not inlined sees a draft, so that a plain one lives in registers and is written
/// down once, in its place in the queue: what is long is kept apart, and its functions are the cold ones.
#[must_use = "a draft says nothing until it is queued"]
pub(super) struct Draft<'a> {
    audit: &'a AuditRecorder,
    /// The record's header and, once it has one, its first line; as long as that is all of it.
    step: Step,
    /// Whether the step has its line.
    is_plain: bool,
    /// Anything longer.
    long: Option<Box<Steps>>,
}

impl<'a> Draft<'a> {
    #[inline]
    fn new(audit: &'a AuditRecorder, entry_type: EntryType) -> Self {
        let step = Step::new(entry_type, Timestamp::default(), LevelHandle(0), 0);
        Self { audit, step, is_plain: false, long: None }
    }

    /// When the operation happened.
    #[inline]
    pub(super) fn at(mut self, now: Timestamp) -> Self {
        self.step = self.step.happened_at(now);
        self
    }

    /// The hold that it belongs to.
    #[inline]
    pub(super) fn reservation(mut self, id: ReservationId, expires_at: Timestamp) -> Self {
        self.step = self.step.reservation(id).expires_at(expires_at);
        self
    }

    /// Whose hold it is.
    #[inline]
    pub(super) fn owner(mut self, owner: Option<Owner>) -> Self {
        self.step = self.step.owner(owner);
        self
    }

    /// Another line of the record's type.
    #[inline]
    pub(super) fn line(mut self, level: LevelHandle, units: u32) -> Self {
        if self.is_plain || self.long.is_some() {
            let entry_type = self.step.entry_type();
            self.long().line(entry_type, Subject::Level(level), units, None);
        } else {
            self.step = self.step.of(level, units);
            self.is_plain = true;
        }
        self
    }

    /// A line of another type.
    pub(super) fn and(
        mut self,
        movement: AdjustmentType,
        level: LevelHandle,
        qty: Quantity,
    ) -> Self {
        self.long().line(movement, Subject::Level(level), qty.get(), None);
        self
    }

    /// A line of an event about units that are to go from a level to another warehouse.
    pub(super) fn and_event(
        mut self,
        event: EventType,
        from: LevelHandle,
        qty: Quantity,
        to: WarehouseId,
    ) -> Self {
        self.long().line(event, Subject::Level(from), qty.get(), Some(to));
        self
    }

    /// What an event is about.
    pub(super) fn about(mut self, subject: Subject) -> Self {
        let entry_type = self.step.entry_type();
        self.long().line(entry_type, subject, 0, None);
        self
    }

    /// The two ends of a transfer, for those of the record's lines that are its ends.
    pub(super) fn between(mut self, source: WarehouseId, target: WarehouseId) -> Self {
        for line in &mut self.long().lines {
            line.other = match line.entry_type {
                EntryType::Movement(AdjustmentType::TransferredOut) => Some(target),
                EntryType::Movement(AdjustmentType::TransferredIn) => Some(source),
                _ => continue,
            };
        }
        self
    }

    /// The caller's notes.
    #[inline]
    pub(super) fn details(mut self, details: &Details) -> Self {
        if !details.notes.is_empty() {
            add_notes(self.long(), details);
        }
        self
    }

    /// A hold that begins with this record, with the caller's notes; and whether it keeps its record until
    /// what it sold is shipped, so that one that is brought back after a restart does so too.
    #[inline]
    pub(super) fn new_hold(
        self,
        id: ReservationId,
        expires_at: Timestamp,
        details: &Details,
    ) -> Self {
        let draft = self.at(id.created_at()).reservation(id, expires_at).owner(details.owner);
        let mut draft = draft.details(details);
        if details.keep_until_shipped {
            draft.long().keep = true;
            draft = draft.text("keep", "until-shipped");
        }
        draft
    }

    /// A pair of metadata.
    pub(super) fn text(mut self, name: &str, value: &str) -> Self {
        self.long().note(name, value);
        self
    }

    /// The caller's key and what it is answered, in the same record as what it moved.
    #[inline]
    pub(super) fn key(mut self, key: Option<KeyUse<'_>>, answer: impl Into<Answer>) -> Self {
        if let Some(key) = key {
            add_key(self.long(), key, answer.into());
        }
        self
    }

    /// The hold whose lines are taken anew.
    pub(super) fn retaken_from(mut self, id: ReservationId) -> Self {
        self.long().header.retaken_from = Some(id);
        self
    }

    /// The units come back because nobody ended the hold in time.
    #[inline]
    pub(super) fn expired(mut self) -> Self {
        self.step = self.step.expired();
        self
    }

    /// Queues an event, if there is room for it before `deadline`. Where there is not, the writer is
    /// stuck, and nothing is lost that it would have written.
    pub(super) fn queue_by(mut self, deadline: Instant) {
        self.long();
        if let Some(steps) = self.finish() {
            let _ = self.audit.record_all_by(steps, deadline);
        }
    }

    /// The pooled buffer, with the line that there was so far.
    #[inline]
    fn long(&mut self) -> &mut Steps {
        if self.long.is_none() {
            self.long = Some(begin_long(self.audit, self.is_plain.then_some(self.step)));
        }
        // Some by now: the closure is never called.
        self.long.get_or_insert_with(Box::default)
    }

    /// The long record, with its header.
    #[inline]
    fn finish(&mut self) -> Option<Box<Steps>> {
        Some(finish_long(self.long.take()?, self.step))
    }

    /// Queues the record. From the first take on this can't fail for lack of room; an error says
    /// that the writer has ended, and that what was done stays done.
    #[inline(always)]
    pub(super) fn queue(mut self) -> Result<(), Unavailable> {
        let queued = match self.finish() {
            Some(steps) => self.audit.record_all(steps),
            None => {
                debug_assert!(self.is_plain, "a record without a line says nothing");
                self.audit.record(self.step)
            }
        };
        queued.map_err(|WriterGone| Unavailable::Unrecorded)
    }

    /// Sends the record ahead of its commit, before that touches anything. From then on
    /// [`Recorder::committed`] has it written; if the commit is refused, it never is.
    pub(super) fn send_ahead(mut self, name: CommitName) -> Result<(), Unavailable> {
        self.long();
        let sent = self.finish().map_or(Ok(()), |steps| self.audit.send_ahead(name, steps));
        sent.map_err(|WriterGone| Unavailable::Closed)
    }
}

impl Drop for Draft<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(buffer) = self.long.take() {
            self.audit.give_back(buffer);
        }
    }
}

/// A pooled buffer, with the line of a step that had one.
#[cold]
fn begin_long(audit: &AuditRecorder, plain: Option<Step>) -> Box<Steps> {
    let mut buffer = audit.buffer();
    if let Some(step) = plain {
        buffer.line(step.entry_type(), Subject::Level(step.level()), step.quantity(), None);
    }
    buffer
}

/// Gives a long record the header that was packed into `step`.
#[cold]
fn finish_long(mut steps: Box<Steps>, step: Step) -> Box<Steps> {
    steps.header = Header {
        at: step.at(),
        reservation: step.get_reservation(),
        owner: step.get_owner(),
        expires_at: step.get_expires_at(),
        ..steps.header
    };
    if step.is_expiry() {
        steps.expired = true;
        steps.note("reason", "expired");
    }
    steps
}

#[cold]
fn add_notes(long: &mut Steps, details: &Details) {
    details.notes.iter().for_each(|(name, value)| long.note(name, value));
}

#[cold]
fn add_key(long: &mut Steps, KeyUse { key, fingerprint }: KeyUse<'_>, answer: Answer) {
    let key = Short::new(key.as_bytes());
    let answer = Short::new(&answer.to_bytes());
    debug_assert!(key.is_some() && answer.is_some(), "keys and answers are short");
    long.key = key.zip(answer).map(|(key, answer)| KeyMark { key, fingerprint, answer });
}
