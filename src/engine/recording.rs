//! From a call to its one record in the audit queue.

use crate::audit::entry::EventType;
use crate::audit::flush::Flush;
use crate::audit::gate::Shut;
use crate::audit::queue::NotAdmitted;
use crate::audit::record::{PlainEntry, Subject};
use crate::audit::record_builder::RecordBuilder;
use crate::audit::wake_signal::WriterGone;
use crate::audit::writer::{Turn, Writer};
use crate::base::clock::Timestamp;
use crate::base::error::{NotStarted, Reason, Uncertain};
use crate::base::sync::{Fenced, Mutex, lock};
use crate::engine::Engine;
use crate::engine::answer::Answer;
use crate::engine::call::Call;
use crate::reservation::id::ReservationId;

/// An audit writer that has no thread: whoever waits for it does its work.
pub(super) struct DrivenWriter(Mutex<Writer>);

impl DrivenWriter {
    #[cfg(feature = "testing")]
    pub(super) fn new(writer: Writer) -> Self {
        Self(Mutex::new(writer))
    }
}

impl std::fmt::Debug for DrivenWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DrivenWriter")
    }
}

impl Engine {
    /// Whether an operation may begin: the engine is healthy and not closed, and the queue has
    /// room. Obtained before anything moves (Law 5). May wait for room, if the engine is set to.
    #[inline(always)]
    pub(super) fn admit(&self) -> Result<(), NotStarted> {
        if self.driven.is_some() {
            self.make_room();
        }
        self.recorder.admit().map_err(refused)
    }

    /// What the writer does by itself where it has a thread.
    #[cold]
    #[inline(never)]
    fn make_room(&self) {
        if self.recorder.half_full() {
            self.write_now();
        }
    }

    /// As [`admit`](Self::admit), for what may be refused before it queues anything. Never waits.
    #[inline]
    pub(super) fn check_gate(&self) -> Result<(), NotStarted> {
        self.recorder.gate().check().map_err(shut)
    }

    /// Queues an operation's one plain entry, or the record that was made in its stead. From the
    /// first take on this can't fail for lack of room; an error says that the writer has ended, and
    /// that what was done stays done.
    #[inline(always)]
    pub(super) fn queue(
        &self,
        step: PlainEntry,
        record: Option<RecordBuilder<'_>>,
    ) -> Result<(), Uncertain> {
        match record {
            None => self.recorder.record(step).map_err(|WriterGone| Uncertain::Unrecorded),
            Some(record) => record.queue(),
        }
    }

    /// As [`queue`](Self::queue), but leaves it to the caller to [wake the
    /// writer](Self::wake_after) once it has made a fence: a reserve makes one for its expiry, too.
    #[inline(always)]
    pub(super) fn queue_no_wake(
        &self,
        step: PlainEntry,
        record: Option<RecordBuilder<'_>>,
    ) -> Result<(), Uncertain> {
        match record {
            None => self.recorder.record_no_wake(step).map_err(|WriterGone| Uncertain::Unrecorded),
            Some(record) => record.queue(),
        }
    }

    /// Wakes a parked writer for what was queued before the fence.
    #[inline]
    pub(super) fn wake_after(&self, fence: &Fenced) -> Result<(), Uncertain> {
        self.recorder.wake_after(fence).map_err(|WriterGone| Uncertain::Unrecorded)
    }

    /// After a commit that may have met an ended writer: whether its record will be written.
    pub(super) fn check_writer(&self) -> Result<(), Uncertain> {
        if self.recorder.is_writer_gone() { Err(Uncertain::Unrecorded) } else { Ok(()) }
    }

    /// Has the writer write what is queued, where the caller drives it; `true` if there was
    /// anything.
    pub(super) fn write_now(&self) -> bool {
        self.driven.as_ref().is_some_and(|writer| lock(&writer.0).turn(true) == Turn::Wrote)
    }

    /// Ends a writer that the caller drives; one in a thread is ended by its thread's handle.
    pub(super) fn end_driven_writer(&self) {
        if let Some(writer) = &self.driven {
            lock(&writer.0).end();
        }
    }

    /// Asks to hear when everything that was queued is written.
    pub(super) fn flush(&self) -> Flush {
        let flush = self.recorder.flush();
        self.write_now();
        flush
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

/// What the caller adds to an operation's record.
impl RecordBuilder<'_> {
    /// The caller's notes; and its key, with what it is answered, in the same record as what it
    /// moved.
    pub(super) fn of_call(self, call: Call<'_>, answer: impl Into<Answer>) -> Self {
        self.notes(call).keyed(call, answer)
    }

    /// The same for a new hold, which may also keep its record until it is shipped.
    pub(super) fn of_hold(self, call: Call<'_>, answer: impl Into<Answer>) -> Self {
        let record = self.notes(call);
        let record =
            if call.options.keep_until_shipped { record.kept_until_shipped() } else { record };
        record.keyed(call, answer)
    }

    /// The hold that begins with this record: when, its id, and whose it is.
    pub(super) fn new_hold(self, call: Call<'_>, id: ReservationId, expires_at: Timestamp) -> Self {
        self.at(id.created_at()).reservation(id, expires_at).owner(call.options.owner)
    }

    fn notes(self, call: Call<'_>) -> Self {
        call.options.notes.iter().fold(self, |record, (name, value)| record.text(name, value))
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

impl Call<'_> {
    /// Records the use of a key by a call that moved nothing.
    pub(super) fn record_key_use(self, answer: impl Into<Answer>) -> Result<(), Uncertain> {
        if self.key.is_none() {
            return Ok(());
        }
        let record = self.engine.recorder.event(EventType::KeyUsed).about(Subject::None);
        record.at(self.engine.now()).keyed(self, answer).queue()
    }
}
