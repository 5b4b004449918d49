//! The writer's seat: whoever sits on it makes the writer's turns. There is one, so that the queue
//! has one consumer.
//!
//! Mostly it is the writer's thread. But a caller that waits for the disk would wake that thread,
//! which would write and wake the journal's sync thread, which would sync and wake the caller:
//! three times somebody is woken, at a tenth of a sync each. So a caller that blocks takes the seat
//! itself, and syncs itself, for its whole group; see [`tickets`](super::tickets). A sync is made
//! off the seat: calls that do not wait for the disk never wait for a sync.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::audit::durable_sink::SharedSync;
use crate::audit::flush::Told;
use crate::audit::recorder::Recorder;
use crate::audit::tickets::Tickets;
use crate::audit::writer::{Turn, Writer};
use crate::base::error::FlushError;
use crate::base::foreign::{self, PutAside};
use crate::base::sync::{Mutex, MutexGuard, lock};

/// The writer, and who may make its turns.
pub(crate) struct WriterSeat {
    recorder: Arc<Recorder>,
    writer: Mutex<Writer>,
    /// What a leader syncs by; `None` if callers must not lead.
    sync: Option<Arc<dyn SharedSync>>,
}

impl std::fmt::Debug for WriterSeat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WriterSeat").field("may_be_led", &self.may_be_led()).finish_non_exhaustive()
    }
}

impl WriterSeat {
    /// The seat of a writer that has its journal already.
    pub(crate) fn new(writer: Writer) -> Self {
        let (recorder, sync) = (Arc::clone(writer.recorder()), writer.sync_for_leaders());
        Self { recorder, writer: Mutex::new(writer), sync }
    }

    pub(super) fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }

    /// Takes the seat. Waits while another thread makes a turn.
    pub(crate) fn take(&self) -> Seated<'_> {
        let (unwinding, aside) = (thread::panicking(), foreign::put_aside());
        Seated { writer: lock(&self.writer), unwinding, _aside: aside }
    }

    /// Whether callers may lead: there is a journal, and the user has no sink, whose calls are the
    /// writer's thread's.
    pub(crate) fn may_be_led(&self) -> bool {
        self.sync.is_some()
    }

    /// Waits until all that this thread queued before is on the disk. The caller may write and sync
    /// for others, too. To be called only if [callers may lead](Self::may_be_led).
    ///
    /// # Errors
    /// See [`FlushError`]; never `TimedOut`.
    pub(crate) fn wait_until_durable(&self) -> Result<(), FlushError> {
        let Some(sync) = &self.sync else { return self.recorder.flush().wait() };
        if let Some(shut) = self.recorder.gate().failure() {
            return Err(shut.into());
        }
        let tickets = &self.recorder.tickets;
        let joined = tickets.join();
        if let Told::Done(outcome) = joined.wait_for_turn() {
            return outcome;
        }
        let lead = Lead { tickets, sync: Cell::new(Some(Duration::ZERO)) };
        tickets.gather();
        // A panic in the turn is a fault of the writer and not of the caller: it ends the writer,
        // which tells all that wait, this caller too.
        let _ = foreign::call(|| self.write_and_sync(&**sync, &lead));
        drop(lead);
        joined.ticket.wait()
    }

    fn write_and_sync(&self, sync: &dyn SharedSync, lead: &Lead<'_>) {
        sync.announce();
        // An ended writer has told the group.
        let _turn: Turn = self.take().turn_of_leader();
        let began = Instant::now();
        // A failure is told to the group, and to the writer's thread, which begins anew.
        sync.sync_announced(&mut || lead.hand_on(began.elapsed()));
    }
}

/// The seat, taken. If the turn panics, the writer ends.
pub(crate) struct Seated<'a> {
    writer: MutexGuard<'a, Writer>,
    /// The caller was unwinding from a panic of its own already.
    unwinding: bool,
    /// Dropped behind the lock: foreign code may make calls that take the seat.
    _aside: PutAside,
}

impl Deref for Seated<'_> {
    type Target = Writer;

    fn deref(&self) -> &Writer {
        &self.writer
    }
}

impl DerefMut for Seated<'_> {
    fn deref_mut(&mut self) -> &mut Writer {
        &mut self.writer
    }
}

impl Drop for Seated<'_> {
    fn drop(&mut self) {
        if thread::panicking() && !self.unwinding {
            self.writer.die();
        }
    }
}

/// The lead of the group. It is handed on once, whatever happens.
struct Lead<'a> {
    tickets: &'a Tickets,
    /// `None` once it was handed on.
    sync: Cell<Option<Duration>>,
}

impl Lead<'_> {
    fn hand_on(&self, sync: Duration) {
        if self.sync.take().is_some() {
            self.tickets.hand_on(sync);
        }
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        self.hand_on(Duration::ZERO);
    }
}
