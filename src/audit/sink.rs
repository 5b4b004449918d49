//! Where a user's own copy of the audit log goes.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::audit::entry::AuditEntry;
use crate::audit::record::Record;
use crate::audit::view::{Metadata, Names, View};
use crate::base::error::{ErrorKind, Facts, error_answers};

/// A place that audit entries are written to, beside the log in memory: a file, a broker, a table.
///
/// The engine calls it from its one writer thread, with batches in the order of their sequence
/// numbers, and shows a batch in its own log only after the sink took it. A slow sink holds nobody
/// up until the queue is three quarters full.
///
/// # The contract
/// - [`append`](AuditSink::append) takes the whole batch or nothing. `Ok` says that the sink will
///   never be given these entries again.
/// - After an error the engine refuses new mutations, keeps what is queued and hands over *the same
///   batch* again, 10 ms later, then with pauses doubling up to 1 s. A sink that can't tell whether a
///   failed batch arrived can compare [`first_sequence`](AuditBatch::first_sequence).
/// - A sink that panics poisons the engine: nothing more is written or moved.
/// - It may read the engine, but must not change it or flush it: the writer would wait for itself.
///
/// ```
/// use stockade::{AuditBatch, AuditSink, SinkError};
///
/// struct Lines(Vec<String>);
///
/// impl AuditSink for Lines {
///     fn append(&mut self, batch: &AuditBatch<'_>) -> Result<(), SinkError> {
///         self.0.extend(batch.entries().map(|entry| format!("{} {}", entry.sequence, entry.entry_type)));
///         Ok(())
///     }
/// }
/// ```
pub trait AuditSink: Send + 'static {
    /// Takes all entries of `batch`, or none. May block; see the trait's contract.
    ///
    /// # Errors
    /// Whatever kept the sink from taking them; it is shown to callers that are refused meanwhile.
    fn append(&mut self, batch: &AuditBatch<'_>) -> Result<(), SinkError>;
}

/// Why a sink did not take a batch. Two are equal if they say the same.
#[derive(Clone, Debug)]
pub struct SinkError {
    cause: Arc<dyn Error + Send + Sync>,
}

impl SinkError {
    /// An error with a cause or a text.
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

/// Entries that are written together, in order.
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

    /// The sequence number of the first entry; the others follow without gaps.
    pub fn first_sequence(&self) -> u64 {
        self.first_sequence
    }

    /// How many entries there are; at least one.
    pub fn len(&self) -> usize {
        self.entries as usize
    }

    /// Never, for a batch that a sink is given.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// The entries, in order, with their names looked up. Allocates for entries with metadata.
    pub fn entries(&self) -> impl Iterator<Item = AuditEntry> + use<'a> {
        let names = self.names;
        let mut sequence = self.first_sequence;
        let records = self.records.iter();
        records.flat_map(move |record| {
            let first = sequence;
            sequence += record.entries();
            let (step, steps) = match record {
                Record::Plain(step) => (Some(step), None),
                Record::Buffered(steps) => (None, Some(steps)),
            };
            let metadata = steps.map_or_else(Metadata::default, |it| it.metadata.as_slice().into());
            let lines = steps
                .into_iter()
                .flat_map(|it| it.lines.iter().map(|line| View::Line(&it.header, line)));
            let views = step.into_iter().map(View::Plain).chain(lines);
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
