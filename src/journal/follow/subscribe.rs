//! Subscriptions: an engine's entries in order, as they reach the disk, to keep another store in
//! step.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::audit::entry::AuditEntry;
use crate::audit::view::Names;
use crate::base::error::JournalError;
use crate::journal::follow::feed::Feed;
use crate::journal::follow::resume::{JournalReach, resume};
use crate::journal::follow::thread::FollowerThread;
use crate::journal::format::position::JournalPosition;
use crate::journal::group_commit::{Reached, SyncState};
use crate::journal::storage::Storage;

/// An engine's entries in order, from a position on; see
/// [`subscribe`](crate::InventoryManager::subscribe).
///
/// It reads the journal's files by itself, so a slow subscriber delays nobody else. It reads ahead
/// by a bounded number of bytes ([`read_ahead_bytes`](Self::read_ahead_bytes)), and dropping it
/// frees them.
///
/// # Which calls read files
/// [`try_next`](Self::try_next), [`wait`](Self::wait) and their like read in the calling thread.
/// The futures ([`next_entry`](Self::next_entry), [`next_batch`](Self::next_batch)) read in a
/// thread of the engine's, one for all subscriptions. A poll only takes what is ready. An engine
/// that was built without threads has none: there a poll reads in the calling thread.
pub struct Subscription {
    feed: Arc<Feed>,
    progress: Arc<SyncState>,
    /// `None` if the engine has no threads.
    thread: Option<Arc<FollowerThread>>,
    position: JournalPosition,
}

/// What a subscription needs of its engine.
pub(crate) struct JournalFeeds {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) progress: Arc<SyncState>,
    pub(crate) names: Arc<dyn Names>,
    pub(crate) thread: Option<Arc<FollowerThread>>,
    pub(crate) opening: u64,
}

impl JournalFeeds {
    /// How far the journal has come.
    pub(crate) fn reach(&self) -> JournalReach {
        let (durable, written) = self.progress.ends();
        JournalReach { opening: self.opening, durable, written }
    }
}

impl Subscription {
    /// # Errors
    /// As [`resume`].
    pub(crate) fn new(journal: JournalFeeds, after: JournalPosition) -> Result<Self, JournalError> {
        let (follower, position) = resume(&journal.storage, journal.reach(), after)?;
        let JournalFeeds { storage, progress, names, thread, .. } = journal;
        let feed = Feed::new(storage, Arc::clone(&progress), names, follower, after.sequence);
        Ok(Self { feed: Arc::new(feed), progress, thread, position })
    }

    /// Returns entries as soon as they are written, before they are known to be on the disk. A
    /// crash may lose such entries; then a stored position may be refused as `Rewound` by the next
    /// [`subscribe`](crate::InventoryManager::subscribe).
    #[must_use]
    pub fn including_buffered(self) -> Self {
        self.feed.set_reached(Reached::File);
        self
    }

    /// How many bytes of entries it reads ahead, by their size in memory. At least 64 KiB; default:
    /// 4 MiB. One record may go beyond. Besides, it holds one chunk of a segment, some 2 MiB, or as
    /// long as the longest record.
    #[must_use]
    pub fn read_ahead_bytes(self, bytes: usize) -> Self {
        self.feed.set_read_ahead(bytes);
        self
    }

    /// The position after the last returned entry, with its lineage. Store it together with what
    /// you made of that entry, in one transaction: so a crash neither skips an entry nor handles it
    /// twice. Before the first entry it is the position of the subscription in full form.
    pub fn position(&self) -> JournalPosition {
        self.position
    }

    /// The next entry, if there is one now. It may read the journal's files, but never waits for
    /// new entries.
    ///
    /// # Errors
    /// The storage's error, or that the journal is damaged or trimmed. A later call may succeed.
    /// [`JournalError::NoJournal`] if the journal's files were gone for ten seconds.
    pub fn try_next(&mut self) -> Result<Option<AuditEntry>, JournalError> {
        loop {
            if let Some(entry) = self.take() {
                return Ok(Some(entry));
            }
            if !self.feed.fill()? {
                return Ok(None);
            }
        }
    }

    /// The next entries, at most `most` (and at least one, if there is one now); empty if there are
    /// none. It may read the journal's files, but never waits for new entries.
    ///
    /// # Errors
    /// As [`try_next`](Self::try_next).
    pub fn try_batch(&mut self, most: usize) -> Result<Vec<AuditEntry>, JournalError> {
        let first = self.try_next()?;
        Ok(self.with_ready(first, most))
    }

    /// How many bytes of entries are read ahead.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn ready_bytes(&self) -> usize {
        self.feed.ready_bytes()
    }

    /// The entry that is ready next.
    fn take(&mut self) -> Option<AuditEntry> {
        let taken = self.feed.take()?;
        self.position.sequence = taken.entry.sequence;
        self.position.lineage = Some(taken.lineage);
        Some(taken.entry)
    }

    /// `first`, and behind it what is ready, up to `most` entries.
    fn with_ready(&mut self, first: Option<AuditEntry>, most: usize) -> Vec<AuditEntry> {
        let mut entries: Vec<_> = first.into_iter().collect();
        while !entries.is_empty()
            && entries.len() < most
            && let Some(entry) = self.take()
        {
            entries.push(entry);
        }
        entries
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

    /// Waits for the next entry, and returns it with those that are ready behind it: at most
    /// `most`, and at least one. Empty once the engine has ended and all entries were returned.
    ///
    /// # Errors
    /// As [`try_next`](Self::try_next).
    pub fn wait_batch(&mut self, most: usize) -> Result<Vec<AuditEntry>, JournalError> {
        let first = self.wait_until(None)?;
        Ok(self.with_ready(first, most))
    }

    fn wait_until(
        &mut self,
        deadline: Option<Instant>,
    ) -> Result<Option<AuditEntry>, JournalError> {
        loop {
            if let Some(entry) = self.try_next()? {
                return Ok(Some(entry));
            }
            let (reached, batch) = self.feed.reached();
            if !self.progress.wait_past(reached, batch, deadline) {
                return self.try_next();
            }
        }
    }

    /// The next entry as a future, for any runtime. It resolves to `None` as [`wait`](Self::wait)
    /// does. If it is dropped, no entry is lost. A poll reads no file.
    ///
    /// Besides the errors of [`try_next`](Self::try_next), it resolves to
    /// [`JournalError::NoFollower`] if the operating system gives no thread to read in. The calls
    /// that block work on.
    pub fn next_entry(&mut self) -> NextEntry<'_> {
        NextEntry { subscription: self }
    }

    /// The next entries as a future: at most `most`, and at least one. It resolves to an empty list
    /// once the engine has ended and all entries were returned. For the rest as
    /// [`next_entry`](Self::next_entry). If it is dropped, no entry is lost.
    ///
    /// ```
    /// # let name = format!("stockade-batch-{}", std::process::id());
    /// # let directory = std::env::temp_dir().join(name);
    /// use stockade::{InventoryManager, JournalError, JournalPosition, Subscription};
    /// async fn copy(entries: &mut Subscription) -> Result<(), JournalError> {
    ///     loop {
    ///         let batch = entries.next_batch(1_000).await?;
    ///         if batch.is_empty() {
    ///             return Ok(()); // The engine has ended.
    ///         }
    ///         // One transaction: what is made of the batch, and `entries.position()`.
    ///     }
    /// }
    /// # let manager = InventoryManager::builder().warehouse("SF").journal(&directory).build()?;
    /// # let _ = copy(&mut manager.subscribe(JournalPosition::default())?);
    /// # drop(manager);
    /// # std::fs::remove_dir_all(&directory)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn next_batch(&mut self, most: usize) -> NextBatch<'_> {
        NextBatch { subscription: self, most }
    }

    fn poll_next(
        &mut self,
        context: &Context<'_>,
    ) -> Poll<Result<Option<AuditEntry>, JournalError>> {
        let Some(thread) = self.thread.clone() else { return self.poll_here(context) };
        loop {
            match self.feed.poll(&thread, context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(false)) => return Poll::Ready(Ok(None)),
                Poll::Ready(Ok(true)) => {}
            }
            // If text was erased at this moment, nothing is ready any more: ask again.
            if let Some(entry) = self.take() {
                self.feed.read_ahead(&thread);
                return Poll::Ready(Ok(Some(entry)));
            }
        }
    }

    /// As [`poll_next`](Self::poll_next), for an engine without threads.
    fn poll_here(
        &mut self,
        context: &Context<'_>,
    ) -> Poll<Result<Option<AuditEntry>, JournalError>> {
        loop {
            match self.try_next() {
                Ok(None) => {}
                entry => return Poll::Ready(entry),
            }
            let (reached, batch) = self.feed.reached();
            match self.progress.poll_past(reached, batch, context.waker()) {
                // A new batch has come since.
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Poll::Ready(self.try_next()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // The follower thread may be reading for it. What it reads is dropped, too.
        self.feed.end();
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
        self.subscription.poll_next(context)
    }
}

/// The next entries of a [`Subscription`], as a future.
#[derive(Debug)]
#[must_use = "a future does nothing until it is awaited"]
pub struct NextBatch<'a> {
    subscription: &'a mut Subscription,
    most: usize,
}

impl Future for NextBatch<'_> {
    type Output = Result<Vec<AuditEntry>, JournalError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let most = self.most;
        let Poll::Ready(first) = self.subscription.poll_next(context) else { return Poll::Pending };
        Poll::Ready(first.map(|first| self.subscription.with_ready(first, most)))
    }
}
