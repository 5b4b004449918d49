//! The seam between the audit writer and the write-ahead log behind it.
//!
//! The audit owns this trait and the journal implements it, so that the audit knows no journal: an engine
//! in memory has a writer without a durable sink.

use std::io;
use std::sync::Arc;

use crate::audit::flush::FlushTicket;
use crate::audit::record::Record;
use crate::audit::view::Names;

/// A write-ahead log as the audit writer drives it, from one thread. Writing and syncing are apart: the
/// writer appends and goes on, and a sync serves all who asked for one meanwhile (group commit).
pub(crate) trait DurableSink: Send {
    /// The sequence number of the next entry.
    fn next_sequence(&self) -> u64;

    /// Starts the thread that syncs. Without it, only [`sync_now`](Self::sync_now) does.
    ///
    /// # Errors
    /// The system gives no thread.
    fn spawn(&self) -> io::Result<()>;

    /// Takes over `records`, to be written by [`write`](Self::write). Can't fail.
    fn take(&mut self, records: &[Record], names: &dyn Names);

    /// Writes what was taken, without waiting for the disk.
    ///
    /// # Errors
    /// What the storage says. Nothing is lost: call it again.
    fn write(&mut self) -> io::Result<WriteOutcome>;

    /// Whether a write or a sync has failed that no later write has made good.
    fn has_failed(&self) -> bool;

    /// Begins a new file, if somebody asked for one. For when all that was taken is written.
    ///
    /// # Errors
    /// What the storage says. Nothing is lost: call [`write`](Self::write) again.
    fn rotate_if_asked(&mut self) -> io::Result<()>;

    /// Completes each of `tickets` once everything that is written now is on the disk.
    fn when_durable(&self, tickets: &[Arc<FlushTicket>]);

    /// Syncs in the calling thread.
    ///
    /// # Errors
    /// What the storage says, now or at an earlier failure.
    fn sync_now(&self) -> io::Result<()>;

    /// Ends the log in good order. Nothing is written after.
    ///
    /// # Errors
    /// What the storage says: the log will be found as after a crash.
    fn close(&mut self) -> io::Result<()>;
}

/// Where a write went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteOutcome {
    /// Behind what was there.
    Appended,
    /// Into a new file, after a failure. The caller must open the gate again; nobody else will.
    StartedOver,
}
