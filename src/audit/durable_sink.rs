//! The trait between the audit writer and the write-ahead log.
//!
//! The audit floor owns this trait and the journal implements it, so the audit floor does not
//! depend on the journal. In an engine without a journal, the writer has no durable sink.

use std::io;
use std::sync::Arc;

use crate::audit::flush::FlushTicket;
use crate::audit::record::Record;
use crate::audit::view::Names;

/// A write-ahead log, driven by the audit writer, from one thread at a time. Writing and syncing
/// are separate: the writer appends and goes on, and one sync serves all callers that wait at that
/// time (group commit).
pub(crate) trait DurableSink: Send {
    /// The sequence number of the next entry.
    fn next_sequence(&self) -> u64;

    /// Starts the thread that syncs. Without that thread, only [`sync_now`](Self::sync_now) syncs.
    ///
    /// # Errors
    /// The operating system refuses to start a thread.
    fn spawn(&self) -> io::Result<()>;

    /// Encodes `records`, so that [`write`](Self::write) can write them. Can't fail.
    fn take(&mut self, records: &[Record], names: &dyn Names);

    /// Writes what was taken over, without a sync.
    ///
    /// # Errors
    /// The storage's error. Nothing is lost: call it again.
    fn write(&mut self) -> io::Result<WriteOutcome>;

    /// Whether a write or a sync has failed, and no later write has repaired it.
    fn has_failed(&self) -> bool;

    /// Begins a new segment, if one was requested. Call it only when all that was taken over is
    /// written.
    ///
    /// # Errors
    /// The storage's error. Nothing is lost: call [`write`](Self::write) again.
    fn rotate_if_asked(&mut self) -> io::Result<()>;

    /// Completes each of `tickets` once everything that is written by now is on the disk, or once
    /// it fails.
    fn when_durable(&self, tickets: &[Arc<FlushTicket>]);

    /// The same for callers that sync themselves, as soon as this turn is over: it asks nobody for
    /// a sync.
    fn when_synced(&self, tickets: &[Arc<FlushTicket>]);

    /// What such a caller syncs by.
    fn shared_sync(&self) -> Arc<dyn SharedSync>;

    /// Syncs in the calling thread, which blocks until the disk has answered.
    ///
    /// # Errors
    /// The storage's error, of this sync or of an earlier failure.
    fn sync_now(&self) -> io::Result<()>;

    /// Writes the close mark and syncs. Nothing may be written afterwards.
    ///
    /// # Errors
    /// The storage's error. The next opening then finds the log as after a crash.
    fn close(&mut self) -> io::Result<()>;
}

/// The half of the log that syncs, for callers of any thread.
pub(crate) trait SharedSync: Send + Sync {
    /// A caller will sync what the writer's next turn writes: nobody else needs to be woken for it.
    /// To be followed by [`sync_announced`](Self::sync_announced).
    fn announce(&self);

    /// Syncs all that is written, in the calling thread, and completes the tickets that waited for
    /// it; if the disk fails, with an error. Calls `freed` before, as soon as the next sync may
    /// begin.
    fn sync_announced(&self, freed: &mut dyn FnMut());
}

/// Where a write went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteOutcome {
    /// Behind the existing bytes.
    Appended,
    /// Into a new segment, after a failure. The caller must reopen the gate; nobody else will.
    StartedOver,
}
