//! Subscriptions: an engine's entries in order, as they reach the disk, to keep another store in
//! step.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::audit::entry::AuditEntry;
use crate::audit::view::Names;
use crate::base::error::{JournalError, error_table};
use crate::journal::follow::follower::Follower;
use crate::journal::format::segment::{Point, SegmentHeader};
use crate::journal::group_commit::{Reached, SyncState};
use crate::journal::layout::{JournalDir, Layout, PathSegment};
use crate::journal::recovery::replay::decode_batch;
use crate::journal::storage::Storage;
use crate::journal::windows::Windows;

/// A position among a journal's entries, which a subscriber stores: the last entry that it has
/// handled, and the opening of the journal in which it saw that entry. `Default` is the position
/// before the first entry.
///
/// `Display` writes `sequence@opening`, and `FromStr` reads it.
///
/// ```
/// use stockade::JournalPosition;
/// let position: JournalPosition = "1024@3".parse()?;
/// assert_eq!((position.sequence, position.opening), (1_024, 3));
/// assert_eq!(position.to_string(), "1024@3");
/// # Ok::<(), stockade::InvalidPosition>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalPosition {
    /// The entry's sequence number; 0 before the first entry.
    pub sequence: u64,
    /// The number of the opening, counted from 1; 0 if unknown.
    pub opening: u64,
}

impl fmt::Display for JournalPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.sequence, self.opening)
    }
}

/// The text is not a position in a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPosition;

error_table! {
    InvalidPosition {
        Self => Invalid("invalid_position"),
            "not a position in a journal: expected two numbers such as \"1024@3\"";
    }
}

impl FromStr for JournalPosition {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (sequence, opening) = text.split_once('@').ok_or(InvalidPosition)?;
        let number = |text: &str| text.parse().map_err(|_| InvalidPosition);
        Ok(Self { sequence: number(sequence)?, opening: number(opening)? })
    }
}

/// An engine's entries in order, from a position on; see
/// [`subscribe`](crate::InventoryManager::subscribe).
///
/// It reads the journal's files by itself, so a slow subscriber delays nobody else.
pub struct Subscription {
    storage: Arc<dyn Storage>,
    follower: Follower,
    progress: Arc<SyncState>,
    names: Arc<dyn Names>,
    /// Entries that were read ahead and not yet returned.
    pending: VecDeque<AuditEntry>,
    position: JournalPosition,
    reached: Reached,
    /// The erasure epoch at which `pending` was read.
    erasures: u64,
}

impl Subscription {
    /// # Errors
    /// [`JournalError::Rewound`] if the position lies in a lost tail; [`JournalError::Trimmed`] if
    /// the entries after it were archived or removed; otherwise the storage's error.
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        progress: Arc<SyncState>,
        names: Arc<dyn Names>,
        opening: u64,
        after: JournalPosition,
    ) -> Result<Self, JournalError> {
        let erasures = progress.erasures();
        let is_before =
            |it: &SegmentHeader| it.base.sequence <= after.sequence && it.opening <= after.opening;
        let dir = JournalDir::find_back_to(&*storage, is_before)?;
        check_position(&dir, after, progress.durable_point().sequence)?;
        let start = start_of(&dir.layout, after.sequence)?;
        Ok(Self {
            follower: Follower::new(Arc::clone(&storage), start),
            storage,
            progress,
            names,
            pending: VecDeque::new(),
            position: JournalPosition { sequence: after.sequence, opening },
            reached: Reached::Disk,
            erasures,
        })
    }

    /// Returns entries as soon as they are written, before they are known to be on the disk. A
    /// crash may lose such entries; then a stored position may be refused as `Rewound` by the next
    /// [`subscribe`](crate::InventoryManager::subscribe).
    #[must_use]
    pub fn including_buffered(mut self) -> Self {
        self.reached = Reached::File;
        self
    }

    /// The position after the last returned entry. Store it together with what you made of that
    /// entry, in one transaction: so a crash neither skips an entry nor handles it twice.
    pub fn position(&self) -> JournalPosition {
        self.position
    }

    /// The next entry, if there is one now. It may read the journal's files, but never waits for
    /// new entries.
    ///
    /// # Errors
    /// The storage's error, or that the journal is damaged or trimmed. A later call may succeed.
    pub fn try_next(&mut self) -> Result<Option<AuditEntry>, JournalError> {
        if self.erasures != self.progress.erasures() {
            self.read_again()?;
        }
        loop {
            if let Some(entry) = self.pending.pop_front() {
                self.position.sequence = entry.sequence;
                return Ok(Some(entry));
            }
            let last = self.progress.reached(self.reached);
            let Some(followed) = self.follower.next(last)? else { return Ok(None) };
            for found in &followed.part.batches {
                let mut first = found.header.first_sequence;
                let _ = decode_batch(&followed.part, found, |decoded| {
                    let metadata = decoded.metadata();
                    for (view, sequence) in decoded.views().zip(first..) {
                        if sequence > self.position.sequence {
                            let entry = view.to_entry(sequence, &*self.names, &metadata);
                            self.pending.push_back(entry);
                        }
                    }
                    first += decoded.entries();
                    Ok(ControlFlow::Continue(()))
                })?;
            }
        }
    }

    /// Notes were erased since it read ahead: drops the entries that were read ahead, and reads
    /// again from its position.
    fn read_again(&mut self) -> Result<(), JournalError> {
        let erasures = self.progress.erasures();
        if !self.pending.is_empty() {
            let sequence = self.position.sequence;
            let is_before = |it: &SegmentHeader| it.base.sequence <= sequence;
            let layout = Layout::find_back_to(&*self.storage, is_before)?;
            let start = start_of(&layout, sequence)?;
            self.follower = Follower::new(Arc::clone(&self.storage), start);
            self.pending.clear();
        }
        self.erasures = erasures;
        Ok(())
    }

    /// Waits for the next entry, for as long as that takes. Returns `None` once the engine has
    /// ended and all entries were returned.
    ///
    /// # Errors
    /// As [`try_next`](Self::try_next).
    pub fn wait(&mut self) -> Result<Option<AuditEntry>, JournalError> {
        self.wait_until(None)
    }

    /// Like [`wait`](Self::wait), but waits until `deadline` at most. Returns `None` then, too.
    ///
    /// # Errors
    /// As [`try_next`](Self::try_next).
    pub fn wait_deadline(&mut self, deadline: Instant) -> Result<Option<AuditEntry>, JournalError> {
        self.wait_until(Some(deadline))
    }

    fn wait_until(
        &mut self,
        deadline: Option<Instant>,
    ) -> Result<Option<AuditEntry>, JournalError> {
        loop {
            if let Some(entry) = self.try_next()? {
                return Ok(Some(entry));
            }
            if !self.progress.wait_past(self.reached, self.follower.at().batch, deadline) {
                return self.try_next();
            }
        }
    }

    /// The next entry as a future, for any runtime. It resolves to `None` as [`wait`](Self::wait)
    /// does. If it is dropped, no entry is lost. Each poll may read the journal's files, which
    /// blocks the thread for that time.
    pub fn next_entry(&mut self) -> NextEntry<'_> {
        NextEntry { subscription: self }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("position", &self.position).finish_non_exhaustive()
    }
}

/// The next entry of a [`Subscription`], as a future.
#[derive(Debug)]
#[must_use = "a future does nothing until it is awaited"]
pub struct NextEntry<'a> {
    subscription: &'a mut Subscription,
}

impl Future for NextEntry<'_> {
    type Output = Result<Option<AuditEntry>, JournalError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let subscription = &mut *self.subscription;
        loop {
            match subscription.try_next() {
                Ok(None) => {}
                entry => return Poll::Ready(entry),
            }
            let (reached, at) = (subscription.reached, subscription.follower.at().batch);
            match subscription.progress.poll_past(reached, at, context.waker()) {
                // A new batch has come since.
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Poll::Ready(subscription.try_next()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// Where to begin if everything after an entry is to be read: at the start of its segment.
fn start_of(layout: &Layout, sequence: u64) -> Result<Point, JournalError> {
    let mut path = layout.path.iter().rev();
    let start = path.find(|it| it.header.base.sequence <= sequence);
    let trimmed = || JournalError::Trimmed { oldest: layout.oldest() };
    Ok(start.ok_or_else(trimmed)?.header.base)
}

/// Refuses a position in a tail that was lost since.
fn check_position(
    dir: &JournalDir<'_>,
    after: JournalPosition,
    durable: u64,
) -> Result<(), JournalError> {
    let JournalDir { storage, layout } = dir;
    let mut seen = after.opening;
    let begins_at = layout.path.first().map_or(0, |it| it.header.opening);
    if layout.trimmed.is_some() && begins_at > seen && seen > 0 {
        // How much of the earlier openings a later opening found stood in segments that are gone
        // now. So it is unknown whether the position is still valid.
        return Err(JournalError::Trimmed { oldest: layout.oldest() });
    }
    for on_path in &layout.path {
        let header = on_path.header;
        // The first segment of a later opening: it tells how much of the earlier ones that opening
        // found.
        if header.opening > seen && after.opening > 0 {
            seen = header.opening;
            let to = found_at_opening(*storage, &on_path.name, &header)?.sequence;
            if after.sequence > to {
                return Err(JournalError::Rewound { to });
            }
        }
    }
    let current = layout.head().map_or(0, |head| head.header.opening);
    if after.sequence > durable && (after.opening != current || after.opening == 0) {
        return Err(JournalError::Rewound { to: durable });
    }
    Ok(())
}

/// The end of what an opening found on the disk. `name` is the first segment of that opening.
fn found_at_opening(
    storage: &dyn Storage,
    name: &str,
    header: &SegmentHeader,
) -> Result<Point, JournalError> {
    let mut end = header.base;
    if header.durable <= end.batch {
        return Ok(end);
    }
    let (name, limit) = (name.to_owned(), u64::MAX);
    let segment = PathSegment { name, header: *header, limit };
    let mut windows = Windows::new(storage, &segment);
    loop {
        let window = windows.next()?;
        for found in window.found {
            if end.batch >= header.durable {
                return Ok(end);
            }
            end = Point { batch: found.header.number, sequence: found.header.end() - 1, ..end };
        }
        if window.is_last {
            return Ok(end);
        }
    }
}
