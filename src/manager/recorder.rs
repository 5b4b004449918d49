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
use crate::error::{NotStarted, Reason, Uncertain};
use crate::manager::answer::{Answer, KeyUse};
use crate::manager::details::Details;
use crate::quantity::Quantity;
use crate::reservation::id::{Owner, ReservationId};
use crate::stock::announce::CommitName;
use crate::stock::handle::{LevelHandle, WarehouseId};
use crate::sync::{Fenced, Mutex, lock};

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
    #[inline(always)]
    pub(super) fn admit(&self) -> Result<(), NotStarted> {
        if self.driven.is_some() {
            self.make_room();
        }
        self.audit.admit().map_err(refused)
    }

    /// What the writer does by itself where it has a thread.
    #[cold]
    #[inline(never)]
    fn make_room(&self) {
        if self.audit.half_full() {
            self.write_now();
        }
    }

    /// As [`admit`](Self::admit), for calls that queue nothing. Never waits.
    #[inline]
    pub(super) fn check(&self) -> Result<(), NotStarted> {
        self.audit.gate().check().map_err(shut)
    }

    /// Queues an operation's one entry, or the long record in its stead. From the first take on this
    /// can't fail for lack of room; an error says that the writer has ended, and that what was done
    /// stays done.
    #[inline(always)]
    pub(super) fn queue(&self, step: Step, long: Option<Draft<'_>>) -> Result<(), Uncertain> {
        match long {
            None => self.audit.record(step).map_err(|WriterGone| Uncertain::Unrecorded),
            Some(draft) => draft.queue(),
        }
    }

    /// As [`queue`](Self::queue), but leaves it to the caller to [ring](Self::ring_behind) once it has
    /// made a fence: a reserve makes one for its expiry, too.
    #[inline(always)]
    pub(super) fn queue_unrung(
        &self,
        step: Step,
        long: Option<Draft<'_>>,
    ) -> Result<(), Uncertain> {
        match long {
            None => self.audit.record_unrung(step).map_err(|WriterGone| Uncertain::Unrecorded),
            Some(draft) => draft.queue(),
        }
    }

    /// Wakes a parked writer for what was queued before the fence.
    #[inline]
    pub(super) fn ring_behind(&self, fence: &Fenced) -> Result<(), Uncertain> {
        self.audit.ring_behind(fence).map_err(|WriterGone| Uncertain::Unrecorded)
    }

    /// A long record that begins as `step` does.
    #[cold]
    #[inline(never)]
    pub(super) fn draft_from(&self, step: Step) -> Draft<'_> {
        let mut draft = Draft::new(&self.audit, step.entry_type());
        let long = draft.long();
        long.header = Header {
            at: step.at(),
            reservation: step.get_reservation(),
            owner: step.get_owner(),
            expires_at: step.get_expires_at(),
            ..Header::default()
        };
        if step.is_expiry() {
            draft = draft.expired();
        }
        draft.line(step.level(), step.quantity())
    }

    /// A record whose first line moves `qty` units of `level`.
    pub(super) fn movement(
        &self,
        movement: AdjustmentType,
        level: LevelHandle,
        qty: Quantity,
    ) -> Draft<'_> {
        self.movement_of(movement).line(level, qty.get())
    }

    /// A record of a movement whose lines are still to come.
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
    pub(super) fn check_writer(&self) -> Result<(), Uncertain> {
        if self.audit.is_writer_gone() { Err(Uncertain::Unrecorded) } else { Ok(()) }
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

/// The queue's answer, as callers hear it.
#[cold]
fn refused(refusal: NotAdmitted) -> NotStarted {
    match refusal {
        NotAdmitted::Busy => NotStarted::Busy,
        NotAdmitted::Shut(cause) => shut(cause),
    }
}

/// The gate's answer, as callers hear it.
#[cold]
fn shut(cause: Shut) -> NotStarted {
    match cause {
        Shut::Closed => NotStarted::Closed,
        Shut::Stopped { reason } => NotStarted::Stopped { reason: Reason::from(&*reason) },
        Shut::Poisoned { .. } => NotStarted::Poisoned,
    }
}

/// An operation's long record, made before anything moves, so that queueing it can't fail: whatever is
/// more than one entry without metadata, which is a [`Step`]. It lies in a pooled buffer, which goes back
/// to the pool if the operation is refused after all.
#[must_use = "a draft says nothing until it is queued"]
pub(super) struct Draft<'a> {
    audit: &'a AuditRecorder,
    /// What its lines are, but for those that say otherwise.
    entry_type: EntryType,
    /// There until it is queued.
    steps: Option<Box<Steps>>,
}

impl<'a> Draft<'a> {
    fn new(audit: &'a AuditRecorder, entry_type: EntryType) -> Self {
        Self { audit, entry_type, steps: Some(audit.buffer()) }
    }

    fn long(&mut self) -> &mut Steps {
        // Some until it is queued: the closure is never called.
        self.steps.get_or_insert_with(Box::default)
    }

    /// When the operation happened.
    pub(super) fn at(mut self, now: Timestamp) -> Self {
        self.long().header.at = now;
        self
    }

    /// The hold that it belongs to.
    pub(super) fn reservation(mut self, id: ReservationId, expires_at: Timestamp) -> Self {
        let header = &mut self.long().header;
        (header.reservation, header.expires_at) = (Some(id), Some(expires_at));
        self
    }

    /// Whose hold it is.
    pub(super) fn owner(mut self, owner: Option<Owner>) -> Self {
        self.long().header.owner = owner;
        self
    }

    /// Another line of the record's type.
    pub(super) fn line(self, level: LevelHandle, units: u32) -> Self {
        let entry_type = self.entry_type;
        self.line_of(entry_type, Subject::Level(level), units, None)
    }

    /// A line of another type.
    pub(super) fn and(self, movement: AdjustmentType, level: LevelHandle, qty: Quantity) -> Self {
        self.line_of(movement.into(), Subject::Level(level), qty.get(), None)
    }

    /// A line of an event about units that are to go from a level to another warehouse.
    pub(super) fn and_event(
        self,
        event: EventType,
        from: LevelHandle,
        qty: Quantity,
        to: WarehouseId,
    ) -> Self {
        self.line_of(event.into(), Subject::Level(from), qty.get(), Some(to))
    }

    /// What an event is about.
    pub(super) fn about(self, subject: Subject) -> Self {
        let entry_type = self.entry_type;
        self.line_of(entry_type, subject, 0, None)
    }

    fn line_of(
        mut self,
        entry_type: EntryType,
        subject: Subject,
        units: u32,
        other: Option<WarehouseId>,
    ) -> Self {
        self.long().line(entry_type, subject, units, other);
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
    pub(super) fn details(mut self, details: &Details) -> Self {
        details.notes.iter().for_each(|(name, value)| self.long().note(name, value));
        self
    }

    /// A hold that begins with this record, with the caller's notes; and whether it keeps its record until
    /// what it sold is shipped, so that one that is brought back after a restart does so too.
    pub(super) fn new_hold(
        self,
        id: ReservationId,
        expires_at: Timestamp,
        details: &Details,
    ) -> Self {
        let draft = self.at(id.created_at()).reservation(id, expires_at).owner(details.owner);
        draft.hold_details(details)
    }

    /// What the caller of a new hold adds: see [`new_hold`](Self::new_hold).
    pub(super) fn hold_details(self, details: &Details) -> Self {
        let mut draft = self.details(details);
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
    pub(super) fn key(mut self, key: Option<KeyUse<'_>>, answer: impl Into<Answer>) -> Self {
        if let Some(KeyUse { key, fingerprint }) = key {
            let key = Short::new(key.as_bytes());
            let answer = Short::new(&answer.into().to_bytes());
            debug_assert!(key.is_some() && answer.is_some(), "keys and answers are short");
            self.long().key =
                key.zip(answer).map(|(key, answer)| KeyMark { key, fingerprint, answer });
        }
        self
    }

    /// As [`key`](Self::key), for a step that may be another's doing and then has no key.
    pub(super) fn answer(self, answer: Option<(KeyUse<'_>, Answer)>) -> Self {
        match answer {
            Some((key, answer)) => self.key(Some(key), answer),
            None => self,
        }
    }

    /// The hold whose lines are taken anew.
    pub(super) fn retaken_from(mut self, id: ReservationId) -> Self {
        self.long().header.retaken_from = Some(id);
        self
    }

    /// The units come back because nobody ended the hold in time.
    pub(super) fn expired(mut self) -> Self {
        self.long().expired = true;
        self.text("reason", "expired")
    }

    /// Queues an event, if there is room for it before `deadline`. Where there is not, the writer is
    /// stuck, and nothing is lost that it would have written.
    pub(super) fn queue_by(mut self, deadline: Instant) {
        if let Some(steps) = self.steps.take() {
            let _ = self.audit.record_all_by(steps, deadline);
        }
    }

    /// Queues the record. From the first take on this can't fail for lack of room; an error says
    /// that the writer has ended, and that what was done stays done.
    pub(super) fn queue(mut self) -> Result<(), Uncertain> {
        let queued = self.steps.take().map_or(Ok(()), |steps| self.audit.record_all(steps));
        queued.map_err(|WriterGone| Uncertain::Unrecorded)
    }

    /// Sends the record ahead of its commit, before that touches anything. From then on
    /// [`Recorder::committed`] has it written; if the commit is refused, it never is.
    pub(super) fn send_ahead(mut self, name: CommitName) -> Result<(), NotStarted> {
        let sent = self.steps.take().map_or(Ok(()), |steps| self.audit.send_ahead(name, steps));
        sent.map_err(|WriterGone| NotStarted::Closed)
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if let Some(buffer) = self.steps.take() {
            self.audit.give_back(buffer);
        }
    }
}
