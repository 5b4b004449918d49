//! An operation's record in the making.

use std::time::Instant;

use crate::audit::entry::{AdjustmentType, EntryType, EventType};
use crate::audit::record::{Header, KeyMark, PlainEntry, RecordBuf, ShortBytes, Subject};
use crate::audit::recorder::Recorder;
use crate::audit::wake_signal::WriterGone;
use crate::base::clock::Timestamp;
use crate::base::error::{NotStarted, Uncertain};
use crate::base::quantity::Quantity;
use crate::reservation::id::{Owner, ReservationId};
use crate::stock::handle::{LevelIndex, WarehouseIndex};
use crate::stock::mcas::recorder::CommitName;

/// An operation's record that is more than one plain entry (a [`PlainEntry`]): several entries, or one
/// with metadata or a key. Made before anything moves, so that queueing it can't fail. It lies in a
/// pooled buffer, which goes back to the pool if the operation is refused after all.
#[must_use = "a record says nothing until it is queued"]
pub(crate) struct RecordBuilder<'a> {
    recorder: &'a Recorder,
    /// The type of its lines, but for those that are added with a type of their own.
    entry_type: EntryType,
    /// There until it is queued.
    buffer: Option<Box<RecordBuf>>,
}

impl Recorder {
    /// A record whose first line moves `qty` units of `level`.
    pub(crate) fn movement(
        &self,
        movement: AdjustmentType,
        level: LevelIndex,
        qty: Quantity,
    ) -> RecordBuilder<'_> {
        self.movement_of(movement).line(level, qty.get())
    }

    /// A record of a movement whose lines are still to come.
    pub(crate) fn movement_of(&self, movement: AdjustmentType) -> RecordBuilder<'_> {
        RecordBuilder::new(self, movement.into())
    }

    /// A record of an event.
    pub(crate) fn event(&self, event: EventType) -> RecordBuilder<'_> {
        RecordBuilder::new(self, event.into())
    }

    /// A record that begins as the plain entry `step` does.
    #[cold]
    #[inline(never)]
    pub(crate) fn record_from(&self, step: PlainEntry) -> RecordBuilder<'_> {
        let mut record = RecordBuilder::new(self, step.entry_type());
        record.buffer().header = Header {
            at: step.at(),
            reservation: step.get_reservation(),
            owner: step.get_owner(),
            expires_at: step.get_expires_at(),
            ..Header::default()
        };
        if step.is_expiry() {
            record = record.expired();
        }
        record.line(step.level(), step.quantity())
    }
}

impl<'a> RecordBuilder<'a> {
    fn new(recorder: &'a Recorder, entry_type: EntryType) -> Self {
        Self { recorder, entry_type, buffer: Some(recorder.buffer()) }
    }

    fn buffer(&mut self) -> &mut RecordBuf {
        // Some until it is queued: the closure is never called.
        self.buffer.get_or_insert_with(Box::default)
    }

    /// When the operation happened.
    pub(crate) fn at(mut self, now: Timestamp) -> Self {
        self.buffer().header.at = now;
        self
    }

    /// The hold that it belongs to.
    pub(crate) fn reservation(mut self, id: ReservationId, expires_at: Timestamp) -> Self {
        let header = &mut self.buffer().header;
        (header.reservation, header.expires_at) = (Some(id), Some(expires_at));
        self
    }

    /// Whose hold it is.
    pub(crate) fn owner(mut self, owner: Option<Owner>) -> Self {
        self.buffer().header.owner = owner;
        self
    }

    /// Another line of the record's type.
    pub(crate) fn line(self, level: LevelIndex, units: u32) -> Self {
        let entry_type = self.entry_type;
        self.line_of(entry_type, Subject::Level(level), units, None)
    }

    /// A line of another type.
    pub(crate) fn and(self, movement: AdjustmentType, level: LevelIndex, qty: Quantity) -> Self {
        self.line_of(movement.into(), Subject::Level(level), qty.get(), None)
    }

    /// A line of an event about units that are to go from a level to another warehouse.
    pub(crate) fn and_event(
        self,
        event: EventType,
        from: LevelIndex,
        qty: Quantity,
        to: WarehouseIndex,
    ) -> Self {
        self.line_of(event.into(), Subject::Level(from), qty.get(), Some(to))
    }

    /// What an event is about.
    pub(crate) fn about(self, subject: Subject) -> Self {
        let entry_type = self.entry_type;
        self.line_of(entry_type, subject, 0, None)
    }

    fn line_of(
        mut self,
        entry_type: EntryType,
        subject: Subject,
        units: u32,
        other: Option<WarehouseIndex>,
    ) -> Self {
        self.buffer().line(entry_type, subject, units, other);
        self
    }

    /// The two ends of a transfer, for those of the record's lines that are its ends.
    pub(crate) fn between(mut self, source: WarehouseIndex, target: WarehouseIndex) -> Self {
        for line in &mut self.buffer().lines {
            line.other = match line.entry_type {
                EntryType::Movement(AdjustmentType::TransferredOut) => Some(target),
                EntryType::Movement(AdjustmentType::TransferredIn) => Some(source),
                _ => continue,
            };
        }
        self
    }

    /// A pair of metadata.
    pub(crate) fn text(mut self, name: &str, value: &str) -> Self {
        self.buffer().note(name, value);
        self
    }

    /// The new hold keeps its record until what it sold is shipped, so that one that is brought
    /// back after a restart does so too.
    pub(crate) fn kept_until_shipped(mut self) -> Self {
        self.buffer().keep = true;
        self.text("keep", "until-shipped")
    }

    /// The caller's key, the request's fingerprint and what the call is answered, in the same
    /// record as what it moved.
    pub(crate) fn key_mark(mut self, key: &[u8], fingerprint: u128, answer: &[u8]) -> Self {
        let (key, answer) = (ShortBytes::new(key), ShortBytes::new(answer));
        debug_assert!(key.is_some() && answer.is_some(), "keys and answers are short");
        self.buffer().key =
            key.zip(answer).map(|(key, answer)| KeyMark { key, fingerprint, answer });
        self
    }

    /// The hold whose lines are taken anew.
    pub(crate) fn retaken_from(mut self, id: ReservationId) -> Self {
        self.buffer().header.retaken_from = Some(id);
        self
    }

    /// The units come back because nobody ended the hold in time.
    pub(crate) fn expired(mut self) -> Self {
        self.buffer().expired = true;
        self.text("reason", "expired")
    }

    /// Queues an event, if there is room for it before `deadline`. Where there is not, the writer
    /// is stuck, and nothing is lost that it would have written.
    pub(crate) fn queue_by(mut self, deadline: Instant) {
        if let Some(buffer) = self.buffer.take() {
            let _ = self.recorder.record_all_by(buffer, deadline);
        }
    }

    /// Queues the record. From the first take on this can't fail for lack of room; an error says
    /// that the writer has ended, and that what was done stays done.
    pub(crate) fn queue(mut self) -> Result<(), Uncertain> {
        let queued = self.buffer.take().map_or(Ok(()), |buffer| self.recorder.record_all(buffer));
        queued.map_err(|WriterGone| Uncertain::Unrecorded)
    }

    /// Sends the record ahead of its commit, before that touches anything. From then on
    /// [`Recorder::committed`] has it written; if the commit is refused, it never is.
    pub(crate) fn send_ahead(mut self, name: CommitName) -> Result<(), NotStarted> {
        let sent = self.buffer.take().map_or(Ok(()), |it| self.recorder.send_ahead(name, it));
        sent.map_err(|WriterGone| NotStarted::Closed)
    }
}

impl Drop for RecordBuilder<'_> {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            self.recorder.give_back(buffer);
        }
    }
}
