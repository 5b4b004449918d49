//! Audit sinks: the user's own copy of the audit log.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::audit::entry::AuditEntry;
use crate::audit::record::Record;
use crate::audit::view::{Metadata, Names, View};
use crate::base::error::{ErrorKind, Facts, error_answers};

/// A destination for audit entries, beside the log in memory: a file, a broker, a table.
///
/// The engine calls it from its one audit writer thread, with batches in the order of their
/// sequence numbers. A batch shows in the engine's own log only after the sink has taken it. With a
/// journal, the writer writes a batch to the journal first. A slow sink delays nobody until the
/// audit queue is three quarters full; then [`Backpressure`](crate::Backpressure) decides what new
/// calls do.
///
/// # The contract
/// - [`append`](AuditSink::append) takes the whole batch or nothing. After `Ok`, the sink is never
///   given these entries again.
/// - After an error, the engine refuses new mutations, keeps what is queued and passes *the same
///   batch* again: after 10 ms, then after pauses that double up to 1 s. So `append` should be
///   idempotent: a sink that can't tell whether a failed batch arrived compares
///   [`first_sequence`](AuditBatch::first_sequence).
/// - A panic is an error: the sink gets the same batch again, in whatever state it is. (Not if the
///   program is built with `panic = "abort"`.)
/// - The sink may call its engine, but not wait for the writer, which is itself: a flush is refused
///   with [`FlushError::InSink`](crate::FlushError::InSink), and a call under
///   [`Durability::Synced`](crate::Durability::Synced) is applied in memory only. If the queue is
///   full, calls are `Busy`. What it changes comes back to it as the next batch.
/// - A sink that blocks for over a second shows in [`health`](crate::InventoryManager::health).
///
/// ```
/// use stockade::{AuditBatch, AuditEntry, AuditSink, SinkError};
///
/// struct Lines(Vec<String>);
///
/// impl AuditSink for Lines {
///     fn append(&mut self, batch: &AuditBatch<'_>) -> Result<(), SinkError> {
///         let line = |entry: AuditEntry| format!("{} {}", entry.sequence, entry.entry_type);
///         self.0.extend(batch.entries().map(line));
///         Ok(())
///     }
/// }
/// ```
pub trait AuditSink: Send + 'static {
    /// Takes all entries of `batch`, or none. May block; see the trait's contract.
    ///
    /// # Errors
    /// Why the sink did not take them. Callers that are refused meanwhile see this text.
    fn append(&mut self, batch: &AuditBatch<'_>) -> Result<(), SinkError>;
}

/// Why a sink did not take a batch. Two errors are equal if their texts are.
#[derive(Clone, Debug)]
pub struct SinkError {
    cause: Arc<dyn Error + Send + Sync>,
}

impl SinkError {
    /// An error from a cause or a text.
    ///
    /// ```
    /// assert_eq!(stockade::SinkError::new("disk full").to_string(), "disk full");
    /// ```
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { cause: cause.into().into() }
    }
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl SinkError {
    pub(crate) fn facts(&self) -> Facts {
        Facts::new(ErrorKind::Unavailable, "sink_failed").retry()
    }
}

error_answers!(SinkError);

impl PartialEq for SinkError {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for SinkError {}

impl Error for SinkError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.source()
    }
}

impl From<std::io::Error> for SinkError {
    fn from(error: std::io::Error) -> Self {
        Self::new(error)
    }
}

/// Entries that are written together, in the order of their sequence numbers.
#[derive(Clone, Copy)]
pub struct AuditBatch<'a> {
    first_sequence: u64,
    entries: u64,
    records: &'a [Record],
    names: &'a dyn Names,
}

impl<'a> AuditBatch<'a> {
    pub(crate) fn new(
        first_sequence: u64,
        entries: u64,
        records: &'a [Record],
        names: &'a dyn Names,
    ) -> Self {
        Self { first_sequence, entries, records, names }
    }

    /// The sequence number of the first entry. The others follow without gaps.
    pub fn first_sequence(&self) -> u64 {
        self.first_sequence
    }

    /// The number of entries, at least 1.
    pub fn len(&self) -> usize {
        self.entries as usize
    }

    /// Whether the batch is empty. A batch that is passed to a sink never is.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// The entries, in order, with names instead of indexes. Allocates for records with metadata.
    pub fn entries(&self) -> impl Iterator<Item = AuditEntry> + use<'a> {
        let names = self.names;
        let mut sequence = self.first_sequence;
        let records = self.records.iter();
        records.flat_map(move |record| {
            let first = sequence;
            sequence += record.entries();
            let (entry, buffer) = match record {
                Record::Plain(entry) => (Some(entry), None),
                Record::Buffered(buffer) => (None, Some(buffer)),
            };
            let metadata = buffer.map_or_else(Metadata::default, |it| it.metadata.to_metadata());
            let lines = buffer.into_iter().flat_map(|it| it.views());
            let views = entry.into_iter().map(View::Plain).chain(lines);
            views.zip(first..).map(move |(view, number)| view.to_entry(number, names, &metadata))
        })
    }
}

impl fmt::Debug for AuditBatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditBatch")
            .field("first_sequence", &self.first_sequence)
            .field("entries", &self.entries)
            .finish_non_exhaustive()
    }
}
