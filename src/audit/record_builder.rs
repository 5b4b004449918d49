//! Builds the record of an operation, before anything moves.

use std::time::Instant;

use crate::audit::draw::DrawMark;
use crate::audit::entry::{AdjustmentType, EntryType, EventType};
use crate::audit::pairs::Pairs;
use crate::audit::record::{
    EntryLine, KEEP_NOTE, KEPT_UNTIL_SHIPPED, KeyMark, PlainEntry, RecordBuf, ShortBytes, Subject,
};
use crate::audit::recorder::Recorder;
use crate::audit::wake_signal::WriterGone;
use crate::base::clock::Timestamp;
use crate::base::error::{NotStarted, Uncertain};
use crate::base::quantity::Quantity;
use crate::reservation::id::{Owner, ReservationId};
use crate::stock::handle::{LevelIndex, WarehouseIndex};
use crate::stock::mcas::recorder::CommitName;

/// Builds a record that is more than one [`PlainEntry`]: several entries, or one with metadata or a
/// key. An operation builds it before anything moves, so that queueing it allocates nothing. It is
/// in a pooled buffer. If the operation is refused, the drop gives the buffer back.
#[must_use = "a record says nothing until it is queued"]
pub(crate) struct RecordBuilder<'a> {
    recorder: &'a Recorder,
    /// The type of all lines that are added without a type of their own.
    entry_type: EntryType,
    /// `Some` until the record is queued.
    buffer: Option<Box<RecordBuf>>,
}

impl Recorder {
    /// Begins a record whose first line moves `qty` units of `level`.
    pub(crate) fn movement(
        &self,
        movement: AdjustmentType,
        level: LevelIndex,
        qty: Quantity,
    ) -> RecordBuilder<'_> {
        self.movement_of(movement).line(level, qty.get())
    }

    /// Begins a record of a movement, without lines.
    pub(crate) fn movement_of(&self, movement: AdjustmentType) -> RecordBuilder<'_> {
        RecordBuilder::new(self, movement.into())
    }

    /// Begins a record of an event, without lines.
    pub(crate) fn event(&self, event: EventType) -> RecordBuilder<'_> {
        RecordBuilder::new(self, event.into())
    }

    /// Begins a record with the contents of a plain entry, so that metadata or a key can be added.
    #[cold]
    #[inline(never)]
    pub(crate) fn record_from(&self, entry: PlainEntry) -> RecordBuilder<'_> {
        let mut record = RecordBuilder::new(self, entry.entry_type());
        record.buffer().header = entry.header();
        if entry.is_expiry() {
            record = record.expired();
        }
        record.line(entry.level(), entry.quantity())
    }
}

impl<'a> RecordBuilder<'a> {
    fn new(recorder: &'a Recorder, entry_type: EntryType) -> Self {
        Self { recorder, entry_type, buffer: Some(recorder.buffer()) }
    }

    fn buffer(&mut self) -> &mut RecordBuf {
        // The buffer is `Some` until the record is queued, so the closure is never called.
        self.buffer.get_or_insert_with(Box::default)
    }

    /// Sets when the operation took place.
    pub(crate) fn at(mut self, now: Timestamp) -> Self {
        self.buffer().header.at = now;
        self
    }

    /// Sets the hold that the record belongs to, and its expiry.
    pub(crate) fn reservation(mut self, id: ReservationId, expires_at: Timestamp) -> Self {
        let header = &mut self.buffer().header;
        (header.reservation, header.expires_at) = (Some(id), Some(expires_at));
        self
    }

    /// Sets the owner of the hold.
    pub(crate) fn owner(mut self, owner: Option<Owner>) -> Self {
        self.buffer().header.owner = owner;
        self
    }

    /// Adds a line of the record's type.
    pub(crate) fn line(self, level: LevelIndex, units: u32) -> Self {
        let entry_type = self.entry_type;
        self.line_of(entry_type, Subject::Level(level), units, None)
    }

    /// Adds lines of the record's type.
    #[inline]
    pub(crate) fn lines(mut self, lines: impl Iterator<Item = (LevelIndex, u32)>) -> Self {
        let entry_type = self.entry_type;
        self.buffer().lines.extend(lines.map(|(level, quantity)| EntryLine {
            entry_type,
            subject: Subject::Level(level),
            quantity,
            other: None,
        }));
        self
    }

    /// Adds a line of another movement type.
    pub(crate) fn and(self, movement: AdjustmentType, level: LevelIndex, qty: Quantity) -> Self {
        self.line_of(movement.into(), Subject::Level(level), qty.get(), None)
    }

    /// Adds a line of an event about units that are to move from a level to another warehouse.
    pub(crate) fn and_event(
        self,
        event: EventType,
        from: LevelIndex,
        qty: Quantity,
        to: WarehouseIndex,
    ) -> Self {
        self.line_of(event.into(), Subject::Level(from), qty.get(), Some(to))
    }

    /// Adds a line of the record's type, about `subject`, without units.
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

    /// Sets the other warehouse on the lines that are the two ends of a transfer.
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

    /// Adds what the record's lines draw on allowances. The marks lie in the order of their lines.
    pub(crate) fn draws(mut self, draws: impl Iterator<Item = DrawMark>) -> Self {
        let own = &mut self.buffer().draws;
        own.extend(draws);
        debug_assert!(own.is_sorted_by_key(|mark| mark.line), "draws lie as their lines do");
        self
    }

    /// Sets what was used after the commit, of draw `at`. The record is made before the commit that
    /// tells it.
    pub(crate) fn set_used_after(&mut self, at: usize, used: u32) {
        let draw = self.buffer().draws.get_mut(at);
        debug_assert!(draw.is_some(), "a draw that was added");
        if let Some(draw) = draw {
            draw.used_after = used;
        }
    }

    /// Adds a metadata pair; see [`RecordBuf::note`].
    pub(crate) fn text(mut self, name: &str, value: &str) -> Self {
        self.buffer().note(name, value);
        self
    }

    /// Adds metadata pairs.
    pub(crate) fn texts(mut self, pairs: &Pairs) -> Self {
        self.buffer().metadata.extend(pairs);
        self
    }

    /// Notes that the new hold's slot keeps its record until all sold units are shipped, so that a
    /// recovery restores this as well.
    pub(crate) fn kept_until_shipped(mut self) -> Self {
        self.buffer().keep = true;
        self.text(KEEP_NOTE, KEPT_UNTIL_SHIPPED)
    }

    /// Adds the idempotency key, the request's fingerprint and the answer. They are in the same
    /// record as the movements, so that a torn tail loses both or neither.
    pub(crate) fn key_mark(mut self, key: &[u8], fingerprint: u128, answer: &[u8]) -> Self {
        let (key, answer) = (ShortBytes::new(key), ShortBytes::new(answer));
        debug_assert!(key.is_some() && answer.is_some(), "keys and answers are short");
        self.buffer().key =
            key.zip(answer).map(|(key, answer)| KeyMark { key, fingerprint, answer });
        self
    }

    /// Sets the earlier hold that this one retakes.
    pub(crate) fn retaken_from(mut self, id: ReservationId) -> Self {
        self.buffer().header.retaken_from = Some(id);
        self
    }

    /// Marks the returned units as those of an expired hold.
    pub(crate) fn expired(mut self) -> Self {
        self.buffer().expired = true;
        self.text("reason", "expired")
    }

    /// Queues an event. Waits for room in the queue until `deadline` at most, then drops the
    /// record: the writer is stuck, and would not have written it.
    pub(crate) fn queue_by(mut self, deadline: Instant) {
        if let Some(buffer) = self.buffer.take() {
            let _ = self.recorder.record_all_by(buffer, deadline);
        }
    }

    /// Queues the record. It never fails for lack of room, but waits for room if the queue is full.
    /// An error means that the writer has ended. What the operation has done stays done.
    pub(crate) fn queue(self) -> Result<(), Uncertain> {
        Ok(self.queue_while_written()?)
    }

    /// The same, with the one error that there is.
    pub(crate) fn queue_while_written(mut self) -> Result<(), WriterGone> {
        self.buffer.take().map_or(Ok(()), |buffer| self.recorder.record_all(buffer))
    }

    /// Sends the record of a multi-word CAS ahead, before that touches any cell. The writer writes
    /// it when [`Recorder::committed`] queues the name. If the operation is refused, it never does.
    pub(crate) fn send_ahead(mut self, name: CommitName) -> Result<(), NotStarted> {
        let sent = self.buffer.take().map_or(Ok(()), |it| self.recorder.send_ahead(name, it));
        sent.map_err(|WriterGone| NotStarted::Closed)
    }
}

impl From<WriterGone> for Uncertain {
    #[cold]
    fn from(WriterGone: WriterGone) -> Self {
        Self::Unrecorded
    }
}

impl Drop for RecordBuilder<'_> {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            self.recorder.give_back(buffer);
        }
    }
}
